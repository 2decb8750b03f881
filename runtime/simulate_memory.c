/* A library of its own, because SimGrid gives each rank its own copy of the program's variables,
 * but not of a shared library's: so all ranks have the same range of addresses. Ranks take turns on
 * one thread and nothing needs a lock. */
#include "simulate_memory.h"

#include <mpi.h>

static char *range;
static size_t range_bytes;

/* SimGrid maps one small file over and over, and copies no messages from there to there. It fills
 * the page tables at once, which takes 1/512 of the bytes: hence one range and not one a rank. */
void *attn_simulate_range(size_t bytes) {
    const size_t least = (size_t)1 << 30, doubled = 2 * range_bytes;

    if (bytes <= range_bytes) return range;
    if (bytes < least) bytes = least;
    if (bytes < doubled) bytes = doubled;
    range = SMPI_SHARED_MALLOC(bytes);
    range_bytes = range == NULL ? 0 : bytes;
    return range;
}
