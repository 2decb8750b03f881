/* The support table on these ranks: a cell is refused in the words of the table, or has the bits of
 * one rank alone, which agree with the oracle. */
#include <mpi.h>

#include "attention_execution.h"
#include "attention_naive.h"
#include "circulate.h"
#include "harness.h"
#include "layout.h"
#include "mpi_attention.h"
#include "support.h"

static void check_cell(const attn_support_row *row, const attn_arrays *a, const char *circulation,
                       const char *layout, attn_storage storage) {
    int ranks;
    attn_options options = {.mesh_heads = 1,
                            .circulate = circulation,
                            .layout = layout,
                            .storage = storage,
                            .with_lse = 1,
                            .threads = 1};
    attn_error in_table, error;
    attn_plan *plan;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    options.mesh_sequence = ranks;
    if (attn_support_cell(&row->problem, circulation, layout, storage, &in_table) == ATTN_OK) {
        attn_execution_check_mesh(&row->problem, a, &options);
        return;
    }
    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &row->problem, &options, &plan, &error),
                    in_table.status);
    CU_ASSERT_STRING_EQUAL(error.message, in_table.message);
}

static void check_against_oracle(const attn_support_row *row, const attn_arrays *a,
                                 attn_storage storage) {
    attn_naive naive;

    attn_naive_compute(&row->problem, a, storage, &naive);
    attn_naive_check_y(&naive, a, attn_kernel_of(attn_kernel_best(storage), storage));
    attn_naive_free(&naive);
}

/* In all layouts; under sanitizers in one in turn. */
static void check_row(const attn_support_row *row, attn_storage storage, size_t turn) {
    const int rounds_on_the_way = storage != ATTN_FP32 && row->problem.model_dim > 0;
    attn_arrays a;

    attn_arrays_create(&row->problem, 0, &a);
    attn_execution_for_all(&row->problem, storage, NULL, turn, &a);
    if (attn_execution_is_my_turn(turn) && !rounds_on_the_way)
        check_against_oracle(row, &a, storage);
    for (int c = 0; attn_circulation_name(c) != NULL; c++)
        for (int l = 0; attn_layout_name(l) != NULL; l++)
            if (!ATTN_SANITIZED || (turn + (size_t)c) % ATTN_CASE_LAYOUTS == (size_t)l)
                check_cell(row, &a, attn_circulation_name(c), attn_layout_name(l), storage);
    attn_arrays_destroy(&a);
}

void attn_test_every_cell_of_the_support_table_holds(void) {
    const attn_support_row *row;

    for (int i = 0; (row = attn_support_row_at(i)) != NULL; i++)
        for (int storage = 0; storage < ATTN_STORAGES; storage++)
            check_row(row, (attn_storage)storage, (size_t)i * ATTN_STORAGES + (size_t)storage);
}
