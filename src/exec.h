/* exec.h - machines: the backend interface.
 *
 * Two backends implement one table: cuda (driver API and NVRTC, by dlopen) and host (the
 * same .cu through the C++ compiler over kernels/host/). Backends know plans and slabs, no
 * ops. */
#ifndef KB_EXEC_H
#define KB_EXEC_H

#include "jit.h"

/* ---- devices --------------------------------------------------------------------------
 */

struct kb_device_info {
    char backend[8]; /* "cuda", "host" */
    char id[16];     /* "0", "1", "host" */
    char name[128];  /* "NVIDIA H200"; host: "host" */
    char uuid[64];
    struct kb_device_limits limits;
    int64_t l2_bytes, memory_bytes, free_bytes;
    char driver[48];   /* "580.159.04"; "" on host */
    char nvrtc[32];    /* "13.0" */
    char compiler[64]; /* host: "g++ 12.2" */
    int cores;         /* host */
    bool clocks_locked;
    char lock[64];  /* the command that locks them, "nvidia-smi -i 0 -lgc 1980"; "" */
    char note[512]; /* why `auto` took this one: "no NVIDIA driver (libcuda.so.1 not found)"
                     */
};

/* How a worker runs things. Zero is the default of each. */
struct kb_exec_options {
    const char *sanitize; /* host: "address,undefined" or "thread"; NULL: none */
    int64_t host_sm;      /* what `sm` reads on host; 0: 90 */
    bool no_cache;        /* neither read nor write the JIT cache */
    bool no_compile;      /* KB_BUILD "would have to compile" instead of compiling */
    int64_t compile_ms;   /* wall limit of one compile; 0: 120 s */
    int64_t launch_ms;    /* wall limit of one host run; 0: what the run says */
    size_t memory_limit;  /* host: slabs larger than this do not fit; 0: no limit */
    bool verbose;         /* keep compile logs of successful builds */
    /* cuda: folders, which are there, for what code of a plan with a label is made from
     * and comes to; NULL: not wanted. */
    const char *dump_ptx, *dump_sass, *keep;
    bool profile; /* launch once more for profilers, in place of timing */
};

/* ---- code -----------------------------------------------------------------------------
 */

/* What a build came to; what is not known is -1 or "". */
struct kb_code_info {
    char source_hash[KB_HASH_HEX], code_hash[KB_HASH_HEX], key[KB_HASH_HEX];
    int registers;
    int64_t spill_bytes, shared_bytes, code_bytes;
    double compile_ms, load_ms;
    bool cached;
    char arch[16];  /* "sm_90a"; host: "x86-64" */
    char note[256]; /* what the cache had to say: an entry damaged, a folder refused; "" */
};

/* How a plan fills the device: of the launch with the most threads. */
struct kb_occupancy {
    int blocks_per_sm; /* at once; 0: not known, and the rest is 0 */
    double share;      /* of the threads that a multiprocessor can hold */
    double waves;      /* blocks of the grid over those that run at once */
};

/* A kernel that misbehaved in a way that the backend can name; KB_FOUND_NOTHING is the
 * usual. */
enum kb_finding {
    KB_FOUND_NOTHING,
    KB_FOUND_DEADLOCK,
    KB_FOUND_SANITIZER,
    KB_FOUND_MISALIGNED, /* an access that its address is not aligned for */
};

/* Bytes of a slab that change between launches. */
struct kb_patch {
    size_t offset; /* of the first */
    size_t bytes;  /* 1 to 4 */
    unsigned char value[4];
};

enum kb_block_order { KB_ORDER_FORWARD, KB_ORDER_REVERSED, KB_ORDER_SHUFFLED };

struct kb_run_options {
    enum kb_block_order order; /* host: of blocks */
    uint64_t
        schedule_seed; /* host: order of threads inside a block and of shuffled blocks */
    /* host: before it the launches run once over the slab as it is; then the patches are
     * made, and the run is. What the launches left stays. With `twice` the slab has the
     * plan's slots twice over, and what the second half has (some slots there have no
     * bytes) takes its place in the first before the patches. So what a kernel keeps in its
     * __device__ variables shows, as it does from run to run on a GPU. */
    bool ahead, twice;
    const struct kb_patch *patches;
    int n_patches;
    /* That many runs more before it, each from the same contents, on host in other orders,
     * for `repeat_ns` at most. The first that leaves other bytes than the one before in a
     * slot whose bit is set in `compared` is the last, and the slab is as that one left it.
     */
    int repeats;
    int64_t repeat_ns;
    uint64_t compared;
    /* Launches that may start before the kernels ahead have ended find poison in every slot
     * before they wait for them, and what they write till then is lost. On host the first
     * block does, then each thread and block, as many as are worth `late_bytes` of copies.
     */
    bool late;
    size_t late_bytes;
    int64_t limit_ms; /* host: of wall time, unless the device has a limit; 0: 60 s */
    bool no_pdl;      /* cuda: no launch starts before the one ahead has ended */
    /* Where no child maps slabs: what is there before the launches, by a slab of the same
     * layout, so that it need not be copied. NULL: what the slab holds. */
    const struct kb_slab *from;
    /* The same of single slots, whose bits are set in `taken`: they hold what the slots of
     * these numbers hold in `inputs`, which may lie elsewhere there. */
    const struct kb_slab *inputs;
    uint64_t taken;
};
struct kb_run_result {
    enum kb_finding finding;
    char text[1024]; /* of the finding, with file:line: "out-of-bounds read ... mine.cu:41"
                      */
    char warning[512]; /* early exit before a barrier, ...; "" if none */
    double wall_ns;    /* of the launches; not a GPU time on host */
    int runs;          /* of the plan, from the same contents */
    bool late;         /* inputs came late, and a launch could tell */
};

/* ---- timing ---------------------------------------------------------------------------
 */

/* id, word, what it is (kbench help methods) */
#define KB_METHODS(X)                                                                      \
    X(KB_GRAPH, "graph", "time per node of a captured graph over rotating buffer sets")    \
    X(KB_PDL, "pdl", "graph, with programmatic edges between the nodes")                   \
    X(KB_COLD, "cold", "one launch between events after a clean L2 flush")                 \
    X(KB_HOT, "hot", "one launch between events, no flush")                                \
    X(KB_CUPTI, "cupti",                                                                   \
      "from the start to the end of a launch by the GPU's own clock, which CUPTI "         \
      "tells, over rotating buffer sets")                                                  \
    X(KB_LAUNCH, "launch", "what queueing a launch takes of the host's time")

enum kb_method {
#define X(id, word, help) id,
    KB_METHODS(X)
#undef X
        KB_METHOD_COUNT
};
const char *kb_method_word(enum kb_method method);
bool kb_method_parse(const char *word, enum kb_method *out);

/* What launches rotate over: sets that together are 3x L2; of small ones no more than so
 * many, though they be less. */
enum { KB_ROTATE_TIMES_L2 = 3, KB_MAX_SETS = 4096 };

struct kb_timer_facts {
    int sets;                /* buffer sets that the launches rotate over */
    int64_t footprint_bytes; /* all sets together */
    int launches_per_sample; /* a sample is a mean over these */
    double tick_ns;          /* resolution of one sample (timer's tick / launches) */
    const char *cache;       /* "rotated", "flushed", "warm"; "none": no GPU time */
    double timer_ns;         /* what the timer reads around nothing; NAN: not known */
};
#define KB_THROTTLE_UNKNOWN (UINT64_C(1) << 63) /* NVML gave no answer */

struct kb_clocks {
    int sm_mhz, memory_mhz; /* 0: not known */
    uint64_t throttle;      /* NVML clocks-event reasons, idle and settings left out */
    int other_processes;    /* that compute on the same GPU; -1: not known */
    char others[256];       /* who they are: "pid 4711 (python3)" by comma */
};
void kb_throttle_words(uint64_t reasons, struct kb_buf *out); /* "power,thermal" */

/* ---- the backend table ------------------------------------------------------------------
 * Slots of a slab: the problem's tensors in order (absent ones 0 bytes), then the plan's
 * scratch. A device error that spoils the context is KB_DEVICE: the worker must be ended.
 */
struct kb_device;
struct kb_code;
struct kb_timer;

struct kb_backend {
    const char *name;
    bool maps_slabs; /* run takes KB_SLAB_SHARED ones only: a child maps them */
    /* Devices that could be opened; `gaps` gets a line for each thing missing, with its
     * remedy. */
    int (*probe)(struct kb_device_info *devices, int max, struct kb_buf *gaps);
    /* KB_DEVICE with one line and the remedy when it cannot be had. */
    bool (*open)(int ordinal, const struct kb_exec_options *options, struct kb_device **out,
                 struct kb_err *err);
    void (*close)(struct kb_device *device);
    const struct kb_device_info *(*info)(struct kb_device *device);
    /* Compile or fetch, verify, load. KB_BUILD with the compiler's log; KB_UNSUPPORTED for
     * a build that the backend does not have. */
    bool (*build)(struct kb_device *device, const struct kb_plan *plan,
                  const struct kb_build *build, struct kb_code **out,
                  struct kb_code_info *info, struct kb_err *err);
    void (*unload)(struct kb_device *device, struct kb_code *code);
    /* Run the plan's launches once over the slab: its contents are the initial state, and
     * on return what the launches left, guards included. KB_CRASH, KB_TIMEOUT, KB_DEVICE,
     * KB_MEMORY. */
    bool (*run)(struct kb_device *device, struct kb_code *code, const struct kb_plan *plan,
                struct kb_slab *slab, const struct kb_run_options *options,
                struct kb_run_result *result, struct kb_err *err);
    /* Timing; all NULL on host. A timer holds its buffer sets, each a copy of `initial`.
     * `sets` 0: at least 3x L2 in all, at most KB_MAX_SETS. Timers that are open at the
     * same time over equal tensors share their sets, so that A and B interleave on the same
     * memory. `code` must outlive the timer. KB_UNSUPPORTED: pdl where plan or device have
     * none. */
    bool (*timer_open)(struct kb_device *device, struct kb_code *code,
                       const struct kb_plan *plan, const struct kb_slab *initial,
                       enum kb_method method, int sets, struct kb_timer **out,
                       struct kb_timer_facts *facts, struct kb_err *err);
    /* `n` more samples, each ns per launch. */
    bool (*timer_sample)(struct kb_timer *timer, int n, double *ns, struct kb_err *err);
    /* Make what samples launch anew, where there is such a thing and but one of it: by
     * graph and pdl their graph, if not several take turns. Equal graphs may take times
     * that differ, by where in memory they come to lie. What is launched by the way is in
     * no sample. */
    bool (*timer_renew)(struct kb_timer *timer, struct kb_err *err);
    /* What the timed launches make of set `set` (0 .. sets-1), into the tensors and scratch
     * of a slab of the same layout: the sets are put back to `initial`, each is launched on
     * once more in the way that is timed, and one is read back. So poison shows what a
     * timed launch leaves out, and a tensor changed in place was changed once. */
    bool (*timer_result)(struct kb_timer *timer, int set, struct kb_slab *out,
                         struct kb_err *err);
    /* Energy of one launch: launches without a pause for `seconds` at least, by the GPU's
     * counter. NULL where there are no timers. KB_UNSUPPORTED: no counter, or a method
     * whose launches are not all that runs (cold, launch). */
    bool (*timer_energy)(struct kb_timer *timer, double seconds, double *joules,
                         struct kb_err *err);
    void (*timer_close)(struct kb_timer *timer);
    /* The same sample of an empty kernel, by method: the timer's floor. Cached per device.
     */
    bool (*floor)(struct kb_device *device, enum kb_method method, double *ns,
                  struct kb_err *err);
    void (*clocks)(struct kb_device *device, struct kb_clocks *out);
    /* After a launch to warm up, the plan's launches once between cuProfilerStart and
     * cuProfilerStop, in an NVTX range named by its label. NULL on host. */
    bool (*profile)(struct kb_device *device, struct kb_code *code,
                    const struct kb_plan *plan, const struct kb_slab *initial,
                    struct kb_err *err);
    /* Not known is no error: blocks_per_sm is 0. NULL on host. */
    void (*occupancy)(struct kb_device *device, struct kb_code *code,
                      const struct kb_plan *plan, struct kb_occupancy *out);
};
/* Compiling for a GPU that is not there: what `kb_cuda.build` does up to loading, into the
 * same cache. For `make nvrtc` and for compiling a suite ahead without opening devices. */
struct kb_compiler;
bool kb_compiler_open(const struct kb_exec_options *options, struct kb_compiler **out,
                      struct kb_err *err);
/* Codes of the same kernel file, defines, architecture and build, which differ in their
 * entries; a compiler takes a few of them at a time. */
enum { KB_MAX_TOGETHER = 36 };
struct kb_compiled {
    const struct kb_plan *plan;
    struct kb_code_info info; /* without what only a driver tells: registers are -1 */
    struct kb_err err;
    bool ok;
};
void kb_compiler_build_together(struct kb_compiler *compiler, int64_t sm,
                                const struct kb_build *build, struct kb_compiled *items,
                                int n);
/* What the backend itself launches beside plans: timers' kernels and the like. */
bool kb_compiler_build_own(struct kb_compiler *compiler, int64_t sm, struct kb_err *err);
void kb_compiler_close(struct kb_compiler *compiler);

/* Whether this executable can name ranges for profilers: NVTX was there to build it. */
extern const bool kb_has_nvtx;

extern const struct kb_backend kb_cuda, kb_host;
/* "cuda" or "host", else NULL. */
const struct kb_backend *kb_backend_find(const char *name);

#endif
