/* warp.h - barriers, shuffles, votes, matches and reductions. */
#ifndef KBH_WARP_H
#define KBH_WARP_H

static constexpr int warpSize = 32;

/* ---- barriers ------------------------------------------------------------------------ */

static inline void __syncthreads(KBH_SITE) {
    kbh_barrier(KBH_SYNCTHREADS, 0, 0, 0, file, line);
}

static inline int __syncthreads_count(int predicate, KBH_SITE) {
    return kbh_barrier(KBH_SYNCTHREADS_COUNT, 0, 0, predicate != 0, file, line);
}

static inline int __syncthreads_or(int predicate, KBH_SITE) {
    return kbh_barrier(KBH_SYNCTHREADS_OR, 0, 0, predicate != 0, file, line) != 0;
}

static inline int __syncthreads_and(int predicate, KBH_SITE) {
    return kbh_barrier(KBH_SYNCTHREADS_AND, 0, 0, predicate == 0, file, line) == 0;
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, KBH_SITE) {
    if (kbh_meeting *m = kbh_meet(KBH_SYNCWARP, mask, 0, file, line))
        kbh_part(m);
}

/* The lanes that stand at this call when no lane of the warp can go on otherwise. */
static inline unsigned __activemask(KBH_SITE) {
    kbh_meeting *m = kbh_meet(KBH_ACTIVEMASK, 0xffffffffu, 0, file, line);
    unsigned mask = m->arrived;
    kbh_part(m);
    return mask;
}

/* ---- shuffles ------------------------------------------------------------------------ */

/* What an undefined result reads as: the poison that shared memory starts with. */
template <class T> static inline T kbh_poison_value() {
    T value;
    unsigned char bytes[sizeof(T)];
    for (size_t i = 0; i < sizeof(T); i++)
        bytes[i] = i & 1 ? 0x7f : 0xb3;
    memcpy(&value, bytes, sizeof value);
    return value;
}

template <class T> static inline uint64_t kbh_pack(T value) {
    static_assert(sizeof(T) <= 8, "a collective takes values of up to 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}

template <class T> static inline T kbh_unpack(uint64_t bits) {
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T>
static inline T kbh_shuffle(enum kbh_kind kind, unsigned mask, T value, int source,
                            const char *file, int line) {
    kbh_meeting *m = kbh_meet(kind, mask, kbh_pack(value), file, line);
    if (!m)
        return kbh_poison_value<T>();
    bool there = m->arrived >> source & 1;
    uint64_t bits = m->value[source];
    kbh_part(m);
    if (there)
        return kbh_unpack<T>(bits);
    kbh_absent_lane(kind, source, file, line);
    return kbh_poison_value<T>();
}

/* Source lanes as PTX shfl defines them: a segment of `width` lanes, and the own lane where
 * the source would lie outside of it. */
static inline int kbh_first_lane(int width) {
    return (int)kbh_now.lane & (32 - width) & 31;
}

static inline int kbh_last_lane(int width) {
    return kbh_first_lane(width) | (~(32 - width) & 31);
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
                            KBH_SITE) {
    int from = kbh_first_lane(width) | (source & ~(32 - width) & 31);
    return kbh_shuffle(KBH_SHFL, mask, value, from, file, line);
}

template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                               KBH_SITE) {
    int from = (int)kbh_now.lane - (int)(delta & 31);
    if (from < kbh_first_lane(width))
        from = (int)kbh_now.lane;
    return kbh_shuffle(KBH_SHFL_UP, mask, value, from, file, line);
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta,
                                 int width = warpSize, KBH_SITE) {
    int from = (int)kbh_now.lane + (int)(delta & 31);
    if (from > kbh_last_lane(width))
        from = (int)kbh_now.lane;
    return kbh_shuffle(KBH_SHFL_DOWN, mask, value, from, file, line);
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize,
                                KBH_SITE) {
    int from = (int)kbh_now.lane ^ (lane_mask & 31);
    if (from > kbh_last_lane(width))
        from = (int)kbh_now.lane;
    return kbh_shuffle(KBH_SHFL_XOR, mask, value, from, file, line);
}

/* ---- votes --------------------------------------------------------------------------- */

/* The lanes of the meeting for whose value `keep` holds; 0 where the mask is wrong. */
template <class Keep>
static inline unsigned kbh_lanes(enum kbh_kind kind, unsigned mask, uint64_t value,
                                 unsigned *arrived, const char *file, int line, Keep keep) {
    kbh_meeting *m = kbh_meet(kind, mask, value, file, line);
    unsigned lanes = 0;
    *arrived = m ? m->arrived : 0;
    if (!m)
        return 0;
    for (int i = 0; i < 32; i++)
        if (m->arrived >> i & 1 && keep(m->value[i]))
            lanes |= 1u << i;
    kbh_part(m);
    return lanes;
}

static inline bool kbh_is_set(uint64_t value) {
    return value != 0;
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, KBH_SITE) {
    unsigned arrived;
    return kbh_lanes(KBH_BALLOT, mask, predicate != 0, &arrived, file, line, kbh_is_set);
}

static inline int __any_sync(unsigned mask, int predicate, KBH_SITE) {
    unsigned arrived;
    return kbh_lanes(KBH_ANY, mask, predicate != 0, &arrived, file, line, kbh_is_set) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, KBH_SITE) {
    unsigned arrived;
    unsigned lanes =
        kbh_lanes(KBH_ALL, mask, predicate != 0, &arrived, file, line, kbh_is_set);
    return lanes == arrived;
}

template <class T>
static inline unsigned __match_any_sync(unsigned mask, T value, KBH_SITE) {
    uint64_t mine = kbh_pack(value);
    unsigned arrived;
    return kbh_lanes(KBH_MATCH_ANY, mask, mine, &arrived, file, line,
                     [=](uint64_t other) { return other == mine; });
}

template <class T>
static inline unsigned __match_all_sync(unsigned mask, T value, int *all, KBH_SITE) {
    uint64_t mine = kbh_pack(value);
    unsigned arrived;
    unsigned lanes = kbh_lanes(KBH_MATCH_ALL, mask, mine, &arrived, file, line,
                               [=](uint64_t other) { return other == mine; });
    *all = lanes == arrived;
    return *all ? lanes : 0;
}

/* ---- reductions ---------------------------------------------------------------------- */

template <class T, class Join>
static inline T kbh_reduce(enum kbh_kind kind, unsigned mask, T value, const char *file,
                           int line, Join join) {
    kbh_meeting *m = kbh_meet(kind, mask, kbh_pack(value), file, line);
    if (!m)
        return kbh_poison_value<T>();
    T all = value;
    for (unsigned i = 0; i < 32; i++)
        if (m->arrived >> i & 1 && i != kbh_now.lane)
            all = join(all, kbh_unpack<T>(m->value[i]));
    kbh_part(m);
    return all;
}

#define KBH_REDUCE(T, name, kind, expression)                                              \
    static inline T name(unsigned mask, T value, KBH_SITE) {                               \
        return kbh_reduce(kind, mask, value, file, line,                                   \
                          [](T a, T b) { return (T)(expression); });                       \
    }
#define KBH_REDUCE_BOTH(name, kind, expression)                                            \
    KBH_REDUCE(int, name, kind, expression)                                                \
    KBH_REDUCE(unsigned, name, kind, expression)
KBH_REDUCE_BOTH(__reduce_add_sync, KBH_REDUCE_ADD, (unsigned)a + (unsigned)b)
KBH_REDUCE_BOTH(__reduce_min_sync, KBH_REDUCE_MIN, b < a ? b : a)
KBH_REDUCE_BOTH(__reduce_max_sync, KBH_REDUCE_MAX, b > a ? b : a)
KBH_REDUCE(unsigned, __reduce_and_sync, KBH_REDUCE_AND, a & b)
KBH_REDUCE(unsigned, __reduce_or_sync, KBH_REDUCE_OR, a | b)
KBH_REDUCE(unsigned, __reduce_xor_sync, KBH_REDUCE_XOR, a ^ b)
#undef KBH_REDUCE
#undef KBH_REDUCE_BOTH

#endif
