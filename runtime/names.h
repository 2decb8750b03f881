/* names.h: tensors' names and other words out of a file, fit for a message. Not collective. */
#ifndef ATTN_RUNTIME_NAMES_H
#define ATTN_RUNTIME_NAMES_H

#include <stddef.h>

enum { ATTN_NAME_SHOWN_BYTES = 128, ATTN_NAMES_SHOWN_BYTES = 512 };

/* The text without control characters, cut where it is long; returns `buffer`. */
const char *attn_names_show(const char *text, char buffer[ATTN_NAME_SHOWN_BYTES]);

/* Sorts the names by their bytes. */
void attn_names_sort(const char **names, size_t count);

/* Joins names until the text is full: "'a', 'b' and 5 more"; "no tensors" of none.
 * Returns `text`. */
const char *attn_names_join(const char *const *names, size_t count,
                            char text[ATTN_NAMES_SHOWN_BYTES]);

#endif
