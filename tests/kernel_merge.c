/* Partials of disjoint keys, merged and finished: empty ones change no bit, parts make the whole,
 * and no result is −0. */
#include <math.h>
#include <stdlib.h>

#include "kernel_call.h"
#include "kernel_expect.h"
#include "kernel_levels.h"
#include "kernel_memory.h"
#include "kernel_seen.h"

enum { ROWS = 5 };

static const int32_t widths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 100};

/* What a failure names. */
static attn_call shape_of(int32_t rows, int32_t value_dim) {
    return (attn_call){.kernel = attn_call_kernel(), .rows = rows, .value_dim = value_dim};
}

static attn_partial random_partial(int32_t value_dim) {
    const attn_partial partial = attn_partial_new(ROWS, value_dim);

    for (int32_t i = 0; i < ROWS * value_dim; i++) partial.out[i] = 10 * attn_random_float();
    for (int32_t row = 0; row < ROWS; row++) {
        partial.max[row] = 20 * attn_random_float();
        partial.sum[row] = 3 + attn_random_float();
    }
    return partial;
}

static void merge(attn_partial result, attn_partial left, attn_partial right, int32_t value_dim) {
    attn_call_kernel()->merge(result, left, right, ROWS, value_dim, 0.3f);
}

static void expect_same(attn_partial result, attn_partial wanted, int32_t value_dim,
                        const char *what) {
    const attn_call shape = shape_of(ROWS, value_dim);

    attn_expect(attn_partial_same(result, wanted, ROWS, value_dim), &shape, what);
}

static void expect_guards(attn_partial result, int32_t value_dim) {
    const attn_call shape = shape_of(ROWS, value_dim);

    attn_expect(attn_partial_guards_hold(result, ROWS, value_dim), &shape, "merge's canaries");
}

/* --- merging -------------------------------------------------------------------------- */

static void check_empty(int32_t d) {
    const attn_partial left = random_partial(d), right = random_partial(d);
    const attn_partial empty = attn_partial_new(ROWS, d), result = attn_partial_new(ROWS, d);
    const attn_partial pair = attn_partial_new(ROWS, d), other = attn_partial_new(ROWS, d);

    attn_partial_clear(empty, ROWS, d);
    left.out[0] = -0.0f; /* a copy keeps even this */
    merge(result, left, empty, d);
    expect_same(result, left, d, "merge with empty at the right");
    merge(result, empty, left, d);
    expect_same(result, left, d, "merge with empty at the left");
    merge(result, empty, empty, d);
    expect_same(result, empty, d, "merge of empties");

    /* (left + empty) + right = left + (empty + right), to the bit. */
    merge(pair, left, empty, d);
    merge(result, pair, right, d);
    merge(pair, empty, right, d);
    merge(other, left, pair, d);
    expect_same(result, other, d, "merge around empty");
    expect_guards(result, d);
    attn_partial_free(left);
    attn_partial_free(right);
    attn_partial_free(empty);
    attn_partial_free(result);
    attn_partial_free(pair);
    attn_partial_free(other);
}

static void test_empty_keeps_bits(void) {
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) check_empty(widths[w]);
}

static void check_aliased(int32_t d) {
    const attn_partial left = random_partial(d), right = random_partial(d);
    const attn_partial wanted = attn_partial_new(ROWS, d), result = attn_partial_new(ROWS, d);

    attn_partial_clear(right, 1, d); /* one row of the empty kind among them */
    merge(wanted, left, right, d);
    attn_partial_copy(result, left, ROWS, d);
    merge(result, result, right, d);
    expect_same(result, wanted, d, "merge into left");
    attn_partial_copy(result, right, ROWS, d);
    merge(result, left, result, d);
    expect_same(result, wanted, d, "merge into right");
    expect_guards(result, d);
    attn_partial_free(left);
    attn_partial_free(right);
    attn_partial_free(wanted);
    attn_partial_free(result);
}

static void test_aliased(void) {
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) check_aliased(widths[w]);
}

/* The larger maximum wins by any distance, from either side, and exactly. */
static void test_far_maxima(void) {
    static const float apart[] = {1e4f, 1e30f, 3e38f};
    const int32_t d = 19;

    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) {
        const attn_partial low = random_partial(d), high = random_partial(d);
        const attn_partial result = attn_partial_new(ROWS, d);

        for (int32_t row = 0; row < ROWS; row++) {
            low.max[row] = -apart[i];
            high.max[row] = apart[i];
        }
        merge(result, low, high, d);
        expect_same(result, high, d, "merge with far more at the right");
        merge(result, high, low, d);
        expect_same(result, high, d, "merge with far more at the left");
        attn_partial_free(low);
        attn_partial_free(high);
        attn_partial_free(result);
    }
}

/* Merging is pointwise over rows, so a row's bits stand alone there too. */
static void test_row_by_row(void) {
    const int32_t d = 37;
    const attn_partial left = random_partial(d), right = random_partial(d);
    const attn_partial wanted = attn_partial_new(ROWS, d), result = attn_partial_new(ROWS, d);

    merge(wanted, left, right, d);
    for (int32_t row = 0; row < ROWS; row++)
        attn_call_kernel()->merge(attn_partial_at(result, row, d), attn_partial_at(left, row, d),
                                  attn_partial_at(right, row, d), 1, d, 0.3f);
    expect_same(wanted, result, d, "merge row by row");
    attn_partial_free(left);
    attn_partial_free(right);
    attn_partial_free(wanted);
    attn_partial_free(result);
}

/* --- parts of a call ------------------------------------------------------------------ */

/* The partial of the keys [first, last) of a packed call; first lies on a panel. */
static attn_partial result_of_part(const attn_call *call, int64_t first, int64_t last) {
    const size_t rows = (size_t)call->rows;
    const attn_partial result = attn_partial_new(call->rows, call->value_dim);
    attn_block_args args = attn_call_args(call, first, last);
    attn_interval *visible = attn_memory_aligned(rows * sizeof *visible);
    int64_t *position = attn_memory_aligned(rows * sizeof *position);
    const float **bias = attn_memory_aligned(rows * sizeof *bias);
    const attn_score_terms terms = {call->terms.softcap, call->slope, position, bias};

    for (int32_t row = 0; row < call->rows; row++)
        visible[row] = attn_seen_clipped(call->visible[row].first - first,
                                         call->visible[row].last - first, last - first);
    for (int32_t row = 0; call->has_terms && row < call->rows; row++) {
        position[row] = call->position[row] - first;
        bias[row] = call->bias[row] + first;
    }
    args.visible = visible;
    args.terms = call->has_terms ? &terms : NULL;
    attn_call_attend(call->kernel, &args, result);
    free(visible);
    free(position);
    free(bias);
    return result;
}

static void test_parts_are_whole(void) {
    for (int mask = 0; mask < ATTN_SEEN_MASKS; mask++)
        for (int split = ATTN_KEY_UNIT; split < 300; split += 3 * ATTN_KEY_UNIT) {
            attn_call call = attn_call_new(attn_call_most_rows(), 300, 18, 17);
            attn_partial left, right;

            if ((mask + split / ATTN_KEY_UNIT) % 2 == 0)
                attn_call_add_terms(&call, ATTN_CALL_ALL_TERMS);
            attn_seen_mask(&call, mask);
            attn_call_pack(&call);
            left = result_of_part(&call, 0, split);
            right = result_of_part(&call, split, call.keys);
            call.kernel->merge(left, left, right, call.rows, call.value_dim,
                               attn_call_partial_scale(&call));
            attn_expect_oracle(&call, left);
            attn_partial_free(left);
            attn_partial_free(right);
            attn_call_free(&call);
        }
}

/* --- finishing ------------------------------------------------------------------------ */

static void test_finish(void) {
    enum { COLUMNS = 11, STRIDE = 14, OUT_ELEMS = 3 * STRIDE, LSE_ELEMS = 3 * 2 };
    const attn_kernel *kernel = attn_call_kernel();
    const attn_call shape = shape_of(3, COLUMNS);
    const attn_partial partial = attn_partial_new(3, COLUMNS);
    float *out = attn_memory_guarded(OUT_ELEMS), *lse = attn_memory_guarded(LSE_ELEMS);
    int signs = 1, gaps = 1;

    attn_partial_clear(partial, 3, COLUMNS); /* row 0 is empty */
    partial.sum[1] = 3;
    partial.max[1] = -7;
    partial.sum[2] = 4; /* −2^-149 / 4 underflows */
    partial.max[2] = -0.0f;
    for (int c = 0; c < COLUMNS; c++) {
        partial.out[COLUMNS + c] = c % 2 == 0 ? -0.0f : (float)c;
        partial.out[2 * COLUMNS + c] = c % 2 == 0 ? -0.0f : -0x1p-149f;
    }
    kernel->finish(partial, 3, COLUMNS, 0.5f, out, STRIDE, lse, 2);
    for (int row = 0; row < 3; row++) {
        const float *of_row = out + (ptrdiff_t)row * STRIDE;

        for (int c = 0; c < COLUMNS; c++) signs &= !(of_row[c] == 0 && signbit(of_row[c]));
        for (int c = COLUMNS; c < STRIDE; c++) gaps &= isnan(of_row[c]) != 0;
        gaps &= isnan(lse[row * 2 + 1]) != 0;
        attn_expect(of_row[0] == 0, &shape, "finish of zeros");
    }
    attn_expect(signs, &shape, "finish makes -0");
    attn_expect(gaps, &shape, "finish writes between its rows");
    attn_expect(out[STRIDE + 3] == 3.0f / 3.0f, &shape, "finish divides");
    attn_expect(lse[0] == -INFINITY && fabs(lse[2] - (-3.5 + log(3.0))) < 1e-6, &shape,
                "finish's lse");
    attn_expect(attn_memory_guards_hold(out, OUT_ELEMS) && attn_memory_guards_hold(lse, LSE_ELEMS),
                &shape, "finish's canaries");

    partial.sum[1] = 1;
    partial.max[1] = -1e-30f; /* its product with the scale underflows */
    kernel->finish(partial, 2, COLUMNS, 1e-20f, out, STRIDE, lse, 2);
    attn_expect(lse[2] == 0 && !signbit(lse[2]), &shape, "lse is -0");
    kernel->finish(partial, 2, COLUMNS, 0.5f, out, STRIDE, NULL, 0);
    attn_memory_free_guarded(out);
    attn_memory_free_guarded(lse);
    attn_partial_free(partial);
}

const attn_test attn_kernel_merge[] = {{"merge.empty_keeps_bits", test_empty_keeps_bits},
                                       {"merge.aliased", test_aliased},
                                       {"merge.far_maxima", test_far_maxima},
                                       {"merge.row_by_row", test_row_by_row},
                                       {"merge.parts_are_whole", test_parts_are_whole},
                                       {"merge.finish", test_finish},
                                       {0}};
