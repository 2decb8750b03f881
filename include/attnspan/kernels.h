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
 *  - The bits of a row depend on its own query, its intervals and the block
 *    alone: not on the other rows of the call, their number, or the row's place
 *    among them. A masked key contributes exactly nothing.
 *  - No score is rounded beyond fp32; every finite score is safe, because the
 *    maximum is subtracted before scaling. Weights are fp32, but for a kernel of depth 2,
 *    which rounds those that multiply values to bf16 (not those of the sum), and takes
 *    subnormal elements for 0.
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

/* Most rows of one call of attend_few(). */
enum { ATTN_FEW_ROWS = 8 };

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

/* How queries, keys and values are stored and travel. Products are summed in fp32, and
 * partials are fp32, whatever the storage. bf16 is the upper half of an fp32, in a
 * uint16_t. */
typedef enum attn_storage { ATTN_FP32, ATTN_BF16 } attn_storage;
enum { ATTN_STORAGES = 2 };

/* "bf16"; NULL when `storage` is past the last. */
const char *attn_storage_name(int storage);

/* Bytes of an element: 4 or 2. */
int64_t attn_storage_bytes(attn_storage storage);

/* to[i] := from[i], rounded to the nearest of the storage, ties to even; what exceeds the
 * range of bf16 becomes an infinity, and NaN stays NaN. No overlap. */
void attn_store(attn_storage storage, const float *from, int64_t count, void *to);

/* What becomes of a row's scores before their softmax, in this order:
 *
 *     t_j = scale s_j                     the scaled score
 *     t_j = c tanh(t_j / c)               softcap c (Gemma 2; before the mask, as there)
 *     t_j = t_j − slope |j − a|           ALiBi (Press et al. 2022): linear in the distance from
 *                                         the key a that the query stands beside; what the keys
 *                                         before it get is slope (j − a)
 *     t_j = t_j + bias_j
 *     t_j = −inf                          unless the mask shows key j, whatever the above made
 *     softmax over t
 *
 * A bias of −inf leaves its key no weight, and a row of nothing else is empty. (The value of such
 * a key still counts where it is not finite: 0 · inf is NaN. Keys that the mask hides do not.)
 *
 * The partials of a call with terms are of t: their maxima are scaled already, and they are merged
 * and finished with a scale of 1. Terms take a pass of their own over the scores. */
typedef struct attn_score_terms {
    float softcap;            /* c > 0, or 0: none */
    const float *slope;       /* [rows]; NULL: none */
    const int64_t *position;  /* [rows], a − the block's first key; unread without slopes */
    const float *const *bias; /* [rows]: [key_count], from the block's first key on; NULL: none */
} attn_score_terms;

/* One call: `rows` queries over one block of keys. Queries, packed keys and packed values
 * are elements of the kernel's storage. */
typedef struct attn_block_args {
    const void *query;                 /* [rows][key_dim], rows query_stride elements apart */
    ptrdiff_t query_stride;            /* elements, >= key_dim */
    int32_t rows;                      /* 1 … attn_kernel.query_rows */
    int32_t key_dim;                   /* d_k >= 1 */
    int32_t value_dim;                 /* d_v >= 1 */
    const void *keys;                  /* packed by pack_keys, from the block's first key on */
    const void *values;                /* packed by pack_values, likewise */
    ptrdiff_t key_stride;              /* elements from one key, and value, to the next; only */
    ptrdiff_t value_stride;            /* for attend_few(), where neither is packed */
    int64_t key_count;                 /* keys of the block, >= 1 */
    const attn_interval *visible;      /* [rows], counted from the block's first key, clipped to
                                          [0, key_count]; NULL: every row sees every key */
    const attn_interval *also_visible; /* [rows], a second interval of each row, behind the end of
                                          the first or empty; NULL: none */
    float scale;                       /* > 0: multiplies the scores before exp */
    const attn_score_terms *terms;     /* NULL: none */
    void *scratch;                     /* scratch_bytes(), 64-byte aligned, one per thread */
} attn_block_args;

typedef struct attn_kernel {
    const char *name; /* of its level: "generic" */
    attn_storage storage;
    int32_t query_rows; /* most rows of one call */
    int32_t key_panel;  /* keys of one packed panel; divides ATTN_KEY_UNIT */
    int32_t depth;      /* 1, or 2: dimensions of keys, and keys of values, that one step of a
                           product takes together; packing rounds up to it */

    /* Whether this CPU and its operating system run the kernel. */
    int (*supported)(void);

    /* Working memory of attend() and attend_few() for one thread. */
    size_t (*scratch_bytes)(int32_t key_dim, int32_t value_dim);

    /* Packs keys [key_count][key_dim], rows key_stride elements apart, into
     * panels: [ceil(key_count / key_panel)][ceil(key_dim / depth)][key_panel][depth], filled
     * up with zeros. `panels` does not overlap `keys`. */
    void (*pack_keys)(const void *keys, ptrdiff_t key_stride, int64_t key_count, int32_t key_dim,
                      void *panels);

    /* Packs values [key_count][value_dim], rows value_stride elements apart:
     * [ceil(key_count / depth)][value_dim][depth], filled up with zeros. No overlap. */
    void (*pack_values)(const void *values, ptrdiff_t value_stride, int64_t key_count,
                        int32_t value_dim, void *packed);

    /* The partial of args->rows queries over the block. Writes every element of
     * `result` without reading it. */
    void (*attend)(const attn_block_args *args, attn_partial result);

    /* The same for at most ATTN_FEW_ROWS rows, with keys and values as they are, rows key_stride
     * and value_stride elements apart: a few queries would wait longer for the packing than for
     * the products. The sums run in another order than attend()'s. */
    void (*attend_few)(const attn_block_args *args, attn_partial result);

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

    /* `rounds` rounds of the multiply-adds that attend()'s products are made of, on registers
     * alone, as fast as the units go; returns the flops. For the peak that attend() is held
     * against. */
    double (*peak_work)(int64_t rounds);
} attn_kernel;

/* Elements that `key_count` packed keys, or values, take; whole blocks of ATTN_KEY_UNIT keys
 * take the same wherever they stand. */
int64_t attn_packed_key_elems(const attn_kernel *kernel, int64_t key_count, int32_t key_dim);
int64_t attn_packed_value_elems(const attn_kernel *kernel, int64_t key_count, int32_t value_dim);

/* Levels are numbered from the slowest, 0, which runs everywhere. A level has a kernel for
 * each storage; static storage. */
int32_t attn_kernel_levels(void);
const attn_kernel *attn_kernel_of(int32_t level, attn_storage storage);

/* The level that is fastest for that storage on this machine. It is chosen by the processor's
 * features and vendor alone, not measured, so that equal machines choose alike. The
 * environment variable ATTNSPAN_KERNEL, unless empty, names the highest level that may
 * be taken; -1 when it names none: the caller refuses to go on. */
#define ATTN_KERNEL_VARIABLE "ATTNSPAN_KERNEL"
int32_t attn_kernel_best(attn_storage storage);

/* "avx2"; NULL past the last level. */
const char *attn_kernel_name(int level);

/* Which keys the queries see. {0}: all of them.
 *
 * Query i of N stands beside key a = i + N_kv − N: the last query beside the last key.
 * With ATTN_CAUSAL_TOP_LEFT it is a = i: the first beside the first. Query i of batch
 * item b sees key j when
 *
 *     s <= j < e                        j is in the document of i: keys [s, e)
 *     and j < key_lengths[b]            and no padding
 *     and (   j < s + prefix            and either in the prefix, whatever the query,
 *          or (    (not causal, or j <= a)
 *              and (   a − left <= j <= a + right     or in its window,
 *                   or j < s + first)))               or a first key
 *
 * Without documents there is one, [0, N_kv). Documents lie one behind the other and need
 * N = N_kv; each is masked as if it were alone: its prefix and first keys are counted
 * from its own start. Key lengths hide keys and move nothing: a stays as it is.
 *
 * So a row sees at most two runs of keys. The parts go by these names elsewhere:
 * causal: is_causal (torch aligns at the top left, FlashAttention from 2.1 on at the bottom
 * right, as here); window: window_size of FlashAttention; prefix: prefix-LM (Raffel et al.
 * 2020); first: attention sinks of StreamingLLM (Xiao et al. 2023); document_starts: cu_seqlens. */
typedef enum attn_causal { ATTN_NOT_CAUSAL, ATTN_CAUSAL, ATTN_CAUSAL_TOP_LEFT } attn_causal;

typedef struct attn_mask_spec {
    attn_causal causal;
    int32_t windowed;       /* nonzero: left and right count */
    int64_t left, right;    /* keys beside a; >= 0, or -1: unbounded; causal: right 0 or -1 */
    int64_t prefix;         /* >= 0; above 0 only with causal or a window */
    int64_t first;          /* >= 0; above 0 only with a window */
    int64_t document_count; /* 0: no documents */
    const int64_t *document_starts; /* borrowed: [document_count + 1]: 0, ascending, N */
    const int64_t *key_lengths;     /* borrowed: [B], each 0 … N_kv; NULL: no padding */
} attn_mask_spec;

typedef struct attn_mask {
    attn_mask_spec spec;
    int64_t length;    /* N, > 0 */
    int64_t kv_length; /* N_kv, > 0 */
    int64_t batch;     /* B, > 0 */
} attn_mask;

/* Runs of keys, ascending, apart from each other by at least one key. Runs that are not there are
 * {0, 0}, and the first one is there if any is. */
typedef struct attn_visible {
    attn_interval span[2];
} attn_visible;

/* Keys that query `row` (0 … N − 1) of batch item `item` (0 … B − 1) sees, within [0, N_kv].
 * O(log documents). */
attn_visible attn_mask_visible(const attn_mask *mask, int64_t item, int64_t row);

/* For the item of the two functions below: all of the batch together. */
enum { ATTN_MASK_EVERY_ITEM = -1 };

/* Number of (query, key) pairs that the queries [first, last) of an item, or of all items, see;
 * INT64_MAX when it is larger. Closed form for each document that the queries touch, and for each
 * item with a length of its own. */
int64_t attn_mask_pairs(const attn_mask *mask, int64_t item, int64_t first, int64_t last);

/* Keys that some of the queries [first, last) of an item, or of any item, see: just these when
 * the queries are of one document. Otherwise up to two runs that hold them all and start and end
 * with such a key; the longest gap is left out. O(log documents + items). */
attn_visible attn_mask_span(const attn_mask *mask, int64_t item, int64_t first, int64_t last);

/* The oracle: naive two-pass attention in fp64, one row at a time, in the order
 * of the formula. It shares no code with the kernels. Keys may come in pieces:
 *
 *     max = −INFINITY; for each piece: max = attn_oracle_max(…, max);
 *     sum = 0, out = 0; for each piece: attn_oracle_add(…, max, &sum, out);
 *     y = out / sum,  lse = max + ln(sum)
 *
 * query: [key_dim]; keys: [key_count][key_dim] rows key_stride elements apart;
 * values: [key_count][value_dim] rows value_stride apart; `visible` counts from
 * the piece's first key. `max` is of the scaled scores, with their terms; NULL: none. */
typedef struct attn_oracle_terms {
    double softcap;    /* 0: none */
    double slope;      /* 0: none */
    int64_t position;  /* a − the piece's first key */
    const float *bias; /* [key_count] of the piece; NULL: none */
} attn_oracle_terms;

double attn_oracle_max(const double *query, const double *keys, ptrdiff_t key_stride,
                       int32_t key_dim, attn_interval visible, double scale,
                       const attn_oracle_terms *terms, double max);
void attn_oracle_add(const double *query, const double *keys, ptrdiff_t key_stride,
                     const double *values, ptrdiff_t value_stride, int32_t key_dim,
                     int32_t value_dim, attn_interval visible, double scale,
                     const attn_oracle_terms *terms, double max, double *sum, double *out);

/* One more logit in the denominator, without a value: an attention sink. After all pieces; *max
 * becomes `sink` where that is larger, and what was summed shrinks with it. */
void attn_oracle_sink(double sink, int32_t value_dim, double *max, double *sum, double *out);

/* out[c] /= sum and *lse = max + ln(sum); zeros and −inf when no key was seen. */
void attn_oracle_finish(double max, double sum, int32_t value_dim, double *out, double *lse);

#ifdef __cplusplus
}
#endif
#endif
