// silu_mul_quant: y = silu(gate) * up, quantised by groups of a row to e4m3 codes y_q and
// scales y_s: s = max(amax, eps) / 448, y_q = e4m3(y / s). A row is [gate | up].
//
// round=both rounds silu(gate) and the product to the dtype first, round=product the
// product alone. ue8m0=yes takes s up to a power of two. layout=up_gate has the halves the
// other way round, which costs nothing here, and nor do scales by columns: an expert's
// block, a row and a group are strides. Padding is written by those who own the last row
// and the last group.
//
// warp  - a group of 128 by a warp, four elements a lane: few rows, where the time is one
//         thread's arithmetic and not the memory's.
// octet - a group of 128 by eight lanes, sixteen elements a lane: as many bytes in flight
//         for a thread as the stream kernel has that is its ceiling.
// any   - groups of 16 to 256 by 2 to 32 lanes, eight elements a lane.
// chain - what a framework without fusion runs: silu(gate) * up to memory, then codes and
//         row scales, then the scales to where they belong. y is rounded on its way.
//
// A block is `cols` vectors of each of `block_rows` rows, so that a thread knows its row
// without a division. Blocks go along a row first, as the addresses do; rows lie in y and,
// past 65535 blocks, in z.
/* kbench
{ "ops": ["silu_mul_quant"],
  "let": { "cols": "align_up(ceil_div(vecs, ceil_div(vecs, 256)), lanes)",
           "block_rows": "256 / cols",
           "col_blocks": "ceil_div(vecs, cols)",
           "row_blocks": "ceil_div(tokens, block_rows)",
           "layers": "max(1, ceil_div(row_blocks, 65535))",
           "gate": "layout == up_gate ? vecs : 0", "up": "vecs - gate",
           "stored": "scale_layout == packed ? 2 : ue8m0 == yes ? 1 : 0",
           "scale_row": "scale_layout == row ? groups : scale_layout == packed ? 4 : 1",
           "scale_group": "scale_layout == row ? 1 : scale_layout == packed ? 4 * scale_rows : scale_rows" },
  "variants": {
    "warp": {
      "why":   "a warp for a group of 128: little arithmetic for each thread, for few rows",
      "when":  "group == 128 && tokens * hidden <= sm_count * 8192 && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden / 4", "lanes": 32 },
      "entry": "silu_mul_quant<KB_T, KB_ROUND, 4, 32>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "block_rows"], "pdl": true,
      "args":  ["input", "masked_m", "y_q", "y_s", "i32 tokens", "i32 rows", "i32 vecs",
                "i32 gate", "i32 up", "i32 lanes", "i32 groups", "i32 scale_rows",
                "i64 scales_per_expert", "i64 scale_row", "i64 scale_group", "i32 stored",
                "f32 eps", "f32 limit"] },
    "octet": {
      "why":   "eight lanes for a group of 128: as many bytes in flight as the stream kernel has",
      "when":  "group == 128 && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden / 16", "lanes": 8 },
      "entry": "silu_mul_quant<KB_T, KB_ROUND, 16, 8>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "block_rows"], "pdl": true,
      "args":  ["input", "masked_m", "y_q", "y_s", "i32 tokens", "i32 rows", "i32 vecs",
                "i32 gate", "i32 up", "i32 lanes", "i32 groups", "i32 scale_rows",
                "i64 scales_per_expert", "i64 scale_row", "i64 scale_group", "i32 stored",
                "f32 eps", "f32 limit"] },
    "any": {
      "why":   "groups of any size, eight elements a lane",
      "when":  "max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden / 8", "lanes": "group / 8" },
      "entry": "silu_mul_quant<KB_T, KB_ROUND, 8, 0>",
      "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
      "block": ["cols", "block_rows"], "pdl": true,
      "args":  ["input", "masked_m", "y_q", "y_s", "i32 tokens", "i32 rows", "i32 vecs",
                "i32 gate", "i32 up", "i32 lanes", "i32 groups", "i32 scale_rows",
                "i64 scales_per_expert", "i64 scale_row", "i64 scale_group", "i32 stored",
                "f32 eps", "f32 limit"] },
    "chain": {
      "why":   "unfused: y goes to memory and comes back, and so do scales that are not by rows",
      "when":  "round != none && mask == none && max(tokens, hidden) < 2147483648",
      "let":   { "vecs": "hidden / 8", "lanes": "group / 8",
                 "placed": "scale_layout == row ? 0 : scales_per_expert / (scale_layout == packed ? 4 : 1)" },
      "scratch": { "y": { "bytes": "tokens * hidden * dtype_bytes" },
                   "row_scales": { "bytes": "scale_layout == row ? 0 : tokens * groups * 4" } },
      "launches": [
        { "why":   "y = silu(gate) * up",
          "entry": "silu_mul<KB_T, KB_ROUND>",
          "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
          "block": ["cols", "block_rows"], "pdl": true,
          "args":  ["input", "y", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                    "f32 limit"] },
        { "why":   "codes, and scales by rows",
          "entry": "quantise<KB_T>",
          "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
          "block": ["cols", "block_rows"], "pdl": true,
          "args":  ["y", "y_q", "y_s", "row_scales", "i32 scale_layout == row", "i32 tokens",
                    "i32 vecs", "i32 lanes", "i32 groups", "i32 ue8m0 == yes", "f32 eps"] },
        { "why":   "scales to their places, and padding",
          "entry": "place_scales",
          "grid":  "ceil_div(placed, 256)", "block": 256, "pdl": true,
          "args":  ["row_scales", "y_s", "i64 placed", "i32 tokens", "i32 groups",
                    "i32 scale_rows", "i32 scale_layout == packed"] } ] } } }
*/
#include "kb.cuh"

enum { kNone, kBoth, kProduct };         // KB_ROUND
enum { kFloat, kPower, kExponentByte };  // how a scale is stored
constexpr unsigned kAllLanes = 0xffffffffu; // those that have left do not count

/* x / (1 + 2^y), y = -x log2 e: one MUFU.EX2, one MUFU.RCP and no branch. -inf gives NaN. */
KB_DEVICE float silu(float x) {
    const float log2e = 1.44269502f, ln2 = 0.693147182f;
    // y is rounded towards 0; what it lacks, d >= 0, counts |x| times for negative x:
    // exp(-x) = 2^y (1 + d). For positive x it is below rounding and saturates to 0.
    float y = __fmul_rz(x, -log2e);
    float d = kb_fms_sat(y, -ln2, x);
    return x * kb_rcp(__fmaf_rn(kb_ex2(y), 1.0f + d, 1.0f));
}

/* ---- parts ------------------------------------------------------------------------------
 */

/* What a thread of the block grid works on: 32 bits for rows and columns, whose products
 * have 64. */
struct place {
    unsigned row, col; // col: of vectors
};
KB_DEVICE place here() {
    return {(blockIdx.z * gridDim.y + blockIdx.y) * blockDim.y + threadIdx.y,
            blockIdx.x * blockDim.x + threadIdx.x};
}

template <class T, int kBytes> KB_DEVICE void round_to(float (&v)[kBytes / sizeof(T)]) {
    kb_unpack<T>(kb_pack<T, kBytes>(v), v);
}

/* NaN passes the clamp. */
template <class T, int kRound, int kBytes, int kN>
KB_DEVICE void products(const kb_vec<kBytes> &gate, const kb_vec<kBytes> &up, float limit,
                        float (&y)[kN]) {
    float u[kN];
    kb_unpack<T>(gate, y);
    kb_unpack<T>(up, u);
    if (limit > 0.0f) {
#pragma unroll
        for (int i = 0; i < kN; i++) {
            y[i] = y[i] > limit ? limit : y[i];
            u[i] = u[i] > limit ? limit : u[i] < -limit ? -limit : u[i];
        }
    }
#pragma unroll
    for (int i = 0; i < kN; i++)
        y[i] = silu(y[i]);
    if (kRound == kBoth)
        round_to<T, kBytes>(y);
#pragma unroll
    for (int i = 0; i < kN; i++)
        y[i] *= u[i];
    if (kRound != kNone)
        round_to<T, kBytes>(y);
}

/* The largest |y| of a group, as bits, which order as the numbers do; NaN is the largest. */
template <int kLanes, int kN> KB_DEVICE unsigned amax_of(const float (&y)[kN], int lanes) {
    unsigned most = 0;
#pragma unroll
    for (int i = 0; i < kN; i++)
        most = max(most, __float_as_uint(y[i]) & 0x7fffffffu);
    if (kLanes == 32)
        return __reduce_max_sync(kAllLanes, most);
#pragma unroll
    for (int step = (kLanes ? kLanes : lanes) / 2; step > 0; step /= 2)
        most = max(most, __shfl_xor_sync(kAllLanes, most, step));
    return most;
}

struct scale {
    unsigned bits;  // to be stored: a float, or its exponent's byte
    float inverse;  // y times this is the code ...
    bool half;      // ... of half of y, where the inverse itself would be subnormal
};
KB_DEVICE scale scale_of(unsigned amax, float eps, int stored) {
    // The float of 1 / 448 is a little high, by less than what makes 448 * 2^n come out
    // above 2^n, and the float after that as 2^n: no quotient is needed for that.
    float s = __uint_as_float(max(amax, __float_as_uint(eps))) * (1.0f / 448.0f);
    if (stored == kFloat)
        return {__float_as_uint(s), kb_rcp(s), false};
    unsigned exponent = (__float_as_uint(s) + 0x7fffffu) >> 23;
    exponent -= exponent > 254; // infinity to 254, NaN to 255
    scale out = {exponent, __uint_as_float((254 - exponent) << 23), false};
    if (exponent >= 254) {
        out.inverse = exponent == 254 ? 0x1p-126f : s;
        out.half = true;
    }
    if (stored == kPower)
        out.bits = exponent == 255 ? 0x7fc00000u : exponent << 23;
    return out;
}

template <int kN> KB_DEVICE kb_vec<kN> codes_of(const scale &s, float (&y)[kN]) {
    kb_vec<kN> codes;
    if (s.half)
#pragma unroll
        for (int i = 0; i < kN; i++)
            y[i] *= 0.5f;
#pragma unroll
    for (int i = 0; i < kN; i += 4)
        codes.word[i / 4] =
            kb_e4m3x4(y[i] * s.inverse, y[i + 1] * s.inverse, y[i + 2] * s.inverse,
                      y[i + 3] * s.inverse);
    return codes;
}

/* Where the scales of an expert lie: strides in elements, which are bytes if exponents
 * alone are stored; then `group` is that of four groups, which are neighbours. */
struct scales {
    void *first;
    long long row, group;
    int groups, stored;
};
KB_DEVICE void put_scale(const scales &at, size_t row, int group, unsigned bits) {
    if (at.stored != kExponentByte) {
        static_cast<unsigned *>(at.first)[row * at.row + group * at.group] = bits;
        return;
    }
    unsigned char *byte = static_cast<unsigned char *>(at.first) + row * at.row +
                          group / 4 * at.group + group % 4;
    *byte = (unsigned char)bits;
    if (group == at.groups - 1) // padding of the last int32
        for (int i = 1; (group + i) % 4; i++)
            byte[i] = 0;
}

/* ---- kernels ----------------------------------------------------------------------------
 * Sizes are in vectors of kN elements: `vecs` in half a row, `gate` and `up` where the
 * halves start. A group is `lanes` of them, kLanes where that is known. */

template <class T, int kRound, int kN, int kLanes>
__global__ void __launch_bounds__(256)
    silu_mul_quant(const T *input, const int *masked_m, unsigned char *y_q, void *y_s,
                   int tokens, int rows, unsigned vecs, unsigned gate, unsigned up,
                   int lanes, int groups, int scale_rows, long long scales_per_expert,
                   long long scale_row, long long scale_group, int stored, float eps,
                   float limit) {
    constexpr int kBytes = kN * sizeof(T);
    place at = here();
    if (kLanes)
        lanes = kLanes;
    int group = (int)at.col / lanes;
    bool leads = (int)at.col % lanes == 0;
    unsigned expert = 0, row = at.row;
    scales slots = {y_s, scale_row, scale_group, groups, stored};
    const kb_vec<kBytes> *halves =
        kb_vecs<kBytes>(input) + ((size_t)at.row * (2 * vecs) + at.col);

    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || at.col >= vecs)
        return;
    if (masked_m) {
        expert = row / (unsigned)rows;
        row -= expert * (unsigned)rows;
        size_t first = expert * (size_t)scales_per_expert;
        slots.first = static_cast<unsigned char *>(y_s) +
                      (stored == kExponentByte ? first : first * sizeof(float));
    }
    if (leads && row == (unsigned)rows - 1)
        for (int pad = rows; pad < scale_rows; pad++)
            put_scale(slots, pad, group, 0);
    if (masked_m && (int)row >= masked_m[expert])
        return;

    float y[kN];
    kb_vec<kBytes> x = halves[gate], u = halves[up];
    products<T, kRound>(x, u, limit, y);
    scale s = scale_of(amax_of<kLanes>(y, lanes), eps, stored);
    kb_vecs<kN>(y_q)[(size_t)at.row * vecs + at.col] = codes_of(s, y);
    if (leads)
        put_scale(slots, row, group, s.bits);
}

/* The chain: vectors of 8 elements. */

template <class T, int kRound>
__global__ void __launch_bounds__(256)
    silu_mul(const T *input, T *out, int tokens, unsigned vecs, unsigned gate, unsigned up,
             float limit) {
    constexpr int kN = 16 / sizeof(T);
    float y[kN];
    place at = here();
    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || at.col >= vecs)
        return;
    const kb_vec<16> *halves =
        kb_vecs<16>(input) + ((size_t)at.row * (2 * vecs) + at.col);
    products<T, kRound == kBoth ? kBoth : kNone>(halves[gate], halves[up], limit, y);
    kb_vecs<16>(out)[(size_t)at.row * vecs + at.col] = kb_pack<T, 16>(y);
}

template <class T>
__global__ void __launch_bounds__(256)
    quantise(const T *in, unsigned char *y_q, float *y_s, float *row_scales, int by_rows,
             int tokens, unsigned vecs, int lanes, int groups, int ue8m0, float eps) {
    constexpr int kN = 16 / sizeof(T);
    float y[kN];
    place at = here();
    size_t vec = (size_t)at.row * vecs + at.col;
    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || at.col >= vecs)
        return;
    kb_unpack<T>(kb_vecs<16>(in)[vec], y);
    scale s = scale_of(amax_of<0>(y, lanes), eps, ue8m0 ? kPower : kFloat);
    kb_vecs<kN>(y_q)[vec] = codes_of(s, y);
    float *scales_by_rows = by_rows ? y_s : row_scales;
    if ((int)at.col % lanes == 0)
        scales_by_rows[(size_t)at.row * groups + at.col / lanes] = __uint_as_float(s.bits);
}

/* A float or an int32 of exponents for each thread, along the columns. */
__global__ void __launch_bounds__(256)
    place_scales(const unsigned *row_scales, unsigned *y_s, long long n, int tokens,
                 int groups, int scale_rows, int packed) {
    long long i = (long long)blockIdx.x * 256 + threadIdx.x;
    kb_let_next_start();
    kb_wait_inputs();
    if (i >= n)
        return;
    int row = (int)(i % scale_rows), group = (int)(i / scale_rows) * (packed ? 4 : 1);
    const unsigned *from = row_scales + (size_t)row * groups + group;
    unsigned bits = 0;
    if (row < tokens && !packed)
        bits = from[0];
    else if (row < tokens)
        for (int k = 0; k < 4 && group + k < groups; k++)
            bits |= (from[k] >> 23 & 255) << 8 * k;
    y_s[i] = bits;
}
