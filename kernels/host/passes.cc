/* passes.cc - how often a command's launches run, and over what: once after a run over other
 * contents, many times over the same, with inputs that come late. Included by runner.cc. */

/* ---- inputs that come late -------------------------------------------------------------
 * A launch with a programmatic start may begin while the kernels ahead still write. The
 * first block of such a launch finds poison in every slot; at the block's first wait, or at
 * its end if it has none, the slots are put back to what they were. So what was read too
 * early is poison, and what was written too early is lost. The same then goes for each thread
 * that starts, until it waits or lets others run, and for further blocks, as long as the
 * budget of bytes to copy lasts. One OS thread. */

bool kbh_early;
static bool early_thread; /* what is early is one thread and not the block */
static char *before;      /* the slots' contents */

static size_t slot_bytes(void) {
    size_t bytes = 0;
    for (int i = 0; i < run.n_slots; i++)
        bytes += run.slots[i].bytes;
    return bytes;
}

static void begin_early(void) {
    char *to = before;
    for (int i = 0; i < run.n_slots; i++) {
        char *slot = run.slab + run.slots[i].offset;
        memcpy(to, slot, run.slots[i].bytes);
        poison(slot, run.slots[i].bytes);
        to += run.slots[i].bytes;
    }
    kbh_early = true;
}

void kbh_wait_inputs(void) {
    const char *from = before;
    if (!kbh_early)
        return;
    kbh_early = early_thread = false;
    for (int i = 0; i < run.n_slots; i++) {
        memcpy(run.slab + run.slots[i].offset, from, run.slots[i].bytes);
        from += run.slots[i].bytes;
    }
}

/* Take what an early start costs from the budget. */
static bool afford_early(void) {
    size_t cost = 2 * slot_bytes();
    bool enough = early_left >= cost;
    early_left = enough ? early_left - cost : 0;
    return enough;
}

/* A thread starts: called where the budget is not spent. */
static void kbh_start_early(void) {
    if (kbh_early || !afford_early())
        return;
    begin_early();
    early_thread = true;
}

static void kbh_end_early(void) {
    if (early_thread)
        kbh_wait_inputs();
}

/* As many blocks as the budget is for, one at least; how many that were. */
static uint64_t run_early_blocks(kbh_work *work) {
    uint64_t n = 0;
    if (!work->launch->early || !run.late_bytes || !run.slab || !work->n_blocks)
        return 0;
    if (!before)
        before = (char *)malloc(slot_bytes() + 1);
    if (!before)
        kbh_stop(KBH_LIMIT, "no memory for a copy of %zu bytes", slot_bytes());
    early_left = run.late_bytes;
    kbh_engine_begin(&engines[0], work->launch, work->indices, run.seed, true);
    do {
        begin_early();
        kbh_run_block(&engines[0], block_at(work, n++));
        kbh_wait_inputs();
    } while (n < work->n_blocks && afford_early());
    early_left = 0;
    engine = NULL;
    return n;
}

/* ---- all launches ---------------------------------------------------------------------- */

static void run_launches(void) {
    for (int i = 0; i < run.n_launches; i++)
        run_launch(&run.launches[i]);
}

/* Over the slab as it is; then what the second half of the slots has takes its place, and
 * the patches are made. Nothing else changes, but what the kernel keeps itself. */
static void run_ahead(void) {
    int n = run.twice ? run.n_slots / 2 : 0;
    run_launches();
    for (int i = 0; i < n; i++) {
        const kbh_slot *from = &run.slots[n + i], *to = &run.slots[i];
        if (from->bytes && from->bytes == to->bytes)
            memcpy(run.slab + to->offset, run.slab + from->offset, to->bytes);
    }
    for (int i = 0; i < run.n_patches; i++)
        memcpy(run.slab + run.patches[i].offset, &run.patches[i].value,
               run.patches[i].bytes);
}

/* Of the slots that must have the same bytes after every pass. */
static uint64_t hash_outputs(void) {
    uint64_t hash = 0xcbf29ce484222325ull;
    for (int i = 0; i < run.n_slots; i++) {
        const char *at = run.slab + run.slots[i].offset;
        size_t bytes = run.slots[i].compared ? run.slots[i].bytes : 0, k = 0;
        for (; k + 8 <= bytes; k += 8) {
            uint64_t word;
            memcpy(&word, at + k, 8);
            hash = (hash ^ word ^ word >> 29) * 0x100000001b3ull;
            hash ^= hash >> 32;
        }
        for (; k < bytes; k++)
            hash = (hash ^ (unsigned char)at[k]) * 0x100000001b3ull;
    }
    return hash;
}

/* Passes over the slab as it is, each in another order, which is put back after each; false
 * with what it left at the first that leaves other outputs than the one before. */
static bool run_passes(void) {
    const enum kbh_order order = run.order;
    const uint64_t seed = run.seed;
    long long end_ns = now_ns() + run.repeat_ns;
    uint64_t first = 0;
    bool same = true;
    char *initial = (char *)malloc(run.slab_bytes + 1);
    if (!initial)
        kbh_stop(KBH_LIMIT, "no memory for a copy of %zu bytes", run.slab_bytes);
    if (run.slab)
        memcpy(initial, run.slab, run.slab_bytes);
    for (int i = 0; i < run.repeats && same && (i == 0 || now_ns() < end_ns); i++) {
        run.order = i % 3 == 0 ? order : i % 3 == 1 ? KBH_SHUFFLED : KBH_REVERSED;
        run.seed = i ? seed + 1000 + (uint64_t)i : seed;
        run_launches();
        uint64_t hash = hash_outputs();
        first = i ? first : hash;
        same = hash == first;
        run.passes++;
        if (same && run.slab)
            memcpy(run.slab, initial, run.slab_bytes);
    }
    free(initial);
    run.order = order;
    run.seed = seed;
    return same;
}

/* What the command asks for, in the end one run that stays in the slab. */
static long long run_command(void) {
    if (run.ahead)
        run_ahead();
    if (run.repeats && !run_passes())
        return 0;
    long long start_ns = now_ns();
    run_launches();
    run.passes++;
    return now_ns() - start_ns;
}
