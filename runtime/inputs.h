/* inputs.h: what the config's input is: files or a generator, and the problem that
 * follows from them. */
#ifndef ATTN_RUNTIME_INPUTS_H
#define ATTN_RUNTIME_INPUTS_H

#include <mpi.h>

#include "attnspan/plan.h"
#include "config.h"
#include "tensor.h"
#include "weights.h"

typedef enum attn_input_form { ATTN_INPUT_LAYER, ATTN_INPUT_QKV } attn_input_form;

/* Plain data, broadcast as bytes; the arrays of mask and terms follow. */
typedef struct attn_inputs {
    attn_input_form form;
    int32_t synthetic;
    int32_t has_batch; /* the input has a batch dimension, and so has the output */
    attn_tensor x, memory, q, k, v;
    attn_tensor bias; /* when problem.terms.bias_heads > 0 */
    attn_weight_files weights;
    attn_problem problem;
    int64_t *mask_arrays; /* owned: those of problem.mask; NULL: none */
    float *terms_arrays;  /* owned: those of problem.terms; NULL: none */
} attn_inputs;

/* Rank 0 reads the headers, and the arrays of mask and terms; shapes are held against the config,
 * and the problem is filled in. Collective; the status is agreed on at the boundaries "inputs",
 * "mask" and "terms". */
attn_status attn_inputs_describe(MPI_Comm comm, const attn_config *config, attn_inputs *inputs,
                                 attn_error *error);

/* Not collective; a zeroed one is legal. */
void attn_inputs_free(attn_inputs *inputs);

/* Shape of y (or out), and of lse, as the files get them; returns their dims. */
int32_t attn_inputs_output_shape(const attn_inputs *inputs, int64_t *shape);
int32_t attn_inputs_lse_shape(const attn_inputs *inputs, int64_t *shape);

#endif
