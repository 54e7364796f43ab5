#!/usr/bin/env bats
# build.bats - --mode build, and files of code, over a driver without a GPU; NVRTC is the real one.

load common

setup_file() {
    stub_driver
}

on_stub() {
    LD_LIBRARY_PATH=$stub kbench --backend cuda "$@"
}

@test "a row for each distinct code, compiled once, then from the cache, then without a compiler" {
    on_stub --op silu --shape 7x16,9x16,11x16 --dtype bf16,fp32 --build precise,fast-math --mode build -o cold.json
    status_is 0
    has_line "* | built, not run"
    has_line "4 compiled in *, * at a time, * in all; 0 from the cache; loaded in *"
    has_line "6 cases x 2 builds, 4 distinct: 4 pass, *"
    [ "$(jq -c '[.rows[].code.cached]' cold.json)" = '[false,false,false,false]' ]
    [ "$(jq '[.rows[].code.compile_ms > 1] | all' cold.json)" = true ]
    on_stub --op silu --shape 7x16,9x16,11x16 --dtype bf16,fp32 --build precise,fast-math --mode build -o warm.json
    status_is 0
    has_line "0 compiled; 4 from the cache; loaded in *"
    [ "$(jq -c '[.rows[].code.cached]' warm.json)" = '[true,true,true,true]' ]
    on_stub --op silu --shape 7x16,9x16,11x16 --dtype bf16,fp32 --build precise,fast-math --mode build --no-compile
    status_is 0
    has_line "0 compiled; 4 from the cache; loaded in *"
}

@test "what a build left out is an error without a compiler" {
    on_stub --op gelu --shape 7x16,64x2048 --mode build --no-compile
    status_is 5
    has_line "ERROR gelu/7x16/bf16  *would have to compile*"
}

@test "a run finds all that a build compiled: its kernels, the ceilings' and kbench's own" {
    on_stub --op silu,gelu --shape 7x16,64x2048 --mode build
    status_is 0
    on_stub --op silu,gelu --shape 7x16,64x2048 --no-compile --time-failing --method graph -o run.json
    [[ $(tr -s '[:space:]' ' ' <<<"$output$stderr") != *"would have to compile"* ]] || { seen; return 1; }
    has_no_line "ERROR *"
    [ "$(grep -c '"graph":{"median_ns":' run.json)" = 4 ]
    ! grep "would have to compile" run.json
}

# A compiler of a host's kernel waits for another to be under way, 10 s at most.
meeting() {
    mkdir -m 700 meeting cache
    cat >meet <<END
#!/bin/bash
if [[ "\$*" == *kbh_kernel.o* && "\$*" != *kbh_run* ]]; then
    touch "$PWD/meeting/\$\$"
    for i in {1..200}; do
        [ "\$(ls "$PWD/meeting" | wc -l)" -lt 2 ] || break
        sleep 0.05
    done
    [ "\$(ls "$PWD/meeting" | wc -l)" -ge 2 ] || echo >"$PWD/alone"
fi
exec "\$@"
END
    chmod +x meet
}

@test "on the host, too, codes of one file are compiled at the same time, each once" {
    meeting
    cat >sized.cu <<'END'
/* kbench
{ "ops": ["silu"], "block": 64, "args": ["input", "out", "i64 tokens * hidden", "i32 hidden"],
  "variants": {
    "sized": { "when": "hidden < 32", "grid": "ceil_div(tokens * hidden, 64)",
               "entry": "sized<KB_T, {hidden}>" },
    "plain": { "grid": "ceil_div(tokens * hidden, 64)", "entry": "sized<KB_T, 0>" } } }
*/
template <class T, int kHidden>
__global__ void sized(const T *input, T *out, long long n, int given) {
    int hidden = kHidden ? kHidden : given;
    long long i = blockIdx.x * 64LL + threadIdx.x;
    if (i >= n)
        return;
    float gate = (float)input[i / hidden * 2 * hidden + i % hidden];
    float up = (float)input[i / hidden * 2 * hidden + hidden + i % hidden];
    out[i] = T(gate / (1 + expf(-gate)) * up);
}
END
    export KBENCH_CACHE=$PWD/cache CXX="$PWD/meet ${CXX:-g++}"
    on_host --op silu --kernel sized.cu --shape 3x8,5x8,3x16,3x24,3x64 --dtype fp32 --mode build --jobs 2
    status_is 0
    has_line "4 compiled in *, 2 at a time, * in all; 0 from the cache"
    [ ! -e alone ]
    [ "$(ls meeting | wc -l)" = 4 ]
    rm -r cache/* meeting/*
    on_host --op silu --kernel sized.cu --shape 3x8,5x8,3x16,3x24 --dtype fp32 --mode check --jobs 2
    status_is 0
    [ ! -e alone ]
    [ "$(ls meeting | wc -l)" = 3 ]
}

# A driver that says in the file $loaded that code was loaded, and an nvcc that waits for that, 10 s at most.
waiting_nvcc() {
    local real=${CUDA_HOME:-/usr/local/cuda}
    mkdir driver home home/bin
    ln -s "$real"/* home/ 2>/dev/null || true
    ln -s "$real"/bin/* home/bin/
    rm home/bin/nvcc
    cat >home/bin/nvcc <<END
#!/bin/bash
for i in {1..200}; do
    [ ! -e "$loaded" ] || break
    sleep 0.05
done
[ -e "$loaded" ] || echo >"$PWD/in-vain"
exec "$real/bin/nvcc" "\$@"
END
    chmod +x home/bin/nvcc
    cat >load.c <<END
#include <cuda.h>
#include <fcntl.h>
#include <unistd.h>
CUresult stub_load(CUmodule *, const void *);
CUresult cuModuleLoadData(CUmodule *module, const void *code) {
    close(open("$loaded", O_CREAT | O_WRONLY, 0600));
    return stub_load(module, code);
}
END
    cc -c -fPIC "-I$real/include" -o load.o load.c
    cc -shared -fPIC -D_GNU_SOURCE -DcuModuleLoadData=stub_load "-I$real/include" -o driver/libcuda.so.1 "$top"/tools/stub/*.c load.o
}

@test "a row's code is loaded while nvcc still compiles another's" {
    [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ] || skip "no nvcc"
    local loaded=$PWD/loaded
    waiting_nvcc
    mkdir -m 700 cold
    stub=$PWD/driver CUDA_HOME=$PWD/home KBENCH_CACHE=$PWD/cold on_stub --op silu --shape 7x16 --dtype bf16,fp32 \
        --build precise,aot --mode build --jobs 4 -o r.json
    status_is 0
    has_line "4 compiled in *; 0 from the cache*"
    [ -e loaded ]
    [ ! -e in-vain ]
    [ "$(jq -c '[.rows[] | [.case, .build]]' r.json)" = \
        '[["silu/7x16/bf16","precise"],["silu/7x16/bf16","aot"],["silu/7x16/fp32","precise"],["silu/7x16/fp32","aot"]]' ]
}

@test "several entries of a file go through nvcc together, each with a row of its own" {
    [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ] || skip "no nvcc"
    on_stub --op silu --shape 7x16 --dtype bf16,fp16,fp32 --build aot --mode build --jobs 1 -o aot.json
    status_is 0
    has_line "3 compiled in *; 0 from the cache*"
    [ "$(jq '[.rows[].code.code_hash] | unique | length' aot.json)" = 3 ]
    on_stub --op silu --shape 7x16 --dtype fp16 --build aot --mode build --no-compile
    status_is 0
    has_line "code *; from the cache"
}

# CASE... -> the codes of bf16 and fp16 in one task of nvcc are those of each by itself
together_as_alone() {
    local dtype of=$1
    shift
    KBENCH_CACHE=$PWD/$of on_stub --op "$of" "$@" --dtype bf16,fp16 --build aot --mode build --jobs 1 -o all.json
    status_is 0
    for dtype in bf16 fp16; do
        KBENCH_CACHE=$PWD/$of-$dtype on_stub --op "$of" "$@" --dtype $dtype --build aot --mode build -o $dtype.json
        status_is 0
    done
    [ "$(jq '[.rows[].code.cached] | any' all.json bf16.json fp16.json | sort -u)" = false ]
    [ "$(jq -c '[.rows[].code | .code_hash, .build_key]' all.json)" = \
        "$(jq -s -c '[.[].rows[].code | .code_hash, .build_key]' bf16.json fp16.json)" ]
}

@test "entries that nvcc compiles together are the machine code that each is alone, under the same key" {
    [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ] || skip "no nvcc"
    together_as_alone silu --shape 9x16
    together_as_alone stream --set pattern=read --shape 64x64 # it has variables, of each entry its own
}

@test "a variant that takes no case is one SKIP" {
    on_stub --op silu --shape 7x16,9x16,11x16 --variant vec32,vec16 --mode build
    status_is 0
    [ "$(grep -c '^SKIP ' <<<"$output")" -eq 1 ] || { seen; return 1; }
    has_line "SKIP  silu/7x16/bf16 *vec32: its ?when?, sm >= 100, is false on sm_90"
}

@test "a single case says what its compile took, and where it went" {
    on_stub --op gelu_tanh --shape 5x16 --mode build
    status_is 0
    has_line "code *; NVRTC * *s, now cached"
    on_stub --op gelu_tanh --shape 5x16 --mode build
    has_line "code *; from the cache"
}

@test "PTX, machine code and sources are left where they were asked for" {
    mkdir tool
    printf '#!/bin/sh\necho "told: $1"\n' >tool/nvdisasm
    chmod +x tool/nvdisasm
    PATH=$PWD/tool:$PATH CUDA_HOME=${CUDA_HOME:-/usr/local/cuda} on_stub --op silu --shape 7x16 --mode build \
        --dump-ptx ptx --dump-sass sass --keep src
    status_is 0
    grep -q '\.entry' ptx/silu.7x16.bf16_*_precise.ptx
    [ -s sass/silu.7x16.bf16_*_precise.sass ]
    [ -f src/kb.cuh ]
    sh -n src/silu.7x16.bf16_*_precise.sh
    grep -q " -std=c++17" src/silu.7x16.bf16_*_precise.sh
    if [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
        PATH=${CUDA_HOME:-/usr/local/cuda}/bin:$PATH sh src/silu.7x16.bf16_*_precise.sh
        [ -s src/silu.7x16.bf16_*_precise.cubin ]
    fi
}

@test "without a disassembler --dump-sass says so before anything runs" {
    mkdir none
    if compgen -G "${CUDA_HOME:-/usr/local/cuda}/bin/nvdisasm" || compgen -G "${CUDA_HOME:-/usr/local/cuda}/bin/cuobjdump"; then
        skip "the Toolkit has one"
    fi
    PATH=$PWD/none:/usr/bin:/bin on_stub --op silu --shape 7x16 --mode build --dump-sass sass
    status_is 4
    last_says "exit 4: --dump-sass: neither nvdisasm nor cuobjdump is in the CUDA Toolkit*"
    left_are none
}

@test "a folder that cannot be had is told before anything runs" {
    touch file
    on_stub --op silu --shape 7x16 --mode build --keep file
    status_is 7
    last_says "exit 7: file: is no folder, --keep wants one"
    on_stub --op silu --shape 7x16 --mode build --dump-ptx no/such/folder
    status_is 7
}

@test "profilers and readers of code want a GPU" {
    local option
    for option in --profile "--dump-ptx x" "--dump-sass x" "--keep x"; do
        # shellcheck disable=SC2086 - an option and its value
        on_host --op silu --shape 7x16 $option
        status_is 4
        says "kbench: error: ${option% *}: is for a GPU*"
        # shellcheck disable=SC2086 - an option and its value
        CUDA_VISIBLE_DEVICES='' PATH=/usr/bin:/bin kbench --op silu --shape 7x16 ${option/sass/ptx}
        [ "$status" -ne 0 ] || { seen; return 1; }
    done
    kbench --op silu --shape 7x16 --profile --mode bench
    status_is 4
    says "kbench: error: --profile: nothing is timed under a profiler"
}
