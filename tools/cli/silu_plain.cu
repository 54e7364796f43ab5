// silu_plain: somebody's own kernel, as --kernel takes it. One thread per output element.
/* kbench
{ "ops": ["silu"], "variants": { "plain": {
    "entry": "silu_plain<KB_T>", "grid": "ceil_div(tokens * hidden, 256)", "block": 256,
    "args": ["input", "out", "i64 tokens * hidden", "i32 hidden"] } } }
*/
template <class T>
__global__ void silu_plain(const T *input, T *out, long long n, int hidden) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const T *row = input + i / hidden * 2 * hidden;
    float x = (float)row[i % hidden], up = (float)row[hidden + i % hidden];
    out[i] = (T)(x / (1.0f + expf(-x)) * up);
}
