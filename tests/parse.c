#include "parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "scratch.h"

static attn_config config; /* of the last text */

attn_status attn_parse_bytes(const char *text, size_t bytes, const char *const *sets,
                             attn_error *error) {
    int count = 0;

    while (sets != NULL && sets[count] != NULL) count++;
    memset(error, 0, sizeof *error);
    return attn_config_parse(text, bytes, "c.yaml", sets, count, "/in", "/out", &config, error);
}

const attn_config *attn_parse_good_with(const char *text, const char *const *sets) {
    attn_error error;
    const attn_status status = attn_parse_bytes(text, strlen(text), sets, &error);

    if (status != ATTN_OK) printf("\n    got: %s\n", error.message);
    CU_ASSERT_EQUAL(status, ATTN_OK);
    CU_ASSERT_EQUAL(error.status, ATTN_OK);
    return &config;
}

const attn_config *attn_parse_good(const char *text) {
    return attn_parse_good_with(text, NULL);
}

/* Prints what a failed assertion alone would not say. */
void attn_parse_expect_error(attn_status status, attn_status expected, const attn_error *error,
                             const char *message) {
    const int holds =
        status == expected && error->status == expected && strstr(error->message, message) != NULL;

    if (!holds) printf("\n    expected: %s\n    got:      %s\n", message, error->message);
    CU_ASSERT(holds);
}

void attn_parse_bad_with(const char *text, const char *const *sets, const char *message) {
    attn_error error;
    const attn_status status = attn_parse_bytes(text, strlen(text), sets, &error);

    attn_parse_expect_error(status, ATTN_ERR_CONFIG, &error, message);
}

void attn_parse_bad(const char *text, const char *message) {
    attn_parse_bad_with(text, NULL, message);
}

void attn_parse_all_bad(const attn_bad_text *cases, size_t count) {
    for (size_t i = 0; i < count; i++) attn_parse_bad(cases[i].text, cases[i].message);
}

void attn_parse_round_trip(int as_report) {
    static attn_config first; /* too large for some stacks */
    json_t *json = attn_config_json(&config);
    char *text;

    CU_ASSERT_PTR_NOT_NULL(json);
    if (json == NULL) return;
    if (as_report) json = json_pack("{s:s, s:o, s:[[i]]}", "version", "1", "config", json, "t", 1);
    text = json_dumps(json, as_report ? JSON_INDENT(2) : JSON_COMPACT);
    json_decref(json);
    CU_ASSERT_PTR_NOT_NULL(text);
    if (text == NULL) return;
    first = config;
    attn_parse_good(text);
    free(text);
    memset(first.marks, 0, sizeof first.marks); /* only the places may differ */
    memset(config.marks, 0, sizeof config.marks);
    CU_ASSERT_EQUAL(memcmp(&first, &config, sizeof first), 0);
}

char *attn_parse_example(const char *name) {
    char path[512];
    size_t bytes;
    char *text;

    snprintf(path, sizeof path, ATTN_SOURCE_DIR "/configs/%s", name);
    text = attn_scratch_read(path, &bytes);
    CU_ASSERT_FATAL(bytes > 0);
    return text;
}
