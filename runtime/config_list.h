/* config_list.h: a YAML sequence of integers or numbers, or the path of a file of them, as the
 * value of one key. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_LIST_H
#define ATTN_RUNTIME_CONFIG_LIST_H

#include "config_keys.h"
#include "config_yaml.h"

/* Sets the field of `key`, an ATTN_CONFIG_INTEGERS or ATTN_CONFIG_NUMBERS, from node `index`; a
 * relative path starts at `folder`. ATTN_ERR_CONFIG at the node, or at the element: wrong type,
 * range or count. */
attn_status attn_config_list_set(attn_config *config, const attn_config_key *key,
                                 const attn_config_tree *tree, size_t index, const char *folder,
                                 attn_error *error);

#endif
