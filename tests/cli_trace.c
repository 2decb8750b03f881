/* output.trace: valid JSON with all ranks; slices of a lane in order and within each other; as
 * many kernel calls as the mask leaves, as many messages as are reported; clocks that agree within
 * what they claim; and a result that is the same as without.
 *
 * trace_reading.h checks what holds for every trace while it reads it. */
#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "layout.h"
#include "scratch.h"
#include "trace.h"
#include "trace_reading.h"

/* 1021 is prime. */
enum { ROWS = 1021, HEADS = 4 };
static const char config[] =
    "attention: {heads: 4, head_dim: 32, mask: causal}\n"
    "sequence: {length: 1021}\n"
    "input: {synthetic: {seed: 3, tensors: qkv}}\n"
    "output: {y: y.npy, report: report.json}\n"
    "verify: {rows: 8}\n";

typedef struct way {
    int heads, sequence, threads;
    const char *circulate, *layout, *share_nodes;
} way;

static const char *node_ranks; /* for the environment; NULL: as they are */

/* Runs, into that folder; with a trace `t.json` there. Seconds of the command; −1: it failed. */
static double run(const way *at, const char *folder, int with_trace) {
    char parallel[160], trace[64];
    const attn_command_request request = {
        .ranks = at->heads * at->sequence,
        .arguments = ATTN_ARGUMENTS("run", "config.yaml", "--output-dir", folder, "--set", parallel,
                                    "--set", trace),
        .environment = ATTN_ARGUMENTS(node_ranks),
        .folder = attn_cli_folder(),
        .limit_sec = 60};
    attn_command_result result;
    double seconds;

    snprintf(trace, sizeof trace, "output.trace=%s", with_trace ? "t.json" : "null");
    snprintf(parallel, sizeof parallel,
             "parallel={heads: %d, sequence: %d, circulate: %s, layout: %s, threads: %d, "
             "share_nodes: %s}",
             at->heads, at->sequence, at->circulate, at->layout, at->threads, at->share_nodes);
    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    if (result.exit_status != 0) fprintf(stderr, "\n%s: %s\n", parallel, result.err);
    seconds = result.exit_status == 0 ? result.seconds : -1;
    attn_command_free(&result);
    return seconds;
}

/* --- kernel calls --------------------------------------------------------------------- */

/* The last row of the sequence among local rows [first, last) of a shard. */
static int64_t last_row(const attn_layout *layout, int64_t shard, int64_t first, int64_t last) {
    int64_t most = -1, local = 0;

    for (int64_t run = 0; run < attn_layout_run_count(layout, shard); run++) {
        attn_range rows = attn_layout_rows_of(layout, attn_layout_run(layout, shard, run));

        for (int64_t row = rows.first; row < rows.last; row++, local++)
            if (local >= first && local < last && row > most) most = row;
    }
    return most;
}

/* The tile behind tile `at` of the same head: its first row, or the end of the shard. */
static int64_t next_tile(const attn_traced_tile *tiles, int64_t count, int64_t at,
                         const attn_layout *layout) {
    int64_t next = at;

    while (next < count && attn_traced_same_tile(&tiles[next], &tiles[at])) next++;
    if (next < count && tiles[next].shard == tiles[at].shard && tiles[next].head == tiles[at].head)
        return tiles[next].row;
    return attn_layout_rows(layout, tiles[at].shard);
}

/* Whether that is the shard which owns the block. */
static int is_owner(const attn_layout *layout, int64_t shard, int64_t block) {
    if (shard < 0 || shard >= layout->shards) return 0;
    for (int64_t run = 0; run < attn_layout_run_count(layout, shard); run++) {
        attn_range blocks = attn_layout_run(layout, shard, run);

        if (block >= blocks.first && block < blocks.last) return 1;
    }
    return 0;
}

/* Of each tile under a causal mask the blocks up to its last row's own: as many blocks as all
 * tiles have. Each block that was recorded must be the next of these, with its owner's number. */
static int64_t count_blocks(const attn_traced *traced, const way *at) {
    attn_layout layout;
    attn_error error;
    int64_t blocks = 0, block = 0;

    if (attn_layout_create(&layout, attn_layout_find(at->layout), ROWS, at->sequence, NULL,
                           &error) != ATTN_OK)
        abort();
    for (int64_t i = 0; i < traced->tile_count; i++) {
        const attn_traced_tile *tile = &traced->tiles[i];
        int64_t last, end;

        if (i > 0 && attn_traced_same_tile(tile, tile - 1)) continue; /* of another step */
        end = next_tile(traced->tiles, traced->tile_count, i, &layout);
        last = last_row(&layout, tile->shard, tile->row, end) / layout.block_rows;
        blocks += last + 1;
        for (int64_t number = 0; number <= last; number++, block++)
            CU_ASSERT(block < traced->block_count &&
                      attn_traced_same_tile(&traced->blocks[block], tile) &&
                      traced->blocks[block].block == number &&
                      is_owner(&layout, traced->blocks[block].keys_of_shard, number));
    }
    attn_layout_destroy(&layout);
    return blocks;
}

/* --- messages ------------------------------------------------------------------------- */

static int64_t uncertainty_of(const json_t *trace, int rank) {
    const json_t *clock = json_object_get(attn_traced_rank(trace, rank), "clock");
    int64_t before = attn_traced_integer(json_object_get(clock, "before"), "uncertainty_ns");
    int64_t after = attn_traced_integer(json_object_get(clock, "after"), "uncertainty_ns");

    return before > after ? before : after;
}

static void expect_messages(const attn_traced *traced, const char *report_path) {
    json_t *report = json_load_file(report_path, 0, NULL);
    int64_t bytes = 0, count = 0;

    CU_ASSERT_EQUAL(traced->send_count, traced->receive_count);
    for (int rank = 0; rank < traced->ranks; rank++)
        count += attn_traced_integer(attn_traced_rank(traced->json, rank), "sent_messages");
    CU_ASSERT_EQUAL(traced->send_count, count);
    for (int64_t i = 0; i < traced->send_count && i < traced->receive_count; i++) {
        const attn_traced_message *sent = &traced->sends[i], *got = &traced->receives[i];
        int64_t uncertain =
            uncertainty_of(traced->json, sent->from) + uncertainty_of(traced->json, sent->to);

        bytes += sent->bytes;
        CU_ASSERT_EQUAL(attn_traced_compare_messages(sent, got), 0);
        CU_ASSERT_EQUAL(sent->bytes, got->bytes);
        CU_ASSERT(got->end_ns >= sent->start_ns - uncertain);
        /* One message of that name and number, so that an arrow has two ends. */
        CU_ASSERT(i == 0 || attn_traced_compare_messages(sent - 1, sent) < 0);
        CU_ASSERT_EQUAL(sent->arrow, got->arrow);
    }
    CU_ASSERT_EQUAL(bytes,
                    attn_traced_integer(json_object_get(report, "traffic"), "bytes_sent_total"));
    json_decref(report);
}

/* All processes are on one node, where the clock is one: any offset is an error, which may not be
 * more than what is claimed. */
static void expect_clocks(const attn_traced *traced) {
    for (int rank = 0; rank < traced->ranks; rank++) {
        const json_t *clock = json_object_get(attn_traced_rank(traced->json, rank), "clock");
        const json_t *readings[] = {json_object_get(clock, "before"),
                                    json_object_get(clock, "after")};

        for (int i = 0; i < 2; i++) {
            int64_t uncertain = attn_traced_integer(readings[i], "uncertainty_ns");

            CU_ASSERT(llabs(attn_traced_integer(readings[i], "offset_ns")) <= uncertain);
            CU_ASSERT(rank == 0 ? uncertain == 0 : uncertain > 0);
        }
    }
}

/* --- tests ---------------------------------------------------------------------------- */

/* Each rank's name says its node: the first one's, or the second one's where there are two. */
static void expect_nodes(const attn_traced *traced) {
    const json_t *event;
    size_t i;
    int named = 0;

    json_array_foreach(json_object_get(traced->json, "traceEvents"), i, event) {
        const char *kind = json_string_value(json_object_get(event, "name"));
        int64_t rank = json_integer_value(json_object_get(event, "pid"));
        int is_second = node_ranks != NULL && rank >= traced->ranks / 2;
        const char *name =
            json_string_value(json_object_get(json_object_get(event, "args"), "name"));

        if (kind == NULL || strcmp(kind, "process_name") != 0 || name == NULL) continue;
        CU_ASSERT_PTR_NOT_NULL(strstr(name, is_second ? ", node 1)" : ", node 0)"));
        named++;
    }
    CU_ASSERT_EQUAL(named, traced->ranks);
}

static void expect_trace(const way *at) {
    double seconds;
    attn_traced traced;

    run(at, "without", 0);
    CU_ASSERT_EQUAL(attn_cli_files_below(attn_cli_path("without")), 2);
    seconds = run(at, "with", 1);
    CU_ASSERT(attn_cli_same_files(attn_cli_path("without/y.npy"), attn_cli_path("with/y.npy")));
    CU_ASSERT_EQUAL(attn_cli_files_below(attn_cli_path("with")), 3);

    attn_traced_read(attn_cli_path("with/t.json"), &traced);
    CU_ASSERT_EQUAL(traced.ranks, at->heads * at->sequence);
    CU_ASSERT_EQUAL(traced.threads, (int64_t)traced.ranks * at->threads);
    CU_ASSERT(traced.last_ns > 0 && (double)traced.last_ns <= seconds * 1e9);
    CU_ASSERT_EQUAL(traced.left_out, 0);
    CU_ASSERT(traced.block_count > 0);
    CU_ASSERT_EQUAL(count_blocks(&traced, at), traced.block_count);
    expect_messages(&traced, attn_cli_path("with/report.json"));
    expect_clocks(&traced);
    expect_nodes(&traced);
    attn_traced_free(&traced);
    attn_scratch_remove(attn_cli_path("with"));
    attn_scratch_remove(attn_cli_path("without"));
}

static void a_trace_of_one_rank(void) {
    expect_trace(&(way){1, 1, 2, "ring", "contiguous", "auto"});
}

static void a_trace_of_a_ring(void) {
    expect_trace(&(way){1, 3, 1, "ring", "contiguous", "auto"});
}

static void a_trace_of_a_mesh_with_threads(void) {
    expect_trace(&(way){2, 2, 2, "ring", "zigzag", "auto"});
}

static void a_trace_of_a_gather(void) {
    expect_trace(&(way){1, 4, 1, "gather", "striped", "false"});
}

static void a_trace_of_a_reduce(void) {
    expect_trace(&(way){1, 3, 1, "reduce", "contiguous", "auto"});
}

static void a_trace_of_a_node_that_shares(void) {
    expect_trace(&(way){1, 4, 1, "gather", "contiguous", "auto"});
}

static void a_trace_of_two_nodes_that_share(void) {
    node_ranks = "ATTNSPAN_NODE_RANKS=2";
    expect_trace(&(way){1, 4, 1, "gather", "zigzag", "auto"});
    node_ranks = NULL;
}

/* Of two ranks with the same work, that may record so many events of it: the tiles, blocks and
 * what was left out of both together. */
static void count_events(int64_t most, int64_t *tiles, int64_t *blocks, int64_t *left_out) {
    char limit[64];
    const attn_command_request request = {
        .ranks = 2,
        .arguments = ATTN_ARGUMENTS("run", "config.yaml", "--output-dir", "many", "--set",
                                    "output={trace: t.json}", "--set", "attention.mask=none",
                                    "--set", "sequence.length=1024", "--set",
                                    "parallel={heads: 1, circulate: ring, layout: contiguous}"),
        .environment = ATTN_ARGUMENTS(limit),
        .folder = attn_cli_folder(),
        .limit_sec = 60};
    attn_traced traced;

    *tiles = *blocks = *left_out = -1;
    snprintf(limit, sizeof limit, "ATTNSPAN_TRACE_EVENTS=%" PRId64, most);
    CU_ASSERT(attn_command_succeeds(&request));
    attn_traced_read(attn_cli_path("many/t.json"), &traced);
    *tiles = traced.tile_count;
    *blocks = traced.block_count;
    *left_out = traced.left_out;
    CU_ASSERT_EQUAL(traced.labelled, *left_out > 0 ? 2 : 0);
    attn_traced_free(&traced);
    attn_scratch_remove(attn_cli_path("many"));
}

/* Without room for all kernel calls there are none, without room for all tiles neither; and the
 * trace says how many are missing. */
static void what_is_too_much_is_counted(void) {
    int64_t tiles, blocks, some_tiles, some_blocks, left_out;

    count_events(ATTN_TRACE_MOST_EVENTS, &tiles, &blocks, &left_out);
    CU_ASSERT(tiles > 0 && blocks > tiles && left_out == 0);
    count_events((tiles + blocks) / 2, &some_tiles, &some_blocks, &left_out);
    CU_ASSERT(some_tiles == tiles && some_blocks == blocks && left_out == 0);
    count_events((tiles + blocks) / 2 - 1, &some_tiles, &some_blocks, &left_out);
    CU_ASSERT(some_tiles == tiles && some_blocks == 0 && left_out == blocks);
    count_events(tiles / 2 - 1, &some_tiles, &some_blocks, &left_out);
    CU_ASSERT(some_tiles == 0 && some_blocks == 0 && left_out == tiles + blocks);
}

/* Fails with that status and message, and leaves nothing. */
static void expect_refusal(const char *command, const char *set, int status, const char *message) {
    const attn_command_request request = {
        .ranks = 2,
        .arguments = ATTN_ARGUMENTS(command, "config.yaml", "--set", set),
        .folder = attn_cli_folder(),
        .limit_sec = 60};
    attn_command_result result;
    char said[1024] = "";
    int files = attn_cli_files_below(attn_cli_folder()), errors, held;

    attn_command_run(&request, &result);
    errors = attn_command_errors(&result, said, sizeof said);
    held = result.exit_status == status && errors == 1 && strstr(said, message) != NULL &&
           attn_cli_files_below(attn_cli_folder()) == files;
    CU_ASSERT(held);
    if (!held)
        fprintf(stderr, "\n%s: exit status %d, %d files more: %s\n", set, result.exit_status,
                attn_cli_files_below(attn_cli_folder()) - files, result.err);
    attn_command_free(&result);
}

static void a_trace_that_cannot_be_written_fails(void) {
    expect_refusal("run", "output.trace=config.yaml/t.json", 3, "config.yaml/t.json");
    expect_refusal("run", "output.trace=/proc/t.json", 3, "/proc/t.json");
    expect_refusal("run", "output.trace=/dev/full", 3, "is not a regular file");
    expect_refusal("run", "output.trace=report.json", 2, "output.trace: would overwrite the file");
    expect_refusal("run", "output.trace=3", 2, "output.trace");
    expect_refusal("bench", "output.trace=t.json", 2, "output.trace: is of a single run");
}

int main(void) {
    static const attn_test tests[] = {
        {"a trace of one rank", a_trace_of_one_rank},
        {"a trace of a ring", a_trace_of_a_ring},
        {"a trace of a mesh with threads", a_trace_of_a_mesh_with_threads},
        {"a trace of a gather", a_trace_of_a_gather},
        {"a trace of a reduce", a_trace_of_a_reduce},
        {"a trace of a node that shares", a_trace_of_a_node_that_shares},
        {"a trace of two nodes that share", a_trace_of_two_nodes_that_share},
        {"what is too much is counted", what_is_too_much_is_counted},
        {"a trace that cannot be written fails", a_trace_that_cannot_be_written_fails},
    };
    int failed;

    attn_cli_begin();
    attn_cli_write_text("config.yaml", config);
    failed = attn_test_main("trace", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
