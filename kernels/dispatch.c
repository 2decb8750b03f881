/* dispatch.c: the table of kernels.
 *
 * A new kernel is one file and one row here. Slowest level first: the best one is the last
 * that the machine supports and that is worth it, and a cap on the index forces a lower
 * level. A level that has nothing of its own for a storage takes the kernel of the level below. */
#include <stdlib.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "cpu.h"
#include "kernels_internal.h"

static const struct level {
    const char *name;
    const attn_kernel *kernels[ATTN_STORAGES];
    unsigned fast_with; /* what else the CPU must have (cpu.h) for the level to be faster than the
                           ones below */
} levels[] = {
    {"generic", {&attn_kernel_generic, &attn_kernel_generic_bf16}, 0}, /* runs everywhere: first */
#if defined(__x86_64__)
    {"avx2", {&attn_kernel_avx2, &attn_kernel_avx2_bf16}, 0},
    {"avx512", {&attn_kernel_avx512, &attn_kernel_avx512_widened}, 0},
    /* Where its products run at less than the rate of fused multiply-adds, widening the elements
     * to fp32 is faster. */
    {"avx512_bf16", {&attn_kernel_avx512, &attn_kernel_avx512_bf16}, ATTN_CPU_FAST_DOT_BF16},
#if defined(ATTN_HAS_AMX) /* CMake says so where the compiler has it */
    {"amx_bf16", {&attn_kernel_avx512, &attn_kernel_amx_bf16}, 0},
#endif
#endif
};

enum { LEVELS = sizeof levels / sizeof *levels };

int32_t attn_kernel_levels(void) {
    return LEVELS;
}

const attn_kernel *attn_kernel_of(int32_t level, attn_storage storage) {
    return levels[level].kernels[storage];
}

const char *attn_kernel_name(int level) {
    return level >= 0 && level < LEVELS ? levels[level].name : NULL;
}

static int32_t level_named(const char *name) {
    int32_t level = LEVELS - 1;

    while (level >= 0 && strcmp(levels[level].name, name) != 0) level--;
    return level;
}

/* Supported, and faster than the levels below. */
static int worth_it(int32_t level, attn_storage storage) {
    const attn_kernel *kernel = levels[level].kernels[storage];
    const unsigned fast_with = levels[level].fast_with;

    if (kernel == levels[level - 1].kernels[storage] || !kernel->supported()) return 0;
    return (attn_cpu_features() & fast_with) == fast_with;
}

int32_t attn_kernel_best(attn_storage storage) {
    const char *cap = getenv(ATTN_KERNEL_VARIABLE);
    int32_t best = LEVELS - 1;

    if (cap != NULL && *cap != '\0') best = level_named(cap);
    while (best > 0 && !worth_it(best, storage)) best--;
    return best;
}

static int64_t rounded_up(int64_t count, int64_t unit) {
    return (count + unit - 1) / unit * unit;
}

int64_t attn_packed_key_elems(const attn_kernel *kernel, int64_t key_count, int32_t key_dim) {
    return rounded_up(key_count, kernel->key_panel) * rounded_up(key_dim, kernel->depth);
}

int64_t attn_packed_value_elems(const attn_kernel *kernel, int64_t key_count, int32_t value_dim) {
    return rounded_up(key_count, kernel->depth) * value_dim;
}
