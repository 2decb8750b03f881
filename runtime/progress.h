/* progress.h: a line on a terminal's stderr while the work is long. Not collective. */
#ifndef ATTN_RUNTIME_PROGRESS_H
#define ATTN_RUNTIME_PROGRESS_H

typedef struct attn_progress {
    int enabled;      /* stderr is a terminal, and this rank is the one that speaks */
    double start_sec; /* MPI_Wtime */
    double shown_sec; /* when the line was last drawn; 0: never */
} attn_progress;

/* `speaks`: whether this is the rank that may write. ATTNSPAN_PROGRESS=1 counts
 * stderr as a terminal: mpirun puts a pipe between. */
attn_progress attn_progress_start(int speaks);

/* An on_progress callback (attnspan/plan.h). Draws nothing in the first two seconds. */
void attn_progress_show(void *progress, double done);

/* Removes the line. */
void attn_progress_end(attn_progress *progress);

#endif
