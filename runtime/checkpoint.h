/* checkpoint.h: the tensors of a model by name: of one safetensors file, or of the shards
 * that an index names.
 *
 * An index (a file that ends in .json; huggingface.co/docs/transformers: sharded checkpoints)
 * is {"metadata": …, "weight_map": {"tensor's name": "shard.safetensors", …}}, with shards in
 * its own folder or below. Not collective.
 */
#ifndef ATTN_RUNTIME_CHECKPOINT_H
#define ATTN_RUNTIME_CHECKPOINT_H

#include <stddef.h>

#include "tensor.h"

typedef struct attn_checkpoint attn_checkpoint;

/* Reads the file's header, or the whole index and no shard. ATTN_ERR_INPUT, ATTN_ERR_IO,
 * ATTN_ERR_MEMORY; then *checkpoint is NULL. */
attn_status attn_checkpoint_open(const char *path, attn_checkpoint **checkpoint, attn_error *error);

const char *attn_checkpoint_path(const attn_checkpoint *checkpoint);

/* The names, sorted; they live as long as the checkpoint. */
const char *const *attn_checkpoint_names(const attn_checkpoint *checkpoint, size_t *count);

/* Whether the file or index lists the tensor. */
int attn_checkpoint_lists(const attn_checkpoint *checkpoint, const char *name);

/* The same for a tensor that may be left out: ATTN_ERR_INPUT when the index does not list
 * it, but a shard has it from which another tensor was described. */
attn_status attn_checkpoint_has(const attn_checkpoint *checkpoint, const char *name, int *found,
                                attn_error *error);

/* Finds a tensor, and checks the header of the file that it is in. Statuses as
 * attn_tensor_describe. */
attn_status attn_checkpoint_describe(attn_checkpoint *checkpoint, const char *name,
                                     attn_tensor *tensor, attn_error *error);

/* NULL is legal. */
void attn_checkpoint_close(attn_checkpoint *checkpoint);

#endif
