#include "harness.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>

int attn_test_main(const char *suite, const attn_test *tests, size_t count) {
    unsigned failures = 1;
    CU_pSuite registered;

    if (CU_initialize_registry() != CUE_SUCCESS) return 1;
    registered = CU_add_suite(suite, NULL, NULL);
    for (size_t i = 0; registered != NULL && i < count; i++)
        if (CU_add_test(registered, tests[i].name, tests[i].run) == NULL) registered = NULL;
    if (registered != NULL) {
        CU_basic_set_mode(CU_BRM_VERBOSE);
        if (CU_basic_run_tests() == CUE_SUCCESS && CU_get_number_of_tests_run() == count)
            failures = CU_get_number_of_failures();
    }
    CU_cleanup_registry();
    return failures != 0;
}

double attn_larger_error(double error, double other) {
    return isnan(error) || error >= other ? error : other;
}
