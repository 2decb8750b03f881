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
 *   2. per row: new running maximum, weights, running sum (softmax_simd.h);
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
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "exp2.h"
#include "pack.h"
#include "softmax_simd.h"

enum {
    MAX_TILE_KEYS = 256, /* a multiple of every panel, as is MIN_TILE_KEYS */
    MIN_TILE_KEYS = 64,
    TILE_BYTES = 256 * 1024,
    LINE_ELEMS = 16,                          /* floats of a cache line */
    PREFETCH_STEPS = 16,                      /* of the micro-kernel: some hundred cycles */
    MAX_VECTORS = 4,                          /* of a register block */
    MAX_GROUPS = QUERY_ROWS / GROUP_ROWS + 4, /* whole ones, and one of each smaller count */
    WORD_BYTES = 4
};

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

/* ---- the micro-kernel ----------------------------------------------------- */

/* The right operand: `vectors` vectors a step, the first two side by side, the
 * others side by side `apart` elements from those, the last one masked. */
typedef struct right_operand {
    const float *at; /* the first step */
    ptrdiff_t step;  /* elements from one step to the next */
    ptrdiff_t apart;
    lane_mask tail;
} right_operand;

#if DEPTH == 1
ALWAYS_INLINE vec vec_step(vec left, vec right, vec sum) {
    return vec_fma(left, right, sum);
}
#endif

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
    group->step = (ptrdiff_t)rows * LANES;
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
