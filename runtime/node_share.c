#define _POSIX_C_SOURCE 200809L

#include "node_share.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "memory.h"

enum { LINE = 64 };

static int has_windows(void) {
#ifdef SMPI_H
    return 0;
#else
    return 1;
#endif
}

int attn_node_share_may(attn_share_nodes wanted) {
    return wanted != ATTN_SHARE_NEVER && has_windows();
}

/* MPI libraries on Linux keep windows in files there, or nowhere that has a limit of its own. A
 * file that does not fit is noticed too late: by the signal that ends the process. */
int64_t attn_node_share_space(void) {
    struct statvfs space;

    if (statvfs("/dev/shm", &space) != 0) return -1;
    return attn_elems((int64_t)space.f_bavail, (int64_t)space.f_frsize, 1);
}

void attn_node_share_alone(attn_node_share *share, int shard) {
    *share = (attn_node_share){.first = shard, .last = shard + 1, .shard = shard};
}

void attn_node_share_imagine(attn_node_share *share, int first, int last, int shard) {
    attn_node_share_alone(share, shard);
    share->first = first;
    share->last = last;
    share->is_shared = last - first > 1;
    share->comm = MPI_COMM_NULL;
    for (int i = 0; i < ATTN_SHARE_SIGNALS; i++) share->signals[i] = MPI_REQUEST_NULL;
}

static int64_t whole_lines(int64_t bytes) {
    return bytes > INT64_MAX - LINE ? INT64_MAX : (bytes + LINE - 1) / LINE * LINE;
}

void attn_node_share_reserve(attn_node_share *share, attn_buffers *buffers, int part,
                             int64_t bytes) {
    share->part_bytes[part] = share->is_shared ? whole_lines(bytes) : bytes;
    if (!share->is_shared) {
        attn_buffers_reserve(buffers, bytes, 1, &share->alone[part]);
        return;
    }
    attn_buffers_reserve(buffers, share->part_bytes[part], 1, NULL);
    if (part == 0) attn_buffers_reserve(buffers, LINE, 1, NULL); /* to begin at a line */
}

/* The first line at or behind an address. The window's pages are the same for all, so that all
 * find the same lines. */
static char *first_line(char *at) {
    return at + (LINE - (uintptr_t)at % LINE) % LINE;
}

/* A window with that many bytes of this rank; false when MPI has none. Each rank's own begins a
 * page, so that it can lie in the memory next to its cores. */
static int make_window(MPI_Comm comm, int64_t bytes, char **base, MPI_Win *window) {
    MPI_Info info;
    int made;

    if (!has_windows()) return 0;
    ATTN_MPI(MPI_Info_create(&info));
    ATTN_MPI(MPI_Info_set(info, "alloc_shared_noncontig", "true"));
    made = MPI_Win_allocate_shared((MPI_Aint)bytes, 1, info, comm, base, window) == MPI_SUCCESS;
    ATTN_MPI(MPI_Info_free(&info));
    return made;
}

/* Where everybody's parts are. `sizes` [ranks][PARTS]. */
static void find_parts(attn_node_share *share, const int64_t *sizes) {
    for (int rank = 0; rank < share->last - share->first; rank++) {
        MPI_Aint bytes;
        char *at;
        int unit;

        ATTN_MPI(MPI_Win_shared_query(share->window, rank, &bytes, &unit, &at));
        at = first_line(at);
        for (int i = 0; i < ATTN_SHARE_PARTS; i++) {
            share->parts[rank * ATTN_SHARE_PARTS + i] = at;
            at += sizes[rank * ATTN_SHARE_PARTS + i];
        }
    }
}

static int all_have(MPI_Comm comm, int have) {
    int all;

    ATTN_MPI(MPI_Allreduce(&have, &all, 1, MPI_INT, MPI_MIN, comm));
    return all;
}

/* One that only some have cannot be freed, because that takes all: it is left. */
static int tries_window(MPI_Comm comm) {
    char *base;
    MPI_Win window;
    int made = all_have(comm, make_window(comm, LINE, &base, &window));

    if (made) ATTN_MPI(MPI_Win_free(&window));
    return made;
}

int attn_node_share_create(attn_node_share *share, MPI_Comm axis, int first, int last, int shard) {
    *share = (attn_node_share){.first = first, .last = last, .shard = shard, .is_shared = 1};
    ATTN_MPI(MPI_Comm_split(axis, first, shard, &share->comm));
    ATTN_MPI(MPI_Comm_set_errhandler(share->comm, MPI_ERRORS_RETURN));
    for (int i = 0; i < ATTN_SHARE_SIGNALS; i++) share->signals[i] = MPI_REQUEST_NULL;
    if (last - first > 1) return tries_window(share->comm);
    ATTN_MPI(MPI_Comm_free(&share->comm));
    attn_node_share_alone(share, shard);
    return 1;
}

static attn_status share_window(attn_node_share *share, int64_t *sizes, attn_error *error) {
    int64_t bytes = LINE;
    char *base = NULL;

    if (!all_have(share->comm, share->parts != NULL && sizes != NULL))
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate what a node shares");
    for (int i = 0; i < ATTN_SHARE_PARTS; i++) bytes += share->part_bytes[i];
    if (!all_have(share->comm, make_window(share->comm, bytes, &base, &share->window)))
        return attn_fail(error, ATTN_ERR_MEMORY,
                         "MPI cannot allocate the memory that ranks of a node share; say "
                         "share_nodes: false, or make /dev/shm larger");
    share->has_window = 1;
    attn_touch(base, (size_t)bytes);
    ATTN_MPI(MPI_Allgather(share->part_bytes, ATTN_SHARE_PARTS, MPI_INT64_T, sizes,
                           ATTN_SHARE_PARTS, MPI_INT64_T, share->comm));
    ATTN_MPI(MPI_Win_lock_all(MPI_MODE_NOCHECK, share->window));
    find_parts(share, sizes);
    return attn_ok(error);
}

attn_status attn_node_share_allocate(attn_node_share *share, attn_error *error) {
    size_t parts = (size_t)(share->last - share->first) * ATTN_SHARE_PARTS;
    int64_t *sizes;

    attn_ok(error);
    if (!share->is_shared) return error->status;
    share->parts = attn_alloc(parts, sizeof *share->parts);
    sizes = attn_alloc(parts, sizeof *sizes);
    share_window(share, sizes, error);
    free(sizes);
    return error->status;
}

char *attn_node_share_part(const attn_node_share *share, int64_t shard, int part) {
    if (!share->is_shared) return share->alone[part];
    return share->parts[(shard - share->first) * ATTN_SHARE_PARTS + part];
}

void attn_node_share_give(attn_node_share *share, attn_share_signal signal) {
    if (!share->is_shared) return;
    ATTN_MPI(MPI_Win_sync(share->window)); /* what was written goes before the signal */
    ATTN_MPI(MPI_Ibarrier(share->comm, &share->signals[signal]));
}

int attn_node_share_is_there(attn_node_share *share, attn_share_signal signal) {
    int there = 1;

    if (!share->is_shared || share->signals[signal] == MPI_REQUEST_NULL) return 1;
    ATTN_MPI(MPI_Test(&share->signals[signal], &there, MPI_STATUS_IGNORE));
    if (there) ATTN_MPI(MPI_Win_sync(share->window)); /* what is read comes after it */
    return there;
}

void attn_node_share_wait(attn_node_share *share, attn_share_signal signal) {
    if (!share->is_shared || share->signals[signal] == MPI_REQUEST_NULL) return;
    /* The checker looks in this function for the barrier, which attn_node_share_give began.
       NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker) */
    ATTN_MPI(MPI_Wait(&share->signals[signal], MPI_STATUS_IGNORE));
    ATTN_MPI(MPI_Win_sync(share->window));
}

void attn_node_share_destroy(attn_node_share *share) {
    if (share->is_shared) {
        for (int i = 0; i < ATTN_SHARE_SIGNALS; i++)
            attn_node_share_wait(share, (attn_share_signal)i);
        if (share->has_window) {
            ATTN_MPI(MPI_Win_unlock_all(share->window));
            ATTN_MPI(MPI_Win_free(&share->window));
        }
        if (share->comm != MPI_COMM_NULL) ATTN_MPI(MPI_Comm_free(&share->comm));
    }
    free(share->parts);
    *share = (attn_node_share){0};
}
