/* safetensors.h: the header of a safetensors file.
 * Format: huggingface.co/docs/safetensors: u64 header length, JSON header, data. */
#ifndef ATTN_RUNTIME_SAFETENSORS_H
#define ATTN_RUNTIME_SAFETENSORS_H

#include "tensor.h"

/* Finds the tensor `name` in the file at `path` (less than ATTN_PATH_BYTES). A
 * missing one is refused with a list of what is there. The whole header is checked,
 * whichever tensor is wanted. Statuses as attn_tensor_describe. Not collective. */
attn_status attn_safetensors_describe(const char *path, const char *name, attn_tensor *tensor,
                                      attn_error *error);

/* Whether the file has a tensor of that name: *found is 0 or 1. Not collective. */
attn_status attn_safetensors_has(const char *path, const char *name, int *found, attn_error *error);

#endif
