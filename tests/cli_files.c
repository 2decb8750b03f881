#define _XOPEN_SOURCE 700

#include "cli_files.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"

enum { HEADER_BYTES = 4096 };

static char folder[ATTN_SCRATCH_BYTES];

static void require(int held, const char *what, const char *path) {
    if (held) return;
    fprintf(stderr, "cli_files: cannot %s %s\n", what, path);
    abort();
}

void attn_cli_begin(void) {
    attn_scratch_create(folder);
}

void attn_cli_end(void) {
    attn_scratch_remove(folder);
}

const char *attn_cli_folder(void) {
    return folder;
}

const char *attn_cli_path(const char *name) {
    enum { KEPT = 4 };
    static char paths[KEPT][2 * ATTN_SCRATCH_BYTES];
    static int next;

    next = (next + 1) % KEPT;
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

void attn_cli_write_text(const char *name, const char *text) {
    attn_scratch_write(attn_cli_path(name), text, strlen(text));
}

int attn_cli_holds_text(const char *name, const char *text) {
    size_t bytes;
    char *got = attn_scratch_read(attn_cli_path(name), &bytes);
    int same = got != NULL && bytes == strlen(text) && memcmp(got, text, bytes) == 0;

    free(got);
    return same;
}

/* Writes `prefix`, `header` and `data` one behind the other. */
static void write_parts(const char *path, const void *prefix, size_t prefix_bytes,
                        const char *header, const void *data, size_t bytes) {
    size_t header_bytes = strlen(header);
    char *file = malloc(prefix_bytes + header_bytes + bytes);

    require(file != NULL, "make", path);
    memcpy(file, prefix, prefix_bytes);
    memcpy(file + prefix_bytes, header, header_bytes);
    if (bytes > 0) memcpy(file + prefix_bytes + header_bytes, data, bytes);
    attn_scratch_write(path, file, prefix_bytes + header_bytes + bytes);
    free(file);
}

void attn_cli_write_npy(const char *path, const char *header, const void *data, size_t bytes) {
    unsigned char preamble[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};

    preamble[8] = (unsigned char)(strlen(header) & 0xff);
    preamble[9] = (unsigned char)(strlen(header) >> 8);
    write_parts(path, preamble, sizeof preamble, header, data, bytes);
}

void attn_cli_write_floats(const char *path, int dims, const int64_t *shape, const float *data) {
    char header[HEADER_BYTES] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    size_t used = strlen(header), elems = 1;

    for (int i = 0; i < dims; i++) {
        used += (size_t)snprintf(header + used, sizeof header - used, "%" PRId64 ",", shape[i]);
        elems *= (size_t)shape[i];
    }
    snprintf(header + used, sizeof header - used, ")}\n");
    attn_cli_write_npy(path, header, data, elems * sizeof *data);
}

void attn_cli_write_safetensors(const char *path, const char *header, const void *data,
                                size_t bytes) {
    unsigned char length[8] = {0};

    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)((uint64_t)strlen(header) >> (8 * i) & 0xff);
    write_parts(path, length, sizeof length, header, data, bytes);
}

uint16_t attn_cli_bf16_of(float value) {
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)(bits >> 16);
}

uint16_t attn_cli_fp16_of(float value) {
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (bits << 1 == 0) return (uint16_t)(bits >> 16);
    return (uint16_t)((bits >> 16 & 0x8000) | (((bits >> 23 & 0xff) - 112) << 10) |
                      (bits >> 13 & 0x3ff));
}

/* Converts to `out`, which has room; returns the bytes. */
static size_t convert(attn_dtype dtype, const float *from, size_t elems, char *out) {
    for (size_t i = 0; i < elems && dtype != ATTN_DTYPE_F32; i++) {
        uint16_t half =
            dtype == ATTN_DTYPE_BF16 ? attn_cli_bf16_of(from[i]) : attn_cli_fp16_of(from[i]);
        memcpy(out + i * sizeof half, &half, sizeof half);
    }
    if (dtype == ATTN_DTYPE_F32) memcpy(out, from, elems * sizeof *from);
    return elems * (size_t)attn_dtype_bytes(dtype);
}

void attn_cli_write_tensors_as(const char *path, attn_dtype dtype, const attn_cli_tensor *tensors,
                               size_t count) {
    const char *word = dtype == ATTN_DTYPE_F32 ? "F32" : dtype == ATTN_DTYPE_F16 ? "F16" : "BF16";
    char header[HEADER_BYTES];
    size_t used = 0, bytes = 0;
    char *data = NULL;

    for (size_t i = 0; i < count; i++) {
        const attn_cli_tensor *tensor = &tensors[i];
        size_t elems = (size_t)(tensor->rows * (tensor->columns > 0 ? tensor->columns : 1));
        size_t begin = bytes;
        char columns[32] = "";

        data = realloc(data, begin + elems * sizeof *tensor->data);
        require(data != NULL, "make", path);
        bytes += convert(dtype, tensor->data, elems, data + begin);
        if (tensor->columns > 0) snprintf(columns, sizeof columns, ",%" PRId64, tensor->columns);
        used += (size_t)snprintf(
            header + used, sizeof header - used,
            "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%" PRId64 "%s],\"data_offsets\":[%zu,%zu]}",
            i == 0 ? "{" : ",", tensor->name, word, tensor->rows, columns, begin, bytes);
        require(used < sizeof header - 1, "make", path);
    }
    snprintf(header + used, sizeof header - used, "}");
    attn_cli_write_safetensors(path, header, data, bytes);
    free(data);
}

void attn_cli_write_tensors(const char *path, const attn_cli_tensor *tensors, size_t count) {
    attn_cli_write_tensors_as(path, ATTN_DTYPE_F32, tensors, count);
}

float *attn_cli_read_floats(const char *reference, int32_t *dims, int64_t *shape, int64_t *elems) {
    attn_tensor tensor;
    attn_error error;
    size_t bytes, wanted;
    char *file;
    float *data;

    if (attn_tensor_describe(reference, &tensor, &error) != ATTN_OK ||
        tensor.dtype != ATTN_DTYPE_F32)
        return NULL;
    file = attn_scratch_read(tensor.path, &bytes);
    wanted = (size_t)attn_tensor_elems(&tensor) * sizeof *data;
    data = malloc(wanted + 1);
    require(file != NULL && data != NULL && (size_t)tensor.offset_bytes + wanted <= bytes, "read",
            reference);
    memcpy(data, file + tensor.offset_bytes, wanted);
    free(file);
    *elems = attn_tensor_elems(&tensor);
    if (dims != NULL) *dims = tensor.dims;
    if (shape != NULL) memcpy(shape, tensor.shape, sizeof tensor.shape);
    return data;
}

int attn_cli_same_files(const char *left, const char *right) {
    size_t left_bytes, right_bytes;
    char *left_data = attn_scratch_read(left, &left_bytes);
    char *right_data = attn_scratch_read(right, &right_bytes);
    int same = left_data != NULL && right_data != NULL && left_bytes == right_bytes &&
               memcmp(left_data, right_data, left_bytes) == 0;

    free(left_data);
    free(right_data);
    return same;
}

static int files_seen; /* nftw hands nothing through */

static int count_entry(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)path;
    (void)info;
    (void)place;
    files_seen += kind != FTW_D && kind != FTW_DNR;
    return 0;
}

int attn_cli_files_below(const char *path) {
    enum { OPEN_FOLDERS = 8 };

    files_seen = 0;
    if (access(path, F_OK) != 0) return 0;
    require(nftw(path, count_entry, OPEN_FOLDERS, FTW_PHYS) == 0, "list", path);
    return files_seen;
}
