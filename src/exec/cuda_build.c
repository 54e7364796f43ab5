/* cuda_build.c - code onto the device. */
#include "cuda_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool find_functions(struct kb_device *device, struct kb_code *code,
                           const struct kb_strings *lowered, struct kb_err *err) {
    const struct kb_cuda *cu = &device->cu;
    for (size_t i = 0; i < lowered->count; i++) {
        int shared = 0;
        CUresult rc =
            cu->ModuleGetFunction(&code->functions[i], code->module, lowered->items[i]);
        if (!rc)
            rc = cu->FuncGetAttribute(&shared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
                                      code->functions[i]);
        if (rc)
            return kb_cuda_fail(cu, rc, lowered->items[i], err);
        code->shared_bytes[i] = (size_t)shared;
    }
    code->n_launches = (int)lowered->count;
    return true;
}

/* A cubin made for this very device is refused only by a driver older than the toolkit. */
static bool fail_load(struct kb_device *device, CUresult rc, struct kb_err *err) {
    kb_cuda_fail(&device->cu, rc, "load", err);
    int toolkit = 0;
    sscanf(device->info.nvrtc, "%d", &toolkit);
    if (toolkit > device->cu.version / 1000)
        kb_fail(err, KB_DEVICE,
                "load: the driver has CUDA %d.%d, code of NVRTC %s is newer (%d): update "
                "the driver, or set CUDA_HOME to a CUDA %d Toolkit",
                device->cu.version / 1000, device->cu.version % 1000 / 10,
                device->info.nvrtc, (int)rc, device->cu.version / 1000);
    return false;
}

bool kb_cuda_module(struct kb_device *device, const void *cubin,
                    const struct kb_strings *lowered, struct kb_code **out,
                    struct kb_err *err) {
    struct kb_code *code = calloc(1, sizeof *code);
    if (!code)
        kb_out_of_memory();
    CUresult rc = device->cu.ModuleLoadData(&code->module, cubin);
    bool ok = rc ? fail_load(device, rc, err) : find_functions(device, code, lowered, err);
    if (!ok) {
        kb_cuda_unload(device, code);
        return false;
    }
    *out = code;
    return true;
}

void kb_cuda_unload(struct kb_device *device, struct kb_code *code) {
    if (!code)
        return;
    if (code->module)
        device->cu.ModuleUnload(code->module);
    free(code);
}

static int function_attribute(struct kb_device *device, CUfunction function,
                              CUfunction_attribute which) {
    int value = -1;
    return device->cu.FuncGetAttribute(&value, which, function) ? -1 : value;
}

/* Of a chain the largest of each: what a launch of it takes at most. */
static void read_info(struct kb_device *device, const struct kb_code *code,
                      const struct kb_plan *plan, struct kb_code_info *info) {
    for (int i = 0; i < code->n_launches; i++) {
        int registers =
            function_attribute(device, code->functions[i], CU_FUNC_ATTRIBUTE_NUM_REGS);
        int64_t shared = (int64_t)(code->shared_bytes[i] + plan->launches[i].smem_bytes);
        if (registers > info->registers)
            info->registers = registers;
        if (shared > info->shared_bytes)
            info->shared_bytes = shared;
    }
}

bool kb_cuda_build(struct kb_device *device, const struct kb_plan *plan,
                   const struct kb_build *build, struct kb_code **out,
                   struct kb_code_info *info, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_nvrtc_result result = {0};
    bool ok = kb_cuda_current(device, err) &&
              kb_compiler_code(device->compiler, device->info.limits.sm, plan, build,
                               &arena, &result, info, err) &&
              kb_compiler_leave(device->compiler, plan, build, info, &result, err);
    int64_t start_ns = kb_now_ns();
    ok = ok && kb_cuda_module(device, result.cubin.data, &result.lowered, out, err);
    if (ok) {
        info->load_ms = (double)(kb_now_ns() - start_ns) / 1e6;
        read_info(device, *out, plan, info);
    }
    kb_nvrtc_result_free(&result);
    kb_arena_free(&arena);
    return ok;
}
