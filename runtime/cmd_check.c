#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "circulate.h"
#include "cmdline.h"
#include "job.h"
#include "layout.h"
#include "mask_spec.h"
#include "memory.h"
#include "node_share.h"
#include "partition.h"

/* Reads all elements, dealt among the ranks, so that NaN and infinities are found.
 * Collective; agreed on at the boundary "load". */
static attn_status scan_elements(MPI_Comm comm, const attn_tensor *tensor, int or_minus_infinity,
                                 attn_error *error) {
    enum { PIECE_ELEMS = 1 << 20 };
    attn_tensor_reader *reader = NULL;
    float *piece = attn_alloc(PIECE_ELEMS, sizeof *piece);
    attn_range own;
    int rank, ranks;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    attn_ok(error);
    if (piece == NULL) attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    if (attn_agree(comm, "load", error) == ATTN_OK &&
        attn_tensor_reader_open(comm, tensor, &reader, error) == ATTN_OK) {
        if (or_minus_infinity) attn_tensor_reader_allow_minus_infinity(reader);
        own = attn_deal(attn_tensor_elems(tensor), ranks, rank);
        for (int64_t at = own.first; at < own.last && error->status == ATTN_OK; at += PIECE_ELEMS)
            attn_tensor_reader_read(reader, at,
                                    own.last - at < PIECE_ELEMS ? own.last - at : PIECE_ELEMS,
                                    piece, error);
        attn_agree(comm, "load", error);
    }
    attn_tensor_reader_close(reader);
    free(piece);
    return error->status;
}

static attn_status scan_tensor(MPI_Comm comm, const attn_tensor *tensor, attn_error *error) {
    return scan_elements(comm, tensor, 0, error);
}

static attn_status scan_inputs(MPI_Comm comm, const attn_inputs *inputs, attn_error *error) {
    attn_ok(error);
    if (inputs->problem.terms.bias_heads > 0 &&
        scan_elements(comm, &inputs->bias, 1, error) != ATTN_OK)
        return error->status;
    if (inputs->synthetic) return ATTN_OK;
    if (inputs->form == ATTN_INPUT_QKV) {
        if (scan_tensor(comm, &inputs->q, error) == ATTN_OK &&
            scan_tensor(comm, &inputs->k, error) == ATTN_OK)
            scan_tensor(comm, &inputs->v, error);
        return error->status;
    }
    if (scan_tensor(comm, &inputs->x, error) != ATTN_OK) return error->status;
    if (inputs->problem.memory_dim > 0 && scan_tensor(comm, &inputs->memory, error) != ATTN_OK)
        return error->status;
    for (int i = 0; i < ATTN_NORMS && inputs->weights.has_norms; i++)
        if (scan_tensor(comm, &inputs->weights.norms[i], error) != ATTN_OK) return error->status;
    for (int i = 0; i < ATTN_PROJECTIONS && error->status == ATTN_OK; i++) {
        const attn_weight_part *part = &inputs->weights.parts[i];
        if (scan_tensor(comm, &part->weight, error) == ATTN_OK && part->has_bias)
            scan_tensor(comm, &part->bias, error);
    }
    return error->status;
}

/* The mesh on ranks that are not here, on one node. */
static attn_status choose_elsewhere(const attn_job *job, int64_t ranks, int64_t *members,
                                    int64_t *shards, const char **circulate, attn_error *error) {
    const attn_wish wish = attn_job_wish(job);
    const attn_cluster cluster = {.ranks = ranks,
                                  .ranks_per_node = ranks,
                                  .threads = 1,
                                  .share_nodes = attn_node_share_may(wish.share_nodes),
                                  .machine = job->machine};
    attn_choice choice;

    if (attn_job_check_mesh(job, ranks, error) != ATTN_OK ||
        attn_choose(&job->inputs.problem, &wish, &cluster, &choice, error) != ATTN_OK)
        return error->status;
    *members = choice.way.members;
    *shards = choice.way.shards;
    *circulate = choice.way.circulate;
    return attn_ok(error);
}

/* A plan on the very ranks finds all that only a plan can; without them the mesh alone is
 * checked. */
static attn_status check_plan(attn_job *job, int64_t *members, int64_t *shards,
                              const char **circulate, attn_error *error) {
    attn_options none = {0};
    int64_t ranks;

    if (attn_job_ranks_meant(job, &ranks, error) != ATTN_OK) return error->status;
    if (ranks != job->ranks) {
        if (attn_inputs_describe(job->comm, &job->config, &job->inputs, error) != ATTN_OK)
            return error->status;
        return choose_elsewhere(job, ranks, members, shards, circulate, error);
    }
    if (attn_job_plan(job, &none, error) != ATTN_OK) return error->status;
    *members = job->info.mesh_heads;
    *shards = job->info.mesh_sequence;
    *circulate = job->info.circulate;
    return attn_ok(error);
}

/* The layout that a run on that mesh has. Collective; agreed on at the boundary "plan". */
static attn_status describe_layout(const attn_job *job, int64_t shards, const char *circulate,
                                   const char **name, double *imbalance, attn_error *error) {
    attn_mask mask = attn_mask_spec_mask(&job->inputs.problem);
    attn_layout layout, keys = {0};

    if (attn_layout_choose(&layout, job->config.parallel.layout, shards, &mask, error) == ATTN_OK) {
        *name = attn_layout_name(layout.kind);
        *imbalance = attn_layout_imbalance(&layout, &mask);
        if (attn_circulation_find(circulate)->moves_queries &&
            attn_layout_of_keys(&keys, &layout, job->inputs.problem.kv_length, error) == ATTN_OK)
            attn_layout_key_imbalance(&keys, &mask, imbalance, error);
        attn_layout_destroy(&keys);
        attn_layout_destroy(&layout);
    }
    return attn_agree(job->comm, "plan", error);
}

static void print_fine(const attn_job *job, int64_t members, int64_t shards, const char *layout,
                       double imbalance) {
    const attn_problem *problem = &job->inputs.problem;
    printf("%s: fine for mpirun -n %" PRId64 " (%" PRId64 " head group%s x %" PRId64
           " sequence shard%s)\n"
           "N %" PRId64 ", N_kv %" PRId64 ", B %" PRId64 ", H %" PRId64 ", H_kv %" PRId64
           ", d_k %d, d_v %d, d_model %" PRId64 "; all inputs are finite\n",
           job->config.file, members * shards, members, members == 1 ? "" : "s", shards,
           shards == 1 ? "" : "s", problem->length, problem->kv_length, problem->batch,
           problem->heads, problem->kv_heads, problem->key_dim, problem->value_dim,
           problem->model_dim);
    if (shards > 1)
        printf("layout %s, imbalance %.4f: pairs of the busiest shard over their mean\n", layout,
               imbalance);
    if (job->info.share_ranks > 1)
        printf("up to %d ranks of a node share one copy of keys and values\n",
               job->info.share_ranks);
}

attn_status attn_cmd_check(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    attn_job *job;
    const char *layout = NULL, *circulate = NULL;
    double imbalance = 0;
    int64_t members = 0, shards = 0;

    if (attn_job_create(comm, &job, error) != ATTN_OK) return error->status;
    if (attn_job_configure(job, cmdline, error) == ATTN_OK &&
        check_plan(job, &members, &shards, &circulate, error) == ATTN_OK &&
        scan_inputs(comm, &job->inputs, error) == ATTN_OK &&
        describe_layout(job, shards, circulate, &layout, &imbalance, error) == ATTN_OK &&
        attn_job_begin_outputs(job, error) == ATTN_OK && job->rank == 0)
        print_fine(job, members, shards, layout, imbalance);
    attn_job_destroy(job);
    return error->status;
}
