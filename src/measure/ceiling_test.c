/* ceiling_test.c - what a case is held against: a case of op stream or mma that there is,
 * and that does no more than the case itself. */
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SMS = 132 };

static void resolve(const char *id, struct kb_arena *arena, struct kb_problem *p) {
    struct kb_case *c = kb_arena_alloc(arena, sizeof *c);
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    if (!kb_case_parse(id, arena, c, &complaints) || !kb_case_resolve(c, p, &err))
        fail_msg("%s: %s%s", id, kb_buf_text(&complaints.text), err.msg);
}

/* The id of its ceiling, which is resolved into `own`. */
static const char *ceiling_of(const struct kb_problem *p, struct kb_arena *arena,
                              struct kb_problem *own) {
    struct kb_job job;
    struct kb_err err = {0};
    if (!kb_ceiling_job(p, SMS, arena, &job, &err))
        fail_msg("%s", err.msg);
    resolve(job.case_id, arena, own);
    return job.case_id;
}

static void a_ceiling_is_the_stream_of_the_bytes_or_tensor_cores(void **state) {
    static const char *const rows[][2] = {
        {"silu/83x1024/bf16", "stream/84992/bf16"},
        {"silu/83x1024/fp16", "stream/84992/bf16"},
        {"silu/83x1024/fp32", "stream/84992/fp32"},
        {"qknorm_rope/64x32x4x128/bf16", "stream/294912/bf16/pattern=copy"},
        {"moe_routing/65536x128/bf16", "stream/8388704/bf16/pattern=r2w05"},
        {"moe_routing/65536x256/fp32", "stream/17808656/fp32/pattern=read"},
        {"mla_prefill/64x64x16/e4m3", "mma/132x1024/e4m3"},
        {"stream/4096/bf16/pattern=write", "stream/4096/bf16/pattern=write"},
    };
    struct kb_arena arena = {0};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(rows); i++) {
        struct kb_problem p, own;
        resolve(rows[i][0], &arena, &p);
        assert_string_equal(ceiling_of(&p, &arena, &own), rows[i][1]);
    }
    kb_arena_free(&arena);
}

static void no_ceiling_of_bytes_moves_more_than_its_case(void **state) {
    static const char *const ids[] = {
        "silu/83x1024/bf16",
        "gelu/4096x28672/fp32",
        "qknorm_rope/65536x32x4x128/bf16",
        "merge_state/4096x16x128/bf16",
        "mla_kv_pack_quantize/4096x128/bf16",
        "silu_mul_quant/65536x4096/bf16",
        "silu_mul_quant/65536x4096/bf16/group=16",
        "moe_routing/65536x256/fp32",
        "moe_routing/65536x16/bf16",
        "moe_routing/1x8/bf16/topk=2",
        "stream/33554432/bf16/pattern=read",
        "stream/33554432/fp32/pattern=write",
    };
    struct kb_arena arena = {0};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct kb_problem p, own;
        resolve(ids[i], &arena, &p);
        ceiling_of(&p, &arena, &own);
        if (own.bytes > p.bytes || (double)own.bytes < 0.97 * (double)p.bytes - 200)
            fail_msg("%s: %lld bytes of %lld", ids[i], (long long)own.bytes,
                     (long long)p.bytes);
    }
    kb_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ceiling_is_the_stream_of_the_bytes_or_tensor_cores),
        cmocka_unit_test(no_ceiling_of_bytes_moves_more_than_its_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
