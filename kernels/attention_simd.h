/* attention_simd.h: the attention kernel of the vector levels.
 *
 * A template: a file attention_<name>.c defines vectors of LANES floats (vec,
 * lane_mask and the functions vec_… on them), the shapes of the register
 * blocks and the DEPTH of a step, and includes this, which defines the functions of its table
 * rows.
 *
 * The rows of a call are cut into groups of GROUP_ROWS and, for what is left, of
 * the smaller counts of FOR_EACH_GROUP_ROWS, each compiled for its count: a
 * single row costs a row. The block's keys are walked in tiles from its first
 * key on; for each tile, and each group that sees some of it,
 *   1. scores = query · keys: a block of group rows × panel in registers, summed
 *      over the dimensions; masked keys become −inf; the row maxima are taken
 *      while the block is in registers. Where scores have terms, these are a pass of their own,
 *      which takes the maxima anew;
 *   2. per row: new running maximum, weights = 2^((score − max) c) with
 *      c = scale · log2 e, running sum;
 *   3. out = out · factor + weights · values: a block of rows × columns in
 *      registers, summed over the keys of the tile.
 * Both products are the same micro-kernel. Its left operand is stored in chunks of
 * LANES steps, [chunks][rows][LANES]: a row's steps are one vector, so queries are
 * copied and scores written as they come, and yet row r stands at a constant
 * offset from row 0 at each step: nothing is transposed. Values are read where
 * they stand.
 *
 * DEPTH 1: a word is a float, and a step of a product one fused multiply-add. Queries, keys
 * and values stored as bf16 are widened, queries once a call, keys and values tile by tile:
 * the result is that of fp32 on the same numbers, bit for bit. DEPTH 2: a word is a pair of
 * bf16, and a step takes two dimensions, or two keys, at once; weights are rounded to bf16
 * after they were summed. What is said here of floats in memory holds for words.
 *
 * Fixed bits: an element of the scores is summed over the dimensions in order,
 * one of out over the keys of a tile in order, one of the sums by its key's
 * lane, all with fused operations and whatever the register block. Missing
 * columns and keys are not computed, or on zeros. A masked key adds weight +0:
 * that changes nothing but the sign of a zero, so +0 is added in the end, which
 * leaves no −0. Where a value that weight 0 would multiply is not finite, each
 * row takes its visible keys only.
 *
 * Tiles: TILE_BYTES of keys and values, which a second-level cache holds while
 * the groups of the call go by; the weights of a group lie in the first.
 *
 * Cost: 2 (key_dim + value_dim) flops a pair, fused. A vector of weights takes about 10
 * more operations and one for the maximum, on the same units where vectors are as wide as
 * they: at 64 dimensions 128 fused ones make a vector of pairs, so 0.92 of the peak is
 * what can be reached. A tile costs a group some hundred cycles of latency between its
 * steps, so blocks of less than MAX_TILE_KEYS keys lose a few percent. Widening takes five
 * operations a vector of keys or values and call. Scratch, in floats: QUERY_ROWS key_dim,
 * rounded up to vectors, + GROUP_ROWS MAX_TILE_KEYS, + a tile where it is widened. (Register
 * blocks: Goto & van de Geijn 2008.) */
#ifndef ATTN_KERNELS_ATTENTION_SIMD_H
#define ATTN_KERNELS_ATTENTION_SIMD_H

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "exp2.h"
#include "pack.h"
#include "tanh.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE  static __attribute__((noinline))

/* Loops over a register block must vanish, or it would live in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
    PANEL = PANEL_VECTORS * LANES, /* keys */
    MAX_TILE_KEYS = 256,           /* a multiple of every panel, as is MIN_TILE_KEYS */
    MIN_TILE_KEYS = 64,
    TILE_BYTES = 256 * 1024,
    LINE_ELEMS = 16,                          /* floats of a cache line */
    PREFETCH_STEPS = 16,                      /* of the micro-kernel: some hundred cycles */
    MAX_VECTORS = 4,                          /* of a register block */
    MAX_GROUPS = QUERY_ROWS / GROUP_ROWS + 4, /* whole ones, and one of each smaller count */
    WORD_BYTES = 4
};
_Static_assert(DEPTH == 1 || PANEL == 2 * LANES, "a panel of weights makes one vector of pairs");

/* Where a group sees a tile: all keys of [first, last) are seen by some row, or
 * lie between such; those of [all_first, all_last) by every row. */
typedef struct tile_view {
    attn_interval row[GROUP_ROWS]; /* keys of the tile, from the first seen to the last */
    attn_interval gap[GROUP_ROWS]; /* keys between that are not seen; only if has_gaps */
    int64_t first, last;
    int64_t all_first, all_last;
    int has_gaps;
} tile_view;

typedef struct key_tile {
    const float *keys;   /* panels; NULL: not widened yet */
    const float *values; /* [steps][value_dim] */
    int64_t first;       /* in the block */
    int64_t count;
    int finite; /* all its values are: 1, 0, or −1 when nobody has asked yet */
} key_tile;

/* The running softmax of a group. */
typedef struct row_group {
    vec sum[GROUP_ROWS]; /* by the key's lane */
    vec max;             /* by row */
    int32_t first, rows;
    int started;  /* out has been written */
    float *query; /* [chunks][rows][LANES] */
} row_group;

/* One call of attend(). */
typedef struct call {
    const attn_block_args *args;
    attn_partial result;
    float *weights;         /* [vectors of a tile][rows of the group][LANES]; first the scores */
    float *query;           /* the groups' */
    float *widened;         /* a tile's keys and values */
    ptrdiff_t value_stride; /* words from one step of the values to the next */
    float exponent_scale;
    float lowest; /* difference of scores that 2^x raises to its floor */
} call;

static int64_t min_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t max_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t vectors_of(int64_t elems) {
    return (elems + LANES - 1) / LANES;
}

/* Words, or steps of a product, that so many elements make. */
static int64_t words_of(int64_t elems) {
    return (elems + DEPTH - 1) / DEPTH;
}

/* By the dimensions alone: the bits depend on it. */
static int64_t tile_keys(int32_t key_dim, int32_t value_dim) {
    const int64_t key_bytes = (words_of(key_dim) + words_of(value_dim)) * WORD_BYTES;
    int64_t keys = MAX_TILE_KEYS;

    while (keys > MIN_TILE_KEYS && keys * key_bytes > TILE_BYTES) keys /= 2;
    return keys;
}

/* Floats of the parts of the scratch: weights, queries, a widened tile. */
enum { WEIGHT_ELEMS = GROUP_ROWS * MAX_TILE_KEYS };

static int64_t query_elems(int32_t key_dim) {
    return QUERY_ROWS * vectors_of(words_of(key_dim)) * LANES;
}

static size_t scratch_bytes(int32_t key_dim, int32_t value_dim) {
    (void)value_dim;
    return (size_t)(WEIGHT_ELEMS + query_elems(key_dim)) * sizeof(float);
}

/* ---- the exponential ------------------------------------------------------ */

/* The difference below which every weight is 0. A scale so small that no finite
 * difference is: see any_weights_of. */
static float lowest_difference(float exponent_scale) {
    return exponent_scale < 0x1p-120f ? -FLT_MAX : ATTN_EXP2_FLOOR / exponent_scale;
}

/* The level's weights_of(), where it raises differences to `lowest` but that may not reach
 * the floor: −inf, which was raised to it, is cleared. */
ALWAYS_INLINE vec any_weights_of(vec difference, vec scale, vec lowest) {
    const vec weights = weights_of(difference, scale, lowest);

    return vec_select(vec_less(difference, vec_splat(-FLT_MAX)), vec_splat(0), weights);
}

/* ---- words ---------------------------------------------------------------- */

#if DEPTH == 1

ALWAYS_INLINE vec vec_step(vec left, vec right, vec sum) {
    return vec_fma(left, right, sum);
}

/* The words of DEPTH vectors of weights. */
ALWAYS_INLINE vec vec_words(const vec *weights) {
    return weights[0];
}

/* A vector of words from element `at` on, of which `count` elements are there. */
ALWAYS_INLINE vec vec_load_elems(const void *from, ptrdiff_t at, int64_t count) {
    return vec_load_masked((const float *)from + at, mask_lanes(0, count));
}

#endif

/* ---- the micro-kernel ----------------------------------------------------- */

/* The right operand: `vectors` vectors a step, the first two side by side, the
 * others side by side `apart` elements from those, the last one masked. */
typedef struct right_operand {
    const float *at; /* the first step */
    ptrdiff_t step;  /* elements from one step to the next */
    ptrdiff_t apart;
    lane_mask tail;
} right_operand;

/* sum[r][·] += left[r] · right[·] for one step. The right operand comes from
 * afar, each line once: it is asked for PREFETCH_STEPS ahead, which may lie
 * beyond its end, where asking does nothing. */
ALWAYS_INLINE void multiply_step(const int rows, const int vectors, const int masked,
                                 vec sum[][MAX_VECTORS], const float *left, const float *at,
                                 const right_operand *right) {
    const ptrdiff_t ahead = right->step * PREFETCH_STEPS;
    vec column[MAX_VECTORS];

    UNROLL for (int v = 0; v < vectors; v++) {
        const float *from = at + (v / 2) * right->apart + (v % 2) * LANES;

        if (v % 2 * LANES % LINE_ELEMS == 0) __builtin_prefetch(from + ahead);
        column[v] =
            masked && v == vectors - 1 ? vec_load_masked(from, right->tail) : vec_load(from);
    }
    UNROLL for (int r = 0; r < rows; r++) {
        const vec element = vec_splat(left[r * LANES]);

        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
            vec_step(element, column[v], sum[r][v]);
    }
}

/* sum, or with `more` the sum so far, += Σ_t left[t] ⊗ right[t] for the steps [first, last) of
 * left; right starts at step `first`. Chunks of left lie left_chunk elements apart. */
ALWAYS_INLINE void multiply(const int rows, const int vectors, const int masked, const int more,
                            vec sum[][MAX_VECTORS], const float *left, const ptrdiff_t left_chunk,
                            int64_t first, int64_t last, right_operand right) {
    const float *at = right.at;

    if (!more) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = vec_splat(0);
        }
    }
    left += first / LANES * left_chunk;
    while (first < last) {
        const int64_t lane = first % LANES;
        const int64_t count = min_of(LANES - lane, last - first);
        const float *element = left + lane;

        for (int64_t t = 0; t < count; t++, element++, at += right.step)
            multiply_step(rows, vectors, masked, sum, element, at, &right);
        left += left_chunk;
        first += count;
    }
}

/* ---- step 1: scores ------------------------------------------------------- */

/* Lane r of the result: the largest lane of rows[r]. */
ALWAYS_INLINE vec largest_of_rows(const int rows, const vec *from) {
    vec folded[LANES];

    UNROLL for (int r = 0; r < LANES; r++) folded[r] = from[r < rows ? r : rows - 1];
    vec_fold_rows(folded);
    return folded[0];
}

/* The scores of one or two panels; `largest` is brought up to date, by row and lane. */
ALWAYS_INLINE void score_panels(const int rows, const int panels, const call *self,
                                const row_group *group, const key_tile *tile, const tile_view *view,
                                int64_t panel, vec *largest) {
    const int64_t words = words_of(self->args->key_dim);
    const int64_t key = panel * PANEL;
    const int vectors = panels * PANEL_VECTORS;
    const right_operand right = {
        .at = tile->keys + key * words, .step = PANEL, .apart = PANEL * words};
    const int masked = key < view->all_first || key + panels * PANEL > view->all_last;
    float *scores = self->weights + panel * PANEL * rows;
    vec sum[GROUP_ROWS][MAX_VECTORS];

    multiply(rows, vectors, 0, 0, sum, group->query, (ptrdiff_t)rows * LANES, 0, words, right);
    if (masked) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vectors; v++) {
                const int64_t lane = key + v * LANES;

                sum[r][v] =
                    vec_select(mask_lanes(view->row[r].first - lane, view->row[r].last - lane),
                               sum[r][v], vec_splat(-INFINITY));
            }
        }
    }
    if (masked && view->has_gaps) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vectors; v++) {
                const int64_t lane = key + v * LANES;

                sum[r][v] =
                    vec_select(mask_lanes(view->gap[r].first - lane, view->gap[r].last - lane),
                               vec_splat(-INFINITY), sum[r][v]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        vec row_largest = sum[r][0];

        vec_store(scores + r * LANES, sum[r][0]);
        UNROLL for (int v = 1; v < vectors; v++) {
            row_largest = vec_max(sum[r][v], row_largest);
            vec_store(scores + (v * rows + r) * LANES, sum[r][v]);
        }
        largest[r] = vec_max(row_largest, largest[r]);
    }
}

/* The scores of the tile; returns their maxima by row. */
ALWAYS_INLINE vec compute_scores(const int rows, const call *self, const row_group *group,
                                 const key_tile *tile, const tile_view *view) {
    const int panels = rows <= WIDE_ROWS ? 2 : 1;
    const int64_t last = (view->last + PANEL - 1) / PANEL;
    int64_t panel = view->first / PANEL;
    vec largest[GROUP_ROWS];

    for (int r = 0; r < rows; r++) largest[r] = vec_splat(-INFINITY);
    for (; panel + panels <= last; panel += panels)
        score_panels(rows, panels, self, group, tile, view, panel, largest);
    if (panels == 2 && panel < last) score_panels(rows, 1, self, group, tile, view, panel, largest);
    return largest_of_rows(rows, largest);
}

/* ---- the terms of scores --------------------------------------------------- */

/* vec_max() and vec_less() let NaN through where it stands second. */
ALWAYS_INLINE vec vec_tanh(vec x) {
    const vec most = vec_splat(ATTN_TANH_MOST);
    const vec least = vec_max(vec_splat(-ATTN_TANH_MOST), x);
    const vec argument = vec_select(vec_less(most, least), most, least);
    const vec z = vec_mul(argument, argument);
    vec p = vec_splat(ATTN_TANH_P4), q = vec_splat(ATTN_TANH_Q4);

    p = vec_fma(p, z, vec_splat(ATTN_TANH_P3));
    q = vec_fma(q, z, vec_splat(ATTN_TANH_Q3));
    p = vec_fma(p, z, vec_splat(ATTN_TANH_P2));
    q = vec_fma(q, z, vec_splat(ATTN_TANH_Q2));
    p = vec_fma(p, z, vec_splat(ATTN_TANH_P1));
    q = vec_fma(q, z, vec_splat(ATTN_TANH_Q1));
    p = vec_fma(p, z, vec_splat(1));
    q = vec_fma(q, z, vec_splat(1));
    return vec_div(vec_mul(argument, p), q);
}

/* What a row's terms are made of. */
typedef struct row_terms {
    vec scale, softcap, inverse; /* inverse: scale / softcap */
    float slope;
    int64_t position;  /* from the tile's first key */
    const float *bias; /* from the tile's first key on */
} row_terms;

static row_terms terms_of(const call *self, int32_t row, const key_tile *tile) {
    const attn_score_terms *terms = self->args->terms;
    row_terms of = {.scale = vec_splat(self->args->scale)};

    if (terms->softcap > 0) {
        of.softcap = vec_splat(terms->softcap);
        of.inverse = vec_splat(self->args->scale / terms->softcap);
    }
    if (terms->slope != NULL) {
        of.slope = terms->slope[row];
        of.position = terms->position[row] - tile->first;
    }
    if (terms->bias != NULL) of.bias = terms->bias[row] + tile->first;
    return of;
}

/* −|j − a| for the LANES keys from `key` of the tile on: exact below 2^24. */
ALWAYS_INLINE vec vec_nearness(int64_t key, int64_t position) {
    static const float lanes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vec ahead = vec_add(vec_load(lanes), vec_splat((float)(key - position)));

    return vec_sub(vec_splat(0), vec_max(ahead, vec_sub(vec_splat(0), ahead)));
}

/* One row's scores of the tile, with what it does not see at −inf; their maxima by lane. */
ALWAYS_INLINE vec add_row_terms(const int softcapped, const call *self, const row_terms *terms,
                                const tile_view *view, int r, int64_t count, ptrdiff_t step) {
    const int64_t first = view->first / PANEL * PANEL;
    const int64_t last = (view->last + PANEL - 1) / PANEL * PANEL;
    float *at = self->weights + first / LANES * step + r * LANES;
    vec largest = vec_splat(-INFINITY);

    for (int64_t key = first; key < last; key += LANES, at += step) {
        vec score = vec_load(at);

        if (softcapped)
            score = vec_mul(terms->softcap, vec_tanh(vec_mul(score, terms->inverse)));
        else
            score = vec_mul(score, terms->scale);
        if (terms->slope != 0)
            score = vec_fma(vec_splat(terms->slope), vec_nearness(key, terms->position), score);
        if (terms->bias != NULL)
            score = vec_add(score, vec_load_masked(terms->bias + key, mask_lanes(0, count - key)));
        score = vec_select(mask_lanes(view->row[r].first - key, view->row[r].last - key), score,
                           vec_splat(-INFINITY));
        if (view->has_gaps)
            score = vec_select(mask_lanes(view->gap[r].first - key, view->gap[r].last - key),
                               vec_splat(-INFINITY), score);
        vec_store(at, score);
        largest = vec_max(score, largest);
    }
    return largest;
}

/* Brings the group's scores of the tile from s to t (kernels.h); their maxima by row. */
NEVER_INLINE vec add_terms(const call *self, const row_group *group, const key_tile *tile,
                           const tile_view *view) {
    const ptrdiff_t step = (ptrdiff_t)group->rows * LANES;
    vec largest[LANES];

    for (int r = 0; r < LANES; r++) largest[r] = vec_splat(-INFINITY);
    for (int r = 0; r < group->rows; r++) {
        const row_terms terms = terms_of(self, group->first + r, tile);

        largest[r] = self->args->terms->softcap > 0
                         ? add_row_terms(1, self, &terms, view, r, tile->count, step)
                         : add_row_terms(0, self, &terms, view, r, tile->count, step);
    }
    vec_fold_rows(largest);
    return largest[0];
}

/* The factor of scores in their exponentials; with terms they are scaled already. */
static float exponent_scale_of(const attn_block_args *args) {
    return args->terms != NULL ? ATTN_LOG2_E : args->scale * ATTN_LOG2_E;
}

/* ---- step 2: weights ------------------------------------------------------ */

/* Brings the group's maxima up to those of the tile. By row: `reference` is what
 * to subtract from scores, `factor` rescales what was summed before. */
NEVER_INLINE void raise_maxima(const call *self, row_group *group, vec tile_max, float *reference,
                               float *factor) {
    /* The order in which the maximum is taken depends on the group: no −0. */
    const vec max = vec_add(vec_max(tile_max, group->max), vec_splat(0));
    /* A row that has seen no key yet: −inf − (−inf) would be NaN. */
    const vec subtracted = vec_select(vec_equal(max, vec_splat(-INFINITY)), vec_splat(0), max);

    vec_store(reference, subtracted);
    vec_store(factor, any_weights_of(vec_sub(group->max, subtracted),
                                     vec_splat(self->exponent_scale), vec_splat(self->lowest)));
    group->max = max;
}

/* Scores become weights, those become words, and the sums of rows grow by them. Words take no
 * more room than the scores before them. The factor comes in last: it is late. */
ALWAYS_INLINE void weigh_rows(const int any_scale, const call *self, row_group *group,
                              const tile_view *view, const float *reference, const float *factor) {
    const vec scale = vec_splat(self->exponent_scale), lowest = vec_splat(self->lowest);
    const ptrdiff_t step = (ptrdiff_t)group->rows * LANES;
    const int64_t first = view->first / PANEL, last = (view->last + PANEL - 1) / PANEL;

    for (int r = 0; r < group->rows; r++) {
        const vec subtracted = vec_splat(reference[r]);
        vec sum = vec_splat(0);
        float *at = self->weights + first * PANEL_VECTORS * step + r * LANES;
        float *words = self->weights + first * (PANEL_VECTORS / DEPTH) * step + r * LANES;

        for (int64_t panel = first; panel < last; panel++) {
            vec weights[PANEL_VECTORS];

            UNROLL for (int v = 0; v < PANEL_VECTORS; v++, at += step) {
                const vec difference = vec_sub(vec_load(at), subtracted);

                weights[v] = any_scale ? any_weights_of(difference, scale, lowest)
                                       : weights_of(difference, scale, lowest);
                sum = vec_add(sum, weights[v]);
            }
            UNROLL for (int v = 0; v < PANEL_VECTORS / DEPTH; v++, words += step)
                vec_store(words, vec_words(weights + v * DEPTH));
        }
        group->sum[r] = vec_fma(group->sum[r], vec_splat(factor[r]), sum);
    }
}

NEVER_INLINE void compute_weights(const call *self, row_group *group, const tile_view *view,
                                  const float *reference, const float *factor) {
    if (self->lowest > -FLT_MAX)
        weigh_rows(0, self, group, view, reference, factor);
    else
        weigh_rows(1, self, group, view, reference, factor);
}

/* ---- step 3: out ---------------------------------------------------------- */

/* Where a block of weights · values stands. */
typedef struct out_block {
    const float *weights; /* of the block's first row */
    ptrdiff_t chunk;      /* elements from one vector of keys to the next */
    const float *factor;
    int64_t first, last; /* steps of the tile */
    attn_interval also;  /* of a single row, in DEPTH 1: and these */
    int32_t row, column; /* of the call's out */
    lane_mask tail;      /* of the last vector of columns */
} out_block;

ALWAYS_INLINE void add_block(const int rows, const int vectors, const int masked, const call *self,
                             const key_tile *tile, const int started, const out_block *block) {
    const int32_t value_dim = self->args->value_dim;
    right_operand right = {.at = tile->values + block->first * self->value_stride + block->column,
                           .step = self->value_stride,
                           .apart = 2 * LANES,
                           .tail = block->tail};
    float *out = self->result.out + (ptrdiff_t)block->row * value_dim + block->column;
    vec sum[GROUP_ROWS][MAX_VECTORS];

    multiply(rows, vectors, masked, 0, sum, block->weights, block->chunk, block->first, block->last,
             right);
    if (DEPTH == 1 && rows == 1 && block->also.first < block->also.last) {
        right.at += (block->also.first - block->first) * self->value_stride;
        multiply(rows, vectors, masked, 1, sum, block->weights, block->chunk, block->also.first,
                 block->also.last, right);
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            float *to = out + (ptrdiff_t)r * value_dim + v * LANES;
            const int part = masked && v == vectors - 1;

            if (started) {
                const vec before = part ? vec_load_masked(to, block->tail) : vec_load(to);

                sum[r][v] = vec_fma(before, vec_splat(block->factor[r]), sum[r][v]);
            }
            sum[r][v] = vec_add(sum[r][v], vec_splat(0)); /* no −0 */
            if (part)
                vec_store_masked(to, block->tail, sum[r][v]);
            else
                vec_store(to, sum[r][v]);
        }
    }
}

/* out = out · factor + weights · values for `rows` rows from block.row on. */
ALWAYS_INLINE void add_values(const int rows, const call *self, const key_tile *tile,
                              const int started, out_block block) {
    const int most = rows <= WIDE_ROWS ? MAX_VECTORS : COLUMN_VECTORS;
    int32_t left = self->args->value_dim;

    for (block.column = 0; left > 0;) {
        const int64_t all = vectors_of(left);
        /* Rather 3 and 2 than 4 and 1: a block one vector wide waits for its loads. */
        const int64_t vectors = all == most + 1 && most > 2 ? most - 1 : min_of(all, most);
        const int masked = vectors * LANES > left;

        block.tail = mask_lanes(0, left - (vectors - 1) * LANES);
        if (most == 4 && vectors == 4) {
            if (masked)
                add_block(rows, 4, 1, self, tile, started, &block);
            else
                add_block(rows, 4, 0, self, tile, started, &block);
        } else if (most == 4 && vectors == 3) {
            if (masked)
                add_block(rows, 3, 1, self, tile, started, &block);
            else
                add_block(rows, 3, 0, self, tile, started, &block);
        } else if (vectors == 2) {
            if (masked)
                add_block(rows, 2, 1, self, tile, started, &block);
            else
                add_block(rows, 2, 0, self, tile, started, &block);
        } else {
            add_block(rows, 1, 1, self, tile, started, &block);
        }
        block.column += (int32_t)vectors * LANES;
        left -= (int32_t)vectors * LANES;
    }
}

#if DEPTH == 1
/* The same over each row's visible keys only, for values that weight 0 does not
 * cancel. */
static void add_visible_values(const call *self, const row_group *group, const key_tile *tile,
                               const tile_view *view, out_block block) {
    for (int r = 0; r < group->rows; r++) {
        block.first = view->row[r].first;
        block.last = view->row[r].last;
        block.also = (attn_interval){0, 0};
        if (view->has_gaps && view->gap[r].last > 0) {
            block.last = view->gap[r].first;
            block.also = (attn_interval){view->gap[r].last, view->row[r].last};
        }
        add_values(1, self, tile, group->started, block);
        block.weights += LANES;
        block.factor++;
        block.row++;
    }
}
#else
static int sees(const tile_view *view, int r, int64_t key) {
    if (key < view->row[r].first || key >= view->row[r].last) return 0;
    return !view->has_gaps || key < view->gap[r].first || key >= view->gap[r].last;
}

/* The values of step `t`, without those of keys that the row does not see. */
static vec visible_of_step(vec words, const tile_view *view, int r, int64_t t) {
    if (!sees(view, r, 2 * t)) words = vec_second_of_pairs(words);
    if (!sees(view, r, 2 * t + 1)) words = vec_first_of_pairs(words);
    return words;
}

/* The same over each row's visible keys only, for values that weight 0 does not
 * cancel: step by step, a vector of columns at a time. */
static void add_visible_values(const call *self, const row_group *group, const key_tile *tile,
                               const tile_view *view, out_block block) {
    const int32_t value_dim = self->args->value_dim;

    for (int r = 0; r < group->rows; r++) {
        const attn_interval row = view->row[r];
        float *out = self->result.out + (ptrdiff_t)(block.row + r) * value_dim;

        for (int32_t c = 0; c < value_dim; c += LANES) {
            const lane_mask lanes = mask_lanes(0, value_dim - c);
            vec sum = vec_splat(0);

            for (int64_t t = row.first / 2; 2 * t < row.last; t++) {
                const vec words = vec_load_masked(tile->values + t * self->value_stride + c, lanes);
                const float *weight =
                    block.weights + t / LANES * block.chunk + r * LANES + t % LANES;

                sum = vec_step(vec_splat(*weight), visible_of_step(words, view, r, t), sum);
            }
            if (group->started)
                sum = vec_fma(vec_load_masked(out + c, lanes), vec_splat(block.factor[r]), sum);
            vec_store_masked(out + c, lanes, vec_add(sum, vec_splat(0)));
        }
    }
}
#endif

/* Whether 0 times any of the tile's values is 0. */
static int values_are_finite(const call *self, key_tile *tile) {
    const int32_t value_dim = self->args->value_dim;
    vec probe = vec_splat(0);

    if (tile->finite >= 0) return tile->finite;
    for (int64_t t = 0; t < words_of(tile->count); t++)
        for (int32_t c = 0; c < value_dim; c += LANES)
            probe = vec_step(vec_splat(0),
                             vec_load_masked(tile->values + t * self->value_stride + c,
                                             mask_lanes(0, value_dim - c)),
                             probe);
    tile->finite = vec_sum_of_lanes(probe) == 0;
    return tile->finite;
}

/* ---- groups and tiles ----------------------------------------------------- */

/* Steps 1 to 3 of a group of `rows` rows. */
ALWAYS_INLINE void attend_group(const int rows, const call *self, row_group *group, key_tile *tile,
                                const tile_view *view) {
    const int masked = view->all_first > view->first || view->all_last < view->last;
    float reference[LANES], factor[LANES];
    vec tile_max;
    const out_block block = {.weights = self->weights,
                             .chunk = (ptrdiff_t)rows * LANES,
                             .factor = factor,
                             .first = view->first / DEPTH,
                             .last = words_of(view->last),
                             .row = group->first};

    tile_max = compute_scores(rows, self, group, tile, view);
    if (self->args->terms != NULL) tile_max = add_terms(self, group, tile, view);
    raise_maxima(self, group, tile_max, reference, factor);
    compute_weights(self, group, view, reference, factor);
    if (masked && !values_are_finite(self, tile))
        add_visible_values(self, group, tile, view, block);
    else
        add_values(rows, self, tile, group->started, block);
    group->started = 1;
}

#define DEFINE_GROUP(rows)                                                              \
    static void attend_group_##rows(const call *self, row_group *group, key_tile *tile, \
                                    const tile_view *view) {                            \
        attend_group(rows, self, group, tile, view);                                    \
    }
FOR_EACH_GROUP_ROWS(DEFINE_GROUP)
#undef DEFINE_GROUP

static const struct group_shape {
    int32_t rows;
    void (*attend)(const call *self, row_group *group, key_tile *tile, const tile_view *view);
} group_shapes[] = {
#define SHAPE(rows) {rows, attend_group_##rows},
    FOR_EACH_GROUP_ROWS(SHAPE)
#undef SHAPE
};

static const struct group_shape *largest_shape(int32_t rows) {
    const struct group_shape *shape = group_shapes;

    while (shape->rows > rows) shape++;
    return shape;
}

/* The part of an interval of the block in the tile. */
static attn_interval clip(attn_interval seen, const key_tile *tile) {
    seen.first = max_of(seen.first - tile->first, 0);
    seen.last = min_of(seen.last - tile->first, tile->count);
    return seen.first < seen.last ? seen : (attn_interval){0, 0};
}

static tile_view view_of(const attn_block_args *args, const row_group *group,
                         const key_tile *tile) {
    const int32_t first = group->first;
    tile_view view;

    view.has_gaps = args->also_visible != NULL;
    if (args->visible == NULL && !view.has_gaps) {
        view.first = view.all_first = 0;
        view.last = view.all_last = tile->count;
        for (int r = 0; r < group->rows; r++) view.row[r] = (attn_interval){0, tile->count};
        return view;
    }
    view.first = view.all_last = tile->count;
    view.last = view.all_first = 0;
    for (int r = 0; r < group->rows; r++) {
        attn_interval seen = {0, tile->count};

        if (args->visible != NULL) seen = clip(args->visible[first + r], tile);
        if (view.has_gaps) {
            const attn_interval also = clip(args->also_visible[first + r], tile);

            view.gap[r] = (attn_interval){0, 0};
            if (seen.last > 0 && also.last > 0) {
                view.gap[r] = (attn_interval){seen.last, also.first};
                view.all_last = min_of(view.all_last, seen.last);
            }
            if (also.last > 0)
                seen = (attn_interval){seen.last > 0 ? seen.first : also.first, also.last};
        }
        if (seen.last > 0) {
            view.first = min_of(view.first, seen.first);
            view.last = max_of(view.last, seen.last);
        }
        view.all_first = max_of(view.all_first, seen.first);
        view.all_last = min_of(view.all_last, seen.last);
        view.row[r] = seen;
    }
    return view;
}

/* Rows [first, first + rows) of the query, each a vector of words of each chunk. */
ALWAYS_INLINE void copy_queries(const int widen, const attn_block_args *args, int32_t first,
                                int32_t rows, float *to) {
    for (int32_t i = 0; i < args->key_dim; i += LANES * DEPTH)
        for (int32_t r = first; r < first + rows; r++, to += LANES) {
            const ptrdiff_t at = r * args->query_stride + i;

            vec_store(to, widen ? vec_widen((const uint16_t *)args->query + at, args->key_dim - i)
                                : vec_load_elems(args->query, at, args->key_dim - i));
        }
}

/* A group of rows that have seen nothing yet, with their queries at `query`. */
ALWAYS_INLINE void start_group(const int widen, const call *self, int32_t first, int32_t rows,
                               float *query, row_group *group) {
    group->first = first;
    group->rows = rows;
    group->started = 0;
    group->query = query;
    group->max = vec_splat(-INFINITY);
    for (int r = 0; r < rows; r++) group->sum[r] = vec_splat(0);
    copy_queries(widen, self->args, first, rows, query);
}

/* Cuts the call's rows into groups that have seen nothing yet; their number. */
ALWAYS_INLINE int start_groups(const int widen, const call *self, row_group *groups) {
    const attn_block_args *args = self->args;
    const ptrdiff_t row_elems = vectors_of(words_of(args->key_dim)) * LANES;
    int count = 0;

    for (int32_t row = 0; row < args->rows; row += groups[count++].rows) {
        const int32_t rows = largest_shape(args->rows - row)->rows;

        start_group(widen, self, row, rows, self->query + row * row_elems, &groups[count]);
    }
    return count;
}

static void write_maxima_and_sums(const call *self, const row_group *group) {
    const size_t value_dim = (size_t)self->args->value_dim;

    vec_store_masked(self->result.max + group->first, mask_lanes(0, group->rows), group->max);
    for (int r = 0; r < group->rows; r++)
        self->result.sum[group->first + r] = vec_sum_of_lanes(group->sum[r]);
    if (!group->started)
        memset(self->result.out + (size_t)group->first * value_dim, 0,
               (size_t)group->rows * value_dim * sizeof(float));
}

/* Floats of `count` bf16. */
static void widen(const uint16_t *from, int64_t count, float *to) {
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) vec_store(to + i, vec_widen(from + i, LANES));
    if (i < count)
        vec_store_masked(to + i, mask_lanes(0, count - i), vec_widen(from + i, count - i));
}

/* Widened keys, whole panels of them, and behind them the values. */
static void widen_tile(const call *self, key_tile *tile) {
    const attn_block_args *args = self->args;
    const int64_t panels = (tile->count + PANEL - 1) / PANEL;
    const int64_t key_elems = panels * PANEL * args->key_dim;

    widen((const uint16_t *)args->keys + tile->first * args->key_dim, key_elems, self->widened);
    widen((const uint16_t *)args->values + tile->first * args->value_dim,
          tile->count * args->value_dim, self->widened + key_elems);
    tile->keys = self->widened;
    tile->values = self->widened + key_elems;
}

#if DEPTH == 1
static size_t scratch_bytes_widened(int32_t key_dim, int32_t value_dim) {
    return scratch_bytes(key_dim, value_dim) + (size_t)tile_keys(key_dim, value_dim) *
                                                   ((size_t)key_dim + (size_t)value_dim) *
                                                   sizeof(float);
}
#endif

ALWAYS_INLINE void attend_tiles(const int widen, const attn_block_args *args, attn_partial result) {
    const float exponent_scale = exponent_scale_of(args);
    const int64_t most_keys = tile_keys(args->key_dim, args->value_dim);
    float *query = (float *)args->scratch + WEIGHT_ELEMS;
    const call self = {.args = args,
                       .result = result,
                       .weights = args->scratch,
                       .query = query,
                       .widened = query + query_elems(args->key_dim),
                       .value_stride = args->value_dim,
                       .exponent_scale = exponent_scale,
                       .lowest = lowest_difference(exponent_scale)};
    row_group groups[MAX_GROUPS];
    int count;

    assert(args->rows >= 1 && args->rows <= QUERY_ROWS && args->key_count >= 1);
    assert(args->key_dim >= 1 && args->value_dim >= 1 && args->query_stride >= args->key_dim);
    assert((uintptr_t)args->scratch % 64 == 0);
    count = start_groups(widen, &self, groups);
    for (int64_t first = 0; first < args->key_count; first += most_keys) {
        key_tile tile = {
            .first = first, .count = min_of(args->key_count - first, most_keys), .finite = -1};

        if (!widen) {
            tile.keys = (const float *)args->keys + first * words_of(args->key_dim);
            tile.values = (const float *)args->values + first / DEPTH * args->value_dim;
        }
        for (int g = 0; g < count; g++) {
            const tile_view view = view_of(args, &groups[g], &tile);

            if (view.first >= view.last) continue;
            if (widen && tile.keys == NULL) widen_tile(&self, &tile);
            largest_shape(groups[g].rows)->attend(&self, &groups[g], &tile, &view);
        }
    }
    for (int g = 0; g < count; g++) write_maxima_and_sums(&self, &groups[g]);
}

static void attend(const attn_block_args *args, attn_partial result) {
    attend_tiles(0, args, result);
}

#if DEPTH == 1
#include "attention_few.h"
#endif

/* ---- packing -------------------------------------------------------------- */

/* Keys in panels: squares of LANES keys × LANES words are turned over in registers. */
static void pack_words(const void *keys, ptrdiff_t stride, int64_t count, int32_t dim,
                       float *panels) {
    const int64_t words = words_of(dim);

    for (int64_t key = 0; key < (count + PANEL - 1) / PANEL * PANEL; key += LANES)
        for (int64_t word = 0; word < words; word += LANES) {
            float *to = panels + key / PANEL * PANEL * words + word * PANEL + key % PANEL;
            vec square[LANES];

            UNROLL for (int j = 0; j < LANES; j++) square[j] =
                key + j < count
                    ? vec_load_elems(keys, (key + j) * stride + word * DEPTH, dim - word * DEPTH)
                    : vec_splat(0);
            vec_transpose(square);
            for (int i = 0; i < LANES && word + i < words; i++)
                vec_store(to + (ptrdiff_t)i * PANEL, square[i]);
        }
}

#if DEPTH == 1

static void pack_keys(const void *keys, ptrdiff_t stride, int64_t count, int32_t dim, void *to) {
    pack_words(keys, stride, count, dim, to);
}

static void pack_values(const void *values, ptrdiff_t stride, int64_t count, int32_t dim,
                        void *to) {
    attn_pack_values_floats(values, stride, count, dim, DEPTH, to);
}

static void pack_keys_bf16(const void *keys, ptrdiff_t stride, int64_t count, int32_t dim,
                           void *to) {
    attn_pack_keys_halves(keys, stride, count, dim, PANEL, DEPTH, to);
}

static void attend_widened(const attn_block_args *args, attn_partial result) {
    attend_tiles(1, args, result);
}

#else

static void pack_keys_bf16(const void *keys, ptrdiff_t stride, int64_t count, int32_t dim,
                           void *to) {
    pack_words(keys, stride, count, dim, to);
}

#endif

static void pack_values_bf16(const void *values, ptrdiff_t stride, int64_t count, int32_t dim,
                             void *to) {
    attn_pack_values_halves(values, stride, count, dim, DEPTH, to);
}

/* ---- merge and finish ----------------------------------------------------- */

/* out = left · left_factor + right · right_factor. A vector is read from both
 * before it is written: out may be left or right. */
static void merge_row(float *out, const float *left, const float *right, int32_t length,
                      float left_factor, float right_factor) {
    const vec by_left = vec_splat(left_factor), by_right = vec_splat(right_factor);
    int32_t c = 0;

    for (; c + LANES <= length; c += LANES)
        vec_store(out + c,
                  vec_fma(vec_load(left + c), by_left, vec_mul(vec_load(right + c), by_right)));
    if (c < length) {
        const lane_mask tail = mask_lanes(0, length - c);

        vec_store_masked(out + c, tail,
                         vec_fma(vec_load_masked(left + c, tail), by_left,
                                 vec_mul(vec_load_masked(right + c, tail), by_right)));
    }
}

/* The maxima and sums of up to LANES rows, one a lane, and the factors of both
 * sides. A side is empty when its sum is 0: a row that sees a key has at least
 * its largest weight, 1, in it (or a NaN). */
static void merge_sums(attn_partial result, attn_partial left, attn_partial right, lane_mask rows,
                       float exponent_scale, float *left_factor, float *right_factor) {
    const vec scale = vec_splat(exponent_scale);
    const vec lowest = vec_splat(lowest_difference(exponent_scale));
    const vec left_max = vec_load_masked(left.max, rows);
    const vec right_max = vec_load_masked(right.max, rows);
    const vec left_sum = vec_load_masked(left.sum, rows);
    const vec right_sum = vec_load_masked(right.sum, rows);
    const lane_mask left_empty = vec_equal(left_sum, vec_splat(0));
    const lane_mask right_empty = vec_equal(right_sum, vec_splat(0));
    const vec max = vec_max(left_max, right_max);
    const vec by_left = any_weights_of(vec_sub(left_max, max), scale, lowest);
    const vec by_right = any_weights_of(vec_sub(right_max, max), scale, lowest);
    vec sum = vec_fma(left_sum, by_left, vec_mul(right_sum, by_right));

    sum = vec_select(right_empty, left_sum, vec_select(left_empty, right_sum, sum));
    vec_store_masked(result.max, rows,
                     vec_select(right_empty, left_max, vec_select(left_empty, right_max, max)));
    vec_store_masked(result.sum, rows, sum);
    /* A negative factor marks the side that merge() does not take at all. */
    vec_store(left_factor, vec_select(right_empty, vec_splat(1),
                                      vec_select(left_empty, vec_splat(-1), by_left)));
    vec_store(right_factor, vec_select(right_empty, vec_splat(-1), by_right));
}

static void merge(attn_partial result, attn_partial left, attn_partial right, int32_t rows,
                  int32_t value_dim, float scale) {
    float left_factor[LANES], right_factor[LANES];

    for (int32_t row = 0; row < rows; row++) {
        const ptrdiff_t at = (ptrdiff_t)row * value_dim;
        const int lane = row % LANES;

        if (lane == 0)
            merge_sums((attn_partial){NULL, result.max + row, result.sum + row},
                       (attn_partial){NULL, left.max + row, left.sum + row},
                       (attn_partial){NULL, right.max + row, right.sum + row},
                       mask_lanes(0, rows - row), scale * ATTN_LOG2_E, left_factor, right_factor);
        if (left_factor[lane] < 0 || right_factor[lane] < 0)
            memmove(result.out + at, (right_factor[lane] < 0 ? left : right).out + at,
                    (size_t)value_dim * sizeof *result.out);
        else
            merge_row(result.out + at, left.out + at, right.out + at, value_dim, left_factor[lane],
                      right_factor[lane]);
    }
}

/* to = from / sum, without −0. */
static void divide_row(float *to, const float *from, int32_t length, float sum) {
    const vec by = vec_splat(sum);
    int32_t c = 0;

    for (; c + LANES <= length; c += LANES)
        vec_store(to + c, vec_add(vec_div(vec_load(from + c), by), vec_splat(0)));
    if (c < length) {
        const lane_mask tail = mask_lanes(0, length - c);

        vec_store_masked(to + c, tail,
                         vec_add(vec_div(vec_load_masked(from + c, tail), by), vec_splat(0)));
    }
}

static void finish(attn_partial partial, int32_t rows, int32_t value_dim, float scale, float *out,
                   ptrdiff_t out_stride, float *lse, ptrdiff_t lse_stride) {
    for (int32_t row = 0; row < rows; row++) {
        const float sum = partial.sum[row];
        float *to = out + row * out_stride;

        if (sum == 0)
            memset(to, 0, (size_t)value_dim * sizeof *to);
        else
            divide_row(to, partial.out + (ptrdiff_t)row * value_dim, value_dim, sum);
        if (lse != NULL)
            lse[row * lse_stride] =
                sum == 0
                    ? -INFINITY
                    : (float)((double)scale * (double)partial.max[row] + log((double)sum)) + 0.0f;
    }
}

/* Twelve chains hide the latency of two units; with more, AVX2 would spill. */
static double peak_work(int64_t rounds) {
    enum { CHAINS = 12 };
    const vec left = vec_splat(0x1p-64f), right = vec_splat(0x1p-64f); /* as pairs, too */
    vec chain[CHAINS], sum = vec_splat(0);
    float lanes[LANES];
    volatile float result; /* or nothing would be computed */

    UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = vec_splat((float)i);
    for (int64_t round = 0; round < rounds; round++) {
        UNROLL for (int i = 0; i < CHAINS; i++) chain[i] = vec_step(left, right, chain[i]);
    }
    UNROLL for (int i = 0; i < CHAINS; i++) sum = vec_add(sum, chain[i]);
    vec_store(lanes, sum);
    result = lanes[0];
    (void)result;
    return 2.0 * DEPTH * LANES * CHAINS * (double)rounds;
}

#endif
