/* attention_avx512_bf16.c: attention on bf16 with AVX-512 and its products of bf16 pairs
 * (AVX512_BF16: VDPBF16PS), which sum in fp32.
 *
 * The steps, the cost and the scratch are those of attention_simd.h with words of two
 * elements: a product takes half as many steps, softmax as many as ever. VDPBF16PS takes
 * subnormal numbers for zeros and rounds to nearest even whatever the mode (Intel SDM). */
#include "attnspan/kernels.h"
#include "blocks_avx512.h"
#include "cpu.h"
#include "kernels_internal.h"
#include "pairs_avx512.h"

#include "attention_simd.h"

static int supported(void) {
    return (attn_cpu_features() & ATTN_CPU_AVX512_BF16) != 0;
}

/* A few rows are bound by memory: they take the kernel that widens. */
static void attend_few(const attn_block_args *args, attn_partial result) {
    attn_kernel_avx512_widened.attend_few(args, result);
}

static size_t larger_scratch_bytes(int32_t key_dim, int32_t value_dim) {
    const size_t few = attn_kernel_avx512_widened.scratch_bytes(key_dim, value_dim);
    const size_t own = scratch_bytes(key_dim, value_dim);

    return few > own ? few : own;
}

const attn_kernel attn_kernel_avx512_bf16 = {
    .name = "avx512_bf16",
    .storage = ATTN_BF16,
    .query_rows = QUERY_ROWS,
    .key_panel = PANEL,
    .depth = DEPTH,
    .supported = supported,
    .scratch_bytes = larger_scratch_bytes,
    .pack_keys = pack_keys_bf16,
    .pack_values = pack_values_bf16,
    .attend = attend,
    .attend_few = attend_few,
    .merge = merge,
    .finish = finish,
    .peak_work = peak_work,
};
