/* parse.h: texts that are a config, and texts that are refused.
 *
 * A text is the file c.yaml; its inputs start at /in and its outputs at /out. The parser's config
 * is large, so there is one of it: each text takes the place of the one before. */
#ifndef ATTN_TESTS_PARSE_H
#define ATTN_TESTS_PARSE_H

#include <stddef.h>

#include "config.h"

/* Two lines which, together, are a config. */
#define ATTN_HEADS "attention: {heads: 4}\n"
#define ATTN_LAYER "input: {x: x.npy, weights: {file: w.safetensors}}\n"
#define ATTN_GOOD  ATTN_HEADS ATTN_LAYER

/* What stands behind --set: each KEY=VALUE. */
#define ATTN_SETS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Parses any bytes; `sets` as ATTN_SETS has them, or NULL. */
attn_status attn_parse_bytes(const char *text, size_t bytes, const char *const *sets,
                             attn_error *error);

/* Expects a config, and returns it. */
const attn_config *attn_parse_good(const char *text);
const attn_config *attn_parse_good_with(const char *text, const char *const *sets);

/* Expects ATTN_ERR_CONFIG, and that the error has this part. */
void attn_parse_bad(const char *text, const char *message);
void attn_parse_bad_with(const char *text, const char *const *sets, const char *message);

typedef struct attn_bad_text {
    const char *text, *message;
} attn_bad_text;
void attn_parse_all_bad(const attn_bad_text *cases, size_t count);
#define ATTN_PARSE_ALL_BAD(cases) attn_parse_all_bad(cases, sizeof(cases) / sizeof *(cases))

/* Expects a status, and an error of that status which has this part. */
void attn_parse_expect_error(attn_status status, attn_status expected, const attn_error *error,
                             const char *message);

/* Expects that the last text's config is the same again when its JSON is parsed; as_report: when
 * that stands in a report. */
void attn_parse_round_trip(int as_report);

/* The text of configs/NAME, which the caller frees. */
char *attn_parse_example(const char *name);

#endif
