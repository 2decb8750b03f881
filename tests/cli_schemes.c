/* Weight schemes: one layer, stored as each scheme has it, by any prefix, in one file or in
 * shards, in each element type, gives the same bytes on any ranks. */
#include <stdio.h>
#include <stdlib.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "stored.h"
#include "synthetic.h"

/* Heads take more than the model is wide: a matrix read the wrong way round does not fit. */
enum { ROWS = 50, MODEL = 40, INNER = 48 };

/* A verified run; on 0 ranks without mpirun. */
static void run(int ranks, const char *config, const char *output, const char *set) {
    const attn_command_request request = {
        .ranks = ranks,
        .arguments = ATTN_ARGUMENTS("run", config, "--output-dir", output, "--set", set),
        .folder = attn_cli_folder(),
    };

    CU_ASSERT(attn_command_succeeds(&request));
}

/* Runs and compares with what is below reference/. */
static void compare_on(int ranks, const char *config, const char *set) {
    int same;

    run(ranks, config, "other", set);
    same = attn_cli_same_files(attn_cli_path("reference/y.npy"), attn_cli_path("other/y.npy")) &&
           attn_cli_same_files(attn_cli_path("reference/lse.npy"), attn_cli_path("other/lse.npy"));
    CU_ASSERT(same);
    if (!same) fprintf(stderr, "\nother bits on %d ranks with %s\n", ranks, set);
    remove(attn_cli_path("other/y.npy"));
    remove(attn_cli_path("other/lse.npy"));
}

static void compare(const char *config, const char *set) {
    compare_on(1, config, set);
    compare_on(3, config, set);
}

static void write_config(const char *name, int64_t rows, int64_t model, const char *attention) {
    char text[512];
    float *x = malloc((size_t)(rows * model) * sizeof *x);

    if (x == NULL) abort();
    attn_synthetic_fill(3, 0, 0, rows * model, 0.2f, x);
    attn_cli_write_floats(attn_cli_path("x.npy"), 2, (const int64_t[]){rows, model}, x);
    free(x);
    snprintf(text, sizeof text,
             "attention: {%s, scale: 0.02}\n"
             "input: {x: x.npy, weights: {file: linear.safetensors}}\n"
             "output: {y: y.npy, lse: lse.npy}\n"
             "verify: {rows: 8, tolerance: 1.0e-5}\n",
             attention);
    attn_cli_write_text(name, text);
}

/* The layer as `linear` in fp32 in a file of its own: all others are compared with it. */
static void write_reference(const attn_stored_layer *from, const char *config) {
    attn_stored_tensors list = {0};

    attn_stored_append_layer(&list, ATTN_AS_LINEAR, "", from);
    attn_stored_write("linear.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    run(1, config, "reference", "input.weights.scheme=linear");
}

static void each_scheme_and_element_type_gives_the_same_bytes(void) {
    static const attn_dtype dtypes[] = {ATTN_DTYPE_F32, ATTN_DTYPE_F16, ATTN_DTYPE_BF16};
    attn_stored_layer wanted;

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &wanted);
    write_config("layer.yaml", ROWS, MODEL, "heads: 3, mask: causal");
    write_reference(&wanted, "layer.yaml");
    CU_ASSERT_PTR_NULL(attn_scheme_name(ATTN_AS_COUNT)); /* none is left out */
    for (int i = 0; i < ATTN_AS_COUNT; i++)
        for (size_t j = 0; j < sizeof dtypes / sizeof *dtypes; j++) {
            attn_stored_tensors list = {0};
            char set[128];

            attn_stored_append_layer(&list, i, "", &wanted);
            attn_stored_write("plain.safetensors", dtypes[j], &list);
            attn_stored_free(&list);
            snprintf(set, sizeof set, "input.weights={file: plain.safetensors, scheme: %s}",
                     attn_stored_scheme(i));
            compare("layer.yaml", set);
        }
    attn_stored_layer_free(&wanted);
}

static void a_prefix_selects_a_layer_of_a_file_or_of_shards(void) {
    attn_stored_layer layers[2];

    attn_stored_layer_make(MODEL, INNER, INNER, 100, &layers[0]);
    attn_stored_layer_make(MODEL, INNER, INNER, 0, &layers[1]);
    write_config("layer.yaml", ROWS, MODEL, "heads: 3, mask: causal");
    write_reference(&layers[1], "layer.yaml");
    for (int i = 0; i < ATTN_AS_COUNT; i++) {
        attn_stored_tensors list = {0};
        char set[256];

        for (int j = 0; j < 2; j++)
            attn_stored_append_layer(&list, i, attn_stored_prefix(i, j), &layers[j]);
        attn_stored_write("both.safetensors", ATTN_DTYPE_F32, &list);
        attn_stored_write_shards("shards", ATTN_DTYPE_BF16, &list);
        attn_stored_free(&list);
        snprintf(set, sizeof set, "input.weights={file: both.safetensors, scheme: %s, prefix: %s}",
                 attn_stored_scheme(i), attn_stored_prefix(i, 1));
        compare("layer.yaml", set);
        snprintf(set, sizeof set,
                 "input.weights={file: shards/model.safetensors.index.json, scheme: %s, "
                 "prefix: %s}",
                 attn_stored_scheme(i), attn_stored_prefix(i, 1));
        compare("layer.yaml", set);
    }
    attn_stored_layer_free(&layers[0]);
    attn_stored_layer_free(&layers[1]);
}

/* One of two heads' worth of keys; biases of q, k and v only, as Qwen2 has them. */
static void llama_takes_grouped_heads_and_any_biases(void) {
    static const char *const linear[] = {"W_Q.weight", "W_Q.bias", "W_K.weight", "W_K.bias",
                                         "W_V.weight", "W_V.bias", "W_O.weight", NULL};
    static const char *const llama[] = {
        "q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias",
        "v_proj.weight", "v_proj.bias", "o_proj.weight", NULL};
    attn_stored_tensors list = {0};
    attn_stored_layer wanted;

    attn_stored_layer_make(MODEL, INNER, INNER / 3, 0, &wanted);
    write_config("grouped.yaml", ROWS, MODEL, "heads: 3, kv_heads: 1, mask: causal");
    attn_stored_append_four(&list, "", linear, &wanted);
    attn_stored_write("linear.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    run(1, "grouped.yaml", "reference", "input.weights.scheme=linear");
    attn_stored_append_four(&list, "", llama, &wanted);
    attn_stored_write("llama.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    compare("grouped.yaml", "input.weights={file: llama.safetensors, scheme: llama}");
    attn_stored_layer_free(&wanted);
}

static void append_norms(attn_stored_tensors *list, const char *prefix, int32_t dim) {
    for (int i = 0; i < 2; i++) {
        float *norm =
            attn_stored_append(list, prefix, i == 0 ? "q_norm.weight" : "k_norm.weight", dim, 0);

        for (int32_t c = 0; c < dim; c++) norm[c] = (float)(1 + (c + i) % 7) / 4;
    }
}

/* As Qwen3 has them, of the layer that the prefix selects. */
static void llama_takes_norms_of_queries_and_keys(void) {
    enum { DIM = INNER / 3 };
    attn_stored_tensors list = {0};
    attn_stored_layer wanted;

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &wanted);
    write_config("normed.yaml", ROWS, MODEL, "heads: 3, mask: causal, qk_norm: {}, rope: {}");
    attn_stored_append_layer(&list, ATTN_AS_LINEAR, "", &wanted);
    append_norms(&list, "", DIM);
    attn_stored_write("linear.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    run(1, "normed.yaml", "reference", "input.weights.scheme=linear");
    attn_stored_append_layer(&list, ATTN_AS_LLAMA, "model.layers.1.self_attn.", &wanted);
    append_norms(&list, "model.layers.1.self_attn.", DIM);
    attn_stored_append(&list, "model.layers.0.self_attn.", "q_norm.weight", 2 * DIM, 0);
    attn_stored_write_shards("shards", ATTN_DTYPE_BF16, &list);
    attn_stored_free(&list);
    compare("normed.yaml",
            "input.weights={file: shards/model.safetensors.index.json, scheme: llama, prefix: "
            "model.layers.1.self_attn.}");
    attn_stored_layer_free(&wanted);
}

/* Matrices of more than the piece of 1 MiB that is turned over at a time. */
static void large_matrices_are_turned_over_in_pieces(void) {
    enum { WIDE = 328 };
    attn_stored_tensors list = {0};
    attn_stored_layer wanted;

    attn_stored_layer_make(WIDE, WIDE, WIDE, 0, &wanted);
    write_config("wide.yaml", 9, WIDE, "heads: 4");
    write_reference(&wanted, "wide.yaml");
    attn_stored_append_layer(&list, ATTN_AS_GPT2, "", &wanted);
    attn_stored_write("wide.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    compare("wide.yaml", "input.weights={file: wide.safetensors, scheme: gpt2}");
    attn_stored_layer_free(&wanted);
}

/* The report holds the prefix, and runs again in place of the config. */
static void a_report_keeps_the_prefix(void) {
    attn_stored_tensors list = {0};
    attn_stored_layer layers[2];

    attn_stored_layer_make(MODEL, INNER, INNER, 100, &layers[0]);
    attn_stored_layer_make(MODEL, INNER, INNER, 0, &layers[1]);
    write_config("layer.yaml", ROWS, MODEL, "heads: 3, mask: causal");
    write_reference(&layers[1], "layer.yaml");
    for (int j = 0; j < 2; j++)
        attn_stored_append_layer(&list, ATTN_AS_LLAMA, j == 0 ? "a." : "b.", &layers[j]);
    attn_stored_write("both.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    attn_cli_write_text("prefix.yaml",
                        "attention: {heads: 3, mask: causal, scale: 0.02}\n"
                        "input: {x: x.npy, weights: {file: both.safetensors, scheme: llama, "
                        "prefix: b.}}\n"
                        "output: {report: report.json}\n");
    run(0, "prefix.yaml", "first", "verify.rows=1");
    compare_on(1, "first/report.json", "output={y: y.npy, lse: lse.npy}");
    attn_stored_layer_free(&layers[0]);
    attn_stored_layer_free(&layers[1]);
}

int main(void) {
    static const attn_test tests[] = {
        {"each scheme and element type gives the same bytes",
         each_scheme_and_element_type_gives_the_same_bytes},
        {"a prefix selects a layer of a file or of shards",
         a_prefix_selects_a_layer_of_a_file_or_of_shards},
        {"llama takes grouped heads and any biases", llama_takes_grouped_heads_and_any_biases},
        {"llama takes norms of queries and keys", llama_takes_norms_of_queries_and_keys},
        {"large matrices are turned over in pieces", large_matrices_are_turned_over_in_pieces},
        {"a report keeps the prefix", a_report_keeps_the_prefix},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("schemes", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
