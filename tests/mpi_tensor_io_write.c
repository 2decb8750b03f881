/* Parallel writing of tensors: a commit leaves the whole file, anything else the one that was there
 * before. */
#include "mpi_tensor_io.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cli_files.h"
#include "harness.h"
#include "scratch.h"
#include "shared_files.h"
#include "tensor_io.h"

static int rank, ranks;

/* Writes the values of all elements, each rank its share. */
static attn_status write_share(attn_tensor_writer *writer, int64_t elems, attn_error *error) {
    int64_t first, count;
    float *data;

    attn_shared_share(elems, &first, &count);
    data = malloc((size_t)count * sizeof *data + 1);
    for (int64_t i = 0; i < count; i++) data[i] = attn_shared_value(first + i);
    attn_tensor_writer_write(writer, first, count, data, error);
    free(data);
    return error->status;
}

void attn_test_what_is_written_is_the_whole_file(void) {
    static const struct {
        int32_t dims;
        int64_t shape[3];
        const char *limit;
    } cases[] = {
        {2, {100, 37}, NULL}, {2, {100, 37}, "64"}, {1, {3}, NULL},
        {0, {0}, NULL},       {3, {5, 0, 7}, NULL}, {3, {2, 300, 503}, "100000"},
    };

    attn_shared_begin(&rank, &ranks);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = attn_shared_path("new/folder/y.npy");
        const char *wanted = attn_shared_path("wanted.npy");
        attn_tensor_writer *writer;
        attn_error error;
        int64_t bytes;

        if (rank == 0) attn_shared_write_npy(wanted, cases[i].dims, cases[i].shape, -1, 0);
        attn_tensor_bytes(cases[i].dims, cases[i].shape, ATTN_DTYPE_F32, &bytes);
        attn_shared_set("ATTNSPAN_MAX_TRANSFER_BYTES", cases[i].limit);
        CU_ASSERT_EQUAL(attn_tensor_writer_create(MPI_COMM_WORLD, path, cases[i].dims,
                                                  cases[i].shape, &writer, &error),
                        ATTN_OK);
        CU_ASSERT_STRING_EQUAL(error.message, "");
        attn_shared_set("ATTNSPAN_MAX_TRANSFER_BYTES", NULL);
        if (writer == NULL) continue;
        CU_ASSERT_EQUAL(write_share(writer, bytes / 4, &error), ATTN_OK);
        CU_ASSERT_EQUAL(attn_tensor_writer_commit(writer, &error), ATTN_OK);
        CU_ASSERT(attn_shared_same_error(&error));
        attn_tensor_writer_destroy(writer);
        CU_ASSERT(rank != 0 || attn_cli_same_files(path, wanted));
        CU_ASSERT_EQUAL(attn_scratch_count(attn_shared_path("new/folder")), 1);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    attn_shared_end();
}

/* What a failed or abandoned write leaves: the file that was there before. */
static void check_untouched(void) {
    CU_ASSERT(rank != 0 ||
              attn_cli_same_files(attn_shared_path("out/y.npy"), attn_shared_path("before.npy")));
    CU_ASSERT_EQUAL(attn_scratch_count(attn_shared_path("out")), 1);
    MPI_Barrier(MPI_COMM_WORLD);
}

void attn_test_without_commit_the_old_file_stays(void) {
    static const int64_t shape[] = {50}, old_shape[] = {2, 3};
    /* A rank fails at the creation, at the first of its two agreements, or at the
     * commit; NULL: nothing fails and the writer is dropped. */
    static const char *const injections[] = {NULL, "output:0", "output:1", "write:0", "write:1"};

    attn_shared_begin(&rank, &ranks);
    if (rank == 0) {
        CU_ASSERT_EQUAL(mkdir(attn_shared_path("out"), 0777), 0);
        attn_shared_write_npy(attn_shared_path("before.npy"), 2, old_shape, -1, 0);
        attn_shared_write_npy(attn_shared_path("out/y.npy"), 2, old_shape, -1, 0);
    }
    for (size_t i = 0; i < sizeof injections / sizeof *injections; i++) {
        attn_tensor_writer *writer;
        attn_error error;
        const char *where = injections[i];

        /* A rank that is not there cannot fail. */
        if (where != NULL && where[strlen(where) - 1] == '1' && ranks == 1) continue;
        attn_shared_set("ATTNSPAN_INJECT", where);
        attn_tensor_writer_create(MPI_COMM_WORLD, attn_shared_path("out/y.npy"), 1, shape, &writer,
                                  &error);
        CU_ASSERT(attn_shared_same_error(&error));
        if (where != NULL && where[0] == 'o') {
            CU_ASSERT_EQUAL(error.status, ATTN_ERR_IO);
            CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "output: failure injected on rank"));
            CU_ASSERT_PTR_NULL(writer);
        } else {
            CU_ASSERT_EQUAL(error.status, ATTN_OK);
            CU_ASSERT_EQUAL(attn_scratch_count(attn_shared_path("out")), 2);
            CU_ASSERT_EQUAL(write_share(writer, 50, &error), ATTN_OK);
            if (where != NULL) {
                CU_ASSERT_EQUAL(attn_tensor_writer_commit(writer, &error), ATTN_ERR_IO);
                CU_ASSERT(attn_shared_same_error(&error));
                check_untouched();
            }
        }
        attn_shared_set("ATTNSPAN_INJECT", NULL);
        attn_tensor_writer_destroy(writer);
        check_untouched();
    }
    attn_shared_end();
}

/* The last rank alone may not write that far: the commit must fail on all. */
void attn_test_a_failed_write_fails_the_commit_everywhere(void) {
    static const int64_t shape[] = {50};
    attn_tensor_writer *writer;
    attn_error error;
    struct rlimit limit, low;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);

    attn_shared_begin(&rank, &ranks);
    CU_ASSERT_EQUAL(attn_tensor_writer_create(MPI_COMM_WORLD, attn_shared_path("out/y.npy"), 1,
                                              shape, &writer, &error),
                    ATTN_OK);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    low = limit;
    if (rank == ranks - 1) low.rlim_cur = 200; /* bytes: the file has 328 */
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &low), 0);
    write_share(writer, 50, &error);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CU_ASSERT_EQUAL(error.status, rank == ranks - 1 ? ATTN_ERR_IO : ATTN_OK);
    CU_ASSERT_EQUAL(attn_tensor_writer_commit(writer, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "out/y.npy: rank "));
    CU_ASSERT(attn_shared_same_error(&error));
    CU_ASSERT_EQUAL(attn_scratch_count(attn_shared_path("out")), 0);
    attn_tensor_writer_destroy(writer);
    signal(SIGXFSZ, handler);
    attn_shared_end();
}

void attn_test_wrong_targets_are_refused_on_all_ranks(void) {
    static const struct {
        const char *name;
        int64_t extent;
        attn_status status;
        const char *message;
    } cases[] = {
        {"taken", 4, ATTN_ERR_IO, "/taken: is a directory; must be a file"},
        {"plain/y.npy", 4, ATTN_ERR_IO, "/plain is not a folder; must be one"},
        {"y.npy", INT64_C(1) << 58, ATTN_ERR_IO, " 1152921504606847104 bytes"},
        {"y.npy", INT64_MAX / 4, ATTN_ERR_INPUT, "its shape is too large"},
        {"y.npy", INT64_MAX, ATTN_ERR_INPUT, "its shape is too large"},
        {"y.npy", -1, ATTN_ERR_INPUT, "its shape is too large"},
    };

    attn_shared_begin(&rank, &ranks);
    if (rank == 0) {
        CU_ASSERT_EQUAL(mkdir(attn_shared_path("taken"), 0777), 0);
        attn_scratch_write(attn_shared_path("plain"), "p", 1);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor_writer *writer;
        attn_error error;

        CU_ASSERT_EQUAL(attn_tensor_writer_create(MPI_COMM_WORLD, attn_shared_path(cases[i].name),
                                                  1, &cases[i].extent, &writer, &error),
                        cases[i].status);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        CU_ASSERT(attn_shared_same_error(&error));
        CU_ASSERT_PTR_NULL(writer);
        CU_ASSERT_EQUAL(attn_scratch_count(attn_shared_folder()), 2);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    attn_shared_end();
}
