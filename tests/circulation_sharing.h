/* circulation_sharing.h: the tests of mpi_circulation.c on nodes whose ranks share one copy. */
#ifndef ATTN_TESTS_CIRCULATION_SHARING_H
#define ATTN_TESTS_CIRCULATION_SHARING_H

#include "harness.h"

enum { ATTN_SHARING_TESTS = 6 };
extern const attn_test attn_sharing_tests[ATTN_SHARING_TESTS];

#endif
