/* slab.c - all tensors of a case in one shared block of memory, each between guard zones.
 *
 * A zone holds bytes that depend on their offset, so that a stray copy of one zone into
 * another shows too; none is 0x00 or 0xff, the bytes that stray writes are most often made
 * of. Only the zones are touched here: a tensor's pages cost nothing until they are filled.
 * Zones are filled and compared before and after every launch, hence word by word. */
#include "tensor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Place a tensor after `cursor`, the end of the last one's smallest zone, and move it on.
 */
static bool slot_place(size_t *cursor, size_t bytes, size_t shift, struct kb_slot *slot) {
    size_t start, end;
    if (!kb_add_size(*cursor, KB_GUARD_BYTES + KB_SLAB_ALIGN - 1, &start))
        return false;
    start -= start % KB_SLAB_ALIGN;
    if (!kb_add_size(start, shift, &start) || !kb_add_size(start, bytes, &end) ||
        !kb_add_size(end, KB_GUARD_BYTES, cursor))
        return false;
    *slot = (struct kb_slot){.offset = start, .bytes = bytes};
    return true;
}

/* `shifts` NULL: `shift` for all of them. */
static bool sum_up(int n, const size_t *bytes, const size_t *shifts, size_t shift,
                   size_t *out) {
    struct kb_slot slot;
    size_t cursor = 0;
    for (int i = 0; i < n; i++)
        if (!slot_place(&cursor, bytes[i], shifts ? shifts[i] : shift, &slot))
            return false;
    *out = cursor;
    return true;
}

bool kb_slab_size(int n, const size_t *bytes, size_t shift, size_t *out) {
    return sum_up(n, bytes, NULL, shift, out);
}

/* ---- guard zones -----------------------------------------------------------------------
 * Every byte outside the tensors belongs to one zone: KB_GUARD_BYTES before each tensor
 * (and what leads up to the first) are its own, the rest is the zone after the tensor in
 * front. */

enum { WORD = 8 };

/* The bytes at offsets WORD * index and up: bit 0 of each is set and bit 1 is not. */
static uint64_t guard_word(size_t index) {
    uint64_t mix = (uint64_t)index + 0x9e3779b97f4a7c15u; /* splitmix64's finaliser */
    mix = (mix ^ mix >> 30) * 0xbf58476d1ce4e5b9u;
    mix = (mix ^ mix >> 27) * 0x94d049bb133111ebu;
    mix ^= mix >> 31;
    return (mix | 0x0101010101010101u) & ~UINT64_C(0x0202020202020202);
}

static unsigned char guard_byte(size_t offset) {
    uint64_t word = guard_word(offset / WORD);
    unsigned char bytes[WORD];
    memcpy(bytes, &word, WORD);
    return bytes[offset % WORD];
}

struct zone {
    size_t start, end;
};

static struct zone zone_of(const struct kb_slab *slab, int slot, bool after) {
    const struct kb_slot *at = &slab->slots[slot];
    if (!after)
        return (struct zone){slot ? at->offset - KB_GUARD_BYTES : 0, at->offset};
    bool last = slot == slab->n_slots - 1;
    return (struct zone){at->offset + at->bytes,
                         last ? slab->bytes : at[1].offset - KB_GUARD_BYTES};
}

static void zone_fill(struct kb_slab *slab, struct zone zone) {
    size_t i = zone.start;
    for (; i < zone.end && i % WORD; i++)
        slab->data[i] = guard_byte(i);
    for (; i + WORD <= zone.end; i += WORD) {
        uint64_t word = guard_word(i / WORD);
        memcpy(slab->data + i, &word, WORD);
    }
    for (; i < zone.end; i++)
        slab->data[i] = guard_byte(i);
}

/* From `i` on, the first byte that has changed; `end` if none has. */
static size_t next_changed(const struct kb_slab *slab, size_t i, size_t end) {
    for (; i < end; i++) {
        for (; i % WORD == 0 && i + WORD <= end; i += WORD) {
            uint64_t word;
            memcpy(&word, slab->data + i, WORD);
            if (word != guard_word(i / WORD))
                break;
        }
        if (i < end && slab->data[i] != guard_byte(i))
            return i;
    }
    return end;
}

static bool zone_hit(const struct kb_slab *slab, int slot, bool after,
                     struct kb_guard_hit *hit) {
    struct zone zone = zone_of(slab, slot, after);
    size_t changed = 0, first = 0, last = 0;
    for (size_t i = next_changed(slab, zone.start, zone.end); i < zone.end;
         i = next_changed(slab, i + 1, zone.end)) {
        first = changed ? first : i;
        last = i;
        changed++;
    }
    *hit = (struct kb_guard_hit){
        .slot = slot,
        .after = after,
        .distance = after ? first - zone.start : zone.end - 1 - last,
        .changed_bytes = changed,
    };
    return changed > 0;
}

int kb_slab_guards(const struct kb_slab *slab, struct kb_guard_hit *hits, int max) {
    struct kb_guard_hit hit;
    int count = 0;
    for (int i = 0; i < 2 * slab->n_slots; i++) {
        if (!zone_hit(slab, i / 2, i % 2, &hit))
            continue;
        if (count < max)
            hits[count] = hit;
        count++;
    }
    return count;
}

/* ---- memory
 * ------------------------------------------------------------------------------ */

/* A memfd may be made larger than the machine and kills whoever touches too much of it. */
static bool fits_machine(size_t bytes, struct kb_err *err) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t machine;
    if (pages <= 0 || page <= 0 || !kb_mul_size((size_t)pages, (size_t)page, &machine) ||
        bytes <= machine)
        return true;
    return kb_fail(err, KB_MEMORY, "needs %s, this machine has %s",
                   kb_size_text((double)bytes).text, kb_size_text((double)machine).text);
}

/* Ordinary memory, on huge pages where the kernel has them: a large case otherwise spends
 * more time on page faults than on its reference. */
static void *map_private(size_t bytes) {
    void *data =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data != MAP_FAILED)
        (void)madvise(data, bytes, MADV_HUGEPAGE);
    return data;
}

static bool fail_map(size_t bytes, struct kb_err *err) {
    int cause = errno;
    return kb_fail(err, KB_MEMORY, "needs %s, cannot map them: %s",
                   kb_size_text((double)bytes).text, strerror(cause));
}

/* Map `bytes` of fresh zeroed memory. The size of a file is sealed: a child that is handed
 * it cannot shrink it under us. */
static bool map_fresh(struct kb_slab *slab, enum kb_slab_kind kind, size_t bytes,
                      struct kb_err *err) {
    void *data = MAP_FAILED;
    if (!fits_machine(bytes, err))
        return false;
    if (kind == KB_SLAB_PRIVATE) {
        data = map_private(bytes);
        if (data == MAP_FAILED)
            return fail_map(bytes, err);
        slab->data = data;
        slab->bytes = slab->room = bytes;
        return true;
    }
    int fd = memfd_create("kbench-slab", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return kb_fail(err, KB_IO, "cannot create a memory file: %s", strerror(errno));
    if (!ftruncate(fd, (off_t)bytes) &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        fail_map(bytes, err);
        close(fd);
        return false;
    }
    slab->data = data;
    slab->bytes = slab->room = bytes;
    slab->fd = fd;
    return true;
}

static struct kb_slot *slots_make(int n) {
    struct kb_slot *slots = calloc((size_t)n, sizeof *slots);
    if (!slots)
        kb_out_of_memory();
    return slots;
}

/* Slots in memory that is there, and their guard zones. */
static void lay_out(struct kb_slab *slab, int n, const size_t *bytes, const size_t *shifts,
                    size_t shift) {
    size_t cursor = 0;
    free(slab->slots);
    slab->slots = slots_make(n);
    slab->n_slots = n;
    for (int i = 0; i < n; i++) {
        bool placed =
            slot_place(&cursor, bytes[i], shifts ? shifts[i] : shift, &slab->slots[i]);
        assert(placed);
        (void)placed;
    }
    slab->bytes = cursor;
    for (int i = 0; i < 2 * n; i++)
        zone_fill(slab, zone_of(slab, i / 2, i % 2));
}

static bool fail_size(struct kb_err *err) {
    return kb_fail(err, KB_MEMORY, "needs over 18.4 EB, more than can be addressed");
}

bool kb_slab_make(struct kb_slab *slab, enum kb_slab_kind kind, int n, const size_t *bytes,
                  size_t shift, struct kb_err *err) {
    size_t total = 0;
    *slab = (struct kb_slab){.fd = -1};
    if (!kb_slab_size(n, bytes, shift, &total))
        return fail_size(err);
    if (n <= 0)
        return true;
    if (!map_fresh(slab, kind, total, err))
        return false;
    lay_out(slab, n, bytes, NULL, shift);
    return true;
}

bool kb_slab_place(struct kb_slab *slab, int n, const size_t *bytes, const size_t *shifts,
                   struct kb_err *err) {
    enum kb_slab_kind kind = slab->fd < 0 ? KB_SLAB_PRIVATE : KB_SLAB_SHARED;
    size_t total = 0;
    assert(n > 0);
    if (!sum_up(n, bytes, shifts, 0, &total))
        return fail_size(err);
    if (total > slab->room) {
        struct kb_slab fresh = {.fd = -1};
        if (!map_fresh(&fresh, kind, total, err))
            return false;
        kb_slab_free(slab);
        *slab = fresh;
    }
    lay_out(slab, n, bytes, shifts, 0);
    return true;
}

/* Room for `total` bytes of that kind: what there is, or fresh. */
static bool make_room(struct kb_slab *slab, enum kb_slab_kind kind, size_t total,
                      struct kb_err *err) {
    bool same = slab->data && (slab->fd < 0) == (kind == KB_SLAB_PRIVATE);

    if (same && slab->room >= total)
        return true;
    kb_slab_free(slab);
    return map_fresh(slab, kind, total, err);
}

bool kb_slab_remake(struct kb_slab *slab, enum kb_slab_kind kind, int n,
                    const size_t *bytes, struct kb_err *err) {
    size_t total = 0;
    assert(n > 0);
    if (!kb_slab_size(n, bytes, 0, &total))
        return fail_size(err);
    if (!make_room(slab, kind, total, err))
        return false;
    lay_out(slab, n, bytes, NULL, 0);
    return true;
}

void kb_slab_free(struct kb_slab *slab) {
    if (!slab)
        return;
    if (slab->data) {
        munmap(slab->data, slab->room);
        if (slab->fd >= 0)
            close(slab->fd);
    }
    free(slab->slots);
    *slab = (struct kb_slab){.fd = -1};
}

void *kb_slab_at(const struct kb_slab *slab, int slot) {
    assert(slot >= 0 && slot < slab->n_slots);
    return slab->data + slab->slots[slot].offset;
}

bool kb_slab_copy(struct kb_slab *to, const struct kb_slab *from, struct kb_err *err) {
    *to = (struct kb_slab){.fd = -1};
    return kb_slab_copy_roomy(to, from, 0, err);
}

bool kb_slab_like(struct kb_slab *to, const struct kb_slab *from, size_t room,
                  struct kb_err *err) {
    if (!from->bytes) {
        kb_slab_free(to);
        return true;
    }
    enum kb_slab_kind kind = from->fd < 0 ? KB_SLAB_PRIVATE : KB_SLAB_SHARED;
    if (!make_room(to, kind, from->bytes > room ? from->bytes : room, err))
        return false;
    to->bytes = from->bytes;
    free(to->slots);
    to->slots = slots_make(from->n_slots);
    to->n_slots = from->n_slots;
    memcpy(to->slots, from->slots, (size_t)from->n_slots * sizeof *from->slots);
    return true;
}

bool kb_slab_copy_roomy(struct kb_slab *to, const struct kb_slab *from, size_t room,
                        struct kb_err *err) {
    if (!kb_slab_like(to, from, room, err))
        return false;
    if (from->bytes)
        kb_copy(to->data, from->data, from->bytes);
    return true;
}

/* ---- poison
 * ------------------------------------------------------------------------------ */

static uint32_t poison_word(int pattern) {
    return pattern ? 0x804c : 0x7fb3;
}

void kb_poison(void *data, size_t bytes, int pattern) {
    enum { BLOCK = 4096 };
    unsigned char *out = data;
    uint32_t word = poison_word(pattern);
    for (size_t i = 0; i < bytes && i < BLOCK; i++)
        out[i] = (unsigned char)(i % 2 ? word >> 8 : word & 0xff);
    int64_t blocks = (int64_t)(bytes / BLOCK) + 1;
#pragma omp parallel for schedule(static) num_threads(kb_threads((int64_t)bytes / 8))
    for (int64_t b = 1; b < blocks; b++) {
        size_t start = (size_t)b * BLOCK, left = bytes - start;
        memcpy(out + start, out, left < BLOCK ? left : BLOCK);
    }
}

bool kb_is_poison(enum kb_dtype dtype, uint32_t bits, int pattern) {
    uint32_t word = poison_word(pattern);
    switch (kb_dtype_bytes(dtype)) {
    case 1:
        return bits == (word & 0xff) || bits == word >> 8;
    case 2:
        return bits == word;
    default:
        return bits == (word << 16 | word);
    }
}
