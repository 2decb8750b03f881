/* The command as its users meet it: help, the quickstart, where files go and what becomes
 * of those that are there, a report as a config, progress. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "scratch.h"

static const char quickstart[] = ATTN_SOURCE_DIR "/configs/quickstart.yaml";

static const char small_config[] =
    "attention: {heads: 4, mask: causal}\n"
    "sequence: {length: 100}\n"
    "input: {synthetic: {seed: 1, d_model: 32}}\n"
    "output: {y: y.npy}\n";

static void run(int ranks, const char *const *arguments, const char *const *environment,
                attn_command_result *result) {
    const attn_command_request request = {.ranks = ranks,
                                          .arguments = arguments,
                                          .environment = environment,
                                          .folder = attn_cli_folder(),
                                          .limit_sec = 60};

    attn_command_run(&request, result);
}

/* A run that must succeed. */
static void must_run(int ranks, const char *const *arguments, const char *const *environment) {
    const attn_command_request request = {.ranks = ranks,
                                          .arguments = arguments,
                                          .environment = environment,
                                          .folder = attn_cli_folder()};

    CU_ASSERT(attn_command_succeeds(&request));
}

static int has(const char *text, const char *part) {
    return strstr(text, part) != NULL;
}

/* --- saying what it is ---------------------------------------------------------------- */

static void help_and_version_are_said_once(void) {
    attn_command_result result;

    for (int ranks = 0; ranks <= 3; ranks += 3) {
        run(ranks, ATTN_ARGUMENTS("--version"), NULL, &result);
        CU_ASSERT_EQUAL(result.exit_status, 0);
        CU_ASSERT(strncmp(result.out, "attnspan ", 9) == 0);
        CU_ASSERT_EQUAL(strcspn(result.out, "\n") + 1, strlen(result.out));
        attn_command_free(&result);
    }
    run(2, ATTN_ARGUMENTS("--help"), NULL, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    CU_ASSERT(has(result.out, "attnspan run") && has(result.out, "attnspan check") &&
              has(result.out, "attnspan info") && has(result.out, "--set a.b=value") &&
              has(result.out, "Exit status: 0 done"));
    attn_command_free(&result);
    run(0, ATTN_ARGUMENTS("check", "-h"), NULL, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    CU_ASSERT(has(result.out, "attnspan check") && !has(result.out, "attnspan run"));
    attn_command_free(&result);
}

static void info_measures_this_machine(void) {
    attn_command_result result;

    run(0, ATTN_ARGUMENTS("info"), NULL, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    CU_ASSERT(has(result.out, "generic") && has(result.out, "OpenBLAS") &&
              has(result.out, "Open MPI") && has(result.out, "GFLOP/s"));
    attn_command_free(&result);
}

/* --- the quickstart -------------------------------------------------------------------- */

/* Reads a result and what it should be, of the same shape. */
static int64_t read_both(const char *actual_path, const char *expected_path, float **actual,
                         float **expected) {
    int64_t actual_shape[ATTN_MAX_DIMS], expected_shape[ATTN_MAX_DIMS], elems = 0, wanted = -1;
    int32_t actual_dims = 0, expected_dims = -1;

    *actual = attn_cli_read_floats(actual_path, &actual_dims, actual_shape, &elems);
    *expected = attn_cli_read_floats(expected_path, &expected_dims, expected_shape, &wanted);
    if (*actual == NULL || *expected == NULL || actual_dims != expected_dims || elems != wanted ||
        memcmp(actual_shape, expected_shape, (size_t)actual_dims * sizeof *actual_shape) != 0)
        return 0;
    return elems;
}

/* The errors that the sample promises; the expected y was computed in fp64. */
static void the_quickstart_computes_the_sample(void) {
    const double most_allowed = 4.0e-5, rms_allowed = 2.2e-6, lse_allowed = 2.0e-5;
    double most = 0, error_squares = 0, squares = 0, most_lse = 0, rms;
    float *actual, *expected;
    int64_t elems;

    must_run(4, ATTN_ARGUMENTS("run", quickstart, "--output-dir", "first"), NULL);
    elems = read_both(attn_cli_path("first/out/quickstart/y.npy"),
                      ATTN_SOURCE_DIR "/sample/expected_y.npy", &actual, &expected);
    CU_ASSERT(elems > 0);
    for (int64_t i = 0; i < elems; i++) {
        double error = (double)actual[i] - (double)expected[i];
        most = attn_larger_error(most, fabs(error));
        error_squares += error * error;
        squares += (double)expected[i] * (double)expected[i];
    }
    rms = sqrt(squares / (double)elems);
    CU_ASSERT(most <= most_allowed * rms);
    CU_ASSERT(sqrt(error_squares / (double)elems) <= rms_allowed * rms);
    free(actual);
    free(expected);

    elems = read_both(attn_cli_path("first/out/quickstart/lse.npy"),
                      ATTN_SOURCE_DIR "/sample/expected_lse.npy", &actual, &expected);
    CU_ASSERT(elems > 0);
    for (int64_t i = 0; i < elems; i++)
        most_lse = attn_larger_error(most_lse, fabs((double)actual[i] - (double)expected[i]) /
                                                   fmax(1, fabs((double)expected[i])));
    CU_ASSERT(most_lse <= lse_allowed);
    free(actual);
    free(expected);
}

/* These compare with the files of the first run. */
static void compare_quickstart(const char *output) {
    char y[64], lse[64];

    snprintf(y, sizeof y, "%s/out/quickstart/y.npy", output);
    snprintf(lse, sizeof lse, "%s/out/quickstart/lse.npy", output);
    CU_ASSERT(attn_cli_same_files(attn_cli_path(y), attn_cli_path("first/out/quickstart/y.npy")));
    CU_ASSERT(
        attn_cli_same_files(attn_cli_path(lse), attn_cli_path("first/out/quickstart/lse.npy")));
}

static void mpirun_is_not_needed(void) {
    must_run(0,
             ATTN_ARGUMENTS("run", quickstart, "--output-dir", "alone", "--set",
                            "parallel={heads: 1, sequence: 1}"),
             NULL);
    compare_quickstart("alone");
}

static void messages_in_small_pieces_give_the_same_bytes(void) {
    must_run(4, ATTN_ARGUMENTS("run", quickstart, "--output-dir", "pieces"),
             ATTN_ARGUMENTS("ATTNSPAN_MAX_TRANSFER_BYTES=4096"));
    compare_quickstart("pieces");
}

/* Also from another folder than the config's, and all of it: paths in a report are whole. */
static void a_report_runs_again_to_the_same_bytes(void) {
    json_t *first, *second;

    must_run(4, ATTN_ARGUMENTS("run", quickstart, "--output-dir", "again"), NULL);
    first = json_load_file(attn_cli_path("again/out/quickstart/report.json"), 0, NULL);
    CU_ASSERT_EQUAL(
        rename(attn_cli_path("again/out/quickstart/report.json"), attn_cli_path("config.json")), 0);
    CU_ASSERT_EQUAL(remove(attn_cli_path("again/out/quickstart/y.npy")), 0);
    CU_ASSERT_EQUAL(remove(attn_cli_path("again/out/quickstart/lse.npy")), 0);
    must_run(4, ATTN_ARGUMENTS("run", "config.json", "--output-dir", "elsewhere"), NULL);
    compare_quickstart("again");
    second = json_load_file(attn_cli_path("again/out/quickstart/report.json"), 0, NULL);
    CU_ASSERT(json_object_get(first, "config") != NULL);
    CU_ASSERT(json_equal(json_object_get(first, "config"), json_object_get(second, "config")));
    json_decref(second);
    json_decref(first);
}

static void check_says_for_which_ranks_and_leaves_nothing(void) {
    attn_command_result result;

    run(0, ATTN_ARGUMENTS("check", quickstart, "--output-dir", "checked"), NULL, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    CU_ASSERT(has(result.out, "fine for mpirun -n 4 (2 head groups x 2 sequence shards)"));
    CU_ASSERT(has(result.out, "layout zigzag, imbalance 1.0000"));
    CU_ASSERT(has(result.out, "N 1024, N_kv 1024, B 1, H 4, H_kv 4, d_k 64, d_v 64, d_model 256"));
    CU_ASSERT_EQUAL(attn_cli_files_below(attn_cli_path("checked")), 0);
    attn_command_free(&result);
}

/* --- where files go --------------------------------------------------------------------- */

static void outputs_start_at_the_working_folder(void) {
    attn_cli_write_text("small.yaml", small_config);
    must_run(0, ATTN_ARGUMENTS("run", "small.yaml", "--set", "output.y=here/deep/y.npy"), NULL);
    must_run(0,
             ATTN_ARGUMENTS("run", "small.yaml", "--output-dir", "there", "--set",
                            "output.y=deep/y.npy"),
             NULL);
    CU_ASSERT(
        attn_cli_same_files(attn_cli_path("here/deep/y.npy"), attn_cli_path("there/deep/y.npy")));
    CU_ASSERT_EQUAL(attn_cli_files_below(attn_cli_path("here")), 1);
    CU_ASSERT_EQUAL(attn_cli_files_below(attn_cli_path("there")), 1);
}

static void the_last_set_wins(void) {
    int32_t dims = 0;
    int64_t shape[ATTN_MAX_DIMS] = {0}, elems;
    float *y;

    attn_cli_write_text("small.yaml", small_config);
    must_run(2,
             ATTN_ARGUMENTS("run", "--set", "sequence.length=70", "small.yaml",
                            "--set=sequence.length=60", "--set", "sequence.batch=2",
                            "--output-dir=sets"),
             NULL);
    y = attn_cli_read_floats(attn_cli_path("sets/y.npy"), &dims, shape, &elems);
    CU_ASSERT(y != NULL && dims == 3 && shape[0] == 2 && shape[1] == 60 && shape[2] == 32);
    free(y);
}

static void an_old_result_stays_until_a_run_succeeds(void) {
    size_t fresh_bytes, bytes;
    char *fresh, *got;
    char longer[16384];

    attn_cli_write_text("small.yaml", small_config);
    must_run(3, ATTN_ARGUMENTS("run", "small.yaml", "--output-dir", "fresh"), NULL);
    fresh = attn_scratch_read(attn_cli_path("fresh/y.npy"), &fresh_bytes);
    memset(longer, 'o', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    CU_ASSERT(fresh_bytes > 0 && fresh_bytes < sizeof longer - 1);

    attn_cli_write_text("fresh/y.npy", longer);
    for (int ranks = 0; ranks <= 3; ranks += 3) {
        attn_command_result result;
        run(ranks,
            ATTN_ARGUMENTS("run", "small.yaml", "--output-dir", "fresh", "--set",
                           "verify={rows: 5, tolerance: 1.0e-15}"),
            NULL, &result);
        CU_ASSERT_EQUAL(result.exit_status, 4);
        CU_ASSERT(attn_cli_holds_text("fresh/y.npy", longer));
        attn_command_free(&result);
    }
    must_run(3, ATTN_ARGUMENTS("run", "small.yaml", "--output-dir", "fresh"), NULL);
    got = attn_scratch_read(attn_cli_path("fresh/y.npy"), &bytes);
    CU_ASSERT(got != NULL && fresh != NULL && bytes == fresh_bytes &&
              memcmp(got, fresh, bytes) == 0);
    CU_ASSERT_EQUAL(attn_cli_files_below(attn_cli_path("fresh")), 1);
    free(got);
    free(fresh);
}

/* --- progress ------------------------------------------------------------------------------ */

/* Attention over that many heads on one rank; returns the seconds of the run. */
static double attend_long(int heads, const char *const *environment, attn_command_result *result) {
    char set[64];
    json_t *report;
    double seconds;

    snprintf(set, sizeof set, "attention.heads=%d", heads);
    run(0, ATTN_ARGUMENTS("run", "long.yaml", "--set", set), environment, result);
    report = json_load_file(attn_cli_path("long.json"), 0, NULL);
    seconds = json_number_value(
        json_object_get(json_object_get(json_object_get(report, "phases"), "total"), "max"));
    json_decref(report);
    CU_ASSERT(result->exit_status == 0 && seconds > 0);
    return seconds;
}

/* How long a problem takes is up to the machine: the number of heads follows it. */
static void progress_is_shown_for_long_work_alone(void) {
    const double wanted_sec = 3.5, enough_sec = 2.7;
    const char *const *shown = ATTN_ARGUMENTS("ATTNSPAN_PROGRESS=1");
    attn_command_result result;
    int heads = 4;
    double seconds;

    attn_cli_write_text("long.yaml",
                        "attention: {heads: 1, head_dim: 64}\n"
                        "sequence: {length: 2048}\n"
                        "parallel: {threads: 1}\n"
                        "compute: {kernel: generic}\n"
                        "input: {synthetic: {tensors: qkv}}\n"
                        "output: {report: long.json}\n");
    seconds = attend_long(heads, shown, &result);
    for (int tries = 0; tries < 5 && result.exit_status == 0 && seconds < enough_sec; tries++) {
        CU_ASSERT(seconds > 1.5 || !has(result.err, "attention "));
        attn_command_free(&result);
        heads = (int)(heads * wanted_sec / seconds) + 1;
        seconds = attend_long(heads, shown, &result);
    }
    CU_ASSERT(seconds >= enough_sec);
    CU_ASSERT(has(result.err, "\rattention ") && has(result.err, " %, ") &&
              has(result.err, " s left"));
    CU_ASSERT(has(result.err, "\r\033[K")); /* wiped at the end */
    attn_command_free(&result);
}

int main(void) {
    static const attn_test tests[] = {
        {"help and version are said once", help_and_version_are_said_once},
        {"info measures this machine", info_measures_this_machine},
        {"the quickstart computes the sample", the_quickstart_computes_the_sample},
        {"mpirun is not needed", mpirun_is_not_needed},
        {"messages in small pieces give the same bytes",
         messages_in_small_pieces_give_the_same_bytes},
        {"a report runs again to the same bytes", a_report_runs_again_to_the_same_bytes},
        {"check says for which ranks and leaves nothing",
         check_says_for_which_ranks_and_leaves_nothing},
        {"outputs start at the working folder", outputs_start_at_the_working_folder},
        {"the last --set wins", the_last_set_wins},
        {"an old result stays until a run succeeds", an_old_result_stays_until_a_run_succeeds},
        {"progress is shown for long work alone", progress_is_shown_for_long_work_alone},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("run", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
