/* main.c - kbench, or one of the workers that it starts of itself. */
#include "cli.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* A descriptor that was closed would be given to the next file that is opened, and rows or
 * messages would go there. Writing to what stands in for it fails, and is told of. */
static void keep_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            _exit(7);
}

int main(int argc, char **argv) {
    bool is_worker = argc == 3 && kb_streq(argv[1], "--worker");
    if (is_worker && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    if (is_worker && kb_streq(argv[2], "case"))
        return kb_case_worker_main();
    keep_standard_descriptors();
    signal(SIGPIPE,
           SIG_IGN); /* writing to a closed pipe is an error like another: exit 7 */
    return kb_cli_main(argc, argv);
}
