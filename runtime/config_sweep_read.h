/* config_sweep_read.h: reading bench.sweep, and writing it to the resolved config. */
#ifndef ATTN_RUNTIME_CONFIG_SWEEP_READ_H
#define ATTN_RUNTIME_CONFIG_SWEEP_READ_H

#include <jansson.h>

#include "config_yaml.h"

/* Applies the value at a node to the key of that row of another config. */
typedef attn_status attn_config_try(const void *context, attn_config *trial, int32_t row,
                                    const attn_config_tree *tree, size_t index);

/* Sets config->bench.sweep from the mapping at node `index`. Every value is checked as if its
 * key had it, by `try_value` (which fails into `error`). ATTN_ERR_CONFIG at the node;
 * ATTN_ERR_MEMORY. */
attn_status attn_config_sweep_read(attn_config *config, const attn_config_tree *tree, size_t index,
                                   attn_config_try *try_value, const void *context,
                                   attn_error *error);

/* The sweep as JSON; NULL without memory. New reference. */
json_t *attn_config_sweep_json(const attn_sweep *sweep);

#endif
