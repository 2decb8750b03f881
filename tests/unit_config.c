/* The config parser: what it accepts, what it refuses and with which words, and
 * that the two example files stay true. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "config.h"
#include "config_keys.h"
#include "config_rope.h"
#include "harness.h"

#define HEADS  "attention: {heads: 4}\n"
#define LAYER  "input: {x: x.npy, weights: {file: w.safetensors}}\n"
#define GOOD   HEADS LAYER
#define REST   "\n" LAYER
#define LONG_8 "aaaaaaaa"
#define LONG   LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8

static attn_config config;
static attn_error error;

static attn_status parse_bytes(const char *text, size_t bytes, const char *const *sets,
                               int set_count) {
    memset(&error, 0, sizeof error);
    return attn_config_parse(text, bytes, "c.yaml", sets, set_count, "/in", "/out", &config,
                             &error);
}

static attn_status parse(const char *text) {
    return parse_bytes(text, strlen(text), NULL, 0);
}

static attn_status parse_set(const char *text, const char *set) {
    return parse_bytes(text, strlen(text), &set, 1);
}

/* Prints what a failed assertion alone would not say. */
static void expect_message(attn_status status, attn_status expected_status, const char *expected) {
    const int holds = status == expected_status && error.status == expected_status &&
                      strstr(error.message, expected) != NULL;

    if (!holds) printf("\n    expected: %s\n    got:      %s\n", expected, error.message);
    CU_ASSERT(holds);
}

static void expect_ok(attn_status status) {
    if (status != ATTN_OK) printf("\n    got: %s\n", error.message);
    CU_ASSERT_EQUAL(status, ATTN_OK);
    CU_ASSERT_EQUAL(error.status, ATTN_OK);
}

typedef struct attn_bad_config {
    const char *text;
    const char *message; /* part of the error */
} attn_bad_config;

static void expect_all_bad(const attn_bad_config *cases, size_t count) {
    for (size_t i = 0; i < count; i++)
        expect_message(parse(cases[i].text), ATTN_ERR_CONFIG, cases[i].message);
}

#define EXPECT_ALL_BAD(cases) expect_all_bad(cases, sizeof(cases) / sizeof *(cases))

static void test_unknown_keys(void) {
    static const attn_bad_config cases[] = {
        {"attention: {hedas: 4}",
         "c.yaml:1:13: attention.hedas: is not a key; did you mean attention.heads (query heads)?"},
        {"attention:\n  heads: 4\n  kvheads: 2",
         "c.yaml:3:3: attention.kvheads: is not a key; "
         "did you mean attention.kv_heads"},
        {"atention: {heads: 4}", "c.yaml:1:1: atention: is not a key; did you mean attention ("},
        {"heads: 4", "c.yaml:1:1: heads: is not a key; did you mean attention.heads ("},
        {"attention: {lenght: 4}", "did you mean sequence.length ("},
        {"attention: {num_heads: 4}", "did you mean attention.heads ("},
        {"attention: {num_kv_heads: 4}", "did you mean attention.kv_heads ("},
        {"atention: {}\nsequence: {}", "c.yaml:1:1: atention: is not a key; did you mean atte"},
        {"input: {weights: {fiel: w}}",
         "c.yaml:1:19: input.weights.fiel: is not a key; did you mean input.weights.file ("},
        {"attention: {bananas: {theta: 1.0}}",
         "c.yaml:1:13: attention.bananas: is not a key; the keys of attention are heads, kv_heads, "
         "head_dim, scale, mask"},
        {"attention: {rope: {thta: 1.0}}", "did you mean attention.rope.theta ("},
        {"input: {z: 1}", "the keys of input are x, memory, weights, q, k, v, synthetic"},
        {"bananas: 1",
         "c.yaml:1:1: bananas: is not a key; the keys of a config are attention, "
         "sequence, parallel, compute, input, output, verify"},
        {"attention.heads: 4", "c.yaml:1:1: attention.heads: is a key with a dot; nest it"},
        {"'': 4", "c.yaml:1:1: : is not a key"},
        {"\"heads\\0\": 4", "c.yaml:1:1: heads?: is not a key"},
        {LONG ": 4",
         "c.yaml:1:1: " LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 "aaaa...: is not a key"},
        {"<<: {attention: 1}", "c.yaml:1:1: <<: is a merge key; write the keys themselves"},
    };
    EXPECT_ALL_BAD(cases);
}

static void test_duplicate_keys(void) {
    static const attn_bad_config cases[] = {
        {"attention:\n  heads: 4\n  mask: none\n  heads: 4",
         "c.yaml:4:3: attention.heads: is given twice, first in line 2; keep one"},
        {HEADS LAYER HEADS, "c.yaml:3:1: attention: is given twice, first in line 1"},
        {"{version: 1, config: {},\n config: {}}",
         "c.yaml:2:2: config: is given twice, first in line 1"},
    };
    EXPECT_ALL_BAD(cases);
}

static void test_wrong_types(void) {
    static const attn_bad_config cases[] = {
        {"attention:\n  heads: {a: 1}",
         "c.yaml:2:10: attention.heads: is a mapping; must be an "
         "integer from 1 to 65536"},
        {"attention: {heads: [4]}", "c.yaml:1:20: attention.heads: is a sequence; must be an"},
        {"attention: {heads: four}", "1:20: attention.heads: is the string 'four'; must be an"},
        {"attention: {heads: '4'}",
         "is the string '4'; must be an integer from 1 to 65536, "
         "without quotes"},
        {"attention: {heads: 4.0}", "is the float '4.0'; must be an integer"},
        {"attention: {heads: 1e3}", "is the float '1e3'; must be an integer"},
        {"attention: {heads: 0x10}",
         "is the odd integer '0x10'; must be an integer from 1 to "
         "65536, decimal, without leading zeros"},
        {"attention: {heads: 08}", "is the odd integer '08'; must be an"},
        {"attention: {heads: 1_0}", "is the string '1_0'; must be an"},
        {"attention: {heads: true}", "is the boolean 'true'; must be an"},
        {"attention: {heads: auto}", "is the string 'auto'; must be an"},
        {"parallel: {threads: all}", "is the string 'all'; must be auto or an integer from 1 to"},
        {"attention: {mask: [causal]}",
         "c.yaml:1:19: attention.mask: is a sequence; must be none, causal or a mapping of causal, "
         "window, prefix, documents, first, key_lengths, bias"},
        {"attention: {alibi: [1]}",
         "c.yaml:1:20: attention.alibi: is a sequence; must be false, true or a mapping of "
         "published, slopes"},
        {"attention: {alibi: 1}", "c.yaml:1:20: attention.alibi: is the integer '1'; must be"},
        {"attention: {alibi: {slopes: 1}}",
         "c.yaml:1:29: attention.alibi.slopes: is the integer '1'; must be a list of 1 to 1024 "
         "numbers that fp32 can hold, or FILE.npy or FILE.safetensors#TENSOR with as many as it "
         "takes"},
        {"attention: {sinks: [1, one]}",
         "c.yaml:1:24: attention.sinks: is the string 'one'; must be a list of 1 to 1024 numbers"},
        {"attention: {sinks: [1, [2]]}", "c.yaml:1:24: attention.sinks: is a sequence; must be"},
        {"attention: {sinks: ['1']}",
         "c.yaml:1:21: attention.sinks: is the string '1'; must be a list of 1 to 1024 numbers "
         "that "
         "fp32 can hold, or FILE.npy or FILE.safetensors#TENSOR with as many as it takes, without "
         "quotes"},
        {"attention: {softcap: none}",
         "c.yaml:1:22: attention.softcap: is the string 'none'; must"},
        {"attention: {mask: true}", "attention.mask: is the boolean 'true'; must be none, causal"},
        {"attention: {mask: {window: 4}}",
         "c.yaml:1:28: attention.mask.window: is the integer '4'; must be a list of 2 integers "
         "from "
         "-1 to 281474976710656"},
        {"attention: {mask: {window: [4, four]}}",
         "c.yaml:1:32: attention.mask.window: is the string 'four'; must be a list of 2 integers"},
        {"attention: {mask: {window: [4, [5]]}}", "c.yaml:1:32: attention.mask.window: is a seq"},
        {"attention: {mask: {documents: 700}}",
         "c.yaml:1:31: attention.mask.documents: is the integer '700'; must be a list of 1 to 1024 "
         "integers from 1 to 281474976710656, or the path of a .npy"},
        {"attention: {mask: {causal: 1}}",
         "c.yaml:1:28: attention.mask.causal: is '1'; must be one "},
        {"attention: {scale: big}", "is the string 'big'; must be a number above 0"},
        {"attention: {scale: nan}", "is the string 'nan'; must be a number above 0"},
        {"attention: {scale: '0.5'}", "must be a number above 0 that fp32 can hold, without q"},
        {"attention: 4", "c.yaml:1:12: attention: is the integer '4'; must be a mapping of heads,"},
        {"attention: [4]", "c.yaml:1:12: attention: is a sequence; must be a mapping of heads,"},
        {"input: {x: 12}", "c.yaml:1:12: input.x: is the integer '12'; must be a path, in quotes"},
        {"output: {y: false}", "output.y: is the boolean 'false'; must be a path, in quotes"},
        {"input: {weights: {prefix: 0.}}",
         "c.yaml:1:27: input.weights.prefix: is the float '0.'; must be a text of at most 255 "
         "bytes, in quotes if it looks like something else"},
        {"input: {weights: {prefix: [a]}}", "is a sequence; must be a text of at most 255 bytes"},
        {"input: {weights: {prefix: \"a\\0b\"}}", "with a control character; must have none"},
        {"input: {weights: {prefix: \"a\\tb\"}}", "is 'a?b', with a control character; must"},
    };
    EXPECT_ALL_BAD(cases);
}

static void test_out_of_range(void) {
    static const attn_bad_config cases[] = {
        {"attention: {heads: 0}", "c.yaml:1:20: attention.heads: is 0; must be an integer from 1"},
        {"attention: {heads: -4}", "is -4; must be an integer from 1 to 65536"},
        {"attention: {heads: 65537}", "is 65537; must be"},
        {"attention: {head_dim: 4097}", "is 4097; must be an integer from 1 to 4096"},
        {"sequence: {length: 281474976710657}", "from 1 to 281474976710656"},
        {"sequence: {batch: 1048577}", "from 1 to 1048576"},
        {"attention: {heads: 18446744073709551620}", "is 18446744073709551620; must be"},
        {"attention: {heads: 99999999999999999999999999999999999999999999999999999999999999999}",
         "is 999999999999999999999999999999999999999999999999999999999999...; must be"},
        {"parallel: {threads: 4097}", "must be auto or an integer from 1 to 4096"},
        {"attention: {mask: {window: [-2, 0]}}", "c.yaml:1:29: attention.mask.window: is -2; must"},
        {"attention: {mask: {window: [1, 2, 3]}}",
         "c.yaml:1:35: attention.mask.window: has another number of integers; must be a list of 2"},
        {"attention: {mask: {window: [1]}}",
         "c.yaml:1:28: attention.mask.window: has another number of integers; must be a list of 2"},
        {"attention: {softcap: 0}", "c.yaml:1:22: attention.softcap: is 0; must be a number above"},
        {"attention: {softcap: .inf}", "c.yaml:1:22: attention.softcap: is .inf; must be a number"},
        {"attention: {sinks: []}",
         "c.yaml:1:20: attention.sinks: has another number of numbers; must be a list of 1 to "
         "1024"},
        {"attention: {sinks: [1, .nan]}", "c.yaml:1:24: attention.sinks: is .nan; must be a list"},
        {"attention: {sinks: [-4e38]}", "c.yaml:1:21: attention.sinks: is -4e38; must be a list"},
        {"attention: {mask: {documents: []}}", "attention.mask.documents: has another number of"},
        {"attention: {mask: {documents: [3, 0]}}", "c.yaml:1:35: attention.mask.documents: is 0;"},
        {"attention: {mask: {key_lengths: [-1]}}", "attention.mask.key_lengths: is -1; must be a "},
        {"attention: {mask: {prefix: -1}}",
         "attention.mask.prefix: is -1; must be an integer from "},
        {"verify: {rows: -1}", "is -1; must be an integer from 0 to 1048576"},
        {"input: {synthetic: {seed: 9007199254740993}}", "from 0 to 9007199254740992"},
        {"attention: {scale: 0}", "attention.scale: is 0; must be a number above 0"},
        {"attention: {scale: -1.0}", "is -1.0; must be a number above 0"},
        {"attention: {scale: .inf}", "is .inf; must be a number above 0"},
        {"attention: {scale: -.INF}", "is -.INF; must be a number above 0"},
        {"attention: {scale: .nan}", "is .nan; must be a number above 0"},
        {"attention: {scale: 1e999}", "is 1e999; must be a number above 0 that fp32 can hold"},
        {"attention: {scale: 1e-60}", "is 1e-60; must be a number above 0 that fp32 can hold"},
        {"verify: {tolerance: 0.0}", "verify.tolerance: is 0.0; must be a number above 0"},
    };
    EXPECT_ALL_BAD(cases);
}

static void test_unknown_choices(void) {
    static const attn_bad_config cases[] = {
        {"attention: {mask: casual}",
         "c.yaml:1:19: attention.mask: is 'casual'; must be none, causal or a mapping of causal, "
         "window, prefix, documents, first, key_lengths, bias (did you mean causal?)"},
        {"attention: {mask: sliding}", "is 'sliding'; must be none, causal or a mapping"},
        {"attention: {mask: {causal: top_lfet}}",
         "c.yaml:1:28: attention.mask.causal: is 'top_lfet'; must be one of false, true, top_left "
         "(did you mean top_left?)"},
        {"attention: {mask: {windw: [1, 0]}}",
         "c.yaml:1:20: attention.mask.windw: is not a key; did you mean attention.mask.window ("},
        {"attention: {mask: {pears: 4}}",
         "the keys of attention.mask are causal, window, prefix, "},
        {"attention: {mask: {sinks: 4}}",
         "c.yaml:1:20: attention.mask.sinks: is not a key; did you mean attention.sinks ("},
        {"attention: {alibi: yes}",
         "c.yaml:1:20: attention.alibi: is 'yes'; must be false, true or a mapping"},
        {"parallel: {circulate: rnig}", "(did you mean ring?)"},
        {"parallel: {circulate: atuo}",
         "must be one of auto, ring, gather, reduce (did you mean auto?)"},
        {"parallel: {layout: contigous}", "(did you mean contiguous?)"},
        {"compute: {dtype: fp16}", "compute.dtype: is 'fp16'; must be one of fp32, bf16"},
        {"compute: {dtype: FP32}", "is 'FP32'; must be one of fp32, bf16 (did you mean fp32?)"},
        {"compute: {kernel: genric}", "(did you mean generic?)"},
        {"input: {weights: {scheme: liner}}", "(did you mean linear?)"},
        {"input: {synthetic: {tensors: q}}", "is 'q'; must be one of layer, qkv"},
        {"attention: {mask: \"causal\\0\"}", "is 'causal?'; must be none, causal"},
    };
    EXPECT_ALL_BAD(cases);
}

static void test_missing_values(void) {
    static const attn_bad_config cases[] = {
        {"attention:\n  heads:\n  mask: none",
         "c.yaml:2:3: attention.heads: has no value; must be "
         "an integer from 1 to 65536, or left out"},
        {"attention: {mask: ~}",
         "c.yaml:1:13: attention.mask: has no value; must be none, causal or a "},
        {"input: null", "c.yaml:1:1: input: has no value; must be a mapping of x, memory,"},
        {"output: {y: ''}", "c.yaml:1:13: output.y: is empty; must be a path, or left out"},
        {LAYER, "c.yaml: attention.heads: is missing; give the number of query heads"},
        {LAYER "attention: {mask: none}", "c.yaml:2:1: attention.heads: is missing; give the"},
        {"{}", "c.yaml: attention.heads: is missing"},
        {"", "c.yaml:1:1: is empty; must be a mapping of attention, sequence, parallel,"},
        {"# nothing but this\n", "c.yaml:1:1: is empty; must be a mapping of"},
        {"---\n", "c.yaml:1:1: is empty; must be a mapping of"},
        {"- a\n- b", "c.yaml:1:1: is a sequence; must be a mapping of attention,"},
        {"heads", "c.yaml:1:1: is a scalar; must be a mapping of attention,"},
        {"{version: 1, config: [4]}", "c.yaml:1:22: config: is a sequence; must be a mapping"},
    };
    EXPECT_ALL_BAD(cases);
}

static void test_yaml_errors(void) {
    static const attn_bad_config cases[] = {
        {"attention: {heads: 4\n",
         "c.yaml:2:1: is not YAML: did not find expected ',' or '}' (while "
         "parsing a flow mapping from line 1 on); check the indentation"},
        {"attention:\n\theads: 4",
         "c.yaml:2:1: is not YAML: found character that cannot start any "
         "token (while scanning for the next token from line 2 on)"},
        {"a: b: c", "c.yaml:1:5: is not YAML: mapping values are not allowed in this context"},
        {"a: 'b", "is not YAML: found unexpected end of stream"},
        {"%YAML 3.0\n---\na: b", "c.yaml:1:1: is not YAML: found incompatible YAML document"},
        {GOOD "---\n" GOOD, "c.yaml:3:1: starts a second document; write one document"},
        {"attention: &a {heads: 4}\ninput: *a", "c.yaml:2:8: input: is an alias; write the value"},
        {"attention: {heads: !!int 4}", "c.yaml:1:20: attention.heads: has a tag; write the"},
        {"!!map {}", "c.yaml:1:1: has a tag; write the value alone"},
        {"? [a]\n: b", "c.yaml:1:3: has a key that is not a word; write KEY: VALUE"},
        {"a: b\nc: \xff",
         "c.yaml:2:4: is not text: invalid leading UTF-8 octet; write it in UTF-8"},
        {"\xc3\xa9\xc3\xa9: \xc3", "c.yaml:1:5: is not text: incomplete UTF-8 octet sequence"},
        {"a: \x01", "c.yaml:1:4: is not text: control characters are not allowed"},
        {"a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: {m: {n: {o: {p: {q: {r: {s: {t: {u: {v: "
         "{w: {x: {y: {z: {a: {b: {c: {d: {e: {f: {g: {h: {i: ",
         "c.yaml:1:128: is nested too deeply; a config has four levels"},
        {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "c.yaml:1:35: is nested too deeply"},
        {"\xef\xbb\xbf"
         "bananas: 1",
         "c.yaml:1:1: bananas: is not a key"},
    };
    EXPECT_ALL_BAD(cases);
    expect_message(parse_bytes("a: \0b", 6, NULL, 0), ATTN_ERR_CONFIG,
                   "c.yaml:1:4: is not text: control characters are not allowed");
}

static void test_contradictions(void) {
    static const attn_bad_config cases[] = {
        {"attention:\n  heads: 4\n  kv_heads: 3" REST,
         "c.yaml:3:13: attention.kv_heads: is 3; must divide attention.heads, which is 4"},
        {"attention:\n  heads: 4\n  alibi: {}" REST,
         "c.yaml:3:3: attention.alibi: has no slopes; must be true for those of the paper, or "
         "{slopes: [...]}"},
        {"attention:\n  heads: 4\n  alibi: {published: true, slopes: [1, 1, 1, 1]}" REST,
         "c.yaml:3:36: attention.alibi.slopes: contradict published: true, which has its own; give "
         "only one of the two"},
        {"attention:\n  heads: 4\n  alibi: {slopes: [1, 1, 1]}" REST,
         "c.yaml:3:19: attention.alibi.slopes: has 3 numbers; must have 4, one for each of "
         "attention.heads"},
        {"attention:\n  heads: 4\n  sinks: [1]" REST,
         "c.yaml:3:10: attention.sinks: has 1 number; must have 4, one for each of"},
        {"attention:\n  heads: 4\n  sinks: w.safetensors#s" REST "output: {y: /in/w.safetensors}",
         "output.y: would overwrite the file of attention.sinks; must be a file of its own"},
        {"attention:\n  heads: 4\n  mask: {bias: b.npy}" REST "parallel: {circulate: reduce}",
         "parallel.circulate: is reduce, which moves queries, but not their biases; take ring or "
         "gather"},
        {"attention:\n  heads: 4\n  mask: {bias: b.npy}" REST "output: {lse: /in/b.npy}",
         "output.lse: would overwrite the file of attention.mask.bias; must be a file of its own"},
        {HEADS, "c.yaml: input: has no tensors; give x and weights, or q, k and v, or synthetic"},
        {HEADS "input: {}", "c.yaml:2:1: input: has no tensors; give"},
        {HEADS "input: {x: x.npy}", "c.yaml:2:12: input.x: has no weights; add input.weights"},
        {HEADS "input: {weights: {file: w}}", "c.yaml:2:9: input.weights: has nothing to project"},
        {HEADS "input: {x: x.npy, weights: {scheme: linear}}",
         "c.yaml:2:19: input.weights: names no file; add file"},
        {HEADS "input: {q: q, k: k}", "c.yaml:2:12: input.q: is given without input.v; give all"},
        {HEADS "input: {v: v, q: q}", "c.yaml:2:18: input.q: is given without input.k; give all"},
        {HEADS "input: {k: k, v: v}", "c.yaml:2:12: input.k: is given without input.q; give all"},
        {HEADS "input: {x: x, q: q}",
         "c.yaml:2:18: input.q: contradicts input.x; give only one of x with weights, q with k "
         "and v, or synthetic (--set input.x=null takes a key out)"},
        {HEADS "input: {k: k, synthetic: {}}",
         "c.yaml:2:15: input.synthetic: contradicts input.k; give only one"},
        {HEADS "input: {weights: {}, synthetic: {}}",
         "c.yaml:2:22: input.synthetic: contradicts input.weights; give only one"},
        {HEADS "input: {synthetic: {d_model: 8}}",
         "c.yaml:2:9: input.synthetic: has no length; add sequence.length"},
        {HEADS "sequence: {length: 9}\ninput: {synthetic: {}}",
         "c.yaml:3:9: input.synthetic: has no d_model; a layer needs it"},
        {HEADS "sequence: {length: 9}\ninput: {synthetic: {d_model: 6}}",
         "c.yaml:3:30: input.synthetic.d_model: is 6; must be a multiple of attention.heads, "
         "which is 4, or give attention.head_dim"},
        {HEADS "sequence: {length: 9}\ninput: {synthetic: {d_model: 16388}}",
         "input.synthetic.d_model: is 16388, so a head is wider than 4096; take more heads"},
        {HEADS "sequence: {length: 9}\ninput: {synthetic: {tensors: qkv}}",
         "c.yaml:3:30: input.synthetic.tensors: is qkv without attention.head_dim; give"},
        {HEADS "sequence: {length: 9}\ninput: {synthetic: {tensors: qkv, d_model: 8}}",
         "c.yaml:3:44: input.synthetic.d_model: means nothing for tensors: qkv; leave it out"},
        {GOOD "sequence: {length: 9, kv_length: 8}",
         "c.yaml:3:34: sequence.kv_length: is 8; must equal sequence.length, which is 9: a layer "
         "attends to its own rows, unless it has input.memory"},
        {HEADS "sequence: {length: 9, kv_length: 8}\ninput: {synthetic: {d_model: 8}}",
         "c.yaml:2:34: sequence.kv_length: is 8; must equal sequence.length, which is 9: a layer "
         "attends to its own rows, unless it has input.synthetic.d_memory"},
        {HEADS "input: {memory: m, q: q, k: k, v: v}",
         "c.yaml:2:17: input.memory: is given without input.x; keys and values are projected"},
        {HEADS "sequence: {length: 9}\ninput: {memory: m, synthetic: {d_model: 8}}",
         "c.yaml:3:17: input.memory: contradicts input.synthetic, which makes its own memory; "
         "give input.synthetic.d_memory instead"},
        {"attention: {heads: 4, head_dim: 8}\nsequence: {length: 9}\n"
         "input: {synthetic: {tensors: qkv, d_memory: 8}}",
         "c.yaml:3:45: input.synthetic.d_memory: means nothing for tensors: qkv"},
        {GOOD "output: {y: a.npy, lse: a.npy}",
         "c.yaml:3:25: output.lse: would overwrite the file of output.y; must be a file of its"},
        {GOOD "output: {report: a.json, trace: a.json}",
         "output.trace: would overwrite the file of output.report; must be a file of its own"},
        {HEADS "input: {x: /d/x.npy, weights: {file: w}}\noutput: {y: /d/x.npy}",
         "output.y: would overwrite the file of input.x"},
        {HEADS "input: {q: /d/a#q, k: /d/a#k, v: /d/a#v}\noutput: {y: /d/a}",
         "output.y: would overwrite the file of input.q"},
    };
    EXPECT_ALL_BAD(cases);
}

static void test_bad_rotations(void) {
    static const attn_bad_config cases[] = {
        {"attention: {heads: 4, rope: 1}" REST,
         "c.yaml:1:29: attention.rope: is the integer '1'; must be a mapping of theta, dim, "
         "pairing, scaling"},
        {"attention: {heads: 4, rope: {theta: 1.0}}" REST,
         "c.yaml:1:37: attention.rope.theta: is 1; must be above 1"},
        {"attention: {heads: 4, rope: {pairing: halfs}}" REST,
         "c.yaml:1:39: attention.rope.pairing: is 'halfs'; must be one of half, interleaved (did "
         "you mean half?)"},
        {"attention: {heads: 4, rope: {dim: 7}}" REST,
         "c.yaml:1:35: attention.rope.dim: is 7; must be even: elements turn in pairs"},
        {"attention: {heads: 4, rope: {dim: 0}}" REST,
         "c.yaml:1:35: attention.rope.dim: is 0; must be an integer from 2 to 4096"},
        {"attention: {heads: 4, head_dim: 8, rope: {dim: 10}}" REST,
         "c.yaml:1:48: attention.rope.dim: is 10; must be at most the width of a head, which is 8"},
        {"attention: {heads: 4, rope: {scaling: {}}}" REST,
         "c.yaml:1:30: attention.rope.scaling: has no kind; add kind: linear, ntk or yarn"},
        {"attention: {heads: 4, rope: {scaling: {kind: none}}}" REST,
         "c.yaml:1:46: attention.rope.scaling.kind: is 'none'; must be one of linear, ntk, yarn"},
        {"attention: {heads: 4, rope: {scaling: {kind: ntk}}}" REST,
         "c.yaml:1:30: attention.rope.scaling: has no factor; add factor: "},
        {"attention: {heads: 4, rope: {scaling: {kind: linear, factor: 0.5}}}" REST,
         "c.yaml:1:62: attention.rope.scaling.factor: is 0.5; must be at least 1"},
        {"attention: {heads: 4, rope: {scaling: {kind: yarn, factor: 4}}}" REST,
         "c.yaml:1:30: attention.rope.scaling: has no original_length; yarn needs it"},
        {"attention: {heads: 4, rope: {scaling: {kind: yarn, factor: 4, original_length: 7}}}" REST,
         "c.yaml:1:80: attention.rope.scaling.original_length: is 7; must be an integer from 8"},
        {"attention: {heads: 4, rope: {scaling: {kind: ntk, factor: 4, original_length: 9}}}" REST,
         "c.yaml:1:79: attention.rope.scaling.original_length: means nothing for kind: ntk; leave "
         "it out"},
        {"attention: {heads: 4, rope: {dim: 2, scaling: {kind: ntk, factor: 4}}}" REST,
         "c.yaml:1:35: attention.rope.dim: turns 2 elements, which ntk cannot stretch"},
        {"attention: {heads: 4, qk_norm: {eps: 0}}" REST,
         "c.yaml:1:38: attention.qk_norm.eps: is 0; must be a number above 0"},
        {"attention: {heads: 4, qk_norm: 1.0e-6}" REST,
         "c.yaml:1:32: attention.qk_norm: is the float '1.0e-6'; must be a mapping of eps"},
    };
    EXPECT_ALL_BAD(cases);
}

/* What a config asks of heads 16 wide. */
static void test_rotations(void) {
    attn_rope rope;

    expect_ok(parse(GOOD));
    CU_ASSERT_EQUAL(config.attention.rope, 0);
    CU_ASSERT_EQUAL(config.attention.qk_norm, 0);
    CU_ASSERT_EQUAL(attn_config_rope_of(&config, 16, &rope, &error), ATTN_OK);
    CU_ASSERT_EQUAL(rope.dim, 0);

    expect_ok(parse("attention: {heads: 4, rope: {}, qk_norm: {}}" REST));
    CU_ASSERT_EQUAL(config.attention.qk_norm, 1);
    CU_ASSERT_EQUAL(config.attention.qk_norm_eps, 1e-6);
    CU_ASSERT_EQUAL(attn_config_rope_of(&config, 16, &rope, &error), ATTN_OK);
    CU_ASSERT(rope.dim == 16 && rope.theta == 10000 && rope.pairing == ATTN_ROPE_HALF &&
              rope.scaling == ATTN_ROPE_UNSCALED);
    expect_message(attn_config_rope_of(&config, 15, &rope, &error), ATTN_ERR_CONFIG,
                   "c.yaml:1:23: attention.rope: would turn heads 15 wide; elements turn in pairs: "
                   "add an even dim");

    expect_ok(
        parse("attention: {heads: 4, rope: {theta: 5.0e+5, dim: 8, pairing: interleaved,\n"
              "  scaling: {kind: yarn, factor: 4, original_length: 8192}}}" REST));
    CU_ASSERT_EQUAL(attn_config_rope_of(&config, 16, &rope, &error), ATTN_OK);
    CU_ASSERT(rope.dim == 8 && rope.theta == 5e5 && rope.pairing == ATTN_ROPE_INTERLEAVED &&
              rope.scaling == ATTN_ROPE_YARN && rope.factor == 4 && rope.original_length == 8192);
    CU_ASSERT_PTR_NULL(attn_rope_refused(&rope, 16));
    expect_message(attn_config_rope_of(&config, 7, &rope, &error), ATTN_ERR_CONFIG,
                   "c.yaml:1:50: attention.rope.dim: is 8; must be at most the width of a head, "
                   "which is 7");
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

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_message(parse_set(GOOD, cases[i].set), cases[i].status, cases[i].message);
}

static void test_defaults(void) {
    expect_ok(parse(GOOD));
    CU_ASSERT_EQUAL(config.attention.heads, 4);
    CU_ASSERT_EQUAL(config.attention.kv_heads, 4);
    CU_ASSERT_EQUAL(config.attention.head_dim, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.attention.scale, 0.0);
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_NOT_CAUSAL);
    CU_ASSERT_EQUAL(config.sequence.length, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.sequence.kv_length, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.sequence.batch, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.parallel.heads, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.parallel.sequence, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.parallel.circulate, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.parallel.layout, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.parallel.threads, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.compute.dtype, 0);
    CU_ASSERT_EQUAL(config.compute.kernel, ATTN_AUTO);
    CU_ASSERT_STRING_EQUAL(config.input.x, "/in/x.npy");
    CU_ASSERT_STRING_EQUAL(config.input.weights_file, "/in/w.safetensors");
    CU_ASSERT_EQUAL(config.input.weights_scheme, 0);
    CU_ASSERT_EQUAL(config.input.synthetic, 0);
    CU_ASSERT_STRING_EQUAL(config.output.y, "");
    CU_ASSERT_EQUAL(config.verify.rows, 0);
    CU_ASSERT_EQUAL(config.verify.tolerance, 1.0e-4);
}

static void test_values(void) {
    expect_ok(
        parse("attention: {heads: +8, kv_heads: 2, head_dim: 4096, scale: .5, mask: 'causal'}\n"
              "parallel: {heads: auto, sequence: \"auto\", circulate: gather, threads: 7}\n"
              "sequence: {length: 281474976710656}\n"
              "input: {synthetic: {seed: 9007199254740992, tensors: qkv}}\n"
              "verify: {rows: 3, tolerance: 1.5E-3}"));
    CU_ASSERT_EQUAL(config.attention.heads, 8);
    CU_ASSERT_EQUAL(config.attention.kv_heads, 2);
    CU_ASSERT_EQUAL(config.attention.scale, 0.5);
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_EQUAL(config.parallel.sequence, ATTN_AUTO);
    CU_ASSERT_EQUAL(config.parallel.circulate, 1);
    CU_ASSERT_EQUAL(config.parallel.threads, 7);
    CU_ASSERT_EQUAL(config.sequence.length, (int64_t)1 << 48);
    CU_ASSERT_EQUAL(config.sequence.batch, 1);
    CU_ASSERT_EQUAL(config.input.synthetic, 1);
    CU_ASSERT_EQUAL(config.input.synthetic_seed, (int64_t)1 << 53);
    CU_ASSERT_EQUAL(config.input.synthetic_tensors, ATTN_SYNTHETIC_QKV);
    CU_ASSERT_EQUAL(config.verify.tolerance, 1.5e-3);
    expect_ok(parse("attention: {heads: 1, scale: 2}" REST)); /* an integer is a number */
    CU_ASSERT_EQUAL(config.attention.scale, 2.0);
}

static void test_paths(void) {
    char text[ATTN_PATH_BYTES + 64];
    const int fits = ATTN_PATH_BYTES - 1 - (int)strlen("/in/");

    expect_ok(parse(HEADS "input: {q: 'a.safetensors#l.0.q', k: /k.npy, v: ../v.npy}\n"
                          "output: {y: y.npy, report: /r.json}"));
    CU_ASSERT_STRING_EQUAL(config.input.q, "/in/a.safetensors#l.0.q");
    CU_ASSERT_STRING_EQUAL(config.input.k, "/k.npy");
    CU_ASSERT_STRING_EQUAL(config.input.v, "/in/../v.npy");
    CU_ASSERT_STRING_EQUAL(config.output.y, "/out/y.npy");
    CU_ASSERT_STRING_EQUAL(config.output.report, "/r.json");

    expect_ok(attn_config_parse(GOOD, strlen(GOOD), "c.yaml", NULL, 0, "/", "/", &config, &error));
    CU_ASSERT_STRING_EQUAL(config.input.x, "/x.npy");

    snprintf(text, sizeof text, HEADS "input: {x: %0*d.n, weights: {file: w}}", fits - 2, 0);
    expect_ok(parse(text));
    CU_ASSERT_EQUAL(strlen(config.input.x), ATTN_PATH_BYTES - 1);
    snprintf(text, sizeof text, HEADS "input: {x: %0*d.n, weights: {file: w}}", fits - 1, 0);
    expect_message(
        parse(text), ATTN_ERR_CONFIG,
        "c.yaml:2:12: input.x: is 4096 bytes long with its folder; must be at most 4095");

    expect_message(parse(HEADS "input: {x: \"a\\nb\"}"), ATTN_ERR_CONFIG, "a control character");
    expect_message(parse(HEADS "input: {x: \"a\\0b\"}"), ATTN_ERR_CONFIG, "a control character");
    expect_message(parse(HEADS "input: {x: \"a\\u2028b\"}"), ATTN_ERR_CONFIG, "a control char");
    expect_message(
        attn_config_parse(GOOD, strlen(GOOD), "c.yaml", NULL, 0, "/\xff", "/", &config, &error),
        ATTN_ERR_CONFIG, "not UTF-8 (its folder included); rename it");
}

static void test_sets(void) {
    static const char *const take_turns[] = {"attention.mask=causal", "attention.mask=none",
                                             "attention.heads=6", "output.lse=l.npy"};
    static const char *const change_input[] = {"input.x=null", "input.weights=~",
                                               "input.synthetic.seed=3", "sequence.length=5",
                                               "input.synthetic={d_model: 8}"};

    expect_ok(parse_bytes(GOOD, strlen(GOOD), take_turns, 4));
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_NOT_CAUSAL);
    CU_ASSERT_EQUAL(config.attention.heads, 6);
    CU_ASSERT_EQUAL(config.attention.kv_heads, 6);
    CU_ASSERT_STRING_EQUAL(config.output.lse, "/out/l.npy");

    expect_ok(parse_bytes(GOOD, strlen(GOOD), change_input, 5));
    CU_ASSERT_STRING_EQUAL(config.input.x, "");
    CU_ASSERT_STRING_EQUAL(config.input.weights_file, "");
    CU_ASSERT_EQUAL(config.input.weights, 0);
    CU_ASSERT_EQUAL(config.input.synthetic, 1);
    CU_ASSERT_EQUAL(config.input.synthetic_seed, 3); /* a mapping keeps the other keys */
    CU_ASSERT_EQUAL(config.input.synthetic_d_model, 8);

    expect_ok(parse_set(GOOD, "input.weights={file: /v.safetensors, scheme: linear}"));
    CU_ASSERT_STRING_EQUAL(config.input.weights_file, "/v.safetensors");
    expect_ok(parse_set(GOOD "output: {y: y.npy, lse: l.npy}", "output.y=null"));
    CU_ASSERT_STRING_EQUAL(config.output.y, "");
    CU_ASSERT_STRING_EQUAL(config.output.lse, "/out/l.npy");
    expect_ok(parse_set(GOOD "output: {y: y.npy}", "output=null"));
    CU_ASSERT_STRING_EQUAL(config.output.y, "");
    expect_ok(parse_set(GOOD, "input.synthetic.seed=null")); /* takes out, creates nothing */
    CU_ASSERT_EQUAL(config.input.synthetic, 0);
    expect_ok(parse_set(GOOD, "input.x=a=b.safetensors#c=d"));
    CU_ASSERT_STRING_EQUAL(config.input.x, "/in/a=b.safetensors#c=d");
}

static void test_texts(void) {
    char text[2 * ATTN_NAME_BYTES];
    json_t *json;

    expect_ok(parse(GOOD));
    CU_ASSERT_STRING_EQUAL(config.input.weights_prefix, "");
    expect_ok(parse_set(GOOD, "input.weights.prefix=model.layers.0.self_attn."));
    CU_ASSERT_STRING_EQUAL(config.input.weights_prefix, "model.layers.0.self_attn.");
    CU_ASSERT_STRING_EQUAL(config.input.weights_file, "/in/w.safetensors");
    json = attn_config_json(&config);
    CU_ASSERT_STRING_EQUAL(
        json_string_value(
            json_object_get(json_object_get(json_object_get(json, "input"), "weights"), "prefix")),
        "model.layers.0.self_attn.");
    json_decref(json);
    expect_ok(parse_set(GOOD, "input.weights.prefix=''"));
    CU_ASSERT_STRING_EQUAL(config.input.weights_prefix, "");
    snprintf(text, sizeof text, "input.weights.prefix=l%0*d.", ATTN_NAME_BYTES - 3, 0);
    expect_ok(parse_set(GOOD, text));
    CU_ASSERT_EQUAL(strlen(config.input.weights_prefix), ATTN_NAME_BYTES - 1);
    snprintf(text, sizeof text, "input.weights.prefix=l%0*d.", ATTN_NAME_BYTES - 2, 0);
    expect_message(parse_set(GOOD, text), ATTN_ERR_CONFIG,
                   "--set: input.weights.prefix: is l000000000");
    expect_message(parse_set(GOOD, text), ATTN_ERR_CONFIG,
                   "...; must be a text of at most 255 bytes");
}

static int has_list(const attn_integers *list, int64_t count, int64_t first, int64_t last) {
    return list->count == count && list->values[0] == first && list->values[count - 1] == last &&
           list->file[0] == '\0';
}

static void test_terms(void) {
    const char *text = "attention: {heads: 2, alibi: {slopes: [1, 2]}, sinks: s.npy}" REST;
    static const char *const sets[] = {"attention.alibi=true", "attention.sinks=null",
                                       "attention.mask.bias=c.npy"};

    expect_ok(
        parse("attention: {heads: 2, softcap: 30, sinks: [-1.5, 2], alibi: {slopes:\n"
              "  [1.0e-3, 7]}, mask: {causal: true, bias: b.npy}}" REST));
    CU_ASSERT_EQUAL(config.attention.softcap, 30);
    CU_ASSERT_EQUAL(config.attention.sinks.count, 2);
    CU_ASSERT_EQUAL(config.attention.sinks.values[0], -1.5);
    CU_ASSERT_EQUAL(config.attention.sinks.values[1], 2);
    CU_ASSERT(config.attention.alibi == 1 && config.attention.alibi_published == 0);
    CU_ASSERT_EQUAL(config.attention.alibi_slopes.count, 2);
    CU_ASSERT_EQUAL(config.attention.alibi_slopes.values[0], 1.0e-3);
    CU_ASSERT_STRING_EQUAL(config.attention.mask.bias, "/in/b.npy");

    /* A word replaces the section, slopes and all. */
    expect_ok(parse_bytes(text, strlen(text), sets, 3));
    CU_ASSERT(config.attention.alibi == 1 && config.attention.alibi_published == 1);
    CU_ASSERT_EQUAL(config.attention.alibi_slopes.count, 0);
    CU_ASSERT(config.attention.sinks.count == 0 && config.attention.sinks.file[0] == '\0');
    CU_ASSERT_STRING_EQUAL(config.attention.mask.bias, "/in/c.npy");

    expect_ok(parse("attention: {heads: 2, alibi: false}" REST));
    CU_ASSERT_EQUAL(config.attention.alibi_published, 0);
    expect_ok(parse("attention: {heads: 2}" REST));
    CU_ASSERT(config.attention.alibi == 0 && config.attention.softcap == 0);
}

static void test_masks(void) {
    static const char *const refine[] = {"attention.mask=causal", "attention.mask.window=[128,0]",
                                         "attention.mask={first: 4}", "attention.mask.first=2"};

    expect_ok(
        parse("attention: {heads: 4, mask: {causal: top_left, window: [-1, 7], prefix: 3,\n"
              "  documents: [5, 1, 6], first: 2, key_lengths: lengths.npy}}" REST));
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_CAUSAL_TOP_LEFT);
    CU_ASSERT(has_list(&config.attention.mask.window, 2, -1, 7));
    CU_ASSERT_EQUAL(config.attention.mask.prefix, 3);
    CU_ASSERT(has_list(&config.attention.mask.documents, 3, 5, 6));
    CU_ASSERT_EQUAL(config.attention.mask.first, 2);
    CU_ASSERT_EQUAL(config.attention.mask.key_lengths.count, 0);
    CU_ASSERT_STRING_EQUAL(config.attention.mask.key_lengths.file, "/in/lengths.npy");
    CU_ASSERT_EQUAL(config.marks[attn_config_key_find("attention.mask.documents")].line, 2);

    /* A key, or a mapping, refines the mask that is there; a word replaces it. */
    expect_ok(parse_bytes(GOOD, strlen(GOOD), refine, 4));
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT(has_list(&config.attention.mask.window, 2, 128, 0));
    CU_ASSERT_EQUAL(config.attention.mask.first, 2);
    expect_ok(parse_set("attention: {heads: 4, mask: causal}" REST, "attention.mask.window=[9,0]"));
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT(has_list(&config.attention.mask.window, 2, 9, 0));
    expect_ok(parse_set("attention: {heads: 4, mask: {window: [1, 2], prefix: 3}}" REST,
                        "attention.mask=causal"));
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_EQUAL(config.attention.mask.window.count, 0);
    CU_ASSERT_EQUAL(config.attention.mask.prefix, 0);
    expect_ok(parse_set("attention: {heads: 4, mask: {causal: true, window: [1, 0]}}" REST,
                        "attention.mask.window=null"));
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_EQUAL(config.attention.mask.window.count, 0);
    expect_ok(parse_set("attention: {heads: 4, mask: {causal: true}}" REST, "attention.mask=null"));
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_NOT_CAUSAL);
    expect_message(parse("attention: {heads: 4, mask: {documents: out.npy}}\n"
                         "input: {q: q, k: k, v: v}\noutput: {y: /in/out.npy}"),
                   ATTN_ERR_CONFIG,
                   "output.y: would overwrite the file of attention.mask.documents");
}

/* The resolved config says a mask in a word where there is one. */
static void test_mask_words(void) {
    static const struct {
        const char *mask, *json;
    } cases[] = {
        {"none", "\"none\""},
        {"{}", "\"none\""},
        {"{causal: true, prefix: 0}", "\"causal\""},
        {"{causal: top_left}", "{\"causal\":\"top_left\",\"prefix\":0,\"first\":0}"},
        {"{causal: true, window: [5, -1]}",
         "{\"causal\":true,\"window\":[5,-1],\"prefix\":0,\"first\":0}"},
        {"{documents: [2, 3]}", "{\"causal\":false,\"prefix\":0,\"documents\":[2,3],\"first\":0}"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], *got;
        json_t *json;

        snprintf(text, sizeof text, "attention: {heads: 4, mask: %s}" REST, cases[i].mask);
        expect_ok(parse(text));
        json = attn_config_json(&config);
        got = json_dumps(json_object_get(json_object_get(json, "attention"), "mask"),
                         JSON_COMPACT | JSON_ENCODE_ANY);
        CU_ASSERT_PTR_NOT_NULL_FATAL(got);
        CU_ASSERT_STRING_EQUAL(got, cases[i].json);
        free(got);
        json_decref(json);
    }
}

static void test_later_failures(void) {
    char file[600];

    expect_ok(parse_set("attention:\n  heads: 4" REST, "verify.rows=3"));
    expect_message(attn_config_fail(&config, "attention.heads", &error, ATTN_ERR_INPUT, "no %d", 7),
                   ATTN_ERR_INPUT, "c.yaml:2:10: attention.heads: no 7");
    expect_message(attn_config_fail(&config, "attention.mask", &error, ATTN_ERR_CONFIG, "no"),
                   ATTN_ERR_CONFIG, "c.yaml: attention.mask: no");
    expect_message(attn_config_fail(&config, "verify.rows", &error, ATTN_ERR_CONFIG, "no"),
                   ATTN_ERR_CONFIG, "--set: verify.rows: no");
    CU_ASSERT_EQUAL(config.marks[attn_config_key_find("verify.rows")].set, 1);

    memset(file, 'f', sizeof file - 1);
    file[sizeof file - 1] = '\0';
    CU_ASSERT_EQUAL(attn_config_parse("a: 1", 4, file, NULL, 0, "/", "/", &config, &error),
                    ATTN_ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "fff:1:1: a: is not a key; the keys"));
}

/* Parses the config's own JSON, wrapped as a report or not; the same must come out. */
static void expect_round_trip(int as_report) {
    static attn_config first; /* too large for some stacks */
    json_t *json = attn_config_json(&config);
    char *text;

    CU_ASSERT_PTR_NOT_NULL(json);
    if (json == NULL) return;
    if (as_report) json = json_pack("{s:s, s:o, s:[[i]]}", "version", "1", "config", json, "t", 1);
    text = json_dumps(json, as_report ? JSON_INDENT(2) : JSON_COMPACT);
    json_decref(json);
    CU_ASSERT_PTR_NOT_NULL(text);
    if (text == NULL) return;
    first = config;
    expect_ok(parse(text));
    free(text);
    memset(first.marks, 0, sizeof first.marks); /* only the places may differ */
    memset(config.marks, 0, sizeof config.marks);
    CU_ASSERT_EQUAL(memcmp(&first, &config, sizeof first), 0);
}

static void test_round_trip(void) {
    static const char *const texts[] = {
        GOOD,
        "attention: {heads: 4, mask: {causal: top_left, window: [-1, 0], prefix: 3, first: 2,\n"
        "  documents: [5, 1], key_lengths: /in/lengths.npy}}" REST,
        "attention: {heads: 4, mask: {causal: true}}" REST,
        "attention: {heads: 4, mask: {window: [3, 2], key_lengths: [4, 0]}}\nbench: {sweep:\n"
        "  {attention.mask: [none, {window: [64, 0], causal: true}, {documents: d.npy}],\n"
        "   attention.mask.window: [[1, 0], [-1, -1]]}}" REST,
        GOOD
        "output: {y: 'a \"b\\c: {#d \xc3\xa9 \xf0\x9f\x90\x9c.npy'}\nparallel: {layout: "
        "contiguous}",
        HEADS "input: {q: q, k: k, v: v}\nsequence: {length: 3, kv_length: 5, batch: 2}",
        HEADS "input: {synthetic: {d_model: 8}}\nsequence: {length: 281474976710656}",
        HEADS "input: {x: x, memory: m, weights: {file: w}}\nsequence: {length: 3, kv_length: 4}",
        HEADS "input: {synthetic: {d_model: 8, d_memory: 5}}\nsequence: {length: 3, kv_length: 4}",
        "attention: {heads: 4, rope: {}, qk_norm: {}}" REST,
        "attention: {heads: 4, alibi: true, softcap: 50, mask: {bias: /in/b.npy}}" REST,
        "attention: {heads: 2, alibi: {slopes: [0.1, -3]}, sinks: [1.0e-40, 7]}" REST,
        "attention: {heads: 2, alibi: false, sinks: '/in/w.safetensors#layer.0.sinks'}" REST,
        "attention: {heads: 4, rope: {theta: 1.5, dim: 6, pairing: interleaved, scaling:\n"
        "  {kind: yarn, factor: 1.5, original_length: 100}}, qk_norm: {eps: 0.1}}" REST,
        "attention: {heads: 4, rope: {scaling: {kind: ntk, factor: 3}}}" REST,
        "attention: {heads: 4, kv_heads: 2, head_dim: 8, scale: 0.1, mask: causal}\n"
        "input: {synthetic: {tensors: qkv, seed: 9007199254740992}}\nsequence: {length: 3}\n"
        "parallel: {heads: 2, sequence: 3, circulate: ring, threads: 4}\n"
        "compute: {kernel: generic}\nverify: {rows: 2, tolerance: 1.2345678901234567e-30}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        expect_ok(parse(texts[i]));
        expect_round_trip(0);
        expect_round_trip(1);
    }
}

static void test_report_places(void) {
    expect_message(parse("{\"version\": \"1\", \"config\":\n {\"attention\": {\"heads\": 0}}}"),
                   ATTN_ERR_CONFIG, "c.yaml:2:26: attention.heads: is 0; must be");
    expect_message(parse("config: {}"), ATTN_ERR_CONFIG, "c.yaml:1:1: config: is not a key");
}

/* A file of the source tree; the caller frees it. */
static char *read_source(const char *name) {
    enum { MOST_BYTES = 1 << 16 };
    char *text = calloc(1, MOST_BYTES);
    FILE *file = fopen(name, "rb");

    if (text != NULL && file != NULL) text[fread(text, 1, MOST_BYTES - 1, file)] = '\0';
    if (file != NULL) fclose(file);
    CU_ASSERT_FATAL(text != NULL && text[0] != '\0');
    return text;
}

static char *read_reference(void) {
    return read_source(ATTN_SOURCE_DIR "/configs/reference.yaml");
}

/* Takes the first "# " off each line where a key follows it, so that keys that are
 * commented out are keys at their place. */
static void uncomment(char *text) {
    for (char *line = text; line != NULL && *line != '\0';) {
        char *mark = line + strspn(line, " ");

        if (strncmp(mark, "# ", 2) == 0) {
            const char *word = mark + 1 + strspn(mark + 1, " ");

            if (word[strspn(word, "abcdefghijklmnopqrstuvwxyz_")] == ':')
                memmove(mark, mark + 2, strlen(mark + 2) + 1);
        }
        line = strchr(line, '\n');
        if (line != NULL) line++;
    }
}

/* Whether the text has the key at its place: each word of the path starts a line,
 * two spaces deeper than the word before, below it. */
static int mentions(const char *text, const char *path) {
    const char *at = text;
    int level = 0;

    for (const char *word = path; *word != '\0'; level++) {
        const int bytes = (int)strcspn(word, ".");
        char line[80];

        snprintf(line, sizeof line, "\n%*s%.*s:", 2 * level, "", bytes, word);
        at = strstr(at, line);
        if (at == NULL) return 0;
        at += 1;
        word += bytes + (word[bytes] == '.');
    }
    return 1;
}

static void test_reference(void) {
    char *text = read_reference();
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    expect_ok(parse(text));
    CU_ASSERT_EQUAL(config.attention.heads, 4);
    CU_ASSERT_EQUAL(config.attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_STRING_EQUAL(config.input.x, "/in/../sample/x.npy");
    expect_round_trip(0);
    uncomment(text);
    for (int32_t row = 0; row < count; row++) {
        if (!mentions(text, keys[row].path)) printf("\n    not in it: %s\n", keys[row].path);
        CU_ASSERT(mentions(text, keys[row].path));
    }
    /* With everything in, all that is wrong is that the input forms exclude each other. */
    expect_message(parse(text), ATTN_ERR_CONFIG, "input.q: contradicts input.x");
    free(text);
}

static void test_quickstart(void) {
    char *text = read_source(ATTN_SOURCE_DIR "/configs/quickstart.yaml");

    expect_ok(parse(text));
    free(text);
    CU_ASSERT_EQUAL(config.attention.heads, 4);
    CU_ASSERT_EQUAL(config.parallel.heads, 2);
    CU_ASSERT_EQUAL(config.parallel.sequence, 2);
    CU_ASSERT_EQUAL(config.verify.rows, 64);
    CU_ASSERT_EQUAL(config.verify.tolerance, 4.0e-5);
    CU_ASSERT_STRING_EQUAL(config.output.report, "/out/out/quickstart/report.json");
}

/* Any bytes give a config whose JSON is the same config, or one error in the usual
 * form. The text is copied to its exact size, so that reading past it is caught. */
static void expect_sane(const char *text, size_t bytes) {
    char *copy = malloc(bytes + (bytes == 0));

    CU_ASSERT_FATAL(copy != NULL);
    memcpy(copy, text, bytes);
    if (parse_bytes(copy, bytes, NULL, 0) == ATTN_OK) {
        expect_round_trip(0);
    } else {
        CU_ASSERT_EQUAL(error.status, ATTN_ERR_CONFIG);
        CU_ASSERT_EQUAL(strncmp(error.message, "c.yaml:", 7), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "; "));
        CU_ASSERT_PTR_NULL(strchr(error.message, '\n'));
    }
    free(copy);
}

/* The reference without comments is what the parser sees of it, and a tenth as long. */
static void strip_comments(char *text) {
    char *to = text;

    for (const char *line = text; *line != '\0';) {
        const size_t bytes = strcspn(line, "\n") + (strchr(line, '\n') != NULL);
        const char first = line[strspn(line, " ")];

        if (first != '#' && first != '\n') {
            memmove(to, line, bytes);
            to += bytes;
        }
        line += bytes;
    }
    *to = '\0';
}

static void test_truncated(void) {
    char *text = read_reference();

    for (size_t bytes = 0; bytes <= strlen(text); bytes++) expect_sane(text, bytes);
    free(text);
}

static void test_mutated(void) {
    static const char bytes[] = {0,   '\xff', '\xc3', ' ', '\n', '\t', ':', '#', '{', '[',
                                 '}', '"',    '\'',   '&', '*',  '!',  '|', '-', '?', '0'};
    char *text = read_reference();
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        const char kept = text[i];

        text[i] = bytes[i % sizeof bytes];
        expect_sane(text, length);
        text[i] = kept;
    }
    strip_comments(text);
    length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        const char kept = text[i];

        for (size_t j = 0; j < sizeof bytes; j++) {
            text[i] = bytes[j];
            expect_sane(text, length);
        }
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(kept ^ (1 << bit));
            expect_sane(text, length);
        }
        text[i] = kept;
    }
    free(text);
}

int main(void) {
    static const attn_test tests[] = {
        {"config.left_out_keys_have_their_defaults", test_defaults},
        {"config.values_are_read_as_written", test_values},
        {"config.paths_become_absolute_and_are_checked", test_paths},
        {"config.unknown_keys_are_refused_with_the_nearest", test_unknown_keys},
        {"config.duplicate_keys_are_refused_with_the_first", test_duplicate_keys},
        {"config.wrong_types_are_refused", test_wrong_types},
        {"config.values_out_of_range_are_refused", test_out_of_range},
        {"config.unknown_words_are_refused_with_the_list", test_unknown_choices},
        {"config.missing_values_are_refused", test_missing_values},
        {"config.broken_yaml_is_refused_at_its_place", test_yaml_errors},
        {"config.contradictions_are_refused", test_contradictions},
        {"config.sets_win_and_null_takes_out", test_sets},
        {"config.bad_rotations_are_refused", test_bad_rotations},
        {"config.rotations_are_those_of_the_config", test_rotations},
        {"config.masks_are_words_or_mappings", test_masks},
        {"config.terms_are_those_of_the_config", test_terms},
        {"config.masks_are_written_in_a_word_where_one_does", test_mask_words},
        {"config.bad_sets_are_refused", test_bad_sets},
        {"config.texts_are_kept_as_they_are", test_texts},
        {"config.later_failures_name_the_place", test_later_failures},
        {"config.json_reads_back_to_the_same", test_round_trip},
        {"config.a_report_stands_for_its_config", test_report_places},
        {"config.reference_parses_and_has_every_key", test_reference},
        {"config.quickstart_parses", test_quickstart},
        {"config.any_truncation_ends_well", test_truncated},
        {"config.any_mutation_ends_well", test_mutated},
    };

    return attn_test_main("unit.config", tests, ATTN_TEST_COUNT(tests));
}
