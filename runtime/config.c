#include "config.h"

#include <stdio.h>
#include <string.h>

#include "config_check.h"
#include "config_fail.h"
#include "config_keys.h"
#include "config_list.h"
#include "config_suggest.h"
#include "config_sweep_read.h"
#include "config_value.h"
#include "config_yaml.h"

/* Longer than any key of the table plus what is shown of a wrong one. */
enum { PATH_BYTES = 192, LIST_BYTES = 256 };

/* One parse: what the steps below share. */
typedef struct attn_config_parse_state {
    attn_config *config;       /* borrowed */
    const char *input_folder;  /* borrowed */
    const char *output_folder; /* borrowed */
    attn_error *error;         /* borrowed */
} attn_config_parse_state;

static const attn_config_key *key_of(int32_t row) {
    int32_t count;

    return &attn_config_keys(&count)[row];
}

static attn_status fail_unknown(const attn_config_parse_state *state, attn_mark mark,
                                const char *path) {
    const char *last = attn_config_key_last(path);
    const int section_bytes = (int)(last - path) - (last > path);
    const int32_t nearest = attn_config_suggest_key(path);
    char section[PATH_BYTES], list[LIST_BYTES];

    if (nearest >= 0)
        return attn_config_fail_at(state->config->file, mark, path, state->error, ATTN_ERR_CONFIG,
                                   "is not a key; did you mean %s (%s)?", key_of(nearest)->path,
                                   key_of(nearest)->help);
    snprintf(section, sizeof section, "%.*s", section_bytes, path);
    if (attn_config_key_find(section) < 0) section[0] = '\0';
    attn_config_key_list(section, list, sizeof list);
    return attn_config_fail_at(state->config->file, mark, path, state->error, ATTN_ERR_CONFIG,
                               "is not a key; the keys of %s are %s",
                               section[0] == '\0' ? "a config" : section, list);
}

/* Notes where a key's value came from, and with it that its sections are there. */
static void note(attn_config *config, int32_t row, attn_mark mark) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    config->marks[row] = mark;
    for (int32_t i = 0; i <= row; i++) {
        if (keys[i].type != ATTN_CONFIG_SECTION) continue;
        if (i != row && !attn_config_key_in(&keys[row], keys[i].path)) continue;
        if (config->marks[i].line == 0) config->marks[i] = mark;
        if (keys[i].offset != 0) *(int32_t *)attn_config_key_field(config, &keys[i]) = 1;
    }
}

static attn_status apply_section(const attn_config_parse_state *state, const char *section,
                                 const attn_config_tree *tree, size_t index);

static attn_status try_value(const void *context, attn_config *trial, int32_t row,
                             const attn_config_tree *tree, size_t index);

/* Applies the value of node `index` to a key or section. */
static attn_status apply(const attn_config_parse_state *state, int32_t row,
                         const attn_config_tree *tree, size_t index) {
    const attn_config_node *node = &tree->nodes[index];
    const attn_config_key *key = key_of(row);
    const int is_output = key->type == ATTN_CONFIG_OUTPUT_PATH;
    attn_config *config = state->config;
    attn_status status;

    if (node->refused != NULL)
        return attn_config_fail_at(config->file, node->mark, key->path, state->error,
                                   ATTN_ERR_CONFIG, "%s", node->refused);
    if (attn_config_value_is_null(node)) {
        char expected[LIST_BYTES];

        if (node->mark.set > 0) {
            attn_config_key_reset(config, row);
            return ATTN_OK;
        }
        attn_config_key_expected(key, expected, sizeof expected);
        return attn_config_fail_at(config->file, node->key_mark, key->path, state->error,
                                   ATTN_ERR_CONFIG, "has no value; must be %s, or left out",
                                   expected);
    }
    if (key->type == ATTN_CONFIG_SECTION && node->kind != ATTN_CONFIG_MAPPING) {
        attn_config_key_reset(config, row);
        status = attn_config_value_set_word(config, key, key_of(row + 1), node, state->error);
        if (status == ATTN_OK) note(config, row + 1, node->mark);
        return status;
    }
    if (key->type == ATTN_CONFIG_SECTION) {
        note(config, row, node->key_mark);
        return apply_section(state, key->path, tree, index);
    }
    if (key->type == ATTN_CONFIG_SWEEP) {
        status = attn_config_sweep_read(config, tree, index, try_value, state, state->error);
        if (status == ATTN_OK) note(config, row, node->mark);
        return status;
    }
    if (key->type == ATTN_CONFIG_INTEGERS || key->type == ATTN_CONFIG_NUMBERS)
        status = attn_config_list_set(config, key, tree, index, state->input_folder, state->error);
    else
        status = attn_config_value_set(config, key, node,
                                       is_output ? state->output_folder : state->input_folder,
                                       state->error);
    if (status == ATTN_OK) note(config, row, node->mark);
    return status;
}

/* Applies a value to another config than the one that is parsed. */
static attn_status try_value(const void *context, attn_config *trial, int32_t row,
                             const attn_config_tree *tree, size_t index) {
    attn_config_parse_state state = *(const attn_config_parse_state *)context;

    state.config = trial;
    return apply(&state, row, tree, index);
}

/* The node's earlier sibling with the same key, or NULL. */
static const attn_config_node *earlier(const attn_config_tree *tree, size_t parent, size_t index) {
    const attn_config_node *nodes = tree->nodes;

    for (size_t i = parent + 1; i < index; i = nodes[i].end)
        if (nodes[i].key_bytes == nodes[index].key_bytes &&
            memcmp(nodes[i].key, nodes[index].key, nodes[index].key_bytes) == 0)
            return &nodes[i];
    return NULL;
}

static attn_status fail_twice(const attn_config_parse_state *state, const char *path,
                              const attn_config_node *first, const attn_config_node *second) {
    return attn_config_fail_at(
        state->config->file, second->key_mark, path, state->error, ATTN_ERR_CONFIG,
        "is given twice, first in line %d; keep one of the two", (int)first->key_mark.line);
}

/* Applies one entry of the section. */
static attn_status apply_entry(const attn_config_parse_state *state, const char *section,
                               const attn_config_tree *tree, size_t parent, size_t index) {
    const attn_config_node *node = &tree->nodes[index];
    const attn_config_node *first = earlier(tree, parent, index);
    const char *dot = section[0] == '\0' ? "" : ".";
    const char *file = state->config->file;
    char path[PATH_BYTES];
    int32_t row;

    snprintf(path, sizeof path, "%s%s%s", section, dot,
             attn_config_show(node->key, node->key_bytes).text);
    if (first != NULL) return fail_twice(state, path, first, node);
    if (strcmp(node->key, "<<") == 0)
        return attn_config_fail_at(file, node->key_mark, path, state->error, ATTN_ERR_CONFIG,
                                   "is a merge key; write the keys themselves");
    if (memchr(node->key, '.', node->key_bytes) != NULL)
        return attn_config_fail_at(file, node->key_mark, path, state->error, ATTN_ERR_CONFIG,
                                   "is a key with a dot; nest it: SECTION: {KEY: VALUE}");
    row = attn_config_key_find(path);
    if (row < 0) return fail_unknown(state, node->key_mark, path);
    return apply(state, row, tree, index);
}

static attn_status apply_section(const attn_config_parse_state *state, const char *section,
                                 const attn_config_tree *tree, size_t index) {
    for (size_t i = index + 1; i < tree->nodes[index].end; i = tree->nodes[i].end) {
        const attn_status status = apply_entry(state, section, tree, index, i);

        if (status != ATTN_OK) return status;
    }
    return ATTN_OK;
}

/* Index of the top mapping's last entry of that name, or 0 (which is the top). */
static size_t find_entry(const attn_config_tree *tree, const char *name) {
    size_t found = 0;

    for (size_t i = 1; i < tree->nodes[0].end; i = tree->nodes[i].end)
        if (tree->nodes[i].key_bytes == strlen(name) && strcmp(tree->nodes[i].key, name) == 0)
            found = i;
    return found;
}

/* Index of the node that is the config: the top, or the entry `config` of a report. */
static size_t find_config(const attn_config_tree *tree) {
    return find_entry(tree, "version") == 0 ? 0 : find_entry(tree, "config");
}

/* Applies a document that is not empty. */
static attn_status apply_document(const attn_config_parse_state *state,
                                  const attn_config_tree *tree) {
    const size_t start = find_config(tree);
    const attn_config_node *top = &tree->nodes[start];
    const attn_config_node *first = start == 0 ? NULL : earlier(tree, 0, start);
    const char *reason = top->refused;
    char list[LIST_BYTES], message[2 * LIST_BYTES];

    if (first != NULL) return fail_twice(state, top->key, first, top);
    if (reason == NULL && top->kind == ATTN_CONFIG_MAPPING)
        return apply_section(state, "", tree, start);
    if (reason == NULL) {
        attn_config_key_list("", list, sizeof list);
        snprintf(message, sizeof message, "is a %s; must be a mapping of %s",
                 top->kind == ATTN_CONFIG_SCALAR ? "scalar" : "sequence", list);
        reason = message;
    }
    return attn_config_fail_at(state->config->file, top->mark, top->key, state->error,
                               ATTN_ERR_CONFIG, "%s", reason);
}

static attn_status apply_file(const attn_config_parse_state *state, const char *text,
                              size_t bytes) {
    const attn_config_source source = {.file = state->config->file};
    attn_config_tree tree;
    attn_status status;
    char list[LIST_BYTES];

    status = attn_config_yaml_read(text, bytes, &source, &tree, state->error);
    if (status != ATTN_OK) return status;
    if (tree.count > 0 && !attn_config_value_is_null(&tree.nodes[0])) {
        status = apply_document(state, &tree);
    } else {
        attn_config_key_list("", list, sizeof list);
        status = attn_config_fail_at(source.file, (attn_mark){0, 1, 1}, NULL, state->error,
                                     ATTN_ERR_CONFIG, "is empty; must be a mapping of %s", list);
    }
    attn_config_yaml_free(&tree);
    return status;
}

/* Applies the i-th --set. */
static attn_status apply_set(const attn_config_parse_state *state, const char *set, int i) {
    const char *equals = strchr(set, '=');
    const size_t key_bytes = equals == NULL ? strlen(set) : (size_t)(equals - set);
    const attn_mark mark = {i + 1, 1, 1};
    const attn_config_shown key = attn_config_show(set, key_bytes);
    const attn_config_source source = {state->config->file, i + 1, key.text};
    attn_config_tree tree;
    attn_status status;
    int32_t row;

    if (equals == NULL || key_bytes == 0)
        return attn_fail(state->error, ATTN_ERR_USAGE, "--set: '%s' has no %s; write KEY=VALUE",
                         attn_config_show(set, strlen(set)).text, equals == NULL ? "value" : "key");
    row = attn_config_key_find(key.text);
    if (row < 0) return fail_unknown(state, mark, key.text);
    status = attn_config_yaml_read(equals + 1, strlen(equals + 1), &source, &tree, state->error);
    if (status != ATTN_OK) return status;
    if (tree.count == 0 ||
        (tree.nodes[0].text != NULL && tree.nodes[0].plain && tree.nodes[0].text_bytes == 0))
        status = attn_config_fail_at(source.file, mark, source.key, state->error, ATTN_ERR_CONFIG,
                                     "has no value; give one, or null to take the key out");
    else
        status = apply(state, row, &tree, 0);
    attn_config_yaml_free(&tree);
    return status;
}

attn_status attn_config_parse(const char *text, size_t bytes, const char *file,
                              const char *const *sets, int set_count, const char *input_folder,
                              const char *output_folder, attn_config *config, attn_error *error) {
    const attn_config_parse_state state = {config, input_folder, output_folder, error};
    attn_status status;
    int32_t count;

    memset(config, 0, sizeof *config); /* padding too: equal configs have equal bytes */
    snprintf(config->file, sizeof config->file, "%s", file);
    attn_config_keys(&count);
    for (int32_t row = 0; row < count; row++) attn_config_key_reset(config, row);

    status = apply_file(&state, text, bytes);
    for (int i = 0; status == ATTN_OK && i < set_count; i++) status = apply_set(&state, sets[i], i);
    if (status == ATTN_OK) status = attn_config_check(config, error);
    return status == ATTN_OK ? attn_ok(error) : status;
}
