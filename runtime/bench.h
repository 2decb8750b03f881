/* bench.h: timing the points of a sweep.
 *
 * Each repeat goes through all points, in another order each time, so that a drift
 * of the machine's speed hits all alike. Before and after each timed execution
 * every thread of every rank measures what bounds it, so that the fraction of the bound
 * is a ratio of neighbours in time; the median of these ratios survives a noisy machine.
 *
 * The bound (roofline: Williams, Waterman & Patterson 2009) is the peak of the kernel's
 * multiply-adds or, where a few queries read all of K and V, the rate at which memory delivers
 * them. A layer is also held against its parts: the attention as timed and the flops of the
 * projections at the rate of one large sgemm.
 *
 * A point is the config with one --set for each axis of bench.sweep, on as many ranks of the
 * job as the axis `ranks` says (bench_ranks.h). One that cannot run is listed with its reason.
 * Samples go to a file as they are taken, and a sweep that was ended goes on from there
 * (bench_samples.h).
 */
#ifndef ATTN_RUNTIME_BENCH_H
#define ATTN_RUNTIME_BENCH_H

#include "bench_ranks.h"
#include "cmdline.h"
#include "config.h"

enum {
    ATTN_BENCH_SET_BYTES = 2 * ATTN_SWEEP_AXES * ATTN_SWEEP_TEXT,
    ATTN_BENCH_MASK_BYTES = 256,
    ATTN_BENCH_WORD_BYTES = 16,
};

/* What is the same for all samples of a point. The first four are known before it runs. */
typedef struct attn_point_facts {
    int64_t point, ranks;
    char mode[ATTN_BENCH_WORD_BYTES];
    char set[ATTN_BENCH_SET_BYTES]; /* "key=value key=value" */
    int64_t nodes, threads, mesh_heads, mesh_sequence;
    char circulate[ATTN_BENCH_WORD_BYTES], layout[ATTN_BENCH_WORD_BYTES];
    char dtype[ATTN_BENCH_WORD_BYTES], kernel[ATTN_BENCH_WORD_BYTES];
    char mask[ATTN_BENCH_MASK_BYTES];
    int64_t length, kv_length, batch, heads, kv_heads, key_dim, value_dim;
    int64_t model_dim;             /* −1: attention alone */
    double flops;                  /* of the attention */
    double projection_flops;       /* 0 without projections */
    int64_t bytes_predicted;       /* that all ranks send, by formula */
    int64_t memory_bytes_max;      /* planned, on a rank */
    double memory_bytes_per_token; /* planned, on all ranks, over B · N */
    double predicted_sec;          /* at the rates of parallel.machine; NAN: without */
} attn_point_facts;

/* One timed execution. NAN: not known, or it does not apply. Of several ranks: the
 * slowest one's time, and rates of all together. */
typedef struct attn_sample {
    int64_t repeat;
    double total_sec; /* of the execution, projections included */
    double project_sec, exchange_sec, attend_sec, output_sec;
    double compute_sec_min, compute_sec_mean, compute_sec_max;
    double wait_sec_mean, wait_sec_max;
    double transfer_sec_max;
    double overlap;             /* of all ranks: hidden over transfer; NAN: nothing circulated */
    double imbalance;           /* most over mean of compute_sec */
    double gflops_per_sec;      /* unmasked pairs only / attend_sec */
    double peak_gflops;         /* of all threads of all ranks, beside it */
    double read_gbytes_per_sec; /* beside it; NAN: compute is the bound */
    double sgemm_gflops;        /* beside it; NAN: no projections */
    double fraction_of_bound;   /* of the bound, which is "compute" or "memory" */
    char bound[ATTN_BENCH_WORD_BYTES];
    int64_t bytes_sent_max, bytes_sent_total;
    double speedup, efficiency; /* NAN: they are of medians */
} attn_sample;

/* Samples and facts are on rank 0; the rest is the same on all ranks. */
typedef struct attn_point {
    attn_sample *samples; /* owned: [repeats], of which `count` are there; NULL elsewhere */
    unsigned char *taken; /* owned: [repeats] */
    int32_t count;
    attn_point_facts facts; /* whole when count > 0 */
    attn_error refused;     /* why it cannot run; status ATTN_OK: it can */
    int is_shown;           /* on_point has had it */
} attn_point;

typedef struct attn_bench {
    const attn_config *config;   /* borrowed: the base */
    const attn_cmdline *cmdline; /* borrowed */
    attn_bench_ranks ranks;
    attn_bench_mode mode;
    int64_t points;
    attn_point *point; /* owned; [points] */
    int64_t resumed;   /* samples that were there before */
    int out_of_budget; /* samples are missing, because bench.budget_sec is used */
} attn_bench;

/* Runs the sweep. A point that fails is noted; only a machine's failure, or samples that
 * cannot be gone on with, end the bench. Collective; agreed on. `on_point`, on rank 0, is called
 * when all samples of a point and of its baseline are there, or no more will come; NULL: never.
 * Needs attn_bench_free, also after a failure. */
attn_status attn_bench_run(MPI_Comm comm, const attn_cmdline *cmdline, const attn_config *config,
                           void (*on_point)(const attn_bench *bench, int64_t point),
                           attn_bench *bench, attn_error *error);

/* Collective. A zeroed one is legal. */
void attn_bench_free(attn_bench *bench);

#endif
