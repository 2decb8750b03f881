#include "cost.h"

#include <math.h>
#include <string.h>

#include "circulate.h"
#include "layout.h"
#include "mask_spec.h"
#include "partition.h"
#include "query_view.h"
#include "reach.h"

/* What a circulation's prediction is made from; all of the busiest rank. */
typedef struct axis_load {
    double shards;        /* P_s */
    double nodes;         /* with copies of what a gather brings: M, or P_s */
    double compute_sec;   /* c */
    double keep_sec;      /* k */
    double copy_sec;      /* m */
    double copied;        /* shards that a gather receives so */
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
    double later = each + load->needed * (load->keep_sec + load->copy_sec);

    cost->circulate_bytes = hops * load->needed * load->kv_bytes;
    cost->transfer_sec = hops * x;
    cost->compute_sec += hops * load->needed * load->keep_sec;
    return each + hops * fmax(later, x);
}

static double gather(const axis_load *load, attn_cost *cost) {
    const double slices = 4;
    double hops = load->nodes - 1;
    double last = load->compute_sec * hops / load->nodes / slices;
    double copies = fmin(hops, load->copied) * load->copy_sec;
    double keeps = load->needed * (hops < 1 ? load->shards > 1 : slices) * load->keep_sec;

    cost->circulate_bytes = hops * load->needed * load->kv_bytes;
    cost->transfer_sec = hops * load->needed * message_sec(&load->all, load->kv_bytes);
    cost->compute_sec += keeps;
    return fmax(cost->compute_sec + load->needed * copies, cost->transfer_sec + last);
}

static double reduce(const axis_load *load, attn_cost *cost) {
    double hops = (load->shards - 1) * load->needed;

    cost->circulate_bytes = hops * (load->query_bytes + load->partial_bytes);
    cost->transfer_sec = hops * (message_sec(&load->all, load->query_bytes) +
                                 message_sec(&load->all, load->partial_bytes));
    cost->compute_sec += hops * load->keep_sec;
    return cost->compute_sec + cost->transfer_sec;
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

/* One prediction: what its parts share. */
typedef struct prediction {
    const attn_problem *problem;
    const attn_cluster *cluster;
    const attn_machine *machine;
    const attn_way *way;
    attn_storage storage;
    head_share share;
    double elem_bytes;
    double ranks_per_node;                           /* of those that there are */
    double threads;                                  /* of a rank that have a core */
    double rows, kv_rows, shard_rows, shard_kv_rows; /* of the busiest */
    attn_cost *cost;
} prediction;

/* Rows of the busiest of `parts`. */
static double most_rows(int64_t rows, int64_t parts) {
    const int64_t most = rows / parts + (rows % parts != 0);

    return (double)most;
}

static prediction prediction_of(const attn_problem *problem, attn_storage storage,
                                const attn_cluster *cluster, const attn_way *way, attn_cost *cost) {
    int64_t ranks = way->members * way->shards;
    prediction self = {.problem = problem,
                       .cluster = cluster,
                       .machine = &cluster->machine,
                       .way = way,
                       .storage = storage,
                       .share = share_heads(problem, way->members),
                       .elem_bytes = (double)attn_storage_bytes(storage),
                       .ranks_per_node = (double)(cluster->ranks_per_node < cluster->ranks
                                                      ? cluster->ranks_per_node
                                                      : cluster->ranks),
                       .threads = cluster->threads,
                       .rows = most_rows(problem->length, ranks),
                       .kv_rows = most_rows(problem->kv_length, ranks),
                       .shard_rows = most_rows(problem->length, way->shards),
                       .shard_kv_rows = most_rows(problem->kv_length, way->shards),
                       .cost = cost};

    if (cluster->machine.cores > 0)
        self.threads = fmin(self.threads, cluster->machine.cores / self.ranks_per_node);
    return self;
}

static void predict_exchange(const prediction *self) {
    const attn_problem *p = self->problem;
    const attn_machine *machine = self->machine;
    int64_t members = self->way->members, on_node = self->cluster->ranks_per_node;
    double forth = self->elem_bytes *
                   (self->rows * ((double)p->heads - self->share.heads) * p->key_dim +
                    self->kv_rows * (self->share.kv_heads_of_members - self->share.kv_heads) *
                        (p->key_dim + p->value_dim));
    double back = 4 * (self->shard_rows - self->rows) * self->share.heads * p->value_dim;
    int inside = members <= on_node && on_node % members == 0;
    attn_link link =
        inside ? machine->node : slower(machine->node, machine->network, self->ranks_per_node);

    if (members == 1) return;
    self->cost->exchange_bytes = (double)p->batch * (forth + back);
    self->cost->exchange_sec = 4 * (double)(members - 1) * link.latency_sec +
                               self->cost->exchange_bytes / link.bytes_per_sec;
}

/* Of a layer. */
static void predict_projections(const prediction *self) {
    const attn_problem *p = self->problem;
    double rate = self->threads * self->machine->gemm_flops, batch = (double)p->batch;
    double kv_width = (double)(p->memory_dim > 0 ? p->memory_dim : p->model_dim);
    double queries = self->rows * (double)p->model_dim * (double)p->heads;

    self->cost->project_sec =
        2 * batch *
        (queries * p->key_dim +
         self->kv_rows * kv_width * (double)p->kv_heads * (p->key_dim + p->value_dim)) /
        rate;
    self->cost->output_sec = 2 * batch * queries * p->value_dim / rate;
}

/* Per second, when each of so many heads is copied by one thread. */
static double copy_rate(const prediction *self, double heads) {
    return self->machine->copy_bytes * fmin(self->threads, (double)self->problem->batch * heads);
}

/* Of attention alone: k and v of fp32 stay where there is nothing to exchange. */
static void predict_rearrangement(const prediction *self) {
    const attn_problem *p = self->problem;
    double batch = (double)p->batch, rate = copy_rate(self, (double)p->kv_heads);
    double queries = 4 * batch * self->rows * (double)p->heads;
    double keys = 4 * batch * self->kv_rows * (double)p->kv_heads * (p->key_dim + p->value_dim);
    int they_stay = self->way->members == 1 && self->storage == ATTN_FP32;

    self->cost->project_sec = (queries * p->key_dim + (they_stay ? 0 : keys)) / rate;
    self->cost->output_sec = queries * p->value_dim / rate;
}

/* A rank's own keys and values; those of a few queries are used where they are, if they stay. */
static double pack_sec(const prediction *self, const axis_load *load) {
    const attn_problem *p = self->problem;
    int are_few = p->length * (p->heads / p->kv_heads) <= ATTN_FEW_ROWS;
    int keys_stay =
        self->way->shards == 1 || attn_circulation_find(self->way->circulate)->moves_queries;

    if (are_few && keys_stay) return 0;
    return load->kv_bytes / copy_rate(self, self->share.kv_heads);
}

static void predict_compute(const prediction *self, const attn_mask *mask, axis_load *load) {
    const attn_problem *p = self->problem;
    const attn_attention_rate *rate = &self->machine->attention[self->storage];
    double dims = (double)p->key_dim + p->value_dim;
    double pairs = (double)attn_mask_pairs(mask, ATTN_MASK_EVERY_ITEM, 0, p->length);
    double shards = load->shards;
    double queries = (double)p->batch * (double)p->length;
    attn_query_view view = attn_query_view_of(mask);
    double read = self->elem_bytes * (double)p->batch * self->share.kv_heads * dims *
                  (double)p->kv_length / (self->machine->read_bytes / self->ranks_per_node);

    load->compute_sec = self->share.heads *
                        (pairs * (rate->score_sec + 2 * dims / rate->flops) +
                         queries * (view.blocks * rate->block_sec + view.edges * rate->edge_sec)) *
                        self->cost->imbalance / shards / self->threads;
    if (attn_circulation_find(self->way->circulate)->moves_queries) read /= shards;
    self->cost->is_read_bound = read > load->compute_sec;
    load->compute_sec = fmax(load->compute_sec, read);
    self->cost->compute_sec = load->compute_sec;
}

/* Ranks of an axis on a node. */
static int64_t neighbours(const prediction *self) {
    int64_t most = self->cluster->ranks_per_node / self->way->members;

    if (most > self->way->shards) most = self->way->shards;
    return most > 1 ? most : 1;
}

/* Nodes with two ranks of an axis have one copy of what a gather brings. */
static double copies_of(const prediction *self) {
    return most_rows(self->way->shards, self->cluster->share_nodes ? neighbours(self) : 1);
}

/* Partials that wait for a step are written and read again, and what a rank receives from another
 * one of its node one of its threads copies, between tiles. */
static void find_copies(const prediction *self, axis_load *load) {
    int64_t others = neighbours(self) - 1;

    load->keep_sec = 2 * load->partial_bytes / (self->machine->copy_bytes * self->threads);
    load->copy_sec =
        others > 0 ? load->kv_bytes / (self->machine->node.bytes_per_sec * self->threads) : 0;
    load->copied = self->cluster->share_nodes ? 0 : (double)others;
}

static void find_links(const prediction *self, axis_load *load) {
    const attn_machine *machine = self->machine;
    const attn_cluster *cluster = self->cluster;
    double sharing = fmin((double)self->way->members, self->ranks_per_node);

    load->one = load->all = machine->node;
    if (cluster->ranks <= cluster->ranks_per_node || self->way->shards == 1) return;
    load->one = slower(machine->node, machine->network, sharing);
    load->all = slower(machine->node, machine->network, self->ranks_per_node);
}

attn_status attn_cost_predict(const attn_problem *problem, attn_storage storage,
                              const attn_cluster *cluster, const attn_way *way, attn_cost *cost,
                              attn_error *error) {
    const struct circulation_cost *circulation = find(way->circulate);
    const attn_mask mask = attn_mask_spec_mask(problem);
    const prediction self = prediction_of(problem, storage, cluster, way, cost);
    double dims = (double)problem->key_dim + problem->value_dim, batch = (double)problem->batch;
    double circulate_sec; /* what the busiest takes for the steps */
    axis_load load = {.shards = (double)way->shards, .nodes = copies_of(&self)};

    *cost = (attn_cost){0};
    if (circulation == NULL)
        return attn_fail(error, ATTN_ERR_CONFIG, "no prediction for the circulation \"%s\"",
                         way->circulate);
    if (imbalance_of(&mask, way, &cost->imbalance, error) != ATTN_OK ||
        needed_part(&mask, way->layout, way->shards, &load.needed, error) != ATTN_OK)
        return error->status;
    load.kv_bytes = self.elem_bytes * batch * self.share.kv_heads * self.shard_kv_rows * dims;
    load.query_bytes =
        self.elem_bytes * batch * self.share.heads * self.shard_rows * problem->key_dim;
    load.partial_bytes = 4 * batch * self.share.heads * self.shard_rows * (problem->value_dim + 2);
    find_links(&self, &load);
    find_copies(&self, &load);
    predict_compute(&self, &mask, &load);
    circulate_sec = circulation->attend_sec(&load, cost);
    cost->exposed_sec = circulate_sec - cost->compute_sec;
    cost->attend_sec = circulate_sec + pack_sec(&self, &load);
    predict_exchange(&self);
    if (problem->model_dim > 0)
        predict_projections(&self);
    else
        predict_rearrangement(&self);
    cost->total_sec = cost->project_sec + cost->exchange_sec + cost->attend_sec + cost->output_sec;
    return attn_ok(error);
}
