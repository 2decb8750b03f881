/* One kernel against the oracle and the contract of attnspan/kernels.h:
 *
 *     kernel_levels LEVEL STORAGE [PREFIX [few]]
 *
 * runs the tests whose names begin with PREFIX, with `few` on attend_few() instead of attend(), and
 * exits with 77 when there is no such level in this build or this machine does not run it.
 * tests/CMakeLists.txt lists them all. */
#include "kernel_levels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_call.h"

enum { SKIPPED = 77, MOST_TESTS = 64 };

/* The kernel of that level and storage; NULL when there is none or it does not run here. */
static const attn_kernel *find_kernel(const char *level_name, const char *storage_name) {
    for (int32_t level = 0; level < attn_kernel_levels(); level++)
        for (int storage = 0; storage < ATTN_STORAGES; storage++) {
            const attn_kernel *kernel = attn_kernel_of(level, (attn_storage)storage);

            if (strcmp(attn_kernel_name(level), level_name) == 0 &&
                strcmp(attn_storage_name(storage), storage_name) == 0 && kernel->supported())
                return kernel;
        }
    return NULL;
}

/* Appends those of a file's tests whose names begin so. */
static size_t choose(const attn_test *tests, const char *prefix, attn_test *chosen, size_t count) {
    for (; tests->name != NULL; tests++) {
        if (strncmp(tests->name, prefix, strlen(prefix)) != 0) continue;
        if (count == MOST_TESTS) abort();
        chosen[count++] = *tests;
    }
    return count;
}

int main(int argc, char **argv) {
    static const attn_test *const files[] = {attn_kernel_contract, attn_kernel_scores,
                                             attn_kernel_merge, attn_kernel_tails};
    attn_test chosen[MOST_TESTS];
    size_t count = 0;
    const attn_kernel *kernel;

    if (argc < 3) {
        fprintf(stderr, "usage: kernel_levels LEVEL STORAGE [PREFIX [few]]\n");
        return 2;
    }
    kernel = find_kernel(argv[1], argv[2]);
    if (kernel == NULL) {
        printf("skipped: no kernel %s for %s, or not on this CPU\n", argv[1], argv[2]);
        return SKIPPED;
    }
    attn_call_set_kernel(kernel, argc == 5 && strcmp(argv[4], "few") == 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        count = choose(files[i], argc < 4 ? "" : argv[3], chosen, count);
    if (count == 0) {
        fprintf(stderr, "kernel_levels: no test begins with %s\n", argv[3]);
        return 2;
    }
    return attn_test_main("kernel_levels", chosen, count);
}
