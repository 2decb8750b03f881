#include "plan_mesh.h"

#include <math.h>
#include <string.h>

#include "agree.h"
#include "choose.h"
#include "mask_spec.h"
#include "node_share.h"
#include "plan_request.h"
#include "simulate.h"
#include "terms_spec.h"
#include "topology.h"

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

attn_status attn_plan_mesh_check(attn_plan *plan, MPI_Comm comm, const attn_options *options,
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

attn_status attn_plan_mesh_takes(const attn_problem *problem, const attn_way *way,
                                 attn_error *error) {
    const char *refused = attn_circulation_refuses(problem, way->circulate);

    if (refused == NULL) return attn_ok(error);
    return attn_fail(error, ATTN_ERR_CONFIG, "the circulation \"%s\" %s", way->circulate, refused);
}

/* The wanted kind, or −1 for auto; after attn_plan_request_check. */
static int layout_kind(const attn_options *options) {
    return options->layout == NULL ? -1 : attn_layout_find(options->layout);
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
        attn_plan_mesh_takes(&plan->problem, &plan->choice.way, error);
    if (attn_agree(comm, "choose", error) != ATTN_OK) return error->status;
    attn_mesh_create(comm, (int)plan->choice.way.members, (int)plan->choice.way.shards,
                     &plan->mesh);
    return attn_ok(error);
}

attn_status attn_plan_mesh(attn_plan *plan, MPI_Comm comm, const attn_options *options,
                           attn_error *error) {
    const attn_wish wish = {.members = options->mesh_heads, .shards = options->mesh_sequence};
    int ranks;

    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    if (attn_plan_mesh_check(plan, comm, options, error) == ATTN_OK)
        attn_choose_fits(&wish, ranks, error);
    if (attn_agree(comm, "mesh", error) != ATTN_OK) return error->status;
    return choose_and_make_mesh(plan, comm, options, error);
}
