#include "bench_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_figures.h"
#include "blas_core.h"
#include "config_bench.h"
#include "topology.h"
#include "version.h"

/* The last word of an axis's key heads its column, which is as wide as its widest value. */
static const char *heading(const attn_sweep_axis *axis) {
    const char *dot = strrchr(axis->key, '.');

    return dot == NULL ? axis->key : dot + 1;
}

static int column_width(const attn_sweep_axis *axis) {
    size_t widest = strlen(heading(axis));

    for (int32_t i = 0; i < axis->count; i++)
        if (strlen(axis->values[i]) > widest) widest = strlen(axis->values[i]);
    return (int)widest;
}

static int is_layer(const attn_config *config) {
    return config->input.weights ||
           (config->input.synthetic && config->input.synthetic_tensors == ATTN_SYNTHETIC_LAYER);
}

void attn_bench_table_begin(const attn_config *config) {
    const attn_sweep *sweep = &config->bench.sweep;
    const attn_bench_mode mode = attn_config_bench_mode(config);
    char cpu[256], blas[256];

    attn_cpu_name(cpu, (int)sizeof cpu);
    attn_blas_name(blas, sizeof blas);
    printf("attnspan %s: %s\n%s, %s\n", ATTN_VERSION, config->file, cpu, blas);
    if (config->parallel.machine[0] == '\0')
        printf("no parallel.machine, so no predicted_sec; bench --calibrate makes one\n");
    printf("%" PRId64 " points, %" PRId64
           " repeats in another order each; GFLOP/s are medians,\n"
           "fractions are of the peak of multiply-adds, or of memory where it says so",
           attn_sweep_points(sweep), config->bench.repeats);
    if (mode == ATTN_BENCH_NONE && is_layer(config))
        printf(",\n/parts: whole layer over attention + sgemm");
    if (mode != ATTN_BENCH_NONE)
        printf(
            ";\n%s scaling: rates against those on the fewest ranks; wait: the part of the\n"
            "time that a rank is blocked in MPI; hidden: the part of transfers when it is not",
            attn_config_bench_mode_name((int)mode));
    printf("\n\n");
    for (int32_t i = 0; i < sweep->axes; i++)
        printf("%-*s ", column_width(&sweep->axis[i]), heading(&sweep->axis[i]));
    if (mode == ATTN_BENCH_NONE)
        printf("%8s %6s %6s %6s%s\n", "GFLOP/s", "min", "median", "max",
               is_layer(config) ? " /parts" : "");
    else
        printf("%9s %8s %6s %8s %6s %5s %6s\n", "seconds", "GFLOP/s", "frac", "speed-up", "effic",
               "wait", "hidden");
    fflush(stdout);
}

/* A number, or "-" of none. */
static void print_number(int width, int digits, double value) {
    if (isnan(value))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, digits, value);
}

/* Of one point alone: the rate, and the range of its fraction. */
static void print_rates(const attn_point *point) {
    attn_median fraction = attn_bench_median(point, "fraction_of_bound");

    printf("%8.1f %6.3f %6.3f %6.3f", attn_bench_median(point, "gflops_per_sec").median,
           fraction.min, fraction.median, fraction.max);
    if (point->facts.projection_flops > 0) print_number(6, 3, attn_bench_over_parts(point).median);
}

/* Beside the same on fewer ranks. */
static void print_scaling(const attn_bench *bench, int64_t number) {
    const attn_point *point = &bench->point[number];
    double total_sec = attn_bench_median(point, "total_sec").median;

    printf("%9.4f %8.1f", total_sec, attn_bench_median(point, "gflops_per_sec").median);
    print_number(6, 3, attn_bench_median(point, "fraction_of_bound").median);
    print_number(8, 2, attn_bench_speedup(bench, number));
    print_number(6, 3, attn_bench_efficiency(bench, number));
    print_number(5, 3, attn_bench_median(point, "wait_sec_mean").median / total_sec);
    print_number(6, 3, attn_bench_median(point, "overlap").median);
}

void attn_bench_table_point(const attn_bench *bench, int64_t number) {
    const attn_sweep *sweep = &bench->config->bench.sweep;
    const attn_point *point = &bench->point[number];

    for (int32_t i = 0; i < sweep->axes; i++)
        printf("%-*s ", column_width(&sweep->axis[i]),
               sweep->axis[i].values[attn_sweep_value(sweep, number, i)]);
    if (point->count == 0) {
        printf("cannot run: %s\n", point->refused.message);
    } else {
        if (bench->mode == ATTN_BENCH_NONE)
            print_rates(point);
        else
            print_scaling(bench, number);
        printf("%s\n", strcmp(point->samples[0].bound, "memory") == 0 ? " memory" : "");
    }
    fflush(stdout);
}

void attn_bench_table_end(const attn_bench *bench) {
    int64_t taken = 0, wanted = 0;

    for (int64_t i = 0; i < bench->points; i++) {
        if (bench->point[i].refused.status != ATTN_OK) continue;
        taken += bench->point[i].count;
        wanted += bench->config->bench.repeats;
    }
    if (bench->resumed > 0)
        printf("\nof these, %" PRId64 " sample%s from before\n", bench->resumed,
               bench->resumed == 1 ? " is" : "s are");
    if (bench->out_of_budget)
        printf("\nstopped: bench.budget_sec is used; %" PRId64 " of %" PRId64
               " samples are there"
               "%s\n",
               taken, wanted,
               bench->config->bench.samples[0] != '\0' ? "; the same command goes on" : "");
}
