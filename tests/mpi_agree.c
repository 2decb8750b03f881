/* Agreement: all ranks leave with the worst status and the lowest rank's message. */
#define _POSIX_C_SOURCE 200809L

#include "agree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static int rank, ranks;

static void start(void) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
}

static void test_success_everywhere_is_success(void) {
    attn_error error;

    start();
    attn_ok(&error);
    CU_ASSERT_EQUAL(attn_agree(MPI_COMM_WORLD, "test", &error), ATTN_OK);
    CU_ASSERT_STRING_EQUAL(error.message, "");
}

static void test_one_ranks_failure_is_everybodys(void) {
    start();
    for (int failing = 0; failing < ranks; failing++) {
        attn_error error;
        char expected[64];

        attn_ok(&error);
        if (rank == failing) attn_fail(&error, ATTN_ERR_INPUT, "rank %d says no", rank);
        CU_ASSERT_EQUAL(attn_agree(MPI_COMM_WORLD, "test", &error), ATTN_ERR_INPUT);
        snprintf(expected, sizeof expected, "rank %d says no", failing);
        CU_ASSERT_STRING_EQUAL(error.message, expected);
    }
}

static void test_the_worst_status_wins_and_its_lowest_rank_speaks(void) {
    attn_error error;
    char expected[64];
    int lowest; /* rank 0 fails mildly, all others badly */

    start();
    lowest = ranks > 1 ? 1 : 0;
    attn_fail(&error, rank == 0 && ranks > 1 ? ATTN_ERR_CONFIG : ATTN_ERR_MEMORY, "from rank %d",
              rank);
    CU_ASSERT_EQUAL(attn_agree(MPI_COMM_WORLD, "test", &error), ATTN_ERR_MEMORY);
    snprintf(expected, sizeof expected, "from rank %d", lowest);
    CU_ASSERT_STRING_EQUAL(error.message, expected);
}

static void test_a_failure_can_be_planted_at_one_boundary_on_one_rank(void) {
    attn_error error;
    char wanted[32];

    start();
    snprintf(wanted, sizeof wanted, "here:%d", ranks - 1);
    setenv("ATTNSPAN_INJECT", wanted, 1);
    attn_ok(&error);
    CU_ASSERT_EQUAL(attn_agree(MPI_COMM_WORLD, "elsewhere", &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_agree(MPI_COMM_WORLD, "her", &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_agree(MPI_COMM_WORLD, "here", &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "failure injected"));
    unsetenv("ATTNSPAN_INJECT");
}

static void test_statuses_have_names_and_exit_codes(void) {
    CU_ASSERT_STRING_EQUAL(attn_status_name(ATTN_ERR_VERIFY), "ATTN_ERR_VERIFY");
    CU_ASSERT_EQUAL(attn_status_exit(ATTN_OK), 0);
    CU_ASSERT_EQUAL(attn_status_exit(ATTN_ERR_CONFIG), 2);
    CU_ASSERT_EQUAL(attn_status_exit(ATTN_ERR_MEMORY), 3);
    CU_ASSERT_EQUAL(attn_status_exit(ATTN_ERR_VERIFY), 4);
}

static void test_a_long_message_is_cut_not_overrun(void) {
    attn_error error;
    char text[2 * ATTN_MESSAGE_BYTES];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    attn_fail(&error, ATTN_ERR_IO, "%s", text);
    CU_ASSERT_EQUAL(strlen(error.message), ATTN_MESSAGE_BYTES - 1);
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"success everywhere is success", test_success_everywhere_is_success},
        {"one rank's failure is everybody's", test_one_ranks_failure_is_everybodys},
        {"the worst status wins and its lowest rank speaks",
         test_the_worst_status_wins_and_its_lowest_rank_speaks},
        {"a failure can be planted at one boundary on one rank",
         test_a_failure_can_be_planted_at_one_boundary_on_one_rank},
        {"statuses have names and exit codes", test_statuses_have_names_and_exit_codes},
        {"a long message is cut, not overrun", test_a_long_message_is_cut_not_overrun},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.agree", tests, ATTN_TEST_COUNT(tests));
}
