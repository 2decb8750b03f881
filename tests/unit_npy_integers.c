/* Lists of integers in .npy files: what is read, and what is refused in which words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "harness.h"
#include "npy.h"

static void lists_of_integers_are_read(void) {
    static const int64_t wide[] = {700, -1, INT64_MAX};
    static const int32_t narrow[] = {5, -7, INT32_MAX, 0};
    const char *path = attn_cli_path("x.npy");
    int64_t *values = NULL, count = 0;
    attn_error error;

    attn_cli_write_npy(path, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n", wide,
                       sizeof wide);
    CU_ASSERT_EQUAL(attn_npy_read_integers(path, 3, &values, &count, &error), ATTN_OK);
    CU_ASSERT(count == 3 && values != NULL && memcmp(values, wide, sizeof wide) == 0);
    free(values);
    attn_cli_write_npy(path, "{'descr': '<i4', 'fortran_order': False, 'shape': (4,), }\n", narrow,
                       sizeof narrow);
    CU_ASSERT_EQUAL(attn_npy_read_integers(path, 9, &values, &count, &error), ATTN_OK);
    CU_ASSERT(count == 4 && values[0] == 5 && values[1] == -7 && values[2] == INT32_MAX &&
              values[3] == 0);
    free(values);
}

static void other_lists_are_refused(void) {
    static const struct {
        const char *dict, *message;
        size_t bytes;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", "must be '<i8' or '<i4'",
         12},
        {"{'descr': '>i8', 'fortran_order': False, 'shape': (3,), }\n",
         "its elements are integers ('>i8'); must be '<i8' or '<i4'", 24},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (3, 1), }\n",
         "has 2 dimensions and 3 integers; must be a list, [n], of 1 to 3", 24},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }\n",
         "has 1 dimensions and 4 integers; must be a list, [n], of 1 to 3", 32},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }\n", "must be a list, [n]", 0},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n", "is shorter than", 20},
    };
    static const char zeros[64];
    const char *path = attn_cli_path("x.npy");

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t *values, count;
        attn_error error;

        attn_cli_write_npy(path, cases[i].dict, zeros, cases[i].bytes);
        CU_ASSERT_EQUAL(attn_npy_read_integers(path, 3, &values, &count, &error), ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NULL(values);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        if (strstr(error.message, cases[i].message) == NULL) fprintf(stderr, "%s\n", error.message);
    }
}

int main(void) {
    static const attn_test tests[] = {
        {"lists of integers are read", lists_of_integers_are_read},
        {"other lists are refused", other_lists_are_refused},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("unit.npy_integers", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
