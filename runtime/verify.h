/* verify.h: rows of the result against the fp64 oracle.
 *
 *   1. choose rows: one in each of R equal stretches of the B · N rows, by hash;
 *   2. recompute them in fp64 (recompute.h);
 *   3. the ranks that hold the rows compare.
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
