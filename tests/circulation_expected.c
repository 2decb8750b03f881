#include "circulation_expected.h"

#include <mpi.h>

#include "circulation_cases.h"
#include "circulation_world.h"
#include "gather_deal.h"
#include "status.h"

enum {
    ROWS = ATTN_CASE_ROWS,
    BLOCK_ROWS = ATTN_CASE_BLOCK_ROWS,
    HEADS = ATTN_CASE_HEADS,
    DIM = ATTN_CASE_DIM,
    MAX_RANKS = ATTN_WORLD_MOST_RANKS,
    TREE_LEVELS = 4 /* of 16 blocks */
};

static int rank, ranks;

/* A bit for each block of keys of which one is seen: by a row, and by any of a shard's. */
static uint32_t seen_by_row[ROWS], seen_by_shard[MAX_RANKS];

/* --- who sees what -------------------------------------------------------------------- */

static uint32_t bits_of(attn_range blocks) {
    return (UINT32_C(1) << blocks.last) - (UINT32_C(1) << blocks.first);
}

/* Of the blocks that the keys [first, last) are in. */
static uint32_t bits_of_keys(int64_t first, int64_t last) {
    if (first >= last) return 0;
    return bits_of((attn_range){first / BLOCK_ROWS, (last - 1) / BLOCK_ROWS + 1});
}

static uint32_t seen_by_rows(const attn_plan *plan, int shard) {
    uint32_t seen = 0;

    for (int64_t i = 0; i < attn_layout_run_count(&plan->query_layout, shard); i++) {
        attn_range rows = attn_layout_rows_of(&plan->query_layout,
                                              attn_layout_run(&plan->query_layout, shard, i));

        for (int64_t row = rows.first; row < rows.last; row++) seen |= seen_by_row[row];
    }
    return seen;
}

void attn_expected_look_through(const attn_plan *plan) {
    rank = attn_world_rank();
    ranks = attn_world_ranks();
    for (int64_t row = 0; row < plan->query_layout.length; row++) {
        attn_visible seen = attn_mask_visible(&plan->attend.mask, 0, row);

        seen_by_row[row] = bits_of_keys(seen.span[0].first, seen.span[0].last) |
                           bits_of_keys(seen.span[1].first, seen.span[1].last);
    }
    for (int shard = 0; shard < ranks; shard++) seen_by_shard[shard] = seen_by_rows(plan, shard);
}

int attn_expected_row_sees(int64_t row, attn_range blocks) {
    return (seen_by_row[row] & bits_of(blocks)) != 0;
}

/* The local rows [first, last) of a shard, as rows of the sequence; to be destroyed. */
static attn_row_list list_of(const attn_layout *layout, int shard, attn_range rows) {
    attn_row_list list;
    attn_error error;

    if (attn_row_list_create(&list, layout, shard, rows, &error) != ATTN_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    return list;
}

static attn_range all_rows(const attn_layout *layout, int shard) {
    return (attn_range){0, attn_layout_rows(layout, shard)};
}

/* Whether a query of shard `by` sees one of the local rows, whole blocks, of shard `of`'s keys. */
static int needs(const attn_plan *plan, int by, int of, attn_range rows) {
    attn_row_list keys = list_of(&plan->key_layout, of, rows);
    uint32_t blocks = 0;

    for (int64_t r = 0; r < keys.run_count; r++)
        blocks |= bits_of_keys(keys.runs[r].first, keys.runs[r].first + keys.runs[r].count);
    attn_row_list_destroy(&keys);
    return (seen_by_shard[by] & blocks) != 0;
}

int attn_expected_node_needs(const attn_plan *plan, int node, int shard, attn_range rows) {
    for (int by = 0; by < ranks; by++)
        if (attn_world_node_of(by) == node && needs(plan, by, shard, rows)) return 1;
    return 0;
}

/* --- what is sent --------------------------------------------------------------------- */

static void add_floats(attn_expected *sum, int64_t floats) {
    sum->messages += floats > 0;
    sum->bytes += floats * (int64_t)sizeof(float);
}

/* Rows of keys and values. */
static void add_rows(attn_expected *sum, int64_t rows) {
    add_floats(sum, rows * HEADS * 2 * DIM);
}

/* Fewest hops up and down that bring shard k to all that need it; of equals the most up. */
static void fewest_hops(const attn_plan *plan, int k, int *up, int *down) {
    attn_range all = all_rows(&plan->key_layout, k);
    int best = 2 * MAX_RANKS, needed[MAX_RANKS];

    for (int t = 1; t < ranks; t++) needed[t] = needs(plan, (k + t) % ranks, k, all);
    for (int u = ranks - 1; u >= 0; u--) {
        int d = 0, least_up = 0;

        for (int t = 1; t < ranks; t++) {
            if (t > u && needed[t] && ranks - t > d) d = ranks - t;
            if (t <= u && needed[t]) least_up = t;
        }
        if (u == least_up && u + d < best) {
            best = u + d;
            *up = u;
            *down = d;
        }
    }
}

attn_expected attn_expected_of_ring(const attn_plan *plan) {
    attn_expected sum = {0};

    for (int k = 0; k < ranks; k++) {
        int64_t rows = attn_layout_rows(&plan->key_layout, k);
        int up = 0, down = 0;

        fewest_hops(plan, k, &up, &down);
        if ((rank - k + ranks) % ranks < up) add_rows(&sum, rows);
        if ((k - rank + ranks) % ranks < down) add_rows(&sum, rows);
    }
    return sum;
}

attn_range attn_expected_slice(const attn_plan *plan, int shard, int64_t slice) {
    attn_range blocks =
        attn_deal(attn_layout_blocks(&plan->key_layout, shard), plan->circulate.slice_count, slice);

    return (attn_range){blocks.first * BLOCK_ROWS, blocks.last * BLOCK_ROWS};
}

attn_expected attn_expected_of_gather(const attn_plan *plan) {
    attn_expected sum = {0};

    for (int to = 0; to < ranks; to++)
        for (int64_t i = 0; i < plan->circulate.slice_count && to != rank; i++) {
            attn_range rows = attn_expected_slice(plan, rank, i);

            if (needs(plan, to, rank, rows)) add_rows(&sum, attn_range_count(rows));
        }
    return sum;
}

attn_expected attn_expected_of_shared_gather(const attn_plan *plan) {
    attn_expected sum = {0};
    int own = attn_world_node_of(rank);

    for (int to = 0; to < attn_world_nodes(); to++)
        for (int64_t i = 0; i < plan->circulate.slice_count && to != own; i++) {
            attn_range rows = attn_expected_slice(plan, rank, i);

            if (attn_expected_node_needs(plan, to, rank, rows))
                add_rows(&sum, attn_range_count(rows));
        }
    return sum;
}

/* --- along the tree ------------------------------------------------------------------- */

/* Whether local rows of the queries of shard `by` see one of the keys of the blocks. */
static int rows_see(const attn_plan *plan, int by, attn_range rows, attn_range blocks) {
    attn_row_list queries = list_of(&plan->query_layout, by, rows);
    int found = 0;

    for (int64_t i = 0; i < queries.count && !found; i++)
        found = attn_expected_row_sees(attn_row_list_at(&queries, i), blocks);
    attn_row_list_destroy(&queries);
    return found;
}

static int owner_of(const attn_plan *plan, int64_t block) {
    for (int k = 0; k < ranks; k++)
        for (int64_t run = 0; run < attn_layout_run_count(&plan->key_layout, k); run++) {
            attn_range blocks = attn_layout_run(&plan->key_layout, k, run);

            if (block >= blocks.first && block < blocks.last) return k;
        }
    return -1;
}

/* Whole tiles of the shard's queries of which some row sees the blocks. */
static int64_t partial_floats(const attn_plan *plan, int by, attn_range blocks) {
    int64_t rows = attn_layout_rows(&plan->query_layout, by), floats = 0;
    int64_t tile = plan->kernel->query_rows;

    if (rows < tile) tile = rows;
    for (int64_t first = 0; first < rows; first += tile) {
        int64_t last = first + tile < rows ? first + tile : rows;

        if (rows_see(plan, by, (attn_range){first, last}, blocks))
            floats += HEADS * tile * (DIM + 2);
    }
    return floats;
}

/* A node of the fixed tree for the queries of a shard: who makes it, −1 when no block is seen, and
 * from the first to the last block seen. */
typedef struct tree_node {
    int owner;
    attn_range blocks;
} tree_node;

/* What this rank sends to a join is added. */
static tree_node walk(const attn_plan *plan, int by, int level, int64_t index, attn_expected *sum) {
    tree_node left, right;

    if (index << level >= plan->key_layout.block_count) return (tree_node){-1, {0, 0}};
    if (level == 0) {
        attn_range block = {index, index + 1}, all = all_rows(&plan->query_layout, by);
        return (tree_node){rows_see(plan, by, all, block) ? owner_of(plan, index) : -1, block};
    }
    left = walk(plan, by, level - 1, 2 * index, sum);
    right = walk(plan, by, level - 1, 2 * index + 1, sum);
    if (left.owner < 0) return right;
    if (right.owner < 0) return left;
    if (right.owner == rank && left.owner != rank)
        add_floats(sum, partial_floats(plan, by, right.blocks));
    left.blocks.last = right.blocks.last;
    return left;
}

attn_expected attn_expected_of_reduce(const attn_plan *plan) {
    int64_t queries = attn_layout_rows(&plan->query_layout, rank);
    attn_expected sum = {0};

    for (int to = 0; to < ranks; to++)
        if (to != rank && needs(plan, rank, to, all_rows(&plan->key_layout, to)))
            add_floats(&sum, queries * HEADS * DIM);
    for (int by = 0; by < ranks; by++) {
        tree_node root = walk(plan, by, TREE_LEVELS, 0, &sum);

        if (root.owner == rank && by != rank)
            add_floats(&sum, partial_floats(plan, by, root.blocks));
    }
    return sum;
}
