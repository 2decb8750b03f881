/* Planning: everything that can fail or allocate. execute.c has the rest. */
#include "attnspan/plan.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "choose.h"
#include "mask_spec.h"
#include "partition.h"
#include "plan_imagine.h"
#include "plan_request.h"
#include "plan_state.h"
#include "simulate.h"
#include "terms_spec.h"
#include "topology.h"
#include "transfer_log.h"

/* --- what is asked for ------------------------------------------------------ */

/* The chosen one; after choose_and_make_mesh. */
static const attn_circulation *circulation_of(const attn_plan *plan) {
    return attn_circulation_find(plan->choice.way.circulate);
}

/* The wanted kind, or −1 for auto; after attn_plan_request_check. */
static int layout_kind(const attn_options *options) {
    return options->layout == NULL ? -1 : attn_layout_find(options->layout);
}

/* The wanted kernel, or the fastest that every rank runs. Collective. */
static attn_status choose_kernel(attn_plan *plan, MPI_Comm comm, const attn_options *options,
                                 attn_error *error) {
    /* A storage that does not exist is refused with the request, after this. */
    attn_storage storage = options->storage == ATTN_BF16 ? ATTN_BF16 : ATTN_FP32;
    const char *wanted = options->kernel;
    int32_t best = attn_kernel_best(storage);
    int32_t common;

    ATTN_MPI(MPI_Allreduce(&best, &common, 1, MPI_INT32_T, MPI_MIN, comm));
    if (common < 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "the environment variable %s names no kernel; set it to one of those that "
                         "compute.kernel takes, or not at all",
                         ATTN_KERNEL_VARIABLE);
    plan->kernel = attn_kernel_of(common, storage);
    if (wanted == NULL) return attn_ok(error);
    for (int32_t level = 0; level < attn_kernel_levels(); level++) {
        const attn_kernel *kernel = attn_kernel_of(level, storage);

        if (strcmp(attn_kernel_name(level), wanted) != 0) continue;
        plan->kernel = kernel;
        if (kernel->supported()) return attn_ok(error);
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "this CPU does not run the kernel \"%s\"; the fastest on all ranks is "
                         "\"%s\"",
                         wanted, attn_kernel_name(common));
    }
    return attn_fail(error, ATTN_ERR_CONFIG, "there is no kernel \"%s\"", wanted);
}

/* --- planning --------------------------------------------------------------- */

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

static void set_near(attn_transfer *transfer, attn_range near) {
    transfer->near_first = (int)near.first;
    transfer->near_last = (int)near.last;
}

/* Who is on this node. */
static void tell_transfers(attn_plan *plan) {
    attn_range members = attn_mesh_near_members(&plan->mesh);

    set_near(&plan->query.exchange.transfer, members);
    set_near(&plan->key.exchange.transfer, members);
    set_near(&plan->value.exchange.transfer, members);
    set_near(&plan->output.exchange.transfer, members);
    set_near(&plan->circulate.transfer, attn_mesh_near_shards(&plan->mesh));
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

/* Whether all ranks of a node fit into its memory together; what they share is counted once, as
 * each rank's part. Collective on `node`; ranks of different nodes may get different answers. */
static attn_status check_memory(attn_plan *plan, double fraction, attn_error *error) {
    double mine = (double)plan->buffers.bytes;
    double available = (double)attn_memory_available();
    double node_total, node_available;
    int ranks;

    if (fraction <= 0) fraction = 0.95;
    ATTN_MPI(MPI_Comm_size(plan->mesh.node, &ranks));
    ATTN_MPI(MPI_Allreduce(&mine, &node_total, 1, MPI_DOUBLE, MPI_SUM, plan->mesh.node));
    ATTN_MPI(MPI_Allreduce(&available, &node_available, 1, MPI_DOUBLE, MPI_MIN, plan->mesh.node));
    plan->node_bytes = node_total;
    if (node_available < 0 || node_total <= fraction * node_available) return attn_ok(error);
    return attn_fail(error, ATTN_ERR_MEMORY,
                     "the plan needs %.2f GiB on a node (%d rank%s), but only %.2f GiB are "
                     "available there; use more nodes, a shorter sequence or fewer heads",
                     node_total / 0x1p30, ranks, ranks == 1 ? "" : "s", node_available / 0x1p30);
}

/* Whether the tables of a rank that is not here fit into this one's memory: the kept partials have
 * some bytes for each tile, about a thousandth of its rows. */
static attn_status check_tables(const attn_plan *plan, attn_error *error) {
    const double most_over_available = 64;
    double bytes = (double)plan->buffers.bytes, available = (double)attn_memory_available();

    if (available < 0 || bytes <= most_over_available * available) return attn_ok(error);
    return attn_fail(
        error, ATTN_ERR_MEMORY,
        "a rank would hold %.0f GiB, for which not even the tables fit in the %.2f GiB "
        "that are available here; plan for more ranks, a shorter sequence or fewer "
        "heads",
        bytes / 0x1p30, available / 0x1p30);
}

static void fill_prepare(const attn_plan *plan) {
    attn_qk_prepare_fill(&plan->query_prepare, plan->threads);
    attn_qk_prepare_fill(&plan->key_prepare, plan->threads);
}

/* Work goes with the queries, or with the keys where these stay. */
static attn_status find_imbalance(attn_plan *plan, attn_error *error) {
    attn_mask mask = attn_mask_spec_mask(&plan->problem);

    if (circulation_of(plan)->moves_queries)
        return attn_layout_key_imbalance(&plan->key_layout, &mask, &plan->imbalance, error);
    plan->imbalance = attn_layout_imbalance(&plan->query_layout, &mask);
    return attn_ok(error);
}

/* Plans after the mesh is there. Each stage is agreed on before the next one, so
 * that no rank waits for one that has given up. Collective. */
static attn_status plan_all(attn_plan *plan, const attn_options *options, attn_error *error) {
    attn_mask mask = attn_mask_spec_mask(&plan->problem);

    attn_ok(error);
    if (deal_rows(plan, error) == ATTN_OK &&
        (!options->with_trace ||
         attn_trace_create(plan->threads, &plan->trace, error) == ATTN_OK)) {
        count_callers_arrays(plan);
        if (plan_tensors(plan, error) == ATTN_OK && find_imbalance(plan, error) == ATTN_OK) {
            plan_prepare(plan);
            plan_kv_layout(plan);
            plan_project(plan);
            describe_attend(plan, options);
        }
    }
    if (attn_agree(plan->mesh.world, "plan", error) != ATTN_OK) return error->status;

    /* What is reserved by now outweighs the rest: a problem far too large ends here. */
    if (plan->is_imagined)
        check_tables(plan, error);
    else
        check_memory(plan, options->memory_fraction, error);
    if (attn_agree(plan->mesh.world, "memory", error) != ATTN_OK) return error->status;

    attn_reach_create(&plan->reach, &mask, &plan->query_layout, &plan->key_layout, error);
    if (attn_agree(plan->mesh.world, "reach", error) != ATTN_OK) return error->status;
    if (plan_circulate(plan, options->share_nodes, error) == ATTN_OK) plan_trace(plan, error);
    if (attn_agree(plan->mesh.world, "attend", error) != ATTN_OK || plan->is_imagined)
        return error->status;
    check_memory(plan, options->memory_fraction, error);
    if (attn_agree(plan->mesh.world, "memory", error) != ATTN_OK) return error->status;

    if (attn_buffers_allocate(&plan->buffers, error) == ATTN_OK) fill_prepare(plan);
    tell_transfers(plan);
    if (attn_agree(plan->mesh.world, "allocate", error) != ATTN_OK) return error->status;
    if (plan->circulate.share_ranks == 1) return error->status;
    attn_circulate_allocate(&plan->circulate, error);
    return attn_agree(plan->mesh.world, "share", error);
}

/* The ranks there are; NULL: an ordinary machine. Collective on `comm`. */
static attn_cluster cluster_of(const attn_plan *plan, const attn_machine *machine, MPI_Comm comm,
                               MPI_Comm node) {
    attn_cluster cluster = {.threads = plan->threads,
                            .machine = machine != NULL ? *machine : attn_machine_default()};
    int ranks, on_node, most;

    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    ATTN_MPI(MPI_Comm_size(node, &on_node));
    ATTN_MPI(MPI_Allreduce(&on_node, &most, 1, MPI_INT, MPI_MAX, comm));
    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, &cluster.threads, 1, MPI_INT, MPI_MIN, comm));
    cluster.ranks = ranks;
    cluster.ranks_per_node = most;
    return cluster;
}

/* Whether the circulation takes the problem. */
static attn_status check_way(const attn_problem *problem, const attn_way *way, attn_error *error) {
    const char *refused = attn_circulation_refuses(problem, way->circulate);

    if (refused == NULL) return attn_ok(error);
    return attn_fail(error, ATTN_ERR_CONFIG, "the circulation \"%s\" %s", way->circulate, refused);
}

/* Chooses what is open and makes the mesh. The request has been checked. Collective on `comm`. */
static attn_status choose_and_make_mesh(attn_plan *plan, MPI_Comm comm, const attn_options *options,
                                        attn_error *error) {
    const attn_wish wish = {.members = options->mesh_heads,
                            .shards = options->mesh_sequence,
                            .circulate = options->circulate,
                            .layout = layout_kind(options),
                            .share_nodes = options->share_nodes,
                            .storage = options->storage};
    attn_cluster cluster;
    MPI_Comm node;

    attn_mesh_split_nodes(comm, &node);
    plan->threads = options->threads != ATTN_PLAN_AUTO ? options->threads : attn_threads_auto(node);
    cluster = cluster_of(plan, options->machine, comm, node);
    cluster.share_nodes = attn_node_share_may(options->share_nodes);
    attn_simulate_rates(&cluster.machine);
    ATTN_MPI(MPI_Comm_free(&node));
    if (attn_choose(&plan->problem, &wish, &cluster, &plan->choice, error) == ATTN_OK)
        check_way(&plan->problem, &plan->choice.way, error);
    if (attn_agree(comm, "choose", error) != ATTN_OK) return error->status;
    attn_mesh_create(comm, (int)plan->choice.way.members, (int)plan->choice.way.shards,
                     &plan->mesh);
    return attn_ok(error);
}

/* What can be found wrong with a request before the mesh is there, and copies of its arrays.
 * Collective on `comm`, on which it is not agreed. */
static attn_status check_request(attn_plan *plan, MPI_Comm comm, const attn_options *options,
                                 attn_error *error) {
    attn_error kernel_error;

    choose_kernel(plan, comm, options, &kernel_error);
    if (attn_plan_request_check(&plan->problem, options, error) == ATTN_OK &&
        attn_mask_spec_copy(&plan->problem.mask, plan->problem.batch, &plan->mask_arrays, error) ==
            ATTN_OK &&
        attn_terms_spec_copy(&plan->problem.terms, plan->problem.heads, &plan->terms_arrays,
                             error) == ATTN_OK)
        *error = kernel_error;
    if (error->status == ATTN_OK && plan->problem.scale <= 0)
        plan->problem.scale = (float)(1.0 / sqrt((double)plan->problem.key_dim));
    return error->status;
}

/* Checks the request and makes the mesh. Collective on `comm`. */
static attn_status plan_mesh(attn_plan *plan, MPI_Comm comm, const attn_options *options,
                             attn_error *error) {
    const attn_wish wish = {.members = options->mesh_heads, .shards = options->mesh_sequence};
    int ranks;

    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    if (check_request(plan, comm, options, error) == ATTN_OK) attn_choose_fits(&wish, ranks, error);
    if (attn_agree(comm, "mesh", error) != ATTN_OK) return error->status;
    return choose_and_make_mesh(plan, comm, options, error);
}

attn_status attn_plan_create(MPI_Comm comm, const attn_problem *problem,
                             const attn_options *options, attn_plan **plan, attn_error *error) {
    attn_plan *made = calloc(1, sizeof *made);
    MPI_Comm own;

    *plan = NULL;
    ATTN_MPI(MPI_Comm_dup(comm, &own));
    ATTN_MPI(MPI_Comm_set_errhandler(own, MPI_ERRORS_RETURN)); /* ATTN_MPI reports */
    attn_ok(error);
    if (made == NULL) attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate a plan");
    if (attn_agree(own, "create", error) == ATTN_OK) {
        made->problem = *problem;
        made->with_lse = options->with_lse != 0;
        if (plan_mesh(made, own, options, error) == ATTN_OK) plan_all(made, options, error);
    }
    if (error->status == ATTN_OK)
        *plan = made;
    else
        attn_plan_destroy(made);
    ATTN_MPI(MPI_Comm_free(&own));
    return error->status;
}

attn_status attn_plan_imagine(const attn_problem *problem, const attn_options *options,
                              const attn_cluster *cluster, const attn_choice *choice, int64_t rank,
                              attn_plan **plan, attn_error *error) {
    attn_plan *made = calloc(1, sizeof *made);

    *plan = NULL;
    if (made == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate a plan");
    made->problem = *problem;
    made->with_lse = options->with_lse != 0;
    made->is_imagined = 1;
    made->choice = *choice;
    made->threads = cluster->threads;
    if (check_request(made, MPI_COMM_SELF, options, error) == ATTN_OK &&
        check_way(&made->problem, &choice->way, error) == ATTN_OK) {
        attn_mesh_imagine((int)choice->way.members, (int)choice->way.shards, (int)rank,
                          (int)cluster->ranks_per_node, &made->mesh);
        plan_all(made, options, error);
    }
    if (error->status == ATTN_OK)
        *plan = made;
    else
        attn_plan_destroy(made);
    return error->status;
}

void attn_plan_destroy(attn_plan *plan) {
    if (plan == NULL) return;
    attn_attend_destroy(&plan->attend);
    attn_circulate_destroy(&plan->circulate);
    attn_head_tensor_destroy(&plan->output);
    attn_head_tensor_destroy(&plan->value);
    attn_head_tensor_destroy(&plan->key);
    attn_head_tensor_destroy(&plan->query);
    attn_buffers_free(&plan->buffers);
    attn_row_list_destroy(&plan->key_rows);
    attn_row_list_destroy(&plan->query_rows);
    attn_row_list_destroy(&plan->shard_keys);
    attn_row_list_destroy(&plan->shard_queries);
    attn_reach_destroy(&plan->reach);
    attn_layout_destroy(&plan->key_layout);
    attn_layout_destroy(&plan->query_layout);
    attn_mesh_destroy(&plan->mesh);
    attn_trace_destroy(plan->trace);
    free(plan->terms_arrays);
    free(plan->mask_arrays);
    free(plan);
}
