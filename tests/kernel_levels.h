/* kernel_levels.h: the tests of kernel_levels.c: a table for each file of them, with {0} behind the
 * last. They are of the kernel that attn_call_set_kernel() was given. */
#ifndef ATTN_TESTS_KERNEL_LEVELS_H
#define ATTN_TESTS_KERNEL_LEVELS_H

#include "harness.h"

extern const attn_test attn_kernel_contract[];
extern const attn_test attn_kernel_scores[];
extern const attn_test attn_kernel_merge[];
extern const attn_test attn_kernel_tails[];

#endif
