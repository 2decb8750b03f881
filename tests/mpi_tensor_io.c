/* Parallel reading of tensors, on any number of ranks. */
#define _POSIX_C_SOURCE 200809L

#include "mpi_tensor_io.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "npy.h"
#include "scratch.h"
#include "shared_files.h"
#include "tensor_io.h"

static int rank, ranks;

static void encode(attn_dtype dtype, float value, unsigned char *elem) {
    double wide = (double)value;
    uint32_t bits;
    uint16_t half = 0;

    memcpy(&bits, &value, sizeof bits);
    switch (dtype) {
        case ATTN_DTYPE_F32:
            memcpy(elem, &value, sizeof value);
            return;
        case ATTN_DTYPE_F64:
            memcpy(elem, &wide, sizeof wide);
            return;
        case ATTN_DTYPE_F16: /* normal numbers and zero, and what is not finite */
            if (bits << 1 != 0)
                half = (uint16_t)((bits >> 16 & 0x8000) | (((bits >> 23 & 0xff) - 112) << 10) |
                                  (bits >> 13 & 0x3ff));
            break;
        case ATTN_DTYPE_BF16:
            half = (uint16_t)(bits >> 16);
            break;
        case ATTN_DTYPE_I64:
        case ATTN_DTYPE_I32:
            abort(); /* no tensors */
    }
    memcpy(elem, &half, sizeof half);
}

/* On rank 0: a tensor 't' behind some odd bytes of another, so that elements lie unaligned. */
static void write_safetensors(const char *path, attn_dtype dtype, int64_t rows, int64_t columns) {
    static const char *const names[] = {"F32", "F64", "F16", "BF16"};
    enum { PADDING = 3 };
    size_t elem_bytes = (size_t)attn_dtype_bytes(dtype);
    size_t elems = (size_t)(rows * columns), data = PADDING + elems * elem_bytes;
    unsigned char *file = calloc(1, 512 + data);
    char *json = (char *)file + 8;
    size_t length;

    snprintf(json, 500,
             "{\"pad\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"t\":{\"dtype\":"
             "\"%s\",\"shape\":[%lld,%lld],\"data_offsets\":[3,%zu]}}",
             names[dtype], (long long)rows, (long long)columns, data);
    length = strlen(json);
    file[0] = (unsigned char)length;
    for (size_t i = 0; i < elems; i++)
        encode(dtype, attn_shared_value((int64_t)i), file + 8 + length + PADDING + i * elem_bytes);
    attn_scratch_write(path, file, 8 + length + data);
    free(file);
}

/* Rank 0 describes, all know. */
static attn_status describe(const char *reference, attn_tensor *tensor, attn_error *error) {
    if (rank == 0) attn_tensor_describe(reference, tensor, error);
    MPI_Bcast(error, (int)sizeof *error, MPI_BYTE, 0, MPI_COMM_WORLD);
    MPI_Bcast(tensor, (int)sizeof *tensor, MPI_BYTE, 0, MPI_COMM_WORLD);
    return error->status;
}

static attn_status open_reader(const char *reference, attn_tensor_reader **reader,
                               attn_error *error) {
    attn_tensor tensor;

    *reader = NULL;
    if (describe(reference, &tensor, error) != ATTN_OK) return error->status;
    return attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, reader, error);
}

/* Reads this rank's share and counts the elements that are wrong. The guards around it stay. */
static void check_share(const char *reference, int64_t elems) {
    enum { GUARD = 7 };
    attn_tensor_reader *reader;
    attn_error error;
    int64_t first, count, wrong = 0;
    float *out;

    attn_shared_share(elems, &first, &count);
    out = malloc((size_t)(count + 2 * GUARD) * sizeof *out);
    for (int64_t i = 0; i < count + 2 * GUARD; i++) out[i] = -1e30f;
    CU_ASSERT_EQUAL(open_reader(reference, &reader, &error), ATTN_OK);
    CU_ASSERT_STRING_EQUAL(error.message, "");
    if (reader != NULL) {
        CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, first, count, out + GUARD, &error),
                        ATTN_OK);
        for (int64_t i = 0; i < count; i++) wrong += out[GUARD + i] != attn_shared_value(first + i);
        for (int64_t i = 0; i < GUARD; i++)
            wrong += out[i] != -1e30f || out[GUARD + count + i] != -1e30f;
        CU_ASSERT_EQUAL(wrong, 0);
        attn_tensor_reader_close(reader);
    }
    free(out);
}

static void each_rank_reads_its_share(void) {
    static const int64_t sizes[] = {0, 1, 3, 7, 1000, 300007};

    attn_shared_begin(&rank, &ranks);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *path = attn_shared_path("in.npy");

        if (rank == 0) attn_shared_write_npy(path, 1, &sizes[i], -1, 0);
        check_share(path, sizes[i]);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    attn_shared_end();
}

static void every_dtype_is_converted(void) {
    static const attn_dtype dtypes[] = {ATTN_DTYPE_F32, ATTN_DTYPE_F64, ATTN_DTYPE_F16,
                                        ATTN_DTYPE_BF16};
    static const char *const limits[] = {NULL, "64", "1000"};
    static const int64_t rows[] = {11, 40009}; /* the second is more than a buffer */

    attn_shared_begin(&rank, &ranks);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        for (size_t j = 0; j < 2; j++) {
            const char *file = attn_shared_path("in.safetensors");
            const char *reference = attn_shared_path("in.safetensors#t");

            if (rank == 0) write_safetensors(file, dtypes[i], rows[j], 13);
            for (size_t k = 0; k < (j == 0 ? 3 : 1); k++) {
                attn_shared_set("ATTNSPAN_MAX_TRANSFER_BYTES", limits[k]);
                check_share(reference, rows[j] * 13);
            }
            attn_shared_set("ATTNSPAN_MAX_TRANSFER_BYTES", NULL);
            MPI_Barrier(MPI_COMM_WORLD);
        }
    attn_shared_end();
}

/* Element [2, 1, 3] lies on one rank: that one alone fails, and says which it is. */
static void a_bad_element_is_named_where_it_is(void) {
    static const int64_t shape[] = {3, 2, 4};
    static const struct {
        float value;
        const char *message;
    } cases[] = {
        {NAN, "in.npy: element [2, 1, 3] is NaN; all elements must be finite in fp32"},
        {-INFINITY, "in.npy: element [2, 1, 3] is -infinity"},
    };

    attn_shared_begin(&rank, &ranks);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor_reader *reader;
        attn_error error;
        int64_t first, count;
        float out[24];
        const char *path = attn_shared_path("in.npy");

        if (rank == 0) attn_shared_write_npy(path, 3, shape, 23, cases[i].value);
        attn_shared_share(24, &first, &count);
        CU_ASSERT_EQUAL(open_reader(path, &reader, &error), ATTN_OK);
        if (reader == NULL) continue;
        attn_tensor_reader_read(reader, first, count, out, &error);
        CU_ASSERT_EQUAL(error.status, rank == ranks - 1 ? ATTN_ERR_INPUT : ATTN_OK);
        if (rank == ranks - 1) CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        attn_tensor_reader_close(reader);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    attn_shared_end();
}

static void fp64_beyond_fp32_is_named(void) {
    static const char json[] = "{\"t\":{\"dtype\":\"F64\",\"shape\":[5],\"data_offsets\":[0,40]}}";
    const double data[] = {1, 2, 3, 1e39, 5};
    char file[8 + sizeof json - 1 + sizeof data] = {sizeof json - 1};
    attn_tensor_reader *reader;
    attn_error error;
    float out[5];

    attn_shared_begin(&rank, &ranks);
    memcpy(file + 8, json, sizeof json - 1);
    memcpy(file + 8 + sizeof json - 1, data, sizeof data);
    if (rank == 0) attn_scratch_write(attn_shared_path("in.safetensors"), file, sizeof file);
    CU_ASSERT_EQUAL(open_reader(attn_shared_path("in.safetensors#t"), &reader, &error), ATTN_OK);
    if (reader != NULL) {
        CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, 4, 1, out, &error), ATTN_OK);
        CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, 1, 4, out, &error), ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(
            error.message, "in.safetensors#t: element [3] is 1e+39, beyond the range of fp32"));
        attn_tensor_reader_close(reader);
    }
    attn_shared_end();
}

static void a_file_that_shrinks_is_an_error(void) {
    static const int64_t shape[] = {1000};
    attn_tensor_reader *reader;
    attn_tensor tensor;
    attn_error error;
    float out[1000];
    const char *path;

    attn_shared_begin(&rank, &ranks);
    path = attn_shared_path("in.npy");
    if (rank == 0) attn_shared_write_npy(path, 1, shape, -1, 0);
    CU_ASSERT_EQUAL(describe(path, &tensor, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_OK);
    if (rank == 0) CU_ASSERT_EQUAL(truncate(path, 2128), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, 0, 1000, out, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "finds its end at byte 2128; byte 4127 must be"));
    CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, 0, 500, out, &error), ATTN_OK);
    attn_tensor_reader_close(reader);

    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "rank 0 sees only 2128 bytes"));
    CU_ASSERT(attn_shared_same_error(&error));
    CU_ASSERT_PTR_NULL(reader);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) unlink(path);
    MPI_Barrier(MPI_COMM_WORLD);
    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "in.npy: rank 0 cannot open it: "));
    CU_ASSERT(attn_shared_same_error(&error));
    CU_ASSERT_PTR_NULL(reader);
    attn_shared_end();
}

/* 3 GiB of fp32, all holes. Offsets and sizes beyond 2^31. */
static void files_beyond_2_gib_are_read(void) {
    static const int64_t elems = INT64_C(3) << 28;
    const float last[] = {7, 8, 9};
    const int64_t piece = (64 << 20) / 4;
    char header[ATTN_NPY_HEADER_BYTES];
    const char *path;
    int64_t begin_bytes = (int64_t)attn_npy_header(1, &elems, header), wrong = 0;
    attn_tensor_reader *reader;
    attn_error error;
    float *out = malloc((size_t)piece * sizeof *out);

    attn_shared_begin(&rank, &ranks);
    path = attn_shared_path("large.npy");
    if (rank == 0) {
        int file = open(path, O_WRONLY | O_CREAT, 0600);

        CU_ASSERT_EQUAL(ftruncate(file, (off_t)(begin_bytes + elems * 4)), 0);
        CU_ASSERT_EQUAL(pwrite(file, header, (size_t)begin_bytes, 0), begin_bytes);
        CU_ASSERT_EQUAL(pwrite(file, last, sizeof last, (off_t)(begin_bytes + elems * 4 - 12)),
                        (ssize_t)sizeof last);
        close(file);
    }
    CU_ASSERT_EQUAL(open_reader(path, &reader, &error), ATTN_OK);
    if (reader != NULL) {
        CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, elems - 4, 4, out, &error), ATTN_OK);
        CU_ASSERT(out[0] == 0 && out[1] == 7 && out[2] == 8 && out[3] == 9);
        /* One rank is enough for this, and kinder to the machine. */
        if (rank == ranks - 1) {
            memset(out, 0xff, (size_t)piece * sizeof *out);
            CU_ASSERT_EQUAL(
                attn_tensor_reader_read(reader, (INT64_C(2) << 28) - piece / 2, piece, out, &error),
                ATTN_OK);
            for (int64_t i = 0; i < piece; i++) wrong += out[i] != 0;
            CU_ASSERT_EQUAL(wrong, 0);
        }
        attn_tensor_reader_close(reader);
    }
    free(out);
    attn_shared_end();
}

/* The last rank alone finds no file. */
static void a_failed_open_fails_everywhere(void) {
    static const int64_t shape[] = {8};
    attn_tensor_reader *reader = NULL;
    attn_tensor tensor;
    attn_error error;
    const char *path;

    attn_shared_begin(&rank, &ranks);
    path = attn_shared_path("in.npy");
    if (rank == 0) attn_shared_write_npy(path, 1, shape, -1, 0);
    CU_ASSERT_EQUAL(describe(path, &tensor, &error), ATTN_OK);
    if (rank == ranks - 1) strcat(tensor.path, ".none");
    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "in.npy.none: rank "));
    CU_ASSERT(attn_shared_same_error(&error));
    CU_ASSERT_PTR_NULL(reader);
    attn_shared_set("ATTNSPAN_INJECT", "open:0");
    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_ERR_IO);
    CU_ASSERT(attn_shared_same_error(&error));
    attn_shared_set("ATTNSPAN_INJECT", NULL);
    attn_shared_end();
}

static void null_is_legal_to_close(void) {
    attn_tensor_reader_close(NULL);
    attn_tensor_writer_destroy(NULL);
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"each rank reads its share", each_rank_reads_its_share},
        {"every dtype is converted", every_dtype_is_converted},
        {"a bad element is named where it is", a_bad_element_is_named_where_it_is},
        {"fp64 beyond fp32 is named", fp64_beyond_fp32_is_named},
        {"a file that shrinks is an error", a_file_that_shrinks_is_an_error},
        {"files beyond 2 GiB are read", files_beyond_2_gib_are_read},
        {"what is written is the whole file", attn_test_what_is_written_is_the_whole_file},
        {"without commit the old file stays", attn_test_without_commit_the_old_file_stays},
        {"a failed write fails the commit everywhere",
         attn_test_a_failed_write_fails_the_commit_everywhere},
        {"a failed open fails everywhere", a_failed_open_fails_everywhere},
        {"wrong targets are refused on all ranks",
         attn_test_wrong_targets_are_refused_on_all_ranks},
        {"NULL is legal to close", null_is_legal_to_close},
    };

    return attn_test_main_mpi(&argc, &argv, "mpi_tensor_io", tests, ATTN_TEST_COUNT(tests));
}
