/* hooks.h - for kb.cuh: what the host bodies of its device functions are made of.
 *
 * kb_host_gather gives every lane of a full warp all lanes' values, from which instructions of
 * a warp are plain loops; those for matrices are in matrix.h. Asynchronous copies move their bytes at the
 * wait, so that a read before it sees poison. Named barriers are bar.sync ID, COUNT. The wait
 * for the kernels ahead does nothing, unless the run is one whose inputs come late. */
#ifndef KBH_HOOKS_H
#define KBH_HOOKS_H

/* What another lane passed lies on its stack, which is no memory of the kernel: a sanitizer of
 * threads is to see no access, and the meeting orders none of the kernel's. */
template <class T>
__attribute__((noinline, no_sanitize("thread"))) static T kbh_lane_value(uint64_t at) {
    return *(const T *)(uintptr_t)at;
}

template <class T> static inline void kb_host_gather(const T &mine, T all[32], KBH_SITE) {
    kbh_meeting *m =
        kbh_meet(KBH_GATHER, 0xffffffffu, (uint64_t)(uintptr_t)&mine, file, line);
    for (int i = 0; i < 32; i++)
        if (m->arrived >> i & 1)
            all[i] = kbh_lane_value<T>(m->value[i]);
        else
            all[i] = kbh_poison_value<T>();
    kbh_part(m);
    /* `mine` must outlive the other lanes' reads */
    kbh_part(kbh_meet(KBH_GATHER, 0xffffffffu, 0, file, line));
}

/* cp.async: `valid` bytes are copied, the rest up to `bytes` is zeroed. On a GPU the bytes
 * may arrive at any moment from here on: until the wait there is poison in their place, for
 * whoever still reads what was there or reads too early. Both ends are touched at once, so
 * that a sanitizer reports the line of the copy. */
static inline void kb_host_copy_async(void *to, const void *from, size_t bytes,
                                      size_t valid) {
    if (valid) {
        (void)*(const volatile char *)from;
        (void)*((const volatile char *)from + valid - 1);
    }
    for (size_t i = 0; i < bytes; i++)
        ((volatile unsigned char *)to)[i] = i % 2 ? 0x7f : 0xb3;
    kbh_copy copy = {to, from, bytes, valid};
    kbh_async_copy(&copy);
}
static inline void kb_host_copy_commit(void) {
    kbh_async_commit();
}
/* Until at most this many of the thread's latest groups are pending. */
static inline void kb_host_copy_wait(int pending_groups) {
    kbh_copy copy;
    while (kbh_async_next(pending_groups, &copy))
        for (size_t i = 0; i < copy.bytes; i++)
            ((char *)copy.to)[i] = i < copy.valid ? ((const char *)copy.from)[i] : 0;
}

static inline void kb_host_barrier(int id, int threads, KBH_SITE) {
    kbh_barrier(KBH_BARRIER, id, threads, 0, file, line);
}
static inline void kb_host_barrier_arrive(int id, int threads, KBH_SITE) {
    kbh_barrier_arrive(id, threads, file, line);
}

/* In the body of a loop that waits for another thread of the block. */
static inline void kb_host_yield(void) {
    kbh_yield();
}

/* griddepcontrol.wait */
static inline void kb_host_wait_inputs(void) {
    if (kbh_early)
        kbh_wait_inputs();
}
static inline void cudaGridDependencySynchronize(void) {
    kb_host_wait_inputs();
}
static inline void cudaTriggerProgrammaticLaunchCompletion(void) {}

#endif
