/* The config parser, of what it accepts: defaults, values, paths, lists, masks, terms and
 * rotations, and what stands behind --set. */
#include <stdio.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "config_keys.h"
#include "config_rope.h"
#include "harness.h"
#include "parse.h"

static void test_defaults(void) {
    const attn_config *config = attn_parse_good(ATTN_GOOD);

    CU_ASSERT_EQUAL(config->attention.heads, 4);
    CU_ASSERT_EQUAL(config->attention.kv_heads, 4);
    CU_ASSERT_EQUAL(config->attention.head_dim, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->attention.scale, 0.0);
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_NOT_CAUSAL);
    CU_ASSERT_EQUAL(config->sequence.length, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->sequence.kv_length, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->sequence.batch, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->parallel.heads, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->parallel.sequence, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->parallel.circulate, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->parallel.layout, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->parallel.threads, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->compute.dtype, 0);
    CU_ASSERT_EQUAL(config->compute.kernel, ATTN_AUTO);
    CU_ASSERT_STRING_EQUAL(config->input.x, "/in/x.npy");
    CU_ASSERT_STRING_EQUAL(config->input.weights_file, "/in/w.safetensors");
    CU_ASSERT_EQUAL(config->input.weights_scheme, 0);
    CU_ASSERT_EQUAL(config->input.synthetic, 0);
    CU_ASSERT_STRING_EQUAL(config->output.y, "");
    CU_ASSERT_EQUAL(config->verify.rows, 0);
    CU_ASSERT_EQUAL(config->verify.tolerance, 1.0e-4);
}

static void test_values(void) {
    const attn_config *config = attn_parse_good(
        "attention: {heads: +8, kv_heads: 2, head_dim: 4096, scale: .5, mask: 'causal'}\n"
        "parallel: {heads: auto, sequence: \"auto\", circulate: gather, threads: 7}\n"
        "sequence: {length: 281474976710656}\n"
        "input: {synthetic: {seed: 9007199254740992, tensors: qkv}}\n"
        "verify: {rows: 3, tolerance: 1.5E-3}");

    CU_ASSERT_EQUAL(config->attention.heads, 8);
    CU_ASSERT_EQUAL(config->attention.kv_heads, 2);
    CU_ASSERT_EQUAL(config->attention.scale, 0.5);
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_EQUAL(config->parallel.sequence, ATTN_AUTO);
    CU_ASSERT_EQUAL(config->parallel.circulate, 1);
    CU_ASSERT_EQUAL(config->parallel.threads, 7);
    CU_ASSERT_EQUAL(config->sequence.length, (int64_t)1 << 48);
    CU_ASSERT_EQUAL(config->sequence.batch, 1);
    CU_ASSERT_EQUAL(config->input.synthetic, 1);
    CU_ASSERT_EQUAL(config->input.synthetic_seed, (int64_t)1 << 53);
    CU_ASSERT_EQUAL(config->input.synthetic_tensors, ATTN_SYNTHETIC_QKV);
    CU_ASSERT_EQUAL(config->verify.tolerance, 1.5e-3);
    config = attn_parse_good("attention: {heads: 1, scale: 2}\n" ATTN_LAYER); /* a number, too */
    CU_ASSERT_EQUAL(config->attention.scale, 2.0);
}

static void test_paths(void) {
    char text[ATTN_PATH_BYTES + 64];
    const int fits = ATTN_PATH_BYTES - 1 - (int)strlen("/in/");
    const attn_config *config;

    config = attn_parse_good(ATTN_HEADS
                             "input: {q: 'a.safetensors#l.0.q', k: /k.npy, v: ../v.npy}\n"
                             "output: {y: y.npy, report: /r.json}");
    CU_ASSERT_STRING_EQUAL(config->input.q, "/in/a.safetensors#l.0.q");
    CU_ASSERT_STRING_EQUAL(config->input.k, "/k.npy");
    CU_ASSERT_STRING_EQUAL(config->input.v, "/in/../v.npy");
    CU_ASSERT_STRING_EQUAL(config->output.y, "/out/y.npy");
    CU_ASSERT_STRING_EQUAL(config->output.report, "/r.json");

    snprintf(text, sizeof text, ATTN_HEADS "input: {x: %0*d.n, weights: {file: w}}", fits - 2, 0);
    config = attn_parse_good(text);
    CU_ASSERT_EQUAL(strlen(config->input.x), ATTN_PATH_BYTES - 1);
    snprintf(text, sizeof text, ATTN_HEADS "input: {x: %0*d.n, weights: {file: w}}", fits - 1, 0);
    attn_parse_bad(
        text, "c.yaml:2:12: input.x: is 4096 bytes long with its folder; must be at most 4095");

    attn_parse_bad(ATTN_HEADS "input: {x: \"a\\nb\"}", "a control character");
    attn_parse_bad(ATTN_HEADS "input: {x: \"a\\0b\"}", "a control character");
    attn_parse_bad(ATTN_HEADS "input: {x: \"a\\u2028b\"}", "a control char");
}

static void test_folders(void) {
    static attn_config config; /* too large for some stacks */
    const size_t bytes = strlen(ATTN_GOOD);
    attn_error error = {0};

    CU_ASSERT_EQUAL(
        attn_config_parse(ATTN_GOOD, bytes, "c.yaml", NULL, 0, "/", "/", &config, &error), ATTN_OK);
    CU_ASSERT_EQUAL(error.status, ATTN_OK);
    CU_ASSERT_STRING_EQUAL(config.input.x, "/x.npy");
    attn_parse_expect_error(
        attn_config_parse(ATTN_GOOD, bytes, "c.yaml", NULL, 0, "/\xff", "/", &config, &error),
        ATTN_ERR_CONFIG, &error, "not UTF-8 (its folder included); rename it");
}

static void test_sets(void) {
    const attn_config *config;

    config =
        attn_parse_good_with(ATTN_GOOD, ATTN_SETS("attention.mask=causal", "attention.mask=none",
                                                  "attention.heads=6", "output.lse=l.npy"));
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_NOT_CAUSAL);
    CU_ASSERT_EQUAL(config->attention.heads, 6);
    CU_ASSERT_EQUAL(config->attention.kv_heads, 6);
    CU_ASSERT_STRING_EQUAL(config->output.lse, "/out/l.npy");

    config = attn_parse_good_with(
        ATTN_GOOD, ATTN_SETS("input.x=null", "input.weights=~", "input.synthetic.seed=3",
                             "sequence.length=5", "input.synthetic={d_model: 8}"));
    CU_ASSERT_STRING_EQUAL(config->input.x, "");
    CU_ASSERT_STRING_EQUAL(config->input.weights_file, "");
    CU_ASSERT_EQUAL(config->input.weights, 0);
    CU_ASSERT_EQUAL(config->input.synthetic, 1);
    CU_ASSERT_EQUAL(config->input.synthetic_seed, 3); /* a mapping keeps the other keys */
    CU_ASSERT_EQUAL(config->input.synthetic_d_model, 8);

    config = attn_parse_good_with(
        ATTN_GOOD, ATTN_SETS("input.weights={file: /v.safetensors, scheme: linear}"));
    CU_ASSERT_STRING_EQUAL(config->input.weights_file, "/v.safetensors");
    config = attn_parse_good_with(ATTN_GOOD "output: {y: y.npy, lse: l.npy}",
                                  ATTN_SETS("output.y=null"));
    CU_ASSERT_STRING_EQUAL(config->output.y, "");
    CU_ASSERT_STRING_EQUAL(config->output.lse, "/out/l.npy");
    config = attn_parse_good_with(ATTN_GOOD "output: {y: y.npy}", ATTN_SETS("output=null"));
    CU_ASSERT_STRING_EQUAL(config->output.y, "");
    config = attn_parse_good_with(ATTN_GOOD, ATTN_SETS("input.synthetic.seed=null"));
    CU_ASSERT_EQUAL(config->input.synthetic, 0); /* it takes out, and creates nothing */
    config = attn_parse_good_with(ATTN_GOOD, ATTN_SETS("input.x=a=b.safetensors#c=d"));
    CU_ASSERT_STRING_EQUAL(config->input.x, "/in/a=b.safetensors#c=d");
}

static void test_texts(void) {
    const attn_config *config;
    char text[2 * ATTN_NAME_BYTES];
    json_t *json;

    config = attn_parse_good(ATTN_GOOD);
    CU_ASSERT_STRING_EQUAL(config->input.weights_prefix, "");
    config = attn_parse_good_with(ATTN_GOOD,
                                  ATTN_SETS("input.weights.prefix=model.layers.0.self_attn."));
    CU_ASSERT_STRING_EQUAL(config->input.weights_prefix, "model.layers.0.self_attn.");
    CU_ASSERT_STRING_EQUAL(config->input.weights_file, "/in/w.safetensors");
    json = attn_config_json(config);
    CU_ASSERT_STRING_EQUAL(
        json_string_value(
            json_object_get(json_object_get(json_object_get(json, "input"), "weights"), "prefix")),
        "model.layers.0.self_attn.");
    json_decref(json);
    config = attn_parse_good_with(ATTN_GOOD, ATTN_SETS("input.weights.prefix=''"));
    CU_ASSERT_STRING_EQUAL(config->input.weights_prefix, "");
    snprintf(text, sizeof text, "input.weights.prefix=l%0*d.", ATTN_NAME_BYTES - 3, 0);
    config = attn_parse_good_with(ATTN_GOOD, ATTN_SETS(text));
    CU_ASSERT_EQUAL(strlen(config->input.weights_prefix), ATTN_NAME_BYTES - 1);
    snprintf(text, sizeof text, "input.weights.prefix=l%0*d.", ATTN_NAME_BYTES - 2, 0);
    attn_parse_bad_with(ATTN_GOOD, ATTN_SETS(text), "--set: input.weights.prefix: is l000000000");
    attn_parse_bad_with(ATTN_GOOD, ATTN_SETS(text), "...; must be a text of at most 255 bytes");
}

static int has_list(const attn_integers *list, int64_t count, int64_t first, int64_t last) {
    return list->count == count && list->values[0] == first && list->values[count - 1] == last &&
           list->file[0] == '\0';
}

static void test_masks(void) {
    const attn_config *config = attn_parse_good(
        "attention: {heads: 4, mask: {causal: top_left, window: [-1, 7], prefix: 3,\n"
        "  documents: [5, 1, 6], first: 2, key_lengths: lengths.npy}}\n" ATTN_LAYER);

    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_CAUSAL_TOP_LEFT);
    CU_ASSERT(has_list(&config->attention.mask.window, 2, -1, 7));
    CU_ASSERT_EQUAL(config->attention.mask.prefix, 3);
    CU_ASSERT(has_list(&config->attention.mask.documents, 3, 5, 6));
    CU_ASSERT_EQUAL(config->attention.mask.first, 2);
    CU_ASSERT_EQUAL(config->attention.mask.key_lengths.count, 0);
    CU_ASSERT_STRING_EQUAL(config->attention.mask.key_lengths.file, "/in/lengths.npy");
    CU_ASSERT_EQUAL(config->marks[attn_config_key_find("attention.mask.documents")].line, 2);

    /* A key, or a mapping, refines the mask that is there; a word replaces it. */
    config = attn_parse_good_with(
        ATTN_GOOD, ATTN_SETS("attention.mask=causal", "attention.mask.window=[128,0]",
                             "attention.mask={first: 4}", "attention.mask.first=2"));
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT(has_list(&config->attention.mask.window, 2, 128, 0));
    CU_ASSERT_EQUAL(config->attention.mask.first, 2);
    config = attn_parse_good_with("attention: {heads: 4, mask: causal}\n" ATTN_LAYER,
                                  ATTN_SETS("attention.mask.window=[9,0]"));
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT(has_list(&config->attention.mask.window, 2, 9, 0));
    config = attn_parse_good_with(
        "attention: {heads: 4, mask: {window: [1, 2], prefix: 3}}\n" ATTN_LAYER,
        ATTN_SETS("attention.mask=causal"));
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_EQUAL(config->attention.mask.window.count, 0);
    CU_ASSERT_EQUAL(config->attention.mask.prefix, 0);
    config = attn_parse_good_with(
        "attention: {heads: 4, mask: {causal: true, window: [1, 0]}}\n" ATTN_LAYER,
        ATTN_SETS("attention.mask.window=null"));
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_EQUAL(config->attention.mask.window.count, 0);
    config = attn_parse_good_with("attention: {heads: 4, mask: {causal: true}}\n" ATTN_LAYER,
                                  ATTN_SETS("attention.mask=null"));
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_NOT_CAUSAL);
    attn_parse_bad(
        "attention: {heads: 4, mask: {documents: out.npy}}\n"
        "input: {q: q, k: k, v: v}\noutput: {y: /in/out.npy}",
        "output.y: would overwrite the file of attention.mask.documents");
}

static void test_terms(void) {
    const char *text = "attention: {heads: 2, alibi: {slopes: [1, 2]}, sinks: s.npy}\n" ATTN_LAYER;
    const attn_config *config;

    config = attn_parse_good(
        "attention: {heads: 2, softcap: 30, sinks: [-1.5, 2], alibi: {slopes:\n"
        "  [1.0e-3, 7]}, mask: {causal: true, bias: b.npy}}\n" ATTN_LAYER);
    CU_ASSERT_EQUAL(config->attention.softcap, 30);
    CU_ASSERT_EQUAL(config->attention.sinks.count, 2);
    CU_ASSERT_EQUAL(config->attention.sinks.values[0], -1.5);
    CU_ASSERT_EQUAL(config->attention.sinks.values[1], 2);
    CU_ASSERT(config->attention.alibi == 1 && config->attention.alibi_published == 0);
    CU_ASSERT_EQUAL(config->attention.alibi_slopes.count, 2);
    CU_ASSERT_EQUAL(config->attention.alibi_slopes.values[0], 1.0e-3);
    CU_ASSERT_STRING_EQUAL(config->attention.mask.bias, "/in/b.npy");

    /* A word replaces the section, slopes and all. */
    config = attn_parse_good_with(text, ATTN_SETS("attention.alibi=true", "attention.sinks=null",
                                                  "attention.mask.bias=c.npy"));
    CU_ASSERT(config->attention.alibi == 1 && config->attention.alibi_published == 1);
    CU_ASSERT_EQUAL(config->attention.alibi_slopes.count, 0);
    CU_ASSERT(config->attention.sinks.count == 0 && config->attention.sinks.file[0] == '\0');
    CU_ASSERT_STRING_EQUAL(config->attention.mask.bias, "/in/c.npy");

    config = attn_parse_good("attention: {heads: 2, alibi: false}\n" ATTN_LAYER);
    CU_ASSERT_EQUAL(config->attention.alibi_published, 0);
    config = attn_parse_good("attention: {heads: 2}\n" ATTN_LAYER);
    CU_ASSERT(config->attention.alibi == 0 && config->attention.softcap == 0);
}

/* What a config asks of heads 16 wide. */
static void test_rotations(void) {
    const attn_config *config;
    attn_error error;
    attn_rope rope;

    config = attn_parse_good(ATTN_GOOD);
    CU_ASSERT_EQUAL(config->attention.rope, 0);
    CU_ASSERT_EQUAL(config->attention.qk_norm, 0);
    CU_ASSERT_EQUAL(attn_config_rope_of(config, 16, &rope, &error), ATTN_OK);
    CU_ASSERT_EQUAL(rope.dim, 0);

    config = attn_parse_good("attention: {heads: 4, rope: {}, qk_norm: {}}\n" ATTN_LAYER);
    CU_ASSERT_EQUAL(config->attention.qk_norm, 1);
    CU_ASSERT_EQUAL(config->attention.qk_norm_eps, 1e-6);
    CU_ASSERT_EQUAL(attn_config_rope_of(config, 16, &rope, &error), ATTN_OK);
    CU_ASSERT(rope.dim == 16 && rope.theta == 10000 && rope.pairing == ATTN_ROPE_HALF &&
              rope.scaling == ATTN_ROPE_UNSCALED);
    attn_parse_expect_error(
        attn_config_rope_of(config, 15, &rope, &error), ATTN_ERR_CONFIG, &error,
        "c.yaml:1:23: attention.rope: would turn heads 15 wide; elements turn in pairs: "
        "add an even dim");

    config = attn_parse_good(
        "attention: {heads: 4, rope: {theta: 5.0e+5, dim: 8, pairing: interleaved,\n"
        "  scaling: {kind: yarn, factor: 4, original_length: 8192}}}\n" ATTN_LAYER);
    CU_ASSERT_EQUAL(attn_config_rope_of(config, 16, &rope, &error), ATTN_OK);
    CU_ASSERT(rope.dim == 8 && rope.theta == 5e5 && rope.pairing == ATTN_ROPE_INTERLEAVED &&
              rope.scaling == ATTN_ROPE_YARN && rope.factor == 4 && rope.original_length == 8192);
    CU_ASSERT_PTR_NULL(attn_rope_refused(&rope, 16));
    attn_parse_expect_error(
        attn_config_rope_of(config, 7, &rope, &error), ATTN_ERR_CONFIG, &error,
        "c.yaml:1:50: attention.rope.dim: is 8; must be at most the width of a head, "
        "which is 7");
}

int main(void) {
    static const attn_test tests[] = {
        {"config.left_out_keys_have_their_defaults", test_defaults},
        {"config.values_are_read_as_written", test_values},
        {"config.paths_become_absolute_and_are_checked", test_paths},
        {"config.folders_may_be_the_root_and_must_be_text", test_folders},
        {"config.sets_win_and_null_takes_out", test_sets},
        {"config.texts_are_kept_as_they_are", test_texts},
        {"config.masks_are_words_or_mappings", test_masks},
        {"config.terms_are_those_of_the_config", test_terms},
        {"config.rotations_are_those_of_the_config", test_rotations},
    };

    return attn_test_main("unit.config", tests, ATTN_TEST_COUNT(tests));
}
