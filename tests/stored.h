/* stored.h: one layer, stored as each weight scheme has it.
 *
 * Each layout is written from its definition; the program's own table of schemes has no say.
 * For tests of the command: files are in its folder. A failure ends the program. */
#ifndef ATTN_TESTS_STORED_H
#define ATTN_TESTS_STORED_H

#include <stddef.h>
#include <stdint.h>

#include "cli_files.h"
#include "dtype.h"
#include "weights.h" /* ATTN_PROJECTIONS */

enum { ATTN_STORED_TENSORS = 24, ATTN_STORED_NAME_BYTES = 96 };

/* A layer as four [out][in] matrices with their biases: query, key, value, output. */
typedef struct attn_stored_layer {
    int64_t outputs[ATTN_PROJECTIONS], inputs[ATTN_PROJECTIONS];
    float *weight[ATTN_PROJECTIONS], *bias[ATTN_PROJECTIONS]; /* owned */
} attn_stored_layer;

/* Tensors on their way to a file. A zeroed list is empty. */
typedef struct attn_stored_tensors {
    size_t count;
    attn_cli_tensor tensors[ATTN_STORED_TENSORS];
    char names[ATTN_STORED_TENSORS][ATTN_STORED_NAME_BYTES];
    float *data[ATTN_STORED_TENSORS]; /* owned */
} attn_stored_tensors;

/* The schemes. */
enum {
    ATTN_AS_LINEAR,
    ATTN_AS_TORCH_MHA,
    ATTN_AS_LLAMA,
    ATTN_AS_GPT2,
    ATTN_AS_BERT,
    ATTN_AS_COUNT
};
const char *attn_stored_scheme(int scheme);

/* What the names of a model's first (0) or second layer begin with. */
const char *attn_stored_prefix(int scheme, int which);

/* x of width `model`, all heads `inner` wide, all kv heads `kv_inner`. The numbers are exact
 * in fp16 and bf16; `salt` tells layers apart. */
void attn_stored_layer_make(int64_t model, int64_t inner, int64_t kv_inner, int64_t salt,
                            attn_stored_layer *made);
void attn_stored_layer_free(attn_stored_layer *layer);

/* Adds a layer's tensors to the list; torch_mha and gpt2 need kv heads as wide as heads. */
void attn_stored_append_layer(attn_stored_tensors *list, int scheme, const char *prefix,
                              const attn_stored_layer *layer);

/* The same of four [out][in] matrices, each with the name of its bias; NULL: without one. */
void attn_stored_append_four(attn_stored_tensors *list, const char *prefix,
                             const char *const names[2 * ATTN_PROJECTIONS],
                             const attn_stored_layer *layer);

/* Adds a tensor of zeros and returns its data; a vector has 0 columns. */
float *attn_stored_append(attn_stored_tensors *list, const char *prefix, const char *name,
                          int64_t rows, int64_t columns);

/* Writes the list as one file, or as a folder of two shards with the index
 * model.safetensors.index.json. */
void attn_stored_write(const char *name, attn_dtype dtype, const attn_stored_tensors *list);
void attn_stored_write_shards(const char *name, attn_dtype dtype, const attn_stored_tensors *list);

void attn_stored_free(attn_stored_tensors *list);

#endif
