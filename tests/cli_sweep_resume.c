#define _POSIX_C_SOURCE 200809L

/* A sweep that was ended goes on where its samples end, and only where they are its own. */
#include "cli_sweep.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "scratch.h"
#include "swept.h"

/* Whether the files go on from where `before` was, with `rows` rows in all (0: more). */
static void expect_continued(const attn_swept_file *before, int rows) {
    attn_swept_file file = attn_swept_read("s.csv");

    CU_ASSERT_EQUAL(file.whole_bytes, file.all_bytes);
    CU_ASSERT(file.whole_bytes >= before->whole_bytes);
    CU_ASSERT_EQUAL(memcmp(file.bytes, before->bytes, before->whole_bytes), 0);
    CU_ASSERT(rows == 0 ? file.rows > before->rows : file.rows == rows);
    CU_ASSERT(attn_swept_has_each_once(&file));
    attn_swept_free(&file);
}

static void append(const char *name, const char *bytes) {
    FILE *file = fopen(attn_cli_path(name), "a");

    fputs(bytes, file);
    fclose(file);
}

void attn_test_a_sweep_that_failed_goes_on(void) {
    const attn_command_request failing = {
        .ranks = ATTN_SWEPT_RANKS,
        .arguments = ATTN_ARGUMENTS("bench", "b.yaml"),
        .environment = (const char *const[]){"ATTNSPAN_INJECT=150:1", NULL},
        .folder = attn_cli_folder(),
        .limit_sec = 60};
    attn_command_result result;
    attn_swept_file before;

    attn_swept_begin();
    attn_command_run(&failing, &result);
    CU_ASSERT_EQUAL(result.exit_status, 3);
    CU_ASSERT(!result.timed_out);
    attn_command_free(&result);
    before = attn_swept_read("s.csv");
    CU_ASSERT(before.rows > 2 && before.rows < 1 + ATTN_SWEPT_SAMPLES);
    CU_ASSERT_EQUAL(before.whole_bytes, before.all_bytes);
    append("s.csv", "3,1,strong,\"half a li"); /* as a kill may leave it */
    append("s.jsonl", "{\"point\": 3");

    attn_swept_run(ATTN_SWEPT_RANKS, ATTN_ARGUMENTS("bench", "b.yaml"), 0, &result);
    expect_continued(&before, 1 + ATTN_SWEPT_SAMPLES);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "from before"));
    attn_command_free(&result);
    attn_swept_free(&before);
    before = attn_swept_read("s.jsonl");
    CU_ASSERT_EQUAL(before.rows, ATTN_SWEPT_SAMPLES);
    attn_swept_free(&before);
    attn_cli_end();
}

/* Points long enough that a second has dozens of samples, not hundreds. */
void attn_test_a_killed_sweep_goes_on(void) {
#define LONG_SWEEP                                                                              \
    "bench", "b.yaml", "--set", "bench.repeats=1000", "--set", "sequence.length=4096", "--set", \
        "attention.mask=none"
    attn_command_request killed = {.ranks = ATTN_SWEPT_RANKS,
                                   .arguments = ATTN_ARGUMENTS(LONG_SWEEP),
                                   .folder = attn_cli_folder(),
                                   .limit_sec = 3};
    attn_command_result result;
    attn_swept_file before = {0};

    attn_swept_begin();
    for (; before.rows < 2 && killed.limit_sec < 30; killed.limit_sec *= 2) { /* slow starts */
        attn_swept_free(&before);
        attn_command_run(&killed, &result);
        CU_ASSERT(result.timed_out);
        attn_command_free(&result);
        before = attn_swept_read("s.csv");
    }
    CU_ASSERT(before.rows >= 2 && before.rows < ATTN_SWEPT_MOST_LINES);
    attn_swept_run(ATTN_SWEPT_RANKS, ATTN_ARGUMENTS(LONG_SWEEP, "--set", "bench.budget_sec=1"), 0,
                   &result);
    expect_continued(&before, 0);
    attn_command_free(&result);
    attn_swept_free(&before);
    attn_cli_end();
#undef LONG_SWEEP
}

void attn_test_a_budget_keeps_what_is_there(void) {
    attn_command_result result;
    json_t *report;
    attn_swept_file before;

    attn_swept_begin();
    attn_swept_run(ATTN_SWEPT_RANKS,
                   ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.budget_sec=0.02"), 0, &result);
    before = attn_swept_read("s.csv");
    CU_ASSERT(before.rows > 1 && before.rows < 1 + ATTN_SWEPT_SAMPLES);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "stopped: bench.budget_sec is used; "));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(result.out, " of 32 samples are there; the same command goes on"));
    report = json_load_file(attn_cli_path("b.json"), 0, NULL);
    CU_ASSERT(json_is_false(json_object_get(report, "complete")));
    json_decref(report);
    attn_command_free(&result);
    attn_swept_run_quietly(ATTN_SWEPT_RANKS, ATTN_ARGUMENTS("bench", "b.yaml"));
    expect_continued(&before, 1 + ATTN_SWEPT_SAMPLES);
    attn_swept_free(&before);
    attn_cli_end();
}

/* Runs again, refused with that message; the samples stay what they were. */
static void expect_refusal(int ranks, const char *const *arguments, const char *message) {
    attn_command_result result;
    attn_swept_file before = attn_swept_read("s.csv"), after;
    char error[1024];

    attn_swept_run(ranks, arguments, 2, &result);
    CU_ASSERT_EQUAL(attn_command_errors(&result, error, sizeof error), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, message));
    if (strstr(error, message) == NULL) fprintf(stderr, "\n%s\n", error);
    after = attn_swept_read("s.csv");
    CU_ASSERT_EQUAL(before.all_bytes, after.all_bytes);
    CU_ASSERT_EQUAL(memcmp(before.bytes, after.bytes, before.all_bytes), 0);
    attn_swept_free(&before);
    attn_swept_free(&after);
    attn_command_free(&result);
}

void attn_test_samples_of_another_sweep_are_refused(void) {
    attn_swept_file file;

    attn_swept_begin();
    attn_swept_run_quietly(2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1"));
    expect_refusal(2, ATTN_ARGUMENTS("bench", "b.yaml"),
                   "b.yaml:7:12: bench.samples: cannot go on: its samples are of another sweep, "
                   "where config.bench.repeats was 1 and not 2; name another file, or start over "
                   "with --set bench.resume=false");
    expect_refusal(3, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1"),
                   "where ranks was 2 and not 3");
    /* Nothing is left. */
    attn_swept_run_quietly(2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.repeats=1"));
    file = attn_swept_read("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + ATTN_SWEPT_SAMPLES / 4);
    attn_swept_free(&file);
    attn_swept_run_quietly(2, ATTN_ARGUMENTS("bench", "b.yaml", "--set", "bench.resume=false"));
    file = attn_swept_read("s.csv");
    CU_ASSERT_EQUAL(file.rows, 1 + ATTN_SWEPT_SAMPLES / 2);
    attn_swept_free(&file);
    remove(attn_cli_path("s.sweep.json"));
    expect_refusal(2, ATTN_ARGUMENTS("bench", "b.yaml"), "what its samples are of is missing");
    attn_cli_end();
}

void attn_test_lines_that_are_no_samples_are_refused(void) {
    const char *const arguments[] = {"bench", "b.yaml", NULL};
    attn_swept_file file;
    char *line;

    attn_swept_begin();
    attn_swept_run_quietly(2, arguments);
    file = attn_swept_read("s.csv");
    line = strndup(file.row[1], file.row_bytes[1] + 1);
    append("s.csv", "1,2,3\n");
    expect_refusal(2, arguments, "line 18 of the file is no sample");
    attn_scratch_write(attn_cli_path("s.csv"), file.bytes, file.all_bytes);
    append("s.csv", line);
    expect_refusal(2, arguments, "line 18 of the file is the second of one point and repeat");
    attn_scratch_write(attn_cli_path("s.csv"), file.bytes + 1, file.all_bytes - 1);
    expect_refusal(2, arguments, "line 1 of the file is not the header of samples");
    free(line);
    attn_swept_free(&file);
    attn_cli_end();
}
