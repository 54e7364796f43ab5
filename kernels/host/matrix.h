/* matrix.h - for kb.cuh: the matrix instructions of a warp, worked out once for all lanes.
 *
 * A lane brings its registers and waits; the first one to go on does the work of all of
 * them, row by row in vectors. A sum goes along the depth, each product and each sum
 * rounded to float: that order is part of what a kernel computes here. What lanes bring
 * lies on their stacks, which are no memory of the kernel: a sanitizer of threads is to see
 * no access to it. */
#ifndef KBH_MATRIX_H
#define KBH_MATRIX_H

#define KBH_UNWATCHED __attribute__((noinline, no_sanitize("thread"))) static

/* ---- together --------------------------------------------------------------------------
 */

/* `work` reads all of what it wants before it writes: lanes that take no part share one
 * object. */
template <class T>
KBH_UNWATCHED void kbh_work_for_all(const kbh_meeting *m, void (*work)(T *const all[32])) {
    T absent = kbh_poison_value<T>(), *all[32];
    for (int i = 0; i < 32; i++)
        all[i] = m->arrived >> i & 1 ? (T *)(uintptr_t)m->value[i] : &absent;
    work(all);
}

template <class T>
static inline void kbh_together(enum kbh_kind kind, T &mine, void (*work)(T *const all[32]),
                                const char *file, int line) {
    kbh_meeting *m = kbh_meet(kind, 0xffffffffu, (uint64_t)(uintptr_t)&mine, file, line);
    if (kbh_is_first(m))
        kbh_work_for_all(m, work);
    kbh_part(m);
}

/* ---- products --------------------------------------------------------------------------
 */

typedef float kbh_v8sf __attribute__((vector_size(32), aligned(32)));

/* A word of four bytes as floats. */
static inline void kbh_floats(unsigned word, float (&out)[2], __nv_bfloat16) {
    out[0] = kbh_bits<float>(word << 16);
    out[1] = kbh_bits<float>(word & 0xffff0000u);
}
static inline void kbh_floats(unsigned word, float (&out)[2], __half) {
    float2 pair = __half22float2(kbh_bits<__half2>(word));
    out[0] = pair.x;
    out[1] = pair.y;
}

struct kbh_e4m3_floats {
    float of[256];
    kbh_e4m3_floats() {
        for (int i = 0; i < 256; i++)
            of[i] = (float)kbh_bits<__nv_fp8_e4m3>((unsigned char)i);
    }
};
static const kbh_e4m3_floats kbh_e4m3;

static inline void kbh_floats(unsigned word, float (&out)[4], __nv_fp8_e4m3) {
    for (int i = 0; i < 4; i++)
        out[i] = kbh_e4m3.of[word >> 8 * i & 255];
}

struct kbh_fragments {
    unsigned a[4], b[2];
    float c[4];
};

/* c += a b. The lanes' places in them are said in kb.cuh. */
template <class T> KBH_UNWATCHED void kbh_multiply(kbh_fragments *const all[32]) {
    constexpr int kPer = 4 / sizeof(T), kDepth = 8 * kPer, kAtOnce = 8;
    float a[kDepth][16], b[kDepth][8] __attribute__((aligned(32)));
    float c[16][8] __attribute__((aligned(32))), word[kPer];

    for (int lane = 0; lane < 32; lane++) {
        const kbh_fragments *in = all[lane];
        int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            kbh_floats(in->a[i], word, T());
            for (int e = 0; e < kPer; e++)
                a[(t + i / 2 * 4) * kPer + e][g + i % 2 * 8] = word[e];
            c[g + i / 2 * 8][2 * t + i % 2] = in->c[i];
        }
        for (int i = 0; i < 2; i++) {
            kbh_floats(in->b[i], word, T());
            for (int e = 0; e < kPer; e++)
                b[(t + i * 4) * kPer + e][g] = word[e];
        }
    }
    for (int row = 0; row < 16; row += kAtOnce) {
        kbh_v8sf sums[kAtOnce];
        for (int r = 0; r < kAtOnce; r++)
            sums[r] = *(const kbh_v8sf *)c[row + r];
        for (int k = 0; k < kDepth; k++) {
            kbh_v8sf column = *(const kbh_v8sf *)b[k];
#pragma GCC unroll 8
            for (int r = 0; r < kAtOnce; r++)
                sums[r] += a[k][row + r] * column;
        }
        for (int r = 0; r < kAtOnce; r++)
            *(kbh_v8sf *)c[row + r] = sums[r];
    }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++)
            all[lane]->c[i] = c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

/* mma.sync of 16 x 8 floats and 32 bytes of depth, T being __nv_bfloat16, __half or
 * __nv_fp8_e4m3. */
template <class T>
static inline void kb_host_mma(float (&c)[4], const unsigned (&a)[4],
                               const unsigned (&b)[2], KBH_SITE) {
    kbh_fragments mine;
    memcpy(mine.a, a, sizeof mine.a);
    memcpy(mine.b, b, sizeof mine.b);
    memcpy(mine.c, c, sizeof mine.c);
    kbh_together(KBH_MMA, mine, kbh_multiply<T>, file, line);
    memcpy(c, mine.c, sizeof mine.c);
}

/* ---- loads of matrices -----------------------------------------------------------------
 */

struct kbh_row { /* 8 units of 16 bits, in pairs */
    unsigned word[4], out[4];
};

template <bool kTransposed> KBH_UNWATCHED void kbh_spread(kbh_row *const all[32]) {
    unsigned out[32][4];
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            int g = lane / 4, t = lane % 4, shift = g % 2 * 16;
            kbh_row *const *rows = all + i * 8;
            out[lane][i] = kTransposed ? (rows[2 * t]->word[g / 2] >> shift & 0xffff) |
                                             rows[2 * t + 1]->word[g / 2] >> shift << 16
                                       : rows[g]->word[t];
        }
    for (int lane = 0; lane < 32; lane++)
        memcpy(all[lane]->out, out[lane], sizeof out[lane]);
}

/* ldmatrix x4 in 16-bit units; `row` is what the lane's address points to. */
template <bool kTransposed>
static inline void kb_host_ldmatrix(uint4 row, unsigned (&out)[4], KBH_SITE) {
    kbh_row mine = {{row.x, row.y, row.z, row.w}, {}};
    kbh_together(KBH_LDMATRIX, mine, kbh_spread<kTransposed>, file, line);
    memcpy(out, mine.out, sizeof mine.out);
}

#undef KBH_UNWATCHED
#endif
