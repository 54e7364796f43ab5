/* job_test.c - jobs, worker options and hellos on their way between a worker and its
 * parent: what goes in comes out, and what is missing is named. */
#include "hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct kb_job full_job = {
    .case_id = "silu/83x1024/bf16/round=act",
    .tags = "ci,full",
    .origin = "a \"file\"\n.json:12",
    .tolerance = {KB_TOL_GIVEN, 0.1, 1e-300},
    .kernel = "/tmp/my kernel.cu",
    .variant = "vec16",
    .build = "mine=-O3 -DX=1",
    .trusted_flags = true,
    .mode = KB_BENCH,
    .seed = UINT64_MAX,
    .methods = 1u << KB_COLD | 1u << KB_PDL,
    .precision = 0.1 + 0.2, /* needs all of 17 digits */
    .max_time_s = 1.5,
    .sets = 12,
    .duty = 0.35,
    .time_failing = true,
    .energy = true,
    .samples = "/tmp/my samples.csv",
    .sample_rows = (INT64_C(1) << 53) + 1,
    .single = true,
    .loaded_only = true,
    .one_run = true,
    .compared = 144,
    .load = "/tmp/my inputs.safetensors",
    .dump = "folder",
    .kbench = "0.1.0 9ab2c1f",
    .repeat_options = "--host-sm 100",
};

static void assert_same_text(const char *a, const char *b) {
    if (!a || !b)
        assert_ptr_equal(a, b);
    else
        assert_string_equal(a, b);
}

static void assert_same_job(const struct kb_job *a, const struct kb_job *b) {
    assert_string_equal(a->case_id, b->case_id);
    assert_same_text(a->tags, b->tags);
    assert_same_text(a->origin, b->origin);
    assert_int_equal(a->tolerance.rule, b->tolerance.rule);
    assert_true(a->tolerance.atol == b->tolerance.atol);
    assert_true(a->tolerance.rtol == b->tolerance.rtol);
    assert_same_text(a->kernel, b->kernel);
    assert_same_text(a->variant, b->variant);
    assert_string_equal(a->build, b->build);
    assert_int_equal(a->trusted_flags, b->trusted_flags);
    assert_int_equal(a->mode, b->mode);
    assert_true(a->seed == b->seed);
    assert_int_equal(a->methods, b->methods);
    assert_true(a->precision == b->precision);
    assert_true(a->max_time_s == b->max_time_s);
    assert_int_equal(a->sets, b->sets);
    assert_true(a->duty == b->duty);
    assert_int_equal(a->time_failing, b->time_failing);
    assert_int_equal(a->energy, b->energy);
    assert_same_text(a->samples, b->samples);
    assert_true(a->sample_rows == b->sample_rows);
    assert_int_equal(a->single, b->single);
    assert_int_equal(a->loaded_only, b->loaded_only);
    assert_int_equal(a->one_run, b->one_run);
    assert_true(a->compared == b->compared);
    assert_same_text(a->load, b->load);
    assert_same_text(a->dump, b->dump);
    assert_same_text(a->kbench, b->kbench);
    assert_same_text(a->repeat_options, b->repeat_options);
}

static void check_job(const struct kb_job *job) {
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_err err = {0};
    struct kb_job back;

    kb_job_print(job, &text);
    if (!kb_job_parse(text.data, text.len, &arena, &back, &err))
        fail_msg("%s", err.msg);
    assert_same_job(job, &back);
    kb_buf_free(&text);
    kb_arena_free(&arena);
}

static void every_field_of_a_job_comes_back(void **state) {
    (void)state;
    check_job(&full_job);
}

static void a_job_of_defaults_comes_back(void **state) {
    (void)state;
    const struct kb_job job = {.case_id = "silu/7x16/bf16", .build = "precise"};
    check_job(&job);
}

static void every_mode_word_reads_back(void **state) {
    (void)state;
    for (int mode = KB_LIST; mode <= KB_BENCH; mode++) {
        enum kb_mode back;
        assert_true(kb_mode_parse(kb_mode_word((enum kb_mode)mode), &back));
        assert_int_equal(back, mode);
    }
    enum kb_mode untouched = KB_CHECK;
    assert_false(kb_mode_parse("benchmark", &untouched));
    assert_int_equal(untouched, KB_CHECK);
}

/* ---- what is missing --------------------------------------------------------------- */

static bool read_job(const char *text, size_t size, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_job job;
    bool ok = kb_job_parse(text, size, &arena, &job, err);

    kb_arena_free(&arena);
    return ok;
}

static bool read_options(const char *text, size_t size, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_worker_options options;
    bool ok = kb_worker_options_parse(text, size, &arena, &options, err);

    kb_arena_free(&arena);
    return ok;
}

static bool read_hello(const char *text, size_t size, struct kb_err *err) {
    struct kb_device_info info;

    return kb_hello_parse(text, size, &info, err);
}

/* Without each of its fields in turn, and with each of another kind, `text` must be
 * refused, and the field named. `optional` fields are only held to the second. */
static void check_fields(const struct kb_buf *text, const char *optional,
                         bool (*read)(const char *, size_t, struct kb_err *)) {
    cJSON *root = cJSON_Parse(text->data);

    assert_non_null(root);
    for (cJSON *item = root->child; item; item = item->next) {
        for (int absent = 0; absent < 2; absent++) {
            char quoted[64], *name = item->string, other[] = "other";
            struct kb_buf spoilt = {0};
            struct kb_err err = {0};
            int type = item->type;
            if (absent && strstr(optional, name))
                continue;
            item->string = absent ? other : name;
            item->type = absent ? type : cJSON_Object;
            kb_json_print(root, &spoilt);
            item->string = name;
            item->type = type;
            if (read(spoilt.data, spoilt.len, &err))
                fail_msg("taken without a right %s", name);
            snprintf(quoted, sizeof quoted, "\"%s\"", name);
            if (!strstr(err.msg, quoted))
                fail_msg("\"%s\" does not name %s", err.msg, quoted);
            kb_buf_free(&spoilt);
        }
    }
    cJSON_Delete(root);
}

static void a_job_without_a_field_names_it(void **state) {
    (void)state;
    struct kb_buf text = {0};

    kb_job_print(&full_job, &text);
    check_fields(
        &text,
        "tags origin samples atol rtol kernel variant precision max_time_s duty load "
        "dump kbench "
        "repeat_options",
        read_job);
    kb_buf_free(&text);
}

static void what_is_no_job_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"", "[]", "1", "{", "{\"case\":\"x\"}", "null"};

    for (size_t i = 0; i < KB_COUNT(texts); i++) {
        struct kb_err err = {0};
        assert_false(read_job(texts[i], strlen(texts[i]), &err));
        assert_int_equal(err.kind, KB_INPUT);
    }
}

/* ---- options ----------------------------------------------------------------------- */

static void check_options(const struct kb_worker_options *options) {
    struct kb_arena arena = {0};
    struct kb_buf text = {0};
    struct kb_err err = {0};
    struct kb_worker_options back;

    kb_worker_options_print(options, &text);
    if (!kb_worker_options_parse(text.data, text.len, &arena, &back, &err))
        fail_msg("%s", err.msg);
    assert_string_equal(back.backend, options->backend);
    assert_int_equal(back.ordinal, options->ordinal);
    assert_same_text(back.exec.sanitize, options->exec.sanitize);
    assert_int_equal(back.exec.host_sm, options->exec.host_sm);
    assert_int_equal(back.exec.no_cache, options->exec.no_cache);
    assert_int_equal(back.exec.no_compile, options->exec.no_compile);
    assert_true(back.exec.compile_ms == options->exec.compile_ms);
    assert_true(back.exec.launch_ms == options->exec.launch_ms);
    assert_true(back.exec.memory_limit == options->exec.memory_limit);
    assert_int_equal(back.exec.verbose, options->exec.verbose);
    assert_same_text(back.exec.dump_ptx, options->exec.dump_ptx);
    assert_same_text(back.exec.dump_sass, options->exec.dump_sass);
    assert_same_text(back.exec.keep, options->exec.keep);
    assert_int_equal(back.exec.profile, options->exec.profile);
    kb_buf_free(&text);
    kb_arena_free(&arena);
}

static const struct kb_worker_options full_options = {
    .backend = "host",
    .ordinal = 3,
    .exec = {.sanitize = "address,undefined",
             .host_sm = 100,
             .no_cache = true,
             .no_compile = true,
             .compile_ms = INT64_MAX,
             .launch_ms = (INT64_C(1) << 53) + 1,
             .memory_limit = (size_t)INT64_MAX - 1,
             .verbose = true,
             .dump_ptx = "a folder/ptx",
             .dump_sass = "sass",
             .keep = "kept",
             .profile = true},
};

static void every_option_of_a_worker_comes_back(void **state) {
    (void)state;
    const struct kb_worker_options defaults = {.backend = "auto"};

    check_options(&full_options);
    check_options(&defaults);
}

static void options_without_a_field_name_it(void **state) {
    (void)state;
    struct kb_buf text = {0};

    kb_worker_options_print(&full_options, &text);
    check_fields(&text, "sanitize,dump_ptx,dump_sass,keep", read_options);
    kb_buf_free(&text);
}

/* ---- hello ------------------------------------------------------------------------- */

static const struct kb_device_info full_info = {
    .backend = "cuda",
    .id = "1",
    .name = "NVIDIA \"H200\"",
    .uuid = "GPU-6f0c",
    .limits = {.sm = 90,
               .sm_count = 132,
               .smem_per_block = 232448,
               .max_threads = 1024,
               .max_grid = {2147483647, 65535, 65534},
               .max_block = {1024, 1023, 64}},
    .l2_bytes = 62914560,
    .memory_bytes = INT64_C(150754820096),
    .free_bytes = INT64_C(149000000001),
    .driver = "580.159.04",
    .nvrtc = "13.0",
    .compiler = "g++ 12.2",
    .cores = 16,
    .clocks_locked = true,
    .lock = "nvidia-smi -i 0 -lgc 1980",
    .note = "no NVIDIA driver (libcuda.so.1 not found)",
};

static void a_device_comes_back_whole(void **state) {
    (void)state;
    struct kb_device_info back;
    struct kb_buf text = {0};
    struct kb_err err = {0};

    memset(&back, 0xff, sizeof back);
    kb_hello_print(&full_info, NULL, &text);
    if (!kb_hello_parse(text.data, text.len, &back, &err))
        fail_msg("%s", err.msg);
    assert_memory_equal(&back.limits, &full_info.limits, sizeof back.limits);
    assert_string_equal(back.backend, full_info.backend);
    assert_string_equal(back.id, full_info.id);
    assert_string_equal(back.name, full_info.name);
    assert_string_equal(back.uuid, full_info.uuid);
    assert_string_equal(back.driver, full_info.driver);
    assert_string_equal(back.nvrtc, full_info.nvrtc);
    assert_string_equal(back.compiler, full_info.compiler);
    assert_string_equal(back.note, full_info.note);
    assert_true(back.l2_bytes == full_info.l2_bytes);
    assert_true(back.memory_bytes == full_info.memory_bytes);
    assert_true(back.free_bytes == full_info.free_bytes);
    assert_int_equal(back.cores, 16);
    assert_true(back.clocks_locked);
    assert_string_equal(back.lock, full_info.lock);
    kb_buf_free(&text);
}

static void a_device_without_a_field_names_it(void **state) {
    (void)state;
    struct kb_buf text = {0};

    kb_hello_print(&full_info, NULL, &text);
    check_fields(&text, "", read_hello);
    kb_buf_free(&text);
}

static void why_there_is_no_device_comes_back_as_the_error(void **state) {
    (void)state;
    struct kb_device_info info = {0};

    for (int kind = KB_UNSUPPORTED; kind <= KB_MEMORY; kind++) {
        struct kb_err err = {0}, back = {0};
        struct kb_buf text = {0};
        kb_fail(&err, (enum kb_err_kind)kind, "no driver: \"install\" it\n\x1b[31m");
        kb_hello_print(&info, &err, &text);
        assert_false(kb_hello_parse(text.data, text.len, &info, &back));
        assert_int_equal(back.kind, kind);
        assert_string_equal(back.msg, err.msg);
        kb_buf_free(&text);
    }
}

static void an_error_of_no_known_kind_or_without_words_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{\"error\":0,\"message\":\"x\"}",
        "{\"error\":5,\"message\":\"\"}",
        "{\"error\":99,\"message\":\"x\"}",
        "{\"error\":\"device\",\"message\":\"x\"}",
        "{\"error\":5}",
    };

    for (size_t i = 0; i < KB_COUNT(texts); i++) {
        struct kb_device_info info = {0};
        struct kb_err err = {0};
        assert_false(kb_hello_parse(texts[i], strlen(texts[i]), &info, &err));
        assert_int_equal(err.kind, KB_CRASH);
        assert_int_equal(kb_err_status(&err), 6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_a_job_comes_back),
        cmocka_unit_test(a_job_of_defaults_comes_back),
        cmocka_unit_test(every_mode_word_reads_back),
        cmocka_unit_test(a_job_without_a_field_names_it),
        cmocka_unit_test(what_is_no_job_is_refused),
        cmocka_unit_test(every_option_of_a_worker_comes_back),
        cmocka_unit_test(options_without_a_field_name_it),
        cmocka_unit_test(a_device_comes_back_whole),
        cmocka_unit_test(a_device_without_a_field_names_it),
        cmocka_unit_test(why_there_is_no_device_comes_back_as_the_error),
        cmocka_unit_test(an_error_of_no_known_kind_or_without_words_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
