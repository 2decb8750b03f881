#include "config_keys.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "attnspan/rope.h"
#include "circulate.h"
#include "config_bench.h"
#include "layout.h"
#include "text.h"
#include "weights.h"

static const char *synthetic_name(int tensors) {
    switch (tensors) {
        case ATTN_SYNTHETIC_LAYER:
            return "layer";
        case ATTN_SYNTHETIC_QKV:
            return "qkv";
        default:
            return NULL;
    }
}

/* The choice of no scaling is to leave the section out. */
static const char *scaling_name(int kind) {
    return kind < 0 ? NULL : attn_rope_scaling_name(kind + ATTN_ROPE_LINEAR);
}

static const char *causal_name(int causal) {
    static const char *const names[] = {
        [ATTN_NOT_CAUSAL] = "false", [ATTN_CAUSAL] = "true", [ATTN_CAUSAL_TOP_LEFT] = "top_left"};

    return causal >= 0 && causal < (int)(sizeof names / sizeof *names) ? names[causal] : NULL;
}

static const char *switch_name(int is_on) {
    static const char *const names[] = {"false", "true"};

    return is_on >= 0 && is_on < (int)(sizeof names / sizeof *names) ? names[is_on] : NULL;
}

/* Masks that are one word: index as in causal_name. */
static const char *mask_word(int causal) {
    static const char *const words[] = {[ATTN_NOT_CAUSAL] = "none", [ATTN_CAUSAL] = "causal"};

    return causal >= 0 && causal < (int)(sizeof words / sizeof *words) ? words[causal] : NULL;
}

static const char *boolean_name(int boolean) {
    static const char *const names[] = {"false", "true"};

    return boolean >= 0 && boolean < (int)(sizeof names / sizeof *names) ? names[boolean] : NULL;
}

#define MOST_ROWS  ((int64_t)1 << 48) /* times any width, bytes still fit in int64_t */
#define MOST_PARTS ((int64_t)1 << 20)
#define MOST_WIDTH ((int64_t)1 << 20)
#define MOST_SEED  ((int64_t)1 << 53) /* survives readers that keep numbers as doubles */

/* The type and place of a row's value. */
#define SECTION          .type = ATTN_CONFIG_SECTION
#define INTEGER(m, a, z) .type = ATTN_CONFIG_INTEGER, AT(m), .min = (a), .max = (z)
#define NUMBER(m)        .type = ATTN_CONFIG_NUMBER, AT(m)
#define CHOICE(m, names) .type = ATTN_CONFIG_CHOICE, AT(m), .name = (names)
#define TEXT(m)          .type = ATTN_CONFIG_TEXT, AT(m)
#define INTEGERS(m, a, z, few, many) \
    .type = ATTN_CONFIG_INTEGERS, AT(m), .min = (a), .max = (z), .fewest = (few), .most = (many)
#define NUMBERS(m, few, many) .type = ATTN_CONFIG_NUMBERS, AT(m), .fewest = (few), .most = (many)
#define INPUT_PATH(m)         .type = ATTN_CONFIG_INPUT_PATH, AT(m)
#define OUTPUT_PATH(m)        .type = ATTN_CONFIG_OUTPUT_PATH, AT(m)
#define AT(m)                 .offset = offsetof(attn_config, m)

/* Its default. */
#define REQUIRED     .required = 1, .fallback = ATTN_AUTO
#define LATER        .fallback = ATTN_AUTO /* left out: worked out from other keys or files */
#define OR_AUTO      .or_auto = 1, .fallback = ATTN_AUTO
#define OR_PATH      .or_path = 1
#define WORDS(names) .name = (names)
#define DEFAULT(v)   .fallback = (v)
#define DEFAULTF(v)  .number_fallback = (v)

static const attn_config_key keys[] = {
    {"attention", "what is computed", SECTION},
    {"attention.heads", "query heads", INTEGER(attention.heads, 1, 65536), REQUIRED},
    {"attention.kv_heads", "key/value heads", INTEGER(attention.kv_heads, 1, 65536), LATER},
    {"attention.head_dim", "width of a head", INTEGER(attention.head_dim, 1, 4096), LATER},
    {"attention.scale", "factor of the scores", NUMBER(attention.scale)},
    {"attention.mask", "keys that a query sees", SECTION, WORDS(mask_word)},
    {"attention.mask.causal", "whether keys behind the query are hidden",
     CHOICE(attention.mask.causal, causal_name), DEFAULT(ATTN_NOT_CAUSAL)},
    {"attention.mask.window", "keys to the left and right of the query",
     INTEGERS(attention.mask.window, -1, MOST_ROWS, 2, 2)},
    {"attention.mask.prefix", "keys at the start that all queries see",
     INTEGER(attention.mask.prefix, 0, MOST_ROWS), DEFAULT(0)},
    {"attention.mask.documents", "lengths of packed documents",
     INTEGERS(attention.mask.documents, 1, MOST_ROWS, 1, ATTN_CONFIG_MOST_INTEGERS), OR_PATH},
    {"attention.mask.first", "keys at the start that stay visible beside the window",
     INTEGER(attention.mask.first, 0, MOST_ROWS), DEFAULT(0)},
    {"attention.mask.key_lengths", "keys of each batch item that are no padding",
     INTEGERS(attention.mask.key_lengths, 0, MOST_ROWS, 1, ATTN_CONFIG_MOST_INTEGERS), OR_PATH},
    {"attention.mask.bias", "added to the scaled scores", INPUT_PATH(attention.mask.bias)},
    {"attention.alibi", "biases linear in the distance", SECTION, AT(attention.alibi),
     WORDS(boolean_name)},
    {"attention.alibi.published", "whether the slopes are those of the paper",
     CHOICE(attention.alibi_published, boolean_name), DEFAULT(0)},
    {"attention.alibi.slopes", "slope of each head",
     NUMBERS(attention.alibi_slopes, 1, ATTN_CONFIG_MOST_NUMBERS), OR_PATH},
    {"attention.softcap", "bound of the scores", NUMBER(attention.softcap)},
    {"attention.sinks", "extra logit of each head",
     NUMBERS(attention.sinks, 1, ATTN_CONFIG_MOST_NUMBERS), OR_PATH},
    {"attention.rope", "rotation of q and k by position", SECTION, AT(attention.rope)},
    {"attention.rope.theta", "base of the frequencies", NUMBER(attention.rope_theta),
     DEFAULTF(10000)},
    {"attention.rope.dim", "elements of a head that turn", INTEGER(attention.rope_dim, 2, 4096),
     LATER},
    {"attention.rope.pairing", "elements that turn together",
     CHOICE(attention.rope_pairing, attn_rope_pairing_name), DEFAULT(ATTN_ROPE_HALF)},
    {"attention.rope.scaling", "stretch to longer sequences", SECTION, AT(attention.rope_scaling)},
    {"attention.rope.scaling.kind", "how it is stretched",
     CHOICE(attention.rope_scaling_kind, scaling_name), LATER},
    {"attention.rope.scaling.factor", "by how much", NUMBER(attention.rope_factor)},
    {"attention.rope.scaling.original_length", "rows that the model was trained on",
     INTEGER(attention.rope_original_length, 8, MOST_ROWS), LATER},
    {"attention.qk_norm", "RMS norm of each head of q and k", SECTION, AT(attention.qk_norm)},
    {"attention.qk_norm.eps", "added to the mean square", NUMBER(attention.qk_norm_eps),
     DEFAULTF(1.0e-6)},

    {"sequence", "how long and how many sequences", SECTION},
    {"sequence.length", "query rows", INTEGER(sequence.length, 1, MOST_ROWS), LATER},
    {"sequence.kv_length", "key rows", INTEGER(sequence.kv_length, 1, MOST_ROWS), LATER},
    {"sequence.batch", "sequences", INTEGER(sequence.batch, 1, MOST_PARTS), LATER},

    {"parallel", "how the ranks share the work", SECTION},
    {"parallel.heads", "head groups", INTEGER(parallel.heads, 1, MOST_PARTS), OR_AUTO},
    {"parallel.sequence", "sequence shards", INTEGER(parallel.sequence, 1, MOST_PARTS), OR_AUTO},
    {"parallel.circulate", "how key/value shards meet query shards",
     CHOICE(parallel.circulate, attn_circulation_name), OR_AUTO},
    {"parallel.layout", "rows that a shard owns", CHOICE(parallel.layout, attn_layout_name),
     OR_AUTO},
    {"parallel.share_nodes", "whether a node's ranks share one copy of keys and values",
     CHOICE(parallel.share_nodes, switch_name), OR_AUTO},
    {"parallel.threads", "threads of a rank", INTEGER(parallel.threads, 1, 4096), OR_AUTO},
    {"parallel.machine", "rates of the cluster", INPUT_PATH(parallel.machine)},

    {"compute", "how a rank computes", SECTION},
    {"compute.dtype", "storage of Q, K and V", CHOICE(compute.dtype, attn_storage_name),
     DEFAULT(ATTN_FP32)},
    {"compute.kernel", "instruction set", CHOICE(compute.kernel, attn_kernel_name), OR_AUTO},

    {"input", "what it is computed on", SECTION},
    {"input.x", "hidden states", INPUT_PATH(input.x)},
    {"input.memory", "where keys and values come from in cross-attention",
     INPUT_PATH(input.memory)},
    {"input.weights", "projections of the layer", SECTION, AT(input.weights)},
    {"input.weights.file", "safetensors file or index", INPUT_PATH(input.weights_file)},
    {"input.weights.scheme", "names of the tensors in the file",
     CHOICE(input.weights_scheme, attn_scheme_name), DEFAULT(0)},
    {"input.weights.prefix", "what the tensors' names begin with", TEXT(input.weights_prefix)},
    {"input.q", "queries", INPUT_PATH(input.q)},
    {"input.k", "keys", INPUT_PATH(input.k)},
    {"input.v", "values", INPUT_PATH(input.v)},
    {"input.synthetic", "input made on the fly", SECTION, AT(input.synthetic)},
    {"input.synthetic.seed", "seed of the generator", INTEGER(input.synthetic_seed, 0, MOST_SEED),
     DEFAULT(0)},
    {"input.synthetic.d_model", "model width", INTEGER(input.synthetic_d_model, 1, MOST_WIDTH),
     LATER},
    {"input.synthetic.d_memory", "width of a memory",
     INTEGER(input.synthetic_d_memory, 1, MOST_WIDTH), LATER},
    {"input.synthetic.tensors", "a whole layer, or q, k and v",
     CHOICE(input.synthetic_tensors, synthetic_name), DEFAULT(ATTN_SYNTHETIC_LAYER)},

    {"output", "files that are written", SECTION},
    {"output.y", "the result", OUTPUT_PATH(output.y)},
    {"output.lse", "log-sum-exp of the scores", OUTPUT_PATH(output.lse)},
    {"output.report", "measurements", OUTPUT_PATH(output.report)},
    {"output.trace", "what each rank did when", OUTPUT_PATH(output.trace)},

    {"verify", "comparison with the fp64 oracle", SECTION},
    {"verify.rows", "rows to recompute", INTEGER(verify.rows, 0, MOST_PARTS), DEFAULT(0)},
    {"verify.tolerance", "largest error over RMS", NUMBER(verify.tolerance)},

    {"bench", "a sweep over configs, timed", SECTION},
    {"bench.sweep", "keys and the values that they take in turn", .type = ATTN_CONFIG_SWEEP,
     AT(bench.sweep)},
    {"bench.mode", "what a sweep over ranks keeps", CHOICE(bench.mode, attn_config_bench_mode_name),
     OR_AUTO},
    {"bench.repeats", "timed executions of each point", INTEGER(bench.repeats, 1, 1000),
     DEFAULT(5)},
    {"bench.warmup", "executions before each timed one", INTEGER(bench.warmup, 0, 100), DEFAULT(1)},
    {"bench.budget_sec", "seconds after which no sample is begun", NUMBER(bench.budget_sec)},
    {"bench.samples", "file with a line for each sample", OUTPUT_PATH(bench.samples)},
    {"bench.resume", "whether to go on with the samples that are there",
     CHOICE(bench.resume, switch_name), DEFAULT(1)},
};

enum { KEY_COUNT = sizeof keys / sizeof *keys };
_Static_assert((int)KEY_COUNT <= (int)ATTN_CONFIG_MAX_KEYS, "each row has a mark in attn_config");

const attn_config_key *attn_config_keys(int32_t *count) {
    *count = KEY_COUNT;
    return keys;
}

int32_t attn_config_key_find(const char *path) {
    for (int32_t row = 0; row < KEY_COUNT; row++)
        if (strcmp(keys[row].path, path) == 0) return row;
    return -1;
}

int attn_config_key_in(const attn_config_key *key, const char *section) {
    const size_t bytes = strlen(section);

    return bytes == 0 || (strncmp(key->path, section, bytes) == 0 && key->path[bytes] == '.');
}

const char *attn_config_key_last(const char *path) {
    const char *dot = strrchr(path, '.');

    return dot == NULL ? path : dot + 1;
}

const void *attn_config_key_field_const(const attn_config *config, const attn_config_key *key) {
    assert(key->offset != 0);
    return (const char *)config + key->offset;
}

void *attn_config_key_field(attn_config *config, const attn_config_key *key) {
    assert(key->offset != 0);
    return (char *)config + key->offset;
}

static void reset_field(attn_config *config, const attn_config_key *key) {
    void *field;

    if (key->offset == 0) return;
    field = attn_config_key_field(config, key);
    switch (key->type) {
        case ATTN_CONFIG_SECTION:
        case ATTN_CONFIG_CHOICE:
            *(int32_t *)field = (int32_t)key->fallback;
            break;
        case ATTN_CONFIG_INTEGER:
            *(int64_t *)field = key->fallback;
            break;
        case ATTN_CONFIG_NUMBER:
            *(double *)field = key->number_fallback;
            break;
        case ATTN_CONFIG_TEXT:
            memset(field, 0, ATTN_NAME_BYTES);
            break;
        case ATTN_CONFIG_INPUT_PATH:
        case ATTN_CONFIG_OUTPUT_PATH:
            memset(field, 0, ATTN_PATH_BYTES); /* equal configs have equal bytes */
            break;
        case ATTN_CONFIG_INTEGERS:
            memset(field, 0, sizeof(attn_integers));
            break;
        case ATTN_CONFIG_NUMBERS:
            memset(field, 0, sizeof(attn_numbers));
            break;
        case ATTN_CONFIG_SWEEP:
            memset(field, 0, sizeof(attn_sweep));
            break;
    }
}

void attn_config_key_reset(attn_config *config, int32_t row) {
    for (int32_t i = row; i < KEY_COUNT; i++) {
        if (i != row && !attn_config_key_in(&keys[i], keys[row].path)) break;
        reset_field(config, &keys[i]);
        config->marks[i] = (attn_mark){0, 0, 0};
    }
}

int attn_config_key_is_default(const attn_config *config, const attn_config_key *key) {
    const void *field = attn_config_key_field_const(config, key);
    const attn_integers *list = field;
    const attn_numbers *numbers = field;

    switch (key->type) {
        case ATTN_CONFIG_CHOICE:
            return *(const int32_t *)field == (int32_t)key->fallback;
        case ATTN_CONFIG_INTEGER:
            return *(const int64_t *)field == key->fallback;
        case ATTN_CONFIG_NUMBER:
            return !(*(const double *)field < key->number_fallback) &&
                   !(*(const double *)field > key->number_fallback);
        case ATTN_CONFIG_TEXT:
        case ATTN_CONFIG_INPUT_PATH:
        case ATTN_CONFIG_OUTPUT_PATH:
            return *(const char *)field == '\0';
        case ATTN_CONFIG_INTEGERS:
            return list->count == 0 && list->file[0] == '\0';
        case ATTN_CONFIG_NUMBERS:
            return numbers->count == 0 && numbers->file[0] == '\0';
        case ATTN_CONFIG_SWEEP:
            return ((const attn_sweep *)field)->axes == 0;
        case ATTN_CONFIG_SECTION:
            break;
    }
    return 0;
}

void attn_config_key_list(const char *section, char *text, size_t bytes) {
    text[0] = '\0';
    for (int32_t row = 0; row < KEY_COUNT; row++) {
        const char *last = attn_config_key_last(keys[row].path);
        const size_t prefix_bytes = (size_t)(last - keys[row].path);
        const size_t section_bytes = strlen(section);

        /* Directly in it: nothing but the section and a dot before the last word. */
        if (prefix_bytes != section_bytes + (section_bytes > 0)) continue;
        if (!attn_config_key_in(&keys[row], section)) continue;
        attn_text_append(text, bytes, "%s%s", text[0] == '\0' ? "" : ", ", last);
    }
}

static void expected_section(const attn_config_key *key, char *text, size_t bytes) {
    char list[256];

    for (int i = 0; key->name != NULL && key->name(i) != NULL; i++)
        attn_text_append(text, bytes, "%s%s", key->name(i),
                         key->name(i + 1) == NULL ? " or " : ", ");
    attn_config_key_list(key->path, list, sizeof list);
    attn_text_append(text, bytes, "a mapping of %s", list);
}

static void expected_integers(const attn_config_key *key, char *text, size_t bytes) {
    attn_text_append(text, bytes, "a list of ");
    if (key->fewest < key->most) attn_text_append(text, bytes, "%" PRId64 " to ", key->fewest);
    attn_text_append(text, bytes, "%" PRId64 " integers from %" PRId64 " to %" PRId64, key->most,
                     key->min, key->max);
    if (key->or_path)
        attn_text_append(text, bytes, ", or the path of a .npy with as many as it takes");
}

static void expected_numbers(const attn_config_key *key, char *text, size_t bytes) {
    attn_text_append(text, bytes, "a list of %" PRId64 " to %" PRId64 " numbers that fp32 can hold",
                     key->fewest, key->most);
    if (key->or_path)
        attn_text_append(text, bytes,
                         ", or FILE.npy or FILE.safetensors#TENSOR with as many as it takes");
}

static void expected_choice(const attn_config_key *key, char *text, size_t bytes) {
    if (!key->or_auto && key->name(1) == NULL) {
        attn_text_append(text, bytes, "%s", key->name(0));
        return;
    }
    attn_text_append(text, bytes, "one of %s", key->or_auto ? "auto, " : "");
    for (int i = 0; key->name(i) != NULL; i++)
        attn_text_append(text, bytes, "%s%s", i == 0 ? "" : ", ", key->name(i));
}

void attn_config_key_expected(const attn_config_key *key, char *text, size_t bytes) {
    text[0] = '\0';
    switch (key->type) {
        case ATTN_CONFIG_SECTION:
            expected_section(key, text, bytes);
            break;
        case ATTN_CONFIG_INTEGERS:
            expected_integers(key, text, bytes);
            break;
        case ATTN_CONFIG_NUMBERS:
            expected_numbers(key, text, bytes);
            break;
        case ATTN_CONFIG_INTEGER:
            attn_text_append(text, bytes, "%san integer from %" PRId64 " to %" PRId64,
                             key->or_auto ? "auto or " : "", key->min, key->max);
            break;
        case ATTN_CONFIG_NUMBER:
            attn_text_append(text, bytes, "a number above 0 that fp32 can hold");
            break;
        case ATTN_CONFIG_CHOICE:
            expected_choice(key, text, bytes);
            break;
        case ATTN_CONFIG_TEXT:
            attn_text_append(text, bytes, "a text of at most %d bytes", ATTN_NAME_BYTES - 1);
            break;
        case ATTN_CONFIG_INPUT_PATH:
        case ATTN_CONFIG_OUTPUT_PATH:
            attn_text_append(text, bytes, "a path");
            break;
        case ATTN_CONFIG_SWEEP:
            attn_text_append(text, bytes, "a mapping from keys to lists of values");
            break;
    }
}
