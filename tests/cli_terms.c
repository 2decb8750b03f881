/* Softcap, ALiBi, biases and sinks, as a user asks for them: held against PyTorch's results
 * (tests/golden/terms.py), on one rank and on several. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "scratch.h"

#define GOLDEN    ATTN_SOURCE_DIR "/tests/golden/terms.safetensors#"
#define INPUT     "input: {q: \"" GOLDEN "q\", k: \"" GOLDEN "k\", v: \"" GOLDEN "v\"}\n"
#define OUTPUT    "output: {y: y.npy, lse: lse.npy, report: report.json}\n"
#define VERIFY    "verify: {rows: 64, tolerance: 1.0e-5}\n"
#define ATTENTION "attention: {heads: 6, kv_heads: 2, "

static void run(int ranks, const char *config, const char *output, const char *set,
                const char *line) {
    const attn_command_request request = {
        .ranks = ranks,
        .arguments = ATTN_ARGUMENTS("run", config, "--output-dir", output, "--set", set),
        .folder = attn_cli_folder(),
    };
    attn_command_result result;

    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    if (result.exit_status != 0) fprintf(stderr, "\n%s: %s\n", config, result.err);
    CU_ASSERT(strstr(result.out, line) != NULL);
    attn_command_free(&result);
}

static void expect_same_outputs(const char *left, const char *right) {
    static const char *const names[] = {"y.npy", "lse.npy"};

    for (int i = 0; i < 2; i++) {
        char paths[2][128];

        snprintf(paths[0], sizeof paths[0], "%s/%s", left, names[i]);
        snprintf(paths[1], sizeof paths[1], "%s/%s", right, names[i]);
        CU_ASSERT(attn_cli_same_files(attn_cli_path(paths[0]), attn_cli_path(paths[1])));
    }
}

/* Largest difference of an output of one rank from a tensor of the golden file, over the RMS of
 * that. */
static double error_over_rms(const char *output, const char *expected_name) {
    char reference[512];
    int64_t elems = 0, expected_elems = 0;
    float *actual = attn_cli_read_floats(attn_cli_path(output), NULL, NULL, &elems);
    float *expected;
    double most = 0, squares = 0;

    snprintf(reference, sizeof reference, GOLDEN "%s", expected_name);
    expected = attn_cli_read_floats(reference, NULL, NULL, &expected_elems);
    CU_ASSERT(actual != NULL && expected != NULL && elems == expected_elems && elems > 0);
    for (int64_t i = 0; actual != NULL && expected != NULL && i < elems && i < expected_elems;
         i++) {
        const double error = fabs((double)actual[i] - (double)expected[i]);

        most = attn_larger_error(most, error);
        squares += (double)expected[i] * (double)expected[i];
    }
    free(expected);
    free(actual);
    return most / sqrt(squares / (double)expected_elems);
}

static void terms_are_those_of_torch(void) {
    static const struct {
        const char *expected, *text;
        const char *line; /* of the table */
    } cases[] = {
        {"softcap", ATTENTION "softcap: 5}\n", "scores with softcap 5\n"},
        {"published", ATTENTION "mask: causal, alibi: true}\n", "scores with ALiBi\n"},
        {"sloped", ATTENTION "alibi: {slopes: \"" GOLDEN "slopes\"}}\n", "scores with ALiBi\n"},
        {"biased", ATTENTION "mask: {bias: \"" GOLDEN "bias\"}}\n",
         "scores with a bias for each head\n"},
        {"one_biased", ATTENTION "mask: {causal: true, bias: \"" GOLDEN "one_bias\"}}\n",
         "scores with a bias for all heads\n"},
        {"sunk", ATTENTION "mask: causal, sinks: \"" GOLDEN "sinks\"}\n", "scores with sinks\n"},
        {"all",
         ATTENTION "mask: {causal: true, bias: \"" GOLDEN "bias\"}, softcap: 3, alibi: true,\n"
                   "  sinks: \"" GOLDEN "sinks\"}\n",
         "scores with softcap 3, ALiBi, a bias for each head, sinks\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048], lse[64];

        snprintf(text, sizeof text, "%s" INPUT OUTPUT VERIFY, cases[i].text);
        snprintf(lse, sizeof lse, "%s_lse", cases[i].expected);
        attn_cli_write_text("golden.yaml", text);
        run(0, "golden.yaml", "one", "parallel.heads=auto", cases[i].line);
        CU_ASSERT(error_over_rms("one/y.npy", cases[i].expected) <= 2e-6);
        CU_ASSERT(error_over_rms("one/lse.npy", lse) <= 1e-6);
        run(4, "golden.yaml", "four", "parallel.heads=2", cases[i].line);
        expect_same_outputs("one", "four");
        run(3, "golden.yaml", "three", "parallel={heads: 1, circulate: gather}", cases[i].line);
        expect_same_outputs("one", "three");
        run(4, "four/report.json", "again", "output={y: y.npy, lse: lse.npy}", cases[i].line);
        expect_same_outputs("one", "again");
    }
}

/* A layer made on the fly, with a batch: verified in fp64, also where a query sees no key. */
static void layers_take_them_too(void) {
    static float bias[70 * 90];
    static const char text[] =
        "attention: {heads: 4, kv_heads: 2, mask: {window: [9, 20], first: 3, bias: wide.npy,\n"
        "  key_lengths: [64, 0, 37]}, softcap: 8, alibi: {slopes: [0.5, 0.1, 0, 0.01]},\n"
        "  sinks: [1, -2, 0, 0.5]}\n"
        "sequence: {length: 70, kv_length: 90, batch: 3}\n"
        "input: {synthetic: {d_model: 48, d_memory: 33}}\nverify: {rows: 30}\n" OUTPUT;

    for (int i = 0; i < 70 * 90; i++)
        bias[i] = i % 7 == 0 ? -INFINITY : (float)(i * 37 % 64) / 32 - 1;
    attn_cli_write_floats(attn_cli_path("wide.npy"), 3, (const int64_t[]){1, 70, 90}, bias);
    attn_cli_write_text("made.yaml", text);
    run(0, "made.yaml", "one", "verify.rows=1000", "verify     passed");
    run(5, "made.yaml", "five", "verify.rows=20", "verify     passed");
    expect_same_outputs("one", "five");
    run(2, "made.yaml", "bf16", "compute={dtype: bf16}", "verify     passed");
}

int main(void) {
    static const attn_test tests[] = {
        {"terms are those of PyTorch", terms_are_those_of_torch},
        {"layers take them too", layers_take_them_too},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("terms", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
