#define _POSIX_C_SOURCE 200809L

#include "safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "names.h"

/* A file is: the header's length (8 bytes, little-endian), the header, the data.
 * The header is a JSON object that maps a tensor's name to
 *     {"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}
 * with offsets from the start of the data; "__metadata__" is no tensor. */
enum {
    LENGTH_BYTES = 8,
    MOST_HEADER_BYTES = 100 * 1000 * 1000, /* the reference implementation's bound */
};

static const char metadata_key[] = "__metadata__";

/* An open file's header. */
typedef struct safetensors_header {
    const char *path;   /* borrowed */
    json_t *entries;    /* owned */
    int64_t data_begin; /* from the start of the file */
    int64_t data_bytes; /* from there to the end of the file */
    attn_error *error;  /* borrowed */
} safetensors_header;

enum { REFUSED = -1 };

/* Element types of the format. */
static const struct {
    const char *text;
    int64_t bytes;
    int dtype; /* attn_dtype or REFUSED */
} element_types[] = {
    {"F32", 4, ATTN_DTYPE_F32},   {"F64", 8, ATTN_DTYPE_F64}, {"F16", 2, ATTN_DTYPE_F16},
    {"BF16", 2, ATTN_DTYPE_BF16}, {"F8_E4M3", 1, REFUSED},    {"F8_E5M2", 1, REFUSED},
    {"I64", 8, REFUSED},          {"I32", 4, REFUSED},        {"I16", 2, REFUSED},
    {"I8", 1, REFUSED},           {"U64", 8, REFUSED},        {"U32", 4, REFUSED},
    {"U16", 2, REFUSED},          {"U8", 1, REFUSED},         {"BOOL", 1, REFUSED},
};

enum { ELEMENT_TYPE_COUNT = sizeof element_types / sizeof *element_types };

static attn_status fail_entry(const safetensors_header *header, const char *name,
                              const char *what) {
    char buffer[ATTN_NAME_SHOWN_BYTES];

    return attn_fail(header->error, ATTN_ERR_INPUT, "%s: tensor '%s': %s", header->path,
                     attn_names_show(name, buffer), what);
}

/* Row of element_types; ELEMENT_TYPE_COUNT for one that the table does not know. */
static size_t find_element_type(const json_t *entry) {
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    size_t i = 0;

    while (i < ELEMENT_TYPE_COUNT && (text == NULL || strcmp(text, element_types[i].text) != 0))
        i++;
    return i;
}

/* JSON integers >= 0 only: 3.0 and true are no extents. */
static int read_count(const json_t *value, int64_t *count) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return 0;
    *count = json_integer_value(value);
    return 1;
}

/* *bytes := product of the shape's extents and `element_bytes`, any number of them. */
static attn_status read_shape_bytes(const safetensors_header *header, const char *name,
                                    const json_t *shape, int64_t element_bytes, int64_t *bytes) {
    int64_t product = element_bytes;
    int empty = 0;

    if (!json_is_array(shape)) return fail_entry(header, name, "no shape; must be an array");
    for (size_t i = 0; i < json_array_size(shape); i++) {
        int64_t extent;
        if (!read_count(json_array_get(shape, i), &extent))
            return fail_entry(header, name, "an extent is not an integer of 0 or more");
        empty = empty || extent == 0;
        if (extent == 0) continue;
        if (product > INT64_MAX / extent)
            return fail_entry(header, name,
                              "its shape is too large; its bytes must be countable in 64 bits");
        product *= extent;
    }
    *bytes = empty ? 0 : product;
    return ATTN_OK;
}

/* Checks one tensor's entry, and raises *last_end to its end. A dtype that is not
 * in the table has elements of unknown size: its shape cannot be checked. */
static attn_status check_entry(const safetensors_header *header, const char *name,
                               const json_t *entry, int64_t *last_end) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t type = find_element_type(entry);
    int64_t begin, end, bytes = 0;

    if (!json_is_object(entry)) return fail_entry(header, name, "must be a JSON object");
    if (!json_is_string(json_object_get(entry, "dtype")))
        return fail_entry(header, name, "no dtype; must be a string");
    if (json_array_size(offsets) != 2 || !read_count(json_array_get(offsets, 0), &begin) ||
        !read_count(json_array_get(offsets, 1), &end))
        return fail_entry(header, name, "no data_offsets; must be [begin, end]");
    if (begin > end) return fail_entry(header, name, "ends before it begins");
    if (read_shape_bytes(header, name, json_object_get(entry, "shape"),
                         type < ELEMENT_TYPE_COUNT ? element_types[type].bytes : 1,
                         &bytes) != ATTN_OK)
        return header->error->status;
    if (type < ELEMENT_TYPE_COUNT && bytes != end - begin) {
        char buffer[ATTN_NAME_SHOWN_BYTES];
        return attn_fail(header->error, ATTN_ERR_INPUT,
                         "%s: tensor '%s': has %" PRId64
                         " bytes; by its shape and dtype it must have %" PRId64,
                         header->path, attn_names_show(name, buffer), end - begin, bytes);
    }
    if (end > *last_end) *last_end = end;
    return ATTN_OK;
}

static attn_status check_entries(const safetensors_header *header) {
    int64_t last_end = 0;
    const char *name;
    json_t *entry;

    json_object_foreach(header->entries, name, entry) {
        if (strcmp(name, metadata_key) == 0) continue;
        if (check_entry(header, name, entry, &last_end) != ATTN_OK) return header->error->status;
    }
    if (last_end != header->data_bytes)
        return attn_fail(header->error, ATTN_ERR_INPUT,
                         "%s: is %s than its header says: %" PRId64
                         " bytes of data; its tensors must fill %" PRId64,
                         header->path, last_end > header->data_bytes ? "shorter" : "longer",
                         header->data_bytes, last_end);
    return ATTN_OK;
}

static attn_status parse_json(safetensors_header *header, const char *text, size_t bytes) {
    char buffer[ATTN_NAME_SHOWN_BYTES];
    json_error_t reason;

    header->entries = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &reason);
    if (header->entries == NULL)
        return attn_fail(header->error, ATTN_ERR_INPUT,
                         "%s: the safetensors header is no valid JSON, near its byte %d: %s",
                         header->path, reason.position, attn_names_show(reason.text, buffer));
    if (!json_is_object(header->entries))
        return attn_fail(header->error, ATTN_ERR_INPUT,
                         "%s: the safetensors header must be a JSON object", header->path);
    return ATTN_OK;
}

/* Reads and checks the header. The caller drops header->entries, also on failure. */
static attn_status read_header(safetensors_header *header, int descriptor, int64_t file_bytes) {
    unsigned char preamble[LENGTH_BYTES];
    uint64_t length = 0;
    char *text;

    if (file_bytes < LENGTH_BYTES)
        return attn_fail(header->error, ATTN_ERR_INPUT,
                         "%s: has only %" PRId64 " bytes; must be in the safetensors format",
                         header->path, file_bytes);
    if (attn_file_read_at(descriptor, header->path, 0, sizeof preamble, preamble, header->error) !=
        ATTN_OK)
        return header->error->status;
    for (size_t i = LENGTH_BYTES; i-- > 0;) length = length << 8 | preamble[i];
    if (length > MOST_HEADER_BYTES || (int64_t)length > file_bytes - LENGTH_BYTES)
        return attn_fail(header->error, ATTN_ERR_INPUT,
                         "%s: claims a header of %" PRIu64 " bytes in a file of %" PRId64
                         "; must be in the safetensors format, with at most %d",
                         header->path, length, file_bytes, MOST_HEADER_BYTES);
    text = attn_alloc((size_t)length, 1);
    if (text == NULL)
        return attn_fail(header->error, ATTN_ERR_MEMORY, "%s: no memory for its header",
                         header->path);
    if (attn_file_read_at(descriptor, header->path, LENGTH_BYTES, (size_t)length, text,
                          header->error) == ATTN_OK)
        parse_json(header, text, (size_t)length);
    free(text);
    if (header->error->status != ATTN_OK) return header->error->status;
    header->data_begin = LENGTH_BYTES + (int64_t)length;
    header->data_bytes = file_bytes - header->data_begin;
    return check_entries(header);
}

static attn_status open_header(safetensors_header *header, const char *path, attn_error *error) {
    int64_t file_bytes;
    int descriptor;

    memset(header, 0, sizeof *header);
    header->path = path;
    header->error = error;
    if (attn_file_open(path, &descriptor, &file_bytes, error) != ATTN_OK) return error->status;
    read_header(header, descriptor, file_bytes);
    close(descriptor);
    return error->status;
}

static const json_t *find_entry(const safetensors_header *header, const char *name) {
    return strcmp(name, metadata_key) == 0 ? NULL : json_object_get(header->entries, name);
}

static attn_status fail_missing(const safetensors_header *header, const char *wanted) {
    char list[ATTN_NAMES_SHOWN_BYTES], buffer[ATTN_NAME_SHOWN_BYTES];
    size_t count = 0, capacity = json_object_size(header->entries);
    const char **names = attn_alloc(capacity, sizeof *names);
    const char *name;
    json_t *entry;

    if (names == NULL)
        return attn_fail(header->error, ATTN_ERR_MEMORY, "%s: no memory for its names",
                         header->path);
    json_object_foreach(header->entries, name, entry) {
        if (strcmp(name, metadata_key) != 0) names[count++] = name;
    }
    attn_names_sort(names, count);
    attn_names_join(names, count, list);
    free(names);
    return attn_fail(header->error, ATTN_ERR_INPUT, "%s: has no tensor '%s'; it has %s",
                     header->path, attn_names_show(wanted, buffer), list);
}

/* Fills the descriptor from an entry that check_entry accepted. */
static attn_status fill_tensor(const safetensors_header *header, const char *name,
                               const json_t *entry, attn_tensor *tensor) {
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t type = find_element_type(entry);

    if (type == ELEMENT_TYPE_COUNT || element_types[type].dtype == REFUSED) {
        char buffer[2][ATTN_NAME_SHOWN_BYTES];
        return attn_fail(
            header->error, ATTN_ERR_INPUT,
            "%s: tensor '%s': its elements are '%s'; must be F32, F64, F16 or BF16", header->path,
            attn_names_show(name, buffer[0]),
            attn_names_show(json_string_value(json_object_get(entry, "dtype")), buffer[1]));
    }
    if (json_array_size(shape) > ATTN_MAX_DIMS)
        return fail_entry(header, name, "has more than 8 dimensions; must have at most 8");
    if (strlen(name) >= sizeof tensor->name)
        return fail_entry(header, name, "its name is too long; must have less than 256 bytes");
    snprintf(tensor->path, sizeof tensor->path, "%s", header->path);
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->dtype = (attn_dtype)element_types[type].dtype;
    tensor->dims = (int32_t)json_array_size(shape);
    for (int32_t i = 0; i < tensor->dims; i++)
        tensor->shape[i] = json_integer_value(json_array_get(shape, (size_t)i));
    tensor->offset_bytes =
        header->data_begin + (int64_t)json_integer_value(json_array_get(offsets, 0));
    return ATTN_OK;
}

attn_status attn_safetensors_describe(const char *path, const char *name, attn_tensor *tensor,
                                      attn_error *error) {
    safetensors_header header;

    memset(tensor, 0, sizeof *tensor);
    if (open_header(&header, path, error) == ATTN_OK) {
        const json_t *entry = find_entry(&header, name);
        if (entry == NULL)
            fail_missing(&header, name);
        else
            fill_tensor(&header, name, entry, tensor);
    }
    json_decref(header.entries);
    return error->status;
}

attn_status attn_safetensors_tensors(const char *path, json_t **tensors, attn_error *error) {
    safetensors_header header;

    *tensors = NULL;
    if (open_header(&header, path, error) != ATTN_OK) {
        json_decref(header.entries);
        return error->status;
    }
    json_object_del(header.entries, metadata_key);
    *tensors = header.entries;
    return ATTN_OK;
}
