/* kernel.c - kernel files: where they come from, and the contract in them. */
#include "kernel/contract.h"

#include <stdio.h>
#include <string.h>

/* The file up to the contract's end with all but the JSON blanked, so that places in the
 * JSON are places in the file. */
static char *blanked(const char *text, const struct kb_contract_span *span,
                     struct kb_arena *arena) {
    char *out = kb_arena_strndup(arena, text, span->end);
    for (size_t i = 0; i < span->begin; i++)
        if (out[i] != '\n')
            out[i] = ' ';
    return out;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A syntax error comes as "PATH:LINE:COL: error: WHAT". */
static void complain_syntax(const char *path, const struct kb_err *err,
                            struct kb_complaints *c) {
    const char *what = err->msg;
    int line = 0, col = 0, used = 0;
    if (kb_starts_with(what, path) &&
        sscanf(what + strlen(path), ":%d:%d: error: %n", &line, &col, &used) == 2 && used)
        what += strlen(path) + (size_t)used;
    else
        line = col = 0;
    kb_complain(c, path, line, col, NULL, "%s", what);
}

bool kb_kernel_parse(const char *path, const char *text, size_t size, const char *from,
                     struct kb_arena *arena, struct kb_kernel *out,
                     struct kb_complaints *c) {
    struct kb_contract r = {.c = c, .arena = arena, .kernel = out};
    struct kb_arena table = {0};
    struct kb_contract_span span;
    struct kb_err err = {0};
    int before = c->count;
    *out = (struct kb_kernel){
        .path = kb_arena_strdup(arena, path),
        .text = text,
        .size = size,
        .from = from,
        .source_hash = kb_hash_of(text, size),
    };
    out->name = name_of(out->path);
    const char *nul = memchr(text, 0, size);
    if (nul) {
        kb_complain(c, path, 0, 0, NULL, "holds a NUL at byte %td", nul - text);
        return false;
    }
    span = kb_contract_find(text, size);
    if (span.problem) {
        kb_complain(c, path, span.line, span.col, NULL, "%s", span.problem);
        return false;
    }
    if (!kb_json_parse(&r.doc, path, blanked(text, &span, arena), span.end, &err)) {
        complain_syntax(path, &err, c);
        return false;
    }
    r.words = kb_words_make(text, size, &table);
    kb_contract_read(&r);
    kb_json_free(&r.doc);
    kb_unused_macros(out, &r.words, r.samples, r.n_samples, arena, &out->unused);
    kb_arena_free(&table);
    out->entries = kb_entries_make(arena);
    return c->count == before;
}

bool kb_kernel_builtin(const struct kb_op *op, struct kb_arena *arena,
                       struct kb_kernel *out, struct kb_complaints *c) {
    char *path = kb_arena_printf(arena, "kernels/%s.cu", op->family);
    const struct kb_asset *asset = kb_asset_find(path);
    if (!asset) {
        kb_complain(c, path, 0, 0, NULL, "is neither on disk nor in the executable");
        return false;
    }
    return kb_kernel_parse(path, asset->text, asset->size, asset->from, arena, out, c);
}

bool kb_kernel_load(const char *path, struct kb_arena *arena, struct kb_kernel *out,
                    struct kb_complaints *c) {
    struct kb_buf text = {0};
    struct kb_err err = {0};
    bool ok = false;
    if (!kb_file_read(path, KB_FILE_MAX, &text, &err)) {
        const char *what = err.msg;
        if (kb_starts_with(what, path) && kb_starts_with(what + strlen(path), ": "))
            what += strlen(path) + 2;
        kb_complain(c, path, 0, 0, NULL, "%s", what);
    } else {
        char *copy = kb_arena_strndup(arena, kb_buf_text(&text), text.len);
        ok = kb_kernel_parse(path, copy, text.len, "given", arena, out, c);
        out->user = true;
    }
    kb_buf_free(&text);
    return ok;
}

bool kb_kernel_has_op(const struct kb_kernel *kernel, const char *op) {
    return kb_strings_has(&kernel->ops, op);
}

int kb_kernel_variant(const struct kb_kernel *kernel, const char *name) {
    for (int i = 0; i < kernel->n_variants; i++)
        if (kb_streq(kernel->variants[i].name, name))
            return i;
    return -1;
}
