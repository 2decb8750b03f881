/* attention_generic.c: the kernel that runs everywhere.
 *
 * The block's keys are walked in tiles of TILE_KEYS from its first key on; a
 * tile that no row of the call sees is skipped. For each tile
 *   1. pack its values into panels [ceil(value_dim / PANEL)][keys][PANEL];
 *   2. for each group of GROUP_ROWS rows that sees some of it
 *      a. scores = query · keys, an outer product per dimension;
 *      b. add the terms of scores, if any; hide masked keys (only where a row of the group misses
 *         one): −inf;
 *      c. per row: new running maximum, weights = 2^((score − max) c) with
 *         c = scale · log2 e, rescaled running sum;
 *      d. out = out · factor + weights · values, an outer product per key.
 * Steps a and d are the same micro-kernel: a GROUP_ROWS × PANEL block of sums
 * stays in registers while the depth goes by. Its left operand is stored with
 * each element repeated over the lanes of a vector, which costs memory but no
 * broadcast. Vectors are GNU C vector types of four floats: no instruction set
 * is named, and both gcc and clang keep the sums in registers.
 *
 * Queries, keys and values stored as bf16 are widened where they are spread and packed anyway,
 * keys into a copy of the tile: the result is that of fp32 on the same numbers, bit for bit.
 *
 * attend_few() packs its keys tile by tile, where the cache holds them.
 *
 * Fixed bits: an element of the scores, weights or sums is computed by the same
 * operations in the same order wherever its row stands. Missing rows, keys and
 * columns of a group, panel or tile are computed on zeros. A masked key adds
 * weight 0 to sums that start from +0 and never become −0, so computing it and
 * skipping it give the same bits; where a value it would multiply is not
 * finite, the weighted sum takes visible keys only. Compile with
 * -ffp-contract=off: a fused operation rounds differently.
 *
 * Cost: 2 (key_dim + value_dim) flops and about 25 for the exponential a pair.
 * Scratch, in floats: 4 query_rows key_dim + (TILE_KEYS + query_rows) value_dim,
 * value_dim rounded up to whole panels, + (20 + key_dim) TILE_KEYS. (Blocking and packing:
 * Goto & van de Geijn 2008.) */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "exp2.h"
#include "kernels_internal.h"
#include "pack.h"
#include "tanh.h"

enum {
    LANES = 4,               /* floats of a vector */
    GROUP_ROWS = 4,          /* rows of the micro-kernel */
    PANEL = 8,               /* its columns: keys of a score, columns of a value */
    VECTORS = PANEL / LANES, /* vectors of a row of sums */
    TILE_KEYS = 128,         /* scores of a group: 2 KiB; a tile of 128-wide values: 64 KiB */
    QUERY_ROWS = 64,         /* a multiple of GROUP_ROWS */
    GROUPS = QUERY_ROWS / GROUP_ROWS
};

typedef float quad __attribute__((vector_size(LANES * sizeof(float))));

/* The parts of args->scratch. */
typedef struct workspace {
    quad *query;   /* [GROUPS][key_dim][GROUP_ROWS], each element in all lanes */
    quad *weight;  /* [TILE_KEYS][GROUP_ROWS], likewise */
    quad *out;     /* [GROUPS][value panels][GROUP_ROWS][VECTORS] */
    float *values; /* [value panels][TILE_KEYS][PANEL] */
    float *score;  /* [GROUP_ROWS][TILE_KEYS], then the weights */
    float *keys;   /* [TILE_KEYS][key_dim], panels: a tile widened or packed here */
    int32_t value_panels;
} workspace;

/* The running softmax of the call's rows; those beyond args->rows repeat the last. */
typedef struct running {
    float max[QUERY_ROWS];
    float sum[QUERY_ROWS];
    attn_interval visible[QUERY_ROWS]; /* of the block */
    attn_interval also[QUERY_ROWS];    /* a second one, when the call has any */
} running;

typedef struct key_tile {
    const float *keys; /* panels */
    int64_t first;     /* in the block */
    int64_t count;     /* <= TILE_KEYS */
    int finite;        /* all its values are */
} key_tile;

/* Where a group sees a tile. */
typedef struct tile_view {
    attn_interval row[GROUP_ROWS]; /* keys of the tile, from the first seen to the last */
    attn_interval gap[GROUP_ROWS]; /* keys between that are not seen; only if has_gaps */
    int64_t first, last;           /* keys of the panels that some row sees a key of */
    int masked;                    /* some row does not see all of these */
    int has_gaps;
} tile_view;

static quad load(const float *from) {
    quad vector;

    memcpy(&vector, from, sizeof vector);
    return vector;
}

static void store(float *to, quad vector) {
    memcpy(to, &vector, sizeof vector);
}

static quad splat(float x) {
    return (quad){x, x, x, x};
}

static float add_lanes(quad x) {
    return (x[0] + x[2]) + (x[1] + x[3]);
}

static int32_t panels_of(int32_t columns) {
    return columns / PANEL + (columns % PANEL != 0);
}

static size_t scratch_bytes(int32_t key_dim, int32_t value_dim) {
    const size_t panels = (size_t)panels_of(value_dim);
    const size_t quads = (size_t)GROUPS * (size_t)key_dim * GROUP_ROWS +
                         (size_t)TILE_KEYS * GROUP_ROWS + GROUPS * panels * GROUP_ROWS * VECTORS;
    const size_t floats =
        panels * TILE_KEYS * PANEL + GROUP_ROWS * TILE_KEYS + (size_t)TILE_KEYS * (size_t)key_dim;

    return quads * sizeof(quad) + floats * sizeof(float);
}

static workspace lay_out(const attn_block_args *args) {
    workspace space;

    space.value_panels = panels_of(args->value_dim);
    space.query = args->scratch;
    space.weight = space.query + (ptrdiff_t)GROUPS * args->key_dim * GROUP_ROWS;
    space.out = space.weight + TILE_KEYS * GROUP_ROWS;
    space.values =
        (float *)(space.out + (ptrdiff_t)GROUPS * space.value_panels * GROUP_ROWS * VECTORS);
    space.score = space.values + (ptrdiff_t)space.value_panels * TILE_KEYS * PANEL;
    space.keys = space.score + GROUP_ROWS * TILE_KEYS;
    return space;
}

static void pack_keys(const void *keys, ptrdiff_t stride, int64_t count, int32_t dim, void *to) {
    attn_pack_keys_floats(keys, stride, count, dim, PANEL, 1, to);
}

static void pack_values(const void *values, ptrdiff_t stride, int64_t count, int32_t dim,
                        void *to) {
    attn_pack_values_floats(values, stride, count, dim, 1, to);
}

static void pack_keys_bf16(const void *keys, ptrdiff_t stride, int64_t count, int32_t dim,
                           void *to) {
    attn_pack_keys_halves(keys, stride, count, dim, PANEL, 1, to);
}

static void pack_values_bf16(const void *values, ptrdiff_t stride, int64_t count, int32_t dim,
                             void *to) {
    attn_pack_values_halves(values, stride, count, dim, 1, to);
}

/* Element `at` of an array of that storage. */
static inline float element_of(attn_storage storage, const void *from, int64_t at) {
    uint32_t bits;
    float x;

    if (storage == ATTN_FP32) return ((const float *)from)[at];
    bits = (uint32_t)((const uint16_t *)from)[at] << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* `count` elements from `at` on, as floats. */
static inline void copy_elements(attn_storage storage, const void *from, int64_t at, int64_t count,
                                 float *to) {
    if (storage == ATTN_FP32)
        memcpy(to, (const float *)from + at, (size_t)count * sizeof *to);
    else
        for (int64_t i = 0; i < count; i++) to[i] = element_of(ATTN_BF16, from, at + i);
}

/* The tile's values in panels, zeros where there is no key or no column.
 * Returns whether all are finite: 0 · x is 0 for just these. */
static inline int widen_and_pack_values(attn_storage storage, const attn_block_args *args,
                                        ptrdiff_t value_stride, const key_tile *tile,
                                        float *panels) {
    const int64_t keys = (tile->count + PANEL - 1) / PANEL * PANEL;
    quad probe[VECTORS] = {{0}};

    for (int32_t column = 0; column < args->value_dim;
         column += PANEL, panels += TILE_KEYS * PANEL) {
        const int32_t left = args->value_dim - column;
        int64_t from = tile->first * value_stride + column;
        float *to = panels;

        for (int64_t j = 0; j < tile->count; j++, from += value_stride, to += PANEL) {
            if (left >= PANEL) {
                copy_elements(storage, args->values, from, PANEL, to);
            } else {
                for (int32_t c = 0; c < PANEL; c++)
                    to[c] = c < left ? element_of(storage, args->values, from + c) : 0.0f;
            }
            for (int v = 0; v < VECTORS; v++) probe[v] += load(to + v * LANES) * 0.0f;
        }
        memset(to, 0, (size_t)(keys - tile->count) * PANEL * sizeof *to);
    }
    for (int v = 1; v < VECTORS; v++) probe[0] += probe[v];
    return add_lanes(probe[0]) == 0;
}

/* Queries with each element in all lanes; rows beyond args->rows are zeros. */
static inline void spread_queries(attn_storage storage, const attn_block_args *args, quad *to) {
    for (int32_t group = 0; group < args->rows; group += GROUP_ROWS)
        for (int32_t i = 0; i < args->key_dim; i++)
            for (int32_t row = group; row < group + GROUP_ROWS; row++)
                *to++ = splat(row < args->rows
                                  ? element_of(storage, args->query, row * args->query_stride + i)
                                  : 0.0f);
}

static inline void start(attn_storage storage, const attn_block_args *args, const workspace *space,
                         running *state) {
    const size_t groups = (size_t)(args->rows + GROUP_ROWS - 1) / GROUP_ROWS;

    for (int32_t row = 0; row < QUERY_ROWS; row++) {
        const attn_interval all = {0, args->key_count};
        const int32_t source = row < args->rows ? row : args->rows - 1;

        state->max[row] = -INFINITY;
        state->sum[row] = 0;
        state->visible[row] = args->visible == NULL ? all : args->visible[source];
        if (args->also_visible != NULL) state->also[row] = args->also_visible[source];
    }
    memset(space->out, 0,
           groups * (size_t)space->value_panels * GROUP_ROWS * VECTORS * sizeof *space->out);
    spread_queries(storage, args, space->query);
}

/* sum[r][·] += left[r] · right[·] for one step of the depth. */
static inline void step(quad sum[GROUP_ROWS][VECTORS], const quad *left, const float *right) {
    quad column[VECTORS];

    for (int v = 0; v < VECTORS; v++) column[v] = load(right + v * LANES);
    for (int r = 0; r < GROUP_ROWS; r++)
        for (int v = 0; v < VECTORS; v++) sum[r][v] += left[r] * column[v];
}

/* The micro-kernel: sum += Σ_t left[t] ⊗ right[t], left [depth][GROUP_ROWS] in
 * all lanes, right [depth][PANEL]. Two steps at a time hide the loop's own
 * instructions; the sums stay in order. */
static inline void accumulate(quad sum[GROUP_ROWS][VECTORS], const quad *left, const float *right,
                              int64_t depth) {
    int64_t t = 0;

    for (; t + 2 <= depth; t += 2, left += 2 * GROUP_ROWS, right += 2 * PANEL) {
        step(sum, left, right);
        step(sum, left + GROUP_ROWS, right + PANEL);
    }
    if (t < depth) step(sum, left, right);
}

static void compute_scores(const quad *query, const float *keys, int32_t key_dim, int64_t first,
                           int64_t last, float *score) {
    for (int64_t j = first; j < last; j += PANEL) {
        quad sum[GROUP_ROWS][VECTORS] = {{{0}}};

        accumulate(sum, query, keys + j * key_dim, key_dim);
        for (int r = 0; r < GROUP_ROWS; r++)
            for (int v = 0; v < VECTORS; v++)
                store(score + r * TILE_KEYS + j + v * LANES, sum[r][v]);
    }
}

/* One row's scores of `count` keys from key `first` of the block on, from s to t (kernels.h). */
static void add_terms(const attn_block_args *args, int32_t row, int64_t first, int64_t count,
                      float *score) {
    const attn_score_terms *terms = args->terms;
    const float softcap = terms->softcap, scale = args->scale;

    if (softcap > 0)
        for (int64_t j = 0; j < count; j++)
            score[j] = softcap * attn_tanh(score[j] * (scale / softcap));
    else
        for (int64_t j = 0; j < count; j++) score[j] *= scale;
    if (terms->slope != NULL) {
        const float slope = terms->slope[row];
        const int64_t position = terms->position[row] - first;

        for (int64_t j = 0; j < count; j++) score[j] -= slope * fabsf((float)(j - position));
    }
    if (terms->bias != NULL) {
        const float *bias = terms->bias[row] + first;

        for (int64_t j = 0; j < count; j++) score[j] += bias[j];
    }
}

/* Those of the group's rows of the call, on the tile's keys of the view. */
static void add_group_terms(const attn_block_args *args, int32_t group, const key_tile *tile,
                            const tile_view *view, float *score) {
    const int64_t last = view->last < tile->count ? view->last : tile->count;

    for (int32_t r = 0; r < GROUP_ROWS && group + r < args->rows; r++)
        add_terms(args, group + r, tile->first + view->first, last - view->first,
                  score + r * TILE_KEYS + view->first);
}

static void hide_masked(const tile_view *view, float *score) {
    for (int r = 0; r < GROUP_ROWS; r++, score += TILE_KEYS) {
        for (int64_t j = view->first; j < view->row[r].first; j++) score[j] = -INFINITY;
        for (int64_t j = view->row[r].last; j < view->last; j++) score[j] = -INFINITY;
    }
}

static void hide_gaps(const tile_view *view, float *score) {
    for (int r = 0; r < GROUP_ROWS; r++, score += TILE_KEYS)
        for (int64_t j = view->gap[r].first; j < view->gap[r].last; j++) score[j] = -INFINITY;
}

/* Maximum of `count` scores and `max`; count is a multiple of PANEL. */
static float largest(const float *score, int64_t count, float max) {
    float lanes[PANEL];

    for (int l = 0; l < PANEL; l++) lanes[l] = max;
    for (int64_t j = 0; j < count; j += PANEL)
        for (int l = 0; l < PANEL; l++)
            lanes[l] = score[j + l] > lanes[l] ? score[j + l] : lanes[l];
    for (int l = 0; l < PANEL; l++) max = lanes[l] > max ? lanes[l] : max;
    return max;
}

/* Sum of `count` weights: key j of the tile goes to lane j mod PANEL. */
static float sum_weights(const float *weight, int64_t count) {
    quad sum[VECTORS] = {{0}};

    for (int64_t j = 0; j < count; j += PANEL)
        for (int v = 0; v < VECTORS; v++) sum[v] += load(weight + j + v * LANES);
    for (int v = 1; v < VECTORS; v++) sum[0] += sum[v];
    return add_lanes(sum[0]);
}

/* Turns one row's scores into weights, brings its running maximum and sum up to
 * date, and returns the factor of what was summed before. */
static float softmax_row(float *score, int64_t count, float exponent_scale, float *max,
                         float *sum) {
    const float new_max = largest(score, count, *max);
    /* A row that has seen no key yet: −inf − (−inf) would be NaN. */
    const float reference = new_max == -INFINITY ? 0.0f : new_max;
    const float factor = attn_exp2((*max - reference) * exponent_scale);

    for (int64_t j = 0; j < count; j++)
        score[j] = attn_exp2((score[j] - reference) * exponent_scale);
    *sum = *sum * factor + sum_weights(score, count);
    *max = new_max;
    return factor;
}

/* out = out · factor + sum. The sum is never −0, so neither is out, even where
 * the product underflows to it. */
static inline void rescale_and_add(quad *out, const float *factor, quad sum[GROUP_ROWS][VECTORS]) {
    for (int r = 0; r < GROUP_ROWS; r++)
        for (int v = 0; v < VECTORS; v++)
            out[r * VECTORS + v] = out[r * VECTORS + v] * factor[r] + sum[r][v];
}

/* out = out · factor + weights · values over all keys of the view. */
static void add_values(const workspace *space, const tile_view *view, const float *factor,
                       quad *out) {
    const quad *weight = space->weight + view->first * GROUP_ROWS;
    const float *values = space->values + view->first * PANEL;

    for (int64_t j = view->first; j < view->last; j++)
        for (int r = 0; r < GROUP_ROWS; r++)
            space->weight[j * GROUP_ROWS + r] = splat(space->score[r * TILE_KEYS + j]);
    for (int32_t p = 0; p < space->value_panels; p++, out += GROUP_ROWS * VECTORS) {
        quad sum[GROUP_ROWS][VECTORS] = {{{0}}};

        accumulate(sum, weight, values, view->last - view->first);
        rescale_and_add(out, factor, sum);
        values += TILE_KEYS * PANEL;
    }
}

/* The same over visible keys only, for values that weight 0 does not cancel. */
static void add_visible_values(const workspace *space, const tile_view *view, const float *factor,
                               quad *out) {
    for (int32_t p = 0; p < space->value_panels; p++, out += GROUP_ROWS * VECTORS) {
        const float *values = space->values + (ptrdiff_t)p * TILE_KEYS * PANEL;
        quad sum[GROUP_ROWS][VECTORS] = {{{0}}};

        for (int r = 0; r < GROUP_ROWS; r++)
            for (int64_t j = view->row[r].first; j < view->row[r].last; j++) {
                if (view->has_gaps && j >= view->gap[r].first && j < view->gap[r].last) continue;
                for (int v = 0; v < VECTORS; v++)
                    sum[r][v] += splat(space->score[r * TILE_KEYS + j]) *
                                 load(values + j * PANEL + v * LANES);
            }
        rescale_and_add(out, factor, sum);
    }
}

/* The part of an interval of the block in the tile. */
static attn_interval clip(attn_interval seen, const key_tile *tile) {
    seen.first -= tile->first;
    seen.last -= tile->first;
    if (seen.first < 0) seen.first = 0;
    if (seen.last > tile->count) seen.last = tile->count;
    return seen.first < seen.last ? seen : (attn_interval){0, 0};
}

/* Adds a row's second interval to what it sees of the tile; its gap. */
static attn_interval add_second(attn_interval also, attn_interval *seen) {
    attn_interval gap = {0, 0};

    if (also.last == 0) return gap;
    if (seen->last > 0) gap = (attn_interval){seen->last, also.first};
    *seen = (attn_interval){seen->last > 0 ? seen->first : also.first, also.last};
    return gap;
}

static tile_view view_of(const attn_interval *visible, const attn_interval *also,
                         const key_tile *tile) {
    tile_view view;

    view.first = TILE_KEYS;
    view.last = view.masked = 0;
    view.has_gaps = also != NULL;
    for (int r = 0; r < GROUP_ROWS; r++) {
        attn_interval seen = clip(visible[r], tile);

        if (view.has_gaps) view.gap[r] = add_second(clip(also[r], tile), &seen);
        if (seen.last > 0) {
            if (seen.first < view.first) view.first = seen.first;
            if (seen.last > view.last) view.last = seen.last;
        }
        view.row[r] = seen;
    }
    view.first = view.first / PANEL * PANEL;
    view.last = (view.last + PANEL - 1) / PANEL * PANEL;
    for (int r = 0; r < GROUP_ROWS; r++)
        if (view.row[r].first > view.first || view.row[r].last < view.last ||
            (view.has_gaps && view.gap[r].last > 0))
            view.masked = 1;
    return view;
}

/* Steps a to d of one group of rows on one tile. */
static void attend_group(const attn_block_args *args, const workspace *space, const key_tile *tile,
                         const tile_view *view, int32_t group, running *state) {
    const float exponent_scale = args->terms != NULL ? ATTN_LOG2_E : args->scale * ATTN_LOG2_E;
    const int64_t count = view->last - view->first;
    quad *out = space->out + (ptrdiff_t)group * space->value_panels * VECTORS;
    float factor[GROUP_ROWS];

    compute_scores(space->query + (ptrdiff_t)group * args->key_dim, tile->keys, args->key_dim,
                   view->first, view->last, space->score);
    if (args->terms != NULL) add_group_terms(args, group, tile, view, space->score);
    if (view->masked) hide_masked(view, space->score);
    if (view->has_gaps) hide_gaps(view, space->score);
    for (int r = 0; r < GROUP_ROWS; r++)
        factor[r] = softmax_row(space->score + r * TILE_KEYS + view->first, count, exponent_scale,
                                &state->max[group + r], &state->sum[group + r]);
    if (view->masked && !tile->finite)
        add_visible_values(space, view, factor, out);
    else
        add_values(space, view, factor, out);
}

/* Keys as they are, to panels of floats. */
static inline void pack_tile_keys(attn_storage storage, const attn_block_args *args,
                                  const key_tile *tile, float *panels) {
    for (int64_t first = 0; first < tile->count; first += PANEL)
        for (int32_t i = 0; i < args->key_dim; i++)
            for (int64_t j = first; j < first + PANEL; j++)
                *panels++ = j < tile->count ? element_of(storage, args->keys,
                                                         (tile->first + j) * args->key_stride + i)
                                            : 0.0f;
}

/* Brings the tile's keys and values into the form that attend_group reads. */
static inline void prepare_tile(attn_storage storage, int packed, const attn_block_args *args,
                                const workspace *space, key_tile *tile) {
    const int64_t at = tile->first * args->key_dim;
    const int64_t elems = (tile->count + PANEL - 1) / PANEL * PANEL * args->key_dim;

    tile->finite = widen_and_pack_values(
        storage, args, packed ? args->value_dim : args->value_stride, tile, space->values);
    tile->keys = space->keys;
    if (!packed)
        pack_tile_keys(storage, args, tile, space->keys);
    else if (storage == ATTN_FP32)
        tile->keys = (const float *)args->keys + at;
    else
        copy_elements(storage, args->keys, at, elems, space->keys);
}

static inline void attend_tile(attn_storage storage, int packed, const attn_block_args *args,
                               const workspace *space, key_tile *tile, running *state) {
    int prepared = 0;

    for (int32_t group = 0; group < args->rows; group += GROUP_ROWS) {
        const tile_view view = view_of(
            state->visible + group, args->also_visible == NULL ? NULL : state->also + group, tile);

        if (view.first >= view.last) continue;
        if (!prepared) prepare_tile(storage, packed, args, space, tile);
        prepared = 1;
        attend_group(args, space, tile, &view, group, state);
    }
}

static void write_result(const attn_block_args *args, const workspace *space, const running *state,
                         attn_partial result) {
    for (int32_t row = 0; row < args->rows; row++) {
        const int32_t group = row / GROUP_ROWS;
        float *to = result.out + (ptrdiff_t)row * args->value_dim;

        for (int32_t p = 0; p < space->value_panels; p++) {
            const int32_t left = args->value_dim - p * PANEL;
            const quad *from =
                space->out +
                (((ptrdiff_t)group * space->value_panels + p) * GROUP_ROWS + row % GROUP_ROWS) *
                    VECTORS;

            memcpy(to + p * PANEL, from, (size_t)(left < PANEL ? left : PANEL) * sizeof *to);
        }
        result.max[row] = state->max[row];
        result.sum[row] = state->sum[row];
    }
}

static inline void attend_stored(attn_storage storage, int packed, const attn_block_args *args,
                                 attn_partial result) {
    const workspace space = lay_out(args);
    running state;

    assert(args->rows >= 1 && args->rows <= QUERY_ROWS && args->key_count >= 1);
    assert(args->key_dim >= 1 && args->value_dim >= 1 && args->query_stride >= args->key_dim);
    assert((uintptr_t)args->scratch % 64 == 0);
    start(storage, args, &space, &state);
    for (int64_t first = 0; first < args->key_count; first += TILE_KEYS) {
        const int64_t left = args->key_count - first;
        key_tile tile = {.first = first, .count = left < TILE_KEYS ? left : TILE_KEYS};

        attend_tile(storage, packed, args, &space, &tile, &state);
    }
    write_result(args, &space, &state, result);
}

static void attend(const attn_block_args *args, attn_partial result) {
    attend_stored(ATTN_FP32, 1, args, result);
}

static void attend_bf16(const attn_block_args *args, attn_partial result) {
    attend_stored(ATTN_BF16, 1, args, result);
}

static void attend_few(const attn_block_args *args, attn_partial result) {
    attend_stored(ATTN_FP32, 0, args, result);
}

static void attend_few_bf16(const attn_block_args *args, attn_partial result) {
    attend_stored(ATTN_BF16, 0, args, result);
}

/* out = left · left_factor + right · right_factor. A chunk is read as a whole
 * before it is written: out may be left or right, and the loop still vectorises. */
static void merge_row(float *out, const float *left, const float *right, int32_t length,
                      float left_factor, float right_factor) {
    int32_t c = 0;

    for (; c + PANEL <= length; c += PANEL) {
        quad sum[VECTORS];

        for (int v = 0; v < VECTORS; v++)
            sum[v] = load(left + c + v * LANES) * left_factor +
                     load(right + c + v * LANES) * right_factor;
        for (int v = 0; v < VECTORS; v++) store(out + c + v * LANES, sum[v]);
    }
    for (; c < length; c++) out[c] = left[c] * left_factor + right[c] * right_factor;
}

/* An empty side is known by its sum: a row that sees a key has at least its
 * largest weight, 1, in it (or a NaN). */
static void merge(attn_partial result, attn_partial left, attn_partial right, int32_t rows,
                  int32_t value_dim, float scale) {
    const float exponent_scale = scale * ATTN_LOG2_E;

    for (int32_t row = 0; row < rows; row++) {
        const ptrdiff_t at = (ptrdiff_t)row * value_dim;

        if (left.sum[row] == 0 || right.sum[row] == 0) {
            const attn_partial *from = right.sum[row] == 0 ? &left : &right;

            memmove(result.out + at, from->out + at, (size_t)value_dim * sizeof *result.out);
            result.max[row] = from->max[row];
            result.sum[row] = from->sum[row];
        } else {
            const float left_max = left.max[row], right_max = right.max[row];
            const float max = left_max > right_max ? left_max : right_max;
            const float left_factor = attn_exp2((left_max - max) * exponent_scale);
            const float right_factor = attn_exp2((right_max - max) * exponent_scale);

            merge_row(result.out + at, left.out + at, right.out + at, value_dim, left_factor,
                      right_factor);
            result.sum[row] = left.sum[row] * left_factor + right.sum[row] * right_factor;
            result.max[row] = max;
        }
    }
}

static void finish(attn_partial partial, int32_t rows, int32_t value_dim, float scale, float *out,
                   ptrdiff_t out_stride, float *lse, ptrdiff_t lse_stride) {
    for (int32_t row = 0; row < rows; row++) {
        const float *from = partial.out + (ptrdiff_t)row * value_dim;
        const float sum = partial.sum[row];
        float *to = out + row * out_stride;

        if (sum == 0) {
            memset(to, 0, (size_t)value_dim * sizeof *to);
        } else {
            for (int32_t c = 0; c < value_dim; c++) to[c] = from[c] / sum + 0.0f;
        }
        if (lse != NULL)
            lse[row * lse_stride] =
                sum == 0
                    ? -INFINITY
                    : (float)((double)scale * (double)partial.max[row] + log((double)sum)) + 0.0f;
    }
}

static int supported(void) {
    return 1;
}

/* Twelve chains hide the latency of both units; a few more would spill. */
static double peak_work(int64_t rounds) {
    enum { CHAINS = 12 };
    const quad factor = {0.5f, 0.5f, 0.5f, 0.5f}, term = {1, 1, 1, 1};
    quad chain[CHAINS] = {{0}}, sum = {0};
    volatile float result; /* or nothing would be computed */

    for (int64_t round = 0; round < rounds; round++)
        for (int i = 0; i < CHAINS; i++) chain[i] = chain[i] * factor + term;
    for (int i = 0; i < CHAINS; i++) sum += chain[i];
    result = sum[0];
    (void)result;
    return 2.0 * LANES * CHAINS * (double)rounds;
}

const attn_kernel attn_kernel_generic = {
    .name = "generic",
    .storage = ATTN_FP32,
    .query_rows = QUERY_ROWS,
    .key_panel = PANEL,
    .depth = 1,
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

const attn_kernel attn_kernel_generic_bf16 = {
    .name = "generic",
    .storage = ATTN_BF16,
    .query_rows = QUERY_ROWS,
    .key_panel = PANEL,
    .depth = 1,
    .supported = supported,
    .scratch_bytes = scratch_bytes,
    .pack_keys = pack_keys_bf16,
    .pack_values = pack_values_bf16,
    .attend = attend_bf16,
    .attend_few = attend_few_bf16,
    .merge = merge,
    .finish = finish,
    .peak_work = peak_work,
};
