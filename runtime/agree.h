/* agree.h: all ranks take the same way out.
 *
 * No rank returns between two collectives on what it alone knows: at each
 * boundary (config, plan, load, output, write) the ranks agree on the worst
 * status, and on the message of the lowest rank that has it.
 *
 * For tests, ATTNSPAN_INJECT=BOUNDARY:RANK makes that rank fail at that boundary
 * (with ATTN_ERR_IO), and ATTNSPAN_INJECT=N:RANK at its N-th agreement, from 1. */
#ifndef ATTN_RUNTIME_AGREE_H
#define ATTN_RUNTIME_AGREE_H

#include <mpi.h>

#include "status.h"

/* Collective. On entry *error is this rank's status (status and message); on return
 * it is the agreed one on every rank, whose status is returned. `boundary` is a
 * word for ATTNSPAN_INJECT; every rank passes the same. */
attn_status attn_agree(MPI_Comm comm, const char *boundary, attn_error *error);

#endif
