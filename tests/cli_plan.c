/* attnspan plan against runs of what it planned, and at sizes that nobody can run here; and the
 * file that a calibration writes. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "json_reading.h"

static const char config[] =
    "attention: {heads: 6, kv_heads: 3, head_dim: 40, mask: causal}\n"
    "sequence: {length: 1021}\n"
    "input: {synthetic: {seed: 1, tensors: qkv}}\n"
    "output: {report: r.json}\n";

/* stdout as JSON; NULL when the exit status is not 0. */
static json_t *json_of(int ranks, const char *const *arguments) {
    const attn_command_request request = {
        .ranks = ranks, .arguments = arguments, .folder = attn_cli_folder(), .limit_sec = 240};
    attn_command_result result;
    json_t *json = NULL;

    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    if (result.exit_status == 0)
        json = json_loads(result.out, JSON_REJECT_DUPLICATES, NULL);
    else
        fprintf(stderr, "\n%s\n", result.err);
    attn_command_free(&result);
    return json;
}

static double bytes_of(const json_t *plan) {
    return attn_json_number(plan, "traffic.exchange.in_node.bytes") +
           attn_json_number(plan, "traffic.exchange.network.bytes") +
           attn_json_number(plan, "traffic.circulation.in_node.bytes") +
           attn_json_number(plan, "traffic.circulation.network.bytes");
}

/* Bytes sent and memory of a run, by one process beforehand. */
static void what_is_planned_is_what_a_run_does(void) {
    static const char *const circulations[] = {"ring", "gather", "reduce"};
    static const char *const members[] = {"1", "2", "4"};

    attn_cli_begin();
    attn_cli_write_text("c.yaml", config);
    for (size_t c = 0; c < 3; c++)
        for (size_t m = 0; m < 3; m++) {
            char circulate[64], heads[64];
            json_t *plan, *report;

            snprintf(circulate, sizeof circulate, "parallel.circulate=%s", circulations[c]);
            snprintf(heads, sizeof heads, "parallel.heads=%s", members[m]);
            plan = json_of(0, ATTN_ARGUMENTS("plan", "c.yaml", "--json", "--ranks", "4", "--set",
                                             circulate, "--set", heads));
            CU_ASSERT(attn_command_succeeds(&(attn_command_request){
                .ranks = 4,
                .arguments = ATTN_ARGUMENTS("run", "c.yaml", "--set", circulate, "--set", heads),
                .folder = attn_cli_folder()}));
            report = json_load_file(attn_cli_path("r.json"), 0, NULL);
            CU_ASSERT_EQUAL(bytes_of(plan), attn_json_number(report, "traffic.bytes_sent_total"));
            CU_ASSERT_EQUAL(attn_json_number(plan, "choice.imbalance"),
                            attn_json_number(report, "mesh.imbalance"));
            CU_ASSERT_EQUAL(attn_json_number(plan, "flops"),
                            attn_json_number(report, "attention.flops"));
            /* The slices of a gather are those of the rank that they cost most. */
            if (strcmp(circulations[c], "gather") != 0)
                CU_ASSERT_EQUAL(attn_json_number(plan, "memory_bytes_rank"),
                                attn_json_number(report, "memory.planned_bytes_max"));
            json_decref(report);
            json_decref(plan);
        }
    attn_cli_end();
}

/* Of four ranks on two nodes, in a ring: every second message crosses. */
static void what_crosses_the_network_is_told_apart(void) {
    json_t *plan;

    attn_cli_begin();
    attn_cli_write_text("c.yaml", config);
    plan = json_of(
        0, ATTN_ARGUMENTS("plan", "c.yaml", "--json", "--ranks", "4", "--nodes", "2", "--set",
                          "parallel={heads: 1, circulate: ring}", "--set", "attention.mask=none"));
    CU_ASSERT_EQUAL(attn_json_number(plan, "traffic.circulation.in_node.messages"), 6);
    CU_ASSERT_EQUAL(attn_json_number(plan, "traffic.circulation.network.messages"), 6);
    CU_ASSERT_EQUAL(attn_json_number(plan, "traffic.exchange.network.messages"), 0);
    CU_ASSERT_EQUAL(attn_json_number(plan, "nodes"), 2);
    json_decref(plan);
    attn_cli_end();
}

/* The same of a gather whose ranks share on a node, against a run of nodes of two ranks. */
static void what_nodes_share_is_planned(void) {
    static const char *const parallel = "parallel={heads: 1, circulate: gather}";
    const attn_command_request run = {
        .ranks = 4,
        .arguments = ATTN_ARGUMENTS("run", "c.yaml", "--set", parallel),
        .environment = (const char *const[]){"ATTNSPAN_NODE_RANKS=2", NULL}};
    attn_command_request here = run;
    json_t *plan, *report;

    attn_cli_begin();
    attn_cli_write_text("c.yaml", config);
    here.folder = attn_cli_folder();
    CU_ASSERT(attn_command_succeeds(&here));
    plan = json_of(0, ATTN_ARGUMENTS("plan", "c.yaml", "--json", "--ranks", "4", "--nodes", "2",
                                     "--set", parallel));
    report = json_load_file(attn_cli_path("r.json"), 0, NULL);
    CU_ASSERT_EQUAL(attn_json_number(report, "mesh.share_ranks"), 2);
    CU_ASSERT_EQUAL(attn_json_number(plan, "traffic.circulation.network.bytes"),
                    attn_json_number(report, "traffic.bytes_between_nodes_total"));
    CU_ASSERT_EQUAL(bytes_of(plan), attn_json_number(report, "traffic.bytes_sent_total"));
    json_decref(report);
    json_decref(plan);
    attn_cli_end();
}

static void a_hundred_thousand_ranks_are_planned_in_one_process(void) {
    json_t *plan;

    attn_cli_begin();
    attn_cli_write_text("c.yaml", config);
    plan = json_of(0, ATTN_ARGUMENTS("plan", "c.yaml", "--json", "--ranks", "100000", "--nodes",
                                     "1000", "--set", "sequence.length=16777216", "--set",
                                     "attention.heads=32", "--set", "attention.kv_heads=32"));
    CU_ASSERT_EQUAL(
        attn_json_number(plan, "choice.heads") * attn_json_number(plan, "choice.sequence"), 100000);
    CU_ASSERT(attn_json_number(plan, "choice.predicted.total_sec") > 0);
    CU_ASSERT(bytes_of(plan) > 0);
    json_decref(plan);
    attn_cli_end();
}

/* Of the widest, and of an odd one. */
static void the_table_fits_a_terminal_of_80_columns(void) {
    const attn_command_request request = {
        .arguments = ATTN_ARGUMENTS("plan", ATTN_SOURCE_DIR "/configs/bench/strong.yaml", "--ranks",
                                    "1024", "--nodes", "64", "--set", "sequence.length=16777216",
                                    "--set", "parallel.heads=64"),
        .limit_sec = 60};
    attn_command_result result;

    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(result.out, "limit "));
    for (const char *line = result.out; line != NULL && *line != '\0';) {
        size_t width = strcspn(line, "\n");

        if (line != result.out) CU_ASSERT(width <= 80); /* the first is the config's path */
        line += width + (line[width] == '\n');
    }
    attn_command_free(&result);
}

/* With a message, and not by the memory of this machine. */
static void what_is_too_large_to_be_planned_is_refused(void) {
    attn_command_request request = {
        .arguments = ATTN_ARGUMENTS("plan", "c.yaml", "--ranks", "4", "--set",
                                    "sequence.length=1000000000000"),
        .limit_sec = 60};
    attn_command_result result;
    char message[1024];

    attn_cli_begin();
    attn_cli_write_text("c.yaml", config);
    request.folder = attn_cli_folder();
    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 3);
    CU_ASSERT_EQUAL(attn_command_errors(&result, message, sizeof message), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(message, "a rank would hold"));
    attn_command_free(&result);
    attn_cli_end();
}

/* Rates change what is predicted, and their mistakes have a place. */
static void the_machine_file_counts(void) {
    attn_command_request request = {
        .arguments = ATTN_ARGUMENTS("plan", "c.yaml", "--set", "parallel.machine=bad.yaml")};
    attn_command_result result;
    json_t *slow, *fast;
    char message[1024];

    attn_cli_begin();
    request.folder = attn_cli_folder();
    attn_cli_write_text("c.yaml", config);
    attn_cli_write_text("slow.yaml", "attention: {fp32: {gflops: 1}}\n");
    attn_cli_write_text("fast.yaml", "attention: {fp32: {gflops: 10}}\n");
    attn_cli_write_text("bad.yaml", "cores: 2\nattention: {fp32: {gflops: none}}\n");
    slow = json_of(
        0, ATTN_ARGUMENTS("plan", "c.yaml", "--json", "--set", "parallel.machine=slow.yaml"));
    fast = json_of(
        0, ATTN_ARGUMENTS("plan", "c.yaml", "--json", "--set", "parallel.machine=fast.yaml"));
    CU_ASSERT_DOUBLE_EQUAL(attn_json_number(slow, "choice.predicted.compute_sec") /
                               attn_json_number(fast, "choice.predicted.compute_sec"),
                           10, 1e-6);
    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 2);
    CU_ASSERT_EQUAL(attn_command_errors(&result, message, sizeof message), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(message, "bad.yaml:2:28: attention.fp32.gflops: is the string"));
    attn_command_free(&result);
    request.arguments = ATTN_ARGUMENTS("plan", "c.yaml", "--set", "parallel.machine=none.yaml");
    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 2);
    CU_ASSERT_EQUAL(attn_command_errors(&result, message, sizeof message), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(message, "parallel.machine: "));
    attn_command_free(&result);
    json_decref(fast);
    json_decref(slow);
    attn_cli_end();
}

/* Two ranks measure all but the network; a plan takes the file. */
static void a_calibration_is_a_machine_file(void) {
    json_t *plan;

    attn_cli_begin();
    attn_cli_write_text("c.yaml", config);
    CU_ASSERT(attn_command_succeeds(
        &(attn_command_request){.ranks = 2,
                                .arguments = ATTN_ARGUMENTS("bench", "--calibrate", "m.yaml"),
                                .folder = attn_cli_folder(),
                                .limit_sec = 300}));
    plan =
        json_of(0, ATTN_ARGUMENTS("plan", "c.yaml", "--json", "--set", "parallel.machine=m.yaml"));
    CU_ASSERT(attn_json_number(plan, "choice.predicted.total_sec") > 0);
    json_decref(plan);
    attn_cli_end();
}

int main(void) {
    static const attn_test tests[] = {
        {"what is planned is what a run does", what_is_planned_is_what_a_run_does},
        {"what crosses the network is told apart", what_crosses_the_network_is_told_apart},
        {"what nodes share is planned", what_nodes_share_is_planned},
        {"a hundred thousand ranks are planned in one process",
         a_hundred_thousand_ranks_are_planned_in_one_process},
        {"the table fits a terminal of 80 columns", the_table_fits_a_terminal_of_80_columns},
        {"what is too large to be planned is refused", what_is_too_large_to_be_planned_is_refused},
        {"the machine file counts", the_machine_file_counts},
        {"a calibration is a machine file", a_calibration_is_a_machine_file},
    };
    return attn_test_main("cli.plan", tests, ATTN_TEST_COUNT(tests));
}
