#include "small_inputs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "synthetic.h"

enum { ROWS = ATTN_SMALL_ROWS, WIDTH = ATTN_SMALL_WIDTH };

static float numbers[2 * ROWS * WIDTH];

const float *attn_small_numbers(void) {
    return numbers;
}

static const char *input_path(const char *name) {
    char path[128];

    snprintf(path, sizeof path, "in/%s", name);
    return attn_cli_path(path);
}

void attn_small_floats_write(const char *name, int dims, const int64_t *shape) {
    attn_cli_write_floats(input_path(name), dims, shape, numbers);
}

void attn_small_spoilt_write(const char *name, int dims, const int64_t *shape, int64_t elem,
                             float value) {
    const float kept = numbers[elem];

    numbers[elem] = value;
    attn_small_floats_write(name, dims, shape);
    numbers[elem] = kept;
}

void attn_small_layer_write(const char *name, const attn_cli_tensor *changes, size_t count) {
    enum { OWN = 8, MOST = 16 };
    attn_cli_tensor tensors[MOST] = {
        {"W_Q.weight", WIDTH, WIDTH, numbers}, {"W_Q.bias", WIDTH, 0, numbers},
        {"W_K.weight", WIDTH, WIDTH, numbers}, {"W_K.bias", WIDTH, 0, numbers},
        {"W_V.weight", WIDTH, WIDTH, numbers}, {"W_V.bias", WIDTH, 0, numbers},
        {"W_O.weight", WIDTH, WIDTH, numbers}, {"W_O.bias", WIDTH, 0, numbers},
    };
    size_t all = OWN, kept = 0;

    if (count > MOST - OWN) abort();
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;

        while (at < all && strcmp(tensors[at].name, changes[i].name) != 0) at++;
        tensors[at] = changes[i];
        if (tensors[at].data == NULL) tensors[at].data = numbers;
        if (at == all) all++;
    }
    for (size_t i = 0; i < all; i++)
        if (tensors[i].rows > 0) tensors[kept++] = tensors[i];
    attn_cli_write_tensors(input_path(name), tensors, kept);
}

static void write_configs(void) {
    attn_cli_write_text("in/layer.yaml",
                        "attention: {heads: 4, mask: causal}\n"
                        "input:\n"
                        "  x: x.npy\n"
                        "  weights: {file: layer.safetensors}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n");
    attn_cli_write_text("in/qkv.yaml",
                        "attention: {heads: 4, kv_heads: 2}\n"
                        "input: {q: q.npy, k: k.npy, v: v.npy}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n");
    attn_cli_write_text("in/synthetic.yaml",
                        "attention: {heads: 4}\n"
                        "sequence: {length: 64}\n"
                        "input: {synthetic: {seed: 1, d_model: 32}}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n");
}

void attn_small_inputs_write(void) {
    const int64_t x[] = {ROWS, WIDTH}, memory[] = {24, WIDTH}, q[] = {4, 16, 8}, kv[] = {2, 24, 8};

    attn_synthetic_fill(1, 0, 0, (int64_t)(sizeof numbers / sizeof *numbers), 1.0f, numbers);
    mkdir(attn_cli_path("in"), 0777);
    attn_small_floats_write("x.npy", 2, x);
    attn_small_spoilt_write("x_nan.npy", 2, x, 63 * WIDTH + 5, NAN);
    attn_small_floats_write("memory.npy", 2, memory);
    attn_small_floats_write("q.npy", 3, q);
    attn_small_floats_write("k.npy", 3, kv);
    attn_small_floats_write("v.npy", 3, kv);
    attn_small_layer_write("layer.safetensors", NULL, 0);
    write_configs();
}
