/* The oracle against cases small enough to work out by hand, and in pieces. */
#include <math.h>
#include <stdint.h>

#include "attnspan/kernels.h"
#include "harness.h"

enum { DIM = 11, COLUMNS = 3, KEYS = 20, KEY_STRIDE = 13, VALUE_STRIDE = 4 };

typedef struct answer {
    double out[COLUMNS], lse;
} answer;

static double query[DIM], keys[KEYS * KEY_STRIDE], values[KEYS * VALUE_STRIDE];

static int near(double a, double b) {
    return fabs(a - b) <= 1e-14 * (1 + fabs(b));
}

static void fill(void) {
    for (int i = 0; i < DIM; i++) query[i] = sin(1.0 + i);
    for (int i = 0; i < KEYS * KEY_STRIDE; i++)
        keys[i] = i % KEY_STRIDE < DIM ? cos(0.7 * i) : NAN; /* gaps between rows */
    for (int i = 0; i < KEYS * VALUE_STRIDE; i++)
        values[i] = i % VALUE_STRIDE < COLUMNS ? sin(0.3 * i * i) : NAN;
}

/* The keys [edges[p], edges[p + 1]) of `visible` piece by piece. */
static answer attend(attn_interval visible, double scale, const int64_t *edges, int pieces) {
    answer result = {.out = {0}};
    double max = -INFINITY, sum = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int p = 0; p < pieces; p++) {
            const int64_t first = visible.first > edges[p] ? visible.first : edges[p];
            const int64_t last = visible.last < edges[p + 1] ? visible.last : edges[p + 1];
            const attn_interval piece = {first - edges[p], last - edges[p]};
            const double *key = keys + edges[p] * KEY_STRIDE;
            const double *value = values + edges[p] * VALUE_STRIDE;

            if (pass == 0)
                max = attn_oracle_max(query, key, KEY_STRIDE, DIM, piece, scale, NULL, max);
            else
                attn_oracle_add(query, key, KEY_STRIDE, value, VALUE_STRIDE, DIM, COLUMNS, piece,
                                scale, NULL, max, &sum, result.out);
        }
    attn_oracle_finish(max, sum, COLUMNS, result.out, &result.lse);
    return result;
}

/* Scores ln 1, ln 2, ln 5: weights 1/8, 2/8, 5/8. */
static void test_by_hand(void) {
    const double one[1] = {2},
                 key[3] = {0, 0.5 * 0.69314718055994530942, 0.5 * 1.6094379124341003746};
    const double value[6] = {8, 80, 16, 160, -8, 0};
    const attn_interval all = {0, 3}, last = {2, 3};
    double out[2] = {0}, sum = 0, lse;
    double max = attn_oracle_max(one, key, 1, 1, all, 1.0, NULL, -INFINITY);

    CU_ASSERT(near(max, log(5)));
    attn_oracle_add(one, key, 1, value, 2, 1, 2, all, 1.0, NULL, max, &sum, out);
    CU_ASSERT(near(sum, 8.0 / 5));
    attn_oracle_finish(max, sum, 2, out, &lse);
    CU_ASSERT(near(out[0], 0) && near(out[1], 50) && near(lse, log(8)));

    /* One key: its value, whatever the score. */
    sum = out[0] = out[1] = 0;
    max = attn_oracle_max(one, key, 1, 1, last, 3.0, NULL, -INFINITY);
    attn_oracle_add(one, key, 1, value, 2, 1, 2, last, 3.0, NULL, max, &sum, out);
    attn_oracle_finish(max, sum, 2, out, &lse);
    CU_ASSERT(out[0] == -8 && out[1] == 0 && near(lse, 3 * log(5)));
}

/* The dot product over every tail length, and the scale. */
static void test_dot(void) {
    const attn_interval one = {0, 1};
    double a[40], b[40], wanted = 0;

    for (int n = 1; n <= 40; n++) {
        a[n - 1] = n % 3 - 1;
        b[n - 1] = n;
        wanted += a[n - 1] * b[n - 1];
        CU_ASSERT(attn_oracle_max(a, b, n, n, one, 0.5, NULL, -INFINITY) == 0.5 * wanted);
    }
}

static void test_empty(void) {
    const int64_t whole[] = {0, KEYS};
    const attn_interval intervals[] = {{0, 0}, {KEYS, KEYS}, {7, 3}};

    fill();
    for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
        const answer result = attend(intervals[i], 1.0, whole, 1);

        for (int c = 0; c < COLUMNS; c++) CU_ASSERT(result.out[c] == 0);
        CU_ASSERT(result.lse == -INFINITY);
    }
}

static void test_large_scores(void) {
    const double one[1] = {1}, key[2] = {-1e300, 1e300}, value[2] = {3, 4};
    const attn_interval all = {0, 2};
    double out[1] = {0}, sum = 0, lse;
    const double max = attn_oracle_max(one, key, 1, 1, all, 1.0, NULL, -INFINITY);

    attn_oracle_add(one, key, 1, value, 1, 1, 1, all, 1.0, NULL, max, &sum, out);
    attn_oracle_finish(max, sum, 1, out, &lse);
    CU_ASSERT(out[0] == 4 && lse == 1e300);
}

/* A running maximum and the same order of sums: pieces give the very same bits. */
static void test_pieces(void) {
    const int64_t whole[] = {0, KEYS}, pieces[] = {0, 1, 9, 9, 17, KEYS};

    fill();
    for (int64_t first = 0; first < KEYS; first++)
        for (int64_t last = first; last <= KEYS; last++) {
            const attn_interval visible = {first, last};
            const answer wanted = attend(visible, 0.8, whole, 1);
            const answer result = attend(visible, 0.8, pieces, 5);

            for (int c = 0; c < COLUMNS; c++) CU_ASSERT(result.out[c] == wanted.out[c]);
            CU_ASSERT(result.lse == wanted.lse);
        }
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.oracle.by_hand", test_by_hand},
        {"unit.oracle.dot_tails", test_dot},
        {"unit.oracle.empty", test_empty},
        {"unit.oracle.large_scores", test_large_scores},
        {"unit.oracle.pieces_are_whole", test_pieces},
    };

    return attn_test_main("unit_oracle", tests, ATTN_TEST_COUNT(tests));
}
