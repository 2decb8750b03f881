#define _POSIX_C_SOURCE 200809L

/* What circulates: each rank sends the messages and bytes that the opening comments of
 * circulate_ring.c, circulate_gather.c and circulate_reduce.c promise, counted here from what
 * single rows see. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attnspan/attnspan.h"
#include "gather_deal.h"
#include "harness.h"
#include "memory.h"
#include "plan_state.h"
#include "status.h"
#include "synthetic.h"

/* Blocks of 64 rows: 16 of queries and 16 of keys, all whole. */
enum { ROWS = 1024, HEADS = 2, DIM = 16, MAX_RANKS = 8 };

#define WINDOW(l, r) .windowed = 1, .left = (l), .right = (r)

static const int64_t halves[] = {0, 512, 1024};
static const int64_t starts[] = {0, 100, 480, 500, 1000, 1024};

static const struct {
    const char *what;
    int64_t length;
    attn_mask_spec mask;
} cases[] = {
    {"no mask", ROWS, {.causal = ATTN_NOT_CAUSAL}},
    {"causal", ROWS, {.causal = ATTN_CAUSAL}},
    {"a window to the left", ROWS, {.causal = ATTN_CAUSAL, WINDOW(70, 0)}},
    {"a window to the right", ROWS, {WINDOW(0, 70)}},
    {"a window on both sides", ROWS, {WINDOW(70, 70)}},
    {"a window and first keys", ROWS, {.causal = ATTN_CAUSAL, WINDOW(70, 0), .first = 3}},
    {"documents", ROWS, {.causal = ATTN_CAUSAL, .document_count = 5, .document_starts = starts}},
    {"few queries", 100, {.causal = ATTN_CAUSAL}},
    {"one query", 1, {.causal = ATTN_CAUSAL}},
    {"one query, a window", 1, {.causal = ATTN_CAUSAL, WINDOW(300, 0)}},
    {"documents apart", ROWS, {.document_count = 2, .document_starts = halves}},
    {"first beside first", 400, {.causal = ATTN_CAUSAL_TOP_LEFT}},
};

static const char *const layouts[] = {"contiguous", "zigzag", "striped", "balanced"};

enum { APART = 10 }; /* of the cases: no query of one half sees the other */
enum { CASES = sizeof cases / sizeof *cases, LAYOUTS = sizeof layouts / sizeof *layouts };

static int rank, ranks;
static int per_node = MAX_RANKS; /* ranks of a node, of this machine's: ATTNSPAN_NODE_RANKS */

static const int64_t row_bytes = HEADS * 2 * DIM * (int64_t)sizeof(float);

static void make_nodes_of(int node_ranks) {
    char text[16];

    per_node = node_ranks;
    snprintf(text, sizeof text, "%d", node_ranks);
    setenv("ATTNSPAN_NODE_RANKS", text, 1);
}

static int node_of(int shard) {
    return shard / per_node;
}

static int nodes(void) {
    return node_of(ranks - 1) + 1;
}

static void find_place(void) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
}

/* --- what is expected ------------------------------------------------------------- */

/* A bit for each block of keys of which one is seen: by a row, and by any of a shard's. */
static uint32_t seen_by_row[ROWS], seen_by_shard[MAX_RANKS];

static uint32_t bits_of(attn_range blocks) {
    return (UINT32_C(1) << blocks.last) - (UINT32_C(1) << blocks.first);
}

/* Looks through the rows of the plan's mask, once for all that is asked of it. */
static void look_through(const attn_plan *plan) {
    for (int64_t row = 0; row < plan->query_layout.length; row++) {
        attn_visible seen = attn_mask_visible(&plan->attend.mask, 0, row);

        seen_by_row[row] = 0;
        for (int s = 0; s < 2; s++)
            if (seen.span[s].first < seen.span[s].last)
                seen_by_row[row] |= bits_of(
                    (attn_range){seen.span[s].first / 64, (seen.span[s].last - 1) / 64 + 1});
    }
    for (int shard = 0; shard < ranks; shard++) {
        seen_by_shard[shard] = 0;
        for (int64_t i = 0; i < attn_layout_run_count(&plan->query_layout, shard); i++) {
            attn_range rows = attn_layout_rows_of(&plan->query_layout,
                                                  attn_layout_run(&plan->query_layout, shard, i));

            for (int64_t row = rows.first; row < rows.last; row++)
                seen_by_shard[shard] |= seen_by_row[row];
        }
    }
}

/* Whether a query of the shard sees one of the local rows `part`, whole blocks, of shard `of`'s
 * keys. */
static int needs(const attn_plan *plan, int by, int of, attn_range part) {
    uint32_t blocks = 0;
    attn_row_list keys;
    attn_error error;

    if (attn_row_list_create(&keys, &plan->key_layout, of, part, &error) != ATTN_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t r = 0; r < keys.run_count; r++)
        blocks |= bits_of(
            (attn_range){keys.runs[r].first / 64, (keys.runs[r].first + keys.runs[r].count) / 64});
    attn_row_list_destroy(&keys);
    return (seen_by_shard[by] & blocks) != 0;
}

typedef struct traffic {
    int64_t messages, bytes;
} traffic;

static void add_floats(traffic *sum, int64_t floats) {
    sum->messages += floats > 0;
    sum->bytes += floats * (int64_t)sizeof(float);
}

/* Rows of keys and values. */
static void add(traffic *sum, int64_t rows) {
    add_floats(sum, rows * HEADS * 2 * DIM);
}

/* Fewest hops up and down that bring shard k to all that need it; of equals the most up. */
static void fewest_hops(const attn_plan *plan, int k, int *up, int *down) {
    attn_range all = {0, attn_layout_rows(&plan->key_layout, k)};
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

static traffic ring_traffic(const attn_plan *plan) {
    traffic sum = {0};

    for (int k = 0; k < ranks; k++) {
        int64_t rows = attn_layout_rows(&plan->key_layout, k);
        int up = 0, down = 0;

        fewest_hops(plan, k, &up, &down);
        if ((rank - k + ranks) % ranks < up) add(&sum, rows);
        if ((k - rank + ranks) % ranks < down) add(&sum, rows);
    }
    return sum;
}

/* Whether a query of any shard of the node does. */
static int node_needs(const attn_plan *plan, int node, int of, attn_range part) {
    for (int by = 0; by < ranks; by++)
        if (node_of(by) == node && needs(plan, by, of, part)) return 1;
    return 0;
}

static attn_range slice_rows(const attn_plan *plan, int shard, int64_t slice) {
    attn_range blocks =
        attn_deal(attn_layout_blocks(&plan->key_layout, shard), plan->circulate.slice_count, slice);

    return (attn_range){blocks.first * 64, blocks.last * 64};
}

/* Where nodes share. */
static traffic shared_traffic(const attn_plan *plan) {
    traffic sum = {0};

    for (int to = 0; to < nodes(); to++)
        for (int64_t i = 0; i < plan->circulate.slice_count && to != node_of(rank); i++) {
            attn_range rows = slice_rows(plan, rank, i);

            if (node_needs(plan, to, rank, rows)) add(&sum, attn_range_count(rows));
        }
    return sum;
}

static traffic gather_traffic(const attn_plan *plan) {
    traffic sum = {0};

    for (int to = 0; to < ranks; to++)
        for (int64_t i = 0; i < plan->circulate.slice_count && to != rank; i++) {
            attn_range rows = slice_rows(plan, rank, i);

            if (needs(plan, to, rank, rows)) add(&sum, attn_range_count(rows));
        }
    return sum;
}

/* Rows [first, last) of shard `by` see one of the keys of blocks [from, to). */
static int rows_see(const attn_plan *plan, int by, attn_range rows, attn_range blocks) {
    attn_row_list queries;
    attn_error error;
    int found = 0;

    if (attn_row_list_create(&queries, &plan->query_layout, by, rows, &error) != ATTN_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t i = 0; i < queries.count && !found; i++)
        found = (seen_by_row[attn_row_list_at(&queries, i)] & bits_of(blocks)) != 0;
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
 * from the first to the last block seen. What this rank sends to a join is added. */
typedef struct tree_node {
    int owner;
    attn_range blocks;
} tree_node;

static tree_node walk(const attn_plan *plan, int by, int level, int64_t index, traffic *sum) {
    attn_range all = {0, attn_layout_rows(&plan->query_layout, by)};
    tree_node left, right;

    if (index << level >= plan->key_layout.block_count) return (tree_node){-1, {0, 0}};
    if (level == 0) {
        attn_range block = {index, index + 1};
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

static traffic reduce_traffic(const attn_plan *plan) {
    traffic sum = {0};

    for (int by = 0; by < ranks; by++) {
        int64_t queries = attn_layout_rows(&plan->query_layout, by);
        tree_node root = walk(plan, by, 4, 0, &sum); /* of 16 blocks */

        if (root.owner == rank && by != rank)
            add_floats(&sum, partial_floats(plan, by, root.blocks));
        for (int to = 0; to < ranks && by == rank; to++)
            if (to != rank &&
                needs(plan, by, to, (attn_range){0, attn_layout_rows(&plan->key_layout, to)}))
                add_floats(&sum, queries * HEADS * DIM);
    }
    return sum;
}

/* --- what is sent ----------------------------------------------------------------- */

static float *array(int64_t elems) {
    float *data = attn_alloc((size_t)elems, sizeof *data);

    if (data == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    attn_synthetic_fill(1, ATTN_SYNTHETIC_X, 0, elems, 1, data);
    return data;
}

static attn_problem problem_of(int64_t length, attn_mask_spec mask) {
    return (attn_problem){.batch = 1,
                          .length = length,
                          .kv_length = ROWS,
                          .heads = HEADS,
                          .kv_heads = HEADS,
                          .key_dim = DIM,
                          .value_dim = DIM,
                          .mask = mask};
}

static attn_plan *execute(size_t c, const char *layout, const char *circulate,
                          attn_share_nodes share) {
    const attn_problem problem = problem_of(cases[c].length, cases[c].mask);
    attn_options options = {.mesh_heads = 1,
                            .mesh_sequence = ranks,
                            .layout = layout,
                            .circulate = circulate,
                            .share_nodes = share,
                            .threads = 1};
    attn_plan *plan;
    attn_error error;
    int64_t queries, keys;
    float *q, *k, *out;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error), ATTN_OK);
    if (plan == NULL) return NULL;
    look_through(plan);
    queries = attn_plan_query_rows(plan).count * HEADS * DIM;
    keys = attn_plan_key_rows(plan).count * HEADS * DIM;
    q = array(queries);
    k = array(keys);
    out = array(queries);
    attn_execute(plan, q, k, k, out, NULL);
    free(out);
    free(k);
    free(q);
    return plan;
}

static void check_traffic(const char *circulate, attn_share_nodes share,
                          traffic (*expected)(const attn_plan *plan)) {
    for (size_t c = 0; c < CASES; c++)
        for (int l = 0; l < LAYOUTS; l++) {
            attn_plan *plan = execute(c, layouts[l], circulate, share);
            traffic wanted;
            attn_stats stats;

            if (plan == NULL) continue;
            wanted = expected(plan);
            stats = attn_plan_stats(plan);
            CU_ASSERT_EQUAL(stats.circulated_messages, wanted.messages);
            CU_ASSERT_EQUAL(stats.circulated_bytes, wanted.bytes);
            CU_ASSERT_EQUAL(stats.sent_messages, wanted.messages); /* one head group */
            if (stats.circulated_messages != wanted.messages)
                fprintf(stderr, "\n%s, %s, %s, rank %d: %d messages, not %d\n", circulate,
                        cases[c].what, layouts[l], rank, (int)stats.circulated_messages,
                        (int)wanted.messages);
            attn_plan_destroy(plan);
        }
}

static void test_a_ring_sends_a_shard_as_far_as_it_is_needed(void) {
    find_place();
    check_traffic("ring", ATTN_SHARE_AUTO, ring_traffic);
}

static void test_a_gather_sends_slices_to_those_that_need_them(void) {
    find_place();
    check_traffic("gather", ATTN_SHARE_NEVER, gather_traffic);
}

static void test_a_reduce_sends_queries_and_what_the_tree_joins(void) {
    find_place();
    check_traffic("reduce", ATTN_SHARE_AUTO, reduce_traffic);
}

/* One query that sees all of 16 blocks, which belong to the first shard with queries. */
static void test_the_known_counts_of_a_reduce(void) {
    attn_plan *plan;
    int64_t mine, all;

    find_place();
    if (ranks == 3 || ranks == 5) return; /* their shards are no nodes of the tree */
    plan = execute(8, "contiguous", "reduce", ATTN_SHARE_AUTO);
    if (plan == NULL) return;
    mine = attn_plan_stats(plan).circulated_messages;
    MPI_Allreduce(&mine, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    CU_ASSERT_EQUAL(all, 2 * (ranks - 1)); /* the query to all, and a join each */
    mine = attn_plan_stats(plan).circulated_bytes;
    MPI_Allreduce(&mine, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    CU_ASSERT_EQUAL(all, (ranks - 1) * HEADS * (DIM + DIM + 2) * (int64_t)sizeof(float));
    attn_plan_destroy(plan);
}

/* With twice the keys, in as many blocks, the plan has the caller's more keys to count and no
 * byte besides: not packed, not copied. */
static void test_a_few_queries_use_the_callers_keys_in_place(void) {
    static const attn_mask_spec causal = {.causal = ATTN_CAUSAL};
    int64_t bytes[2], rows[2];

    find_place();
    for (int i = 0; i < 2; i++) {
        attn_problem problem = {.batch = 1,
                                .length = 2,
                                .kv_length = ROWS << i,
                                .heads = 4 * HEADS,
                                .kv_heads = HEADS,
                                .key_dim = DIM,
                                .value_dim = DIM,
                                .mask = causal};
        attn_options options = {
            .mesh_heads = 1, .mesh_sequence = ranks, .circulate = "reduce", .threads = 1};
        attn_plan_info info;
        attn_plan *plan;
        attn_error error;

        CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error),
                        ATTN_OK);
        if (plan == NULL) return;
        attn_plan_get_info(plan, &info);
        bytes[i] = info.bytes;
        rows[i] = attn_plan_key_rows(plan).count;
        attn_plan_destroy(plan);
    }
    CU_ASSERT_EQUAL(bytes[1] - bytes[0],
                    (rows[1] - rows[0]) * HEADS * 2 * DIM * (int64_t)sizeof(float));
}

/* On the whole axis, written down: for shards of two blocks and more. */
static void test_the_known_counts_of_a_ring(void) {
    enum { HALF, ALL, ONE_SIDE, BOTH_SIDES, AMOUNTS };
    static const struct {
        size_t number; /* of the case */
        const char *layout;
        int amount;
    } known[] = {
        {0, "contiguous", ALL},      {1, "contiguous", HALF},     {1, "zigzag", ALL},
        {2, "contiguous", ONE_SIDE}, {3, "contiguous", ONE_SIDE}, {4, "contiguous", BOTH_SIDES},
    };

    find_place();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const int64_t messages[AMOUNTS] = {ranks * (ranks - 1) / 2, ranks * (ranks - 1), ranks - 1,
                                           2 * (ranks - 1)};
        attn_plan *plan = execute(known[i].number, known[i].layout, "ring", ATTN_SHARE_AUTO);
        int64_t mine, all;

        if (plan == NULL) continue;
        mine = attn_plan_stats(plan).circulated_messages;
        MPI_Allreduce(&mine, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
        CU_ASSERT_EQUAL(all, messages[known[i].amount]);
        attn_plan_destroy(plan);
    }
}

/* Steps that have nothing for a rank have no operation in its merge tree. */
static void test_steps_without_a_needed_block_run_nothing(void) {
    attn_plan *plan;

    find_place();
    plan = execute(1, "contiguous", "ring", ATTN_SHARE_AUTO); /* causal */
    if (plan == NULL) return;
    for (int step = 0; step < plan->attend.tree.step_count; step++) {
        const int64_t *first = plan->attend.tree.step_first;

        CU_ASSERT_EQUAL(first[step] < first[step + 1], step <= rank);
    }
    CU_ASSERT_EQUAL(plan->attend.tree.root_step, rank);
    attn_plan_destroy(plan);
}

/* Pairs of kept slot and tile that have memory: just those of which some row of the tile sees a key
 * of a block that goes into the slot. */
static void check_kept(const attn_plan *plan) {
    const attn_merge_tree *tree = &plan->attend.tree;
    const attn_tiling *tiling = &plan->attend.tiling;
    const attn_row_list *queries = &plan->attend.queries;
    attn_range covers[64]; /* of slots */
    int64_t wrong = 0;

    for (int64_t at = 0; at < tree->kept_slots * tiling->along; at++) {
        int64_t slot = at / tiling->along, first = at % tiling->along * tiling->tile_rows;
        int sees = 0;

        for (int64_t i = 0; i < tree->step_first[tree->step_count]; i++) {
            const attn_merge_op *op = &tree->ops[i];
            attn_range blocks = {op->block, op->block + 1};

            if (op->block < 0)
                blocks = (attn_range){covers[op->left].first, covers[op->right].last};
            covers[op->result] = blocks;
            if (op->result != slot) continue;
            for (int64_t own = first; own < first + tiling->tile_rows && own < queries->count;
                 own++)
                sees |= (seen_by_row[attn_row_list_at(queries, own)] & bits_of(blocks)) != 0;
        }
        wrong += sees != (plan->attend.kept.place[at] >= 0);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void test_partials_wait_only_for_tiles_that_have_them(void) {
    find_place();
    for (size_t c = 0; c < CASES; c++)
        for (int l = 0; l < LAYOUTS; l++) {
            attn_plan *plan =
                execute(c, layouts[l], l % 2 == 0 ? "ring" : "gather", ATTN_SHARE_AUTO);

            if (plan == NULL) continue;
            CU_ASSERT(plan->attend.tree.slots <= 64);
            check_kept(plan);
            attn_plan_destroy(plan);
        }
}

/* --- nodes that share ------------------------------------------------------------- */

static int all_of(int64_t mine, MPI_Op op) {
    int64_t all;

    MPI_Allreduce(&mine, &all, 1, MPI_INT64_T, op, MPI_COMM_WORLD);
    return (int)all;
}

static void test_a_shared_gather_sends_slices_once_to_each_node(void) {
    find_place();
    for (int size = 2; size <= MAX_RANKS && ranks > 1; size++) {
        if (size == 6 || size == 7) continue;
        make_nodes_of(size);
        check_traffic("gather", ATTN_SHARE_ALWAYS, shared_traffic);
    }
    make_nodes_of(MAX_RANKS);
}

/* Each slice that a node needs has one receiver there, and these have the same to do. */
static void check_deal(const attn_plan *plan) {
    const attn_circulate *circulate = &plan->circulate;

    for (int64_t slice = 0; slice < circulate->slice_count; slice++) {
        int64_t loads[MAX_RANKS] = {0}, largest = 0, most = 0, least = INT64_MAX;

        for (int k = 0; k < ranks; k++) {
            attn_range rows = slice_rows(plan, k, slice);
            int64_t bytes = attn_range_count(rows) * row_bytes;
            int receiver = attn_gather_deal_at(circulate->state, circulate, slice, k)->receiver;
            int is_needed = node_of(k) != node_of(rank) && node_needs(plan, node_of(rank), k, rows);

            CU_ASSERT_EQUAL(receiver >= 0, is_needed);
            if (receiver < 0) continue;
            CU_ASSERT_EQUAL(node_of(receiver), node_of(rank));
            loads[receiver] += bytes;
            if (bytes > largest) largest = bytes;
        }
        for (int i = 0; i < ranks; i++) {
            if (node_of(i) != node_of(rank)) continue;
            if (loads[i] > most) most = loads[i];
            if (loads[i] < least) least = loads[i];
        }
        CU_ASSERT(most - least <= largest);
        CU_ASSERT(circulate->share.part_bytes[1 + slice % 2] >= loads[rank]);
    }
}

static void test_slices_are_dealt_evenly_to_the_ranks_of_a_node(void) {
    find_place();
    for (int size = 2; size <= 4 && ranks > 1; size++) {
        make_nodes_of(size);
        for (size_t c = 0; c < CASES; c++) {
            attn_plan *plan = execute(c, layouts[c % LAYOUTS], "gather", ATTN_SHARE_ALWAYS);

            if (plan != NULL) check_deal(plan);
            attn_plan_destroy(plan);
        }
    }
    make_nodes_of(MAX_RANKS);
}

/* With all ranks on one node: K and V of all rows, and nothing besides. Of the slices of others a
 * rank that shares brings 1 / per_node. */
static void test_a_node_holds_one_copy(void) {
    attn_plan *plan;
    int64_t bytes = 0;

    find_place();
    if (ranks == 1) return;
    plan = execute(0, "contiguous", "gather", ATTN_SHARE_AUTO);
    if (plan == NULL) return;
    for (int i = 0; i < ATTN_SHARE_PARTS; i++) bytes += plan->circulate.share.part_bytes[i];
    CU_ASSERT_EQUAL(all_of(bytes, MPI_SUM), ROWS * row_bytes);
    CU_ASSERT_EQUAL(plan->circulate.arrivals.steps, 2);
    CU_ASSERT_EQUAL(attn_plan_stats(plan).circulated_messages, 0);
    attn_plan_destroy(plan);
}

static int is_shared(size_t c, const char *circulate, attn_share_nodes share) {
    attn_plan *plan = execute(c, "contiguous", circulate, share);
    attn_plan_info info = {0};

    if (plan != NULL) attn_plan_get_info(plan, &info);
    attn_plan_destroy(plan);
    CU_ASSERT_EQUAL(all_of(info.share_ranks > 1, MPI_MIN), all_of(info.share_ranks > 1, MPI_MAX));
    return info.share_ranks > 1;
}

static void test_nodes_share_by_themselves_where_it_saves(void) {
    find_place();
    for (int size = 1; size <= MAX_RANKS; size *= 2) {
        make_nodes_of(size);
        CU_ASSERT_EQUAL(is_shared(0, "gather", ATTN_SHARE_AUTO), ranks > 1 && size > 1);
        CU_ASSERT_EQUAL(is_shared(0, "gather", ATTN_SHARE_NEVER), 0);
        CU_ASSERT_EQUAL(is_shared(0, "ring", ATTN_SHARE_AUTO), 0);
        /* Nobody's window reaches into another's shard of two documents. */
        if (ranks == 2) CU_ASSERT_EQUAL(is_shared(APART, "gather", ATTN_SHARE_AUTO), 0);
    }
    make_nodes_of(MAX_RANKS);
}

static void check_refused(const char *circulate, attn_status status) {
    const attn_problem problem = problem_of(ROWS, (attn_mask_spec){0});
    attn_options options = {.mesh_heads = 1,
                            .mesh_sequence = ranks,
                            .circulate = circulate,
                            .share_nodes = ATTN_SHARE_ALWAYS};
    attn_plan *plan;
    attn_error error;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error), status);
    CU_ASSERT_PTR_NULL(plan);
    attn_plan_destroy(plan);
}

static void test_sharing_that_cannot_be_is_refused(void) {
    find_place();
    check_refused("ring", ATTN_ERR_CONFIG);
    make_nodes_of(1);
    check_refused("gather", ATTN_ERR_CONFIG);
    make_nodes_of(MAX_RANKS);
}

/* After the window was made, which is then freed. */
static void test_a_failure_beside_a_window_ends_on_all_ranks(void) {
    find_place();
    if (ranks == 1) return;
    setenv("ATTNSPAN_INJECT", "share:1", 1);
    check_refused("gather", ATTN_ERR_IO);
    unsetenv("ATTNSPAN_INJECT");
}

static void rest(void *context, double done) {
    const struct timespec while_others_go_on = {0, 2000000};

    (void)context;
    (void)done;
    nanosleep(&while_others_go_on, NULL);
}

/* Striped, for several slices; the outputs of own rows, of two executions on other keys. */
static float *execute_resting(attn_share_nodes share, int rests, int64_t *elems, int64_t *slices) {
    const attn_problem problem = problem_of(ROWS, (attn_mask_spec){0});
    attn_options options = {.mesh_heads = 1,
                            .mesh_sequence = ranks,
                            .layout = "striped",
                            .circulate = "gather",
                            .share_nodes = share,
                            .threads = 1,
                            .on_progress = rests ? rest : NULL};
    attn_plan *plan;
    attn_error error;
    float *q, *k, *out;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error), ATTN_OK);
    if (plan == NULL) return NULL;
    *elems = attn_plan_query_rows(plan).count * HEADS * DIM;
    *slices = plan->circulate.slice_count;
    q = array(*elems);
    k = array(*elems);
    out = array(2 * *elems);
    for (int execution = 0; execution < 2; execution++) {
        for (int64_t i = 0; i < *elems; i++) k[i] *= 2 + 0.125f * (float)rank;
        attn_execute(plan, q, k, k, out + execution * *elems, NULL);
    }
    free(k);
    free(q);
    attn_plan_destroy(plan);
    return out;
}

static void check_resting(int slow) {
    int64_t elems = 0, slices = 0;
    float *alone = execute_resting(ATTN_SHARE_NEVER, 0, &elems, &slices);
    float *shared = execute_resting(ATTN_SHARE_ALWAYS, rank == slow, &elems, &slices);

    if (nodes() > 1 && ranks <= 4) CU_ASSERT(slices >= 3); /* a buffer is used again */
    CU_ASSERT(alone != NULL && shared != NULL &&
              memcmp(alone, shared, 2 * (size_t)elems * sizeof *shared) == 0);
    free(shared);
    free(alone);
}

/* Others are then a step ahead, or an execution, as far as they can be. */
static void test_what_a_slow_rank_still_reads_is_not_overwritten(void) {
    find_place();
    for (int slow = 0; slow < ranks && ranks > 1; slow++) {
        make_nodes_of(2);
        check_resting(slow);
        make_nodes_of(MAX_RANKS);
        check_resting(slow);
    }
}

/* Of the bytes, those between different nodes: of a ring, what the last of a node sends up. */
static void test_bytes_that_cross_nodes_are_counted(void) {
    find_place();
    for (int size = 1; size <= MAX_RANKS; size++) {
        attn_plan *plan;
        int is_last;

        make_nodes_of(size);
        is_last = node_of(rank) != node_of((rank + 1) % ranks);
        plan = execute(0, "contiguous", "ring", ATTN_SHARE_AUTO); /* no mask: all go up */
        if (plan != NULL) {
            attn_stats stats = attn_plan_stats(plan);
            CU_ASSERT_EQUAL(stats.crossed_bytes, is_last ? stats.sent_bytes : 0);
        }
        attn_plan_destroy(plan);
        plan = execute(0, "contiguous", "gather", ATTN_SHARE_AUTO);
        if (plan != NULL) {
            attn_stats stats = attn_plan_stats(plan);
            CU_ASSERT_EQUAL(stats.crossed_bytes, stats.sent_bytes);
            CU_ASSERT_EQUAL(stats.crossed_bytes,
                            (nodes() - 1) * row_bytes * attn_layout_rows(&plan->key_layout, rank));
        }
        attn_plan_destroy(plan);
    }
    make_nodes_of(MAX_RANKS);
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"a ring sends a shard as far as it is needed",
         test_a_ring_sends_a_shard_as_far_as_it_is_needed},
        {"a gather sends slices to those that need them",
         test_a_gather_sends_slices_to_those_that_need_them},
        {"a reduce sends queries and what the tree joins",
         test_a_reduce_sends_queries_and_what_the_tree_joins},
        {"the known counts of a reduce", test_the_known_counts_of_a_reduce},
        {"a few queries use the caller's keys in place",
         test_a_few_queries_use_the_callers_keys_in_place},
        {"the known counts of a ring", test_the_known_counts_of_a_ring},
        {"partials wait only for tiles that have them",
         test_partials_wait_only_for_tiles_that_have_them},
        {"steps without a needed block run nothing", test_steps_without_a_needed_block_run_nothing},
        {"a shared gather sends slices once to each node",
         test_a_shared_gather_sends_slices_once_to_each_node},
        {"slices are dealt evenly to the ranks of a node",
         test_slices_are_dealt_evenly_to_the_ranks_of_a_node},
        {"a node holds one copy", test_a_node_holds_one_copy},
        {"nodes share by themselves where it saves", test_nodes_share_by_themselves_where_it_saves},
        {"sharing that cannot be is refused", test_sharing_that_cannot_be_is_refused},
        {"a failure beside a window ends on all ranks",
         test_a_failure_beside_a_window_ends_on_all_ranks},
        {"what a slow rank still reads is not overwritten",
         test_what_a_slow_rank_still_reads_is_not_overwritten},
        {"bytes that cross nodes are counted", test_bytes_that_cross_nodes_are_counted},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.circulation", tests, ATTN_TEST_COUNT(tests));
}
