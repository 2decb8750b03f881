#include "circulate.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

static const attn_circulation *const circulations[] = {
    &attn_circulate_ring,
    &attn_circulate_gather,
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

attn_status attn_circulate_plan(attn_circulate *circulate, const attn_circulation *circulation,
                                const attn_mesh *mesh, const attn_kv_layout *layout,
                                attn_buffers *buffers, attn_error *error) {
    int64_t pieces = 0;

    *circulate = (attn_circulate){.circulation = circulation, .shard = mesh->shard};
    circulate->shards = attn_alloc((size_t)layout->shards, sizeof *circulate->shards);
    circulate->arrivals = attn_alloc((size_t)layout->shards, sizeof *circulate->arrivals);
    if (circulate->shards == NULL || circulate->arrivals == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    for (int i = 0; i < layout->shards; i++)
        circulate->shards[i] = attn_kv_shard_of(layout, i, NULL);
    circulation->plan(circulate, layout, buffers, &pieces);
    return attn_transfer_create(&circulate->transfer, mesh->axis, pieces, error);
}

const attn_kv_shard *attn_circulate_own(attn_circulate *circulate) {
    attn_kv_shard *own = &circulate->shards[circulate->shard];

    own->data = circulate->circulation->own_data(circulate);
    return own;
}

void attn_circulate_execute(attn_circulate *circulate, attn_attend *attend, const void *query,
                            float *out) {
    circulate->circulation->execute(circulate, attend, query, out);
}

void attn_circulate_destroy(attn_circulate *circulate) {
    attn_transfer_destroy(&circulate->transfer);
    free(circulate->arrivals);
    free(circulate->shards);
    *circulate = (attn_circulate){0};
}
