/* recompute_prepare.h: the norm and the rotation of q and k in fp64, by the definition, for
 * recompute.h. Shares nothing with kernels/rope.c, neither code nor tables. Not collective. */
#ifndef ATTN_RUNTIME_RECOMPUTE_PREPARE_H
#define ATTN_RUNTIME_RECOMPUTE_PREPARE_H

#include "attnspan/plan.h"

/* Position of query `row`; a key's is its row. */
int64_t attn_recompute_query_position(const attn_problem *problem, int64_t row);

/* Norms and turns data [rows][heads][d_k] in place; row r stands at position first + r.
 * `norm` is [d_k], or NULL for ones. */
void attn_recompute_prepare(const attn_problem *problem, const double *norm, int64_t first,
                            int64_t rows, int64_t heads, double *data);

#endif
