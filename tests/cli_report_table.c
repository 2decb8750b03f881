/* The table of a run on stdout, and what it and the report say of nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "cli_report.h"
#include "command.h"
#include "harness.h"
#include "json_reading.h"

/* Characters of a line in UTF-8. */
static int columns(const char *line) {
    int count = 0;

    for (; *line != '\n' && *line != '\0'; line++) count += (*line & 0xC0) != 0x80;
    return count;
}

/* Paths are as long as they are; nothing else is wider than a terminal. */
static void expect_narrow(const char *out) {
    for (const char *line = out; *line != '\0'; line += *line == '\n') {
        size_t bytes = strcspn(line, "\n");
        char text[1024];

        snprintf(text, sizeof text, "%.*s", (int)bytes, line);
        if (strstr(text, ".yaml") == NULL && strstr(text, ".npy") == NULL &&
            strstr(text, ".json") == NULL) {
            CU_ASSERT(columns(line) <= 80);
            if (columns(line) > 80) fprintf(stderr, "\nwider than 80 columns: %s\n", text);
        }
        line += bytes;
    }
}

void attn_test_the_table_fits_a_terminal(void) {
    static const char *const wanted[] = {
        "problem    N 1024, B 1, H 4, H_kv 4, d_k 64, d_v 64, d_model 256",
        "mesh       4 ranks = 2 head groups x 2 sequence shards, ring, zigzag",
        "imbalance 1.0000: pairs of the busiest shard over their mean",
        "0     0-255                    0-255, 768-1023          0-1       0-1\n",
        "2     256-511                  256-767                  0-1       0-1\n",
        "attention  0.537 GFLOP, ",
        "traffic    1.0 MiB sent by a rank at most, 4.0 MiB in all",
        "verify     passed: 64 rows in fp64",
        "y.npy",
        "lse.npy",
        "report.json",
    };
    char *out;

    json_decref(attn_cli_report_of(4, ATTN_ARGUMENTS("run", ATTN_QUICKSTART, "--output-dir", "q"),
                                   NULL, "q/out/quickstart/report.json", &out));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        CU_ASSERT(strstr(out, wanted[i]) != NULL);
    expect_narrow(out);
    free(out);

    attn_cli_write_text("wide.yaml",
                        "attention: {heads: 24, kv_heads: 12, head_dim: 10, mask: causal}\n"
                        "sequence: {length: 300, kv_length: 1000, batch: 10}\n"
                        "input: {synthetic: {tensors: qkv}}\n"
                        "output: {report: report.json}\n"
                        "verify: {rows: 4}\n");
    json_decref(
        attn_cli_report_of(8, ATTN_ARGUMENTS("run", "wide.yaml"), NULL, "report.json", &out));
    CU_ASSERT(strstr(out, "RoPE") == NULL && strstr(out, "norm") == NULL);
    expect_narrow(out);
    free(out);

    /* More runs than a line has room for. */
    attn_cli_write_text("striped.yaml",
                        "attention: {heads: 1, head_dim: 2, mask: causal}\n"
                        "parallel: {layout: striped, sequence: 2}\n"
                        "sequence: {length: 8192}\n"
                        "input: {synthetic: {tensors: qkv}}\n"
                        "output: {report: report.json}\n");
    json_decref(
        attn_cli_report_of(2, ATTN_ARGUMENTS("run", "striped.yaml"), NULL, "report.json", &out));
    CU_ASSERT(
        strstr(out, "0     0-511, 1024-1535, +6     0-511, 1024-1535, +6     0         0\n") !=
        NULL);
    expect_narrow(out);
    free(out);

    attn_cli_write_text(
        "turned.yaml",
        "attention: {heads: 24, kv_heads: 12, mask: causal, qk_norm: {}, rope: {dim: "
        "30, theta: 1.25e+6, pairing: interleaved, scaling: {kind: linear, factor: "
        "2.5}}}\n"
        "sequence: {length: 100, kv_length: 120, batch: 10}\n"
        "input: {synthetic: {d_model: 768, d_memory: 100}}\n"
        "output: {report: report.json}\n");
    json_decref(
        attn_cli_report_of(2, ATTN_ARGUMENTS("run", "turned.yaml"), NULL, "report.json", &out));
    CU_ASSERT(strstr(out, "keys and values from a memory, d_memory 100\n") != NULL);
    CU_ASSERT(strstr(out, "QK-norm, eps 1e-06\n") != NULL);
    CU_ASSERT(strstr(out, "RoPE, theta 1.25e+06, dim 30, interleaved, linear by 2.5\n") != NULL);
    expect_narrow(out);
    free(out);
}

/* --- nodes ---------------------------------------------------------------------------------- */

/* Four shards without a mask: all need all. */
static json_t *report_of_nodes(const char *const *environment, char **out) {
    attn_cli_write_text("nodes.yaml",
                        "attention: {heads: 2, head_dim: 16}\n"
                        "sequence: {length: 1024}\n"
                        "parallel: {heads: 1, circulate: gather}\n"
                        "input: {synthetic: {tensors: qkv}}\n"
                        "output: {report: report.json}\n");
    return attn_cli_report_of(4, ATTN_ARGUMENTS("run", "nodes.yaml"), environment, "report.json",
                              out);
}

/* Of each shard a node gets one copy. */
void attn_test_what_a_node_shares_is_reported(void) {
    static const struct {
        const char *environment, *line;
        int ranks, copies;
    } cases[] = {
        {"ATTNSPAN_NODE_RANKS=4", "up to 4 ranks of a node share one copy of keys and values", 4,
         0},
        {"ATTNSPAN_NODE_RANKS=3", "up to 3 ranks of a node share one copy of keys and values", 3,
         1},
        {"ATTNSPAN_NODE_RANKS=2", "up to 2 ranks of a node share one copy of keys and values", 2,
         1},
        {"ATTNSPAN_NODE_RANKS=1", "K/V are not shared: no node has two ranks with the same heads",
         1, 3},
    };
    const double shard_bytes = 256 * 2 * (16 + 16) * 4;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out;
        json_t *report = report_of_nodes(ATTN_ARGUMENTS(cases[i].environment), &out);

        CU_ASSERT(strstr(out, cases[i].line) != NULL);
        CU_ASSERT_EQUAL(attn_json_number(report, "mesh.share_ranks"), cases[i].ranks);
        CU_ASSERT_EQUAL(json_is_true(attn_json_at(report, "config.parallel.share_nodes")),
                        cases[i].ranks > 1);
        CU_ASSERT_EQUAL(attn_json_is_text(report, "mesh.share_reason", ""), cases[i].ranks > 1);
        CU_ASSERT_EQUAL(attn_json_number(report, "traffic.bytes_between_nodes_total"),
                        4 * cases[i].copies * shard_bytes);
        CU_ASSERT_EQUAL(attn_json_number(report, "traffic.bytes_sent_total"),
                        4 * cases[i].copies * shard_bytes);
        expect_narrow(out);
        json_decref(report);
        free(out);
    }
}

/* Of Open MPI, whose windows for ranks of one node come from one component. */
void attn_test_an_mpi_without_windows_is_reported(void) {
    char *out;
    json_t *report = report_of_nodes(ATTN_ARGUMENTS("OMPI_MCA_osc=^sm"), &out);

    CU_ASSERT(strstr(out, "K/V are not shared: this MPI makes no shared-memory windows") != NULL);
    CU_ASSERT_EQUAL(attn_json_number(report, "mesh.share_ranks"), 1);
    CU_ASSERT(
        attn_json_is_text(report, "mesh.share_reason", "this MPI makes no shared-memory windows"));
    json_decref(report);
    free(out);
}
