#include "kernel_expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "kernel_memory.h"

/* Bound of max |error| / RMS of the oracle's seen rows. With u = 2^-24, queries
 * and keys uniform in +-1.5 have scores of deviation 0.75, the largest about
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

void attn_expect(int holds, const attn_call *call, const char *what) {
    CU_ASSERT(holds);
    if (!holds)
        fprintf(stderr, "    %s: %s (rows %d, keys %d, key_dim %d, value_dim %d)\n",
                call->kernel->name, what, (int)call->rows, (int)call->keys, (int)call->key_dim,
                (int)call->value_dim);
}

/* --- the oracle ----------------------------------------------------------------------- */

static double *widened(const float *from, ptrdiff_t stride, int64_t rows, int32_t columns) {
    double *to = attn_memory_aligned((size_t)rows * (size_t)columns * sizeof *to);

    for (int64_t row = 0; row < rows; row++)
        for (int32_t c = 0; c < columns; c++) to[row * columns + c] = from[row * stride + c];
    return to;
}

static attn_oracle_terms oracle_terms(const attn_call *call, int32_t row) {
    attn_oracle_terms terms = {.softcap = call->terms.softcap};

    if (call->terms.slope != NULL) {
        terms.slope = call->terms.slope[row];
        terms.position = call->terms.position[row];
    }
    if (call->terms.bias != NULL) terms.bias = call->terms.bias[row];
    return terms;
}

/* out: [rows][value_dim], lse: [rows]. */
static void oracle(const attn_call *call, double *out, double *lse) {
    const int32_t key_dim = call->key_dim, value_dim = call->value_dim;
    double *query = widened(call->query, call->query_stride, call->rows, key_dim);
    double *key = widened(call->key, call->key_stride, call->keys, key_dim);
    double *value = widened(call->value, value_dim, call->keys, value_dim);

    for (int32_t row = 0; row < call->rows; row++) {
        const attn_interval seen[] = {call->visible[row],
                                      call->has_also ? call->also[row] : (attn_interval){0, 0}};
        const attn_oracle_terms of_row = oracle_terms(call, row);
        const attn_oracle_terms *terms = call->has_terms ? &of_row : NULL;
        const double *q = query + (ptrdiff_t)row * key_dim;
        double *to = out + (ptrdiff_t)row * value_dim, max = -INFINITY, sum = 0;

        for (int32_t c = 0; c < value_dim; c++) to[c] = 0;
        for (int i = 0; i < 2; i++)
            max = attn_oracle_max(q, key, key_dim, key_dim, seen[i], call->scale, terms, max);
        for (int i = 0; i < 2; i++)
            attn_oracle_add(q, key, key_dim, value, value_dim, key_dim, value_dim, seen[i],
                            call->scale, terms, max, &sum, to);
        attn_oracle_finish(max, sum, value_dim, to, &lse[row]);
    }
    free(query);
    free(key);
    free(value);
}

/* --- the comparison ------------------------------------------------------------------- */

/* Of the rows that see something. */
typedef struct errors {
    int32_t rows;
    double out, lse; /* the largest; the latter as a part of 1 + |lse| */
    double squares;  /* of what is wanted, summed */
} errors;

static void compare_row(int32_t value_dim, const float *out, float lse, const double *wanted,
                        double wanted_lse, errors *found) {
    for (int32_t c = 0; c < value_dim; c++) {
        found->out = attn_larger_error(found->out, fabs(out[c] - wanted[c]));
        found->squares += wanted[c] * wanted[c];
    }
    found->lse = attn_larger_error(found->lse, fabs(lse - wanted_lse) / (1 + fabs(wanted_lse)));
    found->rows++;
}

static void expect_nothing(const attn_call *call, const float *out, float lse) {
    for (int32_t c = 0; c < call->value_dim; c++)
        if (out[c] != 0 || signbit(out[c])) attn_expect(0, call, "empty row is not +0");
    attn_expect(lse == -INFINITY, call, "lse of an empty row");
}

static void expect_small(const attn_call *call, const errors *found) {
    const double rms = sqrt(found->squares / (found->rows * (double)call->value_dim));
    double bound = (call->has_terms ? terms_error_bound : error_bound) * rms, largest = 0;

    for (int64_t i = 0; i < call->keys * call->value_dim; i++)
        largest = fmax(largest, fabs((double)call->value[i]));
    if (attn_call_rounds_weights()) bound += rounding_bound * largest;
    attn_expect(found->out <= bound, call, "error of out");
    if (!(found->out <= bound)) fprintf(stderr, "    error / RMS %.3g\n", found->out / rms);
    attn_expect(found->lse <= lse_bound, call, "error of lse");
}

void attn_expect_oracle(const attn_call *call, attn_partial partial) {
    const size_t rows = (size_t)call->rows, elems = rows * (size_t)call->value_dim;
    double *wanted = attn_memory_aligned(elems * sizeof *wanted);
    double *wanted_lse = attn_memory_aligned(rows * sizeof *wanted_lse);
    float *out = attn_memory_guarded(elems), *lse = attn_memory_guarded(rows);
    errors found = {0};

    oracle(call, wanted, wanted_lse);
    call->kernel->finish(partial, call->rows, call->value_dim, attn_call_partial_scale(call), out,
                         call->value_dim, lse, 1);
    for (int32_t row = 0; row < call->rows; row++) {
        const ptrdiff_t at = (ptrdiff_t)row * call->value_dim;

        if (call->visible[row].first >= call->visible[row].last)
            expect_nothing(call, out + at, lse[row]);
        else
            compare_row(call->value_dim, out + at, lse[row], wanted + at, wanted_lse[row], &found);
    }
    if (found.rows > 0) expect_small(call, &found);
    attn_expect(attn_memory_guards_hold(out, elems) && attn_memory_guards_hold(lse, rows), call,
                "finish's canaries");
    attn_memory_free_guarded(out);
    attn_memory_free_guarded(lse);
    free(wanted);
    free(wanted_lse);
}

void attn_expect_result(const attn_call *call, attn_partial result) {
    attn_expect(attn_partial_guards_hold(result, call->rows, call->value_dim) &&
                    attn_call_scratch_holds(call),
                call, "attend's canaries");
    attn_expect_oracle(call, result);
}
