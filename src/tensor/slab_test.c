/* slab_test.c - guarded memory: layout, guard zones, limits, poison. */
#include "tensor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static const size_t sizes[] = {1000, 0, 1, 8192, 0, 0, 300001};
enum { N = KB_COUNT(sizes), SHIFT = 2 };

static int make(void **state) {
    struct kb_err err = {0};
    struct kb_slab *slab = calloc(1, sizeof *slab);
    *state = slab;
    return slab && kb_slab_make(slab, KB_SLAB_SHARED, N, sizes, SHIFT, &err) ? 0 : -1;
}

static int unmake(void **state) {
    kb_slab_free(*state);
    free(*state);
    return 0;
}

static void every_tensor_is_aligned_and_lies_between_guards(void **state) {
    const struct kb_slab *slab = *state;
    size_t total = 0, end = 0;
    assert_int_equal(slab->n_slots, N);
    assert_true(slab->fd >= 0);
    for (int i = 0; i < N; i++) {
        const struct kb_slot *slot = &slab->slots[i];
        assert_int_equal(slot->bytes, sizes[i]);
        assert_int_equal(slot->offset % KB_SLAB_ALIGN, SHIFT);
        assert_true(slot->offset >= end + (i ? 2 : 1) * (size_t)KB_GUARD_BYTES);
        assert_ptr_equal(kb_slab_at(slab, i), slab->data + slot->offset);
        end = slot->offset + slot->bytes;
    }
    assert_true(slab->bytes >= end + KB_GUARD_BYTES);
    assert_true(kb_slab_size(N, sizes, SHIFT, &total));
    assert_int_equal(slab->bytes, total);
}

static void writing_every_byte_of_the_tensors_hits_no_guard(void **state) {
    const struct kb_slab *slab = *state;
    for (int i = 0; i < N; i++)
        memset(kb_slab_at(slab, i), 0x11, sizes[i]);
    assert_int_equal(kb_slab_guards(slab, NULL, 0), 0);
}

static void one_changed_byte_is_found_with_its_tensor_side_and_distance(void **state) {
    const struct kb_slab *slab = *state;
    static const size_t distances[] = {0, 1, 17, KB_GUARD_BYTES - 1};
    struct kb_guard_hit hit;
    for (int i = 0; i < N; i++) {
        for (size_t k = 0; k < 2 * KB_COUNT(distances); k++) {
            size_t distance = distances[k / 2];
            unsigned char *edge = kb_slab_at(slab, i);
            unsigned char *at = k % 2 ? edge + sizes[i] + distance : edge - 1 - distance;
            *at ^= 1;
            assert_int_equal(kb_slab_guards(slab, &hit, 1), 1);
            assert_int_equal(hit.slot, i);
            assert_int_equal(hit.after, k % 2);
            assert_int_equal(hit.distance, distance);
            assert_int_equal(hit.changed_bytes, 1);
            *at ^= 1;
        }
    }
}

static void every_byte_outside_the_tensors_is_in_one_zone(void **state) {
    const struct kb_slab *slab = *state;
    struct kb_guard_hit hits[2 * N];
    size_t outside = slab->bytes, changed = 0;
    for (size_t i = 0; i < slab->bytes; i++)
        slab->data[i] ^= 0x80;
    for (int i = 0; i < N; i++)
        outside -= sizes[i];
    assert_int_equal(kb_slab_guards(slab, hits, 2 * N), 2 * N);
    for (int i = 0; i < 2 * N; i++) {
        assert_int_equal(hits[i].distance, 0);
        changed += hits[i].changed_bytes;
    }
    assert_int_equal(changed, outside);
}

static void a_run_of_changed_bytes_is_counted_from_the_nearest(void **state) {
    const struct kb_slab *slab = *state;
    struct kb_guard_hit hits[4];
    unsigned char *start = kb_slab_at(slab, 3), *end = start + sizes[3];
    memset(start - 40, 0, 30);
    memset(end + 5, 0xff, 100);
    assert_int_equal(kb_slab_guards(slab, hits, 4), 2);
    assert_true(hits[0].slot == 3 && !hits[0].after);
    assert_int_equal(hits[0].distance, 10);
    assert_int_equal(hits[0].changed_bytes, 30);
    assert_true(hits[1].slot == 3 && hits[1].after);
    assert_int_equal(hits[1].distance, 5);
    assert_int_equal(hits[1].changed_bytes, 100);
}

static void zones_past_the_callers_room_are_counted_still(void **state) {
    const struct kb_slab *slab = *state;
    struct kb_guard_hit hits[3] = {{.slot = -1}, {.slot = -1}, {.slot = -1}};
    for (int i = 0; i < N; i++)
        *((unsigned char *)kb_slab_at(slab, i) - 1) ^= 1;
    assert_int_equal(kb_slab_guards(slab, hits, 2), N);
    assert_int_equal(hits[1].slot, 1);
    assert_int_equal(hits[2].slot, -1);
}

static void a_guard_copied_onto_another_place_shows(void **state) {
    const struct kb_slab *slab = *state;
    static const size_t shifts[] = {1, 2, 8, 16, 256, 4096};
    struct kb_guard_hit hit;
    for (size_t k = 0; k < KB_COUNT(shifts); k++) {
        unsigned char kept[64], *zone = (unsigned char *)kb_slab_at(slab, 0) + sizes[0];
        memcpy(kept, zone, sizeof kept);
        memmove(zone, zone + shifts[k], sizeof kept);
        assert_int_equal(kb_slab_guards(slab, &hit, 1), 1);
        assert_true(hit.changed_bytes > 56);
        memcpy(zone, kept, sizeof kept);
    }
}

static void a_copy_has_the_same_bytes_in_memory_of_its_own(void **state) {
    const struct kb_slab *slab = *state;
    struct kb_err err = {0};
    struct kb_slab copy;
    memset(kb_slab_at(slab, 0), 7, sizes[0]);
    assert_true(kb_slab_copy(&copy, slab, &err));
    assert_int_equal(copy.bytes, slab->bytes);
    assert_memory_equal(copy.data, slab->data, slab->bytes);
    assert_memory_equal(copy.slots, slab->slots, N * sizeof *copy.slots);
    memset(kb_slab_at(slab, 0), 8, sizes[0] + 1);
    assert_int_equal(*(unsigned char *)kb_slab_at(&copy, 0), 7);
    assert_int_equal(kb_slab_guards(&copy, NULL, 0), 0);
    assert_int_equal(kb_slab_guards(slab, NULL, 0), 1);
    kb_slab_free(&copy);
}

static void other_tensors_take_the_place_of_the_old_ones(void **state) {
    struct kb_slab *slab = *state;
    static const size_t fewer[] = {64, 300, 0}, shifts[] = {2, 16, 4},
                        more[] = {1 << 20, 1};
    struct kb_err err = {0};
    struct kb_guard_hit hit;
    const unsigned char *before = slab->data;
    size_t room = slab->room;
    assert_true(kb_slab_place(slab, 3, fewer, shifts, &err));
    assert_ptr_equal(slab->data, before);
    assert_true(slab->bytes < room && slab->room == room);
    assert_int_equal(slab->n_slots, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(slab->slots[i].bytes, fewer[i]);
        assert_int_equal(slab->slots[i].offset % KB_SLAB_ALIGN, shifts[i]);
        memset(kb_slab_at(slab, i), 0x22, fewer[i]);
    }
    assert_int_equal(kb_slab_guards(slab, &hit, 1), 0);
    *((unsigned char *)kb_slab_at(slab, 1) - 1) ^= 1;
    assert_int_equal(kb_slab_guards(slab, &hit, 1), 1);
    assert_true(hit.slot == 1 && !hit.after && hit.distance == 0);
    assert_true(kb_slab_place(slab, 2, more, NULL, &err)); /* in larger memory */
    assert_true(slab->room >= 1 << 20 && slab->fd >= 0);
    assert_int_equal(slab->slots[1].offset % KB_SLAB_ALIGN, 0);
    assert_int_equal(kb_slab_guards(slab, &hit, 1), 0);
}

static void what_cannot_be_placed_leaves_the_slab_as_it_was(void **state) {
    struct kb_slab *slab = *state;
    static const size_t huge[] = {SIZE_MAX - 4096, 1}, large[] = {SIZE_MAX / 4};
    struct kb_err err = {0};
    size_t bytes = slab->bytes;
    assert_false(kb_slab_place(slab, 2, huge, NULL, &err));
    assert_int_equal(err.kind, KB_MEMORY);
    assert_false(kb_slab_place(slab, 1, large, NULL, &err));
    assert_int_equal(err.kind, KB_MEMORY);
    assert_int_equal(slab->n_slots, N);
    assert_int_equal(slab->bytes, bytes);
    assert_int_equal(kb_slab_guards(slab, NULL, 0), 0);
}

static void a_roomy_copy_takes_more_tensors_in_place(void **state) {
    const struct kb_slab *slab = *state;
    static const size_t more[] = {1 << 19, 1 << 18};
    struct kb_err err = {0};
    struct kb_slab copy = {0};
    assert_true(kb_slab_copy_roomy(&copy, slab, 1 << 20, &err));
    assert_int_equal(copy.room, 1 << 20);
    assert_int_equal(copy.bytes, slab->bytes);
    assert_memory_equal(copy.data, slab->data, slab->bytes);
    assert_int_equal(kb_slab_guards(&copy, NULL, 0), 0);
    const unsigned char *before = copy.data;
    assert_true(kb_slab_place(&copy, 2, more, NULL, &err));
    assert_ptr_equal(copy.data, before);
    assert_int_equal(kb_slab_guards(&copy, NULL, 0), 0);
    kb_slab_free(&copy);
    assert_true(kb_slab_copy_roomy(&copy, slab, 1, &err));
    assert_int_equal(copy.room, slab->bytes);
    kb_slab_free(&copy);
}

static void the_file_is_the_memory_and_cannot_be_shrunk(void **state) {
    const struct kb_slab *slab = *state;
    unsigned char *view = mmap(NULL, slab->bytes, PROT_READ, MAP_SHARED, slab->fd, 0);
    assert_true(view != MAP_FAILED);
    memset(kb_slab_at(slab, 3), 0x5c, sizes[3]);
    assert_memory_equal(view, slab->data, slab->bytes);
    munmap(view, slab->bytes);
    assert_int_equal(ftruncate(slab->fd, 0), -1);
}

static void a_big_tensor_costs_nothing_before_it_is_filled(void **state) {
    (void)state;
    struct kb_err err = {0};
    struct kb_slab slab;
    struct stat info;
    size_t half = (size_t)sysconf(_SC_PHYS_PAGES) / 2 * (size_t)sysconf(_SC_PAGESIZE);
    assert_true(kb_slab_make(&slab, KB_SLAB_SHARED, 1, &half, 0, &err));
    assert_int_equal(fstat(slab.fd, &info), 0);
    assert_int_equal(info.st_size, slab.bytes);
    assert_true(info.st_blocks * 512 <= 1 << 20);
    kb_slab_free(&slab);
}

static void a_slab_larger_than_the_machine_is_refused_with_its_size(void **state) {
    (void)state;
    static const size_t too_large = (size_t)10000000000000000;
    struct kb_err err = {0};
    struct kb_slab slab;
    assert_false(kb_slab_make(&slab, KB_SLAB_SHARED, 1, &too_large, 0, &err));
    assert_int_equal(err.kind, KB_MEMORY);
    assert_non_null(strstr(err.msg, "needs 10 PB, this machine has "));
    assert_null(slab.data);
    assert_int_equal(slab.fd, -1);
    kb_slab_free(&slab);
}

static void sizes_that_overflow_are_refused(void **state) {
    (void)state;
    static const size_t pair[] = {SIZE_MAX / 2, SIZE_MAX / 2};
    static const size_t small[] = {16, 16};
    struct kb_err err = {0};
    struct kb_slab slab;
    size_t out = 77;
    assert_false(kb_slab_size(2, pair, 0, &out));
    assert_false(kb_slab_size(2, small, SIZE_MAX - 5000, &out));
    assert_int_equal(out, 77);
    assert_false(kb_slab_make(&slab, KB_SLAB_SHARED, 2, pair, 0, &err));
    assert_int_equal(err.kind, KB_MEMORY);
    assert_null(slab.data);
}

static void memory_that_cannot_be_mapped_is_a_memory_error(void **state) {
    (void)state;
    static const size_t bytes = 50000000;
    struct rlimit old, none;
    struct kb_err err = {0};
    struct kb_slab slab;
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    none = old;
    none.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    bool made = kb_slab_make(&slab, KB_SLAB_SHARED, 1, &bytes, 0, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_false(made);
    assert_int_equal(err.kind, KB_MEMORY);
    assert_non_null(strstr(err.msg, "needs 50 MB"));
    assert_int_equal(slab.fd, -1);
}

static void no_tensors_make_an_empty_slab(void **state) {
    (void)state;
    struct kb_err err = {0};
    struct kb_slab slab, copy, zero = {0};
    assert_true(kb_slab_make(&slab, KB_SLAB_SHARED, 0, NULL, 0, &err));
    assert_null(slab.data);
    assert_int_equal(slab.bytes, 0);
    assert_int_equal(slab.fd, -1);
    assert_int_equal(kb_slab_guards(&slab, NULL, 0), 0);
    assert_true(kb_slab_copy(&copy, &slab, &err));
    assert_null(copy.data);
    kb_slab_free(&slab);
    kb_slab_free(&copy);
    kb_slab_free(&zero);
    kb_slab_free(NULL);
    assert_true(fcntl(0, F_GETFD) >= 0); /* an empty slab's fd 0 is not its own */
}

static void poison_is_its_pattern_to_the_last_byte(void **state) {
    (void)state;
    static const unsigned char patterns[2][2] = {{0xb3, 0x7f}, {0x4c, 0x80}};
    static const size_t lengths[] = {0, 1, 2, 7, 4096, 4097, 20001};
    unsigned char data[20002];
    for (int p = 0; p < 2; p++) {
        for (size_t k = 0; k < KB_COUNT(lengths); k++) {
            memset(data, 0x33, sizeof data);
            kb_poison(data, lengths[k], p);
            for (size_t i = 0; i < lengths[k]; i++)
                assert_int_equal(data[i], patterns[p][i % 2]);
            assert_int_equal(data[lengths[k]], 0x33);
        }
    }
}

static void poison_is_recognised_in_every_dtype_and_nothing_else_is(void **state) {
    (void)state;
    unsigned char data[64];
    for (int p = 0; p < 2; p++) {
        kb_poison(data, sizeof data, p);
        for (int d = 0; d < KB_DTYPE_COUNT; d++) {
            enum kb_dtype dtype = (enum kb_dtype)d;
            uint32_t bits = kb_bits_at(dtype, data, 5);
            assert_true(kb_is_poison(dtype, bits, p));
            assert_true(kb_is_poison(dtype, kb_bits_at(dtype, data, 6), p));
            assert_false(kb_is_poison(dtype, bits, !p));
            assert_false(kb_is_poison(dtype, bits ^ 2, p));
            assert_false(kb_is_poison(dtype, 0, p));
        }
    }
    assert_false(kb_is_poison(KB_FP32, 0x7fb3, 0));
    assert_true(kb_is_poison(KB_BF16, 0x7fb3, 0));
    assert_true(kb_is_poison(KB_FP16, 0x804c, 1));
}

#define WITH_SLAB(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SLAB(every_tensor_is_aligned_and_lies_between_guards),
        WITH_SLAB(writing_every_byte_of_the_tensors_hits_no_guard),
        WITH_SLAB(one_changed_byte_is_found_with_its_tensor_side_and_distance),
        WITH_SLAB(every_byte_outside_the_tensors_is_in_one_zone),
        WITH_SLAB(a_run_of_changed_bytes_is_counted_from_the_nearest),
        WITH_SLAB(zones_past_the_callers_room_are_counted_still),
        WITH_SLAB(a_guard_copied_onto_another_place_shows),
        WITH_SLAB(a_copy_has_the_same_bytes_in_memory_of_its_own),
        WITH_SLAB(other_tensors_take_the_place_of_the_old_ones),
        WITH_SLAB(what_cannot_be_placed_leaves_the_slab_as_it_was),
        WITH_SLAB(a_roomy_copy_takes_more_tensors_in_place),
        WITH_SLAB(the_file_is_the_memory_and_cannot_be_shrunk),
        cmocka_unit_test(a_big_tensor_costs_nothing_before_it_is_filled),
        cmocka_unit_test(a_slab_larger_than_the_machine_is_refused_with_its_size),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(memory_that_cannot_be_mapped_is_a_memory_error),
        cmocka_unit_test(no_tensors_make_an_empty_slab),
        cmocka_unit_test(poison_is_its_pattern_to_the_last_byte),
        cmocka_unit_test(poison_is_recognised_in_every_dtype_and_nothing_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
