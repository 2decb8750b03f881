/* laid_out.h: masks laid out over shards, by each layout there is. */
#ifndef ATTN_TESTS_LAID_OUT_H
#define ATTN_TESTS_LAID_OUT_H

#include <stdint.h>

#include "layout.h"

/* The layouts. A new one has its row here. */
enum { ATTN_LAID_OUT_COUNT = 4 };
extern const char *const attn_laid_out_names[ATTN_LAID_OUT_COUNT];

/* A mask of one item with as many keys as queries. */
attn_mask attn_laid_out_mask(int64_t length, attn_mask_spec spec);

/* The layout of that name, NULL: which the program chooses. It must be made; the caller destroys
 * it. */
attn_layout attn_laid_out(const char *name, int64_t shards, const attn_mask *mask);

#endif
