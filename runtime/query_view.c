#include "query_view.h"

#include <math.h>

#include "partition.h"

attn_query_view attn_query_view_of(const attn_mask *mask) {
    enum { MOST = 512 };
    const double golden = 0.6180339887498949; /* its multiples are spread evenly over 0 to 1 */
    int64_t count = mask->length < MOST ? mask->length : MOST, edges = 0, blocks = 0;
    int64_t block_rows = attn_block_rows(mask->kv_length);

    for (int64_t i = 0; i < count; i++) {
        double place = count < MOST ? (double)i : (double)i + fmod((double)i * golden, 1);
        int64_t row = (int64_t)(place / (double)count * (double)mask->length);
        attn_visible seen = attn_mask_visible(mask, 0, row);

        for (int k = 0; k < 2; k++) {
            const attn_interval *keys = &seen.span[k];

            if (keys->first == keys->last) continue;
            edges += (keys->first > 0) + (keys->last < mask->kv_length);
            blocks += (keys->last - 1) / block_rows - keys->first / block_rows + 1;
        }
    }
    return (attn_query_view){(double)edges / (double)count, (double)blocks / (double)count};
}
