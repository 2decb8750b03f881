/* bench_probe.h: what bounds an execution, measured right before and after it. */
#ifndef ATTN_RUNTIME_BENCH_PROBE_H
#define ATTN_RUNTIME_BENCH_PROBE_H

#include "bench.h"
#include "job.h"

typedef struct attn_bench_probe {
    const attn_kernel *kernel;
    int reads, multiplies; /* whether memory, and sgemm, are measured */
    float *data;           /* owned; NULL when neither is */
} attn_bench_probe;

/* For a job that is planned. Collective; agreed on at the boundary "probe". ATTN_ERR_MEMORY. */
attn_status attn_bench_probe_create(const attn_job *job, attn_bench_probe *self, attn_error *error);

/* Adds half of what is measured now, of all ranks, to the sample's rates; what is not measured
 * becomes NAN: all of a simulated cluster's. Collective. */
void attn_bench_probe_half(const attn_bench_probe *self, const attn_job *job, attn_sample *sample);

/* Fills in the sample's bound, and its fraction of it: of the lower of the peak and of the rate at
 * which memory delivers K and V. */
void attn_bench_probe_bound(const attn_job *job, attn_sample *sample);

/* A zeroed one is legal. */
void attn_bench_probe_destroy(attn_bench_probe *self);

#endif
