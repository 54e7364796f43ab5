// silu_mul_quant: y = silu(gate) * up, quantised by groups of a row to e4m3 codes y_q and
// scales y_s: s = max(amax, eps) / 448, y_q = e4m3(y / s). A row is [gate | up].
//
// round=both rounds silu(gate) and the product to the dtype first, round=product the
// product alone. ue8m0=yes takes s up to a power of two. layout=up_gate has the halves the
// other way round, which costs nothing here, and nor do scales by columns: a row and a
// group are strides. Padding is written by those who own the last row and the last group.
//
// warp  - a group of 128 by a warp, four elements a lane: few rows, where the time is one
//         thread's arithmetic and not the memory's.
// vec16 - one 16-byte vector of each half a lane, 16 lanes for a group of 128. Sixteen
//         elements a lane were slower: fewer threads wait for memory while others compute.
// any   - vec16 for groups of 16 to 256, for a mask and for a clamp.
// odd   - any for rows of the input that begin where no vector does.
// chain - what a framework without fusion runs: silu(gate) * up to memory, then codes and
//         row scales, then the scales to where they belong. y is rounded on its way.
//
// A block is `cols` vectors of each of `block_rows` rows, so that a thread knows its row
// without a division. Blocks go along a row first, as the addresses do; rows lie in y and,
// past 65535 blocks, in z.
/* kbench
{ "ops": ["silu_mul_quant"],
  "let": { "vecs": "hidden / in_vec", "in_vecs": "in_stride / in_vec",
           "cols": "align_up(ceil_div(vecs, ceil_div(vecs, 256)), lanes)",
           "block_rows": "256 / cols",
           "col_blocks": "ceil_div(vecs, cols)",
           "row_blocks": "ceil_div(tokens, block_rows)",
           "layers": "max(1, ceil_div(row_blocks, 65535))",
           "gate": "layout == up_gate ? vecs : 0", "up": "vecs - gate",
           "stored": "scale_layout == packed ? 2 : ue8m0 == yes ? 1 : 0",
           "row_stride": "scale_layout == row ? groups : 1",
           "group_stride": "scale_layout == row ? 1 : scale_rows",
           "block_stride": "scale_layout == packed ? scales_per_expert / 4 : scales_per_expert" },
  "grid":  ["col_blocks", "ceil_div(row_blocks, layers)", "layers"],
  "block": ["cols", "block_rows"], "pdl": true,
  "args":  ["input", "y_q", "y_s", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
            "i32 groups", "i32 scale_rows", "u32 row_stride", "u32 group_stride",
            "i32 stored", "f32 eps", "masked_m", "i32 rows", "i64 block_stride",
            "i32 lanes", "f32 limit", "u32 in_vecs"],
  "variants": {
    "warp": {
      "why":   "a warp for a group of 128: little arithmetic for each thread, for few rows",
      "when":  "group == 128 && in_stride % 4 == 0 && mask == none && clamp == 0 && tokens * hidden <= sm_count * 8192 && max(tokens, hidden) < 2147483648",
      "let":   { "in_vec": 4, "lanes": 32 },
      "entry": "silu_mul_quant<KB_T, KB_ROUND, 4, 32>" },
    "vec16": {
      "why":   "16 lanes for a group of 128, a 16-byte vector of each half",
      "when":  "group == 128 && in_stride % 8 == 0 && mask == none && clamp == 0 && max(tokens, hidden) < 2147483648",
      "let":   { "in_vec": 8, "lanes": 16 },
      "entry": "silu_mul_quant<KB_T, KB_ROUND, 8, 16>" },
    "any": {
      "why":   "groups of any size, masked and clamped as well; 16-byte vectors",
      "when":  "in_stride % 8 == 0 && max(tokens, hidden) < 2147483648",
      "let":   { "in_vec": 8, "lanes": "group / 8" },
      "entry": "silu_mul_quant<KB_T, KB_ROUND, 8, 0>" },
    "odd": {
      "why":   "any, for rows that begin anywhere: a vector's elements are read one by one",
      "when":  "max(tokens, hidden) < 2147483648",
      "let":   { "in_vec": 8, "lanes": "group / 8" },
      "entry": "silu_mul_quant<KB_T, KB_ROUND, 8, 0, true>",
      "args":  ["input", "y_q", "y_s", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                "i32 groups", "i32 scale_rows", "u32 row_stride", "u32 group_stride",
                "i32 stored", "f32 eps", "masked_m", "i32 rows", "i64 block_stride",
                "i32 lanes", "f32 limit", "u32 in_stride"] },
    "chain": {
      "why":   "unfused: y goes to memory and comes back, and so do scales that are not by rows",
      "when":  "round != none && mask == none && in_stride % 8 == 0 && max(tokens, hidden) < 2147483648",
      "let":   { "in_vec": 8, "lanes": "group / 8" },
      "scratch": { "y": { "bytes": "tokens * hidden * dtype_bytes" },
                   "row_scales": { "bytes": "scale_layout == row ? 0 : tokens * groups * 4" } },
      "launches": [
        { "why":   "y = silu(gate) * up",
          "entry": "silu_mul<KB_T, KB_ROUND>",
          "args":  ["input", "y", "i32 tokens", "i32 vecs", "i32 gate", "i32 up",
                    "f32 limit", "u32 in_vecs"] },
        { "why":   "codes, and scales by rows",
          "entry": "quantise<KB_T>",
          "args":  ["y", "y_q", "y_s", "row_scales", "i32 scale_layout == row", "i32 tokens",
                    "i32 vecs", "i32 lanes", "i32 groups", "i32 ue8m0 == yes", "f32 eps"] },
        { "why":   "scales to their places, and padding",
          "entry": "place_scales",
          "grid":  "scale_layout == row ? 0 : ceil_div(block_stride, 256)", "block": 256,
          "args":  ["row_scales", "y_s", "i64 block_stride", "i32 tokens", "i32 groups",
                    "i32 scale_rows", "i32 scale_layout == packed"] } ] } } }
*/
#include "kb.cuh"

enum { kNone, kBoth, kProduct };            // KB_ROUND
enum { kFloat, kPower, kExponentByte };     // how a scale is stored
constexpr unsigned kAllLanes = 0xffffffffu; // those that have left do not count

/* x / (1 + exp(-x)): one MUFU.EX2, one MUFU.RCP and no branch. -inf gives NaN. That -x log2 e
 * is rounded counts |x| times in exp(-x), which no code can tell. Subnormal gates stay, in a
 * fast-math build too: a large up may lift them. */
KB_DEVICE float silu(float x) {
    return kb_mul(x, kb_rcp(1.0f + kb_ex2(x * -1.44269502f)));
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

/* A vector of 16-bit elements that may begin at any of them. */
template <int kBytes, class T> KB_DEVICE kb_vec<kBytes> by_elements(const T *from) {
    const unsigned short *elements = reinterpret_cast<const unsigned short *>(from);
    kb_vec<kBytes> v;
#pragma unroll
    for (int i = 0; i < kBytes / 4; i++)
        v.word[i] = elements[2 * i] | (unsigned)elements[2 * i + 1] << 16;
    return v;
}

/* NaN passes the clamp; a limit of 0 is none. */
template <class T, int kRound, int kBytes, int kN>
KB_DEVICE void products(const kb_vec<kBytes> &gate, const kb_vec<kBytes> &up, float limit,
                        float (&y)[kN]) {
    float u[kN];
    kb_unpack<T>(gate, y);
    kb_unpack<T>(up, u);
    if (limit > 0.0f) {
#pragma unroll
        for (int i = 0; i < kN; i++) {
            y[i] = kb_min_nan(y[i], limit);
            u[i] = kb_max_nan(kb_min_nan(u[i], limit), -limit);
        }
    }
#pragma unroll
    for (int i = 0; i < kN; i++)
        y[i] = silu(y[i]);
    if (kRound == kBoth)
        round_to<T, kBytes>(y);
#pragma unroll
    for (int i = 0; i < kN; i++)
        y[i] = kb_mul(y[i], u[i]);
    if (kRound != kNone)
        round_to<T, kBytes>(y);
}

/* The largest |y| of a group, as bits, which order as the numbers do; NaN is the largest. */
template <int kLanes, int kN> KB_DEVICE unsigned amax_of(const float (&y)[kN], int lanes) {
    float mine = fabsf(y[0]);
#pragma unroll
    for (int i = 1; i < kN; i++)
        mine = kb_max_nan(mine, fabsf(y[i]));
    unsigned most = __float_as_uint(mine);
    if (kLanes == 32)
        return __reduce_max_sync(kAllLanes, most);
#pragma unroll // steps past a group's lanes are 0: a value against itself costs no branch
    for (int step = kLanes ? kLanes / 2 : 16; step > 0; step /= 2)
        most = max(most, __shfl_xor_sync(kAllLanes, most,
                                         kLanes ? step : step & (lanes - 1)));
    return most;
}

struct scale {
    unsigned bits; // to be stored: a float, or its exponent's byte
    float inverse;
};
KB_DEVICE scale scale_of(unsigned amax, float eps, int stored) {
    // The float of 1 / 448 is a little high, by less than what makes 448 * 2^n come out
    // above 2^n, and the float after that as 2^n: no quotient is needed for that.
    float s = __uint_as_float(max(amax, __float_as_uint(eps))) * (1.0f / 448.0f);
    if (stored == kFloat)
        return {__float_as_uint(s), kb_rcp(s)};
    unsigned exponent = (__float_as_uint(s) + 0x7fffffu) >> 23;
    exponent -= exponent > 254; // infinity to 254, NaN to 255
    // 2^(127 - exponent), the last of which is subnormal.
    unsigned inverse = exponent < 254 ? (254 - exponent) << 23 : 0x00400000u;
    if (exponent == 255)
        return {stored == kPower ? 0x7fffffffu : exponent, s};
    return {stored == kPower ? exponent << 23 : exponent, __uint_as_float(inverse)};
}

template <int kN> KB_DEVICE kb_vec<kN> codes_of(const scale &s, const float (&y)[kN]) {
    kb_vec<kN> codes;
#pragma unroll
    for (int i = 0; i < kN; i += 4)
        codes.word[i / 4] =
            kb_e4m3x4(kb_mul(y[i], s.inverse), kb_mul(y[i + 1], s.inverse),
                      kb_mul(y[i + 2], s.inverse), kb_mul(y[i + 3], s.inverse));
    return codes;
}

/* Where the scales lie, in words: a float, or the bytes of four neighbouring groups. */
struct scales {
    unsigned *first;
    unsigned row_stride, group_stride;
    int groups, stored;
};
KB_DEVICE void put_scale(const scales &at, unsigned row, unsigned group, unsigned bits) {
    unsigned *word = at.first + (size_t)row * at.row_stride;
    if (at.stored != kExponentByte) {
        word[(size_t)group * at.group_stride] = bits;
        return;
    }
    unsigned char *bytes =
        reinterpret_cast<unsigned char *>(word + (size_t)(group / 4) * at.group_stride);
    bytes[group % 4] = (unsigned char)bits;
    if (group + 1 == (unsigned)at.groups)
        for (unsigned i = group % 4 + 1; i < 4; i++)
            bytes[i] = 0;
}

/* Rows of padding, by the one who has the last row of a group's scales. */
KB_DEVICE void put_padding(const scales &at, int rows, int scale_rows, unsigned group) {
#pragma unroll 1
    for (int row = rows; row < scale_rows; row++)
        put_scale(at, (unsigned)row, group, 0);
}

/* ---- kernels ----------------------------------------------------------------------------
 * Sizes are in vectors of kN elements: `vecs` in half a row, `gate` and `up` where the
 * halves start, `in_vecs` from a row of the input to the next (elements for kByElements). A
 * group is `lanes` of them, kLanes where that is known; then there is neither mask nor
 * clamp. */

template <class T, int kRound, int kN, int kLanes, bool kByElements = false>
__global__ void __launch_bounds__(256)
    silu_mul_quant(const T *input, unsigned char *y_q, unsigned *y_s, int tokens,
                   unsigned vecs, unsigned gate, unsigned up, int groups, int scale_rows,
                   unsigned row_stride, unsigned group_stride, int stored, float eps,
                   const int *masked_m, int rows, long long block_stride, int lanes,
                   float limit, unsigned in_vecs) {
    constexpr int kBytes = kN * sizeof(T);
    place at = here();
    const kb_vec<kBytes> *halves =
        kb_vecs<kBytes>(input) + ((size_t)at.row * in_vecs + at.col);
    const T *elements = input + ((size_t)at.row * in_vecs + (size_t)at.col * kN);
    kb_vec<kN> *codes = kb_vecs<kN>(y_q) + ((size_t)at.row * vecs + at.col);
    unsigned group = kLanes ? at.col / (kLanes ? kLanes : 1) : at.col >> (__ffs(lanes) - 1);
    bool leads = at.col % (unsigned)(kLanes ? kLanes : lanes) == 0;
    scales slots = {y_s, row_stride, group_stride, groups, stored};
    unsigned row = at.row;

    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || at.col >= vecs)
        return;
    if (!kLanes && masked_m) {
        unsigned expert = at.row / (unsigned)rows;
        row -= expert * (unsigned)rows;
        slots.first += expert * (size_t)block_stride;
        if ((int)row >= masked_m[expert]) {
            if (leads && row + 1 == (unsigned)rows)
                put_padding(slots, rows, scale_rows, group);
            return;
        }
    }
    kb_vec<kBytes> x, u;
    if (kByElements) {
        x = by_elements<kBytes>(elements + (size_t)gate * kN);
        u = by_elements<kBytes>(elements + (size_t)up * kN);
    } else {
        x = halves[gate];
        u = halves[up];
    }
    float y[kN];
    products<T, kRound>(x, u, kLanes ? 0.0f : limit, y);
    scale s = scale_of(amax_of<kLanes>(y, lanes), eps, stored);
    *codes = codes_of(s, y);
    if (!leads)
        return;
    put_scale(slots, row, group, s.bits);
    if (row + 1 == (unsigned)rows)
        put_padding(slots, rows, scale_rows, group);
}

/* The chain: vectors of 8 elements. */

template <class T, int kRound>
__global__ void __launch_bounds__(256)
    silu_mul(const T *input, T *out, int tokens, unsigned vecs, unsigned gate, unsigned up,
             float limit, unsigned in_vecs) {
    constexpr int kN = 16 / sizeof(T);
    float y[kN];
    place at = here();
    kb_let_next_start();
    kb_wait_inputs();
    if (at.row >= (unsigned)tokens || at.col >= vecs)
        return;
    const kb_vec<16> *halves =
        kb_vecs<16>(input) + ((size_t)at.row * in_vecs + at.col);
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
    if (at.col % (unsigned)lanes == 0)
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
