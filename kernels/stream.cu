// stream: the bytes of another op without its maths. n elements of the flat input, or of
// the output where nothing is read:
//
//     copy, r2w1, r2w05   out[i] = the exclusive or of 1, 2, 4 parts of the input at i
//     read                out[j] = the exclusive or of the j-th 4096 bytes
//     write               out[i] = in[0] ^ i, folded to the bits of an element
//     none                nothing: what the blocks of a copy cost by themselves
//
// vec16           - one 16-byte vector per thread: what copies fastest on sm_80 to sm_90.
// vec16x2         - two, where the blocks of vec16 would be almost twice those that run at once and
//                   these are all at once. H200, GB/s of a copy of 5, 6, 7, 8, 16, 32 MiB: 2652
//                   2835 2996 3115 3534 3869 by vec16, 2713 2904 3098 3202 3523 3823 by two
//                   vectors; with programmatic edges of 5 to 8 2865 3031 3183 3292, 2712 2945 3252
//                   3395. Of 2 reads and a write no such size gains 1 %, and with those edges all
//                   lose, up to 13 %.
// vec16x4, vec16x8 - four, eight: more loads in flight, fewer blocks. What moves its bytes one
//                   way alone starts too many blocks by vec16. H200, GB/s of 8, 32, 128 and
//                   256 MiB: read 2257 3027 3295 3341 by vec16, 2378 3730 4354 4496 by vec16x4,
//                   2328 3709 4338 4476 by vec16x8; write 2673 3220 3348, 2672 3913 4445, 2671
//                   3832 4360; copy of 16, 64, 256 MiB 3054 3873 4168, 3173 3742 3988.
// scalar          - any size, so that odd shapes have a ceiling too; several elements per
//                   thread, since one would leave too few bytes in flight.
/* kbench
{ "ops": ["stream"],
  "let": { "items": "pattern == read || pattern == none ? elements : out_elements",
           "vecs": "items * dtype_bytes / 16",
           "at_once": "sm_count * 2048" },
  "block": 256, "pdl": true,
  "args": ["input", "out", "i64 vecs"],
  "variants": {
    "vec16x2": {
      "why":   "two vectors per thread, where copies would go by two rounds of blocks",
      "when":  "items * dtype_bytes % 16 == 0 && pattern == copy && 3 * vecs > 5 * at_once && vecs <= 2 * at_once",
      "entry": "stream<KB_T, KB_PATTERN, 16, 2>",
      "grid":  "ceil_div(vecs, 256 * 2)" },
    "vec16": {
      "why":   "one 16-byte vector per thread: more per thread and cache hints were slower in copies",
      "when":  "items * dtype_bytes % 16 == 0 && (pattern != read && pattern != write || vecs < 131072)",
      "entry": "stream<KB_T, KB_PATTERN, 16, 1>",
      "grid":  "ceil_div(vecs, 256)" },
    "vec16x4": {
      "why":   "four vectors per thread, for what is read or written alone",
      "when":  "items * dtype_bytes % 16 == 0",
      "entry": "stream<KB_T, KB_PATTERN, 16, 4>",
      "grid":  "ceil_div(vecs, 256 * 4)" },
    "vec16x8": {
      "why":   "eight vectors per thread",
      "when":  "items * dtype_bytes % 16 == 0",
      "entry": "stream<KB_T, KB_PATTERN, 16, 8>",
      "grid":  "ceil_div(vecs, 256 * 8)" },
    "scalar": {
      "why":   "any number of elements, eight per thread",
      "entry": "stream<KB_T, KB_PATTERN, sizeof(KB_T), 8>",
      "grid":  "ceil_div(items, 256 * 8)", "align": 2,
      "args":  ["input", "out", "i64 items"] } } }
*/
#include "kb.cuh"

enum { kCopy, kTwo, kFour, kRead, kWrite, kNone }; // r2w1 joins two parts, r2w05 four

// Vector `i` of the numbers of elements, each folded to its bits, ^ seed.
template <class T, int kBytes> KB_DEVICE kb_vec<kBytes> number(unsigned seed, long long i) {
    kb_vec<kBytes> v;
    constexpr int kWords = sizeof(v) / sizeof(v.word[0]);
    long long first = i * (kBytes / (int)sizeof(T));
    unsigned bits = (unsigned)(first ^ first >> 32) ^ seed;
    if constexpr (sizeof(T) == 2)
        bits ^= (unsigned)(first ^ first >> 32) >> 16;
#pragma unroll
    for (int w = 0; w < kWords; w++) {
        if constexpr (kBytes == 2)
            v.word[w] = (unsigned short)bits;
        else if constexpr (sizeof(T) == 2) // a vector's first element is a multiple of 8
            v.word[w] = (bits & 0xffff) * 0x10001u ^ (2 * w | (2 * w + 1) << 16);
        else
            v.word[w] = bits ^ w;
    }
    return v;
}

// All 256 threads: each 4096 bytes of the block become one element of `out`.
template <class T, int kBytes, int kItems>
KB_DEVICE void join(const kb_vec<kBytes> (&v)[kItems][1], long long vecs, T *out) {
    constexpr int kWords = sizeof(v[0]) / sizeof(v[0][0].word[0]);
    constexpr int kEach = 16 / kBytes, kSums = kItems * kBytes / 16; // items to a sum, sums
    __shared__ unsigned parts[kSums][8];
#pragma unroll
    for (int s = 0; s < kSums; s++) {
        unsigned bits = 0;
#pragma unroll
        for (int i = s * kEach; i < (s + 1) * kEach; i++)
#pragma unroll
            for (int w = 0; w < kWords; w++)
                bits ^= v[i][0].word[w];
        bits = __reduce_xor_sync(0xffffffffu, bits);
        if (threadIdx.x % 32 == 0)
            parts[s][threadIdx.x / 32] = bits;
    }
    __syncthreads();
    long long sum = (long long)blockIdx.x * kSums + threadIdx.x;
    if (threadIdx.x >= kSums || sum * (256 * kEach) >= vecs)
        return;
    unsigned bits = 0;
#pragma unroll
    for (int w = 0; w < 8; w++)
        bits ^= parts[threadIdx.x][w];
    if constexpr (sizeof(T) == 2)
        bits ^= bits >> 16; // a word has two elements
    kb_vecs<sizeof(T)>(out)[sum].word[0] = bits;
}

template <class T, int kPattern, int kBytes, int kItems>
__global__ void __launch_bounds__(256) stream(const T *input, T *out, long long vecs) {
    constexpr int kParts = kPattern == kFour ? 4 : kPattern == kTwo ? 2 : 1;
    constexpr int kWords = sizeof(kb_vec<kBytes>) / sizeof(kb_vec<kBytes>{}.word[0]);
    long long first = (long long)blockIdx.x * (256 * kItems) + threadIdx.x;
    const kb_vec<kBytes> *in = kb_vecs<kBytes>(input) + first;
    kb_vec<kBytes> v[kItems][kParts];

    kb_let_next_start();
    kb_wait_inputs();
    if constexpr (kPattern == kNone)
        return;
    unsigned seed = kPattern == kWrite ? kb_vecs<sizeof(T)>(input)->word[0] : 0;
#pragma unroll // all loads before the first use
    for (int i = 0; i < kItems; i++)
        if (first + i * 256 >= vecs && kPattern == kRead)
            v[i][0] = {};
        else if (kPattern == kWrite)
            v[i][0] = number<T, kBytes>(seed, first + i * 256);
        else if (first + i * 256 < vecs)
#pragma unroll
            for (int k = 0; k < kParts; k++)
                v[i][k] = (in + k * vecs)[i * 256];
    if constexpr (kPattern == kRead)
        return join<T>(v, vecs, out);
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        if (first + i * 256 >= vecs)
            return;
#pragma unroll
        for (int k = 1; k < kParts; k++)
#pragma unroll
            for (int w = 0; w < kWords; w++)
                v[i][0].word[w] ^= v[i][k].word[w];
        kb_vecs<kBytes>(out)[first + i * 256] = v[i][0];
    }
}
