/* Indices of shards that are wrong, or do not fit their shards: each is refused as a scheme's file
 * is. unit.checkpoint has all that can be wrong in one. */
#include <stdio.h>
#include <sys/stat.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "refused_layers.h"
#include "stored.h"

enum { HEAD_DIM = ATTN_REFUSED_INNER / 3 };

/* Indices beside the shards of a good one. */
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
    static float zeros[HEAD_DIM];

    mkdir(attn_cli_path("index"), 0777);
    attn_refused_layer_write("index/s.safetensors", ATTN_AS_LLAMA, from, NULL,
                             1); /* without o_proj.bias */
    attn_cli_write_tensors(attn_cli_path("index/t.safetensors"),
                           (const attn_cli_tensor[]){{"other", 4, 0, zeros}}, 1);
    attn_cli_write_tensors(attn_cli_path("index/n.safetensors"),
                           (const attn_cli_tensor[]){{"q_norm.weight", HEAD_DIM, 0, zeros},
                                                     {"k_norm.weight", HEAD_DIM, 0, zeros}},
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
    static const attn_refusal rows[] = {
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

    attn_refused_layers_begin(&good);
    write_indices(&good);
    CU_ASSERT(attn_command_succeeds(&good_request));
    ATTN_REFUSED_LAYERS_EXPECT(rows);
    attn_stored_layer_free(&good);
}

static void an_output_may_not_overwrite_a_shard(void) {
    char set[512], place[64] = "--set: output.y: ";
    attn_refusal row = {"y over a shard", set, place, "would overwrite a file with the weights", 1};
    attn_stored_layer good;

    attn_refused_layers_begin(&good);
    write_indices(&good);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3}\n"
                        "input: {x: x.npy, weights: {file: index/good.index.json, scheme: llama}}\n"
                        "output: {y: y.npy}\n");
    snprintf(set, sizeof set, "output.y=%s", attn_cli_path("index/s.safetensors"));
    attn_refused_layers_expect(&row, 1);
    attn_cli_write_text(
        "bad.yaml",
        "attention: {heads: 3, qk_norm: {}}\n"
        "input: {x: x.npy, weights: {file: index/norms.index.json, scheme: llama}}\n"
        "output: {y: y.npy}\n");
    snprintf(set, sizeof set, "output.y=%s", attn_cli_path("index/n.safetensors"));
    row.on_ranks = 0;
    attn_refused_layers_expect(&row, 1);
    attn_stored_layer_free(&good);
}

int main(void) {
    static const attn_test tests[] = {
        {"a wrong index is refused", a_wrong_index_is_refused},
        {"an output may not overwrite a shard", an_output_may_not_overwrite_a_shard},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("bad indices", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
