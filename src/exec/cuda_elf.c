/* cuda_elf.c - sections, symbols and relocations of a cubin. */
#include "cuda_elf.h"

#include <stdlib.h>
#include <string.h>

/* Types of sections that are not stored either. */
enum { GLOBAL_TO_BE_LINKED = SHT_LOPROC + 7, SHARED_TO_BE_LINKED = SHT_LOPROC + 10 };

static bool within(const struct kb_elf *elf, const Elf64_Shdr *section) {
    return section->sh_offset <= elf->size &&
           section->sh_size <= elf->size - section->sh_offset;
}

/* Names end within their section. */
static bool are_names(const struct kb_elf *elf, const Elf64_Shdr *section) {
    return within(elf, section) && section->sh_size > 0 &&
           elf->data[section->sh_offset + section->sh_size - 1] == '\0';
}

static const char *name_in(const struct kb_elf *elf, const Elf64_Shdr *names,
                           uint32_t offset) {
    return offset < names->sh_size ? elf->data + names->sh_offset + offset : "";
}

Elf64_Shdr kb_elf_section(const struct kb_elf *elf, size_t i) {
    Elf64_Shdr section = {0};
    if (i < elf->n_sections)
        memcpy(&section, elf->data + elf->table + i * sizeof section, sizeof section);
    return section;
}

static void find_symbols(struct kb_elf *elf) {
    for (size_t i = 0; i < elf->n_sections; i++) {
        Elf64_Shdr section = kb_elf_section(elf, i);
        Elf64_Shdr names = kb_elf_section(elf, section.sh_link);
        if (section.sh_type != SHT_SYMTAB || !within(elf, &section) ||
            !are_names(elf, &names))
            continue;
        elf->symbols = section;
        elf->symbol_names = names;
        elf->n_symbols = section.sh_size / sizeof(Elf64_Sym);
    }
}

bool kb_elf_open(const void *data, size_t size, struct kb_elf *out) {
    Elf64_Ehdr header;
    *out = (struct kb_elf){.data = data, .size = size};
    if (size < sizeof header)
        return false;
    memcpy(&header, data, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shstrndx >= header.e_shnum)
        return false;
    uint64_t bytes = (uint64_t)header.e_shnum * sizeof(Elf64_Shdr);
    if (header.e_shoff > size || bytes > size - header.e_shoff)
        return false;
    out->table = header.e_shoff;
    out->n_sections = header.e_shnum;
    out->names = kb_elf_section(out, header.e_shstrndx);
    find_symbols(out);
    return are_names(out, &out->names);
}

const char *kb_elf_name(const struct kb_elf *elf, size_t section) {
    return name_in(elf, &elf->names, kb_elf_section(elf, section).sh_name);
}

size_t kb_elf_find(const struct kb_elf *elf, const char *prefix, const char *name) {
    size_t len = strlen(prefix);
    for (size_t i = 1; i < elf->n_sections; i++) {
        const char *found = kb_elf_name(elf, i);
        if (kb_starts_with(found, prefix) && kb_streq(found + len, name))
            return i;
    }
    return 0;
}

bool kb_elf_content(const struct kb_elf *elf, size_t section, const char **data,
                    uint64_t *size) {
    Elf64_Shdr header = kb_elf_section(elf, section);
    bool stored = header.sh_type != SHT_NOBITS && header.sh_type != SHARED_TO_BE_LINKED &&
                  header.sh_type != GLOBAL_TO_BE_LINKED;
    *size = header.sh_size;
    *data = NULL;
    if (stored && !within(elf, &header))
        return false;
    if (stored)
        *data = elf->data + header.sh_offset;
    return true;
}

bool kb_elf_symbol(const struct kb_elf *elf, size_t i, Elf64_Sym *out) {
    if (i >= elf->n_symbols)
        return false;
    memcpy(out, elf->data + elf->symbols.sh_offset + i * sizeof *out, sizeof *out);
    return true;
}

const char *kb_elf_symbol_name(const struct kb_elf *elf, const Elf64_Sym *symbol) {
    return name_in(elf, &elf->symbol_names, symbol->st_name);
}

/* ---- relocations -----------------------------------------------------------------------
 */

/* With no addend of its own it is what stands at its place. */
static int64_t addend_at(const struct kb_elf *elf, size_t section, uint64_t offset) {
    const char *data;
    uint64_t size;
    int64_t addend = 0;
    if (kb_elf_section(elf, section).sh_flags & SHF_EXECINSTR ||
        !kb_elf_content(elf, section, &data, &size) || !data || size < sizeof addend ||
        offset > size - sizeof addend)
        return 0;
    memcpy(&addend, data + offset, sizeof addend);
    return addend;
}

static struct kb_elf_reloc reloc_at(const struct kb_elf *elf, size_t section,
                                    const char *at, bool has_addend) {
    Elf64_Rela entry = {0};
    memcpy(&entry, at, has_addend ? sizeof entry : sizeof(Elf64_Rel));
    return (struct kb_elf_reloc){
        .offset = entry.r_offset,
        .type = (uint32_t)ELF64_R_TYPE(entry.r_info),
        .symbol = (uint32_t)ELF64_R_SYM(entry.r_info),
        .addend = has_addend ? entry.r_addend : addend_at(elf, section, entry.r_offset),
    };
}

static int by_offset(const void *x, const void *y) {
    const struct kb_elf_reloc *a = x, *b = y;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->type > b->type) - (a->type < b->type);
}

/* Those of one section of relocations that lie in the range, behind the `n` before. */
static bool add_relocs(const struct kb_elf *elf, size_t from, uint64_t start, uint64_t end,
                       struct kb_arena *arena, struct kb_elf_reloc **out, size_t *n) {
    Elf64_Shdr header = kb_elf_section(elf, from);
    bool has_addend = header.sh_type == SHT_RELA;
    size_t bytes = has_addend ? sizeof(Elf64_Rela) : sizeof(Elf64_Rel);
    size_t count = header.sh_size / bytes;
    if (!within(elf, &header))
        return false;
    struct kb_elf_reloc *all = kb_arena_array(arena, *n + count + 1, sizeof *all);
    if (*n)
        memcpy(all, *out, *n * sizeof *all);
    for (size_t k = 0; k < count; k++) {
        const char *at = elf->data + header.sh_offset + k * bytes;
        struct kb_elf_reloc reloc = reloc_at(elf, header.sh_info, at, has_addend);
        if (reloc.offset >= start && reloc.offset < end)
            all[(*n)++] = reloc;
    }
    *out = all;
    return true;
}

bool kb_elf_relocs(const struct kb_elf *elf, size_t section, uint64_t start, uint64_t end,
                   struct kb_arena *arena, struct kb_elf_reloc **out, size_t *n) {
    *out = NULL;
    *n = 0;
    for (size_t i = 1; i < elf->n_sections; i++) {
        Elf64_Shdr header = kb_elf_section(elf, i);
        if ((header.sh_type == SHT_RELA || header.sh_type == SHT_REL) &&
            header.sh_info == section && !add_relocs(elf, i, start, end, arena, out, n))
            return false;
    }
    if (*n)
        qsort(*out, *n, sizeof **out, by_offset);
    return true;
}
