#include "survey.h"

#include "plan_imagine.h"
#include "plan_sends.h"

enum { MANY_SHARDS = 1024 }; /* planning takes time that grows with them */

/* Of one rank. */
typedef struct counting {
    int64_t node, ranks_per_node;
    attn_traffic exchange, circulation;
} counting;

static void count_send(void *context, attn_send_phase phase, int to, int64_t bytes) {
    counting *self = context;
    attn_traffic *of_phase = phase == ATTN_SEND_EXCHANGE ? &self->exchange : &self->circulation;
    int crosses = to / self->ranks_per_node != self->node;

    of_phase->messages[crosses] += 1;
    of_phase->bytes[crosses] += (double)bytes;
}

static void add(attn_traffic *sum, const attn_traffic *part, double weight) {
    for (int crosses = 0; crosses < 2; crosses++) {
        sum->messages[crosses] += weight * part->messages[crosses];
        sum->bytes[crosses] += weight * part->bytes[crosses];
    }
}

static void look_at(const attn_plan *plan, int64_t rank, double weight, const attn_cluster *cluster,
                    attn_survey *survey) {
    counting counts = {.node = rank / cluster->ranks_per_node,
                       .ranks_per_node = cluster->ranks_per_node};
    attn_surveyed_rank *entry = &survey->ranks[survey->count++];
    attn_plan_info info;

    attn_plan_get_info(plan, &info);
    attn_plan_sends(plan, count_send, &counts);
    *entry = (attn_surveyed_rank){.rank = rank,
                                  .node = counts.node,
                                  .member = info.member,
                                  .shard = info.shard,
                                  .first_head = info.first_head,
                                  .heads = info.head_count,
                                  .queries = attn_plan_query_rows(plan).count,
                                  .keys = attn_plan_key_rows(plan).count,
                                  .bytes = info.bytes};
    add(&entry->sends, &counts.exchange, 1);
    add(&entry->sends, &counts.circulation, 1);
    add(&survey->exchange, &counts.exchange, weight);
    add(&survey->circulation, &counts.circulation, weight);
    if ((double)info.bytes > survey->rank_bytes) survey->rank_bytes = (double)info.bytes;
    survey->flops = info.flops;
    survey->kernel = info.kernel;
}

/* The most on a node: exact when all ranks are known, else as if it had the largest alone. */
static double most_on_a_node(const attn_survey *survey, const attn_cluster *cluster) {
    double most = 0, here = 0;

    if (!survey->is_complete) {
        int64_t ranks =
            cluster->ranks_per_node < cluster->ranks ? cluster->ranks_per_node : cluster->ranks;
        return survey->rank_bytes * (double)ranks;
    }
    for (int32_t i = 0; i < survey->count; i++) {
        if (i > 0 && survey->ranks[i].node != survey->ranks[i - 1].node) here = 0;
        here += (double)survey->ranks[i].bytes;
        if (here > most) most = here;
    }
    return most;
}

attn_status attn_survey_take(const attn_problem *problem, const attn_options *options,
                             const attn_cluster *cluster, const attn_choice *choice,
                             attn_survey *survey, attn_error *error) {
    int64_t ranks = cluster->ranks;
    int64_t most = choice->way.shards > MANY_SHARDS ? ATTN_SURVEY_MOST / 8 : ATTN_SURVEY_MOST;
    int64_t count = ranks < most ? ranks : most;

    *survey = (attn_survey){.is_complete = count == ranks};
    attn_ok(error);
    for (int64_t i = 0; i < count && error->status == ATTN_OK; i++) {
        int64_t rank = count == 1 ? 0 : i * (ranks - 1) / (count - 1); /* first and last as well */
        attn_plan *plan;

        if (attn_plan_imagine(problem, options, cluster, choice, rank, &plan, error) == ATTN_OK)
            look_at(plan, rank, (double)ranks / (double)count, cluster, survey);
        attn_plan_destroy(plan);
    }
    survey->node_bytes = most_on_a_node(survey, cluster);
    return error->status;
}
