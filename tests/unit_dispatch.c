/* The table of kernels, and the choice among them. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include <stdlib.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "harness.h"

static void test_table(void) {
    const int32_t levels = attn_kernel_levels();

    CU_ASSERT_STRING_EQUAL(attn_kernel_name(0), "generic");
    CU_ASSERT_PTR_NULL(attn_kernel_name(levels));
    CU_ASSERT_PTR_NULL(attn_kernel_name(-1));
    for (int32_t level = 0; level < levels; level++) {
        for (int storage = 0; storage < ATTN_STORAGES; storage++) {
            const attn_kernel *kernel = attn_kernel_of(level, (attn_storage)storage);

            CU_ASSERT_EQUAL((int)kernel->storage, storage);
            CU_ASSERT(level > 0 || kernel->supported());
        }
        for (int32_t other = 0; other < level; other++)
            CU_ASSERT_STRING_NOT_EQUAL(attn_kernel_name(other), attn_kernel_name(level));
    }
}

/* A level without a kernel of its own takes one from below, under that one's name. */
static void test_names(void) {
    for (int32_t level = 0; level < attn_kernel_levels(); level++)
        for (int storage = 0; storage < ATTN_STORAGES; storage++) {
            const attn_kernel *kernel = attn_kernel_of(level, (attn_storage)storage);
            int32_t named = 0;

            while (strcmp(attn_kernel_name(named), kernel->name) != 0) named++;
            CU_ASSERT(named <= level);
            CU_ASSERT_PTR_EQUAL(attn_kernel_of(named, (attn_storage)storage), kernel);
        }
}

/* The environment forces a lower level, never a higher one, and nothing unknown. */
static void test_cap(void) {
    for (int storage = 0; storage < ATTN_STORAGES; storage++) {
        const attn_storage stored = (attn_storage)storage;
        int32_t best;

        CU_ASSERT(unsetenv(ATTN_KERNEL_VARIABLE) == 0);
        best = attn_kernel_best(stored);
        CU_ASSERT(best >= 0 && attn_kernel_of(best, stored)->supported());
        for (int32_t level = 0; level < attn_kernel_levels(); level++) {
            CU_ASSERT(setenv(ATTN_KERNEL_VARIABLE, attn_kernel_name(level), 1) == 0);
            CU_ASSERT(attn_kernel_best(stored) <= level && attn_kernel_best(stored) <= best);
            /* Pairs of bf16 on vectors may be slower than the level below. */
            if (level == best || (level < best && attn_kernel_of(level, stored)->depth == 1))
                CU_ASSERT_EQUAL(attn_kernel_best(stored), level);
        }
        CU_ASSERT(setenv(ATTN_KERNEL_VARIABLE, "Generic", 1) == 0);
        CU_ASSERT_EQUAL(attn_kernel_best(stored), -1);
        CU_ASSERT(setenv(ATTN_KERNEL_VARIABLE, "", 1) == 0);
        CU_ASSERT_EQUAL(attn_kernel_best(stored), best);
    }
    CU_ASSERT(unsetenv(ATTN_KERNEL_VARIABLE) == 0);
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.dispatch.table", test_table},
        {"unit.dispatch.names", test_names},
        {"unit.dispatch.environment_caps", test_cap},
    };

    return attn_test_main("unit_dispatch", tests, ATTN_TEST_COUNT(tests));
}
