#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "attnspan/kernels.h"
#include "blas_core.h"
#include "cmdline.h"
#include "measure.h"
#include "topology.h"
#include "version.h"

/* "generic, avx2": those that this CPU runs, slowest first. */
static void kernel_names(char *names, size_t bytes) {
    int32_t count;
    const attn_kernel *const *kernels = attn_kernels(&count);
    size_t used = 0;

    names[0] = '\0';
    for (int32_t i = 0; i < count && used < bytes; i++)
        if (kernels[i]->supported())
            used += (size_t)snprintf(names + used, bytes - used, "%s%s", used == 0 ? "" : ", ",
                                     kernels[i]->name);
}

/* What is known of the machine. */
typedef struct machine {
    char cpu[256], kernels[256], blas[256], blas_reason[256];
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    int cores;
    const attn_kernel *kernel; /* the best */
    attn_rates one, all;       /* of one core, and of all */
} machine;

static attn_status look_at(machine *self, attn_error *error) {
    int mpi_bytes;
    int32_t count, best = attn_kernel_best();

    if (best < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "%s names no kernel; set it to one, or not at all",
                         ATTN_KERNEL_VARIABLE);
    self->kernel = attn_kernels(&count)[best];
    self->cores = attn_node_cores();
    attn_cpu_name(self->cpu, (int)sizeof self->cpu);
    attn_blas_name(self->blas, sizeof self->blas);
    attn_blas_core_reason(self->blas_reason, sizeof self->blas_reason);
    kernel_names(self->kernels, sizeof self->kernels);
    ATTN_MPI(MPI_Get_library_version(self->mpi, &mpi_bytes));
    self->mpi[strcspn(self->mpi, ",\n")] = '\0';
    if (attn_measure(self->kernel, 1, &self->one, error) != ATTN_OK) return error->status;
    return attn_measure(self->kernel, self->cores, &self->all, error);
}

static void print_rate(const char *what, double one, double all) {
    printf("  %-38s %10.1f %10.1f\n", what, one, all);
}

static void print_table(const machine *self) {
    printf("attnspan %s\n\n", ATTN_VERSION);
    printf("  cpu        %s, %d core%s\n", self->cpu, self->cores, self->cores == 1 ? "" : "s");
    printf("  kernels    %s; the best here: %s\n", self->kernels, self->kernel->name);
    printf("  blas       %s, %s\n", self->blas, self->blas_reason);
    printf("  mpi        %s\n\n", self->mpi);
    printf("  %-38s %10s %10s\n", "measured", "one core", "all cores");
    print_rate("fp32 multiply-adds, GFLOP/s", self->one.fma_gflops, self->all.fma_gflops);
    print_rate("attention kernel, d = 64, GFLOP/s", self->one.kernel_gflops,
               self->all.kernel_gflops);
    print_rate("sgemm, GFLOP/s", self->one.sgemm_gflops, self->all.sgemm_gflops);
    print_rate("memory, GB/s", self->one.memory_gbytes_per_sec, self->all.memory_gbytes_per_sec);
}

static json_t *rates_json(const attn_rates *rates) {
    return json_pack("{s:f, s:f, s:f, s:f}", "fma_fp32_gflops", rates->fma_gflops,
                     "attention_gflops", rates->kernel_gflops, "sgemm_gflops", rates->sgemm_gflops,
                     "memory_gbytes_per_sec", rates->memory_gbytes_per_sec);
}

static attn_status print_json(const machine *self, attn_error *error) {
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:{s:o, s:o}}", "version", ATTN_VERSION,
                  "cpu", self->cpu, "cores", self->cores, "kernel", self->kernel->name, "blas",
                  self->blas, "blas_reason", self->blas_reason, "mpi", self->mpi, "peaks",
                  "one_core", rates_json(&self->one), "all_cores", rates_json(&self->all));
    char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));

    json_decref(json);
    if (text == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    puts(text);
    free(text);
    return attn_ok(error);
}

static attn_status print_info(int as_json, attn_error *error) {
    machine self;

    if (look_at(&self, error) != ATTN_OK) return error->status;
    if (as_json) return print_json(&self, error);
    print_table(&self);
    return attn_ok(error);
}

attn_status attn_cmd_info(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    attn_ok(error);
    if (rank == 0)
        print_info(cmdline->json, error); /* the others wait here: they would disturb the rates */
    return attn_agree(comm, "info", error);
}
