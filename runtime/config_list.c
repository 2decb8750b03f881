#include "config_list.h"

#include <inttypes.h>
#include <string.h>

#include "config_fail.h"
#include "config_value.h"

enum { EXPECTED_BYTES = 320 };

static attn_status fail_count(const attn_config *config, const attn_config_key *key,
                              const attn_config_node *node, attn_error *error) {
    char expected[EXPECTED_BYTES];

    attn_config_key_expected(key, expected, sizeof expected);
    return attn_config_fail_at(config->file, node->mark, key->path, error, ATTN_ERR_CONFIG,
                               "has another number of integers; must be %s", expected);
}

attn_status attn_config_list_set(attn_config *config, const attn_config_key *key,
                                 const attn_config_tree *tree, size_t index, const char *folder,
                                 attn_error *error) {
    const attn_config_node *nodes = tree->nodes;
    attn_integers *list = attn_config_key_field(config, key);

    memset(list, 0, sizeof *list); /* equal configs have equal bytes */
    if (key->or_path && nodes[index].kind == ATTN_CONFIG_SCALAR)
        return attn_config_value_path(config, key, &nodes[index], folder, list->file, error);
    if (nodes[index].kind != ATTN_CONFIG_SEQUENCE)
        return attn_config_value_fail(config, key, &nodes[index], error);
    for (size_t i = index + 1; i < nodes[index].end; i = nodes[i].end) {
        if (nodes[i].refused != NULL)
            return attn_config_fail_at(config->file, nodes[i].mark, key->path, error,
                                       ATTN_ERR_CONFIG, "%s", nodes[i].refused);
        if (list->count == key->most) return fail_count(config, key, &nodes[i], error);
        if (attn_config_value_integer(config, key, &nodes[i], &list->values[list->count], error) !=
            ATTN_OK)
            return error->status;
        list->count++;
    }
    return list->count < key->fewest ? fail_count(config, key, &nodes[index], error) : ATTN_OK;
}
