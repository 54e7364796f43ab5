/* slab_bytes_test.c - guard zones are bytes: no number that a stray write makes of them is
 * equal to what was there. */
#include "tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Written over each word of both zones of a tensor in turn, as kernels write them. */
static void a_number_of_any_kind_in_a_guard_is_found(void **state) {
    (void)state;
    const double doubles[] = {NAN, -NAN, INFINITY, -INFINITY, 0, -0.0, 1};
    const size_t bytes = 1000;
    struct kb_slab slab;
    struct kb_guard_hit hit;
    struct kb_err err = {0};
    assert_true(kb_slab_make(&slab, KB_SLAB_PRIVATE, 1, &bytes, 0, &err));
    assert_int_equal(kb_slab_guards(&slab, &hit, 1), 0);
    for (size_t at = slab.slots[0].offset - 64; at < slab.slots[0].offset + 1064; at += 8) {
        if (at >= slab.slots[0].offset && at < slab.slots[0].offset + 1000)
            continue;
        for (size_t i = 0; i < KB_COUNT(doubles); i++) {
            for (size_t size = 4; size <= 8; size += 4) {
                unsigned char was[8];
                float single = (float)doubles[i];
                memcpy(was, slab.data + at, sizeof was);
                memcpy(slab.data + at, size == 8 ? (const void *)&doubles[i] : &single,
                       size);
                assert_int_equal(kb_slab_guards(&slab, &hit, 1), 1);
                assert_true(hit.changed_bytes > 0 && hit.changed_bytes <= size);
                memcpy(slab.data + at, was, sizeof was);
            }
        }
    }
    assert_int_equal(kb_slab_guards(&slab, &hit, 1), 0);
    kb_slab_free(&slab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_of_any_kind_in_a_guard_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
