/* Inputs in all forms: element types, both file formats, both weight schemes, attention
 * alone and whole layers, batches. Attention alone is compared with a computation in fp64
 * that shares nothing with the program. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "safetensors.h"
#include "scratch.h"
#include "synthetic.h"

/* A run that must succeed, on that many ranks, with its outputs below `output`. */
static void run(int ranks, const char *config, const char *output, const char *set) {
    const attn_command_request request = {
        .ranks = ranks,
        .arguments = ATTN_ARGUMENTS("run", config, "--output-dir", output, "--set", set),
        .folder = attn_cli_folder(),
    };

    CU_ASSERT(attn_command_succeeds(&request));
}

/* --- element types ---------------------------------------------------------------- */

enum { ROWS = 50, WIDTH = 24, ELEMS = ROWS * WIDTH };

/* Small multiples of 1/64: exact in each type. */
static float value_of(int i) {
    return (float)(i * 37 % 255 - 127) / 64;
}

typedef struct element_types {
    float f32[ELEMS];
    double f64[ELEMS];
    uint16_t f16[ELEMS], bf16[ELEMS];
} element_types;

/* The same x in each type, as .npy and in one safetensors file. */
static void write_all_types(void) {
    static element_types x;
    char header[1024];

    for (int i = 0; i < ELEMS; i++) {
        x.f32[i] = value_of(i);
        x.f64[i] = (double)x.f32[i];
        x.f16[i] = attn_cli_fp16_of(x.f32[i]);
        x.bf16[i] = attn_cli_bf16_of(x.f32[i]);
    }
    attn_cli_write_npy(attn_cli_path("x.npy"),
                       "{'descr': '<f4', 'fortran_order': False, 'shape': (50, 24), }\n", x.f32,
                       sizeof x.f32);
    attn_cli_write_npy(attn_cli_path("x_f64.npy"),
                       "{'descr': '<f8', 'fortran_order': False, 'shape': (50, 24), }\n", x.f64,
                       sizeof x.f64);
    attn_cli_write_npy(attn_cli_path("x_f16.npy"),
                       "{'descr': '<f2', 'fortran_order': False, 'shape': (50, 24), }\n", x.f16,
                       sizeof x.f16);
    snprintf(header, sizeof header,
             "{\"f32\":{\"dtype\":\"F32\",\"shape\":[50,24],\"data_offsets\":[%zu,%zu]},"
             "\"f64\":{\"dtype\":\"F64\",\"shape\":[50,24],\"data_offsets\":[%zu,%zu]},"
             "\"f16\":{\"dtype\":\"F16\",\"shape\":[50,24],\"data_offsets\":[%zu,%zu]},"
             "\"bf16\":{\"dtype\":\"BF16\",\"shape\":[50,24],\"data_offsets\":[%zu,%zu]}}",
             offsetof(element_types, f32), offsetof(element_types, f64),
             offsetof(element_types, f64), offsetof(element_types, f16),
             offsetof(element_types, f16), offsetof(element_types, bf16),
             offsetof(element_types, bf16), sizeof x);
    attn_cli_write_safetensors(attn_cli_path("x.safetensors"), header, &x, sizeof x);
}

static void write_layer(void) {
    static const char *const names[][2] = {{"W_Q.weight", "W_Q.bias"},
                                           {"W_K.weight", "W_K.bias"},
                                           {"W_V.weight", "W_V.bias"},
                                           {"W_O.weight", "W_O.bias"}};
    static float numbers[4][(WIDTH + 1) * WIDTH];
    attn_cli_tensor tensors[8];

    attn_synthetic_fill(3, 0, 0, 4 * (WIDTH + 1) * WIDTH, 0.2f, numbers[0]);
    for (int i = 0; i < 4; i++) {
        tensors[2 * i] = (attn_cli_tensor){names[i][0], WIDTH, WIDTH, numbers[i]};
        tensors[2 * i + 1] = (attn_cli_tensor){names[i][1], WIDTH, 0, numbers[i] + WIDTH * WIDTH};
    }
    attn_cli_write_tensors(attn_cli_path("layer.safetensors"), tensors, 8);
}

static void each_element_type_and_format_gives_the_same_bytes(void) {
    static const char *const sets[] = {
        "input.x=x_f64.npy",         "input.x=x_f16.npy",         "input.x=x.safetensors#f32",
        "input.x=x.safetensors#f64", "input.x=x.safetensors#f16", "input.x=x.safetensors#bf16",
    };

    write_all_types();
    write_layer();
    attn_cli_write_text("types.yaml",
                        "attention: {heads: 3, mask: causal}\n"
                        "input: {x: x.npy, weights: {file: layer.safetensors}}\n"
                        "output: {y: y.npy}\n"
                        "verify: {rows: 50, tolerance: 1.0e-5}\n");
    run(2, "types.yaml", "plain", "input.x=x.npy");
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        run(2, "types.yaml", "other", sets[i]);
        CU_ASSERT(attn_cli_same_files(attn_cli_path("plain/y.npy"), attn_cli_path("other/y.npy")));
    }
}

/* --- weight schemes ---------------------------------------------------------------- */

static const char sample[] = ATTN_SOURCE_DIR "/sample/layer.safetensors";

/* The data of a sample's tensor, at the end of *data, which grows. */
static void append_tensor(const char *name, float **data, size_t *elems) {
    char reference[1024];
    int64_t count = 0;
    float *tensor;

    snprintf(reference, sizeof reference, "%s#%s", sample, name);
    tensor = attn_cli_read_floats(reference, NULL, NULL, &count);
    CU_ASSERT_PTR_NOT_NULL(tensor);
    *data = realloc(*data, (*elems + (size_t)count) * sizeof **data);
    if (tensor != NULL) memcpy(*data + *elems, tensor, (size_t)count * sizeof **data);
    *elems += (size_t)count;
    free(tensor);
}

/* The sample's layer as torch.nn.MultiheadAttention stores it: q, k, v stacked. */
static void write_stacked(const char *path) {
    static const char *const names[] = {"W_Q.weight", "W_K.weight", "W_V.weight", "W_Q.bias",
                                        "W_K.bias",   "W_V.bias",   "W_O.weight", "W_O.bias"};
    enum { MODEL = 256 };
    float *data = NULL;
    size_t elems = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        append_tensor(names[i], &data, &elems);
    attn_cli_write_tensors(
        path,
        (const attn_cli_tensor[]){
            {"in_proj_weight", 3 * MODEL, MODEL, data},
            {"in_proj_bias", 3 * MODEL, 0, data + 3 * MODEL * MODEL},
            {"out_proj.weight", MODEL, MODEL, data + 3 * MODEL * (MODEL + 1)},
            {"out_proj.bias", MODEL, 0, data + 3 * MODEL * (MODEL + 1) + MODEL * MODEL},
        },
        4);
    free(data);
}

static void torch_mha_and_linear_give_the_same_bytes(void) {
    char set[1024];

    attn_cli_write_text("layer.yaml",
                        "attention: {heads: 4, mask: causal}\n"
                        "input: {x: \"" ATTN_SOURCE_DIR
                        "/sample/x.npy\", weights: {file: \"" ATTN_SOURCE_DIR
                        "/sample/layer.safetensors\"}}\n"
                        "output: {y: y.npy, lse: lse.npy}\n");
    write_stacked(attn_cli_path("stacked.safetensors"));
    snprintf(set, sizeof set, "input.weights={file: %s, scheme: torch_mha}",
             attn_cli_path("stacked.safetensors"));
    run(3, "layer.yaml", "linear", "input.weights.scheme=linear");
    run(3, "layer.yaml", "stacked", set);
    CU_ASSERT(attn_cli_same_files(attn_cli_path("linear/y.npy"), attn_cli_path("stacked/y.npy")));
    CU_ASSERT(
        attn_cli_same_files(attn_cli_path("linear/lse.npy"), attn_cli_path("stacked/lse.npy")));
}

/* --- attention alone ---------------------------------------------------------------- */

typedef struct shapes {
    int64_t batch, heads, kv_heads, length, kv_length, key_dim, value_dim;
    int causal;
} shapes;

/* One query row by the definition; out[value_dim], returns the lse. The last query is
 * aligned with the last key. */
static double attend(const shapes *s, const float *query, const float *keys, const float *values,
                     int64_t row, double *out) {
    int64_t seen = s->causal ? row + 1 + s->kv_length - s->length : s->kv_length;
    double sum = 0, most = -INFINITY;

    for (int64_t c = 0; c < s->value_dim; c++) out[c] = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < seen; j++) {
            double score = 0, weight;
            for (int64_t c = 0; c < s->key_dim; c++)
                score += (double)query[c] * (double)keys[j * s->key_dim + c];
            score /= sqrt((double)s->key_dim);
            if (pass == 0) {
                most = fmax(most, score);
                continue;
            }
            weight = exp(score - most);
            sum += weight;
            for (int64_t c = 0; c < s->value_dim; c++)
                out[c] += weight * (double)values[j * s->value_dim + c];
        }
    if (seen <= 0) return -INFINITY;
    for (int64_t c = 0; c < s->value_dim; c++) out[c] /= sum;
    return most + log(sum);
}

/* Largest difference of out and lse from the definition. */
static double largest_error(const shapes *s, const float *q, const float *k, const float *v,
                            const float *out, const float *lse) {
    double most = 0, row_out[64];

    for (int64_t at = 0; at < s->batch * s->heads * s->length; at++) {
        int64_t head = at / s->length; /* of all items */
        int64_t kv_head = head / (s->heads / s->kv_heads);
        double row_lse = attend(s, q + at * s->key_dim, k + kv_head * s->kv_length * s->key_dim,
                                v + kv_head * s->kv_length * s->value_dim, at % s->length, row_out);

        for (int64_t c = 0; c < s->value_dim; c++)
            most = attn_larger_error(most, fabs((double)out[at * s->value_dim + c] - row_out[c]));
        if (isinf(row_lse))
            most = attn_larger_error(most, (double)lse[at] == row_lse ? 0 : 1);
        else
            most = attn_larger_error(most, fabs((double)lse[at] - row_lse));
    }
    return most;
}

/* A tensor [B, heads, rows, width], without B where there is one item. */
static float *make_tensor(const char *name, const shapes *s, int32_t stream, int64_t heads,
                          int64_t rows, int64_t width) {
    const int64_t shape[] = {s->batch, heads, rows, width};
    int64_t elems = s->batch * heads * rows * width;
    float *data = malloc((size_t)elems * sizeof *data);
    int skipped = s->batch == 1;

    attn_synthetic_fill(5, stream, 0, elems, 1.0f, data);
    attn_cli_write_floats(attn_cli_path(name), 4 - skipped, shape + skipped, data);
    return data;
}

/* Whether a result has the wanted shape, [B, heads, length(, width)]. */
static int has_shape(const shapes *s, int32_t dims, const int64_t *shape, int64_t width) {
    const int64_t wanted[] = {s->batch, s->heads, s->length, width};
    int skipped = s->batch == 1;

    return dims == 3 + (width > 0) - skipped &&
           memcmp(shape, wanted + skipped, (size_t)dims * sizeof *shape) == 0;
}

static void compute_alone(const shapes *s, int ranks) {
    float *q = make_tensor("q.npy", s, 0, s->heads, s->length, s->key_dim);
    float *k = make_tensor("k.npy", s, 1, s->kv_heads, s->kv_length, s->key_dim);
    float *v = make_tensor("v.npy", s, 2, s->kv_heads, s->kv_length, s->value_dim);
    int32_t dims[2] = {0};
    int64_t out_shape[ATTN_MAX_DIMS], lse_shape[ATTN_MAX_DIMS], elems;
    float *out, *lse;
    char text[512];

    snprintf(text, sizeof text,
             "attention: {heads: %" PRId64 ", kv_heads: %" PRId64
             ", mask: %s}\n"
             "input: {q: q.npy, k: k.npy, v: v.npy}\n"
             "output: {y: y.npy, lse: lse.npy}\n"
             "verify: {rows: 16, tolerance: 1.0e-5}\n",
             s->heads, s->kv_heads, s->causal ? "causal" : "none");
    attn_cli_write_text("alone.yaml", text);
    run(ranks, "alone.yaml", "alone", "verify.rows=16");
    out = attn_cli_read_floats(attn_cli_path("alone/y.npy"), &dims[0], out_shape, &elems);
    lse = attn_cli_read_floats(attn_cli_path("alone/lse.npy"), &dims[1], lse_shape, &elems);
    CU_ASSERT(out != NULL && has_shape(s, dims[0], out_shape, s->value_dim));
    CU_ASSERT(lse != NULL && has_shape(s, dims[1], lse_shape, 0));
    if (out != NULL && lse != NULL) CU_ASSERT(largest_error(s, q, k, v, out, lse) < 1e-5);
    free(lse);
    free(out);
    free(v);
    free(k);
    free(q);
}

static void attention_alone_is_the_definition(void) {
    static const shapes problems[] = {
        {1, 4, 4, 70, 70, 16, 16, 1}, /* self-attention */
        {1, 6, 2, 37, 90, 12, 20, 1}, /* more keys than queries, grouped, d_v above d_k */
        {1, 4, 1, 90, 37, 16, 8, 1},  /* queries that see no key, one kv head */
        {1, 3, 3, 33, 130, 7, 5, 0},  /* cross-attention */
        {1, 2, 2, 1, 200, 32, 32, 1}, /* one query against a cache */
    };

    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        compute_alone(&problems[i], 0);
        compute_alone(&problems[i], 3);
    }
}

static void a_batch_of_attention_is_the_definition(void) {
    static const shapes problems[] = {
        {2, 4, 2, 50, 50, 16, 16, 1},
        {3, 3, 3, 20, 65, 8, 12, 1},
    };

    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        compute_alone(&problems[i], 0);
        compute_alone(&problems[i], 4);
    }
}

/* --- batches of a layer -------------------------------------------------------------- */

static void a_batch_of_a_layer_is_its_items(void) {
    enum { BATCH = 3 };
    static float x[BATCH * ELEMS];
    int32_t dims;
    int64_t shape[ATTN_MAX_DIMS], elems;
    float *whole;

    attn_synthetic_fill(9, 0, 0, BATCH * ELEMS, 1.0f, x);
    write_layer();
    attn_cli_write_text("batch.yaml",
                        "attention: {heads: 3, mask: causal}\n"
                        "input: {x: batch.npy, weights: {file: layer.safetensors}}\n"
                        "output: {y: y.npy}\n"
                        "verify: {rows: 20, tolerance: 1.0e-5}\n");
    attn_cli_write_floats(attn_cli_path("batch.npy"), 3, (const int64_t[]){BATCH, ROWS, WIDTH}, x);
    run(3, "batch.yaml", "whole", "sequence.batch=3");
    whole = attn_cli_read_floats(attn_cli_path("whole/y.npy"), &dims, shape, &elems);
    CU_ASSERT(whole != NULL && dims == 3 && shape[0] == BATCH && shape[1] == ROWS &&
              shape[2] == WIDTH);
    for (int item = 0; item < BATCH && whole != NULL; item++) {
        float *alone;
        double most = 0;

        attn_cli_write_floats(attn_cli_path("item.npy"), 2, (const int64_t[]){ROWS, WIDTH},
                              x + item * ELEMS);
        run(0, "batch.yaml", "item", "input.x=item.npy");
        alone = attn_cli_read_floats(attn_cli_path("item/y.npy"), &dims, shape, &elems);
        CU_ASSERT(alone != NULL && dims == 2 && elems == ELEMS);
        for (int i = 0; i < ELEMS && alone != NULL; i++)
            most =
                attn_larger_error(most, fabs((double)alone[i] - (double)whole[item * ELEMS + i]));
        CU_ASSERT(most < 1e-5);
        free(alone);
    }
    free(whole);
}

int main(void) {
    static const attn_test tests[] = {
        {"each element type and format gives the same bytes",
         each_element_type_and_format_gives_the_same_bytes},
        {"torch_mha and linear give the same bytes", torch_mha_and_linear_give_the_same_bytes},
        {"attention alone is the definition", attention_alone_is_the_definition},
        {"a batch of attention is the definition", a_batch_of_attention_is_the_definition},
        {"a batch of a layer is its items", a_batch_of_a_layer_is_its_items},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("inputs", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
