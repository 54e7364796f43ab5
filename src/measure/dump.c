/* dump.c - a case's tensors into a file: inputs as filled, outputs as the first run left
 * them, and what the reference says of each of their elements. */
#include "judge.h"
#include "life.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

/* Of each tensor its own, of an output three more. */
enum { MAX_PARTS = 4 * KB_MAX_TENSORS, NAME_MAX_BYTES = 200 };

enum part_kind { PART_WANT, PART_BOUND, PART_ROWS, PART_INPUT, PART_OUT };
struct part {
    enum part_kind kind;
    int tensor;
};

struct dump {
    struct life *life;
    int n;
    struct part parts[MAX_PARTS];
    struct kb_st_tensor tensors[MAX_PARTS];
    double *want, *bound; /* of the output that is being written */
};

/* ---- what is in the file ----------------------------------------------------------- */

static void add_part(struct dump *d, enum part_kind kind, int t) {
    static const char *const prefixes[] = {"want.", "bound.", "rows.", "", "out."};
    const struct kb_tensor_spec *spec = &d->life->asked.problem.tensors[t];
    const struct kb_sampled *rows = &d->life->samples[t];
    struct kb_st_tensor *out = &d->tensors[d->n];

    d->parts[d->n++] = (struct part){kind, t};
    out->name = kb_arena_printf(d->life->arena, "%s%s", prefixes[kind], spec->name);
    out->type = kind == PART_ROWS                         ? KB_ST_I64
                : kind == PART_WANT || kind == PART_BOUND ? KB_ST_F64
                                                          : kb_st_type_of(spec->dtype);
    if (kind == PART_INPUT || kind == PART_OUT || (!rows->n && kind != PART_ROWS)) {
        out->rank = spec->rank;
        memcpy(out->shape, spec->shape, sizeof out->shape);
        return;
    }
    out->rank = kind == PART_ROWS ? 1 : 2;
    out->shape[0] = rows->n;
    out->shape[1] = rows->length;
}

/* Eight-byte numbers first, then tensors by the size of their elements, so that each lies
 * where its type wants it. */
static void list_parts(struct dump *d) {
    const struct kb_problem *p = &d->life->asked.problem;

    for (int t = 0; t < p->n_tensors; t++) {
        if (p->tensors[t].absent || p->tensors[t].role == KB_IN)
            continue;
        add_part(d, PART_WANT, t);
        add_part(d, PART_BOUND, t);
        if (d->life->samples[t].n)
            add_part(d, PART_ROWS, t);
    }
    for (size_t bytes = 4; bytes; bytes /= 2) {
        for (int t = 0; t < p->n_tensors; t++) {
            const struct kb_tensor_spec *spec = &p->tensors[t];
            if (spec->absent || kb_dtype_bytes(spec->dtype) != bytes)
                continue;
            if (spec->role != KB_OUT)
                add_part(d, PART_INPUT, t);
            if (spec->role != KB_IN)
                add_part(d, PART_OUT, t);
        }
    }
}

/* ---- the reference ----------------------------------------------------------------- */

static bool run_reference(struct dump *d, int t, struct kb_err *err) {
    struct kb_compare_args args = kb_life_compare_args(d->life, t);
    struct kb_judge judge = kb_judge_of(&args);
    int64_t n = kb_judge_places(&judge), chunks = (n + KB_CHUNK - 1) / KB_CHUNK;
    size_t bytes;

    free(d->want);
    free(d->bound);
    d->want = d->bound = NULL;
    if (kb_mul_size((size_t)n + 1, sizeof(double), &bytes)) {
        d->want = malloc(bytes);
        d->bound = malloc(bytes);
    }
    if (!d->want || !d->bound)
        return kb_fail(err, KB_MEMORY,
                       "--dump: needs %s for what the reference says of %s, not to be had",
                       kb_size_text(2.0 * sizeof(double) * (double)n).text,
                       judge.spec->name);
    const struct kb_problem *p = args.problem;
#pragma omp parallel for schedule(dynamic)
    for (int64_t c = 0; c < chunks; c++) {
        int64_t end = (c + 1) * KB_CHUNK < n ? (c + 1) * KB_CHUNK : n, first, count;
        for (int64_t at = c * KB_CHUNK; at < end; at += count) {
            count = kb_judge_stretch(&judge, at, end, &first);
            p->c->op->reference(p, args.in, args.prepared, t, first, count, d->want + at,
                                d->bound + at);
        }
    }
    return true;
}

static bool write_part(struct dump *d, int i, struct kb_st_writer *w, struct kb_err *err) {
    struct life *l = d->life;
    int t = d->parts[i].tensor;
    size_t bytes = (size_t)d->tensors[i].bytes;

    switch (d->parts[i].kind) {
    case PART_WANT:
        return run_reference(d, t, err) && kb_st_add(w, d->want, bytes, err);
    case PART_BOUND:
        return kb_st_add(w, d->bound, bytes, err);
    case PART_ROWS:
        return kb_st_add(w, l->samples[t].items, bytes, err);
    case PART_INPUT:
        return kb_st_add(w, kb_slab_at(&l->initial, t), bytes, err);
    case PART_OUT:
        break;
    }
    return kb_st_add(w, kb_slab_at(&l->work, t), bytes, err);
}

/* ---- the file ---------------------------------------------------------------------- */

/* The id with commas for slashes, variant, build, device: what tells rows of one run apart.
 * What no file name should have becomes _; a long name is cut, and ends in a hash. */
static const char *name_of(const struct kb_row *row, struct kb_arena *arena) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-.=+";
    char *name = kb_arena_printf(arena, "%s@%s@%s@%s", row->case_id, row->variant,
                                 row->build, row->device);
    char hex[KB_HASH_HEX];
    size_t length = strlen(name);
    struct kb_hash hash = kb_hash_of(name, length);
    bool safe = true;

    for (char *c = name; *c; c++) {
        if (*c == '/' || *c == '@') {
            *c = *c == '/' ? ',' : '.';
        } else if (!strchr(plain, *c)) {
            *c = '_';
            safe = false;
        }
    }
    if (safe && length <= NAME_MAX_BYTES)
        return name;
    kb_hash_hex(&hash, hex);
    return kb_arena_printf(arena, "%.*s.%s", NAME_MAX_BYTES - KB_HASH_HEX, name, hex);
}

static int texts_of(const struct life *l, struct kb_st_text *texts) {
    const struct kb_row *row = l->row;
    const struct kb_st_text all[] = {
        {"format", "kbench-dump/1"},
        {"case", row->case_id},
        {"seed", kb_arena_printf(l->arena, "%llu", (unsigned long long)row->seed)},
        {"kbench", l->job->kbench ? l->job->kbench : ""},
        {"kernel", row->kernel},
        {"variant", row->variant},
        {"build", row->build},
        {"backend", row->backend},
        {"fast_math", l->asked.build.fast_math ? "yes" : "no"},
        {"load", l->job->load ? l->job->load : ""},
    };

    memcpy(texts, all, sizeof all);
    return (int)KB_COUNT(all);
}

bool kb_life_dump(struct life *l) {
    struct dump *d = kb_arena_alloc(l->arena, sizeof *d);
    struct kb_st_text texts[16];
    struct kb_st_writer writer = {0};
    struct kb_err err = {0};
    const char *path = kb_arena_printf(l->arena, "%s/%s.safetensors", l->job->dump,
                                       name_of(l->row, l->arena));

    d->life = l;
    list_parts(d);
    bool ok = kb_st_begin(path, d->tensors, d->n, texts, texts_of(l, texts), &writer, &err);
    for (int i = 0; ok && i < d->n; i++)
        ok = write_part(d, i, &writer, &err);
    ok = ok && kb_st_commit(&writer, &err);
    if (!ok)
        kb_st_abandon(&writer);
    free(d->want);
    free(d->bound);
    /* A kernel that was found wrong stays wrong. */
    if (!ok && l->row->reason == KB_R_NONE)
        return kb_life_stop_err(l, &err, KB_R_IO);
    if (!ok)
        kb_row_warn(l->row, l->arena, err.msg);
    return ok;
}
