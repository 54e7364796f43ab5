// qknorm_rope: every q and k head x of a token, in place in [q heads | k heads | v heads]
//
//     y[i]  = x[i] / sqrt(mean(x^2) + eps) * w[i], w being q's weight or k's
//     pairs (a, b) of the first rotary_dim elements, k = 0, 1, ..., t = position * f(k):
//     out_a = (y_a cos t - y_b sin t) * scale, out_b = (y_b cos t + y_a sin t) * scale
//
// A token's row may be longer than its heads: `row` elements from one to the next.
//
// f(k) is ratio^k, with YaRN times 1 - ramp(k) + ramp(k) / factor.
//
// block - some heads of a token to a block. A thread holds two 16-byte vectors of a head,
//         chosen so that both elements of every pair are its own: nothing but the sum of
//         squares crosses threads. The token's cos and sin are computed once in a block. Up
//         to 128 threads: on an H200, heads 32/4 of 128, interleaved, graph us at 1, 1024 and
//         65536 tokens with up to 64, 128, 256 and 320 threads: 1.69 1.68 1.75 1.87, 7.35
//         6.99 7.31 7.51, 395 309 325 326.
// warp  - one warp to a head, elements by way of shared memory: any even rotary_dim.
// chain - what a framework without fusion runs: the norm to memory, rounded, and back for
//         the rotation. Right for round=norm only.
//
// Angles. A table would be read by every token; here f(k) / 2 pi is a 64-bit fraction, so
// that position * f(k) wraps at a whole turn by itself and is exact to 2^-32 of a turn at
// any position. The fraction comes from powers of ratio in double, a few products for a
// thread that then serves all heads of the block.
/* kbench
{ "ops": ["qknorm_rope"],
  "let": { "extras": "round != once || table != fp32",
           "ratio2": "ratio * ratio", "ratio4": "ratio2 * ratio2", "ratio8": "ratio4 * ratio4",
           "ratio16": "ratio8 * ratio8", "ratio32": "ratio16 * ratio16", "ratio64": "ratio32 * ratio32" },
  "variants": {
    "block": {
      "why":   "heads of one token in a block, two 16-byte vectors to a thread, angles once in a block",
      "when":  "rotary_dim % 16 == 0 && rotary_dim > 0 && row * dtype_bytes % 16 == 0",
      "let":   { "lanes": "head_dim / 16",
                 "fit": "max(1, 32 / lanes) * max(1, 128 / max(32, lanes))",
                 "parts": "ceil_div(turning, fit)",
                 "in_block": "align_up(ceil_div(turning, parts), max(1, 32 / lanes))" },
      "entry": "qknorm_rope_block<KB_T, {head_dim}, KB_STYLE, {extras}>",
      "grid":  ["tokens", "ceil_div(turning, in_block)"], "block": ["lanes", "in_block"],
      "smem":  "rotary_dim * 4", "pdl": true,
      "args":  ["qkv", "q_weight", "k_weight", "position_ids", "i32 heads", "i32 turning", "i64 row",
                "i32 rotary_dim", "f32 eps", "f32 scale", "f64 ratio", "f64 ratio2", "f64 ratio4",
                "f64 ratio8", "f64 ratio16", "f64 ratio32", "f64 ratio64", "f64 yarn_inverse",
                "f64 yarn_low", "f64 yarn_slope", "i32 round == norm ? 1 : round == scaled ? 2 : 0",
                "i32 table == dtype ? 1 : 0"] },
    "warp": {
      "why":   "one warp to a head: any even rotary_dim",
      "let":   { "pairs": "rotary_dim / 2" },
      "entry": "qknorm_rope_warp<KB_T>",
      "grid":  ["tokens", "ceil_div(turning, 4)"], "block": [32, 4],
      "smem":  "4 * head_dim * 4", "pdl": true,
      "args":  ["qkv", "q_weight", "k_weight", "position_ids", "i32 heads", "i32 turning", "i64 row",
                "i32 head_dim", "i32 rotary_dim", "i32 style == neox ? 1 : 0", "f32 eps", "f32 scale",
                "f64 ratio", "f64 ratio2", "f64 ratio4",
                "f64 ratio8", "f64 ratio16", "f64 ratio32", "f64 ratio64", "f64 yarn_inverse",
                "f64 yarn_low", "f64 yarn_slope", "i32 round == norm ? 1 : round == scaled ? 2 : 0",
                "i32 table == dtype ? 1 : 0"] },
    "chain": {
      "why":   "unfused: normed heads go to memory, rounded, and come back to be rotated",
      "when":  "round == norm && table == fp32 && rotary_dim % 16 == 0 && rotary_dim > 0 && row * dtype_bytes % 16 == 0",
      "let":   { "lanes": "head_dim / 16",
                 "in_block": "max(1, 32 / lanes) * max(1, 128 / max(32, lanes))" },
      "launches": [
        { "entry": "norm_only<KB_T, {head_dim}>",
          "grid":  ["tokens", "ceil_div(heads, in_block)"], "block": ["lanes", "in_block"], "pdl": true,
          "args":  ["qkv", "q_weight", "i32 0", "i32 heads", "i64 row", "f32 eps"] },
        { "entry": "norm_only<KB_T, {head_dim}>",
          "grid":  ["tokens", "ceil_div(kv_heads, in_block)"], "block": ["lanes", "in_block"], "pdl": true,
          "args":  ["qkv", "k_weight", "i32 heads", "i32 turning", "i64 row", "f32 eps"] },
        { "entry": "rope_only<KB_T, {head_dim}, KB_STYLE>",
          "grid":  ["tokens", "ceil_div(turning, in_block)"], "block": ["lanes", "in_block"],
          "smem":  "rotary_dim * 4", "pdl": true,
          "args":  ["qkv", "position_ids", "i32 turning", "i64 row", "i32 rotary_dim", "f32 scale",
                    "f64 ratio", "f64 ratio2", "f64 ratio4",
                    "f64 ratio8", "f64 ratio16", "f64 ratio32", "f64 ratio64", "f64 yarn_inverse",
                    "f64 yarn_low", "f64 yarn_slope"] } ] } } }
*/
#include "kb.cuh"

enum { kNeox, kInterleaved };
enum { kOnce, kNorm, kScaled };

/* ---- angles ---------------------------------------------------------------------------- */

struct frequencies {
    double ratio[7]; // ratio^1, ^2, ^4 ... ^64
    double inverse, low, slope;
};

/* f(k) / 2 pi in units of 2^-64 of a turn. */
KB_DEVICE unsigned long long turns_of(const frequencies &f, int k) {
    double turns = 0.15915494309189535; // 1 / 2 pi
#pragma unroll
    for (int bit = 0; bit < 7; bit++)
        turns *= k >> bit & 1 ? f.ratio[bit] : 1.0;
    double ramp = (k - f.low) * f.slope;
    ramp = ramp < 0.0 ? 0.0 : ramp > 1.0 ? 1.0 : ramp;
    turns *= (1.0 - ramp) + ramp * f.inverse;
    turns -= floor(turns); // a factor below 1 goes faster than one turn
    return (unsigned long long)(turns * 18446744073709551616.0);
}

/* cos and sin of a fraction of a turn, in 2^-32: the nearest quarter turn, and what is left
 * by Taylor's series, which at an eighth of a turn ends below 2^-25 of 1. */
KB_DEVICE void cos_sin(unsigned turns, float &c, float &s) {
    unsigned quarter = (turns + 0x20000000u) >> 30;
    float x = (float)(int)(turns - (quarter << 30)) * 1.46291807926715968e-9f; // 2 pi / 2^32
    float x2 = x * x;
    float sine = __fmaf_rn(
        x * x2,
        __fmaf_rn(x2, __fmaf_rn(x2, __fmaf_rn(x2, 2.75573192e-6f, -1.98412698e-4f),
                                8.33333333e-3f),
                  -0.166666667f),
        x);
    float cosine = __fmaf_rn(
        x2,
        __fmaf_rn(x2, __fmaf_rn(x2, __fmaf_rn(x2, 2.48015873e-5f, -1.38888889e-3f),
                                4.16666667e-2f),
                  -0.5f),
        1.0f);
    c = quarter & 1 ? sine : cosine;
    s = quarter & 1 ? cosine : sine;
    c = (quarter + 1) & 2 ? -c : c;
    s = quarter & 2 ? -s : s;
}

KB_DEVICE void cos_sin_of(const frequencies &f, int position, int k, float &c, float &s) {
    unsigned long long turns = turns_of(f, k) * (unsigned long long)position;
    cos_sin((unsigned)(turns >> 32), c, s);
}

/* ---- a head in the registers of its lanes ------------------------------------------------
 * 16 elements to a lane: vectors `a` and `b` of the head, 8 elements each. */

struct chunks {
    int a, b;
};

template <int kHeadDim, int kStyle> KB_DEVICE chunks chunks_of(int lane, int rotary_dim) {
    if (kStyle == kInterleaved)
        return {lane, lane + kHeadDim / 16};
    int half = rotary_dim / 16;
    return lane < half ? chunks{lane, lane + half} : chunks{2 * lane, 2 * lane + 1};
}

/* Over the lanes of a head; all lanes of the warp take part. */
template <int kLanes> KB_DEVICE float sum_over(float x) {
#pragma unroll
    for (int step = kLanes / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

template <class T> KB_DEVICE float rounded(float x) {
    return to_f32(from_f32<T>(x));
}

/* x becomes y, of weights w. */
template <class T, int kHeadDim>
KB_DEVICE void norm(float (&x)[2][8], const kb_vec<16> (&w)[2], float eps, int round) {
    float squares = 0.0f;
#pragma unroll
    for (int v = 0; v < 2; v++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            squares = __fmaf_rn(x[v][i], x[v][i], squares);
    float r = rsqrtf(sum_over<kHeadDim / 16>(squares) * (1.0f / kHeadDim) + eps);
#pragma unroll
    for (int v = 0; v < 2; v++) {
        float weight[8];
        kb_unpack<T>(w[v], weight);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float y = x[v][i] * r;
            y = (round == kScaled ? rounded<T>(y) : y) * weight[i];
            x[v][i] = round != kOnce ? rounded<T>(y) : y;
        }
    }
}

KB_DEVICE void rotate(float &a, float &b, float c, float s, float scale) {
    float turned = (a * c - b * s) * scale;
    b = (b * c + a * s) * scale;
    a = turned;
}

/* Pairs of a lane by the cos and sin of the token in shared memory. */
template <int kHeadDim, int kStyle>
KB_DEVICE void rotate_all(float (&y)[2][8], chunks at, const float *cosines,
                          const float *sines, int rotary_dim, float scale) {
    if (kStyle == kNeox) {
        if (at.b * 8 >= rotary_dim)
            return;
#pragma unroll
        for (int i = 0; i < 8; i++)
            rotate(y[0][i], y[1][i], cosines[at.a * 8 + i], sines[at.a * 8 + i], scale);
        return;
    }
#pragma unroll
    for (int v = 0; v < 2; v++) {
        int chunk = v ? at.b : at.a;
        if (chunk * 8 >= rotary_dim)
            return;
#pragma unroll
        for (int i = 0; i < 8; i += 2) {
            int k = (chunk * 8 + i) / 2;
            rotate(y[v][i], y[v][i + 1], cosines[k], sines[k], scale);
        }
    }
}

/* cos and sin of all pairs of a token, by all threads of the block, seen by all after it. */
template <class T>
KB_DEVICE void fill_table(const frequencies &f, int position, int pairs, float *cosines,
                          float *sines, bool round) {
    int threads = blockDim.x * blockDim.y;
    for (int k = threadIdx.y * blockDim.x + threadIdx.x; k < pairs; k += threads) {
        float c, s;
        cos_sin_of(f, position, k, c, s);
        cosines[k] = round ? rounded<T>(c) : c;
        sines[k] = round ? rounded<T>(s) : s;
    }
    __syncthreads();
}

/* ---- kernels --------------------------------------------------------------------------- */

#define KB_FREQUENCIES                                                                     \
    double ratio, double ratio2, double ratio4, double ratio8, double ratio16,             \
        double ratio32, double ratio64, double inverse, double low, double slope
#define KB_FREQUENCIES_GIVEN                                                               \
    {{ratio, ratio2, ratio4, ratio8, ratio16, ratio32, ratio64}, inverse, low, slope}

template <class T, int kHeadDim, int kStyle, bool kExtras>
__global__ void __launch_bounds__(128)
    qknorm_rope_block(T *qkv, const T *q_weight, const T *k_weight, const int *positions,
                      int heads, int turning, long long row, int rotary_dim, float eps,
                      float scale, KB_FREQUENCIES, int round, int table) {
    KB_DYNAMIC_SMEM(float, cosines);
    float *sines = cosines + rotary_dim / 2;
    const frequencies f = KB_FREQUENCIES_GIVEN;
    int head = blockIdx.y * blockDim.y + threadIdx.y;
    bool there = head < turning;
    chunks at = chunks_of<kHeadDim, kStyle>(threadIdx.x, rotary_dim);
    kb_vec<16> *own =
        kb_vecs<16>(qkv + (size_t)blockIdx.x * row) + (there ? head : 0) * (kHeadDim / 8);
    const kb_vec<16> *weights = kb_vecs<16>(head < heads ? q_weight : k_weight);

    kb_let_next_start();
    kb_wait_inputs();
    kb_vec<16> in[2] = {own[at.a], own[at.b]};
    kb_vec<16> w[2] = {weights[at.a], weights[at.b]};
    fill_table<T>(f, positions[blockIdx.x], rotary_dim / 2, cosines, sines,
                  kExtras && table);
    float y[2][8];
    kb_unpack<T>(in[0], y[0]);
    kb_unpack<T>(in[1], y[1]);
    norm<T, kHeadDim>(y, w, eps, kExtras ? round : kOnce);
    rotate_all<kHeadDim, kStyle>(y, at, cosines, sines, rotary_dim, scale);
    if (!there)
        return;
    own[at.a] = kb_pack<T, 16>(y[0]);
    own[at.b] = kb_pack<T, 16>(y[1]);
}

template <class T>
__global__ void __launch_bounds__(128)
    qknorm_rope_warp(T *qkv, const T *q_weight, const T *k_weight, const int *positions,
                     int heads, int turning, long long row, int head_dim, int rotary_dim,
                     int neox, float eps, float scale, KB_FREQUENCIES, int round,
                     int table) {
    KB_DYNAMIC_SMEM(float, normed);
    const frequencies f = KB_FREQUENCIES_GIVEN;
    int head = blockIdx.y * 4 + threadIdx.y, lane = threadIdx.x, half = rotary_dim / 2;
    if (head >= turning) // the whole warp
        return;
    float *y = normed + threadIdx.y * head_dim, squares = 0.0f;
    T *own = qkv + (size_t)blockIdx.x * row + head * head_dim;
    const T *weight = head < heads ? q_weight : k_weight;

    kb_let_next_start();
    kb_wait_inputs();
    for (int i = lane; i < head_dim; i += 32) {
        y[i] = to_f32(own[i]);
        squares += y[i] * y[i];
    }
    float r = rsqrtf(sum_over<32>(squares) / head_dim + eps);
    for (int i = lane; i < head_dim; i += 32) {
        float x = y[i] * r;
        x = (round == kScaled ? rounded<T>(x) : x) * to_f32(weight[i]);
        y[i] = round != kOnce ? rounded<T>(x) : x;
    }
    __syncwarp();
    for (int k = lane; k < half; k += 32) {
        float c, s;
        cos_sin_of(f, positions[blockIdx.x], k, c, s);
        c = table ? rounded<T>(c) : c;
        s = table ? rounded<T>(s) : s;
        rotate(y[neox ? k : 2 * k], y[neox ? k + half : 2 * k + 1], c, s, scale);
    }
    __syncwarp();
    for (int i = lane; i < head_dim; i += 32)
        own[i] = from_f32<T>(y[i]);
}

/* The chain: heads from `first` to `end`. */
template <class T, int kHeadDim>
__global__ void __launch_bounds__(128)
    norm_only(T *qkv, const T *weight, int first, int end, long long row, float eps) {
    int head = first + blockIdx.y * blockDim.y + threadIdx.y, lane = threadIdx.x;
    bool there = head < end;
    kb_vec<16> *own = kb_vecs<16>(qkv + (size_t)blockIdx.x * row) +
                      (there ? head : first) * (kHeadDim / 8) + 2 * lane;
    const kb_vec<16> *weights = kb_vecs<16>(weight) + 2 * lane;

    kb_let_next_start();
    kb_wait_inputs();
    kb_vec<16> in[2] = {}, w[2] = {weights[0], weights[1]};
    if (there) { // a head of another thread must not be read while that one writes it
        in[0] = own[0];
        in[1] = own[1];
    }
    float y[2][8];
    kb_unpack<T>(in[0], y[0]);
    kb_unpack<T>(in[1], y[1]);
    norm<T, kHeadDim>(y, w, eps, kOnce);
    if (!there)
        return;
    own[0] = kb_pack<T, 16>(y[0]);
    own[1] = kb_pack<T, 16>(y[1]);
}

template <class T, int kHeadDim, int kStyle>
__global__ void __launch_bounds__(128)
    rope_only(T *qkv, const int *positions, int turning, long long row, int rotary_dim,
              float scale, KB_FREQUENCIES) {
    KB_DYNAMIC_SMEM(float, cosines);
    float *sines = cosines + rotary_dim / 2;
    const frequencies f = KB_FREQUENCIES_GIVEN;
    int head = blockIdx.y * blockDim.y + threadIdx.y;
    bool there = head < turning;
    chunks at = chunks_of<kHeadDim, kStyle>(threadIdx.x, rotary_dim);
    kb_vec<16> *own =
        kb_vecs<16>(qkv + (size_t)blockIdx.x * row) + (there ? head : 0) * (kHeadDim / 8);

    kb_let_next_start();
    kb_wait_inputs();
    kb_vec<16> in[2] = {own[at.a], own[at.b]};
    fill_table<T>(f, positions[blockIdx.x], rotary_dim / 2, cosines, sines, false);
    float y[2][8];
    kb_unpack<T>(in[0], y[0]);
    kb_unpack<T>(in[1], y[1]);
    rotate_all<kHeadDim, kStyle>(y, at, cosines, sines, rotary_dim, scale);
    if (!there)
        return;
    own[at.a] = kb_pack<T, 16>(y[0]);
    own[at.b] = kb_pack<T, 16>(y[1]);
}
