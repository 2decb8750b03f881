/* mask.c: which keys a query sees, and how many pairs that makes.
 *
 * Everything is closed form: a plan asks for the pairs of many spans of rows of
 * sequences that nobody wants to walk. Products that pass 63 bits saturate. */
#include <assert.h>

#include "attnspan/kernels.h"

const char *attn_mask_name(int kind) {
    static const char *const names[] = {[ATTN_MASK_NONE] = "none", [ATTN_MASK_CAUSAL] = "causal"};

    return kind >= 0 && kind < (int)(sizeof names / sizeof *names) ? names[kind] : NULL;
}

attn_interval attn_mask_visible(const attn_mask *mask, int64_t row) {
    attn_interval visible = {0, mask->kv_length};

    assert(row >= 0 && row < mask->length);
    if (mask->kind == ATTN_MASK_CAUSAL) {
        /* row − N is negative, so no step of the sum leaves the range. */
        visible.last = row - mask->length + 1 + mask->kv_length;
        if (visible.last < 0) visible.last = 0;
    }
    return visible;
}

/* a · b for a, b >= 0; INT64_MAX when that is less. */
static int64_t saturating_product(uint64_t a, uint64_t b) {
    if (b != 0 && a > (uint64_t)INT64_MAX / b) return INT64_MAX;
    return (int64_t)(a * b);
}

int64_t attn_mask_pairs(const attn_mask *mask, int64_t first, int64_t last) {
    uint64_t rows, ends;

    if (mask->kind == ATTN_MASK_CAUSAL && first < mask->length - mask->kv_length)
        first = mask->length - mask->kv_length; /* the rows before see nothing */
    if (first >= last) return 0;
    rows = (uint64_t)last - (uint64_t)first;
    if (mask->kind == ATTN_MASK_NONE) return saturating_product(rows, (uint64_t)mask->kv_length);

    /* Each row sees one key more than the row before: rows · (least + most) / 2,
     * halving the factor that is even. */
    ends = (uint64_t)attn_mask_visible(mask, first).last +
           (uint64_t)attn_mask_visible(mask, last - 1).last;
    return rows % 2 == 0 ? saturating_product(rows / 2, ends) : saturating_product(rows, ends / 2);
}
