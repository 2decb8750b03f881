/* The mesh: its shape on the ranks there are. */
#include "mesh.h"

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

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"rows are groups and columns are axes", test_rows_are_groups_and_columns_are_axes},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.mesh", tests, ATTN_TEST_COUNT(tests));
}
