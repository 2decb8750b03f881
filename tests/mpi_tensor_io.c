/* Parallel reading and writing of tensors, on any number of ranks. All ranks share
 * one machine, so one folder. */
#define _POSIX_C_SOURCE 200809L

#include "tensor_io.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "npy.h"
#include "scratch.h"

static char folder[ATTN_SCRATCH_BYTES];
static int rank, ranks;

static const char *path_of(const char *name) {
    static char path[ATTN_SCRATCH_BYTES * 2];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Begins a test: rank 0 makes an empty folder that all know. */
static void begin(void) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (rank == 0) attn_scratch_create(folder);
    MPI_Bcast(folder, (int)sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
}

static void end(void) {
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) attn_scratch_remove(folder);
    MPI_Barrier(MPI_COMM_WORLD);
}

/* This rank's share of `elems`: uneven, and nothing for some when there are few. */
static void share_of(int64_t elems, int64_t *first, int64_t *count) {
    *first = elems * rank / ranks;
    *count = elems * (rank + 1) / ranks - *first;
}

static int same_on_all_ranks(const attn_error *error) {
    attn_error first = *error;

    MPI_Bcast(&first, (int)sizeof first, MPI_BYTE, 0, MPI_COMM_WORLD);
    return first.status == error->status && strcmp(first.message, error->message) == 0;
}

static void set_transfer_limit(const char *bytes) {
    if (bytes != NULL)
        setenv("ATTNSPAN_MAX_TRANSFER_BYTES", bytes, 1);
    else
        unsetenv("ATTNSPAN_MAX_TRANSFER_BYTES");
}

static void inject(const char *where) {
    if (where != NULL)
        setenv("ATTNSPAN_INJECT", where, 1);
    else
        unsetenv("ATTNSPAN_INJECT");
}

/* The value of element i in all files here: exact in every dtype. */
static float value_of(int64_t i) {
    return (float)(i % 251) - 125;
}

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

/* On rank 0: a safetensors file with one tensor 't' behind `padding` odd bytes of
 * another, so that elements lie unaligned. */
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
        encode(dtype, value_of((int64_t)i), file + 8 + length + PADDING + i * elem_bytes);
    attn_scratch_write(path, file, 8 + length + data);
    free(file);
}

/* On rank 0: an fp32 .npy file; `bad` >= 0 is the index of an element to be `value`. */
static void write_npy(const char *path, int32_t dims, const int64_t *shape, int64_t bad,
                      float value) {
    char *file;
    float *data;
    size_t begin, bytes;
    int64_t size;

    attn_tensor_bytes(dims, shape, ATTN_DTYPE_F32, &size);
    bytes = (size_t)size;
    file = calloc(1, ATTN_NPY_HEADER_BYTES + bytes);
    begin = attn_npy_header(dims, shape, file);
    data = malloc(bytes + 1);
    for (size_t i = 0; i < bytes / 4; i++)
        data[i] = (int64_t)i == bad ? value : value_of((int64_t)i);
    memcpy(file + begin, data, bytes);
    attn_scratch_write(path, file, begin + bytes);
    free(data);
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

/* Reads this rank's share and counts the elements that are not value_of. The
 * guards around it stay. */
static void check_share(const char *reference, int64_t elems) {
    enum { GUARD = 7 };
    attn_tensor_reader *reader;
    attn_error error;
    int64_t first, count, wrong = 0;
    float *out;

    share_of(elems, &first, &count);
    out = malloc((size_t)(count + 2 * GUARD) * sizeof *out);
    for (int64_t i = 0; i < count + 2 * GUARD; i++) out[i] = -1e30f;
    CU_ASSERT_EQUAL(open_reader(reference, &reader, &error), ATTN_OK);
    CU_ASSERT_STRING_EQUAL(error.message, "");
    if (reader != NULL) {
        CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, first, count, out + GUARD, &error),
                        ATTN_OK);
        for (int64_t i = 0; i < count; i++) wrong += out[GUARD + i] != value_of(first + i);
        for (int64_t i = 0; i < GUARD; i++)
            wrong += out[i] != -1e30f || out[GUARD + count + i] != -1e30f;
        CU_ASSERT_EQUAL(wrong, 0);
        attn_tensor_reader_close(reader);
    }
    free(out);
}

static void each_rank_reads_its_share(void) {
    static const int64_t sizes[] = {0, 1, 3, 7, 1000, 300007};

    begin();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char path[ATTN_SCRATCH_BYTES * 2];
        snprintf(path, sizeof path, "%s", path_of("in.npy"));
        if (rank == 0) write_npy(path, 1, &sizes[i], -1, 0);
        check_share(path, sizes[i]);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    end();
}

static void every_dtype_is_converted(void) {
    static const attn_dtype dtypes[] = {ATTN_DTYPE_F32, ATTN_DTYPE_F64, ATTN_DTYPE_F16,
                                        ATTN_DTYPE_BF16};
    static const char *const limits[] = {NULL, "64", "1000"};
    static const int64_t rows[] = {11, 40009}; /* the second is more than a buffer */

    begin();
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        for (size_t j = 0; j < 2; j++) {
            char reference[ATTN_SCRATCH_BYTES * 2];
            if (rank == 0) write_safetensors(path_of("in.safetensors"), dtypes[i], rows[j], 13);
            snprintf(reference, sizeof reference, "%s", path_of("in.safetensors#t"));
            for (size_t k = 0; k < (j == 0 ? 3 : 1); k++) {
                set_transfer_limit(limits[k]);
                check_share(reference, rows[j] * 13);
            }
            set_transfer_limit(NULL);
            MPI_Barrier(MPI_COMM_WORLD);
        }
    end();
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

    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor_reader *reader;
        attn_error error;
        int64_t first, count;
        float out[24];
        char path[ATTN_SCRATCH_BYTES * 2];
        snprintf(path, sizeof path, "%s", path_of("in.npy"));
        if (rank == 0) write_npy(path, 3, shape, 23, cases[i].value);
        share_of(24, &first, &count);
        CU_ASSERT_EQUAL(open_reader(path, &reader, &error), ATTN_OK);
        if (reader == NULL) continue;
        attn_tensor_reader_read(reader, first, count, out, &error);
        CU_ASSERT_EQUAL(error.status, rank == ranks - 1 ? ATTN_ERR_INPUT : ATTN_OK);
        if (rank == ranks - 1) CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        attn_tensor_reader_close(reader);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    end();
}

static void fp64_beyond_fp32_is_named(void) {
    static const char json[] = "{\"t\":{\"dtype\":\"F64\",\"shape\":[5],\"data_offsets\":[0,40]}}";
    const double data[] = {1, 2, 3, 1e39, 5};
    char file[8 + sizeof json - 1 + sizeof data] = {sizeof json - 1};
    attn_tensor_reader *reader;
    attn_error error;
    float out[5];
    char reference[ATTN_SCRATCH_BYTES * 2];

    begin();
    memcpy(file + 8, json, sizeof json - 1);
    memcpy(file + 8 + sizeof json - 1, data, sizeof data);
    if (rank == 0) attn_scratch_write(path_of("in.safetensors"), file, sizeof file);
    snprintf(reference, sizeof reference, "%s", path_of("in.safetensors#t"));
    CU_ASSERT_EQUAL(open_reader(reference, &reader, &error), ATTN_OK);
    if (reader != NULL) {
        CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, 4, 1, out, &error), ATTN_OK);
        CU_ASSERT_EQUAL(attn_tensor_reader_read(reader, 1, 4, out, &error), ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(
            error.message, "in.safetensors#t: element [3] is 1e+39, beyond the range of fp32"));
        attn_tensor_reader_close(reader);
    }
    end();
}

static void a_file_that_shrinks_is_an_error(void) {
    static const int64_t shape[] = {1000};
    attn_tensor_reader *reader;
    attn_tensor tensor;
    attn_error error;
    float out[1000];
    char path[ATTN_SCRATCH_BYTES * 2];

    begin();
    snprintf(path, sizeof path, "%s", path_of("in.npy"));
    if (rank == 0) write_npy(path, 1, shape, -1, 0);
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
    CU_ASSERT(same_on_all_ranks(&error));
    CU_ASSERT_PTR_NULL(reader);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) unlink(path);
    MPI_Barrier(MPI_COMM_WORLD);
    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "in.npy: rank 0 cannot open it: "));
    CU_ASSERT(same_on_all_ranks(&error));
    CU_ASSERT_PTR_NULL(reader);
    end();
}

/* 3 GiB of fp32, all holes. Offsets and sizes beyond 2^31. */
static void files_beyond_2_gib_are_read(void) {
    static const int64_t elems = INT64_C(3) << 28;
    const float last[] = {7, 8, 9};
    const int64_t piece = (64 << 20) / 4;
    char header[ATTN_NPY_HEADER_BYTES], path[ATTN_SCRATCH_BYTES * 2];
    int64_t begin_bytes = (int64_t)attn_npy_header(1, &elems, header), wrong = 0;
    attn_tensor_reader *reader;
    attn_error error;
    float *out = malloc((size_t)piece * sizeof *out);

    begin();
    snprintf(path, sizeof path, "%s", path_of("large.npy"));
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
    end();
}

/* Writes value_of, each rank its share. */
static attn_status write_share(attn_tensor_writer *writer, int64_t elems, attn_error *error) {
    int64_t first, count;
    float *data;

    share_of(elems, &first, &count);
    data = malloc((size_t)count * sizeof *data + 1);
    for (int64_t i = 0; i < count; i++) data[i] = value_of(first + i);
    attn_tensor_writer_write(writer, first, count, data, error);
    free(data);
    return error->status;
}

/* On rank 0: that the files `a` and `b` have the same bytes. */
static int same_bytes(const char *a, const char *b) {
    size_t count_a, count_b;
    char *bytes_a = attn_scratch_read(a, &count_a), *bytes_b = attn_scratch_read(b, &count_b);
    int same = bytes_a != NULL && bytes_b != NULL && count_a == count_b &&
               memcmp(bytes_a, bytes_b, count_a) == 0;

    free(bytes_a);
    free(bytes_b);
    return same;
}

static void what_is_written_is_the_whole_file(void) {
    static const struct {
        int32_t dims;
        int64_t shape[3];
        const char *limit;
    } cases[] = {
        {2, {100, 37}, NULL}, {2, {100, 37}, "64"}, {1, {3}, NULL},
        {0, {0}, NULL},       {3, {5, 0, 7}, NULL}, {3, {2, 300, 503}, "100000"},
    };

    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[ATTN_SCRATCH_BYTES * 2], wanted[ATTN_SCRATCH_BYTES * 2];
        attn_tensor_writer *writer;
        attn_error error;
        int64_t bytes;
        snprintf(path, sizeof path, "%s", path_of("new/folder/y.npy"));
        snprintf(wanted, sizeof wanted, "%s", path_of("wanted.npy"));
        if (rank == 0) write_npy(wanted, cases[i].dims, cases[i].shape, -1, 0);
        attn_tensor_bytes(cases[i].dims, cases[i].shape, ATTN_DTYPE_F32, &bytes);
        set_transfer_limit(cases[i].limit);
        CU_ASSERT_EQUAL(attn_tensor_writer_create(MPI_COMM_WORLD, path, cases[i].dims,
                                                  cases[i].shape, &writer, &error),
                        ATTN_OK);
        CU_ASSERT_STRING_EQUAL(error.message, "");
        set_transfer_limit(NULL);
        if (writer == NULL) continue;
        CU_ASSERT_EQUAL(write_share(writer, bytes / 4, &error), ATTN_OK);
        CU_ASSERT_EQUAL(attn_tensor_writer_commit(writer, &error), ATTN_OK);
        CU_ASSERT(same_on_all_ranks(&error));
        attn_tensor_writer_destroy(writer);
        CU_ASSERT(rank != 0 || same_bytes(path, wanted));
        CU_ASSERT_EQUAL(attn_scratch_count(path_of("new/folder")), 1);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    end();
}

/* What a failed or abandoned write leaves: the file that was there before. */
static void check_untouched(const char *path, const char *before) {
    CU_ASSERT(rank != 0 || same_bytes(path, before));
    CU_ASSERT_EQUAL(attn_scratch_count(path_of("out")), 1);
    MPI_Barrier(MPI_COMM_WORLD);
}

static void without_commit_the_old_file_stays(void) {
    static const int64_t shape[] = {50}, old_shape[] = {2, 3};
    /* A rank fails at the creation, at the first of its two agreements, or at the
     * commit; NULL: nothing fails and the writer is dropped. */
    static const char *const injections[] = {NULL, "output:0", "output:1", "write:0", "write:1"};
    char path[ATTN_SCRATCH_BYTES * 2], before[ATTN_SCRATCH_BYTES * 2];

    begin();
    snprintf(before, sizeof before, "%s", path_of("before.npy"));
    snprintf(path, sizeof path, "%s", path_of("out/y.npy"));
    if (rank == 0) {
        CU_ASSERT_EQUAL(mkdir(path_of("out"), 0777), 0);
        write_npy(before, 2, old_shape, -1, 0);
        write_npy(path, 2, old_shape, -1, 0);
    }
    for (size_t i = 0; i < sizeof injections / sizeof *injections; i++) {
        attn_tensor_writer *writer;
        attn_error error;
        const char *where = injections[i];
        /* A rank that is not there cannot fail. */
        if (where != NULL && where[strlen(where) - 1] == '1' && ranks == 1) continue;
        inject(where);
        attn_tensor_writer_create(MPI_COMM_WORLD, path, 1, shape, &writer, &error);
        CU_ASSERT(same_on_all_ranks(&error));
        if (where != NULL && where[0] == 'o') {
            CU_ASSERT_EQUAL(error.status, ATTN_ERR_IO);
            CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "output: failure injected on rank"));
            CU_ASSERT_PTR_NULL(writer);
        } else {
            CU_ASSERT_EQUAL(error.status, ATTN_OK);
            CU_ASSERT_EQUAL(attn_scratch_count(path_of("out")), 2);
            CU_ASSERT_EQUAL(write_share(writer, 50, &error), ATTN_OK);
            if (where != NULL) {
                CU_ASSERT_EQUAL(attn_tensor_writer_commit(writer, &error), ATTN_ERR_IO);
                CU_ASSERT(same_on_all_ranks(&error));
                check_untouched(path, before);
            }
        }
        inject(NULL);
        attn_tensor_writer_destroy(writer);
        check_untouched(path, before);
    }
    end();
}

/* The last rank alone may not write that far: the commit must fail on all. */
static void a_failed_write_fails_the_commit_everywhere(void) {
    static const int64_t shape[] = {50};
    attn_tensor_writer *writer;
    attn_error error;
    struct rlimit limit, low;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);

    begin();
    CU_ASSERT_EQUAL(
        attn_tensor_writer_create(MPI_COMM_WORLD, path_of("out/y.npy"), 1, shape, &writer, &error),
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
    CU_ASSERT(same_on_all_ranks(&error));
    CU_ASSERT_EQUAL(attn_scratch_count(path_of("out")), 0);
    attn_tensor_writer_destroy(writer);
    signal(SIGXFSZ, handler);
    end();
}

/* The last rank alone finds no file. */
static void a_failed_open_fails_everywhere(void) {
    static const int64_t shape[] = {8};
    attn_tensor_reader *reader = NULL;
    attn_tensor tensor;
    attn_error error;
    char path[ATTN_SCRATCH_BYTES * 2];

    begin();
    snprintf(path, sizeof path, "%s", path_of("in.npy"));
    if (rank == 0) write_npy(path, 1, shape, -1, 0);
    CU_ASSERT_EQUAL(describe(path, &tensor, &error), ATTN_OK);
    if (rank == ranks - 1) strcat(tensor.path, ".none");
    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "in.npy.none: rank "));
    CU_ASSERT(same_on_all_ranks(&error));
    CU_ASSERT_PTR_NULL(reader);
    inject("open:0");
    CU_ASSERT_EQUAL(attn_tensor_reader_open(MPI_COMM_WORLD, &tensor, &reader, &error), ATTN_ERR_IO);
    CU_ASSERT(same_on_all_ranks(&error));
    inject(NULL);
    end();
}

static void wrong_targets_are_refused_on_all_ranks(void) {
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

    begin();
    if (rank == 0) {
        CU_ASSERT_EQUAL(mkdir(path_of("taken"), 0777), 0);
        attn_scratch_write(path_of("plain"), "p", 1);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor_writer *writer;
        attn_error error;
        CU_ASSERT_EQUAL(attn_tensor_writer_create(MPI_COMM_WORLD, path_of(cases[i].name), 1,
                                                  &cases[i].extent, &writer, &error),
                        cases[i].status);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        CU_ASSERT(same_on_all_ranks(&error));
        CU_ASSERT_PTR_NULL(writer);
        CU_ASSERT_EQUAL(attn_scratch_count(folder), 2);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    end();
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
        {"what is written is the whole file", what_is_written_is_the_whole_file},
        {"without commit the old file stays", without_commit_the_old_file_stays},
        {"a failed write fails the commit everywhere", a_failed_write_fails_the_commit_everywhere},
        {"a failed open fails everywhere", a_failed_open_fails_everywhere},
        {"wrong targets are refused on all ranks", wrong_targets_are_refused_on_all_ranks},
        {"NULL is legal to close", null_is_legal_to_close},
    };

    return attn_test_main_mpi(&argc, &argv, "mpi_tensor_io", tests, ATTN_TEST_COUNT(tests));
}
