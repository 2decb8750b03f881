#include <jansson.h>
#include <math.h>
#include <string.h>

#include "circulate.h"
#include "layout.h"
#include "report.h"
#include "version.h"

/* JSON has no NaN and no infinity: those become null. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *phases_json(const attn_report *report) {
    static const char *const names[ATTN_PHASES] = {
#define ATTN_PHASE_NAME(name) #name,
        ATTN_PHASE_LIST(ATTN_PHASE_NAME)
#undef ATTN_PHASE_NAME
    };
    json_t *phases = json_object();

    for (int i = 0; i < ATTN_PHASES; i++) {
        const attn_spread *spread = &report->phases[i];
        json_object_set_new(phases, names[i],
                            json_pack("{s:o, s:o, s:o}", "min", number(spread->min), "mean",
                                      number(spread->mean), "max", number(spread->max)));
    }
    return phases;
}

/* Index of a name that the module itself gave. */
static int32_t choice_index(const char *(*name)(int), const char *wanted) {
    int32_t index = 0;

    while (strcmp(name(index), wanted) != 0) index++;
    return index;
}

/* The config with what auto was resolved to, so that it runs again as it did. */
static json_t *resolved_config(const attn_job *job) {
    attn_config resolved = job->config;
    const attn_problem *problem = &job->inputs.problem;
    const attn_plan_info *info = &job->info;

    resolved.attention.head_dim = problem->key_dim;
    resolved.attention.scale = (double)info->scale;
    resolved.sequence.length = problem->length;
    if (resolved.attention.rope) resolved.attention.rope_dim = problem->rope.dim;
    if (job->inputs.form == ATTN_INPUT_QKV || problem->memory_dim > 0)
        resolved.sequence.kv_length = problem->kv_length;
    if (job->inputs.has_batch) resolved.sequence.batch = problem->batch;
    resolved.parallel.heads = info->mesh_heads;
    resolved.parallel.sequence = info->mesh_sequence;
    resolved.parallel.threads = info->threads;
    resolved.parallel.circulate = choice_index(attn_circulation_name, info->circulate);
    resolved.parallel.layout = choice_index(attn_layout_name, info->layout);
    resolved.parallel.share_nodes = info->share_ranks > 1;
    resolved.compute.kernel = choice_index(attn_kernel_name, info->kernel);
    return attn_config_json(&resolved);
}

char *attn_report_json(const attn_job *job, const attn_report *report) {
    const attn_plan_info *info = &job->info;
    const attn_verification *verify = &report->verification;
    char *text = NULL;
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:{s:i, s:i, s:s, s:s, s:o, s:s, s:o, s:i, s:s},"
        " s:i, s:s, s:s, s:s, s:o, s:o,"
        " s:{s:o, s:o}, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I}}",
        "version", ATTN_VERSION, "host", report->host, "cpu", report->cpu, "ranks", job->ranks,
        "nodes", info->nodes, "mesh", "heads", info->mesh_heads, "sequence", info->mesh_sequence,
        "circulate", info->circulate, "layout", info->layout, "imbalance", number(info->imbalance),
        "why", info->why, "predicted_sec", number(info->predicted_sec), "share_ranks",
        info->share_ranks, "share_reason", info->share_reason, "threads", info->threads, "kernel",
        info->kernel, "blas", report->blas, "blas_reason", report->blas_reason, "config",
        resolved_config(job), "phases", phases_json(report), "attention", "flops",
        number(report->flops), "gflops_per_sec", number(report->gflops_per_sec), "traffic",
        "bytes_sent_max", (json_int_t)report->sent_bytes_max, "bytes_sent_total",
        (json_int_t)report->sent_bytes_total, "bytes_between_nodes_total",
        (json_int_t)report->crossed_bytes_total, "memory", "peak_rss_bytes_max",
        (json_int_t)report->peak_rss_bytes_max, "planned_bytes_max",
        (json_int_t)report->planned_bytes_max, "planned_bytes_node_max",
        (json_int_t)report->planned_bytes_node_max);

    if (json != NULL && verify->rows > 0)
        json_object_set_new(
            json, "verify",
            json_pack("{s:I, s:o, s:o, s:o, s:o, s:b}", "rows", (json_int_t)verify->rows,
                      "max_error_over_rms", number(verify->max_error_over_rms),
                      "rms_error_over_rms", number(verify->rms_error_over_rms), "lse_max_error",
                      number(verify->lse_max_error), "tolerance", number(verify->tolerance),
                      "passed", verify->passed));
    else if (json != NULL)
        json_object_set_new(json, "verify", json_null());
    if (json != NULL) text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    return text;
}
