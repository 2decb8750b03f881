/* attention_naive.h: what the results of a problem must be, in fp64: the oracle of kernels.h row by
 * row, the naive product for projections, the definition for norm and rotation. */
#ifndef ATTN_TESTS_ATTENTION_NAIVE_H
#define ATTN_TESTS_ATTENTION_NAIVE_H

#include "attention_arrays.h"
#include "attnspan/plan.h"

typedef struct attn_naive {
    double *y, *lse; /* owned; shaped as those of attn_arrays */
} attn_naive;

/* Of what the kernels get: in bf16, given q and k are rounded once they are normed and turned, and
 * v is. Not for layers in bf16, whose q, k and v are rounded on their way. */
void attn_naive_compute(const attn_problem *problem, const attn_arrays *arrays,
                        attn_storage storage, attn_naive *naive);
void attn_naive_free(attn_naive *naive);

/* Asserts that y of `arrays`, by that kernel, is as near as its arithmetic lets it be. */
void attn_naive_check_y(const attn_naive *naive, const attn_arrays *arrays,
                        const attn_kernel *kernel);

/* Asserts that lse of `arrays` is, in fp32. */
void attn_naive_check_lse(const attn_naive *naive, const attn_arrays *arrays);

#endif
