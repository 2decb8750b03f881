#include "circulate.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

static const attn_circulation *const circulations[] = {
    &attn_circulate_ring,
    &attn_circulate_gather,
    &attn_circulate_reduce,
};

enum { CIRCULATIONS = sizeof circulations / sizeof *circulations };

const char *attn_circulation_name(int index) {
    return index >= 0 && index < (int)CIRCULATIONS ? circulations[index]->name : NULL;
}

const attn_circulation *attn_circulation_find(const char *name) {
    for (size_t i = 0; i < CIRCULATIONS; i++)
        if (strcmp(circulations[i]->name, name) == 0) return circulations[i];
    return NULL;
}

const char *attn_circulation_refuses(const attn_problem *problem, const char *name) {
    const attn_circulation *circulation = attn_circulation_find(name);

    if (circulation != NULL && circulation->moves_queries && problem->terms.bias_heads > 0)
        return "moves queries, but not their biases; take ring or gather";
    return NULL;
}

attn_status attn_circulate_slice(attn_circulate *circulate, int64_t slice_count,
                                 attn_error *error) {
    int64_t shards = circulate->shard_count;

    free(circulate->slices);
    circulate->slices = attn_alloc((size_t)(shards * slice_count), sizeof *circulate->slices);
    if (circulate->slices == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    circulate->slice_count = slice_count;
    circulate->own = circulate->slices + circulate->shard * slice_count;
    for (int64_t i = 0; i < shards * slice_count; i++)
        circulate->slices[i] =
            attn_kv_shard_of(circulate->kv, i / slice_count, slice_count, i % slice_count);
    return attn_ok(error);
}

const attn_kv_shard *attn_circulate_slice_of(const attn_circulate *circulate, int64_t shard,
                                             int64_t slice) {
    return &circulate->slices[shard * circulate->slice_count + slice];
}

int attn_circulate_needs(const attn_circulate *circulate, int64_t by, const attn_kv_shard *slice) {
    for (int64_t run = 0; run < attn_layout_run_count(circulate->kv->rows, slice->shard); run++) {
        int64_t place;
        attn_range blocks = attn_kv_shard_run(circulate->kv, slice, run, &place);

        if (attn_range_count(blocks) > 0 && attn_reach_overlaps(circulate->reach, by, blocks))
            return 1;
    }
    return 0;
}

attn_status attn_circulate_plan(attn_circulate *circulate, attn_buffers *buffers,
                                attn_error *error) {
    int64_t pieces = 0;

    if (circulate->circulation->plan(circulate, buffers, &pieces, error) != ATTN_OK)
        return error->status;
    return attn_transfer_create(&circulate->transfer, circulate->axis, pieces, error);
}

void attn_circulate_sends(const attn_circulate *circulate, attn_send_visit *visit, void *context) {
    circulate->circulation->sends(circulate, visit, context);
}

void attn_circulate_own(attn_circulate *circulate) {
    char *data = circulate->blocks[0];

    for (int64_t i = 0; i < circulate->slice_count; i++) {
        circulate->own[i].data = data;
        data += circulate->own[i].bytes;
    }
}

void attn_circulate_execute(attn_circulate *circulate, attn_attend *attend, const void *query,
                            float *out) {
    circulate->circulation->execute(circulate, attend, query, out);
}

void attn_circulate_destroy(attn_circulate *circulate) {
    if (circulate->state != NULL) circulate->circulation->destroy(circulate);
    attn_transfer_destroy(&circulate->transfer);
    free(circulate->hops);
    attn_arrivals_destroy(&circulate->arrivals);
    free(circulate->slices);
    *circulate = (attn_circulate){0};
}
