#define _DEFAULT_SOURCE /* madvise */

#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

int attn_multiply(size_t a, size_t b, size_t *product) {
    if (b != 0 && a > SIZE_MAX / b) return 0;
    *product = a * b;
    return 1;
}

void *attn_alloc(size_t count, size_t size) {
    const size_t line = 64, huge_page = (size_t)1 << 21;
    size_t bytes, alignment;
    void *memory;

    if (!attn_multiply(count, size, &bytes)) return NULL;
    alignment = bytes >= 2 * huge_page ? huge_page : line;
    if (bytes > SIZE_MAX - alignment) return NULL;
    bytes = (bytes / alignment + 1) * alignment; /* aligned_alloc wants whole multiples */
    memory = aligned_alloc(alignment, bytes);
#ifdef MADV_HUGEPAGE
    /* A hint: a kernel that refuses it gives ordinary pages. */
    if (memory != NULL && alignment == huge_page) (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

void attn_touch(void *memory, size_t bytes) {
    const size_t page = 4096; /* the smallest there is: a larger one is touched more than once */
    volatile char *at = memory;

    for (size_t i = 0; i < bytes; i += page) at[i] = 0;
}
