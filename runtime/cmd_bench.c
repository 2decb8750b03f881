#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "bench.h"
#include "blas_core.h"
#include "cmdline.h"
#include "file.h"
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

static void print_point(const attn_bench *bench, int64_t number) {
    const attn_sweep *sweep = &bench->config->bench.sweep;
    const attn_point *point = &bench->point[number];
    attn_median fraction = attn_point_fraction(point);

    for (int32_t i = 0; i < sweep->axes; i++)
        printf("%-*s ", column_width(&sweep->axis[i]),
               sweep->axis[i].values[attn_sweep_value(sweep, number, i)]);
    if (point->count == 0) {
        printf("cannot run: %s\n", point->refused.message);
    } else {
        printf("%8.1f %6.3f %6.3f %6.3f", attn_point_gflops(point).median, fraction.min,
               fraction.median, fraction.max);
        if (point->projection_flops > 0) printf(" %6.3f", attn_point_over_parts(point).median);
        printf("%s\n", strcmp(attn_point_bound(point), "memory") == 0 ? " memory" : "");
    }
    fflush(stdout);
}

static void print_header(const attn_config *config) {
    const attn_sweep *sweep = &config->bench.sweep;
    int layer = config->input.weights || (config->input.synthetic &&
                                          config->input.synthetic_tensors == ATTN_SYNTHETIC_LAYER);
    char cpu[256], blas[256];

    attn_cpu_name(cpu, (int)sizeof cpu);
    attn_blas_name(blas, sizeof blas);
    printf("attnspan %s: %s\n%s, %s\n", ATTN_VERSION, config->file, cpu, blas);
    printf("%" PRId64 " points, %" PRId64
           " repeats in another order each; GFLOP/s are medians,\n"
           "fractions are of the peak of multiply-adds, or of memory where it says so",
           attn_sweep_points(sweep), config->bench.repeats);
    printf("%s\n\n", layer ? ",\n/parts: whole layer over attention + sgemm" : "");
    for (int32_t i = 0; i < sweep->axes; i++)
        printf("%-*s ", column_width(&sweep->axis[i]), heading(&sweep->axis[i]));
    printf("%8s %6s %6s %6s%s\n", "GFLOP/s", "min", "median", "max", layer ? " /parts" : "");
}

static json_t *median_json(attn_median median) {
    return json_pack("{s:f, s:f, s:f}", "min", median.min, "median", median.median, "max",
                     median.max);
}

static json_t *samples_json(const attn_point *point) {
    json_t *samples = json_array();

    for (int32_t i = 0; i < point->count; i++) {
        const attn_sample_times *s = &point->samples[i];
        json_array_append_new(
            samples, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "attend_sec", s->attend_sec,
                               "total_sec", s->total_sec, "gflops_per_sec", s->gflops_per_sec,
                               "peak_gflops", s->peak_gflops, "read_gbytes_per_sec", s->read_gbytes,
                               "sgemm_gflops", s->sgemm_gflops));
    }
    return samples;
}

static json_t *point_json(const attn_bench *bench, int64_t number) {
    const attn_sweep *sweep = &bench->config->bench.sweep;
    const attn_point *point = &bench->point[number];
    json_t *sets = json_object(), *json;

    for (int32_t i = 0; i < sweep->axes; i++)
        json_object_set_new(sets, sweep->axis[i].key,
                            json_string(sweep->axis[i].values[attn_sweep_value(sweep, number, i)]));
    if (point->count == 0)
        return json_pack("{s:o, s:s}", "set", sets, "refused", point->refused.message);
    json = json_pack("{s:o, s:i, s:i, s:s, s:s, s:f, s:i, s:s, s:f}", "set", sets, "mesh_heads",
                     point->info.mesh_heads, "mesh_sequence", point->info.mesh_sequence,
                     "circulate", point->info.circulate, "layout", point->info.layout, "imbalance",
                     point->info.imbalance, "threads", point->info.threads, "kernel",
                     point->info.kernel, "flops", point->flops);
    json_object_set_new(json, "gflops_per_sec", median_json(attn_point_gflops(point)));
    json_object_set_new(json, "bound", json_string(attn_point_bound(point)));
    json_object_set_new(json, "fraction_of_bound", median_json(attn_point_fraction(point)));
    if (point->projection_flops > 0)
        json_object_set_new(json, "time_over_parts", median_json(attn_point_over_parts(point)));
    json_object_set_new(json, "samples", samples_json(point));
    return json;
}

static attn_status write_json(MPI_Comm comm, const attn_bench *bench, attn_error *error) {
    json_t *json, *points = json_array();
    char cpu[256], blas[256], *text;
    int ranks;

    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    attn_cpu_name(cpu, (int)sizeof cpu);
    attn_blas_name(blas, sizeof blas);
    for (int64_t i = 0; i < bench->points; i++) json_array_append_new(points, point_json(bench, i));
    json = json_pack("{s:s, s:s, s:s, s:i, s:o, s:o}", "version", ATTN_VERSION, "cpu", cpu, "blas",
                     blas, "ranks", ranks, "config", attn_config_json(bench->config), "points",
                     points);
    text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    if (text == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the report");
    attn_file_replace(bench->config->output.report, text, strlen(text), error);
    free(text);
    return error->status;
}

attn_status attn_cmd_bench(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    attn_bench bench = {0};
    attn_job *base; /* for its config */

    if (attn_job_create(comm, &base, error) != ATTN_OK) return error->status;
    if (attn_job_configure(base, cmdline, error) == ATTN_OK) {
        if (base->rank == 0) print_header(&base->config);
        attn_bench_run(comm, cmdline, &base->config, print_point, &bench, error);
    }
    if (error->status == ATTN_OK) {
        if (base->rank == 0 && base->config.output.report[0] != '\0' &&
            write_json(comm, &bench, error) == ATTN_OK)
            printf("\nwrote %s\n", base->config.output.report);
        attn_agree(comm, "report", error);
    }
    attn_bench_free(&bench);
    attn_job_destroy(base);
    return error->status;
}
