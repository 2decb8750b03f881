/* attention_avx2.c: attention with AVX2 and FMA.
 *
 * On fp32 and on bf16 that is widened. The steps, the cost and the scratch are those of
 * attention_simd.h; this file gives it vectors of 8 floats and the shapes of its register
 * blocks.
 *
 * Registers: 16. Both blocks are 6 rows × 2 vectors: 12 sums, 2 vectors of keys
 * or columns, 1 element of the left operand in all lanes: 15. A step reads 8
 * vectors for 12 fused multiply-adds. */
#include <immintrin.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "cpu.h"
#include "exp2.h"
#include "kernels_internal.h"

enum {
    LANES = 8,
    PANEL_VECTORS = 2,  /* vectors of keys in a panel */
    GROUP_ROWS = 6,     /* rows that share a block of scores */
    FEW_GROUP_ROWS = 4, /* most of them where keys are not packed: 1, 2 or these */
    QUERY_ROWS = 60,    /* whole groups; the keys of a tile are read once for these */
    COLUMN_VECTORS = 2, /* most vectors of columns of a block of out */
    WIDE_ROWS = 2       /* most rows of a block of more than PANEL_VECTORS vectors */
};

typedef __m256 vec;
typedef __m256i lane_mask; /* all bits of a lane, or none */

static inline vec vec_splat(float x) {
    return _mm256_set1_ps(x);
}

static inline vec vec_load(const float *from) {
    return _mm256_loadu_ps(from);
}

static inline void vec_store(float *to, vec x) {
    _mm256_storeu_ps(to, x);
}

/* Lanes [first, last), cut to those that exist. */
static inline lane_mask mask_lanes(int64_t first, int64_t last) {
    const int below = first <= 0 ? 0 : first >= LANES ? LANES : (int)first;
    const int end = last <= 0 ? 0 : last >= LANES ? LANES : (int)last;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(below), lane),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lane));
}

/* The masked lanes of memory, which is not touched elsewhere; zeros in the others. */
static inline vec vec_load_masked(const float *from, lane_mask mask) {
    return _mm256_maskload_ps(from, mask);
}

static inline void vec_store_masked(float *to, lane_mask mask, vec x) {
    _mm256_maskstore_ps(to, mask, x);
}

static inline vec vec_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b) {
    return _mm256_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b) {
    return _mm256_div_ps(a, b);
}

/* a · b + c, rounded once. */
static inline vec vec_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

/* a · b − c, rounded once. */
static inline vec vec_fms(vec a, vec b, vec c) {
    return _mm256_fmsub_ps(a, b, c);
}

/* The larger; b where one is NaN. */
static inline vec vec_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}

static inline vec vec_select(lane_mask mask, vec where_set, vec elsewhere) {
    return _mm256_blendv_ps(elsewhere, where_set, _mm256_castsi256_ps(mask));
}

static inline lane_mask vec_equal(vec a, vec b) {
    return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_EQ_OQ));
}

/* a < b; not where one is NaN. */
static inline lane_mask vec_less(vec a, vec b) {
    return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

/* rows[0] becomes the vector whose lane r is the largest lane of rows[r]: three
 * times, two vectors are folded into one. Always inline: the rows are registers. */
static inline __attribute__((always_inline)) void vec_fold_rows(vec rows[LANES]) {
    vec half[4];

    /* 128-bit parts: part 0 is that of row i, part 1 that of row i + 4. */
    for (int i = 0; i < 4; i++)
        half[i] = _mm256_max_ps(_mm256_permute2f128_ps(rows[i], rows[i + 4], 0x20),
                                _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x31));
    /* Within a part: lane i comes to be that of row 4 · part + i. */
    for (int i = 0; i < 2; i++)
        half[i] = _mm256_max_ps(_mm256_unpacklo_ps(half[i], half[i + 2]),
                                _mm256_unpackhi_ps(half[i], half[i + 2]));
    rows[0] =
        _mm256_max_ps(_mm256_unpacklo_ps(half[0], half[1]), _mm256_unpackhi_ps(half[0], half[1]));
}

/* The same, of sums instead of maxima. */
static inline __attribute__((always_inline)) void vec_add_rows(vec rows[LANES]) {
    vec half[4];

    for (int i = 0; i < 4; i++)
        half[i] = _mm256_add_ps(_mm256_permute2f128_ps(rows[i], rows[i + 4], 0x20),
                                _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x31));
    for (int i = 0; i < 2; i++)
        half[i] = _mm256_add_ps(_mm256_unpacklo_ps(half[i], half[i + 2]),
                                _mm256_unpackhi_ps(half[i], half[i + 2]));
    rows[0] =
        _mm256_add_ps(_mm256_unpacklo_ps(half[0], half[1]), _mm256_unpackhi_ps(half[0], half[1]));
}

/* Lane i of rows[j] becomes lane j of rows[i]. */
static inline __attribute__((always_inline)) void vec_transpose(vec rows[LANES]) {
    vec pairs[LANES], quads[LANES];

    /* Within 128-bit parts: 2 × 2, then 4 × 4 squares. */
    for (int i = 0; i < LANES; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int half = 0; half < 2; half++) {
            const __m256d low = _mm256_castps_pd(pairs[i + half]);
            const __m256d high = _mm256_castps_pd(pairs[i + 2 + half]);

            quads[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
            quads[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
        }
    for (int c = 0; c < 4; c++) {
        rows[c] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x20);
        rows[4 + c] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x31);
    }
}

/* Halves are added until one lane is left. */
static inline float vec_sum_of_lanes(vec x) {
    const __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));

    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

/* table[low 3 bits of index's bits] as bits + (index's bits << shift). */
static inline vec vec_lookup_and_shift(const uint32_t *table, vec index, const int shift) {
    const __m256i bits = _mm256_castps_si256(index);
    const __m256i entries = _mm256_loadu_si256((const __m256i *)(const void *)table);

    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_permutevar8x32_epi32(entries, bits),
                                                _mm256_slli_epi32(bits, shift)));
}

/* 2^(difference · scale) for differences <= 0, by the table of eighths; 0 for −inf, which
 * `lowest` replaces; NaN for NaN. */
static inline __attribute__((always_inline)) vec weights_of(vec difference, vec scale, vec lowest) {
    const vec round = vec_splat(ATTN_EXP2_T_ROUND);
    const vec raised = vec_max(lowest, difference);
    const vec rounded = vec_fma(raised, scale, round);
    const vec rest = vec_fms(raised, scale, vec_sub(rounded, round));
    const vec power = vec_lookup_and_shift(attn_exp2_table, rounded, ATTN_EXP2_T_SHIFT);
    vec slope = vec_splat(ATTN_EXP2_T_C3);

    slope = vec_fma(slope, rest, vec_splat(ATTN_EXP2_T_C2));
    slope = vec_fma(slope, rest, vec_splat(ATTN_EXP2_T_C1));
    return vec_fma(vec_mul(rest, slope), power, power);
}

/* `count` bf16 as floats, zeros behind them. */
static inline vec vec_widen(const uint16_t *from, int64_t count) {
    uint16_t halves[LANES] = {0};

    if (count < LANES)
        memcpy(halves, from, (size_t)count * sizeof *halves);
    else
        memcpy(halves, from, sizeof halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)halves)), 16));
}

/* Row counts of groups, largest first. */
#define FOR_EACH_GROUP_ROWS(DO) DO(6) DO(4) DO(2) DO(1)

#define DEPTH 1
#include "attention_simd.h"

static int supported(void) {
    return (attn_cpu_features() & ATTN_CPU_AVX2) != 0;
}

const attn_kernel attn_kernel_avx2 = {
    .name = "avx2",
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

const attn_kernel attn_kernel_avx2_bf16 = {
    .name = "avx2",
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
