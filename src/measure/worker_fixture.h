/* worker_fixture.h - kernels of all kinds, a cache of their own and a worker, for tests of
 * what happens to a case. The test's executable is the worker, too. */
#ifndef KB_WORKER_FIXTURE_H
#define KB_WORKER_FIXTURE_H

#include "run.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* silu over [tokens, hidden], four elements to a block, right but for one thing each. */
static const struct {
    const char *name, *when;
} variants[] = {
    {"good", NULL},
    {"wrong", NULL},
    {"past", NULL},
    {"before", NULL},
    {"clobber", NULL},
    {"tail", NULL},
    {"order", NULL},
    {"crash", NULL},
    {"hang", NULL},
    {"leave", NULL},
    {"flood", NULL},
    {"deadlock", NULL},
    {"far", NULL},
    {"wide", "hidden > 1000000"},
    {"zero", "hidden / 0 == 0"},
};

static const char kernel_text[] =
    "#include \"kb.cuh\"\n"
    "enum { good, wrong, past, before, clobber, tail, order, crash, hang, leave, flood,\n"
    "       deadlock, far };\n"
    "extern \"C\" void exit(int);\n"
    "extern \"C\" long write(int, const void *, unsigned long);\n"
    "template <int kFault>\n"
    "__global__ void silu(const __nv_bfloat16 *in, __nv_bfloat16 *out, long long tokens,\n"
    "                     long long hidden) {\n"
    "    long long i = (long long)blockIdx.x * 4 + threadIdx.x, n = tokens * hidden;\n"
    "    if (kFault == crash && i == 2)\n"
    "        *(volatile int *)16 = 1;\n"
    "    if (kFault == hang && i == 0)\n"
    "        for (volatile int turns = 0;; turns = 1 - turns) {}\n"
    "    if (kFault == leave && i == 0)\n"
    "        exit(0);\n"
    "    if (kFault == flood && i == 0)\n"
    "        for (int k = 0; k < 30000; k++)\n"
    "            write(2, \"all work and no play makes a dull kernel, and it says "
    "so\\n\",\n"
    "                  57);\n"
    "    if (kFault == deadlock && threadIdx.x == 0)\n"
    "        __syncthreads();\n"
    "    if (kFault == deadlock && threadIdx.x != 0)\n"
    "        __syncwarp(0xf);\n"
    "    if (i >= n)\n"
    "        return;\n"
    "    if (kFault == order && threadIdx.x == 0 && i + 4 < n)\n"
    "        out[i + 4] = in[0];\n"
    "    if (kFault == past && i == 0)\n"
    "        out[n] = in[0];\n"
    "    if (kFault == far && i == 0)\n"
    "        out[n + 10] = in[0];\n"
    "    if (kFault == before && i == 0)\n"
    "        out[-1] = in[0];\n"
    "    if (kFault == clobber && i == 1)\n"
    "        ((unsigned short *)in)[5] ^= 1;\n"
    "    if (kFault == tail && i >= n - 3)\n"
    "        return;\n"
    "    long long row = i / hidden, column = i % hidden;\n"
    "    float x = to_f32(in[row * 2 * hidden + column]);\n"
    "    float up = to_f32(in[row * 2 * hidden + hidden + column]);\n"
    "    float y = x / (1.0f + expf(-x)) * up;\n"
    "    if (kFault == wrong && i == 40)\n"
    "        y = y * 1.1f + 0.1f;\n"
    "    out[i] = from_f32<__nv_bfloat16>(y);\n"
    "}\n";

struct fixture {
    struct kb_temp temp;
    const char *folder;         /* its path */
    const char *kernel, *other; /* the file above, and one that a test writes */
    struct kb_worker *worker;
    struct kb_arena arena;
    struct kb_row row;
    struct kb_err err;
};

static void write_text(const char *path, const char *text) {
    struct kb_err err = {0};

    if (!kb_file_replace(path, text, strlen(text), &err))
        fail_msg("%s", err.msg);
}

static void write_kernels(const char *path) {
    struct kb_buf text = {0};

    kb_buf_puts(&text, "/* kbench\n{ \"ops\": [\"silu\"], \"dtypes\": [\"bf16\"],\n");
    kb_buf_puts(&text, "\"let\": { \"elements\": \"tokens * hidden\" }, \"variants\": {\n");
    for (size_t i = 0; i < KB_COUNT(variants); i++) {
        const char *name = variants[i].name, *when = variants[i].when;
        kb_buf_printf(&text, "%s\"%s\": { \"entry\": \"silu<%s>\", \"when\": \"%s\",\n",
                      i ? ",\n" : "", name, when ? "good" : name,
                      when ? when : "tokens >= 0");
        kb_buf_puts(&text, "\"grid\": \"ceil_div(elements, 4)\", \"block\": 4, \"args\": "
                           "[\"input\", \"out\", \"i64 tokens\", \"i64 hidden\"] }");
    }
    kb_buf_puts(&text, "} }\n*/\n");
    kb_buf_puts(&text, kernel_text);
    write_text(path, text.data);
    kb_buf_free(&text);
}

/* A folder with the kernels and an empty cache, which the workers inherit. */
static int open_folder(void **state) {
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_true(kb_temp_make(&f->temp, &f->err));
    f->folder = f->temp.path;
    f->kernel = kb_arena_printf(&f->arena, "%s/mine.cu", f->folder);
    f->other = kb_arena_printf(&f->arena, "%s/other.cu", f->folder);
    write_kernels(f->kernel);
    const char *cache = kb_arena_printf(&f->arena, "%s/cache", f->folder);
    assert_int_equal(setenv("KBENCH_CACHE", cache, 1), 0);
    assert_int_equal(setenv("TMPDIR", f->folder, 1), 0);
    signal(SIGPIPE, SIG_IGN);
    *state = f;
    return 0;
}

static int remove_folder(void **state) {
    struct fixture *f = *state;

    kb_worker_end(f->worker);
    kb_temp_free(&f->temp);
    kb_arena_free(&f->arena);
    free(f);
    return 0;
}

/* ---- a worker ---------------------------------------------------------------------- */

static void start_worker(struct fixture *f, const struct kb_exec_options *exec) {
    const struct kb_worker_options options = {.backend = "host", .exec = *exec};

    kb_worker_end(f->worker);
    f->worker = NULL;
    if (!kb_worker_start(&options, &f->worker, &f->err))
        fail_msg("%s", f->err.msg);
}

static struct kb_job job_of(const struct fixture *f, const char *variant) {
    return (struct kb_job){
        .case_id = "silu/7x16/bf16",
        .kernel = f->kernel,
        .variant = variant,
        .build = "precise",
        .mode = KB_CHECK,
        .seed = 1,
    };
}

static const struct kb_row *run_job(struct fixture *f, const struct kb_job *job,
                                    int64_t timeout_ms) {
    if (!kb_worker_run(f->worker, job, timeout_ms, &f->arena, &f->row, &f->err))
        fail_msg("%s", f->err.msg);
    return &f->row;
}

static const struct kb_row *run_variant(struct fixture *f, const char *variant) {
    const struct kb_job job = job_of(f, variant);

    return run_job(f, &job, 0); /* as its work says */
}

static void assert_reason(const struct kb_row *row, enum kb_reason reason,
                          const char *text) {
    if (row->reason != reason)
        fail_msg("%s: %s", kb_reason_word(row->reason), row->text ? row->text : "-");
    if (text && !strstr(row->text, text))
        fail_msg("\"%s\" does not say \"%s\"", row->text, text);
}

static void assert_good_passes(struct fixture *f) {
    assert_reason(run_variant(f, "good"), KB_R_NONE, NULL);
    assert_true(f->row.checked);
    assert_int_equal(f->row.orders, 3);
}

/* main() of such a test: a worker if it is asked to be one, else 0 to go on. */
static bool is_worker(int argc, char **argv, int *status) {
    if (argc != 3 || !kb_streq(argv[1], "--worker"))
        return false;
    *status = kb_streq(argv[2], "nvrtc") ? kb_nvrtc_worker_main() : kb_case_worker_main();
    return true;
}

#endif
