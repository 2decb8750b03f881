/* report.h: what a run found out, gathered over ranks; as JSON and as a table. */
#ifndef ATTN_RUNTIME_REPORT_H
#define ATTN_RUNTIME_REPORT_H

#include "job.h"
#include "verify.h"

/* X(name): phases of a run in their order. */
#define ATTN_PHASE_LIST(X) \
    X(load)                \
    X(project)             \
    X(exchange)            \
    X(attend)              \
    X(output)              \
    X(write)               \
    X(total)

typedef enum attn_phase {
#define ATTN_PHASE_ENUM(name) ATTN_PHASE_##name,
    ATTN_PHASE_LIST(ATTN_PHASE_ENUM)
#undef ATTN_PHASE_ENUM
        ATTN_PHASES
} attn_phase;

typedef struct attn_spread {
    double min, mean, max;
} attn_spread;

enum { ATTN_HELD_RUNS = 4 }; /* of a list, as many as a line of the table may show */

/* The first runs of a list of rows. */
typedef struct attn_held_rows {
    attn_rows runs[ATTN_HELD_RUNS];
    int64_t run_count; /* of all */
} attn_held_rows;

/* What one rank holds. */
typedef struct attn_holding {
    int place;                 /* rank in the mesh: shard · P_h + member */
    attn_held_rows rows;       /* of x or q, and of y */
    int64_t first_head, heads; /* query heads computed */
    int64_t first_kv_head, kv_heads;
    attn_held_rows shard_rows; /* queries of its shard */
} attn_holding;

typedef struct attn_report {
    char host[256];        /* of rank 0 of the mesh */
    char blas[256];        /* library and core type */
    char blas_reason[256]; /* why that core type: blas_core.h */
    char cpu[256];
    int mixed_blas;                  /* nodes differ in their BLAS core: bits may differ */
    attn_spread phases[ATTN_PHASES]; /* seconds, over ranks */
    double flops, gflops_per_sec;
    int64_t sent_bytes_max, sent_bytes_total, crossed_bytes_total;
    int64_t peak_rss_bytes_max;
    int64_t planned_bytes_max, planned_bytes_node_max;
    attn_verification verification;
    attn_holding *holdings; /* owned; [ranks], on rank 0 of job->comm, in mesh order */
} attn_report;

/* Collects from all ranks. `seconds` are this rank's. Collective on job->comm;
 * agreed on at the boundary "report". */
attn_status attn_report_collect(const attn_job *job, const double seconds[ATTN_PHASES],
                                const attn_verification *verification, attn_report *report,
                                attn_error *error);

/* The report as JSON text, to be freed; NULL without memory. On rank 0. */
char *attn_report_json(const attn_job *job, const attn_report *report);

/* The table on stdout, at most 80 columns. On rank 0. */
void attn_report_print(const attn_job *job, const attn_report *report);

void attn_report_free(attn_report *report);

#endif
