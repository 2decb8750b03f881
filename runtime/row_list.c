#include "row_list.h"

#include <stdlib.h>

#include "memory.h"

attn_status attn_row_list_create(attn_row_list *list, const attn_layout *layout, int64_t shard,
                                 attn_range part, attn_error *error) {
    int64_t run_count = attn_layout_run_count(layout, shard), before = 0;
    attn_rows *runs = attn_alloc((size_t)run_count, sizeof *runs);

    *list = (attn_row_list){.runs = runs};
    if (runs == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the rows");
    for (int64_t i = 0; i < run_count; i++) {
        attn_range rows = attn_layout_rows_of(layout, attn_layout_run(layout, shard, i));
        int64_t count = attn_range_count(rows);
        int64_t first = part.first > before ? part.first - before : 0;
        int64_t last = part.last < before + count ? part.last - before : count;

        if (first < last) {
            runs[list->run_count++] = (attn_rows){rows.first + first, last - first};
            list->count += last - first;
        }
        before += count;
    }
    return attn_ok(error);
}

int64_t attn_row_list_at(const attn_row_list *list, int64_t own) {
    const attn_rows *run = list->runs;

    for (; own >= run->count; run++) own -= run->count;
    return run->first + own;
}

attn_rows attn_row_list_from(const attn_row_list *list, int64_t own, int64_t most) {
    const attn_rows *run = list->runs;

    for (; own >= run->count; run++) own -= run->count;
    return (attn_rows){run->first + own, run->count - own < most ? run->count - own : most};
}

int64_t attn_row_list_find(const attn_row_list *list, int64_t row) {
    int64_t before = 0;

    for (int64_t i = 0; i < list->run_count; i++) {
        const attn_rows *run = &list->runs[i];

        if (row >= run->first && row < run->first + run->count) return before + row - run->first;
        before += run->count;
    }
    return -1;
}

void attn_row_list_destroy(attn_row_list *list) {
    free((void *)list->runs); /* const for those who look at it */
    *list = (attn_row_list){0};
}
