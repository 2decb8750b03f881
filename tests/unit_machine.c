/* The file of a machine's rates: what is written is read back, and what is wrong has its place. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "machine_file.h"

static attn_status parse(const char *text, attn_machine *machine, attn_error *error) {
    return attn_machine_file_parse(text, strlen(text), "m.yaml", machine, error);
}

static void check_near(double got, double wanted) {
    CU_ASSERT_DOUBLE_EQUAL(got, wanted, 1e-3 * fabs(wanted));
}

static void test_what_is_written_reads_back(void) {
    const attn_machine written = {
        .attention = {{150e9, 0.2e-9, 30e-9, 90e-9}, {300e9, 0.1e-9, 20e-9, 50e-9}},
        .gemm_flops = 160e9,
        .copy_bytes = 4.1e9,
        .read_bytes = 20e9,
        .memory_bytes = 24 * 0x1p30,
        .cores = 2,
        .node = {1.5e-6, 6e9},
        .network = {3e-6, 1.2e9}};
    char text[ATTN_MACHINE_FILE_BYTES];
    attn_machine read;
    attn_error error;

    attn_machine_file_text(&written, "# a comment\n", 1, 1, text, sizeof text);
    CU_ASSERT_EQUAL(parse(text, &read, &error), ATTN_OK);
    for (int storage = 0; storage < ATTN_STORAGES; storage++) {
        check_near(read.attention[storage].flops, written.attention[storage].flops);
        check_near(read.attention[storage].score_sec, written.attention[storage].score_sec);
        check_near(read.attention[storage].block_sec, written.attention[storage].block_sec);
        check_near(read.attention[storage].edge_sec, written.attention[storage].edge_sec);
    }
    check_near(read.gemm_flops, written.gemm_flops);
    check_near(read.copy_bytes, written.copy_bytes);
    check_near(read.read_bytes, written.read_bytes);
    check_near(read.memory_bytes, written.memory_bytes);
    CU_ASSERT_EQUAL(read.cores, 2);
    check_near(read.node.latency_sec, written.node.latency_sec);
    check_near(read.node.bytes_per_sec, written.node.bytes_per_sec);
    check_near(read.network.latency_sec, written.network.latency_sec);
    check_near(read.network.bytes_per_sec, written.network.bytes_per_sec);
}

/* What nobody measured is a comment in the file. */
static void test_what_is_left_out_is_ordinary(void) {
    const attn_machine ordinary = attn_machine_default();
    attn_machine written = ordinary, read;
    char text[ATTN_MACHINE_FILE_BYTES];
    attn_error error;

    written.gemm_flops = 1e9;
    written.memory_bytes = 0x1p30;
    written.cores = 1;
    written.network.bytes_per_sec = 1;
    attn_machine_file_text(&written, "", 0, 0, text, sizeof text);
    CU_ASSERT_EQUAL(parse(text, &read, &error), ATTN_OK);
    check_near(read.gemm_flops, 1e9);
    check_near(read.network.bytes_per_sec, ordinary.network.bytes_per_sec);
    CU_ASSERT_EQUAL(parse("cores: 4", &read, &error), ATTN_OK);
    CU_ASSERT_EQUAL(read.cores, 4);
    check_near(read.attention[ATTN_FP32].flops, ordinary.attention[ATTN_FP32].flops);
}

static void test_bad_files_are_refused_at_their_place(void) {
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "m.yaml:1:1: is no mapping"},
        {"- 1", "is no mapping"},
        {"gemm_gflop: 1", "m.yaml:1:1: gemm_gflop: is not a key of a machine"},
        {"gemm_gflops: fast", "m.yaml:1:14: gemm_gflops: is the string 'fast'"},
        {"gemm_gflops: 0", "gemm_gflops: is 0; must be above 0"},
        {"gemm_gflops: -1", "gemm_gflops: is -1; must be above 0"},
        {"gemm_gflops: .nan", "gemm_gflops: is .nan"},
        {"node: {latency_us: -1}", "node.latency_us: is -1; must be 0 or more"},
        {"node: 3", "m.yaml:1:7: node: is no mapping"},
        {"cores: 0", "cores: is 0; must be an integer from 1"},
        {"cores: 1.5", "cores: is the float '1.5'"},
        {"version: 2", "version: is 2"},
        {"cores: 1\ncores: 2", "m.yaml:2:1: cores: is given twice"},
        {"attention: {fp32: {gflops: 1, gflops: 2}}", "attention.fp32.gflops: is given twice"},
        {"attention: {fp64: {gflops: 1}}", "attention.fp64: is not a key of a machine"},
        {"cores: *a", "cores: "},
        {"cores: [", "is not YAML"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_machine machine;
        attn_error error;

        CU_ASSERT_EQUAL(parse(cases[i].text, &machine, &error), ATTN_ERR_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].words));
        if (strstr(error.message, cases[i].words) == NULL)
            fprintf(stderr, "\n%s: %s\n", cases[i].text, error.message);
    }
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.machine.what_is_written_reads_back", test_what_is_written_reads_back},
        {"unit.machine.what_is_left_out_is_ordinary", test_what_is_left_out_is_ordinary},
        {"unit.machine.bad_files_are_refused_at_their_place",
         test_bad_files_are_refused_at_their_place},
    };

    return attn_test_main("unit_machine", tests, ATTN_TEST_COUNT(tests));
}
