/* cuda_sets.c - the buffers that timed launches rotate over. */
#include "cuda_timer.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, IDLE_KEPT = 2 };

/* The same remainder from a multiple of 256 bytes as in the slab, and a gap behind. */
static void lay_out(struct kb_sets *sets, const struct kb_slab *slab, int first, int n) {
    size_t at = 0;
    sets->n = n;
    for (int i = 0; i < n; i++) {
        const struct kb_slot *slot = &slab->slots[first + i];
        sets->offsets[i] = at + slot->offset % ALIGN;
        sets->sizes[i] = slot->bytes;
        sets->bytes += slot->bytes;
        if (slot->bytes)
            at = (sets->offsets[i] + slot->bytes + 2 * ALIGN - 1) / ALIGN * ALIGN;
    }
    sets->stride = at;
}

/* Of layout and contents: equal slots of another slab are the same buffers. */
static struct kb_hash key_of(const struct kb_sets *sets, const struct kb_slab *slab,
                             int first) {
    struct kb_hasher *hasher = kb_hasher_make();
    for (int i = 0; i < sets->n; i++) {
        struct kb_hash contents =
            kb_hash_large(kb_slab_at(slab, first + i), sets->sizes[i]);
        kb_hasher_add(hasher, &sets->offsets[i], sizeof sets->offsets[i]);
        kb_hasher_add(hasher, &sets->sizes[i], sizeof sets->sizes[i]);
        kb_hasher_add(hasher, &contents, sizeof contents);
    }
    return kb_hasher_end(hasher);
}

CUdeviceptr kb_sets_at(const struct kb_sets *sets, int set, int slot) {
    if (!sets->sizes[slot])
        return 0;
    return sets->memory + (size_t)set * sets->stride + sets->offsets[slot];
}

static bool upload(struct kb_device *device, const struct kb_sets *sets,
                   const struct kb_slab *slab, int first, struct kb_err *err) {
    for (int i = 0; i < sets->n; i++)
        if (sets->sizes[i] &&
            !kb_cuda_upload(device, kb_sets_at(sets, sets->count, i),
                            kb_slab_at(slab, first + i), sets->sizes[i], err))
            return false;
    return true;
}

bool kb_sets_reset(struct kb_device *device, struct kb_sets *sets, int count,
                   struct kb_err *err) {
    CUdeviceptr pristine = sets->memory + (size_t)sets->count * sets->stride;
    CUresult rc = CUDA_SUCCESS;
    sets->fresh = NULL;
    if (!sets->stride)
        return true;
    rc = device->cu.MemcpyDtoDAsync(sets->memory, pristine, sets->stride, device->stream);
    for (size_t done = 1; done < (size_t)count && !rc;) {
        size_t more = done < (size_t)count - done ? done : (size_t)count - done;
        rc = device->cu.MemcpyDtoDAsync(sets->memory + done * sets->stride, sets->memory,
                                        more * sets->stride, device->stream);
        done += more;
    }
    return !rc || kb_cuda_fail(&device->cu, rc, "copy on the device", err);
}

bool kb_sets_read(struct kb_device *device, const struct kb_sets *sets, int set, int first,
                  struct kb_slab *out, struct kb_err *err) {
    for (int i = 0; i < sets->n; i++)
        if (sets->sizes[i] &&
            !kb_cuda_download(device, kb_slab_at(out, first + i), kb_sets_at(sets, set, i),
                              sets->sizes[i], err))
            return false;
    return true;
}

/* ---- sharing ---------------------------------------------------------------------------
 */

static void free_sets(struct kb_device *device, struct kb_sets *sets) {
    struct kb_sets **link = &device->clockwork->sets;
    while (*link && *link != sets)
        link = &(*link)->next;
    if (*link)
        *link = sets->next;
    kb_cuda_free(device, &sets->memory);
    free(sets);
}

/* The one without users that was used longest ago; *count: how many there are. */
static struct kb_sets *oldest_idle(const struct kb_device *device, int *count) {
    struct kb_sets *oldest = NULL;
    *count = 0;
    for (struct kb_sets *s = device->clockwork->sets; s; s = s->next) {
        if (s->users)
            continue;
        ++*count;
        if (!oldest || s->age < oldest->age)
            oldest = s;
    }
    return oldest;
}

bool kb_sets_drop_idle(struct kb_device *device) {
    int count;
    bool any = false;
    struct kb_sets *oldest;
    while (device->clockwork && (oldest = oldest_idle(device, &count)) != NULL) {
        free_sets(device, oldest);
        any = true;
    }
    return any;
}

size_t kb_sets_idle_bytes(const struct kb_device *device) {
    size_t bytes = 0;
    const struct kb_sets *s = device->clockwork ? device->clockwork->sets : NULL;
    for (; s; s = s->next)
        bytes += s->users ? 0 : s->stride * ((size_t)s->count + 1);
    return bytes;
}

/* Kept for the next method over the same tensors: a suite opens a timer for each. */
void kb_sets_close(struct kb_device *device, struct kb_sets *sets) {
    int count;
    if (!sets)
        return;
    sets->users--;
    sets->age = (uint64_t)kb_now_ns();
    struct kb_sets *oldest = oldest_idle(device, &count);
    if (count > IDLE_KEPT)
        free_sets(device, oldest);
}

static struct kb_sets *find_shared(const struct kb_device *device,
                                   const struct kb_sets *wanted) {
    for (struct kb_sets *s = device->clockwork->sets; s; s = s->next)
        if (s->count >= wanted->count && s->n == wanted->n &&
            memcmp(&s->key, &wanted->key, sizeof s->key) == 0)
            return s;
    return NULL;
}

bool kb_sets_open(struct kb_device *device, const struct kb_slab *slab, int first, int n,
                  int count, struct kb_sets **out, struct kb_err *err) {
    struct kb_sets *sets = calloc(1, sizeof *sets);
    size_t bytes;
    if (!sets)
        kb_out_of_memory();
    sets->count = count;
    lay_out(sets, slab, first, n);
    sets->key = key_of(sets, slab, first);
    struct kb_sets *shared = find_shared(device, sets);
    if (shared) {
        free(sets);
        shared->users++;
        *out = shared;
        return true;
    }
    sets->next = device->clockwork->sets;
    device->clockwork->sets = sets;
    sets->users = 1;
    if (!kb_mul_size(sets->stride, (size_t)count + 1, &bytes))
        bytes = SIZE_MAX;
    if (!kb_cuda_alloc(device, bytes, &sets->memory, err) ||
        !upload(device, sets, slab, first, err) ||
        !kb_sets_reset(device, sets, count, err)) {
        free_sets(device, sets);
        return false;
    }
    *out = sets;
    return true;
}
