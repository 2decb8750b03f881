/* The safetensors header: what is read, what is refused and in which words, and
 * that no damaged header does harm. */
#include "safetensors.h"

#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "scratch.h"

enum { MOST_FILE_BYTES = 65536 };

static char folder[ATTN_SCRATCH_BYTES];
static char path[ATTN_SCRATCH_BYTES + 32];

/* A file of that header with `data_bytes` of zeros; returns its length. */
static size_t make_file(const char *json, size_t data_bytes, unsigned char *file) {
    size_t length = strlen(json);

    memset(file, 0, 8);
    for (size_t i = 0; i < 4; i++) file[i] = (unsigned char)(length >> (8 * i) & 0xff);
    memcpy(file + 8, json, length);
    memset(file + 8 + length, 0, data_bytes);
    return 8 + length + data_bytes;
}

static attn_status describe(const char *json, size_t data_bytes, const char *name,
                            attn_tensor *tensor, attn_error *error) {
    static unsigned char file[MOST_FILE_BYTES];

    attn_scratch_write(path, file, make_file(json, data_bytes, file));
    return attn_safetensors_describe(path, name, tensor, error);
}

static const char good_json[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[24,34]},"
    "\"c\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[34,36]},"
    "\"d\":{\"dtype\":\"F64\",\"shape\":[0,7],\"data_offsets\":[36,36]},"
    "\"e\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[36,44]},"
    "\"f\":{\"dtype\":\"F4_NEW\",\"shape\":[3],\"data_offsets\":[44,46]},"
    "\"g\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[46,50]}}   ";
enum { GOOD_DATA_BYTES = 50 };

static void good_tensors_are_found(void) {
    static const struct {
        const char *name;
        attn_dtype dtype;
        int32_t dims;
        int64_t shape[ATTN_MAX_DIMS];
        int64_t offset_bytes;
    } cases[] = {
        {"a.weight", ATTN_DTYPE_F32, 2, {2, 3}, 0},
        {"b", ATTN_DTYPE_BF16, 1, {5}, 24},
        {"c", ATTN_DTYPE_F16, 0, {0}, 34},
        {"d", ATTN_DTYPE_F64, 2, {0, 7}, 36},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t begin = 8 + (int64_t)strlen(good_json);
        attn_tensor tensor;
        attn_error error;
        CU_ASSERT_EQUAL(describe(good_json, GOOD_DATA_BYTES, cases[i].name, &tensor, &error),
                        ATTN_OK);
        CU_ASSERT_STRING_EQUAL(error.message, "");
        CU_ASSERT_STRING_EQUAL(tensor.path, path);
        CU_ASSERT_STRING_EQUAL(tensor.name, cases[i].name);
        CU_ASSERT_EQUAL(tensor.dtype, cases[i].dtype);
        CU_ASSERT_EQUAL(tensor.dims, cases[i].dims);
        CU_ASSERT(memcmp(tensor.shape, cases[i].shape, sizeof tensor.shape) == 0);
        CU_ASSERT_EQUAL(tensor.offset_bytes, begin + cases[i].offset_bytes);
    }
}

static void unfit_tensors_are_refused_when_wanted(void) {
    static const struct {
        const char *name, *message;
    } cases[] = {
        {"e", "tensor 'e': its elements are 'I64'; must be F32, F64, F16 or BF16"},
        {"f", "tensor 'f': its elements are 'F4_NEW'"},
        {"g", "more than 8 dimensions"},
        {"__metadata__",
         "has no tensor '__metadata__'; it has 'a.weight', 'b', 'c', 'd', 'e', "
         "'f', 'g'"},
        {"a", "has no tensor 'a'; it has 'a.weight', 'b'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor tensor;
        attn_error error;
        CU_ASSERT_EQUAL(describe(good_json, GOOD_DATA_BYTES, cases[i].name, &tensor, &error),
                        ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
    }
}

static void the_names_are_those_of_tensors(void) {
    attn_tensor tensor;
    attn_error error;
    json_t *tensors;

    CU_ASSERT_EQUAL(describe(good_json, GOOD_DATA_BYTES, "b", &tensor, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_safetensors_tensors(path, &tensors, &error), ATTN_OK);
    CU_ASSERT_EQUAL(json_object_size(tensors), 7);
    CU_ASSERT_PTR_NOT_NULL(json_object_get(tensors, "e"));
    CU_ASSERT_PTR_NULL(json_object_get(tensors, "__metadata__"));
    json_decref(tensors);
    CU_ASSERT_EQUAL(attn_safetensors_tensors(folder, &tensors, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NULL(tensors);
}

static void references_name_file_and_tensor(void) {
    char reference[ATTN_SCRATCH_BYTES + 64];
    attn_tensor tensor;
    attn_error error;

    CU_ASSERT_EQUAL(describe(good_json, GOOD_DATA_BYTES, "b", &tensor, &error), ATTN_OK);
    snprintf(reference, sizeof reference, "%s#a.weight", path);
    CU_ASSERT_EQUAL(attn_tensor_describe(reference, &tensor, &error), ATTN_OK);
    CU_ASSERT_STRING_EQUAL(tensor.path, path);
    CU_ASSERT_STRING_EQUAL(tensor.name, "a.weight");
    CU_ASSERT_EQUAL(attn_tensor_elems(&tensor), 6);
    snprintf(reference, sizeof reference, "%s#x#y", path);
    CU_ASSERT_EQUAL(attn_tensor_describe(reference, &tensor, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "has no tensor 'x#y'"));
}

/* A header with one tensor 't'. */
#define ONE(dtype, shape, offsets) \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void wrong_headers_are_refused(void) {
    static const struct {
        const char *json;
        size_t data_bytes;
        const char *message;
    } cases[] = {
        {"", 4, "no valid JSON"},
        {"{", 4, "no valid JSON"},
        {"[]", 0, "must be a JSON object"},
        {"{}", 0, "has no tensor 't'; it has no tensors"},
        {"{} x", 0, "no valid JSON"},
        {"{\"t\":1,\"t\":2}", 0, "duplicate"},
        {"{\"t\":1}", 0, "tensor 't': must be a JSON object"},
        {"{\"u\":[]}", 0, "tensor 'u': must be a JSON object"},
        {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype; must be a string"},
        {ONE("7", "[1]", "[0,4]"), 4, "no dtype; must be a string"},
        {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no shape; must be an array"},
        {ONE("\"F32\"", "1", "[0,4]"), 4, "no shape; must be an array"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, "not an integer of 0 or more"},
        {ONE("\"F32\"", "[1.0]", "[0,4]"), 4, "not an integer of 0 or more"},
        {ONE("\"F32\"", "[true]", "[0,4]"), 4, "not an integer of 0 or more"},
        {ONE("\"F32\"", "[9223372036854775808]", "[0,4]"), 4, "no valid JSON"},
        {ONE("\"F32\"", "[4611686018427387904]", "[0,4]"), 4, "its shape is too large"},
        {ONE("\"F32\"", "[0,4294967296,4294967296]", "[0,0]"), 0, "its shape is too large"},
        {ONE("\"F32\"", "[1]", "[0]"), 4, "must be [begin, end]"},
        {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, "must be [begin, end]"},
        {ONE("\"F32\"", "[1]", "{}"), 4, "must be [begin, end]"},
        {ONE("\"F32\"", "[1]", "[-4,0]"), 4, "must be [begin, end]"},
        {ONE("\"F32\"", "[1]", "[0,4.0]"), 4, "must be [begin, end]"},
        {ONE("\"F32\"", "[1]", "[8,4]"), 8, "ends before it begins"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, "has 4 bytes; by its shape and dtype it must have 8"},
        {ONE("\"I8\"", "[2]", "[0,4]"), 4, "has 4 bytes; by its shape and dtype it must have 2"},
        {ONE("\"F32\"", "[2]", "[0,8]"), 7,
         "is shorter than its header says: 7 bytes of data; "
         "its tensors must fill 8"},
        {ONE("\"F32\"", "[2]", "[0,8]"), 9,
         "is longer than its header says: 9 bytes of data; "
         "its tensors must fill 8"},
        {ONE("\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]"), 4, "is shorter"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor tensor;
        attn_error error;
        CU_ASSERT_EQUAL(describe(cases[i].json, cases[i].data_bytes, "t", &tensor, &error),
                        ATTN_ERR_INPUT);
        CU_ASSERT_PTR_EQUAL(strstr(error.message, path), error.message);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        if (strstr(error.message, cases[i].message) == NULL)
            printf("\n    %s\n    said: %s\n", cases[i].json, error.message);
    }
}

static void wrong_lengths_are_refused(void) {
    static const struct {
        const char *bytes;
        size_t count;
        const char *message;
    } cases[] = {
        {"", 0, "has only 0 bytes; must be in the safetensors format"},
        {"\2\0\0\0\0\0\0", 7, "has only 7 bytes"},
        {"\2\0\0\0\0\0\0\0{", 9, "claims a header of 2 bytes in a file of 9"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "claims a header of 18446744073709551615"},
        {"\1\xe1\xf5\5\0\0\0\0{}", 10, "claims a header of 100000001"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor tensor;
        attn_error error;
        attn_scratch_write(path, cases[i].bytes, cases[i].count);
        CU_ASSERT_EQUAL(attn_safetensors_describe(path, "t", &tensor, &error), ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
    }
}

static void a_long_list_is_sorted_and_cut(void) {
    enum { COUNT = 300 };
    static char json[COUNT * 100];
    size_t used = 0;
    attn_tensor tensor;
    attn_error error;

    for (int i = COUNT; i-- > 0;)
        used += (size_t)snprintf(json + used, sizeof json - used,
                                 "%c\"layer.%03d\":{\"dtype\":\"F32\",\"shape\":[0],"
                                 "\"data_offsets\":[0,0]}",
                                 i == COUNT - 1 ? '{' : ',', i);
    snprintf(json + used, sizeof json - used, "}");
    CU_ASSERT_EQUAL(describe(json, 0, "x\n\033[31m", &tensor, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(error.message, "no tensor 'x??[31m'; it has 'layer.000', 'layer.001', "));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "' and "));
    CU_ASSERT_STRING_EQUAL(error.message + strlen(error.message) - 5, " more");
}

static void a_name_beyond_the_limit_is_refused(void) {
    char name[400], json[600];
    attn_tensor tensor;
    attn_error error;

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(json, sizeof json, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
             name);
    CU_ASSERT_EQUAL(describe(json, 0, name, &tensor, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "nnn...': its name is too long"));
}

static void every_truncation_is_refused(void) {
    unsigned char file[2048];
    size_t bytes = make_file(good_json, GOOD_DATA_BYTES, file);

    for (size_t i = 0; i < bytes; i++) {
        attn_tensor tensor;
        attn_error error;
        attn_scratch_write(path, file, i);
        CU_ASSERT_EQUAL(attn_safetensors_describe(path, "b", &tensor, &error), ATTN_ERR_INPUT);
    }
}

/* Whatever a byte becomes: a described tensor lies in its file, or it is refused. */
static void every_changed_byte_is_harmless(void) {
    static const unsigned char values[] = {0, 0xff, '"', '[', ']', '{', '}', ',', ':', '9', '-'};
    unsigned char file[2048];
    size_t bytes = make_file(good_json, GOOD_DATA_BYTES, file);

    for (size_t i = 0; i < bytes - GOOD_DATA_BYTES; i++)
        for (size_t j = 0; j < sizeof values; j++) {
            unsigned char kept = file[i];
            attn_tensor tensor;
            attn_error error;
            attn_status status;
            int64_t size;
            file[i] = values[j];
            attn_scratch_write(path, file, bytes);
            file[i] = kept;
            status = attn_safetensors_describe(path, "b", &tensor, &error);
            CU_ASSERT(status == ATTN_OK || status == ATTN_ERR_INPUT);
            if (status != ATTN_OK) continue;
            CU_ASSERT(attn_tensor_bytes(tensor.dims, tensor.shape, tensor.dtype, &size));
            CU_ASSERT(tensor.offset_bytes >= 8 && tensor.offset_bytes + size <= (int64_t)bytes);
        }
}

int main(void) {
    static const attn_test tests[] = {
        {"good tensors are found", good_tensors_are_found},
        {"unfit tensors are refused when wanted", unfit_tensors_are_refused_when_wanted},
        {"the names are those of tensors", the_names_are_those_of_tensors},
        {"references name file and tensor", references_name_file_and_tensor},
        {"wrong headers are refused", wrong_headers_are_refused},
        {"wrong lengths are refused", wrong_lengths_are_refused},
        {"a long list is sorted and cut", a_long_list_is_sorted_and_cut},
        {"a name beyond the limit is refused", a_name_beyond_the_limit_is_refused},
        {"every truncation is refused", every_truncation_is_refused},
        {"every changed byte is harmless", every_changed_byte_is_harmless},
    };
    int failed;

    attn_scratch_create(folder);
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    failed = attn_test_main("safetensors", tests, ATTN_TEST_COUNT(tests));
    attn_scratch_remove(folder);
    return failed;
}
