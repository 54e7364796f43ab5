/* list_test.c - a device's line of kbench list devices. */
#include "cli/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct kb_device_info gpu = {
    .backend = "cuda",
    .id = "0",
    .name = "NVIDIA H200",
    .uuid = "GPU-1",
    .driver = "580.1",
    .nvrtc = "13.0",
    .memory_bytes = 150000000000,
    .free_bytes = 149000000000,
    .limits = {.sm = 90, .sm_count = 132},
};
static const char line[] =
    "device 0      NVIDIA H200 sm_90, 132 SMs, 149 of 150 GB free, driver 580.1, NVRTC "
    "13.0\n";

static void a_selftest_of_the_gpu_stands_below_it(void **state) {
    const struct kb_ceilings ceilings = {
        "2026-11-26", {4284, 4360, 4420, 4510, 4560}, {790, 780, 1600}};
    struct kb_device_info other = gpu;
    struct kb_temp temp;
    struct kb_err err = {0};
    struct kb_buf out = {0}, note = {0}, wanted = {0};
    (void)state;
    assert_true(kb_temp_make(&temp, &err));
    assert_int_equal(setenv("KBENCH_CACHE", temp.path, 1), 0);
    kb_list_device(&gpu, &out);
    assert_string_equal(out.data, line);
    assert_true(kb_ceilings_keep(&gpu, &ceilings, &note));
    kb_buf_clear(&out);
    kb_list_device(&gpu, &out);
    kb_buf_printf(&wanted,
                  "%s              stream 4284 GB/s, read 4510, write 4560, mma bf16 790 "
                  "TFLOP/s (selftest of "
                  "2026-11-26)\n",
                  line);
    assert_string_equal(out.data, wanted.data);
    other.clocks_locked = true;
    kb_buf_clear(&out);
    kb_list_device(&other, &out);
    assert_string_equal(out.data, line);
    kb_buf_free(&out);
    kb_buf_free(&note);
    kb_buf_free(&wanted);
    kb_temp_free(&temp);
}

static void the_host_has_cores_and_a_compiler(void **state) {
    const struct kb_device_info host = {
        .backend = "host", .id = "host", .compiler = "g++ 12.2", .cores = 8};
    struct kb_buf out = {0};
    (void)state;
    kb_list_device(&host, &out);
    assert_string_equal(out.data, "device host   8 cores, g++ 12.2\n");
    kb_buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_selftest_of_the_gpu_stands_below_it),
        cmocka_unit_test(the_host_has_cores_and_a_compiler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
