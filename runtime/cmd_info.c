#include <omp.h>
#include <stdio.h>
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

static attn_status print_info(attn_error *error) {
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING], cpu[256], blas[256], reason[256], names[256];
    int mpi_bytes, cores = attn_node_cores();
    int32_t count, best = attn_kernel_best();
    const attn_kernel *kernel;
    attn_rates one, all;

    if (best < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "%s names no kernel; set it to one, or not at all",
                         ATTN_KERNEL_VARIABLE);
    kernel = attn_kernels(&count)[best];
    attn_cpu_name(cpu, (int)sizeof cpu);
    attn_blas_name(blas, sizeof blas);
    attn_blas_core_reason(reason, sizeof reason);
    kernel_names(names, sizeof names);
    ATTN_MPI(MPI_Get_library_version(mpi, &mpi_bytes));
    mpi[strcspn(mpi, ",\n")] = '\0';
    if (attn_measure(kernel, 1, &one, error) != ATTN_OK ||
        attn_measure(kernel, cores, &all, error) != ATTN_OK)
        return error->status;
    printf("attnspan %s\n\n", ATTN_VERSION);
    printf("  cpu        %s, %d core%s\n", cpu, cores, cores == 1 ? "" : "s");
    printf("  kernels    %s; the best here: %s\n", names, kernel->name);
    printf("  blas       %s, %s\n", blas, reason);
    printf("  mpi        %s\n\n", mpi);
    printf("  %-38s %10s %10s\n", "measured", "one core", "all cores");
    printf("  %-38s %10.1f %10.1f\n", "sgemm, GFLOP/s", one.sgemm_gflops, all.sgemm_gflops);
    printf("  %-38s %10.1f %10.1f\n", "attention kernel, d = 64, GFLOP/s", one.kernel_gflops,
           all.kernel_gflops);
    printf("  %-38s %10.1f %10.1f\n", "memory, GB/s", one.memory_gbytes_per_sec,
           all.memory_gbytes_per_sec);
    return attn_ok(error);
}

attn_status attn_cmd_info(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    int rank;

    (void)cmdline;
    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    attn_ok(error);
    if (rank == 0) print_info(error); /* the others wait here: they would disturb the rates */
    return attn_agree(comm, "info", error);
}
