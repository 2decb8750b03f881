/* config_rope.h: attention.rope: what the config alone can refuse, and the rotation that it
 * asks for. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_ROPE_H
#define ATTN_RUNTIME_CONFIG_ROPE_H

#include "config.h"

/* ATTN_ERR_CONFIG at the key that is wrong or missing. */
attn_status attn_config_rope_check(attn_config *config, attn_error *error);

/* The rotation of heads `head_dim` wide; {0} without attention.rope. ATTN_ERR_CONFIG when its
 * dim does not fit them. */
attn_status attn_config_rope_of(const attn_config *config, int64_t head_dim, attn_rope *rope,
                                attn_error *error);

#endif
