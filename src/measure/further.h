/* further.h - the runs of a case besides the first, which must leave the same bits.
 * Internal to the measure layer.
 *
 * A run differs from the first in several ways at once, so that few runs try all of them;
 * where it fails, each way is tried alone, to tell which it is. */
#ifndef KB_FURTHER_H
#define KB_FURTHER_H

#include "life.h"
#include "part.h"

/* The ways, in the order in which they are tried alone. */
enum kb_way {
    KB_BY_ORDER =
        1 << 0, /* of blocks and threads, from the other poison; on a GPU: again */
    KB_BY_NO_PDL = 1 << 1, /* no launch starts before the one ahead has ended */
    KB_BY_SHIFT =
        1 << 2,          /* tensors at addresses that are aligned to no more than `shift` */
    KB_BY_LATE = 1 << 3, /* the kernel ahead writes the inputs late */
    KB_BY_AHEAD = 1 << 4, /* a launch over other inputs goes before, and its outputs stay */
    KB_BY_REPEATS = 1 << 5, /* many times from the same contents */
    KB_BY_PARTS = 1 << 6,   /* with the first rows alone, and with other inputs */
};
enum { KB_WAYS = 7 };

struct kb_further {
    unsigned ways;
    enum kb_block_order order;
    uint64_t schedule_seed;
    const char *how;   /* the order in words: "with blocks in reversed order" */
    int64_t shift;     /* bytes; an element of more bytes is shifted by itself */
    size_t late_bytes; /* of kb_run_options */
    int repeats;
    int64_t repeat_ns;
    const struct kb_part *parts;
    int n_parts;
    bool apart; /* each part in a process of its own */
};

/* Run the case once more and hold what it leaves against l->first. False with the row's
 * verdict; what was tried is counted in the row where all is well. */
bool kb_further_run(struct life *l, const struct kb_further *f);
/* All ways of a run in words: "with tensors shifted by an element". */
void kb_further_words(const struct life *l, const struct kb_further *f, struct kb_buf *out);
/* The least that tensors may be aligned to by the contract, and whether an element of each
 * has no fewer bytes. */
int64_t kb_further_align(const struct life *l, bool *element);

/* ---- its slab, in further_slab.c ---------------------------------------------------- */

/* Lay l->work out for the run; false with the row's verdict. */
bool kb_further_lay(struct life *l, const struct kb_further *f);
/* Slots that the backend takes from where the case has them, by their bits. */
uint64_t kb_further_taken(const struct life *l, const struct kb_further *f);
/* What it begins with, but for those. */
void kb_further_fill(struct life *l, const struct kb_further *f);
/* The same once more, but for outputs and what the contract keeps, over the case's own
 * slots. */
void kb_further_put_back(struct life *l);
/* Parts that run behind the case in the same launch list, in order; how many. */
int kb_further_joined(const struct life *l, const struct kb_further *f,
                      const struct kb_part **out);
/* The slot of slot `i` of the `k`-th of `n_joined` such parts. */
int kb_further_part_slot(const struct life *l, int i, int k, int n_joined);
/* What lies in a slot of the run under way, in words. */
const char *kb_further_slot_name(struct life *l, int slot);
/* Whether the slab has the case's slots twice, for what is put back after a launch ahead.
 */
bool kb_further_twice(const struct life *l, const struct kb_further *f);
/* Change a few elements of the floating-point inputs in a slab that begins with the case's
 * tensors: to numbers that stand elsewhere in them. How many were changed, and what was
 * there: `truth` has room for KB_DECOYS of each tensor. */
enum { KB_DECOYS = 64 };
int kb_further_decoys(const struct life *l, struct kb_slab *slab, struct kb_patch *truth);
/* Input `t` from a third of it on, then that third; of whole numbers as it is. */
void kb_further_turned(const struct life *l, int t, void *out);

#endif
