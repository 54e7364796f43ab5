/* replay.c - a fuzz target without a fuzzer: feeds it the files that are named, and those
 * in the folders that are, and says how many. Ends in the status 1 where one of them is not
 * read, and as the target does where it does not survive one, whose name is then the last
 * line. */
#include "fuzz.h"
#include "sys.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

enum { INPUT_MAX = 1 << 20, SECONDS_EACH = 20 };

static char now[PATH_MAX];

/* Of what ends a target; the signal then does its work. */
static void tell(int signal_number) {
    static const char word[] = "not survived: ";
    if (write(STDERR_FILENO, word, sizeof word - 1) < 0 ||
        write(STDERR_FILENO, now, strlen(now)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
        _exit(1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void watch(void) {
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    for (size_t i = 0; i < KB_COUNT(signals); i++)
        signal(signals[i], tell);
}

/* In memory of its own, without a NUL behind it: what reads past it shows to a sanitizer.
 */
static bool feed(const char *path) {
    struct kb_buf file = {0};
    struct kb_err err = {0};
    snprintf(now, sizeof now, "%s", path);
    if (!kb_file_read(path, INPUT_MAX, &file, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return false;
    }
    uint8_t *data = malloc(file.len ? file.len : 1);
    if (!data)
        kb_out_of_memory();
    if (file.len)
        memcpy(data, file.data, file.len);
    alarm(SECONDS_EACH);
    LLVMFuzzerTestOneInput(data, file.len);
    alarm(0);
    free(data);
    kb_buf_free(&file);
    return true;
}

static bool feed_folder(const char *folder, int *n) {
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    struct kb_err err = {0};
    bool ok = kb_folder_list(folder, "", &arena, &names, &err);
    if (!ok)
        fprintf(stderr, "%s\n", err.msg);
    for (size_t i = 0; i < names.count; i++, ++*n)
        ok &= feed(kb_arena_printf(&arena, "%s/%s", folder, names.items[i]));
    kb_arena_free(&arena);
    return ok;
}

int main(int argc, char **argv) {
    bool ok = true;
    int n = 0;
    watch();
    for (int i = 1; i < argc; i++) {
        if (kb_is_folder(argv[i])) {
            ok &= feed_folder(argv[i], &n);
            continue;
        }
        ok &= feed(argv[i]);
        n++;
    }
    printf("%d inputs\n", n);
    return ok && n ? 0 : 1;
}
