/* safetensors.h: the header of a safetensors file.
 * Format: huggingface.co/docs/safetensors: u64 header length, JSON header, data. */
#ifndef ATTN_RUNTIME_SAFETENSORS_H
#define ATTN_RUNTIME_SAFETENSORS_H

#include <jansson.h>

#include "tensor.h"

/* Finds the tensor `name` in the file at `path` (less than ATTN_PATH_BYTES). A
 * missing one is refused with a list of what is there. The whole header is checked,
 * whichever tensor is wanted. Statuses as attn_tensor_describe. Not collective. */
attn_status attn_safetensors_describe(const char *path, const char *name, attn_tensor *tensor,
                                      attn_error *error);

/* All tensors of the file: an object with their names as keys. New reference; NULL on
 * failure. Not collective. */
attn_status attn_safetensors_tensors(const char *path, json_t **tensors, attn_error *error);

#endif
