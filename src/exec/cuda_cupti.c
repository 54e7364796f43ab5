/* cuda_cupti.c - a trace of kernels by CUPTI: its buffers, its records, in order. */
#include "cuda_cupti.h"

#include "jit.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 256 << 10, BUFFER_ALIGN = 8, FORCED = 1, MAX_KEPT = 1 << 16 };

static const int kinds[] = {KB_CUPTI_KERNEL, KB_CUPTI_MEMSET};

/* CUPTI knows one client in a process and hands its callbacks nothing of ours, so what they
 * fill cannot be in a struct that somebody owns. They may run on threads of CUPTI's. */
static struct {
    pthread_mutex_t lock;
    const struct kb_cupti *cupti;
    struct kb_cupti_span *spans;
    int n;
    bool lost; /* more than are kept */
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the library -----------------------------------------------------------------------
 */

static bool find(void *library, const char *symbol, void *function) {
    void *address = dlsym(library, symbol);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

bool kb_cupti_load_from(const char *const *names, struct kb_cupti *out,
                        struct kb_err *err) {
    void *library = NULL;
    const char *missing = NULL;
    *out = (struct kb_cupti){0};
    for (; *names && !library; names++)
        library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return kb_fail(err, KB_UNSUPPORTED,
                       "libcupti.so not found: it comes with the CUDA Toolkit, and "
                       "LD_LIBRARY_PATH may name its folder");
#define X(name, symbol, args)                                                              \
    if (!find(library, symbol, &out->name))                                                \
        missing = symbol;
    KB_CUPTI_FUNCTIONS(X)
#undef X
    if (missing)
        return kb_fail(err, KB_UNSUPPORTED, "libcupti.so is too old: it has no %s",
                       missing);
    out->there = true;
    return true;
}

bool kb_cupti_load(struct kb_cupti *out, struct kb_err *err) {
    static const char *const folders[] = {"lib64", "lib", "extras/CUPTI/lib64"};
    static const char *const files[] = {"libcupti.so.13", "libcupti.so.12", "libcupti.so"};
    const char *names[KB_COUNT(files) + KB_COUNT(folders) + 1];
    const char *home = kb_cuda_home();
    struct kb_arena arena = {0};
    size_t n = 0;
    for (size_t i = 0; i < KB_COUNT(files); i++)
        names[n++] = files[i];
    for (size_t i = 0; i < KB_COUNT(folders) && home; i++)
        names[n++] = kb_arena_printf(&arena, "%s/%s/libcupti.so", home, folders[i]);
    names[n] = NULL;
    bool ok = kb_cupti_load_from(names, out, err);
    kb_arena_free(&arena);
    return ok;
}

static bool fail(const struct kb_cupti *cupti, int rc, struct kb_err *err) {
    const char *words = NULL;
    if (cupti->GetResultString(rc, &words) || !words)
        words = "unknown to it";
    return kb_fail(err, KB_UNSUPPORTED, "CUPTI: %s (%d)", words, rc);
}

/* ---- records ---------------------------------------------------------------------------
 */

static void add_span(uint64_t start_ns, uint64_t end_ns) {
    if (trace.n == MAX_KEPT) {
        trace.lost = true;
        return;
    }
    trace.spans[trace.n++] = (struct kb_cupti_span){start_ns, end_ns};
}

static void read_record(const void *record) {
    uint32_t kind;
    memcpy(&kind, record, sizeof kind);
    if (kind == KB_CUPTI_KERNEL) {
        struct kb_cupti_kernel kernel;
        memcpy(&kernel, record, sizeof kernel);
        add_span(kernel.start_ns, kernel.end_ns);
    } else if (kind == KB_CUPTI_MEMSET) {
        struct kb_cupti_memset memset_record;
        memcpy(&memset_record, record, sizeof memset_record);
        add_span(memset_record.start_ns, memset_record.end_ns);
    }
}

static void give_buffer(uint8_t **buffer, size_t *size, size_t *max_records) {
    *buffer = aligned_alloc(BUFFER_ALIGN, BUFFER_BYTES);
    *size = *buffer ? BUFFER_BYTES : 0; /* CUPTI drops records where there is none */
    *max_records = 0;
}

static void take_buffer(void *context, uint32_t stream, uint8_t *buffer, size_t size,
                        size_t valid) {
    void *record = NULL;
    (void)context, (void)stream, (void)size;
    pthread_mutex_lock(&trace.lock);
    while (trace.cupti && valid > 0 &&
           trace.cupti->ActivityGetNextRecord(buffer, valid, &record) == 0)
        read_record(record);
    pthread_mutex_unlock(&trace.lock);
    free(buffer);
}

static void forget(const struct kb_cupti *cupti) {
    pthread_mutex_lock(&trace.lock);
    trace.cupti = cupti;
    trace.n = 0;
    trace.lost = false;
    if (cupti && !trace.spans)
        trace.spans = malloc(MAX_KEPT * sizeof *trace.spans);
    if (cupti && !trace.spans)
        kb_out_of_memory();
    if (!cupti) {
        free(trace.spans);
        trace.spans = NULL;
    }
    pthread_mutex_unlock(&trace.lock);
}

/* ---- tracing ---------------------------------------------------------------------------
 */

bool kb_cupti_start(struct kb_cupti *cupti, struct kb_err *err) {
    forget(cupti);
    int rc = cupti->ActivityRegisterCallbacks(give_buffer, take_buffer);
    for (size_t i = 0; i < KB_COUNT(kinds) && !rc; i++)
        rc = cupti->ActivityEnable(kinds[i]);
    cupti->traced = true;
    if (!rc)
        return true;
    kb_cupti_stop(cupti);
    return fail(cupti, rc, err);
}

void kb_cupti_stop(struct kb_cupti *cupti) {
    if (!cupti->traced)
        return;
    for (size_t i = 0; i < KB_COUNT(kinds); i++)
        cupti->ActivityDisable(kinds[i]);
    cupti->ActivityFlushAll(FORCED); /* buffers that it holds come back */
    cupti->Finalize();
    cupti->traced = false;
    forget(NULL);
}

static int by_start(const void *a, const void *b) {
    const struct kb_cupti_span *x = a, *y = b;
    return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

bool kb_cupti_take(struct kb_cupti *cupti, struct kb_cupti_span *spans, int max, int *n,
                   struct kb_err *err) {
    int rc = cupti->ActivityFlushAll(FORCED);
    if (rc)
        return fail(cupti, rc, err);
    pthread_mutex_lock(&trace.lock);
    bool lost = trace.lost;
    *n = trace.n;
    qsort(trace.spans, (size_t)trace.n, sizeof *trace.spans, by_start);
    for (int i = 0; i < trace.n && i < max; i++)
        spans[i] = trace.spans[i];
    trace.n = 0;
    trace.lost = false;
    pthread_mutex_unlock(&trace.lock);
    return !lost || max == 0 ||
           kb_fail(err, KB_UNSUPPORTED, "CUPTI: more records than are kept");
}
