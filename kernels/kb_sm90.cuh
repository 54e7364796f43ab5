/* kb_sm90.cuh - words of sm_90 that have no body for the host: barriers in shared memory,
 * the copy engine (TMA), warpgroups and their products. Who reads this says "backends":
 * ["cuda"].
 */
#pragma once

#include "kb.cuh"

KB_DEVICE unsigned kb_shared(const void *p) {
    return (unsigned)__cvta_generic_to_shared(p);
}

/* ---- barriers in shared memory ------------------------------------------------------
 * A phase of one ends when so many have arrived, and the bytes that they announced; phases
 * have parity 0, 1, 0, ... A wait for parity 1 of a new one returns at once. */
KB_DEVICE void kb_barrier_init(unsigned long long *bar, int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(kb_shared(bar)), "r"(count)
                 : "memory");
}
/* Behind all of those, before another thread or the copy engine uses one. */
KB_DEVICE void kb_barrier_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
KB_DEVICE void kb_barrier_arrive(unsigned long long *bar) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(kb_shared(bar))
                 : "memory");
}
/* Arrives, and announces what copies will bring. */
KB_DEVICE void kb_barrier_expect(unsigned long long *bar, int bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(kb_shared(bar)),
        "r"(bytes)
        : "memory");
}
KB_DEVICE void kb_barrier_wait(unsigned long long *bar, int parity) {
    asm volatile("{\n.reg .pred p;\nagain:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 "@!p bra again;\n}" ::"r"(kb_shared(bar)),
                 "r"(parity)
                 : "memory");
}

/* ---- the copy engine ----------------------------------------------------------------
 * A descriptor as the contract's "tma" passes it, and one box of it from element x, y, z
 * on: `to` is a multiple of 128 bytes, of 8 rows where it is swizzled. */
struct alignas(64) kb_map {
    unsigned long long word[16];
};

KB_DEVICE void kb_tma_load(void *to, const kb_map *map, int x, int y, int z,
                           unsigned long long *bar) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(kb_shared(to)),
        "l"(map), "r"(x), "r"(y), "r"(z), "r"(kb_shared(bar))
        : "memory");
}
/* What this thread wrote to shared memory is seen by the copy engine and by wgmma. */
KB_DEVICE void kb_fence_async() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- warpgroups ---------------------------------------------------------------------
 * Registers to a thread of a warpgroup: in all a block has at most those that it began
 * with. */
template <int kRegisters> KB_DEVICE void kb_registers_up() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters> KB_DEVICE void kb_registers_down() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
/* Barrier `id`, 1 to 15, of so many threads: some wait there, others but pass. */
KB_DEVICE void kb_turn_wait(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
KB_DEVICE void kb_turn_give(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* ---- wgmma --------------------------------------------------------------------------
 * Products of a warpgroup's 64 rows, of which a warp has 16 as kb_mma has them: a lane has
 * columns 8 n + 2t, 2t + 1 of rows g and g + 8 in d[n]. They go on by themselves; products
 * up to a commit are a group, and after kb_wgmma_wait<n> all but the last n groups are
 * done. The fence stands before the first of some whose registers others wrote. */
KB_DEVICE void kb_wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
KB_DEVICE void kb_wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kLeft> KB_DEVICE void kb_wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}
/* Behind a wait: or the compiler may read d in front of it. */
template <int kN> KB_DEVICE void kb_hold(float (&d)[kN][4]) {
#pragma unroll
    for (int n = 0; n < kN; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            asm volatile("" : "+f"(d[n][i])::"memory");
}

/* A matrix in shared memory as the copy engine swizzles it, by 128 (layout 1) or 64 bytes
 * (2). With their depth in rows, 8 rows are `stride` apart. With columns in rows of 128
 * bytes, 8 rows are `stride` apart, the next 64 columns `lead`. */
KB_DEVICE unsigned long long kb_wgmma_matrix(const void *at, int lead, int stride,
                                             int layout) {
    return (unsigned long long)(kb_shared(at) & 0x3ffff) >> 4 |
           (unsigned long long)(lead >> 4) << 16 | (unsigned long long)(stride >> 4) << 32 |
           (unsigned long long)layout << 62;
}

#define KB_4(d, n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])
#define KB_64(d)                                                                           \
    KB_4(d, 0), KB_4(d, 1), KB_4(d, 2), KB_4(d, 3), KB_4(d, 4), KB_4(d, 5), KB_4(d, 6),    \
        KB_4(d, 7), KB_4(d, 8), KB_4(d, 9), KB_4(d, 10), KB_4(d, 11), KB_4(d, 12),         \
        KB_4(d, 13), KB_4(d, 14), KB_4(d, 15)
#define KB_REGS_64                                                                         \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "    \
    "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "     \
    "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "     \
    "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
#define KB_WGMMA_SS(type, scales)                                                          \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"                              \
                 "wgmma.mma_async.sync.aligned.m64n128" type " " KB_REGS_64                \
                 "%64, %65, p, " scales ";\n}"                                             \
                 : KB_64(d)                                                                \
                 : "l"(a), "l"(b), "r"((int)add))
#define KB_WGMMA_RS(type, scales)                                                          \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"                              \
                 "wgmma.mma_async.sync.aligned.m64n128" type " " KB_REGS_64                \
                 "{%64, %65, %66, %67}, %68, p, " scales ";\n}"                            \
                 : KB_64(d)                                                                \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add))

/* d = a b + (add ? d : 0), 64 x 128, of a depth of 32 bytes; a and b have it in rows. */
template <class T>
KB_DEVICE void kb_wgmma(float (&d)[16][4], unsigned long long a, unsigned long long b,
                        bool add) {
    if constexpr (sizeof(T) == 1)
        KB_WGMMA_SS("k32.f32.e4m3.e4m3", "1, 1");
    else if constexpr (kb_is_half<T>())
        KB_WGMMA_SS("k16.f32.f16.f16", "1, 1, 0, 0");
    else
        KB_WGMMA_SS("k16.f32.bf16.bf16", "1, 1, 0, 0");
}
/* The same with a in registers, as kb_mma has it; b in 16 bits may have columns in rows. */
template <class T, bool kTurned>
KB_DEVICE void kb_wgmma(float (&d)[16][4], const unsigned (&a)[4], unsigned long long b,
                        bool add) {
    if constexpr (sizeof(T) == 1)
        KB_WGMMA_RS("k32.f32.e4m3.e4m3", "1, 1");
    else if constexpr (kb_is_half<T>() && kTurned)
        KB_WGMMA_RS("k16.f32.f16.f16", "1, 1, 1");
    else if constexpr (kb_is_half<T>())
        KB_WGMMA_RS("k16.f32.f16.f16", "1, 1, 0");
    else if constexpr (kTurned)
        KB_WGMMA_RS("k16.f32.bf16.bf16", "1, 1, 1");
    else
        KB_WGMMA_RS("k16.f32.bf16.bf16", "1, 1, 0");
}
/* The four 8 x 8 matrices of kb_ldmatrix, as it has them untransposed, to shared memory. */
KB_DEVICE void kb_stmatrix(void *row, const unsigned (&x)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                     kb_shared(row)),
                 "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
}
