#define _POSIX_C_SOURCE 200809L

/* The mesh: its shape on the ranks there are. */
#include "mesh.h"

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

static void test_rows_are_groups_and_columns_are_axes(void) {
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int members = 1; members <= ranks; members++) {
        attn_mesh mesh = {0};
        int size, place, sum;

        if (ranks % members != 0) continue;
        attn_mesh_create(MPI_COMM_WORLD, members, ranks / members, &mesh);
        CU_ASSERT_EQUAL(mesh.rank, mesh.shard * members + mesh.member);
        MPI_Comm_size(mesh.group, &size);
        MPI_Comm_rank(mesh.group, &place);
        CU_ASSERT_EQUAL(size, members);
        CU_ASSERT_EQUAL(place, mesh.member);
        MPI_Comm_size(mesh.axis, &size);
        MPI_Comm_rank(mesh.axis, &place);
        CU_ASSERT_EQUAL(size, ranks / members);
        CU_ASSERT_EQUAL(place, mesh.shard);
        /* A group shares its shard, an axis its member index. */
        MPI_Allreduce(&mesh.shard, &sum, 1, MPI_INT, MPI_SUM, mesh.group);
        CU_ASSERT_EQUAL(sum, mesh.shard * members);
        MPI_Allreduce(&mesh.member, &sum, 1, MPI_INT, MPI_SUM, mesh.axis);
        CU_ASSERT_EQUAL(sum, mesh.member * (ranks / members));
        CU_ASSERT_EQUAL(mesh.nodes, 1);
        attn_mesh_destroy(&mesh);
    }
}

/* Of a communicator's ranks, those in the range are on this one's node, and no others. */
static void check_near(MPI_Comm comm, int node, attn_range near) {
    enum { MAX_RANKS = 8 };
    int nodes[MAX_RANKS] = {0}, size;

    MPI_Comm_size(comm, &size);
    MPI_Allgather(&node, 1, MPI_INT, nodes, 1, MPI_INT, comm);
    for (int peer = 0; peer < size; peer++)
        CU_ASSERT_EQUAL(peer >= near.first && peer < near.last, nodes[peer] == node);
}

static void test_near_ranks_are_those_of_the_node(void) {
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int node_ranks = 1; node_ranks <= ranks; node_ranks++)
        for (int members = 1; members <= ranks; members++) {
            attn_mesh mesh = {0};
            char text[16];

            if (ranks % members != 0) continue;
            snprintf(text, sizeof text, "%d", node_ranks);
            setenv("ATTNSPAN_NODE_RANKS", text, 1);
            attn_mesh_create(MPI_COMM_WORLD, members, ranks / members, &mesh);
            CU_ASSERT_EQUAL(mesh.nodes, (ranks + node_ranks - 1) / node_ranks);
            check_near(mesh.group, mesh.rank / node_ranks, attn_mesh_near_members(&mesh));
            check_near(mesh.axis, mesh.rank / node_ranks, attn_mesh_near_shards(&mesh));
            attn_mesh_destroy(&mesh);
        }
    unsetenv("ATTNSPAN_NODE_RANKS");
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"rows are groups and columns are axes", test_rows_are_groups_and_columns_are_axes},
        {"near ranks are those of the node", test_near_ranks_are_those_of_the_node},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.mesh", tests, ATTN_TEST_COUNT(tests));
}
