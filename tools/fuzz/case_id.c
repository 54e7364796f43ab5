/* case_id.c - an id as --case takes it: what it stands for has an id that stands for the
 * same, and resolves to tensors of sizes that can be told, or says why not. */
#include "case.h"
#include "fuzz.h"

static void want_problem(const struct kb_case *c) {
    static struct kb_problem p;
    struct kb_err err = {0};
    memset(&p, 0, sizeof p);
    if (!kb_case_resolve(c, &p, &err)) {
        want_message(&err);
        if (err.kind != KB_INPUT)
            DISAGREE("%s: an error of kind %s: %s", c->id, kb_err_word(err.kind), err.msg);
        return;
    }
    for (int t = 0; t < p.n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p.tensors[t];
        __int128 elements = spec->absent ? 0 : 1;
        for (int i = 0; i < spec->rank; i++) {
            if (spec->shape[i] < 0)
                DISAGREE("%s: %s has a negative size", c->id, spec->name);
            elements *= spec->shape[i];
            if (elements > INT64_MAX)
                DISAGREE("%s: %s overflows", c->id, spec->name);
        }
        if (elements != spec->elements)
            DISAGREE("%s: %s has %lld elements, its shape more or less", c->id, spec->name,
                     (long long)spec->elements);
    }
    if (p.bytes < 0 || p.flops < 0)
        DISAGREE("%s: %lld bytes, %lld operations", c->id, (long long)p.bytes,
                 (long long)p.flops);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = text_of(data, size);
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_case c, again;
    if (kb_case_parse(text, &arena, &c, &complaints)) {
        if (!kb_case_parse(c.id, &arena, &again, &complaints))
            DISAGREE("refused: its id %s", c.id);
        if (!kb_streq(c.id, again.id))
            DISAGREE("%s comes to %s", c.id, again.id);
        want_clean(c.id, strlen(c.id), false);
        want_problem(&c);
    } else {
        if (!complaints.count)
            DISAGREE("no case, and no complaint");
        want_clean(kb_buf_text(&complaints.text), complaints.text.len, true);
    }
    kb_complaints_free(&complaints);
    kb_arena_free(&arena);
    free(text);
    return 0;
}
