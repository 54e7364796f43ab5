/* cuda_copy.c - large copies between slabs and the device.
 *
 * The driver copies from ordinary memory with one thread through a small buffer of its own.
 * Here all cores fill one page-locked buffer while the other is on its way; what is small
 * goes through one of them. */
#include "cuda_device.h"

#include <string.h>

enum { STAGE_BYTES = 8 << 20, DIRECT_BYTES = 128 << 10 };

static bool make_stages(struct kb_device *device) {
    const struct kb_cuda *cu = &device->cu;

    if (device->stage[0])
        return true;
    if (cu->MemHostAlloc(&device->stage[0], STAGE_BYTES, 0))
        device->stage[0] = NULL;
    else if (cu->MemHostAlloc(&device->stage[1], STAGE_BYTES, 0)) {
        cu->MemFreeHost(device->stage[0]);
        device->stage[0] = device->stage[1] = NULL;
    }
    return device->stage[0] != NULL;
}

void kb_cuda_copy_free(struct kb_device *device) {
    for (int i = 0; i < 2; i++)
        if (device->stage[i])
            device->cu.MemFreeHost(device->stage[i]);
    device->stage[0] = device->stage[1] = NULL;
}

static size_t chunk_at(size_t done, size_t bytes) {
    return bytes - done < STAGE_BYTES ? bytes - done : STAGE_BYTES;
}

bool kb_cuda_upload(struct kb_device *device, CUdeviceptr to, const void *from,
                    size_t bytes, struct kb_err *err) {
    const struct kb_cuda *cu = &device->cu;
    const unsigned char *data = from;
    CUresult rc = CUDA_SUCCESS;

    if (bytes <= DIRECT_BYTES || !make_stages(device)) {
        rc = cu->MemcpyHtoDAsync(to, from, bytes, device->stream);
        return rc ? kb_cuda_fail(cu, rc, "copy to the device", err)
                  : kb_cuda_sync(device, err);
    }
    for (size_t done = 0, turn = 0; done < bytes; done += STAGE_BYTES, turn++) {
        void *stage = device->stage[turn % 2];
        kb_copy(stage, data + done, chunk_at(done, bytes));
        if (!kb_cuda_sync(device, err)) /* the chunk before, from the other buffer */
            return false;
        rc = cu->MemcpyHtoDAsync(to + done, stage, chunk_at(done, bytes), device->stream);
        if (rc)
            return kb_cuda_fail(cu, rc, "copy to the device", err);
    }
    return kb_cuda_sync(device, err);
}

bool kb_cuda_download(struct kb_device *device, void *to, CUdeviceptr from, size_t bytes,
                      struct kb_err *err) {
    const struct kb_cuda *cu = &device->cu;
    unsigned char *data = to;
    CUresult rc = CUDA_SUCCESS;

    if (bytes <= DIRECT_BYTES || !make_stages(device)) {
        rc = cu->MemcpyDtoHAsync(to, from, bytes, device->stream);
        return rc ? kb_cuda_fail(cu, rc, "copy from the device", err)
                  : kb_cuda_sync(device, err);
    }
    for (size_t done = 0, turn = 0; done < bytes + STAGE_BYTES;
         done += STAGE_BYTES, turn++) {
        if (!kb_cuda_sync(device, err))
            return false;
        if (done < bytes)
            rc = cu->MemcpyDtoHAsync(device->stage[turn % 2], from + done,
                                     chunk_at(done, bytes), device->stream);
        if (rc)
            return kb_cuda_fail(cu, rc, "copy from the device", err);
        if (turn > 0) { /* the chunk before, while this one is on its way */
            size_t before = done - STAGE_BYTES;
            kb_copy(data + before, device->stage[(turn - 1) % 2], chunk_at(before, bytes));
        }
    }
    return true;
}
