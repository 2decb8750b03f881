#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "cmdline.h"
#include "file.h"
#include "job_arrays.h"
#include "progress.h"
#include "report.h"
#include "simulate.h"
#include "trace_file.h"
#include "verify.h"

/* Seconds since *clock, which restarts. */
static double lap(double *clock) {
    double before = *clock;

    *clock = MPI_Wtime();
    return *clock - before;
}

/* Loads, computes, verifies and writes; fills in this rank's seconds. Verification
 * is not part of any phase, nor of the total. */
static attn_status compute(attn_job *job, double seconds[ATTN_PHASES],
                           attn_verification *verification, attn_trace_notes *notes,
                           attn_progress *progress, attn_error *error) {
    attn_span *spans = notes->spans;
    double clock, execution_sec;
    attn_stats stats;

    attn_trace_file_begin(job, notes);
    clock = MPI_Wtime();
    spans[ATTN_SPAN_LOAD].start_ns = attn_trace_file_clock(job);
    if (attn_job_load(job, error) != ATTN_OK) return error->status;
    spans[ATTN_SPAN_LOAD].end_ns = attn_trace_file_clock(job);
    seconds[ATTN_PHASE_load] = lap(&clock);
    attn_job_execute(job);
    execution_sec = lap(&clock);
    attn_progress_end(progress);
    stats = attn_plan_stats(job->plan);
    seconds[ATTN_PHASE_project] = stats.project_sec;
    seconds[ATTN_PHASE_exchange] = stats.exchange_sec;
    seconds[ATTN_PHASE_attend] = stats.attend_sec;
    seconds[ATTN_PHASE_output] = stats.output_sec;
    if (attn_job_check_finite(job, error) != ATTN_OK) return error->status;
    spans[ATTN_SPAN_VERIFY].start_ns = attn_trace_file_clock(job);
    attn_verify(job, verification, error);
    spans[ATTN_SPAN_VERIFY].end_ns = attn_trace_file_clock(job);
    if (error->status != ATTN_OK) return error->status;
    clock = MPI_Wtime();
    spans[ATTN_SPAN_WRITE].start_ns = attn_trace_file_clock(job);
    if (attn_job_write(job, error) != ATTN_OK) return error->status;
    spans[ATTN_SPAN_WRITE].end_ns = attn_trace_file_clock(job);
    seconds[ATTN_PHASE_write] = lap(&clock);
    seconds[ATTN_PHASE_total] =
        seconds[ATTN_PHASE_load] + execution_sec + seconds[ATTN_PHASE_write];
    return attn_ok(error);
}

/* Rank 0 writes the JSON; all agree. */
static attn_status write_report(const attn_job *job, const attn_report *report, attn_error *error) {
    attn_ok(error);
    if (job->rank == 0 && job->config.output.report[0] != '\0') {
        char *text = attn_report_json(job, report);

        if (text == NULL)
            attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the report");
        else
            attn_file_replace(job->config.output.report, text, strlen(text), error);
        free(text);
    }
    return attn_agree(job->comm, "report", error);
}

/* The trace and the report. Also after a failed verification, whose figures the user wants to
 * see; its y and lse were not written. */
static attn_status report(const attn_job *job, const double seconds[ATTN_PHASES],
                          const attn_verification *verification, const attn_trace_notes *notes,
                          attn_error *error) {
    attn_report collected;

    if (attn_trace_file_write(job, notes, error) != ATTN_OK) return error->status;
    if (attn_report_collect(job, seconds, verification, &collected, error) == ATTN_OK &&
        write_report(job, &collected, error) == ATTN_OK && job->rank == 0)
        attn_report_print(job, &collected);
    attn_report_free(&collected);
    return error->status;
}

attn_status attn_cmd_run(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error) {
    attn_job *job;
    double seconds[ATTN_PHASES] = {0};
    attn_verification verification = {0};
    attn_trace_notes notes = {0};
    attn_options callbacks = {0};
    attn_progress progress;

    if (ATTN_SIMULATED)
        return attn_fail(error, ATTN_ERR_USAGE,
                         "a simulated cluster computes no result to write; use bench");
    if (attn_job_create(comm, &job, error) != ATTN_OK) return error->status;
    progress = attn_progress_start(job->rank == 0);
    callbacks.on_progress = attn_progress_show;
    callbacks.progress_context = &progress;
    if (attn_job_configure(job, cmdline, error) == ATTN_OK &&
        attn_job_plan(job, &callbacks, error) == ATTN_OK &&
        attn_job_begin_outputs(job, error) == ATTN_OK)
        compute(job, seconds, &verification, &notes, &progress, error);
    if (error->status == ATTN_OK) {
        report(job, seconds, &verification, &notes, error);
    } else if (error->status == ATTN_ERR_VERIFY) {
        attn_error reporting;
        if (report(job, seconds, &verification, &notes, &reporting) != ATTN_OK) *error = reporting;
    }
    attn_job_destroy(job);
    return error->status;
}
