/* recompute.h: rows of y in fp64, by the definition.
 *
 *   1. the samples' queries, projected in fp64 by the ranks that hold them, normed and turned
 *      by position (recompute_prepare.h), go to all;
 *   2. pass 1: each rank projects its own keys in fp64, tile by tile, prepares them likewise, and
 *      takes the maximum score; the maxima of all ranks are combined;
 *   3. pass 2: the same keys and values again, Σ exp and Σ exp · v; summed over ranks;
 *   4. W^O in fp64, on every rank.
 *
 * Queries, keys and values are rounded to the problem's storage, as those of the kernels are, so
 * that their own error is what is seen. (A projection that lies on the edge between two bf16 may
 * fall to the other side in fp64: one element in some thousand, by 2^-8 of itself.)
 *
 * It shares the oracle of kernels.h with the tests, but neither exchange,
 * circulation, kernel nor merge with what it is held against.
 *
 * Cost: 4 R (d_k + d_v) flops per head and own key, and for a layer the projection of K
 * twice and V once; memory O(R · H · d + weights) in fp64.
 */
#ifndef ATTN_RUNTIME_RECOMPUTE_H
#define ATTN_RUNTIME_RECOMPUTE_H

#include "job.h"

/* A row of y. All ranks name the same rows. */
typedef struct attn_sample {
    int64_t item, row; /* batch item, global row */
    int64_t own;       /* row among this rank's own, −1 when another rank holds it */
} attn_sample;

/* Elements of a recomputed row: d_model, or H · d_v for attention alone. */
int64_t attn_recompute_width(const attn_problem *problem);

/* y [rows][width] and lse [rows][H] of the samples, the same on all ranks. Collective;
 * agreed on at the boundary "verify". ATTN_ERR_MEMORY. */
attn_status attn_recompute(const attn_job *job, const attn_sample *samples, int64_t rows, double *y,
                           double *lse, attn_error *error);

#endif
