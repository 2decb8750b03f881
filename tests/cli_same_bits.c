/* Same bits everywhere: a problem that nothing divides gives the same y.npy and lse.npy,
 * byte for byte, on any mesh, by any circulation, in any layout, with any number of threads; and
 * fp64 agrees with each. */
#include <stdio.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"

/* 1021 is prime; with three kv heads, four head groups share them, and eight have two
 * members without work. */
static const char config[] =
    "attention: {heads: 6, kv_heads: 3, head_dim: 40, mask: causal}\n"
    "sequence: {length: 1021}\n"
    "input: {synthetic: {seed: 7, d_model: 72}}\n"
    "output: {y: y.npy, lse: lse.npy}\n"
    "verify: {rows: 32}\n";

static const char *storage = "fp32";

static void compute(int heads, int sequence, const char *circulate, const char *layout, int threads,
                    const char *output) {
    char parallel[160], dtype[64];
    const attn_command_request request = {
        .ranks = heads * sequence,
        .arguments = ATTN_ARGUMENTS("run", "config.yaml", "--output-dir", output, "--set", parallel,
                                    "--set", dtype),
        .folder = attn_cli_folder(),
        .limit_sec = 60,
    };
    attn_command_result result;
    int verified;

    snprintf(dtype, sizeof dtype, "compute.dtype=%s", storage);
    snprintf(parallel, sizeof parallel,
             "parallel={heads: %d, sequence: %d, circulate: %s, layout: %s, threads: %d}", heads,
             sequence, circulate, layout, threads);
    attn_command_run(&request, &result);
    verified = !result.timed_out && result.exit_status == 0 &&
               strstr(result.out, "passed: 32 rows in fp64") != NULL;
    CU_ASSERT(verified);
    if (!verified)
        fprintf(stderr, "\n%s: exit status %d, stderr:\n%s\n", parallel, result.exit_status,
                result.err);
    attn_command_free(&result);
}

/* Computes and compares with what the first test computed on one rank. */
static void compare(int heads, int sequence, const char *circulate, const char *layout,
                    int threads) {
    int same;

    compute(heads, sequence, circulate, layout, threads, "many");
    same = attn_cli_same_files(attn_cli_path("one/y.npy"), attn_cli_path("many/y.npy")) &&
           attn_cli_same_files(attn_cli_path("one/lse.npy"), attn_cli_path("many/lse.npy"));
    CU_ASSERT(same);
    if (!same)
        fprintf(stderr, "\nother bits on a mesh of %d x %d, %s, %s, %d threads\n", heads, sequence,
                circulate, layout, threads);
}

static void one_rank_has_the_same_bits_with_two_threads(void) {
    compute(1, 1, "ring", "auto", 1, "one");
    compare(1, 1, "ring", "zigzag", 2);
    compare(1, 1, "gather", "balanced", 1);
}

static const char *const layouts[] = {"contiguous", "zigzag", "striped", "balanced"};

typedef struct mesh_row {
    int heads, sequence;
} mesh_row;

/* Each mesh by all circulations, in layouts and with threads in turn: of all combinations on all
 * meshes, mpi.attention compares the bits. Where nothing circulates, and under sanitizers, by one
 * circulation in turn. */
static void compare_all(const mesh_row *meshes, size_t count) {
    static const char *const circulations[] = {"ring", "gather", "reduce"};

    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++) {
            int all = meshes[i].sequence > 1 && !ATTN_SANITIZED;

            if (all || i % 3 == c)
                compare(meshes[i].heads, meshes[i].sequence, circulations[c],
                        layouts[(i + 2 * c) % 4], 1 + (int)((i + c) % 2));
        }
}

static void head_groups_alone_keep_the_bits(void) {
    static const mesh_row meshes[] = {{2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {8, 1}};

    compare_all(meshes, sizeof meshes / sizeof *meshes);
}

static void sequence_shards_alone_keep_the_bits(void) {
    static const mesh_row meshes[] = {{1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {1, 8}};

    compare_all(meshes, sizeof meshes / sizeof *meshes);
}

static void both_together_keep_the_bits(void) {
    static const mesh_row meshes[] = {{2, 2}, {2, 3}, {3, 2}, {2, 4}, {4, 2}};

    compare_all(meshes, sizeof meshes / sizeof *meshes);
}

/* bf16 has other bits than fp32, but the same on any mesh. */
static void bf16_keeps_the_bits(void) {
    static const mesh_row meshes[] = {{2, 1}, {1, 3}, {2, 2}, {1, 5}};

    storage = "bf16";
    compute(1, 1, "ring", "auto", 1, "one");
    compare(1, 1, "gather", "striped", 2);
    compare_all(meshes, sizeof meshes / sizeof *meshes);
    storage = "fp32";
}

int main(void) {
    static const attn_test tests[] = {
        {"one rank has the same bits with two threads",
         one_rank_has_the_same_bits_with_two_threads},
        {"head groups alone keep the bits", head_groups_alone_keep_the_bits},
        {"sequence shards alone keep the bits", sequence_shards_alone_keep_the_bits},
        {"both together keep the bits", both_together_keep_the_bits},
        {"bf16 keeps the bits", bf16_keeps_the_bits},
    };
    int failed;

    attn_cli_begin();
    attn_cli_write_text("config.yaml", config);
    failed = attn_test_main("same bits", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
