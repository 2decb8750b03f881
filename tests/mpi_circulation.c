/* What circulates: each rank sends the messages and bytes that the opening comments of
 * circulate_ring.c, circulate_gather.c and circulate_reduce.c promise, counted here from what
 * single rows see. */
#include <stdlib.h>

#include "attnspan/attnspan.h"
#include "harness.h"
#include "memory.h"
#include "plan_state.h"
#include "status.h"
#include "synthetic.h"

/* Blocks of 64 rows: 16 of queries and 16 of keys, all whole. */
enum { ROWS = 1024, HEADS = 2, DIM = 16, MAX_RANKS = 8 };

#define WINDOW(l, r) .windowed = 1, .left = (l), .right = (r)

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
    {"first beside first", 400, {.causal = ATTN_CAUSAL_TOP_LEFT}},
};

static const char *const layouts[] = {"contiguous", "zigzag", "striped", "balanced"};

enum { CASES = sizeof cases / sizeof *cases, LAYOUTS = sizeof layouts / sizeof *layouts };

static int rank, ranks;

static void find_place(void) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
}

/* --- what is expected ------------------------------------------------------------- */

/* Whether a query of the shard sees one of the local rows `part` of shard `of`'s keys. */
static int needs(const attn_plan *plan, int by, int of, attn_range part) {
    attn_row_list queries, keys;
    attn_error error;
    int found = 0;

    if (attn_row_list_create(&queries, &plan->query_layout, by,
                             (attn_range){0, attn_layout_rows(&plan->query_layout, by)},
                             &error) != ATTN_OK ||
        attn_row_list_create(&keys, &plan->key_layout, of, part, &error) != ATTN_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t i = 0; i < queries.count && !found; i++) {
        attn_visible seen = attn_mask_visible(&plan->attend.mask, 0, attn_row_list_at(&queries, i));

        for (int64_t r = 0; r < keys.run_count; r++)
            for (int s = 0; s < 2; s++)
                found |= seen.span[s].first < keys.runs[r].first + keys.runs[r].count &&
                         keys.runs[r].first < seen.span[s].last &&
                         seen.span[s].first < seen.span[s].last;
    }
    attn_row_list_destroy(&keys);
    attn_row_list_destroy(&queries);
    return found;
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

static traffic gather_traffic(const attn_plan *plan) {
    int64_t blocks = attn_layout_blocks(&plan->key_layout, rank);
    traffic sum = {0};

    for (int to = 0; to < ranks; to++)
        for (int64_t i = 0; i < plan->circulate.slice_count && to != rank; i++) {
            attn_range slice = attn_deal(blocks, plan->circulate.slice_count, i);
            attn_range rows = {slice.first * 64, slice.last * 64};

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
    for (int64_t i = 0; i < queries.count && !found; i++) {
        attn_visible seen = attn_mask_visible(&plan->attend.mask, 0, attn_row_list_at(&queries, i));

        for (int s = 0; s < 2; s++)
            found |= seen.span[s].first < blocks.last * 64 &&
                     blocks.first * 64 < seen.span[s].last &&
                     seen.span[s].first < seen.span[s].last;
    }
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

static attn_plan *execute(size_t c, const char *layout, const char *circulate) {
    attn_problem problem = {.batch = 1,
                            .length = cases[c].length,
                            .kv_length = ROWS,
                            .heads = HEADS,
                            .kv_heads = HEADS,
                            .key_dim = DIM,
                            .value_dim = DIM,
                            .mask = cases[c].mask};
    attn_options options = {.mesh_heads = 1,
                            .mesh_sequence = ranks,
                            .layout = layout,
                            .circulate = circulate,
                            .threads = 1};
    attn_plan *plan;
    attn_error error;
    int64_t queries, keys;
    float *q, *k, *out;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error), ATTN_OK);
    if (plan == NULL) return NULL;
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

static void check_traffic(const char *circulate, traffic (*expected)(const attn_plan *plan)) {
    for (size_t c = 0; c < CASES; c++)
        for (int l = 0; l < LAYOUTS; l++) {
            attn_plan *plan = execute(c, layouts[l], circulate);
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
    check_traffic("ring", ring_traffic);
}

static void test_a_gather_sends_slices_to_those_that_need_them(void) {
    find_place();
    check_traffic("gather", gather_traffic);
}

static void test_a_reduce_sends_queries_and_what_the_tree_joins(void) {
    find_place();
    check_traffic("reduce", reduce_traffic);
}

/* One query that sees all of 16 blocks, which belong to the first shard with queries. */
static void test_the_known_counts_of_a_reduce(void) {
    attn_plan *plan;
    int64_t mine, all;

    find_place();
    if (ranks == 3 || ranks == 5) return; /* their shards are no nodes of the tree */
    plan = execute(8, "contiguous", "reduce");
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
        attn_plan *plan = execute(known[i].number, known[i].layout, "ring");
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
    plan = execute(1, "contiguous", "ring"); /* causal */
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
                 own++) {
                attn_visible seen =
                    attn_mask_visible(&plan->attend.mask, 0, attn_row_list_at(queries, own));

                for (int s = 0; s < 2; s++)
                    sees |= seen.span[s].first < blocks.last * 64 &&
                            blocks.first * 64 < seen.span[s].last &&
                            seen.span[s].first < seen.span[s].last;
            }
        }
        wrong += sees != (plan->attend.kept.place[at] >= 0);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void test_partials_wait_only_for_tiles_that_have_them(void) {
    find_place();
    for (size_t c = 0; c < CASES; c++)
        for (int l = 0; l < LAYOUTS; l++) {
            attn_plan *plan = execute(c, layouts[l], l % 2 == 0 ? "ring" : "gather");

            if (plan == NULL) continue;
            CU_ASSERT(plan->attend.tree.slots <= 64);
            check_kept(plan);
            attn_plan_destroy(plan);
        }
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
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.circulation", tests, ATTN_TEST_COUNT(tests));
}
