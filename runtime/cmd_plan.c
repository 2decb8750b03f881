/* attnspan plan: what a run would do, for any number of ranks, in one process. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agree.h"
#include "cmdline.h"
#include "node_share.h"
#include "plan_report.h"
#include "topology.h"

/* Threads: the config's, or the cores of a node shared out. */
static attn_status find_cluster(const attn_job *job, const attn_cmdline *cmdline,
                                attn_plan_report *report, attn_error *error) {
    int64_t nodes = cmdline->nodes > 0 ? cmdline->nodes : 1, ranks = cmdline->ranks, on_node;
    int64_t cores = job->machine.cores > 0 ? job->machine.cores : attn_node_cores();
    int64_t threads = job->config.parallel.threads;

    if (ranks == 0 && attn_job_ranks_meant(job, &ranks, error) != ATTN_OK) return error->status;
    if (nodes > ranks)
        return attn_fail(error, ATTN_ERR_USAGE,
                         "--nodes: %" PRId64 " nodes are more than the %" PRId64
                         " rank%s; give each node a rank at least",
                         nodes, ranks, ranks == 1 ? "" : "s");
    on_node = (ranks + nodes - 1) / nodes;
    if (threads == ATTN_AUTO) threads = cores > on_node ? cores / on_node : 1;
    report->nodes = (ranks + on_node - 1) / on_node;
    report->cluster =
        (attn_cluster){.ranks = ranks,
                       .ranks_per_node = on_node,
                       .threads = (int)threads,
                       .share_nodes = attn_node_share_may(attn_job_wish(job).share_nodes),
                       .machine = job->machine};
    return attn_ok(error);
}

static attn_status make_report(const attn_job *job, const attn_cmdline *cmdline,
                               attn_plan_report *report, attn_error *error) {
    const attn_problem *problem = &job->inputs.problem;
    const attn_options options = attn_job_options(job);
    const attn_wish wish = attn_job_wish(job), open = {.layout = -1, .storage = wish.storage};

    report->job = job;
    if (find_cluster(job, cmdline, report, error) != ATTN_OK ||
        attn_job_check_mesh(job, report->cluster.ranks, error) != ATTN_OK ||
        attn_choose(problem, &wish, &report->cluster, &report->choice, error) != ATTN_OK ||
        attn_choose_list(problem, &open, &report->cluster, report->open, ATTN_PLAN_CHOICES,
                         &report->open_count, error) != ATTN_OK)
        return error->status;
    return attn_survey_take(problem, &options, &report->cluster, &report->choice, &report->survey,
                            error);
}

static attn_status show(const attn_plan_report *report, int as_json, attn_error *error) {
    char *text;

    if (!as_json) {
        attn_plan_report_print(report);
        return attn_ok(error);
    }
    text = attn_plan_report_json(report);
    if (text == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the plan");
    puts(text);
    free(text);
    return attn_ok(error);
}

/* Of several ranks, which is as good as one, rank 0 plans for all. */
attn_status attn_cmd_plan(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    attn_plan_report *report = calloc(1, sizeof *report);
    attn_job *job = NULL;

    attn_ok(error);
    if (report == NULL) attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the plan");
    if (attn_agree(comm, "report", error) == ATTN_OK &&
        attn_job_create(comm, &job, error) == ATTN_OK &&
        attn_job_configure(job, cmdline, error) == ATTN_OK &&
        attn_inputs_describe(comm, &job->config, &job->inputs, error) == ATTN_OK) {
        if (job->rank == 0 && make_report(job, cmdline, report, error) == ATTN_OK)
            show(report, cmdline->json, error);
        attn_agree(comm, "plan", error);
    }
    attn_job_destroy(job);
    free(report);
    return error->status;
}
