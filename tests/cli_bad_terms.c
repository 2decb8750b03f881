/* Masks that mean nothing, and terms of the scores that do not fit. */
#include <math.h>
#include <stdint.h>

#include "bad_requests.h"
#include "cli_files.h"
#include "harness.h"
#include "small_inputs.h"

/* [4, 16, 24] for queries of 16 rows and keys of 24, good but for one element. */
static void write_bias(const char *name, int64_t elem, float value) {
    static float bias[4 * 16 * 24];

    for (int i = 0; i < 4 * 16 * 24; i++) bias[i] = i % 5 == 0 ? -INFINITY : 0.25f;
    bias[elem] = value;
    attn_cli_write_floats(attn_cli_path(name), 3, (const int64_t[]){4, 16, 24}, bias);
}

/* qkv.yaml has 16 queries and 24 keys, layer.yaml 64 rows. */
static void a_mask_that_means_nothing_is_refused(void) {
    static const attn_bad_request requests[] = {
        {"a window to the right of a causal mask",
         .text = "attention:\n  heads: 4\n  mask: {causal: true, window: [8, 2]}\n"
                 "input: {x: x.npy, weights: {file: layer.safetensors}}\n",
         .message = {"in/case.yaml:3:32: attention.mask.window: is [8, 2], but a causal mask shows "
                     "nothing to the right; must be [8, 0] with causal"},
         .on_ranks = 1},
        {"a prefix of everything", .config = "qkv.yaml", .sets = {"attention.mask={prefix: 4}"},
         .message =
             {"--set: attention.mask.prefix: is 4, but all keys are visible without it; must "
              "come with causal or window"}},
        {"first keys without a window", .config = "layer.yaml", .sets = {"attention.mask.first=4"},
         .message = {"--set: attention.mask.first: is 4, but no window hides the first keys; must "
                     "come with window"}},
        {"documents of other lengths than the sequence", .config = "layer.yaml",
         .sets = {"attention.mask.documents=[60, 3]"},
         .message = {"attention.mask.documents: are 63 rows long together; must be 64"},
         .on_ranks = 1},
        {"documents that pass the end", .config = "layer.yaml",
         .sets = {"attention.mask.documents=[60, 5, 1]"},
         .message = {"attention.mask.documents: pass the end of the 64 rows at index 1; their "
                     "lengths must add up to 64"}},
        {"an empty document", .config = "layer.yaml",
         .sets = {"attention.mask.documents=[60, 0, 4]"},
         .message =
             {"attention.mask.documents: is 0; must be a list of 1 to 1024 integers from 1"}},
        {"an empty document in a file", .config = "layer.yaml",
         .sets = {"attention.mask.documents=empty_document.npy"},
         .message =
             {"attention.mask.documents: have a length of 0 at index 1; each must be 1 or "}},
        {"documents of queries and other keys", .config = "qkv.yaml",
         .sets = {"attention.mask.documents=[16]"},
         .message = {"attention.mask.documents: are of queries and keys alike, but there are 16 "
                     "queries and 24 keys"}},
        {"documents in a file of floats", .config = "layer.yaml",
         .sets = {"attention.mask.documents=x.npy"},
         .message = {"--set: attention.mask.documents: ", "x.npy: its elements are another sort",
                     "must be '<i8' or '<i4'"}},
        {"documents in no file", .config = "layer.yaml",
         .sets = {"attention.mask.documents=no.npy"},
         .message = {"--set: attention.mask.documents: ", "no.npy"}, .on_ranks = 1},
        {"more documents than rows", .config = "layer.yaml",
         .sets = {"attention.mask.documents=long_list.npy"},
         .message = {"attention.mask.documents: ", "must be a list, [n], of 1 to 64"}},
        {"a key length for each of two items", .config = "layer.yaml",
         .sets = {"attention.mask.key_lengths=[64, 60]"},
         .message = {"--set: attention.mask.key_lengths: are 2; must be 1, one for each item"}},
        {"a key length beyond the keys", .config = "qkv.yaml",
         .sets = {"attention.mask.key_lengths=[25]"},
         .message = {"attention.mask.key_lengths: have 25 at index 0; must be 0 to 24"}},
    };

    attn_cli_write_npy(attn_cli_path("in/empty_document.npy"),
                       "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n",
                       (const int64_t[]){64, 0}, 16);
    attn_cli_write_npy(attn_cli_path("in/long_list.npy"),
                       "{'descr': '<i4', 'fortran_order': False, 'shape': (65,), }\n",
                       attn_small_numbers(), 260);
    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void terms_that_do_not_fit_are_refused(void) {
    static const attn_bad_request requests[] = {
        {"a bias of other lengths", .config = "qkv.yaml", .sets = {"attention.mask.bias=k.npy"},
         .message = {"--set: attention.mask.bias: the tensor has the shape [2, 24, 8]; it must be "
                     "[4 or 1, 16, 24]: heads, queries and keys"},
         .on_ranks = 1},
        {"a bias without heads", .config = "qkv.yaml", .sets = {"attention.mask.bias=x.npy"},
         .message = {"attention.mask.bias: the tensor has the shape [64, 32]; it must be [4 or 1"}},
        {"a bias in no file", .config = "qkv.yaml", .sets = {"attention.mask.bias=no.npy"},
         .message = {"--set: attention.mask.bias: ", "no.npy"}, .on_ranks = 1},
        {"a bias with NaN", .config = "qkv.yaml", .sets = {"attention.mask.bias=bias_nan.npy"},
         .message = {"bias_nan.npy: element [3, 15, 23] is NaN"}, .on_ranks = 1},
        {"a bias of infinity", .config = "qkv.yaml", .sets = {"attention.mask.bias=bias_inf.npy"},
         .message = {"bias_inf.npy: element [0, 0, 7] is infinity"}, .on_ranks = 1},
        {"a sink for each of three heads", .config = "qkv.yaml",
         .sets = {"attention.sinks=[1, 2, 3]"},
         .message = {"--set: attention.sinks: has 3 numbers; must have 4, one for each of"}},
        {"sinks of another shape", .config = "qkv.yaml", .sets = {"attention.sinks=x_1d.npy"},
         .message = {"--set: attention.sinks: the tensor has 1 dimension and 64 elements; it must "
                     "be [4], one for each of attention.heads"},
         .on_ranks = 1},
        {"slopes in no file", .config = "qkv.yaml", .sets = {"attention.alibi={slopes: no.npy}"},
         .message = {"--set: attention.alibi.slopes: ", "no.npy"}, .on_ranks = 1},
        {"slopes with NaN", .config = "qkv.yaml",
         .sets = {"attention.alibi={slopes: four_nan.npy}"},
         .message = {"--set: attention.alibi.slopes: ", "four_nan.npy: element [2] is NaN"},
         .on_ranks = 1},
        {"sinks beyond fp32 once unscaled", .config = "qkv.yaml",
         .sets = {"attention.sinks=[1, 1, 3e38, 1]", "attention.scale=0.1"},
         .message =
             {"--set: attention.sinks: have 3e+38 for head 2, whose quotient with the scale"}},
    };

    attn_small_floats_write("x_1d.npy", 1, (const int64_t[]){64});
    write_bias("in/bias_nan.npy", 4 * 16 * 24 - 1, NAN);
    write_bias("in/bias_inf.npy", 7, INFINITY);
    attn_cli_write_floats(attn_cli_path("in/four_nan.npy"), 1, (const int64_t[]){4},
                          (const float[]){1, 1, NAN, 1});
    ATTN_BAD_REQUESTS_MAKE(requests);
}

int main(void) {
    static const attn_test tests[] = {
        {"a mask that means nothing is refused", a_mask_that_means_nothing_is_refused},
        {"terms that do not fit are refused", terms_that_do_not_fit_are_refused},
    };
    int failed;

    attn_cli_begin();
    attn_small_inputs_write();
    failed = attn_test_main("bad terms", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
