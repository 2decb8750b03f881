/* memory.h: allocation of arrays. Not collective. */
#ifndef ATTN_RUNTIME_MEMORY_H
#define ATTN_RUNTIME_MEMORY_H

#include <stddef.h>

/* Allocates count * size bytes, 64-byte aligned and uninitialised; NULL when
 * the product overflows or memory runs out. A count of 0 gives a valid pointer.
 * Large arrays ask the kernel for huge pages: fewer page faults and TLB misses.
 * Free with free(). */
void *attn_alloc(size_t count, size_t size);

/* Makes the pages of `bytes` at `memory` exist, so that no page fault falls into a
 * timed phase. Contents become undefined. */
void attn_touch(void *memory, size_t bytes);

/* *product := a * b; false when it does not fit. */
int attn_multiply(size_t a, size_t b, size_t *product);

#endif
