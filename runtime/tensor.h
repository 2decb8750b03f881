/* tensor.h: a tensor in a file: where its bytes are and what they mean.
 *
 * A descriptor is plain data without pointers: rank 0 reads a header, and the
 * descriptor is broadcast as bytes.
 */
#ifndef ATTN_RUNTIME_TENSOR_H
#define ATTN_RUNTIME_TENSOR_H

#include <stdint.h>

#include "dtype.h"
#include "status.h"

enum { ATTN_MAX_DIMS = 8, ATTN_PATH_BYTES = 4096, ATTN_NAME_BYTES = 256 };

/* A tensor in a file, C order, contiguous. */
typedef struct attn_tensor {
    char path[ATTN_PATH_BYTES]; /* the file */
    char name[ATTN_NAME_BYTES]; /* its name inside a safetensors file; "" for .npy */
    attn_dtype dtype;
    int32_t dims;
    int64_t shape[ATTN_MAX_DIMS];
    int64_t offset_bytes; /* of the first element, from the start of the file */
} attn_tensor;

/* Product of the shape's extents; 1 without extents. */
int64_t attn_tensor_elems(const attn_tensor *tensor);

/* *bytes := the size of the elements of that shape; true. False when an extent is
 * negative, or when the size does not fit in 64 bits, extents of 0 counted as 1:
 * so any product of extents fits as well. */
int attn_tensor_bytes(int32_t dims, const int64_t *shape, attn_dtype dtype, int64_t *bytes);

/* Finds a tensor by reference: FILE.npy, or FILE.safetensors#NAME. Reads the
 * file's header only, and checks that the file is as long as the header says.
 * Not collective; rank 0 calls it and broadcasts the descriptor.
 * ATTN_ERR_INPUT: there is no such file or tensor, or the file is not of a supported
 * format, or lies about its size; ATTN_ERR_IO: it cannot be opened or read;
 * ATTN_ERR_MEMORY. On failure *tensor is unspecified. */
attn_status attn_tensor_describe(const char *reference, attn_tensor *tensor, attn_error *error);

#endif
