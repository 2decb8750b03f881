/* config_value.h: one YAML scalar as the value of one key.
 *
 * Scalars are read by YAML's core schema, and strictly: 8 is an integer, while
 * "8", 8.0, 08 and 0x8 are not. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_VALUE_H
#define ATTN_RUNTIME_CONFIG_VALUE_H

#include "config_keys.h"
#include "config_yaml.h"

/* A finite number that fp32 can hold, of either sign, from a scalar for `key`; the same failures
 * as attn_config_value_set. */
attn_status attn_config_value_number(const char *file, const attn_config_key *key,
                                     const attn_config_node *node, double *number,
                                     attn_error *error);

/* A scalar as JSON: an integer, true and false as such, all else as a string; NULL without
 * memory. New reference. */
json_t *attn_config_value_json(const attn_config_node *node);

/* Whether the node is null: nothing at all, ~ or null. */
int attn_config_value_is_null(const attn_config_node *node);

/* Sets the field of `key`, which has a scalar; a relative path starts at
 * `folder`. ATTN_ERR_CONFIG at the node: wrong type, range or word. */
attn_status attn_config_value_set(attn_config *config, const attn_config_key *key,
                                  const attn_config_node *node, const char *folder,
                                  attn_error *error);

/* The parts of it, for a list and its elements: *value within the key's range, and a path as the
 * file of a key; `path` has ATTN_PATH_BYTES. Statuses as above. */
attn_status attn_config_value_integer(const char *file, const attn_config_key *key,
                                      const attn_config_node *node, int64_t *value,
                                      attn_error *error);
attn_status attn_config_value_path(const attn_config *config, const attn_config_key *key,
                                   const attn_config_node *node, const char *folder, char *path,
                                   attn_error *error);

/* Sets a section that may be a word, whose keys have their defaults, from a scalar. */
attn_status attn_config_value_set_word(attn_config *config, const attn_config_key *section,
                                       const attn_config_key *first, const attn_config_node *node,
                                       attn_error *error);

/* Fails because the node is of the wrong type for `key`: "is a sequence; must
 * be …". */
attn_status attn_config_value_fail(const char *file, const attn_config_key *key,
                                   const attn_config_node *node, attn_error *error);

#endif
