/* Rotary position embedding against naive fp64 formulas and golden frequencies, and the RMS
 * norm of a head. */
#include "attnspan/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "golden/rope.h"
#include "harness.h"

enum { HEAD = 24, MOST_DIM = 128 };

static const attn_rope kinds[] = {
    {HEAD, 10000.0, ATTN_ROPE_HALF, ATTN_ROPE_UNSCALED, 0, 0},
    {HEAD, 10000.0, ATTN_ROPE_INTERLEAVED, ATTN_ROPE_UNSCALED, 0, 0},
    {10, 500.0, ATTN_ROPE_HALF, ATTN_ROPE_LINEAR, 4.0, 0},
    {10, 500.0, ATTN_ROPE_INTERLEAVED, ATTN_ROPE_NTK, 4.0, 0},
    {16, 10000.0, ATTN_ROPE_HALF, ATTN_ROPE_YARN, 8.0, 2048},
    {2, 10000.0, ATTN_ROPE_INTERLEAVED, ATTN_ROPE_YARN, 1.0, 8},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static const int64_t positions[] = {0, 1, 2, 77, 4095, 1000003, -1, -500};

enum { POSITIONS = sizeof positions / sizeof *positions };

/* Deterministic elements in (−1, 1). */
static void fill(float *head, int64_t count) {
    for (int64_t i = 0; i < count; i++) head[i] = (float)sin(1.3 * (double)i + 0.1);
}

static void test_frequencies_are_the_golden_ones(void) {
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const attn_rope *rope = &golden[i].rope;

        CU_ASSERT_PTR_NULL(attn_rope_refused(rope, rope->dim));
        CU_ASSERT(fabs(attn_rope_magnitude(rope) - golden[i].magnitude) <= 1e-15);
        for (int32_t p = 0; p < rope->dim / 2; p++)
            CU_ASSERT(fabs(attn_rope_frequency(rope, p) / golden[i].frequencies[p] - 1) <= 1e-14);
    }
}

/* Figures that can be checked by hand: f_0 is 1, the last pair of ntk is slower by the very
 * factor, and yarn keeps the fast pairs and divides the slow ones. */
static void test_frequencies_by_hand(void) {
    const attn_rope rope = {64, 10000.0, ATTN_ROPE_HALF, ATTN_ROPE_UNSCALED, 0, 0};
    attn_rope scaled = rope;

    scaled.factor = 4;
    scaled.original_length = 8192;
    CU_ASSERT(attn_rope_frequency(&rope, 0) == 1);
    CU_ASSERT(fabs(attn_rope_frequency(&rope, 16) - 0.01) <= 1e-17);
    scaled.scaling = ATTN_ROPE_LINEAR;
    CU_ASSERT(attn_rope_frequency(&scaled, 0) == 0.25);
    scaled.scaling = ATTN_ROPE_NTK;
    CU_ASSERT(attn_rope_frequency(&scaled, 0) == 1);
    CU_ASSERT(fabs(attn_rope_frequency(&scaled, 31) * 4 / attn_rope_frequency(&rope, 31) - 1) <=
              1e-14);
    scaled.scaling = ATTN_ROPE_YARN;
    CU_ASSERT(attn_rope_frequency(&scaled, 0) == 1);
    CU_ASSERT(fabs(attn_rope_frequency(&scaled, 31) * 4 / attn_rope_frequency(&rope, 31) - 1) <=
              1e-14);
    CU_ASSERT(fabs(attn_rope_magnitude(&scaled) - 1.1386294361119891) <= 1e-15); /* 1 + ln(4)/10 */
}

/* The turn as a rotation matrix in fp64, element by element. */
static double turned(const attn_rope *rope, const float *head, int64_t position, int32_t element) {
    const int32_t pairs = rope->dim / 2;
    const int is_half = rope->pairing == ATTN_ROPE_HALF;
    const int32_t pair = is_half ? element % pairs : element / 2;
    const int is_first = is_half ? element < pairs : element % 2 == 0;
    double first, second, angle;

    if (element >= rope->dim) return (double)head[element];
    first = (double)head[is_half ? pair : 2 * pair];
    second = (double)head[is_half ? pair + pairs : 2 * pair + 1];
    angle = (double)position * attn_rope_frequency(rope, pair);
    return attn_rope_magnitude(rope) * (is_first ? first * cos(angle) - second * sin(angle)
                                                 : second * cos(angle) + first * sin(angle));
}

static void test_a_turn_is_the_formula(void) {
    float head[HEAD], out[HEAD], row[HEAD];

    fill(head, HEAD);
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < POSITIONS; i++) {
            memcpy(out, head, sizeof out);
            attn_rope_table(&kinds[k], positions[i], 1, row);
            attn_rope_turn(&kinds[k], row, out);
            for (int32_t c = 0; c < HEAD; c++)
                CU_ASSERT(fabs((double)out[c] - turned(&kinds[k], head, positions[i], c)) <= 4e-7);
            CU_ASSERT(memcmp(out + kinds[k].dim, head + kinds[k].dim,
                             (size_t)(HEAD - kinds[k].dim) * sizeof *out) == 0);
        }
}

/* Position 0 turns nothing but for the magnitude; the scores of two turned rows depend on
 * their distance alone. */
static void test_scores_depend_on_the_distance(void) {
    float q[HEAD], k[HEAD], row[HEAD];
    double first = 0;

    for (int kind = 0; kind < KINDS; kind++)
        for (int64_t shift = 0; shift < 3000; shift += 500) {
            double score = 0;

            fill(q, HEAD);
            fill(k, HEAD);
            attn_rope_table(&kinds[kind], shift + 37, 1, row);
            attn_rope_turn(&kinds[kind], row, q);
            attn_rope_table(&kinds[kind], shift, 1, row);
            attn_rope_turn(&kinds[kind], row, k);
            for (int c = 0; c < HEAD; c++) score += (double)q[c] * (double)k[c];
            if (shift == 0) first = score;
            CU_ASSERT(fabs(score - first) <= 5e-6);
        }
}

static void test_a_row_of_a_table_depends_on_its_position_alone(void) {
    enum { ROWS = 50 };
    float table[ROWS * HEAD], row[HEAD];

    for (int k = 0; k < KINDS; k++) {
        size_t bytes = (size_t)kinds[k].dim * sizeof *row;

        attn_rope_table(&kinds[k], 1000, ROWS, table);
        for (int64_t r = 0; r < ROWS; r++) {
            attn_rope_table(&kinds[k], 1000 + r, 1, row);
            CU_ASSERT(memcmp(row, table + r * kinds[k].dim, bytes) == 0);
        }
    }
}

static void test_what_cannot_turn_is_refused(void) {
    const attn_rope good = {16, 10000.0, ATTN_ROPE_HALF, ATTN_ROPE_UNSCALED, 0, 0};
    attn_rope bad;

#define REFUSED(field, value, words)                                        \
    bad = good;                                                             \
    bad.scaling = ATTN_ROPE_YARN, bad.factor = 4, bad.original_length = 64; \
    bad.field = (value);                                                    \
    CU_ASSERT(attn_rope_refused(&bad, 16) != NULL &&                        \
              strstr(attn_rope_refused(&bad, 16), words) != NULL)

    CU_ASSERT_PTR_NULL(attn_rope_refused(&good, 16));
    CU_ASSERT_PTR_NULL(attn_rope_refused(&good, 17));
    CU_ASSERT_PTR_NULL(attn_rope_refused(&(attn_rope){0}, 1));
    REFUSED(dim, 15, "odd dim");
    REFUSED(dim, -2, "odd dim");
    REFUSED(dim, 18, "above the width of a head");
    REFUSED(theta, 1, "not above 1");
    REFUSED(theta, NAN, "not above 1");
    REFUSED(pairing, (attn_rope_pairing)2, "pairing");
    REFUSED(scaling, (attn_rope_scaling)4, "scaling");
    REFUSED(factor, 0.5, "factor below 1");
    REFUSED(factor, INFINITY, "factor below 1");
    REFUSED(original_length, 7, "below 8");
    bad = good;
    bad.scaling = ATTN_ROPE_NTK, bad.factor = 2, bad.dim = 2;
    CU_ASSERT_PTR_NOT_NULL(attn_rope_refused(&bad, 16));
#undef REFUSED
}

static void test_the_norm_is_the_formula(void) {
    float head[MOST_DIM], weight[MOST_DIM], out[MOST_DIM];

    fill(head, MOST_DIM);
    for (int i = 0; i < MOST_DIM; i++) weight[i] = (float)cos(0.4 * i);
    for (int32_t dim = 1; dim <= MOST_DIM; dim++)
        for (int weighted = 0; weighted < 2; weighted++) {
            double squares = 0, rms;

            for (int32_t i = 0; i < dim; i++) squares += pow((double)head[i], 2);
            rms = sqrt(squares / dim + 1e-6);
            memcpy(out, head, sizeof out);
            attn_rms_norm(out, dim, 1e-6, weighted ? weight : NULL);
            for (int32_t i = 0; i < dim; i++)
                CU_ASSERT(fabs((double)out[i] -
                               (double)head[i] / rms * (weighted ? (double)weight[i] : 1)) <= 3e-7);
            if (dim < MOST_DIM) CU_ASSERT(out[dim] == head[dim]);
        }
}

/* eps alone keeps zeros; the largest and smallest numbers neither overflow nor vanish. */
static void test_the_norm_of_extremes(void) {
    float zeros[4] = {0}, large[4] = {3e38f, -3e38f, 3e38f, 3e38f}, small[2] = {1e-30f, -1e-30f};

    attn_rms_norm(zeros, 4, 1e-6, NULL);
    attn_rms_norm(large, 4, 1e-6, NULL);
    attn_rms_norm(small, 2, 1e-90, NULL);
    CU_ASSERT(zeros[0] == 0 && zeros[3] == 0);
    CU_ASSERT(large[0] == 1 && large[1] == -1);
    CU_ASSERT(small[0] == 1 && small[1] == -1);
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.rope.golden_frequencies", test_frequencies_are_the_golden_ones},
        {"unit.rope.frequencies_by_hand", test_frequencies_by_hand},
        {"unit.rope.a_turn_is_the_formula", test_a_turn_is_the_formula},
        {"unit.rope.scores_depend_on_the_distance", test_scores_depend_on_the_distance},
        {"unit.rope.rows_depend_on_positions_alone",
         test_a_row_of_a_table_depends_on_its_position_alone},
        {"unit.rope.what_cannot_turn_is_refused", test_what_cannot_turn_is_refused},
        {"unit.rope.the_norm_is_the_formula", test_the_norm_is_the_formula},
        {"unit.rope.the_norm_of_extremes", test_the_norm_of_extremes},
    };

    return attn_test_main("unit_rope", tests, ATTN_TEST_COUNT(tests));
}
