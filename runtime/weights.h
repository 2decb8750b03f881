/* weights.h: the projections of a layer and where a file keeps them.
 *
 * A scheme says which tensors hold W_Q, W_K, W_V, W_O and their biases; it is one
 * row of a const table. A prefix in front of their names selects a layer of a model.
 * Rank 0 looks at the file; the weights are broadcast, since every rank needs all of
 * them. In memory a weight is [out][in], however the file has it.
 */
#ifndef ATTN_RUNTIME_WEIGHTS_H
#define ATTN_RUNTIME_WEIGHTS_H

#include <mpi.h>
#include <stdint.h>

#include "attnspan/plan.h"
#include "buffers.h"
#include "tensor.h"

/* "linear", "torch_mha", "llama", "gpt2", "bert"; NULL past the last. */
const char *attn_scheme_name(int scheme);

enum { ATTN_PROJECTIONS = 4 }; /* query, key, value, output, in this order */
enum { ATTN_NORMS = 2 };       /* of query and key */

enum { ATTN_WEIGHT_NAME_BYTES = 2 * ATTN_NAME_BYTES }; /* a prefix and the name behind it */

/* The name, without the prefix, of the tensor that holds the weight of a projection. */
const char *attn_scheme_weight(int scheme, int projection);

/* One projection: rows [first_output, first_output + outputs) of a tensor [rows][inputs], or
 * these columns of a transposed one, [inputs][columns]. Plain data, broadcast as bytes. */
typedef struct attn_weight_part {
    attn_tensor weight, bias;
    int32_t has_bias, transposed;
    int64_t first_output, outputs, inputs;
} attn_weight_part;

typedef struct attn_weight_files {
    attn_weight_part parts[ATTN_PROJECTIONS];
    int32_t has_norms;
    attn_tensor norms[ATTN_NORMS]; /* vectors */
} attn_weight_files;

/* Finds the four projections in a safetensors file, or through an index of such
 * (checkpoint.h), and checks that they are matrices with fitting biases; likewise the norms of
 * q and k when `with_norms`, and that there are none when not. A tensor that changes the result
 * in a way that is not built is refused, and so are sinks unless `with_sinks`: the config has
 * them from elsewhere. *key gets the config key at fault after a failure:
 * input.weights.file, .scheme or .prefix. Not collective; rank 0 calls it. ATTN_ERR_INPUT,
 * ATTN_ERR_IO, ATTN_ERR_MEMORY. */
attn_status attn_weights_describe(const char *path, int scheme, const char *prefix, int with_norms,
                                  int with_sinks, attn_weight_files *files, const char **key,
                                  attn_error *error);

/* Memory for the weights, which `weights` points into. */
typedef struct attn_weight_memory {
    attn_weights weights;
    int64_t elems[ATTN_PROJECTIONS], bias_elems[ATTN_PROJECTIONS];
    int64_t norm_elems; /* of each norm; 0: none */
    float *memory;      /* owned */
} attn_weight_memory;

/* Columns of the weight of projection `which`. */
int64_t attn_weights_inputs(const attn_problem *problem, int which);

/* Allocates for projections of these sizes; biases where has_bias says so. Not
 * collective. ATTN_ERR_MEMORY. */
attn_status attn_weights_allocate(const attn_problem *problem,
                                  const int32_t has_bias[ATTN_PROJECTIONS],
                                  attn_weight_memory *memory, attn_error *error);

/* The weight (bias 0) or bias (bias 1) of projection `which`, to be filled in;
 * NULL for a bias that is not there. */
float *attn_weights_at(const attn_weight_memory *memory, int which, int bias);

/* The norm of q (0) or k (1), likewise; NULL when the problem has none. */
float *attn_weights_norm_at(const attn_weight_memory *memory, int which);

/* Rank 0 reads the file, all receive. Collective; the status is agreed on. */
attn_status attn_weights_load(MPI_Comm comm, const attn_weight_files *files,
                              attn_weight_memory *memory, attn_error *error);

/* A zeroed one is legal. */
void attn_weights_free(attn_weight_memory *memory);

#endif
