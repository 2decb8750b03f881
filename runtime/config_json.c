#include <string.h>

#include "config.h"
#include "config_keys.h"
#include "config_sweep_read.h"

static json_t *list_json(const attn_integers *list) {
    json_t *array;

    if (list->file[0] != '\0') return json_string(list->file);
    array = json_array();
    for (int64_t i = 0; i < list->count; i++)
        if (json_array_append_new(array, json_integer(list->values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *numbers_json(const attn_numbers *list) {
    json_t *array;

    if (list->file[0] != '\0') return json_string(list->file);
    array = json_array();
    for (int64_t i = 0; i < list->count; i++)
        if (json_array_append_new(array, json_real(list->values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* true and false are booleans, all other words strings. */
static json_t *word_json(const char *word) {
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
        return json_boolean(word[0] == 't');
    return json_string(word);
}

/* The key's value, or NULL when there is none to write (*fails is set when
 * memory ran out instead). */
static json_t *make_value(const attn_config *config, const attn_config_key *key, int *fails) {
    const void *field = attn_config_key_field_const(config, key);
    json_t *value = NULL;
    int64_t integer;

    switch (key->type) {
        case ATTN_CONFIG_INTEGER:
            integer = *(const int64_t *)field;
            if (integer == ATTN_AUTO && !key->or_auto) return NULL;
            value = integer == ATTN_AUTO ? json_string("auto") : json_integer(integer);
            break;
        case ATTN_CONFIG_CHOICE:
            integer = *(const int32_t *)field;
            value = word_json(integer == ATTN_AUTO ? "auto" : key->name((int)integer));
            break;
        case ATTN_CONFIG_NUMBER:
            if (*(const double *)field == 0) return NULL;
            value = json_real(*(const double *)field);
            break;
        case ATTN_CONFIG_TEXT:
        case ATTN_CONFIG_INPUT_PATH:
        case ATTN_CONFIG_OUTPUT_PATH:
            if (*(const char *)field == '\0') return NULL;
            value = json_string(field);
            break;
        case ATTN_CONFIG_INTEGERS:
            if (attn_config_key_is_default(config, key)) return NULL;
            value = list_json(field);
            break;
        case ATTN_CONFIG_NUMBERS:
            if (attn_config_key_is_default(config, key)) return NULL;
            value = numbers_json(field);
            break;
        case ATTN_CONFIG_SWEEP:
            if (((const attn_sweep *)field)->axes == 0) return NULL;
            value = attn_config_sweep_json(field);
            break;
        case ATTN_CONFIG_SECTION:
            return NULL;
    }
    *fails |= value == NULL;
    return value;
}

/* Whether every section around the key is there, as far as sections can be
 * absent: writing a key of an absent one would create it. */
static int is_in_config(const attn_config *config, const attn_config_key *key) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    for (int32_t row = 0; row < count; row++) {
        if (keys[row].type != ATTN_CONFIG_SECTION || keys[row].offset == 0) continue;
        if (!attn_config_key_in(key, keys[row].path)) continue;
        if (*(const int32_t *)attn_config_key_field_const(config, &keys[row]) == 0) return 0;
    }
    return 1;
}

/* Puts a value at its path below `root`, making the objects around it; takes the
 * reference to the value. 0 or -1, as in jansson. */
static int put(json_t *root, const char *path, json_t *value) {
    const char *at = path, *last = attn_config_key_last(path);
    json_t *object = root;

    while (at != last) {
        const size_t bytes = strcspn(at, ".");
        json_t *section;
        char name[ATTN_NAME_BYTES] = "";

        memcpy(name, at, bytes);
        section = json_object_get(object, name);
        if (section == NULL) {
            section = json_object();
            if (json_object_set_new(object, name, section) != 0) {
                json_decref(value);
                return -1;
            }
        }
        object = section;
        at += bytes + 1;
    }
    return json_object_set_new(object, last, value);
}

/* The word that says all that the section of `row` has; NULL: none does. */
static const char *word_of_section(const attn_config *config, int32_t row) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);

    if (keys[row].name == NULL) return NULL;
    if (keys[row].offset != 0 &&
        *(const int32_t *)attn_config_key_field_const(config, &keys[row]) == 0)
        return NULL;
    for (int32_t i = row + 2; i < count; i++)
        if (attn_config_key_in(&keys[i], keys[row].path) &&
            !attn_config_key_is_default(config, &keys[i]))
            return NULL;
    return keys[row].name(*(const int32_t *)attn_config_key_field_const(config, &keys[row + 1]));
}

json_t *attn_config_json(const attn_config *config) {
    int32_t count;
    const attn_config_key *keys = attn_config_keys(&count);
    json_t *root = json_object();
    int fails = root == NULL;

    for (int32_t row = 0; row < count && !fails; row++) {
        const char *word =
            keys[row].type == ATTN_CONFIG_SECTION ? word_of_section(config, row) : NULL;
        json_t *value;

        if (word != NULL) {
            const char *section = keys[row].path;

            fails = put(root, section, word_json(word)) != 0;
            while (row + 1 < count && attn_config_key_in(&keys[row + 1], section)) row++;
            continue;
        }
        if (keys[row].type == ATTN_CONFIG_SECTION || !is_in_config(config, &keys[row])) continue;
        value = make_value(config, &keys[row], &fails);
        if (value != NULL) fails = put(root, keys[row].path, value) != 0;
    }
    if (!fails) return root;
    json_decref(root);
    return NULL;
}
