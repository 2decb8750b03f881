/* The .npy header: what is read, what is refused and in which words, and that no
 * damaged header does harm. */
#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "scratch.h"

enum { MOST_DATA_BYTES = 1024, MOST_FILE_BYTES = 4096 };

static char folder[ATTN_SCRATCH_BYTES];
static char path[ATTN_SCRATCH_BYTES + 16];

/* A file of that version and dict, with `data_bytes` of zeros; returns its length. */
static size_t make_file(int version, const char *dict, size_t data_bytes, unsigned char *file) {
    size_t length = strlen(dict), begin = version == 1 ? 10 : 12;

    memset(file, 0, MOST_FILE_BYTES);
    memcpy(file, "\x93NUMPY", 6);
    file[6] = (unsigned char)version;
    file[8] = (unsigned char)(length & 0xff);
    file[9] = (unsigned char)(length >> 8);
    memcpy(file + begin, dict, length);
    return begin + length + data_bytes;
}

static attn_status describe_bytes(const void *file, size_t bytes, attn_tensor *tensor,
                                  attn_error *error) {
    attn_scratch_write(path, file, bytes);
    return attn_npy_describe(path, tensor, error);
}

static attn_status describe_dict(int version, const char *dict, size_t data_bytes,
                                 attn_tensor *tensor, attn_error *error) {
    unsigned char file[MOST_FILE_BYTES];

    return describe_bytes(file, make_file(version, dict, data_bytes, file), tensor, error);
}

static void good_headers_are_read(void) {
    static const struct {
        int version;
        const char *dict;
        size_t data_bytes;
        attn_dtype dtype;
        int32_t dims;
        int64_t shape[ATTN_MAX_DIMS];
    } cases[] = {
        {1,
         "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }  \n",
         48,
         ATTN_DTYPE_F32,
         2,
         {3, 4}},
        {2,
         "{'descr': '<f8', 'fortran_order': False, 'shape': (5,)}\n",
         40,
         ATTN_DTYPE_F64,
         1,
         {5}},
        {3,
         "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2, 2,)}",
         16,
         ATTN_DTYPE_F16,
         3,
         {2, 2, 2}},
        {1,
         "{\"shape\":(7,1),\"fortran_order\":False,\"descr\":\"<f4\"}",
         28,
         ATTN_DTYPE_F32,
         2,
         {7, 1}},
        {1,
         " \t{ 'shape' :\n( 1 , 2 ) , 'descr' : '<f4' , 'fortran_order' : False , } \r\n",
         8,
         ATTN_DTYPE_F32,
         2,
         {1, 2}},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, ATTN_DTYPE_F32, 0, {0}},
        {1,
         "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9), }",
         0,
         ATTN_DTYPE_F32,
         2,
         {0, 9}},
        {1,
         "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 2), }",
         8,
         ATTN_DTYPE_F32,
         8,
         {1, 1, 1, 1, 1, 1, 1, 2}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t begin = strlen(cases[i].dict) + (cases[i].version == 1 ? 10 : 12);
        attn_tensor tensor;
        attn_error error;
        CU_ASSERT_EQUAL(
            describe_dict(cases[i].version, cases[i].dict, cases[i].data_bytes, &tensor, &error),
            ATTN_OK);
        CU_ASSERT_STRING_EQUAL(error.message, "");
        CU_ASSERT_STRING_EQUAL(tensor.path, path);
        CU_ASSERT_STRING_EQUAL(tensor.name, "");
        CU_ASSERT_EQUAL(tensor.dtype, cases[i].dtype);
        CU_ASSERT_EQUAL(tensor.dims, cases[i].dims);
        CU_ASSERT(memcmp(tensor.shape, cases[i].shape, sizeof tensor.shape) == 0);
        CU_ASSERT_EQUAL(tensor.offset_bytes, (int64_t)begin);
    }
}

#define DICT(descr, order, shape) \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

static void wrong_dicts_are_refused(void) {
    static const struct {
        const char *dict, *message;
    } cases[] = {
        {DICT("'>f4'", "False", "(1,)"), "big-endian floats ('>f4'); must be '<f4'"},
        {DICT("'|f4'", "False", "(1,)"), "another sort of float ('|f4')"},
        {DICT("'<f16'", "False", "(1,)"), "another sort of float ('<f16')"},
        {DICT("'<i4'", "False", "(1,)"), "are integers ('<i4')"},
        {DICT("'|u1'", "False", "(1,)"), "unsigned integers ('|u1')"},
        {DICT("'|b1'", "False", "(1,)"), "booleans ('|b1')"},
        {DICT("'<c8'", "False", "(1,)"), "complex numbers ('<c8')"},
        {DICT("'|O'", "False", "(1,)"), "Python objects ('|O')"},
        {DICT("'<U3'", "False", "(1,)"), "text ('<U3')"},
        {DICT("'|V2'", "False", "(1,)"), "raw bytes ('|V2')"},
        {DICT("''", "False", "(1,)"), "of an unknown kind ('')"},
        {DICT("'f'", "False", "(1,)"), "of an unknown kind ('f')"},
        {DICT("[('a', '<f4')]", "False", "(1,)"), "structured dtype"},
        {DICT("4", "False", "(1,)"), "must be a quoted string"},
        {DICT("'<f4", "False", "(1,)"), "another sort of float ('<f4, ')"},
        {DICT("'<\\x664'", "False", "(1,)"), "must be plain text"},
        {DICT("'<f4444444444444444444444444444444444444'", "False", "(1,)"), "a short string"},
        {DICT("'<f4'", "True", "(1, 1)"), "is in Fortran order; must be in C order"},
        {DICT("'<f4'", "0", "(1,)"), "must be True or False"},
        {DICT("'<f4'", "False", "(-1,)"), "has a negative extent"},
        {DICT("'<f4'", "False", "(1)"), "(3,) rather than (3)"},
        {DICT("'<f4'", "False", "[1]"), "must be a tuple"},
        {DICT("'<f4'", "False", "(1 2)"), "must be ',' or ')'"},
        {DICT("'<f4'", "False", "(1,,2)"), "must be an integer"},
        {DICT("'<f4'", "False", "(1.5,)"), "must be ',' or ')'"},
        {DICT("'<f4'", "False", "(1"), "must be an integer"},
        {DICT("'<f4'", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "more than 8 dimensions"},
        {DICT("'<f4'", "False", "(9223372036854775808,)"), "an extent beyond 64 bits"},
        {DICT("'<f4'", "False", "(4611686018427387904,)"), "its shape is too large"},
        {DICT("'<f4'", "False", "(2305843009213693951,)"), "its shape is too large"},
        {DICT("'<f4'", "False", "(0, 4294967296, 4294967296)"), "its shape is too large"},
        {DICT("'<f4'", "False", "(1,)") "x", "must be nothing but space"},
        {"{'descr': '<f4', 'fortran_order': False}", "no 'shape' in the .npy header"},
        {"{}", "no 'descr' in the .npy header"},
        {"{'descr': '<f4', 'descr': '<f4'}", "second 'descr'"},
        {"{'desc': '<f4'}", "unknown key 'desc'"},
        {"{'descr' '<f4'}", "must be ':'"},
        {"{'descr': '<f4' 'shape': (1,)}", "must be ',' or '}'"},
        {"{descr: '<f4'}", "must be a quoted string"},
        {"{'descr': '<f4',", "must be a quoted string"},
        {"{'descr", "must be the end of a string"},
        {"['descr']", "damaged at its byte 0; must be '{'"},
        {"", "damaged at its byte 0; must be '{'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor tensor;
        attn_error error;
        CU_ASSERT_EQUAL(describe_dict(1, cases[i].dict, 4, &tensor, &error), ATTN_ERR_INPUT);
        CU_ASSERT_PTR_EQUAL(strstr(error.message, path), error.message);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        if (strstr(error.message, cases[i].message) == NULL)
            printf("\n    %s\n    said: %s\n", cases[i].dict, error.message);
    }
}

static void wrong_files_are_refused(void) {
    static const struct {
        const char *bytes;
        size_t count;
        const char *message;
    } cases[] = {
        {"", 0, "is empty; must be NumPy's .npy format"},
        {"PK\3\4", 4, "does not start as a .npy file does"},
        {"\x93NUMPX\1\0\0\0{}", 12, "does not start as a .npy file does"},
        {"\x93NUMPY", 6, "ends inside its header"},
        {"\x93NUMPY\1\0\2", 9, "ends inside its header"},
        {"\x93NUMPY\1\0\3\0{}", 12, "12 bytes; the header alone must have 13"},
        {"\x93NUMPY\0\0\2\0{}", 12, "is .npy version 0.0; must be 1.0, 2.0 or 3.0"},
        {"\x93NUMPY\4\0\2\0{}", 12, "is .npy version 4.0"},
        {"\x93NUMPY\1\1\2\0{}", 12, "is .npy version 1.1"},
        {"\x93NUMPY\2\0\xff\xff\xff\xff{}", 14, "claims a header of 4294967295 bytes; at most"},
        {"\x93NUMPY\3\0\1\0\x10\0{}", 14, "claims a header of 1048577 bytes"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_tensor tensor;
        attn_error error;
        CU_ASSERT_EQUAL(describe_bytes(cases[i].bytes, cases[i].count, &tensor, &error),
                        ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
    }
}

static void a_wrong_size_is_told_with_both_sizes(void) {
    static const char dict[] = DICT("'<f4'", "False", "(3, 4)");
    attn_tensor tensor;
    attn_error error;
    char sizes[128];
    int begin = (int)strlen(dict) + 10;

    CU_ASSERT_EQUAL(describe_dict(1, dict, 47, &tensor, &error), ATTN_ERR_INPUT);
    snprintf(sizes, sizeof sizes,
             "is shorter than its header says: %d bytes; by its shape it "
             "must have %d",
             begin + 47, begin + 48);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, sizes));
    CU_ASSERT_EQUAL(describe_dict(1, dict, 49, &tensor, &error), ATTN_ERR_INPUT);
    snprintf(sizes, sizeof sizes,
             "is longer than its header says: %d bytes; by its shape it "
             "must have %d",
             begin + 49, begin + 48);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, sizes));
}

static void what_cannot_be_opened_is_refused(void) {
    char missing[ATTN_SCRATCH_BYTES + 16];
    attn_tensor tensor;
    attn_error error;

    snprintf(missing, sizeof missing, "%s/none.npy", folder);
    CU_ASSERT_EQUAL(attn_npy_describe(missing, &tensor, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "none.npy: cannot open: No such file"));
    CU_ASSERT_EQUAL(attn_npy_describe(folder, &tensor, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "is a directory"));
}

static void references_are_told_apart(void) {
    static const struct {
        const char *reference, *message;
    } cases[] = {
        {"x.safetensors", "does not say which tensor of the file; write x.safetensors#NAME"},
        {"x.safetensors#", "no tensor's name behind '#'"},
        {"x.txt", "must be FILE.npy or FILE.safetensors#NAME"},
        {"", "must be FILE.npy or FILE.safetensors#NAME"},
        {"x.npy#a", "must be FILE.npy or FILE.safetensors#NAME"},
        {"/none/a#b.npy", "/none/a#b.npy: cannot open"},
        {"/none/a.safetensors#b/c.safetensors#d#e", "/none/a.safetensors#b/c.safetensors: cannot"},
    };
    static char beyond[ATTN_PATH_BYTES + 8];
    attn_tensor tensor;
    attn_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CU_ASSERT_EQUAL(attn_tensor_describe(cases[i].reference, &tensor, &error), ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
    }
    memset(beyond, 'x', sizeof beyond - 1);
    memcpy(beyond + sizeof beyond - 5, ".npy", 4);
    CU_ASSERT_EQUAL(attn_tensor_describe(beyond, &tensor, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "a path of 4103 bytes; must have less than 4096"));
    CU_ASSERT_EQUAL(describe_dict(1, DICT("'<f4'", "False", "(2, 3)"), 24, &tensor, &error), 0);
    CU_ASSERT_EQUAL(attn_tensor_describe(path, &tensor, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_tensor_elems(&tensor), 6);
}

static void made_headers_are_read_back(void) {
    static const struct {
        int32_t dims;
        int64_t shape[ATTN_MAX_DIMS];
    } cases[] = {
        {0, {0}},       {1, {3}},          {2, {3, 4}},
        {3, {1, 2, 3}}, {4, {2, 0, 5, 7}}, {8, {1, 1, 2, 1, 1, 1, 2, 1}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[ATTN_NPY_HEADER_BYTES + MOST_DATA_BYTES] = {0};
        size_t begin = attn_npy_header(cases[i].dims, cases[i].shape, file);
        attn_tensor tensor;
        attn_error error;
        int64_t bytes;
        CU_ASSERT_EQUAL(begin % 64, 0);
        CU_ASSERT_EQUAL(file[begin - 1], '\n');
        CU_ASSERT(attn_tensor_bytes(cases[i].dims, cases[i].shape, ATTN_DTYPE_F32, &bytes));
        memset(file + begin, 0, (size_t)bytes);
        CU_ASSERT_EQUAL(describe_bytes(file, begin + (size_t)bytes, &tensor, &error), ATTN_OK);
        CU_ASSERT_EQUAL(tensor.dims, cases[i].dims);
        CU_ASSERT(memcmp(tensor.shape, cases[i].shape, sizeof tensor.shape) == 0);
        CU_ASSERT_EQUAL(tensor.offset_bytes, (int64_t)begin);
    }
}

static void headers_are_numpys_bytes(void) {
    static const int64_t shape[] = {3, 4}, widest[] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
                                                       INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    char header[ATTN_NPY_HEADER_BYTES], wanted[129];

    snprintf(wanted, sizeof wanted, "%-127s\n",
             "\x93NUMPY\1_v_{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }");
    memcpy(wanted + 7, "\0v\0", 3);
    CU_ASSERT_EQUAL(attn_npy_header(2, shape, header), 128);
    CU_ASSERT(memcmp(header, wanted, 128) == 0);
    CU_ASSERT(attn_npy_header(ATTN_MAX_DIMS, widest, header) <= ATTN_NPY_HEADER_BYTES);
}

static void every_truncation_is_refused(void) {
    unsigned char file[MOST_FILE_BYTES];
    size_t bytes = make_file(1, DICT("'<f4'", "False", "(3, 4)"), 48, file);

    for (size_t i = 0; i < bytes; i++) {
        attn_tensor tensor;
        attn_error error;
        CU_ASSERT_EQUAL(describe_bytes(file, i, &tensor, &error), ATTN_ERR_INPUT);
    }
}

/* Whatever a byte becomes: a described tensor lies in its file, or it is refused. */
static void every_changed_byte_is_harmless(void) {
    static const unsigned char values[] = {0,   0xff, '\'', '"', '(', ')',  '{', '}',
                                           ',', ':',  '9',  '-', ' ', '\\', '[', 0x80};

    for (int version = 1; version <= 3; version++) {
        unsigned char file[MOST_FILE_BYTES];
        size_t bytes = make_file(version, DICT("'<f4'", "False", "(3, 4)"), 48, file);
        for (size_t i = 0; i < bytes - 48; i++)
            for (size_t j = 0; j < sizeof values; j++) {
                unsigned char kept = file[i];
                attn_tensor tensor;
                attn_error error;
                int64_t size;
                attn_status status;
                file[i] = values[j];
                status = describe_bytes(file, bytes, &tensor, &error);
                file[i] = kept;
                CU_ASSERT(status == ATTN_OK || status == ATTN_ERR_INPUT);
                if (status != ATTN_OK) continue;
                CU_ASSERT(attn_tensor_bytes(tensor.dims, tensor.shape, tensor.dtype, &size));
                CU_ASSERT_EQUAL(tensor.offset_bytes + size, (int64_t)bytes);
            }
    }
}

int main(void) {
    static const attn_test tests[] = {
        {"good headers are read", good_headers_are_read},
        {"wrong dicts are refused", wrong_dicts_are_refused},
        {"wrong files are refused", wrong_files_are_refused},
        {"a wrong size is told with both sizes", a_wrong_size_is_told_with_both_sizes},
        {"what cannot be opened is refused", what_cannot_be_opened_is_refused},
        {"references are told apart", references_are_told_apart},
        {"made headers are read back", made_headers_are_read_back},
        {"headers are NumPy's bytes", headers_are_numpys_bytes},
        {"every truncation is refused", every_truncation_is_refused},
        {"every changed byte is harmless", every_changed_byte_is_harmless},
    };
    int failed;

    attn_scratch_create(folder);
    snprintf(path, sizeof path, "%s/x.npy", folder);
    failed = attn_test_main("npy", tests, ATTN_TEST_COUNT(tests));
    attn_scratch_remove(folder);
    return failed;
}
