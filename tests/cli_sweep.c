/* attnspan bench over numbers of ranks: samples in files, figures that agree, scaling against the
 * fewest ranks, and a sweep that was ended goes on. */
#define _POSIX_C_SOURCE 200809L

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "scratch.h"

enum { RANKS = 4, MOST_LINES = 512, MOST_CELLS = 64 };

static const char config[] =
    "attention: {heads: 3, head_dim: 16, mask: {causal: true, window: [190, 0]}}\n"
    "sequence: {length: 200}\n"
    "input: {synthetic: {seed: 3, tensors: qkv}}\n"
    "output: {report: b.json}\n"
    "bench:\n"
    "  repeats: 2\n"
    "  samples: s.csv\n"
    "  sweep:\n"
    "    parallel.circulate: [ring, gather]\n"
    "    parallel.heads: [1, auto]\n"
    "    ranks: [1, 2, 3, 4]\n";

enum { POINTS = 16, SAMPLES = 32 };

static void run(int ranks, const char *const *arguments, int expected,
                attn_command_result *result) {
    const attn_command_request request = {
        .ranks = ranks, .arguments = arguments, .folder = attn_cli_folder(), .limit_sec = 60};

    attn_command_run(&request, result);
    CU_ASSERT_EQUAL(result->exit_status, expected);
    if (result->exit_status != expected) fprintf(stderr, "\n%s\n%s\n", result->out, result->err);
}

static void run_quietly(int ranks, const char *const *arguments) {
    attn_command_result result;

    run(ranks, arguments, 0, &result);
    attn_command_free(&result);
}

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));

    return value == NULL ? "" : value;
}

static int is_null(const json_t *object, const char *key) {
    return json_is_null(json_object_get(object, key));
}

/* --- reading CSV, by a reader of its own ---------------------------------------- */

typedef struct csv {
    char *bytes;           /* owned */
    char *row[MOST_LINES]; /* in it; row[0] is the header */
    size_t row_bytes[MOST_LINES];
    int rows; /* whole ones */
    size_t whole_bytes;
    size_t all_bytes;
} csv;

static csv read_csv(const char *name) {
    csv file = {0};

    file.bytes = attn_scratch_read(attn_cli_path(name), &file.all_bytes);
    for (size_t i = 0, first = 0; file.bytes != NULL && i < file.all_bytes; i++) {
        if (file.bytes[i] != '\n' || file.rows == MOST_LINES) continue;
        file.row[file.rows] = file.bytes + first;
        file.row_bytes[file.rows++] = i - first;
        first = file.whole_bytes = i + 1;
    }
    return file;
}

/* Cells of a row, without their quotes; returns how many. */
static int cells_of(const csv *file, int row, char cells[MOST_CELLS][256]) {
    const char *at = file->row[row], *end = at + file->row_bytes[row];
    int count = 0, is_quoted = 0;
    size_t used = 0;

    for (; at < end; at++) {
        if (*at == '"') {
            is_quoted = !is_quoted;
        } else if (*at == ',' && !is_quoted) {
            cells[count++][used] = '\0';
            used = 0;
        } else {
            cells[count][used++] = *at;
        }
    }
    cells[count++][used] = '\0';
    return count;
}

/* The cell of a column; "" when there is none. */
static const char *cell(const csv *file, int row, const char *column) {
    static char header[MOST_CELLS][256], cells[MOST_CELLS][256];
    int count = cells_of(file, 0, header);

    CU_ASSERT_EQUAL(cells_of(file, row, cells), count);
    for (int i = 0; i < count; i++)
        if (strcmp(header[i], column) == 0) return cells[i];
    CU_FAIL("there is no such column");
    return "";
}

/* A cell as a number; NAN: empty. */
static double value(const csv *file, int row, const char *column) {
    const char *found = cell(file, row, column);

    return found[0] == '\0' ? NAN : atof(found);
}

/* Whether no two rows have the same point and repeat. */
static int has_each_once(const csv *file) {
    for (int a = 1; a < file->rows; a++)
        for (int b = 1; b < a; b++)
            if (value(file, a, "point") == value(file, b, "point") &&
                value(file, a, "repeat") == value(file, b, "repeat"))
                return 0;
    return 1;
}

/* --- a whole sweep --------------------------------------------------------------- */

/* The unmasked pairs of `config`, counted. */
static double count_pairs(int rows) {
    double pairs = 0;

    for (int i = 0; i < rows; i++) pairs += i < 190 ? i + 1 : 191;
    return pairs;
}

static void check_sample(const csv *file, int row) {
    static const char *const phases[] = {"project_sec", "exchange_sec", "attend_sec", "output_sec"};
    double ranks = value(file, row, "ranks"), shards = value(file, row, "mesh_sequence");
    double attend = value(file, row, "attend_sec"), total = value(file, row, "total_sec");
    double least = value(file, row, "compute_sec_min"), mean = value(file, row, "compute_sec_mean");
    double most = value(file, row, "compute_sec_max");
    char set[256];

    snprintf(set, sizeof set,
             "parallel.circulate=%s parallel.heads=", cell(file, row, "circulate"));
    CU_ASSERT_EQUAL(strncmp(cell(file, row, "set"), set, strlen(set)), 0);
    snprintf(set, sizeof set, " ranks=%g", ranks);
    CU_ASSERT_PTR_NOT_NULL(strstr(cell(file, row, "set"), set));
    CU_ASSERT(strstr(cell(file, row, "set"), "heads=1") == NULL || shards == ranks);
    CU_ASSERT_EQUAL(value(file, row, "mesh_heads") * shards, ranks);
    CU_ASSERT_STRING_EQUAL(cell(file, row, "mode"), "strong");
    CU_ASSERT_STRING_EQUAL(cell(file, row, "mask"), "causal, window [190, 0]");
    CU_ASSERT_STRING_EQUAL(cell(file, row, "dtype"), "fp32");
    CU_ASSERT_STRING_EQUAL(cell(file, row, "bound"), "compute");
    CU_ASSERT_EQUAL(value(file, row, "length"), 200);
    CU_ASSERT_EQUAL(value(file, row, "threads"), 1);
    CU_ASSERT_EQUAL(value(file, row, "flops"), 2.0 * (16 + 16) * 3 * count_pairs(200));
    for (int i = 0; i < 4; i++) {
        CU_ASSERT(value(file, row, phases[i]) >= 0);
        CU_ASSERT(value(file, row, phases[i]) <= total);
    }
    CU_ASSERT(0 <= least && least <= mean && mean <= most && most > 0);
    CU_ASSERT(most <= attend);
    CU_ASSERT_DOUBLE_EQUAL(value(file, row, "imbalance"), most / mean, 1e-6 * most / mean);
    CU_ASSERT(value(file, row, "wait_sec_mean") <= value(file, row, "wait_sec_max"));
    CU_ASSERT(value(file, row, "wait_sec_max") <= attend + value(file, row, "exchange_sec"));
    CU_ASSERT(value(file, row, "transfer_sec_max") <= attend);
    if (shards > 1) {
        CU_ASSERT(value(file, row, "transfer_sec_max") > 0);
        CU_ASSERT(value(file, row, "overlap") >= 0 && value(file, row, "overlap") <= 1);
    } else {
        CU_ASSERT_EQUAL(value(file, row, "transfer_sec_max"), 0);
        CU_ASSERT(isnan(value(file, row, "overlap")));
    }
    CU_ASSERT_EQUAL(value(file, row, "bytes_sent_total"), value(file, row, "bytes_predicted"));
    /* What all ranks share is not sent: they are on one node. */
    CU_ASSERT_EQUAL(
        value(file, row, "bytes_sent_total") > 0,
        ranks > 1 && (shards < ranks || strcmp(cell(file, row, "circulate"), "gather") != 0));
    CU_ASSERT(value(file, row, "memory_bytes_max") * ranks >=
              200 * value(file, row, "memory_bytes_per_token") * (1 - 1e-8));
    CU_ASSERT(isnan(value(file, row, "model_dim")));
    CU_ASSERT(value(file, row, "predicted_sec") > 0);
}

/* Medians of two samples are their means. */
static double mean_total(const json_t *point) {
    const json_t *samples = json_object_get(point, "samples");

    return (number(json_array_get(samples, 0), "total_sec") +
            number(json_array_get(samples, 1), "total_sec")) /
           2;
}

static void check_summary(const json_t *report) {
    const json_t *points = json_object_get(report, "points"), *point;
    size_t i;

    CU_ASSERT(json_is_true(json_object_get(report, "complete")));
    CU_ASSERT_EQUAL(json_array_size(points), POINTS);
    json_array_foreach(points, i, point) {
        double ranks = (double)(i % 4 + 1), total = mean_total(point);
        double base = mean_total(json_array_get(points, i / 4 * 4));

        CU_ASSERT_EQUAL(number(point, "ranks"), ranks);
        CU_ASSERT_EQUAL(json_array_size(json_object_get(point, "samples")), 2);
        CU_ASSERT_DOUBLE_EQUAL(number(json_object_get(point, "total_sec"), "median"), total, 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(number(point, "speedup"), base / total, 1e-9 * base / total);
        CU_ASSERT_DOUBLE_EQUAL(number(point, "efficiency"), base / total / ranks,
                               1e-9 * base / total);
    }
}

static void test_points_run_on_the_ranks_that_they_say(void) {
    attn_command_result result;
    csv file;
    json_t *report;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    attn_cli_write_text("m.yaml", "cores: 2\n");
    run(RANKS, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "parallel.machine=m.yaml"), 0, &result);
    file = read_csv("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + SAMPLES);
    CU_ASSERT_EQUAL(file.whole_bytes, file.all_bytes);
    for (int row = 1; row < file.rows; row++) check_sample(&file, row);
    CU_ASSERT(has_each_once(&file));
    report = json_load_file(attn_cli_path("b.json"), 0, NULL);
    check_summary(report);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "strong scaling"));
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "\nring      1     4     "));
    for (const char *line = result.out; *line != '\0'; line += strcspn(line, "\n") + 1)
        if (strncmp(line, "ring", 4) == 0 || strncmp(line, "gather", 6) == 0)
            CU_ASSERT(strcspn(line, "\n") <= 80);
    json_decref(report);
    free(file.bytes);
    attn_command_free(&result);
    attn_cli_end();
}

/* What no query needs does not travel, nor twice to a node with a gather: masks, layouts and
 * circulations send different amounts. */
static void test_bytes_are_predicted_whatever_is_sent(void) {
    double least = INFINITY, most = 0;
    csv file;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    setenv("ATTNSPAN_NODE_RANKS", "2", 1);
    run_quietly(
        RANKS, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1", "--set",
                              "sequence.length=900", "--set",
                              "bench.sweep={attention.mask: [none, {causal: true, window: [100, "
                              "0]}], parallel.layout: [contiguous, zigzag, striped, balanced], "
                              "parallel.circulate: [ring, gather, reduce], parallel.heads: [1, 2], "
                              "ranks: [4]}"));
    unsetenv("ATTNSPAN_NODE_RANKS");
    file = read_csv("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + 2 * 4 * 3 * 2);
    for (int row = 1; row < file.rows; row++) {
        double sent = value(&file, row, "bytes_sent_total");

        CU_ASSERT_EQUAL(value(&file, row, "bytes_predicted"), sent);
        CU_ASSERT(isnan(value(&file, row, "predicted_sec"))); /* no parallel.machine */
        least = fmin(least, sent);
        most = fmax(most, sent);
    }
    CU_ASSERT(0 < least && least < most);
    free(file.bytes);
    attn_cli_end();
}

static void test_json_lines_have_the_same_samples(void) {
    csv file, lines;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    run_quietly(3, ATTN_ARGUMENTS("bench", "b.yaml"));
    file = read_csv("s.csv");
    lines = read_csv("s.jsonl");
    CU_ASSERT_EQUAL(file.rows, 1 + SAMPLES / 4 * 3);
    CU_ASSERT_EQUAL(lines.rows, file.rows - 1 + POINTS / 4); /* 4 ranks are refused, once each */
    for (int i = 0, row = 1; i < lines.rows; i++) {
        json_t *json = json_loadb(lines.row[i], lines.row_bytes[i], 0, NULL);

        CU_ASSERT(json_is_object(json));
        CU_ASSERT_EQUAL(is_null(json, "refused"), number(json, "ranks") < 4);
        if (number(json, "ranks") == 4) {
            CU_ASSERT_STRING_EQUAL(text(json, "refused"),
                                   "needs 4 ranks, but there are 3; start mpirun -n 4");
            CU_ASSERT(is_null(json, "total_sec"));
        } else {
            CU_ASSERT_EQUAL(number(json, "point"), value(&file, row, "point"));
            CU_ASSERT_EQUAL(number(json, "repeat"), value(&file, row, "repeat"));
            CU_ASSERT_EQUAL(number(json, "total_sec"), value(&file, row, "total_sec"));
            CU_ASSERT_STRING_EQUAL(text(json, "set"), cell(&file, row, "set"));
            row++;
        }
        json_decref(json);
    }
    free(file.bytes);
    free(lines.bytes);
    attn_cli_end();
}

/* --- weak scaling ---------------------------------------------------------------- */

static void test_weak_scaling_keeps_the_rows_of_a_rank(void) {
    csv file;
    json_t *report;
    const json_t *points, *base;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    run_quietly(RANKS, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.mode=weak", "--set",
                                      "bench.sweep={ranks: [4, 2], sequence.length: [64, 90]}"));
    file = read_csv("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + 2 * 4);
    for (int row = 1; row < file.rows; row++) {
        int swept = strstr(cell(&file, row, "set"), "length=64") != NULL ? 64 : 90;
        int length = swept * (int)value(&file, row, "ranks") / 2;

        CU_ASSERT_STRING_EQUAL(cell(&file, row, "mode"), "weak");
        CU_ASSERT_EQUAL(value(&file, row, "length"), length);
        CU_ASSERT_EQUAL(value(&file, row, "kv_length"), length);
        CU_ASSERT_EQUAL(value(&file, row, "flops"), 2.0 * 32 * 3 * count_pairs(length));
    }
    report = json_load_file(attn_cli_path("b.json"), 0, NULL);
    points = json_object_get(report, "points");
    base = json_array_get(points, 2); /* 2 ranks, 64 rows each */
    for (size_t i = 0; i < 4; i += 2) {
        const json_t *point = json_array_get(points, i);
        double rate = number(point, "flops") / mean_total(point);
        double base_rate = number(base, "flops") / mean_total(base);

        CU_ASSERT_DOUBLE_EQUAL(number(point, "speedup"), rate / base_rate, 1e-9 * rate / base_rate);
        CU_ASSERT_DOUBLE_EQUAL(number(point, "efficiency"),
                               rate / base_rate * 2 / number(point, "ranks"),
                               1e-9 * rate / base_rate);
    }
    json_decref(report);
    free(file.bytes);
    attn_cli_end();
}

/* A cross length grows, too, when it is given; 2^48 rows are the most there are. */
static void test_weak_scaling_of_keys_and_of_too_many_rows(void) {
    csv file, lines;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    run_quietly(2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.mode=weak", "--set",
                                  "attention.mask=none", "--set", "sequence.kv_length=100", "--set",
                                  "bench.sweep={sequence.length: [8, 281474976710656], "
                                  "ranks: [1, 2]}"));
    file = read_csv("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + 2 * 2);
    for (int row = 1; row < file.rows; row++) {
        CU_ASSERT_EQUAL(value(&file, row, "length"), 8 * value(&file, row, "ranks"));
        CU_ASSERT_EQUAL(value(&file, row, "kv_length"), 100 * value(&file, row, "ranks"));
    }
    lines = read_csv("s.jsonl");
    CU_ASSERT_PTR_NOT_NULL(strstr(lines.bytes, "--set: sequence.length: is 562949953421312; must"));
    free(file.bytes);
    free(lines.bytes);
    attn_cli_end();
}

/* --- going on -------------------------------------------------------------------- */

/* Whether the files go on from where `before` was, with `rows` rows in all (0: more). */
static void expect_continued(const csv *before, int rows) {
    csv file = read_csv("s.csv");

    CU_ASSERT_EQUAL(file.whole_bytes, file.all_bytes);
    CU_ASSERT(file.whole_bytes >= before->whole_bytes);
    CU_ASSERT_EQUAL(memcmp(file.bytes, before->bytes, before->whole_bytes), 0);
    CU_ASSERT(rows == 0 ? file.rows > before->rows : file.rows == rows);
    CU_ASSERT(has_each_once(&file));
    free(file.bytes);
}

static void append(const char *name, const char *bytes) {
    FILE *file = fopen(attn_cli_path(name), "a");

    fputs(bytes, file);
    fclose(file);
}

static void test_a_sweep_that_failed_goes_on(void) {
    const attn_command_request failing = {
        .ranks = RANKS,
        .arguments = ATTN_ARGUMENTS("bench", "b.yaml"),
        .environment = (const char *const[]){"ATTNSPAN_INJECT=150:1", NULL},
        .folder = attn_cli_folder(),
        .limit_sec = 60};
    attn_command_result result;
    csv before;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    attn_command_run(&failing, &result);
    CU_ASSERT_EQUAL(result.exit_status, 3);
    CU_ASSERT(!result.timed_out);
    attn_command_free(&result);
    before = read_csv("s.csv");
    CU_ASSERT(before.rows > 2 && before.rows < 1 + SAMPLES);
    CU_ASSERT_EQUAL(before.whole_bytes, before.all_bytes);
    append("s.csv", "3,1,strong,\"half a li"); /* as a kill may leave it */
    append("s.jsonl", "{\"point\": 3");

    run(RANKS, ATTN_ARGUMENTS("bench", "b.yaml"), 0, &result);
    expect_continued(&before, 1 + SAMPLES);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "from before"));
    attn_command_free(&result);
    free(before.bytes);
    before = read_csv("s.jsonl");
    CU_ASSERT_EQUAL(before.rows, SAMPLES);
    free(before.bytes);
    attn_cli_end();
}

/* Points long enough that a second has dozens of samples, not hundreds. */
static void test_a_killed_sweep_goes_on(void) {
#define LONG_SWEEP                                                                              \
    "bench", "b.yaml", "--set", "bench.repeats=1000", "--set", "sequence.length=4096", "--set", \
        "attention.mask=none"
    attn_command_request killed = {.ranks = RANKS,
                                   .arguments = ATTN_ARGUMENTS(LONG_SWEEP),
                                   .folder = attn_cli_folder(),
                                   .limit_sec = 3};
    attn_command_result result;
    csv before = {0};

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    for (; before.rows < 2 && killed.limit_sec < 30; killed.limit_sec *= 2) { /* slow starts */
        free(before.bytes);
        attn_command_run(&killed, &result);
        CU_ASSERT(result.timed_out);
        attn_command_free(&result);
        before = read_csv("s.csv");
    }
    CU_ASSERT(before.rows >= 2 && before.rows < MOST_LINES);
    run(RANKS, ATTN_ARGUMENTS(LONG_SWEEP, "--set", "bench.budget_sec=1"), 0, &result);
    expect_continued(&before, 0);
    attn_command_free(&result);
    free(before.bytes);
    attn_cli_end();
#undef LONG_SWEEP
}

static void test_a_budget_keeps_what_is_there(void) {
    attn_command_result result;
    json_t *report;
    csv before;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    run(RANKS, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.budget_sec=0.02"), 0, &result);
    before = read_csv("s.csv");
    CU_ASSERT(before.rows > 1 && before.rows < 1 + SAMPLES);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "stopped: bench.budget_sec is used; "));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(result.out, " of 32 samples are there; the same command goes on"));
    report = json_load_file(attn_cli_path("b.json"), 0, NULL);
    CU_ASSERT(json_is_false(json_object_get(report, "complete")));
    json_decref(report);
    attn_command_free(&result);
    run_quietly(RANKS, ATTN_ARGUMENTS("bench", "b.yaml"));
    expect_continued(&before, 1 + SAMPLES);
    free(before.bytes);
    attn_cli_end();
}

/* Runs again, refused with that message; the samples stay what they were. */
static void expect_refusal(int ranks, const char *const *arguments, const char *message) {
    attn_command_result result;
    csv before = read_csv("s.csv"), after;
    char error[1024];

    run(ranks, arguments, 2, &result);
    CU_ASSERT_EQUAL(attn_command_errors(&result, error, sizeof error), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, message));
    if (strstr(error, message) == NULL) fprintf(stderr, "\n%s\n", error);
    after = read_csv("s.csv");
    CU_ASSERT_EQUAL(before.all_bytes, after.all_bytes);
    CU_ASSERT_EQUAL(memcmp(before.bytes, after.bytes, before.all_bytes), 0);
    free(before.bytes);
    free(after.bytes);
    attn_command_free(&result);
}

static void test_samples_of_another_sweep_are_refused(void) {
    csv file;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    run_quietly(2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1"));
    expect_refusal(2, ATTN_ARGUMENTS("bench", "b.yaml"),
                   "b.yaml:7:12: bench.samples: cannot go on: its samples are of another sweep, "
                   "where config.bench.repeats was 1 and not 2; name another file, or start over "
                   "with --set bench.resume=false");
    expect_refusal(3, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1"),
                   "where ranks was 2 and not 3");
    run_quietly(2,
                ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1")); /* nothing left */
    file = read_csv("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + SAMPLES / 4);
    free(file.bytes);
    run_quietly(2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.resume=false"));
    file = read_csv("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + SAMPLES / 2);
    free(file.bytes);
    remove(attn_cli_path("s.sweep.json"));
    expect_refusal(2, ATTN_ARGUMENTS("bench", "b.yaml"), "what its samples are of is missing");
    attn_cli_end();
}

static void test_lines_that_are_no_samples_are_refused(void) {
    const char *const arguments[] = {"bench", "b.yaml", NULL};
    csv file;
    char *line;

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    run_quietly(2, arguments);
    file = read_csv("s.csv");
    line = strndup(file.row[1], file.row_bytes[1] + 1);
    append("s.csv", "1,2,3\n");
    expect_refusal(2, arguments, "line 18 of the file is no sample");
    attn_scratch_write(attn_cli_path("s.csv"), file.bytes, file.all_bytes);
    append("s.csv", line);
    expect_refusal(2, arguments, "line 18 of the file is the second of one point and repeat");
    attn_scratch_write(attn_cli_path("s.csv"), file.bytes + 1, file.all_bytes - 1);
    expect_refusal(2, arguments, "line 1 of the file is not the header of samples");
    free(line);
    free(file.bytes);
    attn_cli_end();
}

/* Whichever rank fails, and wherever: all leave together, with one message. */
static void test_all_ranks_leave_together(void) {
    static const char *const boundaries[] = {"bench", "samples", "point",  "job",    "config",
                                             "plan",  "arrays",  "memory", "report", "probe"};

    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
    for (size_t i = 0; i < 2 * sizeof boundaries / sizeof *boundaries; i++) {
        char planted[64], error[1024], wanted[96];
        const attn_command_request request = {
            .ranks = RANKS,
            .arguments = ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.resume=false"),
            .environment = (const char *const[]){planted, NULL},
            .folder = attn_cli_folder()};
        attn_command_result result;
        int rank = i % 2 == 0 ? 0 : RANKS - 1;

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
        {"a sweep that failed goes on", test_a_sweep_that_failed_goes_on},
        {"a killed sweep goes on", test_a_killed_sweep_goes_on},
        {"a budget keeps what is there", test_a_budget_keeps_what_is_there},
        {"samples of another sweep are refused", test_samples_of_another_sweep_are_refused},
        {"all ranks leave together", test_all_ranks_leave_together},
        {"lines that are no samples are refused", test_lines_that_are_no_samples_are_refused},
    };
    return attn_test_main("cli.sweep", tests, ATTN_TEST_COUNT(tests));
}
