/* attnspan/kernels.h: local attention on one core: the table of kernels.
 *
 * A kernel computes partials: the unnormalised attention of a few queries over
 * one block of keys,
 *
 *     max[r]    = max_j s_rj                      s_rj = q_r · k_j   (visible j only)
 *     sum[r]    = Σ_j exp(scale (s_rj − max[r]))
 *     out[r, c] = Σ_j exp(scale (s_rj − max[r])) v_jc
 *
 * and merges partials over disjoint sets of keys; merging is associative up to
 * rounding, so a fixed tree of merges gives fixed bits. A query that sees no
 * key has the empty partial max = −inf, sum = 0, out = 0.
 * (Online softmax: Milakov & Gimelshein 2018; partials and their merge: Dao et
 * al. 2022, FlashAttention, and Rabe & Staats 2021.)
 *
 * What makes a kernel correct beyond the formula:
 *  - The bits of a row depend on its own query, its interval and the block
 *    alone: not on the other rows of the call, their number, or the row's place
 *    among them. A masked key contributes exactly nothing.
 *  - No score is rounded beyond fp32; every finite score is safe, because the
 *    maximum is subtracted before scaling.
 *  - No allocation, no libm function in the inner loops, no N × N matrix.
 *
 * Nothing here is collective, and nothing here knows MPI. All functions may be
 * called from many threads at once on disjoint outputs.
 */
#ifndef ATTNSPAN_KERNELS_H
#define ATTNSPAN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every kernel's key_panel divides this, and so do all blocks of keys but the
 * last: shards can be cut at blocks and their packed panels never straddle. */
enum { ATTN_KEY_UNIT = 32 };

/* Keys [first, last) that a query sees; empty when first >= last. */
typedef struct attn_interval {
    int64_t first, last;
} attn_interval;

/* Rows of partial results. `out` is [rows][value_dim] contiguous, `max` and
 * `sum` are [rows]. The memory is the caller's. */
typedef struct attn_partial {
    float *out;
    float *max;
    float *sum;
} attn_partial;

/* One call: `rows` queries over one block of keys. */
typedef struct attn_block_args {
    const float *query;           /* [rows][key_dim], rows query_stride elements apart */
    ptrdiff_t query_stride;       /* elements, >= key_dim */
    int32_t rows;                 /* 1 … attn_kernel.query_rows */
    int32_t key_dim;              /* d_k >= 1 */
    int32_t value_dim;            /* d_v >= 1 */
    const float *keys;            /* packed by pack_keys, from the block's first key on */
    const float *values;          /* [key_count][value_dim] contiguous */
    int64_t key_count;            /* keys of the block, >= 1 */
    const attn_interval *visible; /* [rows], counted from the block's first key, clipped to
                                     [0, key_count]; NULL: every row sees every key */
    float scale;                  /* > 0: multiplies the scores before exp */
    void *scratch;                /* scratch_bytes(), 64-byte aligned, one per thread */
} attn_block_args;

typedef struct attn_kernel {
    const char *name;   /* "generic" */
    int32_t query_rows; /* most rows of one call */
    int32_t key_panel;  /* keys of one packed panel; divides ATTN_KEY_UNIT */

    /* Whether this CPU and its operating system run the kernel. */
    int (*supported)(void);

    /* Working memory of attend() for one thread. */
    size_t (*scratch_bytes)(int32_t key_dim, int32_t value_dim);

    /* Packs keys [key_count][key_dim], rows key_stride elements apart, into
     * panels: [ceil(key_count / key_panel)][key_dim][key_panel], the last one
     * filled up with zeros. `panels` does not overlap `keys`. */
    void (*pack_keys)(const float *keys, ptrdiff_t key_stride, int64_t key_count, int32_t key_dim,
                      float *panels);

    /* The partial of args->rows queries over the block. Writes every element of
     * `result` without reading it. */
    void (*attend)(const attn_block_args *args, attn_partial result);

    /* result := left merged with right, where right's keys come after left's.
     * `result` may be `left` or `right`. Merging with an empty partial keeps the
     * other's bits. */
    void (*merge)(attn_partial result, attn_partial left, attn_partial right, int32_t rows,
                  int32_t value_dim, float scale);

    /* Normalises: out[r, :] = partial.out / partial.sum at rows out_stride
     * elements apart, and lse[r * lse_stride] = scale·max + ln(sum) unless lse is
     * NULL. Empty rows become zeros and −inf. No result is −0. */
    void (*finish)(attn_partial partial, int32_t rows, int32_t value_dim, float scale, float *out,
                   ptrdiff_t out_stride, float *lse, ptrdiff_t lse_stride);

    /* `rounds` rounds of multiply-adds on registers alone, as fast as this level's units go;
     * returns the flops. For the peak that attend() is held against. */
    double (*fma_work)(int64_t rounds);
} attn_kernel;

/* Floats that `key_count` packed keys take. */
int64_t attn_packed_key_elems(const attn_kernel *kernel, int64_t key_count, int32_t key_dim);

/* The kernels, slowest first; `*count` of them. Static storage. */
const attn_kernel *const *attn_kernels(int32_t *count);

/* Index in attn_kernels() of the fastest kernel that this machine runs. The
 * environment variable ATTNSPAN_KERNEL, unless empty, names the fastest that may
 * be taken; -1 when it names none of the table: the caller refuses to go on. */
#define ATTN_KERNEL_VARIABLE "ATTNSPAN_KERNEL"
int32_t attn_kernel_best(void);

/* Name of the kernel of that index; NULL past the last. */
const char *attn_kernel_name(int index);

/* Which keys the queries see.
 *
 * `none`: all. `causal`: the last query is aligned with the last key, so query
 * i of N sees the keys below i + 1 + N_kv − N (none when that is not positive). */
typedef enum attn_mask_kind { ATTN_MASK_NONE, ATTN_MASK_CAUSAL } attn_mask_kind;

typedef struct attn_mask {
    attn_mask_kind kind;
    int64_t length;    /* N, > 0 */
    int64_t kv_length; /* N_kv, > 0 */
} attn_mask;

/* "causal"; NULL when `kind` is past the last. */
const char *attn_mask_name(int kind);

/* Keys that query `row` (0 … N − 1) sees, within [0, N_kv]. */
attn_interval attn_mask_visible(const attn_mask *mask, int64_t row);

/* Number of (query, key) pairs that the queries [first, last) see; INT64_MAX when
 * it is larger. */
int64_t attn_mask_pairs(const attn_mask *mask, int64_t first, int64_t last);

/* The oracle: naive two-pass attention in fp64, one row at a time, in the order
 * of the formula. It shares no code with the kernels. Keys may come in pieces:
 *
 *     max = −INFINITY; for each piece: max = attn_oracle_max(…, max);
 *     sum = 0, out = 0; for each piece: attn_oracle_add(…, max, &sum, out);
 *     y = out / sum,  lse = max + ln(sum)
 *
 * query: [key_dim]; keys: [key_count][key_dim] rows key_stride elements apart;
 * values: [key_count][value_dim] rows value_stride apart; `visible` counts from
 * the piece's first key. `max` is of the scaled scores. */
double attn_oracle_max(const double *query, const double *keys, ptrdiff_t key_stride,
                       int32_t key_dim, attn_interval visible, double scale, double max);
void attn_oracle_add(const double *query, const double *keys, ptrdiff_t key_stride,
                     const double *values, ptrdiff_t value_stride, int32_t key_dim,
                     int32_t value_dim, attn_interval visible, double scale, double max,
                     double *sum, double *out);

/* out[c] /= sum and *lse = max + ln(sum); zeros and −inf when no key was seen. */
void attn_oracle_finish(double max, double sum, int32_t value_dim, double *out, double *lse);

#ifdef __cplusplus
}
#endif
#endif
