#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "attnspan/kernels.h"
#include "blas_core.h"
#include "cmdline.h"
#include "measure.h"
#include "support.h"
#include "topology.h"
#include "version.h"

/* "generic, avx2": those that this CPU runs, slowest first. */
static void kernel_names(char *names, size_t bytes) {
    size_t used = 0;

    names[0] = '\0';
    for (int32_t level = 0; level < attn_kernel_levels() && used < bytes; level++)
        if (attn_kernel_of(level, ATTN_BF16)->supported())
            used += (size_t)snprintf(names + used, bytes - used, "%s%s", used == 0 ? "" : ", ",
                                     attn_kernel_name(level));
}

/* What is known of the machine. */
typedef struct machine {
    char cpu[256], kernels[256], blas[256], blas_reason[256];
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    int cores;
    const attn_kernel *kernel;      /* the best, for fp32 */
    const attn_kernel *kernel_bf16; /* and for bf16 */
    attn_rates one, all;            /* of one core, and of all */
} machine;

/* The best level's kernel whose products are of bf16 pairs; NULL where this CPU has none. */
static const attn_kernel *dot_bf16_kernel(void) {
    int32_t level = attn_kernel_levels() - 1;

    for (; level >= 0; level--) {
        const attn_kernel *kernel = attn_kernel_of(level, ATTN_BF16);
        if (kernel->depth == 2 && kernel->supported()) return kernel;
    }
    return NULL;
}

static attn_status look_at(machine *self, attn_error *error) {
    int mpi_bytes;
    int32_t best = attn_kernel_best(ATTN_FP32);

    if (best < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "%s names no kernel; set it to one, or not at all",
                         ATTN_KERNEL_VARIABLE);
    self->kernel = attn_kernel_of(best, ATTN_FP32);
    self->kernel_bf16 = attn_kernel_of(attn_kernel_best(ATTN_BF16), ATTN_BF16);
    self->cores = attn_node_cores();
    attn_cpu_name(self->cpu, (int)sizeof self->cpu);
    attn_blas_name(self->blas, sizeof self->blas);
    attn_blas_core_reason(self->blas_reason, sizeof self->blas_reason);
    kernel_names(self->kernels, sizeof self->kernels);
    ATTN_MPI(MPI_Get_library_version(self->mpi, &mpi_bytes));
    self->mpi[strcspn(self->mpi, ",\n")] = '\0';
    if (attn_measure(self->kernel, dot_bf16_kernel(), 1, &self->one, error) != ATTN_OK)
        return error->status;
    return attn_measure(self->kernel, dot_bf16_kernel(), self->cores, &self->all, error);
}

static void print_rate(const char *what, double one, double all) {
    printf("  %-38s %10.1f %10.1f\n", what, one, all);
}

static void print_table(const machine *self) {
    printf("attnspan %s\n\n", ATTN_VERSION);
    printf("  cpu        %s, %d core%s\n", self->cpu, self->cores, self->cores == 1 ? "" : "s");
    printf("  kernels    %s\n", self->kernels);
    printf("             the best here: %s for fp32, %s for bf16\n", self->kernel->name,
           self->kernel_bf16->name);
    printf("  blas       %s, %s\n", self->blas, self->blas_reason);
    printf("  mpi        %s\n\n", self->mpi);
    printf("  %-38s %10s %10s\n", "measured", "one core", "all cores");
    print_rate("fp32 multiply-adds, GFLOP/s", self->one.fma_gflops, self->all.fma_gflops);
    if (dot_bf16_kernel() != NULL) {
        char what[64];

        (void)snprintf(what, sizeof what, "bf16 products (%s), GFLOP/s", dot_bf16_kernel()->name);
        print_rate(what, self->one.dot_bf16_gflops, self->all.dot_bf16_gflops);
    }
    print_rate("attention kernel, d = 64, GFLOP/s", self->one.kernel_gflops,
               self->all.kernel_gflops);
    print_rate("sgemm, GFLOP/s", self->one.sgemm_gflops, self->all.sgemm_gflops);
    print_rate("memory, a = b + 3 c, GB/s", self->one.memory_gbytes_per_sec,
               self->all.memory_gbytes_per_sec);
    print_rate("memory, read alone, GB/s", self->one.read_gbytes_per_sec,
               self->all.read_gbytes_per_sec);
}

static json_t *rates_json(const attn_rates *rates) {
    json_t *dot = rates->dot_bf16_gflops > 0 ? json_real(rates->dot_bf16_gflops) : json_null();

    return json_pack("{s:f, s:o, s:f, s:f, s:f, s:f}", "fma_fp32_gflops", rates->fma_gflops,
                     "dot_bf16_gflops", dot, "attention_gflops", rates->kernel_gflops,
                     "sgemm_gflops", rates->sgemm_gflops, "memory_gbytes_per_sec",
                     rates->memory_gbytes_per_sec, "read_gbytes_per_sec",
                     rates->read_gbytes_per_sec);
}

static attn_status print_json(const machine *self, attn_error *error) {
    const attn_kernel *dot = dot_bf16_kernel();
    json_t *json = json_pack(
        "{s:s, s:s, s:i, s:s, s:s, s:s?, s:s, s:s, s:s, s:{s:o, s:o}}", "version", ATTN_VERSION,
        "cpu", self->cpu, "cores", self->cores, "kernel", self->kernel->name, "kernel_bf16",
        self->kernel_bf16->name, "kernel_dot_bf16", dot == NULL ? NULL : dot->name, "blas",
        self->blas, "blas_reason", self->blas_reason, "mpi", self->mpi, "peaks", "one_core",
        rates_json(&self->one), "all_cores", rates_json(&self->all));
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
    if (rank == 0 && cmdline->support)
        attn_support_print(error);
    else if (rank == 0)
        print_info(cmdline->json, error); /* the others wait here: they would disturb the rates */
    return attn_agree(comm, "info", error);
}
