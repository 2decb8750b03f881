#include "layout.h"

#include <stdlib.h>
#include <string.h>

#include "layout_balance.h"
#include "memory.h"

enum { STRIPES = 8 }; /* of a shard, at most */

static const double imbalance_allowed = 1.02; /* for auto to be content */

/* --- building --------------------------------------------------------------- */

/* Puts a run behind those of the shard being filled; one that touches the last joins it. */
static void add_run(attn_layout *layout, int64_t shard, attn_range run) {
    int64_t first = layout->first_run[shard], *end = &layout->first_run[shard + 1];

    if (attn_range_count(run) == 0) return;
    if (*end > first && layout->runs[*end - 1].last == run.first)
        layout->runs[*end - 1].last = run.last;
    else
        layout->runs[(*end)++] = run;
}

static void begin_shard(attn_layout *layout, int64_t shard) {
    layout->first_run[shard + 1] = layout->first_run[shard];
}

static attn_status contiguous(attn_layout *layout, const attn_mask *mask, attn_error *error) {
    (void)mask;
    for (int64_t shard = 0; shard < layout->shards; shard++) {
        begin_shard(layout, shard);
        add_run(layout, shard, attn_deal(layout->block_count, layout->shards, shard));
    }
    return attn_ok(error);
}

/* Late runs are of one length, about half a shard. Of a causal mask's shards those with the lowest
 * numbers then have a little more work, so the blocks that are left over go to the others' early
 * runs, where they weigh least. */
static attn_status zigzag(attn_layout *layout, const attn_mask *mask, attn_error *error) {
    int64_t blocks = layout->block_count, shards = layout->shards;
    int64_t late = (blocks / shards + 1) / 2, early = blocks / shards - late;
    int64_t evenly = shards - blocks % shards; /* shards without a block left over */

    (void)mask;
    for (int64_t shard = 0; shard < shards; shard++) {
        int64_t first = shard * early + (shard > evenly ? shard - evenly : 0);

        begin_shard(layout, shard);
        add_run(layout, shard, (attn_range){first, first + early + (shard >= evenly)});
        add_run(layout, shard, (attn_range){blocks - (shard + 1) * late, blocks - shard * late});
    }
    return attn_ok(error);
}

static attn_status striped(attn_layout *layout, const attn_mask *mask, attn_error *error) {
    int64_t blocks = layout->block_count;
    int64_t stripe = (blocks - 1) / (STRIPES * layout->shards) + 1;

    (void)mask;
    for (int64_t shard = 0; shard < layout->shards; shard++) {
        begin_shard(layout, shard);
        for (int64_t first = shard * stripe; first < blocks; first += layout->shards * stripe)
            add_run(layout, shard,
                    (attn_range){first, first + stripe < blocks ? first + stripe : blocks});
    }
    return attn_ok(error);
}

/* Units that the solver deals: of one block, or of more where a shard would get very many. */
static int64_t unit_count(const attn_layout *layout) {
    enum { UNITS = 256 }; /* of a shard, about: moving one changes a shard by 0.4% */
    int64_t most = UNITS * layout->shards;

    return layout->block_count < most ? layout->block_count : most;
}

/* Units that follow each other and have one owner are a run: the runs are counted, shard by shard,
 * and then put in their places. */
static void take_runs(attn_layout *layout, const int64_t *owner, int64_t count) {
    int64_t *end = layout->first_run + 1, before = 0; /* of a shard's runs so far */

    memset(end, 0, (size_t)layout->shards * sizeof *end);
    for (int64_t i = 0; i < count; i++) end[owner[i]] += i == 0 || owner[i] != owner[i - 1];
    for (int64_t shard = 0; shard < layout->shards; shard++) {
        int64_t runs = end[shard];

        end[shard] = before;
        before += runs;
    }
    for (int64_t i = 0; i < count; i++) {
        attn_range unit = attn_deal(layout->block_count, count, i);
        attn_range *next = &layout->runs[end[owner[i]]];

        if (i > 0 && owner[i] == owner[i - 1]) {
            next[-1].last = unit.last;
        } else {
            *next = unit;
            end[owner[i]]++;
        }
    }
}

static attn_status balanced(attn_layout *layout, const attn_mask *mask, attn_error *error) {
    int64_t count = unit_count(layout);
    attn_balance_unit *units = attn_alloc((size_t)count, sizeof *units);
    int64_t *owner = attn_alloc((size_t)count, sizeof *owner);

    if (units == NULL || owner == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the layout");
        goto cleanup;
    }
    for (int64_t i = 0; i < count; i++) {
        attn_range blocks = attn_deal(layout->block_count, count, i);
        attn_range rows = attn_layout_rows_of(layout, blocks);

        units[i].blocks = attn_range_count(blocks);
        units[i].weight = mask == NULL ? (double)attn_range_count(rows)
                                       : (double)attn_mask_pairs(mask, ATTN_MASK_EVERY_ITEM,
                                                                 rows.first, rows.last);
    }
    if (attn_layout_balance(units, count, layout->shards, owner, error) == ATTN_OK)
        take_runs(layout, owner, count);

cleanup:
    free(owner);
    free(units);
    return error->status;
}

/* --- kinds ------------------------------------------------------------------ */

enum { CONTIGUOUS, ZIGZAG, STRIPED, BALANCED, KINDS };

/* At most `runs` runs a shard, or, with 0, as many in all as the solver deals. */
static const struct {
    const char *name;
    int64_t runs;
    attn_status (*fill)(attn_layout *layout, const attn_mask *mask, attn_error *error);
} kinds[KINDS] = {
    [CONTIGUOUS] = {"contiguous", 1, contiguous},
    [ZIGZAG] = {"zigzag", 2, zigzag},
    [STRIPED] = {"striped", STRIPES, striped},
    [BALANCED] = {"balanced", 0, balanced},
};

const char *attn_layout_name(int kind) {
    return kind >= 0 && kind < KINDS ? kinds[kind].name : NULL;
}

int attn_layout_find(const char *name) {
    for (int kind = 0; kind < KINDS; kind++)
        if (strcmp(kinds[kind].name, name) == 0) return kind;
    return -1;
}

attn_status attn_layout_create(attn_layout *layout, int kind, int64_t length, int64_t shards,
                               const attn_mask *mask, attn_error *error) {
    size_t most;

    *layout = (attn_layout){.kind = kind,
                            .length = length,
                            .block_rows = attn_block_rows(length),
                            .block_count = attn_block_count(length),
                            .shards = shards};
    most = (size_t)(kinds[kind].runs > 0 ? kinds[kind].runs * shards : unit_count(layout));
    layout->runs = attn_alloc(most, sizeof *layout->runs);
    layout->first_run = attn_alloc((size_t)shards + 1, sizeof *layout->first_run);
    if (layout->runs == NULL || layout->first_run == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the layout");
    } else {
        layout->first_run[0] = 0;
        kinds[kind].fill(layout, mask, error);
    }
    if (error->status != ATTN_OK) attn_layout_destroy(layout);
    return error->status;
}

attn_status attn_layout_choose(attn_layout *layout, int kind, int64_t shards, const attn_mask *mask,
                               attn_error *error) {
    static const int candidates[] = {CONTIGUOUS, ZIGZAG, BALANCED};
    enum { CANDIDATES = sizeof candidates / sizeof *candidates };
    double least = 0;
    int best = kind;

    for (int i = 0; kind < 0 && i < CANDIDATES; i++) {
        double imbalance;

        if (attn_layout_create(layout, candidates[i], mask->length, shards, mask, error) != ATTN_OK)
            return error->status;
        imbalance = attn_layout_imbalance(layout, mask);
        attn_layout_destroy(layout);
        if (i > 0 && imbalance >= least) continue;
        best = candidates[i];
        least = imbalance;
        if (least <= imbalance_allowed) break;
    }
    return attn_layout_create(layout, best, mask->length, shards, mask, error);
}

attn_status attn_layout_of_keys(attn_layout *layout, const attn_layout *queries, int64_t kv_length,
                                attn_error *error) {
    size_t runs = (size_t)queries->first_run[queries->shards];
    int kind = queries->kind == BALANCED ? CONTIGUOUS : queries->kind;

    if (kv_length != queries->length)
        return attn_layout_create(layout, kind, kv_length, queries->shards, NULL, error);
    *layout = *queries;
    layout->runs = attn_alloc(runs, sizeof *layout->runs);
    layout->first_run = attn_alloc((size_t)queries->shards + 1, sizeof *layout->first_run);
    if (layout->runs == NULL || layout->first_run == NULL) {
        attn_layout_destroy(layout);
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the layout");
    }
    memcpy(layout->runs, queries->runs, runs * sizeof *layout->runs);
    memcpy(layout->first_run, queries->first_run,
           ((size_t)queries->shards + 1) * sizeof *layout->first_run);
    return attn_ok(error);
}

/* --- what a shard owns -------------------------------------------------------- */

int64_t attn_layout_run_count(const attn_layout *layout, int64_t shard) {
    return layout->first_run[shard + 1] - layout->first_run[shard];
}

attn_range attn_layout_run(const attn_layout *layout, int64_t shard, int64_t run) {
    return layout->runs[layout->first_run[shard] + run];
}

int64_t attn_layout_blocks(const attn_layout *layout, int64_t shard) {
    int64_t blocks = 0;

    for (int64_t i = 0; i < attn_layout_run_count(layout, shard); i++)
        blocks += attn_range_count(attn_layout_run(layout, shard, i));
    return blocks;
}

int64_t attn_layout_rows(const attn_layout *layout, int64_t shard) {
    int64_t rows = 0;

    for (int64_t i = 0; i < attn_layout_run_count(layout, shard); i++)
        rows += attn_range_count(attn_layout_rows_of(layout, attn_layout_run(layout, shard, i)));
    return rows;
}

attn_range attn_layout_rows_of(const attn_layout *layout, attn_range blocks) {
    attn_range rows = {blocks.first * layout->block_rows, blocks.last * layout->block_rows};

    if (rows.first > layout->length) rows.first = layout->length;
    if (rows.last > layout->length) rows.last = layout->length;
    return rows;
}

double attn_layout_pairs(const attn_layout *layout, int64_t shard, const attn_mask *mask) {
    double pairs = 0;

    for (int64_t i = 0; i < attn_layout_run_count(layout, shard); i++) {
        attn_range rows = attn_layout_rows_of(layout, attn_layout_run(layout, shard, i));
        pairs += (double)attn_mask_pairs(mask, ATTN_MASK_EVERY_ITEM, rows.first, rows.last);
    }
    return pairs;
}

double attn_layout_imbalance(const attn_layout *layout, const attn_mask *mask) {
    double most = 0, total = 0;

    for (int64_t shard = 0; shard < layout->shards; shard++) {
        double pairs = attn_layout_pairs(layout, shard, mask);
        if (pairs > most) most = pairs;
        total += pairs;
    }
    return total > 0 ? most / total * (double)layout->shards : 1;
}

/* Pairs of all queries with keys before `end`: those of the mask with the rest as padding, which
 * moves nothing. `lengths` is [B]. */
static double pairs_before(const attn_mask *mask, int64_t end, int64_t *lengths) {
    attn_mask shorter = *mask;

    for (int64_t item = 0; item < mask->batch; item++) {
        lengths[item] = mask->spec.key_lengths == NULL ? end : mask->spec.key_lengths[item];
        if (lengths[item] > end) lengths[item] = end;
    }
    shorter.spec.key_lengths = lengths;
    return (double)attn_mask_pairs(&shorter, ATTN_MASK_EVERY_ITEM, 0, mask->length);
}

attn_status attn_layout_key_imbalance(const attn_layout *keys, const attn_mask *mask,
                                      double *imbalance, attn_error *error) {
    int64_t *lengths = attn_alloc((size_t)mask->batch, sizeof *lengths);
    double most = 0, total = 0;

    if (lengths == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate key lengths");
    for (int64_t shard = 0; shard < keys->shards; shard++) {
        double pairs = 0;

        for (int64_t i = 0; i < attn_layout_run_count(keys, shard); i++) {
            attn_range rows = attn_layout_rows_of(keys, attn_layout_run(keys, shard, i));
            pairs +=
                pairs_before(mask, rows.last, lengths) - pairs_before(mask, rows.first, lengths);
        }
        if (pairs > most) most = pairs;
        total += pairs;
    }
    *imbalance = total > 0 ? most / total * (double)keys->shards : 1;
    free(lengths);
    return attn_ok(error);
}

void attn_layout_destroy(attn_layout *layout) {
    free(layout->first_run);
    free(layout->runs);
    *layout = (attn_layout){0};
}
