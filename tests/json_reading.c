#include "json_reading.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const json_t *attn_json_at(const json_t *json, const char *path) {
    char name[64];

    for (; json != NULL && *path != '\0'; path += *path == '.') {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(path, "."), path);
        json = json_object_get(json, name);
        path += strlen(name);
    }
    return json;
}

double attn_json_number(const json_t *json, const char *path) {
    const json_t *value = attn_json_at(json, path);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

int attn_json_is_text(const json_t *json, const char *path, const char *text) {
    const char *value = json_string_value(attn_json_at(json, path));

    return value != NULL && strcmp(value, text) == 0;
}
