#include "mesh.h"

#include <inttypes.h>

#include "layout.h"
#include "mask_spec.h"
#include "partition.h"

/* The attention work of the most loaded rank: heads × unmasked pairs. */
static attn_status worst_load(const attn_problem *problem, int kind, int64_t members,
                              int64_t shards, double *load, attn_error *error) {
    attn_mask mask = attn_mask_spec_mask(problem);
    attn_layout layout;
    double most = 0;

    if (attn_layout_choose(&layout, kind, shards, &mask, error) != ATTN_OK) return error->status;
    for (int64_t shard = 0; shard < shards; shard++) {
        double pairs = attn_layout_pairs(&layout, shard, &mask);
        if (pairs > most) most = pairs;
    }
    attn_layout_destroy(&layout);
    *load = most * (double)attn_range_count(attn_member_heads(problem->heads, members, 0));
    return attn_ok(error);
}

attn_status attn_mesh_choose(const attn_problem *problem, int layout, int64_t ranks,
                             int64_t *members, int64_t *shards, attn_error *error) {
    int64_t best_members = 0;
    double best_load = 0;

    for (int64_t candidate = ranks; candidate >= 1; candidate--) {
        double load = 0;

        if (ranks % candidate != 0) continue;
        if (*members != ATTN_PLAN_AUTO && *members != candidate) continue;
        if (*shards != ATTN_PLAN_AUTO && *shards != ranks / candidate) continue;
        if (worst_load(problem, layout, candidate, ranks / candidate, &load, error) != ATTN_OK)
            return error->status;
        if (best_members == 0 || load < best_load) {
            best_members = candidate;
            best_load = load;
        }
    }
    if (best_members != 0) {
        *members = best_members;
        *shards = ranks / best_members;
        return attn_ok(error);
    }
    if (*members != ATTN_PLAN_AUTO && *shards != ATTN_PLAN_AUTO)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "a mesh of %" PRId64 " x %" PRId64 " needs %" PRId64
                         " ranks, but there %s %" PRId64 "; start mpirun -n %" PRId64
                         ", or leave one of the two auto",
                         *members, *shards, *members * *shards, ranks == 1 ? "is" : "are", ranks,
                         *members * *shards);
    return attn_fail(error, ATTN_ERR_CONFIG,
                     "%" PRId64 " does not divide the number of ranks, which is %" PRId64
                     "; choose a divisor of it, or auto",
                     *members != ATTN_PLAN_AUTO ? *members : *shards, ranks);
}

/* The lowest rank of `comm` on this node: equal on a node, different between nodes. */
static int node_leader(MPI_Comm comm, MPI_Comm node) {
    int leader;

    ATTN_MPI(MPI_Comm_rank(comm, &leader));
    ATTN_MPI(MPI_Bcast(&leader, 1, MPI_INT, 0, node));
    return leader;
}

void attn_mesh_create(MPI_Comm comm, int members, int shards, attn_mesh *mesh) {
    int node_rank, is_leader;

    mesh->members = members;
    mesh->shards = shards;
    ATTN_MPI(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &mesh->node));
    /* Equal keys keep their order: sorting by leader gathers each node's ranks. */
    ATTN_MPI(MPI_Comm_split(comm, 0, node_leader(comm, mesh->node), &mesh->world));
    ATTN_MPI(MPI_Comm_rank(mesh->world, &mesh->rank));
    ATTN_MPI(MPI_Comm_size(mesh->world, &mesh->ranks));
    mesh->shard = mesh->rank / members;
    mesh->member = mesh->rank % members;
    ATTN_MPI(MPI_Comm_split(mesh->world, mesh->shard, mesh->member, &mesh->group));
    ATTN_MPI(MPI_Comm_split(mesh->world, mesh->member, mesh->shard, &mesh->axis));

    ATTN_MPI(MPI_Comm_set_errhandler(mesh->node, MPI_ERRORS_RETURN)); /* ATTN_MPI reports */
    ATTN_MPI(MPI_Comm_set_errhandler(mesh->world, MPI_ERRORS_RETURN));
    ATTN_MPI(MPI_Comm_set_errhandler(mesh->group, MPI_ERRORS_RETURN));
    ATTN_MPI(MPI_Comm_set_errhandler(mesh->axis, MPI_ERRORS_RETURN));
    ATTN_MPI(MPI_Comm_rank(mesh->node, &node_rank));
    is_leader = node_rank == 0;
    ATTN_MPI(MPI_Allreduce(&is_leader, &mesh->nodes, 1, MPI_INT, MPI_SUM, mesh->world));
}

static void free_comm(MPI_Comm *comm) {
    if (*comm != MPI_COMM_NULL) ATTN_MPI(MPI_Comm_free(comm));
}

void attn_mesh_destroy(attn_mesh *mesh) {
    if (mesh->ranks == 0) return;
    free_comm(&mesh->axis);
    free_comm(&mesh->group);
    free_comm(&mesh->node);
    free_comm(&mesh->world);
    mesh->ranks = 0;
}
