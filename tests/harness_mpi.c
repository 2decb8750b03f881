/* The MPI side of the harness: a test holds when it holds on every rank.
 *
 * CUnit runs the same tests in the same order on each rank. After each test the
 * ranks' first failures are gathered: rank 0, which alone prints, records each other
 * rank's as a failure of its own. All ranks return the same status. */
#include <CUnit/Basic.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#if ATTN_SANITIZED
#include <sanitizer/lsan_interface.h>
#endif

enum { CONDITION_BYTES = 512, FILE_BYTES = 256 };

/* One rank's failures of one test. */
typedef struct rank_failures {
    unsigned count;
    unsigned line; /* of the first */
    char file[FILE_BYTES];
    char condition[CONDITION_BYTES];
} rank_failures;

/* CUnit's test functions take no argument: the running test is found here. */
static struct {
    const attn_test *tests;
    size_t next;
    unsigned failures; /* of all ranks, so far */
} running;

/* This rank's failures since `before`, CUnit's count of failures then. */
static void collect_failures(unsigned before, rank_failures *mine) {
    const CU_FailureRecord *record = CU_get_failure_list();

    *mine = (rank_failures){.count = CU_get_number_of_failures() - before};
    if (mine->count == 0) return;
    for (unsigned i = 0; i < before && record != NULL; i++) record = record->pNext;
    if (record == NULL) return;
    mine->line = record->uiLineNumber;
    snprintf(mine->file, sizeof mine->file, "%s", record->strFileName);
    snprintf(mine->condition, sizeof mine->condition, "%s", record->strCondition);
}

/* On rank 0: records the failures of rank `rank`. CUnit wants writable text. */
static void record_failures(int rank, const rank_failures *theirs) {
    char file[FILE_BYTES], condition[CONDITION_BYTES + 64], function[] = "";

    snprintf(file, sizeof file, "%s", theirs->file);
    snprintf(condition, sizeof condition, "rank %d: %s (%u failed on this rank)", rank,
             theirs->condition, theirs->count);
    CU_assertImplementation(CU_FALSE, theirs->line, condition, file, function, CU_FALSE);
}

static void run_next(void) {
    unsigned before = CU_get_number_of_failures(), failures;
    rank_failures mine, *all = NULL;
    int rank, size;

    running.tests[running.next++].run();
    collect_failures(before, &mine);

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&mine.count, &failures, 1, MPI_UNSIGNED, MPI_SUM, MPI_COMM_WORLD);
    running.failures += failures;
    if (failures == 0) return;
    if (rank == 0) {
        all = calloc((size_t)size, sizeof *all);
        if (all == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Gather(&mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE, 0,
               MPI_COMM_WORLD);
    for (int i = 1; all != NULL && i < size; i++)
        if (all[i].count > 0) record_failures(i, &all[i]);
    free(all);
}

/* Registers the tests; false when CUnit refuses. */
static int register_tests(const char *suite, const attn_test *tests, size_t count) {
    CU_pSuite registered;

    if (CU_initialize_registry() != CUE_SUCCESS) return 0;
    registered = CU_add_suite(suite, NULL, NULL);
    for (size_t i = 0; registered != NULL && i < count; i++)
        if (CU_add_test(registered, tests[i].name, run_next) == NULL) registered = NULL;
    return registered != NULL;
}

/* Memory that MPI loses while it starts is not ours. */
static void start_mpi(int *argc, char ***argv) {
    int provided;

#if ATTN_SANITIZED
    __lsan_disable();
#endif
    /* Less than FUNNELED is no obstacle to a test. */
    MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
#if ATTN_SANITIZED
    __lsan_enable();
#endif
}

/* Whether this rank has lost memory. To be asked before MPI_Finalize unloads MPI's plugins: while
 * they are there, the caller of malloc alone tells their leaks from ours (lsan.supp). To walk up
 * the whole stack at each malloc instead took half of a test's time. */
static int leaks(void) {
#if ATTN_SANITIZED
    return __lsan_do_recoverable_leak_check();
#else
    return 0;
#endif
}

int attn_test_main_mpi(int *argc, char ***argv, const char *suite, const attn_test *tests,
                       size_t count) {
    int rank, failed, failed_anywhere;

    start_mpi(argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    running.tests = tests;

    failed = !register_tests(suite, tests, count);
    MPI_Allreduce(&failed, &failed_anywhere, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (!failed_anywhere) {
        if (rank == 0) CU_basic_set_mode(CU_BRM_VERBOSE);
        failed = (rank == 0 ? CU_basic_run_tests() : CU_run_all_tests()) != CUE_SUCCESS ||
                 running.next != count || running.failures != 0;
        MPI_Allreduce(&failed, &failed_anywhere, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    }
    CU_cleanup_registry();
    fflush(stdout);
    failed = leaks();
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    failed_anywhere |= failed;
    MPI_Finalize();
    return failed_anywhere;
}
