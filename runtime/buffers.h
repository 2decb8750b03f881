/* buffers.h: a plan's memory: first counted, then checked, then allocated at once.
 *
 * Modules reserve what they need while planning; nothing is allocated until the
 * plan knows that the whole fits. Not collective.
 */
#ifndef ATTN_RUNTIME_BUFFERS_H
#define ATTN_RUNTIME_BUFFERS_H

#include <stdint.h>

#include "status.h"

typedef struct attn_buffer {
    void *where; /* borrowed: the pointer that gets the address */
    int64_t bytes;
    void *memory; /* owned */
} attn_buffer;

typedef struct attn_buffers {
    attn_buffer *entries; /* owned */
    int32_t count, capacity;
    int64_t bytes;     /* of all entries; saturates at INT64_MAX */
    int out_of_memory; /* the list itself could not grow */
} attn_buffers;

/* a × b × c elements, saturating at INT64_MAX; all >= 0. */
int64_t attn_elems(int64_t a, int64_t b, int64_t c);

/* Asks for `elems` elements of `elem_bytes` bytes, 64-byte aligned, whose address the pointer
 * to data at `where` will get. With `where` NULL they are only counted: arrays that the caller
 * brings. */
void attn_buffers_reserve(attn_buffers *buffers, int64_t elems, int64_t elem_bytes, void *where);

/* Allocates all that was reserved, pages included. ATTN_ERR_MEMORY. */
attn_status attn_buffers_allocate(attn_buffers *buffers, attn_error *error);

/* Frees everything; a zeroed list is legal. */
void attn_buffers_free(attn_buffers *buffers);

#endif
