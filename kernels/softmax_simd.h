/* softmax_simd.h: the running softmax of the vector levels, between their two products.
 *
 * A template, for attention_simd.h and for kernels with products of their own. Before it come
 * vectors of LANES floats (vec, lane_mask and the functions vec_… on them), PANEL_VECTORS,
 * GROUP_ROWS and the DEPTH of a step of a product; with DEPTH 2 also vec_words() and
 * vec_load_elems().
 *
 * The scores of a group of rows on a tile of keys lie in call.weights, [vectors of keys][rows]
 * [LANES], row_group.step floats from one vector of keys to the next. Where they have terms, these
 * are a pass over them (add_terms); then the running maxima are brought up to the tile's
 * (raise_maxima), and scores become weights, 2^((score − max) c) with c = scale · log2 e, which
 * are summed and stored as words over the scores before them (compute_weights): a left operand of
 * the second product, in chunks of LANES steps, [chunks][rows][LANES].
 *
 * Cost: a vector of weights takes about 10 operations and one for the maximum. */
#ifndef ATTN_KERNELS_SOFTMAX_SIMD_H
#define ATTN_KERNELS_SOFTMAX_SIMD_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "attnspan/kernels.h"
#include "exp2.h"
#include "tanh.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE  static __attribute__((noinline))

/* Loops over a register block must vanish, or it would live in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { PANEL = PANEL_VECTORS * LANES }; /* keys */
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
    int started;    /* out has been written */
    float *query;   /* [chunks][rows][LANES] */
    ptrdiff_t step; /* floats from one vector of keys to the next: of a chunk */
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

/* The words of DEPTH vectors of weights. */
ALWAYS_INLINE vec vec_words(const vec *weights) {
    return weights[0];
}

/* A vector of words from element `at` on, of which `count` elements are there. */
ALWAYS_INLINE vec vec_load_elems(const void *from, ptrdiff_t at, int64_t count) {
    return vec_load_masked((const float *)from + at, mask_lanes(0, count));
}

#endif

/* ---- what rows see of a tile ---------------------------------------------- */

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

#if DEPTH == 2
static int sees(const tile_view *view, int r, int64_t key) {
    if (key < view->row[r].first || key >= view->row[r].last) return 0;
    return !view->has_gaps || key < view->gap[r].first || key >= view->gap[r].last;
}
#endif

/* Lane r of the result: the largest lane of rows[r]. */
ALWAYS_INLINE vec largest_of_rows(const int rows, const vec *from) {
    vec folded[LANES];

    UNROLL for (int r = 0; r < LANES; r++) folded[r] = from[r < rows ? r : rows - 1];
    vec_fold_rows(folded);
    return folded[0];
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
    vec largest[LANES];

    for (int r = 0; r < LANES; r++) largest[r] = vec_splat(-INFINITY);
    for (int r = 0; r < group->rows; r++) {
        const row_terms terms = terms_of(self, group->first + r, tile);

        largest[r] = self->args->terms->softcap > 0
                         ? add_row_terms(1, self, &terms, view, r, tile->count, group->step)
                         : add_row_terms(0, self, &terms, view, r, tile->count, group->step);
    }
    vec_fold_rows(largest);
    return largest[0];
}

/* The factor of scores in their exponentials; with terms they are scaled already. */
static float exponent_scale_of(const attn_block_args *args) {
    return args->terms != NULL ? ATTN_LOG2_E : args->scale * ATTN_LOG2_E;
}

/* ---- weights -------------------------------------------------------------- */

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
    const ptrdiff_t step = group->step;
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

#endif
