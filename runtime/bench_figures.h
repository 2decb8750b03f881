/* bench_figures.h: what the samples of a point say together, and of points beside each other. On
 * rank 0; not collective. */
#ifndef ATTN_RUNTIME_BENCH_FIGURES_H
#define ATTN_RUNTIME_BENCH_FIGURES_H

#include "bench.h"

/* A median with its range; all NAN: there is none. */
typedef struct attn_median {
    double min, median, max;
} attn_median;

/* Of a numeric column of samples, over those that have it. */
attn_median attn_bench_median(const attn_point *point, const char *column);

/* Of a layer, the whole time over that of its parts; NAN without projections. */
attn_median attn_bench_over_parts(const attn_point *point);

/* The point that another is compared with: of those that differ in ranks alone and are not refused,
 * the one of the fewest; −1: none, or nothing is compared. */
int64_t attn_bench_baseline(const attn_bench *bench, int64_t number);

/* Against the baseline (0), by medians of total_sec; F are the flops of attention and projections:
 *     speedup     (F / T) / (F0 / T0): T0 / T where the problem is the same
 *     efficiency  speedup · P0 / P: of a rank's rate, what is left
 * NAN without a baseline, or without samples of one of the two. */
double attn_bench_speedup(const attn_bench *bench, int64_t number);
double attn_bench_efficiency(const attn_bench *bench, int64_t number);

#endif
