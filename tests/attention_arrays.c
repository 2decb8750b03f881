#include "attention_arrays.h"

#include <math.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "synthetic.h"

int64_t attn_array_elems(const attn_array *array) {
    return array->outer * array->length * array->width;
}

static float *allocate(int64_t elems) {
    float *data = attn_alloc((size_t)elems, sizeof *data);

    if (data == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    return data;
}

static float *make(int64_t elems, int32_t tensor, float scale) {
    float *data = allocate(elems);

    attn_synthetic_fill(5, tensor, 0, elems, scale, data);
    return data;
}

static attn_array make_array(int64_t outer, int64_t length, int64_t width, int32_t tensor) {
    return (attn_array){outer, length, width, make(outer * length * width, tensor, 1)};
}

static void make_layer(const attn_problem *p, int with_biases, attn_arrays *a) {
    const int64_t kv_inputs = p->memory_dim > 0 ? p->memory_dim : p->model_dim;
    const int64_t inputs[] = {p->model_dim, kv_inputs, kv_inputs, p->heads * p->value_dim};
    const int64_t outputs[] = {p->heads * p->key_dim, p->kv_heads * p->key_dim,
                               p->kv_heads * p->value_dim, p->model_dim};

    for (int i = 0; i < ATTN_ARRAYS_WEIGHTS / 2; i++) {
        a->weights[2 * i] =
            make(outputs[i] * inputs[i], ATTN_SYNTHETIC_WEIGHT + i, 1 / sqrtf((float)inputs[i]));
        if (with_biases) a->weights[2 * i + 1] = make(outputs[i], ATTN_SYNTHETIC_BIAS + i, 0.3f);
    }
    for (int i = 0; i < ATTN_ARRAYS_NORMS && p->qk_norm_eps > 0; i++)
        a->norms[i] = make(p->key_dim, ATTN_SYNTHETIC_NORM + i, 1);
    a->layer =
        (attn_weights){a->weights[0], a->weights[1], a->weights[2], a->weights[3], a->weights[4],
                       a->weights[5], a->weights[6], a->weights[7], a->norms[0],   a->norms[1]};
}

static attn_array make_bias(const attn_problem *p) {
    attn_array bias = {p->terms.bias_heads, p->length, p->kv_length, NULL};
    const int64_t elems = attn_array_elems(&bias);

    bias.data = make(elems, ATTN_SYNTHETIC_BIAS, 2);
    for (int64_t i = 0; i < elems; i++)
        if (i % 7 == 3 || i / p->kv_length == 2) bias.data[i] = -INFINITY;
    return bias;
}

void attn_arrays_create(const attn_problem *p, int with_biases, attn_arrays *a) {
    const int64_t queries = p->batch * p->heads, keys = p->batch * p->kv_heads;

    *a = (attn_arrays){0};
    if (p->model_dim > 0) {
        a->x = make_array(p->batch, p->length, p->model_dim, ATTN_SYNTHETIC_X);
        a->y = make_array(p->batch, p->length, p->model_dim, ATTN_SYNTHETIC_X);
        if (p->memory_dim > 0)
            a->memory = make_array(p->batch, p->kv_length, p->memory_dim, ATTN_SYNTHETIC_MEMORY);
        make_layer(p, with_biases, a);
    } else {
        a->q = make_array(queries, p->length, p->key_dim, ATTN_SYNTHETIC_Q);
        a->k = make_array(keys, p->kv_length, p->key_dim, ATTN_SYNTHETIC_K);
        a->v = make_array(keys, p->kv_length, p->value_dim, ATTN_SYNTHETIC_V);
        a->y = make_array(queries, p->length, p->value_dim, ATTN_SYNTHETIC_X);
    }
    a->lse = make_array(queries, p->length, 1, ATTN_SYNTHETIC_X);
    if (p->terms.bias_heads > 0) a->bias = make_bias(p);
}

void attn_arrays_destroy(attn_arrays *a) {
    for (int i = 0; i < ATTN_ARRAYS_WEIGHTS; i++) free(a->weights[i]);
    for (int i = 0; i < ATTN_ARRAYS_NORMS; i++) free(a->norms[i]);
    free(a->q.data);
    free(a->k.data);
    free(a->v.data);
    free(a->x.data);
    free(a->memory.data);
    free(a->bias.data);
    free(a->y.data);
    free(a->lse.data);
}

static size_t part_bytes(const attn_array *whole, attn_row_list rows) {
    return (size_t)(whole->outer * rows.count * whole->width) * sizeof(float);
}

float *attn_array_part(const attn_array *whole, attn_row_list rows) {
    float *part, *next;

    if (whole->data == NULL) return NULL;
    next = part = allocate(whole->outer * rows.count * whole->width);
    for (int64_t i = 0; i < whole->outer * rows.run_count; i++) {
        const attn_rows *run = &rows.runs[i % rows.run_count];
        const int64_t first = i / rows.run_count * whole->length + run->first;
        const int64_t elems = run->count * whole->width;

        memcpy(next, whole->data + first * whole->width, (size_t)elems * sizeof *next);
        next += elems;
    }
    return part;
}

float *attn_array_unwritten_part(const attn_array *whole, attn_row_list rows) {
    float *part = attn_array_part(whole, rows);

    memset(part, 0xff, part_bytes(whole, rows));
    return part;
}

int attn_array_has_part(const attn_array *whole, attn_row_list rows, const float *part) {
    float *expected = attn_array_part(whole, rows);
    int same = memcmp(part, expected, part_bytes(whole, rows)) == 0;

    free(expected);
    return same;
}
