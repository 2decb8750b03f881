#include "transfer_limit.h"

#include <stdlib.h>

enum { LEAST_BYTES = 64, MOST_BYTES = 1 << 30 };

int64_t attn_max_transfer_bytes(void) {
    const char *text = getenv("ATTNSPAN_MAX_TRANSFER_BYTES");
    char *end;
    long long bytes;

    if (text == NULL) return MOST_BYTES;
    bytes = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || bytes > MOST_BYTES) return MOST_BYTES;
    if (bytes < LEAST_BYTES) return LEAST_BYTES;
    return bytes / LEAST_BYTES * LEAST_BYTES;
}
