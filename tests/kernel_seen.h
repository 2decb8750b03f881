/* kernel_seen.h: which keys the rows of a call see: masks, as intervals. */
#ifndef ATTN_TESTS_KERNEL_SEEN_H
#define ATTN_TESTS_KERNEL_SEEN_H

#include "kernel_call.h"

/* All keys, causal ones, windows, one key, nothing … */
enum { ATTN_SEEN_MASKS = 8 };

/* What row `row` sees under a mask, and what all rows of a call see. */
attn_interval attn_seen_by(int mask, int64_t row, int64_t rows, int64_t keys);
void attn_seen_mask(attn_call *call, int mask);

/* The keys [first, last) that there are. */
attn_interval attn_seen_clipped(int64_t first, int64_t last, int64_t keys);

/* A run of keys, `gap` keys behind the row's first one; none when there is no room. And one for
 * every row, behind gaps of 1 to 40 keys. */
attn_interval attn_seen_second_run(const attn_call *call, int64_t row, int64_t gap);
void attn_seen_second_runs(attn_call *call);

/* Whether a row sees a key. */
int attn_seen_key(const attn_call *call, int32_t row, int64_t key);

#endif
