/* harness.h: a test program is a table of named tests over CUnit.
 *
 * Serial programs call attn_test_main; MPI programs call attn_test_main_mpi: a
 * failure on any rank fails the test on every rank, and all leave together.
 * Inside MPI tests use CU_ASSERT*, never the _FATAL forms: those jump out of one
 * rank alone. */
#ifndef ATTN_TESTS_HARNESS_H
#define ATTN_TESTS_HARNESS_H

#include <CUnit/CUnit.h>
#include <stddef.h>

/* Whether sanitizers watch, which slows a test down five to ten times. They look for what the
 * code does to memory; that every combination of ways computes the same is for the release build
 * to say. So a test that goes through all of them may take them in turn here. */
#if defined __has_feature
#define ATTN_SANITIZED __has_feature(address_sanitizer)
#elif defined __SANITIZE_ADDRESS__
#define ATTN_SANITIZED 1
#else
#define ATTN_SANITIZED 0
#endif

typedef struct attn_test {
    const char *name; /* says what holds */
    void (*run)(void);
} attn_test;

/* Runs the tests and returns main's status: 0 when every assertion held. */
int attn_test_main(const char *suite, const attn_test *tests, size_t count);
int attn_test_main_mpi(int *argc, char ***argv, const char *suite, const attn_test *tests,
                       size_t count);

/* Of errors, which are not negative: NaN is the largest of all, which neither `>` nor fmax says. */
double attn_larger_error(double error, double other);

#define ATTN_TEST_COUNT(tests) (sizeof(tests) / sizeof *(tests))

#endif
