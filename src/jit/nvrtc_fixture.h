/* nvrtc_fixture.h - a compiler, a job over a small source and a cache of its own for each
 * test. Needs the CUDA Toolkit, no driver and no GPU. */
#ifndef KB_JIT_NVRTC_FIXTURE_H
#define KB_JIT_NVRTC_FIXTURE_H

#include "nvrtc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char source[] __attribute__((unused)) =
    "#include <cuda_bf16.h>\n"
    "template <class T, int V> __global__ void scale(T *p) {\n"
    "    p[threadIdx.x] = (T)((float)p[threadIdx.x] * V);\n"
    "}\n"
    "__global__ void plain(int *p) { *p = FILL; }\n";

/* ---- one of everything for each test ---------------------------------------------------
 */

struct fixture {
    struct kb_arena arena;
    struct kb_nvrtc *nvrtc;
    struct kb_kernel kernel;
    struct kb_nvrtc_job job;
    struct kb_nvrtc_result result;
    struct kb_err err;
    struct kb_temp temp;
    const char *root;
};

static inline void set_source(struct fixture *f, const char *text) {
    f->kernel.text = text;
    f->kernel.size = strlen(text);
}

static inline void add_entry(struct fixture *f, const char *entry) {
    kb_strings_add(&f->job.entries, &f->arena, entry);
}

static inline int setup(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    *state = f;
    if (!kb_temp_make(&f->temp, &f->err))
        return -1;
    f->root = f->temp.path;
    setenv("KBENCH_CACHE", kb_arena_printf(&f->arena, "%s/cache", f->root), 1);
    f->kernel.path = kb_arena_printf(&f->arena, "%s/mine.cu", f->root);
    f->kernel.user = true;
    set_source(f, source);
    f->job.kernel = &f->kernel;
    f->job.arch = "sm_90a";
    kb_strings_add(&f->job.defines, &f->arena, "FILL=7");
    kb_strings_add(&f->job.flags, &f->arena, "-std=c++17");
    if (!kb_nvrtc_open(20000, &f->nvrtc, &f->err))
        fail_msg("%s", f->err.msg);
    return 0;
}

static inline int teardown(void **state) {
    struct fixture *f = *state;
    kb_temp_free(&f->temp);
    kb_nvrtc_close(f->nvrtc);
    kb_nvrtc_result_free(&f->result);
    kb_arena_free(&f->arena);
    test_free(f);
    return 0;
}

static inline bool compile(struct fixture *f) {
    kb_nvrtc_result_free(&f->result);
    return kb_nvrtc_compile(f->nvrtc, &f->job, &f->arena, &f->result, &f->err);
}

static inline void expect_compiles(struct fixture *f) {
    if (!compile(f))
        fail_msg("%s\n%s", f->err.msg, kb_buf_text(&f->result.log));
    assert_true(f->result.cubin.len > 64);
    assert_memory_equal(f->result.cubin.data, "\177ELF", 4);
}

static inline void expect_error(struct fixture *f, const char *want) {
    assert_false(compile(f));
    assert_int_equal(f->err.kind, KB_BUILD);
    if (!strstr(f->err.msg, want))
        fail_msg("message is \"%s\", wanted \"%s\"", f->err.msg, want);
    assert_null(strchr(f->err.msg, '\n'));
}

static inline void write_file(struct fixture *f, const char *name, const char *text) {
    const char *path = kb_arena_printf(&f->arena, "%s/%s", f->root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && kb_write_all(fd, text, strlen(text)));
    close(fd);
}

#endif
