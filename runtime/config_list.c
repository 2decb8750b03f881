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
                               "has another number of %s; must be %s",
                               key->type == ATTN_CONFIG_INTEGERS ? "integers" : "numbers",
                               expected);
}

/* Element `at` of the field. */
static attn_status set_element(attn_config *config, const attn_config_key *key,
                               const attn_config_node *node, int64_t at, attn_error *error) {
    void *field = attn_config_key_field(config, key);

    if (key->type == ATTN_CONFIG_INTEGERS)
        return attn_config_value_integer(config->file, key, node,
                                         &((attn_integers *)field)->values[at], error);
    return attn_config_value_number(config->file, key, node, &((attn_numbers *)field)->values[at],
                                    error);
}

attn_status attn_config_list_set(attn_config *config, const attn_config_key *key,
                                 const attn_config_tree *tree, size_t index, const char *folder,
                                 attn_error *error) {
    const attn_config_node *nodes = tree->nodes;
    const int is_integers = key->type == ATTN_CONFIG_INTEGERS;
    void *field = attn_config_key_field(config, key);
    char *file = is_integers ? ((attn_integers *)field)->file : ((attn_numbers *)field)->file;
    int64_t *count =
        is_integers ? &((attn_integers *)field)->count : &((attn_numbers *)field)->count;

    /* Equal configs have equal bytes. */
    memset(field, 0, is_integers ? sizeof(attn_integers) : sizeof(attn_numbers));
    if (key->or_path && nodes[index].kind == ATTN_CONFIG_SCALAR)
        return attn_config_value_path(config, key, &nodes[index], folder, file, error);
    if (nodes[index].kind != ATTN_CONFIG_SEQUENCE)
        return attn_config_value_fail(config->file, key, &nodes[index], error);
    for (size_t i = index + 1; i < nodes[index].end; i = nodes[i].end) {
        if (nodes[i].refused != NULL)
            return attn_config_fail_at(config->file, nodes[i].mark, key->path, error,
                                       ATTN_ERR_CONFIG, "%s", nodes[i].refused);
        if (*count == key->most) return fail_count(config, key, &nodes[i], error);
        if (set_element(config, key, &nodes[i], *count, error) != ATTN_OK) return error->status;
        ++*count;
    }
    return *count < key->fewest ? fail_count(config, key, &nodes[index], error) : ATTN_OK;
}
