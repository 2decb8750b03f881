/* bench_identity.h: NAME.sweep.json: what all samples of one file share, and the environment of an
 * experiment. On rank 0; not collective.
 *
 * Version, machine and the resolved config, without what may change between two parts of one sweep:
 * bench.budget_sec, bench.resume and the names of outputs. */
#ifndef ATTN_RUNTIME_BENCH_IDENTITY_H
#define ATTN_RUNTIME_BENCH_IDENTITY_H

#include "bench.h"
#include "tensor.h" /* ATTN_PATH_BYTES */

/* The path of bench.samples with another suffix than .csv. ATTN_ERR_CONFIG: it is too long. */
attn_status attn_bench_identity_path(const attn_config *config, const char *suffix,
                                     char path[ATTN_PATH_BYTES], attn_error *error);

/* ATTN_ERR_IO, ATTN_ERR_MEMORY. */
attn_status attn_bench_identity_write(const attn_bench *bench, attn_error *error);

/* How the sweep that the file tells of differs from this one: "bench.repeats was 5 and is 3"; ""
 * when it does not. ATTN_ERR_IO, ATTN_ERR_MEMORY. */
attn_status attn_bench_identity_differs(const attn_bench *bench, char *text, size_t bytes,
                                        attn_error *error);

#endif
