#include "config_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "circulate.h"
#include "config_bench.h"
#include "config_fail.h"
#include "config_keys.h"
#include "config_rope.h"

/* Where the innermost section around a key is in the file; line 0: nowhere. */
static attn_mark section_mark(const attn_config *config, const attn_config_key *key) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);
    attn_mark mark = {0, 0, 0};

    for (int32_t row = 0; row < count; row++)
        if (attn_config_key_in(key, keys[row].path)) mark = config->marks[row];
    return mark.set == 0 ? mark : (attn_mark){0, 0, 0};
}

static attn_status check_required(attn_config *config, attn_error *error) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    for (int32_t row = 0; row < count; row++) {
        if (!keys[row].required || config->marks[row].line != 0) continue;
        return attn_config_fail_at(config->file, section_mark(config, &keys[row]), keys[row].path,
                                   error, ATTN_ERR_CONFIG, "is missing; give the number of %s",
                                   keys[row].help);
    }
    return ATTN_OK;
}

static attn_status check_heads(attn_config *config, attn_error *error) {
    const int64_t heads = config->attention.heads;

    if (config->attention.kv_heads == ATTN_AUTO) config->attention.kv_heads = heads;
    if (heads % config->attention.kv_heads == 0) return ATTN_OK;
    return attn_config_fail(config, "attention.kv_heads", error, ATTN_ERR_CONFIG,
                            "is %" PRId64 "; must divide attention.heads, which is %" PRId64,
                            config->attention.kv_heads, heads);
}

static int has_qkv(const attn_config *config) {
    return config->input.q[0] != '\0' || config->input.k[0] != '\0' || config->input.v[0] != '\0';
}

static int has_layer(const attn_config *config) {
    return config->input.x[0] != '\0' || config->input.weights;
}

/* The first key that is there, for a message about an input form. */
static const char *layer_key(const attn_config *config) {
    return config->input.x[0] != '\0' ? "input.x" : "input.weights";
}

static const char *qkv_key(const attn_config *config) {
    if (config->input.q[0] != '\0') return "input.q";
    return config->input.k[0] != '\0' ? "input.k" : "input.v";
}

/* Exactly one of: x with weights; q, k and v; synthetic. */
static attn_status check_input_form(attn_config *config, attn_error *error) {
    const char *forms[3];
    int count = 0;

    if (has_layer(config)) forms[count++] = layer_key(config);
    if (has_qkv(config)) forms[count++] = qkv_key(config);
    if (config->input.synthetic) forms[count++] = "input.synthetic";
    if (count == 0)
        return attn_config_fail(config, "input", error, ATTN_ERR_CONFIG,
                                "has no tensors; give x and weights, or q, k and v, or synthetic");
    if (count == 1) return ATTN_OK;
    return attn_config_fail(config, forms[1], error, ATTN_ERR_CONFIG,
                            "contradicts %s; give only one of x with weights, q with k and v, "
                            "or synthetic (--set %s=null takes a key out)",
                            forms[0], forms[0]);
}

static attn_status check_layer(attn_config *config, attn_error *error) {
    if (!has_layer(config)) return ATTN_OK;
    if (!config->input.weights)
        return attn_config_fail(config, "input.x", error, ATTN_ERR_CONFIG,
                                "has no weights; add input.weights: {file: FILE.safetensors}");
    if (config->input.weights_file[0] == '\0')
        return attn_config_fail(config, "input.weights", error, ATTN_ERR_CONFIG,
                                "names no file; add file: FILE.safetensors");
    if (config->input.x[0] == '\0')
        return attn_config_fail(config, "input.weights", error, ATTN_ERR_CONFIG,
                                "has nothing to project; add input.x");
    return ATTN_OK;
}

/* Keys and values are projected from a memory: only a layer has projections. */
static attn_status check_memory(attn_config *config, attn_error *error) {
    if (config->input.memory[0] == '\0' || config->input.x[0] != '\0') return ATTN_OK;
    if (config->input.synthetic)
        return attn_config_fail(config, "input.memory", error, ATTN_ERR_CONFIG,
                                "contradicts input.synthetic, which makes its own memory; give "
                                "input.synthetic.d_memory instead");
    return attn_config_fail(config, "input.memory", error, ATTN_ERR_CONFIG,
                            "is given without input.x; keys and values are projected from it in a "
                            "layer, so give x and weights, or leave it out");
}

static attn_status check_qkv(attn_config *config, attn_error *error) {
    const char *missing = NULL;

    if (!has_qkv(config)) return ATTN_OK;
    if (config->input.q[0] == '\0') missing = "input.q";
    if (config->input.k[0] == '\0') missing = "input.k";
    if (config->input.v[0] == '\0') missing = "input.v";
    if (missing == NULL) return ATTN_OK;
    return attn_config_fail(config, qkv_key(config), error, ATTN_ERR_CONFIG,
                            "is given without %s; give all of q, k and v", missing);
}

static attn_status check_synthetic_layer(const attn_config *config, attn_error *error) {
    const int64_t d_model = config->input.synthetic_d_model;
    const int64_t heads = config->attention.heads;

    if (d_model == ATTN_AUTO)
        return attn_config_fail(config, "input.synthetic", error, ATTN_ERR_CONFIG,
                                "has no d_model; a layer needs it: add d_model: WIDTH");
    if (config->attention.head_dim == ATTN_AUTO && d_model % heads != 0)
        return attn_config_fail(config, "input.synthetic.d_model", error, ATTN_ERR_CONFIG,
                                "is %" PRId64
                                "; must be a multiple of attention.heads, which is "
                                "%" PRId64 ", or give attention.head_dim",
                                d_model, heads);
    return ATTN_OK;
}

static attn_status check_synthetic_qkv(const attn_config *config, attn_error *error) {
    if (config->input.synthetic_d_model != ATTN_AUTO)
        return attn_config_fail(config, "input.synthetic.d_model", error, ATTN_ERR_CONFIG,
                                "means nothing for tensors: qkv; leave it out, "
                                "attention.head_dim gives the width");
    if (config->input.synthetic_d_memory != ATTN_AUTO)
        return attn_config_fail(config, "input.synthetic.d_memory", error, ATTN_ERR_CONFIG,
                                "means nothing for tensors: qkv, whose keys and values are made "
                                "as they are; leave it out");
    if (config->attention.head_dim == ATTN_AUTO)
        return attn_config_fail(config, "input.synthetic.tensors", error, ATTN_ERR_CONFIG,
                                "is qkv without attention.head_dim; give that width");
    return ATTN_OK;
}

static attn_status check_synthetic(attn_config *config, attn_error *error) {
    if (!config->input.synthetic) return ATTN_OK;
    if (config->sequence.length == ATTN_AUTO)
        return attn_config_fail(config, "input.synthetic", error, ATTN_ERR_CONFIG,
                                "has no length; add sequence.length, the number of query rows");
    if (config->sequence.batch == ATTN_AUTO) config->sequence.batch = 1;
    return config->input.synthetic_tensors == ATTN_SYNTHETIC_QKV
               ? check_synthetic_qkv(config, error)
               : check_synthetic_layer(config, error);
}

/* A derived head width obeys the same limit as a given one. */
static attn_status check_head_dim(attn_config *config, attn_error *error) {
    const int32_t row = attn_config_key_find("attention.head_dim");
    int32_t count;
    const int64_t most = attn_config_keys(&count)[row].max;

    if (!config->input.synthetic || config->attention.head_dim != ATTN_AUTO ||
        config->input.synthetic_d_model / config->attention.heads <= most)
        return ATTN_OK;
    return attn_config_fail(config, "input.synthetic.d_model", error, ATTN_ERR_CONFIG,
                            "is %" PRId64 ", so a head is wider than %" PRId64
                            "; take more heads, or give attention.head_dim",
                            config->input.synthetic_d_model, most);
}

/* Without a memory the keys of a layer are made of the rows of its queries. */
static attn_status check_kv_length(attn_config *config, attn_error *error) {
    const int64_t length = config->sequence.length, kv_length = config->sequence.kv_length;
    const int is_qkv = has_qkv(config) || (config->input.synthetic &&
                                           config->input.synthetic_tensors == ATTN_SYNTHETIC_QKV);

    if (config->input.memory[0] != '\0' || config->input.synthetic_d_memory != ATTN_AUTO)
        return ATTN_OK;
    if (is_qkv || length == ATTN_AUTO || kv_length == ATTN_AUTO || length == kv_length)
        return ATTN_OK;
    return attn_config_fail(config, "sequence.kv_length", error, ATTN_ERR_CONFIG,
                            "is %" PRId64 "; must equal sequence.length, which is %" PRId64
                            ": a layer attends to its own rows, unless it has %s",
                            kv_length, length,
                            config->input.synthetic ? "input.synthetic.d_memory" : "input.memory");
}

/* The others move each shard on; there are no copies to share. */
static attn_status check_sharing(attn_config *config, attn_error *error) {
    const char *name = attn_circulation_name(config->parallel.circulate);

    if (config->parallel.share_nodes != 1 || name == NULL) return ATTN_OK;
    if (attn_circulation_find(name)->shares) return ATTN_OK;
    return attn_config_fail(config, "parallel.share_nodes", error, ATTN_ERR_CONFIG,
                            "is true, but parallel.circulate is %s; must be auto or false, or "
                            "parallel.circulate must be gather, which shares, or auto",
                            name);
}

/* Whether a row names the file `path`. An input's #TENSOR is no part of it. */
static int names_file(const attn_config *config, const attn_config_key *key, const char *path) {
    const attn_integers *list;
    const attn_numbers *numbers;
    const char *other;
    size_t bytes;

    if (key->type == ATTN_CONFIG_INTEGERS) {
        list = attn_config_key_field_const(config, key);
        return strcmp(list->file, path) == 0;
    }
    if (key->type == ATTN_CONFIG_NUMBERS) {
        numbers = attn_config_key_field_const(config, key);
        other = numbers->file;
    } else if (key->type == ATTN_CONFIG_INPUT_PATH || key->type == ATTN_CONFIG_OUTPUT_PATH) {
        other = attn_config_key_field_const(config, key);
    } else {
        return 0;
    }
    bytes = key->type == ATTN_CONFIG_OUTPUT_PATH ? strlen(other) : strcspn(other, "#");
    return strlen(path) == bytes && memcmp(path, other, bytes) == 0;
}

/* An output may overwrite neither an input nor another output. Paths are compared
 * as they are written; the file system is not asked. */
static attn_status check_outputs(attn_config *config, attn_error *error) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    for (int32_t row = 0; row < count; row++) {
        const char *path;

        if (keys[row].type != ATTN_CONFIG_OUTPUT_PATH) continue;
        path = attn_config_key_field_const(config, &keys[row]);
        if (path[0] == '\0') continue;
        for (int32_t other = 0; other < row; other++)
            if (names_file(config, &keys[other], path))
                return attn_config_fail(config, keys[row].path, error, ATTN_ERR_CONFIG,
                                        "would overwrite the file of %s; must be a file of its own",
                                        keys[other].path);
    }
    return ATTN_OK;
}

/* A list in the config has a number for each head; a file is looked into later. */
static attn_status check_head_list(const attn_config *config, const char *key,
                                   const attn_numbers *list, attn_error *error) {
    if (list->count == 0 || list->count == config->attention.heads) return ATTN_OK;
    return attn_config_fail(config, key, error, ATTN_ERR_CONFIG,
                            "has %" PRId64 " number%s; must have %" PRId64
                            ", one for each of attention.heads",
                            list->count, list->count == 1 ? "" : "s", config->attention.heads);
}

static attn_status check_terms(attn_config *config, attn_error *error) {
    const attn_numbers *slopes = &config->attention.alibi_slopes;
    const int has_slopes = slopes->count > 0 || slopes->file[0] != '\0';
    const int is_word = config->marks[attn_config_key_find("attention.alibi.published")].line != 0;

    if (config->attention.alibi && !has_slopes && !is_word)
        return attn_config_fail(config, "attention.alibi", error, ATTN_ERR_CONFIG,
                                "has no slopes; must be true for those of the paper, or "
                                "{slopes: [...]}");
    if (has_slopes && config->attention.alibi_published)
        return attn_config_fail(config, "attention.alibi.slopes", error, ATTN_ERR_CONFIG,
                                "contradict published: true, which has its own; give only one of "
                                "the two");
    if (check_head_list(config, "attention.alibi.slopes", slopes, error) != ATTN_OK)
        return error->status;
    return check_head_list(config, "attention.sinks", &config->attention.sinks, error);
}

/* fp32 errors are near 1e-6. A kernel that rounds its weights to bf16 makes an RMS error of
 * 1.7e-3 of a row; but a row of few keys is far larger than the RMS of the rows, of which most
 * are averages of many: eight times when it is one of 64. */
static attn_status check_tolerance(attn_config *config, attn_error *error) {
    static const double defaults[] = {[ATTN_FP32] = 1.0e-4, [ATTN_BF16] = 5.0e-2};

    (void)error;
    if (config->marks[attn_config_key_find("verify.tolerance")].line == 0)
        config->verify.tolerance = defaults[config->compute.dtype];
    return ATTN_OK;
}

/* A bias is where its queries are, and not where they would travel to. */
static attn_status check_circulation(attn_config *config, attn_error *error) {
    const attn_problem biased = {.terms = {.bias_heads = config->attention.mask.bias[0] != '\0'}};
    const char *name = attn_circulation_name(config->parallel.circulate);
    const char *reason = name == NULL ? NULL : attn_circulation_refuses(&biased, name);

    if (reason == NULL) return ATTN_OK;
    return attn_config_fail(config, "parallel.circulate", error, ATTN_ERR_CONFIG,
                            "is %s, which %s (attention.mask.bias is given)", name, reason);
}

attn_status attn_config_check(attn_config *config, attn_error *error) {
    static attn_status (*const checks[])(attn_config *, attn_error *) = {
        check_required,          check_heads,    check_memory,
        check_input_form,        check_layer,    check_qkv,
        check_synthetic,         check_head_dim, check_kv_length,
        attn_config_rope_check,  check_terms,    check_circulation,
        check_sharing,           check_outputs,  check_tolerance,
        attn_config_bench_check,
    };

    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        const attn_status status = checks[i](config, error);

        if (status != ATTN_OK) return status;
    }
    return ATTN_OK;
}
