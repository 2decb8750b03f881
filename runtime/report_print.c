#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "circulate.h"
#include "mask_spec.h"
#include "report.h"
#include "terms_spec.h"
#include "units.h"
#include "version.h"

enum { MOST_RANKS_SHOWN = 16, FIELD = 40 };

/* "0–255", or "none". */
static const char *range_text(int64_t first, int64_t count, char *text) {
    if (count == 0)
        snprintf(text, FIELD, "none");
    else if (count == 1)
        snprintf(text, FIELD, "%" PRId64, first);
    else
        snprintf(text, FIELD, "%" PRId64 "-%" PRId64, first, first + count - 1);
    return text;
}

/* "0-255, 1792-2047", as many runs as fit into `width` columns, "+6" for those that do not. */
static const char *rows_text(const attn_held_rows *rows, int width, char *text) {
    char runs[ATTN_HELD_RUNS][FIELD];
    int shown = 0, used = 0;

    if (rows->run_count == 0) return range_text(0, 0, text);
    while (shown < rows->run_count && shown < ATTN_HELD_RUNS) {
        int is_last = shown + 1 == rows->run_count;
        int bytes =
            (int)strlen(range_text(rows->runs[shown].first, rows->runs[shown].count, runs[shown]));

        /* The first is always shown; behind others, "+6" must fit in too. */
        if (shown > 0 && used + 2 + bytes + (is_last ? 0 : 5) > width) break;
        used += bytes + (shown > 0 ? 2 : 0);
        shown++;
    }
    used = 0;
    for (int i = 0; i < shown; i++)
        used += snprintf(text + used, (size_t)(FIELD - used), "%s%s", i > 0 ? ", " : "", runs[i]);
    if (shown < rows->run_count)
        snprintf(text + used, (size_t)(FIELD - used), ", +%" PRId64, rows->run_count - shown);
    return text;
}

/* Where keys come from, and what becomes of q and k before the scores: a line each, where
 * it is asked for. */
static void print_positions(const attn_problem *p) {
    if (p->memory_dim > 0)
        printf("             keys and values from a memory, d_memory %" PRId64 "\n", p->memory_dim);
    if (p->qk_norm_eps > 0) printf("             QK-norm, eps %g\n", p->qk_norm_eps);
    if (p->rope.dim == 0) return;
    printf("             RoPE, theta %g, dim %d, %s", p->rope.theta, p->rope.dim,
           attn_rope_pairing_name((int)p->rope.pairing));
    if (p->rope.scaling != ATTN_ROPE_UNSCALED)
        printf(", %s by %g", attn_rope_scaling_name((int)p->rope.scaling), p->rope.factor);
    printf("\n");
}

/* "best predicted, next other", in two lines. */
static void print_why(const char *why) {
    const char *next = strstr(why, ", next ");

    if (next == NULL) return;
    printf("             auto: %.*s,\n             %s\n", (int)(next - why), why, next + 2);
}

/* Nothing where there is nothing to share: one shard, or a ring. */
static void print_sharing(const attn_plan_info *info) {
    if (info->share_ranks > 1)
        printf("             up to %d ranks of a node share one copy of keys and values\n",
               info->share_ranks);
    else if (info->mesh_sequence > 1 && attn_circulation_find(info->circulate)->shares)
        printf("             K/V are not shared: %s\n", info->share_reason);
}

static void print_problem(const attn_job *job, const attn_report *report) {
    const attn_problem *p = &job->inputs.problem;
    const attn_plan_info *info = &job->info;
    char mask[256], terms[128];

    printf("attnspan %s: %s\n\n", ATTN_VERSION, job->config.file);
    printf("  problem    N %" PRId64, p->length);
    if (p->kv_length != p->length) printf(", N_kv %" PRId64, p->kv_length);
    printf(", B %" PRId64 ", H %" PRId64 ", H_kv %" PRId64 ", d_k %d, d_v %d", p->batch, p->heads,
           p->kv_heads, p->key_dim, p->value_dim);
    if (p->model_dim > 0) printf(", d_model %" PRId64, p->model_dim);
    attn_mask_spec_words(&p->mask, p->batch, mask, sizeof mask);
    printf("\n             mask %s, %s\n", mask, attn_storage_name(job->config.compute.dtype));
    print_positions(p);
    attn_terms_spec_words(&p->terms, terms, sizeof terms);
    if (terms[0] != '\0') printf("             scores with %s\n", terms);
    printf("  mesh       %d rank%s = %d head group%s x %d sequence shard%s, %s, %s\n", job->ranks,
           job->ranks == 1 ? "" : "s", info->mesh_heads, info->mesh_heads == 1 ? "" : "s",
           info->mesh_sequence, info->mesh_sequence == 1 ? "" : "s", info->circulate, info->layout);
    if (info->mesh_sequence > 1)
        printf("             imbalance %.4f: pairs of the busiest shard over their mean\n",
               info->imbalance);
    print_sharing(info);
    print_why(info->why);
    printf("  machine    %d node%s, %d thread%s a rank\n", info->nodes, info->nodes == 1 ? "" : "s",
           info->threads, info->threads == 1 ? "" : "s");
    printf("             %.67s\n", report->cpu);
    printf("             kernel %s, %s%s\n\n", info->kernel, report->blas,
           report->mixed_blas ? ", other cores elsewhere" : "");
}

static void print_holdings(const attn_job *job, const attn_report *report) {
    enum { ROWS_WIDTH = 24 };
    const attn_held_rows nothing = {.run_count = 0};
    char rows[FIELD], shard[FIELD], heads[FIELD], kv_heads[FIELD];

    printf("  %-5s %-24s %-24s %-9s %s\n", "rank", "rows of x and y", "queries attended", "heads",
           "kv heads");
    for (int i = 0; i < job->ranks && i < MOST_RANKS_SHOWN; i++) {
        const attn_holding *holding = &report->holdings[i];
        int idle = holding->heads == 0;
        printf("  %-5d %-24s %-24s %-9s %s\n", holding->place,
               rows_text(&holding->rows, ROWS_WIDTH, rows),
               rows_text(idle ? &nothing : &holding->shard_rows, ROWS_WIDTH, shard),
               range_text(holding->first_head, holding->heads, heads),
               range_text(holding->first_kv_head, holding->kv_heads, kv_heads));
    }
    if (job->ranks > MOST_RANKS_SHOWN) printf("  ... and %d more\n", job->ranks - MOST_RANKS_SHOWN);
}

static void print_phases(const attn_report *report) {
    static const char *const names[ATTN_PHASES] = {
#define ATTN_PHASE_NAME(name) #name,
        ATTN_PHASE_LIST(ATTN_PHASE_NAME)
#undef ATTN_PHASE_NAME
    };

    printf("\n  %-10s %10s %10s %10s\n", "seconds", "min", "mean", "max");
    for (int i = 0; i < ATTN_PHASES; i++)
        printf("  %-10s %10.4f %10.4f %10.4f\n", names[i], report->phases[i].min,
               report->phases[i].mean, report->phases[i].max);
}

static void print_figures(const attn_job *job, const attn_report *report) {
    const attn_verification *verify = &report->verification;
    char most[FIELD], total[FIELD];

    printf("\n  attention  %.3f GFLOP, %.2f GFLOP/s\n", report->flops * 1e-9,
           report->gflops_per_sec);
    printf("  traffic    %s sent by a rank at most, %s in all\n",
           attn_units_bytes((double)report->sent_bytes_max, most),
           attn_units_bytes((double)report->sent_bytes_total, total));
    if (job->info.nodes > 1)
        printf("             %s of it between nodes\n",
               attn_units_bytes((double)report->crossed_bytes_total, most));
    printf("  memory     %s a rank at most, %s of it planned\n",
           attn_units_bytes((double)report->peak_rss_bytes_max, most),
           attn_units_bytes((double)report->planned_bytes_max, total));
    if (job->info.share_ranks > 1)
        printf("             %s planned on a node at most\n",
               attn_units_bytes((double)report->planned_bytes_node_max, most));
    if (verify->rows == 0) {
        printf("  verify     not asked for\n");
        return;
    }
    printf("  verify     %s: %" PRId64 " rows in fp64, max error %.2e of their RMS\n",
           verify->passed ? "passed" : "FAILED", verify->rows, verify->max_error_over_rms);
    printf("             (allowed %.1e), RMS error %.2e, lse error %.2e\n", verify->tolerance,
           verify->rms_error_over_rms, verify->lse_max_error);
}

/* The path as seen from the working folder, where that is shorter. */
static const char *short_path(const char *path) {
    static char working[ATTN_PATH_BYTES];
    size_t length;

    if (getcwd(working, sizeof working) == NULL) return path;
    length = strlen(working);
    return strncmp(path, working, length) == 0 && path[length] == '/' ? path + length + 1 : path;
}

void attn_report_print(const attn_job *job, const attn_report *report) {
    const char *const paths[] = {job->config.output.y, job->config.output.lse,
                                 job->config.output.report, job->config.output.trace};
    const char *label = "wrote";

    print_problem(job, report);
    print_holdings(job, report);
    print_phases(report);
    print_figures(job, report);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (paths[i][0] == '\0') continue;
        printf("  %-10s %s\n", label, short_path(paths[i]));
        label = "";
    }
}
