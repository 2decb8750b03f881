/* The report of a run: its fields, and whether its figures are those of the problem. */
#include "cli_report.h"

#include <mpi.h> /* for OPEN_MPI */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "json_reading.h"

json_t *attn_cli_report_of(int ranks, const char *const *arguments, const char *const *environment,
                           const char *path, char **out) {
    const attn_command_request request = {.ranks = ranks,
                                          .arguments = arguments,
                                          .environment = environment,
                                          .folder = attn_cli_folder()};
    attn_command_result result;
    json_t *report;

    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 0);
    if (result.exit_status != 0) fprintf(stderr, "\n%s\n", result.err);
    report = json_load_file(attn_cli_path(path), JSON_REJECT_DUPLICATES, NULL);
    CU_ASSERT_PTR_NOT_NULL(report);
    *out = result.out;
    result.out = NULL;
    attn_command_free(&result);
    return report;
}

/* --- fields --------------------------------------------------------------------------- */

static void expect_types(const json_t *report) {
    static const struct {
        const char *path;
        json_type type;
    } fields[] = {
        {"version", JSON_STRING},
        {"host", JSON_STRING},
        {"ranks", JSON_INTEGER},
        {"mesh.heads", JSON_INTEGER},
        {"mesh.sequence", JSON_INTEGER},
        {"mesh.circulate", JSON_STRING},
        {"mesh.layout", JSON_STRING},
        {"mesh.imbalance", JSON_REAL},
        {"mesh.share_ranks", JSON_INTEGER},
        {"mesh.share_reason", JSON_STRING},
        {"config.parallel.share_nodes", JSON_FALSE}, /* a ring */
        {"threads", JSON_INTEGER},
        {"kernel", JSON_STRING},
        {"blas", JSON_STRING},
        {"config.attention.heads", JSON_INTEGER},
        {"config.parallel.circulate", JSON_STRING},
        {"config.compute.kernel", JSON_STRING},
        {"attention.flops", JSON_REAL},
        {"attention.gflops_per_sec", JSON_REAL},
        {"traffic.bytes_sent_max", JSON_INTEGER},
        {"traffic.bytes_sent_total", JSON_INTEGER},
        {"traffic.bytes_between_nodes_total", JSON_INTEGER},
        {"memory.peak_rss_bytes_max", JSON_INTEGER},
        {"memory.planned_bytes_max", JSON_INTEGER},
        {"memory.planned_bytes_node_max", JSON_INTEGER},
    };

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const json_t *value = attn_json_at(report, fields[i].path);
        int right = value != NULL && json_typeof(value) == fields[i].type;

        CU_ASSERT(right);
        if (!right) fprintf(stderr, "\nno %s in the report, or of another type\n", fields[i].path);
    }
}

/* Of each phase min ≤ mean ≤ max; no phase is longer than the total. */
static void expect_phases(const json_t *report) {
    static const char *const names[] = {"load",   "project", "exchange", "attend",
                                        "output", "write",   "total"};
    const double rounding = 1 + 1e-12;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *phase = json_object_get(attn_json_at(report, "phases"), names[i]);
        double least = attn_json_number(phase, "min"), mean = attn_json_number(phase, "mean");
        double most = attn_json_number(phase, "max");

        CU_ASSERT(least >= 0 && least <= mean * rounding && mean <= most * rounding);
        CU_ASSERT(most <= attn_json_number(report, "phases.total.max"));
    }
    CU_ASSERT(attn_json_number(report, "phases.attend.max") > 0);
}

static void the_report_has_all_fields(void) {
    char *out;
    json_t *report =
        attn_cli_report_of(4, ATTN_ARGUMENTS("run", ATTN_QUICKSTART, "--output-dir", "q"), NULL,
                           "q/out/quickstart/report.json", &out);
    const char *kernel = json_string_value(attn_json_at(report, "kernel"));

    expect_types(report);
    expect_phases(report);
    CU_ASSERT_EQUAL(attn_json_number(report, "ranks"), 4);
    CU_ASSERT_EQUAL(attn_json_number(report, "mesh.heads"), 2);
    CU_ASSERT_EQUAL(attn_json_number(report, "mesh.sequence"), 2);
    CU_ASSERT(attn_json_is_text(report, "mesh.circulate", "ring"));
    CU_ASSERT(attn_json_is_text(report, "mesh.layout", "zigzag"));
    CU_ASSERT_EQUAL(attn_json_number(report, "threads"), 1);
    CU_ASSERT_EQUAL(attn_json_number(report, "verify.rows"), 64);
    CU_ASSERT(attn_json_number(report, "verify.max_error_over_rms") <= 4.0e-5);
    CU_ASSERT(json_is_true(attn_json_at(report, "verify.passed")));
    CU_ASSERT(attn_json_number(report, "memory.peak_rss_bytes_max") > 1 << 20);
    /* What auto was resolved to is in the config. */
    CU_ASSERT_EQUAL(attn_json_number(report, "config.parallel.threads"), 1);
    CU_ASSERT_EQUAL(attn_json_number(report, "config.attention.scale"), 0.125);
    CU_ASSERT(kernel != NULL && attn_json_is_text(report, "config.compute.kernel", kernel));
    json_decref(report);
    free(out);
}

/* --- figures ---------------------------------------------------------------------------- */

/* N, H, d and the mesh of the quickstart divide each other: all ranks send the same. */
static void the_quickstarts_figures_are_the_formulas(void) {
    const double rows = 1024, heads = 4, dim = 64, members = 2, shards = 2, float_bytes = 4;
    double own_rows = rows / shards / members, others = members - 1, own_heads = heads / members;
    /* q, k and v to the other member, and out with its lse back */
    double exchanged = own_rows * own_heads * (3 * dim + dim + 1) * others;
    /* k and v of the own shard, once to the next one */
    double circulated = (shards - 1) * rows / shards * own_heads * 2 * dim;
    double sent_bytes = (exchanged + circulated) * float_bytes;
    double flops = 2 * (dim + dim) * heads * rows * (rows + 1) / 2;
    char *out;
    json_t *report =
        attn_cli_report_of(4, ATTN_ARGUMENTS("run", ATTN_QUICKSTART, "--output-dir", "q"), NULL,
                           "q/out/quickstart/report.json", &out);
    double rate = flops / attn_json_number(report, "phases.attend.max") * 1e-9;

    CU_ASSERT_EQUAL(attn_json_number(report, "attention.flops"), flops);
    CU_ASSERT_DOUBLE_EQUAL(attn_json_number(report, "attention.gflops_per_sec"), rate, 1e-6 * rate);
    CU_ASSERT_EQUAL(attn_json_number(report, "traffic.bytes_sent_max"), sent_bytes);
    CU_ASSERT_EQUAL(attn_json_number(report, "traffic.bytes_sent_total"), 4 * sent_bytes);
    json_decref(report);
    free(out);
}

static void figures_without_a_mask_and_without_traffic(void) {
    const double queries = 33, keys = 70, heads = 6, dim = 10, batch = 2;
    char *out;
    json_t *report;

    attn_cli_write_text("qkv.yaml",
                        "attention: {heads: 6, kv_heads: 2, head_dim: 10}\n"
                        "sequence: {length: 33, kv_length: 70, batch: 2}\n"
                        "input: {synthetic: {tensors: qkv}}\n"
                        "output: {report: report.json}\n");
    report = attn_cli_report_of(0, ATTN_ARGUMENTS("run", "qkv.yaml"), NULL, "report.json", &out);
    CU_ASSERT_EQUAL(attn_json_number(report, "attention.flops"),
                    2 * (dim + dim) * heads * queries * keys * batch);
    CU_ASSERT_EQUAL(attn_json_number(report, "traffic.bytes_sent_total"), 0);
    CU_ASSERT(json_is_null(attn_json_at(report, "verify"))); /* not asked for */
    CU_ASSERT(strstr(out, "verify     not asked for") != NULL);
    json_decref(report);
    free(out);
}

/* The last query is aligned with the last key. */
static void figures_of_a_causal_mask_over_more_keys(void) {
    const double queries = 40, keys = 100, heads = 4, dim = 8;
    double pairs = queries * (keys - queries) + queries * (queries + 1) / 2;
    char *out;
    json_t *report;

    attn_cli_write_text("causal.yaml",
                        "attention: {heads: 4, head_dim: 8, mask: causal}\n"
                        "sequence: {length: 40, kv_length: 100}\n"
                        "parallel: {share_nodes: false}\n"
                        "input: {synthetic: {tensors: qkv}}\n"
                        "output: {report: report.json}\n");
    report = attn_cli_report_of(2, ATTN_ARGUMENTS("run", "causal.yaml"), NULL, "report.json", &out);
    CU_ASSERT_EQUAL(attn_json_number(report, "attention.flops"), 2 * (dim + dim) * heads * pairs);
    CU_ASSERT(attn_json_number(report, "traffic.bytes_sent_total") > 0);
    json_decref(report);
    free(out);
}

/* Documents of 70, 1 and 29 rows, the keys of item 1 cut off at 60: a row of a document sees
 * itself and up to two rows before it, and the document's first row. */
static void figures_of_a_mask_of_many_parts(void) {
    static const char config[] =
        "attention: {heads: 4, head_dim: 8, mask: {causal: true, window: [2, 0], first: 1,\n"
        "            documents: documents.npy, key_lengths: [100, 60]}}\n"
        "sequence: {length: 100, batch: 2}\n"
        "input: {synthetic: {tensors: qkv}}\n"
        "verify: {rows: 200}\n"
        "output: {y: y.npy, report: report.json}\n";
    const double of_70 = 1 + 2 + 3 + 67 * 4, of_1 = 1, of_29 = 1 + 2 + 3 + 26 * 4;
    /* Without its own key, row 60 sees two of its window, row 61 one; all see the first key. */
    const double cut = 1 + 2 + 3 + 57 * 4 + 3 + 2 + 8;
    char *out;
    json_t *report;

    attn_cli_write_npy(attn_cli_path("documents.npy"),
                       "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }\n",
                       (const int32_t[]){70, 1, 29}, 12);
    attn_cli_write_text("parts.yaml", config);
    report = attn_cli_report_of(3, ATTN_ARGUMENTS("run", "parts.yaml"), NULL, "report.json", &out);
    CU_ASSERT_EQUAL(attn_json_number(report, "attention.flops"),
                    2 * (8 + 8) * 4 * (of_70 + of_1 + of_29 + cut));
    CU_ASSERT(json_is_true(attn_json_at(report, "verify.passed")));
    CU_ASSERT(
        strstr(out, "mask causal, window [2, 0], first 1, 3 documents, 2 key lengths, fp32") !=
        NULL);
    CU_ASSERT(attn_json_is_text(report, "config.attention.mask.documents",
                                attn_cli_path("documents.npy")));
    json_decref(report);
    free(out);
    report = attn_cli_report_of(3,
                                ATTN_ARGUMENTS("run", "report.json", "--set", "output.y=again.npy",
                                               "--set", "output.report=again.json"),
                                NULL, "again.json", &out);
    CU_ASSERT(attn_cli_same_files(attn_cli_path("y.npy"), attn_cli_path("again.npy")));
    json_decref(report);
    free(out);
}

static void a_failed_verification_is_reported(void) {
    const attn_command_request request = {
        .ranks = 2,
        .arguments = ATTN_ARGUMENTS("run", ATTN_QUICKSTART, "--output-dir", "failed", "--set",
                                    "parallel.sequence=1", "--set", "verify.tolerance=1.0e-12"),
        .folder = attn_cli_folder(),
    };
    attn_command_result result;
    json_t *report;

    attn_command_run(&request, &result);
    CU_ASSERT_EQUAL(result.exit_status, 4);
    CU_ASSERT(strstr(result.out, "verify     FAILED") != NULL);
    CU_ASSERT_EQUAL(attn_cli_files_below(attn_cli_path("failed")), 1);
    report = json_load_file(attn_cli_path("failed/out/quickstart/report.json"), 0, NULL);
    CU_ASSERT(json_is_false(attn_json_at(report, "verify.passed")));
    CU_ASSERT_EQUAL(attn_json_number(report, "verify.tolerance"), 1.0e-12);
    CU_ASSERT(attn_json_number(report, "verify.max_error_over_rms") > 1.0e-12);
    json_decref(report);
    attn_command_free(&result);
}

int main(void) {
    static const attn_test tests[] = {
        {"the report has all fields", the_report_has_all_fields},
        {"the quickstart's figures are the formulas", the_quickstarts_figures_are_the_formulas},
        {"figures without a mask and without traffic", figures_without_a_mask_and_without_traffic},
        {"figures of a causal mask over more keys", figures_of_a_causal_mask_over_more_keys},
        {"figures of a mask of many parts", figures_of_a_mask_of_many_parts},
        {"a failed verification is reported", a_failed_verification_is_reported},
        {"the table fits a terminal", attn_test_the_table_fits_a_terminal},
        {"what a node shares is reported", attn_test_what_a_node_shares_is_reported},
#ifdef OPEN_MPI
        {"an MPI without windows is reported", attn_test_an_mpi_without_windows_is_reported},
#endif
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("report", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
