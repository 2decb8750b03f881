#include <jansson.h>

#include "layout.h"
#include "plan_report.h"
#include "version.h"

static json_t *traffic_json(const attn_traffic *traffic) {
    return json_pack("{s:{s:f, s:f}, s:{s:f, s:f}}", "in_node", "messages", traffic->messages[0],
                     "bytes", traffic->bytes[0], "network", "messages", traffic->messages[1],
                     "bytes", traffic->bytes[1]);
}

static json_t *cost_json(const attn_cost *cost) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "project_sec", cost->project_sec,
                     "exchange_sec", cost->exchange_sec, "attend_sec", cost->attend_sec,
                     "output_sec", cost->output_sec, "total_sec", cost->total_sec, "compute_sec",
                     cost->compute_sec, "transfer_sec", cost->transfer_sec, "exposed_sec",
                     cost->exposed_sec);
}

static json_t *choice_json(const attn_choice *choice) {
    return json_pack("{s:I, s:I, s:s, s:s, s:f, s:o}", "heads", (json_int_t)choice->way.members,
                     "sequence", (json_int_t)choice->way.shards, "circulate", choice->way.circulate,
                     "layout", attn_layout_name(choice->way.layout), "imbalance",
                     choice->cost.imbalance, "predicted", cost_json(&choice->cost));
}

static json_t *ranks_json(const attn_survey *survey) {
    json_t *ranks = json_array();

    for (int32_t i = 0; i < survey->count; i++) {
        const attn_surveyed_rank *rank = &survey->ranks[i];

        json_array_append_new(
            ranks,
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "rank",
                      (json_int_t)rank->rank, "node", (json_int_t)rank->node, "member",
                      (json_int_t)rank->member, "shard", (json_int_t)rank->shard, "first_head",
                      (json_int_t)rank->first_head, "heads", (json_int_t)rank->heads, "query_rows",
                      (json_int_t)rank->queries, "key_rows", (json_int_t)rank->keys, "memory_bytes",
                      (json_int_t)rank->bytes, "sends", traffic_json(&rank->sends)));
    }
    return ranks;
}

char *attn_plan_report_json(const attn_plan_report *report) {
    const attn_survey *survey = &report->survey;
    json_t *open = json_array(), *json;
    char *text;

    for (int32_t i = 0; i < report->open_count; i++)
        json_array_append_new(open, choice_json(&report->open[i]));
    json = json_pack(
        "{s:s, s:I, s:I, s:i, s:o, s:s, s:f, s:f, s:f, s:{s:b, s:o, s:o}, s:o, s:o}", "version",
        ATTN_VERSION, "ranks", (json_int_t)report->cluster.ranks, "nodes",
        (json_int_t)report->nodes, "threads", report->cluster.threads, "choice",
        choice_json(&report->choice), "limit", attn_limit_name(attn_plan_report_limit(report)),
        "flops", survey->flops, "memory_bytes_rank", survey->rank_bytes, "memory_bytes_node",
        survey->node_bytes, "traffic", "exact", survey->is_complete, "exchange",
        traffic_json(&survey->exchange), "circulation", traffic_json(&survey->circulation),
        "fastest", open, "rank_list", ranks_json(survey));
    text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    return text;
}
