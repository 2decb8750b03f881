/* The program's own verification finds what is wrong, wherever it is. */
#include "verify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "job_arrays.h"
#include "scratch.h"

static const char layer_config[] =
    "attention: {heads: 6, kv_heads: 3, mask: causal}\n"
    "sequence: {length: 150, batch: 2}\n"
    "input: {synthetic: {seed: 9, d_model: 48}}\n"
    "verify: {rows: 300, tolerance: 1.0e-5}\n";

static const char qkv_config[] =
    "attention: {heads: 4, kv_heads: 2, head_dim: 12, mask: causal}\n"
    "sequence: {length: 90, kv_length: 70}\n"
    "input: {synthetic: {seed: 9, tensors: qkv}}\n"
    "verify: {rows: 90, tolerance: 1.0e-5}\n";

static const char cross_config[] =
    "attention: {heads: 4, kv_heads: 2, rope: {pairing: interleaved, dim: 8, scaling: {kind: ntk, "
    "factor: 3}}, qk_norm: {}}\n"
    "sequence: {length: 90, kv_length: 170, batch: 2}\n"
    "input: {synthetic: {seed: 9, d_model: 40, d_memory: 56}}\n"
    "verify: {rows: 180, tolerance: 1.0e-5}\n";

static const char masked_config[] =
    "attention: {heads: 4, kv_heads: 2, head_dim: 12, rope: {}, qk_norm: {}, mask: {causal: "
    "top_left, window: [20, 0], first: 3, key_lengths: [70, 33]}}\n"
    "sequence: {length: 90, kv_length: 70, batch: 2}\n"
    "input: {synthetic: {seed: 9, tensors: qkv}}\n"
    "verify: {rows: 180, tolerance: 1.0e-5}\n";

/* A kernel that leaves its weights in fp32: what is left is elements that fp64 rounds to the
 * other side. An oracle that does not round would be 2e-2 off here. */
static const char bf16_config[] =
    "attention: {heads: 4, kv_heads: 2, head_dim: 12, rope: {}, qk_norm: {}, mask: causal}\n"
    "sequence: {length: 90, kv_length: 120}\n"
    "compute: {dtype: bf16, kernel: generic}\n"
    "input: {synthetic: {seed: 9, tensors: qkv}}\n"
    "verify: {rows: 90, tolerance: 5.0e-4}\n";

/* Loads and computes the config; NULL on all ranks when that fails. */
static attn_job *compute(const char *text) {
    char folder[ATTN_SCRATCH_BYTES] = "", path[ATTN_SCRATCH_BYTES + 16] = "";
    attn_cmdline cmdline = {.config = path};
    attn_options none = {0};
    attn_error error;
    attn_job *job;

    if (attn_job_create(MPI_COMM_WORLD, &job, &error) != ATTN_OK) return NULL;
    if (job->rank == 0) {
        attn_scratch_create(folder);
        snprintf(path, sizeof path, "%s/c.yaml", folder);
        attn_scratch_write(path, text, strlen(text));
    }
    if (attn_job_configure(job, &cmdline, &error) == ATTN_OK &&
        attn_job_plan(job, &none, &error) == ATTN_OK && attn_job_load(job, &error) == ATTN_OK)
        attn_job_execute(job);
    CU_ASSERT_STRING_EQUAL(error.message, "");
    if (job->rank == 0) attn_scratch_remove(folder);
    if (error.status == ATTN_OK) return job;
    attn_job_destroy(job);
    return NULL;
}

/* Elements of y on this rank. */
static int64_t own_elems(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    int64_t rows = p->batch * attn_plan_query_rows(job->plan).count;
    return p->model_dim > 0 ? rows * p->model_dim : rows * p->heads * p->value_dim;
}

static void test_a_right_result_passes(void) {
    static const char *const configs[] = {layer_config, qkv_config, cross_config, masked_config};

    for (int i = 0; i < 4; i++) {
        attn_job *job = compute(configs[i]);
        attn_verification result;
        attn_error error;

        CU_ASSERT_PTR_NOT_NULL(job);
        if (job != NULL) {
            CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_OK);
            CU_ASSERT(result.passed);
            CU_ASSERT(result.max_error_over_rms > 0 && result.max_error_over_rms < 1e-5);
            CU_ASSERT(result.rms_error_over_rms <= result.max_error_over_rms);
        }
        attn_job_destroy(job);
    }
}

static void test_a_right_result_in_bf16_passes(void) {
    attn_job *job = compute(bf16_config);
    attn_verification result;
    attn_error error;

    CU_ASSERT_PTR_NOT_NULL(job);
    if (job != NULL) {
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_OK);
        if (!result.passed) fprintf(stderr, "\nerror / RMS %g\n", result.max_error_over_rms);
    }
    attn_job_destroy(job);
}

/* Spoils one element on one rank, each rank in turn; all ranks must hear of it. */
static void test_one_wrong_element_on_any_rank_fails(void) {
    attn_job *job = compute(layer_config);
    attn_verification result;
    attn_error error;

    CU_ASSERT_PTR_NOT_NULL(job);
    if (job != NULL)
        for (int spoiler = 0; spoiler < job->ranks; spoiler++) {
            int64_t elems = own_elems(job);
            int spoils = job->rank == spoiler && elems > 0, spoiled;
            float before = elems > 0 ? job->y[elems / 2] : 0;

            MPI_Allreduce(&spoils, &spoiled, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
            if (spoils) job->y[elems / 2] += 1e-3f;
            CU_ASSERT_EQUAL(attn_verify(job, &result, &error), spoiled ? ATTN_ERR_VERIFY : ATTN_OK);
            CU_ASSERT_EQUAL(result.passed, !spoiled);
            if (spoils) job->y[elems / 2] = before;
        }
    attn_job_destroy(job);
}

/* What the verification takes from the config decides, not what was computed. */
static void test_a_result_of_other_positions_fails(void) {
    attn_job *job = compute(cross_config);
    attn_verification result;
    attn_error error;

    CU_ASSERT_PTR_NOT_NULL(job);
    if (job != NULL) {
        attn_problem *problem = &job->inputs.problem, before = *problem;

        problem->rope.pairing = ATTN_ROPE_HALF;
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_ERR_VERIFY);
        *problem = before;
        problem->rope.factor = 2.9;
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_ERR_VERIFY);
        *problem = before;
        problem->qk_norm_eps = 0.01;
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_ERR_VERIFY);
        *problem = before;
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_OK);
    }
    attn_job_destroy(job);
}

static void test_nan_and_wrong_lse_fail(void) {
    attn_job *job = compute(qkv_config);
    attn_verification result;
    attn_error error;
    float before;

    CU_ASSERT_PTR_NOT_NULL(job);
    if (job != NULL) {
        int holds = job->rank == 0; /* rank 0 of this mesh always holds rows */
        CU_ASSERT(!holds || own_elems(job) > 0);
        before = holds ? job->y[0] : 0;
        if (holds) job->y[0] = NAN;
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_ERR_VERIFY);
        if (holds) job->y[0] = before;
        before = holds ? job->lse[0] : 0;
        if (holds) job->lse[0] = 7;
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_ERR_VERIFY);
        if (holds) job->lse[0] = before;
        CU_ASSERT_EQUAL(attn_verify(job, &result, &error), ATTN_OK);
    }
    attn_job_destroy(job);
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"a right result passes", test_a_right_result_passes},
        {"a right result in bf16 passes", test_a_right_result_in_bf16_passes},
        {"one wrong element on any rank fails", test_one_wrong_element_on_any_rank_fails},
        {"a result of other positions fails", test_a_result_of_other_positions_fails},
        {"NaN and wrong lse fail", test_nan_and_wrong_lse_fail},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.verify", tests, ATTN_TEST_COUNT(tests));
}
