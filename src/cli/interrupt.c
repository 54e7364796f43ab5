/* interrupt.c - Ctrl-C and its kin: workers die, the run ends with what was done. */
#include "cli/fleet.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* A signal handler reaches nothing but globals; these two are written before it is set, and
 * by it. */
static const struct kb_fleet *watched;
static atomic_int caught; /* threads ask for it */

static const struct {
    int signal;
    const char *name;
} signals[] = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}};

static void handle(int signal) {
    if (caught)
        _exit(128 + signal); /* workers die with us */
    caught = signal;
    for (int i = 0; watched && i < watched->n; i++)
        kb_worker_kill(watched->workers[i]);
    kb_prefetch_kill();
}

void kb_interrupt_watch(const struct kb_fleet *fleet) {
    struct sigaction action = {.sa_handler = handle}, old;
    sigemptyset(&action.sa_mask);
    caught = 0;
    watched = fleet;
    for (size_t i = 0; i < KB_COUNT(signals); i++) {
        /* nohup and shells' background jobs have them ignored, and mean it. */
        if (sigaction(signals[i].signal, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i].signal, &action, NULL);
    }
}

void kb_interrupt_end(void) {
    watched = NULL;
}

int kb_interrupted(void) {
    return caught;
}

const char *kb_interrupt_name(int signal) {
    for (size_t i = 0; i < KB_COUNT(signals); i++)
        if (signals[i].signal == signal)
            return signals[i].name;
    return "a signal";
}
