/* text.h: texts of a fixed size, for messages and small files. */
#ifndef ATTN_RUNTIME_TEXT_H
#define ATTN_RUNTIME_TEXT_H

#include <stddef.h>

#include "status.h"

/* Appends to a text in `bytes` bytes; what does not fit is cut. */
ATTN_PRINTF(3, 4) void attn_text_append(char *text, size_t bytes, const char *format, ...);

#endif
