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

/* Whether a sweep may change the key: one value, no file, and not the sweep itself. */
static int is_swept(const attn_config_key *key) {
    return (key->type == ATTN_CONFIG_INTEGER || key->type == ATTN_CONFIG_NUMBER ||
            key->type == ATTN_CONFIG_CHOICE) &&
           !attn_config_key_in(key, "bench");
}

static attn_status fail_at(const attn_config *config, attn_mark mark, const char *key,
                           const char *message, attn_error *error) {
    return attn_config_fail_at(config->file, mark, key, error, ATTN_ERR_CONFIG, "%s", message);
}

/* One value of an axis: tried on a copy of the config, and kept as text. */
static attn_status read_value(const attn_config *config, const attn_config_key *key,
                              const attn_config_node *node, attn_sweep_axis *axis,
                              attn_error *error) {
    attn_config *trial = malloc(sizeof *trial);
    attn_status status;

    if (trial == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    *trial = *config;
    status = node->refused != NULL ? fail_at(config, node->mark, key->path, node->refused, error)
                                   : attn_config_value_set(trial, key, node, "", error);
    free(trial);
    if (status != ATTN_OK) return status;
    if (axis->count == ATTN_SWEEP_VALUES || node->text_bytes >= ATTN_SWEEP_TEXT)
        return fail_at(config, node->mark, key->path,
                       "has too many or too long values; an axis has at most 64 of 47 characters",
                       error);
    memcpy(axis->values[axis->count++], node->text, node->text_bytes + 1);
    return ATTN_OK;
}

static attn_status read_axis(attn_config *config, const attn_config_tree *tree, size_t index,
                             attn_error *error) {
    const attn_config_node *node = &tree->nodes[index];
    attn_sweep *sweep = &config->bench.sweep;
    attn_sweep_axis *axis = &sweep->axis[sweep->axes];
    int32_t count, row = attn_config_key_find(node->key);
    const attn_config_key *keys = attn_config_keys(&count);

    if (row < 0 || !is_swept(&keys[row]) || strlen(node->key) >= ATTN_SWEEP_TEXT)
        return attn_config_fail_at(config->file, node->key_mark, "bench.sweep", error,
                                   ATTN_ERR_CONFIG,
                                   "cannot sweep %s; name a key with one value and no file, as "
                                   "sequence.length",
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
        if (read_value(config, &keys[row], &tree->nodes[i], axis, error) != ATTN_OK)
            return error->status;
    sweep->axes++;
    return ATTN_OK;
}

attn_status attn_config_sweep_read(attn_config *config, const attn_config_tree *tree, size_t index,
                                   attn_error *error) {
    const attn_config_node *node = &tree->nodes[index];

    memset(&config->bench.sweep, 0, sizeof config->bench.sweep);
    if (node->kind != ATTN_CONFIG_MAPPING)
        return fail_at(config, node->mark, "bench.sweep",
                       "is not a mapping; must be KEY: [VALUE, ...] for each key", error);
    for (size_t i = index + 1; i < node->end; i = tree->nodes[i].end)
        if (read_axis(config, tree, i, error) != ATTN_OK) return error->status;
    return ATTN_OK;
}

/* A value with the type that its key has, so that it is read back as it was. */
static json_t *value_json(const attn_config_key *key, const char *text) {
    if (strcmp(text, "auto") != 0 && key->type == ATTN_CONFIG_INTEGER)
        return json_integer(strtoll(text, NULL, 10));
    if (strcmp(text, "auto") != 0 && key->type == ATTN_CONFIG_NUMBER)
        return json_real(strtod(text, NULL));
    return json_string(text);
}

json_t *attn_config_sweep_json(const attn_sweep *sweep) {
    json_t *object = json_object();
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    for (int32_t i = 0; i < sweep->axes; i++) {
        const attn_sweep_axis *axis = &sweep->axis[i];
        json_t *values = json_array();

        for (int32_t v = 0; v < axis->count; v++)
            json_array_append_new(
                values, value_json(&keys[attn_config_key_find(axis->key)], axis->values[v]));
        json_object_set_new(object, axis->key, values);
    }
    return object;
}
