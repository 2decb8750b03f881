/* Storage in bf16, by each level that runs here: one rank agrees with the oracle, and meshes with
 * the one rank. */
#include <mpi.h>
#include <string.h>

#include "attention_cases.h"
#include "attention_execution.h"
#include "attention_naive.h"
#include "harness.h"
#include "mpi_attention.h"

/* The level's kernel; NULL where it does not run here, or is another level's. */
static const attn_kernel *kernel_of(int32_t level) {
    const attn_kernel *kernel = attn_kernel_of(level, ATTN_BF16);
    int is_own = strcmp(kernel->name, attn_kernel_name(level)) == 0;

    return is_own && kernel->supported() ? kernel : NULL;
}

static void check_against_oracle(const attn_problem *p) {
    attn_arrays a;
    attn_naive naive;

    attn_arrays_create(p, 0, &a);
    attn_naive_compute(p, &a, ATTN_BF16, &naive);
    for (int32_t level = 0; level < attn_kernel_levels(); level++) {
        const attn_kernel *kernel = kernel_of(level);

        if (kernel == NULL) continue;
        attn_execution_alone(p, ATTN_BF16, kernel->name, &a);
        attn_naive_check_y(&naive, &a, kernel);
    }
    attn_naive_free(&naive);
    attn_arrays_destroy(&a);
}

void attn_test_bf16_agrees_with_the_oracle_on_rounded_inputs(void) {
    const attn_case *which;

    for (size_t c = 0; (which = attn_case_at(c)) != NULL; c++)
        if (which->problem.model_dim == 0 && attn_execution_is_my_turn(c))
            check_against_oracle(&which->problem);
}

static void check_meshes(const attn_case *which, const attn_kernel *kernel, size_t turn) {
    int ranks;
    attn_arrays a;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    attn_arrays_create(&which->problem, which->with_biases, &a);
    attn_execution_for_all(&which->problem, ATTN_BF16, kernel->name, turn, &a);
    for (int heads = 1; heads <= ranks; heads++) {
        size_t circulation = (turn + (size_t)heads) % ATTN_CASE_CIRCULATIONS;
        attn_options options = {.mesh_heads = heads,
                                .circulate = attn_case_circulations[circulation],
                                .layout = attn_case_layouts[turn % ATTN_CASE_LAYOUTS],
                                .storage = ATTN_BF16,
                                .kernel = kernel->name,
                                .with_lse = 1,
                                .threads = 1 + heads % 2};

        if (ranks % heads == 0) attn_execution_check_way(&which->problem, &a, &options);
    }
    attn_arrays_destroy(&a);
}

/* On every level; under sanitizers on one in turn, another one with another number of ranks. */
void attn_test_bf16_gives_the_same_bits_on_every_mesh(void) {
    const size_t levels = (size_t)attn_kernel_levels();
    const attn_case *which;
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (size_t c = 0; (which = attn_case_at(c)) != NULL; c++)
        for (size_t level = 0; level < levels; level++) {
            const attn_kernel *kernel = kernel_of((int32_t)level);

            if (ATTN_SANITIZED && (c + (size_t)ranks) % levels != level) continue;
            if (kernel != NULL) check_meshes(which, kernel, c);
        }
}
