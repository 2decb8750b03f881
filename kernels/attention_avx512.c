/* attention_avx512.c: attention with AVX-512 (F, BW, DQ, VL), on fp32 and on bf16 that is
 * widened. The steps, the cost and the scratch are those of attention_simd.h. */
#include "attnspan/kernels.h"
#include "blocks_avx512.h"
#include "cpu.h"
#include "kernels_internal.h"
#include "vectors_avx512.h"

#define DEPTH 1
#include "attention_simd.h"

static int supported(void) {
    return (attn_cpu_features() & ATTN_CPU_AVX512) != 0;
}

const attn_kernel attn_kernel_avx512 = {
    .name = "avx512",
    .storage = ATTN_FP32,
    .query_rows = QUERY_ROWS,
    .key_panel = PANEL,
    .depth = DEPTH,
    .supported = supported,
    .scratch_bytes = scratch_bytes,
    .pack_keys = pack_keys,
    .pack_values = pack_values,
    .attend = attend,
    .attend_few = attend_few,
    .merge = merge,
    .finish = finish,
    .peak_work = peak_work,
};

const attn_kernel attn_kernel_avx512_widened = {
    .name = "avx512",
    .storage = ATTN_BF16,
    .query_rows = QUERY_ROWS,
    .key_panel = PANEL,
    .depth = DEPTH,
    .supported = supported,
    .scratch_bytes = scratch_bytes_widened,
    .pack_keys = pack_keys_bf16,
    .pack_values = pack_values_bf16,
    .attend = attend_widened,
    .attend_few = attend_few_widened,
    .merge = merge,
    .finish = finish,
    .peak_work = peak_work,
};
