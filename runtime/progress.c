#define _POSIX_C_SOURCE 200809L

#include "progress.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

attn_progress attn_progress_start(int speaks) {
    const char *forced = getenv("ATTNSPAN_PROGRESS");
    int terminal = isatty(STDERR_FILENO) || (forced != NULL && strcmp(forced, "1") == 0);

    return (attn_progress){speaks && terminal, MPI_Wtime(), 0};
}

void attn_progress_show(void *context, double done) {
    const double silent_sec = 2, between_sec = 0.25;
    attn_progress *progress = context;
    double now;

    if (!progress->enabled) return;
    now = MPI_Wtime();
    if (now - progress->start_sec < silent_sec || now - progress->shown_sec < between_sec) return;
    progress->shown_sec = now;
    fprintf(stderr, "\rattention %3.0f %%, %.0f s, about %.0f s left \033[K", 100 * done,
            now - progress->start_sec,
            done > 0 ? (now - progress->start_sec) * (1 - done) / done : 0);
    fflush(stderr);
}

void attn_progress_end(attn_progress *progress) {
    if (progress->shown_sec > 0) fprintf(stderr, "\r\033[K");
    progress->shown_sec = 0;
}
