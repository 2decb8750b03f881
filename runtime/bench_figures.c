#include "bench_figures.h"

#include <math.h>
#include <stdlib.h>

#include "bench_columns.h"
#include "bench_point.h"
#include "memory.h"

static int compare_doubles(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

typedef double sample_value(const attn_point *point, const attn_sample *sample,
                            const attn_bench_column *column);

static attn_median median_of(const attn_point *point, sample_value *value,
                             const attn_bench_column *column) {
    double *values = attn_alloc((size_t)point->count, sizeof *values);
    attn_median result = {NAN, NAN, NAN};
    int32_t count = 0;

    for (int32_t i = 0; i < point->count && values != NULL; i++) {
        double one = value(point, &point->samples[i], column);
        if (!isnan(one)) values[count++] = one;
    }
    if (count > 0) {
        qsort(values, (size_t)count, sizeof *values, compare_doubles);
        result.min = values[0];
        result.median = (values[(count - 1) / 2] + values[count / 2]) / 2;
        result.max = values[count - 1];
    }
    free(values);
    return result;
}

static double of_column(const attn_point *point, const attn_sample *sample,
                        const attn_bench_column *column) {
    return attn_bench_column_value(column, &point->facts, sample);
}

static double over_parts(const attn_point *point, const attn_sample *sample,
                         const attn_bench_column *column) {
    double projections = point->facts.projection_flops / sample->sgemm_gflops * 1e-9;

    (void)column;
    return sample->total_sec / (sample->attend_sec + projections);
}

attn_median attn_bench_median(const attn_point *point, const char *column) {
    return median_of(point, of_column, attn_bench_column_find(column));
}

attn_median attn_bench_over_parts(const attn_point *point) {
    return median_of(point, over_parts, NULL);
}

/* Whether two points differ in their ranks alone. */
static int are_siblings(const attn_bench *bench, int64_t a, int64_t b) {
    const attn_sweep *sweep = &bench->config->bench.sweep;
    int32_t ranks = attn_sweep_ranks_axis(sweep);

    for (int32_t i = 0; i < sweep->axes; i++)
        if (i != ranks && attn_sweep_value(sweep, a, i) != attn_sweep_value(sweep, b, i)) return 0;
    return 1;
}

int64_t attn_bench_baseline(const attn_bench *bench, int64_t number) {
    int64_t best = -1, fewest = 0;

    if (bench->mode == ATTN_BENCH_NONE) return -1;
    for (int64_t i = 0; i < bench->points; i++) {
        int64_t ranks = attn_bench_ranks_of(bench, i);

        if (bench->point[i].refused.status != ATTN_OK || !are_siblings(bench, number, i)) continue;
        if (best >= 0 && ranks >= fewest) continue;
        best = i;
        fewest = ranks;
    }
    return best;
}

/* Flops of a second. */
static double rate(const attn_point *point) {
    if (point->count == 0) return NAN;
    return (point->facts.flops + point->facts.projection_flops) /
           attn_bench_median(point, "total_sec").median;
}

double attn_bench_speedup(const attn_bench *bench, int64_t number) {
    int64_t base = attn_bench_baseline(bench, number);

    return base < 0 ? NAN : rate(&bench->point[number]) / rate(&bench->point[base]);
}

double attn_bench_efficiency(const attn_bench *bench, int64_t number) {
    int64_t base = attn_bench_baseline(bench, number);

    if (base < 0) return NAN;
    return attn_bench_speedup(bench, number) * (double)attn_bench_ranks_of(bench, base) /
           (double)attn_bench_ranks_of(bench, number);
}
