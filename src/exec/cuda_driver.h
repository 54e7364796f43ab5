/* cuda_driver.h - libcuda, loaded by name: the one executable starts where there is no
 * driver, and a test can put a driver of its own in its place. */
#ifndef KB_EXEC_CUDA_DRIVER_H
#define KB_EXEC_CUDA_DRIVER_H

#include "exec.h"

#include <cuda.h>
#include <cudaProfiler.h>

/* name in cuda.h without its cu, and the symbol. The header may call a later version of a
 * function by the plain name; where a driver of CUDA 12.0 has only an earlier one with the
 * same arguments, the symbol says so. */
#define KB_CUDA_FUNCTIONS(X)                                                               \
    X(GetErrorName, "cuGetErrorName")                                                      \
    X(DriverGetVersion, "cuDriverGetVersion")                                              \
    X(Init, "cuInit")                                                                      \
    X(DeviceGetCount, "cuDeviceGetCount")                                                  \
    X(DeviceGet, "cuDeviceGet")                                                            \
    X(DeviceGetName, "cuDeviceGetName")                                                    \
    X(DeviceGetUuid, "cuDeviceGetUuid_v2")                                                 \
    X(DeviceGetPCIBusId, "cuDeviceGetPCIBusId")                                            \
    X(DeviceGetAttribute, "cuDeviceGetAttribute")                                          \
    X(DeviceTotalMem, "cuDeviceTotalMem_v2")                                               \
    X(DevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain")                                  \
    X(DevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2")                             \
    X(CtxSetCurrent, "cuCtxSetCurrent")                                                    \
    X(ModuleLoadData, "cuModuleLoadData")                                                  \
    X(ModuleUnload, "cuModuleUnload")                                                      \
    X(ModuleGetFunction, "cuModuleGetFunction")                                            \
    X(FuncGetAttribute, "cuFuncGetAttribute")                                              \
    X(FuncSetAttribute, "cuFuncSetAttribute")                                              \
    X(MemGetInfo, "cuMemGetInfo_v2")                                                       \
    X(MemAlloc, "cuMemAlloc_v2")                                                           \
    X(MemFree, "cuMemFree_v2")                                                             \
    X(MemHostAlloc, "cuMemHostAlloc")                                                      \
    X(MemHostGetDevicePointer, "cuMemHostGetDevicePointer_v2")                             \
    X(MemFreeHost, "cuMemFreeHost")                                                        \
    X(MemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2")                                             \
    X(MemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2")                                             \
    X(MemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2")                                             \
    X(MemsetD8Async, "cuMemsetD8Async")                                                    \
    X(StreamCreate, "cuStreamCreate")                                                      \
    X(StreamDestroy, "cuStreamDestroy_v2")                                                 \
    X(StreamSynchronize, "cuStreamSynchronize")                                            \
    X(StreamBeginCapture, "cuStreamBeginCapture_v2")                                       \
    X(StreamEndCapture, "cuStreamEndCapture")                                              \
    X(EventCreate, "cuEventCreate")                                                        \
    X(EventDestroy, "cuEventDestroy_v2")                                                   \
    X(EventRecord, "cuEventRecord")                                                        \
    X(EventElapsedTime, "cuEventElapsedTime")                                              \
    X(OccupancyMaxActiveBlocksPerMultiprocessor,                                           \
      "cuOccupancyMaxActiveBlocksPerMultiprocessor")                                       \
    X(OccupancyMaxActiveClusters, "cuOccupancyMaxActiveClusters")                          \
    X(LaunchKernelEx, "cuLaunchKernelEx")                                                  \
    X(GraphInstantiate, "cuGraphInstantiateWithFlags")                                     \
    X(GraphUpload, "cuGraphUpload")                                                        \
    X(GraphLaunch, "cuGraphLaunch")                                                        \
    X(GraphDestroy, "cuGraphDestroy")                                                      \
    X(GraphExecDestroy, "cuGraphExecDestroy")                                              \
    X(TensorMapEncodeTiled, "cuTensorMapEncodeTiled")

/* Those that a later driver than 12.0 brings; NULL where it is older. */
#define KB_CUDA_LATER(X)                                                                   \
    X(FuncGetParamInfo, "cuFuncGetParamInfo") /* 12.4 */                                   \
    X(ProfilerStart, "cuProfilerStart") /* of all drivers, but not of all stand-ins */     \
    X(ProfilerStop, "cuProfilerStop")

struct kb_cuda {
    int version; /* 13000 */
#define X(name, symbol) __typeof__(&cu##name) name;
    KB_CUDA_FUNCTIONS(X)
    KB_CUDA_LATER(X)
#undef X
};

/* Load and cuInit. KB_DEVICE with one line and the remedy. */
bool kb_cuda_load(struct kb_cuda *out, struct kb_err *err);
/* "illegal address (700)", "CUDA_ERROR_NAME (code)" for what has no words here. */
void kb_cuda_words(const struct kb_cuda *cu, CUresult rc, struct kb_buf *out);
/* KB_DEVICE "what: words" (KB_MEMORY where memory ran out), with a remedy where there is
 * one; false. */
bool kb_cuda_fail(const struct kb_cuda *cu, CUresult rc, const char *what,
                  struct kb_err *err);

#endif
