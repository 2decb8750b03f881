/* job.h: one run of the command: from the command line to arrays ready to compute.
 *
 * Each stage is collective and agreed on; after a failed one only attn_job_destroy
 * may follow. `run` and `check` share the stages up to loading.
 */
#ifndef ATTN_RUNTIME_JOB_H
#define ATTN_RUNTIME_JOB_H

#include <mpi.h>

#include "attnspan/plan.h"
#include "choose.h"
#include "cmdline.h"
#include "config.h"
#include "inputs.h"
#include "tensor_io.h"
#include "weights.h"

typedef struct attn_job {
    MPI_Comm comm; /* borrowed */
    int rank, ranks;
    attn_config config;
    attn_machine machine; /* the config's, or an ordinary one */
    attn_inputs inputs;
    attn_plan *plan; /* owned */
    attn_plan_info info;
    attn_weight_memory weights; /* owned */
    float *x, *q, *k, *v;       /* owned; own rows; those of the other form are NULL */
    float *memory;              /* owned; own rows; NULL without a memory */
    float *y;                   /* owned; `out` for attention alone */
    float *lse;                 /* owned; NULL when neither output nor verification needs it */
    attn_tensor_writer *y_writer, *lse_writer; /* owned; NULL without such an output */
} attn_job;

/* A new job on `comm`, which outlives it. Collective; agreed on at the boundary "job". On
 * failure *job is NULL. */
attn_status attn_job_create(MPI_Comm comm, attn_job **job, attn_error *error);

/* Rank 0 reads the config and broadcasts its text; all parse it. The machine likewise. */
attn_status attn_job_configure(attn_job *job, const attn_cmdline *cmdline, attn_error *error);

/* What the config states of mesh, circulation and layout. Not collective. */
attn_wish attn_job_wish(const attn_job *job);

/* The ranks that the config is for, started by mpirun: those that there are; started alone: those
 * of the mesh that it names, at most ATTN_JOB_MOST_RANKS. ATTN_ERR_CONFIG. Not collective, but the
 * same on all ranks. */
enum { ATTN_JOB_MOST_RANKS = 1 << 20 };
attn_status attn_job_ranks_meant(const attn_job *job, int64_t *ranks, attn_error *error);

/* Whether the stated mesh fits that many ranks; a failure has its place in the config. Not
 * collective, but the same on all ranks. */
attn_status attn_job_check_mesh(const attn_job *job, int64_t ranks, attn_error *error);

/* Whether an output or the verification needs it. Not collective. */
int attn_job_wants_lse(const attn_job *job);

/* What the config and the command ask of a plan beside the problem. Not collective. */
attn_options attn_job_options(const attn_job *job);

/* Looks at the inputs and plans on `job->comm`; `callbacks` are the progress fields
 * of the plan's options. */
attn_status attn_job_plan(attn_job *job, const attn_options *callbacks, attn_error *error);

/* Starts the output files, so that what cannot be written is found now. */
attn_status attn_job_begin_outputs(attn_job *job, attn_error *error);

/* Computes y and lse. Nothing here fails. */
void attn_job_execute(attn_job *job);

/* Collective; NULL is legal. */
void attn_job_destroy(attn_job *job);

#endif
