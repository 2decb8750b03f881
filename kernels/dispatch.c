/* dispatch.c: the table of kernels.
 *
 * A new kernel is one file and one row here. Slowest first: the best kernel is
 * the last that the machine supports, and a cap on the index forces a lower
 * level. */
#include <stdlib.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "kernels_internal.h"

static const attn_kernel *const kernels[] = {
    &attn_kernel_generic, /* runs everywhere: must stay first */
#if defined(__x86_64__)
    &attn_kernel_avx2,
    &attn_kernel_avx512,
#endif
};

enum { KERNEL_COUNT = sizeof kernels / sizeof *kernels };

const attn_kernel *const *attn_kernels(int32_t *count) {
    *count = KERNEL_COUNT;
    return kernels;
}

static int32_t index_of(const char *name) {
    int32_t index = KERNEL_COUNT - 1;

    while (index >= 0 && strcmp(kernels[index]->name, name) != 0) index--;
    return index;
}

int32_t attn_kernel_best(void) {
    const char *cap = getenv(ATTN_KERNEL_VARIABLE);
    int32_t best = KERNEL_COUNT - 1;

    if (cap != NULL && *cap != '\0') best = index_of(cap);
    while (best > 0 && !kernels[best]->supported()) best--;
    return best;
}

const char *attn_kernel_name(int index) {
    return index >= 0 && index < KERNEL_COUNT ? kernels[index]->name : NULL;
}

int64_t attn_packed_key_elems(const attn_kernel *kernel, int64_t key_count, int32_t key_dim) {
    const int64_t panels = (key_count + kernel->key_panel - 1) / kernel->key_panel;

    return panels * kernel->key_panel * key_dim;
}
