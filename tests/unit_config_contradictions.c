/* The config parser, of what it refuses because of another key: keys that contradict each other,
 * rotations, what stands behind --set; and failures that only later turn out. */
#include <string.h>

#include "config_keys.h"
#include "harness.h"
#include "parse.h"

static void test_contradictions(void) {
    static const attn_bad_text cases[] = {
        {"attention:\n  heads: 4\n  kv_heads: 3\n" ATTN_LAYER,
         "c.yaml:3:13: attention.kv_heads: is 3; must divide attention.heads, which is 4"},
        {"attention:\n  heads: 4\n  alibi: {}\n" ATTN_LAYER,
         "c.yaml:3:3: attention.alibi: has no slopes; must be true for those of the paper, or "
         "{slopes: [...]}"},
        {"attention:\n  heads: 4\n  alibi: {published: true, slopes: [1, 1, 1, 1]}\n" ATTN_LAYER,
         "c.yaml:3:36: attention.alibi.slopes: contradict published: true, which has its own; give "
         "only one of the two"},
        {"attention:\n  heads: 4\n  alibi: {slopes: [1, 1, 1]}\n" ATTN_LAYER,
         "c.yaml:3:19: attention.alibi.slopes: has 3 numbers; must have 4, one for each of "
         "attention.heads"},
        {"attention:\n  heads: 4\n  sinks: [1]\n" ATTN_LAYER,
         "c.yaml:3:10: attention.sinks: has 1 number; must have 4, one for each of"},
        {"attention:\n  heads: 4\n  sinks: w.safetensors#s\n" ATTN_LAYER
         "output: {y: /in/w.safetensors}",
         "output.y: would overwrite the file of attention.sinks; must be a file of its own"},
        {"attention:\n  heads: 4\n  mask: {bias: b.npy}\n" ATTN_LAYER
         "parallel: {circulate: reduce}",
         "parallel.circulate: is reduce, which moves queries, but not their biases; take ring or "
         "gather"},
        {"attention:\n  heads: 4\n  mask: {bias: b.npy}\n" ATTN_LAYER "output: {lse: /in/b.npy}",
         "output.lse: would overwrite the file of attention.mask.bias; must be a file of its own"},
        {ATTN_HEADS,
         "c.yaml: input: has no tensors; give x and weights, or q, k and v, or synthetic"},
        {ATTN_HEADS "input: {}", "c.yaml:2:1: input: has no tensors; give"},
        {ATTN_HEADS "input: {x: x.npy}", "c.yaml:2:12: input.x: has no weights; add input.weights"},
        {ATTN_HEADS "input: {weights: {file: w}}",
         "c.yaml:2:9: input.weights: has nothing to project"},
        {ATTN_HEADS "input: {x: x.npy, weights: {scheme: linear}}",
         "c.yaml:2:19: input.weights: names no file; add file"},
        {ATTN_HEADS "input: {q: q, k: k}",
         "c.yaml:2:12: input.q: is given without input.v; give all"},
        {ATTN_HEADS "input: {v: v, q: q}",
         "c.yaml:2:18: input.q: is given without input.k; give all"},
        {ATTN_HEADS "input: {k: k, v: v}",
         "c.yaml:2:12: input.k: is given without input.q; give all"},
        {ATTN_HEADS "input: {x: x, q: q}",
         "c.yaml:2:18: input.q: contradicts input.x; give only one of x with weights, q with k "
         "and v, or synthetic (--set input.x=null takes a key out)"},
        {ATTN_HEADS "input: {k: k, synthetic: {}}",
         "c.yaml:2:15: input.synthetic: contradicts input.k; give only one"},
        {ATTN_HEADS "input: {weights: {}, synthetic: {}}",
         "c.yaml:2:22: input.synthetic: contradicts input.weights; give only one"},
        {ATTN_HEADS "input: {synthetic: {d_model: 8}}",
         "c.yaml:2:9: input.synthetic: has no length; add sequence.length"},
        {ATTN_HEADS "sequence: {length: 9}\ninput: {synthetic: {}}",
         "c.yaml:3:9: input.synthetic: has no d_model; a layer needs it"},
        {ATTN_HEADS "sequence: {length: 9}\ninput: {synthetic: {d_model: 6}}",
         "c.yaml:3:30: input.synthetic.d_model: is 6; must be a multiple of attention.heads, "
         "which is 4, or give attention.head_dim"},
        {ATTN_HEADS "sequence: {length: 9}\ninput: {synthetic: {d_model: 16388}}",
         "input.synthetic.d_model: is 16388, so a head is wider than 4096; take more heads"},
        {ATTN_HEADS "sequence: {length: 9}\ninput: {synthetic: {tensors: qkv}}",
         "c.yaml:3:30: input.synthetic.tensors: is qkv without attention.head_dim; give"},
        {ATTN_HEADS "sequence: {length: 9}\ninput: {synthetic: {tensors: qkv, d_model: 8}}",
         "c.yaml:3:44: input.synthetic.d_model: means nothing for tensors: qkv; leave it out"},
        {ATTN_GOOD "sequence: {length: 9, kv_length: 8}",
         "c.yaml:3:34: sequence.kv_length: is 8; must equal sequence.length, which is 9: a layer "
         "attends to its own rows, unless it has input.memory"},
        {ATTN_HEADS "sequence: {length: 9, kv_length: 8}\ninput: {synthetic: {d_model: 8}}",
         "c.yaml:2:34: sequence.kv_length: is 8; must equal sequence.length, which is 9: a layer "
         "attends to its own rows, unless it has input.synthetic.d_memory"},
        {ATTN_HEADS "input: {memory: m, q: q, k: k, v: v}",
         "c.yaml:2:17: input.memory: is given without input.x; keys and values are projected"},
        {ATTN_HEADS "sequence: {length: 9}\ninput: {memory: m, synthetic: {d_model: 8}}",
         "c.yaml:3:17: input.memory: contradicts input.synthetic, which makes its own memory; "
         "give input.synthetic.d_memory instead"},
        {"attention: {heads: 4, head_dim: 8}\nsequence: {length: 9}\n"
         "input: {synthetic: {tensors: qkv, d_memory: 8}}",
         "c.yaml:3:45: input.synthetic.d_memory: means nothing for tensors: qkv"},
        {ATTN_GOOD "output: {y: a.npy, lse: a.npy}",
         "c.yaml:3:25: output.lse: would overwrite the file of output.y; must be a file of its"},
        {ATTN_GOOD "output: {report: a.json, trace: a.json}",
         "output.trace: would overwrite the file of output.report; must be a file of its own"},
        {ATTN_HEADS "input: {x: /d/x.npy, weights: {file: w}}\noutput: {y: /d/x.npy}",
         "output.y: would overwrite the file of input.x"},
        {ATTN_HEADS "input: {q: /d/a#q, k: /d/a#k, v: /d/a#v}\noutput: {y: /d/a}",
         "output.y: would overwrite the file of input.q"},
    };
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_bad_rotations(void) {
    static const attn_bad_text cases[] = {
        {"attention: {heads: 4, rope: 1}\n" ATTN_LAYER,
         "c.yaml:1:29: attention.rope: is the integer '1'; must be a mapping of theta, dim, "
         "pairing, scaling"},
        {"attention: {heads: 4, rope: {theta: 1.0}}\n" ATTN_LAYER,
         "c.yaml:1:37: attention.rope.theta: is 1; must be above 1"},
        {"attention: {heads: 4, rope: {pairing: halfs}}\n" ATTN_LAYER,
         "c.yaml:1:39: attention.rope.pairing: is 'halfs'; must be one of half, interleaved (did "
         "you mean half?)"},
        {"attention: {heads: 4, rope: {dim: 7}}\n" ATTN_LAYER,
         "c.yaml:1:35: attention.rope.dim: is 7; must be even: elements turn in pairs"},
        {"attention: {heads: 4, rope: {dim: 0}}\n" ATTN_LAYER,
         "c.yaml:1:35: attention.rope.dim: is 0; must be an integer from 2 to 4096"},
        {"attention: {heads: 4, head_dim: 8, rope: {dim: 10}}\n" ATTN_LAYER,
         "c.yaml:1:48: attention.rope.dim: is 10; must be at most the width of a head, which is 8"},
        {"attention: {heads: 4, rope: {scaling: {}}}\n" ATTN_LAYER,
         "c.yaml:1:30: attention.rope.scaling: has no kind; add kind: linear, ntk or yarn"},
        {"attention: {heads: 4, rope: {scaling: {kind: none}}}\n" ATTN_LAYER,
         "c.yaml:1:46: attention.rope.scaling.kind: is 'none'; must be one of linear, ntk, yarn"},
        {"attention: {heads: 4, rope: {scaling: {kind: ntk}}}\n" ATTN_LAYER,
         "c.yaml:1:30: attention.rope.scaling: has no factor; add factor: "},
        {"attention: {heads: 4, rope: {scaling: {kind: linear, factor: 0.5}}}\n" ATTN_LAYER,
         "c.yaml:1:62: attention.rope.scaling.factor: is 0.5; must be at least 1"},
        {"attention: {heads: 4, rope: {scaling: {kind: yarn, factor: 4}}}\n" ATTN_LAYER,
         "c.yaml:1:30: attention.rope.scaling: has no original_length; yarn needs it"},
        {"attention: {heads: 4, rope: {scaling: {kind: yarn, factor: 4, original_length: 7}}}"
         "\n" ATTN_LAYER,
         "c.yaml:1:80: attention.rope.scaling.original_length: is 7; must be an integer from 8"},
        {"attention: {heads: 4, rope: {scaling: {kind: ntk, factor: 4, original_length: 9}}}"
         "\n" ATTN_LAYER,
         "c.yaml:1:79: attention.rope.scaling.original_length: means nothing for kind: ntk; leave "
         "it out"},
        {"attention: {heads: 4, rope: {dim: 2, scaling: {kind: ntk, factor: 4}}}\n" ATTN_LAYER,
         "c.yaml:1:35: attention.rope.dim: turns 2 elements, which ntk cannot stretch"},
        {"attention: {heads: 4, qk_norm: {eps: 0}}\n" ATTN_LAYER,
         "c.yaml:1:38: attention.qk_norm.eps: is 0; must be a number above 0"},
        {"attention: {heads: 4, qk_norm: 1.0e-6}\n" ATTN_LAYER,
         "c.yaml:1:32: attention.qk_norm: is the float '1.0e-6'; must be a mapping of eps"},
    };
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_bad_sets(void) {
    static const struct {
        const char *set;
        attn_status status;
        const char *message;
    } cases[] = {
        {"attention.heads", ATTN_ERR_USAGE, "--set: 'attention.heads' has no value; write KEY=VAL"},
        {"=4", ATTN_ERR_USAGE, "--set: '=4' has no key; write KEY=VALUE"},
        {"attention.heads=", ATTN_ERR_CONFIG, "--set: attention.heads: has no value; give one, or"},
        {"attention.heads=four", ATTN_ERR_CONFIG, "--set: attention.heads: is the string 'four';"},
        {"attention.heads=0", ATTN_ERR_CONFIG, "--set: attention.heads: is 0; must be an integer"},
        {"attention.heads={a: 1}", ATTN_ERR_CONFIG, "--set: attention.heads: is a mapping; must"},
        {"attention.hedas=4", ATTN_ERR_CONFIG, "--set: attention.hedas: is not a key; did you"},
        {"foo.bar=4", ATTN_ERR_CONFIG, "--set: foo.bar: is not a key; the keys of a config are"},
        {"attention=4", ATTN_ERR_CONFIG, "--set: attention: is the integer '4'; must be a mapping"},
        {"input.x=@a", ATTN_ERR_CONFIG, "--set: input.x: is not YAML: found character that cannot"},
        {"input.weights={fil: a}", ATTN_ERR_CONFIG, "--set: input.weights.fil: is not a key; did"},
        {"attention.heads=null", ATTN_ERR_CONFIG, "c.yaml:1:1: attention.heads: is missing"},
        {"attention.kv_heads=3", ATTN_ERR_CONFIG, "--set: attention.kv_heads: is 3; must divide"},
        {"input.synthetic.seed=1", ATTN_ERR_CONFIG, "--set: input.synthetic: contradicts input.x"},
        {"attention=null", ATTN_ERR_CONFIG, "c.yaml: attention.heads: is missing"},
        {"output.y=*a", ATTN_ERR_CONFIG, "--set: output.y: is an alias; write the value itself"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_error error;
        const attn_status status =
            attn_parse_bytes(ATTN_GOOD, strlen(ATTN_GOOD), ATTN_SETS(cases[i].set), &error);

        attn_parse_expect_error(status, cases[i].status, &error, cases[i].message);
    }
}

static void test_later_failures(void) {
    static attn_config other; /* too large for some stacks */
    const attn_config *config =
        attn_parse_good_with("attention:\n  heads: 4\n" ATTN_LAYER, ATTN_SETS("verify.rows=3"));
    attn_error error;
    char file[600];

    attn_parse_expect_error(
        attn_config_fail(config, "attention.heads", &error, ATTN_ERR_INPUT, "no %d", 7),
        ATTN_ERR_INPUT, &error, "c.yaml:2:10: attention.heads: no 7");
    attn_parse_expect_error(
        attn_config_fail(config, "attention.mask", &error, ATTN_ERR_CONFIG, "no"), ATTN_ERR_CONFIG,
        &error, "c.yaml: attention.mask: no");
    attn_parse_expect_error(attn_config_fail(config, "verify.rows", &error, ATTN_ERR_CONFIG, "no"),
                            ATTN_ERR_CONFIG, &error, "--set: verify.rows: no");
    CU_ASSERT_EQUAL(config->marks[attn_config_key_find("verify.rows")].set, 1);

    memset(file, 'f', sizeof file - 1);
    file[sizeof file - 1] = '\0';
    CU_ASSERT_EQUAL(attn_config_parse("a: 1", 4, file, NULL, 0, "/", "/", &other, &error),
                    ATTN_ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "fff:1:1: a: is not a key; the keys"));
}

int main(void) {
    static const attn_test tests[] = {
        {"config.contradictions_are_refused", test_contradictions},
        {"config.bad_rotations_are_refused", test_bad_rotations},
        {"config.bad_sets_are_refused", test_bad_sets},
        {"config.later_failures_name_the_place", test_later_failures},
    };

    return attn_test_main("unit.config_contradictions", tests, ATTN_TEST_COUNT(tests));
}
