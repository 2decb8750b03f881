/* verify.h: recomputing sampled rows in fp64.
 *
 *   1. choose rows: one in each of R equal stretches of the B · N rows, by hash;
 *   2. their queries, projected in fp64 by the ranks that hold them, go to all;
 *   3. pass 1: each rank projects its own keys in fp64, tile by tile, and takes
 *      the maximum score; the maxima of all ranks are combined;
 *   4. pass 2: the same keys and values again, Σ exp and Σ exp · v; summed over ranks;
 *   5. W^O in fp64; the ranks that hold the rows compare.
 *
 * It shares the kernels' oracle with the tests, but neither mesh, exchange,
 * circulation, kernel nor merge with what it verifies.
 *
 * Cost: 4 R (d_k + d_v) flops per head and own key, and the projection of K twice and V
 * once (a layer); memory O(R · H · d + weights) in fp64.
 */
#ifndef ATTN_RUNTIME_VERIFY_H
#define ATTN_RUNTIME_VERIFY_H

#include "job.h"

typedef struct attn_verification {
    int64_t rows;              /* recomputed; 0: none were wanted */
    double max_error_over_rms; /* max |y − oracle| / RMS of the oracle's rows */
    double rms_error_over_rms; /* RMS of (y − oracle) / the same */
    double lse_max_error;      /* max |lse − oracle| / max(1, |oracle|) */
    double tolerance;
    int passed;
} attn_verification;

/* Checks job->y and job->lse after an execution. Collective; agreed on at the boundary
 * "verify". ATTN_ERR_VERIFY: an error of y or lse beyond job->config.verify.tolerance;
 * ATTN_ERR_MEMORY. `result` is filled in unless memory ran out. */
attn_status attn_verify(const attn_job *job, attn_verification *result, attn_error *error);

#endif
