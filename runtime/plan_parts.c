#include "plan_parts.h"

#include "attend.h"
#include "circulate.h"
#include "mask_spec.h"
#include "partition.h"
#include "simulate.h"
#include "terms_spec.h"
#include "transfer_log.h"

/* The chosen one. */
static const attn_circulation *circulation_of(const attn_plan *plan) {
    return attn_circulation_find(plan->choice.way.circulate);
}

/* All of a shard's rows, and those of them that this member holds. */
static attn_status list_rows(const attn_mesh *mesh, const attn_layout *layout,
                             attn_row_list *of_shard, attn_row_list *own, attn_error *error) {
    int64_t rows = attn_layout_rows(layout, mesh->shard);

    if (attn_row_list_create(of_shard, layout, mesh->shard, (attn_range){0, rows}, error) !=
        ATTN_OK)
        return error->status;
    return attn_row_list_create(own, layout, mesh->shard,
                                attn_deal(rows, mesh->members, mesh->member), error);
}

static attn_status deal_rows(attn_plan *plan, attn_error *error) {
    const attn_mesh *mesh = &plan->mesh;
    attn_mask mask = attn_mask_spec_mask(&plan->problem);

    if (attn_layout_choose(&plan->query_layout, plan->choice.way.layout, mesh->shards, &mask,
                           error) != ATTN_OK ||
        attn_layout_of_keys(&plan->key_layout, &plan->query_layout, plan->problem.kv_length,
                            error) != ATTN_OK ||
        list_rows(mesh, &plan->query_layout, &plan->shard_queries, &plan->query_rows, error) !=
            ATTN_OK)
        return error->status;
    return list_rows(mesh, &plan->key_layout, &plan->shard_keys, &plan->key_rows, error);
}

/* The arrays that the caller brings: x, memory, y and weights, or q, k, v and out; and lse; and
 * the copies of the mask's and the terms'. */
static void count_callers_arrays(attn_plan *plan) {
    const attn_problem *problem = &plan->problem;
    int64_t queries = attn_elems(problem->batch, plan->query_rows.count, 1);
    int64_t keys = attn_elems(problem->batch, plan->key_rows.count, 1);

    if (problem->model_dim > 0) {
        int64_t dims = (int64_t)problem->key_dim + problem->value_dim;
        int64_t kv_width = problem->memory_dim > 0 ? problem->memory_dim : problem->model_dim;
        attn_buffers_reserve(&plan->buffers, attn_elems(queries, problem->model_dim, 2),
                             sizeof(float), NULL);
        attn_buffers_reserve(&plan->buffers, attn_elems(keys, problem->memory_dim, 1),
                             sizeof(float), NULL);
        attn_buffers_reserve(&plan->buffers, attn_elems(problem->heads, dims, problem->model_dim),
                             sizeof(float), NULL);
        attn_buffers_reserve(&plan->buffers, attn_elems(problem->kv_heads, dims, kv_width),
                             sizeof(float), NULL);
        if (problem->qk_norm_eps > 0)
            attn_buffers_reserve(&plan->buffers, 2 * (int64_t)problem->key_dim, sizeof(float),
                                 NULL);
    } else {
        int64_t dims = (int64_t)problem->key_dim + problem->value_dim;
        attn_buffers_reserve(&plan->buffers, attn_elems(queries, problem->heads, dims),
                             sizeof(float), NULL);
        attn_buffers_reserve(&plan->buffers, attn_elems(keys, problem->kv_heads, dims),
                             sizeof(float), NULL);
    }
    if (plan->with_lse)
        attn_buffers_reserve(&plan->buffers, attn_elems(queries, problem->heads, 1), sizeof(float),
                             NULL);
    attn_buffers_reserve(&plan->buffers, attn_mask_spec_elems(&problem->mask, problem->batch),
                         sizeof(int64_t), NULL);
    attn_buffers_reserve(&plan->buffers, attn_terms_spec_elems(&problem->terms, problem->heads),
                         sizeof(float), NULL);
}

/* Queries and keys of equal lengths have equal rows and positions: one table does. */
static void plan_prepare(attn_plan *plan) {
    const attn_problem *problem = &plan->problem;

    if (!attn_qk_prepare_wanted(problem)) return;
    attn_qk_prepare_plan(&plan->query_prepare, problem, plan->query_rows, 1, plan->threads,
                         &plan->buffers);
    plan->query.prepare = plan->key.prepare = &plan->query_prepare;
    if (problem->length == problem->kv_length) return;
    attn_qk_prepare_plan(&plan->key_prepare, problem, plan->key_rows, 0, plan->threads,
                         &plan->buffers);
    plan->key.prepare = &plan->key_prepare;
}

static attn_status plan_tensors(attn_plan *plan, attn_error *error) {
    const attn_problem *p = &plan->problem;
    int by_head = p->model_dim == 0 && plan->mesh.members == 1;
    int as_they_are = by_head && plan->kernel->storage == ATTN_FP32; /* what the kernels get */
    struct {
        attn_head_tensor *tensor;
        attn_head_tensor value;
        int64_t shard_rows;
    } tensors[] = {
        {&plan->query,
         {.batch = p->batch,
          .heads = p->heads,
          .dim = p->key_dim,
          .storage = plan->kernel->storage},
         plan->shard_queries.count},
        {&plan->key,
         {.batch = p->batch,
          .heads = p->heads,
          .kv_heads = p->kv_heads,
          .dim = p->key_dim,
          .storage = plan->kernel->storage,
          .by_head = by_head,
          .in_place = as_they_are && !attn_qk_prepare_wanted(p)},
         plan->shard_keys.count},
        {&plan->value,
         {.batch = p->batch,
          .heads = p->heads,
          .kv_heads = p->kv_heads,
          .dim = p->value_dim,
          .storage = plan->kernel->storage,
          .by_head = by_head,
          .in_place = as_they_are},
         plan->shard_keys.count},
        {&plan->output,
         {.batch = p->batch, .heads = p->heads, .dim = p->value_dim, .with_lse = plan->with_lse},
         plan->shard_queries.count},
    };

    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        *tensors[i].tensor = tensors[i].value;
        if (attn_head_tensor_plan(tensors[i].tensor, &plan->mesh, tensors[i].shard_rows,
                                  &plan->buffers, error) != ATTN_OK)
            return error->status;
    }
    return attn_ok(error);
}

static void plan_kv_layout(attn_plan *plan) {
    const attn_problem *problem = &plan->problem;
    int keys_stay = circulation_of(plan)->moves_queries || plan->mesh.shards == 1;
    /* By the problem alone: attend_few() gives other bits. */
    int is_packed = problem->length > ATTN_FEW_ROWS / (problem->heads / problem->kv_heads);
    attn_range kv_heads = attn_head_tensor_heads(&plan->key, plan->mesh.members, plan->mesh.member);

    plan->kv_layout = (attn_kv_layout){
        .kernel = plan->kernel,
        .batch = problem->batch,
        .kv_heads = attn_range_count(kv_heads),
        .key_dim = problem->key_dim,
        .value_dim = problem->value_dim,
        .is_packed = is_packed,
        .in_place = keys_stay && !is_packed,
        .keys = &plan->key_source,
        .values = &plan->value_source,
        .rows = &plan->key_layout,
    };
}

static void plan_project(attn_plan *plan) {
    plan->project = (attn_project){
        .batch = plan->problem.batch,
        .model_dim = plan->problem.model_dim,
        .memory_dim = plan->problem.memory_dim,
        .rows = plan->query_rows,
        .memory_rows = plan->key_rows,
        .threads = plan->threads,
        .query = &plan->query,
        .key = &plan->key,
        .value = &plan->value,
        .output = &plan->output,
    };
    if (plan->problem.model_dim > 0)
        attn_project_plan(&plan->project, plan->problem.length, plan->problem.kv_length,
                          &plan->buffers);
}

/* What attention is, before it is known what the steps have at hand. */
static void describe_attend(attn_plan *plan, const attn_options *options) {
    const attn_problem *problem = &plan->problem;
    const attn_mesh *mesh = &plan->mesh;

    plan->attend = (attn_attend){
        .mask = attn_mask_spec_mask(problem),
        .kv = plan->kv_layout,
        .scale = problem->scale,
        .threads = plan->threads,
        .arrivals = &plan->circulate.arrivals,
        .reach = &plan->reach,
        .shard = mesh->shard,
        .queries = plan->shard_queries,
        .heads = attn_head_tensor_heads(&plan->query, mesh->members, mesh->member),
        .queries_per_kv = problem->heads / problem->kv_heads,
        .query_row_elems = plan->query.exchange.width[mesh->member],
        .out_row_elems = plan->output.exchange.width[mesh->member],
        .with_lse = plan->with_lse,
        .on_progress = options->on_progress,
        .progress_context = options->progress_context,
        .trace = plan->trace,
    };
    attn_attend_terms_plan(&plan->attend.terms, problem, plan->attend.queries, plan->attend.heads,
                           &plan->buffers);
}

/* And the local part. Collective on the mesh. */
static attn_status plan_circulate(attn_plan *plan, attn_share_nodes share, attn_error *error) {
    plan->circulate = (attn_circulate){
        .circulation = circulation_of(plan),
        .kv = &plan->kv_layout,
        .query_layout = &plan->query_layout,
        .reach = &plan->reach,
        .attend = &plan->attend,
        .mesh = &plan->mesh,
        .axis = plan->mesh.axis,
        .shard = plan->mesh.shard,
        .shard_count = plan->mesh.shards,
        .partial_bytes = attn_attend_partial_bytes(&plan->attend),
    };
    if (attn_circulate_share(&plan->circulate, share, error) != ATTN_OK ||
        attn_circulate_plan(&plan->circulate, &plan->buffers, error) != ATTN_OK ||
        plan->circulate.circulation->moves_queries)
        return error->status;
    if (attn_attend_plan(&plan->attend, &plan->buffers, error) == ATTN_OK)
        attn_buffers_reserve(&plan->buffers, attn_attend_scratch_elems(&plan->attend),
                             sizeof(float), &plan->attend.scratch);
    attn_simulate_forget(&plan->attend);
    return error->status;
}

/* Work goes with the queries, or with the keys where these stay. */
static attn_status find_imbalance(attn_plan *plan, attn_error *error) {
    attn_mask mask = attn_mask_spec_mask(&plan->problem);

    if (circulation_of(plan)->moves_queries)
        return attn_layout_key_imbalance(&plan->key_layout, &mask, &plan->imbalance, error);
    plan->imbalance = attn_layout_imbalance(&plan->query_layout, &mask);
    return attn_ok(error);
}

/* Events of phases and exchanges; and where messages go. The others are expected by now. */
static attn_status plan_trace(attn_plan *plan, attn_error *error) {
    const attn_mesh *mesh = &plan->mesh;
    enum { PHASES = ATTN_EVENT_pack + 2, EXCHANGES = 4 }; /* exchange is there twice */
    const struct {
        attn_transfer *transfer;
        attn_cargo_kind cargo;
    } exchanges[EXCHANGES] = {{&plan->query.exchange.transfer, ATTN_CARGO_query},
                              {&plan->key.exchange.transfer, ATTN_CARGO_key},
                              {&plan->value.exchange.transfer, ATTN_CARGO_value},
                              {&plan->output.exchange.transfer, ATTN_CARGO_output}};

    if (plan->trace == NULL) return attn_ok(error);
    attn_trace_expect(plan->trace, PHASES, 0, 0);
    for (int i = 0; i < EXCHANGES; i++) {
        attn_transfer *transfer = exchanges[i].transfer;

        if (transfer->capacity == 0) continue; /* nothing is ever sent, or not even planned */
        transfer->cargo = (attn_cargo){exchanges[i].cargo, mesh->shard, 0};
        attn_trace_expect(plan->trace, (int64_t)transfer->capacity + 1, 0, 0);
        if (plan->is_imagined) continue; /* without anybody to send to */
        if (attn_transfer_log_create(transfer, plan->trace, mesh->shard * mesh->members, 1,
                                     error) != ATTN_OK)
            return error->status;
    }
    attn_trace_plan(plan->trace, &plan->buffers);
    if (plan->is_imagined) return attn_ok(error);
    return attn_transfer_log_create(&plan->circulate.transfer, plan->trace, mesh->member,
                                    mesh->members, error);
}

attn_status attn_plan_parts_describe(attn_plan *plan, const attn_options *options,
                                     attn_error *error) {
    if (deal_rows(plan, error) != ATTN_OK) return error->status;
    if (options->with_trace && attn_trace_create(plan->threads, &plan->trace, error) != ATTN_OK)
        return error->status;
    count_callers_arrays(plan);
    if (plan_tensors(plan, error) != ATTN_OK || find_imbalance(plan, error) != ATTN_OK)
        return error->status;
    plan_prepare(plan);
    plan_kv_layout(plan);
    plan_project(plan);
    describe_attend(plan, options);
    return attn_ok(error);
}

attn_status attn_plan_parts_circulate(attn_plan *plan, const attn_options *options,
                                      attn_error *error) {
    if (plan_circulate(plan, options->share_nodes, error) == ATTN_OK) plan_trace(plan, error);
    return error->status;
}
