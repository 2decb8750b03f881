/* attention_amx_bf16.c: attention on bf16 with AMX: products of tiles (AMX_TILE, AMX_BF16:
 * TDPBF16PS), which sum in fp32, and softmax with AVX-512.
 *
 * A tile register holds 16 rows of 16 words. The rows of a call are taken in pairs of groups of 16;
 * for each pair, and each tile of the block's keys that it sees some of,
 *   1. scores = query · keys: 2 groups × a panel in four registers, summed over the dimensions;
 *      masked keys become −inf;
 *   2. running maxima, weights, sums: softmax_simd.h, a group at a time;
 *   3. out = out · factor, then out += weights · values: 2 groups × 32 columns in four registers,
 *      summed over the keys of the tile.
 * Packed keys, and values, of depth 2 are right operands as they stand: 16 pairs of dimensions ×
 * 16 keys, or 16 pairs of keys × 16 columns. Queries are copied and scores, words and out kept as
 * blocks, [16 rows][16], one register each; so scores and words have the layout that softmax_simd.h
 * asks for. What no key, dimension or column fills up is read from copies with zeros.
 *
 * Fixed bits: TDPBF16PS sums the first and second elements of a row's words apart, in order, then
 * adds both to the sum before, rounding to nearest even, and takes and leaves zeros for subnormal
 * numbers, whatever the mode (Intel SDM). So rows do not meet, and a masked key or a missing one
 * changes nothing but the sign of a zero, and +0 is added in the end. Where a value that weight 0
 * would multiply is not finite, each row is multiplied alone, with zeros for what it does not see.
 *
 * Restrictions: a process asks Linux once for the use of tiles (supported()). No tile register is
 * in use between calls.
 *
 * Cost: 32 query · 32 keys · 32 dimensions take four TDPBF16PS of 16 cycles, four tiles read, and
 * for scores and out 1 KiB written a register; softmax about 12 vector operations for 16 pairs of
 * a query and a key: about as long as the products at 64 dimensions. The two do not overlap, nor
 * would it pay: a product holds one of the two units of floating-point vectors. Scratch, in words:
 * PAIR GROUP_ROWS (TILE_KEYS + key_dim / 2 + 2 value_dim) + 24 TILE_KEYS, a little more where
 * dimensions are not multiples of 32 and 16. */
#define _DEFAULT_SOURCE /* syscall */
#include <assert.h>
#include <string.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "attnspan/kernels.h"
#include "cpu.h"
#include "kernels_internal.h"
#include "pairs_avx512.h"

enum {
    GROUP_ROWS = 16,  /* of a tile register */
    PAIR = 2,         /* groups that share right operands in registers */
    QUERY_ROWS = 128, /* keys and values that one pair brought near serve the others */
    TILE_KEYS = 256,
    BLOCK = 256,    /* words, or floats, of a tile register */
    ROW_BYTES = 64, /* of a tile register */
    WORD_BYTES = 4
};

#include "softmax_simd.h"

enum { PANEL_BLOCK = PANEL_VECTORS * BLOCK }; /* scores of a group and a panel */

/* A pair of groups and what a call works with. */
typedef struct row_pair {
    row_group group[PAIR]; /* first: vectors are aligned */
    call call;             /* .weights: those of the group at hand */
    int groups;            /* 1 or 2 */
    int started;           /* out has been written */
    float *scores[PAIR];   /* [vectors of a tile][16][16]; then words */
    float *out[PAIR];      /* [column blocks][16][16] */
    float *key_tail;       /* [panels of a tile][16][PANEL] words: the last dimensions of keys */
    float *value_tail;     /* [steps of a tile][16][16] words: the last columns of values */
    float *value_step;     /* [16][column blocks][16] words: a step of values, the last one */
    float *spare;          /* as out */
    int64_t key_words;     /* of a key */
    int64_t key_steps;     /* registers that a row of words takes */
    int64_t column_blocks; /* registers that a row of out takes */
} row_pair;

/* A tile of keys as the pair sees it: the steps, which are panels, [first, last). */
typedef struct seen_tile {
    key_tile tile;
    tile_view view[PAIR];
    int64_t first, last;
    float factor[PAIR][LANES]; /* what out is to be multiplied by */
} seen_tile;

/* ---- tile registers ------------------------------------------------------- */

/* Eight of 16 rows of 64 bytes (Intel SDM: LDTILECFG). All zeros after that. */
static void configure(void) {
    static const struct tile_config {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1,
                .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

    _tile_loadconfig(&config);
}

/* GCC does not know that tiles are read from memory: what C has written must be there. */
ALWAYS_INLINE void settle_memory(void) {
    __asm__ volatile("" ::: "memory");
}

ALWAYS_INLINE void clear_sums(void) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* Registers 0 and 1, and with `two` 2 and 3, from or to two blocks side by side each; without
 * `wide` one each. */
ALWAYS_INLINE void load_sums(const int two, const int wide, const float *from, const float *other) {
    _tile_loadd(0, from, ROW_BYTES);
    if (wide) _tile_loadd(1, from + BLOCK, ROW_BYTES);
    if (two) _tile_loadd(2, other, ROW_BYTES);
    if (two && wide) _tile_loadd(3, other + BLOCK, ROW_BYTES);
}

ALWAYS_INLINE void store_sums(const int two, const int wide, float *to, float *other) {
    _tile_stored(0, to, ROW_BYTES);
    if (wide) _tile_stored(1, to + BLOCK, ROW_BYTES);
    if (two) _tile_stored(2, other, ROW_BYTES);
    if (two && wide) _tile_stored(3, other + BLOCK, ROW_BYTES);
}

/* ---- right operands ------------------------------------------------------- */

/* 16 words of each key of a panel, [16][PANEL]: as packed, or from the copy of the last ones. */
ALWAYS_INLINE const float *keys_of(const row_pair *self, const key_tile *tile, int64_t panel,
                                   int64_t step) {
    if ((step + 1) * LANES > self->key_words) return self->key_tail + panel * LANES * PANEL;
    return tile->keys + (panel * self->key_words + step * LANES) * PANEL;
}

static void copy_key_tail(const row_pair *self, const seen_tile *seen) {
    const int64_t whole = self->key_words / LANES * LANES, rest = self->key_words - whole;

    if (rest == 0) return;
    for (int64_t panel = seen->first; panel < seen->last; panel++) {
        float *to = self->key_tail + panel * LANES * PANEL;

        memcpy(to, seen->tile.keys + (panel * self->key_words + whole) * PANEL,
               (size_t)(rest * PANEL) * sizeof *to);
        memset(to + rest * PANEL, 0, (size_t)((LANES - rest) * PANEL) * sizeof *to);
    }
}

/* 16 words of a step, 16 rows `row_bytes` apart. */
typedef struct value_rows {
    const float *at;
    int64_t row_bytes;
} value_rows;

ALWAYS_INLINE value_rows values_of(const row_pair *self, const key_tile *tile, int64_t step,
                                   int64_t column) {
    const int32_t value_dim = self->call.args->value_dim;

    if ((step + 1) * PANEL > tile->count)
        return (value_rows){self->value_step + column * LANES, self->column_blocks * ROW_BYTES};
    if ((column + 1) * LANES > value_dim)
        return (value_rows){self->value_tail + step * BLOCK, ROW_BYTES};
    return (value_rows){tile->values + step * LANES * value_dim + column * LANES,
                        (int64_t)value_dim * WORD_BYTES};
}

/* A step of the values to value_step, with zeros for what is not there and, unless `view` is NULL,
 * for what its row r does not see. */
static void copy_value_step(const row_pair *self, const key_tile *tile, int64_t step,
                            const tile_view *view, int r) {
    const int32_t value_dim = self->call.args->value_dim;
    const int64_t columns = self->column_blocks * LANES;
    float *to = self->value_step;

    for (int64_t t = step * LANES; t < (step + 1) * LANES; t++)
        for (int64_t c = 0; c < columns; c += LANES, to += LANES) {
            vec words = vec_splat(0);

            if (t < words_of(tile->count))
                words =
                    vec_load_masked(tile->values + t * value_dim + c, mask_lanes(0, value_dim - c));
            if (view != NULL && !sees(view, r, 2 * t)) words = vec_second_of_pairs(words);
            if (view != NULL && !sees(view, r, 2 * t + 1)) words = vec_first_of_pairs(words);
            vec_store(to, words);
        }
}

static void copy_value_tails(const row_pair *self, const seen_tile *seen) {
    const int32_t value_dim = self->call.args->value_dim, whole = value_dim / LANES * LANES;
    const key_tile *tile = &seen->tile;

    if (seen->last * PANEL > tile->count) copy_value_step(self, tile, seen->last - 1, NULL, 0);
    if (whole == value_dim) return;
    for (int64_t t = seen->first * LANES; t < min_of(seen->last * LANES, words_of(tile->count));
         t++)
        vec_store(self->value_tail + t * LANES,
                  vec_load_masked(tile->values + t * value_dim + whole,
                                  mask_lanes(0, value_dim - whole)));
}

/* Whether 0 times any value that the pair's steps take is 0. */
static int values_are_finite(const row_pair *self, const seen_tile *seen) {
    const int32_t value_dim = self->call.args->value_dim;
    const int64_t last = min_of(seen->last * LANES, words_of(seen->tile.count)) * value_dim;
    const __m512i exponent = _mm512_set1_epi16(0x7f80);
    __m512i largest = _mm512_setzero_si512();

    for (int64_t i = seen->first * LANES * value_dim; i < last; i += LANES) {
        const vec words = vec_load_masked(seen->tile.values + i, mask_lanes(0, last - i));

        largest = _mm512_max_epu16(largest, _mm512_and_si512(_mm512_castps_si512(words), exponent));
    }
    return _mm512_cmpeq_epi16_mask(largest, exponent) == 0;
}

/* ---- step 1: scores ------------------------------------------------------- */

/* A panel's sums are stored after the next one's operands were asked for: a store waits for the
 * products, and what comes behind it for the store. */
NEVER_INLINE void compute_scores(const row_pair *self, const seen_tile *seen) {
    const int two = self->groups == 2;
    const float *query = self->group[0].query, *other_query = self->group[two].query;
    float *to = self->scores[0] + seen->first * PANEL_BLOCK;
    float *other = self->scores[1] + seen->first * PANEL_BLOCK;

    settle_memory();
    for (int64_t panel = seen->first; panel < seen->last; panel++) {
        for (int64_t step = 0; step < self->key_steps; step++) {
            const float *keys = keys_of(self, &seen->tile, panel, step);

            _tile_loadd(4, query + step * BLOCK, ROW_BYTES);
            _tile_loadd(5, other_query + step * BLOCK, ROW_BYTES);
            _tile_loadd(6, keys, PANEL * WORD_BYTES);
            _tile_loadd(7, keys + LANES, PANEL * WORD_BYTES);
            if (step == 0) {
                if (panel > seen->first) {
                    store_sums(1, 1, to, other);
                    to += PANEL_BLOCK;
                    other += PANEL_BLOCK;
                }
                clear_sums();
            }
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    store_sums(1, 1, to, other);
}

/* Hidden keys of a group's scores become −inf. */
static void mask_scores(const row_pair *self, const seen_tile *seen, int g) {
    const tile_view *view = &seen->view[g];

    for (int64_t panel = seen->first; panel < seen->last; panel++) {
        if (panel * PANEL >= view->all_first && (panel + 1) * PANEL <= view->all_last) continue;
        for (int64_t key = panel * PANEL; key < (panel + 1) * PANEL; key += LANES)
            for (int r = 0; r < self->group[g].rows; r++) {
                float *at = self->scores[g] + key * GROUP_ROWS + r * LANES;
                const lane_mask row = mask_lanes(view->row[r].first - key, view->row[r].last - key);
                vec score = vec_select(row, vec_load(at), vec_splat(-INFINITY));

                if (view->has_gaps)
                    score =
                        vec_select(mask_lanes(view->gap[r].first - key, view->gap[r].last - key),
                                   vec_splat(-INFINITY), score);
                vec_store(at, score);
            }
    }
}

static vec find_maxima(const row_pair *self, const seen_tile *seen, int g) {
    vec largest[LANES];

    for (int r = 0; r < LANES; r++) largest[r] = vec_splat(-INFINITY);
    for (int r = 0; r < self->group[g].rows; r++) {
        const float *at = self->scores[g] + seen->first * PANEL_BLOCK + r * LANES;
        vec even = largest[r], odd = largest[r];

        for (int64_t panel = seen->first; panel < seen->last; panel++, at += PANEL_BLOCK) {
            even = vec_max(vec_load(at), even);
            odd = vec_max(vec_load(at + BLOCK), odd);
        }
        largest[r] = vec_max(odd, even);
    }
    vec_fold_rows(largest);
    return largest[0];
}

/* ---- step 2: weights ------------------------------------------------------ */

static void compute_words(row_pair *self, seen_tile *seen) {
    float reference[LANES];

    for (int g = 0; g < self->groups; g++) {
        row_group *group = &self->group[g];
        vec maxima;

        self->call.weights = self->scores[g];
        if (self->call.args->terms != NULL) {
            maxima = add_terms(&self->call, group, &seen->tile, &seen->view[g]);
        } else {
            mask_scores(self, seen, g);
            maxima = find_maxima(self, seen, g);
        }
        raise_maxima(&self->call, group, maxima, reference, seen->factor[g]);
        compute_weights(&self->call, group, &seen->view[g], reference, seen->factor[g]);
    }
}

/* ---- step 3: out ---------------------------------------------------------- */

static void rescale(const row_pair *self, const seen_tile *seen) {
    for (int g = 0; g < self->groups; g++)
        for (int64_t c = 0; c < self->column_blocks; c++)
            for (int r = 0; r < self->group[g].rows; r++) {
                float *at = self->out[g] + c * BLOCK + r * LANES;

                vec_store(at, vec_mul(vec_load(at), vec_splat(seen->factor[g][r])));
            }
}

/* out += words · values, or = where the pair begins. */
NEVER_INLINE void add_values(const row_pair *self, const seen_tile *seen) {
    const int two = self->groups == 2;

    settle_memory();
    for (int64_t column = 0; column < self->column_blocks; column += 2) {
        const int wide = column + 1 < self->column_blocks;
        float *out = self->out[0] + column * BLOCK, *other = self->out[1] + column * BLOCK;

        if (self->started)
            load_sums(two, wide, out, other);
        else
            clear_sums();
        for (int64_t step = seen->first; step < seen->last; step++) {
            value_rows values = values_of(self, &seen->tile, step, column);

            _tile_loadd(4, self->scores[0] + step * BLOCK, ROW_BYTES);
            _tile_loadd(6, values.at, values.row_bytes);
            _tile_dpbf16ps(0, 4, 6);
            if (two) {
                _tile_loadd(5, self->scores[1] + step * BLOCK, ROW_BYTES);
                _tile_dpbf16ps(2, 5, 6);
            }
            if (wide) {
                values = values_of(self, &seen->tile, step, column + 1);
                _tile_loadd(7, values.at, values.row_bytes);
                _tile_dpbf16ps(1, 4, 7);
                if (two) _tile_dpbf16ps(3, 5, 7);
            }
        }
        store_sums(two, wide, out, other);
    }
}

/* out += words · values of row r of a group, for the keys that it sees. Its group's other rows go
 * along, and are thrown away: a register's rows do not meet. */
NEVER_INLINE void add_row_values(const row_pair *self, const seen_tile *seen, int g, int r) {
    for (int64_t c = 0; c < self->column_blocks; c++)
        vec_store(self->spare + c * BLOCK + r * LANES,
                  self->started ? vec_load(self->out[g] + c * BLOCK + r * LANES) : vec_splat(0));
    for (int64_t step = seen->first; step < seen->last; step++) {
        copy_value_step(self, &seen->tile, step, &seen->view[g], r);
        settle_memory();
        _tile_loadd(4, self->scores[g] + step * BLOCK, ROW_BYTES);
        for (int64_t c = 0; c < self->column_blocks; c++) {
            _tile_loadd(0, self->spare + c * BLOCK, ROW_BYTES);
            _tile_loadd(6, self->value_step + c * LANES, self->column_blocks * ROW_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            _tile_stored(0, self->spare + c * BLOCK, ROW_BYTES);
        }
    }
    settle_memory();
    for (int64_t c = 0; c < self->column_blocks; c++)
        vec_store(self->out[g] + c * BLOCK + r * LANES,
                  vec_load(self->spare + c * BLOCK + r * LANES));
}

/* ---- pairs and tiles ------------------------------------------------------ */

/* How the pair sees the tile; 0: not at all. The groups' views become one in what they span. */
static int see_tile(const row_pair *self, seen_tile *seen) {
    int64_t first = seen->tile.count, last = 0;

    for (int g = 0; g < self->groups; g++) {
        seen->view[g] = view_of(self->call.args, &self->group[g], &seen->tile);
        first = min_of(first, seen->view[g].first);
        last = max_of(last, seen->view[g].last);
    }
    for (int g = 0; g < self->groups; g++) {
        seen->view[g].first = first;
        seen->view[g].last = last;
    }
    seen->first = first / PANEL;
    seen->last = (last + PANEL - 1) / PANEL;
    return first < last;
}

/* Whether a row does not see some key of the steps. */
static int hides_some(const row_pair *self, const seen_tile *seen) {
    const int64_t last = min_of(seen->last * PANEL, seen->tile.count);

    for (int g = 0; g < self->groups; g++)
        if (seen->view[g].all_first > seen->first * PANEL || seen->view[g].all_last < last)
            return 1;
    return 0;
}

static void attend_tile(row_pair *self, seen_tile *seen) {
    copy_key_tail(self, seen);
    compute_scores(self, seen);
    compute_words(self, seen);
    if (self->started) rescale(self, seen);
    if (hides_some(self, seen) && !values_are_finite(self, seen)) {
        for (int g = 0; g < self->groups; g++)
            for (int r = 0; r < self->group[g].rows; r++) add_row_values(self, seen, g, r);
    } else {
        copy_value_tails(self, seen);
        add_values(self, seen);
    }
    self->started = 1;
}

/* Rows [first, first + rows) of the query as blocks, with zeros up to GROUP_ROWS. */
static void start_group(const attn_block_args *args, int32_t first, int32_t rows,
                        row_group *group) {
    float *to = group->query;

    group->first = first;
    group->rows = rows;
    group->step = BLOCK;
    group->max = vec_splat(-INFINITY);
    for (int r = 0; r < GROUP_ROWS; r++) group->sum[r] = vec_splat(0);
    for (int32_t i = 0; i < args->key_dim; i += LANES * DEPTH)
        for (int32_t r = 0; r < GROUP_ROWS; r++, to += LANES)
            vec_store(to, r < rows
                              ? vec_load_elems(args->query, (first + r) * args->query_stride + i,
                                               args->key_dim - i)
                              : vec_splat(0));
}

static void write_group(const row_pair *self, const row_group *group, const float *out) {
    const int32_t value_dim = self->call.args->value_dim;
    const attn_partial result = self->call.result;

    vec_store_masked(result.max + group->first, mask_lanes(0, group->rows), group->max);
    for (int r = 0; r < group->rows; r++) {
        float *to = result.out + (ptrdiff_t)(group->first + r) * value_dim;

        result.sum[group->first + r] = vec_sum_of_lanes(group->sum[r]);
        for (int64_t c = 0; c < self->column_blocks; c++) {
            const vec row = self->started ? vec_load(out + c * BLOCK + r * LANES) : vec_splat(0);

            vec_store_masked(to + c * LANES, mask_lanes(0, value_dim - c * LANES),
                             vec_add(row, vec_splat(0))); /* no −0 */
        }
    }
}

/* Rows [first, …) of the call, as many as a pair takes. */
static void attend_pair(row_pair *self, int32_t first) {
    const attn_block_args *args = self->call.args;
    const int64_t rows = min_of(args->rows - first, PAIR * GROUP_ROWS);
    seen_tile seen;

    self->started = 0;
    self->groups = rows > GROUP_ROWS ? 2 : 1;
    for (int32_t g = 0; g < self->groups; g++)
        start_group(args, first + g * GROUP_ROWS,
                    (int32_t)min_of(rows - g * GROUP_ROWS, GROUP_ROWS), &self->group[g]);
    for (int64_t key = 0; key < args->key_count; key += TILE_KEYS) {
        seen.tile = (key_tile){.keys = (const float *)args->keys + key * self->key_words,
                               .values = (const float *)args->values + key / 2 * args->value_dim,
                               .first = key,
                               .count = min_of(args->key_count - key, TILE_KEYS)};
        if (see_tile(self, &seen)) attend_tile(self, &seen);
    }
    for (int g = 0; g < self->groups; g++) write_group(self, &self->group[g], self->out[g]);
}

/* Points the pair at the parts of the scratch, from `scratch` on; the floats that they take. */
static int64_t lay_out(row_pair *self, int32_t key_dim, int32_t value_dim, float *scratch) {
    int64_t used = 0;

    self->key_words = words_of(key_dim);
    self->key_steps = vectors_of(self->key_words);
    self->column_blocks = vectors_of(value_dim);
    for (int g = 0; g < PAIR; g++) {
        self->scores[g] = scratch + used;
        used += GROUP_ROWS * TILE_KEYS;
        self->group[g].query = scratch + used;
        used += self->key_steps * BLOCK;
        self->out[g] = scratch + used;
        used += self->column_blocks * BLOCK;
    }
    self->key_tail = scratch + used;
    used += LANES * TILE_KEYS;
    self->value_tail = scratch + used;
    used += LANES * TILE_KEYS / DEPTH;
    self->value_step = scratch + used;
    used += self->column_blocks * BLOCK;
    self->spare = scratch + used;
    return used + self->column_blocks * BLOCK;
}

static void attend(const attn_block_args *args, attn_partial result) {
    const float exponent_scale = exponent_scale_of(args);
    row_pair pair = {.call = {.args = args,
                              .result = result,
                              .exponent_scale = exponent_scale,
                              .lowest = lowest_difference(exponent_scale)}};

    assert(args->rows >= 1 && args->rows <= QUERY_ROWS && args->key_count >= 1);
    assert(args->key_dim >= 1 && args->value_dim >= 1 && args->query_stride >= args->key_dim);
    assert((uintptr_t)args->scratch % 64 == 0);
    lay_out(&pair, args->key_dim, args->value_dim, args->scratch);
    configure();
    for (int32_t row = 0; row < args->rows; row += PAIR * GROUP_ROWS) attend_pair(&pair, row);
    _tile_release();
}

/* ---- the table's row ------------------------------------------------------ */

/* Linux gives a process the state of tiles when it asks for it: arch_prctl(2). To ask again
 * changes nothing, and threads have what their process has. */
static int supported(void) {
#if defined(__linux__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

    return (attn_cpu_features() & ATTN_CPU_AMX_BF16) != 0 &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return 0;
#endif
}

static size_t scratch_bytes(int32_t key_dim, int32_t value_dim) {
    const size_t few = attn_kernel_avx512_widened.scratch_bytes(key_dim, value_dim);
    row_pair pair;
    const size_t own = (size_t)lay_out(&pair, key_dim, value_dim, NULL) * sizeof(float);

    return few > own ? few : own;
}

/* A few rows are bound by memory: they take the kernel that widens. */
static void attend_few(const attn_block_args *args, attn_partial result) {
    attn_kernel_avx512_widened.attend_few(args, result);
}

/* What is not a product is that of pairs on vectors. */
static void pack_keys(const void *keys, ptrdiff_t stride, int64_t count, int32_t dim, void *to) {
    attn_kernel_avx512_bf16.pack_keys(keys, stride, count, dim, to);
}

static void pack_values(const void *values, ptrdiff_t stride, int64_t count, int32_t dim,
                        void *to) {
    attn_kernel_avx512_bf16.pack_values(values, stride, count, dim, to);
}

static void merge(attn_partial result, attn_partial left, attn_partial right, int32_t rows,
                  int32_t value_dim, float scale) {
    attn_kernel_avx512_bf16.merge(result, left, right, rows, value_dim, scale);
}

static void finish(attn_partial partial, int32_t rows, int32_t value_dim, float scale, float *out,
                   ptrdiff_t out_stride, float *lse, ptrdiff_t lse_stride) {
    attn_kernel_avx512_bf16.finish(partial, rows, value_dim, scale, out, out_stride, lse,
                                   lse_stride);
}

static double peak_work(int64_t rounds) {
    enum { CHAINS = 6 };

    configure();
    for (int64_t round = 0; round < rounds; round++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    _tile_release();
    return 2.0 * DEPTH * LANES * LANES * GROUP_ROWS * CHAINS * (double)rounds;
}

const attn_kernel attn_kernel_amx_bf16 = {
    .name = "amx_bf16",
    .storage = ATTN_BF16,
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
