#include "attention_naive.h"

#include <math.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "memory.h"
#include "recompute_prepare.h"

/* A tensor with heads in fp64, at element (item, head, row) · strides. */
typedef struct headed {
    double *data;            /* owned */
    int64_t item, head, row; /* strides */
} headed;

static double *doubles(int64_t count) {
    double *data = calloc((size_t)count + 1, sizeof *data);

    if (data == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    return data;
}

static double *widened(const float *from, int64_t count) {
    double *data = doubles(count);

    for (int64_t i = 0; i < count; i++) data[i] = (double)from[i];
    return data;
}

/* --- q, k and v ---------------------------------------------------------------- */

/* out [rows][outputs] = in · weightᵀ + bias. */
static double *linear(const double *in, int64_t rows, int64_t inputs, const float *weight,
                      const float *bias, int64_t outputs) {
    double *out = doubles(rows * outputs);

    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < outputs; o++) {
            double sum = bias == NULL ? 0 : (double)bias[o];
            for (int64_t i = 0; i < inputs; i++)
                sum += in[r * inputs + i] * (double)weight[o * inputs + i];
            out[r * outputs + o] = sum;
        }
    return out;
}

/* Projection 0: query, 1: key, 2: value. */
static headed project(const attn_arrays *a, int which, int64_t heads, int64_t dim) {
    const attn_array *from = which > 0 && a->memory.data != NULL ? &a->memory : &a->x;
    double *in = widened(from->data, attn_array_elems(from));
    double *out = linear(in, from->outer * from->length, from->width, a->weights[2 * which],
                         a->weights[2 * which + 1], heads * dim);

    free(in);
    return (headed){out, from->length * heads * dim, dim, heads * dim};
}

static headed given(const attn_array *array, int64_t heads) {
    const int64_t head = array->length * array->width;

    return (headed){widened(array->data, attn_array_elems(array)), heads * head, head,
                    array->width};
}

/* Norm and rotation, head by head; row 0 stands at position `first`. */
static void prepare(const attn_problem *p, const float *norm, headed tensor, int64_t heads,
                    int64_t rows, int64_t first) {
    double *head = doubles(p->key_dim), *weights = NULL;
    size_t bytes = (size_t)p->key_dim * sizeof *head;

    if (norm != NULL) weights = widened(norm, p->key_dim);
    for (int64_t i = 0; i < p->batch * heads * rows; i++) {
        int64_t b = i / (heads * rows), h = i / rows % heads, row = i % rows;
        double *at = tensor.data + b * tensor.item + h * tensor.head + row * tensor.row;

        memcpy(head, at, bytes);
        attn_recompute_prepare(p, weights, first + row, 1, 1, head);
        memcpy(at, head, bytes);
    }
    free(head);
    free(weights);
}

/* Where query 0 stands: given q and k end at the same position, or begin there. */
static int64_t first_position(const attn_problem *p) {
    int from_start = p->model_dim > 0 || p->mask.causal == ATTN_CAUSAL_TOP_LEFT;

    return from_start ? 0 : p->kv_length - p->length;
}

/* --- attention ----------------------------------------------------------------- */

static attn_oracle_terms terms_of(const attn_problem *p, const float *bias, int64_t head,
                                  int64_t row) {
    attn_oracle_terms terms = {.softcap = (double)p->terms.softcap, .position = row};

    if (p->mask.causal != ATTN_CAUSAL_TOP_LEFT) terms.position += p->kv_length - p->length;
    if (p->terms.slopes != NULL) terms.slope = (double)p->terms.slopes[head];
    if (bias != NULL)
        terms.bias = bias + (head % p->terms.bias_heads * p->length + row) * p->kv_length;
    return terms;
}

/* out as [B][N][H][d_v] for a layer, else [B][H][N][d_v]. */
static void attend(const attn_problem *p, const float *bias, headed q, headed k, headed v,
                   double *out, double *lse) {
    attn_mask mask = {p->mask, p->length, p->kv_length, p->batch};
    double scale = p->scale > 0 ? (double)p->scale : 1 / sqrt((double)p->key_dim);

    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t h = 0; h < p->heads; h++)
            for (int64_t i = 0; i < p->length; i++) {
                int64_t kv = h / (p->heads / p->kv_heads);
                int64_t at = (b * p->heads + h) * p->length + i;
                int64_t place = p->model_dim > 0 ? (b * p->length + i) * p->heads + h : at;
                const double *query = q.data + b * q.item + h * q.head + i * q.row;
                const double *keys = k.data + b * k.item + kv * k.head;
                const double *values = v.data + b * v.item + kv * v.head;
                const attn_visible seen = attn_mask_visible(&mask, b, i);
                const attn_oracle_terms terms = terms_of(p, bias, h, i);
                double *own = out + place * p->value_dim, sum = 0, max = -INFINITY;

                for (int run = 0; run < 2; run++)
                    max = attn_oracle_max(query, keys, k.row, p->key_dim, seen.span[run], scale,
                                          &terms, max);
                for (int run = 0; run < 2; run++)
                    attn_oracle_add(query, keys, k.row, values, v.row, p->key_dim, p->value_dim,
                                    seen.span[run], scale, &terms, max, &sum, own);
                if (p->terms.sinks != NULL)
                    attn_oracle_sink((double)p->terms.sinks[h], p->value_dim, &max, &sum, own);
                attn_oracle_finish(max, sum, p->value_dim, own, &lse[at]);
            }
}

static void compute(const attn_problem *p, const attn_arrays *a, attn_naive *naive) {
    const int is_layer = p->model_dim > 0;
    double *out = doubles(p->batch * p->heads * p->length * p->value_dim);
    headed q = is_layer ? project(a, 0, p->heads, p->key_dim) : given(&a->q, p->heads);
    headed k = is_layer ? project(a, 1, p->kv_heads, p->key_dim) : given(&a->k, p->kv_heads);
    headed v = is_layer ? project(a, 2, p->kv_heads, p->value_dim) : given(&a->v, p->kv_heads);

    prepare(p, a->norms[0], q, p->heads, p->length, first_position(p));
    prepare(p, a->norms[1], k, p->kv_heads, p->kv_length, 0);
    naive->lse = doubles(attn_array_elems(&a->lse));
    attend(p, a->bias.data, q, k, v, out, naive->lse);
    naive->y = out;
    if (is_layer) {
        naive->y = linear(out, p->batch * p->length, p->heads * p->value_dim, a->weights[6],
                          a->weights[7], p->model_dim);
        free(out);
    }
    free(q.data);
    free(k.data);
    free(v.data);
}

/* --- bf16 ---------------------------------------------------------------------- */

static void copy(attn_array *array) {
    const size_t elems = (size_t)attn_array_elems(array);
    float *data = attn_alloc(elems, sizeof *data);

    if (data == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    array->data = memcpy(data, array->data, elems * sizeof *data);
}

/* Norm and rotation in fp32, whose bits bf16 is rounded from. */
static void prepare_floats(const attn_problem *p, attn_array *array, int64_t first) {
    float *table = attn_alloc((size_t)p->key_dim, sizeof *table);

    if (table == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t i = 0; i < array->outer * array->length; i++) {
        float *head = array->data + i * p->key_dim;

        if (p->qk_norm_eps > 0) attn_rms_norm(head, p->key_dim, p->qk_norm_eps, NULL);
        if (p->rope.dim == 0) continue;
        attn_rope_table(&p->rope, first + i % array->length, 1, table);
        attn_rope_turn(&p->rope, table, head);
    }
    free(table);
}

static void round_to_bf16(attn_array *array) {
    for (int64_t i = 0; i < attn_array_elems(array); i++) {
        uint16_t stored;
        uint32_t bits;

        attn_store(ATTN_BF16, &array->data[i], 1, &stored);
        bits = (uint32_t)stored << 16;
        memcpy(&array->data[i], &bits, sizeof bits);
    }
}

static void compute_rounded(const attn_problem *p, const attn_arrays *a, attn_naive *naive) {
    attn_problem prepared = *p;
    attn_arrays rounded = *a;
    attn_array *stored[] = {&rounded.q, &rounded.k, &rounded.v};

    for (int i = 0; i < 3; i++) copy(stored[i]);
    prepare_floats(p, &rounded.q, first_position(p));
    prepare_floats(p, &rounded.k, 0);
    prepared.qk_norm_eps = 0;
    prepared.rope.dim = 0;
    for (int i = 0; i < 3; i++) round_to_bf16(stored[i]);
    compute(&prepared, &rounded, naive);
    for (int i = 0; i < 3; i++) free(stored[i]->data);
}

void attn_naive_compute(const attn_problem *p, const attn_arrays *a, attn_storage storage,
                        attn_naive *naive) {
    if (storage == ATTN_FP32)
        compute(p, a, naive);
    else
        compute_rounded(p, a, naive);
}

void attn_naive_free(attn_naive *naive) {
    free(naive->y);
    free(naive->lse);
}

/* --- errors -------------------------------------------------------------------- */

/* The scores here stay below about 10; fp32 has 24 bits, so a score errs by a few
 * 2^-22 and a result by as much, relatively: 5e-6 leaves room for the longest sums. */
static const double y_error = 5e-6, lse_error = 1e-5;

static double rms_of(const double *data, int64_t count) {
    double squares = 0;

    for (int64_t i = 0; i < count; i++) squares += data[i] * data[i];
    return sqrt(squares / (double)count);
}

static double largest(const attn_array *array) {
    double most = 0;

    for (int64_t i = 0; i < attn_array_elems(array); i++)
        most = fmax(most, fabs((double)array->data[i]));
    return most;
}

/* Weights rounded to bf16 (depth 2) are wrong by at most 2^-8 of themselves, and so is their sum
 * with the values by 2^-8 of the largest value. */
void attn_naive_check_y(const attn_naive *naive, const attn_arrays *a, const attn_kernel *kernel) {
    const int64_t elems = attn_array_elems(&a->y);
    double allowed = y_error * rms_of(naive->y, elems);
    int64_t wrong = 0;

    if (kernel->depth == 2) allowed += 0x1p-8 * largest(&a->v);
    for (int64_t i = 0; i < elems; i++)
        wrong += !(fabs((double)a->y.data[i] - naive->y[i]) <= allowed);
    CU_ASSERT_EQUAL(wrong, 0);
}

void attn_naive_check_lse(const attn_naive *naive, const attn_arrays *a) {
    int64_t wrong = 0;

    for (int64_t i = 0; i < attn_array_elems(&a->lse); i++) {
        const double lse = (double)a->lse.data[i];

        wrong +=
            isinf(naive->lse[i]) ? lse != naive->lse[i] : !(fabs(lse - naive->lse[i]) <= lse_error);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}
