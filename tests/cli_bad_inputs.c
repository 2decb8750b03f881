/* Inputs that are well themselves, but do not fit the config or each other. */
#include <stdint.h>

#include "bad_requests.h"
#include "cli_files.h"
#include "harness.h"
#include "small_inputs.h"

enum { WIDTH = ATTN_SMALL_WIDTH };

static void write_tensors(void) {
    static const struct {
        const char *name;
        int dims;
        int64_t shape[4];
    } tensors[] = {
        {"k_narrow.npy", 3, {2, 24, 7}},
        {"v_short.npy", 3, {2, 23, 8}},
        {"v_batch.npy", 4, {1, 2, 24, 8}},
        {"x_4d.npy", 4, {1, 1, 64, WIDTH}},
        {"x_1d.npy", 1, {64}},
        {"x_no_rows.npy", 2, {0, WIDTH}},
        {"x_narrow.npy", 2, {64, 24}},
        {"memory_1d.npy", 1, {WIDTH}},
        {"memory_batch.npy", 3, {1, 24, WIDTH}},
        {"memory_narrow.npy", 2, {24, 20}},
    };

    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        attn_small_floats_write(tensors[i].name, tensors[i].dims, tensors[i].shape);
}

/* Layers like that of layer.yaml, and one as torch.nn.MultiheadAttention stores it. */
static void write_layers(void) {
    static const struct {
        const char *name;
        attn_cli_tensor changes[2];
    } layers[] = {
        {"wide_q.safetensors", {{"W_Q.weight", WIDTH, 48, NULL}}},
        {"odd_k.safetensors", {{"W_K.weight", 30, WIDTH, NULL}, {"W_K.bias", 30, 0, NULL}}},
        {"narrow_k.safetensors", {{"W_K.weight", 16, WIDTH, NULL}, {"W_K.bias", 16, 0, NULL}}},
        {"wide_o.safetensors", {{"W_O.weight", WIDTH, 48, NULL}}},
        {"long_o.safetensors", {{"W_O.weight", 48, WIDTH, NULL}, {"W_O.bias", 48, 0, NULL}}},
        {"odd_bias.safetensors", {{"W_V.bias", 31, 0, NULL}}},
        {"normed.safetensors", {{"q_norm.weight", 8, 0, NULL}, {"k_norm.weight", 8, 0, NULL}}},
        {"norm_long.safetensors", {{"q_norm.weight", 8, 0, NULL}, {"k_norm.weight", 16, 0, NULL}}},
        {"norm_of_q.safetensors", {{"q_norm.weight", 8, 0, NULL}}},
        {"norm_matrix.safetensors", {{"q_norm.weight", 8, 1, NULL}, {"k_norm.weight", 8, 1, NULL}}},
    };
    const attn_cli_tensor stacked[] = {
        {"in_proj_weight", 3 * 20, WIDTH, attn_small_numbers()},
        {"out_proj.weight", WIDTH, 20, attn_small_numbers()},
    };

    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        attn_small_layer_write(layers[i].name, layers[i].changes,
                               layers[i].changes[1].name != NULL ? 2 : 1);
    attn_cli_write_tensors(attn_cli_path("in/stacked.safetensors"), stacked, 2);
}

static void inputs_that_do_not_fit_are_refused(void) {
    static const attn_bad_request requests[] = {
        {"a length that is not the rows of x", .config = "layer.yaml",
         .sets = {"sequence.length=65"},
         .message = {"--set: sequence.length: is 65, but the number of rows of the input is 64; "
                     "set 64 or leave it out"},
         .on_ranks = 1},
        {"a key length that is not the rows of k", .config = "qkv.yaml",
         .sets = {"sequence.kv_length=16"},
         .message = {"sequence.kv_length: is 16, but the number of key rows of the input is 24"}},
        {"a batch that the input has not", .config = "layer.yaml", .sets = {"sequence.batch=2"},
         .message = {"--set: sequence.batch: is 2, but the batch of the input is 1; set 1 or"}},
        {"a head width that is not that of W_Q", .config = "layer.yaml",
         .sets = {"attention.head_dim=16"},
         .message = {"attention.head_dim: is 16, but the width of a head in W_Q is 8; set 8 or"}},
        {"heads that do not divide W_Q", .config = "layer.yaml", .sets = {"attention.heads=3"},
         .message = {"attention.heads: is 3, but the 32 rows of W_Q do not divide by it; "}},
        {"fewer kv heads than W_K has", .config = "layer.yaml", .sets = {"attention.kv_heads=2"},
         .message = {"--set: attention.kv_heads: is 2, which makes key heads 16 wide, but query "
                     "heads are 8 wide; W_K fits 4 kv heads"}},
        {"kv heads that do not divide W_K", .config = "layer.yaml",
         .sets = {"input.weights.file=odd_k.safetensors"},
         .message = {"in/layer.yaml: attention.kv_heads: is 4, but the 30 rows of W_K do not "}},
        {"a W_K for fewer kv heads", .config = "layer.yaml",
         .sets = {"input.weights.file=narrow_k.safetensors"},
         .message = {"attention.kv_heads: is 4, which makes key heads 4 wide, but query heads are "
                     "8 wide; W_K fits 2 kv heads"}},
        {"a W_Q for another x", .config = "layer.yaml",
         .sets = {"input.weights.file=wide_q.safetensors"},
         .message = {"--set: input.weights.file: W_Q has 48 columns, but the width of x is 32; "}},
        {"an x for other weights", .config = "layer.yaml", .sets = {"input.x=x_narrow.npy"},
         .message = {"in/layer.yaml:4:19: input.weights.file: W_Q has 32 columns, but the width of "
                     "x is 24; the layer and the input must fit"}},
        {"a W_O for another concatenation", .config = "layer.yaml",
         .sets = {"input.weights.file=wide_o.safetensors"},
         .message = {"W_O has 48 columns, but the concatenation of all heads is 32; the layer"}},
        {"a W_O for another y", .config = "layer.yaml",
         .sets = {"input.weights.file=long_o.safetensors"},
         .message = {"W_O has 48 rows, but y is as wide as x: 32; the layer and the input"}},
        {"a bias of another length", .config = "layer.yaml",
         .sets = {"input.weights.file=odd_bias.safetensors"},
         .message =
             {"in/odd_bias.safetensors: tensor W_V.bias does not fit W_V.weight; a bias has"}},
        {"q of another number of heads", .config = "qkv.yaml", .sets = {"attention.heads=2"},
         .message = {"attention.heads: is 2, but the number of heads in q is 4; set 4 or leave"}},
        {"k of another width than q", .config = "qkv.yaml", .sets = {"input.k=k_narrow.npy"},
         .message = {"in/qkv.yaml:2:12: input.q: q [4, 16, 8], k [2, 24, 7] and v [2, 24, 8] do "
                     "not fit; they share B"}},
        {"v with fewer rows than k", .config = "qkv.yaml", .sets = {"input.v=v_short.npy"},
         .message =
             {"k [2, 24, 8] and v [2, 23, 8] do not fit; they share B, k and v share heads"}},
        {"only v with a batch", .config = "qkv.yaml", .sets = {"input.v=v_batch.npy"},
         .message = {"and v [1, 2, 24, 8] do not fit"}},
        {"x with four dimensions", .config = "layer.yaml", .sets = {"input.x=x_4d.npy"},
         .message = {"--set: input.x: the tensor has the shape [1, 1, 64, 32]; it must be [N, "
                     "d_model] or [B, N, d_model], without empty dimensions"}},
        {"x with one dimension", .config = "layer.yaml", .sets = {"input.x=x_1d.npy"},
         .message = {"the tensor has the shape [64]; it must be [N, d_model]"}},
        {"x without rows", .config = "layer.yaml", .sets = {"input.x=x_no_rows.npy"},
         .message = {"the tensor has the shape [0, 32]; it must be [N, d_model]"}},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void positions_norms_and_memories_that_do_not_fit_are_refused(void) {
    static const attn_bad_request requests[] = {
        {"an odd dim", .config = "layer.yaml", .sets = {"attention.rope.dim=7"},
         .message = {"--set: attention.rope.dim: is 7; must be even: elements turn in pairs"},
         .on_ranks = 1},
        {"a dim wider than the file's heads", .config = "layer.yaml",
         .sets = {"attention.rope.dim=10"},
         .message = {"--set: attention.rope.dim: is 10; must be at most the width of a head, which "
                     "is 8"},
         .on_ranks = 1},
        {"a dim wider than the given heads", .config = "qkv.yaml",
         .sets = {"attention.rope.dim=10"},
         .message = {"attention.rope.dim: is 10; must be at most the width of a head, which is 8"}},
        {"odd heads", .config = "synthetic.yaml",
         .sets = {"input.synthetic.d_model=28", "attention.rope={}"},
         .message = {"--set: attention.rope: would turn heads 7 wide; elements turn in pairs: add "
                     "an even dim"}},
        {"a scaling without a factor", .config = "layer.yaml",
         .sets = {"attention.rope.scaling.kind=ntk"},
         .message = {"--set: attention.rope.scaling: has no factor; add factor: TIMES"}},
        {"yarn without the original length", .config = "layer.yaml",
         .sets = {"attention.rope={scaling: {kind: yarn, factor: 2}}"},
         .message = {"--set: attention.rope.scaling: has no original_length; yarn needs it"}},
        {"weights without norms", .config = "layer.yaml", .sets = {"attention.qk_norm={}"},
         .message = {"in/layer.yaml:4:19: input.weights.file: ",
                     "in/layer.safetensors: has no tensor 'q_norm.weight'; it has "},
         .on_ranks = 1},
        {"weights with one norm", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}", "input.weights.file=norm_of_q.safetensors"},
         .message = {"in/norm_of_q.safetensors: has no tensor 'k_norm.weight'; it has "}},
        {"weights with norms that are not asked for", .config = "layer.yaml",
         .sets = {"input.weights.file=normed.safetensors"},
         .message = {"in/normed.safetensors: tensor q_norm.weight: such a layer norms q and k; add "
                     "attention.qk_norm: {}"}},
        {"a norm that is too long", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}", "input.weights.file=norm_long.safetensors"},
         .message =
             {"the norm of k has 16 weights, but heads are 8 wide; a norm has one for each"}},
        {"a norm that is a matrix", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}", "input.weights.file=norm_matrix.safetensors"},
         .message =
             {"in/norm_matrix.safetensors: tensor q_norm.weight is not a vector; a norm has"}},
        {"norms in a scheme without them", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}",
                  "input.weights={file: stacked.safetensors, scheme: torch_mha}"},
         .message = {"in/stacked.safetensors: layers of scheme torch_mha have no norm of q and k"}},
        {"a memory beside q, k and v", .config = "qkv.yaml", .sets = {"input.memory=memory.npy"},
         .message = {"--set: input.memory: is given without input.x; keys and values are "
                     "projected from it in a layer"}},
        {"a memory beside synthetic input", .config = "synthetic.yaml",
         .sets = {"input.memory=memory.npy"},
         .message = {"--set: input.memory: contradicts input.synthetic, which makes its own"}},
        {"a memory that is not there", .config = "layer.yaml", .sets = {"input.memory=none.npy"},
         .message = {"input.memory: ", "in/none.npy: cannot open: No such file or directory"}},
        {"a memory of a wrong shape", .config = "layer.yaml",
         .sets = {"input.memory=memory_1d.npy"},
         .message = {"--set: input.memory: the tensor has the shape [32]; it must be [N_kv, "
                     "d_memory] or [B, N_kv, d_memory]"},
         .on_ranks = 1},
        {"a memory with a batch beside x without", .config = "layer.yaml",
         .sets = {"input.memory=memory_batch.npy"},
         .message = {"--set: input.memory: the tensor has the shape [1, 24, 32], and x [64, 32]; "
                     "they share B"}},
        {"a memory that does not fit the weights", .config = "layer.yaml",
         .sets = {"input.memory=memory_narrow.npy"},
         .message = {"W_K has 32 columns, but the width of the memory is 20; the layer and the"}},
        {"a key length that is not the rows of the memory", .config = "layer.yaml",
         .sets = {"input.memory=memory.npy", "sequence.kv_length=64"},
         .message = {"--set: sequence.kv_length: is 64, but the number of key rows of the input is "
                     "24; set 24 or leave it out"}},
        {"an output over the memory", .command = {"run", "in/layer.yaml", "--output-dir", "in"},
         .sets = {"input.memory=memory.npy", "output.y=memory.npy"},
         .message = {"output.y: would overwrite the file of input.memory; must be a file of its "}},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

int main(void) {
    static const attn_test tests[] = {
        {"inputs that do not fit are refused", inputs_that_do_not_fit_are_refused},
        {"positions, norms and memories that do not fit are refused",
         positions_norms_and_memories_that_do_not_fit_are_refused},
    };
    int failed;

    attn_cli_begin();
    attn_small_inputs_write();
    write_tensors();
    write_layers();
    failed = attn_test_main("bad inputs", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
