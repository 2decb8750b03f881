/* transfer_limit.h: the most bytes of one transfer. */
#ifndef ATTN_RUNTIME_TRANSFER_LIMIT_H
#define ATTN_RUNTIME_TRANSFER_LIMIT_H

#include <stdint.h>

/* Most bytes of one transfer, to a file or to a rank: 1 GiB, so that a count fits
 * MPI's int with room to spare; a multiple of 64, so that no element is cut.
 *
 * For tests, ATTNSPAN_MAX_TRANSFER_BYTES lowers it, down to 64; a value outside
 * counts as the nearest one inside, text that is no number as if it were not set.
 * It must be the same on all ranks. The environment is read at each call: call at
 * plan time and keep the result. Not collective. */
int64_t attn_max_transfer_bytes(void);

#endif
