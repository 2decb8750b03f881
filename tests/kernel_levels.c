/* One kernel against the oracle and the contract of attnspan/kernels.h:
 *
 *     kernel_levels LEVEL STORAGE [PREFIX [few]]
 *
 * runs the tests whose names begin with PREFIX, with `few` on attend_few() instead of attend(),
 * and exits with 77 when there is no such level
 * in this build or this machine does not run it. tests/CMakeLists.txt lists them all. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/exp2.h"
#include "attnspan/kernels.h"
#include "harness.h"

/* Bound of max |error| / RMS of the oracle's seen rows. With u = 2^-24, queries
 * and keys uniform in +-spread have scores of deviation 0.75, the largest about
 * 4. One weight is wrong, relatively, by
 *     the dot product   |score| u sqrt(key_dim) / 3: below 20 u, some 4 u RMS,
 *     the exponent      its rounding and that of c, |exponent| < 8: 4 u RMS,
 *     the polynomial    below 3 u,
 * some 6 u RMS; the sums over a tile add 4 u. Such errors average out over the
 * keys as the values themselves do, so RMS error / RMS is near 8 u, and the
 * largest of 10^4 elements lies 4.5 deviations out: 36 u. A single key of the
 * largest score has weight 0.08 among 512: 20 u · 0.08 against an RMS of 0.045
 * adds 35 u. Together 50 u = 3.0e-6 and, doubly unlikely, 71 u = 4.2e-6. */
static const double error_bound = 4e-6;
static const float spread = 1.5f;

/* Weights rounded to bf16 are wrong by at most 2^-8 of themselves, and so is their sum with the
 * values by at most 2^-8 of the largest value. */
static const double rounding_bound = 0x1p-8;

/* The same with terms of scores. A score of up to 4 and a softcap of 6: the tangent is wrong by
 * 6 u and its argument and product are rounded, below 8 u · 4 = 32 u, some 8 u RMS; the distance
 * and the bias round what they make, up to 8 where a weight counts: 3 u RMS each. Some 11 u RMS
 * instead of 6 u: twice the bound above. */
static const double terms_error_bound = 8e-6;

/* Bound of |error| / (1 + |lse|): the same weights summed, and one rounding. */
static const double lse_bound = 1e-6;

static int few; /* attend_few() is tested */

static int32_t most_rows(const attn_kernel *kernel) {
    return few ? ATTN_FEW_ROWS : kernel->query_rows;
}

/* Whether weights are rounded to bf16. */
static int rounds_weights(const attn_kernel *kernel) {
    return kernel->depth == 2 && !few;
}

enum { GUARD = 16 }; /* floats before and after each output */

/* One call of one kernel, with its inputs. */
typedef struct problem {
    const attn_kernel *kernel;
    int32_t rows, key_dim, value_dim;
    int64_t keys;
    ptrdiff_t query_stride, key_stride, value_stride; /* of the stored values */
    float scale;
    float *query, *key, *value;                     /* owned; pack() rounds them to the storage */
    void *stored_query, *stored_key, *stored_value; /* owned: the same in the storage */
    void *packed_keys, *packed_values;              /* owned */
    attn_interval *visible;                         /* owned; [rows] */
    attn_interval *also;                            /* owned; [rows] */
    int has_also;                                   /* whether the call passes them */
    attn_score_terms terms;                         /* arrays owned; add_terms() fills them in */
    int has_terms;                                  /* whether the call passes them */
    void *scratch;                                  /* owned */
} problem;

/* ---- random numbers and memory ------------------------------------------ */

static uint64_t random_state = 1;

static uint32_t random_bits(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 32);
}

/* Uniform in [-1, 1). */
static float random_float(void) {
    return (float)(random_bits() >> 8) * 0x1p-23f - 1.0f;
}

static void *allocate(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

    if (memory == NULL) abort();
    return memory;
}

/* `count` floats of NaN, one element off the allocator's alignment and up to
 * the very end of its memory. */
static float *floats(size_t count) {
    float *memory = malloc((count + 1) * sizeof *memory);

    if (memory == NULL) abort();
    for (size_t i = 0; i <= count; i++) memory[i] = NAN;
    return memory + 1;
}

static void release(float *memory) {
    if (memory != NULL) free(memory - 1);
}

static int same_bits(const float *a, const float *b, size_t count) {
    return memcmp(a, b, count * sizeof *a) == 0;
}

/* ---- partials between canaries ------------------------------------------ */

static const float canary = 12345.0f;

static float *guarded(size_t count) {
    float *memory = floats(count + 2 * GUARD);

    for (size_t i = 0; i < GUARD; i++) memory[i] = memory[GUARD + count + i] = canary;
    return memory + GUARD;
}

static int guards_hold(const float *memory, size_t count) {
    for (size_t i = 0; i < GUARD; i++)
        if (memory[-1 - (ptrdiff_t)i] != canary || memory[count + i] != canary) return 0;
    return 1;
}

static attn_partial partial_new(int32_t rows, int32_t value_dim) {
    return (attn_partial){.out = guarded((size_t)rows * (size_t)value_dim),
                          .max = guarded((size_t)rows),
                          .sum = guarded((size_t)rows)};
}

static void partial_free(attn_partial partial) {
    release(partial.out - GUARD);
    release(partial.max - GUARD);
    release(partial.sum - GUARD);
}

static int partial_guards_hold(attn_partial partial, int32_t rows, int32_t value_dim) {
    return guards_hold(partial.out, (size_t)rows * (size_t)value_dim) &&
           guards_hold(partial.max, (size_t)rows) && guards_hold(partial.sum, (size_t)rows);
}

static int partial_same(attn_partial a, attn_partial b, int32_t rows, int32_t value_dim) {
    return same_bits(a.out, b.out, (size_t)rows * (size_t)value_dim) &&
           same_bits(a.max, b.max, (size_t)rows) && same_bits(a.sum, b.sum, (size_t)rows);
}

static void partial_copy(attn_partial to, attn_partial from, int32_t rows, int32_t value_dim) {
    memcpy(to.out, from.out, (size_t)rows * (size_t)value_dim * sizeof *to.out);
    memcpy(to.max, from.max, (size_t)rows * sizeof *to.max);
    memcpy(to.sum, from.sum, (size_t)rows * sizeof *to.sum);
}

/* The rows [first, first + …) of a partial. */
static attn_partial partial_at(attn_partial partial, int32_t first, int32_t value_dim) {
    return (attn_partial){.out = partial.out + (ptrdiff_t)first * value_dim,
                          .max = partial.max + first,
                          .sum = partial.sum + first};
}

static void partial_clear(attn_partial partial, int32_t rows, int32_t value_dim) {
    for (int32_t i = 0; i < rows * value_dim; i++) partial.out[i] = 0;
    for (int32_t row = 0; row < rows; row++) {
        partial.max[row] = -INFINITY;
        partial.sum[row] = 0;
    }
}

/* ---- problems ------------------------------------------------------------ */

static size_t bytes_of(const problem *p, int64_t elems) {
    return (size_t)(elems * attn_storage_bytes(p->kernel->storage));
}

/* `elems` elements of NaN, 4-byte aligned only and up to the very end of their memory. */
static void *elements(const problem *p, int64_t elems) {
    char *memory = malloc(4 + bytes_of(p, elems));

    if (memory == NULL) abort();
    memset(memory, 0xff, 4 + bytes_of(p, elems));
    return memory + 4;
}

static void release_elements(void *memory) {
    free((char *)memory - 4);
}

/* Element `at` of an array in the kernel's storage. */
static float element_at(const problem *p, const void *from, int64_t at) {
    uint32_t bits;
    uint16_t upper;
    float x;

    if (p->kernel->storage == ATTN_BF16) {
        memcpy(&upper, (const char *)from + 2 * at, sizeof upper);
        bits = (uint32_t)upper << 16;
    } else {
        memcpy(&bits, (const char *)from + 4 * at, sizeof bits);
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int64_t query_elems(const problem *p) {
    return (p->rows - 1) * p->query_stride + p->key_dim;
}

static int64_t key_elems(const problem *p) {
    return (p->keys - 1) * p->key_stride + p->key_dim;
}

static problem problem_new(const attn_kernel *kernel, int32_t rows, int64_t keys, int32_t key_dim,
                           int32_t value_dim) {
    problem p = {.kernel = kernel,
                 .rows = rows,
                 .key_dim = key_dim,
                 .value_dim = value_dim,
                 .keys = keys,
                 .query_stride = key_dim + (ptrdiff_t)(random_bits() % 4),
                 .key_stride = key_dim + (ptrdiff_t)(random_bits() % 4),
                 .value_stride = value_dim + (ptrdiff_t)(random_bits() % 4),
                 .scale = 1.0f / sqrtf((float)key_dim)};
    const size_t scratch_bytes = kernel->scratch_bytes(key_dim, value_dim);
    const size_t value_elems = (size_t)keys * (size_t)value_dim;

    p.query = floats((size_t)query_elems(&p));
    p.key = floats((size_t)key_elems(&p));
    p.value = floats(value_elems);
    p.stored_query = elements(&p, query_elems(&p));
    p.stored_key = elements(&p, key_elems(&p));
    p.stored_value = elements(&p, (keys - 1) * p.value_stride + value_dim);
    p.packed_keys = elements(&p, attn_packed_key_elems(kernel, keys, key_dim));
    p.packed_values = elements(&p, attn_packed_value_elems(kernel, keys, value_dim));
    p.visible = allocate((size_t)rows * sizeof *p.visible);
    p.also = allocate((size_t)rows * sizeof *p.also);
    memset(p.also, 0, (size_t)rows * sizeof *p.also);
    p.scratch = allocate(scratch_bytes + GUARD);
    memset(p.scratch, 0xff, scratch_bytes + GUARD); /* NaNs */
    /* Only what belongs to a row is a number: the gaps between rows stay NaN. */
    for (int32_t row = 0; row < rows; row++)
        for (int32_t i = 0; i < key_dim; i++)
            p.query[row * p.query_stride + i] = spread * random_float();
    for (int64_t j = 0; j < keys; j++)
        for (int32_t i = 0; i < key_dim; i++) p.key[j * p.key_stride + i] = spread * random_float();
    for (size_t i = 0; i < value_elems; i++) p.value[i] = random_float();
    for (int32_t row = 0; row < rows; row++) p.visible[row] = (attn_interval){0, keys};
    return p;
}

static void free_terms(problem *p) {
    for (int32_t row = 0; p->terms.bias != NULL && row < p->rows; row++)
        release((float *)(uintptr_t)p->terms.bias[row]);
    free((void *)(uintptr_t)p->terms.bias);
    free((void *)(uintptr_t)p->terms.slope);
    free((void *)(uintptr_t)p->terms.position);
}

enum { SOFTCAP = 1, SLOPES = 2, BIAS = 4, ALL_TERMS = 7 };

static float *bias_of(const problem *p, int32_t row) {
    return (float *)(uintptr_t)p->terms.bias[row];
}

/* Gives the problem those terms: slopes that take up to 8 from a score, positions from before the
 * first key to behind the last, biases up to the very end of their memory. */
static void add_terms(problem *p, int which) {
    const size_t rows = (size_t)p->rows;

    p->has_terms = 1;
    if (which & SOFTCAP) p->terms.softcap = 6;
    if (which & SLOPES) {
        float *slope = allocate(rows * sizeof *slope);
        int64_t *position = allocate(rows * sizeof *position);

        for (int32_t row = 0; row < p->rows; row++) {
            slope[row] = ldexpf(8 / (float)(p->keys + 80), -(row % 9));
            position[row] = row * (p->keys + 80) / p->rows - 40;
        }
        p->terms.slope = slope;
        p->terms.position = position;
    }
    if (which & BIAS) {
        const float **bias = allocate(rows * sizeof *bias);

        for (int32_t row = 0; row < p->rows; row++) {
            float *of_row = floats((size_t)p->keys);

            for (int64_t j = 0; j < p->keys; j++) of_row[j] = 2 * random_float();
            bias[row] = of_row;
        }
        p->terms.bias = bias;
    }
}

/* The scale of the problem's partials. */
static float partial_scale(const problem *p) {
    return p->has_terms ? 1 : p->scale;
}

static void problem_free(problem *p) {
    release(p->query);
    release(p->key);
    release(p->value);
    release_elements(p->stored_query);
    release_elements(p->stored_key);
    release_elements(p->stored_value);
    release_elements(p->packed_keys);
    release_elements(p->packed_values);
    free(p->visible);
    free(p->also);
    free(p->scratch);
    free_terms(p);
}

static attn_block_args args_of(const problem *p) {
    return (attn_block_args){.query = p->stored_query,
                             .query_stride = p->query_stride,
                             .rows = p->rows,
                             .key_dim = p->key_dim,
                             .value_dim = p->value_dim,
                             .keys = few ? p->stored_key : p->packed_keys,
                             .values = few ? p->stored_value : p->packed_values,
                             .key_stride = p->key_stride,
                             .value_stride = p->value_stride,
                             .key_count = p->keys,
                             .visible = p->visible,
                             .also_visible = p->has_also ? p->also : NULL,
                             .scale = p->scale,
                             .terms = p->has_terms ? &p->terms : NULL,
                             .scratch = p->scratch};
}

static void expect(int holds, const problem *p, const char *what) {
    CU_ASSERT(holds);
    if (!holds)
        fprintf(stderr, "    %s: %s (rows %d, keys %d, key_dim %d, value_dim %d)\n",
                p->kernel->name, what, (int)p->rows, (int)p->keys, (int)p->key_dim,
                (int)p->value_dim);
}

/* Stores rows of `columns` floats, `stride` apart, at rows `to_stride` apart, and rounds them to
 * what is stored. */
static void store(const problem *p, float *data, ptrdiff_t stride, int64_t rows, int32_t columns,
                  void *to, ptrdiff_t to_stride) {
    for (int64_t row = 0; row < rows; row++) {
        attn_store(p->kernel->storage, data + row * stride, columns,
                   (char *)to + bytes_of(p, row * to_stride));
        for (int64_t i = 0; i < columns; i++)
            data[row * stride + i] = element_at(p, to, row * to_stride + i);
    }
}

static void pack(const problem *p) {
    store(p, p->query, p->query_stride, p->rows, p->key_dim, p->stored_query, p->query_stride);
    store(p, p->key, p->key_stride, p->keys, p->key_dim, p->stored_key, p->key_stride);
    store(p, p->value, p->value_dim, p->keys, p->value_dim, p->stored_value, p->value_stride);
    p->kernel->pack_keys(p->stored_key, p->key_stride, p->keys, p->key_dim, p->packed_keys);
    p->kernel->pack_values(p->stored_value, p->value_stride, p->keys, p->value_dim,
                           p->packed_values);
}

static void attend(const attn_kernel *kernel, const attn_block_args *args, attn_partial result) {
    if (few)
        kernel->attend_few(args, result);
    else
        kernel->attend(args, result);
}

static attn_partial solve(const problem *p) {
    const attn_partial result = partial_new(p->rows, p->value_dim);
    const attn_block_args args = args_of(p);

    pack(p);
    attend(p->kernel, &args, result);
    return result;
}

/* ---- the oracle ---------------------------------------------------------- */

static double *widened(const float *from, ptrdiff_t stride, int64_t rows, int32_t columns) {
    double *to = allocate((size_t)rows * (size_t)columns * sizeof *to);

    for (int64_t row = 0; row < rows; row++)
        for (int32_t c = 0; c < columns; c++) to[row * columns + c] = from[row * stride + c];
    return to;
}

static attn_oracle_terms oracle_terms(const problem *p, int32_t row) {
    attn_oracle_terms terms = {.softcap = p->terms.softcap};

    if (p->terms.slope != NULL) {
        terms.slope = p->terms.slope[row];
        terms.position = p->terms.position[row];
    }
    if (p->terms.bias != NULL) terms.bias = p->terms.bias[row];
    return terms;
}

/* out: [rows][value_dim], lse: [rows]. */
static void oracle(const problem *p, double *out, double *lse) {
    double *query = widened(p->query, p->query_stride, p->rows, p->key_dim);
    double *key = widened(p->key, p->key_stride, p->keys, p->key_dim);
    double *value = widened(p->value, p->value_dim, p->keys, p->value_dim);
    const double scale = p->scale;

    for (int32_t row = 0; row < p->rows; row++) {
        const double *q = query + (ptrdiff_t)row * p->key_dim;
        double *to = out + (ptrdiff_t)row * p->value_dim, sum = 0;
        const attn_interval also = p->has_also ? p->also[row] : (attn_interval){0, 0};
        const attn_oracle_terms of_row = oracle_terms(p, row);
        const attn_oracle_terms *terms = p->has_terms ? &of_row : NULL;
        double max = attn_oracle_max(q, key, p->key_dim, p->key_dim, p->visible[row], scale, terms,
                                     -INFINITY);
        max = attn_oracle_max(q, key, p->key_dim, p->key_dim, also, scale, terms, max);

        for (int32_t c = 0; c < p->value_dim; c++) to[c] = 0;
        attn_oracle_add(q, key, p->key_dim, value, p->value_dim, p->key_dim, p->value_dim,
                        p->visible[row], scale, terms, max, &sum, to);
        attn_oracle_add(q, key, p->key_dim, value, p->value_dim, p->key_dim, p->value_dim, also,
                        scale, terms, max, &sum, to);
        attn_oracle_finish(max, sum, p->value_dim, to, &lse[row]);
    }
    free(query);
    free(key);
    free(value);
}

/* NaN is the largest error of all. */
static double larger_error(double worst, double error) {
    return isnan(worst) || error <= worst ? worst : error;
}

/* Finishes `partial` and compares: rows that see nothing exactly, the others
 * within the bound. */
static void expect_oracle(const problem *p, attn_partial partial) {
    const size_t count = (size_t)p->rows * (size_t)p->value_dim;
    double *wanted = allocate(count * sizeof *wanted);
    double *wanted_lse = allocate((size_t)p->rows * sizeof *wanted_lse);
    float *out = guarded(count), *lse = guarded((size_t)p->rows);
    double squares = 0, worst = 0, worst_lse = 0, largest = 0;
    int32_t seen = 0;

    for (int64_t i = 0; i < p->keys * p->value_dim; i++)
        largest = fmax(largest, fabs((double)p->value[i]));

    oracle(p, wanted, wanted_lse);
    p->kernel->finish(partial, p->rows, p->value_dim, partial_scale(p), out, p->value_dim, lse, 1);
    for (int32_t row = 0; row < p->rows; row++) {
        const int empty = p->visible[row].first >= p->visible[row].last;

        for (int32_t c = 0; c < p->value_dim; c++) {
            const ptrdiff_t at = (ptrdiff_t)row * p->value_dim + c;

            if (empty && (out[at] != 0 || signbit(out[at]))) expect(0, p, "empty row is not +0");
            worst = larger_error(worst, fabs(out[at] - wanted[at]));
            squares += wanted[at] * wanted[at];
        }
        if (empty) {
            expect(lse[row] == -INFINITY, p, "lse of an empty row");
        } else {
            worst_lse = larger_error(
                worst_lse, fabs(lse[row] - wanted_lse[row]) / (1 + fabs(wanted_lse[row])));
            seen++;
        }
    }
    if (seen > 0) {
        const double rms = sqrt(squares / (seen * (double)p->value_dim));
        const double bound = (p->has_terms ? terms_error_bound : error_bound) * rms +
                             (rounds_weights(p->kernel) ? rounding_bound * largest : 0);

        expect(worst <= bound, p, "error of out");
        if (!(worst <= bound)) fprintf(stderr, "    error / RMS %.3g\n", worst / rms);
        expect(worst_lse <= lse_bound, p, "error of lse");
    }
    expect(guards_hold(out, count) && guards_hold(lse, (size_t)p->rows), p, "finish's canaries");
    release(out - GUARD);
    release(lse - GUARD);
    free(wanted);
    free(wanted_lse);
}

/* ---- masks, as intervals ------------------------------------------------- */

typedef attn_interval interval_of(int64_t row, int64_t rows, int64_t keys);

static attn_interval clipped(int64_t first, int64_t last, int64_t keys) {
    return (attn_interval){first < 0      ? 0
                           : first > keys ? keys
                                          : first,
                           last < 0      ? 0
                           : last > keys ? keys
                                         : last};
}

static attn_interval see_all(int64_t row, int64_t rows, int64_t keys) {
    (void)row, (void)rows;
    return (attn_interval){0, keys};
}

static attn_interval see_last_aligned(int64_t row, int64_t rows, int64_t keys) {
    return clipped(0, row + 1 + keys - rows, keys);
}

static attn_interval see_first_aligned(int64_t row, int64_t rows, int64_t keys) {
    (void)rows;
    return clipped(0, row + 1, keys);
}

static attn_interval see_in_odd_rows(int64_t row, int64_t rows, int64_t keys) {
    (void)rows;
    return clipped(0, row % 2 * keys, keys);
}

static attn_interval see_one_key(int64_t row, int64_t rows, int64_t keys) {
    const int64_t key = (row * 37 + rows) % keys;

    return (attn_interval){key, key + 1};
}

static attn_interval see_window(int64_t row, int64_t rows, int64_t keys) {
    const int64_t center = row * keys / rows;

    return clipped(center - 5, center + 3, keys);
}

static attn_interval see_end(int64_t row, int64_t rows, int64_t keys) {
    (void)rows;
    return clipped(keys - 1 - 3 * row, keys, keys);
}

static attn_interval see_nothing(int64_t row, int64_t rows, int64_t keys) {
    return clipped(row, rows - row - 1 < row ? rows - row - 1 : row, keys);
}

static interval_of *const masks[] = {see_all,         see_last_aligned, see_first_aligned,
                                     see_in_odd_rows, see_one_key,      see_window,
                                     see_end,         see_nothing};

/* ---- the table: every combination of a line's lists under every mask ----- */

enum { ALL_ROWS = -1, HALF_ROWS = -2, SAME = -3, PANEL = -4, PANEL_LESS = -5, PANEL_MORE = -6 };

static const struct sweep {
    const char *name;
    int32_t key_dims[40], value_dims[16], keys[20], rows[8]; /* each ends with a 0 */
} sweeps[] = {
    {"head_dims",
     {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,  13,  14, 15,
      16, 17, 18, 19, 20, 32, 40, 64, 72, 80, 96, 128, 192, 256},
     {SAME},
     {65},
     {5}},
    {"value_dims",
     {1, 7, 16, 33},
     {1, 2, 5, 8, 9, 24, 48, 50, 64, 70, 80, 100, 112, 130},
     {40},
     {6}},
    {"column_blocks",
     {5},
     {3, 16, 20, 32, 40, 48, 60, 64, 80, 90, 96, 128, 200},
     {70},
     {1, 2, 4, HALF_ROWS, ALL_ROWS}},
    {"key_counts",
     {3, 64},
     {SAME},
     {1, 2, PANEL_LESS, PANEL, PANEL_MORE, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 257},
     {7}},
    {"row_counts", {24}, {SAME}, {70}, {1, 2, 3, 4, 5, HALF_ROWS, ALL_ROWS}},
    {"many_keys", {20, 128}, {SAME}, {512}, {1, ALL_ROWS}},
};

static int32_t resolve(int32_t entry, const attn_kernel *kernel, int32_t same) {
    switch (entry) {
        case ALL_ROWS:
            return most_rows(kernel);
        case HALF_ROWS:
            return most_rows(kernel) / 2 + 1;
        case PANEL:
            return kernel->key_panel;
        case PANEL_LESS:
            return kernel->key_panel > 1 ? kernel->key_panel - 1 : 1;
        case PANEL_MORE:
            return kernel->key_panel + 1;
        case SAME:
            return same;
        default:
            return entry;
    }
}

static void check_problem(const attn_kernel *kernel, int32_t rows, int32_t keys, int32_t key_dim,
                          int32_t value_dim) {
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        problem p = problem_new(kernel, rows, keys, key_dim, value_dim);
        const size_t scratch_bytes = kernel->scratch_bytes(key_dim, value_dim);
        attn_partial result;

        for (int32_t row = 0; row < rows; row++) p.visible[row] = masks[m](row, rows, keys);
        result = solve(&p);
        expect(partial_guards_hold(result, rows, value_dim), &p, "attend's canaries");
        for (size_t i = 0; i < GUARD; i++)
            if (((unsigned char *)p.scratch)[scratch_bytes + i] != 0xff)
                expect(0, &p, "scratch's canary");
        for (int32_t row = 0; row < rows; row++)
            if (p.visible[row].first >= p.visible[row].last)
                expect(result.max[row] == -INFINITY && result.sum[row] == 0, &p, "empty partial");
        expect_oracle(&p, result);
        partial_free(result);
        problem_free(&p);
    }
}

static void check_sweep(const attn_kernel *kernel, const struct sweep *sweep) {
    for (const int32_t *d = sweep->key_dims; *d != 0; d++)
        for (const int32_t *v = sweep->value_dims; *v != 0; v++)
            for (const int32_t *k = sweep->keys; *k != 0; k++)
                for (const int32_t *r = sweep->rows; *r != 0; r++) {
                    const int32_t rows = resolve(*r, kernel, 0);

                    if (rows > most_rows(kernel)) continue;
                    check_problem(kernel, rows, resolve(*k, kernel, 0), *d,
                                  resolve(*v, kernel, *d));
                }
}

/* ---- what the tests do for each kernel ----------------------------------- */

static void check_row_counts(const attn_kernel *kernel) {
    for (int32_t rows = 1; rows <= most_rows(kernel); rows++)
        check_problem(kernel, rows, 45, 12, 20);
}

static void check_key_counts(const attn_kernel *kernel) {
    for (int32_t keys = 1; keys <= 2 * ATTN_KEY_UNIT + 1; keys++)
        check_problem(kernel, 5, keys, 10, 18);
    for (int32_t keys = 250; keys <= 260; keys++) check_problem(kernel, 3, keys, 256, 40);
}

/* Panels hold the keys step by step, zeros after the last, nothing beyond; so do the values. */
static void check_packing(const attn_kernel *kernel) {
    const int32_t panel = kernel->key_panel, depth = kernel->depth;

    for (int32_t keys = 1; keys <= 2 * panel + 1; keys++) {
        problem p = problem_new(kernel, 1, keys, 5, 3);
        const int64_t keys_held = (keys + panel - 1) / panel * panel;
        const int64_t dims_held = (5 + depth - 1) / depth * depth;
        int holds =
            attn_packed_key_elems(kernel, keys, 5) == keys_held * dims_held &&
            attn_packed_value_elems(kernel, keys, 3) == (keys + depth - 1) / depth * depth * 3;

        pack(&p);
        for (int64_t j = 0; j < keys_held; j++)
            for (int64_t i = 0; i < dims_held; i++) {
                const int64_t at =
                    ((j / panel * (dims_held / depth) + i / depth) * panel + j % panel) * depth;
                const float wanted = j < keys && i < 5 ? p.key[j * p.key_stride + i] : 0.0f;

                holds &= element_at(&p, p.packed_keys, at + i % depth) == wanted;
            }
        for (int64_t j = 0; j < (keys + depth - 1) / depth * depth; j++)
            for (int64_t c = 0; c < 3; c++)
                holds &= element_at(&p, p.packed_values, (j / depth * 3 + c) * depth + j % depth) ==
                         (j < keys ? p.value[j * 3 + c] : 0.0f);
        expect(holds, &p, "packed keys and values");
        problem_free(&p);
    }
}

/* A run some keys behind the row's first one; none when there is no room. */
static attn_interval second_run(const problem *p, int64_t row, int64_t gap) {
    const int64_t first = p->visible[row].last + gap;
    const int64_t last = first + 1 + row * 7 % 130;

    if (p->visible[row].last <= p->visible[row].first || first >= p->keys)
        return (attn_interval){0, 0};
    return (attn_interval){first, last < p->keys ? last : p->keys};
}

/* bf16 that is widened gives the bits of fp32 on the same numbers. */
static void check_widening(const attn_kernel *kernel) {
    int32_t level = 0;

    if (kernel->storage != ATTN_BF16 || kernel->depth != 1) return; /* nothing is widened */
    while (strcmp(attn_kernel_name(level), kernel->name) != 0) level++;
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        problem p = problem_new(kernel, most_rows(kernel), 300, 37, 21), wide;
        attn_partial narrow_result, wide_result;

        p.has_also = m % 2 == 1;
        if (m % 4 >= 2) add_terms(&p, ALL_TERMS);
        for (int32_t row = 0; row < p.rows; row++) {
            p.visible[row] = masks[m](row, p.rows, p.keys);
            p.also[row] = second_run(&p, row, 1 + row % 40);
        }
        narrow_result = solve(&p);
        wide =
            problem_new(attn_kernel_of(level, ATTN_FP32), p.rows, p.keys, p.key_dim, p.value_dim);
        wide.has_also = p.has_also;
        wide.has_terms = p.has_terms;
        wide.terms = p.terms;
        for (int32_t row = 0; row < p.rows; row++) {
            wide.visible[row] = p.visible[row];
            wide.also[row] = p.also[row];
            memcpy(wide.query + row * wide.query_stride, p.query + row * p.query_stride,
                   (size_t)p.key_dim * sizeof *p.query);
        }
        for (int64_t j = 0; j < p.keys; j++)
            memcpy(wide.key + j * wide.key_stride, p.key + j * p.key_stride,
                   (size_t)p.key_dim * sizeof *p.key);
        memcpy(wide.value, p.value, (size_t)(p.keys * p.value_dim) * sizeof *p.value);
        wide_result = solve(&wide);
        expect(partial_same(narrow_result, wide_result, p.rows, p.value_dim), &p,
               "widened bf16 and fp32 differ");
        partial_free(narrow_result);
        partial_free(wide_result);
        wide.terms = (attn_score_terms){0}; /* those of p */
        problem_free(&wide);
        problem_free(&p);
    }
}

/* Differences of scores as large as fp32 and beyond: the largest key wins. */
static void check_extremes(const attn_kernel *kernel) {
    static const float sizes[] = {1e4f, 1e20f, 1e30f, 3e38f};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int32_t winner = 0; winner < 150; winner += 7) {
            problem p = problem_new(kernel, 3, 150, 4, 9);
            attn_partial result;

            p.scale = 1;
            for (int32_t row = 0; row < p.rows; row++)
                for (int32_t i = 0; i < p.key_dim; i++)
                    p.query[row * p.query_stride + i] = i == 0 ? 1.0f : 0.0f;
            for (int32_t j = 0; j < p.keys; j++) {
                const float small = j % 3 == 0 ? 0.5f : -1.0f;

                p.key[j * p.key_stride] = j == winner ? sizes[s] : small * sizes[s];
            }
            p.visible[1] = (attn_interval){0, winner}; /* ties, or nothing but the negative */
            p.visible[2] = (attn_interval){1, 3};
            result = solve(&p);
            expect_oracle(&p, result);
            partial_free(result);
            problem_free(&p);
        }
}

/* Scores of −inf: nothing among finite ones, and all of them together no key. */
static void check_infinite_scores(const attn_kernel *kernel) {
    static const float scales[] = {1, 1e-20f, 1e-37f, 1e-40f}; /* the last is subnormal */

    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        problem p = problem_new(kernel, 3, 150, 1, 9);
        attn_partial result;

        p.scale = scales[s];
        for (int32_t row = 0; row < p.rows; row++) p.query[row * p.query_stride] = 1;
        for (int32_t j = 0; j < p.keys; j++)
            p.key[j * p.key_stride] =
                j % 3 == 0 || j >= 40 ? -INFINITY : (j % 2 == 0 ? -1.0f : 2.0f);
        p.visible[1] = (attn_interval){33, 34}; /* one key, −inf */
        p.visible[2] = (attn_interval){40, 150};
        result = solve(&p);
        for (int32_t row = 1; row < p.rows; row++) {
            expect(result.max[row] == -INFINITY && result.sum[row] == 0, &p, "all scores -inf");
            p.visible[row] = (attn_interval){0, 0}; /* which is what it must be like */
        }
        expect_oracle(&p, result);
        partial_free(result);
        problem_free(&p);
    }
}

/* With the values an identity, out is the weights themselves: the exponential
 * within 1.5 ulp and the rounding of its argument, a product. */
static void check_weights(const attn_kernel *kernel) {
    enum { KEYS = 200 };
    problem p = problem_new(kernel, 1, KEYS, 1, KEYS);
    const double factor = (double)(p.scale * ATTN_LOG2_E);
    attn_partial result;

    p.query[0] = 1;
    for (int32_t j = 0; j < KEYS; j++) {
        p.key[j * p.key_stride] = j == 77 ? 0 : -(float)j * (0.45f + 0.001f * random_float());
        for (int32_t c = 0; c < KEYS; c++) p.value[j * KEYS + c] = j == c;
    }
    result = solve(&p);
    for (int32_t j = 0; j < KEYS; j++) {
        const double x = (double)p.key[j * p.key_stride] * factor, wanted = exp2(x);
        const double ulp = exp2(floor(x) - 23), error = fabs((double)result.out[j] - wanted);

        /* Rounded to bf16, where pairs multiply: a relative 2^-8 more. */
        if (x >= -126)
            expect(error <= (1.5 - 0.75 * x) * ulp + (rounds_weights(kernel) ? 0x1p-8 * wanted : 0),
                   &p, "error of a weight");
        else
            expect(error <= 0x1p-126, &p, "a weight too small for its score");
    }
    expect(result.out[77] == 1 && result.out[0] == 1, &p, "weight of the largest score");
    partial_free(result);
    problem_free(&p);
}

/* A problem whose rows see all kinds of intervals of three tiles or more; its
 * values reach down to where products underflow. */
static problem mixed_problem(const attn_kernel *kernel, int terms) {
    problem p = problem_new(kernel, most_rows(kernel), 300, 19, 21);

    if (terms != 0) add_terms(&p, terms);
    for (int32_t row = 0; row < p.rows; row++)
        p.visible[row] = masks[(size_t)row % (sizeof masks / sizeof *masks)](row, p.rows, p.keys);
    p.has_also = 1;
    for (int32_t row = 0; row < p.rows; row++) p.also[row] = second_run(&p, row, 1 + row % 90);
    for (int64_t i = 0; i < p.keys * p.value_dim; i++)
        if (i % 5 < 2) p.value[i] = i % 5 == 0 ? -FLT_MIN : -0x1p-149f;
    return p;
}

/* Row `row` of the problem at place `place` of a call of `rows` rows, the others
 * taken from anywhere with intervals of their own. */
static void check_row_at(const problem *p, attn_partial wanted, int32_t row, int32_t place,
                         int32_t rows) {
    problem moved = *p;
    attn_partial result;

    moved.rows = rows;
    moved.query_stride = p->key_dim;
    moved.query = floats((size_t)rows * (size_t)p->key_dim);
    moved.visible = allocate((size_t)rows * sizeof *moved.visible);
    moved.also = allocate((size_t)rows * sizeof *moved.also);
    if (p->has_terms) {
        moved.terms = (attn_score_terms){0};
        add_terms(&moved, ALL_TERMS);
        memcpy(bias_of(&moved, place), p->terms.bias[row], (size_t)p->keys * sizeof(float));
        ((float *)(uintptr_t)moved.terms.slope)[place] = p->terms.slope[row];
        ((int64_t *)(uintptr_t)moved.terms.position)[place] = p->terms.position[row];
    }
    moved.has_also = place % 2 == 0 || p->also[row].last > 0; /* an empty one and none are alike */
    for (int32_t r = 0; r < rows; r++) {
        const int32_t source = r == place ? row : (int32_t)(random_bits() % (uint32_t)p->rows);
        const int64_t edge = (int64_t)(random_bits() % (uint32_t)(p->keys + 1));

        memcpy(moved.query + (ptrdiff_t)r * p->key_dim, p->query + source * p->query_stride,
               (size_t)p->key_dim * sizeof *moved.query);
        moved.visible[r] =
            r == place ? p->visible[row] : (attn_interval){r % 3 == 0 ? 0 : edge / 2, edge};
        moved.also[r] = r == place ? p->also[row] : second_run(&moved, r, 1 + edge % 40);
    }
    result = solve(&moved);
    expect(partial_same(partial_at(wanted, row, p->value_dim),
                        partial_at(result, place, p->value_dim), 1, p->value_dim),
           p, "a row's bits depend on its neighbours");
    partial_free(result);
    release(moved.query);
    free(moved.visible);
    free(moved.also);
    if (p->has_terms) free_terms(&moved);
}

static void check_independence_with(const attn_kernel *kernel, int terms) {
    problem p = mixed_problem(kernel, terms);
    const attn_partial wanted = solve(&p);

    for (int32_t row = 0; row < p.rows; row++) {
        check_row_at(&p, wanted, row, 0, 1);
        check_row_at(&p, wanted, row, p.rows - 1, p.rows);
        for (int32_t times = 0; times < 6; times++) {
            const int32_t rows = 1 + (int32_t)(random_bits() % (uint32_t)p.rows);

            check_row_at(&p, wanted, row, (int32_t)(random_bits() % (uint32_t)rows), rows);
        }
    }
    partial_free(wanted);
    problem_free(&p);
}

static void check_independence(const attn_kernel *kernel) {
    check_independence_with(kernel, 0);
    check_independence_with(kernel, ALL_TERMS);
}

static void check_null_is_full(const attn_kernel *kernel) {
    static const int32_t key_counts[] = {1, 8, 31, 32, 100, 128, 300};

    for (size_t k = 0; k < sizeof key_counts / sizeof *key_counts; k++) {
        problem p = problem_new(kernel, most_rows(kernel), key_counts[k], 11, 13);
        const attn_partial wanted = solve(&p), result = partial_new(p.rows, p.value_dim);
        attn_block_args args = args_of(&p);

        args.visible = NULL;
        attend(kernel, &args, result);
        expect(partial_same(wanted, result, p.rows, p.value_dim), &p, "NULL and full differ");
        partial_free(wanted);
        partial_free(result);
        problem_free(&p);
    }
}

static int sees(const problem *p, int32_t row, int64_t key) {
    const attn_interval seen = p->visible[row], also = p->also[row];

    return (key >= seen.first && key < seen.last) ||
           (p->has_also && key >= also.first && key < also.last);
}

/* What stands at keys that a row does not see, in keys, values or biases, is nothing to
 * it, even NaN. */
static void check_masked_with(const attn_kernel *kernel, int has_also, int terms) {
    static const float poison[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    problem p = problem_new(kernel, most_rows(kernel), 200, 9, 10);
    attn_partial wanted;

    /* Keys 60 … 69 and 150 … 159 are seen by the last row alone, or by nobody. */
    for (int32_t row = 0; row < p.rows; row++)
        p.visible[row] =
            row % 2 == 0 ? (attn_interval){row % 60, 60} : (attn_interval){70, 150 - row % 3};
    for (int32_t row = 0; row < p.rows; row += 3) /* those of even rows: gaps that nothing sees */
        if (row % 2 == 0) p.also[row] = (attn_interval){70 + row % 9, 150 - row % 3};
    p.has_also = has_also;
    if (terms != 0) add_terms(&p, terms);
    p.also[p.rows - 1] = (attn_interval){0, 0};
    p.visible[p.rows - 1] = (attn_interval){0, 200};
    wanted = solve(&p);
    for (size_t i = 0; i < sizeof poison / sizeof *poison; i++) {
        attn_partial result;

        for (int64_t j = 60; j < 160; j = j == 69 ? 150 : j + 1) {
            p.key[j * p.key_stride + j % p.key_dim] = poison[i];
            p.value[j * p.value_dim + j % p.value_dim] = poison[i];
            for (int32_t row = 0; (terms & BIAS) && row < p.rows - 1; row++)
                if (!sees(&p, row, j)) bias_of(&p, row)[j] = poison[i];
        }
        result = solve(&p);
        expect(partial_same(wanted, result, p.rows - 1, p.value_dim), &p, "a masked key counts");
        p.visible[p.rows - 1] = (attn_interval){160, 200};
        partial_free(result);
        result = solve(&p);
        expect(partial_same(wanted, result, p.rows - 1, p.value_dim), &p, "a hidden key counts");
        p.visible[p.rows - 1] = (attn_interval){0, 200};
        partial_free(result);
    }
    partial_free(wanted);
    problem_free(&p);
}

static void check_masked_is_nothing(const attn_kernel *kernel) {
    for (int has_also = 0; has_also < 2; has_also++) {
        check_masked_with(kernel, has_also, 0);
        check_masked_with(kernel, has_also, BIAS);
        check_masked_with(kernel, has_also, ALL_TERMS);
    }
}

/* Gaps inside a panel, over panels and over tiles, beside rows without one. */
static void check_second_runs(const attn_kernel *kernel) {
    static const int32_t key_counts[] = {3, 33, 64, 129, 300, 512};
    static const int32_t gaps[] = {1, 2, 15, 16, 17, 100, 257};
    static const int32_t value_dims[] = {20, 37, 64}; /* an RMS over a few would say nothing */
    const int32_t row_counts[] = {1, 3, most_rows(kernel)};

    for (size_t k = 0; k < sizeof key_counts / sizeof *key_counts; k++)
        for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
            for (size_t i = 0; i < 9; i++) {
                problem p =
                    problem_new(kernel, row_counts[i % 3], key_counts[k], 12, value_dims[i / 3]);
                attn_partial result;

                for (int32_t row = 0; row < p.rows; row++) {
                    p.visible[row] = clipped(row % 4, row % 4 + 1 + row % 40, p.keys);
                    if (row % 5 != 4) p.also[row] = second_run(&p, row, gaps[g]);
                }
                p.has_also = 1;
                result = solve(&p);
                expect(partial_guards_hold(result, p.rows, p.value_dim), &p, "attend's canaries");
                expect_oracle(&p, result);
                partial_free(result);
                problem_free(&p);
            }
}

/* Every combination of terms under every mask, over panels, tiles and gaps. */
static void check_terms(const attn_kernel *kernel) {
    static const int32_t key_counts[] = {1, 33, 64, 129, 300, 512};
    const int32_t row_counts[] = {1, 3, most_rows(kernel)};

    for (int which = 1; which <= ALL_TERMS; which++)
        for (size_t m = 0; m < sizeof masks / sizeof *masks; m++)
            for (size_t k = 0; k < sizeof key_counts / sizeof *key_counts; k++) {
                problem p = problem_new(kernel, row_counts[(m + k) % 3], key_counts[k], 12, 37);
                attn_partial result;

                add_terms(&p, which);
                p.has_also = (m + k) % 2 == 1;
                for (int32_t row = 0; row < p.rows; row++) {
                    p.visible[row] = masks[m](row, p.rows, p.keys);
                    p.also[row] = second_run(&p, row, 1 + row % 40);
                }
                result = solve(&p);
                expect(partial_guards_hold(result, p.rows, p.value_dim), &p, "attend's canaries");
                expect_oracle(&p, result);
                partial_free(result);
                problem_free(&p);
            }
}

/* Biases of −inf hide keys; a row of nothing else is empty. */
static void check_infinite_biases(const attn_kernel *kernel) {
    problem p = problem_new(kernel, most_rows(kernel), 300, 12, 37);
    attn_partial result;

    add_terms(&p, ALL_TERMS);
    for (int32_t row = 0; row < p.rows; row++)
        for (int64_t j = 0; j < p.keys; j++)
            if (row % 3 == 0 || (row + j) % 5 < 2 || j < 40 * row) bias_of(&p, row)[j] = -INFINITY;
    result = solve(&p);
    for (int32_t row = 0; row < p.rows; row++) {
        if (row % 3 != 0 && 40 * row < p.keys - 5) continue;
        expect(result.max[row] == -INFINITY && result.sum[row] == 0, &p, "all biases -inf");
        p.visible[row] = (attn_interval){0, 0}; /* which is what it must be like */
    }
    expect_oracle(&p, result);
    partial_free(result);
    problem_free(&p);
}

/* Whatever the scores, a softcap leaves them between −c and c, and of their order. */
static void check_softcap_saturates(const attn_kernel *kernel) {
    static const float sizes[] = {1e-30f, 1e-4f, 1, 30, 1e4f, 1e30f, 3e38f};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        problem p = problem_new(kernel, 3, 150, 1, 37);
        attn_partial result;

        add_terms(&p, SOFTCAP);
        p.scale = 0.25f;
        for (int32_t row = 0; row < p.rows; row++)
            p.query[row * p.query_stride] = row % 2 == 0 ? 1 : -1;
        for (int64_t j = 0; j < p.keys; j++)
            p.key[j * p.key_stride] = sizes[s] * (float)(j % 7 - 3) / 3;
        p.visible[2] = (attn_interval){0, 3}; /* nothing but the negative */
        result = solve(&p);
        for (int32_t row = 0; row < p.rows; row++)
            expect(fabsf(result.max[row]) <= 6.000002f, &p, "a score above its cap");
        expect_oracle(&p, result);
        partial_free(result);
        problem_free(&p);
    }
}

/* A visible NaN must not vanish. */
static void check_nan_shows(const attn_kernel *kernel) {
    for (int place = 0; place < 4; place++)
        for (int64_t at = 0; at < 140; at += 139) {
            problem p = problem_new(kernel, 2, 140, 3, 9);
            attn_partial result;

            if (place >= 2) add_terms(&p, ALL_TERMS);
            if (place == 2)
                for (int32_t row = 0; row < p.rows; row++) bias_of(&p, row)[at] = NAN;
            else if (place == 1 || place == 3)
                p.key[at * p.key_stride] = NAN;
            else
                p.value[at * p.value_dim] = NAN;
            result = solve(&p);
            expect(isnan(result.out[0]) && isnan(result.out[p.value_dim]), &p, "NaN is lost");
            partial_free(result);
            problem_free(&p);
        }
}

/* ---- merge and finish ---------------------------------------------------- */

static const int32_t widths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 100};

enum { MERGE_ROWS = 5 };

static attn_partial random_partial(int32_t value_dim) {
    const attn_partial partial = partial_new(MERGE_ROWS, value_dim);

    for (int32_t i = 0; i < MERGE_ROWS * value_dim; i++) partial.out[i] = 10 * random_float();
    for (int32_t row = 0; row < MERGE_ROWS; row++) {
        partial.max[row] = 20 * random_float();
        partial.sum[row] = 3 + random_float();
    }
    return partial;
}

static void check_merge_empty(const attn_kernel *kernel) {
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const int32_t d = widths[w];
        const problem p = {.kernel = kernel, .rows = MERGE_ROWS, .value_dim = d};
        const attn_partial left = random_partial(d), right = random_partial(d);
        const attn_partial empty = partial_new(MERGE_ROWS, d), result = partial_new(MERGE_ROWS, d);
        const attn_partial pair = partial_new(MERGE_ROWS, d), other = partial_new(MERGE_ROWS, d);

        partial_clear(empty, MERGE_ROWS, d);
        left.out[0] = -0.0f; /* a copy keeps even this */
        kernel->merge(result, left, empty, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, left, MERGE_ROWS, d), &p, "merge with empty at the right");
        kernel->merge(result, empty, left, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, left, MERGE_ROWS, d), &p, "merge with empty at the left");
        kernel->merge(result, empty, empty, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, empty, MERGE_ROWS, d), &p, "merge of empties");

        /* (left + empty) + right = left + (empty + right), to the bit. */
        kernel->merge(pair, left, empty, MERGE_ROWS, d, 0.3f);
        kernel->merge(result, pair, right, MERGE_ROWS, d, 0.3f);
        kernel->merge(pair, empty, right, MERGE_ROWS, d, 0.3f);
        kernel->merge(other, left, pair, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, other, MERGE_ROWS, d), &p, "merge around empty");
        expect(partial_guards_hold(result, MERGE_ROWS, d), &p, "merge's canaries");
        partial_free(left);
        partial_free(right);
        partial_free(empty);
        partial_free(result);
        partial_free(pair);
        partial_free(other);
    }
}

static void check_merge_aliased(const attn_kernel *kernel) {
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const int32_t d = widths[w];
        const problem p = {.kernel = kernel, .rows = MERGE_ROWS, .value_dim = d};
        const attn_partial left = random_partial(d), right = random_partial(d);
        const attn_partial wanted = partial_new(MERGE_ROWS, d), result = partial_new(MERGE_ROWS, d);

        partial_clear(right, 1, d); /* one row of the empty kind among them */
        kernel->merge(wanted, left, right, MERGE_ROWS, d, 0.3f);
        partial_copy(result, left, MERGE_ROWS, d);
        kernel->merge(result, result, right, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, wanted, MERGE_ROWS, d), &p, "merge into left");
        partial_copy(result, right, MERGE_ROWS, d);
        kernel->merge(result, left, result, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, wanted, MERGE_ROWS, d), &p, "merge into right");
        expect(partial_guards_hold(result, MERGE_ROWS, d), &p, "merge's canaries");
        partial_free(left);
        partial_free(right);
        partial_free(wanted);
        partial_free(result);
    }
}

/* The larger maximum wins by any distance, from either side, and exactly. */
static void check_merge_far(const attn_kernel *kernel) {
    static const float apart[] = {1e4f, 1e30f, 3e38f};
    const int32_t d = 19;
    const problem p = {.kernel = kernel, .rows = MERGE_ROWS, .value_dim = d};

    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) {
        const attn_partial low = random_partial(d), high = random_partial(d);
        const attn_partial result = partial_new(MERGE_ROWS, d);

        for (int32_t row = 0; row < MERGE_ROWS; row++) {
            low.max[row] = -apart[i];
            high.max[row] = apart[i];
        }
        kernel->merge(result, low, high, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, high, MERGE_ROWS, d), &p, "merge with far more at the right");
        kernel->merge(result, high, low, MERGE_ROWS, d, 0.3f);
        expect(partial_same(result, high, MERGE_ROWS, d), &p, "merge with far more at the left");
        partial_free(low);
        partial_free(high);
        partial_free(result);
    }
}

/* The partial of the keys [first, last) of a problem; first lies on a panel. */
static attn_partial solve_part(const problem *p, int64_t first, int64_t last) {
    const attn_partial result = partial_new(p->rows, p->value_dim);
    attn_block_args args = args_of(p);
    attn_interval *visible = allocate((size_t)p->rows * sizeof *visible);
    int64_t *position = allocate((size_t)p->rows * sizeof *position);
    const float **bias = allocate((size_t)p->rows * sizeof *bias);
    const attn_score_terms terms = {p->terms.softcap, p->terms.slope, position, bias};

    for (int32_t row = 0; row < p->rows; row++)
        visible[row] =
            clipped(p->visible[row].first - first, p->visible[row].last - first, last - first);
    args.keys = (const char *)args.keys +
                bytes_of(p, few ? first * p->key_stride
                                : attn_packed_key_elems(p->kernel, first, p->key_dim));
    args.values = (const char *)args.values +
                  bytes_of(p, few ? first * p->value_stride
                                  : attn_packed_value_elems(p->kernel, first, p->value_dim));
    args.key_count = last - first;
    args.visible = visible;
    args.terms = p->has_terms ? &terms : NULL;
    for (int32_t row = 0; p->has_terms && row < p->rows; row++) {
        position[row] = p->terms.position[row] - first;
        bias[row] = p->terms.bias[row] + first;
    }
    attend(p->kernel, &args, result);
    free(visible);
    free(position);
    free((void *)(uintptr_t)bias);
    return result;
}

static void check_merged_parts(const attn_kernel *kernel) {
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++)
        for (int64_t split = ATTN_KEY_UNIT; split < 300; split += 3 * ATTN_KEY_UNIT) {
            problem p = problem_new(kernel, most_rows(kernel), 300, 18, 17);
            attn_partial left, right;

            if ((m + (size_t)split / ATTN_KEY_UNIT) % 2 == 0) add_terms(&p, ALL_TERMS);
            for (int32_t row = 0; row < p.rows; row++)
                p.visible[row] = masks[m](row, p.rows, p.keys);
            pack(&p);
            left = solve_part(&p, 0, split);
            right = solve_part(&p, split, p.keys);
            kernel->merge(left, left, right, p.rows, p.value_dim, partial_scale(&p));
            expect_oracle(&p, left);
            partial_free(left);
            partial_free(right);
            problem_free(&p);
        }
}

static void check_finish(const attn_kernel *kernel) {
    enum { COLUMNS = 11, STRIDE = 14 };
    const problem p = {.kernel = kernel, .rows = 3, .value_dim = COLUMNS};
    const attn_partial partial = partial_new(3, COLUMNS);
    float *out = guarded(3 * STRIDE), *lse = guarded(3 * 2);
    int signs = 1, gaps = 1;

    partial_clear(partial, 3, COLUMNS);
    partial.sum[1] = 3; /* row 0 is empty */
    partial.max[1] = -7;
    partial.sum[2] = 1;
    partial.max[2] = -0.0f;
    for (int c = 0; c < COLUMNS; c++) {
        partial.out[COLUMNS + c] = c % 2 == 0 ? -0.0f : (float)c;
        partial.out[2 * COLUMNS + c] = c % 2 == 0 ? -0.0f : -0x1p-149f;
    }
    partial.sum[2] = 4; /* −2^-149 / 4 underflows */
    kernel->finish(partial, 3, COLUMNS, 0.5f, out, STRIDE, lse, 2);
    for (int row = 0; row < 3; row++) {
        for (int c = 0; c < COLUMNS; c++)
            signs &= !(out[row * STRIDE + c] == 0 && signbit(out[row * STRIDE + c]));
        for (int c = COLUMNS; c < STRIDE; c++) gaps &= isnan(out[row * STRIDE + c]) != 0;
        gaps &= isnan(lse[row * 2 + 1]) != 0;
        expect(out[row * STRIDE] == 0, &p, "finish of zeros");
    }
    expect(signs, &p, "finish makes -0");
    expect(gaps, &p, "finish writes between its rows");
    expect(out[STRIDE + 3] == 3.0f / 3.0f, &p, "finish divides");
    expect(lse[0] == -INFINITY && fabs(lse[2] - (-3.5 + log(3.0))) < 1e-6, &p, "finish's lse");
    expect(guards_hold(out, 3 * STRIDE) && guards_hold(lse, 3 * 2), &p, "finish's canaries");

    partial.sum[1] = 1;
    partial.max[1] = -1e-30f; /* its product with the scale underflows */
    kernel->finish(partial, 2, COLUMNS, 1e-20f, out, STRIDE, lse, 2);
    expect(lse[2] == 0 && !signbit(lse[2]), &p, "lse is -0");
    kernel->finish(partial, 2, COLUMNS, 0.5f, out, STRIDE, NULL, 0);
    release(out - GUARD);
    release(lse - GUARD);
    partial_free(partial);
}

/* Merging is pointwise over rows, so a row's bits stand alone there too. */
static void check_merge_rows(const attn_kernel *kernel) {
    const int32_t d = 37;
    const problem p = {.kernel = kernel, .rows = MERGE_ROWS, .value_dim = d};
    const attn_partial left = random_partial(d), right = random_partial(d);
    const attn_partial wanted = partial_new(MERGE_ROWS, d), result = partial_new(MERGE_ROWS, d);

    kernel->merge(wanted, left, right, MERGE_ROWS, d, 0.3f);
    for (int32_t row = 0; row < MERGE_ROWS; row++)
        kernel->merge(partial_at(result, row, d), partial_at(left, row, d),
                      partial_at(right, row, d), 1, d, 0.3f);
    expect(partial_same(wanted, result, MERGE_ROWS, d), &p, "merge row by row");
    partial_free(left);
    partial_free(right);
    partial_free(wanted);
    partial_free(result);
}

/* ---- tests ---------------------------------------------------------------- */

static const attn_kernel *tested; /* what main was asked for */

static void check_table(const attn_kernel *kernel) {
    CU_ASSERT(kernel->query_rows >= 1);
    CU_ASSERT(kernel->key_panel >= 1 && ATTN_KEY_UNIT % kernel->key_panel == 0);
    CU_ASSERT(kernel->depth == 1 || kernel->depth == 2);
    CU_ASSERT(kernel->scratch_bytes(1, 1) > 0);
    CU_ASSERT(attn_packed_key_elems(kernel, INT64_C(1) << 40, 128) == INT64_C(1) << 47);
    CU_ASSERT(attn_packed_value_elems(kernel, INT64_C(1) << 40, 128) == INT64_C(1) << 47);
    CU_ASSERT(kernel->peak_work(1000) > 0);
}

#define TESTS(X)                                       \
    X("contract.table", table)                         \
    X("contract.packing", packing)                     \
    X("contract.widening_is_exact", widening)          \
    X("contract.weights", weights)                     \
    X("contract.infinite_scores", infinite_scores)     \
    X("contract.extreme_scores", extremes)             \
    X("contract.row_independence", independence)       \
    X("contract.null_is_full", null_is_full)           \
    X("contract.masked_is_nothing", masked_is_nothing) \
    X("contract.second_runs", second_runs)             \
    X("contract.terms", terms)                         \
    X("contract.infinite_biases", infinite_biases)     \
    X("contract.softcap", softcap_saturates)           \
    X("contract.nan_shows", nan_shows)                 \
    X("merge.empty_keeps_bits", merge_empty)           \
    X("merge.aliased", merge_aliased)                  \
    X("merge.far_maxima", merge_far)                   \
    X("merge.row_by_row", merge_rows)                  \
    X("merge.parts_are_whole", merged_parts)           \
    X("merge.finish", finish)                          \
    X("tails.every_row_count", row_counts)             \
    X("tails.every_key_count", key_counts)

#define DEFINE_TEST(name, check)     \
    static void test_##check(void) { \
        check_##check(tested);       \
    }
TESTS(DEFINE_TEST)
#undef DEFINE_TEST

#define SWEEP_TEST(index)                    \
    static void test_sweep_##index(void) {   \
        check_sweep(tested, &sweeps[index]); \
    }
SWEEP_TEST(0)
SWEEP_TEST(1)
SWEEP_TEST(2)
SWEEP_TEST(3)
SWEEP_TEST(4)
SWEEP_TEST(5)
#undef SWEEP_TEST

enum { SKIPPED = 77 };

/* The kernel of that level and storage; NULL when there is none or it does not run here. */
static const attn_kernel *find_kernel(const char *level_name, const char *storage_name) {
    for (int32_t level = 0; level < attn_kernel_levels(); level++)
        for (int storage = 0; storage < ATTN_STORAGES; storage++) {
            const attn_kernel *kernel = attn_kernel_of(level, (attn_storage)storage);

            if (strcmp(attn_kernel_name(level), level_name) == 0 &&
                strcmp(attn_storage_name(storage), storage_name) == 0 && kernel->supported())
                return kernel;
        }
    return NULL;
}

int main(int argc, char **argv) {
    static const attn_test all[] = {
#define LIST_TEST(name, check) {name, test_##check},
        TESTS(LIST_TEST)
#undef LIST_TEST
            {"tails.head_dims", test_sweep_0},
        {"tails.value_dims", test_sweep_1},
        {"tails.column_blocks", test_sweep_2},
        {"tails.key_counts", test_sweep_3},
        {"tails.row_counts", test_sweep_4},
        {"tails.many_keys", test_sweep_5},
    };
    attn_test chosen[ATTN_TEST_COUNT(all)];
    size_t count = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: kernel_levels LEVEL STORAGE [PREFIX [few]]\n");
        return 2;
    }
    few = argc == 5 && strcmp(argv[4], "few") == 0;
    tested = find_kernel(argv[1], argv[2]);
    if (tested == NULL) {
        printf("skipped: no kernel %s for %s, or not on this CPU\n", argv[1], argv[2]);
        return SKIPPED;
    }
    for (size_t i = 0; i < ATTN_TEST_COUNT(all); i++)
        if (argc < 4 || strncmp(all[i].name, argv[3], strlen(argv[3])) == 0)
            chosen[count++] = all[i];
    return attn_test_main("kernel_levels", chosen, count);
}
