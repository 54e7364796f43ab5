/* version.c - what this executable was built from and with. */
#include "cli.h"
#include "version.h"

const char *kb_version(void) {
    return KB_VERSION " " KB_COMMIT;
}

void kb_version_text(struct kb_buf *out) {
    kb_buf_printf(out, "kbench %s\n", kb_version());
    kb_buf_printf(out, "built with %s, CUDA headers %d.%d, cJSON %d.%d.%d\n", KB_BUILT_WITH,
                  KB_CUDA_HEADERS / 1000, KB_CUDA_HEADERS % 1000 / 10, CJSON_VERSION_MAJOR,
                  CJSON_VERSION_MINOR, CJSON_VERSION_PATCH);
}
