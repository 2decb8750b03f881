/* Files that have no tensor to give: of other formats, damaged, or with numbers that are not
 * finite. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "bad_requests.h"
#include "cli_files.h"
#include "harness.h"
#include "scratch.h"
#include "small_inputs.h"

enum { ROWS = ATTN_SMALL_ROWS, WIDTH = ATTN_SMALL_WIDTH };

/* .npy files with a header that is refused, or that does not fit the file. */
static void write_odd_npy(void) {
    static const struct {
        const char *name, *header;
        size_t bytes;
    } files[] = {
        {"in/big_endian.npy", "{'descr': '>f4', 'fortran_order': False, 'shape': (64, 32), }\n",
         8192},
        {"in/integers.npy", "{'descr': '<i4', 'fortran_order': False, 'shape': (64, 32), }\n",
         8192},
        {"in/fortran.npy", "{'descr': '<f4', 'fortran_order': True, 'shape': (64, 32), }\n", 8192},
        {"in/shorter.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 32), }\n", 8188},
        {"in/longer.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 32), }\n", 8196},
        {"in/claims_more.npy",
         "{'descr': '<f4', 'fortran_order': False, 'shape': (64000000000, 32), }\n", 8192},
        {"in/overflows.npy",
         "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 32), }\n", 8192},
        {"in/damaged.npy", "{'descr': '<f4', 'fortran_order' False, 'shape': (64, 32), }\n", 8192},
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        attn_cli_write_npy(attn_cli_path(files[i].name), files[i].header, attn_small_numbers(),
                           files[i].bytes);
    mkdir(attn_cli_path("in/folder.npy"), 0777);
    attn_cli_write_text("in/empty.npy", "");
    attn_cli_write_text("in/text.npy", "1.0 2.0 3.0\n");
    attn_scratch_write(attn_cli_path("in/ends_early.npy"),
                       "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4'", 25);
}

static void write_odd_safetensors(void) {
    static const struct {
        const char *name, *header;
        size_t bytes;
    } files[] = {
        {"in/shorter.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8191},
        {"in/longer.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8193},
        {"in/lies.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[65,32],\"data_offsets\":[0,8192]}}", 8192},
        {"in/integers.safetensors",
         "{\"x\":{\"dtype\":\"I32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8192},
        {"in/not_json.safetensors", "{\"x\":{\"dtype\" \"F32\"}}", 0},
        {"in/named.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8192},
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        attn_cli_write_safetensors(attn_cli_path(files[i].name), files[i].header,
                                   attn_small_numbers(), files[i].bytes);
    attn_cli_write_text("in/empty.safetensors", "");
    attn_scratch_write(attn_cli_path("in/claims_more.safetensors"),
                       "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
}

static void write_layer_without_w_o(void) {
    attn_small_layer_write(
        "no_o.safetensors",
        (const attn_cli_tensor[]){{"W_O.weight", 0, 0, NULL}, {"W_O.bias", 0, 0, NULL}}, 2);
}

/* x_nan.npy is there. */
static void write_poisoned(void) {
    static float weight[WIDTH * WIDTH];
    static double wide[ROWS * WIDTH];

    attn_small_spoilt_write("x_inf.npy", 2, (const int64_t[]){ROWS, WIDTH}, 31, -INFINITY);
    attn_small_spoilt_write("k_nan.npy", 3, (const int64_t[]){2, 24, 8}, 12 * 8 + 4, NAN);
    memcpy(weight, attn_small_numbers(), sizeof weight);
    weight[1 * WIDTH + 3] = INFINITY;
    attn_small_layer_write("infinite.safetensors",
                           &(attn_cli_tensor){"W_K.weight", WIDTH, WIDTH, weight}, 1);
    for (int i = 0; i < ROWS * WIDTH; i++) wide[i] = (double)attn_small_numbers()[i];
    wide[1 * WIDTH + 1] = 1e300;
    attn_cli_write_npy(attn_cli_path("in/x_wide.npy"),
                       "{'descr': '<f8', 'fortran_order': False, 'shape': (64, 32), }\n", wide,
                       sizeof wide);
}

static void a_file_that_is_no_tensor_is_refused(void) {
    static const attn_bad_request requests[] = {
        {"a missing x", .config = "layer.yaml", .sets = {"input.x=none.npy"},
         .message = {"in/none.npy: cannot open: No such file or directory"}, .on_ranks = 1},
        {"an x that is a folder", .config = "layer.yaml", .sets = {"input.x=folder.npy"},
         .message = {"in/folder.npy: is a directory; must be a file"}},
        {"a name that says no format", .config = "layer.yaml", .sets = {"input.x=x.bin"},
         .message = {"in/x.bin: not a tensor's reference; must be FILE.npy or FILE.safetensors#"}},
        {"an empty .npy", .config = "layer.yaml", .sets = {"input.x=empty.npy"},
         .message = {"in/empty.npy: is empty; must be NumPy's .npy format"}},
        {"text", .config = "layer.yaml", .sets = {"input.x=text.npy"},
         .message = {"in/text.npy: does not start as a .npy file does; must be NumPy's .npy"}},
        {"a .npy cut in its header", .config = "layer.yaml", .sets = {"input.x=ends_early.npy"},
         .message = {"in/ends_early.npy: ends inside its header: 25 bytes; the header alone must "
                     "have 128"}},
        {"a damaged .npy header", .config = "layer.yaml", .sets = {"input.x=damaged.npy"},
         .message = {"in/damaged.npy: the .npy header is damaged at its byte ", "; must be ':'"}},
        {"a truncated .npy", .config = "layer.yaml", .sets = {"input.x=shorter.npy"},
         .message = {"in/shorter.npy: is shorter than its header says: 8260 bytes; by its shape it "
                     "must have 8264"},
         .on_ranks = 1},
        {"a .npy with too much", .config = "layer.yaml", .sets = {"input.x=longer.npy"},
         .message = {"in/longer.npy: is longer than its header says: 8268 bytes; by its shape it "
                     "must have 8264"}},
        {"a .npy that claims terabytes", .config = "layer.yaml",
         .sets = {"input.x=claims_more.npy"},
         .message = {"in/claims_more.npy: is shorter than its header says", "8192000000081"}},
        {"a .npy whose size overflows", .config = "layer.yaml", .sets = {"input.x=overflows.npy"},
         .message = {"in/overflows.npy: its shape is too large; its bytes must be countable"}},
        {"a big-endian .npy", .config = "layer.yaml", .sets = {"input.x=big_endian.npy"},
         .message =
             {"in/big_endian.npy: its elements are big-endian floats ('>f4'); must be '<f4'"}},
        {"a .npy of integers", .config = "layer.yaml", .sets = {"input.x=integers.npy"},
         .message =
             {"in/integers.npy: its elements are integers ('<i4'); must be '<f4', '<f8' or"}},
        {"a .npy in Fortran order", .config = "layer.yaml", .sets = {"input.x=fortran.npy"},
         .message = {"in/fortran.npy: is in Fortran order; must be in C order"}},
        {"missing weights", .config = "layer.yaml", .sets = {"input.weights.file=none.safetensors"},
         .message = {"in/none.safetensors: cannot open: No such file or directory"}},
        {"an empty safetensors file", .config = "layer.yaml",
         .sets = {"input.weights.file=empty.safetensors"},
         .message = {"in/empty.safetensors: has only 0 bytes; must be in the safetensors format"}},
        {"a .npy for weights", .config = "layer.yaml", .sets = {"input.weights.file=x.npy"},
         .message = {"in/x.npy: claims a header of ", "; must be in the safetensors format"}},
        {"a safetensors header without end", .config = "layer.yaml",
         .sets = {"input.weights.file=claims_more.safetensors"},
         .message =
             {"in/claims_more.safetensors: claims a header of 9223372036854775807 bytes in a "
              "file of 10; must be in the safetensors format"}},
        {"a safetensors header that is no JSON", .config = "layer.yaml",
         .sets = {"input.weights.file=not_json.safetensors"},
         .message =
             {"in/not_json.safetensors: the safetensors header is no valid JSON, near its "}},
        {"a truncated safetensors file", .config = "layer.yaml",
         .sets = {"input.x=shorter.safetensors#x"},
         .message = {"in/shorter.safetensors: is shorter than its header says: 8191 bytes of data; "
                     "its tensors must fill 8192"}},
        {"a safetensors file with too much", .config = "layer.yaml",
         .sets = {"input.x=longer.safetensors#x"},
         .message = {"in/longer.safetensors: is longer than its header says: 8193 bytes of data"}},
        {"a safetensors shape that lies", .config = "layer.yaml",
         .sets = {"input.x=lies.safetensors#x"},
         .message = {"in/lies.safetensors: tensor 'x': has 8192 bytes; by its shape and dtype it "
                     "must have 8320"}},
        {"a safetensors tensor of integers", .config = "layer.yaml",
         .sets = {"input.x=integers.safetensors#x"},
         .message = {"tensor 'x': its elements are 'I32'; must be F32, F64, F16 or BF16"}},
        {"a safetensors file without a name", .config = "layer.yaml",
         .sets = {"input.x=named.safetensors"},
         .message = {"in/named.safetensors: does not say which tensor of the file; write ",
                     "named.safetensors#NAME"}},
        {"a tensor that is not in the file", .config = "layer.yaml",
         .sets = {"input.x=named.safetensors#hidden"},
         .message = {"in/named.safetensors: has no tensor 'hidden'; it has 'x'"}},
        {"weights without W_O", .config = "layer.yaml",
         .sets = {"input.weights.file=no_o.safetensors"},
         .message = {"in/no_o.safetensors: has no tensor 'W_O.weight'; scheme linear looks for ",
                     "; it has 'W_K.bias', 'W_K.weight', 'W_Q.bias', 'W_Q.weight', 'W_V.bias', "},
         .on_ranks = 1},
        {"weights of another scheme", .config = "layer.yaml",
         .sets = {"input.weights.scheme=torch_mha"},
         .message =
             {"in/layer.safetensors: has no tensor 'in_proj_weight'; set input.weights.scheme: "
              "linear; "}},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void numbers_that_are_not_finite_are_refused(void) {
    static const attn_bad_request requests[] = {
        {"NaN in x", .config = "layer.yaml", .sets = {"input.x=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"},
         .on_ranks = 1},
        {"NaN in x, checked", .command = {"check", "in/layer.yaml"}, .sets = {"input.x=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"},
         .on_ranks = 1},
        {"infinity in x", .config = "layer.yaml", .sets = {"input.x=x_inf.npy"},
         .message = {"in/x_inf.npy: element [0, 31] is -infinity; all elements must be finite"}},
        {"fp64 beyond fp32", .config = "layer.yaml", .sets = {"input.x=x_wide.npy"},
         .message = {"in/x_wide.npy: element [1, 1] is 1e+300, beyond the range of fp32; all"},
         .on_ranks = 1},
        {"infinity in the weights", .config = "layer.yaml",
         .sets = {"input.weights.file=infinite.safetensors"},
         .message = {"in/infinite.safetensors#W_K.weight: element [1, 3] is infinity; all"},
         .on_ranks = 1},
        {"infinity in the weights, checked", .command = {"check", "in/layer.yaml"},
         .sets = {"input.weights.file=infinite.safetensors"},
         .message = {"in/infinite.safetensors#W_K.weight: element [1, 3] is infinity; all"}},
        {"NaN in the memory", .config = "layer.yaml", .sets = {"input.memory=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"},
         .on_ranks = 1},
        {"NaN in the memory, checked", .command = {"check", "in/layer.yaml"},
         .sets = {"input.memory=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"}},
        {"NaN in k", .config = "qkv.yaml", .sets = {"input.k=k_nan.npy"},
         .message = {"in/k_nan.npy: element [0, 12, 4] is NaN; all elements must be finite"},
         .on_ranks = 1},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

int main(void) {
    static const attn_test tests[] = {
        {"a file that is no tensor is refused", a_file_that_is_no_tensor_is_refused},
        {"numbers that are not finite are refused", numbers_that_are_not_finite_are_refused},
    };
    int failed;

    attn_cli_begin();
    attn_small_inputs_write();
    write_odd_npy();
    write_odd_safetensors();
    write_layer_without_w_o();
    write_poisoned();
    failed = attn_test_main("bad files", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
