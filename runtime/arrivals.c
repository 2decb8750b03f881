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

void attn_arrivals_locate(const attn_arrivals *arrivals, const attn_kv_layout *kv,
                          const attn_reach *reach, int64_t shard, int32_t *step_of) {
    int64_t place;

    for (int64_t block = 0; block < kv->rows->block_count; block++) step_of[block] = -1;
    for (int32_t step = 0; step < arrivals->steps; step++)
        for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++)
            for (int64_t run = 0; run < attn_layout_run_count(kv->rows, arrivals->pieces[i].shard);
                 run++) {
                attn_range blocks = attn_kv_shard_run(kv, &arrivals->pieces[i], run, &place);

                for (int64_t block = blocks.first; block < blocks.last; block++)
                    if (attn_reach_overlaps(reach, shard, (attn_range){block, block + 1}))
                        step_of[block] = step;
            }
}

static void place_piece(attn_arrivals *arrivals, const attn_kv_layout *kv, int64_t piece,
                        int64_t of_step) {
    const attn_kv_shard *shard = &arrivals->pieces[piece];

    for (int64_t run = 0; run < attn_layout_run_count(kv->rows, shard->shard); run++) {
        int64_t place;
        attn_range blocks = attn_kv_shard_run(kv, shard, run, &place);

        for (int64_t block = blocks.first; block < blocks.last; block++, place++)
            arrivals->places[block] = (attn_block_place){of_step, place};
    }
}

attn_status attn_arrivals_place(attn_arrivals *arrivals, const attn_kv_layout *kv,
                                attn_error *error) {
    arrivals->places = attn_alloc((size_t)kv->rows->block_count, sizeof *arrivals->places);
    if (arrivals->places == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the blocks of keys");
    for (int32_t step = 0; step < arrivals->steps; step++)
        for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++)
            place_piece(arrivals, kv, i, i - arrivals->step_first[step]);
    return attn_ok(error);
}

void attn_arrivals_destroy(attn_arrivals *arrivals) {
    free(arrivals->places);
    free(arrivals->step_first);
    free(arrivals->pieces);
    *arrivals = (attn_arrivals){0};
}
