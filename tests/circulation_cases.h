/* circulation_cases.h: problems whose circulation is counted: no mask, masks of each kind, few
 * queries. */
#ifndef ATTN_TESTS_CIRCULATION_CASES_H
#define ATTN_TESTS_CIRCULATION_CASES_H

#include <stdint.h>

#include "attnspan/attnspan.h"

/* Of keys there are always as many: 16 blocks of 64 rows, all whole, as of the most queries. */
enum {
    ATTN_CASE_ROWS = 1024,
    ATTN_CASE_BLOCK_ROWS = 64,
    ATTN_CASE_HEADS = 2,
    ATTN_CASE_DIM = 16,                                            /* of keys and of values */
    ATTN_CASE_ROW_BYTES = ATTN_CASE_HEADS * 2 * ATTN_CASE_DIM * 4, /* of keys and values */
    ATTN_CASE_BYTES = ATTN_CASE_ROWS * ATTN_CASE_ROW_BYTES
};

enum {
    ATTN_CASE_NO_MASK,
    ATTN_CASE_CAUSAL,
    ATTN_CASE_LEFT,
    ATTN_CASE_RIGHT,
    ATTN_CASE_BOTH_SIDES,
    ATTN_CASE_FIRST_KEYS,
    ATTN_CASE_DOCUMENTS,
    ATTN_CASE_FEW_QUERIES,
    ATTN_CASE_ONE_QUERY,
    ATTN_CASE_ONE_QUERY_LEFT,
    ATTN_CASE_APART, /* no query of one half sees the other */
    ATTN_CASE_TOP_LEFT,
    ATTN_CASES
};
const char *attn_case_name(int which);

enum { ATTN_CASE_LAYOUTS = 4 };
extern const char *const attn_case_layouts[ATTN_CASE_LAYOUTS];

/* A problem of that many queries. */
attn_problem attn_case_problem(int64_t length, attn_mask_spec mask);

/* Options for all ranks along the sequence, one thread each. */
attn_options attn_case_options(const char *layout, const char *circulate, attn_share_nodes share);

/* Plans, asserting that it can be; NULL when it cannot. Collective. */
attn_plan *attn_case_plan(const attn_problem *problem, const attn_options *options);

/* Plans a case and executes it once. */
attn_plan *attn_case_execute(int which, const char *layout, const char *circulate,
                             attn_share_nodes share);

/* Numbers for the caller to free. */
float *attn_case_array(int64_t elems);

#endif
