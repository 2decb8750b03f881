/* config_fail.h: the one form of a config error, and how a user's text is shown
 * in it. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_FAIL_H
#define ATTN_RUNTIME_CONFIG_FAIL_H

#include <stddef.h>

#include "config.h"

/* Fails at a place: "FILE:LINE:COL: key: message", "--set: key: message" when the
 * mark is a --set's, or "FILE: key: message" when its line is 0. `key` may be
 * NULL: then it is left out. Of a long file name only the end is shown. */
attn_status attn_config_fail_at(const char *file, attn_mark mark, const char *key,
                                attn_error *error, attn_status status, const char *format, ...)
    ATTN_PRINTF(6, 7);

enum { ATTN_CONFIG_SHOWN_BYTES = 64 };

typedef struct attn_config_shown {
    char text[ATTN_CONFIG_SHOWN_BYTES];
} attn_config_shown;

/* A user's text, fit for a one-line message: control characters become '?', and
 * a long text is cut between characters and ends with "...". */
attn_config_shown attn_config_show(const char *text, size_t bytes);

#endif
