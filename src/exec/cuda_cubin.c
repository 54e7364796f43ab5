/* cuda_cubin.c - what of a cubin is machine code.
 *
 * A cubin is ELF. Of a kernel NAME it has .text.NAME, .nv.constant0.NAME (the size of its
 * arguments; .nv.constant2, 3, 4 where it has such constants), .nv.info.NAME (attributes:
 * registers, stack, arguments, limits of threads) and .nv.shared.NAME. Functions that are
 * called and not inlined have .text.NAME without arguments. Beside them stand notes with
 * the tool's version and command line, which must not count. */
#include "cuda_code.h"

#include <elf.h>
#include <string.h>

struct image {
    const char *data;
    size_t size;
    Elf64_Shdr names; /* the section of section names */
    size_t n_sections;
    uint64_t table;
};

static bool within(const struct image *image, uint64_t offset, uint64_t bytes) {
    return offset <= image->size && bytes <= image->size - offset;
}

static Elf64_Shdr section_at(const struct image *image, size_t i) {
    Elf64_Shdr section;
    memcpy(&section, image->data + image->table + i * sizeof section, sizeof section);
    return section;
}

static bool open_image(const void *cubin, size_t size, struct image *image) {
    Elf64_Ehdr header;
    *image = (struct image){.data = cubin, .size = size};
    if (size < sizeof header)
        return false;
    memcpy(&header, cubin, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shstrndx >= header.e_shnum)
        return false;
    image->table = header.e_shoff;
    image->n_sections = header.e_shnum;
    if (!within(image, image->table, (uint64_t)header.e_shnum * sizeof(Elf64_Shdr)))
        return false;
    image->names = section_at(image, header.e_shstrndx);
    return within(image, image->names.sh_offset, image->names.sh_size) &&
           image->names.sh_size > 0 &&
           image->data[image->names.sh_offset + image->names.sh_size - 1] == '\0';
}

static const char *name_of(const struct image *image, const Elf64_Shdr *section) {
    if (section->sh_name >= image->names.sh_size)
        return "";
    return image->data + image->names.sh_offset + section->sh_name;
}

static bool has_section(const struct image *image, const char *prefix, const char *name) {
    size_t len = strlen(prefix);
    for (size_t i = 0; i < image->n_sections; i++) {
        Elf64_Shdr section = section_at(image, i);
        const char *found = name_of(image, &section);
        if (kb_starts_with(found, prefix) && kb_streq(found + len, name))
            return true;
    }
    return false;
}

/* The kernel or function that a section belongs to: what follows its prefix. */
static const char *owner_of(const char *section) {
    static const char *const prefixes[] = {
        ".text.",         ".nv.info.",      ".nv.shared.",
        ".nv.constant0.", ".nv.constant1.", ".nv.constant2.",
        ".nv.constant3.", ".nv.constant4.", ".nv.local.",
    };
    for (size_t i = 0; i < KB_COUNT(prefixes); i++)
        if (kb_starts_with(section, prefixes[i]))
            return section + strlen(prefixes[i]);
    return NULL;
}

/* Other kernels of the file that are no templates are compiled along, and do not count. */
static bool counts(const struct image *image, const char *section,
                   const struct kb_strings *entries) {
    const char *owner = owner_of(section);
    if (!owner) /* constants and variables of the whole file */
        return kb_starts_with(section, ".nv.constant") ||
               kb_starts_with(section, ".nv.global") ||
               kb_starts_with(section, ".rodata") || kb_starts_with(section, ".data");
    return kb_strings_has(entries, owner) || !has_section(image, ".nv.constant0.", owner);
}

/* Attributes of a kernel: a byte of format, one of kind, and two of value, or of the size
 * of what follows. The bank of its arguments is told by the number of a symbol, which is
 * another one where other kernels stand in the file. */
static void add_info(struct kb_hasher *hasher, const char *data, size_t size) {
    enum { SIZED = 4, PARAM_CBANK = 0x0a, HEAD = 4, SYMBOL = 4 };
    while (size >= HEAD) {
        unsigned char head[HEAD];
        memcpy(head, data, HEAD);
        size_t more = head[0] == SIZED ? (size_t)(head[2] | head[3] << 8) : 0;
        if (more > size - HEAD)
            break;
        bool bank = head[0] == SIZED && head[1] == PARAM_CBANK && more >= SYMBOL;
        size_t skipped = bank ? SYMBOL : 0;
        kb_hasher_add(hasher, data, HEAD);
        kb_hasher_add(hasher, data + HEAD + skipped, more - skipped);
        data += HEAD + more;
        size -= HEAD + more;
    }
    kb_hasher_add(hasher, data, size);
}

bool kb_cubin_digest(const void *cubin, size_t size, const struct kb_strings *entries,
                     struct kb_hash *hash, int64_t *code_bytes) {
    struct image image;
    if (!open_image(cubin, size, &image))
        return false;
    struct kb_hasher *hasher = kb_hasher_make();
    bool ok = true;
    *code_bytes = 0;
    for (size_t i = 0; i < image.n_sections && ok; i++) {
        Elf64_Shdr section = section_at(&image, i);
        const char *name = name_of(&image, &section);
        if (!counts(&image, name, entries))
            continue;
        bool stored = section.sh_type != SHT_NOBITS;
        ok = !stored || within(&image, section.sh_offset, section.sh_size);
        kb_hasher_text(hasher, name);
        kb_hasher_add(hasher, &section.sh_size, sizeof section.sh_size);
        const char *data = image.data + section.sh_offset;
        if (ok && stored && kb_starts_with(name, ".nv.info."))
            add_info(hasher, data, section.sh_size);
        else if (ok && stored)
            kb_hasher_add(hasher, data, section.sh_size);
        if (kb_starts_with(name, ".text."))
            *code_bytes += (int64_t)section.sh_size;
    }
    *hash = kb_hasher_end(hasher);
    return ok;
}
