/* The config parser on damaged text: however the reference is cut or changed, what comes out is a
 * config or one error. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "parse.h"

/* Any bytes give a config whose JSON is the same config, or one error in the usual
 * form. The text is copied to its exact size, so that reading past it is caught. */
static void expect_sane(const char *text, size_t bytes) {
    char *copy = malloc(bytes + (bytes == 0));
    attn_error error;

    CU_ASSERT_FATAL(copy != NULL);
    memcpy(copy, text, bytes);
    if (attn_parse_bytes(copy, bytes, NULL, &error) == ATTN_OK) {
        attn_parse_round_trip(0);
    } else {
        CU_ASSERT_EQUAL(error.status, ATTN_ERR_CONFIG);
        CU_ASSERT_EQUAL(strncmp(error.message, "c.yaml:", 7), 0);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "; "));
        CU_ASSERT_PTR_NULL(strchr(error.message, '\n'));
    }
    free(copy);
}

/* The reference without comments is what the parser sees of it, and a tenth as long. */
static void strip_comments(char *text) {
    char *to = text;

    for (const char *line = text; *line != '\0';) {
        const size_t bytes = strcspn(line, "\n") + (strchr(line, '\n') != NULL);
        const char first = line[strspn(line, " ")];

        if (first != '#' && first != '\n') {
            memmove(to, line, bytes);
            to += bytes;
        }
        line += bytes;
    }
    *to = '\0';
}

static void test_truncated(void) {
    char *text = attn_parse_example("reference.yaml");
    const size_t length = strlen(text);

    for (size_t bytes = 0; bytes <= length; bytes++) expect_sane(text, bytes);
    free(text);
}

static void test_mutated(void) {
    static const char bytes[] = {0,   '\xff', '\xc3', ' ', '\n', '\t', ':', '#', '{', '[',
                                 '}', '"',    '\'',   '&', '*',  '!',  '|', '-', '?', '0'};
    char *text = attn_parse_example("reference.yaml");
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        const char kept = text[i];

        text[i] = bytes[i % sizeof bytes];
        expect_sane(text, length);
        text[i] = kept;
    }
    strip_comments(text);
    length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        const char kept = text[i];

        for (size_t j = 0; j < sizeof bytes; j++) {
            text[i] = bytes[j];
            expect_sane(text, length);
        }
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(kept ^ (1 << bit));
            expect_sane(text, length);
        }
        text[i] = kept;
    }
    free(text);
}

int main(void) {
    static const attn_test tests[] = {
        {"config.any_truncation_ends_well", test_truncated},
        {"config.any_mutation_ends_well", test_mutated},
    };

    return attn_test_main("unit.config_damaged", tests, ATTN_TEST_COUNT(tests));
}
