#include "mask_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mask_spec.h"
#include "memory.h"
#include "npy.h"

#define DOCUMENTS   "attention.mask.documents"
#define KEY_LENGTHS "attention.mask.key_lengths"

/* A list from the config or from its file, at most `most` integers of it; the caller frees
 * *values. NULL and 0 when the key is absent. */
static attn_status read_list(const attn_config *config, const char *key, const attn_integers *list,
                             int64_t most, int64_t **values, int64_t *count, attn_error *error) {
    attn_error reason;

    *values = NULL;
    *count = list->count;
    if (list->file[0] != '\0') {
        if (attn_npy_read_integers(list->file, most, values, count, &reason) == ATTN_OK)
            return attn_ok(error);
        return attn_config_fail(config, key, error, reason.status, "%s", reason.message);
    }
    if (*count == 0) return attn_ok(error);
    *values = attn_alloc((size_t)*count, sizeof **values);
    if (*values == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the mask");
    memcpy(*values, list->values, (size_t)*count * sizeof **values);
    return attn_ok(error);
}

/* starts[0 … count] from lengths; they may not pass the end, where 64 bits are far. */
static attn_status add_lengths(const attn_config *config, const int64_t *lengths, int64_t count,
                               int64_t rows, int64_t *starts, attn_error *error) {
    starts[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        if (lengths[i] < 1)
            return attn_config_fail(config, DOCUMENTS, error, ATTN_ERR_CONFIG,
                                    "have a length of %" PRId64 " at index %" PRId64
                                    "; each must be 1 or more",
                                    lengths[i], i);
        if (lengths[i] > rows - starts[i])
            return attn_config_fail(config, DOCUMENTS, error, ATTN_ERR_CONFIG,
                                    "pass the end of the %" PRId64 " rows at index %" PRId64
                                    "; their lengths must add up to %" PRId64,
                                    rows, i, rows);
        starts[i + 1] = starts[i] + lengths[i];
    }
    return attn_ok(error);
}

static attn_status read_documents(const attn_config *config, attn_problem *problem,
                                  int64_t **starts, attn_error *error) {
    int64_t *lengths = NULL;
    int64_t count = 0;

    if (read_list(config, DOCUMENTS, &config->attention.mask.documents, problem->length, &lengths,
                  &count, error) != ATTN_OK ||
        count == 0)
        return error->status;
    *starts = attn_alloc((size_t)count + 1, sizeof **starts);
    if (*starts == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the mask");
    else
        add_lengths(config, lengths, count, problem->length, *starts, error);
    free(lengths);
    problem->mask.document_starts = *starts;
    problem->mask.document_count = count;
    return error->status;
}

static attn_status read_key_lengths(const attn_config *config, attn_problem *problem,
                                    int64_t **lengths, attn_error *error) {
    int64_t count = 0;

    if (read_list(config, KEY_LENGTHS, &config->attention.mask.key_lengths, problem->batch, lengths,
                  &count, error) != ATTN_OK ||
        count == 0)
        return error->status;
    problem->mask.key_lengths = *lengths;
    if (count == problem->batch) return attn_ok(error);
    return attn_config_fail(config, KEY_LENGTHS, error, ATTN_ERR_CONFIG,
                            "are %" PRId64 "; must be %" PRId64 ", one for each item of the batch",
                            count, problem->batch);
}

/* The mask that all of this makes, held against the problem's sizes. */
static attn_status check(const attn_config *config, const attn_problem *problem,
                         attn_error *error) {
    const char *part;
    attn_error reason;
    char key[64];

    if (attn_mask_spec_check(problem, &part, &reason) == ATTN_OK) return attn_ok(error);
    snprintf(key, sizeof key, "attention.mask.%s", part);
    return attn_config_fail(config, key, error, reason.status, "%s", reason.message);
}

attn_status attn_mask_config_read(const attn_config *config, attn_problem *problem,
                                  int64_t **memory, attn_error *error) {
    const attn_integers *window = &config->attention.mask.window;
    int64_t *starts = NULL, *lengths = NULL;

    problem->mask = (attn_mask_spec){
        .causal = (attn_causal)config->attention.mask.causal,
        .windowed = window->count > 0,
        .left = window->values[0],
        .right = window->values[1],
        .prefix = config->attention.mask.prefix,
        .first = config->attention.mask.first,
    };
    if (read_documents(config, problem, &starts, error) == ATTN_OK &&
        read_key_lengths(config, problem, &lengths, error) == ATTN_OK &&
        check(config, problem, error) == ATTN_OK)
        attn_mask_spec_copy(&problem->mask, problem->batch, memory, error);
    free(lengths);
    free(starts);
    return error->status;
}
