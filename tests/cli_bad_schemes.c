/* Files that a weight scheme cannot read: each is refused with one message at the key that is
 * wrong, which says what was looked for and what would be right. */
#include <stdio.h>

#include "cli_files.h"
#include "harness.h"
#include "refused_layers.h"
#include "stored.h"

enum { MODEL = ATTN_REFUSED_MODEL, INNER = ATTN_REFUSED_INNER, STACKED = 3 * INNER };

static void a_tensor_that_is_not_there_is_refused_with_advice(void) {
    static const attn_refusal rows[] = {
        {"no prefix", "verify.rows=0", "bad.yaml:4:19: input.weights.file: ",
         "/both.safetensors: has no tensor 'q_proj.weight'; set input.weights.prefix: "
         "model.layers.0.self_attn. (or another of the 2 that fit); scheme llama looks for "
         "'q_proj.weight', 'k_proj.weight', 'v_proj.weight', 'o_proj.weight'",
         1},
        {"a layer that is not there", "input.weights.prefix=model.layers.7.self_attn.",
         "--set: input.weights.prefix: ",
         "has no tensor 'model.layers.7.self_attn.q_proj.weight'; set input.weights.prefix: "
         "model.layers.0.self_attn. (or another of the 2 that fit); scheme llama looks for "
         "'model.layers.7.self_attn.q_proj.weight'",
         1},
        {"half a prefix", "input.weights.prefix=model.layers.1.", "--set: input.weights.prefix: ",
         "set input.weights.prefix: model.layers.1.self_attn. (or another of", 0},
        {"a prefix too much", "input.weights={file: llama.safetensors, prefix: a.}",
         "--set: input.weights.prefix: ",
         "has no tensor 'a.q_proj.weight'; leave input.weights.prefix out; scheme llama looks", 0},
        {"another scheme", "input.weights={file: llama.safetensors, scheme: gpt2}",
         "--set: input.weights.scheme: ",
         "has no tensor 'c_attn.weight'; set input.weights.scheme: llama; scheme gpt2 looks for "
         "'c_attn.weight', 'c_proj.weight'",
         1},
        {"another scheme and no prefix", "input.weights.scheme=bert",
         "--set: input.weights.scheme: ",
         "has no tensor 'self.query.weight'; set input.weights.scheme: llama and "
         "input.weights.prefix: model.layers.0.self_attn. (or another of the 2 that fit); ",
         0},
        {"another scheme and a prefix too much",
         "input.weights={file: llama.safetensors, scheme: bert, prefix: a.}",
         "--set: input.weights.scheme: ",
         "set input.weights.scheme: llama and leave input.weights.prefix out; ", 0},
        {"no output projection", "input.weights.file=no_o.safetensors",
         "--set: input.weights.file: ",
         "/no_o.safetensors: has no tensor 'o_proj.weight'; scheme llama looks for "
         "'q_proj.weight', 'k_proj.weight', 'v_proj.weight', 'o_proj.weight'; it has "
         "'k_proj.bias', 'k_proj.weight', 'q_proj.bias', 'q_proj.weight', 'v_proj.bias'",
         1},
    };
    attn_stored_layer good;

    attn_refused_layers_begin(&good);
    attn_refused_layer_write("no_o.safetensors", ATTN_AS_LLAMA, &good, NULL, 2);
    ATTN_REFUSED_LAYERS_EXPECT(rows);
    attn_stored_layer_free(&good);
}

static void a_tensor_that_changes_the_result_is_refused(void) {
    static const struct {
        int scheme;
        const char *tensor;
    } rows[] = {
        {ATTN_AS_TORCH_MHA, "bias_k"},
        {ATTN_AS_TORCH_MHA, "bias_v"},
        {ATTN_AS_LLAMA, "q_layernorm.norms.0.weight"},
        {ATTN_AS_LLAMA, "k_layernorm.norms.0.weight"},
        {ATTN_AS_LLAMA, "query_layernorm.weight"},
        {ATTN_AS_LLAMA, "key_layernorm.weight"},
        {ATTN_AS_LLAMA, "attn_sub_norm.weight"},
        {ATTN_AS_GPT2, "q_attn.weight"},
        {ATTN_AS_BERT, "self.distance_embedding.weight"},
    };
    attn_stored_layer good;

    attn_refused_layers_begin(&good);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char set[128], message[128];

        attn_refused_layer_write("extra.safetensors", rows[i].scheme, &good, rows[i].tensor, 0);
        snprintf(set, sizeof set, "input.weights={file: extra.safetensors, scheme: %s}",
                 attn_stored_scheme(rows[i].scheme));
        snprintf(message, sizeof message, "/extra.safetensors: tensor %s ", rows[i].tensor);
        attn_refused_layers_expect(
            &(const attn_refusal){rows[i].tensor, set, "--set: input.weights.file: ", message, 0},
            1);
        snprintf(message, sizeof message, ", which is not built; use a layer without it");
        attn_refused_layers_expect(
            &(const attn_refusal){rows[i].tensor, set, "--set: input.weights.file: ", message, 0},
            1);
    }
    attn_stored_layer_free(&good);
}

/* Whose sinks they are is said by the config. */
static void sinks_have_to_be_asked_for(void) {
    static const attn_refusal silent = {
        "sinks", "input.weights={file: sinks.safetensors, scheme: llama}",
        "--set: input.weights.file: ",
        "/sinks.safetensors: tensor sinks adds a score to each row; add attention.sinks: "
        "FILE.safetensors#sinks",
        1};
    static const attn_refusal of_four = {
        "sinks of four heads", "attention={heads: 3, sinks: \"sinks.safetensors#sinks\"}",
        "--set: attention.sinks: ",
        "the tensor has 1 dimension and 4 elements; it must be [3], "
        "one for each of attention.heads",
        1};
    attn_stored_layer good;

    attn_refused_layers_begin(&good);
    attn_refused_layer_write("sinks.safetensors", ATTN_AS_LLAMA, &good, "sinks", 0);
    attn_refused_layers_expect(&silent, 1);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3}\n"
                        "input: {x: x.npy, weights: {file: sinks.safetensors, scheme: llama}}\n"
                        "output: {y: y.npy}\n");
    attn_refused_layers_expect(&of_four, 1);
    attn_stored_layer_free(&good);
}

/* The config asks for norms or not, and the layer has them or not. */
static void norms_have_to_be_asked_for(void) {
    static const char *const norms[] = {"q_norm.weight", "k_norm.weight"};
    static const attn_refusal missing = {
        "no norms", "attention={heads: 3, qk_norm: {}}", "bad.yaml:4:19: input.weights.file: ",
        "/both.safetensors: has no tensor 'a.q_norm.weight'; it has ", 1};
    static const attn_refusal unknown = {
        "norms of gpt2", "input.weights={file: plain.safetensors, scheme: gpt2}",
        "--set: input.weights.file: ",
        "/plain.safetensors: layers of scheme gpt2 have no norm of q and k; use another", 0};
    attn_stored_tensors list = {0};
    attn_stored_layer good;

    attn_refused_layers_begin(&good);
    for (size_t i = 0; i < 2; i++) {
        char message[128];

        attn_refused_layer_write("extra.safetensors", ATTN_AS_LLAMA, &good, norms[i], 0);
        snprintf(message, sizeof message,
                 "/extra.safetensors: tensor %s: such a layer norms q and k; add "
                 "attention.qk_norm: {}",
                 norms[i]);
        attn_refused_layers_expect(
            &(const attn_refusal){norms[i], "input.weights.file=extra.safetensors",
                                  "--set: input.weights.file: ", message, 0},
            1);
    }
    attn_stored_append_layer(&list, ATTN_AS_LLAMA, "a.", &good);
    attn_stored_write("both.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3}\n"
                        "input:\n"
                        "  x: x.npy\n"
                        "  weights: {file: both.safetensors, scheme: llama, prefix: a.}\n"
                        "output: {y: y.npy}\n");
    attn_refused_layers_expect(&missing, 1);
    attn_refused_layer_write("plain.safetensors", ATTN_AS_GPT2, &good, NULL, 0);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3, qk_norm: {}}\n"
                        "input: {x: x.npy, weights: {file: both.safetensors}}\n"
                        "output: {y: y.npy}\n");
    attn_refused_layers_expect(&unknown, 1);
    attn_stored_layer_free(&good);
}

static void a_wrong_shape_is_refused(void) {
    static const attn_refusal rows[] = {
        {"a vector for a matrix", "input.weights.file=vector.safetensors",
         "--set: input.weights.file: ",
         "/vector.safetensors: tensor q_proj.weight is not a matrix [out, in]; scheme llama "
         "stores a weight so",
         0},
        {"Conv1D that is not transposed", "input.weights={file: upright.safetensors, scheme: gpt2}",
         "--set: input.weights.file: ",
         "/upright.safetensors: tensor c_attn.weight is not a matrix [in, 3 · out]; scheme gpt2 "
         "stores a weight so",
         1},
        {"torch_mha that does not divide",
         "input.weights={file: odd.safetensors, scheme: "
         "torch_mha}",
         "--set: input.weights.file: ",
         "/odd.safetensors: tensor in_proj_weight is not a matrix [3 · out, in]; scheme", 0},
        {"a bias for fewer outputs", "input.weights={file: bias.safetensors, scheme: gpt2}",
         "--set: input.weights.file: ",
         "/bias.safetensors: tensor c_attn.bias does not fit c_attn.weight; a bias has one "
         "element for each of the 144 outputs",
         0},
        {"a transposed output projection", "input.weights={file: turned.safetensors, scheme: gpt2}",
         "--set: input.weights.file: ",
         "W_O has 40 columns, but the concatenation of all heads is 48", 0},
    };
    static float zeros[4 * INNER * INNER];
    attn_stored_layer good;

    attn_refused_layers_begin(&good);
    attn_cli_write_tensors(attn_cli_path("vector.safetensors"),
                           (const attn_cli_tensor[]){{"q_proj.weight", INNER, 0, zeros},
                                                     {"k_proj.weight", INNER, MODEL, zeros},
                                                     {"v_proj.weight", INNER, MODEL, zeros},
                                                     {"o_proj.weight", MODEL, INNER, zeros}},
                           4);
    attn_cli_write_tensors(attn_cli_path("upright.safetensors"),
                           (const attn_cli_tensor[]){{"c_attn.weight", STACKED, MODEL, zeros},
                                                     {"c_proj.weight", MODEL, INNER, zeros}},
                           2);
    attn_cli_write_tensors(attn_cli_path("odd.safetensors"),
                           (const attn_cli_tensor[]){{"in_proj_weight", 145, MODEL, zeros},
                                                     {"out_proj.weight", MODEL, INNER, zeros}},
                           2);
    attn_cli_write_tensors(attn_cli_path("bias.safetensors"),
                           (const attn_cli_tensor[]){{"c_attn.weight", MODEL, STACKED, zeros},
                                                     {"c_attn.bias", INNER, 0, zeros},
                                                     {"c_proj.weight", INNER, MODEL, zeros}},
                           3);
    attn_cli_write_tensors(attn_cli_path("turned.safetensors"),
                           (const attn_cli_tensor[]){{"c_attn.weight", MODEL, STACKED, zeros},
                                                     {"c_proj.weight", MODEL, INNER, zeros}},
                           2);
    ATTN_REFUSED_LAYERS_EXPECT(rows);
    attn_stored_layer_free(&good);
}

int main(void) {
    static const attn_test tests[] = {
        {"a tensor that is not there is refused with advice",
         a_tensor_that_is_not_there_is_refused_with_advice},
        {"a tensor that changes the result is refused",
         a_tensor_that_changes_the_result_is_refused},
        {"sinks have to be asked for", sinks_have_to_be_asked_for},
        {"norms have to be asked for", norms_have_to_be_asked_for},
        {"a wrong shape is refused", a_wrong_shape_is_refused},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("bad schemes", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
