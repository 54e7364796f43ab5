/* contract.c - a kernel file as text: its contract is taken or complained about, and what
 * was taken comes to plans within the limits of the device, or says why not. */
#include "fuzz.h"
#include "kernel/parts.h"

#include <ctype.h>

static const char path[] = "fuzz.cu";

static const struct kb_device_limits devices[] = {
    {.sm = 80,
     .sm_count = 108,
     .smem_per_block = 166912,
     .max_threads = 1024,
     .max_grid = {2147483647, 65535, 65535},
     .max_block = {1024, 1024, 64}},
    {.sm = 90,
     .sm_count = 132,
     .smem_per_block = 232448,
     .max_threads = 1024,
     .max_grid = {2147483647, 65535, 65535},
     .max_block = {1024, 1024, 64}},
};
static const char *const backends[] = {"cuda", "host"};

/* ---- complaints: each at a place that there is -----------------------------------------
 */

static void want_complaints(const struct kb_complaints *c, const char *text) {
    long lines = 1;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    if (c->count < 1 || !c->text.len)
        DISAGREE("refused without a complaint");
    want_clean(c->text.data, c->text.len, true);
    for (const char *at = c->text.data; *at; at = strchr(at, '\n') + 1) {
        if (strncmp(at, path, strlen(path)) != 0)
            continue;
        const char *number = at + strlen(path);
        if (*number == ':' && isdigit((unsigned char)number[1]) &&
            strtol(number + 1, NULL, 10) > lines)
            DISAGREE("past the last line: %s", at);
    }
}

/* ---- contracts -------------------------------------------------------------------------
 */

static bool has_arg(const struct kb_variant *v, const char *tensor) {
    struct kb_buf quoted = {0};
    bool found = false;
    kb_buf_printf(&quoted, "\"tma\":\"%s\"", tensor);
    for (int l = 0; l < v->n_launches; l++)
        for (int i = 0; i < v->launches[l].n_args; i++) {
            const char *arg = v->launches[l].args[i];
            found = found || kb_streq(arg, tensor) ||
                    (kb_starts_with(arg, "tma ") && strstr(arg, quoted.data));
        }
    kb_buf_free(&quoted);
    return found;
}

static void want_variant(const struct kb_kernel *kernel, int index,
                         const struct kb_sample *sample) {
    const struct kb_variant *v = &kernel->variants[index];
    if (!v->name || !*v->name || kb_kernel_variant(kernel, v->name) != index)
        DISAGREE("variant %d has no name of its own", index);
    if (v->n_launches < 1 || v->n_launches > KB_MAX_LAUNCHES)
        DISAGREE("%s has %d launches", v->name, v->n_launches);
    for (int l = 0; l < v->n_launches; l++) {
        const struct kb_launch_text *launch = &v->launches[l];
        if (!launch->entry || !launch->grid[0] || !launch->block[0] || launch->n_args < 0 ||
            launch->n_args > KB_MAX_ARGS)
            DISAGREE("%s lacks entry, grid or block", v->name);
    }
    for (int t = 0; t < sample->problem.n_tensors; t++) {
        const struct kb_tensor_spec *tensor = &sample->problem.tensors[t];
        if (tensor->role != KB_IN && !tensor->absent && !has_arg(v, tensor->name))
            DISAGREE("%s does not pass the output %s", v->name, tensor->name);
    }
}

/* ---- plans -----------------------------------------------------------------------------
 */

static void want_launch(const struct kb_plan *plan, const struct kb_problem *problem,
                        const struct kb_device_limits *device,
                        const struct kb_launch *launch) {
    int64_t threads = 1, blocks = 1;
    for (int i = 0; i < 3; i++) {
        if (launch->grid[i] < 0 || launch->grid[i] > device->max_grid[i] ||
            launch->block[i] < 1 || launch->block[i] > device->max_block[i] ||
            launch->cluster[i] < 1 || launch->grid[i] % launch->cluster[i])
            DISAGREE("%s: grid, block or cluster is past a limit", launch->entry);
        threads *= launch->block[i];
        blocks *= launch->cluster[i];
    }
    if (threads > device->max_threads || blocks > 16 || !*launch->entry ||
        launch->smem_bytes > (size_t)device->smem_per_block)
        DISAGREE("%s is past a limit", launch->entry);
    for (int i = 0; i < launch->n_args; i++) {
        const struct kb_arg *arg = &launch->args[i];
        bool scratch = arg->kind == KB_ARG_SCRATCH;
        int n = scratch ? plan->n_scratch : problem->n_tensors;
        if (arg->kind != KB_ARG_SCALAR && (arg->index < 0 || arg->index >= n))
            DISAGREE("%s: argument %d is of nothing", launch->entry, i);
        if (arg->kind == KB_ARG_SCALAR && arg->bytes != 4 && arg->bytes != 8)
            DISAGREE("%s: argument %d has %zu bytes", launch->entry, i, arg->bytes);
    }
}

/* What a descriptor spans lies within its tensor. */
static void want_tma(const struct kb_problem *problem, const struct kb_arg *arg) {
    const struct kb_tensor_spec *tensor = &problem->tensors[arg->index];
    const struct kb_tma *tma = &arg->tma;
    size_t each = kb_dtype_bytes(tensor->dtype);
    __int128 last = 0;
    if (tma->rank < 1 || tma->rank > 5)
        DISAGREE("a descriptor of rank %d", tma->rank);
    for (int i = 0; i < tma->rank; i++)
        last += (__int128)(tma->dims[i] - 1) * tma->strides_bytes[i];
    if (last + (__int128)each > (__int128)tensor->elements * (__int128)each)
        DISAGREE("a descriptor reaches past %s", tensor->name);
}

static void want_plan(const struct kb_kernel *kernel, int variant,
                      const struct kb_sample *sample, const char *backend,
                      const struct kb_device_limits *device) {
    struct kb_arena arena = {0};
    struct kb_err err = {0};
    static struct kb_plan plan;
    memset(&plan, 0, sizeof plan);
    if (!kb_plan_make(kernel, variant, &sample->problem, backend, device, &arena, &plan,
                      &err)) {
        want_message(&err);
        if (err.kind != KB_UNSUPPORTED && err.kind != KB_INPUT)
            DISAGREE("an error of kind %s: %s", kb_err_word(err.kind), err.msg);
        kb_arena_free(&arena);
        return;
    }
    for (int l = 0; l < plan.n_launches; l++) {
        const struct kb_launch *launch = &plan.launches[l];
        want_launch(&plan, &sample->problem, device, launch);
        for (int i = 0; i < launch->n_args; i++)
            if (launch->args[i].kind == KB_ARG_TMA)
                want_tma(&sample->problem, &launch->args[i]);
        if (kb_streq(backend, "host") && !kb_strings_has(&plan.all_entries, launch->entry))
            DISAGREE("%s is not among the file's entries", launch->entry);
    }
    kb_arena_free(&arena);
}

static void want_kernel(const struct kb_kernel *kernel) {
    static struct kb_sample sample;
    if (!kernel->ops.count || kernel->n_variants < 1 ||
        kernel->n_variants > KB_MAX_VARIANTS)
        DISAGREE("%zu ops, %d variants", kernel->ops.count, kernel->n_variants);
    for (size_t o = 0; o < kernel->ops.count; o++) {
        memset(&sample, 0, sizeof sample);
        kb_sample_make(&sample, kb_op_find(kernel->ops.items[o]));
        for (int v = 0; v < kernel->n_variants; v++) {
            want_variant(kernel, v, &sample);
            for (size_t d = 0; d < KB_COUNT(devices); d++)
                want_plan(kernel, v, &sample, backends[d], &devices[d]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = text_of(data, size);
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    static struct kb_kernel kernel;
    if (kb_kernel_parse(path, text, size, "given", &arena, &kernel, &complaints))
        want_kernel(&kernel);
    else
        want_complaints(&complaints, text);
    kb_complaints_free(&complaints);
    kb_arena_free(&arena);
    free(text);
    return 0;
}
