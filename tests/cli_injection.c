/* A failure planted at each boundary where ranks agree (ATTNSPAN_INJECT=BOUNDARY:RANK):
 * whichever rank fails, all ranks leave together and soon, with one message that names
 * the boundary and the rank, with exit status 3, and without an output. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "scratch.h"
#include "synthetic.h"

enum { RANKS = 3, ROWS = 96, WIDTH = 32, MOST_ARGUMENTS = 8 };

/* Inputs for all three forms, with everything a run can do in the config. */
static void write_inputs(void) {
    static const char *const names[][2] = {{"W_Q.weight", "W_Q.bias"},
                                           {"W_K.weight", "W_K.bias"},
                                           {"W_V.weight", "W_V.bias"},
                                           {"W_O.weight", "W_O.bias"}};
    static float numbers[ROWS * WIDTH], bias[ROWS * ROWS];
    attn_cli_tensor tensors[8];

    attn_synthetic_fill(1, 0, 0, ROWS * WIDTH, 0.5f, numbers);
    for (int i = 0; i < 8; i++)
        tensors[i] = (attn_cli_tensor){names[i / 2][i % 2], WIDTH, i % 2 ? 0 : WIDTH, numbers};
    attn_cli_write_tensors(attn_cli_path("layer.safetensors"), tensors, 8);
    attn_cli_write_floats(attn_cli_path("bias.npy"), 3, (const int64_t[]){1, ROWS, ROWS}, bias);
    attn_cli_write_floats(attn_cli_path("x.npy"), 2, (const int64_t[]){ROWS, WIDTH}, numbers);
    attn_cli_write_floats(attn_cli_path("q.npy"), 3, (const int64_t[]){4, ROWS, WIDTH / 4},
                          numbers);
    attn_cli_write_text("layer.yaml",
                        "attention: {heads: 4, mask: {causal: true, bias: bias.npy}, alibi: true}\n"
                        "input: {x: x.npy, weights: {file: layer.safetensors}}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json, trace: t.json}\n"
                        "verify: {rows: 8}\n");
    attn_cli_write_text("qkv.yaml",
                        "attention: {heads: 4}\n"
                        "input: {q: q.npy, k: q.npy, v: q.npy}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n"
                        "verify: {rows: 8}\n");
    attn_cli_write_text("synthetic.yaml",
                        "attention: {heads: 4}\n"
                        "sequence: {length: 96}\n"
                        "input: {synthetic: {d_model: 32}}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n"
                        "verify: {rows: 8}\n");
}

/* One boundary on one rank. y and lse are whole by the time of the report. */
static void plant(const char *const *arguments, const char *boundary, int rank, int files_left) {
    char planted[64], wanted[96], message[1024];
    const char *environment[] = {planted, NULL};
    const attn_command_request request = {.ranks = RANKS,
                                          .arguments = arguments,
                                          .environment = environment,
                                          .folder = attn_cli_folder(),
                                          .limit_sec = 60}; /* info measures, slowly when checked */
    attn_command_result result;
    int before = attn_cli_files_below(attn_cli_folder()), errors, held;

    snprintf(planted, sizeof planted, "ATTNSPAN_INJECT=%s:%d", boundary, rank);
    snprintf(wanted, sizeof wanted, "%s: failure injected on rank %d", boundary, rank);
    attn_command_run(&request, &result);
    errors = attn_command_errors(&result, message, sizeof message);
    held = !result.timed_out && result.exit_status == 3 && errors == 1 &&
           strcmp(message, wanted) == 0 &&
           attn_cli_files_below(attn_cli_folder()) == before + files_left;
    CU_ASSERT(held);
    if (!held)
        fprintf(stderr,
                "\n%s, %s: exit status %d after %.1f s, %d messages, %d files more; stderr:\n%s\n",
                arguments[0], planted, result.exit_status, result.seconds, errors,
                attn_cli_files_below(attn_cli_folder()) - before, result.err);
    if (files_left > 0) attn_scratch_remove(attn_cli_path("out"));
    attn_command_free(&result);
}

typedef struct boundary_row {
    const char *name;
    int files_left; /* behind a run */
} boundary_row;

static void plant_all(const char *const *arguments, const boundary_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        plant(arguments, rows[i].name, 0, rows[i].files_left);
        plant(arguments, rows[i].name, RANKS - 1, rows[i].files_left);
    }
}

/* What stands in the folder `out` after a failure: files of the final names, whole, and
 * no others. Outputs are written one after the other, so a late failure keeps the first. */
static int only_whole_outputs(void) {
    static const char *const names[] = {"y.npy", "lse.npy", "report.json", "t.json"};
    int found = 0;

    for (int i = 0; i < 4; i++) {
        char out[32], whole[32];
        snprintf(out, sizeof out, "out/%s", names[i]);
        snprintf(whole, sizeof whole, "whole/%s", names[i]);
        if (attn_cli_files_below(attn_cli_path(out)) == 0) continue;
        found++;
        if (i < 2 && !attn_cli_same_files(attn_cli_path(out), attn_cli_path(whole))) return 0;
    }
    return attn_cli_files_below(attn_cli_path("out")) == found;
}

/* One run with a failure at the `nth` agreement of a rank; notes the boundary's word.
 * False when the run has fewer and succeeded. */
static int plant_nth(int nth, int rank, const boundary_row *rows, int *seen, size_t count) {
    static const char *const arguments[] = {"run", "layer.yaml", "--output-dir", "out", NULL};
    char planted[64], wanted[64], message[1024];
    const char *environment[] = {planted, NULL};
    const attn_command_request request = {.ranks = RANKS,
                                          .arguments = arguments,
                                          .environment = environment,
                                          .folder = attn_cli_folder()};
    attn_command_result result;
    int failed, held, errors;

    snprintf(planted, sizeof planted, "ATTNSPAN_INJECT=%d:%d", nth, rank);
    snprintf(wanted, sizeof wanted, ": failure injected on rank %d", rank);
    attn_command_run(&request, &result);
    failed = result.exit_status != 0;
    errors = attn_command_errors(&result, message, sizeof message);
    held = !result.timed_out && only_whole_outputs() &&
           (!failed || (result.exit_status == 3 && errors == 1 && strstr(message, wanted) != NULL));
    CU_ASSERT(held);
    if (!held)
        fprintf(stderr, "\n%s: exit status %d after %.1f s; stderr:\n%s\n", planted,
                result.exit_status, result.seconds, result.err);
    for (size_t i = 0; i < count && failed; i++)
        if (strncmp(message, rows[i].name, strcspn(message, ":")) == 0 &&
            rows[i].name[strcspn(message, ":")] == '\0')
            seen[i] = 1;
    if (access(attn_cli_path("out"), F_OK) == 0) attn_scratch_remove(attn_cli_path("out"));
    attn_command_free(&result);
    return failed;
}

/* Every agreement of a run in turn, until there is none left to fail at; the words that
 * runtime/ agrees on must all come by. Under sanitizers on the last rank alone. */
static void a_run_fails_closed_at_each_agreement(void) {
    static const char *const whole[] = {"run", "layer.yaml", "--output-dir", "whole", NULL};
    static const boundary_row rows[] = {
        {"cmdline", 0}, {"job", 0},      {"config", 0},  {"inputs", 0}, {"create", 0},
        {"mesh", 0},    {"choose", 0},   {"plan", 0},    {"memory", 0}, {"reach", 0},
        {"attend", 0},  {"allocate", 0}, {"output", 0},  {"arrays", 0}, {"open", 0},
        {"load", 0},    {"weights", 0},  {"compute", 0}, {"verify", 0}, {"write", 0},
        {"report", 0},  {"mask", 0},     {"terms", 0},   {"trace", 0},
    };
    enum { ROWS_COUNT = sizeof rows / sizeof *rows, MOST_AGREEMENTS = 200 };
    const attn_command_request request = {
        .ranks = RANKS, .arguments = whole, .folder = attn_cli_folder()};
    const int ranks[] = {RANKS - 1, 0};

    CU_ASSERT(attn_command_succeeds(&request));
    for (int i = 0; i < (ATTN_SANITIZED ? 1 : 2); i++) {
        int seen[ROWS_COUNT] = {0}, nth = 1;

        while (nth < MOST_AGREEMENTS && plant_nth(nth, ranks[i], rows, seen, ROWS_COUNT)) nth++;
        CU_ASSERT(nth > ROWS_COUNT && nth < MOST_AGREEMENTS);
        for (int row = 0; row < ROWS_COUNT; row++) {
            CU_ASSERT(seen[row]);
            if (!seen[row]) fprintf(stderr, "\nnever came by: %s\n", rows[row].name);
        }
    }
}

/* The other input forms share most of the way: what differs is loading. */
static void other_inputs_fail_closed(void) {
    static const char *const qkv[] = {"run", "qkv.yaml", "--output-dir", "out", NULL};
    static const char *const synthetic[] = {"run", "synthetic.yaml", "--output-dir", "out", NULL};
    static const char *const shared[] = {
        "run", "synthetic.yaml", "--output-dir",
        "out", "--set",          "parallel={heads: 1, circulate: gather}",
        NULL};
    static const boundary_row rows[] = {{"open", 0}, {"load", 0}};

    plant_all(qkv, rows, sizeof rows / sizeof *rows);
    plant(synthetic, "arrays", RANKS - 1, 0);
    plant(synthetic, "verify", RANKS - 1, 0);
    plant(shared, "share", RANKS - 1, 0);
}

static void a_check_fails_closed(void) {
    static const char *const arguments[] = {"check", "layer.yaml", "--output-dir", "out", NULL};
    static const boundary_row rows[] = {
        {"job", 0},  {"config", 0}, {"inputs", 0}, {"allocate", 0},
        {"open", 0}, {"load", 0},   {"output", 0},
    };

    plant_all(arguments, rows, sizeof rows / sizeof *rows);
}

static void info_fails_closed(void) {
    static const char *const arguments[] = {"info", NULL};

    plant(arguments, "cmdline", RANKS - 1, 0);
    plant(arguments, "info", 0, 0);
}

/* Nothing that is there already may suffer from a run that fails late. */
static void earlier_outputs_outlive_a_failed_run(void) {
    static const char *const arguments[] = {"run", "layer.yaml", "--output-dir", "out", NULL};
    static const char *const names[] = {"out/y.npy", "out/lse.npy", "out/report.json",
                                        "out/t.json"};
    static const char *const late[] = {"output", "load", "verify", "write"};

    mkdir(attn_cli_path("out"), 0777);
    for (int i = 0; i < 4; i++) attn_cli_write_text(names[i], names[i]);
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) plant(arguments, late[i], 1, 0);
    for (int i = 0; i < 4; i++) CU_ASSERT(attn_cli_holds_text(names[i], names[i]));
    attn_scratch_remove(attn_cli_path("out"));
}

int main(void) {
    static const attn_test tests[] = {
        {"a run fails closed at each agreement", a_run_fails_closed_at_each_agreement},
        {"other inputs fail closed", other_inputs_fail_closed},
        {"a check fails closed", a_check_fails_closed},
        {"info fails closed", info_fails_closed},
        {"earlier outputs outlive a failed run", earlier_outputs_outlive_a_failed_run},
    };
    int failed;

    attn_cli_begin();
    write_inputs();
    failed = attn_test_main("injection", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
