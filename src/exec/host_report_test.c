/* host_report_test.c - sanitizers' reports and signals as they come, and what is made of
 * them. The texts are what gcc 12's and clang 14's put out. */
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static void assert_line(const char *log, const char *wanted) {
    struct kb_arena arena = {0};
    struct kb_strings files = {0};
    struct kb_buf out = {0};
    kb_strings_add(&files, &arena, "mine.cu");
    kb_strings_add(&files, &arena, "lib/kb.cuh");
    assert_true(host_sanitizer_line(log, &files, &out));
    assert_string_equal(kb_buf_text(&out), wanted);
    kb_buf_free(&out);
    kb_arena_free(&arena);
}

static void an_access_out_of_bounds_is_told_by_tensor_and_line(void **state) {
    (void)state;
    assert_line(
        "kbench-where: block (1,0,0) thread (31,0,0)|12 bytes past the end of \"out\" "
        "(64 bytes)\n"
        "=====================================================\n"
        "==7==ERROR: AddressSanitizer: use-after-poison on address 0x7ffff5 at pc 0x40\n"
        "WRITE of size 4 at 0x7ffff5 thread T0\n"
        "    #0 0x4e in atomicAdd kbh/atomics.h:29\n"
        "    #1 0x4f in void k<float>(float*, int) ./mine.cu:141\n"
        "    #2 0x50 in kbh_fiber_main kbh/engine.cc:9\n"
        "\n",
        "out-of-bounds write of 4 bytes, 12 bytes past the end of \"out\" (64 bytes), "
        "at mine.cu:141, block (1,0,0) thread (31,0,0)");
    assert_line(
        "==7==ERROR: AddressSanitizer: stack-buffer-overflow on address 0x7ff at pc 1\n"
        "READ of size 2 at 0x7ff thread T0\n"
        "    #0 0x4e in f(int) /tmp/x y/kb.cuh:8:3\n",
        "out-of-bounds stack-buffer-overflow read of 2 bytes, at kb.cuh:8");
}

static void a_line_of_a_header_is_told_with_its_caller(void **state) {
    (void)state;
    assert_line("==7==ERROR: AddressSanitizer: SEGV on unknown address 0x10 (pc 1)\n"
                "    #0 0x41 in to_f32 ./kb.cuh:24\n"
                "    #1 0x41 in load ./kb.cuh:30\n"
                "    #2 0x41 in k(int*) ./mine.cu:3\n"
                "    #3 0x41 in k(int*) ./mine.cu:9\n",
                "wild read at address 0x10, at kb.cuh:24 from mine.cu:3");
}

static void a_wild_access_is_told_by_its_address(void **state) {
    (void)state;
    assert_line(
        "==7==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000008 (pc 1)\n"
        "==7==The signal is caused by a WRITE memory access.\n"
        "    #0 0x41 in k(int*) ./mine.cu:3\n",
        "wild write at address 0x8, at mine.cu:3");
    assert_line("==7==ERROR: AddressSanitizer: SEGV on unknown address (pc 1)\n"
                "==7==The signal is caused by a READ memory access.\n",
                "wild read, at no line of the kernel");
}

static void undefined_arithmetic_is_told_by_its_line(void **state) {
    (void)state;
    assert_line("mine.cu:41:13: runtime error: shift exponent 32 is too large\n"
                "    #0 0x40 in k ./mine.cu:41\n",
                "shift exponent 32 is too large, at mine.cu:41");
    assert_line("kbh/half.h:9:1: runtime error: signed integer overflow\n"
                "    #0 0x40 in __hfoo kbh/half.h:9\n"
                "    #1 0x40 in k ./mine.cu:5\n",
                "signed integer overflow, at mine.cu:5");
}

static void a_race_is_told_by_both_lines(void **state) {
    (void)state;
    assert_line("WARNING: ThreadSanitizer: data race (pid=31)\n"
                "  Write of size 4 at 0x7b10 by thread T2:\n"
                "    #0 k(float*) ./mine.cu:20 (kbench-host+0x1)\n"
                "\n"
                "  Previous atomic read of size 8 at 0x7b10 by thread T9:\n"
                "    #0 atomicAdd kbh/atomics.h:3 (kbench-host+0x1)\n"
                "    #1 k(float*) ./mine.cu:25 (kbench-host+0x1)\n"
                "\n"
                "kbench-memory: 0x7a00 256 out\n"
                "kbench-memory: 0x7b00 64 the line\n",
                "data race: write of 4 bytes at mine.cu:20 and atomic read of 8 bytes at "
                "mine.cu:25, nothing orders them, byte 16 of \"the line\" (64 bytes)");
    /* what a kernel made up */
    assert_line("WARNING: ThreadSanitizer: race\n"
                " of size 4 at 0x7b10\n"
                "Previous of size 4 at 0x7b10\n"
                "no size at 0x7b10\nWrite of size 4 at 0x7b10\n",
                "race: write of 4 bytes at no line of the kernel");
}

static void output_without_a_report_is_none(void **state) {
    (void)state;
    struct kb_strings files = {0};
    struct kb_buf out = {0};
    assert_false(host_sanitizer_line("", &files, &out));
    assert_false(host_sanitizer_line("thread 0 says hello\n\n", &files, &out));
    assert_int_equal(out.len, 0);
}

static void a_report_cut_anywhere_is_read_without_harm(void **state) {
    (void)state;
    static const char report[] =
        "kbench-where: block|x\nkbench-signal: 11|address|0x8|b|t\n"
        "==7==ERROR: AddressSanitizer: use-after-poison on address 0x7 at pc 0x40\n"
        "WRITE of size 4 at 0x7 thread T0\n    #0 0x4f in k ./mine.cu:141\n";
    struct kb_strings files = {0};
    struct kb_arena arena = {0};
    kb_strings_add(&files, &arena, "mine.cu");
    for (size_t n = 0; n < sizeof report; n++) {
        struct kb_buf out = {0};
        char *copy = kb_arena_strndup(&arena, report, n);
        host_sanitizer_line(copy, &files, &out);
        host_crash_line(W_EXITCODE(0, SIGSEGV), copy, &out);
        host_printed_line(copy, &out);
        kb_buf_free(&out);
    }
    kb_arena_free(&arena);
}

static void assert_crash(int status, const char *log, const char *wanted) {
    struct kb_buf out = {0};
    host_crash_line(status, log, &out);
    assert_string_equal(kb_buf_text(&out), wanted);
    kb_buf_free(&out);
}

static void a_signal_is_told_with_address_and_thread(void **state) {
    (void)state;
    assert_crash(W_EXITCODE(0, SIGSEGV),
                 "\nkbench-signal: 11|address|0x7f00|block (0,0,0) thread (1,2,3)|8 bytes "
                 "past the end of \"out\" (4 bytes)\n",
                 "kernel died of signal 11 (Segmentation fault) at address 0x7f00, 8 bytes "
                 "past the end of \"out\" (4 bytes), block (0,0,0) thread (1,2,3)");
    assert_crash(W_EXITCODE(0, SIGKILL), "kbench-signal: 11|address|0x8|b|\n",
                 "kernel died of signal 9 (Killed)");
    assert_crash(W_EXITCODE(3, 0), "what(): no\x1b[31m\n",
                 "kernel ended the process (exit status 3) without a result; it said: "
                 "what(): no^[[31m");
}

static void what_was_printed_is_told_without_the_runners_lines(void **state) {
    (void)state;
    struct kb_buf out = {0};
    host_printed_line("kbench-memory: 0x1 2 x\n==3==WARNING: ASan\n", &out);
    assert_int_equal(out.len, 0);
    host_printed_line("kbench-memory: 0x1 2 x\nhello\n", &out);
    assert_string_equal(out.data, "kernel printed: hello");
    kb_buf_clear(&out);
    host_printed_line("hello\nworld\n", &out);
    assert_string_equal(out.data, "kernel printed: hello (and more, 12 bytes kept)");
    kb_buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_access_out_of_bounds_is_told_by_tensor_and_line),
        cmocka_unit_test(a_line_of_a_header_is_told_with_its_caller),
        cmocka_unit_test(a_wild_access_is_told_by_its_address),
        cmocka_unit_test(undefined_arithmetic_is_told_by_its_line),
        cmocka_unit_test(a_race_is_told_by_both_lines),
        cmocka_unit_test(output_without_a_report_is_none),
        cmocka_unit_test(a_report_cut_anywhere_is_read_without_harm),
        cmocka_unit_test(a_signal_is_told_with_address_and_thread),
        cmocka_unit_test(what_was_printed_is_told_without_the_runners_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
