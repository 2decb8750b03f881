/* Lists of rows: those of all members of all shards make up the sequence. */
#include "row_list.h"

#include "harness.h"
#include "laid_out.h"

/* Members of all head groups together list each row once, and find what they list. */
static void test_lists_of_rows_make_up_the_sequence(void) {
    static const int64_t lengths[] = {1, 33, 301, 1021};

    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (int i = 0; i < ATTN_LAID_OUT_COUNT; i++)
            for (int64_t shards = 1; shards <= 6; shards++)
                for (int64_t members = 1; members <= 4; members++) {
                    int64_t length = lengths[l], wrong = 0;
                    attn_mask mask =
                        attn_laid_out_mask(length, (attn_mask_spec){.causal = ATTN_CAUSAL});
                    attn_layout layout = attn_laid_out(attn_laid_out_names[i], shards, &mask);
                    char listed[1021] = {0};

                    for (int64_t rank = 0; rank < shards * members; rank++) {
                        int64_t rows = attn_layout_rows(&layout, rank / members), before = -1;
                        attn_row_list list;
                        attn_error error;

                        CU_ASSERT_EQUAL(
                            attn_row_list_create(&list, &layout, rank / members,
                                                 attn_deal(rows, members, rank % members), &error),
                            ATTN_OK);
                        for (int64_t own = 0; own < list.count; own++) {
                            int64_t row = attn_row_list_at(&list, own);
                            attn_rows rest = attn_row_list_from(&list, own, 3);

                            listed[row]++;
                            wrong += row <= before || attn_row_list_find(&list, row) != own;
                            wrong += rest.first != row || rest.count < 1 || rest.count > 3;
                            wrong += attn_row_list_at(&list, own + rest.count - 1) !=
                                     row + rest.count - 1;
                            before = row;
                        }
                        CU_ASSERT_EQUAL(attn_row_list_find(&list, length), -1);
                        attn_row_list_destroy(&list);
                    }
                    for (int64_t row = 0; row < length; row++) wrong += listed[row] != 1;
                    CU_ASSERT_EQUAL(wrong, 0);
                    attn_layout_destroy(&layout);
                }
}

int main(void) {
    static const attn_test tests[] = {
        {"lists of rows make up the sequence", test_lists_of_rows_make_up_the_sequence},
    };
    return attn_test_main("unit.row_list", tests, ATTN_TEST_COUNT(tests));
}
