/* weights.h: the projections of a layer and where a file keeps them.
 *
 * A scheme says which tensors hold W_Q, W_K, W_V, W_O and their biases; it is one
 * row of a const table. Rank 0 looks at the file; the weights are broadcast, since
 * every rank needs all of them.
 */
#ifndef ATTN_RUNTIME_WEIGHTS_H
#define ATTN_RUNTIME_WEIGHTS_H

#include <mpi.h>
#include <stdint.h>

#include "attnspan/plan.h"
#include "buffers.h"
#include "tensor.h"

/* "linear", "torch_mha"; NULL past the last. */
const char *attn_scheme_name(int scheme);

enum { ATTN_PROJECTIONS = 4 }; /* query, key, value, output, in this order */

/* Rows [first_row, first_row + outputs) of a tensor [rows][inputs]: one projection.
 * Plain data, broadcast as bytes. */
typedef struct attn_weight_part {
    attn_tensor weight, bias;
    int32_t has_bias;
    int64_t first_row, outputs, inputs;
} attn_weight_part;

typedef struct attn_weight_files {
    attn_weight_part parts[ATTN_PROJECTIONS];
} attn_weight_files;

/* Finds the four projections in a safetensors file and checks that they are
 * matrices with fitting biases. Not collective; rank 0 calls it.
 * ATTN_ERR_INPUT, ATTN_ERR_IO. */
attn_status attn_weights_describe(const char *path, int scheme, attn_weight_files *files,
                                  attn_error *error);

/* Memory for the weights, which `weights` points into. */
typedef struct attn_weight_memory {
    attn_weights weights;
    int64_t elems[ATTN_PROJECTIONS], bias_elems[ATTN_PROJECTIONS];
    float *memory; /* owned */
} attn_weight_memory;

/* Allocates for projections of these sizes; biases where has_bias says so. Not
 * collective. ATTN_ERR_MEMORY. */
attn_status attn_weights_allocate(const attn_problem *problem,
                                  const int32_t has_bias[ATTN_PROJECTIONS],
                                  attn_weight_memory *memory, attn_error *error);

/* The weight (bias 0) or bias (bias 1) of projection `which`, to be filled in;
 * NULL for a bias that is not there. */
float *attn_weights_at(const attn_weight_memory *memory, int which, int bias);

/* Rank 0 reads the file, all receive. Collective; the status is agreed on. */
attn_status attn_weights_load(MPI_Comm comm, const attn_weight_files *files,
                              attn_weight_memory *memory, attn_error *error);

/* A zeroed one is legal. */
void attn_weights_free(attn_weight_memory *memory);

#endif
