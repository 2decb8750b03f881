#include "terms_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "tensor_io.h"
#include "terms_spec.h"

static attn_status at_key(const attn_config *config, const char *key, const attn_error *reason,
                          attn_error *error) {
    return attn_config_fail(config, key, error, reason->status, "%s", reason->message);
}

/* --- slopes and sinks ------------------------------------------------------- */

/* All of a tensor that has a number for each head. */
static attn_status read_tensor(const char *reference, int64_t heads, float *values,
                               attn_error *error) {
    attn_tensor tensor;
    attn_tensor_reader *reader;

    if (attn_tensor_describe(reference, &tensor, error) != ATTN_OK) return error->status;
    if (tensor.dims != 1 || tensor.shape[0] != heads)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "the tensor has %d dimension%s and %" PRId64
                         " elements; it must be [%" PRId64 "], one for each of attention.heads",
                         tensor.dims, tensor.dims == 1 ? "" : "s", attn_tensor_elems(&tensor),
                         heads);
    if (attn_tensor_reader_open(MPI_COMM_SELF, &tensor, &reader, error) != ATTN_OK)
        return error->status;
    attn_tensor_reader_read(reader, 0, heads, values, error);
    attn_tensor_reader_close(reader);
    return error->status;
}

/* A list of the config, or of its file, with a number for each head; the caller frees *values.
 * NULL when the key is absent. */
static attn_status read_list(const attn_config *config, const char *key, const attn_numbers *list,
                             float **values, attn_error *error) {
    const int64_t heads = config->attention.heads;
    attn_error reason;

    *values = NULL;
    if (list->count == 0 && list->file[0] == '\0') return attn_ok(error);
    *values = attn_alloc((size_t)heads, sizeof **values);
    if (*values == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for %s", key);
    for (int64_t i = 0; i < list->count; i++) (*values)[i] = (float)list->values[i];
    if (list->file[0] == '\0' || read_tensor(list->file, heads, *values, &reason) == ATTN_OK)
        return attn_ok(error);
    return at_key(config, key, &reason, error);
}

static attn_status read_slopes(const attn_config *config, float **slopes, attn_error *error) {
    const int64_t heads = config->attention.heads;

    if (!config->attention.alibi_published)
        return read_list(config, "attention.alibi.slopes", &config->attention.alibi_slopes, slopes,
                         error);
    *slopes = attn_alloc((size_t)heads, sizeof **slopes);
    if (*slopes == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for slopes");
    attn_alibi_slopes(heads, *slopes);
    return attn_ok(error);
}

/* --- the bias --------------------------------------------------------------- */

static attn_status describe_bias(const attn_config *config, attn_problem *problem,
                                 attn_tensor *bias, attn_error *error) {
    const char *key = "attention.mask.bias";
    char shape[128] = "[";
    size_t used = 1;
    attn_error reason;

    if (config->attention.mask.bias[0] == '\0') return attn_ok(error);
    if (attn_tensor_describe(config->attention.mask.bias, bias, &reason) != ATTN_OK)
        return at_key(config, key, &reason, error);
    if (bias->dims == 3 && (bias->shape[0] == 1 || bias->shape[0] == problem->heads) &&
        bias->shape[1] == problem->length && bias->shape[2] == problem->kv_length) {
        problem->terms.bias_heads = bias->shape[0];
        return attn_ok(error);
    }
    for (int32_t i = 0; i < bias->dims && used < sizeof shape; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64,
                                 i == 0 ? "" : ", ", bias->shape[i]);
    return attn_config_fail(config, key, error, ATTN_ERR_INPUT,
                            "the tensor has the shape %s]; it must be [%" PRId64 " or 1, %" PRId64
                            ", %" PRId64 "]: heads, queries and keys",
                            shape, problem->heads, problem->length, problem->kv_length);
}

/* The terms that all of this makes, held against the problem's sizes. */
static attn_status check(const attn_config *config, const attn_problem *problem,
                         attn_error *error) {
    const char *part;
    attn_error reason;
    char key[64];

    if (attn_terms_spec_check(problem, &part, &reason) == ATTN_OK) return attn_ok(error);
    snprintf(key, sizeof key, "attention.%s", part);
    return at_key(config, key, &reason, error);
}

attn_status attn_terms_config_read(const attn_config *config, attn_problem *problem,
                                   attn_tensor *bias, float **memory, attn_error *error) {
    float *slopes = NULL, *sinks = NULL;

    problem->terms = (attn_terms){.softcap = (float)config->attention.softcap};
    if (read_slopes(config, &slopes, error) == ATTN_OK &&
        read_list(config, "attention.sinks", &config->attention.sinks, &sinks, error) == ATTN_OK &&
        describe_bias(config, problem, bias, error) == ATTN_OK) {
        problem->terms.slopes = slopes;
        problem->terms.sinks = sinks;
        if (check(config, problem, error) == ATTN_OK)
            attn_terms_spec_copy(&problem->terms, problem->heads, memory, error);
    }
    free(sinks);
    free(slopes);
    return error->status;
}
