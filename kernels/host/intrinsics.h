/* intrinsics.h - integer and bit intrinsics, conversions, cached loads and stores, clocks. */
#ifndef KBH_INTRINSICS_H
#define KBH_INTRINSICS_H

/* ---- bits ---------------------------------------------------------------------------- */

template <class To, class From> static inline To kbh_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy(&to, &value, sizeof to);
    return to;
}

static inline int __float_as_int(float x) {
    return kbh_bits<int>(x);
}
static inline unsigned __float_as_uint(float x) {
    return kbh_bits<unsigned>(x);
}
static inline float __int_as_float(int x) {
    return kbh_bits<float>(x);
}
static inline float __uint_as_float(unsigned x) {
    return kbh_bits<float>(x);
}
static inline long long __double_as_longlong(double x) {
    return kbh_bits<long long>(x);
}
static inline double __longlong_as_double(long long x) {
    return kbh_bits<double>(x);
}
static inline int __double2hiint(double x) {
    return (int)(kbh_bits<unsigned long long>(x) >> 32);
}
static inline int __double2loint(double x) {
    return (int)(unsigned)kbh_bits<unsigned long long>(x);
}
static inline double __hiloint2double(int hi, int lo) {
    return kbh_bits<double>((unsigned long long)(unsigned)hi << 32 | (unsigned)lo);
}

static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __clzll(long long x) {
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline int __ffsll(long long x) {
    return __builtin_ffsll(x);
}

static inline unsigned long long __brevll(unsigned long long x) {
    x = (x >> 1 & 0x5555555555555555ull) | (x & 0x5555555555555555ull) << 1;
    x = (x >> 2 & 0x3333333333333333ull) | (x & 0x3333333333333333ull) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0full) | (x & 0x0f0f0f0f0f0f0f0full) << 4;
    return __builtin_bswap64(x);
}
static inline unsigned __brev(unsigned x) {
    return (unsigned)(__brevll(x) >> 32);
}

/* Three bits of each nibble of the selector pick a byte of y:x. The fourth, by which prmt
 * takes the byte's sign, is ignored, as CUDA ignores it. */
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    unsigned long long bytes = (unsigned long long)y << 32 | x;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        unsigned pick = selector >> 4 * i & 7;
        out |= ((unsigned)(bytes >> 8 * pick) & 255) << 8 * i;
    }
    return out;
}

static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned shift) {
    return (unsigned)(((unsigned long long)hi << 32 | lo) << (shift & 31) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned shift) {
    return (unsigned)(((unsigned long long)hi << 32 | lo) >> (shift & 31));
}
static inline unsigned __funnelshift_lc(unsigned lo, unsigned hi, unsigned shift) {
    return shift >= 32 ? lo : __funnelshift_l(lo, hi, shift);
}
static inline unsigned __funnelshift_rc(unsigned lo, unsigned hi, unsigned shift) {
    return shift >= 32 ? hi : __funnelshift_r(lo, hi, shift);
}

/* ---- integers ------------------------------------------------------------------------ */

static inline int __mulhi(int a, int b) {
    return (int)((long long)a * b >> 32);
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
static inline long long __mul64hi(long long a, long long b) {
    return (long long)((__int128)a * b >> 64);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline int __mul24(int a, int b) {
    return (int)((unsigned)((int)((unsigned)a << 8) >> 8) *
                 (unsigned)((int)((unsigned)b << 8) >> 8));
}
static inline unsigned __umul24(unsigned a, unsigned b) {
    return (a & 0xffffff) * (b & 0xffffff);
}
static inline unsigned __sad(int a, int b, unsigned c) {
    return c + (a > b ? (unsigned)a - (unsigned)b : (unsigned)b - (unsigned)a);
}
static inline unsigned __usad(unsigned a, unsigned b, unsigned c) {
    return c + (a > b ? a - b : b - a);
}
static inline int __hadd(int a, int b) {
    return (int)(((long long)a + b) >> 1);
}
static inline int __rhadd(int a, int b) {
    return (int)(((long long)a + b + 1) >> 1);
}
static inline unsigned __uhadd(unsigned a, unsigned b) {
    return (unsigned)(((unsigned long long)a + b) >> 1);
}
static inline unsigned __urhadd(unsigned a, unsigned b) {
    return (unsigned)(((unsigned long long)a + b + 1) >> 1);
}

template <class Byte, class Word> static inline Word kbh_dp4a(Word a, Word b, Word c) {
    unsigned sum = (unsigned)c;
    for (int i = 0; i < 4; i++)
        sum += (unsigned)((int)(Byte)((unsigned)a >> 8 * i) *
                          (int)(Byte)((unsigned)b >> 8 * i));
    return (Word)sum;
}
static inline int __dp4a(int a, int b, int c) {
    return kbh_dp4a<signed char>(a, b, c);
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    return kbh_dp4a<unsigned char>(a, b, c);
}

/* ---- min and max --------------------------------------------------------------------- */

#define KBH_MIN_MAX(R, A, B)                                                               \
    static inline R min(A a, B b) {                                                        \
        return (R)b < (R)a ? (R)b : (R)a;                                                  \
    }                                                                                      \
    static inline R max(A a, B b) {                                                        \
        return (R)b > (R)a ? (R)b : (R)a;                                                  \
    }
#define KBH_MIN_MAX_INTEGER(S, U)                                                          \
    KBH_MIN_MAX(S, S, S)                                                                   \
    KBH_MIN_MAX(U, U, U)                                                                   \
    KBH_MIN_MAX(U, S, U)                                                                   \
    KBH_MIN_MAX(U, U, S)
KBH_MIN_MAX_INTEGER(int, unsigned)
KBH_MIN_MAX_INTEGER(long, unsigned long)
KBH_MIN_MAX_INTEGER(long long, unsigned long long)
#undef KBH_MIN_MAX
#undef KBH_MIN_MAX_INTEGER

/* A NaN gives way to a number, as in fminf and fmaxf. */
#define KBH_MIN_MAX(R, A, B)                                                               \
    static inline R min(A a, B b) {                                                        \
        return __builtin_fmin((R)a, (R)b);                                                 \
    }                                                                                      \
    static inline R max(A a, B b) {                                                        \
        return __builtin_fmax((R)a, (R)b);                                                 \
    }
KBH_MIN_MAX(double, double, double)
KBH_MIN_MAX(double, float, double)
KBH_MIN_MAX(double, double, float)
#undef KBH_MIN_MAX
static inline float min(float a, float b) {
    return __builtin_fminf(a, b);
}
static inline float max(float a, float b) {
    return __builtin_fmaxf(a, b);
}
static inline unsigned umin(unsigned a, unsigned b) {
    return min(a, b);
}
static inline unsigned umax(unsigned a, unsigned b) {
    return max(a, b);
}

/* ---- conversions between numbers ------------------------------------------------------
 * To integers they saturate, and NaN becomes 0, as the hardware's do. */

enum kbh_rounding { KBH_RN, KBH_RZ, KBH_RU, KBH_RD };

static inline double kbh_whole(double x, enum kbh_rounding rounding) {
    switch (rounding) {
    case KBH_RZ:
        return trunc(x);
    case KBH_RU:
        return ceil(x);
    case KBH_RD:
        return floor(x);
    default:
        return nearbyint(x);
    }
}

template <class Int>
static inline Int kbh_to_int(double x, enum kbh_rounding rounding, Int lowest, Int highest) {
    x = kbh_whole(x, rounding);
    if (!(x == x))
        return 0;
    if (x <= (double)lowest)
        return lowest;
    return x >= (double)highest ? highest : (Int)x;
}

/* The float that follows a finite f towards infinity, or towards minus infinity. */
static inline float kbh_next(float f, bool up) {
    unsigned bits = kbh_bits<unsigned>(f);
    if (f == 0)
        return kbh_bits<float>(up ? 1u : 0x80000001u);
    return kbh_bits<float>(bits >> 31 == (unsigned)up ? bits - 1 : bits + 1);
}

/* The float next to `exact + rest` in a direction; `rest` is smaller than half an ulp of
 * `exact` and matters by its sign alone. Wide: double, or what holds 64-bit integers. */
template <class Wide>
static inline float kbh_to_float(Wide exact, double rest, enum kbh_rounding rounding) {
    float f = (float)exact;
    if (rounding == KBH_RN || !(exact == exact) || __builtin_isinf(exact))
        return f;
    bool same = (Wide)f == exact;
    if (rounding == KBH_RZ) { /* one ulp less where it lies further out; no branch */
        bool out = __builtin_fabs((Wide)f) > __builtin_fabs(exact);
        bool back = same && (exact > 0 ? rest < 0 : exact < 0 && rest > 0);
        return kbh_bits<float>(kbh_bits<unsigned>(f) - (out || back));
    }
    if (rounding == KBH_RU)
        return (Wide)f < exact || (same && rest > 0) ? kbh_next(f, true) : f;
    return (Wide)f > exact || (same && rest < 0) ? kbh_next(f, false) : f;
}

#define KBH_TO_INT(from, T, to, Int, lowest, highest, suffix, rounding)                    \
    static inline Int __##from##2##to##_##suffix(T x) {                                    \
        return kbh_to_int<Int>((double)x, rounding, lowest, highest);                      \
    }
#define KBH_TO_FLOAT(from, T, suffix, rounding)                                            \
    static inline float __##from##2float_##suffix(T x) {                                   \
        return kbh_to_float((long double)x, 0, rounding);                                  \
    }
#define KBH_FOUR(macro, ...)                                                               \
    macro(__VA_ARGS__, rn, KBH_RN) macro(__VA_ARGS__, rz, KBH_RZ)                          \
        macro(__VA_ARGS__, ru, KBH_RU) macro(__VA_ARGS__, rd, KBH_RD)
#define KBH_TO_INTS(from, T)                                                               \
    KBH_FOUR(KBH_TO_INT, from, T, int, int, INT32_MIN, INT32_MAX)                          \
    KBH_FOUR(KBH_TO_INT, from, T, uint, unsigned, 0u, UINT32_MAX)                          \
    KBH_FOUR(KBH_TO_INT, from, T, ll, long long, INT64_MIN, INT64_MAX)                     \
    KBH_FOUR(KBH_TO_INT, from, T, ull, unsigned long long, 0ull, UINT64_MAX)
KBH_TO_INTS(float, float)
KBH_TO_INTS(double, double)
KBH_FOUR(KBH_TO_FLOAT, int, int)
KBH_FOUR(KBH_TO_FLOAT, uint, unsigned)
KBH_FOUR(KBH_TO_FLOAT, ll, long long)
KBH_FOUR(KBH_TO_FLOAT, ull, unsigned long long)
KBH_FOUR(KBH_TO_FLOAT, double, double)
#undef KBH_TO_INTS
#undef KBH_TO_INT
#undef KBH_TO_FLOAT

static inline double __int2double_rn(int x) {
    return x;
}
static inline double __uint2double_rn(unsigned x) {
    return x;
}
static inline double __ll2double_rn(long long x) {
    return (double)x;
}
static inline double __ull2double_rn(unsigned long long x) {
    return (double)x;
}

/* ---- loads and stores with cache hints: plain ones here -------------------------------- */

template <class T> struct kbh_same {
    typedef T type;
};

#define KBH_LOAD(name)                                                                     \
    template <class T> static inline T name(const T *at) {                                 \
        return *at;                                                                        \
    }
#define KBH_STORE(name)                                                                    \
    template <class T> static inline void name(T *at, typename kbh_same<T>::type value) {  \
        *at = value;                                                                       \
    }
KBH_LOAD(__ldg)
KBH_LOAD(__ldca)
KBH_LOAD(__ldcg)
KBH_LOAD(__ldcs)
KBH_LOAD(__ldlu)
KBH_LOAD(__ldcv)
KBH_STORE(__stwb)
KBH_STORE(__stcg)
KBH_STORE(__stcs)
KBH_STORE(__stwt)
#undef KBH_LOAD
#undef KBH_STORE

/* ---- time, waiting, ending ------------------------------------------------------------- */

static inline long long clock64(void) {
#if defined(__x86_64__)
    return (long long)__builtin_ia32_rdtsc();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

static inline void __nanosleep(unsigned) {
    kbh_yield();
}

static inline void __trap(KBH_SITE) {
    kbh_trap(file, line);
}

#endif
