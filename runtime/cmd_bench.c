#include <stdio.h>

#include "agree.h"
#include "bench.h"
#include "bench_report.h"
#include "bench_table.h"
#include "cmdline.h"
#include "job.h"

/* Whether the report is there, where the config names one. */
static attn_status write_report(const attn_job *base, const attn_bench *bench, attn_error *error) {
    const char *samples = base->config.bench.samples, *report = base->config.output.report;

    if (base->rank == 0) {
        attn_bench_table_end(bench);
        if (report[0] != '\0') attn_bench_report_write(bench, error);
    }
    if (attn_agree(base->comm, "report", error) == ATTN_OK && base->rank == 0) {
        if (report[0] != '\0' || samples[0] != '\0') printf("\n");
        if (samples[0] != '\0') printf("wrote %s\n", samples);
        if (report[0] != '\0') printf("wrote %s\n", report);
    }
    return error->status;
}

/* A trace is of one execution, and a bench has many, of which none should be slowed down. The same
 * on all ranks. */
static attn_status refuse_trace(const attn_config *config, attn_error *error) {
    if (config->output.trace[0] == '\0') return ATTN_OK;
    return attn_config_fail(config, "output.trace", error, ATTN_ERR_CONFIG,
                            "is of a single run, and bench times many; trace one of them with "
                            "attnspan run, and leave it out here (--set output.trace=null)");
}

attn_status attn_cmd_bench(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    attn_bench bench = {0};
    attn_job *base; /* for its config */

    if (cmdline->calibrate != NULL) return attn_cmd_calibrate(comm, cmdline, error);
    if (attn_job_create(comm, &base, error) != ATTN_OK) return error->status;
    if (attn_job_configure(base, cmdline, error) == ATTN_OK &&
        refuse_trace(&base->config, error) == ATTN_OK) {
        if (base->rank == 0) attn_bench_table_begin(&base->config);
        if (attn_bench_run(comm, cmdline, &base->config, attn_bench_table_point, &bench, error) ==
            ATTN_OK)
            write_report(base, &bench, error);
    }
    attn_bench_free(&bench);
    attn_job_destroy(base);
    return error->status;
}
