#include "mesh.h"

#include <limits.h>
#include <stdlib.h>

/* The lowest rank of `comm` on this node: equal on a node, different between nodes. */
static int node_leader(MPI_Comm comm, MPI_Comm node) {
    int leader;

    ATTN_MPI(MPI_Comm_rank(comm, &leader));
    ATTN_MPI(MPI_Bcast(&leader, 1, MPI_INT, 0, node));
    return leader;
}

/* What the environment asks for, or any number. */
static int most_node_ranks(void) {
    const char *text = getenv("ATTNSPAN_NODE_RANKS");
    int ranks = text == NULL ? 0 : atoi(text);

    return ranks > 0 ? ranks : INT_MAX;
}

void attn_mesh_split_nodes(MPI_Comm comm, MPI_Comm *node) {
    MPI_Comm whole;
    int rank;

    ATTN_MPI(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &whole));
    ATTN_MPI(MPI_Comm_rank(whole, &rank));
    ATTN_MPI(MPI_Comm_split(whole, rank / most_node_ranks(), rank, node));
    ATTN_MPI(MPI_Comm_free(&whole));
}

void attn_mesh_create(MPI_Comm comm, int members, int shards, attn_mesh *mesh) {
    int node_rank, node_ranks, is_leader;

    mesh->members = members;
    mesh->shards = shards;
    attn_mesh_split_nodes(comm, &mesh->node);
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
    ATTN_MPI(MPI_Comm_size(mesh->node, &node_ranks));
    ATTN_MPI(MPI_Allreduce(&mesh->rank, &mesh->node_first, 1, MPI_INT, MPI_MIN, mesh->node));
    mesh->node_last = mesh->node_first + node_ranks;
    is_leader = node_rank == 0;
    ATTN_MPI(MPI_Allreduce(&is_leader, &mesh->nodes, 1, MPI_INT, MPI_SUM, mesh->world));
}

void attn_mesh_imagine(int members, int shards, int rank, int node_ranks, attn_mesh *mesh) {
    MPI_Comm *const comms[] = {&mesh->world, &mesh->group, &mesh->axis, &mesh->node};

    for (size_t i = 0; i < sizeof comms / sizeof *comms; i++) {
        ATTN_MPI(MPI_Comm_dup(MPI_COMM_SELF, comms[i]));
        ATTN_MPI(MPI_Comm_set_errhandler(*comms[i], MPI_ERRORS_RETURN));
    }
    mesh->rank = rank;
    mesh->ranks = members * shards;
    mesh->members = members;
    mesh->member = rank % members;
    mesh->shards = shards;
    mesh->shard = rank / members;
    mesh->nodes = (mesh->ranks + node_ranks - 1) / node_ranks;
    mesh->imagined_node_ranks = node_ranks;
    mesh->node_first = rank / node_ranks * node_ranks;
    mesh->node_last = mesh->node_first + node_ranks;
    if (mesh->node_last > mesh->ranks) mesh->node_last = mesh->ranks;
}

attn_range attn_mesh_near_members(const attn_mesh *mesh) {
    int first = mesh->node_first - mesh->shard * mesh->members;
    int last = mesh->node_last - mesh->shard * mesh->members;

    return (attn_range){first > 0 ? first : 0, last < mesh->members ? last : mesh->members};
}

/* Shards s with node_first <= s · members + member < node_last. */
attn_range attn_mesh_near_shards(const attn_mesh *mesh) {
    int up = mesh->members - 1 - mesh->member;

    return (attn_range){(mesh->node_first + up) / mesh->members,
                        (mesh->node_last + up) / mesh->members};
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
