#include "reach.h"

#include <stdlib.h>

#include "memory.h"

/* Puts a span in its place among those of the shard, [first, *end), and merges it with those that
 * it touches. */
static void add_span(attn_reach *reach, int64_t first, int64_t *end, attn_range span) {
    attn_range *spans = reach->spans;
    int64_t at = *end, last = *end;

    while (at > first && spans[at - 1].last >= span.first) at--;
    /* Those before `at` end before the span; of the others the first ones may start behind it. */
    for (last = at; last < *end && spans[last].first <= span.last; last++) {
        if (spans[last].first < span.first) span.first = spans[last].first;
        if (spans[last].last > span.last) span.last = spans[last].last;
    }
    if (last == at)
        for (int64_t i = *end; i > at; i--) spans[i] = spans[i - 1];
    else
        for (int64_t i = last; i < *end; i++) spans[at + 1 + i - last] = spans[i];
    *end += 1 - (last - at);
    spans[at] = span;
}

/* Within the largest span of each shard that has one: all of such a span is seen, but of several
 * documents together. */
static attn_range common_of(const attn_reach *reach, int64_t shards, int64_t blocks) {
    attn_range common = {0, blocks};

    for (int64_t shard = 0; shard < shards; shard++) {
        attn_range largest = {0, 0};

        if (reach->first_span[shard] == reach->first_span[shard + 1]) continue;
        for (int64_t i = reach->first_span[shard]; i < reach->first_span[shard + 1]; i++)
            if (attn_range_count(reach->spans[i]) > attn_range_count(largest))
                largest = reach->spans[i];
        if (largest.first > common.first) common.first = largest.first;
        if (largest.last < common.last) common.last = largest.last;
    }
    return common.first < common.last ? common : (attn_range){0, 0};
}

attn_status attn_reach_create(attn_reach *reach, const attn_mask *mask, const attn_layout *queries,
                              const attn_layout *keys, attn_error *error) {
    size_t runs = (size_t)queries->first_run[queries->shards];

    *reach = (attn_reach){0};
    reach->spans = attn_alloc(runs, 2 * sizeof *reach->spans);
    reach->first_span = attn_alloc((size_t)queries->shards + 1, sizeof *reach->first_span);
    if (reach->spans == NULL || reach->first_span == NULL) {
        attn_reach_destroy(reach);
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the reach of the shards");
    }
    reach->first_span[0] = 0;
    for (int64_t shard = 0; shard < queries->shards; shard++) {
        int64_t first = reach->first_span[shard], end = first;

        for (int64_t i = 0; i < attn_layout_run_count(queries, shard); i++) {
            attn_range rows = attn_layout_rows_of(queries, attn_layout_run(queries, shard, i));
            attn_visible seen = attn_mask_span(mask, ATTN_MASK_EVERY_ITEM, rows.first, rows.last);

            for (int s = 0; s < 2; s++)
                if (seen.span[s].first < seen.span[s].last)
                    add_span(reach, first, &end,
                             (attn_range){seen.span[s].first / keys->block_rows,
                                          (seen.span[s].last - 1) / keys->block_rows + 1});
        }
        reach->first_span[shard + 1] = end;
    }
    reach->common = common_of(reach, queries->shards, keys->block_count);
    return attn_ok(error);
}

int attn_reach_overlaps(const attn_reach *reach, int64_t shard, attn_range blocks) {
    for (int64_t i = reach->first_span[shard]; i < reach->first_span[shard + 1]; i++)
        if (blocks.first < reach->spans[i].last && reach->spans[i].first < blocks.last) return 1;
    return 0;
}

void attn_reach_destroy(attn_reach *reach) {
    free(reach->first_span);
    free(reach->spans);
    *reach = (attn_reach){0};
}
