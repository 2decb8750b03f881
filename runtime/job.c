#define _POSIX_C_SOURCE 200809L

#include "job.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agree.h"
#include "circulate.h"
#include "file.h"
#include "job_arrays.h"
#include "layout.h"
#include "machine_file.h"
#include "mesh.h"
#include "simulate.h"

attn_status attn_job_create(MPI_Comm comm, attn_job **job, attn_error *error) {
    attn_ok(error);
    *job = calloc(1, sizeof **job);
    if (*job == NULL) attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    if (attn_agree(comm, "job", error) != ATTN_OK) {
        free(*job);
        *job = NULL;
        return error->status;
    }
    (*job)->comm = comm;
    ATTN_MPI(MPI_Comm_rank(comm, &(*job)->rank));
    ATTN_MPI(MPI_Comm_size(comm, &(*job)->ranks));
    return ATTN_OK;
}

/* --- config ----------------------------------------------------------------- */

/* What rank 0 knows and all ranks need to parse the same. */
typedef struct config_source {
    char input_folder[ATTN_PATH_BYTES], output_folder[ATTN_PATH_BYTES];
    size_t bytes;
} config_source;

/* `path` made absolute from the working folder, into ATTN_PATH_BYTES; "" is that
 * folder itself. */
static attn_status absolute(const char *path, char *out, attn_error *error) {
    char working[ATTN_PATH_BYTES] = "";

    if (path[0] != '/' && getcwd(working, sizeof working) == NULL)
        return attn_fail(error, ATTN_ERR_IO, "cannot tell the working folder: %s", strerror(errno));
    if (snprintf(out, ATTN_PATH_BYTES, "%s%s%s", working,
                 path[0] == '/' || path[0] == '\0' ? "" : "/", path) >= ATTN_PATH_BYTES)
        return attn_fail(error, ATTN_ERR_USAGE, "%s: the path is too long", path);
    return attn_ok(error);
}

static attn_status read_config(const attn_cmdline *cmdline, config_source *source, char **text,
                               attn_error *error) {
    enum { MAX_CONFIG_BYTES = 1 << 20 };

    if (absolute(cmdline->config, source->input_folder, error) != ATTN_OK ||
        absolute(cmdline->output_dir != NULL ? cmdline->output_dir : "", source->output_folder,
                 error) != ATTN_OK)
        return error->status;
    *strrchr(source->input_folder, '/') = '\0';
    return attn_file_read(cmdline->config, MAX_CONFIG_BYTES, text, &source->bytes, error);
}

/* The key says where a file that is not there is asked for. Collective. */
static attn_status read_machine(attn_job *job, attn_error *error) {
    const char *path = job->config.parallel.machine;
    attn_error reason;
    char *text = NULL;
    size_t bytes;

    job->machine = attn_machine_default();
    if (path[0] == '\0') return ATTN_OK;
    if (job->rank == 0) {
        if (attn_file_read(path, ATTN_MACHINE_FILE_BYTES, &text, &bytes, &reason) != ATTN_OK)
            attn_config_fail(&job->config, "parallel.machine", error, reason.status, "%s",
                             reason.message);
        else
            attn_machine_file_parse(text, bytes, path, &job->machine, error);
        free(text);
    }
    if (attn_agree(job->comm, "machine", error) != ATTN_OK) return error->status;
    ATTN_MPI(MPI_Bcast(&job->machine, (int)sizeof job->machine, MPI_BYTE, 0, job->comm));
    return ATTN_OK;
}

attn_status attn_job_configure(attn_job *job, const attn_cmdline *cmdline, attn_error *error) {
    config_source source = {0};
    char *text = NULL;

    attn_ok(error);
    if (job->rank == 0) read_config(cmdline, &source, &text, error);
    if (attn_agree(job->comm, "config", error) != ATTN_OK) goto cleanup;
    ATTN_MPI(MPI_Bcast(&source, (int)sizeof source, MPI_BYTE, 0, job->comm));
    if (job->rank != 0) text = malloc(source.bytes + 1);
    if (text == NULL) attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    if (attn_agree(job->comm, "config", error) != ATTN_OK) goto cleanup;
    ATTN_MPI(MPI_Bcast(text, (int)source.bytes, MPI_CHAR, 0, job->comm));
    attn_config_parse(text, source.bytes, cmdline->config, cmdline->sets, cmdline->set_count,
                      source.input_folder, source.output_folder, &job->config, error);
    if (attn_agree(job->comm, "config", error) == ATTN_OK) read_machine(job, error);

cleanup:
    free(text);
    return error->status;
}

/* --- plan ------------------------------------------------------------------- */

int attn_job_wants_lse(const attn_job *job) {
    return job->config.output.lse[0] != '\0' || job->config.verify.rows > 0;
}

static int64_t or_auto(int64_t value) {
    return value == ATTN_AUTO ? ATTN_PLAN_AUTO : value;
}

static attn_share_nodes wanted_share(const attn_config *config) {
    if (config->parallel.share_nodes == ATTN_AUTO) return ATTN_SHARE_AUTO;
    return config->parallel.share_nodes ? ATTN_SHARE_ALWAYS : ATTN_SHARE_NEVER;
}

attn_wish attn_job_wish(const attn_job *job) {
    const attn_config *config = &job->config;

    return (attn_wish){.members = or_auto(config->parallel.heads),
                       .shards = or_auto(config->parallel.sequence),
                       .circulate = attn_circulation_name(config->parallel.circulate),
                       .layout = config->parallel.layout,
                       .share_nodes = wanted_share(config),
                       .storage = (attn_storage)config->compute.dtype};
}

attn_status attn_job_ranks_meant(const attn_job *job, int64_t *ranks, attn_error *error) {
    int64_t members = job->config.parallel.heads, shards = job->config.parallel.sequence;

    *ranks = (members == ATTN_AUTO ? 1 : members) * (shards == ATTN_AUTO ? 1 : shards);
    if (job->ranks > 1) *ranks = job->ranks;
    if (*ranks <= ATTN_JOB_MOST_RANKS) return attn_ok(error);
    return attn_config_fail(&job->config, "parallel.heads", error, ATTN_ERR_CONFIG,
                            "makes %" PRId64
                            " ranks with parallel.sequence; must be %d together at "
                            "most",
                            *ranks, ATTN_JOB_MOST_RANKS);
}

attn_status attn_job_check_mesh(const attn_job *job, int64_t ranks, attn_error *error) {
    const attn_config *config = &job->config;
    const attn_wish wish = attn_job_wish(job);
    int is_heads = config->parallel.heads != ATTN_AUTO;
    attn_error reason;

    if (attn_choose_fits(&wish, ranks, &reason) == ATTN_OK) return attn_ok(error);
    return attn_config_fail(config, is_heads ? "parallel.heads" : "parallel.sequence", error,
                            reason.status, "%s", reason.message);
}

attn_options attn_job_options(const attn_job *job) {
    const attn_config *config = &job->config;

    return (attn_options){.mesh_heads = or_auto(config->parallel.heads),
                          .mesh_sequence = or_auto(config->parallel.sequence),
                          .circulate = attn_circulation_name(config->parallel.circulate),
                          .layout = attn_layout_name(config->parallel.layout),
                          .share_nodes = wanted_share(config),
                          .kernel = attn_kernel_name(config->compute.kernel),
                          .storage = (attn_storage)config->compute.dtype,
                          .threads = (int32_t)or_auto(config->parallel.threads),
                          .machine = &job->machine,
                          .with_lse = attn_job_wants_lse(job),
                          .with_trace = config->output.trace[0] != '\0'};
}

attn_status attn_job_plan(attn_job *job, const attn_options *callbacks, attn_error *error) {
    const attn_config *config = &job->config;
    attn_options options = attn_job_options(job);
    attn_error reason;

    if (ATTN_SIMULATED && config->verify.rows > 0)
        return attn_config_fail(config, "verify.rows", error, ATTN_ERR_CONFIG,
                                "has nothing to verify, because a simulated cluster computes no "
                                "result; set 0 or leave it out");
    if (attn_inputs_describe(job->comm, config, &job->inputs, error) != ATTN_OK)
        return error->status;
    options.on_progress = callbacks->on_progress;
    options.progress_context = callbacks->progress_context;
    if (attn_job_check_mesh(job, job->ranks, error) != ATTN_OK) return error->status;
    if (attn_plan_create(job->comm, &job->inputs.problem, &options, &job->plan, &reason) !=
        ATTN_OK) {
        *error = reason;
        if (reason.status == ATTN_ERR_CONFIG)
            attn_fail(error, reason.status, "%s: %s", config->file, reason.message);
        return error->status;
    }
    attn_plan_get_info(job->plan, &job->info);
    return attn_ok(error);
}

/* --- outputs ---------------------------------------------------------------- */

/* Report and trace are written in one go at the end; here rank 0 finds out whether they can be. */
static attn_status try_later_files(const attn_job *job, attn_error *error) {
    const char *const paths[] = {job->config.output.report, job->config.output.trace};

    for (size_t i = 0; i < sizeof paths / sizeof *paths && job->rank == 0; i++)
        if (paths[i][0] != '\0' && attn_file_try(paths[i], error) != ATTN_OK) break;
    return attn_agree(job->comm, "output", error);
}

attn_status attn_job_begin_outputs(attn_job *job, attn_error *error) {
    const attn_config *config = &job->config;
    int64_t shape[ATTN_MAX_DIMS];
    int32_t dims;

    attn_ok(error);
    if (config->output.y[0] != '\0') {
        dims = attn_inputs_output_shape(&job->inputs, shape);
        if (attn_tensor_writer_create(job->comm, config->output.y, dims, shape, &job->y_writer,
                                      error) != ATTN_OK)
            return error->status;
    }
    if (config->output.lse[0] != '\0') {
        dims = attn_inputs_lse_shape(&job->inputs, shape);
        if (attn_tensor_writer_create(job->comm, config->output.lse, dims, shape, &job->lse_writer,
                                      error) != ATTN_OK)
            return error->status;
    }
    return try_later_files(job, error);
}

void attn_job_execute(attn_job *job) {
    if (job->inputs.form == ATTN_INPUT_LAYER)
        attn_execute_layer(job->plan, &job->weights.weights, job->x, job->memory, job->y, job->lse);
    else
        attn_execute(job->plan, job->q, job->k, job->v, job->y, job->lse);
}

void attn_job_destroy(attn_job *job) {
    if (job == NULL) return;
    attn_tensor_writer_destroy(job->lse_writer);
    attn_tensor_writer_destroy(job->y_writer);
    attn_job_free_arrays(job);
    attn_weights_free(&job->weights);
    attn_plan_destroy(job->plan);
    attn_inputs_free(&job->inputs);
    free(job);
}
