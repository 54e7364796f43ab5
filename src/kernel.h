/* kernel.h - kernels: the contract in a .cu file, its expressions, and the launch they come
 * to.
 *
 * A kernel file carries a JSON contract in its first comment that starts with "kbench"; the
 * schema is kernels/README.md. This layer checks the contract against an op and turns
 * (contract, case, device) into a plan: plain values that a backend builds and launches. */
#ifndef KB_KERNEL_H
#define KB_KERNEL_H

#include "op.h"

/* ---- expressions ------------------------------------------------------------------------
 * The language is in kernels/README.md: C's operators over int64 and double, ceil_div
 * align_up next_pow2 min max, sum max count of list axes, words compared by == and !=.
 * Integers are exact: overflow and division by zero are errors. Messages begin with the
 * expression and a column in it: "`hidden / 0`, column 8: division by zero". */

enum { KB_MAX_LETS = 16, KB_EXPR_LENGTH = 1000, KB_EXPR_DEPTH = 64 };

struct kb_expr_value {
    bool is_float;
    int64_t i;
    double f;
};
/* A variant's own name. One that could not be computed fails where it is used, so that
 * `when` can still say that the variant is not for this case. */
struct kb_expr_let {
    const char *name;
    struct kb_expr_value value;
    const char *error; /* what computing it said, or NULL */
};
struct kb_expr_env {
    const struct kb_problem *problem; /* axes, parameters, derived sizes, dtype_bytes */
    /* the device; sm 90, sm_count, smem_per_block */
    int64_t sm, sm_count, smem_per_block;
    const struct kb_expr_let *lets;
    int n_lets;
    const struct kb_strings *defines; /* "NAME=VALUE"; whole numbers of them are names */
};
bool kb_expr_eval(const char *text, const struct kb_expr_env *env,
                  struct kb_expr_value *out, struct kb_err *err);

/* ---- contracts ------------------------------------------------------------------------
 */

enum { KB_MAX_ARGS = 24, KB_MAX_LAUNCHES = 8, KB_MAX_VARIANTS = 32, KB_MAX_SCRATCH = 8 };

/* One launch of a variant, all of it still text. NULL where the contract has none. */
struct kb_launch_text {
    const char *entry;
    const char *grid[3], *block[3], *cluster[3]; /* expressions; unused ones NULL */
    const char *smem;
    /* "input", "i64 tokens", "f32 eps", or "tma {...}" as JSON */
    const char *args[KB_MAX_ARGS];
    int n_args;
    bool cooperative, pdl;
};

enum kb_scratch_start { KB_SCRATCH_ZERO, KB_SCRATCH_POISON, KB_SCRATCH_KEEP };
struct kb_scratch_text {
    const char *name, *bytes; /* bytes: an expression */
    enum kb_scratch_start start;
};

struct kb_variant {
    const char *name, *why, *when; /* when NULL: always; why NULL: not said */
    const char *let_names[KB_MAX_LETS], *let_texts[KB_MAX_LETS]; /* in order of use */
    int n_lets;
    struct kb_strings dtypes;   /* empty: all of the op's */
    struct kb_strings backends; /* empty: both */
    struct kb_strings defines;  /* "NAME=VALUE" */
    const char *lacks;          /* a macro that a build sets and it has not; NULL: none */
    const char *arch;           /* "90a" or NULL */
    int64_t align;              /* bytes that tensor bases must be multiples of; 0: 16 */
    struct kb_scratch_text scratch[KB_MAX_SCRATCH];
    int n_scratch;
    struct kb_launch_text *launches; /* at most KB_MAX_LAUNCHES */
    int n_launches;
};

struct kb_kernel {
    const char *path; /* "kernels/activation.cu" or as given to --kernel */
    const char *name; /* file name without folder */
    const char *text; /* the whole source */
    size_t size;
    const char *from; /* "disk", "embedded" or "given" */
    bool user;        /* by --kernel */
    struct kb_hash source_hash;
    struct kb_strings ops;
    struct kb_strings unused;    /* macros of ops and variants that its code does not use */
    struct kb_entries *entries;  /* of any case on one device, once a plan asked; or NULL */
    struct kb_variant *variants; /* at most KB_MAX_VARIANTS */
    int n_variants;
};

/* Read and check a contract: schema, ops known, expressions parse with the ops' names,
 * every argument a tensor, scratch or typed scalar, each output of the op an argument of
 * some launch, entries in the source. All errors at once, with file:line:col in the .cu.
 * Strings live in `arena`; `text` is borrowed and must end in a NUL past `size`. False with
 * at least one complaint; `out` is then no kernel. */
bool kb_kernel_parse(const char *path, const char *text, size_t size, const char *from,
                     struct kb_arena *arena, struct kb_kernel *out,
                     struct kb_complaints *c);
/* The built-in kernel file of an op's family, or NULL. */
bool kb_kernel_builtin(const struct kb_op *op, struct kb_arena *arena,
                       struct kb_kernel *out, struct kb_complaints *c);
/* A user's file; refuses what kb_file_read refuses. */
bool kb_kernel_load(const char *path, struct kb_arena *arena, struct kb_kernel *out,
                    struct kb_complaints *c);
bool kb_kernel_has_op(const struct kb_kernel *kernel, const char *op);
int kb_kernel_variant(const struct kb_kernel *kernel, const char *name); /* -1 if none */
/* Adds the names of the macros in the `defines` of its variants, each once. */
void kb_kernel_macros(const struct kb_kernel *kernel, struct kb_arena *arena,
                      struct kb_strings *out);

/* ---- plans ----------------------------------------------------------------------------
 */

enum kb_arg_kind {
    KB_ARG_TENSOR,  /* `index` of the problem's tensor; null pointer if absent */
    KB_ARG_SCRATCH, /* `index` of the plan's scratch */
    KB_ARG_SCALAR,  /* `bytes` of `value` */
    KB_ARG_TMA      /* a CUtensorMap over tensor `index`: `tma` */
};
struct kb_tma {
    int rank, swizzle_bytes, l2_bytes;
    bool nan_fill;
    /* dimension 0 is the one whose elements are neighbours: strides_bytes[0] is an
     * element's, cuTensorMapEncodeTiled takes the rest */
    int64_t dims[5], strides_bytes[5], box[5];
};
struct kb_arg {
    enum kb_arg_kind kind;
    int index;
    size_t bytes;
    unsigned char value[8];
    struct kb_tma tma;
};
struct kb_launch {
    const char *entry; /* as a C++ name expression, macros and {expressions} replaced */
    int64_t grid[3], block[3], cluster[3]; /* cluster 1,1,1 when there is none */
    size_t smem_bytes;
    bool cooperative, pdl;
    int n_args;
    struct kb_arg args[KB_MAX_ARGS];
};
struct kb_scratch {
    size_t bytes;
    enum kb_scratch_start start;
};
struct kb_plan {
    const struct kb_kernel *kernel;
    const struct kb_variant *variant;
    int n_launches;
    struct kb_launch launches[KB_MAX_LAUNCHES]; /* a grid with a 0 launches nothing */
    int n_scratch;
    struct kb_scratch scratch[KB_MAX_SCRATCH];
    struct kb_strings defines; /* -D macros of op and contract that the code may use,
                                  "KB_T=__nv_bfloat16" */
    /* All entry instantiations of the file for any case of its ops (dtypes x word
     * parameters), this plan's own among them: what the host backend puts in one
     * translation unit. Only this plan's own where the source itself uses the macros. */
    struct kb_strings all_entries;
    bool alone;        /* nothing else of the file is expected: its own entries will do */
    const char *label; /* the case's id, for files and profilers; NULL: of no case */
};

/* Facts of a device that contracts are checked against. */
struct kb_device_limits {
    int64_t sm, sm_count, smem_per_block; /* opt-in limit */
    int64_t max_threads;                  /* per block */
    int64_t max_grid[3], max_block[3];
};

/* KB_UNSUPPORTED with the reason in words when the variant does not take the case here (its
 * `when` is false, dtype or backend not listed, arch mismatch): a SKIP. KB_INPUT when
 * the contract is wrong for it (grid past the device's limits, expression overflow): an
 * ERROR row with reason "contract". */
bool kb_plan_make(const struct kb_kernel *kernel, int variant,
                  const struct kb_problem *problem, const char *backend,
                  const struct kb_device_limits *device, struct kb_arena *arena,
                  struct kb_plan *out, struct kb_err *err);
/* The variant of `like` for another problem of the same op, dtype and words: entries and
 * defines are those of `like`, and the plan's own if they are others. */
bool kb_plan_like(const struct kb_plan *like, const struct kb_problem *problem,
                  const char *backend, const struct kb_device_limits *device,
                  struct kb_arena *arena, struct kb_plan *out, struct kb_err *err);
/* The first variant that plans, or KB_UNSUPPORTED with each one's reason. */
bool kb_plan_default(const struct kb_kernel *kernel, const struct kb_problem *problem,
                     const char *backend, const struct kb_device_limits *device,
                     struct kb_arena *arena, struct kb_plan *out, struct kb_err *err);

/* ---- builds ---------------------------------------------------------------------------
 * A named set of compiler flags. `precise` is "-std=c++17". A macro of the kernel's
 * contract that its flags set (-DKB_THREADS=128) has that value in the contract's
 * expressions, too; "precise+KB_THREADS=128" is precise with that flag. */
struct kb_build {
    const char *name;
    struct kb_strings flags; /* resolved for sm */
    bool fast_math;          /* the op's bound may be fast_math_factor times larger */
    bool from_nvcc;          /* aot, aot-fast-math */
};
/* "precise", "fast-math", "auto" (fast-math below sm_100), "aot", "aot-fast-math" or
 * NAME=FLAGS, each with +MACRO=VALUE behind its name any number of times. `trusted` flags
 * (the user's own command line) are not held against the allow-list. */
bool kb_build_parse(const char *text, bool trusted, struct kb_arena *arena,
                    struct kb_build *out, struct kb_err *err);
void kb_build_resolve(struct kb_build *build, int64_t sm, struct kb_arena *arena);
extern const char *const kb_build_names[]; /* NULL-terminated */
/* How long the name is in what kb_build_parse takes, its macros with it: all but =FLAGS. */
size_t kb_build_label(const char *text);
/* `text` with one macro more, of "NAME=VALUE". */
const char *kb_build_with(const char *text, const char *define, struct kb_arena *arena);
/* "NAME=VALUE" of an identifier and a word that a label can hold. */
bool kb_build_is_define(const char *text);
/* Is it the named build, whatever macros it sets? */
bool kb_build_is(const char *name, const char *named);
/* The kernel with the macros of its contract that the build sets. Variants that lack one
 * are not for such a build. The kernel itself where there are none. */
const struct kb_kernel *kb_kernel_with(const struct kb_kernel *kernel,
                                       const struct kb_build *build,
                                       struct kb_arena *arena);

#endif
