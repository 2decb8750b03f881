/* When OpenBLAS's choice of kernels is corrected. */
#include "blas_core.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "harness.h"

static void test_avx2_kernels_on_an_avx512_cpu_are_replaced(void) {
    const unsigned avx512 = ATTN_CPU_AVX2 | ATTN_CPU_AVX512;

    CU_ASSERT_STRING_EQUAL(attn_blas_core_better("Haswell", avx512), "SKYLAKEX");
    CU_ASSERT_STRING_EQUAL(attn_blas_core_better("Zen", avx512 | ATTN_CPU_AVX512_BF16), "SKYLAKEX");
}

static void test_all_else_is_left_alone(void) {
    CU_ASSERT_PTR_NULL(attn_blas_core_better("Haswell", ATTN_CPU_AVX2));
    CU_ASSERT_PTR_NULL(attn_blas_core_better("Haswell", 0));
    CU_ASSERT_PTR_NULL(attn_blas_core_better("SkylakeX", ATTN_CPU_AVX2 | ATTN_CPU_AVX512));
    CU_ASSERT_PTR_NULL(attn_blas_core_better("Cooperlake", ATTN_CPU_AVX2 | ATTN_CPU_AVX512));
    CU_ASSERT_PTR_NULL(attn_blas_core_better("a core of 2040", ATTN_CPU_AVX2 | ATTN_CPU_AVX512));
}

static void test_the_name_has_library_version_and_core(void) {
    char name[128], reason[128];

    attn_blas_name(name, sizeof name);
    CU_ASSERT_PTR_EQUAL(strstr(name, "OpenBLAS "), name);
    CU_ASSERT_PTR_NOT_NULL(strchr(name, '('));
    attn_blas_core_reason(reason, sizeof reason);
    CU_ASSERT(strlen(reason) > 0);
}

int main(void) {
    static const attn_test tests[] = {
        {"AVX2 kernels on an AVX-512 CPU are replaced",
         test_avx2_kernels_on_an_avx512_cpu_are_replaced},
        {"all else is left alone", test_all_else_is_left_alone},
        {"the name has library, version and core", test_the_name_has_library_version_and_core},
    };
    return attn_test_main("unit.blas_core", tests, ATTN_TEST_COUNT(tests));
}
