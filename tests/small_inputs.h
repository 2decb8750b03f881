/* small_inputs.h: files of a small problem, which fit each other, and their like that do not.
 *
 * All are in in/ of the folder of cli_files.h, where names are looked for. Their elements are the
 * same numbers, from the first one on. A failure ends the program. */
#ifndef ATTN_TESTS_SMALL_INPUTS_H
#define ATTN_TESTS_SMALL_INPUTS_H

#include <stddef.h>
#include <stdint.h>

#include "cli_files.h"

enum { ATTN_SMALL_ROWS = 64, ATTN_SMALL_WIDTH = 32 };

/* Writes three configs of 4 heads that differ in their input, with all outputs but a trace:
 *     layer.yaml       x.npy [64, 32], causal, projected by layer.safetensors
 *     qkv.yaml         q.npy [4, 16, 8], k.npy and v.npy [2, 24, 8]
 *     synthetic.yaml   64 rows, 32 wide
 * and beside them memory.npy [24, 32] and x_nan.npy, an x with NaN at [63, 5]. */
void attn_small_inputs_write(void);

/* Twice as many numbers as x has. */
const float *attn_small_numbers(void);

/* Writes a .npy file of that shape; with another value in place of one element. */
void attn_small_floats_write(const char *name, int dims, const int64_t *shape);
void attn_small_spoilt_write(const char *name, int dims, const int64_t *shape, int64_t elem,
                             float value);

/* Writes layer.safetensors under another name but for these tensors. One takes the place of the
 * tensor with its name, or takes it out when it has 0 rows. Without data: the numbers. */
void attn_small_layer_write(const char *name, const attn_cli_tensor *changes, size_t count);

#endif
