#include "weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "checkpoint.h"
#include "memory.h"
#include "simulate.h"
#include "tensor_io.h"
#include "transfer.h"
#include "weights_missing.h"

/* Elements of a transposed tensor that are turned over at a time. */
enum { PIECE_ELEMS = 1 << 18 };

/* Where one projection is: part `part` of `parts` equal parts of a tensor's outputs. */
typedef struct weight_place {
    const char *weight, *bias;
    int part, parts;
} weight_place;

/* A tensor that changes the result in a way that is not built, or that the config has to ask
 * for by `key`. */
typedef struct weight_refusal {
    const char *name, *effect, *key;
} weight_refusal;

enum { MOST_REFUSALS = 6 };

typedef struct weight_scheme {
    const char *name;
    weight_place places[ATTN_PROJECTIONS];
    int transposed;                /* weights are [in, out], not [out, in] */
    const char *norms[ATTN_NORMS]; /* weights of the RMS norms of q and k; NULL: it has none */
    weight_refusal refused[MOST_REFUSALS];
} weight_scheme;

/* Names behind the prefix. */
static const weight_scheme schemes[] = {
    /* four torch.nn.Linear */
    {"linear",
     {{"W_Q.weight", "W_Q.bias", 0, 1},
      {"W_K.weight", "W_K.bias", 0, 1},
      {"W_V.weight", "W_V.bias", 0, 1},
      {"W_O.weight", "W_O.bias", 0, 1}},
     0,
     {"q_norm.weight", "k_norm.weight"},
     {{0}}},
    /* torch.nn.MultiheadAttention: q, k, v stacked */
    {"torch_mha",
     {{"in_proj_weight", "in_proj_bias", 0, 3},
      {"in_proj_weight", "in_proj_bias", 1, 3},
      {"in_proj_weight", "in_proj_bias", 2, 3},
      {"out_proj.weight", "out_proj.bias", 0, 1}},
     0,
     {NULL, NULL},
     {{"bias_k", "adds a key", NULL}, {"bias_v", "adds a value", NULL}}},
    /* Llama, Mistral, Qwen2, Gemma in Hugging Face's transformers; with norms, Qwen3. The
     * refused norms are those of StableLM 2, HunYuan, BitNet; the sinks of gpt-oss. */
    {"llama",
     {{"q_proj.weight", "q_proj.bias", 0, 1},
      {"k_proj.weight", "k_proj.bias", 0, 1},
      {"v_proj.weight", "v_proj.bias", 0, 1},
      {"o_proj.weight", "o_proj.bias", 0, 1}},
     0,
     {"q_norm.weight", "k_norm.weight"},
     {{"q_layernorm.norms.0.weight", "normalises the queries", NULL},
      {"k_layernorm.norms.0.weight", "normalises the keys", NULL},
      {"query_layernorm.weight", "normalises the queries", NULL},
      {"key_layernorm.weight", "normalises the keys", NULL},
      {"attn_sub_norm.weight", "normalises the concatenation", NULL},
      {"sinks", "adds a score to each row", "attention.sinks"}}},
    /* GPT-2 in transformers: Conv1D, y = x W + b; q, k, v side by side. The causal mask is
     * stored as "bias". */
    {"gpt2",
     {{"c_attn.weight", "c_attn.bias", 0, 3},
      {"c_attn.weight", "c_attn.bias", 1, 3},
      {"c_attn.weight", "c_attn.bias", 2, 3},
      {"c_proj.weight", "c_proj.bias", 0, 1}},
     1,
     {NULL, NULL},
     {{"q_attn.weight", "takes the queries from another input", NULL}}},
    /* BERT, RoBERTa in transformers */
    {"bert",
     {{"self.query.weight", "self.query.bias", 0, 1},
      {"self.key.weight", "self.key.bias", 0, 1},
      {"self.value.weight", "self.value.bias", 0, 1},
      {"output.dense.weight", "output.dense.bias", 0, 1}},
     0,
     {NULL, NULL},
     {{"self.distance_embedding.weight", "adds positions to the scores", NULL}}},
};

enum { SCHEMES = sizeof schemes / sizeof *schemes };

const char *attn_scheme_name(int index) {
    return index >= 0 && index < (int)SCHEMES ? schemes[index].name : NULL;
}

const char *attn_scheme_weight(int index, int projection) {
    return schemes[index].places[projection].weight;
}

/* A search for the tensors of a scheme by a prefix. */
typedef struct weight_search {
    attn_checkpoint *checkpoint;
    const weight_scheme *scheme;
    const char *prefix;
    int with_sinks;
} weight_search;

/* A tensor's whole name in `text`, which is returned; one too long is in no file. */
static const char *full_name(const weight_search *search, const char *name,
                             char text[ATTN_WEIGHT_NAME_BYTES]) {
    snprintf(text, ATTN_WEIGHT_NAME_BYTES, "%s%s", search->prefix, name);
    return text;
}

static attn_status describe_weight(const weight_search *search, const weight_place *place,
                                   attn_weight_part *part, attn_error *error) {
    const int transposed = search->scheme->transposed;
    const attn_tensor *weight = &part->weight;
    char name[ATTN_WEIGHT_NAME_BYTES];
    int64_t outputs;

    if (attn_checkpoint_describe(search->checkpoint, full_name(search, place->weight, name),
                                 &part->weight, error) != ATTN_OK)
        return error->status;
    outputs = weight->dims == 2 ? weight->shape[transposed] : 0;
    if (outputs < 1 || weight->shape[!transposed] < 1 || outputs % place->parts != 0)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: tensor %s is not a matrix [%s%s%s]; scheme %s stores a weight so",
                         weight->path, weight->name, transposed ? "in, " : "",
                         place->parts == 1 ? "out" : "3 · out", transposed ? "" : ", in",
                         search->scheme->name);
    part->transposed = transposed;
    part->inputs = weight->shape[!transposed];
    part->outputs = outputs / place->parts;
    part->first_output = place->part * part->outputs;
    return attn_ok(error);
}

static attn_status describe_bias(const weight_search *search, const weight_place *place,
                                 attn_weight_part *part, attn_error *error) {
    const attn_tensor *bias = &part->bias;
    const int64_t outputs = place->parts * part->outputs;
    char name[ATTN_WEIGHT_NAME_BYTES];
    int found;

    full_name(search, place->bias, name);
    if (attn_checkpoint_has(search->checkpoint, name, &found, error) != ATTN_OK)
        return error->status;
    part->has_bias = found;
    if (!found) return attn_ok(error);
    if (attn_checkpoint_describe(search->checkpoint, name, &part->bias, error) != ATTN_OK)
        return error->status;
    if (bias->dims != 1 || bias->shape[0] != outputs)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: tensor %s does not fit %s; a bias has one element for each of the "
                         "%" PRId64 " outputs",
                         bias->path, bias->name, part->weight.name, outputs);
    return attn_ok(error);
}

static attn_status check_refused(const weight_search *search, attn_error *error) {
    const weight_refusal *refused = search->scheme->refused;
    char name[ATTN_WEIGHT_NAME_BYTES];

    for (int i = 0; i < MOST_REFUSALS && refused[i].name != NULL; i++) {
        int found;

        if (refused[i].key != NULL && search->with_sinks) continue;
        full_name(search, refused[i].name, name);
        if (attn_checkpoint_has(search->checkpoint, name, &found, error) != ATTN_OK)
            return error->status;
        if (found && refused[i].key != NULL)
            return attn_fail(error, ATTN_ERR_INPUT, "%s: tensor %s %s; add %s: FILE.safetensors#%s",
                             attn_checkpoint_path(search->checkpoint), name, refused[i].effect,
                             refused[i].key, name);
        if (found)
            return attn_fail(error, ATTN_ERR_INPUT,
                             "%s: tensor %s %s, which is not built; use a layer without it",
                             attn_checkpoint_path(search->checkpoint), name, refused[i].effect);
    }
    return attn_ok(error);
}

/* A norm that the config leaves out would change the result as much as one that is missing. */
static attn_status describe_norm(const weight_search *search, const char *name, int with_norms,
                                 attn_tensor *norm, attn_error *error) {
    char full[ATTN_WEIGHT_NAME_BYTES];
    int found;

    full_name(search, name, full);
    if (attn_checkpoint_has(search->checkpoint, full, &found, error) != ATTN_OK)
        return error->status;
    if (!with_norms && found)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: tensor %s: such a layer norms q and k; add attention.qk_norm: {}",
                         attn_checkpoint_path(search->checkpoint), full);
    if (!with_norms) return attn_ok(error);
    if (attn_checkpoint_describe(search->checkpoint, full, norm, error) != ATTN_OK)
        return error->status;
    if (norm->dims != 1)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: tensor %s is not a vector; a norm has one weight for each element "
                         "of a head",
                         norm->path, norm->name);
    return attn_ok(error);
}

static attn_status describe_norms(const weight_search *search, int with_norms,
                                  attn_weight_files *files, attn_error *error) {
    files->has_norms = with_norms;
    attn_ok(error);
    for (int i = 0; i < ATTN_NORMS && error->status == ATTN_OK; i++) {
        const char *name = search->scheme->norms[i];

        if (name != NULL)
            describe_norm(search, name, with_norms, &files->norms[i], error);
        else if (with_norms)
            attn_fail(error, ATTN_ERR_INPUT,
                      "%s: layers of scheme %s have no norm of q and k; use another scheme, or "
                      "leave attention.qk_norm out",
                      attn_checkpoint_path(search->checkpoint), search->scheme->name);
    }
    return error->status;
}

/* Weights come first: where they are tells whether prefix and scheme are right. */
static attn_status describe(const weight_search *search, int index, int with_norms,
                            attn_weight_files *files, const char **key, attn_error *error) {
    const weight_place *places = search->scheme->places;
    char name[ATTN_WEIGHT_NAME_BYTES];

    for (int i = 0; i < ATTN_PROJECTIONS; i++)
        if (!attn_checkpoint_lists(search->checkpoint, full_name(search, places[i].weight, name)))
            return attn_weights_missing(search->checkpoint, index, search->prefix, name, key,
                                        error);
    for (int i = 0; i < ATTN_PROJECTIONS; i++)
        if (describe_weight(search, &places[i], &files->parts[i], error) != ATTN_OK)
            return error->status;
    for (int i = 0; i < ATTN_PROJECTIONS; i++)
        if (describe_bias(search, &places[i], &files->parts[i], error) != ATTN_OK)
            return error->status;
    if (check_refused(search, error) != ATTN_OK) return error->status;
    return describe_norms(search, with_norms, files, error);
}

attn_status attn_weights_describe(const char *path, int index, const char *prefix, int with_norms,
                                  int with_sinks, attn_weight_files *files, const char **key,
                                  attn_error *error) {
    weight_search search = {.scheme = &schemes[index], .prefix = prefix, .with_sinks = with_sinks};

    *key = "input.weights.file";
    if (attn_checkpoint_open(path, &search.checkpoint, error) != ATTN_OK) return error->status;
    describe(&search, index, with_norms, files, key, error);
    attn_checkpoint_close(search.checkpoint);
    return error->status;
}

int64_t attn_weights_inputs(const attn_problem *problem, int which) {
    const int is_of_memory = (which == 1 || which == 2) && problem->memory_dim > 0;

    if (which == 3) return problem->heads * problem->value_dim;
    return is_of_memory ? problem->memory_dim : problem->model_dim;
}

attn_status attn_weights_allocate(const attn_problem *problem,
                                  const int32_t has_bias[ATTN_PROJECTIONS],
                                  attn_weight_memory *memory, attn_error *error) {
    int64_t outputs[ATTN_PROJECTIONS] = {
        problem->heads * problem->key_dim, problem->kv_heads * problem->key_dim,
        problem->kv_heads * problem->value_dim, problem->model_dim};
    int64_t total = 0;

    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        memory->elems[i] = attn_elems(outputs[i], attn_weights_inputs(problem, i), 1);
        memory->bias_elems[i] = has_bias[i] ? outputs[i] : 0;
        total += memory->elems[i] + memory->bias_elems[i];
    }
    memory->norm_elems = problem->qk_norm_eps > 0 ? problem->key_dim : 0;
    total += ATTN_NORMS * memory->norm_elems;
    memory->memory = ATTN_SIMULATED ? attn_simulate_alloc(attn_elems(total, sizeof(float), 1))
                                    : attn_alloc((size_t)total, sizeof(float));
    if (memory->memory == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate %" PRId64 " weights", total);
    memory->weights =
        (attn_weights){attn_weights_at(memory, 0, 0),   attn_weights_at(memory, 0, 1),
                       attn_weights_at(memory, 1, 0),   attn_weights_at(memory, 1, 1),
                       attn_weights_at(memory, 2, 0),   attn_weights_at(memory, 2, 1),
                       attn_weights_at(memory, 3, 0),   attn_weights_at(memory, 3, 1),
                       attn_weights_norm_at(memory, 0), attn_weights_norm_at(memory, 1)};
    return attn_ok(error);
}

float *attn_weights_at(const attn_weight_memory *memory, int which, int bias) {
    float *at = memory->memory;

    if (bias && memory->bias_elems[which] == 0) return NULL;
    for (int i = 0; i < which; i++) at += memory->elems[i] + memory->bias_elems[i];
    return bias ? at + memory->elems[which] : at;
}

/* Behind all projections. */
float *attn_weights_norm_at(const attn_weight_memory *memory, int which) {
    float *at = memory->memory;

    if (memory->norm_elems == 0) return NULL;
    for (int i = 0; i < ATTN_PROJECTIONS; i++) at += memory->elems[i] + memory->bias_elems[i];
    return at + which * memory->norm_elems;
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

/* Rows [first, first + rows) of a tensor [inputs][columns] become these columns of the
 * part's [outputs][inputs]. Outputs run outside: then what is written is contiguous, and
 * what is read lies in cache. */
static void transpose(const attn_weight_part *part, const float *piece, int64_t first, int64_t rows,
                      float *out) {
    const int64_t columns = part->weight.shape[1];

    for (int64_t output = 0; output < part->outputs; output++) {
        const float *from = piece + part->first_output + output;
        float *to = out + output * part->inputs + first;

        for (int64_t i = 0; i < rows; i++) to[i] = from[i * columns];
    }
}

/* Reads the tensor of part `which` once, in pieces of 1 MiB (or a row, if that is more), for
 * all the projections that are in it. */
static attn_status read_transposed(const attn_weight_files *files, int which,
                                   const attn_weight_memory *memory, attn_error *error) {
    const attn_tensor *tensor = &files->parts[which].weight;
    const int64_t inputs = tensor->shape[0], columns = tensor->shape[1];
    const int64_t piece_rows = columns < PIECE_ELEMS ? PIECE_ELEMS / columns : 1;
    float *piece = attn_alloc((size_t)(piece_rows * columns), sizeof *piece);
    attn_tensor_reader *reader = NULL;

    if (piece == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory for a buffer", tensor->path);
    if (attn_tensor_reader_open(MPI_COMM_SELF, tensor, &reader, error) == ATTN_OK)
        for (int64_t row = 0; row < inputs; row += piece_rows) {
            int64_t rows = inputs - row < piece_rows ? inputs - row : piece_rows;

            if (attn_tensor_reader_read(reader, row * columns, rows * columns, piece, error) !=
                ATTN_OK)
                break;
            for (int i = which; i < ATTN_PROJECTIONS; i++)
                if (strcmp(files->parts[i].weight.name, tensor->name) == 0)
                    transpose(&files->parts[i], piece, row, rows, attn_weights_at(memory, i, 0));
        }
    attn_tensor_reader_close(reader);
    free(piece);
    return error->status;
}

static attn_status read_weight(const attn_weight_files *files, int which,
                               const attn_weight_memory *memory, attn_error *error) {
    const attn_weight_part *part = &files->parts[which];

    if (!part->transposed)
        return read_rows(&part->weight, part->first_output * part->inputs, memory->elems[which],
                         attn_weights_at(memory, which, 0), error);
    /* The others in the same tensor came with the first. */
    return part->first_output == 0 ? read_transposed(files, which, memory, error) : attn_ok(error);
}

static attn_status read_file(const attn_weight_files *files, const attn_weight_memory *memory,
                             attn_error *error) {
    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        const attn_weight_part *part = &files->parts[i];

        if (read_weight(files, i, memory, error) != ATTN_OK) return error->status;
        if (memory->bias_elems[i] > 0 &&
            read_rows(&part->bias, part->first_output, memory->bias_elems[i],
                      attn_weights_at(memory, i, 1), error) != ATTN_OK)
            return error->status;
    }
    attn_ok(error);
    for (int i = 0; i < ATTN_NORMS && memory->norm_elems > 0 && error->status == ATTN_OK; i++)
        read_rows(&files->norms[i], 0, memory->norm_elems, attn_weights_norm_at(memory, i), error);
    return error->status;
}

attn_status attn_weights_load(MPI_Comm comm, const attn_weight_files *files,
                              attn_weight_memory *memory, attn_error *error) {
    int64_t total = ATTN_NORMS * memory->norm_elems;
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
    if (!ATTN_SIMULATED) free(memory->memory);
    *memory = (attn_weight_memory){0};
}
