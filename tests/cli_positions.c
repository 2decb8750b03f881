/* Rotation by position, the norm of q and k, and cross-attention, as a user asks for them: held
 * against PyTorch's results (tests/golden/positions.py), on one rank and on several. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "scratch.h"

#define GOLDEN     ATTN_SOURCE_DIR "/tests/golden/"
#define SELF_FILE  GOLDEN "positions_self.safetensors"
#define CROSS_FILE GOLDEN "positions_cross.safetensors"
#define SELF_INPUT "input: {x: \"" SELF_FILE "#x\", weights: {file: \"" SELF_FILE "\"}}\n"
#define CROSS_INPUT                                          \
    "input: {x: \"" CROSS_FILE "#x\", memory: \"" CROSS_FILE \
    "#memory\", weights: "                                   \
    "{file: \"" CROSS_FILE "\"}}\n"
#define OUTPUT "output: {y: y.npy, lse: lse.npy, report: report.json}\n"
#define VERIFY "verify: {rows: 64, tolerance: 1.0e-5}\n"

static void run(int ranks, const char *config, const char *output, const char *set) {
    const attn_command_request request = {
        .ranks = ranks,
        .arguments = ATTN_ARGUMENTS("run", config, "--output-dir", output, "--set", set),
        .folder = attn_cli_folder(),
    };

    CU_ASSERT(attn_command_succeeds(&request));
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

/* Largest difference of one/y.npy from a tensor of the golden file, over the RMS of that. */
static double error_over_rms(const char *expected_reference) {
    int64_t elems = 0, expected_elems = 0;
    float *y = attn_cli_read_floats(attn_cli_path("one/y.npy"), NULL, NULL, &elems);
    float *expected = attn_cli_read_floats(expected_reference, NULL, NULL, &expected_elems);
    double most = 0, squares = 0;

    CU_ASSERT(y != NULL && expected != NULL && elems == expected_elems && elems > 0);
    for (int64_t i = 0; y != NULL && expected != NULL && i < elems && i < expected_elems; i++) {
        most = attn_larger_error(most, fabs((double)y[i] - (double)expected[i]));
        squares += (double)expected[i] * (double)expected[i];
    }
    free(expected);
    free(y);
    return most / sqrt(squares / (double)expected_elems);
}

typedef struct golden_case {
    const char *expected; /* FILE#TENSOR */
    const char *text;
} golden_case;

static void compare(const golden_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        attn_cli_write_text("golden.yaml", cases[i].text);
        run(0, "golden.yaml", "one", "parallel.heads=auto");
        CU_ASSERT(error_over_rms(cases[i].expected) <= 2e-6);
        run(4, "golden.yaml", "four", "parallel.heads=2");
        expect_same_outputs("one", "four");
        run(3, "golden.yaml", "three", "parallel={heads: 1, circulate: gather}");
        expect_same_outputs("one", "three");
        run(4, "four/report.json", "again", "output={y: y.npy, lse: lse.npy}");
        expect_same_outputs("one", "again");
    }
}

static void rotated_and_normed_layers_are_those_of_torch(void) {
#define ATTENTION "attention: {heads: 4, kv_heads: 2, mask: causal, qk_norm: {eps: 1.0e-5}"
    static const golden_case cases[] = {
        {SELF_FILE "#normed", ATTENTION "}\n" SELF_INPUT OUTPUT VERIFY},
        {SELF_FILE "#half", ATTENTION ", rope: {}}\n" SELF_INPUT OUTPUT VERIFY},
        {SELF_FILE "#linear", ATTENTION
         ", rope: {dim: 12, scaling: {kind: linear, factor: 2.5}}}\n" SELF_INPUT OUTPUT VERIFY},
        {SELF_FILE "#ntk",
         ATTENTION
         ", rope: {pairing: interleaved, dim: 8, scaling: {kind: ntk, factor: 4.0}}}\n"  //
         SELF_INPUT OUTPUT VERIFY},
        {SELF_FILE "#yarn",
         ATTENTION ", rope: {theta: 30.0, scaling: {kind: yarn, factor: 4.0, original_length: 40}}}"
                   "\n" SELF_INPUT OUTPUT VERIFY},
    };
#undef ATTENTION

    compare(cases, sizeof cases / sizeof *cases);
}

static void cross_attention_is_that_of_torch(void) {
    static const golden_case cases[] = {
        {CROSS_FILE "#plain", "attention: {heads: 4, kv_heads: 2}\n" CROSS_INPUT OUTPUT VERIFY},
        {CROSS_FILE "#turned",
         "attention: {heads: 4, kv_heads: 2, rope: {pairing: interleaved}}\n"  //
         CROSS_INPUT OUTPUT VERIFY},
    };

    compare(cases, sizeof cases / sizeof *cases);
}

/* Made on the fly: verified in fp64, the same bytes on other ranks, and from the report. */
static void synthetic_input_takes_them_too(void) {
    static const char *const texts[] = {
        "attention: {heads: 6, kv_heads: 3, mask: causal, qk_norm: {}, rope: {scaling: {kind: "
        "yarn, "
        "factor: 4, original_length: 64}}}\n"
        "sequence: {length: 301, batch: 2}\ninput: {synthetic: {d_model: 96}}\n",
        "attention: {heads: 4, kv_heads: 2, qk_norm: {}}\n"
        "sequence: {length: 90, kv_length: 300}\ninput: {synthetic: {d_model: 48, d_memory: 33}}\n",
        "attention: {heads: 4, head_dim: 24, mask: causal, rope: {dim: 16}, qk_norm: {eps: 0.1}}\n"
        "sequence: {length: 33, kv_length: 250}\ninput: {synthetic: {tensors: qkv}}\n",
        "attention: {heads: 4, head_dim: 8, rope: {pairing: interleaved}}\n"
        "sequence: {length: 200, kv_length: 50}\ninput: {synthetic: {tensors: qkv}}\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[1024];

        snprintf(text, sizeof text, "%s" OUTPUT VERIFY, texts[i]);
        attn_cli_write_text("made.yaml", text);
        run(0, "made.yaml", "one", "verify.rows=1000");
        run(5, "made.yaml", "five", "verify.rows=20");
        expect_same_outputs("one", "five");
        run(5, "five/report.json", "again", "output={y: y.npy, lse: lse.npy}");
        expect_same_outputs("one", "again");
    }
}

int main(void) {
    static const attn_test tests[] = {
        {"rotated and normed layers are those of PyTorch",
         rotated_and_normed_layers_are_those_of_torch},
        {"cross-attention is that of PyTorch", cross_attention_is_that_of_torch},
        {"synthetic input takes them too", synthetic_input_takes_them_too},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("positions", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
