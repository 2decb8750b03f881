/* simulate_memory.h: addresses for the arrays of all simulated ranks (simulate.h). */
#ifndef ATTN_RUNTIME_SIMULATE_MEMORY_H
#define ATTN_RUNTIME_SIMULATE_MEMORY_H

#include <stddef.h>

/* That many addresses, the same for all who ask; never freed. NULL without address space. */
void *attn_simulate_range(size_t bytes);

#endif
