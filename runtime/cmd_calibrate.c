/* attnspan bench --calibrate FILE: measures what predictions need. */
#include <stdio.h>
#include <string.h>

#include "agree.h"
#include "calibrate.h"
#include "cmdline.h"
#include "file.h"
#include "machine_file.h"
#include "topology.h"
#include "version.h"

static void describe(const attn_calibration *calibration, char *text, size_t bytes) {
    char cpu[256];

    attn_cpu_name(cpu, (int)sizeof cpu);
    snprintf(text, bytes,
             "# Rates for parallel.machine, measured by attnspan %s with %d rank%s on %d node%s,\n"
             "# %d thread%s each: %s.\n# Kernels: %s for fp32, %s for bf16.\n",
             ATTN_VERSION, (int)calibration->ranks, calibration->ranks == 1 ? "" : "s",
             (int)calibration->nodes, calibration->nodes == 1 ? "" : "s", (int)calibration->threads,
             calibration->threads == 1 ? "" : "s", cpu, calibration->kernel[ATTN_FP32],
             calibration->kernel[ATTN_BF16]);
}

attn_status attn_cmd_calibrate(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    attn_calibration calibration;
    char comment[512], text[ATTN_MACHINE_FILE_BYTES];
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    attn_ok(error);
    /* What cannot be written is found before all that work. */
    if (rank == 0) attn_file_try(cmdline->calibrate, error);
    if (attn_agree(comm, "output", error) != ATTN_OK ||
        attn_calibrate(comm, &calibration, error) != ATTN_OK)
        return error->status;
    if (rank == 0) {
        describe(&calibration, comment, sizeof comment);
        attn_machine_file_text(&calibration.machine, comment, calibration.has_node,
                               calibration.has_network, text, sizeof text);
        if (attn_file_replace(cmdline->calibrate, text, strlen(text), error) == ATTN_OK)
            printf("%s\nwrote %s\n", text, cmdline->calibrate);
    }
    return attn_agree(comm, "write", error);
}
