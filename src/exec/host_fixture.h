/* host_fixture.h - for tests of the host backend: the kernels of kernels/host/tests/simt.cu
 * through build and run, with plans made by hand. Lines that a report must name are found
 * by their `@name`. Built runners stay in a cache beside the tests, so that only a change
 * compiles. */
#ifndef KB_EXEC_HOST_FIXTURE_H
#define KB_EXEC_HOST_FIXTURE_H

#include "exec.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Not every test uses every part. */
#pragma GCC diagnostic ignored "-Wunused-function"

static const char source_path[] = "kernels/host/tests/simt.cu",
                  wrong_path[] = "kernels/host/tests/simt_wrong.cuh";

static const char *const entries[] = {
    "indices",
    "collectives",
    "short_warp",
    "shuffle_from_nobody",
    "mask_without_me",
    "atomics",
    "spin",
    "shared",
    "poisoned",
    "too_much_shared",
    "hooks",
    "matrices",
    "maths",
    "halves",
    "orders",
    "conversions",
    "silu_like",
    "keeps_count",
    "waits",
    "waits_by_ptx",
    "waits_by_runtime",
    "never_waits",
    "turns",
    "read_at",
    "write_at",
    "shared_at",
    "shift",
    "misaligned",
    "missing_barrier",
    "warp_barrier",
    "handed_over",
    "divergent",
    "half_a_warp",
    "early_exit",
    "null_write",
    "overflow",
    "divide",
    "forever",
    "trapped",
    "asserted",
    "prints",
    "ptx",
    "three_arguments",
    "exits",
    "floods",
    "floods_forever",
    "forks",
    "closes",
    "writes_everywhere",
    "writes_reply",
};

/* ---- the rig ----------------------------------------------------------------------- */

struct rig {
    const char *sanitize;
    struct kb_device *device;
    struct kb_code *code;
};
static struct rig plain, address = {.sanitize = "address,undefined"},
                         thread = {.sanitize = "thread"};
static struct kb_buf source, marked; /* the .cu, and its part that has the marks */
static struct kb_arena arena;
static struct kb_kernel kernel;
static const struct kb_build precise = {.name = "precise"};

static struct kb_strings build_flags(void) {
    struct kb_strings flags = {0};
    kb_strings_add(&flags, &arena, "-std=c++17");
    return flags;
}

/* A plan of one launch; arguments are added by the functions below. */
static struct kb_plan plan_for(const char *entry, int64_t grid, int64_t block) {
    struct kb_plan plan = {.kernel = &kernel, .n_launches = 1};
    for (size_t i = 0; i < KB_COUNT(entries); i++)
        kb_strings_add(&plan.all_entries, &arena, entries[i]);
    plan.launches[0] = (struct kb_launch){
        .entry = entry,
        .grid = {grid, 1, 1},
        .block = {block, 1, 1},
        .cluster = {1, 1, 1},
    };
    return plan;
}

static void add_tensor(struct kb_plan *plan, int index) {
    struct kb_launch *l = &plan->launches[0];
    l->args[l->n_args++] = (struct kb_arg){.kind = KB_ARG_TENSOR, .index = index};
}

static void add_scalar(struct kb_plan *plan, const void *value, size_t bytes) {
    struct kb_launch *l = &plan->launches[0];
    struct kb_arg *arg = &l->args[l->n_args++];
    *arg = (struct kb_arg){.kind = KB_ARG_SCALAR, .bytes = bytes};
    memcpy(arg->value, value, bytes);
}

static void add_int(struct kb_plan *plan, int value) {
    add_scalar(plan, &value, sizeof value);
}

static struct rig *opened(struct rig *r) {
    if (r->device)
        return r;
    struct kb_exec_options options = {.sanitize = r->sanitize, .launch_ms = 20000};
    struct kb_plan plan = plan_for("indices", 1, 1);
    struct kb_build build = precise;
    struct kb_code_info info;
    struct kb_err err = {0};
    build.flags = build_flags();
    if (!kb_host.open(0, &options, &r->device, &err) ||
        !kb_host.build(r->device, &plan, &build, &r->code, &info, &err))
        fail_msg("%s", err.msg);
    return r;
}

/* A slab of up to four tensors, zeroed. */
static struct kb_slab slab_of(size_t a, size_t b, size_t c) {
    struct kb_slab slab = {0};
    struct kb_err err = {0};
    const size_t bytes[] = {a, b, c};
    assert_true(kb_slab_make(&slab, KB_SLAB_SHARED, 3, bytes, 0, &err));
    for (int i = 0; i < 3; i++)
        memset(kb_slab_at(&slab, i), 0, bytes[i]);
    return slab;
}

struct outcome {
    bool ok;
    struct kb_run_result result;
    struct kb_err err;
};

static struct outcome run_with(struct rig *r, const struct kb_plan *plan,
                               struct kb_slab *slab, const struct kb_run_options *options) {
    struct outcome o = {0};
    opened(r);
    o.ok = kb_host.run(r->device, r->code, plan, slab, options, &o.result, &o.err);
    return o;
}

static struct outcome run(struct rig *r, const struct kb_plan *plan, struct kb_slab *slab) {
    const struct kb_run_options options = {0};
    return run_with(r, plan, slab, &options);
}

/* One tensor of 4 KiB and some ints; the usual shape of the small ones below. */
static struct outcome run_small(struct rig *r, const char *entry, int64_t block, int n_ints,
                                ...) {
    struct kb_slab slab = slab_of(4096, 0, 0);
    struct kb_plan plan = plan_for(entry, 1, block);
    va_list ints;
    add_tensor(&plan, 0);
    va_start(ints, n_ints);
    for (int i = 0; i < n_ints; i++)
        add_int(&plan, va_arg(ints, int));
    va_end(ints);
    struct outcome o = run(r, &plan, &slab);
    kb_slab_free(&slab);
    return o;
}

static bool by_clang(struct rig *r) {
    return strstr(kb_host.info(opened(r)->device)->compiler, "clang") != NULL;
}

/* "simt_wrong.cuh:LINE" of the line with "@mark". */
static const char *place(const char *mark) {
    const char *at = strstr(marked.data, kb_arena_printf(&arena, "@%s\n", mark));
    int line = 1;
    assert_non_null(at);
    for (const char *p = marked.data; p < at; p++)
        line += *p == '\n';
    return kb_arena_printf(&arena, "simt_wrong.cuh:%d", line);
}

static void assert_has(const char *text, const char *wanted) {
    if (!strstr(text, wanted))
        fail_msg("\"%s\" is not in \"%s\"", wanted, text);
}

static void assert_clean(const struct outcome *o) {
    if (!o->ok)
        fail_msg("%s: %s", kb_err_word(o->err.kind), o->err.msg);
    if (o->result.finding != KB_FOUND_NOTHING || *o->result.warning)
        fail_msg("finding \"%s\", warning \"%s\"", o->result.text, o->result.warning);
}

static void assert_crash(const struct outcome *o, const char *wanted) {
    assert_false(o->ok);
    assert_has(o->err.msg, wanted);
    assert_int_equal(o->err.kind, KB_CRASH);
}

/* A kernel that counts its errors in tensor 0, through all thread orders. */
static void check_kernel(struct rig *r, struct kb_plan *plan, struct kb_slab *slab) {
    for (uint64_t seed = 0; seed < 4; seed++) {
        const struct kb_run_options options = {.schedule_seed = seed};
        const int *errors = kb_slab_at(slab, 0);
        struct outcome o = run_with(r, plan, slab, &options);
        assert_clean(&o);
        if (errors[0])
            fail_msg("%s, seed %d: %d errors, the first at line %d of its file",
                     plan->launches[0].entry, (int)seed, errors[0], errors[1]);
        struct kb_guard_hit hit;
        assert_int_equal(kb_slab_guards(slab, &hit, 1), 0);
    }
}

static void check_simple(struct rig *r, const char *entry, int64_t block) {
    struct kb_slab slab = slab_of(8, 0, 0);
    struct kb_plan plan = plan_for(entry, 3, block);
    add_tensor(&plan, 0);
    check_kernel(r, &plan, &slab);
    kb_slab_free(&slab);
}

static void assert_finding(const struct outcome *o, enum kb_finding finding,
                           const char *const *wanted) {
    if (!o->ok)
        fail_msg("%s: %s", kb_err_word(o->err.kind), o->err.msg);
    for (; *wanted; wanted++)
        assert_has(o->result.text, *wanted);
    assert_int_equal(o->result.finding, finding);
}
#define WANTED(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- set-up -------------------------------------------------------------------------- */

static int set_up(void **state) {
    (void)state;
    struct kb_err err = {0};
    signal(SIGPIPE, SIG_IGN);
    setenv("KBENCH_CACHE", kb_arena_printf(&arena, "%s/host-test-cache", kb_exe_folder()),
           1);
    if (!kb_file_read(source_path, KB_FILE_MAX, &source, &err) ||
        !kb_file_read(wrong_path, KB_FILE_MAX, &marked, &err)) {
        print_error("%s (tests run in the checkout)\n", err.msg);
        return -1;
    }
    kernel = (struct kb_kernel){
        .path = source_path,
        .name = "simt.cu",
        .text = source.data,
        .size = source.len,
        .user = true,
        .source_hash = kb_hash_of(source.data, source.len),
    };
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    struct rig *const rigs[] = {&plain, &address, &thread};
    for (size_t i = 0; i < KB_COUNT(rigs); i++) {
        if (!rigs[i]->device)
            continue;
        kb_host.unload(rigs[i]->device, rigs[i]->code);
        kb_host.close(rigs[i]->device);
    }
    kb_buf_free(&source);
    kb_buf_free(&marked);
    kb_arena_free(&arena);
    return 0;
}

#endif
