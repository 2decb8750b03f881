/* Numbers of rows, keys and dimensions that fill no tile: under every mask the oracle's result, and
 * nothing written beyond. */
#include <stddef.h>

#include "kernel_call.h"
#include "kernel_expect.h"
#include "kernel_levels.h"
#include "kernel_memory.h"
#include "kernel_seen.h"

/* Entries that depend on the kernel, or on the entry for key_dim. */
enum { ALL_ROWS = -1, HALF_ROWS = -2, SAME = -3, PANEL = -4, PANEL_LESS = -5, PANEL_MORE = -6 };

enum { HEAD_DIMS, VALUE_DIMS, COLUMN_BLOCKS, KEY_COUNTS, ROW_COUNTS, MANY_KEYS };

/* Each takes every combination of its lists. */
static const struct sweep {
    int32_t key_dims[40], value_dims[16], keys[20], rows[8]; /* each ends with a 0 */
} sweeps[] = {
    [HEAD_DIMS] = {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,  13,  14, 15,
                    16, 17, 18, 19, 20, 32, 40, 64, 72, 80, 96, 128, 192, 256},
                   {SAME},
                   {65},
                   {5}},
    [VALUE_DIMS] = {{1, 7, 16, 33},
                    {1, 2, 5, 8, 9, 24, 48, 50, 64, 70, 80, 100, 112, 130},
                    {40},
                    {6}},
    [COLUMN_BLOCKS] = {{5},
                       {3, 16, 20, 32, 40, 48, 60, 64, 80, 90, 96, 128, 200},
                       {70},
                       {1, 2, 4, HALF_ROWS, ALL_ROWS}},
    [KEY_COUNTS] = {{3, 64},
                    {SAME},
                    {1, 2, PANEL_LESS, PANEL, PANEL_MORE, 31, 32, 33, 63, 64, 65, 100, 127, 128,
                     129, 257},
                    {7}},
    [ROW_COUNTS] = {{24}, {SAME}, {70}, {1, 2, 3, 4, 5, HALF_ROWS, ALL_ROWS}},
    [MANY_KEYS] = {{20, 128}, {SAME}, {512}, {1, ALL_ROWS}},
};

static int32_t resolve(int32_t entry, int32_t same) {
    const int32_t most_rows = attn_call_most_rows(), panel = attn_call_kernel()->key_panel;

    switch (entry) {
        case ALL_ROWS:
            return most_rows;
        case HALF_ROWS:
            return most_rows / 2 + 1;
        case PANEL:
            return panel;
        case PANEL_LESS:
            return panel > 1 ? panel - 1 : 1;
        case PANEL_MORE:
            return panel + 1;
        case SAME:
            return same;
        default:
            return entry;
    }
}

static void check_shape(int32_t rows, int32_t keys, int32_t key_dim, int32_t value_dim) {
    for (int mask = 0; mask < ATTN_SEEN_MASKS; mask++) {
        attn_call call = attn_call_new(rows, keys, key_dim, value_dim);
        attn_partial result;

        attn_seen_mask(&call, mask);
        result = attn_call_result(&call);
        for (int32_t row = 0; row < rows; row++)
            if (call.visible[row].first >= call.visible[row].last)
                attn_expect(attn_partial_is_empty(result, row), &call, "empty partial");
        attn_expect_result(&call, result);
        attn_partial_free(result);
        attn_call_free(&call);
    }
}

static void check_sweep(int which) {
    const struct sweep *sweep = &sweeps[which];

    for (const int32_t *d = sweep->key_dims; *d != 0; d++)
        for (const int32_t *v = sweep->value_dims; *v != 0; v++)
            for (const int32_t *k = sweep->keys; *k != 0; k++)
                for (const int32_t *r = sweep->rows; *r != 0; r++) {
                    const int32_t rows = resolve(*r, 0);

                    if (rows > attn_call_most_rows()) continue;
                    check_shape(rows, resolve(*k, 0), *d, resolve(*v, *d));
                }
}

/* --- tests ---------------------------------------------------------------------------- */

static void test_every_row_count(void) {
    for (int32_t rows = 1; rows <= attn_call_most_rows(); rows++) check_shape(rows, 45, 12, 20);
}

static void test_every_key_count(void) {
    for (int32_t keys = 1; keys <= 2 * ATTN_KEY_UNIT + 1; keys++) check_shape(5, keys, 10, 18);
    for (int32_t keys = 250; keys <= 260; keys++) check_shape(3, keys, 256, 40);
}

static void test_head_dims(void) {
    check_sweep(HEAD_DIMS);
}

static void test_value_dims(void) {
    check_sweep(VALUE_DIMS);
}

static void test_column_blocks(void) {
    check_sweep(COLUMN_BLOCKS);
}

static void test_key_counts(void) {
    check_sweep(KEY_COUNTS);
}

static void test_row_counts(void) {
    check_sweep(ROW_COUNTS);
}

static void test_many_keys(void) {
    check_sweep(MANY_KEYS);
}

const attn_test attn_kernel_tails[] = {{"tails.every_row_count", test_every_row_count},
                                       {"tails.every_key_count", test_every_key_count},
                                       {"tails.head_dims", test_head_dims},
                                       {"tails.value_dims", test_value_dims},
                                       {"tails.column_blocks", test_column_blocks},
                                       {"tails.key_counts", test_key_counts},
                                       {"tails.row_counts", test_row_counts},
                                       {"tails.many_keys", test_many_keys},
                                       {0}};
