/* cuda_cubin_test.c - what counts as an entry's machine code, on cubins that NVRTC makes
 * here. */
#include "cuda_code.h"
#include "cuda_elf.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h> /* wants those above */

/* held<N> exists where held_by<N> does; the code of that has its number among the
 * variables. */
static const char text[] =
    "template <int N> __device__ int held[4] = {0x5eed00 + N, 2, 3, N};\n"
    "__constant__ int first[4] = {0x1eaf01, 2, 3, 4};\n"
    "__constant__ int second[4] = {0x1eaf02, 2, 3, 4};\n"
    "__device__ int *where = held<7>;\n"
    "__device__ __noinline__ int far(int x) { return x * held<8>[x & 3] + FAR; }\n"
    "template <int N> __global__ void held_by(int *p) { p[0] = held<N>[p[0] & 3]++; }\n"
    "template <int N> __global__ void fixed(int *p) { p[0] = (N ? second : first)[2]; }\n"
    "template <int N> __global__ void indexed(int *p) { p[0] = first[p[0] & 3] + N; }\n"
    "template <int N> __global__ void calls(int *p) { p[0] = far(p[1]) + far(p[2] + N); }\n"
    "template <int N> __global__ void pointed(int *p) { p[0] = where[1] + N; }\n"
    "template <int N> __global__ void shares(int *p) {\n"
    "    __shared__ int s[32 * N];\n"
    "    s[threadIdx.x] = p[threadIdx.x];\n"
    "    __syncthreads();\n"
    "    p[threadIdx.x] = s[31 - threadIdx.x];\n"
    "}\n"
    "template <int N> __global__ void divides(float *p) { p[0] = p[1] / p[2] + N; }\n"
    "template <int N> __global__ void __launch_bounds__(64 * N) bounded(int *p) {\n"
    "    p[0] = p[1];\n"
    "}\n";
static const char *const entries[] = {
    "held_by<1>", "held_by<2>", "fixed<0>",  "fixed<1>",   "indexed<1>", "calls<1>",
    "pointed<1>", "shares<1>",  "shares<2>", "divides<1>", "bounded<1>", "bounded<2>",
};
enum { ENTRIES = sizeof entries / sizeof *entries };

struct fixture {
    struct kb_nvrtc *nvrtc;
    struct kb_arena arena;
};

struct code {
    struct kb_nvrtc_result result;
    struct kb_strings names[ENTRIES]; /* one each */
};

static int setup(void **state) {
    static struct fixture fixture;
    struct kb_err err = {0};
    fixture = (struct fixture){0};
    if (!kb_nvrtc_open(0, &fixture.nvrtc, &err))
        fail_msg("%s", err.msg);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    kb_nvrtc_close(f->nvrtc);
    kb_arena_free(&f->arena);
    return 0;
}

/* `n` entries from `first` on in one cubin. */
static struct code compile(struct fixture *f, const char *arch, int first, int n,
                           const char *flag) {
    struct kb_kernel kernel = {
        .path = "mine.cu", .name = "mine.cu", .text = text, .size = strlen(text)};
    struct kb_nvrtc_job job = {.kernel = &kernel, .arch = arch};
    struct code code = {0};
    struct kb_err err = {0};
    kb_strings_add(&job.flags, &f->arena, "-std=c++17");
    if (!flag || !strstr(flag, "FAR"))
        kb_strings_add(&job.flags, &f->arena, "-DFAR=1");
    if (flag)
        kb_strings_add(&job.flags, &f->arena, flag);
    for (int i = 0; i < n; i++)
        kb_strings_add(&job.entries, &f->arena, entries[first + i]);
    if (!kb_nvrtc_compile(f->nvrtc, &job, &f->arena, &code.result, &err))
        fail_msg("%s", err.msg);
    for (int i = 0; i < n; i++)
        kb_strings_add(&code.names[i], &f->arena, code.result.lowered.items[i]);
    return code;
}

static struct kb_hash digest(const struct code *code, int i) {
    struct kb_hash hash;
    int64_t bytes;
    if (!kb_cubin_digest(code->result.cubin.data, code->result.cubin.len, &code->names[i],
                         &hash, &bytes))
        fail_msg("%s: has no digest", code->names[i].items[0]);
    assert_true(bytes > 0);
    return hash;
}

static bool same(const struct kb_hash *a, const struct kb_hash *b) {
    return !memcmp(a, b, sizeof *a);
}

/* Is `a` beside others other bytes than alone? */
static bool moved(const struct code *alone, const struct code *all, int i) {
    struct kb_elf a, b;
    const char *x, *y;
    uint64_t n, m;
    const char *name = all->names[i].items[0];
    assert_true(kb_elf_open(alone->result.cubin.data, alone->result.cubin.len, &a));
    assert_true(kb_elf_open(all->result.cubin.data, all->result.cubin.len, &b));
    assert_true(kb_elf_content(&a, kb_elf_find(&a, ".text.", name), &x, &n));
    assert_true(kb_elf_content(&b, kb_elf_find(&b, ".text.", name), &y, &m));
    return n != m || memcmp(x, y, n) != 0;
}

static void compare_with_alone(struct fixture *f, const char *arch, const char *flag) {
    struct code all = compile(f, arch, 0, ENTRIES, flag);
    int n_moved = 0;
    for (int i = 0; i < ENTRIES; i++) {
        struct code alone = compile(f, arch, i, 1, flag);
        struct kb_hash a = digest(&alone, 0), b = digest(&all, i);
        if (!same(&a, &b))
            fail_msg("%s, %s: another digest beside others", entries[i], arch);
        n_moved += moved(&alone, &all, i);
        for (int k = 0; k < i; k++) {
            struct kb_hash other = digest(&all, k);
            if (same(&other, &b))
                fail_msg("%s and %s have one digest", entries[i], entries[k]);
        }
        kb_nvrtc_result_free(&alone.result);
    }
    if (!flag)
        assert_true(n_moved >= 1); /* else nothing was shown */
    kb_nvrtc_result_free(&all.result);
}

static void entry_beside_others_is_the_code_that_it_is_alone(void **state) {
    compare_with_alone(*state, "sm_80", NULL);
    compare_with_alone(*state, "sm_90a", NULL);
    compare_with_alone(*state, "sm_100a", NULL);
}

/* Functions have sections of their own there, and instructions relocations. */
static void code_that_is_to_be_linked_is_followed_by_its_relocations(void **state) {
    compare_with_alone(*state, "sm_80", "--relocatable-device-code=true");
    compare_with_alone(*state, "sm_90a", "--relocatable-device-code=true");
}

/* ---- what counts -----------------------------------------------------------------------
 */

/* Is the digest another one with the byte at `at` changed? */
static bool counts(struct code *code, int i, char *at) {
    struct kb_hash before = digest(code, i), after;
    *at = (char)(*at ^ 1);
    after = digest(code, i);
    *at = (char)(*at ^ 1);
    return !same(&before, &after);
}

static char *content(struct code *code, const char *prefix, const char *name) {
    struct kb_elf elf;
    const char *data = NULL;
    uint64_t size = 0;
    struct kb_buf *cubin = &code->result.cubin;
    assert_true(kb_elf_open(cubin->data, cubin->len, &elf));
    size_t section = kb_elf_find(&elf, prefix, name);
    assert_true(section && kb_elf_content(&elf, section, &data, &size) && data && size);
    return cubin->data + (data - cubin->data);
}

static char *word(struct code *code, int value) {
    struct kb_buf *cubin = &code->result.cubin;
    char *at = memmem(cubin->data, cubin->len, &value, sizeof value);
    if (!at)
        fail_msg("no %x in the cubin", (unsigned)value);
    return at;
}

enum { HELD_1, HELD_2, FIXED_0, FIXED_1, INDEXED, CALLS, POINTED };

static void one_byte_of_what_it_uses_is_other_code(void **state) {
    struct fixture *f = *state;
    struct code c = compile(f, "sm_90a", 0, ENTRIES, NULL);
    for (int i = 0; i < ENTRIES; i++) {
        const char *name = c.names[i].items[0];
        for (int byte = 0; byte < 128; byte++)
            assert_true(counts(&c, i, content(&c, ".text.", name) + byte));
        assert_true(counts(&c, i, content(&c, ".nv.constant0.", name)));
    }
    assert_true(counts(&c, HELD_1, word(&c, 0x5eed01)));
    assert_true(counts(&c, HELD_2, word(&c, 0x5eed02)));
    assert_true(counts(&c, POINTED, word(&c, 0x5eed07))); /* by a pointer */
    assert_true(counts(&c, CALLS, word(&c, 0x5eed08)));   /* by a function */
    assert_true(counts(&c, FIXED_0, word(&c, 0x1eaf01)));
    assert_true(counts(&c, FIXED_1, word(&c, 0x1eaf02)));
    assert_true(counts(&c, INDEXED, word(&c, 0x1eaf01)));
    kb_nvrtc_result_free(&c.result);
}

/* All but the four bytes of a symbol's number. */
static void attributes_and_registers_are_of_the_code(void **state) {
    enum { BOUNDED = ENTRIES - 1, RECORDS = 3, RECORD = 12, VALUE = 8, SYMBOL = 4 };
    struct fixture *f = *state;
    struct code c = compile(f, "sm_90a", BOUNDED, 1, NULL);
    struct kb_elf elf;
    uint64_t n_counted = 0;
    const char *name = c.names[0].items[0];
    assert_true(kb_elf_open(c.result.cubin.data, c.result.cubin.len, &elf));
    uint64_t size = kb_elf_section(&elf, kb_elf_find(&elf, ".nv.info.", name)).sh_size;
    for (uint64_t i = 0; i < size; i++)
        n_counted += counts(&c, 0, content(&c, ".nv.info.", name) + i);
    assert_int_equal(n_counted, size - SYMBOL);
    for (int i = 0; i < RECORDS; i++)
        assert_true(counts(&c, 0, content(&c, ".nv.info", "") + i * RECORD + VALUE));
    kb_nvrtc_result_free(&c.result);
}

static void what_others_use_does_not_count(void **state) {
    struct fixture *f = *state;
    struct code c = compile(f, "sm_90a", 0, ENTRIES, NULL);
    for (int i = 0; i < ENTRIES; i++)
        for (int k = 0; k < ENTRIES; k++)
            if (k != i)
                assert_false(
                    counts(&c, i, content(&c, ".text.", c.names[k].items[0]) + 64));
    assert_false(counts(&c, HELD_1, word(&c, 0x5eed02)));
    assert_false(counts(&c, HELD_1, word(&c, 0x5eed07)));
    assert_false(counts(&c, FIXED_0, word(&c, 0x1eaf02)));
    assert_false(counts(&c, FIXED_1, word(&c, 0x1eaf01)));
    assert_false(counts(&c, FIXED_1, content(&c, ".note.nv.tkinfo", "") + 64));
    kb_nvrtc_result_free(&c.result);
}

static void function_that_is_called_counts(void **state) {
    struct fixture *f = *state;
    struct code a = compile(f, "sm_90a", CALLS, 1, NULL);
    struct code b = compile(f, "sm_90a", CALLS, 1, "-DFAR=2");
    struct kb_hash x = digest(&a, 0), y = digest(&b, 0);
    assert_false(same(&x, &y));
    kb_nvrtc_result_free(&a.result);
    kb_nvrtc_result_free(&b.result);
    /* in a section of its own */
    a = compile(f, "sm_90a", CALLS, 2, "--relocatable-device-code=true");
    assert_true(counts(&a, 0, content(&a, ".text.", "_Z3fari") + 1));
    assert_false(counts(&a, 1, content(&a, ".text.", "_Z3fari") + 1));
    kb_nvrtc_result_free(&a.result);
}

/* ---- damage ----------------------------------------------------------------------------
 */

static void damaged_cubin_is_never_overrun(void **state) {
    struct fixture *f = *state;
    struct code c = compile(f, "sm_90a", 0, 7, NULL);
    struct kb_buf *cubin = &c.result.cubin;
    struct kb_hash hash;
    int64_t bytes;
    for (size_t i = 0; i < cubin->len; i += 3) {
        cubin->data[i] = (char)~cubin->data[i];
        kb_cubin_digest(cubin->data, cubin->len, &c.names[i % 7], &hash, &bytes);
        cubin->data[i] = (char)~cubin->data[i];
    }
    kb_nvrtc_result_free(&c.result);
}

static void entry_that_is_not_there_has_no_digest(void **state) {
    struct fixture *f = *state;
    struct code c = compile(f, "sm_90a", 0, 1, NULL);
    struct kb_strings names = {0};
    struct kb_hash hash;
    int64_t bytes;
    kb_strings_add(&names, &f->arena, "_Z5otherPi");
    assert_false(
        kb_cubin_digest(c.result.cubin.data, c.result.cubin.len, &names, &hash, &bytes));
    kb_nvrtc_result_free(&c.result);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(entry_beside_others_is_the_code_that_it_is_alone),
        TEST(code_that_is_to_be_linked_is_followed_by_its_relocations),
        TEST(one_byte_of_what_it_uses_is_other_code),
        TEST(attributes_and_registers_are_of_the_code),
        TEST(what_others_use_does_not_count),
        TEST(function_that_is_called_counts),
        TEST(damaged_cubin_is_never_overrun),
        TEST(entry_that_is_not_there_has_no_digest),
    };
    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
