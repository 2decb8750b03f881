#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "layout.h"
#include "mask_spec.h"
#include "plan_report.h"
#include "units.h"

enum { MOST_RANKS_SHOWN = 16, SHOWN_AT_AN_END = 4, MOST_SHARDS_DRAWN = 16, PICTURE = 56 };

static const char *plural(int64_t count) {
    return count == 1 ? "" : "s";
}

static void print_heading(const attn_plan_report *report) {
    const attn_problem *p = &report->job->inputs.problem;
    const attn_cluster *cluster = &report->cluster;
    const char *machine = report->job->config.parallel.machine;
    char mask[48];

    attn_mask_spec_words(&p->mask, p->batch, mask, sizeof mask);
    printf("%s\n", report->job->config.file);
    printf("  problem    N %" PRId64 ", N_kv %" PRId64 ", B %" PRId64 ", H %" PRId64
           ", H_kv %" PRId64 ", d_k %d, d_v %d\n             ",
           p->length, p->kv_length, p->batch, p->heads, p->kv_heads, p->key_dim, p->value_dim);
    if (p->model_dim > 0) printf("d_model %" PRId64 ", ", p->model_dim);
    printf("%s; mask %s\n", attn_storage_name(report->job->config.compute.dtype), mask);
    printf("  ranks      %" PRId64 " on %" PRId64 " node%s, %d thread%s each\n", cluster->ranks,
           report->nodes, plural(report->nodes), cluster->threads, plural(cluster->threads));
    if (strlen(machine) > 60) machine = strrchr(machine, '/') + 1;
    printf("  machine    %s\n",
           machine[0] != '\0' ? machine : "an ordinary cluster; parallel.machine names another");
    printf("  mesh       %" PRId64 " head group%s x %" PRId64
           " sequence shard%s, %s, %s; imbalance %.4f\n\n",
           report->choice.way.members, plural(report->choice.way.members),
           report->choice.way.shards, plural(report->choice.way.shards),
           report->choice.way.circulate, attn_layout_name(report->choice.way.layout),
           report->choice.cost.imbalance);
}

static void print_rank(const attn_surveyed_rank *rank) {
    char heads[ATTN_UNITS_BYTES], bytes[ATTN_UNITS_BYTES], inside[ATTN_UNITS_BYTES];
    char outside[ATTN_UNITS_BYTES];

    if (rank->heads == 0)
        snprintf(heads, sizeof heads, "none");
    else
        snprintf(heads, sizeof heads, "%" PRId64 "-%" PRId64, rank->first_head,
                 rank->first_head + rank->heads - 1);
    printf("  %6" PRId64 " %6" PRId64 " %9s %10" PRId64 " %10" PRId64 " %10s %10s %10s\n",
           rank->rank, rank->node, heads, rank->queries, rank->keys,
           attn_units_bytes((double)rank->bytes, bytes),
           attn_units_bytes(rank->sends.bytes[0], inside),
           attn_units_bytes(rank->sends.bytes[1], outside));
}

static void print_ranks(const attn_plan_report *report) {
    const attn_survey *survey = &report->survey;

    printf("  %6s %6s %9s %10s %10s %10s %10s %10s\n", "rank", "node", "heads", "query rows",
           "key rows", "memory", "in node", "network");
    for (int32_t i = 0; i < survey->count; i++) {
        if (report->cluster.ranks <= MOST_RANKS_SHOWN || i < SHOWN_AT_AN_END ||
            i >= survey->count - SHOWN_AT_AN_END)
            print_rank(&survey->ranks[i]);
        else if (i == SHOWN_AT_AN_END)
            printf("  %6s\n", "...");
    }
    printf("\n");
}

/* One line for each shard: # where it holds most of the rows that a column stands for. */
static void print_picture(const attn_plan_report *report) {
    const attn_problem *problem = &report->job->inputs.problem;
    const attn_mask mask = attn_mask_spec_mask(problem);
    const attn_way *way = &report->choice.way;
    int columns = problem->length < PICTURE ? (int)problem->length : PICTURE;
    attn_layout layout;
    attn_error error;

    if (way->shards < 2 || way->shards > MOST_SHARDS_DRAWN ||
        attn_layout_create(&layout, way->layout, problem->length, way->shards, &mask, &error) !=
            ATTN_OK)
        return;
    printf("  who holds which query rows, of 0 to %" PRId64 "\n", problem->length - 1);
    for (int64_t shard = 0; shard < way->shards; shard++) {
        char line[PICTURE + 1];

        for (int column = 0; column < columns; column++) {
            int64_t middle = (int64_t)((column + 0.5) / columns * (double)problem->length);

            line[column] = '.';
            for (int64_t run = 0; run < attn_layout_run_count(&layout, shard); run++) {
                attn_range rows =
                    attn_layout_rows_of(&layout, attn_layout_run(&layout, shard, run));

                if (rows.first <= middle && middle < rows.last) line[column] = '#';
            }
        }
        line[columns] = '\0';
        printf("  shard %2" PRId64 "   %s\n", shard, line);
    }
    printf("\n");
    attn_layout_destroy(&layout);
}

static void print_phase(const char *phase, double seconds, double total, const char *what) {
    char time[ATTN_UNITS_BYTES];

    printf("  %-8s %10s %5.1f %%%s%s\n", phase, attn_units_seconds(seconds, time),
           total > 0 ? 100 * seconds / total : 0, what[0] == '\0' ? "" : "  ", what);
}

static void print_times(const attn_plan_report *report) {
    const attn_cost *cost = &report->choice.cost;
    char compute[ATTN_UNITS_BYTES], transfer[ATTN_UNITS_BYTES], exposed[ATTN_UNITS_BYTES];
    char attend[3 * ATTN_UNITS_BYTES + 48];
    int is_layer = report->job->inputs.problem.model_dim > 0;

    snprintf(attend, sizeof attend, "%s %s; transfers %s, %s exposed",
             cost->is_read_bound ? "reading" : "kernels",
             attn_units_seconds(cost->compute_sec, compute),
             attn_units_seconds(cost->transfer_sec, transfer),
             attn_units_seconds(cost->exposed_sec, exposed));
    printf("  predicted\n");
    print_phase("project", cost->project_sec, cost->total_sec,
                is_layer ? "x to q, k, v" : "q, k, v rearranged");
    print_phase("exchange", cost->exchange_sec, cost->total_sec, "rows to heads and back");
    print_phase("attend", cost->attend_sec, cost->total_sec, attend);
    print_phase("output", cost->output_sec, cost->total_sec,
                is_layer ? "heads to y" : "out rearranged");
    print_phase("total", cost->total_sec, cost->total_sec, "");
    printf("\n");
}

static void print_link(const attn_traffic *traffic, int crosses, const char *about) {
    char bytes[ATTN_UNITS_BYTES];

    printf(" %s%10.0f %s%10s", about, traffic->messages[crosses], about,
           attn_units_bytes(traffic->bytes[crosses], bytes));
}

static void print_traffic(const attn_plan_report *report) {
    const attn_survey *survey = &report->survey;
    const char *about = survey->is_complete ? " " : "~";

    printf("  %-12s %26s %26s\n", "sent by all", "inside nodes", "between nodes");
    printf("  %-12s", "exchange");
    print_link(&survey->exchange, 0, about);
    print_link(&survey->exchange, 1, about);
    printf("   messages, bytes\n  %-12s", report->choice.way.circulate);
    print_link(&survey->circulation, 0, about);
    print_link(&survey->circulation, 1, about);
    printf("\n\n");
}

static void print_limit(const attn_plan_report *report) {
    const attn_cost *cost = &report->choice.cost;
    const attn_survey *survey = &report->survey;
    char rank[ATTN_UNITS_BYTES], node[ATTN_UNITS_BYTES], there[ATTN_UNITS_BYTES] = "";
    attn_limit limit = attn_plan_report_limit(report);
    double network = attn_plan_report_network_sec(report);
    double share = limit == ATTN_LIMIT_NETWORK ? network : cost->total_sec - network;

    if (report->cluster.machine.memory_bytes > 0)
        attn_units_bytes(report->cluster.machine.memory_bytes, there);
    printf("  memory     %s of the busiest rank, %s%s of a node%s%s\n",
           attn_units_bytes(survey->rank_bytes, rank), survey->is_complete ? "" : "at most ",
           attn_units_bytes(survey->node_bytes, node), there[0] != '\0' ? ", which has " : "",
           there);
    printf("  limit      %s", attn_limit_name(limit));
    if (limit != ATTN_LIMIT_MEMORY) printf(", %.1f %% of the time", 100 * share / cost->total_sec);
    printf("\n\n");
}

static int is_same(const attn_way *a, const attn_way *b) {
    return a->members == b->members && a->shards == b->shards && a->layout == b->layout &&
           strcmp(a->circulate, b->circulate) == 0;
}

/* The list has auto's choice first, which need not be the fastest (choose.h). */
static void print_choices(const attn_plan_report *report) {
    int32_t place = 0;

    while (place + 1 < report->open_count &&
           report->open[place + 1].cost.total_sec < report->open[0].cost.total_sec)
        place++;
    printf("  fastest ways, by prediction\n");
    for (int32_t i = 0; i < report->open_count; i++) {
        int32_t entry = i < place ? i + 1 : i == place ? 0 : i;
        const attn_way *way = &report->open[entry].way;
        char time[ATTN_UNITS_BYTES], mesh[ATTN_UNITS_BYTES];

        snprintf(mesh, sizeof mesh, "%" PRId64 " x %" PRId64, way->members, way->shards);
        printf("  %14s  %-7s %-11s %10s%s%s\n", mesh, way->circulate, attn_layout_name(way->layout),
               attn_units_seconds(report->open[entry].cost.total_sec, time),
               is_same(way, &report->choice.way) ? "  this plan" : "", entry == 0 ? "  auto" : "");
    }
}

attn_limit attn_plan_report_limit(const attn_plan_report *report) {
    double there = report->cluster.machine.memory_bytes;
    double network = attn_plan_report_network_sec(report);

    if (there > 0 && report->survey.node_bytes > there) return ATTN_LIMIT_MEMORY;
    return network > report->choice.cost.total_sec / 2 ? ATTN_LIMIT_NETWORK : ATTN_LIMIT_COMPUTE;
}

const char *attn_limit_name(attn_limit limit) {
    static const char *const names[] = {
        [ATTN_LIMIT_COMPUTE] = "compute",
        [ATTN_LIMIT_NETWORK] = "network",
        [ATTN_LIMIT_MEMORY] = "memory",
    };

    return names[limit];
}

double attn_plan_report_network_sec(const attn_plan_report *report) {
    return report->choice.cost.exchange_sec + report->choice.cost.exposed_sec;
}

void attn_plan_report_print(const attn_plan_report *report) {
    print_heading(report);
    print_picture(report);
    print_ranks(report);
    print_times(report);
    print_traffic(report);
    print_limit(report);
    print_choices(report);
}
