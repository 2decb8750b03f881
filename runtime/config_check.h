/* config_check.h: contradictions between keys of one config. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_CHECK_H
#define ATTN_RUNTIME_CONFIG_CHECK_H

#include "config.h"

/* Checks what the config alone can decide, and sets kv_heads (and, for synthetic
 * input, batch) when they have their defaults. What needs a file's header or
 * the number of ranks is checked where that is known. ATTN_ERR_CONFIG. */
attn_status attn_config_check(attn_config *config, attn_error *error);

#endif
