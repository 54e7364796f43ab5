/* cupti.c - a libcupti.so.13 without a GPU, in the same library as cuda.c, whose kernels
 * and memsets it tells of. Kernels begin 50 ns after the stub's clock says so and end 50 ns
 * before; while CUPTI is there nodes of graphs take 200 ns more. KB_STUB="cupti=39" is what
 * enabling fails with, "dropped=1" that every record of a batch but the first ones is lost.
 */
#include "stub.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS = 64, MEMSET = 2, KERNEL = 10, ROOM = 100, GAP = 50 };

/* Wider than what a client knows of, as the real ones are. */
struct record {
    uint32_t kind;
    char between[12];
    uint64_t start, end;
    char more[128];
};

static struct {
    void (*give)(uint8_t **, size_t *, size_t *);
    void (*take)(void *, uint32_t, uint8_t *, size_t, size_t);
    int enabled[KINDS];
    uint8_t *buffer;
    size_t size, used;
} client;

static void hand_over(void) {
    if (client.buffer)
        client.take(NULL, 0, client.buffer, client.size, client.used);
    client.buffer = NULL;
    client.used = 0;
}

void stub_ran(double start_ns, double end_ns, int is_memset) {
    struct record record = {.kind = is_memset ? MEMSET : KERNEL};
    size_t max_records;
    if (!client.enabled[record.kind] ||
        (client.buffer && stub_script("dropped", 0) && client.used > 8 * sizeof record))
        return;
    if (client.buffer && client.used + sizeof record > client.size)
        hand_over();
    if (!client.buffer)
        client.give(&client.buffer, &client.size, &max_records);
    record.start = (uint64_t)start_ns + GAP;
    record.end = (uint64_t)end_ns - GAP;
    memcpy(client.buffer + client.used, &record, sizeof record);
    client.used += sizeof record;
}

int cuptiGetResultString(int rc, const char **words) {
    *words = rc == 39 ? "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED" : NULL;
    return *words ? 0 : 1;
}
int cuptiActivityEnable(int kind) {
    client.enabled[kind] = 1;
    stub_slower(200); /* which disabling does not undo */
    return (int)stub_script("cupti", 0);
}
int cuptiActivityDisable(int kind) {
    client.enabled[kind] = 0;
    return 0;
}
int cuptiActivityRegisterCallbacks(void (*give)(uint8_t **, size_t *, size_t *),
                                   void (*take)(void *, uint32_t, uint8_t *, size_t,
                                                size_t)) {
    client.give = give;
    client.take = take;
    return 0;
}
int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, void **record) {
    uint8_t *next = *record ? (uint8_t *)*record + sizeof(struct record) : buffer;
    if (next + sizeof(struct record) > buffer + valid)
        return 12;
    *record = next;
    return 0;
}
int cuptiActivityFlushAll(uint32_t flag) {
    (void)flag;
    hand_over();
    return 0;
}
int cuptiFinalize(void) {
    memset(&client, 0, sizeof client);
    stub_slower(0);
    return 0;
}
