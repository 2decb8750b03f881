#define _POSIX_C_SOURCE 200809L

/* attnspan bench over numbers of ranks: samples in files, figures that agree, scaling against the
 * fewest ranks, and a failure that ends it on all ranks. */
#include "cli_sweep.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "json_reading.h"
#include "swept.h"

/* --- a whole sweep --------------------------------------------------------------- */

/* The unmasked pairs of the sweep's mask, counted. */
static double count_pairs(int rows) {
    double pairs = 0;

    for (int i = 0; i < rows; i++) pairs += i < 190 ? i + 1 : 191;
    return pairs;
}

static void check_sample(const attn_swept_file *file, int row) {
    static const char *const phases[] = {"project_sec", "exchange_sec", "attend_sec", "output_sec"};
    double ranks = attn_swept_value(file, row, "ranks");
    double shards = attn_swept_value(file, row, "mesh_sequence");
    double attend = attn_swept_value(file, row, "attend_sec");
    double total = attn_swept_value(file, row, "total_sec");
    double least = attn_swept_value(file, row, "compute_sec_min");
    double mean = attn_swept_value(file, row, "compute_sec_mean");
    double most = attn_swept_value(file, row, "compute_sec_max");
    double transfer = attn_swept_value(file, row, "transfer_sec_max");
    double overlap = attn_swept_value(file, row, "overlap");
    double wait = attn_swept_value(file, row, "wait_sec_max");
    double sent = attn_swept_value(file, row, "bytes_sent_total");
    int gathers = strcmp(attn_swept_cell(file, row, "circulate"), "gather") == 0;
    char set[256];

    snprintf(set, sizeof set,
             "parallel.circulate=%s parallel.heads=", attn_swept_cell(file, row, "circulate"));
    CU_ASSERT_EQUAL(strncmp(attn_swept_cell(file, row, "set"), set, strlen(set)), 0);
    snprintf(set, sizeof set, " ranks=%g", ranks);
    CU_ASSERT_PTR_NOT_NULL(strstr(attn_swept_cell(file, row, "set"), set));
    CU_ASSERT(strstr(attn_swept_cell(file, row, "set"), "heads=1") == NULL || shards == ranks);
    CU_ASSERT_EQUAL(attn_swept_value(file, row, "mesh_heads") * shards, ranks);
    CU_ASSERT_STRING_EQUAL(attn_swept_cell(file, row, "mode"), "strong");
    CU_ASSERT_STRING_EQUAL(attn_swept_cell(file, row, "mask"), "causal, window [190, 0]");
    CU_ASSERT_STRING_EQUAL(attn_swept_cell(file, row, "dtype"), "fp32");
    CU_ASSERT_STRING_EQUAL(attn_swept_cell(file, row, "bound"), "compute");
    CU_ASSERT_EQUAL(attn_swept_value(file, row, "length"), 200);
    CU_ASSERT_EQUAL(attn_swept_value(file, row, "threads"), 1);
    CU_ASSERT_EQUAL(attn_swept_value(file, row, "flops"), 2.0 * (16 + 16) * 3 * count_pairs(200));
    for (int i = 0; i < 4; i++) {
        CU_ASSERT(attn_swept_value(file, row, phases[i]) >= 0);
        CU_ASSERT(attn_swept_value(file, row, phases[i]) <= total);
    }
    CU_ASSERT(0 <= least && least <= mean && mean <= most && most > 0);
    CU_ASSERT(most <= attend);
    CU_ASSERT_DOUBLE_EQUAL(attn_swept_value(file, row, "imbalance"), most / mean,
                           1e-6 * most / mean);
    CU_ASSERT(attn_swept_value(file, row, "wait_sec_mean") <= wait);
    CU_ASSERT(wait <= attend + attn_swept_value(file, row, "exchange_sec"));
    CU_ASSERT(transfer <= attend);
    if (shards > 1) {
        CU_ASSERT(transfer > 0);
        CU_ASSERT(overlap >= 0 && overlap <= 1);
    } else {
        CU_ASSERT_EQUAL(transfer, 0);
        CU_ASSERT(isnan(overlap));
    }
    CU_ASSERT_EQUAL(attn_swept_value(file, row, "bytes_predicted"), sent);
    /* What all ranks share is not sent: they are on one node. */
    CU_ASSERT_EQUAL(sent > 0, ranks > 1 && (shards < ranks || !gathers));
    CU_ASSERT(attn_swept_value(file, row, "memory_bytes_max") * ranks >=
              200 * attn_swept_value(file, row, "memory_bytes_per_token") * (1 - 1e-8));
    CU_ASSERT(isnan(attn_swept_value(file, row, "model_dim")));
    CU_ASSERT(attn_swept_value(file, row, "predicted_sec") > 0);
}

/* Medians of two samples are their means. */
static double mean_total(const json_t *point) {
    const json_t *samples = json_object_get(point, "samples");

    return (attn_json_number(json_array_get(samples, 0), "total_sec") +
            attn_json_number(json_array_get(samples, 1), "total_sec")) /
           2;
}

static void check_summary(const json_t *report) {
    const json_t *points = json_object_get(report, "points"), *point;
    size_t i;

    CU_ASSERT(json_is_true(json_object_get(report, "complete")));
    CU_ASSERT_EQUAL(json_array_size(points), ATTN_SWEPT_POINTS);
    json_array_foreach(points, i, point) {
        double ranks = (double)(i % 4 + 1), total = mean_total(point);
        double base = mean_total(json_array_get(points, i / 4 * 4));

        CU_ASSERT_EQUAL(attn_json_number(point, "ranks"), ranks);
        CU_ASSERT_EQUAL(json_array_size(json_object_get(point, "samples")), 2);
        CU_ASSERT_DOUBLE_EQUAL(attn_json_number(point, "total_sec.median"), total, 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(attn_json_number(point, "speedup"), base / total,
                               1e-9 * base / total);
        CU_ASSERT_DOUBLE_EQUAL(attn_json_number(point, "efficiency"), base / total / ranks,
                               1e-9 * base / total);
    }
}

static void test_points_run_on_the_ranks_that_they_say(void) {
    attn_command_result result;
    attn_swept_file file;
    json_t *report;

    attn_swept_begin();
    attn_cli_write_text("m.yaml", "cores: 2\n");
    attn_swept_run(ATTN_SWEPT_RANKS,
                   ATTN_ARGUMENTS("bench", "b.yaml", "--set", "parallel.machine=m.yaml"), 0,
                   &result);
    file = attn_swept_read("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + ATTN_SWEPT_SAMPLES);
    CU_ASSERT_EQUAL(file.whole_bytes, file.all_bytes);
    for (int row = 1; row < file.rows; row++) check_sample(&file, row);
    CU_ASSERT(attn_swept_has_each_once(&file));
    report = json_load_file(attn_cli_path("b.json"), 0, NULL);
    check_summary(report);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "strong scaling"));
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\nring      1     4     "));
    for (const char *line = result.out; *line != '\0'; line += strcspn(line, "\n") + 1)
        if (strncmp(line, "ring", 4) == 0 || strncmp(line, "gather", 6) == 0)
            CU_ASSERT(strcspn(line, "\n") <= 80);
    json_decref(report);
    attn_swept_free(&file);
    attn_command_free(&result);
    attn_cli_end();
}

/* What no query needs does not travel, nor twice to a node with a gather: masks, layouts and
 * circulations send different amounts. */
static void test_bytes_are_predicted_whatever_is_sent(void) {
    double least = INFINITY, most = 0;
    attn_swept_file file;

    attn_swept_begin();
    setenv("ATTNSPAN_NODE_RANKS", "2", 1);
    attn_swept_run_quietly(
        ATTN_SWEPT_RANKS,
        ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1", "--set",
                       "sequence.length=900", "--set",
                       "bench.sweep={attention.mask: [none, {causal: true, window: [100, "
                       "0]}], parallel.layout: [contiguous, zigzag, striped, balanced], "
                       "parallel.circulate: [ring, gather, reduce], parallel.heads: [1, 2], "
                       "ranks: [4]}"));
    unsetenv("ATTNSPAN_NODE_RANKS");
    file = attn_swept_read("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + 2 * 4 * 3 * 2);
    for (int row = 1; row < file.rows; row++) {
        double sent = attn_swept_value(&file, row, "bytes_sent_total");

        CU_ASSERT_EQUAL(attn_swept_value(&file, row, "bytes_predicted"), sent);
        CU_ASSERT(isnan(attn_swept_value(&file, row, "predicted_sec"))); /* no parallel.machine */
        least = fmin(least, sent);
        most = fmax(most, sent);
    }
    CU_ASSERT(0 < least && least < most);
    attn_swept_free(&file);
    attn_cli_end();
}

static void test_json_lines_have_the_same_samples(void) {
    attn_swept_file file, lines;

    attn_swept_begin();
    attn_swept_run_quietly(3, ATTN_ARGUMENTS("bench", "b.yaml"));
    file = attn_swept_read("s.csv");
    lines = attn_swept_read("s.jsonl");
    CU_ASSERT_EQUAL(file.rows, 1 + ATTN_SWEPT_SAMPLES / 4 * 3);
    /* 4 ranks are refused, once each. */
    CU_ASSERT_EQUAL(lines.rows, file.rows - 1 + ATTN_SWEPT_POINTS / 4);
    for (int i = 0, row = 1; i < lines.rows; i++) {
        json_t *json = json_loadb(lines.row[i], lines.row_bytes[i], 0, NULL);

        CU_ASSERT(json_is_object(json));
        CU_ASSERT_EQUAL(json_is_null(json_object_get(json, "refused")),
                        attn_json_number(json, "ranks") < 4);
        if (attn_json_number(json, "ranks") == 4) {
            CU_ASSERT(attn_json_is_text(json, "refused",
                                        "needs 4 ranks, but there are 3; start mpirun -n 4"));
            CU_ASSERT(json_is_null(json_object_get(json, "total_sec")));
        } else {
            CU_ASSERT_EQUAL(attn_json_number(json, "point"), attn_swept_value(&file, row, "point"));
            CU_ASSERT_EQUAL(attn_json_number(json, "repeat"),
                            attn_swept_value(&file, row, "repeat"));
            CU_ASSERT_EQUAL(attn_json_number(json, "total_sec"),
                            attn_swept_value(&file, row, "total_sec"));
            CU_ASSERT(attn_json_is_text(json, "set", attn_swept_cell(&file, row, "set")));
            row++;
        }
        json_decref(json);
    }
    attn_swept_free(&file);
    attn_swept_free(&lines);
    attn_cli_end();
}

/* --- weak scaling ---------------------------------------------------------------- */

static void test_weak_scaling_keeps_the_rows_of_a_rank(void) {
    attn_swept_file file;
    json_t *report;
    const json_t *points, *base;

    attn_swept_begin();
    attn_swept_run_quietly(
        ATTN_SWEPT_RANKS, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.mode=weak", "--set",
                                         "bench.sweep={ranks: [4, 2], sequence.length: [64, 90]}"));
    file = attn_swept_read("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + 2 * 4);
    for (int row = 1; row < file.rows; row++) {
        int swept = strstr(attn_swept_cell(&file, row, "set"), "length=64") != NULL ? 64 : 90;
        int length = swept * (int)attn_swept_value(&file, row, "ranks") / 2;

        CU_ASSERT_STRING_EQUAL(attn_swept_cell(&file, row, "mode"), "weak");
        CU_ASSERT_EQUAL(attn_swept_value(&file, row, "length"), length);
        CU_ASSERT_EQUAL(attn_swept_value(&file, row, "kv_length"), length);
        CU_ASSERT_EQUAL(attn_swept_value(&file, row, "flops"), 2.0 * 32 * 3 * count_pairs(length));
    }
    report = json_load_file(attn_cli_path("b.json"), 0, NULL);
    points = json_object_get(report, "points");
    base = json_array_get(points, 2); /* 2 ranks, 64 rows each */
    for (size_t i = 0; i < 4; i += 2) {
        const json_t *point = json_array_get(points, i);
        double rate = attn_json_number(point, "flops") / mean_total(point);
        double base_rate = attn_json_number(base, "flops") / mean_total(base);

        CU_ASSERT_DOUBLE_EQUAL(attn_json_number(point, "speedup"), rate / base_rate,
                               1e-9 * rate / base_rate);
        CU_ASSERT_DOUBLE_EQUAL(attn_json_number(point, "efficiency"),
                               rate / base_rate * 2 / attn_json_number(point, "ranks"),
                               1e-9 * rate / base_rate);
    }
    json_decref(report);
    attn_swept_free(&file);
    attn_cli_end();
}

/* A cross length grows, too, when it is given; 2^48 rows are the most there are. */
static void test_weak_scaling_of_keys_and_of_too_many_rows(void) {
    attn_swept_file file, lines;

    attn_swept_begin();
    attn_swept_run_quietly(
        2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.mode=weak", "--set",
                          "attention.mask=none", "--set", "sequence.kv_length=100", "--set",
                          "bench.sweep={sequence.length: [8, 281474976710656], "
                          "ranks: [1, 2]}"));
    file = attn_swept_read("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + 2 * 2);
    for (int row = 1; row < file.rows; row++) {
        CU_ASSERT_EQUAL(attn_swept_value(&file, row, "length"),
                        8 * attn_swept_value(&file, row, "ranks"));
        CU_ASSERT_EQUAL(attn_swept_value(&file, row, "kv_length"),
                        100 * attn_swept_value(&file, row, "ranks"));
    }
    lines = attn_swept_read("s.jsonl");
    CU_ASSERT_PTR_NOT_NULL(strstr(lines.bytes, "--set: sequence.length: is 562949953421312; must"));
    attn_swept_free(&file);
    attn_swept_free(&lines);
    attn_cli_end();
}

/* --- failures -------------------------------------------------------------------- */

/* Whichever rank fails, and wherever: all leave together, with one message. */
static void test_all_ranks_leave_together(void) {
    static const char *const boundaries[] = {"bench", "samples", "point",  "job",    "config",
                                             "plan",  "arrays",  "memory", "report", "probe"};

    attn_swept_begin();
    for (size_t i = 0; i < 2 * sizeof boundaries / sizeof *boundaries; i++) {
        char planted[64], error[1024], wanted[96];
        const attn_command_request request = {
            .ranks = ATTN_SWEPT_RANKS,
            .arguments = ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.resume=false"),
            .environment = (const char *const[]){planted, NULL},
            .folder = attn_cli_folder()};
        attn_command_result result;
        int rank = i % 2 == 0 ? 0 : ATTN_SWEPT_RANKS - 1;

        snprintf(planted, sizeof planted, "ATTNSPAN_INJECT=%s:%d", boundaries[i / 2], rank);
        snprintf(wanted, sizeof wanted, "%s: failure injected on rank %d", boundaries[i / 2], rank);
        attn_command_run(&request, &result);
        CU_ASSERT_EQUAL(result.exit_status, 3);
        CU_ASSERT_EQUAL(attn_command_errors(&result, error, sizeof error), 1);
        CU_ASSERT_STRING_EQUAL(error, wanted);
        if (strcmp(error, wanted) != 0)
            fprintf(stderr, "\n%s: %d\n%s\n", planted, result.exit_status, result.err);
        attn_command_free(&result);
    }
    attn_cli_end();
}

int main(void) {
    static const attn_test tests[] = {
        {"points run on the ranks that they say", test_points_run_on_the_ranks_that_they_say},
        {"bytes are predicted, whatever is sent", test_bytes_are_predicted_whatever_is_sent},
        {"JSON lines have the same samples", test_json_lines_have_the_same_samples},
        {"weak scaling keeps the rows of a rank", test_weak_scaling_keeps_the_rows_of_a_rank},
        {"weak scaling of keys and of too many rows",
         test_weak_scaling_of_keys_and_of_too_many_rows},
        {"a sweep that failed goes on", attn_test_a_sweep_that_failed_goes_on},
        {"a killed sweep goes on", attn_test_a_killed_sweep_goes_on},
        {"a budget keeps what is there", attn_test_a_budget_keeps_what_is_there},
        {"samples of another sweep are refused", attn_test_samples_of_another_sweep_are_refused},
        {"all ranks leave together", test_all_ranks_leave_together},
        {"lines that are no samples are refused", attn_test_lines_that_are_no_samples_are_refused},
    };

    return attn_test_main("cli.sweep", tests, ATTN_TEST_COUNT(tests));
}
