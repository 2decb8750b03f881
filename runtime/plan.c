/* Planning: everything that can fail or allocate. execute.c has the rest. */
#include "attnspan/plan.h"

#include <stdlib.h>

#include "agree.h"
#include "choose.h"
#include "mask_spec.h"
#include "plan_imagine.h"
#include "plan_mesh.h"
#include "plan_parts.h"
#include "plan_state.h"
#include "topology.h"

static void set_near(attn_transfer *transfer, attn_range near) {
    transfer->near_first = (int)near.first;
    transfer->near_last = (int)near.last;
}

/* Who is on this node. */
static void tell_transfers(attn_plan *plan) {
    attn_range members = attn_mesh_near_members(&plan->mesh);

    set_near(&plan->query.exchange.transfer, members);
    set_near(&plan->key.exchange.transfer, members);
    set_near(&plan->value.exchange.transfer, members);
    set_near(&plan->output.exchange.transfer, members);
    set_near(&plan->circulate.transfer, attn_mesh_near_shards(&plan->mesh));
}

/* Whether all ranks of a node fit into its memory together; what they share is counted once, as
 * each rank's part. Collective on `node`; ranks of different nodes may get different answers. */
static attn_status check_memory(attn_plan *plan, double fraction, attn_error *error) {
    double mine = (double)plan->buffers.bytes;
    double available = (double)attn_memory_available();
    double node_total, node_available;
    int ranks;

    if (fraction <= 0) fraction = 0.95;
    ATTN_MPI(MPI_Comm_size(plan->mesh.node, &ranks));
    ATTN_MPI(MPI_Allreduce(&mine, &node_total, 1, MPI_DOUBLE, MPI_SUM, plan->mesh.node));
    ATTN_MPI(MPI_Allreduce(&available, &node_available, 1, MPI_DOUBLE, MPI_MIN, plan->mesh.node));
    plan->node_bytes = node_total;
    if (node_available < 0 || node_total <= fraction * node_available) return attn_ok(error);
    return attn_fail(error, ATTN_ERR_MEMORY,
                     "the plan needs %.2f GiB on a node (%d rank%s), but only %.2f GiB are "
                     "available there; use more nodes, a shorter sequence or fewer heads",
                     node_total / 0x1p30, ranks, ranks == 1 ? "" : "s", node_available / 0x1p30);
}

/* Whether the tables of a rank that is not here fit into this one's memory: the kept partials have
 * some bytes for each tile, about a thousandth of its rows. */
static attn_status check_tables(const attn_plan *plan, attn_error *error) {
    const double most_over_available = 64;
    double bytes = (double)plan->buffers.bytes, available = (double)attn_memory_available();

    if (available < 0 || bytes <= most_over_available * available) return attn_ok(error);
    return attn_fail(
        error, ATTN_ERR_MEMORY,
        "a rank would hold %.0f GiB, for which not even the tables fit in the %.2f GiB "
        "that are available here; plan for more ranks, a shorter sequence or fewer "
        "heads",
        bytes / 0x1p30, available / 0x1p30);
}

static void fill_prepare(const attn_plan *plan) {
    attn_qk_prepare_fill(&plan->query_prepare, plan->threads);
    attn_qk_prepare_fill(&plan->key_prepare, plan->threads);
}

/* Plans after the mesh is there. Each stage is agreed on before the next one, so
 * that no rank waits for one that has given up. Collective. */
static attn_status plan_all(attn_plan *plan, const attn_options *options, attn_error *error) {
    attn_mask mask = attn_mask_spec_mask(&plan->problem);

    attn_ok(error);
    attn_plan_parts_describe(plan, options, error);
    if (attn_agree(plan->mesh.world, "plan", error) != ATTN_OK) return error->status;

    /* What is reserved by now outweighs the rest: a problem far too large ends here. */
    if (plan->is_imagined)
        check_tables(plan, error);
    else
        check_memory(plan, options->memory_fraction, error);
    if (attn_agree(plan->mesh.world, "memory", error) != ATTN_OK) return error->status;

    attn_reach_create(&plan->reach, &mask, &plan->query_layout, &plan->key_layout, error);
    if (attn_agree(plan->mesh.world, "reach", error) != ATTN_OK) return error->status;
    attn_plan_parts_circulate(plan, options, error);
    if (attn_agree(plan->mesh.world, "attend", error) != ATTN_OK || plan->is_imagined)
        return error->status;
    check_memory(plan, options->memory_fraction, error);
    if (attn_agree(plan->mesh.world, "memory", error) != ATTN_OK) return error->status;

    if (attn_buffers_allocate(&plan->buffers, error) == ATTN_OK) fill_prepare(plan);
    tell_transfers(plan);
    if (attn_agree(plan->mesh.world, "allocate", error) != ATTN_OK) return error->status;
    if (plan->circulate.share_ranks == 1) return error->status;
    attn_circulate_allocate(&plan->circulate, error);
    return attn_agree(plan->mesh.world, "share", error);
}

attn_status attn_plan_create(MPI_Comm comm, const attn_problem *problem,
                             const attn_options *options, attn_plan **plan, attn_error *error) {
    attn_plan *made = calloc(1, sizeof *made);
    MPI_Comm own;

    *plan = NULL;
    ATTN_MPI(MPI_Comm_dup(comm, &own));
    ATTN_MPI(MPI_Comm_set_errhandler(own, MPI_ERRORS_RETURN)); /* ATTN_MPI reports */
    attn_ok(error);
    if (made == NULL) attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate a plan");
    if (attn_agree(own, "create", error) == ATTN_OK) {
        made->problem = *problem;
        made->with_lse = options->with_lse != 0;
        if (attn_plan_mesh(made, own, options, error) == ATTN_OK) plan_all(made, options, error);
    }
    if (error->status == ATTN_OK)
        *plan = made;
    else
        attn_plan_destroy(made);
    ATTN_MPI(MPI_Comm_free(&own));
    return error->status;
}

attn_status attn_plan_imagine(const attn_problem *problem, const attn_options *options,
                              const attn_cluster *cluster, const attn_choice *choice, int64_t rank,
                              attn_plan **plan, attn_error *error) {
    attn_plan *made = calloc(1, sizeof *made);

    *plan = NULL;
    if (made == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate a plan");
    made->problem = *problem;
    made->with_lse = options->with_lse != 0;
    made->is_imagined = 1;
    made->choice = *choice;
    made->threads = cluster->threads;
    if (attn_plan_mesh_check(made, MPI_COMM_SELF, options, error) == ATTN_OK &&
        attn_plan_mesh_takes(&made->problem, &choice->way, error) == ATTN_OK) {
        attn_mesh_imagine((int)choice->way.members, (int)choice->way.shards, (int)rank,
                          (int)cluster->ranks_per_node, &made->mesh);
        plan_all(made, options, error);
    }
    if (error->status == ATTN_OK)
        *plan = made;
    else
        attn_plan_destroy(made);
    return error->status;
}

void attn_plan_destroy(attn_plan *plan) {
    if (plan == NULL) return;
    attn_attend_destroy(&plan->attend);
    attn_circulate_destroy(&plan->circulate);
    attn_head_tensor_destroy(&plan->output);
    attn_head_tensor_destroy(&plan->value);
    attn_head_tensor_destroy(&plan->key);
    attn_head_tensor_destroy(&plan->query);
    attn_buffers_free(&plan->buffers);
    attn_row_list_destroy(&plan->key_rows);
    attn_row_list_destroy(&plan->query_rows);
    attn_row_list_destroy(&plan->shard_keys);
    attn_row_list_destroy(&plan->shard_queries);
    attn_reach_destroy(&plan->reach);
    attn_layout_destroy(&plan->key_layout);
    attn_layout_destroy(&plan->query_layout);
    attn_mesh_destroy(&plan->mesh);
    attn_trace_destroy(plan->trace);
    free(plan->terms_arrays);
    free(plan->mask_arrays);
    free(plan);
}
