/* The config parser, of what it refuses for itself: keys, types, ranges, words, and text that is no
 * YAML; each with its place and what would be right. */
#include "harness.h"
#include "parse.h"

#define LONG_8 "aaaaaaaa"
#define LONG   LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8 LONG_8

static void test_unknown_keys(void) {
    static const attn_bad_text cases[] = {
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
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_duplicate_keys(void) {
    static const attn_bad_text cases[] = {
        {"attention:\n  heads: 4\n  mask: none\n  heads: 4",
         "c.yaml:4:3: attention.heads: is given twice, first in line 2; keep one"},
        {ATTN_HEADS ATTN_LAYER ATTN_HEADS,
         "c.yaml:3:1: attention: is given twice, first in line 1"},
        {"{version: 1, config: {},\n config: {}}",
         "c.yaml:2:2: config: is given twice, first in line 1"},
    };
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_wrong_types(void) {
    static const attn_bad_text cases[] = {
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
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_out_of_range(void) {
    static const attn_bad_text cases[] = {
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
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_unknown_choices(void) {
    static const attn_bad_text cases[] = {
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
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_missing_values(void) {
    static const attn_bad_text cases[] = {
        {"attention:\n  heads:\n  mask: none",
         "c.yaml:2:3: attention.heads: has no value; must be "
         "an integer from 1 to 65536, or left out"},
        {"attention: {mask: ~}",
         "c.yaml:1:13: attention.mask: has no value; must be none, causal or a "},
        {"input: null", "c.yaml:1:1: input: has no value; must be a mapping of x, memory,"},
        {"output: {y: ''}", "c.yaml:1:13: output.y: is empty; must be a path, or left out"},
        {ATTN_LAYER, "c.yaml: attention.heads: is missing; give the number of query heads"},
        {ATTN_LAYER "attention: {mask: none}", "c.yaml:2:1: attention.heads: is missing; give the"},
        {"{}", "c.yaml: attention.heads: is missing"},
        {"", "c.yaml:1:1: is empty; must be a mapping of attention, sequence, parallel,"},
        {"# nothing but this\n", "c.yaml:1:1: is empty; must be a mapping of"},
        {"---\n", "c.yaml:1:1: is empty; must be a mapping of"},
        {"- a\n- b", "c.yaml:1:1: is a sequence; must be a mapping of attention,"},
        {"heads", "c.yaml:1:1: is a scalar; must be a mapping of attention,"},
        {"{version: 1, config: [4]}", "c.yaml:1:22: config: is a sequence; must be a mapping"},
    };
    ATTN_PARSE_ALL_BAD(cases);
}

static void test_yaml_errors(void) {
    static const attn_bad_text cases[] = {
        {"attention: {heads: 4\n",
         "c.yaml:2:1: is not YAML: did not find expected ',' or '}' (while "
         "parsing a flow mapping from line 1 on); check the indentation"},
        {"attention:\n\theads: 4",
         "c.yaml:2:1: is not YAML: found character that cannot start any "
         "token (while scanning for the next token from line 2 on)"},
        {"a: b: c", "c.yaml:1:5: is not YAML: mapping values are not allowed in this context"},
        {"a: 'b", "is not YAML: found unexpected end of stream"},
        {"%YAML 3.0\n---\na: b", "c.yaml:1:1: is not YAML: found incompatible YAML document"},
        {ATTN_GOOD "---\n" ATTN_GOOD, "c.yaml:3:1: starts a second document; write one document"},
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
    attn_error error;

    ATTN_PARSE_ALL_BAD(cases);
    attn_parse_expect_error(attn_parse_bytes("a: \0b", 6, NULL, &error), ATTN_ERR_CONFIG, &error,
                            "c.yaml:1:4: is not text: control characters are not allowed");
}

int main(void) {
    static const attn_test tests[] = {
        {"config.unknown_keys_are_refused_with_the_nearest", test_unknown_keys},
        {"config.duplicate_keys_are_refused_with_the_first", test_duplicate_keys},
        {"config.wrong_types_are_refused", test_wrong_types},
        {"config.values_out_of_range_are_refused", test_out_of_range},
        {"config.unknown_words_are_refused_with_the_list", test_unknown_choices},
        {"config.missing_values_are_refused", test_missing_values},
        {"config.broken_yaml_is_refused_at_its_place", test_yaml_errors},
    };

    return attn_test_main("unit.config_refused", tests, ATTN_TEST_COUNT(tests));
}
