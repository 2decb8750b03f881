#include "config_fail.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config_keys.h"

/* A message has ATTN_MESSAGE_BYTES; the place may take only this much of them. */
enum { FILE_BYTES = 256 };

static ATTN_PRINTF(6, 0) attn_status
    fail_at_v(const char *file, attn_mark mark, const char *key, attn_error *error,
              attn_status status, const char *format, va_list arguments) {
    const size_t file_bytes = strlen(file);
    const char *cut = file_bytes > FILE_BYTES ? "..." : "";
    const char *shown = file_bytes > FILE_BYTES ? file + file_bytes - FILE_BYTES : file;
    char place[FILE_BYTES + 64];
    char what[ATTN_MESSAGE_BYTES];

    if (mark.set > 0)
        snprintf(place, sizeof place, "--set");
    else if (mark.line == 0)
        snprintf(place, sizeof place, "%s%s", cut, shown);
    else
        snprintf(place, sizeof place, "%s%s:%" PRId32 ":%" PRId32, cut, shown, mark.line,
                 mark.column);
    vsnprintf(what, sizeof what, format, arguments);
    if (key == NULL) return attn_fail(error, status, "%s: %s", place, what);
    return attn_fail(error, status, "%s: %s: %s", place, key, what);
}

attn_status attn_config_fail_at(const char *file, attn_mark mark, const char *key,
                                attn_error *error, attn_status status, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    fail_at_v(file, mark, key, error, status, format, arguments);
    va_end(arguments);
    return status;
}

attn_status attn_config_fail(const attn_config *config, const char *key, attn_error *error,
                             attn_status status, const char *format, ...) {
    const int32_t row = attn_config_key_find(key);
    const attn_mark mark = row < 0 ? (attn_mark){0, 0, 0} : config->marks[row];
    va_list arguments;

    va_start(arguments, format);
    fail_at_v(config->file, mark, key, error, status, format, arguments);
    va_end(arguments);
    return status;
}

attn_config_shown attn_config_show(const char *text, size_t bytes) {
    const size_t room = ATTN_CONFIG_SHOWN_BYTES - 1;
    const int is_long = bytes > room;
    size_t kept = is_long ? room - strlen("...") : bytes;
    attn_config_shown shown;

    /* 10xxxxxx continues a UTF-8 character: do not cut in front of one. */
    while (is_long && kept > 0 && ((unsigned char)text[kept] & 0xC0) == 0x80) kept--;
    for (size_t i = 0; i < kept; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte < 0x20 || byte == 0x7F)
            shown.text[i] = '?';
        else
            shown.text[i] = text[i];
    }
    snprintf(shown.text + kept, sizeof shown.text - kept, "%s", is_long ? "..." : "");
    return shown;
}
