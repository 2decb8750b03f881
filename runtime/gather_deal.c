#include "gather_deal.h"

#include <limits.h>
#include <stdlib.h>

#include "circulate.h"
#include "memory.h"

static int is_needed_here(const attn_circulate *circulate, const attn_kv_shard *slice) {
    for (int k = circulate->share.first; k < circulate->share.last; k++)
        if (attn_circulate_needs(circulate, k, slice)) return 1;
    return 0;
}

/* Of the ranks that share, the one with the fewest bytes; of equals the first from `from` on. */
static int least_loaded(const int64_t *loads, int ranks, int64_t from) {
    int best = (int)(from % ranks);

    for (int i = 1; i < ranks; i++) {
        int rank = (int)((from + i) % ranks);
        if (loads[rank] < loads[best]) best = rank;
    }
    return best;
}

/* loads: [ranks that share], 0. */
static void deal_step(attn_gather_deal *deal, const attn_circulate *circulate, int64_t slice,
                      int64_t *loads) {
    const attn_node_share *share = &circulate->share;

    for (int k = 0; k < circulate->shard_count; k++) {
        const attn_kv_shard *kv = attn_circulate_slice_of(circulate, k, slice);
        attn_dealt_slice *dealt = &deal->slices[slice * circulate->shard_count + k];
        int rank;

        *dealt = (attn_dealt_slice){-1, 0};
        if ((k >= share->first && k < share->last) || !is_needed_here(circulate, kv)) continue;
        rank = least_loaded(loads, share->last - share->first, slice);
        *dealt = (attn_dealt_slice){share->first + rank, loads[rank]};
        loads[rank] += kv->bytes;
    }
}

attn_status attn_gather_deal_create(attn_gather_deal *deal, const attn_circulate *circulate,
                                    attn_error *error) {
    const attn_node_share *share = &circulate->share;
    size_t ranks = (size_t)(share->last - share->first);
    size_t slices = (size_t)(circulate->shard_count * circulate->slice_count);
    int64_t *loads = attn_alloc(ranks, sizeof *loads);

    attn_gather_deal_destroy(deal);
    deal->slices = attn_alloc(slices, sizeof *deal->slices);
    deal->sends = attn_alloc(slices, sizeof *deal->sends);
    if (loads == NULL || deal->slices == NULL || deal->sends == NULL) {
        free(loads);
        attn_gather_deal_destroy(deal);
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    }
    for (int64_t slice = 0; slice < circulate->slice_count; slice++) {
        int64_t *most = &deal->bytes[slice % ATTN_GATHER_BUFFERS];
        int64_t mine;

        for (size_t i = 0; i < ranks; i++) loads[i] = 0;
        deal_step(deal, circulate, slice, loads);
        mine = loads[circulate->shard - share->first];
        if (mine > *most) *most = mine;
    }
    free(loads);
    return attn_ok(error);
}

/* Where the others are imagined they tell nothing: a node that needs a slice gets it at its first
 * rank of the axis. */
static attn_status imagine_told(attn_gather_deal *deal, const attn_circulate *circulate,
                                attn_error *error) {
    const attn_mesh *mesh = circulate->mesh;
    int64_t slices = circulate->slice_count;

    if (error->status != ATTN_OK) return error->status;
    for (int k = 0, first = 0; k < circulate->shard_count; k++) {
        int node = (k * mesh->members + mesh->member) / mesh->imagined_node_ranks;
        int is_here = k >= circulate->share.first && k < circulate->share.last;
        int shares = circulate->share.is_shared;

        if (!shares || node != (first * mesh->members + mesh->member) / mesh->imagined_node_ranks)
            first = k;
        for (int64_t slice = 0; slice < slices; slice++) {
            int needs = k != circulate->shard && !(shares && is_here) &&
                        attn_circulate_needs(circulate, k, &circulate->own[slice]);

            deal->sends[k * slices + slice] = 0;
            if (needs) deal->sends[first * slices + slice] = 1;
        }
    }
    return error->status;
}

attn_status attn_gather_deal_tell(attn_gather_deal *deal, const attn_circulate *circulate,
                                  attn_error *error) {
    int shards = circulate->shard_count;
    int64_t slices = circulate->slice_count;
    unsigned char *mine = NULL;
    int fine, all_fine;

    if (circulate->mesh->imagined_node_ranks > 0) return imagine_told(deal, circulate, error);
    if (error->status == ATTN_OK) {
        mine = attn_alloc((size_t)(shards * slices), sizeof *mine);
        if (mine == NULL) attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
        if (slices > INT_MAX) attn_fail(error, ATTN_ERR_MEMORY, "a gather of too many slices");
    }
    fine = error->status == ATTN_OK;
    ATTN_MPI(MPI_Allreduce(&fine, &all_fine, 1, MPI_INT, MPI_MIN, circulate->axis));
    if (all_fine) {
        for (int k = 0; k < shards; k++)
            for (int64_t slice = 0; slice < slices; slice++)
                mine[k * slices + slice] =
                    attn_gather_deal_at(deal, circulate, slice, k)->receiver == circulate->shard;
        ATTN_MPI(MPI_Alltoall(mine, (int)slices, MPI_BYTE, deal->sends, (int)slices, MPI_BYTE,
                              circulate->axis));
    } else if (fine) {
        attn_fail(error, ATTN_ERR_MEMORY, "another rank cannot allocate the circulation");
    }
    free(mine);
    return error->status;
}

const attn_dealt_slice *attn_gather_deal_at(const attn_gather_deal *deal,
                                            const attn_circulate *circulate, int64_t slice,
                                            int64_t shard) {
    return &deal->slices[slice * circulate->shard_count + shard];
}

void attn_gather_deal_destroy(attn_gather_deal *deal) {
    free(deal->sends);
    free(deal->slices);
    *deal = (attn_gather_deal){0};
}
