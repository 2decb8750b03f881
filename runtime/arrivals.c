#include "arrivals.h"

#include <stdlib.h>

#include "memory.h"

attn_status attn_arrivals_create(attn_arrivals *arrivals, int64_t most_steps, int64_t most_pieces,
                                 attn_error *error) {
    *arrivals = (attn_arrivals){0};
    arrivals->pieces = attn_alloc((size_t)most_pieces, sizeof *arrivals->pieces);
    arrivals->step_first = attn_alloc((size_t)most_steps + 1, sizeof *arrivals->step_first);
    if (arrivals->pieces == NULL || arrivals->step_first == NULL) {
        attn_arrivals_destroy(arrivals);
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    }
    arrivals->step_first[0] = 0;
    return attn_ok(error);
}

static void locate_piece(const attn_arrivals *arrivals, const attn_kv_layout *kv,
                         const attn_reach *reach, int64_t shard, int32_t step, int64_t number,
                         int32_t *step_of, attn_block_place *places) {
    const attn_kv_shard *piece = &arrivals->pieces[number];

    for (int64_t run = 0; run < attn_layout_run_count(kv->rows, piece->shard); run++) {
        int64_t place;
        attn_range blocks = attn_kv_shard_run(kv, piece, run, &place);

        for (int64_t block = blocks.first; block < blocks.last; block++, place++) {
            if (!attn_reach_overlaps(reach, shard, (attn_range){block, block + 1})) continue;
            step_of[block] = step;
            if (places != NULL)
                places[block] = (attn_block_place){number - arrivals->step_first[step], place};
        }
    }
}

void attn_arrivals_locate(const attn_arrivals *arrivals, const attn_kv_layout *kv,
                          const attn_reach *reach, int64_t shard, int32_t *step_of,
                          attn_block_place *places) {
    for (int64_t block = 0; block < kv->rows->block_count; block++) step_of[block] = -1;
    for (int32_t step = 0; step < arrivals->steps; step++)
        for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++)
            locate_piece(arrivals, kv, reach, shard, step, i, step_of, places);
}

void attn_arrivals_destroy(attn_arrivals *arrivals) {
    free(arrivals->step_first);
    free(arrivals->pieces);
    *arrivals = (attn_arrivals){0};
}
