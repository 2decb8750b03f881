#include "inputs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "config_keys.h"
#include "config_rope.h"
#include "mask_config.h"
#include "mask_spec.h"
#include "terms_config.h"
#include "terms_spec.h"

/* "[4, 1024, 64]" */
static const char *shape_text(const attn_tensor *tensor, char *text, size_t bytes) {
    size_t used = (size_t)snprintf(text, bytes, "[");

    for (int32_t i = 0; i < tensor->dims && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%" PRId64, i == 0 ? "" : ", ",
                                 tensor->shape[i]);
    if (used < bytes) snprintf(text + used, bytes - used, "]");
    return text;
}

/* A tensor of `dims` dimensions, or one more for the batch; no extent may be 0.
 * Its last `dims` extents go to `extents`. */
static attn_status split_batch(const attn_config *config, const char *key,
                               const attn_tensor *tensor, int32_t dims, const char *wanted,
                               int64_t *batch, int64_t *extents, attn_error *error) {
    char text[128];
    int64_t least = 1;

    for (int32_t i = 0; i < tensor->dims; i++)
        if (tensor->shape[i] < least) least = tensor->shape[i];
    if ((tensor->dims != dims && tensor->dims != dims + 1) || least < 1)
        return attn_config_fail(config, key, error, ATTN_ERR_INPUT,
                                "the tensor has the shape %s; it must be %s, without empty "
                                "dimensions",
                                shape_text(tensor, text, sizeof text), wanted);
    *batch = tensor->dims == dims ? 1 : tensor->shape[0];
    memcpy(extents, tensor->shape + tensor->dims - dims, (size_t)dims * sizeof *extents);
    return attn_ok(error);
}

/* Looks at the tensor or weights that a key names; a failure gets the key's place. */
static attn_status at_key(const attn_config *config, const char *key, attn_status status,
                          attn_error *error) {
    attn_error reason = *error;

    if (status == ATTN_OK) return status;
    return attn_config_fail(config, key, error, status, "%s", reason.message);
}

static attn_status describe_tensor(const attn_config *config, const char *key, const char *path,
                                   attn_tensor *tensor, attn_error *error) {
    return at_key(config, key, attn_tensor_describe(path, tensor, error), error);
}

/* A value that the config may state and the input has: they must agree. */
static attn_status check_stated(const attn_config *config, const char *key, int64_t stated,
                                int64_t actual, const char *what, attn_error *error) {
    if (stated == ATTN_AUTO || stated == actual) return attn_ok(error);
    return attn_config_fail(config, key, error, ATTN_ERR_CONFIG,
                            "is %" PRId64 ", but %s is %" PRId64 "; set %" PRId64
                            " or leave it out",
                            stated, what, actual, actual);
}

static attn_status check_narrow(const attn_config *config, const char *key, int64_t dim,
                                attn_error *error) {
    enum { MAX_DIM = 4096 };

    if (dim >= 1 && dim <= MAX_DIM) return attn_ok(error);
    return attn_config_fail(config, key, error, ATTN_ERR_INPUT,
                            "heads would be %" PRId64 " wide; at most %d are built", dim, MAX_DIM);
}

/* The width of one head when `outputs` rows of a weight are dealt to `heads`. */
static attn_status head_width(const attn_config *config, const char *key, const char *weight,
                              int64_t outputs, int64_t heads, int64_t *dim, attn_error *error) {
    if (outputs % heads != 0)
        return attn_config_fail(config, key, error, ATTN_ERR_CONFIG,
                                "is %" PRId64 ", but the %" PRId64
                                " rows of %s do not divide by "
                                "it; the number of heads divides them",
                                heads, outputs, weight);
    *dim = outputs / heads;
    return attn_ok(error);
}

static attn_status check_inputs_of(const attn_config *config, const char *weight, int64_t inputs,
                                   int64_t wanted, const char *what, attn_error *error) {
    if (inputs == wanted) return attn_ok(error);
    return attn_config_fail(config, "input.weights.file", error, ATTN_ERR_INPUT,
                            "%s has %" PRId64 " columns, but %s is %" PRId64
                            "; the layer and the input must fit",
                            weight, inputs, what, wanted);
}

/* The head widths, from the weights' shapes. */
static attn_status fit_weights(const attn_config *config, attn_inputs *inputs, attn_error *error) {
    const attn_weight_part *parts = inputs->weights.parts;
    attn_problem *problem = &inputs->problem;
    int64_t key_dim = 0, kv_key_dim = 0, value_dim = 0;
    int64_t kv_width = problem->memory_dim > 0 ? problem->memory_dim : problem->model_dim;
    const char *kv_source = problem->memory_dim > 0 ? "the width of the memory" : "the width of x";

    if (head_width(config, "attention.heads", "W_Q", parts[0].outputs, problem->heads, &key_dim,
                   error) != ATTN_OK ||
        head_width(config, "attention.kv_heads", "W_K", parts[1].outputs, problem->kv_heads,
                   &kv_key_dim, error) != ATTN_OK ||
        head_width(config, "attention.kv_heads", "W_V", parts[2].outputs, problem->kv_heads,
                   &value_dim, error) != ATTN_OK ||
        check_stated(config, "attention.head_dim", config->attention.head_dim, key_dim,
                     "the width of a head in W_Q", error) != ATTN_OK ||
        check_narrow(config, "input.weights.file", key_dim, error) != ATTN_OK ||
        check_narrow(config, "input.weights.file", value_dim, error) != ATTN_OK ||
        check_inputs_of(config, "W_Q", parts[0].inputs, problem->model_dim, "the width of x",
                        error) != ATTN_OK ||
        check_inputs_of(config, "W_K", parts[1].inputs, kv_width, kv_source, error) != ATTN_OK ||
        check_inputs_of(config, "W_V", parts[2].inputs, kv_width, kv_source, error) != ATTN_OK)
        return error->status;
    /* Before W_O: with a wrong number of kv heads value_dim is wrong as well. */
    if (kv_key_dim != key_dim)
        return attn_config_fail(config, "attention.kv_heads", error, ATTN_ERR_CONFIG,
                                "is %" PRId64 ", which makes key heads %" PRId64
                                " wide, but query heads are %" PRId64 " wide; W_K fits %" PRId64
                                " kv heads",
                                problem->kv_heads, kv_key_dim, key_dim, parts[1].outputs / key_dim);
    if (check_inputs_of(config, "W_O", parts[3].inputs, problem->heads * value_dim,
                        "the concatenation of all heads", error) != ATTN_OK)
        return error->status;
    if (parts[3].outputs != problem->model_dim)
        return attn_config_fail(config, "input.weights.file", error, ATTN_ERR_INPUT,
                                "W_O has %" PRId64 " rows, but y is as wide as x: %" PRId64
                                "; the layer and the input must fit",
                                parts[3].outputs, problem->model_dim);
    problem->key_dim = (int32_t)key_dim;
    problem->value_dim = (int32_t)value_dim;
    return attn_ok(error);
}

/* A failure belongs to the key at fault; to the file's, where that key is not in the config. */
static attn_status describe_weights(const attn_config *config, attn_weight_files *weights,
                                    attn_error *error) {
    const attn_numbers *sinks = &config->attention.sinks;
    const int with_sinks = sinks->count > 0 || sinks->file[0] != '\0';
    const char *key;
    attn_status status = attn_weights_describe(
        config->input.weights_file, config->input.weights_scheme, config->input.weights_prefix,
        config->attention.qk_norm, with_sinks, weights, &key, error);

    if (config->marks[attn_config_key_find(key)].line == 0) key = "input.weights.file";
    return at_key(config, key, status, error);
}

/* Whether `path` is where a tensor of the weights is. */
static int holds_weights(const attn_weight_files *weights, const char *path) {
    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        const attn_weight_part *part = &weights->parts[i];

        if (strcmp(path, part->weight.path) == 0 ||
            (part->has_bias && strcmp(path, part->bias.path) == 0))
            return 1;
    }
    for (int i = 0; i < ATTN_NORMS && weights->has_norms; i++)
        if (strcmp(path, weights->norms[i].path) == 0) return 1;
    return 0;
}

/* The config's own check knows the files that it names, but not the shards of an index. */
static attn_status check_shards(const attn_config *config, const attn_weight_files *weights,
                                attn_error *error) {
    const struct {
        const char *key, *path;
    } outputs[] = {{"output.y", config->output.y},
                   {"output.lse", config->output.lse},
                   {"output.report", config->output.report},
                   {"output.trace", config->output.trace}};

    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        if (holds_weights(weights, outputs[i].path))
            return attn_config_fail(config, outputs[i].key, error, ATTN_ERR_CONFIG,
                                    "would overwrite a file with the weights; must be a file of "
                                    "its own");
    return attn_ok(error);
}

/* The norms are as long as a head is wide. */
static attn_status fit_norms(const attn_config *config, const attn_inputs *inputs,
                             attn_error *error) {
    for (int i = 0; i < ATTN_NORMS && inputs->weights.has_norms; i++)
        if (inputs->weights.norms[i].shape[0] != inputs->problem.key_dim)
            return attn_config_fail(config, "input.weights.file", error, ATTN_ERR_INPUT,
                                    "the norm of %s has %" PRId64
                                    " weights, but heads are %d wide; a norm has one for each "
                                    "element of a head",
                                    i == 0 ? "q" : "k", inputs->weights.norms[i].shape[0],
                                    inputs->problem.key_dim);
    return attn_ok(error);
}

/* Where the keys and values of cross-attention come from. */
static attn_status describe_memory(const attn_config *config, attn_inputs *inputs,
                                   attn_error *error) {
    attn_problem *problem = &inputs->problem;
    int64_t batch = 0, extents[2];

    if (config->input.memory[0] == '\0') return attn_ok(error);
    if (describe_tensor(config, "input.memory", config->input.memory, &inputs->memory, error) !=
            ATTN_OK ||
        split_batch(config, "input.memory", &inputs->memory, 2,
                    "[N_kv, d_memory] or [B, N_kv, d_memory]", &batch, extents, error) != ATTN_OK)
        return error->status;
    if (batch != problem->batch || inputs->memory.dims != inputs->x.dims) {
        char texts[2][128];
        return attn_config_fail(config, "input.memory", error, ATTN_ERR_INPUT,
                                "the tensor has the shape %s, and x %s; they share B, and both "
                                "have it or none",
                                shape_text(&inputs->memory, texts[0], sizeof texts[0]),
                                shape_text(&inputs->x, texts[1], sizeof texts[1]));
    }
    problem->kv_length = extents[0];
    problem->memory_dim = extents[1];
    return attn_ok(error);
}

static attn_status describe_layer(const attn_config *config, attn_inputs *inputs,
                                  attn_error *error) {
    attn_problem *problem = &inputs->problem;
    int64_t extents[2];

    if (describe_tensor(config, "input.x", config->input.x, &inputs->x, error) != ATTN_OK ||
        split_batch(config, "input.x", &inputs->x, 2, "[N, d_model] or [B, N, d_model]",
                    &problem->batch, extents, error) != ATTN_OK)
        return error->status;
    inputs->has_batch = inputs->x.dims == 3;
    problem->length = problem->kv_length = extents[0];
    problem->model_dim = extents[1];
    if (describe_memory(config, inputs, error) != ATTN_OK ||
        describe_weights(config, &inputs->weights, error) != ATTN_OK ||
        check_shards(config, &inputs->weights, error) != ATTN_OK ||
        fit_weights(config, inputs, error) != ATTN_OK)
        return error->status;
    return fit_norms(config, inputs, error);
}

static attn_status describe_qkv(const attn_config *config, attn_inputs *inputs, attn_error *error) {
    attn_problem *problem = &inputs->problem;
    const char *wanted = "[heads, rows, width] or [B, heads, rows, width]";
    int64_t batch[3], q[3], k[3], v[3];

    if (describe_tensor(config, "input.q", config->input.q, &inputs->q, error) != ATTN_OK ||
        describe_tensor(config, "input.k", config->input.k, &inputs->k, error) != ATTN_OK ||
        describe_tensor(config, "input.v", config->input.v, &inputs->v, error) != ATTN_OK ||
        split_batch(config, "input.q", &inputs->q, 3, wanted, &batch[0], q, error) != ATTN_OK ||
        split_batch(config, "input.k", &inputs->k, 3, wanted, &batch[1], k, error) != ATTN_OK ||
        split_batch(config, "input.v", &inputs->v, 3, wanted, &batch[2], v, error) != ATTN_OK)
        return error->status;
    if (batch[0] != batch[1] || batch[0] != batch[2] || inputs->q.dims != inputs->k.dims ||
        inputs->q.dims != inputs->v.dims || k[0] != v[0] || k[1] != v[1] || q[2] != k[2]) {
        char texts[3][128];
        return attn_config_fail(config, "input.q", error, ATTN_ERR_INPUT,
                                "q %s, k %s and v %s do not fit; they share B, k and v share heads "
                                "and rows, q and k the width",
                                shape_text(&inputs->q, texts[0], sizeof texts[0]),
                                shape_text(&inputs->k, texts[1], sizeof texts[1]),
                                shape_text(&inputs->v, texts[2], sizeof texts[2]));
    }
    if (check_stated(config, "attention.heads", problem->heads, q[0], "the number of heads in q",
                     error) != ATTN_OK ||
        check_stated(config, "attention.kv_heads", problem->kv_heads, k[0],
                     "the number of heads in k", error) != ATTN_OK ||
        check_stated(config, "attention.head_dim", config->attention.head_dim, q[2],
                     "the width of q", error) != ATTN_OK ||
        check_narrow(config, "input.q", q[2], error) != ATTN_OK ||
        check_narrow(config, "input.v", v[2], error) != ATTN_OK)
        return error->status;
    inputs->has_batch = inputs->q.dims == 4;
    problem->batch = batch[0];
    problem->length = q[1];
    problem->kv_length = k[1];
    problem->key_dim = (int32_t)q[2];
    problem->value_dim = (int32_t)v[2];
    return attn_ok(error);
}

static attn_status describe_synthetic(const attn_config *config, attn_inputs *inputs,
                                      attn_error *error) {
    attn_problem *problem = &inputs->problem;
    int layer = config->input.synthetic_tensors == ATTN_SYNTHETIC_LAYER;
    int64_t dim = config->attention.head_dim;

    if (layer) {
        problem->model_dim = config->input.synthetic_d_model;
        if (config->input.synthetic_d_memory != ATTN_AUTO)
            problem->memory_dim = config->input.synthetic_d_memory;
        if (dim == ATTN_AUTO) dim = problem->model_dim / problem->heads;
    }
    inputs->form = layer ? ATTN_INPUT_LAYER : ATTN_INPUT_QKV;
    inputs->has_batch = config->sequence.batch != ATTN_AUTO;
    problem->batch = inputs->has_batch ? config->sequence.batch : 1;
    problem->length = config->sequence.length;
    problem->kv_length =
        config->sequence.kv_length != ATTN_AUTO ? config->sequence.kv_length : problem->length;
    problem->key_dim = problem->value_dim = (int32_t)dim;
    return check_narrow(config, "input.synthetic", dim, error);
}

static attn_status describe(const attn_config *config, attn_inputs *inputs, attn_error *error) {
    attn_problem *problem = &inputs->problem;

    inputs->synthetic = config->input.synthetic;
    inputs->form = config->input.x[0] != '\0' ? ATTN_INPUT_LAYER : ATTN_INPUT_QKV;
    problem->heads = config->attention.heads;
    problem->kv_heads = config->attention.kv_heads;
    problem->scale = (float)config->attention.scale;
    if (config->attention.scale > 0 && (problem->scale <= 0 || !isfinite(problem->scale)))
        return attn_config_fail(config, "attention.scale", error, ATTN_ERR_CONFIG,
                                "is %g, which fp32 cannot hold; the usual one is 1/sqrt(head_dim)",
                                config->attention.scale);
    if ((inputs->synthetic                  ? describe_synthetic(config, inputs, error)
         : inputs->form == ATTN_INPUT_LAYER ? describe_layer(config, inputs, error)
                                            : describe_qkv(config, inputs, error)) != ATTN_OK ||
        check_stated(config, "sequence.length", config->sequence.length, problem->length,
                     "the number of rows of the input", error) != ATTN_OK ||
        check_stated(config, "sequence.kv_length", config->sequence.kv_length, problem->kv_length,
                     "the number of key rows of the input", error) != ATTN_OK)
        return error->status;
    if (config->attention.qk_norm) problem->qk_norm_eps = config->attention.qk_norm_eps;
    if (attn_config_rope_of(config, problem->key_dim, &problem->rope, error) != ATTN_OK)
        return error->status;
    if (check_stated(config, "sequence.batch", config->sequence.batch, problem->batch,
                     "the batch of the input", error) != ATTN_OK)
        return error->status;
    if (attn_mask_config_read(config, problem, &inputs->mask_arrays, error) != ATTN_OK)
        return error->status;
    return attn_terms_config_read(config, problem, &inputs->bias, &inputs->terms_arrays, error);
}

attn_status attn_inputs_describe(MPI_Comm comm, const attn_config *config, attn_inputs *inputs,
                                 attn_error *error) {
    int64_t *arrays;
    float *terms_arrays;
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    memset(inputs, 0, sizeof *inputs);
    attn_ok(error);
    if (rank == 0) describe(config, inputs, error);
    if (attn_agree(comm, "inputs", error) != ATTN_OK) return error->status;
    arrays = inputs->mask_arrays;
    terms_arrays = inputs->terms_arrays;
    ATTN_MPI(MPI_Bcast(inputs, (int)sizeof *inputs, MPI_BYTE, 0, comm));
    inputs->mask_arrays = arrays;
    inputs->terms_arrays = terms_arrays;
    if (attn_mask_spec_broadcast(comm, &inputs->problem.mask, inputs->problem.batch,
                                 &inputs->mask_arrays, error) != ATTN_OK)
        return error->status;
    return attn_terms_spec_broadcast(comm, &inputs->problem.terms, inputs->problem.heads,
                                     &inputs->terms_arrays, error);
}

void attn_inputs_free(attn_inputs *inputs) {
    free(inputs->terms_arrays);
    inputs->terms_arrays = NULL;
    free(inputs->mask_arrays);
    inputs->mask_arrays = NULL;
}

int32_t attn_inputs_output_shape(const attn_inputs *inputs, int64_t *shape) {
    const attn_problem *problem = &inputs->problem;
    int32_t dims = 0;

    if (inputs->has_batch) shape[dims++] = problem->batch;
    if (inputs->form == ATTN_INPUT_QKV) shape[dims++] = problem->heads;
    shape[dims++] = problem->length;
    shape[dims++] = inputs->form == ATTN_INPUT_QKV ? problem->value_dim : problem->model_dim;
    return dims;
}

int32_t attn_inputs_lse_shape(const attn_inputs *inputs, int64_t *shape) {
    int32_t dims = 0;

    if (inputs->has_batch) shape[dims++] = inputs->problem.batch;
    shape[dims++] = inputs->problem.heads;
    shape[dims++] = inputs->problem.length;
    return dims;
}
