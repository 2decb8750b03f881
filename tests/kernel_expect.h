/* kernel_expect.h: what is expected of a call: that something holds, or the oracle's result. */
#ifndef ATTN_TESTS_KERNEL_EXPECT_H
#define ATTN_TESTS_KERNEL_EXPECT_H

#include "kernel_call.h"

/* An assertion; one that fails says what it was, and of which kernel and shape. */
void attn_expect(int holds, const attn_call *call, const char *what);

/* Finishes the call's partial and compares: rows that see nothing exactly, the others within the
 * bounds that kernel_expect.c derives. */
void attn_expect_oracle(const attn_call *call, attn_partial partial);

/* The same, and that nothing was written beyond partial and scratch. */
void attn_expect_result(const attn_call *call, attn_partial result);

#endif
