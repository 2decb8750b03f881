/* config_yaml.h: a YAML text as a flat list of nodes with their places.
 *
 * The syntax is libyaml's; keys and types mean nothing here yet. The text has to
 * be UTF-8 and one document. Memory grows with the text alone: an alias is kept
 * as a node that says so, never followed. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_YAML_H
#define ATTN_RUNTIME_CONFIG_YAML_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

typedef enum attn_config_node_kind {
    ATTN_CONFIG_SCALAR,
    ATTN_CONFIG_MAPPING,
    ATTN_CONFIG_SEQUENCE, /* its elements are entries without a key */
} attn_config_node_kind;

typedef struct attn_config_node {
    attn_config_node_kind kind;
    int32_t plain;       /* of a scalar: written without quotes */
    const char *refused; /* static; why no key may have such a value, or NULL */
    char *key;           /* owned; NULL at the top and in a sequence */
    size_t key_bytes;
    char *text; /* owned; of a scalar, NUL-terminated */
    size_t text_bytes;
    attn_mark key_mark, mark; /* where the key and the value start */
    size_t end;               /* index of the first node that is not below this one */
} attn_config_node;

/* Nodes in the order of the text: a mapping or sequence comes before its entries, so that
 * the entries of node i are i + 1, nodes[i + 1].end, … below nodes[i].end. */
typedef struct attn_config_tree {
    attn_config_node *nodes; /* owned */
    size_t count, capacity;
} attn_config_tree;

/* Where a text came from, for its messages. */
typedef struct attn_config_source {
    const char *file; /* borrowed */
    int32_t set;      /* 0: the file; i + 1: the i-th --set */
    const char *key;  /* borrowed; the key of a --set, else NULL */
} attn_config_source;

/* Reads a text; an empty one (or nothing but comments) gives no nodes. On failure
 * the tree is empty. ATTN_ERR_CONFIG with libyaml's words at libyaml's place;
 * ATTN_ERR_MEMORY. */
attn_status attn_config_yaml_read(const char *text, size_t bytes, const attn_config_source *source,
                                  attn_config_tree *tree, attn_error *error);

/* Writes a node as flow text, "{causal: true, window: [64, 0]}"; a scalar at the top as it is,
 * without quotes. False when it does not fit, or has a word that would need quotes inside. */
int attn_config_yaml_text(const attn_config_tree *tree, size_t index, char *text, size_t bytes);

void attn_config_yaml_free(attn_config_tree *tree);

#endif
