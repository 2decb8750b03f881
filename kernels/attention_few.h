/* attention_few.h: a few queries against keys and values that are not packed, for decoding.
 *
 * Part of the template attention_simd.h, for words that are floats. Packing reads and writes
 * all keys and values once, which a block of queries pays back; a few queries only read them
 * once. So scores are dot products along the dimensions:
 *   1. LANES keys at a time, and each query against them: LANES sums by lane, one a key, which
 *      are then added across lanes, all at once, to one vector of scores;
 *   2. and 3. are those of attention_simd.h, with values where they stand.
 * bf16 is widened tile by tile, as there.
 *
 * Cost: memory is the bound: keys and values are read once for all rows of a call. The sum over
 * lanes takes 3 operations a key and row. No scratch beyond that of attention_simd.h. */
#ifndef ATTN_KERNELS_ATTENTION_FEW_H
#define ATTN_KERNELS_ATTENTION_FEW_H

/* Lane j of the result: the score of key j with a query whose vectors are `chunk` apart. Key after
 * key, because memory is fastest where it is read in its order. */
ALWAYS_INLINE vec dot_keys(const float *const keys[LANES], const float *query, ptrdiff_t chunk,
                           int32_t dim) {
    vec sums[LANES];

    UNROLL for (int j = 0; j < LANES; j++) {
        const float *part = query;
        vec sum = vec_splat(0);
        int32_t i = 0;

        for (; i + LANES <= dim; i += LANES, part += chunk)
            sum = vec_fma(vec_load(keys[j] + i), vec_load(part), sum);
        if (i < dim)
            sum =
                vec_fma(vec_load_masked(keys[j] + i, mask_lanes(0, dim - i)), vec_load(part), sum);
        sums[j] = sum;
    }
    vec_add_rows(sums);
    return sums[0];
}

enum { PROBES = 4 }; /* chains of sums that hide the latency of each */

/* Reads the values of keys [first, last) in their order, which the product with the weights does
 * not: memory is then at work while the scores of the remaining rows are computed. `probe`
 * stays 0 as long as all are finite. */
ALWAYS_INLINE void touch_values(const call *self, const key_tile *tile, int64_t first, int64_t last,
                                vec probe[PROBES]) {
    const int32_t value_dim = self->args->value_dim;

    for (int64_t j = first; j < last; j++) {
        const float *value = tile->values + j * self->value_stride;
        int32_t c = 0;

        for (; c + PROBES * LANES <= value_dim; c += PROBES * LANES)
            UNROLL for (int p = 0; p < PROBES; p++) probe[p] =
                vec_fma(vec_load(value + c + p * LANES), vec_splat(0), probe[p]);
        for (; c < value_dim; c += LANES)
            probe[0] = vec_fma(vec_load_masked(value + c, mask_lanes(0, value_dim - c)),
                               vec_splat(0), probe[0]);
    }
}

/* The scores of the tile's panels that the group sees, with what it does not see at −inf;
 * returns their maxima by row. `touched`: reads these keys' values along with them. */
ALWAYS_INLINE vec score_few(const int rows, const int touched, const call *self,
                            const row_group *group, key_tile *tile, ptrdiff_t key_stride,
                            const tile_view *view) {
    const int64_t end = (view->last + PANEL - 1) / PANEL * PANEL;
    vec largest[GROUP_ROWS], probe[PROBES];

    for (int r = 0; r < rows; r++) largest[r] = vec_splat(-INFINITY);
    for (int p = 0; p < PROBES; p++) probe[p] = vec_splat(0);
    for (int64_t key = view->first / PANEL * PANEL; key < end; key += LANES) {
        const float *keys[LANES];
        float *scores = self->weights + key * rows;

        /* Lanes beyond the last key repeat it; no row sees them. */
        for (int j = 0; j < LANES; j++)
            keys[j] = tile->keys + min_of(key + j, tile->count - 1) * key_stride;
        for (int r = 0; r < rows; r++) {
            const vec dots = dot_keys(keys, group->query + r * LANES, (ptrdiff_t)rows * LANES,
                                      self->args->key_dim);
            vec seen = vec_select(mask_lanes(view->row[r].first - key, view->row[r].last - key),
                                  dots, vec_splat(-INFINITY));

            if (view->has_gaps)
                seen = vec_select(mask_lanes(view->gap[r].first - key, view->gap[r].last - key),
                                  vec_splat(-INFINITY), seen);
            largest[r] = vec_max(seen, largest[r]);
            vec_store(scores + r * LANES, seen);
            if (touched && r == 0)
                touch_values(self, tile, key, min_of(key + LANES, tile->count), probe);
        }
    }
    /* Of the keys that this group sees; the next one looks anew. */
    for (int p = 1; p < PROBES; p++) probe[0] = vec_add(probe[0], probe[p]);
    tile->finite = touched ? vec_sum_of_lanes(probe[0]) == 0 : -1;
    return largest_of_rows(rows, largest);
}

/* Steps 1 to 3 of a group of `rows` rows. */
ALWAYS_INLINE void attend_few_group(const int rows, const int touched, const call *self,
                                    row_group *group, key_tile *tile, ptrdiff_t key_stride,
                                    const tile_view *view) {
    const int masked = view->all_first > view->first || view->all_last < view->last;
    float reference[LANES], factor[LANES];
    vec tile_max;
    const out_block block = {.weights = self->weights,
                             .chunk = (ptrdiff_t)rows * LANES,
                             .factor = factor,
                             .first = view->first,
                             .last = view->last,
                             .row = group->first};

    tile_max = score_few(rows, touched, self, group, tile, key_stride, view);
    if (self->args->terms != NULL) tile_max = add_terms(self, group, tile, view);
    raise_maxima(self, group, tile_max, reference, factor);
    compute_weights(self, group, view, reference, factor);
    if (masked && !values_are_finite(self, tile))
        add_visible_values(self, group, tile, view, block);
    else
        add_values(rows, self, tile, group->started, block);
    group->started = 1;
}

/* Widened rows [first, first + count) of `width` elements, one behind the other. */
static void widen_rows(const uint16_t *from, ptrdiff_t stride, int64_t count, int32_t width,
                       float *to) {
    for (int64_t j = 0; j < count; j++) widen(from + j * stride, width, to + j * width);
}

/* The largest group of the table that FEW_GROUP_ROWS allows. */
static int32_t few_rows(int32_t rows) {
    return rows >= FEW_GROUP_ROWS ? FEW_GROUP_ROWS : rows >= 2 ? 2 : 1;
}

ALWAYS_INLINE void attend_few_tiles(const int widened, const attn_block_args *args,
                                    attn_partial result) {
    const float exponent_scale = exponent_scale_of(args);
    const int64_t most_keys = tile_keys(args->key_dim, args->value_dim);
    const ptrdiff_t row_elems = vectors_of(args->key_dim) * LANES;
    const ptrdiff_t key_stride = widened ? args->key_dim : args->key_stride;
    float *query = (float *)args->scratch + WEIGHT_ELEMS;
    const call self = {.args = args,
                       .result = result,
                       .weights = args->scratch,
                       .query = query,
                       .widened = query + query_elems(args->key_dim),
                       .value_stride = widened ? args->value_dim : args->value_stride,
                       .exponent_scale = exponent_scale,
                       .lowest = lowest_difference(exponent_scale)};
    row_group groups[ATTN_FEW_ROWS];
    int count = 0;

    assert(args->rows >= 1 && args->rows <= ATTN_FEW_ROWS && args->key_count >= 1);
    assert(args->key_stride >= args->key_dim && args->value_stride >= args->value_dim);
    assert((uintptr_t)args->scratch % 64 == 0);
    for (int32_t row = 0; row < args->rows; row += groups[count++].rows)
        start_group(widened, &self, row, few_rows(args->rows - row), query + row * row_elems,
                    &groups[count]);
    for (int64_t first = 0; first < args->key_count; first += most_keys) {
        key_tile tile = {
            .first = first, .count = min_of(args->key_count - first, most_keys), .finite = -1};

        if (widened) {
            float *values = self.widened + most_keys * args->key_dim;

            widen_rows((const uint16_t *)args->keys + first * args->key_stride, args->key_stride,
                       tile.count, args->key_dim, self.widened);
            widen_rows((const uint16_t *)args->values + first * args->value_stride,
                       args->value_stride, tile.count, args->value_dim, values);
            tile.keys = self.widened;
            tile.values = values;
        } else {
            tile.keys = (const float *)args->keys + first * args->key_stride;
            tile.values = (const float *)args->values + first * args->value_stride;
        }
        for (int g = 0; g < count; g++) {
            const tile_view view = view_of(args, &groups[g], &tile);

            if (view.first >= view.last) continue;
            if (groups[g].rows == FEW_GROUP_ROWS)
                attend_few_group(FEW_GROUP_ROWS, !widened, &self, &groups[g], &tile, key_stride,
                                 &view);
            else if (groups[g].rows == 2)
                attend_few_group(2, !widened, &self, &groups[g], &tile, key_stride, &view);
            else
                attend_few_group(1, !widened, &self, &groups[g], &tile, key_stride, &view);
        }
    }
    for (int g = 0; g < count; g++) write_maxima_and_sums(&self, &groups[g]);
}

static void attend_few(const attn_block_args *args, attn_partial result) {
    attend_few_tiles(0, args, result);
}

static void attend_few_widened(const attn_block_args *args, attn_partial result) {
    attend_few_tiles(1, args, result);
}

#endif
