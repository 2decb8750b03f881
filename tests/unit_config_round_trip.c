/* The config and its JSON: what is written is read back to the same; the example files are configs,
 * and the reference has every key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "config_keys.h"
#include "harness.h"
#include "parse.h"

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

        snprintf(text, sizeof text, "attention: {heads: 4, mask: %s}\n" ATTN_LAYER, cases[i].mask);
        json = attn_config_json(attn_parse_good(text));
        got = json_dumps(json_object_get(json_object_get(json, "attention"), "mask"),
                         JSON_COMPACT | JSON_ENCODE_ANY);
        CU_ASSERT_PTR_NOT_NULL_FATAL(got);
        CU_ASSERT_STRING_EQUAL(got, cases[i].json);
        free(got);
        json_decref(json);
    }
}

static void test_round_trip(void) {
    static const char *const texts[] = {
        ATTN_GOOD,
        "attention: {heads: 4, mask: {causal: top_left, window: [-1, 0], prefix: 3, first: 2,\n"
        "  documents: [5, 1], key_lengths: /in/lengths.npy}}\n" ATTN_LAYER,
        "attention: {heads: 4, mask: {causal: true}}\n" ATTN_LAYER,
        "attention: {heads: 4, mask: {window: [3, 2], key_lengths: [4, 0]}}\nbench: {sweep:\n"
        "  {attention.mask: [none, {window: [64, 0], causal: true}, {documents: d.npy}],\n"
        "   attention.mask.window: [[1, 0], [-1, -1]]}}\n" ATTN_LAYER,
        ATTN_GOOD
        "output: {y: 'a \"b\\c: {#d \xc3\xa9 \xf0\x9f\x90\x9c.npy'}\nparallel: {layout: "
        "contiguous}",
        ATTN_HEADS "input: {q: q, k: k, v: v}\nsequence: {length: 3, kv_length: 5, batch: 2}",
        ATTN_HEADS "input: {synthetic: {d_model: 8}}\nsequence: {length: 281474976710656}",
        ATTN_HEADS
        "input: {x: x, memory: m, weights: {file: w}}\nsequence: {length: 3, kv_length: 4}",
        ATTN_HEADS
        "input: {synthetic: {d_model: 8, d_memory: 5}}\nsequence: {length: 3, kv_length: 4}",
        "attention: {heads: 4, rope: {}, qk_norm: {}}\n" ATTN_LAYER,
        "attention: {heads: 4, alibi: true, softcap: 50, mask: {bias: /in/b.npy}}\n" ATTN_LAYER,
        "attention: {heads: 2, alibi: {slopes: [0.1, -3]}, sinks: [1.0e-40, 7]}\n" ATTN_LAYER,
        "attention: {heads: 2, alibi: false, sinks: '/in/w.safetensors#layer.0.sinks'}"
        "\n" ATTN_LAYER,
        "attention: {heads: 4, rope: {theta: 1.5, dim: 6, pairing: interleaved, scaling:\n"
        "  {kind: yarn, factor: 1.5, original_length: 100}}, qk_norm: {eps: 0.1}}\n" ATTN_LAYER,
        "attention: {heads: 4, rope: {scaling: {kind: ntk, factor: 3}}}\n" ATTN_LAYER,
        "attention: {heads: 4, kv_heads: 2, head_dim: 8, scale: 0.1, mask: causal}\n"
        "input: {synthetic: {tensors: qkv, seed: 9007199254740992}}\nsequence: {length: 3}\n"
        "parallel: {heads: 2, sequence: 3, circulate: ring, threads: 4}\n"
        "compute: {kernel: generic}\nverify: {rows: 2, tolerance: 1.2345678901234567e-30}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        attn_parse_good(texts[i]);
        attn_parse_round_trip(0);
        attn_parse_round_trip(1);
    }
}

static void test_report_places(void) {
    attn_parse_bad("{\"version\": \"1\", \"config\":\n {\"attention\": {\"heads\": 0}}}",
                   "c.yaml:2:26: attention.heads: is 0; must be");
    attn_parse_bad("config: {}", "c.yaml:1:1: config: is not a key");
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
    char *text = attn_parse_example("reference.yaml");
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);
    const attn_config *config;

    config = attn_parse_good(text);
    CU_ASSERT_EQUAL(config->attention.heads, 4);
    CU_ASSERT_EQUAL(config->attention.mask.causal, ATTN_CAUSAL);
    CU_ASSERT_STRING_EQUAL(config->input.x, "/in/../sample/x.npy");
    attn_parse_round_trip(0);
    uncomment(text);
    for (int32_t row = 0; row < count; row++) {
        if (!mentions(text, keys[row].path)) printf("\n    not in it: %s\n", keys[row].path);
        CU_ASSERT(mentions(text, keys[row].path));
    }
    /* With everything in, all that is wrong is that the input forms exclude each other. */
    attn_parse_bad(text, "input.q: contradicts input.x");
    free(text);
}

static void test_quickstart(void) {
    char *text = attn_parse_example("quickstart.yaml");
    const attn_config *config;

    config = attn_parse_good(text);
    free(text);
    CU_ASSERT_EQUAL(config->attention.heads, 4);
    CU_ASSERT_EQUAL(config->parallel.heads, 2);
    CU_ASSERT_EQUAL(config->parallel.sequence, 2);
    CU_ASSERT_EQUAL(config->verify.rows, 64);
    CU_ASSERT_EQUAL(config->verify.tolerance, 4.0e-5);
    CU_ASSERT_STRING_EQUAL(config->output.report, "/out/out/quickstart/report.json");
}

int main(void) {
    static const attn_test tests[] = {
        {"config.masks_are_written_in_a_word_where_one_does", test_mask_words},
        {"config.json_reads_back_to_the_same", test_round_trip},
        {"config.a_report_stands_for_its_config", test_report_places},
        {"config.reference_parses_and_has_every_key", test_reference},
        {"config.quickstart_parses", test_quickstart},
    };

    return attn_test_main("unit.config_round_trip", tests, ATTN_TEST_COUNT(tests));
}
