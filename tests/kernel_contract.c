/* What the contract of attnspan/kernels.h promises of a kernel's bits: how it packs, that a row's
 * are its own, and that masked keys have no say in them, while a visible NaN has. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_call.h"
#include "kernel_expect.h"
#include "kernel_levels.h"
#include "kernel_memory.h"
#include "kernel_seen.h"

static void test_table(void) {
    const attn_kernel *kernel = attn_call_kernel();

    CU_ASSERT(kernel->query_rows >= 1);
    CU_ASSERT(kernel->key_panel >= 1 && ATTN_KEY_UNIT % kernel->key_panel == 0);
    CU_ASSERT(kernel->depth == 1 || kernel->depth == 2);
    CU_ASSERT(kernel->scratch_bytes(1, 1) > 0);
    CU_ASSERT(attn_packed_key_elems(kernel, INT64_C(1) << 40, 128) == INT64_C(1) << 47);
    CU_ASSERT(attn_packed_value_elems(kernel, INT64_C(1) << 40, 128) == INT64_C(1) << 47);
    CU_ASSERT(kernel->peak_work(1000) > 0);
}

/* --- storage -------------------------------------------------------------------------- */

/* Panels hold the keys step by step, zeros after the last, nothing beyond; so do the values. */
static void test_packing(void) {
    const attn_kernel *kernel = attn_call_kernel();
    const int64_t panel = kernel->key_panel, depth = kernel->depth;

    for (int32_t keys = 1; keys <= 2 * panel + 1; keys++) {
        attn_call call = attn_call_new(1, keys, 5, 3);
        const int64_t keys_held = (keys + panel - 1) / panel * panel;
        const int64_t dims_held = (5 + depth - 1) / depth * depth;
        const int64_t values_held = (keys + depth - 1) / depth * depth;
        int holds = attn_packed_key_elems(kernel, keys, 5) == keys_held * dims_held &&
                    attn_packed_value_elems(kernel, keys, 3) == values_held * 3;

        attn_call_pack(&call);
        for (int64_t j = 0; j < keys_held; j++)
            for (int64_t i = 0; i < dims_held; i++) {
                const int64_t at =
                    ((j / panel * (dims_held / depth) + i / depth) * panel + j % panel) * depth;
                const float wanted = j < keys && i < 5 ? call.key[j * call.key_stride + i] : 0.0f;

                holds &= attn_call_element(&call, call.packed_keys, at + i % depth) == wanted;
            }
        for (int64_t j = 0; j < values_held; j++)
            for (int64_t c = 0; c < 3; c++) {
                const int64_t at = (j / depth * 3 + c) * depth + j % depth;
                const float wanted = j < keys ? call.value[j * 3 + c] : 0.0f;

                holds &= attn_call_element(&call, call.packed_values, at) == wanted;
            }
        attn_expect(holds, &call, "packed keys and values");
        attn_call_free(&call);
    }
}

/* The same call, of another kernel. The terms are borrowed. */
static attn_call same_call(const attn_kernel *kernel, const attn_call *from) {
    attn_call call =
        attn_call_new_of(kernel, from->rows, from->keys, from->key_dim, from->value_dim);

    call.has_also = from->has_also;
    call.has_terms = from->has_terms;
    call.terms = from->terms;
    for (int32_t row = 0; row < call.rows; row++) {
        call.visible[row] = from->visible[row];
        call.also[row] = from->also[row];
        memcpy(call.query + row * call.query_stride, from->query + row * from->query_stride,
               (size_t)call.key_dim * sizeof *call.query);
    }
    for (int64_t j = 0; j < call.keys; j++)
        memcpy(call.key + j * call.key_stride, from->key + j * from->key_stride,
               (size_t)call.key_dim * sizeof *call.key);
    memcpy(call.value, from->value, (size_t)(call.keys * call.value_dim) * sizeof *call.value);
    return call;
}

/* bf16 that is widened gives the bits of fp32 on the same numbers. */
static void test_widening_is_exact(void) {
    const attn_kernel *kernel = attn_call_kernel();
    int32_t level = 0;

    if (kernel->storage != ATTN_BF16 || kernel->depth != 1) return; /* nothing is widened */
    while (strcmp(attn_kernel_name(level), kernel->name) != 0) level++;
    for (int mask = 0; mask < ATTN_SEEN_MASKS; mask++) {
        attn_call call = attn_call_new(attn_call_most_rows(), 300, 37, 21), wide;
        attn_partial result, wide_result;

        call.has_also = mask % 2 == 1;
        if (mask % 4 >= 2) attn_call_add_terms(&call, ATTN_CALL_ALL_TERMS);
        attn_seen_mask(&call, mask);
        attn_seen_second_runs(&call);
        result = attn_call_result(&call);
        wide = same_call(attn_kernel_of(level, ATTN_FP32), &call); /* after it was rounded */
        wide_result = attn_call_result(&wide);
        attn_expect(attn_partial_same(result, wide_result, call.rows, call.value_dim), &call,
                    "widened bf16 and fp32 differ");
        attn_partial_free(result);
        attn_partial_free(wide_result);
        attn_call_free(&wide);
        attn_call_free(&call);
    }
}

/* --- a row alone ---------------------------------------------------------------------- */

/* A call whose rows see all kinds of intervals of three tiles or more; its
 * values reach down to where products underflow. */
static attn_call mixed_call(void) {
    attn_call call = attn_call_new(attn_call_most_rows(), 300, 19, 21);

    for (int32_t row = 0; row < call.rows; row++) {
        call.visible[row] = attn_seen_by(row % ATTN_SEEN_MASKS, row, call.rows, call.keys);
        call.also[row] = attn_seen_second_run(&call, row, 1 + row % 90);
    }
    call.has_also = 1;
    for (int64_t i = 0; i < call.keys * call.value_dim; i++)
        if (i % 5 < 2) call.value[i] = i % 5 == 0 ? -FLT_MIN : -0x1p-149f;
    return call;
}

/* Row `row` of the call at place `place` of a call of `rows` rows, the others
 * taken from anywhere with intervals of their own. */
static void check_row_at(const attn_call *call, attn_partial wanted, int32_t row, int32_t place,
                         int32_t rows) {
    const size_t query_bytes = (size_t)call->key_dim * sizeof *call->query;
    attn_call moved = *call; /* keys and values are borrowed */
    attn_partial result;

    moved.rows = rows;
    moved.query_stride = call->key_dim;
    moved.query = attn_memory_nans((size_t)rows * query_bytes);
    moved.visible = attn_memory_aligned((size_t)rows * sizeof *moved.visible);
    moved.also = attn_memory_aligned((size_t)rows * sizeof *moved.also);
    if (call->has_terms) {
        attn_call_add_terms(&moved, ATTN_CALL_ALL_TERMS);
        memcpy(moved.bias[place], call->bias[row], (size_t)call->keys * sizeof **moved.bias);
        moved.slope[place] = call->slope[row];
        moved.position[place] = call->position[row];
    }
    /* An empty one and none are alike. */
    moved.has_also = place % 2 == 0 || call->also[row].last > 0;
    for (int32_t r = 0; r < rows; r++) {
        const int32_t source = r == place ? row : attn_random_below(call->rows);
        const int64_t edge = attn_random_below(call->keys + 1);

        memcpy(moved.query + (ptrdiff_t)r * call->key_dim,
               call->query + source * call->query_stride, query_bytes);
        moved.visible[r] = (attn_interval){r % 3 == 0 ? 0 : edge / 2, edge};
        if (r == place) moved.visible[r] = call->visible[row];
        moved.also[r] =
            r == place ? call->also[row] : attn_seen_second_run(&moved, r, 1 + edge % 40);
    }
    result = attn_call_result(&moved);
    attn_expect(
        attn_partial_same(attn_partial_at(wanted, row, call->value_dim),
                          attn_partial_at(result, place, call->value_dim), 1, call->value_dim),
        call, "a row's bits depend on its neighbours");
    attn_partial_free(result);
    attn_memory_free_nans(moved.query);
    free(moved.visible);
    free(moved.also);
    if (call->has_terms) attn_call_free_terms(&moved);
}

static void test_row_independence(void) {
    for (int with_terms = 0; with_terms < 2; with_terms++) {
        attn_call call = mixed_call();
        attn_partial wanted;

        if (with_terms) attn_call_add_terms(&call, ATTN_CALL_ALL_TERMS);
        wanted = attn_call_result(&call);
        for (int32_t row = 0; row < call.rows; row++) {
            check_row_at(&call, wanted, row, 0, 1);
            check_row_at(&call, wanted, row, call.rows - 1, call.rows);
            for (int32_t times = 0; times < 6; times++) {
                const int32_t rows = 1 + attn_random_below(call.rows);

                check_row_at(&call, wanted, row, attn_random_below(rows), rows);
            }
        }
        attn_partial_free(wanted);
        attn_call_free(&call);
    }
}

/* --- what a row sees ------------------------------------------------------------------ */

static void test_null_is_full(void) {
    static const int32_t key_counts[] = {1, 8, 31, 32, 100, 128, 300};

    for (size_t k = 0; k < sizeof key_counts / sizeof *key_counts; k++) {
        attn_call call = attn_call_new(attn_call_most_rows(), key_counts[k], 11, 13);
        const attn_partial wanted = attn_call_result(&call);
        const attn_partial result = attn_partial_new(call.rows, call.value_dim);
        attn_block_args args = attn_call_args(&call, 0, call.keys);

        args.visible = NULL;
        attn_call_attend(call.kernel, &args, result);
        attn_expect(attn_partial_same(wanted, result, call.rows, call.value_dim), &call,
                    "NULL and full differ");
        attn_partial_free(wanted);
        attn_partial_free(result);
        attn_call_free(&call);
    }
}

/* A call of which the keys 60 … 69 and 150 … 159 are seen by the last row alone. */
static attn_call call_with_hidden_keys(int has_also, int terms) {
    attn_call call = attn_call_new(attn_call_most_rows(), 200, 9, 10);
    const int32_t last = call.rows - 1;

    for (int32_t row = 0; row < last; row++)
        call.visible[row] =
            row % 2 == 0 ? (attn_interval){row % 60, 60} : (attn_interval){70, 150 - row % 3};
    for (int32_t row = 0; row < last; row += 6) /* of even rows: gaps that nothing sees */
        call.also[row] = (attn_interval){70 + row % 9, 150 - row % 3};
    call.has_also = has_also;
    if (terms != 0) attn_call_add_terms(&call, terms);
    return call;
}

/* Puts it at each of those keys, and where it is not seen into the biases. */
static void poison(attn_call *call, float with) {
    for (int64_t j = 60; j < 160; j = j == 69 ? 150 : j + 1) {
        call->key[j * call->key_stride + j % call->key_dim] = with;
        call->value[j * call->value_dim + j % call->value_dim] = with;
        for (int32_t row = 0; call->bias != NULL && row < call->rows - 1; row++)
            if (!attn_seen_key(call, row, j)) call->bias[row][j] = with;
    }
}

static void check_hidden(const attn_call *call, attn_partial wanted, const char *what) {
    const attn_partial result = attn_call_result(call);

    attn_expect(attn_partial_same(wanted, result, call->rows - 1, call->value_dim), call, what);
    attn_partial_free(result);
}

/* What stands at keys that a row does not see, in keys, values or biases, is nothing to
 * it, even NaN; whether the last row sees them, or nobody. */
static void check_masked(int has_also, int terms) {
    static const float poisons[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    attn_call call = call_with_hidden_keys(has_also, terms);
    const attn_partial wanted = attn_call_result(&call);

    for (size_t i = 0; i < sizeof poisons / sizeof *poisons; i++) {
        poison(&call, poisons[i]);
        call.visible[call.rows - 1] = (attn_interval){0, 200};
        check_hidden(&call, wanted, "a masked key counts");
        call.visible[call.rows - 1] = (attn_interval){160, 200};
        check_hidden(&call, wanted, "a hidden key counts");
    }
    attn_partial_free(wanted);
    attn_call_free(&call);
}

static void test_masked_is_nothing(void) {
    for (int has_also = 0; has_also < 2; has_also++) {
        check_masked(has_also, 0);
        check_masked(has_also, ATTN_CALL_BIAS);
        check_masked(has_also, ATTN_CALL_ALL_TERMS);
    }
}

/* A visible NaN must not vanish. */
static void test_nan_shows(void) {
    for (int place = 0; place < 4; place++)
        for (int64_t at = 0; at < 140; at += 139) {
            attn_call call = attn_call_new(2, 140, 3, 9);
            attn_partial result;

            if (place >= 2) attn_call_add_terms(&call, ATTN_CALL_ALL_TERMS);
            if (place == 2)
                for (int32_t row = 0; row < call.rows; row++) call.bias[row][at] = NAN;
            else if (place == 1 || place == 3)
                call.key[at * call.key_stride] = NAN;
            else
                call.value[at * call.value_dim] = NAN;
            result = attn_call_result(&call);
            attn_expect(isnan(result.out[0]) && isnan(result.out[call.value_dim]), &call,
                        "NaN is lost");
            attn_partial_free(result);
            attn_call_free(&call);
        }
}

const attn_test attn_kernel_contract[] = {{"contract.table", test_table},
                                          {"contract.packing", test_packing},
                                          {"contract.widening_is_exact", test_widening_is_exact},
                                          {"contract.row_independence", test_row_independence},
                                          {"contract.null_is_full", test_null_is_full},
                                          {"contract.masked_is_nothing", test_masked_is_nothing},
                                          {"contract.nan_shows", test_nan_shows},
                                          {0}};
