/* host_command.c - what a runner is told of one run, as text (kernels/host/README.md), and
 * what it takes for granted. */
#include "host.h"

#include <string.h>

/* Slots of the plan. */
static int n_slots(const struct kb_slab *slab, const struct kb_run_options *options) {
    return options->twice ? slab->n_slots / 2 : slab->n_slots;
}

/* The contract's name of a slot, for messages. */
static void slot_name(const struct kb_plan *plan, int tensors, int slot,
                      struct kb_buf *out) {
    const struct kb_variant *v = plan->variant;
    if (v && slot >= tensors && slot - tensors < v->n_scratch) {
        kb_buf_puts(out, v->scratch[slot - tensors].name);
        return;
    }
    for (int l = 0; v && l < plan->n_launches && l < v->n_launches; l++)
        for (int a = 0; a < plan->launches[l].n_args && a < v->launches[l].n_args; a++)
            if (plan->launches[l].args[a].kind == KB_ARG_TENSOR &&
                plan->launches[l].args[a].index == slot) {
                kb_buf_puts(out, v->launches[l].args[a]);
                return;
            }
    kb_buf_printf(out, slot < tensors ? "tensor %d" : "scratch %d",
                  slot < tensors ? slot : slot - tensors);
}

static void write_args(const struct kb_launch *l, const struct kb_slab *slab, int tensors,
                       struct kb_buf *out) {
    for (int a = 0; a < l->n_args; a++) {
        const struct kb_arg *arg = &l->args[a];
        int slot = arg->kind == KB_ARG_SCRATCH ? tensors + arg->index : arg->index;
        uint64_t bits = 0;
        if (arg->kind == KB_ARG_SCALAR) {
            memcpy(&bits, arg->value, sizeof bits);
            kb_buf_printf(out, "arg scalar %zu %llx\n", arg->bytes,
                          (unsigned long long)bits);
        } else if (slab->slots[slot].bytes == 0) {
            kb_buf_puts(out, "arg null\n"); /* absent or empty */
        } else {
            kb_buf_printf(out, "arg slot %d\n", slot);
        }
    }
}

/* How often it is run and over what; none of it under a sanitizer, whose finding counts. */
static void write_passes(const struct kb_slab *slab, const struct kb_run_options *options,
                         struct kb_buf *out) {
    if (options->ahead)
        kb_buf_printf(out, "ahead%s\n", options->twice ? " twice" : "");
    for (int i = 0; i < options->n_patches && options->ahead; i++) {
        const struct kb_patch *patch = &options->patches[i];
        uint32_t value = 0;
        memcpy(&value, patch->value, patch->bytes);
        kb_buf_printf(out, "patch %zu %zu %x\n", patch->offset, patch->bytes, value);
    }
    if (options->late)
        kb_buf_printf(out, "late %zu\n", options->late_bytes);
    if (options->repeats > 0)
        kb_buf_printf(out, "repeat %d %lld\n", options->repeats,
                      (long long)options->repeat_ns);
    for (int i = 0; i < n_slots(slab, options) && options->repeats > 0; i++)
        if (options->compared >> i & 1)
            kb_buf_printf(out, "compared %d\n", i);
}

static void write_launch(const struct kb_launch *l, const struct kb_slab *slab, int tensors,
                         struct kb_buf *out) {
    struct kb_arena arena = {0};
    kb_buf_printf(out, "launch %lld %lld %lld %lld %lld %lld %zu %s\n",
                  (long long)l->grid[0], (long long)l->grid[1], (long long)l->grid[2],
                  (long long)l->block[0], (long long)l->block[1], (long long)l->block[2],
                  l->smem_bytes, host_entry_line(l->entry, &arena));
    if (l->pdl)
        kb_buf_puts(out, "early\n");
    write_args(l, slab, tensors, out);
    kb_buf_puts(out, "run\n");
    kb_arena_free(&arena);
}

void host_command(const struct kb_device *device, const struct kb_plan *plan,
                  const struct kb_slab *slab, const struct kb_run_options *options,
                  const char *nonce, struct kb_buf *out) {
    int n = n_slots(slab, options), tensors = n - plan->n_scratch;
    kb_buf_printf(out, "nonce %s\nslab %zu\norder %d\nseed %llu\nworkers %d\nsmem %lld\n",
                  nonce, slab->bytes, (int)options->order,
                  (unsigned long long)options->schedule_seed, device->info.cores,
                  (long long)device->info.limits.smem_per_block);
    for (int i = 0; i < slab->n_slots; i++) {
        kb_buf_printf(out, "slot %zu %zu ", slab->slots[i].offset, slab->slots[i].bytes);
        slot_name(plan, tensors, i % n, out);
        kb_buf_putc(out, '\n');
    }
    if (!device->sanitizers)
        write_passes(slab, options, out);
    for (int i = 0; i < plan->n_launches; i++) {
        const int64_t *grid = plan->launches[i].grid;
        if (grid[0] > 0 && grid[1] > 0 && grid[2] > 0)
            write_launch(&plan->launches[i], slab, tensors, out);
    }
    kb_buf_puts(out, "end\n");
}

bool host_launches_nothing(const struct kb_plan *plan) {
    for (int i = 0; i < plan->n_launches; i++) {
        const int64_t *grid = plan->launches[i].grid;
        if (grid[0] > 0 && grid[1] > 0 && grid[2] > 0)
            return false;
    }
    return true;
}

bool host_starts_early(const struct kb_plan *plan) {
    for (int i = 0; i < plan->n_launches; i++)
        if (plan->launches[i].pdl)
            return true;
    return false;
}

bool host_is_sound(const struct kb_device *device, const struct kb_plan *plan,
                   const struct kb_slab *slab, const struct kb_run_options *options,
                   struct kb_err *err) {
    const struct kb_device_limits *limits = &device->info.limits;
    if (options->twice && slab->n_slots % 2)
        return kb_fail(err, KB_DEVICE, "the slab has no slots twice over");
    if (device->options.memory_limit > 0 && slab->bytes > device->options.memory_limit)
        return kb_fail(err, KB_MEMORY, "needs %s, the limit is %s",
                       kb_size_text((double)slab->bytes).text,
                       kb_size_text((double)device->options.memory_limit).text);
    if (slab->bytes > 0 && slab->fd < 0)
        return kb_fail(err, KB_DEVICE, "the host backend runs over shared slabs only");
    for (int i = 0; i < plan->n_launches; i++) {
        const struct kb_launch *l = &plan->launches[i];
        int64_t threads = 1;
        for (int k = 0; k < 3; k++) {
            if (l->grid[k] < 0 || l->grid[k] > limits->max_grid[k])
                return kb_fail(err, KB_DEVICE,
                               "launch %d: a grid of %lld in %c, at most "
                               "%lld",
                               i + 1, (long long)l->grid[k], "xyz"[k],
                               (long long)limits -> max_grid[k]);
            if (l->block[k] < 1 || l->block[k] > limits->max_block[k])
                return kb_fail(err, KB_DEVICE,
                               "launch %d: a block of %lld in %c, 1 to "
                               "%lld",
                               i + 1, (long long)l->block[k], "xyz"[k],
                               (long long)limits -> max_block[k]);
            threads *= l->block[k];
        }
        if (threads > limits->max_threads)
            return kb_fail(err, KB_DEVICE,
                           "launch %d: %lld threads in a block, at most "
                           "%lld",
                           i + 1, (long long)threads, (long long)limits->max_threads);
        if (l->smem_bytes > (size_t)limits->smem_per_block)
            return kb_fail(err, KB_DEVICE,
                           "launch %d: %zu bytes of shared memory, at most "
                           "%lld",
                           i + 1, l->smem_bytes, (long long)limits->smem_per_block);
    }
    return true;
}
