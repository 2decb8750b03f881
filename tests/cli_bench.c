/* attnspan bench and info: every point is run or refused, and the figures agree. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "json_reading.h"

static const char config[] =
    "attention: {heads: 4, kv_heads: 2, head_dim: 16}\n"
    "sequence: {length: 200}\n"
    "input: {synthetic: {seed: 3, tensors: qkv}}\n"
    "output: {report: b.json}\n"
    "bench:\n"
    "  repeats: 3\n"
    "  sweep:\n"
    "    sequence.length: [200, 400]\n"
    "    attention.mask: [none, causal]\n"
    "    parallel.heads: [1, 2, 3]\n";

static json_t *bench(int ranks, const char *const *arguments, int expected,
                     attn_command_result *result) {
    const attn_command_request request = {
        .ranks = ranks, .arguments = arguments, .folder = attn_cli_folder(), .limit_sec = 60};

    attn_command_run(&request, result);
    CU_ASSERT_EQUAL(result->exit_status, expected);
    if (result->exit_status != expected) fprintf(stderr, "\n%s\n", result->err);
    return json_load_file(attn_cli_path("b.json"), 0, NULL);
}

/* Flops of a point by the definition; samples agree with them and among themselves. */
static void check_point(const json_t *point) {
    const json_t *set = json_object_get(point, "set"), *samples, *sample;
    double rows = atof(json_string_value(json_object_get(set, "sequence.length")));
    int causal = strcmp(json_string_value(json_object_get(set, "attention.mask")), "causal") == 0;
    double pairs = causal ? rows * (rows + 1) / 2 : rows * rows;
    const json_t *gflops = json_object_get(point, "gflops_per_sec");
    double least = INFINITY, most = 0;
    size_t i;

    CU_ASSERT_DOUBLE_EQUAL(attn_json_number(point, "flops"), 2.0 * (16 + 16) * 4 * pairs, 0.5);
    samples = json_object_get(point, "samples");
    CU_ASSERT_EQUAL(json_array_size(samples), 3);
    json_array_foreach(samples, i, sample) {
        double rate = attn_json_number(sample, "gflops_per_sec");
        CU_ASSERT_DOUBLE_EQUAL(rate * attn_json_number(sample, "attend_sec"),
                               attn_json_number(point, "flops") * 1e-9,
                               1e-9 * attn_json_number(point, "flops") * 1e-6);
        CU_ASSERT(attn_json_number(sample, "total_sec") >= attn_json_number(sample, "attend_sec"));
        CU_ASSERT(attn_json_number(sample, "peak_gflops") > 0);
        least = fmin(least, rate);
        most = fmax(most, rate);
    }
    CU_ASSERT_DOUBLE_EQUAL(attn_json_number(gflops, "min"), least, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(attn_json_number(gflops, "max"), most, 1e-12);
    CU_ASSERT(attn_json_number(gflops, "median") >= least &&
              attn_json_number(gflops, "median") <= most);
}

static void test_every_point_runs_or_says_why_not(void) {
    attn_command_result result;
    json_t *report;
    const json_t *points, *point;
    size_t i, ran = 0, refused = 0;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    report = bench(2, ATTN_ARGUMENTS("bench", "b.yaml"), 0, &result);
    points = json_object_get(report, "points");
    CU_ASSERT_EQUAL(json_array_size(points), 12);
    json_array_foreach(points, i, point) {
        const char *heads =
            json_string_value(json_object_get(json_object_get(point, "set"), "parallel.heads"));
        const char *reason = json_string_value(json_object_get(point, "refused"));

        CU_ASSERT_EQUAL(reason != NULL, strcmp(heads, "3") == 0); /* 3 does not divide 2 ranks */
        if (reason != NULL) {
            CU_ASSERT_PTR_NOT_NULL(
                strstr(reason, "3 does not divide the number of ranks, which is 2"));
            refused++;
        } else {
            check_point(point);
            ran++;
        }
    }
    CU_ASSERT_EQUAL(ran, 8);
    CU_ASSERT_EQUAL(refused, 4);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "length mask   heads  GFLOP/s    min median    max"));
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\n400    causal 2 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "cannot run: "));
    json_decref(report);
    attn_command_free(&result);
    attn_cli_end();
}

static void test_a_config_without_a_sweep_is_one_point(void) {
    attn_command_result result;
    json_t *report;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    report = bench(0, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.sweep=null"), 0, &result);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(report, "points")), 1);
    json_decref(report);
    attn_command_free(&result);
    attn_cli_end();
}

static void test_a_bad_sweep_is_refused_before_anything_runs(void) {
    attn_command_result result;
    json_t *report;
    char message[512];

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    report = bench(
        2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.sweep={attention.mask: [casual]}"), 2,
        &result);
    CU_ASSERT_PTR_NULL(report);
    CU_ASSERT_EQUAL(attn_command_errors(&result, message, sizeof message), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(message, "attention.mask"));
    json_decref(report);
    attn_command_free(&result);
    attn_cli_end();
}

static void test_info_as_json_has_the_measured_peaks(void) {
    static const char *const peaks[] = {"fma_fp32_gflops", "attention_gflops", "sgemm_gflops",
                                        "memory_gbytes_per_sec", "read_gbytes_per_sec"};
    const attn_command_request request = {.arguments = ATTN_ARGUMENTS("info", "--json"),
                                          .limit_sec = 60};
    attn_command_result result;
    json_t *info;

    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    info = json_loads(result.out, 0, NULL);
    CU_ASSERT(json_is_string(json_object_get(info, "cpu")));
    CU_ASSERT(json_is_string(json_object_get(info, "kernel")));
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++) {
        const json_t *all = json_object_get(info, "peaks");
        CU_ASSERT(attn_json_number(json_object_get(all, "one_core"), peaks[i]) > 0);
        CU_ASSERT(attn_json_number(json_object_get(all, "all_cores"), peaks[i]) > 0);
    }
    json_decref(info);
    attn_command_free(&result);
}

int main(void) {
    static const attn_test tests[] = {
        {"every point runs or says why not", test_every_point_runs_or_says_why_not},
        {"a config without a sweep is one point", test_a_config_without_a_sweep_is_one_point},
        {"a bad sweep is refused before anything runs",
         test_a_bad_sweep_is_refused_before_anything_runs},
        {"info as JSON has the measured peaks", test_info_as_json_has_the_measured_peaks},
    };
    return attn_test_main("cli.bench", tests, ATTN_TEST_COUNT(tests));
}
