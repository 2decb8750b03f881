/* json_reading.h: values of reports and of what else the command writes as JSON, by their paths. */
#ifndef ATTN_TESTS_JSON_READING_H
#define ATTN_TESTS_JSON_READING_H

#include <jansson.h>

/* The value at "a.b.c"; NULL when there is none. `json` may be NULL. */
const json_t *attn_json_at(const json_t *json, const char *path);

/* The number there; NAN when there is none. */
double attn_json_number(const json_t *json, const char *path);

/* Whether that text is there. */
int attn_json_is_text(const json_t *json, const char *path, const char *text);

#endif
