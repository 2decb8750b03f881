/* bench.h: timing the points of a sweep.
 *
 * Each repeat goes through all points, in another order each time, so that a drift
 * of the machine's speed hits all alike. Before and after each timed execution
 * every thread of every rank measures what bounds it, so that the fraction of the bound
 * is a ratio of neighbours in time; the median of these ratios survives a noisy machine.
 *
 * The bound (roofline: Williams, Waterman & Patterson 2009) is the peak of the kernel's
 * multiply-adds or, where a few queries read all of K and V, the rate at which memory delivers
 * them. A layer is also held against its parts: the attention as timed and the flops of the
 * projections at the rate of one large sgemm.
 *
 * A point is the config with one --set for each axis of bench.sweep. One that cannot run
 * is listed with its reason.
 */
#ifndef ATTN_RUNTIME_BENCH_H
#define ATTN_RUNTIME_BENCH_H

#include "cmdline.h"
#include "config.h"
#include "job.h"

/* One timed execution, the same on all ranks. */
typedef struct attn_sample_times {
    double attend_sec;     /* the slowest rank's */
    double total_sec;      /* the slowest rank's execution, projections included */
    double gflops_per_sec; /* unmasked pairs only / attend_sec */
    double peak_gflops;    /* of all threads of all ranks, beside it */
    double read_gbytes;    /* GB/s that all ranks read, beside it; 0: compute is the bound */
    double sgemm_gflops;   /* of all ranks, beside it; 0: no projections */
} attn_sample_times;

typedef struct attn_point {
    attn_sample_times *samples; /* owned; [repeats] */
    int32_t count;
    attn_plan_info info;     /* of rank 0; valid when count > 0 */
    double flops;            /* of the attention */
    double projection_flops; /* 0 without projections */
    double kv_bytes;         /* of K and V that all ranks read at least */
    attn_error refused;      /* why it cannot run; status ATTN_OK: it can */
} attn_point;

typedef struct attn_bench {
    const attn_config *config; /* borrowed: the base */
    int64_t points;
    attn_point *point; /* owned; [points] */
} attn_bench;

/* A median with its range. */
typedef struct attn_median {
    double min, median, max;
} attn_median;

/* Runs the sweep. A point that fails is noted; only a machine's failure ends the bench.
 * Collective; agreed on. `on_point`, on rank 0, is called when a point has its last sample;
 * NULL: never. */
attn_status attn_bench_run(MPI_Comm comm, const attn_cmdline *cmdline, const attn_config *config,
                           void (*on_point)(const attn_bench *bench, int64_t point),
                           attn_bench *bench, attn_error *error);

/* Over a point's samples: GFLOP/s; the paired fraction of the bound; and, of a layer, the whole
 * time over that of its parts (0 without projections). */
attn_median attn_point_gflops(const attn_point *point);
attn_median attn_point_fraction(const attn_point *point);
attn_median attn_point_over_parts(const attn_point *point);

/* "memory" or "compute": what bounds the point. */
const char *attn_point_bound(const attn_point *point);

void attn_bench_free(attn_bench *bench);

#endif
