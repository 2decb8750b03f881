/* The mesh: its shape on the ranks there are, and the one that auto chooses. */
#include "mesh.h"

#include <string.h>

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

typedef struct choice {
    const char *what;
    int64_t length, heads;
    attn_causal causal;
    int64_t ranks, members, shards; /* members, shards: expected */
} choice;

static void test_auto_takes_the_least_loaded_mesh(void) {
    static const choice choices[] = {
        {"heads divide: no imbalance", 4096, 8, ATTN_CAUSAL, 4, 4, 1},
        {"as many heads as ranks", 4096, 8, ATTN_NOT_CAUSAL, 8, 8, 1},
        {"one head: only the sequence can be shared", 4096, 1, ATTN_NOT_CAUSAL, 4, 1, 4},
        {"more ranks than heads, no mask", 4096, 2, ATTN_NOT_CAUSAL, 8, 2, 4},
        {"6 heads on 4: two halves of 3 heads beat 2, 2, 1, 1", 4096, 6, ATTN_NOT_CAUSAL, 4, 2, 2},
        {"a prime number of ranks", 4096, 5, ATTN_CAUSAL, 5, 5, 1},
        {"one row cannot be shared", 1, 4, ATTN_NOT_CAUSAL, 4, 4, 1},
    };

    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const choice *c = &choices[i];
        attn_problem problem = {.batch = 1,
                                .length = c->length,
                                .kv_length = c->length,
                                .heads = c->heads,
                                .kv_heads = c->heads,
                                .key_dim = 64,
                                .value_dim = 64,
                                .mask = {.causal = c->causal}};
        int64_t members = ATTN_PLAN_AUTO, shards = ATTN_PLAN_AUTO;
        attn_error error;

        CU_ASSERT_EQUAL(attn_mesh_choose(&problem, -1, c->ranks, &members, &shards, &error),
                        ATTN_OK);
        CU_ASSERT_EQUAL(members, c->members);
        CU_ASSERT_EQUAL(shards, c->shards);
    }
}

static void check_stated(int64_t members, int64_t shards, attn_status expected, const char *words) {
    attn_problem problem = {.batch = 1, .length = 64, .kv_length = 64, .heads = 4, .kv_heads = 4};
    attn_error error;

    CU_ASSERT_EQUAL(attn_mesh_choose(&problem, -1, 12, &members, &shards, &error), expected);
    if (expected == ATTN_OK)
        CU_ASSERT_EQUAL(members * shards, 12)
    else
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, words));
}

static void test_what_is_stated_is_kept_or_refused(void) {
    check_stated(3, 4, ATTN_OK, "");
    check_stated(3, ATTN_PLAN_AUTO, ATTN_OK, "");
    check_stated(ATTN_PLAN_AUTO, 6, ATTN_OK, "");
    check_stated(3, 5, ATTN_ERR_CONFIG, "needs 15 ranks, but there are 12");
    check_stated(5, ATTN_PLAN_AUTO, ATTN_ERR_CONFIG,
                 "5 does not divide the number of ranks, which is 12");
    check_stated(ATTN_PLAN_AUTO, 7, ATTN_ERR_CONFIG, "7 does not divide");
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"rows are groups and columns are axes", test_rows_are_groups_and_columns_are_axes},
        {"auto takes the least loaded mesh", test_auto_takes_the_least_loaded_mesh},
        {"what is stated is kept or refused", test_what_is_stated_is_kept_or_refused},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.mesh", tests, ATTN_TEST_COUNT(tests));
}
