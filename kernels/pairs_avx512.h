/* pairs_avx512.h: vectors_avx512.h with words that are pairs of bf16, by AVX512_BF16. */
#ifndef ATTN_KERNELS_PAIRS_AVX512_H
#define ATTN_KERNELS_PAIRS_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

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

#endif
