#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "blas_core.h"
#include "memory.h"
#include "topology.h"

static attn_spread spread_over_ranks(MPI_Comm comm, double mine, int ranks) {
    attn_spread spread;

    ATTN_MPI(MPI_Allreduce(&mine, &spread.min, 1, MPI_DOUBLE, MPI_MIN, comm));
    ATTN_MPI(MPI_Allreduce(&mine, &spread.max, 1, MPI_DOUBLE, MPI_MAX, comm));
    ATTN_MPI(MPI_Allreduce(&mine, &spread.mean, 1, MPI_DOUBLE, MPI_SUM, comm));
    spread.mean /= ranks;
    return spread;
}

static int64_t over_ranks(MPI_Comm comm, int64_t mine, MPI_Op op) {
    int64_t all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_INT64_T, op, comm));
    return all;
}

/* Whether some rank's text differs from rank 0's. */
static int differs(MPI_Comm comm, const char *text) {
    char first[256];
    int mine, any;

    snprintf(first, sizeof first, "%s", text);
    ATTN_MPI(MPI_Bcast(first, (int)sizeof first, MPI_CHAR, 0, comm));
    mine = strcmp(first, text) != 0;
    ATTN_MPI(MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, comm));
    return any;
}

static attn_held_rows held_rows(attn_row_list list) {
    attn_held_rows held = {.run_count = list.run_count};

    for (int64_t i = 0; i < list.run_count && i < ATTN_HELD_RUNS; i++) held.runs[i] = list.runs[i];
    return held;
}

static attn_holding own_holding(const attn_job *job) {
    const attn_plan_info *info = &job->info;

    return (attn_holding){info->shard * info->mesh_heads + info->member,
                          held_rows(attn_plan_query_rows(job->plan)),
                          info->first_head,
                          info->head_count,
                          info->first_kv_head,
                          info->kv_head_count,
                          held_rows(info->shard_queries)};
}

static int compare_places(const void *a, const void *b) {
    return ((const attn_holding *)a)->place - ((const attn_holding *)b)->place;
}

/* Rank 0 gets all holdings, by place in the mesh. */
static attn_status collect_holdings(const attn_job *job, attn_report *report, attn_error *error) {
    enum { BYTES = sizeof(attn_holding) };
    attn_holding mine = own_holding(job);

    attn_ok(error);
    report->holdings = NULL;
    if (job->rank == 0) {
        report->holdings = attn_alloc((size_t)job->ranks, BYTES);
        if (report->holdings == NULL) attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    }
    if (attn_agree(job->comm, "report", error) != ATTN_OK) return error->status;
    ATTN_MPI(MPI_Gather(&mine, BYTES, MPI_BYTE, report->holdings, BYTES, MPI_BYTE, 0, job->comm));
    if (job->rank == 0) qsort(report->holdings, (size_t)job->ranks, BYTES, compare_places);
    return attn_ok(error);
}

attn_status attn_report_collect(const attn_job *job, const double seconds[ATTN_PHASES],
                                const attn_verification *verification, attn_report *report,
                                attn_error *error) {
    attn_stats stats = attn_plan_stats(job->plan);
    int host_bytes;

    memset(report, 0, sizeof *report);
    if (collect_holdings(job, report, error) != ATTN_OK) return error->status;
    ATTN_MPI(MPI_Get_processor_name(report->host, &host_bytes));
    attn_blas_name(report->blas, sizeof report->blas);
    attn_blas_core_reason(report->blas_reason, sizeof report->blas_reason);
    attn_cpu_name(report->cpu, (int)sizeof report->cpu);
    report->mixed_blas = differs(job->comm, report->blas);
    for (int i = 0; i < ATTN_PHASES; i++)
        report->phases[i] = spread_over_ranks(job->comm, seconds[i], job->ranks);
    report->flops = job->info.flops;
    report->gflops_per_sec = report->phases[ATTN_PHASE_attend].max > 0
                                 ? report->flops / report->phases[ATTN_PHASE_attend].max * 1e-9
                                 : 0;
    report->sent_bytes_max = over_ranks(job->comm, stats.sent_bytes, MPI_MAX);
    report->sent_bytes_total = over_ranks(job->comm, stats.sent_bytes, MPI_SUM);
    report->crossed_bytes_total = over_ranks(job->comm, stats.crossed_bytes, MPI_SUM);
    report->peak_rss_bytes_max = over_ranks(job->comm, attn_memory_peak(), MPI_MAX);
    report->planned_bytes_max = over_ranks(job->comm, job->info.bytes, MPI_MAX);
    report->planned_bytes_node_max = over_ranks(job->comm, job->info.node_bytes, MPI_MAX);
    report->verification = *verification;
    return attn_ok(error);
}

void attn_report_free(attn_report *report) {
    free(report->holdings);
    report->holdings = NULL;
}
