/* Scores of any size, and with any terms, become the right weights: the oracle's, where rounding
 * lets them. */
#include <math.h>

#include "../kernels/exp2.h"
#include "kernel_call.h"
#include "kernel_expect.h"
#include "kernel_levels.h"
#include "kernel_memory.h"
#include "kernel_seen.h"

/* Runs and frees the call. */
static void check_result(attn_call *call) {
    const attn_partial result = attn_call_result(call);

    attn_expect_result(call, result);
    attn_partial_free(result);
    attn_call_free(call);
}

/* With the values an identity, out is the weights themselves: the exponential
 * within 1.5 ulp and the rounding of its argument, a product. */
static void test_weights(void) {
    enum { KEYS = 200 };
    const double rounding = attn_call_rounds_weights() ? 0x1p-8 : 0; /* a part of a weight */
    attn_call call = attn_call_new(1, KEYS, 1, KEYS);
    const double factor = (double)(call.scale * ATTN_LOG2_E);
    attn_partial result;

    call.query[0] = 1;
    for (int32_t j = 0; j < KEYS; j++) {
        call.key[j * call.key_stride] =
            j == 77 ? 0 : -(float)j * (0.45f + 0.001f * attn_random_float());
        for (int32_t c = 0; c < KEYS; c++) call.value[j * KEYS + c] = j == c ? 1.0f : 0.0f;
    }
    result = attn_call_result(&call);
    for (int32_t j = 0; j < KEYS; j++) {
        const double x = (double)call.key[j * call.key_stride] * factor, wanted = exp2(x);
        const double ulp = exp2(floor(x) - 23), error = fabs((double)result.out[j] - wanted);

        if (x >= -126)
            attn_expect(error <= (1.5 - 0.75 * x) * ulp + rounding * wanted, &call,
                        "error of a weight");
        else
            attn_expect(error <= 0x1p-126, &call, "a weight too small for its score");
    }
    attn_expect(result.out[77] == 1 && result.out[0] == 1, &call, "weight of the largest score");
    attn_partial_free(result);
    attn_call_free(&call);
}

/* Scores of −inf: nothing among finite ones, and all of them together no key. */
static void test_infinite_scores(void) {
    static const float scales[] = {1, 1e-20f, 1e-37f, 1e-40f}; /* the last is subnormal */

    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        attn_call call = attn_call_new(3, 150, 1, 9);
        attn_partial result;

        call.scale = scales[s];
        for (int32_t row = 0; row < call.rows; row++) call.query[row * call.query_stride] = 1;
        for (int32_t j = 0; j < call.keys; j++)
            call.key[j * call.key_stride] =
                j % 3 == 0 || j >= 40 ? -INFINITY : (j % 2 == 0 ? -1.0f : 2.0f);
        call.visible[1] = (attn_interval){33, 34}; /* one key, −inf */
        call.visible[2] = (attn_interval){40, 150};
        result = attn_call_result(&call);
        for (int32_t row = 1; row < call.rows; row++) {
            attn_expect(attn_partial_is_empty(result, row), &call, "all scores -inf");
            call.visible[row] = (attn_interval){0, 0}; /* which is what it must be like */
        }
        attn_expect_oracle(&call, result);
        attn_partial_free(result);
        attn_call_free(&call);
    }
}

/* Differences of scores as large as fp32 and beyond: the largest key wins. */
static void test_extreme_scores(void) {
    static const float sizes[] = {1e4f, 1e20f, 1e30f, 3e38f};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int32_t winner = 0; winner < 150; winner += 7) {
            attn_call call = attn_call_new(3, 150, 4, 9);
            attn_partial result;

            call.scale = 1;
            for (int32_t row = 0; row < call.rows; row++)
                for (int32_t i = 0; i < call.key_dim; i++)
                    call.query[row * call.query_stride + i] = i == 0 ? 1.0f : 0.0f;
            for (int32_t j = 0; j < call.keys; j++) {
                const float small = j % 3 == 0 ? 0.5f : -1.0f;

                call.key[j * call.key_stride] = j == winner ? sizes[s] : small * sizes[s];
            }
            call.visible[1] = (attn_interval){0, winner}; /* ties, or nothing but the negative */
            call.visible[2] = (attn_interval){1, 3};
            result = attn_call_result(&call);
            attn_expect_oracle(&call, result);
            attn_partial_free(result);
            attn_call_free(&call);
        }
}

/* Gaps inside a panel, over panels and over tiles, beside rows without one. */
static void test_second_runs(void) {
    static const int32_t key_counts[] = {3, 33, 64, 129, 300, 512};
    static const int32_t gaps[] = {1, 2, 15, 16, 17, 100, 257};
    static const int32_t value_dims[] = {20, 37, 64}; /* an RMS over a few would say nothing */
    const int32_t row_counts[] = {1, 3, attn_call_most_rows()};

    for (size_t k = 0; k < sizeof key_counts / sizeof *key_counts; k++)
        for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
            for (size_t i = 0; i < 9; i++) {
                attn_call call =
                    attn_call_new(row_counts[i % 3], key_counts[k], 12, value_dims[i / 3]);

                for (int32_t row = 0; row < call.rows; row++) {
                    call.visible[row] =
                        attn_seen_clipped(row % 4, row % 4 + 1 + row % 40, call.keys);
                    if (row % 5 != 4) call.also[row] = attn_seen_second_run(&call, row, gaps[g]);
                }
                call.has_also = 1;
                check_result(&call);
            }
}

/* Every combination of terms under every mask, over panels, tiles and gaps. */
static void test_terms(void) {
    static const int32_t key_counts[] = {1, 33, 64, 129, 300, 512};
    const int32_t row_counts[] = {1, 3, attn_call_most_rows()};

    for (int which = 1; which <= ATTN_CALL_ALL_TERMS; which++)
        for (int mask = 0; mask < ATTN_SEEN_MASKS; mask++)
            for (size_t k = 0; k < sizeof key_counts / sizeof *key_counts; k++) {
                const int turn = mask + (int)k;
                attn_call call = attn_call_new(row_counts[turn % 3], key_counts[k], 12, 37);

                attn_call_add_terms(&call, which);
                call.has_also = turn % 2 == 1;
                attn_seen_mask(&call, mask);
                attn_seen_second_runs(&call);
                check_result(&call);
            }
}

/* Biases of −inf hide keys; a row of nothing else is empty. */
static void test_infinite_biases(void) {
    attn_call call = attn_call_new(attn_call_most_rows(), 300, 12, 37);
    attn_partial result;

    attn_call_add_terms(&call, ATTN_CALL_ALL_TERMS);
    for (int64_t row = 0; row < call.rows; row++)
        for (int64_t j = 0; j < call.keys; j++)
            if (row % 3 == 0 || (row + j) % 5 < 2 || j < 40 * row) call.bias[row][j] = -INFINITY;
    result = attn_call_result(&call);
    for (int32_t row = 0; row < call.rows; row++) {
        if (row % 3 != 0 && INT64_C(40) * row < call.keys - 5) continue;
        attn_expect(attn_partial_is_empty(result, row), &call, "all biases -inf");
        call.visible[row] = (attn_interval){0, 0}; /* which is what it must be like */
    }
    attn_expect_oracle(&call, result);
    attn_partial_free(result);
    attn_call_free(&call);
}

/* Whatever the scores, a softcap leaves them between −c and c, and of their order. */
static void test_softcap(void) {
    static const float sizes[] = {1e-30f, 1e-4f, 1, 30, 1e4f, 1e30f, 3e38f};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        attn_call call = attn_call_new(3, 150, 1, 37);
        attn_partial result;

        attn_call_add_terms(&call, ATTN_CALL_SOFTCAP);
        call.scale = 0.25f;
        for (int32_t row = 0; row < call.rows; row++)
            call.query[row * call.query_stride] = row % 2 == 0 ? 1 : -1;
        for (int64_t j = 0; j < call.keys; j++)
            call.key[j * call.key_stride] = sizes[s] * (float)(j % 7 - 3) / 3;
        call.visible[2] = (attn_interval){0, 3}; /* nothing but the negative */
        result = attn_call_result(&call);
        for (int32_t row = 0; row < call.rows; row++)
            attn_expect(fabsf(result.max[row]) <= 6.000002f, &call, "a score above its cap");
        attn_expect_oracle(&call, result);
        attn_partial_free(result);
        attn_call_free(&call);
    }
}

const attn_test attn_kernel_scores[] = {{"contract.weights", test_weights},
                                        {"contract.infinite_scores", test_infinite_scores},
                                        {"contract.extreme_scores", test_extreme_scores},
                                        {"contract.second_runs", test_second_runs},
                                        {"contract.terms", test_terms},
                                        {"contract.infinite_biases", test_infinite_biases},
                                        {"contract.softcap", test_softcap},
                                        {0}};
