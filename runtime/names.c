#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *attn_names_show(const char *text, char buffer[ATTN_NAME_SHOWN_BYTES]) {
    size_t bytes = strlen(text);
    size_t kept = bytes < ATTN_NAME_SHOWN_BYTES ? bytes : ATTN_NAME_SHOWN_BYTES - 1;

    memcpy(buffer, text, kept);
    if (kept < bytes) memcpy(buffer + kept - 3, "...", 3);
    buffer[kept] = '\0';
    for (char *at = buffer; *at != '\0'; at++)
        if ((*at > '\0' && *at < ' ') || *at == '\x7f') *at = '?';
    return buffer;
}

static int compare_names(const void *left, const void *right) {
    const char *const *a = left, *const *b = right;

    return strcmp(*a, *b);
}

void attn_names_sort(const char **names, size_t count) {
    qsort(names, count, sizeof *names, compare_names);
}

const char *attn_names_join(const char *const *names, size_t count,
                            char text[ATTN_NAMES_SHOWN_BYTES]) {
    enum { ROOM_FOR_REST = 32 };
    size_t used = 0, i = 0;

    for (; i < count; i++) {
        char buffer[ATTN_NAME_SHOWN_BYTES];
        size_t bytes = strlen(attn_names_show(names[i], buffer)) + 4; /* quotes, comma, space */
        if (used + bytes > ATTN_NAMES_SHOWN_BYTES - ROOM_FOR_REST) break;
        snprintf(text + used, bytes + 1, "%s'%s'", i == 0 ? "" : ", ", buffer);
        used += strlen(text + used);
    }
    if (i < count)
        snprintf(text + used, ROOM_FOR_REST, " and %zu more", count - i);
    else if (count == 0)
        snprintf(text, ATTN_NAMES_SHOWN_BYTES, "no tensors");
    return text;
}
