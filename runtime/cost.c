#include "cost.h"

#include <math.h>
#include <string.h>

#include "circulate.h"
#include "layout.h"
#include "mask_spec.h"
#include "partition.h"
#include "reach.h"

/* What a circulation's prediction is made from; all of the busiest rank. */
typedef struct axis_load {
    double shards;        /* P_s */
    double compute_sec;   /* c */
    double needed;        /* φ */
    double kv_bytes;      /* of a shard of K and V */
    double query_bytes;   /* of a shard of queries */
    double partial_bytes; /* of a shard's partial */
    attn_link one, all;   /* to a neighbour, and when all ranks send at once */
} axis_load;

static double message_sec(const attn_link *link, double bytes) {
    return link->latency_sec + bytes / link->bytes_per_sec;
}

static double ring(const axis_load *load, attn_cost *cost) {
    double each = load->compute_sec / load->shards, hops = load->shards - 1;
    double x = load->needed * message_sec(&load->one, load->kv_bytes);

    cost->circulate_bytes = hops * load->needed * load->kv_bytes;
    cost->transfer_sec = hops * x;
    return each + hops * fmax(each, x);
}

static double gather(const axis_load *load, attn_cost *cost) {
    const double slices = 4;
    double hops = load->shards - 1;
    double last = load->compute_sec * hops / load->shards / slices;

    cost->circulate_bytes = hops * load->needed * load->kv_bytes;
    cost->transfer_sec = hops * load->needed * message_sec(&load->all, load->kv_bytes);
    if (hops < 1) return load->compute_sec;
    return fmax(load->compute_sec, cost->transfer_sec + last);
}

static double reduce(const axis_load *load, attn_cost *cost) {
    double hops = (load->shards - 1) * load->needed;

    cost->circulate_bytes = hops * (load->query_bytes + load->partial_bytes);
    cost->transfer_sec = hops * (message_sec(&load->all, load->query_bytes) +
                                 message_sec(&load->all, load->partial_bytes));
    return load->compute_sec + cost->transfer_sec;
}

static const struct circulation_cost {
    const char *name;
    double (*attend_sec)(const axis_load *load, attn_cost *cost);
} circulations[] = {{"ring", ring}, {"gather", gather}, {"reduce", reduce}};

static const struct circulation_cost *find(const char *name) {
    for (size_t i = 0; i < sizeof circulations / sizeof *circulations; i++)
        if (strcmp(circulations[i].name, name) == 0) return &circulations[i];
    return NULL;
}

/* --- what of the axis --------------------------------------------------------- */

/* The part of all (query shard, other K/V shard) pairs of which the one sees a key of the other.
 * Beyond MOST shards, as with that many. */
static attn_status needed_part(const attn_mask *mask, int layout, int64_t shards, double *part,
                               attn_error *error) {
    enum { MOST = 128 };
    attn_layout queries = {0}, keys = {0};
    attn_reach reach = {0};
    int64_t needed = 0, all = 0;

    if (shards > MOST) shards = MOST;
    *part = 1;
    if (shards == 1) return attn_ok(error);
    if (attn_layout_create(&queries, layout, mask->length, shards, mask, error) == ATTN_OK &&
        attn_layout_of_keys(&keys, &queries, mask->kv_length, error) == ATTN_OK &&
        attn_reach_create(&reach, mask, &queries, &keys, error) == ATTN_OK) {
        for (int64_t by = 0; by < shards; by++)
            for (int64_t of = 0; of < shards; of++) {
                int sees = 0;

                for (int64_t run = 0; run < attn_layout_run_count(&keys, of) && !sees; run++)
                    sees = attn_reach_overlaps(&reach, by, attn_layout_run(&keys, of, run));
                needed += by != of && sees;
                all += by != of;
            }
        *part = (double)needed / (double)all;
    }
    attn_reach_destroy(&reach);
    attn_layout_destroy(&keys);
    attn_layout_destroy(&queries);
    return error->status;
}

/* Of the queries' shards, or, where queries travel, of the keys'. */
static attn_status imbalance_of(const attn_mask *mask, const attn_way *way, double *imbalance,
                                attn_error *error) {
    const attn_circulation *circulation = attn_circulation_find(way->circulate);
    attn_layout queries = {0}, keys = {0};

    if (attn_layout_create(&queries, way->layout, mask->length, way->shards, mask, error) !=
        ATTN_OK)
        return error->status;
    *imbalance = attn_layout_imbalance(&queries, mask);
    if (circulation != NULL && circulation->moves_queries &&
        attn_layout_of_keys(&keys, &queries, mask->kv_length, error) == ATTN_OK)
        attn_layout_key_imbalance(&keys, mask, imbalance, error);
    attn_layout_destroy(&keys);
    attn_layout_destroy(&queries);
    return error->status;
}

/* The slower of two links, the second one shared by `sharing` ranks. */
static attn_link slower(attn_link node, attn_link network, double sharing) {
    attn_link shared = {network.latency_sec, network.bytes_per_sec / sharing};

    return (attn_link){fmax(node.latency_sec, shared.latency_sec),
                       fmin(node.bytes_per_sec, shared.bytes_per_sec)};
}

/* --- the whole ------------------------------------------------------------------ */

/* Sums over the members of a head group, and the largest share. */
typedef struct head_share {
    double heads, kv_heads;     /* of the busiest member */
    double kv_heads_of_members; /* of all, those that are held twice counted twice */
} head_share;

static head_share share_heads(const attn_problem *problem, int64_t members) {
    head_share share = {0, 0, 0};

    for (int64_t i = 0; i < members; i++) {
        double kv = (double)attn_range_count(
            attn_member_kv_heads(problem->heads, problem->kv_heads, members, i));

        share.heads = fmax(share.heads,
                           (double)attn_range_count(attn_member_heads(problem->heads, members, i)));
        share.kv_heads = fmax(share.kv_heads, kv);
        share.kv_heads_of_members += kv;
    }
    return share;
}

/* Rows of the busiest of `parts`. */
static double most_rows(int64_t rows, int64_t parts) {
    const int64_t most = rows / parts + (rows % parts != 0);

    return (double)most;
}

static void predict_exchange(const attn_problem *p, double elem_bytes, const attn_cluster *cluster,
                             const attn_way *way, const head_share *share, attn_cost *cost) {
    const attn_machine *machine = &cluster->machine;
    int64_t ranks = way->members * way->shards;
    double rows = most_rows(p->length, ranks), kv_rows = most_rows(p->kv_length, ranks);
    double shard_rows = most_rows(p->length, way->shards);
    double forth = elem_bytes * (rows * ((double)p->heads - share->heads) * p->key_dim +
                                 kv_rows * (share->kv_heads_of_members - share->kv_heads) *
                                     (p->key_dim + p->value_dim));
    double back = 4 * (shard_rows - rows) * share->heads * p->value_dim;
    int inside =
        way->members <= cluster->ranks_per_node && cluster->ranks_per_node % way->members == 0;
    attn_link link = inside
                         ? machine->node
                         : slower(machine->node, machine->network, (double)cluster->ranks_per_node);

    if (way->members == 1) return;
    cost->exchange_bytes = (double)p->batch * (forth + back);
    cost->exchange_sec = 4 * (double)(way->members - 1) * link.latency_sec +
                         cost->exchange_bytes / link.bytes_per_sec;
}

static void predict_projections(const attn_problem *p, const attn_cluster *cluster,
                                attn_cost *cost) {
    double rate = cluster->threads * cluster->machine.gemm_flops;
    double rows = (double)p->batch * most_rows(p->length, cluster->ranks);
    double kv_rows = (double)p->batch * most_rows(p->kv_length, cluster->ranks);
    double kv_width = (double)(p->memory_dim > 0 ? p->memory_dim : p->model_dim);

    cost->project_sec = 2 *
                        (rows * (double)p->model_dim * (double)p->heads * p->key_dim +
                         kv_rows * kv_width * (double)p->kv_heads * (p->key_dim + p->value_dim)) /
                        rate;
    cost->output_sec = 2 * rows * (double)p->heads * p->value_dim * (double)p->model_dim / rate;
}

attn_status attn_cost_predict(const attn_problem *problem, attn_storage storage,
                              const attn_cluster *cluster, const attn_way *way, attn_cost *cost,
                              attn_error *error) {
    const attn_machine *machine = &cluster->machine;
    const struct circulation_cost *circulation = find(way->circulate);
    const attn_mask mask = attn_mask_spec_mask(problem);
    const head_share share = share_heads(problem, way->members);
    double elem_bytes = (double)attn_storage_bytes(storage), batch = (double)problem->batch;
    double dims = (double)problem->key_dim + problem->value_dim;
    double shard_rows = most_rows(problem->length, way->shards);
    double kv_rows = most_rows(problem->kv_length, way->shards);
    double pairs = (double)attn_mask_pairs(&mask, ATTN_MASK_EVERY_ITEM, 0, problem->length);
    int many_nodes = cluster->ranks > cluster->ranks_per_node;
    axis_load load = {.shards = (double)way->shards};

    *cost = (attn_cost){0};
    if (circulation == NULL)
        return attn_fail(error, ATTN_ERR_CONFIG, "no prediction for the circulation \"%s\"",
                         way->circulate);
    if (imbalance_of(&mask, way, &cost->imbalance, error) != ATTN_OK ||
        needed_part(&mask, way->layout, way->shards, &load.needed, error) != ATTN_OK)
        return error->status;
    load.kv_bytes = elem_bytes * batch * share.kv_heads * kv_rows * dims;
    load.query_bytes = elem_bytes * batch * share.heads * shard_rows * problem->key_dim;
    load.partial_bytes = 4 * batch * share.heads * shard_rows * (problem->value_dim + 2);
    load.one = load.all = machine->node;
    if (many_nodes && way->shards > 1) {
        double sharing = fmin((double)way->members, (double)cluster->ranks_per_node);
        load.one = slower(machine->node, machine->network, sharing);
        load.all = slower(machine->node, machine->network, (double)cluster->ranks_per_node);
    }
    load.compute_sec = 2 * dims * share.heads * pairs * cost->imbalance / (double)way->shards /
                       (cluster->threads * machine->attention_flops);
    cost->compute_sec = load.compute_sec;
    cost->attend_sec = circulation->attend_sec(&load, cost) + load.kv_bytes / machine->copy_bytes;
    predict_exchange(problem, elem_bytes, cluster, way, &share, cost);
    predict_projections(problem, cluster, cost);
    cost->total_sec = cost->project_sec + cost->exchange_sec + cost->attend_sec + cost->output_sec;
    return attn_ok(error);
}
