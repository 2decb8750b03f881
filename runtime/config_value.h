/* config_value.h: one YAML scalar as the value of one key.
 *
 * Scalars are read by YAML's core schema, and strictly: 8 is an integer, while
 * "8", 8.0, 08 and 0x8 are not. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_VALUE_H
#define ATTN_RUNTIME_CONFIG_VALUE_H

#include "config_keys.h"
#include "config_yaml.h"

/* Whether the node is null: nothing at all, ~ or null. */
int attn_config_value_is_null(const attn_config_node *node);

/* Sets the field of `key`, which is not a section; a relative path starts at
 * `folder`. ATTN_ERR_CONFIG at the node: wrong type, range or word. */
attn_status attn_config_value_set(attn_config *config, const attn_config_key *key,
                                  const attn_config_node *node, const char *folder,
                                  attn_error *error);

/* Fails because the node is of the wrong type for `key`: "is a sequence; must
 * be …". */
attn_status attn_config_value_fail(const attn_config *config, const attn_config_key *key,
                                   const attn_config_node *node, attn_error *error);

#endif
