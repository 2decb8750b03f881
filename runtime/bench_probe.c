#include "bench_probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "measure.h"
#include "memory.h"
#include "simulate.h"

/* What the plan computes with. */
static const attn_kernel *kernel_of(const attn_job *job) {
    attn_storage storage = (attn_storage)job->config.compute.dtype;
    int32_t level = 0;

    while (strcmp(attn_kernel_of(level, storage)->name, job->info.kernel) != 0) level++;
    return attn_kernel_of(level, storage);
}

/* A few rows for each kv head read all of K and V for little work. */
static int is_memory_bound(const attn_job *job, const attn_kernel *kernel) {
    const attn_problem *problem = &job->inputs.problem;

    return problem->length * (problem->heads / problem->kv_heads) < kernel->query_rows;
}

attn_status attn_bench_probe_create(const attn_job *job, attn_bench_probe *self,
                                    attn_error *error) {
    self->kernel = kernel_of(job);
    self->reads = !ATTN_SIMULATED && is_memory_bound(job, self->kernel);
    self->multiplies = !ATTN_SIMULATED && job->inputs.problem.model_dim > 0;
    self->data = NULL;
    attn_ok(error);
    if (self->reads || self->multiplies) {
        self->data = attn_alloc(ATTN_MEASURE_ELEMS, sizeof *self->data);
        if (self->data == NULL)
            attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the memory to measure with");
        else
            for (int64_t i = 0; i < ATTN_MEASURE_ELEMS; i++) self->data[i] = (float)(i % 61);
    }
    return attn_agree(job->comm, "probe", error);
}

static double of_all(const attn_job *job, double mine) {
    double all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, job->comm));
    return all;
}

void attn_bench_probe_half(const attn_bench_probe *self, const attn_job *job, attn_sample *sample) {
    int threads = job->info.threads;
    double peak = NAN, read = NAN, sgemm = NAN; /* a simulated cluster has nothing to measure */

    if (!ATTN_SIMULATED) peak = attn_measure_peak(self->kernel, threads);
    if (self->reads) read = attn_measure_read(self->data, threads);
    if (self->multiplies) sgemm = attn_measure_sgemm(self->data, threads);
    sample->peak_gflops += of_all(job, peak) / 2;
    sample->read_gbytes_per_sec += of_all(job, read) / 2;
    sample->sgemm_gflops += of_all(job, sgemm) / 2;
}

/* All ranks of an axis read all keys and values of their kv heads. */
static double kv_bytes(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    int64_t elem_bytes = attn_storage_bytes((attn_storage)job->config.compute.dtype);

    return (double)job->info.mesh_sequence * (double)p->batch * (double)p->kv_heads *
           (double)p->kv_length * ((double)p->key_dim + p->value_dim) * (double)elem_bytes;
}

void attn_bench_probe_bound(const attn_job *job, attn_sample *sample) {
    double memory = sample->read_gbytes_per_sec * job->info.flops / kv_bytes(job);
    int is_memory = memory < sample->peak_gflops; /* not with NAN */
    double bound = is_memory ? memory : sample->peak_gflops;

    snprintf(sample->bound, sizeof sample->bound, "%s",
             ATTN_SIMULATED ? ""
             : is_memory    ? "memory"
                            : "compute");
    sample->fraction_of_bound = bound > 0 ? sample->gflops_per_sec / bound : NAN;
}

void attn_bench_probe_destroy(attn_bench_probe *self) {
    free(self->data);
    self->data = NULL;
}
