/* Command lines that say nothing, and configs that are wrong in themselves. */
#include "bad_requests.h"
#include "cli_files.h"
#include "harness.h"
#include "small_inputs.h"

static void a_wrong_command_line_is_refused(void) {
    static const attn_bad_request requests[] = {
        {"no command", .command = {NULL}, .message = {"no command; see attnspan --help"}},
        {"an unknown command", .command = {"rum", "in/layer.yaml"},
         .message = {"unknown command \"rum\"; the command is run, check, plan, bench or info"},
         .on_ranks = 1},
        {"an unknown option", .command = {"run", "in/layer.yaml", "--ouput-dir", "out"},
         .message = {"unknown option \"--ouput-dir\"; the options are --set, --output-dir"}},
        {"no config", .command = {"run"}, .message = {"run: no config; write attnspan run CONFIG"}},
        {"two configs", .command = {"run", "in/layer.yaml", "in/qkv.yaml"},
         .message = {"\"in/qkv.yaml\" is one argument too many; one config at a time"}},
        {"a config that is not there", .command = {"run", "in/lair.yaml"},
         .message = {"in/lair.yaml: cannot open: No such file or directory"}, .on_ranks = 1},
        {"a config that is a folder", .command = {"check", "in"},
         .message = {"in: is a directory; must be a file"}},
        {"an argument of info", .command = {"info", "in/layer.yaml"},
         .message = {"info takes no arguments; write attnspan info"}},
        {"an option of another command", .command = {"run", "in/layer.yaml", "--ranks", "4"},
         .message = {"--ranks is no option of attnspan run"}},
        {"JSON of a run", .command = {"run", "in/layer.yaml", "--json"},
         .message = {"--json is no option of attnspan run", "output.report"}},
        {"no number of ranks", .command = {"plan", "in/layer.yaml", "--ranks", "four"},
         .message = {"--ranks: \"four\" is no number of them; write an integer from 1"}},
        {"no ranks", .command = {"plan", "in/layer.yaml", "--ranks", "0"},
         .message = {"--ranks: \"0\" is no number of them"}},
        {"more nodes than ranks",
         .command = {"plan", "in/layer.yaml", "--ranks", "2", "--nodes", "3"},
         .message = {"--nodes: 3 nodes are more than the 2 ranks"}, .on_ranks = 1},
        {"a mesh that does not fit the ranks asked for",
         .command = {"plan", "in/layer.yaml", "--ranks", "7", "--set", "parallel.heads=2"},
         .message = {"parallel.heads: 2 does not divide the number of ranks, which is 7"}},
        {"a plan for a mesh of more ranks than there can be",
         .command = {"plan", "in/layer.yaml", "--set",
                     "parallel={heads: 1048576, sequence: 1048576}"},
         .message = {"parallel.heads: makes 1099511627776 ranks with parallel.sequence"}},
        {"a check for such a mesh",
         .command = {"check", "in/layer.yaml", "--set", "parallel={heads: 1048576, sequence: 2}"},
         .message = {"parallel.heads: makes 2097152 ranks with parallel.sequence"}},
        {"a calibration of a config",
         .command = {"bench", "in/layer.yaml", "--calibrate", "m.yaml"},
         .message = {"--calibrate takes no config"}},
        {"a calibration without a file", .command = {"bench", "--calibrate"},
         .message = {"--calibrate: no file is named"}},
        {"an output folder without a name", .command = {"run", "in/layer.yaml", "--output-dir"},
         .message = {"--output-dir: no folder is named; write --output-dir DIR"}},
        {"a --set without anything", .command = {"run", "in/layer.yaml", "--set"},
         .message = {"--set: nothing is set; write --set a.b=value"}},
        {"a --set without a value", .config = "layer.yaml", .sets = {"attention.heads"},
         .message = {"--set: 'attention.heads' has no value; write KEY=VALUE"}},
        {"a --set without a key", .config = "layer.yaml", .sets = {"=4"},
         .message = {"--set: '=4' has no key; write KEY=VALUE"}},
        {"a --set with an empty value", .config = "layer.yaml", .sets = {"attention.heads="},
         .message = {"--set: attention.heads: has no value; give one, or null"}},
        {"a --set of an unknown key", .config = "layer.yaml", .sets = {"attention.head=4"},
         .message = {"--set: attention.head: is not a key; did you mean attention.heads"}},
        {"a --set of a wrong type", .config = "layer.yaml", .sets = {"attention.heads=four"},
         .message = {"--set: attention.heads: is the string 'four'; must be an integer from 1"}},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void a_wrong_config_is_refused_at_its_line_and_column(void) {
    static const attn_bad_request requests[] = {
        {"an unknown key", .text = "attention:\n  heads: 4\n  kv_haeds: 2\n",
         .message = {"in/case.yaml:3:3: attention.kv_haeds: is not a key; did you mean "
                     "attention.kv_heads"},
         .on_ranks = 1},
        {"an unknown section", .text = "attention: {heads: 4}\nparalel: {heads: 2}\n",
         .message = {"in/case.yaml:2:1: paralel: is not a key; did you mean parallel"}},
        {"a key given twice", .text = "attention:\n  heads: 4\n  heads: 8\n",
         .message =
             {"in/case.yaml:3:3: attention.heads: is given twice, first in line 2; keep one"}},
        {"a string for an integer", .text = "attention:\n  heads: \"4\"\n",
         .message = {"in/case.yaml:2:10: attention.heads: is the string '4'; must be an integer "
                     "from 1 to 65536, without quotes"}},
        {"a float for an integer", .text = "attention:\n  heads: 4.0\n",
         .message = {"in/case.yaml:2:10: attention.heads: is the float '4.0'; must be an integer"}},
        {"a sequence for a scalar", .text = "attention: {heads: [4]}\n",
         .message = {"in/case.yaml:1:20: attention.heads: is a sequence; must be an integer"}},
        {"a scalar for a section", .text = "attention: 4\n",
         .message =
             {"in/case.yaml:1:12: attention: is the integer '4'; must be a mapping of heads"}},
        {"an integer out of its range", .text = "attention: {heads: 0}\n",
         .message = {"in/case.yaml:1:20: attention.heads: is 0; must be an integer from 1 to"}},
        {"a number out of its range", .text = "attention: {heads: 4, scale: -0.5}\n",
         .message = {"in/case.yaml:1:30: attention.scale: is -0.5; must be a number above 0"}},
        {"a number that is not finite", .text = "attention: {heads: 4, scale: .nan}\n",
         .message = {"in/case.yaml:1:30: attention.scale: is .nan; must be a number above 0"}},
        {"an unknown mask", .text = "attention: {heads: 4, mask: casual}\n",
         .message = {"in/case.yaml:1:29: attention.mask: is 'casual'; must be none, causal or a "
                     "mapping of causal, window, prefix",
                     "(did you mean causal?)"}},
        {"an unknown kernel", .config = "layer.yaml", .sets = {"compute.kernel=avx9"},
         .message = {"--set: compute.kernel: is 'avx9'; must be one of auto, generic"}},
        {"a dtype that is not built", .config = "layer.yaml", .sets = {"compute.dtype=fp16"},
         .message = {"--set: compute.dtype: is 'fp16'; must be one of fp32, bf16"}},
        {"a required key left out", .text = "attention: {mask: causal}\n",
         .message =
             {"in/case.yaml:1:1: attention.heads: is missing; give the number of query heads"}},
        {"an empty config", .text = "",
         .message = {"in/case.yaml:1:1: is empty; must be a mapping"}},
        {"no YAML", .text = "attention:\n\theads: 4\n",
         .message = {"in/case.yaml:2:1: is not YAML: ", "; check the indentation"}},
        {"no text", .text = "attention:\n  heads: \x01\n",
         .message = {"in/case.yaml:2:10: is not text: ", "; write it in UTF-8"}},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void a_contradiction_is_refused(void) {
    static const attn_bad_request requests[] = {
        {"more kv heads than fit into heads",
         .text = "attention:\n  heads: 4\n  kv_heads: 3\ninput: {synthetic: {d_model: 32}}\n",
         .message = {"in/case.yaml:3:13: attention.kv_heads: is 3; must divide attention.heads, "
                     "which is 4"},
         .on_ranks = 1},
        {"x and q", .config = "layer.yaml", .sets = {"input.q=q.npy"},
         .message = {"--set: input.q: contradicts input.x; give only one of x with weights"}},
        {"q without v", .config = "qkv.yaml", .sets = {"input.v=null"},
         .message =
             {"in/qkv.yaml:2:12: input.q: is given without input.v; give all of q, k and v"}},
        {"x without weights", .config = "layer.yaml", .sets = {"input.weights=null"},
         .message = {"in/layer.yaml:3:6: input.x: has no weights; add input.weights: {file: "}},
        {"no input", .text = "attention: {heads: 4}\ninput: {}\n",
         .message = {"in/case.yaml:2:1: input: has no tensors; give x and weights, or q, k and v"}},
        {"a synthetic width that heads do not divide", .config = "synthetic.yaml",
         .sets = {"input.synthetic.d_model=33"},
         .message = {"input.synthetic.d_model: is 33; must be a multiple of attention.heads, which "
                     "is 4, or give attention.head_dim"}},
        {"a layer with other keys than queries", .config = "synthetic.yaml",
         .sets = {"sequence.kv_length=65"},
         .message = {"sequence.kv_length: is 65; must equal sequence.length, which is 64"}},
        {"two outputs in one file", .config = "synthetic.yaml", .sets = {"output.lse=y.npy"},
         .message = {"--set: output.lse: would overwrite the file of output.y; must be a file"}},
        {"an output over an input", .command = {"run", "in/layer.yaml", "--output-dir", "in"},
         .sets = {"output.y=x.npy"},
         .message = {"output.y: would overwrite the file of input.x; must be a file of its own"}},
        {"shared nodes of a ring", .config = "synthetic.yaml",
         .sets = {"parallel={circulate: ring, share_nodes: true}"},
         .message =
             {"--set: parallel.share_nodes: is true, but parallel.circulate is ring; must be "
              "auto or false"}},
        {"shared nodes of one shard", .config = "synthetic.yaml",
         .sets = {"parallel={sequence: 1, circulate: gather, share_nodes: true}"},
         .message = {"share_nodes: no mesh of these ranks has two of one axis on a node"},
         .on_ranks = 1},
        {"a mesh of other ranks", .config = "synthetic.yaml",
         .sets = {"parallel={heads: 2, sequence: 2}"},
         .message = {"--set: parallel.heads: a mesh of 2 x 2 needs 4 ranks, but there ",
                     "; start mpirun -n 4, or leave one of the two auto"},
         .on_ranks = 1},
        {"head groups that do not divide the ranks", .config = "synthetic.yaml",
         .sets = {"parallel.heads=2"},
         .message = {"--set: parallel.heads: 2 does not divide the number of ranks, which is ",
                     "; choose a divisor of it, or auto"},
         .on_ranks = 1},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

int main(void) {
    static const attn_test tests[] = {
        {"a wrong command line is refused", a_wrong_command_line_is_refused},
        {"a wrong config is refused at its line and column",
         a_wrong_config_is_refused_at_its_line_and_column},
        {"a contradiction is refused", a_contradiction_is_refused},
    };
    int failed;

    attn_cli_begin();
    attn_small_inputs_write();
    failed = attn_test_main("bad configs", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
