/* Tiles: every row of every head of every batch item is in exactly one. */
#include "tiling.h"

#include <string.h>

#include "harness.h"

enum { MAX_HEADS = 12, MAX_ROWS = 200, MAX_BATCH = 2 };

static void check(attn_range heads, int64_t queries_per_kv, int64_t length, int64_t shard_rows,
                  int32_t kernel_rows) {
    static int seen[MAX_BATCH][MAX_HEADS][MAX_ROWS];
    static int indices[MAX_BATCH * MAX_HEADS * MAX_ROWS];
    attn_tiling tiling;
    attn_error error;
    int64_t missing = 0;

    memset(seen, 0, sizeof seen);
    memset(indices, 0, sizeof indices);
    CU_ASSERT_EQUAL(attn_tiling_create(&tiling, MAX_BATCH, heads, queries_per_kv, length,
                                       shard_rows, kernel_rows, &error),
                    ATTN_OK);
    for (int64_t number = 0; number < tiling.count; number++) {
        attn_tile tile = attn_tiling_tile(&tiling, number);

        CU_ASSERT(tile.index >= 0 && tile.index < tiling.count);
        CU_ASSERT_EQUAL(indices[tile.index]++, 0);
        CU_ASSERT(tile.kernel_rows >= 1 && tile.kernel_rows <= kernel_rows);
        CU_ASSERT_EQUAL(tile.kernel_rows, tile.rows * tile.stack->heads);
        for (int64_t i = 0; i < tile.stack->heads; i++) {
            int64_t head = tile.stack->first_head + i;
            int64_t kv_head = (heads.first + head) / queries_per_kv;
            CU_ASSERT_EQUAL(tile.stack->kv_head, kv_head - heads.first / queries_per_kv);
            for (int32_t row = 0; row < tile.rows; row++)
                seen[tile.item][head][tile.first_row + row]++;
        }
    }
    for (int64_t item = 0; item < MAX_BATCH; item++)
        for (int64_t head = 0; head < attn_range_count(heads); head++)
            for (int64_t row = 0; row < shard_rows; row++) missing += seen[item][head][row] != 1;
    CU_ASSERT_EQUAL(missing, 0);
    attn_tiling_destroy(&tiling);
}

static void test_every_row_is_in_exactly_one_tile(void) {
    static const int64_t lengths[] = {1, 2, 3, 7, 31, 32, 33, 63, 64, 65, 200};

    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (int64_t queries_per_kv = 1; queries_per_kv <= 6; queries_per_kv++)
            for (int64_t first = 0; first < 5; first++)
                for (int64_t count = 0; count <= MAX_HEADS; count += 3) {
                    check((attn_range){first, first + count}, queries_per_kv, lengths[l],
                          lengths[l], 64);
                    check((attn_range){first, first + count}, queries_per_kv, lengths[l],
                          lengths[l] / 2, 56);
                }
}

static void test_decoding_reads_a_kv_head_once(void) {
    attn_range heads = {0, 32};
    attn_tiling tiling;
    attn_error error;

    CU_ASSERT_EQUAL(attn_tiling_create(&tiling, 1, heads, 4, 1, 1, 64, &error), ATTN_OK);
    CU_ASSERT_EQUAL(tiling.count, 8); /* one tile for each kv head */
    attn_tiling_destroy(&tiling);
}

int main(void) {
    static const attn_test tests[] = {
        {"every row is in exactly one tile", test_every_row_is_in_exactly_one_tile},
        {"decoding reads a kv head once", test_decoding_reads_a_kv_head_once},
    };
    return attn_test_main("unit.tiling", tests, ATTN_TEST_COUNT(tests));
}
