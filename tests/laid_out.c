#include "laid_out.h"

#include <stddef.h>

#include "harness.h"

const char *const attn_laid_out_names[ATTN_LAID_OUT_COUNT] = {"contiguous", "zigzag", "striped",
                                                              "balanced"};

attn_mask attn_laid_out_mask(int64_t length, attn_mask_spec spec) {
    return (attn_mask){spec, length, length, 1};
}

attn_layout attn_laid_out(const char *name, int64_t shards, const attn_mask *mask) {
    attn_layout layout;
    attn_error error;

    CU_ASSERT_EQUAL(attn_layout_choose(&layout, name == NULL ? -1 : attn_layout_find(name), shards,
                                       mask, &error),
                    ATTN_OK);
    return layout;
}
