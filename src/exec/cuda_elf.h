/* cuda_elf.h - a cubin as the ELF file that it is; nothing beyond its end is ever read. */
#ifndef KB_EXEC_CUDA_ELF_H
#define KB_EXEC_CUDA_ELF_H

#include "exec.h"

#include <elf.h>

struct kb_elf {
    const char *data;
    size_t size;
    size_t n_sections, n_symbols;
    uint64_t table;     /* of sections */
    Elf64_Shdr names;   /* of sections */
    Elf64_Shdr symbols; /* of no bytes where there is none */
    Elf64_Shdr symbol_names;
};

/* A relocation: at `offset` of a section goes the address of a symbol. */
struct kb_elf_reloc {
    uint64_t offset;
    uint32_t type, symbol;
    int64_t addend;
};

/* False if it is no whole 64-bit ELF file. Sections' contents are checked when asked for.
 */
bool kb_elf_open(const void *data, size_t size, struct kb_elf *out);
Elf64_Shdr kb_elf_section(const struct kb_elf *elf, size_t i);
const char *kb_elf_name(const struct kb_elf *elf, size_t section);
/* The section whose name is these two, one behind the other; 0: none. */
size_t kb_elf_find(const struct kb_elf *elf, const char *prefix, const char *name);
/* What it holds, NULL where that is nothing that is stored; false: not in the file. */
bool kb_elf_content(const struct kb_elf *elf, size_t section, const char **data,
                    uint64_t *size);
/* False: there is none. */
bool kb_elf_symbol(const struct kb_elf *elf, size_t i, Elf64_Sym *out);
const char *kb_elf_symbol_name(const struct kb_elf *elf, const Elf64_Sym *symbol);
/* The relocations of bytes `start` to `end` of a section, in order of offset and in
 * `arena`; false: they are not in the file. */
bool kb_elf_relocs(const struct kb_elf *elf, size_t section, uint64_t start, uint64_t end,
                   struct kb_arena *arena, struct kb_elf_reloc **out, size_t *n);

#endif
