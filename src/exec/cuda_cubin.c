/* cuda_cubin.c - what of a cubin is the machine code of some of its kernels.
 *
 * Of a kernel NAME it has .text.NAME, .nv.constant0.NAME (its arguments; .nv.constant2.NAME
 * where it has jump tables), .nv.info.NAME (attributes: arguments, limits of threads),
 * .nv.shared.NAME, and records of registers and stack in .nv.info. Functions that it calls
 * stand in its own text. Notes have the tool's version and command line.
 *
 * .nv.constant3 (__constant__), .nv.constant4 (addresses of variables), .nv.global and
 * .nv.global.init are the file's, and hold what any kernel of it wants: where a variable
 * lies depends on which other kernels stand beside. Code names them by bank and offset,
 * without a relocation. So the offset is taken out of an instruction, and what it leads to
 * is counted in its place: a part of the file, with a number in order of first use. What
 * that part points at is counted in turn. */
#include "cuda_code.h"
#include "cuda_elf.h"

#include <stdio.h>
#include <string.h>

enum { BANKS = 32 };

/* A function (a whole section of instructions), or bytes of a section. */
struct part {
    size_t section;
    uint64_t start, size;
};

struct walk {
    struct kb_elf elf;
    struct kb_hasher *hasher;
    struct kb_arena arena;
    struct kb_buf parts; /* struct part; counted in this order */
    size_t banks[BANKS]; /* the file's own: sections, 0: none */
    int64_t code_bytes;
};

static void find_banks(struct walk *w) {
    for (int i = 0; i < BANKS; i++) {
        char number[12];
        snprintf(number, sizeof number, "%d", i);
        w->banks[i] = kb_elf_find(&w->elf, ".nv.constant", number);
    }
}

static void add_number(struct walk *w, uint64_t number) {
    kb_hasher_add(w->hasher, &number, sizeof number);
}

static size_t n_parts(const struct walk *w) {
    return w->parts.len / sizeof(struct part);
}

static struct part part_at(const struct walk *w, size_t i) {
    struct part part;
    memcpy(&part, w->parts.data + i * sizeof part, sizeof part);
    return part;
}

/* A place in a part, which is counted once. */
static void refer(struct walk *w, struct part part, uint64_t place) {
    size_t i = 0, n = n_parts(w);
    for (; i < n; i++) {
        struct part known = part_at(w, i);
        if (known.section == part.section && known.start == part.start &&
            known.size == part.size)
            break;
    }
    if (i == n)
        kb_buf_add(&w->parts, &part, sizeof part);
    add_number(w, i);
    add_number(w, place - part.start);
}

static struct part whole_section(const struct walk *w, size_t section) {
    return (struct part){section, 0, kb_elf_section(&w->elf, section).sh_size};
}

static bool is_variable(const Elf64_Sym *symbol) {
    enum { OF_CODE_TO_BE_LINKED = 13 };
    int type = ELF64_ST_TYPE(symbol->st_info);
    return type == STT_OBJECT || type == OF_CODE_TO_BE_LINKED;
}

/* The variable that holds these bytes; else all of the section. */
static struct part variable_at(const struct walk *w, size_t section, uint64_t place,
                               uint64_t bytes) {
    Elf64_Sym symbol;
    for (size_t i = 0; kb_elf_symbol(&w->elf, i, &symbol); i++)
        if (symbol.st_shndx == section && is_variable(&symbol) &&
            place >= symbol.st_value && place - symbol.st_value < symbol.st_size &&
            bytes <= symbol.st_size - (place - symbol.st_value))
            return (struct part){section, symbol.st_value, symbol.st_size};
    return whole_section(w, section);
}

/* What a relocation leads to: a name where it is not in the file. */
static bool refer_symbol(struct walk *w, size_t i, int64_t addend) {
    Elf64_Sym symbol;
    if (!kb_elf_symbol(&w->elf, i, &symbol))
        return false;
    size_t section = symbol.st_shndx;
    uint64_t place = symbol.st_value + (uint64_t)addend;
    if (section == SHN_UNDEF || section >= w->elf.n_sections) {
        kb_hasher_text(w->hasher, kb_elf_symbol_name(&w->elf, &symbol));
        add_number(w, place);
    } else if (kb_elf_section(&w->elf, section).sh_flags & SHF_EXECINSTR) {
        refer(w, whole_section(w, section), place);
    } else if (is_variable(&symbol)) {
        refer(w, (struct part){section, symbol.st_value, symbol.st_size}, place);
    } else {
        refer(w, variable_at(w, section, place, 1), place);
    }
    return true;
}

static bool add_relocs(struct walk *w, const struct part *part) {
    struct kb_elf_reloc *relocs;
    size_t n;
    if (!kb_elf_relocs(&w->elf, part->section, part->start, part->start + part->size,
                       &w->arena, &relocs, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        add_number(w, relocs[i].offset - part->start);
        add_number(w, relocs[i].type);
        if (!refer_symbol(w, relocs[i].symbol, relocs[i].addend))
            return false;
    }
    return true;
}

/* Bytes of a section, and what they point at. */
static bool add_bytes(struct walk *w, const struct part *part) {
    const char *data;
    uint64_t size;
    if (!kb_elf_content(&w->elf, part->section, &data, &size) ||
        (data && (part->start > size || part->size > size - part->start)))
        return false;
    add_number(w, part->size);
    if (data)
        kb_hasher_add(w->hasher, data + part->start, part->size);
    return add_relocs(w, part);
}

/* ---- instructions ----------------------------------------------------------------------
 * From sm_70 on one is 16 bytes; bits 0 to 11 are the operation, of which 9 to 11 say what
 * its operands are. Where one is a constant, bits 54 to 58 are its bank and 38 to 53 its
 * offset in bytes. */

enum {
    INSTRUCTION = 16,
    CONSTANT_B = 5,
    CONSTANT_C = 3,
    OP_LDC = 0xb82,
    OP_ULDC = 0xab9,
    OP_ULDC_INDEXED = 0xabb,
    OP_LDCU = 0x7ac, /* its offset begins a bit earlier */
    OP_BAR = 0xb1d,  /* a barrier's number, and no constant */
    NO_REGISTER = 255,
    ADDRESS = 8,
};

struct constant {
    int bank;
    uint64_t offset, bytes, mask; /* mask: of the offset in the instruction */
    bool indexed;                 /* by a register as well */
};

static bool constant_of(uint64_t low, uint64_t high, struct constant *out) {
    static const unsigned char widths[] = {1, 1, 2, 2, 4, 8, 16, 16};
    unsigned op = (unsigned)(low & 0xfff), form = op >> 9;
    bool load = op == OP_LDC || op == OP_ULDC || op == OP_ULDC_INDEXED || op == OP_LDCU;
    int from = op == OP_LDCU ? 37 : 38, bits = op == OP_LDCU ? 17 : 16;
    if ((form != CONSTANT_B && form != CONSTANT_C) || op == OP_BAR)
        return false;
    out->bank = (int)(low >> 54 & (BANKS - 1));
    out->mask = ((1ull << bits) - 1) << from;
    out->offset = (low & out->mask) >> from;
    out->bytes = load ? widths[high >> 9 & 7] : 4;
    out->indexed = op == OP_ULDC_INDEXED ||
                   ((op == OP_LDC || op == OP_LDCU) && (low >> 24 & 255) != NO_REGISTER);
    return true;
}

/* An index may lead anywhere: then all of the bank counts. */
static bool refer_constant(struct walk *w, size_t bank, const struct constant *c) {
    struct kb_elf_reloc *relocs;
    size_t n;
    if (!kb_elf_relocs(&w->elf, bank, 0, UINT64_MAX, &w->arena, &relocs, &n))
        return false;
    if (c->indexed) {
        refer(w, whole_section(w, bank), c->offset);
        return true;
    }
    for (size_t i = 0; i < n; i++)
        if (c->offset >= relocs[i].offset && c->offset - relocs[i].offset < ADDRESS) {
            add_number(w, c->offset - relocs[i].offset);
            add_number(w, relocs[i].type);
            return refer_symbol(w, relocs[i].symbol, relocs[i].addend);
        }
    refer(w, variable_at(w, bank, c->offset, c->bytes), c->offset);
    return true;
}

static bool add_instructions(struct walk *w, const struct part *part) {
    const char *data;
    uint64_t size;
    if (!kb_elf_content(&w->elf, part->section, &data, &size) || !data)
        return false;
    char *copy = kb_arena_array(&w->arena, size + 1, 1);
    memcpy(copy, data, size);
    for (uint64_t at = 0; size - at >= INSTRUCTION; at += INSTRUCTION) {
        uint64_t word[2];
        struct constant constant;
        memcpy(word, data + at, sizeof word);
        size_t bank =
            constant_of(word[0], word[1], &constant) ? w->banks[constant.bank] : 0;
        if (!bank)
            continue;
        word[0] &= ~constant.mask;
        memcpy(copy + at, word, sizeof word);
        add_number(w, at);
        if (!refer_constant(w, bank, &constant))
            return false;
    }
    kb_hasher_add(w->hasher, copy, size);
    w->code_bytes += (int64_t)size;
    return add_relocs(w, part);
}

/* ---- a function ------------------------------------------------------------------------
 * Attributes are a byte of format, one of kind, and two of value, or of the size of what
 * follows. */

enum { SIZED = 4, HEAD = 4, PARAM_CBANK = 0x0a, EXTERNS = 0x0f };

struct attribute {
    unsigned kind;
    const char *head, *data;
    size_t size;
};

static bool next_attribute(const char **at, uint64_t *left, struct attribute *out) {
    unsigned char head[HEAD];
    if (*left < HEAD)
        return false;
    memcpy(head, *at, HEAD);
    size_t more = head[0] == SIZED ? (size_t)(head[2] | head[3] << 8) : 0;
    if (more > *left - HEAD)
        return false;
    *out = (struct attribute){head[1], *at, *at + HEAD, more};
    *at += HEAD + more;
    *left -= HEAD + more;
    return true;
}

static uint32_t word_at(const struct attribute *attribute, size_t i) {
    uint32_t word;
    memcpy(&word, attribute->data + i * sizeof word, sizeof word);
    return word;
}

/* Numbers of symbols are other ones beside other kernels: that of the section with its
 * arguments, and those of functions that the driver has. */
static bool add_attributes(struct walk *w, size_t section) {
    const char *at;
    uint64_t left;
    struct attribute a;
    if (!kb_elf_content(&w->elf, section, &at, &left) || !at)
        return false;
    while (next_attribute(&at, &left, &a)) {
        bool bank = a.kind == PARAM_CBANK && a.size >= sizeof(uint32_t);
        bool externs = a.kind == EXTERNS && a.size;
        size_t skipped = bank ? sizeof(uint32_t) : externs ? a.size : 0;
        kb_hasher_add(w->hasher, a.head, HEAD);
        kb_hasher_add(w->hasher, a.data + skipped, a.size - skipped);
        for (size_t i = 0; externs && i < a.size / sizeof(uint32_t); i++)
            if (!refer_symbol(w, word_at(&a, i), 0))
                return false;
    }
    kb_hasher_add(w->hasher, at, left);
    return true;
}

/* Its records among those of all: registers and stack. */
static bool add_records(struct walk *w, const char *function) {
    size_t section = kb_elf_find(&w->elf, ".nv.info", "");
    const char *at = NULL;
    uint64_t left = 0;
    struct attribute a;
    if (section && (!kb_elf_content(&w->elf, section, &at, &left) || !at))
        return false;
    while (section && next_attribute(&at, &left, &a)) {
        Elf64_Sym symbol;
        if (a.size != 2 * sizeof(uint32_t) ||
            !kb_elf_symbol(&w->elf, word_at(&a, 0), &symbol) ||
            !kb_streq(kb_elf_symbol_name(&w->elf, &symbol), function))
            continue;
        add_number(w, a.kind);
        add_number(w, word_at(&a, 1));
    }
    return true;
}

/* Since sm_90 a block has a KiB more than it asks for. A kernel that asks for nothing may
 * have this section where another one asks for something. */
static void add_shared(struct walk *w, const char *function) {
    enum { RESERVED = 1024 };
    size_t section = kb_elf_find(&w->elf, ".nv.shared.", function);
    uint64_t bytes = section ? kb_elf_section(&w->elf, section).sh_size : 0;
    bool more = kb_elf_find(&w->elf, ".nv.shared.reserved.", "0") != 0;
    add_number(w, more && bytes >= RESERVED ? bytes - RESERVED : bytes);
}

static bool add_function(struct walk *w, const struct part *part) {
    static const char text[] = ".text.";
    static const char *const own[] = {".nv.constant0.", ".nv.constant1.", ".nv.constant2.",
                                      ".nv.constant3.", ".nv.constant4.", ".nv.local."};
    const char *name = kb_elf_name(&w->elf, part->section);
    if (!kb_starts_with(name, text))
        return add_bytes(w, part);
    name += strlen(text);
    for (size_t i = 0; i < KB_COUNT(own); i++) {
        size_t section = kb_elf_find(&w->elf, own[i], name);
        struct part all = whole_section(w, section);
        add_number(w, section != 0);
        if (section && !add_bytes(w, &all))
            return false;
    }
    size_t info = kb_elf_find(&w->elf, ".nv.info.", name);
    add_number(w, info != 0);
    add_shared(w, name);
    return (!info || add_attributes(w, info)) && add_records(w, name) &&
           add_instructions(w, part);
}

static bool add_all(struct walk *w, const struct kb_strings *entries) {
    for (size_t i = 0; i < entries->count; i++) {
        size_t section = kb_elf_find(&w->elf, ".text.", entries->items[i]);
        if (!section)
            return false;
        refer(w, whole_section(w, section), 0);
    }
    for (size_t i = 0; i < n_parts(w); i++) {
        struct part part = part_at(w, i);
        Elf64_Shdr section = kb_elf_section(&w->elf, part.section);
        bool code = section.sh_flags & SHF_EXECINSTR;
        add_number(w, code);
        add_number(w, section.sh_type);
        if (!(code ? add_function(w, &part) : add_bytes(w, &part)))
            return false;
    }
    return true;
}

bool kb_cubin_digest(const void *cubin, size_t size, const struct kb_strings *entries,
                     struct kb_hash *hash, int64_t *code_bytes) {
    struct walk w = {0};
    if (!kb_elf_open(cubin, size, &w.elf))
        return false;
    find_banks(&w);
    w.hasher = kb_hasher_make();
    bool ok = add_all(&w, entries);
    *hash = kb_hasher_end(w.hasher);
    *code_bytes = w.code_bytes;
    kb_buf_free(&w.parts);
    kb_arena_free(&w.arena);
    return ok;
}
