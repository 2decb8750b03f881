/* calibrate_run.h: times of problems that every rank executes for itself, all of them at once.
 *
 * Each figure is the median over repeats of the slowest rank's. Collective, and agreed on.
 */
#ifndef ATTN_RUNTIME_CALIBRATE_RUN_H
#define ATTN_RUNTIME_CALIBRATE_RUN_H

#include "attnspan/plan.h"
#include "mesh.h"
#include "status.h"

enum { ATTN_CALIBRATE_REPEATS = 7 };

/* What all measurements share. */
typedef struct attn_calibrator {
    const attn_mesh *mesh; /* borrowed: of all ranks */
    int threads;
    attn_error *error; /* borrowed */
} attn_calibrator;

/* The seconds of one execution of a problem on this rank alone. */
typedef struct attn_calibrate_times {
    double compute_sec, project_sec, output_sec;
} attn_calibrate_times;

/* Of `count` repeats, at most ATTN_CALIBRATE_REPEATS, each the slowest rank's; `seconds` is
 * overwritten. */
double attn_calibrate_median(const attn_calibrator *self, double *seconds, int count);

/* An array of small numbers, to be freed; NULL without memory. Not collective. */
float *attn_calibrate_numbers(int64_t elems);

/* As many repeats as take about two seconds; at least one, behind one that warms up, or that one.
 * ATTN_ERR_MEMORY. */
attn_status attn_calibrate_run(const attn_calibrator *self, const attn_problem *problem,
                               attn_storage storage, attn_calibrate_times *median);

#endif
