#define _POSIX_C_SOURCE 200809L

#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"

/* A file is: magic, version (major, minor), the length of the header (2 bytes in
 * version 1, 4 in 2 and 3, little-endian), the header, the elements. The header is
 * a Python dict, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, filled
 * up with spaces and ended by a newline. */
static const char magic[6] = "\x93NUMPY";

enum {
    PREAMBLE_BYTES = 12,         /* of version 2 and 3; 10 in version 1 */
    MOST_HEADER_BYTES = 1 << 20, /* three short entries: more is no honest header */
    DESCR_BYTES = 32,
};

/* The element types that a reader takes. */
typedef struct npy_dtypes {
    struct {
        const char *descr;
        attn_dtype dtype;
    } rows[4];         /* ends with a NULL */
    const char *words; /* for messages */
} npy_dtypes;

static const npy_dtypes floats = {
    {{"<f4", ATTN_DTYPE_F32}, {"<f8", ATTN_DTYPE_F64}, {"<f2", ATTN_DTYPE_F16}},
    "'<f4', '<f8' or '<f2'"};
static const npy_dtypes integers = {{{"<i8", ATTN_DTYPE_I64}, {"<i4", ATTN_DTYPE_I32}},
                                    "'<i8' or '<i4'"};

/* A header while it is read. */
typedef struct npy_parser {
    const char *path;
    const char *begin, *at, *end;
    const npy_dtypes *accepted;
    attn_tensor *tensor;
    attn_error *error;
} npy_parser;

static attn_status expected(const npy_parser *parser, const char *what) {
    return attn_fail(parser->error, ATTN_ERR_INPUT,
                     "%s: the .npy header is damaged at its byte %td; must be %s there",
                     parser->path, parser->at - parser->begin, what);
}

static void skip_space(npy_parser *parser) {
    while (parser->at < parser->end && *parser->at != '\0' && strchr(" \t\n\r\f", *parser->at))
        parser->at++;
}

/* Whether `word` comes next, after space; then it is passed. */
static int take(npy_parser *parser, const char *word) {
    size_t bytes = strlen(word);

    skip_space(parser);
    if ((size_t)(parser->end - parser->at) < bytes || memcmp(parser->at, word, bytes) != 0)
        return 0;
    parser->at += bytes;
    return 1;
}

/* A quoted string into `text`. Keys and dtypes are short and need no escapes. */
static attn_status take_string(npy_parser *parser, char text[DESCR_BYTES]) {
    char quote = '\0';
    size_t bytes = 0;

    if (take(parser, "'"))
        quote = '\'';
    else if (take(parser, "\""))
        quote = '"';
    if (quote == '\0') return expected(parser, "a quoted string");
    for (; parser->at < parser->end && *parser->at != quote; parser->at++) {
        if (*parser->at < ' ' || *parser->at > '~' || *parser->at == '\\')
            return expected(parser, "plain text");
        if (bytes + 1 == DESCR_BYTES) return expected(parser, "the end of a short string");
        text[bytes++] = *parser->at;
    }
    if (parser->at == parser->end) return expected(parser, "the end of a string");
    parser->at++;
    text[bytes] = '\0';
    return ATTN_OK;
}

/* NumPy's letter for a kind of element, behind the byte order. */
static const struct {
    char kind;
    const char *words;
} refused_dtypes[] = {
    {'f', "another sort of float"},
    {'i', "integers"},
    {'u', "unsigned integers"},
    {'b', "booleans"},
    {'c', "complex numbers"},
    {'O', "Python objects"},
    {'S', "byte strings"},
    {'U', "text"},
    {'V', "raw bytes"},
    {'M', "dates"},
    {'m', "time spans"},
};

static attn_status refuse_dtype(const npy_parser *parser, const char *descr) {
    const char *words = "of an unknown kind";
    size_t count = sizeof refused_dtypes / sizeof *refused_dtypes;

    for (size_t i = 0; i < count && descr[0] != '\0'; i++)
        if (descr[1] == refused_dtypes[i].kind) words = refused_dtypes[i].words;
    if (descr[0] == '>' && descr[1] == 'f') words = "big-endian floats";
    return attn_fail(parser->error, ATTN_ERR_INPUT, "%s: its elements are %s ('%s'); must be %s",
                     parser->path, words, descr, parser->accepted->words);
}

static attn_status parse_descr(npy_parser *parser) {
    char descr[DESCR_BYTES];

    if (take(parser, "["))
        return attn_fail(parser->error, ATTN_ERR_INPUT, "%s: has a structured dtype; must be %s",
                         parser->path, parser->accepted->words);
    if (take_string(parser, descr) != ATTN_OK) return parser->error->status;
    for (int i = 0; parser->accepted->rows[i].descr != NULL; i++)
        if (strcmp(descr, parser->accepted->rows[i].descr) == 0) {
            parser->tensor->dtype = parser->accepted->rows[i].dtype;
            return ATTN_OK;
        }
    return refuse_dtype(parser, descr);
}

static attn_status parse_fortran_order(npy_parser *parser) {
    if (take(parser, "False")) return ATTN_OK;
    if (take(parser, "True"))
        return attn_fail(parser->error, ATTN_ERR_INPUT,
                         "%s: is in Fortran order; must be in C order (numpy.ascontiguousarray)",
                         parser->path);
    return expected(parser, "True or False");
}

static attn_status parse_extent(npy_parser *parser, int64_t *extent) {
    int64_t value = 0;
    int digits = 0;

    if (take(parser, "-"))
        return attn_fail(parser->error, ATTN_ERR_INPUT,
                         "%s: has a negative extent; must be 0 or more", parser->path);
    for (; parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9'; parser->at++) {
        int digit = *parser->at - '0';
        if (value > (INT64_MAX - digit) / 10)
            return attn_fail(parser->error, ATTN_ERR_INPUT,
                             "%s: has an extent beyond 64 bits; must be below 2^63", parser->path);
        value = value * 10 + digit;
        digits++;
    }
    if (digits == 0) return expected(parser, "an integer");
    *extent = value;
    return ATTN_OK;
}

/* A Python tuple: (), (3,), (3, 4) or (3, 4,); but (3) would be a number. */
static attn_status parse_shape(npy_parser *parser) {
    attn_tensor *tensor = parser->tensor;
    int comma = 1;

    tensor->dims = 0;
    if (!take(parser, "(")) return expected(parser, "a tuple");
    while (!take(parser, ")")) {
        if (!comma) return expected(parser, "',' or ')'");
        if (tensor->dims == ATTN_MAX_DIMS)
            return attn_fail(parser->error, ATTN_ERR_INPUT,
                             "%s: has more than %d dimensions; must have at most %d", parser->path,
                             ATTN_MAX_DIMS, ATTN_MAX_DIMS);
        if (parse_extent(parser, &tensor->shape[tensor->dims]) != ATTN_OK)
            return parser->error->status;
        tensor->dims++;
        comma = take(parser, ",");
    }
    if (tensor->dims == 1 && !comma) return expected(parser, "a tuple, (3,) rather than (3)");
    return ATTN_OK;
}

static const struct {
    const char *key;
    attn_status (*parse)(npy_parser *parser);
} fields[] = {
    {"descr", parse_descr},
    {"fortran_order", parse_fortran_order},
    {"shape", parse_shape},
};

enum { FIELD_COUNT = sizeof fields / sizeof *fields };

static attn_status parse_field(npy_parser *parser, int seen[FIELD_COUNT]) {
    char key[DESCR_BYTES];
    size_t i = 0;

    if (take_string(parser, key) != ATTN_OK) return parser->error->status;
    while (i < FIELD_COUNT && strcmp(key, fields[i].key) != 0) i++;
    if (i == FIELD_COUNT || seen[i])
        return attn_fail(parser->error, ATTN_ERR_INPUT,
                         "%s: %s '%s' in the .npy header; must be 'descr', 'fortran_order' and "
                         "'shape', each once",
                         parser->path, i == FIELD_COUNT ? "unknown key" : "second", key);
    seen[i] = 1;
    if (!take(parser, ":")) return expected(parser, "':'");
    return fields[i].parse(parser);
}

static attn_status parse_header(npy_parser *parser) {
    int seen[FIELD_COUNT] = {0};
    int comma = 1;

    if (!take(parser, "{")) return expected(parser, "'{'");
    while (!take(parser, "}")) {
        if (!comma) return expected(parser, "',' or '}'");
        if (parse_field(parser, seen) != ATTN_OK) return parser->error->status;
        comma = take(parser, ",");
    }
    skip_space(parser);
    if (parser->at != parser->end) return expected(parser, "nothing but space");
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (!seen[i])
            return attn_fail(parser->error, ATTN_ERR_INPUT,
                             "%s: no '%s' in the .npy header; must be there", parser->path,
                             fields[i].key);
    return ATTN_OK;
}

/* The elements must fill the file from behind the header to its end. */
static attn_status check_size(const npy_parser *parser, int64_t file_bytes) {
    const attn_tensor *tensor = parser->tensor;
    int64_t bytes;

    if (!attn_tensor_bytes(tensor->dims, tensor->shape, tensor->dtype, &bytes) ||
        bytes > INT64_MAX - tensor->offset_bytes)
        return attn_fail(parser->error, ATTN_ERR_INPUT,
                         "%s: its shape is too large; its bytes must be countable in 64 bits",
                         parser->path);
    bytes += tensor->offset_bytes;
    if (file_bytes != bytes)
        return attn_fail(
            parser->error, ATTN_ERR_INPUT,
            "%s: is %s than its header says: %" PRId64 " bytes; by its shape it must have %" PRId64,
            parser->path, file_bytes < bytes ? "shorter" : "longer", file_bytes, bytes);
    return ATTN_OK;
}

/* Finds the header's place: [*begin, *begin + *bytes) of the file. */
static attn_status find_header(int descriptor, const char *path, int64_t file_bytes, int64_t *begin,
                               size_t *bytes, attn_error *error) {
    unsigned char preamble[PREAMBLE_BYTES] = {0};
    size_t there = file_bytes < PREAMBLE_BYTES ? (size_t)file_bytes : PREAMBLE_BYTES;
    size_t length = 0;

    if (attn_file_read_at(descriptor, path, 0, there, preamble, error) != ATTN_OK)
        return error->status;
    if (there < sizeof magic || memcmp(preamble, magic, sizeof magic) != 0)
        return attn_fail(error, ATTN_ERR_INPUT, "%s: %s; must be NumPy's .npy format", path,
                         there == 0 ? "is empty" : "does not start as a .npy file does");
    if (there == PREAMBLE_BYTES && (preamble[6] < 1 || preamble[6] > 3 || preamble[7] != 0))
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: is .npy version %d.%d; must be 1.0, 2.0 or 3.0", path, preamble[6],
                         preamble[7]);
    *begin = preamble[6] == 1 ? 10 : PREAMBLE_BYTES;
    for (int64_t i = *begin; i-- > 8;) length = length << 8 | preamble[i];
    if (length > MOST_HEADER_BYTES)
        return attn_fail(error, ATTN_ERR_INPUT, "%s: claims a header of %zu bytes; at most %d",
                         path, length, MOST_HEADER_BYTES);
    if (file_bytes - *begin < (int64_t)length)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: ends inside its header: %" PRId64
                         " bytes; the header alone must have %" PRId64,
                         path, file_bytes, *begin + (int64_t)length);
    *bytes = length;
    return ATTN_OK;
}

static attn_status describe(const char *path, const npy_dtypes *accepted, attn_tensor *tensor,
                            attn_error *error) {
    npy_parser parser = {.path = path, .accepted = accepted, .tensor = tensor, .error = error};
    int64_t file_bytes, begin = 0;
    size_t bytes = 0;
    char *text = NULL;
    int descriptor;

    memset(tensor, 0, sizeof *tensor);
    if (attn_file_open(path, &descriptor, &file_bytes, error) != ATTN_OK) return error->status;
    if (find_header(descriptor, path, file_bytes, &begin, &bytes, error) != ATTN_OK) goto cleanup;
    text = attn_alloc(bytes, 1);
    if (text == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory for its header", path);
        goto cleanup;
    }
    if (attn_file_read_at(descriptor, path, begin, bytes, text, error) != ATTN_OK) goto cleanup;
    parser.begin = parser.at = text;
    parser.end = text + bytes;
    if (parse_header(&parser) != ATTN_OK) goto cleanup;
    snprintf(tensor->path, sizeof tensor->path, "%s", path);
    tensor->offset_bytes = begin + (int64_t)bytes;
    check_size(&parser, file_bytes);

cleanup:
    free(text);
    close(descriptor);
    return error->status;
}

attn_status attn_npy_describe(const char *path, attn_tensor *tensor, attn_error *error) {
    return describe(path, &floats, tensor, error);
}

/* The 32-bit integers at the front of `values` become the 64-bit ones that it is for. */
static void widen(int64_t *values, int64_t count) {
    for (int64_t i = count; i-- > 0;) {
        int32_t narrow;

        memcpy(&narrow, (const char *)values + i * (int64_t)sizeof narrow, sizeof narrow);
        values[i] = narrow;
    }
}

attn_status attn_npy_read_integers(const char *path, int64_t most, int64_t **values, int64_t *count,
                                   attn_error *error) {
    attn_tensor tensor;
    int64_t file_bytes;
    int descriptor;

    *values = NULL;
    if (describe(path, &integers, &tensor, error) != ATTN_OK) return error->status;
    if (tensor.dims != 1 || tensor.shape[0] < 1 || tensor.shape[0] > most)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: has %d dimensions and %" PRId64
                         " integers; must be a list, [n], of 1 to %" PRId64,
                         path, tensor.dims, attn_tensor_elems(&tensor), most);
    *count = tensor.shape[0];
    if (attn_file_open(path, &descriptor, &file_bytes, error) != ATTN_OK) return error->status;
    *values = attn_alloc((size_t)*count, sizeof **values);
    if (*values == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory for its integers", path);
    else
        attn_file_read_at(descriptor, path, tensor.offset_bytes,
                          (size_t)(*count * attn_dtype_bytes(tensor.dtype)), *values, error);
    close(descriptor);
    if (error->status == ATTN_OK && tensor.dtype == ATTN_DTYPE_I32) widen(*values, *count);
    if (error->status != ATTN_OK) {
        free(*values);
        *values = NULL;
    }
    return error->status;
}

size_t attn_npy_header(int32_t dims, const int64_t *shape, char *header) {
    enum { PREFIX = 10, ALIGNMENT = 64, GROWTH_DIGITS = 21 };
    char text[ATTN_NPY_HEADER_BYTES] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    size_t used = strlen(text), total;

    for (int32_t i = 0; i < dims; i++) {
        int digits = snprintf(text + used, sizeof text - used, "%" PRId64, shape[i]);
        used += (size_t)digits;
        if (i + 1 < dims || dims == 1) text[used++] = ',';
        if (i + 1 < dims) text[used++] = ' ';
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "), }");
    /* NumPy leaves room to let the first extent grow in place, and a whole 64 bytes
     * more when nothing is missing. */
    if (dims > 0) used += GROWTH_DIGITS - (size_t)snprintf(NULL, 0, "%" PRId64, shape[0]);
    total = ((PREFIX + used + 1) / ALIGNMENT + 1) * ALIGNMENT;

    memset(header, ' ', total);
    memcpy(header, magic, sizeof magic);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((total - PREFIX) & 0xff);
    header[9] = (char)((total - PREFIX) >> 8);
    memcpy(header + PREFIX, text, strlen(text));
    header[total - 1] = '\n';
    return total;
}
