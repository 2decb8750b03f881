/* Files that a weight scheme cannot read: each is refused with one message at the key that is
 * wrong, which says what was looked for and what would be right. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "stored.h"

enum { ROWS = 50, MODEL = 40, INNER = 48, STACKED = 3 * INNER };

typedef struct refusal {
    const char *name, *set, *place, *message;
    int on_ranks; /* whether it is refused under mpirun as well */
} refusal;

static void refuse_on(const refusal *row, int ranks) {
    const attn_command_request request = {
        .ranks = ranks,
        .arguments = ATTN_ARGUMENTS("run", "bad.yaml", "--output-dir", "out", "--set", row->set),
        .folder = attn_cli_folder(),
    };
    attn_command_result result;
    char message[2048] = "";
    int held;

    attn_command_run(&request, &result);
    held = !result.timed_out && result.exit_status == 2 &&
           attn_command_errors(&result, message, sizeof message) == 1 &&
           strncmp(message, row->place, strlen(row->place)) == 0 &&
           strstr(message, row->message) != NULL && attn_cli_files_below(attn_cli_path("out")) == 0;
    CU_ASSERT(held);
    if (!held)
        fprintf(stderr, "\n%s, %d ranks: exit status %d, stderr:\n%s\n", row->name, ranks,
                result.exit_status, result.err);
    attn_command_free(&result);
}

static void refuse_all(const refusal *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        refuse_on(&rows[i], 0);
        if (rows[i].on_ranks) refuse_on(&rows[i], 3);
    }
}

#define REFUSE_ALL(rows) refuse_all(rows, sizeof(rows) / sizeof *(rows))

/* A file of a layer with one more tensor, or without its last `dropped`. */
static void write_changed(const char *name, int scheme, const attn_stored_layer *from,
                          const char *added, size_t dropped) {
    attn_stored_tensors list = {0};

    attn_stored_append_layer(&list, scheme, "", from);
    if (added != NULL) attn_stored_append(&list, "", added, 4, 0);
    attn_cli_write_tensors(attn_cli_path(name), list.tensors, list.count - dropped);
    attn_stored_free(&list);
}

/* The config that each refusal changes, and good files of two layers. */
static void write_bad_config(const attn_stored_layer *from) {
    static float x[ROWS * MODEL];
    attn_stored_tensors list = {0};

    attn_cli_write_floats(attn_cli_path("x.npy"), 2, (const int64_t[]){ROWS, MODEL}, x);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3}\n"
                        "input:\n"
                        "  x: x.npy\n"
                        "  weights: {file: both.safetensors, scheme: llama}\n"
                        "output: {y: y.npy}\n");
    for (int i = 0; i < 2; i++)
        attn_stored_append_layer(&list, ATTN_AS_LLAMA, attn_stored_prefix(ATTN_AS_LLAMA, i), from);
    attn_stored_write("both.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    write_changed("llama.safetensors", ATTN_AS_LLAMA, from, NULL, 0);
}

static void a_tensor_that_is_not_there_is_refused_with_advice(void) {
    static const refusal rows[] = {
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

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &good);
    write_bad_config(&good);
    write_changed("no_o.safetensors", ATTN_AS_LLAMA, &good, NULL, 2);
    REFUSE_ALL(rows);
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

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &good);
    write_bad_config(&good);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char set[128], message[128];

        write_changed("extra.safetensors", rows[i].scheme, &good, rows[i].tensor, 0);
        snprintf(set, sizeof set, "input.weights={file: extra.safetensors, scheme: %s}",
                 attn_stored_scheme(rows[i].scheme));
        snprintf(message, sizeof message, "/extra.safetensors: tensor %s ", rows[i].tensor);
        refuse_on(&(const refusal){rows[i].tensor, set, "--set: input.weights.file: ", message, 0},
                  0);
        snprintf(message, sizeof message, ", which is not built; use a layer without it");
        refuse_on(&(const refusal){rows[i].tensor, set, "--set: input.weights.file: ", message, 0},
                  0);
    }
    attn_stored_layer_free(&good);
}

/* Whose sinks they are is said by the config. */
static void sinks_have_to_be_asked_for(void) {
    static const refusal silent = {
        "sinks", "input.weights={file: sinks.safetensors, scheme: llama}",
        "--set: input.weights.file: ",
        "/sinks.safetensors: tensor sinks adds a score to each row; add attention.sinks: "
        "FILE.safetensors#sinks",
        1};
    static const refusal of_four = {"sinks of four heads",
                                    "attention={heads: 3, sinks: \"sinks.safetensors#sinks\"}",
                                    "--set: attention.sinks: ",
                                    "the tensor has 1 dimension and 4 elements; it must be [3], "
                                    "one for each of attention.heads",
                                    1};
    attn_stored_layer good;

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &good);
    write_bad_config(&good);
    write_changed("sinks.safetensors", ATTN_AS_LLAMA, &good, "sinks", 0);
    refuse_all(&silent, 1);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3}\n"
                        "input: {x: x.npy, weights: {file: sinks.safetensors, scheme: llama}}\n"
                        "output: {y: y.npy}\n");
    refuse_all(&of_four, 1);
    attn_stored_layer_free(&good);
}

/* The config asks for norms or not, and the layer has them or not. */
static void norms_have_to_be_asked_for(void) {
    static const char *const norms[] = {"q_norm.weight", "k_norm.weight"};
    static const refusal missing = {
        "no norms", "attention={heads: 3, qk_norm: {}}", "bad.yaml:4:19: input.weights.file: ",
        "/both.safetensors: has no tensor 'a.q_norm.weight'; it has ", 1};
    static const refusal unknown = {
        "norms of gpt2", "input.weights={file: plain.safetensors, scheme: gpt2}",
        "--set: input.weights.file: ",
        "/plain.safetensors: layers of scheme gpt2 have no norm of q and k; use another", 0};
    attn_stored_tensors list = {0};
    attn_stored_layer good;

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &good);
    write_bad_config(&good);
    for (size_t i = 0; i < 2; i++) {
        char message[128];

        write_changed("extra.safetensors", ATTN_AS_LLAMA, &good, norms[i], 0);
        snprintf(message, sizeof message,
                 "/extra.safetensors: tensor %s: such a layer norms q and k; add "
                 "attention.qk_norm: {}",
                 norms[i]);
        refuse_on(&(const refusal){norms[i], "input.weights.file=extra.safetensors",
                                   "--set: input.weights.file: ", message, 0},
                  0);
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
    refuse_all(&missing, 1);
    write_changed("plain.safetensors", ATTN_AS_GPT2, &good, NULL, 0);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3, qk_norm: {}}\n"
                        "input: {x: x.npy, weights: {file: both.safetensors}}\n"
                        "output: {y: y.npy}\n");
    refuse_all(&unknown, 1);
    attn_stored_layer_free(&good);
}

static void a_wrong_shape_is_refused(void) {
    static const refusal rows[] = {
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

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &good);
    write_bad_config(&good);
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
    REFUSE_ALL(rows);
    attn_stored_layer_free(&good);
}

/* Indices beside the shards of a good one. unit.checkpoint has all that can be wrong in one. */
static void write_indices(const attn_stored_layer *from) {
    static const struct {
        const char *name, *q_shard, *o_shard; /* NULL: the tensor is not listed */
        const char *bias_shard;
    } indices[] = {
        {"escapes", "../both.safetensors", "s.safetensors", "s.safetensors"},
        {"absolute", "/tmp/s.safetensors", "s.safetensors", "s.safetensors"},
        {"no_shard", "none.safetensors", "s.safetensors", "s.safetensors"},
        {"other_shard", "s.safetensors", "t.safetensors", "s.safetensors"},
        {"no_tensor", "s.safetensors", NULL, "s.safetensors"},
        {"no_bias", "s.safetensors", "s.safetensors", NULL},
        {"good", "s.safetensors", "s.safetensors", "s.safetensors"},
    };
    static float zeros[INNER / 3];

    mkdir(attn_cli_path("index"), 0777);
    write_changed("index/s.safetensors", ATTN_AS_LLAMA, from, NULL, 1); /* without o_proj.bias */
    attn_cli_write_tensors(attn_cli_path("index/t.safetensors"),
                           (const attn_cli_tensor[]){{"other", 4, 0, zeros}}, 1);
    attn_cli_write_tensors(attn_cli_path("index/n.safetensors"),
                           (const attn_cli_tensor[]){{"q_norm.weight", INNER / 3, 0, zeros},
                                                     {"k_norm.weight", INNER / 3, 0, zeros}},
                           2);
    attn_cli_write_text("index/norms.index.json",
                        "{\"weight_map\": {\"q_proj.weight\": \"s.safetensors\", "
                        "\"k_proj.weight\": \"s.safetensors\", "
                        "\"v_proj.weight\": \"s.safetensors\", "
                        "\"o_proj.weight\": \"s.safetensors\", "
                        "\"q_proj.bias\": \"s.safetensors\", "
                        "\"k_proj.bias\": \"s.safetensors\", "
                        "\"v_proj.bias\": \"s.safetensors\", "
                        "\"q_norm.weight\": \"n.safetensors\", "
                        "\"k_norm.weight\": \"n.safetensors\"}}");
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        char text[1024], path[64];
        size_t used = (size_t)snprintf(
            text, sizeof text,
            "{\"weight_map\": {\"q_proj.weight\": \"%s\", \"k_proj.weight\": \"s.safetensors\", "
            "\"v_proj.weight\": \"s.safetensors\", \"k_proj.bias\": \"s.safetensors\", "
            "\"v_proj.bias\": \"s.safetensors\"",
            indices[i].q_shard);

        if (indices[i].o_shard != NULL)
            used += (size_t)snprintf(text + used, sizeof text - used, ", \"o_proj.weight\": \"%s\"",
                                     indices[i].o_shard);
        if (indices[i].bias_shard != NULL)
            used += (size_t)snprintf(text + used, sizeof text - used, ", \"q_proj.bias\": \"%s\"",
                                     indices[i].bias_shard);
        snprintf(text + used, sizeof text - used, "}}");
        snprintf(path, sizeof path, "index/%s.index.json", indices[i].name);
        attn_cli_write_text(path, text);
    }
    attn_cli_write_text("index/broken.index.json", "{\"weight_map\": {\"a\" \"b\"}}");
    attn_cli_write_text("index/twice.index.json",
                        "{\"weight_map\": {\"a\": \"s.safetensors\", \"a\": \"s.safetensors\"}}");
}

static void a_wrong_index_is_refused(void) {
    static const refusal rows[] = {
        {"no JSON", "input.weights.file=index/broken.index.json", "--set: input.weights.file: ",
         "/index/broken.index.json: is no valid JSON, at line 1, column ", 1},
        {"a tensor twice", "input.weights.file=index/twice.index.json",
         "--set: input.weights.file: ", "/index/twice.index.json: is no valid JSON, at line 1, ",
         0},
        {"a path out of the folder", "input.weights.file=index/escapes.index.json",
         "--set: input.weights.file: ",
         "/index/escapes.index.json: puts tensor 'q_proj.weight' in '../both.safetensors'; a shard "
         "must lie in the index's folder or below it",
         1},
        {"an absolute path", "input.weights.file=index/absolute.index.json",
         "--set: input.weights.file: ",
         "puts tensor 'q_proj.weight' in '/tmp/s.safetensors'; a shard must lie in the index's", 0},
        {"no such shard", "input.weights.file=index/no_shard.index.json",
         "--set: input.weights.file: ",
         "/index/no_shard.index.json: the shard of tensor 'q_proj.weight': ", 1},
        {"a tensor that is not in its shard", "input.weights.file=index/other_shard.index.json",
         "--set: input.weights.file: ",
         "/index/other_shard.index.json: puts tensor 'o_proj.weight' in 't.safetensors', which "
         "has no such tensor",
         1},
        {"a tensor that is not listed", "input.weights.file=index/no_tensor.index.json",
         "--set: input.weights.file: ",
         "/index/no_tensor.index.json: has no tensor 'o_proj.weight'; scheme llama looks for ", 0},
        {"a bias that is not listed", "input.weights.file=index/no_bias.index.json",
         "--set: input.weights.file: ",
         "/index/no_bias.index.json: does not list tensor 'q_proj.bias', which 's.safetensors' "
         "has; must list all",
         1},
        {"no such index", "input.weights.file=index/none.index.json",
         "--set: input.weights.file: ", "/index/none.index.json: cannot open: No such file", 0},
    };
    const attn_command_request good_request = {
        .arguments = ATTN_ARGUMENTS("check", "bad.yaml", "--set",
                                    "input.weights.file=index/good.index.json"),
        .folder = attn_cli_folder(),
    };
    attn_stored_layer good;

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &good);
    write_bad_config(&good);
    write_indices(&good);
    CU_ASSERT(attn_command_succeeds(&good_request));
    REFUSE_ALL(rows);
    attn_stored_layer_free(&good);
}

static void an_output_may_not_overwrite_a_shard(void) {
    char set[512], place[64] = "--set: output.y: ";
    refusal row = {"y over a shard", set, place, "would overwrite a file with the weights", 1};
    attn_stored_layer good;

    attn_stored_layer_make(MODEL, INNER, INNER, 0, &good);
    write_bad_config(&good);
    write_indices(&good);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3}\n"
                        "input: {x: x.npy, weights: {file: index/good.index.json, scheme: llama}}\n"
                        "output: {y: y.npy}\n");
    snprintf(set, sizeof set, "output.y=%s", attn_cli_path("index/s.safetensors"));
    refuse_on(&row, 0);
    refuse_on(&row, 3);
    attn_cli_write_text(
        "bad.yaml",
        "attention: {heads: 3, qk_norm: {}}\n"
        "input: {x: x.npy, weights: {file: index/norms.index.json, scheme: llama}}\n"
        "output: {y: y.npy}\n");
    snprintf(set, sizeof set, "output.y=%s", attn_cli_path("index/n.safetensors"));
    refuse_on(&row, 0);
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
        {"a wrong index is refused", a_wrong_index_is_refused},
        {"an output may not overwrite a shard", an_output_may_not_overwrite_a_shard},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("bad schemes", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
