/* vectors_avx512.h: vectors of 16 floats for softmax_simd.h and attention_simd.h. */
#ifndef ATTN_KERNELS_VECTORS_AVX512_H
#define ATTN_KERNELS_VECTORS_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#include "exp2.h"

enum {
    LANES = 16,
    PANEL_VECTORS = 2 /* vectors of keys in a panel */
};

typedef __m512 vec;
typedef __mmask16 lane_mask;

static inline vec vec_splat(float x) {
    return _mm512_set1_ps(x);
}

static inline vec vec_load(const float *from) {
    return _mm512_loadu_ps(from);
}

static inline void vec_store(float *to, vec x) {
    _mm512_storeu_ps(to, x);
}

/* Lanes [first, last), cut to those that exist. */
static inline lane_mask mask_lanes(int64_t first, int64_t last) {
    const unsigned below = first <= 0 ? 0 : first >= LANES ? LANES : (unsigned)first;
    const unsigned end = last <= 0 ? 0 : last >= LANES ? LANES : (unsigned)last;

    return (lane_mask)(((1u << end) - 1) & ~((1u << below) - 1));
}

/* The masked lanes of memory, which is not touched elsewhere; zeros in the others. */
static inline vec vec_load_masked(const float *from, lane_mask mask) {
    return _mm512_maskz_loadu_ps(mask, from);
}

static inline void vec_store_masked(float *to, lane_mask mask, vec x) {
    _mm512_mask_storeu_ps(to, mask, x);
}

static inline vec vec_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b) {
    return _mm512_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b) {
    return _mm512_div_ps(a, b);
}

/* a · b + c, rounded once. */
static inline vec vec_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}

/* The larger; b where one is NaN. */
static inline vec vec_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}

static inline vec vec_select(lane_mask mask, vec where_set, vec elsewhere) {
    return _mm512_mask_blend_ps(mask, elsewhere, where_set);
}

static inline lane_mask vec_equal(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

/* a < b; not where one is NaN. */
static inline lane_mask vec_less(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

/* rows[0] becomes the vector whose lane r is the largest lane of rows[r]: four
 * times, two vectors are folded into one. Always inline: the rows are registers. */
static inline __attribute__((always_inline)) void vec_fold_rows(vec rows[LANES]) {
    vec half[4], quarter[4];

    /* 128-bit parts, by pairs: parts 0 and 2, 1 and 3 of rows i, i + 4, i + 8, i + 12. */
    for (int i = 0; i < 4; i++) {
        half[0] = _mm512_max_ps(_mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x44),
                                _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xee));
        half[1] = _mm512_max_ps(_mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x44),
                                _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xee));
        quarter[i] = _mm512_max_ps(_mm512_shuffle_f32x4(half[0], half[1], 0x88),
                                   _mm512_shuffle_f32x4(half[0], half[1], 0xdd));
    }
    /* Within a part: lane i comes to be that of row 4 · part + i. */
    for (int i = 0; i < 2; i++)
        half[i] = _mm512_max_ps(_mm512_unpacklo_ps(quarter[i], quarter[i + 2]),
                                _mm512_unpackhi_ps(quarter[i], quarter[i + 2]));
    rows[0] =
        _mm512_max_ps(_mm512_unpacklo_ps(half[0], half[1]), _mm512_unpackhi_ps(half[0], half[1]));
}

/* The same, of sums instead of maxima. */
static inline __attribute__((always_inline)) void vec_add_rows(vec rows[LANES]) {
    vec half[4], quarter[4];

    for (int i = 0; i < 4; i++) {
        half[0] = _mm512_add_ps(_mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x44),
                                _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xee));
        half[1] = _mm512_add_ps(_mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x44),
                                _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xee));
        quarter[i] = _mm512_add_ps(_mm512_shuffle_f32x4(half[0], half[1], 0x88),
                                   _mm512_shuffle_f32x4(half[0], half[1], 0xdd));
    }
    for (int i = 0; i < 2; i++)
        half[i] = _mm512_add_ps(_mm512_unpacklo_ps(quarter[i], quarter[i + 2]),
                                _mm512_unpackhi_ps(quarter[i], quarter[i + 2]));
    rows[0] =
        _mm512_add_ps(_mm512_unpacklo_ps(half[0], half[1]), _mm512_unpackhi_ps(half[0], half[1]));
}

/* Lane i of rows[j] becomes lane j of rows[i]. */
static inline __attribute__((always_inline)) void vec_transpose(vec rows[LANES]) {
    vec pairs[LANES], quads[LANES], halves[LANES];

    /* Within 128-bit parts: 2 × 2, then 4 × 4 squares. */
    for (int i = 0; i < LANES; i += 2) {
        pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int half = 0; half < 2; half++) {
            const __m512d low = _mm512_castps_pd(pairs[i + half]);
            const __m512d high = _mm512_castps_pd(pairs[i + 2 + half]);

            quads[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            quads[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    /* Part p of quads[4 b + c] holds lane 4 p + c of the rows 4 b … 4 b + 3. */
    for (int c = 0; c < 4; c++)
        for (int pair = 0; pair < 2; pair++) {
            const vec low = quads[8 * pair + c], high = quads[8 * pair + 4 + c];

            halves[4 * pair + c] = _mm512_shuffle_f32x4(low, high, 0x88);
            halves[8 + 4 * pair + c] = _mm512_shuffle_f32x4(low, high, 0xdd);
        }
    for (int c = 0; c < 4; c++) {
        rows[c] = _mm512_shuffle_f32x4(halves[c], halves[4 + c], 0x88);
        rows[8 + c] = _mm512_shuffle_f32x4(halves[c], halves[4 + c], 0xdd);
        rows[4 + c] = _mm512_shuffle_f32x4(halves[8 + c], halves[12 + c], 0x88);
        rows[12 + c] = _mm512_shuffle_f32x4(halves[8 + c], halves[12 + c], 0xdd);
    }
}

/* Halves are added until one lane is left. */
static inline float vec_sum_of_lanes(vec x) {
    return _mm512_reduce_add_ps(x);
}

/* 2^(difference · scale) for differences <= 0, by the table of 32nds; 0 for −inf, NaN for NaN.
 * The scaling of the result saturates by itself: `lowest` is not needed. */
static inline __attribute__((always_inline)) vec weights_of(vec difference, vec scale, vec lowest) {
    enum { DOWN = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC, BITS = ATTN_EXP2_W_BITS << 4 };
    const vec x = vec_mul(difference, scale);
    const vec rest = _mm512_reduce_ps(x, BITS | DOWN);
    const vec floored = _mm512_add_round_ps(x, vec_splat(ATTN_EXP2_W_ROUND), DOWN);
    const vec power =
        _mm512_permutex2var_ps(_mm512_loadu_ps(attn_exp2_wide_table), _mm512_castps_si512(floored),
                               _mm512_loadu_ps(attn_exp2_wide_table + LANES));
    const vec slope = vec_fma(vec_splat(ATTN_EXP2_W_C2), rest, vec_splat(ATTN_EXP2_W_C1));

    (void)lowest;
    return _mm512_scalef_ps(vec_fma(vec_mul(rest, power), slope, power), x);
}

/* `count` bf16 as floats, zeros behind them. */
static inline vec vec_widen(const uint16_t *from, int64_t count) {
    const __m256i halves = _mm256_maskz_loadu_epi16(mask_lanes(0, count), from);

    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

#endif
