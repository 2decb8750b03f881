#include "bench_report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_columns.h"
#include "bench_figures.h"
#include "blas_core.h"
#include "file.h"
#include "topology.h"
#include "version.h"

static json_t *number_json(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

/* null: no sample has it. */
static json_t *median_json(attn_median median) {
    if (isnan(median.median)) return json_null();
    return json_pack("{s:f, s:f, s:f}", "min", median.min, "median", median.median, "max",
                     median.max);
}

/* The columns of one sample alone. */
static json_t *sample_json(const attn_point *point, const attn_sample *sample) {
    json_t *json = json_object();
    int32_t count;
    const attn_bench_column *columns = attn_bench_columns(&count);

    for (int32_t i = 0; i < count; i++)
        if (!columns[i].of_point && strcmp(columns[i].name, "speedup") != 0 &&
            strcmp(columns[i].name, "efficiency") != 0)
            json_object_set_new(json, columns[i].name,
                                attn_bench_column_json(&columns[i], &point->facts, sample));
    return json;
}

static json_t *samples_json(const attn_point *point) {
    json_t *samples = json_array();

    for (int32_t i = 0; i < point->count; i++)
        json_array_append_new(samples, sample_json(point, &point->samples[i]));
    return samples;
}

static json_t *sets_json(const attn_bench *bench, int64_t number) {
    const attn_sweep *sweep = &bench->config->bench.sweep;
    json_t *sets = json_object();

    for (int32_t i = 0; i < sweep->axes; i++)
        json_object_set_new(sets, sweep->axis[i].key,
                            json_string(sweep->axis[i].values[attn_sweep_value(sweep, number, i)]));
    return sets;
}

/* A point that ran: what all its samples share, medians of what they do not, the samples. */
static void set_figures(const attn_bench *bench, int64_t number, json_t *json) {
    const attn_point *point = &bench->point[number];
    int32_t count;
    const attn_bench_column *columns = attn_bench_columns(&count);

    for (int32_t i = 0; i < count; i++) {
        const attn_bench_column *column = &columns[i];

        if (strcmp(column->name, "set") == 0 || strcmp(column->name, "repeat") == 0) continue;
        if (column->of_point || column->type == ATTN_COLUMN_TEXT)
            json_object_set_new(json, column->name,
                                attn_bench_column_json(column, &point->facts, &point->samples[0]));
        else
            json_object_set_new(json, column->name,
                                median_json(attn_bench_median(point, column->name)));
    }
    json_object_set_new(json, "speedup", number_json(attn_bench_speedup(bench, number)));
    json_object_set_new(json, "efficiency", number_json(attn_bench_efficiency(bench, number)));
    if (point->facts.projection_flops > 0)
        json_object_set_new(json, "time_over_parts", median_json(attn_bench_over_parts(point)));
    json_object_set_new(json, "samples", samples_json(point));
}

static json_t *point_json(const attn_bench *bench, int64_t number) {
    const attn_point *point = &bench->point[number];
    json_t *json = json_object();

    json_object_set_new(json, "set", sets_json(bench, number));
    if (point->count > 0) set_figures(bench, number, json);
    if (point->refused.status != ATTN_OK)
        json_object_set_new(json, "refused", json_string(point->refused.message));
    return json;
}

attn_status attn_bench_report_write(const attn_bench *bench, attn_error *error) {
    json_t *json, *points = json_array();
    char cpu[256], blas[256], *text;

    attn_cpu_name(cpu, (int)sizeof cpu);
    attn_blas_name(blas, sizeof blas);
    for (int64_t i = 0; i < bench->points; i++) json_array_append_new(points, point_json(bench, i));
    json =
        json_pack("{s:s, s:s, s:s, s:i, s:b, s:o, s:o}", "version", ATTN_VERSION, "cpu", cpu,
                  "blas", blas, "ranks", bench->ranks.all.ranks, "complete", !bench->out_of_budget,
                  "config", attn_config_json(bench->config), "points", points);
    text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    if (text == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the report");
    attn_file_replace(bench->config->output.report, text, strlen(text), error);
    free(text);
    return error->status;
}
