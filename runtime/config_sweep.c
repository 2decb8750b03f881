#include "config_sweep.h"

#include <stdlib.h>
#include <string.h>

#include "config_fail.h"
#include "config_keys.h"
#include "config_sweep_read.h"
#include "config_value.h"

int64_t attn_sweep_points(const attn_sweep *sweep) {
    int64_t points = 1;

    for (int32_t i = 0; i < sweep->axes; i++) points *= sweep->axis[i].count;
    return points;
}

int32_t attn_sweep_value(const attn_sweep *sweep, int64_t point, int32_t axis) {
    for (int32_t i = sweep->axes - 1; i > axis; i--) point /= sweep->axis[i].count;
    return (int32_t)(point % sweep->axis[axis].count);
}

int32_t attn_sweep_axis_of(const attn_sweep *sweep, const char *key) {
    for (int32_t i = 0; i < sweep->axes; i++)
        if (strcmp(sweep->axis[i].key, key) == 0) return i;
    return -1;
}

int32_t attn_sweep_ranks_axis(const attn_sweep *sweep) {
    return attn_sweep_axis_of(sweep, ATTN_SWEEP_RANKS);
}

/* What a sweep takes beside the keys of a config. A value is tried in the field of another
 * integer, in a config that is thrown away. */
static const attn_config_key ranks_key = {
    .path = ATTN_SWEEP_RANKS,
    .type = ATTN_CONFIG_INTEGER,
    .offset = offsetof(attn_config, sequence.length),
    .min = 1,
    .max = (int64_t)1 << 20,
};

/* The key of an axis; NULL: there is none. *row: its row in the table, or -1. */
static const attn_config_key *find_key(const char *path, int32_t *row) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    *row = attn_config_key_find(path);
    if (*row >= 0) return &keys[*row];
    return strcmp(path, ATTN_SWEEP_RANKS) == 0 ? &ranks_key : NULL;
}

/* Whether a sweep may change the key: one value, no file, and not the sweep itself. */
static int is_swept(const attn_config_key *key) {
    return (key->type == ATTN_CONFIG_INTEGER || key->type == ATTN_CONFIG_NUMBER ||
            key->type == ATTN_CONFIG_CHOICE || key->type == ATTN_CONFIG_INTEGERS ||
            (key->type == ATTN_CONFIG_SECTION && key->name != NULL)) &&
           !attn_config_key_in(key, "bench");
}

/* What the steps below share; all borrowed. */
typedef struct axis_reader {
    attn_config *config;
    attn_config *trial; /* a copy of the config for the value at hand */
    const attn_config_tree *tree;
    attn_config_try *try_value;
    const void *context;
    attn_error *error;
} axis_reader;

static attn_status fail_at(const attn_config *config, attn_mark mark, const char *key,
                           const char *message, attn_error *error) {
    return attn_config_fail_at(config->file, mark, key, error, ATTN_ERR_CONFIG, "%s", message);
}

/* One value of an axis: tried on a copy of the config, and kept as text. */
static attn_status read_value(const axis_reader *reader, size_t index, attn_sweep_axis *axis) {
    const attn_config *config = reader->config;
    const attn_config_node *node = &reader->tree->nodes[index];
    attn_error *error = reader->error;
    const char *key = axis->key;
    attn_config *trial = reader->trial;
    attn_status status;
    int32_t row;
    const attn_config_key *found = find_key(key, &row);

    *trial = *config;
    if (row >= 0) attn_config_key_reset(trial, row);
    if (attn_config_value_is_null(node))
        status = attn_config_value_fail(config->file, found, node, error);
    else if (row >= 0)
        status = reader->try_value(reader->context, trial, row, reader->tree, index);
    else
        status = attn_config_value_set(trial, found, node, "", error);
    if (status != ATTN_OK) return status;
    if (axis->count == ATTN_SWEEP_VALUES ||
        !attn_config_yaml_text(reader->tree, index, axis->values[axis->count], ATTN_SWEEP_TEXT))
        return fail_at(config, node->mark, key,
                       "has too many or too long values; an axis has at most 64 of 95 characters",
                       error);
    axis->count++;
    return ATTN_OK;
}

static attn_status read_axis(const axis_reader *reader, size_t index) {
    attn_config *config = reader->config;
    const attn_config_tree *tree = reader->tree;
    attn_error *error = reader->error;
    const attn_config_node *node = &tree->nodes[index];
    attn_sweep *sweep = &config->bench.sweep;
    attn_sweep_axis *axis = &sweep->axis[sweep->axes];
    int32_t row;
    const attn_config_key *key = find_key(node->key, &row);

    if (key == NULL || !is_swept(key) || strlen(node->key) >= ATTN_SWEEP_TEXT)
        return attn_config_fail_at(config->file, node->key_mark, "bench.sweep", error,
                                   ATTN_ERR_CONFIG,
                                   "cannot sweep %s; name a key with one value and no file, as "
                                   "sequence.length, or ranks",
                                   attn_config_show(node->key, node->key_bytes).text);
    for (int32_t i = 0; i < sweep->axes; i++)
        if (strcmp(sweep->axis[i].key, node->key) == 0)
            return fail_at(config, node->key_mark, node->key, "is swept twice; keep one list",
                           error);
    if (node->kind != ATTN_CONFIG_SEQUENCE || node->end == index + 1)
        return fail_at(config, node->mark, node->key,
                       "is not a list; must be a list of values, as [1, 2]", error);
    if (sweep->axes == ATTN_SWEEP_AXES)
        return fail_at(config, node->key_mark, node->key, "is one axis too many; 8 are possible",
                       error);
    memcpy(axis->key, node->key, strlen(node->key) + 1);
    for (size_t i = index + 1; i < node->end; i = tree->nodes[i].end)
        if (read_value(reader, i, axis) != ATTN_OK) return error->status;
    sweep->axes++;
    return ATTN_OK;
}

attn_status attn_config_sweep_read(attn_config *config, const attn_config_tree *tree, size_t index,
                                   attn_config_try *try_value, const void *context,
                                   attn_error *error) {
    axis_reader reader = {config, NULL, tree, try_value, context, error};
    const attn_config_node *node = &tree->nodes[index];
    attn_status status = ATTN_OK;

    memset(&config->bench.sweep, 0, sizeof config->bench.sweep);
    if (node->kind != ATTN_CONFIG_MAPPING)
        return fail_at(config, node->mark, "bench.sweep",
                       "is not a mapping; must be KEY: [VALUE, ...] for each key", error);
    reader.trial = malloc(sizeof *reader.trial);
    if (reader.trial == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    for (size_t i = index + 1; i < node->end && status == ATTN_OK; i = tree->nodes[i].end)
        status = read_axis(&reader, i);
    free(reader.trial);
    return status;
}

/* A node of flow text as JSON; NULL without memory. */
static json_t *node_json(const attn_config_tree *tree, size_t index) {
    const attn_config_node *node = &tree->nodes[index];
    json_t *json;

    if (node->kind == ATTN_CONFIG_SCALAR) return attn_config_value_json(node);
    json = node->kind == ATTN_CONFIG_MAPPING ? json_object() : json_array();
    for (size_t i = index + 1; i < node->end; i = tree->nodes[i].end) {
        json_t *entry = node_json(tree, i);

        if (node->kind == ATTN_CONFIG_MAPPING)
            json_object_set_new(json, tree->nodes[i].key, entry);
        else
            json_array_append_new(json, entry);
    }
    return json;
}

/* The same for a text that has been read before. */
static json_t *flow_json(const char *text) {
    const attn_config_source source = {.file = "bench.sweep"};
    attn_config_tree tree;
    attn_error error;
    json_t *json;

    if (attn_config_yaml_read(text, strlen(text), &source, &tree, &error) != ATTN_OK) return NULL;
    json = node_json(&tree, 0);
    attn_config_yaml_free(&tree);
    return json;
}

/* A value with the type that its key has, so that it is read back as it was. */
static json_t *value_json(const attn_config_key *key, const char *text) {
    if (text[0] == '{' || text[0] == '[') return flow_json(text);
    if (strcmp(text, "auto") != 0 && key->type == ATTN_CONFIG_INTEGER)
        return json_integer(strtoll(text, NULL, 10));
    if (strcmp(text, "auto") != 0 && key->type == ATTN_CONFIG_NUMBER)
        return json_real(strtod(text, NULL));
    return json_string(text);
}

json_t *attn_config_sweep_json(const attn_sweep *sweep) {
    json_t *object = json_object();

    for (int32_t i = 0; i < sweep->axes; i++) {
        const attn_sweep_axis *axis = &sweep->axis[i];
        json_t *values = json_array();
        int32_t row;

        for (int32_t v = 0; v < axis->count; v++)
            json_array_append_new(values, value_json(find_key(axis->key, &row), axis->values[v]));
        json_object_set_new(object, axis->key, values);
    }
    return object;
}
