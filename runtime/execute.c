/* Execution: the way of the data through a plan. Nothing here fails or allocates.
 *
 *   project   x → q, k, v of own rows, all heads
 *   exchange  rows → heads
 *   attend    pack K/V, circulate, kernels, merge
 *   exchange  heads → rows
 *   output    concatenation → y
 */
#include <assert.h>
#include <string.h>

#include "partition.h"
#include "plan_sends.h"
#include "plan_state.h"

/* Since when a phase runs. */
typedef struct phase_clock {
    double start_sec;
    int64_t start_ns; /* of the trace, if there is one */
    int64_t first_ns; /* of the execution */
} phase_clock;

static attn_trace_lane *phases_of(const attn_plan *plan) {
    return attn_trace_lane_of(plan->trace, ATTN_LANE_PHASES);
}

/* Ends a phase: adds its time to *phase_sec, and restarts the clock. */
static void lap(attn_plan *plan, phase_clock *clock, attn_event_kind phase, double *phase_sec) {
    double now = MPI_Wtime();

    *phase_sec += now - clock->start_sec;
    clock->start_sec = now;
    attn_trace_end(phases_of(plan), phase, clock->start_ns, 0, 0, 0);
    clock->start_ns = attn_trace_start(phases_of(plan));
}

enum { TRANSFERS = 5 };

/* All that sends. */
static void list_transfers(attn_plan *plan, attn_transfer *transfers[TRANSFERS]) {
    transfers[0] = &plan->query.exchange.transfer;
    transfers[1] = &plan->key.exchange.transfer;
    transfers[2] = &plan->value.exchange.transfer;
    transfers[3] = &plan->output.exchange.transfer;
    transfers[4] = &plan->circulate.transfer;
}

static phase_clock start(attn_plan *plan) {
    attn_transfer *transfers[TRANSFERS];
    phase_clock clock = {.start_sec = MPI_Wtime()};

    attn_trace_reset(plan->trace);
    clock.start_ns = clock.first_ns = attn_trace_start(phases_of(plan));
    plan->stats = (attn_stats){0};
    list_transfers(plan, transfers);
    for (int i = 0; i < TRANSFERS; i++) attn_transfer_reset(transfers[i]);
    plan->attend.compute_sec = 0;
    return clock;
}

static void stop(attn_plan *plan, const phase_clock *clock) {
    attn_transfer *transfers[TRANSFERS];

    attn_trace_end(phases_of(plan), ATTN_EVENT_execute, clock->first_ns, 0, 0, 0);
    list_transfers(plan, transfers);
    for (int i = 0; i < TRANSFERS; i++) {
        plan->stats.sent_bytes += transfers[i]->sent_bytes;
        plan->stats.sent_messages += transfers[i]->sent_messages;
        plan->stats.wait_sec += transfers[i]->wait_sec;
        plan->stats.crossed_bytes += transfers[i]->crossed_bytes;
    }
    plan->stats.compute_sec = plan->attend.compute_sec;
    plan->stats.transfer_sec = plan->circulate.transfer.flight_sec;
    plan->stats.hidden_sec = plan->stats.transfer_sec - plan->circulate.transfer.wait_sec;
    plan->stats.circulated_bytes = plan->circulate.transfer.sent_bytes;
    plan->stats.circulated_messages = plan->circulate.transfer.sent_messages;
}

/* Where the shard's keys, or values, are after the exchange; `given` are the caller's. */
static attn_kv_source source_of(const attn_plan *plan, const attn_head_tensor *tensor,
                                const float *given) {
    int64_t heads = plan->kv_layout.kv_heads, rows = plan->shard_keys.count;

    if (tensor->by_head)
        return (attn_kv_source){tensor->in_place ? (const void *)given : tensor->exchange.shard,
                                tensor->dim, heads * rows * tensor->dim, rows * tensor->dim};
    return (attn_kv_source){tensor->exchange.shard, tensor->batch * heads * tensor->dim,
                            heads * tensor->dim, tensor->dim};
}

/* From the regions of query, key and value to those of the output. k and v as the caller gave
 * them, or NULL. */
static void attend_between_exchanges(attn_plan *plan, const float *k, const float *v,
                                     phase_clock *clock) {
    int64_t pack_ns;
    double before;

    attn_exchange_to_heads(&plan->query.exchange);
    if (!plan->key.in_place) attn_exchange_to_heads(&plan->key.exchange);
    if (!plan->value.in_place) attn_exchange_to_heads(&plan->value.exchange);
    attn_exchange_wait(&plan->query.exchange);
    attn_exchange_wait(&plan->key.exchange);
    attn_exchange_wait(&plan->value.exchange);
    lap(plan, clock, ATTN_EVENT_exchange, &plan->stats.exchange_sec);

    pack_ns = attn_trace_start(phases_of(plan));
    plan->key_source = source_of(plan, &plan->key, k);
    plan->value_source = source_of(plan, &plan->value, v);
    before = MPI_Wtime();
    attn_circulate_own(&plan->circulate);
    plan->stats.wait_sec += MPI_Wtime() - before;
    for (int64_t i = 0; i < plan->circulate.slice_count; i++)
        attn_kv_shard_pack(&plan->kv_layout, &plan->circulate.own[i], plan->threads);
    attn_trace_end(phases_of(plan), ATTN_EVENT_pack, pack_ns, 0, 0, 0);
    attn_circulate_execute(&plan->circulate, &plan->attend, plan->query.exchange.shard,
                           (float *)(void *)plan->output.exchange.shard);
    lap(plan, clock, ATTN_EVENT_attend, &plan->stats.attend_sec);

    attn_exchange_to_rows(&plan->output.exchange);
    attn_exchange_wait(&plan->output.exchange);
    lap(plan, clock, ATTN_EVENT_exchange, &plan->stats.exchange_sec);
}

void attn_execute_layer(attn_plan *plan, const attn_weights *weights, const float *x,
                        const float *memory, float *y, float *lse) {
    phase_clock clock;

    assert(plan->problem.model_dim > 0);
    assert((memory != NULL) == (plan->problem.memory_dim > 0));
    assert(lse == NULL || plan->with_lse);
    clock = start(plan);
    attn_project_inputs(&plan->project, weights, x, memory);
    lap(plan, &clock, ATTN_EVENT_project, &plan->stats.project_sec);
    attend_between_exchanges(plan, NULL, NULL, &clock);
    attn_project_output(&plan->project, weights, y);
    if (lse != NULL) attn_head_tensor_gather_lse(&plan->output, lse);
    lap(plan, &clock, ATTN_EVENT_output, &plan->stats.output_sec);
    stop(plan, &clock);
}

void attn_execute(attn_plan *plan, const float *q, const float *k, const float *v, float *out,
                  float *lse) {
    phase_clock clock;

    assert(plan->problem.model_dim == 0);
    assert(lse == NULL || plan->with_lse);
    clock = start(plan);
    attn_head_tensor_scatter(&plan->query, q, plan->threads);
    if (!plan->key.in_place) attn_head_tensor_scatter(&plan->key, k, plan->threads);
    if (!plan->value.in_place) attn_head_tensor_scatter(&plan->value, v, plan->threads);
    lap(plan, &clock, ATTN_EVENT_project, &plan->stats.project_sec);
    attend_between_exchanges(plan, k, v, &clock);
    attn_head_tensor_gather(&plan->output, out, plan->threads);
    if (lse != NULL) attn_head_tensor_gather_lse(&plan->output, lse);
    lap(plan, &clock, ATTN_EVENT_output, &plan->stats.output_sec);
    stop(plan, &clock);
}

attn_stats attn_plan_stats(const attn_plan *plan) {
    return plan->stats;
}

const attn_trace *attn_plan_trace(const attn_plan *plan) {
    return plan->trace;
}

float *attn_plan_bias(attn_plan *plan) {
    return plan->attend.terms.bias;
}

attn_row_list attn_plan_query_rows(const attn_plan *plan) {
    return plan->query_rows;
}

attn_row_list attn_plan_key_rows(const attn_plan *plan) {
    return plan->key_rows;
}

void attn_plan_get_info(const attn_plan *plan, attn_plan_info *info) {
    const attn_problem *problem = &plan->problem;
    const attn_mesh *mesh = &plan->mesh;
    attn_range kv_heads = attn_head_tensor_heads(&plan->key, mesh->members, mesh->member);
    attn_mask mask = plan->attend.mask;

    *info = (attn_plan_info){
        .mesh_heads = mesh->members,
        .mesh_sequence = mesh->shards,
        .member = mesh->member,
        .shard = mesh->shard,
        .nodes = mesh->nodes,
        .threads = plan->threads,
        .scale = problem->scale,
        .circulate = plan->circulate.circulation->name,
        .layout = attn_layout_name(plan->query_layout.kind),
        .kernel = plan->kernel->name,
        .share_ranks = plan->circulate.share_ranks,
        .share_reason = plan->circulate.share_reason,
        .first_head = plan->attend.heads.first,
        .head_count = attn_range_count(plan->attend.heads),
        .first_kv_head = kv_heads.first,
        .kv_head_count = attn_range_count(kv_heads),
        .shard_queries = plan->shard_queries,
        .shard_keys = plan->shard_keys,
        .imbalance = plan->imbalance,
        .predicted_sec = plan->choice.cost.total_sec,
        .bytes = plan->buffers.bytes,
        .node_bytes = plan->node_bytes < 0x1p63 ? (int64_t)plan->node_bytes : INT64_MAX,
        .send_bytes = attn_plan_send_bytes(plan),
        .flops = 2.0 * ((double)problem->key_dim + (double)problem->value_dim) *
                 (double)attn_mask_pairs(&mask, ATTN_MASK_EVERY_ITEM, 0, problem->length) *
                 (double)problem->heads,
    };
    memcpy(info->why, plan->choice.why, sizeof info->why);
}
