/* memory.cc - shared memory of a block, and copies in flight. Included by runner.cc. */

enum { KBH_STATIC_MAX = 48 << 10 };

size_t kbh_smem_limit;
/* Under TSan there is one OS thread, and a constant address needs no set-up that would look
 * like a race between the first CUDA threads. */
alignas(1024) char kbh_dynamic_single[KBH_DYNAMIC_MAX];
static kbh_shared_global *globals;

/* The 16-bit word 7fb3, as in poisoned outputs. Not memset: that is the sanitizer's. */
static void poison(void *data, size_t bytes) {
    volatile unsigned char *at = (volatile unsigned char *)data;
    size_t i = 0;
    for (; i < bytes && (uintptr_t)(at + i) & 7; i++)
        at[i] = i & 1 ? 0x7f : 0xb3;
    uint64_t word = i & 1 ? 0xb37fb37fb37fb37full : 0x7fb37fb37fb37fb3ull;
    for (; i + 8 <= bytes; i += 8)
        *(volatile uint64_t *)(at + i) = word;
    for (; i < bytes; i++)
        at[i] = i & 1 ? 0x7f : 0xb3;
}

/* ---- dynamic ------------------------------------------------------------------------- */

static void kbh_dynamic_begin(kbh_engine *e, bool single) {
    if (kbh_tsan() && single)
        e->dynamic = kbh_dynamic_single;
    if (!e->dynamic) {
        void *memory = mmap(NULL, KBH_DYNAMIC_MAX + 4096, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            kbh_stop(KBH_LIMIT, "no memory for shared memory");
        e->dynamic = (char *)memory;
    }
    if (kbh_asan()) {
        __asan_unpoison_memory_region(e->dynamic, KBH_DYNAMIC_MAX);
        __asan_poison_memory_region(e->dynamic + e->launch->smem,
                                    KBH_DYNAMIC_MAX - e->launch->smem);
    }
}

void *kbh_dynamic(void) {
    return engine->dynamic;
}

static void note_shared(kbh_engine *e, const char *name, const void *data, size_t bytes) {
    if (e->n_shared < KBH_MAX_SHARED)
        e->shared[e->n_shared++] = kbh_shared{name, (const char *)data, bytes};
}

static void kbh_shared_begin(kbh_engine *e) {
    e->static_bytes = 0;
    e->n_shared = 0;
    if (e->launch->smem) {
        poison(e->dynamic, e->launch->smem);
        note_shared(e, "dynamic shared memory", e->dynamic, e->launch->smem);
    }
    for (kbh_shared_global *g = globals; g; g = g->next)
        poison(g->address(), g->bytes);
}

/* ---- static -------------------------------------------------------------------------- */

void kbh_shared_enter(kbh_shared_site *site, void *data, size_t bytes, size_t before,
                      size_t after, const char *name) {
    kbh_engine *e = engine;
    if (site->block == kbh_now.block)
        return;
    site->block = kbh_now.block;
    if (kbh_asan()) {
        __asan_unpoison_memory_region(data, bytes);
        __asan_poison_memory_region((char *)data - before, before);
        __asan_poison_memory_region((char *)data + bytes, after);
    }
    poison(data, bytes);
    note_shared(e, name, data, bytes);
    e->static_bytes += bytes;
    if (e->static_bytes > KBH_STATIC_MAX)
        kbh_stop(KBH_LIMIT, "\"%s\" brings static shared memory to %zu bytes, the limit is %d",
                 name, e->static_bytes, KBH_STATIC_MAX);
    if (e->static_bytes + e->launch->smem > kbh_smem_limit)
        kbh_stop(KBH_LIMIT, "%zu bytes of static and %zu of dynamic shared memory, the limit "
                            "is %zu",
                 e->static_bytes, e->launch->smem, kbh_smem_limit);
}

kbh_shared_global::kbh_shared_global(void *(*where)(void), size_t size)
    : address(where), bytes(size), next(globals) {
    globals = this;
}

/* ---- copies in flight ------------------------------------------------------------------ */

void kbh_async_copy(const kbh_copy *copy) {
    kbh_engine *e = engine;
    unsigned t = kbh_now.thread;
    kbh_pending *p = e->spare_copies;
    if (p)
        e->spare_copies = p->next;
    else if (!(p = (kbh_pending *)malloc(sizeof *p)))
        kbh_stop(KBH_LIMIT, "no memory for copies in flight");
    p->next = NULL;
    p->group = e->groups[t];
    p->copy = *copy;
    if (!e->copies[t])
        e->copies_end[t] = &e->copies[t];
    *e->copies_end[t] = p;
    e->copies_end[t] = &p->next;
    e->any_copies = true;
}

void kbh_async_commit(void) {
    engine->groups[kbh_now.thread]++;
    engine->any_copies = true;
}

bool kbh_async_next(int pending_groups, kbh_copy *copy) {
    kbh_engine *e = engine;
    unsigned t = kbh_now.thread;
    kbh_pending *p = e->copies[t];
    if (!p || p->group >= e->groups[t] - pending_groups)
        return false;
    *copy = p->copy;
    e->copies[t] = p->next;
    p->next = e->spare_copies;
    e->spare_copies = p;
    return true;
}

/* Nobody waited for them: nobody can see them any more. */
static void drop_copies(kbh_engine *e) {
    if (!e->any_copies)
        return;
    e->any_copies = false;
    for (unsigned t = 0; t < e->n_threads; t++) {
        e->groups[t] = 0;
        while (kbh_pending *p = e->copies[t]) {
            e->copies[t] = p->next;
            p->next = e->spare_copies;
            e->spare_copies = p;
        }
    }
}
