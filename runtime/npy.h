/* npy.h: the header of NumPy's .npy format, versions 1 to 3.
 * Format: numpy.org, "NEP 1" and numpy.lib.format. */
#ifndef ATTN_RUNTIME_NPY_H
#define ATTN_RUNTIME_NPY_H

#include <stddef.h>

#include "tensor.h"

/* Reads the header of the file at `path` (less than ATTN_PATH_BYTES): '<f4', '<f8'
 * or '<f2', C order, at most ATTN_MAX_DIMS extents. Anything else is refused by
 * name. Statuses as attn_tensor_describe. Not collective. */
attn_status attn_npy_describe(const char *path, attn_tensor *tensor, attn_error *error);

/* Reads a whole list of integers, '<i8' or '<i4', of 1 to `most`. The caller frees
 * *values; NULL after a failure. Statuses as attn_npy_describe. Not collective. */
attn_status attn_npy_read_integers(const char *path, int64_t most, int64_t **values, int64_t *count,
                                   attn_error *error);

/* Makes a version 1 header for an fp32 array of that shape (at most ATTN_MAX_DIMS
 * extents), a multiple of 64 bytes long: the same bytes that NumPy writes. Returns
 * its length; `header` holds at least ATTN_NPY_HEADER_BYTES. */
enum { ATTN_NPY_HEADER_BYTES = 512 };
size_t attn_npy_header(int32_t dims, const int64_t *shape, char *header);

#endif
