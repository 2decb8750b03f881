/* attention_avx512_bf16.c: attention on bf16 with AVX-512 and its products of bf16 pairs
 * (AVX512_BF16: VDPBF16PS), which sum in fp32.
 *
 * The steps, the cost and the scratch are those of attention_simd.h with words of two
 * elements: a product takes half as many steps, softmax as many as ever. VDPBF16PS takes
 * subnormal numbers for zeros and rounds to nearest even whatever the mode (Intel SDM). */
#include "attnspan/kernels.h"
#include "cpu.h"
#include "kernels_internal.h"
#include "vectors_avx512.h"

#define DEPTH 2

/* sum + the products of both elements of each word. */
static inline vec vec_step(vec left, vec right, vec sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)left, (__m512bh)right);
}

/* The words of two vectors of weights: lanes 2 i and 2 i + 1 of both in a row are word i. */
static inline vec vec_words(const vec *weights) {
    return (vec)_mm512_cvtne2ps_pbh(weights[1], weights[0]);
}

/* A vector of words from element `at` on, of which `count` elements are there. */
static inline vec vec_load_elems(const void *from, ptrdiff_t at, int64_t count) {
    const __mmask32 there = count >= 2 * LANES ? UINT32_MAX : (1u << count) - 1;

    return (vec)_mm512_maskz_loadu_epi16(there, (const uint16_t *)from + at);
}

/* Words without their second, or first, element. The first is the lower half. */
static inline vec vec_first_of_pairs(vec words) {
    return (vec)_mm512_and_epi32((__m512i)words, _mm512_set1_epi32(0xffff));
}

static inline vec vec_second_of_pairs(vec words) {
    return (vec)_mm512_andnot_epi32(_mm512_set1_epi32(0xffff), (__m512i)words);
}

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
