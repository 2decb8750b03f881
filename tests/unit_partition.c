/* The partition: every row, block and head is owned, once where it must be. */
#include <stddef.h>

#include "attnspan/kernels.h"
#include "harness.h"
#include "partition.h"

static void test_deal_covers_in_order_and_evenly(void) {
    for (int64_t count = 0; count <= 40; count++)
        for (int64_t parts = 1; parts <= 12; parts++) {
            int64_t next = 0;
            for (int64_t i = 0; i < parts; i++) {
                attn_range range = attn_deal(count, parts, i);
                CU_ASSERT_EQUAL(range.first, next);
                CU_ASSERT(attn_range_count(range) == count / parts ||
                          attn_range_count(range) == count / parts + 1);
                next = range.last;
            }
            CU_ASSERT_EQUAL(next, count);
        }
}

static void test_blocks_are_whole_units_that_grow_with_the_sequence(void) {
    int64_t before = 0;

    for (int64_t rows = 1; rows < 40000; rows += 7) {
        int64_t block = attn_block_rows(rows);
        CU_ASSERT_EQUAL(block % ATTN_KEY_UNIT, 0);
        CU_ASSERT(block >= before);
        CU_ASSERT(attn_block_count(rows) * block >= rows);
        CU_ASSERT((attn_block_count(rows) - 1) * block < rows);
        before = block;
    }
    CU_ASSERT_EQUAL(attn_block_rows(1), ATTN_KEY_UNIT);
    CU_ASSERT_EQUAL(attn_block_rows(INT64_C(1) << 40), 512);
}

static void test_kv_heads_are_those_that_the_query_heads_read(void) {
    for (int64_t kv_heads = 1; kv_heads <= 6; kv_heads++)
        for (int64_t group = 1; group <= 4; group++)
            for (int64_t members = 1; members <= 9; members++)
                for (int64_t m = 0; m < members; m++) {
                    int64_t heads = kv_heads * group;
                    attn_range own = attn_member_heads(heads, members, m);
                    attn_range kv = attn_member_kv_heads(heads, kv_heads, members, m);
                    if (attn_range_count(own) == 0) {
                        CU_ASSERT_EQUAL(attn_range_count(kv), 0);
                        continue;
                    }
                    CU_ASSERT_EQUAL(kv.first, own.first / group);
                    CU_ASSERT_EQUAL(kv.last, (own.last - 1) / group + 1);
                }
}

int main(void) {
    static const attn_test tests[] = {
        {"deal covers in order and evenly", test_deal_covers_in_order_and_evenly},
        {"blocks are whole units that grow with the sequence",
         test_blocks_are_whole_units_that_grow_with_the_sequence},
        {"kv heads are those that the query heads read",
         test_kv_heads_are_those_that_the_query_heads_read},
    };
    return attn_test_main("unit.partition", tests, ATTN_TEST_COUNT(tests));
}
