#include "weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "memory.h"
#include "safetensors.h"
#include "tensor_io.h"
#include "transfer.h"

/* Where one projection is: part `part` of `parts` equal parts of a tensor's rows. */
typedef struct weight_place {
    const char *weight, *bias;
    int part, parts;
} weight_place;

typedef struct weight_scheme {
    const char *name;
    weight_place places[ATTN_PROJECTIONS];
    const char *refused; /* a tensor that changes the result in a way that is not built */
} weight_scheme;

static const weight_scheme schemes[] = {
    /* four torch.nn.Linear */
    {"linear",
     {{"W_Q.weight", "W_Q.bias", 0, 1},
      {"W_K.weight", "W_K.bias", 0, 1},
      {"W_V.weight", "W_V.bias", 0, 1},
      {"W_O.weight", "W_O.bias", 0, 1}},
     NULL},
    /* torch.nn.MultiheadAttention: q, k, v stacked */
    {"torch_mha",
     {{"in_proj_weight", "in_proj_bias", 0, 3},
      {"in_proj_weight", "in_proj_bias", 1, 3},
      {"in_proj_weight", "in_proj_bias", 2, 3},
      {"out_proj.weight", "out_proj.bias", 0, 1}},
     "bias_k"},
};

enum { SCHEMES = sizeof schemes / sizeof *schemes };

const char *attn_scheme_name(int index) {
    return index >= 0 && index < (int)SCHEMES ? schemes[index].name : NULL;
}

static attn_status describe_part(const char *path, const weight_place *place,
                                 attn_weight_part *part, attn_error *error) {
    const int64_t *shape = part->weight.shape;
    int found;

    if (attn_safetensors_describe(path, place->weight, &part->weight, error) != ATTN_OK)
        return error->status;
    if (part->weight.dims != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] % place->parts != 0)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: tensor %s is not a matrix [%s, in]; a weight is stored as "
                         "torch.nn.Linear has it",
                         path, place->weight, place->parts == 1 ? "out" : "3 · out");
    part->inputs = shape[1];
    part->outputs = shape[0] / place->parts;
    part->first_row = place->part * part->outputs;
    if (attn_safetensors_has(path, place->bias, &found, error) != ATTN_OK) return error->status;
    part->has_bias = found;
    if (!found) return attn_ok(error);
    if (attn_safetensors_describe(path, place->bias, &part->bias, error) != ATTN_OK)
        return error->status;
    if (part->bias.dims != 1 || part->bias.shape[0] != shape[0])
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: tensor %s does not fit %s; a bias has one element for each of the "
                         "%" PRId64 " rows",
                         path, place->bias, place->weight, shape[0]);
    return attn_ok(error);
}

attn_status attn_weights_describe(const char *path, int index, attn_weight_files *files,
                                  attn_error *error) {
    const weight_scheme *scheme = &schemes[index];
    int found = 0;

    for (int i = 0; i < ATTN_PROJECTIONS; i++)
        if (describe_part(path, &scheme->places[i], &files->parts[i], error) != ATTN_OK)
            return error->status;
    if (scheme->refused != NULL &&
        attn_safetensors_has(path, scheme->refused, &found, error) != ATTN_OK)
        return error->status;
    if (found)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: tensor %s: such a layer attends to more than its input, which is "
                         "not built; use a layer without it",
                         path, scheme->refused);
    return attn_ok(error);
}

attn_status attn_weights_allocate(const attn_problem *problem,
                                  const int32_t has_bias[ATTN_PROJECTIONS],
                                  attn_weight_memory *memory, attn_error *error) {
    int64_t outputs[ATTN_PROJECTIONS] = {
        problem->heads * problem->key_dim, problem->kv_heads * problem->key_dim,
        problem->kv_heads * problem->value_dim, problem->model_dim};
    int64_t total = 0;

    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        int64_t inputs = i == 3 ? problem->heads * problem->value_dim : problem->model_dim;
        memory->elems[i] = attn_elems(outputs[i], inputs, 1);
        memory->bias_elems[i] = has_bias[i] ? outputs[i] : 0;
        total += memory->elems[i] + memory->bias_elems[i];
    }
    memory->memory = attn_alloc((size_t)total, sizeof(float));
    if (memory->memory == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate %" PRId64 " weights", total);
    memory->weights = (attn_weights){attn_weights_at(memory, 0, 0), attn_weights_at(memory, 0, 1),
                                     attn_weights_at(memory, 1, 0), attn_weights_at(memory, 1, 1),
                                     attn_weights_at(memory, 2, 0), attn_weights_at(memory, 2, 1),
                                     attn_weights_at(memory, 3, 0), attn_weights_at(memory, 3, 1)};
    return attn_ok(error);
}

float *attn_weights_at(const attn_weight_memory *memory, int which, int bias) {
    float *at = memory->memory;

    if (bias && memory->bias_elems[which] == 0) return NULL;
    for (int i = 0; i < which; i++) at += memory->elems[i] + memory->bias_elems[i];
    return bias ? at + memory->elems[which] : at;
}

static attn_status read_rows(const attn_tensor *tensor, int64_t first, int64_t count, float *out,
                             attn_error *error) {
    attn_tensor_reader *reader;

    if (attn_tensor_reader_open(MPI_COMM_SELF, tensor, &reader, error) != ATTN_OK)
        return error->status;
    attn_tensor_reader_read(reader, first, count, out, error);
    attn_tensor_reader_close(reader);
    return error->status;
}

static attn_status read_file(const attn_weight_files *files, const attn_weight_memory *memory,
                             attn_error *error) {
    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        const attn_weight_part *part = &files->parts[i];

        if (read_rows(&part->weight, part->first_row * part->inputs, memory->elems[i],
                      attn_weights_at(memory, i, 0), error) != ATTN_OK)
            return error->status;
        if (memory->bias_elems[i] > 0 &&
            read_rows(&part->bias, part->first_row, memory->bias_elems[i],
                      attn_weights_at(memory, i, 1), error) != ATTN_OK)
            return error->status;
    }
    return attn_ok(error);
}

attn_status attn_weights_load(MPI_Comm comm, const attn_weight_files *files,
                              attn_weight_memory *memory, attn_error *error) {
    int64_t total = 0;
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    attn_ok(error);
    if (rank == 0) read_file(files, memory, error);
    if (attn_agree(comm, "weights", error) != ATTN_OK) return error->status;
    for (int i = 0; i < ATTN_PROJECTIONS; i++) total += memory->elems[i] + memory->bias_elems[i];
    attn_broadcast_floats(comm, memory->memory, total);
    return attn_ok(error);
}

void attn_weights_free(attn_weight_memory *memory) {
    free(memory->memory);
    *memory = (attn_weight_memory){0};
}
