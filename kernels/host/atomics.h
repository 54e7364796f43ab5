/* atomics.h - atomic functions, atomic across blocks too: blocks run on several OS threads.
 *
 * CUDA's are relaxed; these acquire and release, so that the thread sanitizer takes the
 * usual hand-over through an atomic and __threadfence for what it is. The _block and
 * _system forms are the same. */
#ifndef KBH_ATOMICS_H
#define KBH_ATOMICS_H

/* Replace *at by f(*at) as one step, through its bits; returns the old value. */
template <class Bits, class T, class F> static inline T kbh_atomic(T *at, F f) {
    static_assert(sizeof(Bits) == sizeof(T), "bits hold the value");
    Bits *bits = (Bits *)(void *)at;
    Bits old = __atomic_load_n(bits, __ATOMIC_ACQUIRE);
    kbh_spin();
    for (;;) {
        T before, after;
        Bits wanted;
        memcpy(&before, &old, sizeof before);
        after = f(before);
        memcpy(&wanted, &after, sizeof wanted);
        if (__atomic_compare_exchange_n(bits, &old, wanted, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return before;
    }
}

#define KBH_ATOMIC_1(name, T, Bits, expression)                                            \
    static inline T name(T *at, T value) {                                                 \
        return kbh_atomic<Bits>(at, [=](T old) { return (T)(expression); });               \
    }
#define KBH_ATOMIC(name, T, Bits, expression)                                              \
    KBH_ATOMIC_1(name, T, Bits, expression)                                                \
    KBH_ATOMIC_1(name##_block, T, Bits, expression)                                        \
    KBH_ATOMIC_1(name##_system, T, Bits, expression)

typedef long long kbh_i64;
typedef unsigned long long kbh_u64;

KBH_ATOMIC(atomicAdd, int, unsigned, (unsigned)old + (unsigned)value)
KBH_ATOMIC(atomicAdd, unsigned, unsigned, old + value)
KBH_ATOMIC(atomicAdd, kbh_u64, kbh_u64, old + value)
KBH_ATOMIC(atomicAdd, float, unsigned, old + value)
KBH_ATOMIC(atomicAdd, double, kbh_u64, old + value)
KBH_ATOMIC(atomicAdd, __half, unsigned short, __hadd(old, value))
KBH_ATOMIC(atomicAdd, __half2, unsigned, __hadd2(old, value))
KBH_ATOMIC(atomicAdd, __nv_bfloat16, unsigned short, __hadd(old, value))
KBH_ATOMIC(atomicAdd, __nv_bfloat162, unsigned, __hadd2(old, value))
KBH_ATOMIC(atomicSub, int, unsigned, (unsigned)old - (unsigned)value)
KBH_ATOMIC(atomicSub, unsigned, unsigned, old - value)
KBH_ATOMIC(atomicInc, unsigned, unsigned, old >= value ? 0 : old + 1)
KBH_ATOMIC(atomicDec, unsigned, unsigned, old == 0 || old > value ? value : old - 1)
KBH_ATOMIC(atomicExch, float, unsigned, value)

#define KBH_ATOMIC_INTEGER(T, Bits)                                                        \
    KBH_ATOMIC(atomicExch, T, Bits, value)                                                 \
    KBH_ATOMIC(atomicMin, T, Bits, value < old ? value : old)                              \
    KBH_ATOMIC(atomicMax, T, Bits, value > old ? value : old)                              \
    KBH_ATOMIC(atomicAnd, T, Bits, old & value)                                            \
    KBH_ATOMIC(atomicOr, T, Bits, old | value)                                             \
    KBH_ATOMIC(atomicXor, T, Bits, old ^ value)
KBH_ATOMIC_INTEGER(int, unsigned)
KBH_ATOMIC_INTEGER(unsigned, unsigned)
KBH_ATOMIC_INTEGER(kbh_i64, kbh_u64)
KBH_ATOMIC_INTEGER(kbh_u64, kbh_u64)

/* sm_90 has these for global memory: one atomic per element. */
static inline float2 atomicAdd(float2 *at, float2 value) {
    return make_float2(atomicAdd(&at->x, value.x), atomicAdd(&at->y, value.y));
}

static inline float4 atomicAdd(float4 *at, float4 value) {
    return make_float4(atomicAdd(&at->x, value.x), atomicAdd(&at->y, value.y),
                       atomicAdd(&at->z, value.z), atomicAdd(&at->w, value.w));
}

#define KBH_ATOMIC_CAS_1(name, T)                                                          \
    static inline T name(T *at, T compare, T value) {                                      \
        kbh_spin();                                                                        \
        __atomic_compare_exchange_n(at, &compare, value, false, __ATOMIC_ACQ_REL,          \
                                    __ATOMIC_ACQUIRE);                                     \
        return compare;                                                                    \
    }
#define KBH_ATOMIC_CAS(T)                                                                  \
    KBH_ATOMIC_CAS_1(atomicCAS, T)                                                         \
    KBH_ATOMIC_CAS_1(atomicCAS_block, T)                                                   \
    KBH_ATOMIC_CAS_1(atomicCAS_system, T)
KBH_ATOMIC_CAS(int)
KBH_ATOMIC_CAS(unsigned)
KBH_ATOMIC_CAS(kbh_u64)
KBH_ATOMIC_CAS(unsigned short)

#undef KBH_ATOMIC
#undef KBH_ATOMIC_1
#undef KBH_ATOMIC_CAS
#undef KBH_ATOMIC_CAS_1
#undef KBH_ATOMIC_INTEGER

/* Fences order nothing that is not ordered here already; a spin loop may call them. */
static inline void __threadfence_block(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    kbh_spin();
}

static inline void __threadfence(void) {
    __threadfence_block();
}

static inline void __threadfence_system(void) {
    __threadfence_block();
}

#endif
