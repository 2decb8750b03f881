#include "stored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { QUERY, KEY, VALUE, OUTPUT };

static float *new_floats(int64_t elems) {
    float *floats = calloc((size_t)elems, sizeof *floats);

    if (floats == NULL) abort();
    return floats;
}

/* Multiples of 1/64 up to 127/64. */
static float *make_numbers(int64_t elems, int64_t salt) {
    float *numbers = new_floats(elems);

    for (int64_t i = 0; i < elems; i++)
        numbers[i] = (float)((i * 37 + i / 7 * 11 + salt * 53) % 255 - 127) / 64;
    return numbers;
}

void attn_stored_layer_make(int64_t model, int64_t inner, int64_t kv_inner, int64_t salt,
                            attn_stored_layer *made) {
    const int64_t outputs[] = {inner, kv_inner, kv_inner, model};

    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        made->outputs[i] = outputs[i];
        made->inputs[i] = i == OUTPUT ? inner : model;
        made->weight[i] = make_numbers(outputs[i] * made->inputs[i], salt + i);
        made->bias[i] = make_numbers(outputs[i], salt + ATTN_PROJECTIONS + i);
    }
}

void attn_stored_layer_free(attn_stored_layer *made) {
    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        free(made->weight[i]);
        free(made->bias[i]);
    }
}

/* --- the layouts, each written from its definition ------------------------------------ */

float *attn_stored_append(attn_stored_tensors *list, const char *prefix, const char *name,
                          int64_t rows, int64_t columns) {
    size_t i = list->count++;

    if (i >= ATTN_STORED_TENSORS) abort();
    snprintf(list->names[i], ATTN_STORED_NAME_BYTES, "%s%s", prefix, name);
    list->data[i] = new_floats(rows * (columns > 0 ? columns : 1));
    list->tensors[i] = (attn_cli_tensor){list->names[i], rows, columns, list->data[i]};
    return list->data[i];
}

void attn_stored_free(attn_stored_tensors *list) {
    for (size_t i = 0; i < list->count; i++) free(list->data[i]);
    list->count = 0;
}

/* A matrix as torch.nn.Linear has it, and its bias where it is named. */
static void append_linear(attn_stored_tensors *list, const char *prefix, const char *weight,
                          const char *bias, const attn_stored_layer *from, int i) {
    size_t outputs = (size_t)from->outputs[i], inputs = (size_t)from->inputs[i];

    memcpy(attn_stored_append(list, prefix, weight, from->outputs[i], from->inputs[i]),
           from->weight[i], outputs * inputs * sizeof(float));
    if (bias != NULL)
        memcpy(attn_stored_append(list, prefix, bias, from->outputs[i], 0), from->bias[i],
               outputs * sizeof(float));
}

void attn_stored_append_four(attn_stored_tensors *list, const char *prefix,
                             const char *const names[8], const attn_stored_layer *from) {
    for (int i = 0; i < ATTN_PROJECTIONS; i++)
        append_linear(list, prefix, names[2 * i], names[2 * i + 1], from, i);
}

static void as_linear(attn_stored_tensors *list, const char *prefix,
                      const attn_stored_layer *from) {
    static const char *const names[] = {"W_Q.weight", "W_Q.bias", "W_K.weight", "W_K.bias",
                                        "W_V.weight", "W_V.bias", "W_O.weight", "W_O.bias"};

    attn_stored_append_four(list, prefix, names, from);
}

static void as_llama(attn_stored_tensors *list, const char *prefix, const attn_stored_layer *from) {
    static const char *const names[] = {"q_proj.weight", "q_proj.bias",   "k_proj.weight",
                                        "k_proj.bias",   "v_proj.weight", "v_proj.bias",
                                        "o_proj.weight", "o_proj.bias"};

    attn_stored_append_four(list, prefix, names, from);
}

/* With the normalisation behind the projections, which is no part of attention. */
static void as_bert(attn_stored_tensors *list, const char *prefix, const attn_stored_layer *from) {
    static const char *const names[] = {
        "self.query.weight", "self.query.bias", "self.key.weight",     "self.key.bias",
        "self.value.weight", "self.value.bias", "output.dense.weight", "output.dense.bias"};

    attn_stored_append_four(list, prefix, names, from);
    attn_stored_append(list, prefix, "output.LayerNorm.weight", from->outputs[OUTPUT], 0);
    attn_stored_append(list, prefix, "output.LayerNorm.bias", from->outputs[OUTPUT], 0);
}

/* q, k and v stacked: row r of part i is row i * outputs + r. */
static void as_torch_mha(attn_stored_tensors *list, const char *prefix,
                         const attn_stored_layer *from) {
    size_t outputs = (size_t)from->outputs[QUERY], part = outputs * (size_t)from->inputs[QUERY];
    float *weight = attn_stored_append(list, prefix, "in_proj_weight", 3 * from->outputs[QUERY],
                                       from->inputs[QUERY]);
    float *bias = attn_stored_append(list, prefix, "in_proj_bias", 3 * from->outputs[QUERY], 0);

    for (size_t i = 0; i < 3; i++) {
        memcpy(weight + i * part, from->weight[i], part * sizeof *weight);
        memcpy(bias + i * outputs, from->bias[i], outputs * sizeof *bias);
    }
    append_linear(list, prefix, "out_proj.weight", "out_proj.bias", from, OUTPUT);
}

/* Conv1D, y = x W + b: element (in, i * outputs + out) of c_attn. The causal mask is
 * stored as well, by the name "bias". */
static void as_gpt2(attn_stored_tensors *list, const char *prefix, const attn_stored_layer *from) {
    int64_t outputs = from->outputs[QUERY], inputs = from->inputs[QUERY];
    float *weight = attn_stored_append(list, prefix, "c_attn.weight", inputs, 3 * outputs);
    float *bias = attn_stored_append(list, prefix, "c_attn.bias", 3 * outputs, 0);
    float *out = attn_stored_append(list, prefix, "c_proj.weight", outputs, from->outputs[OUTPUT]);

    for (int64_t i = 0; i < 3; i++)
        for (int64_t o = 0; o < outputs; o++) {
            for (int64_t in = 0; in < inputs; in++)
                weight[in * 3 * outputs + i * outputs + o] = from->weight[i][o * inputs + in];
            bias[i * outputs + o] = from->bias[i][o];
        }
    for (int64_t in = 0; in < outputs; in++)
        for (int64_t o = 0; o < from->outputs[OUTPUT]; o++)
            out[in * from->outputs[OUTPUT] + o] = from->weight[OUTPUT][o * outputs + in];
    memcpy(attn_stored_append(list, prefix, "c_proj.bias", from->outputs[OUTPUT], 0),
           from->bias[OUTPUT], (size_t)from->outputs[OUTPUT] * sizeof(float));
    attn_stored_append(list, prefix, "bias", 5, 5);
}

static const struct {
    const char *name;
    const char *prefixes[2];
    void (*append)(attn_stored_tensors *, const char *, const attn_stored_layer *);
} schemes[ATTN_AS_COUNT] = {
    {"linear", {"first.", "second."}, as_linear},
    {"torch_mha", {"layers.0.self_attn.", "layers.1.self_attn."}, as_torch_mha},
    {"llama", {"model.layers.0.self_attn.", "model.layers.1.self_attn."}, as_llama},
    {"gpt2", {"transformer.h.0.attn.", "transformer.h.1.attn."}, as_gpt2},
    {"bert", {"bert.encoder.layer.0.attention.", "bert.encoder.layer.1.attention."}, as_bert},
};

const char *attn_stored_scheme(int scheme) {
    return schemes[scheme].name;
}

const char *attn_stored_prefix(int scheme, int which) {
    return schemes[scheme].prefixes[which];
}

void attn_stored_append_layer(attn_stored_tensors *list, int scheme, const char *prefix,
                              const attn_stored_layer *layer) {
    schemes[scheme].append(list, prefix, layer);
}

/* --- files ------------------------------------------------------------------------------ */

/* The tensors in turn in two shards. */
void attn_stored_write_shards(const char *name, attn_dtype dtype, const attn_stored_tensors *list) {
    static char index[8192];
    char path[ATTN_STORED_NAME_BYTES];
    size_t used = (size_t)snprintf(index, sizeof index,
                                   "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");

    mkdir(attn_cli_path(name), 0777);
    for (size_t shard = 0; shard < 2; shard++) {
        attn_cli_tensor own[ATTN_STORED_TENSORS];
        size_t count = 0;

        for (size_t i = shard; i < list->count; i += 2) {
            own[count++] = list->tensors[i];
            used += (size_t)snprintf(index + used, sizeof index - used,
                                     "%s\n\"%s\": \"model-%zu-of-2.safetensors\"",
                                     shard + i > 0 ? "," : "", list->names[i], shard + 1);
        }
        snprintf(path, sizeof path, "%s/model-%zu-of-2.safetensors", name, shard + 1);
        attn_cli_write_tensors_as(attn_cli_path(path), dtype, own, count);
    }
    snprintf(index + used, sizeof index - used, "}}\n");
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", name);
    attn_cli_write_text(path, index);
}

void attn_stored_write(const char *name, attn_dtype dtype, const attn_stored_tensors *list) {
    attn_cli_write_tensors_as(attn_cli_path(name), dtype, list->tensors, list->count);
}
