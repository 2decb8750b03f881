/* mask_config.h: attention.mask of the config as the problem's mask. */
#ifndef ATTN_RUNTIME_MASK_CONFIG_H
#define ATTN_RUNTIME_MASK_CONFIG_H

#include "attnspan/plan.h"
#include "config.h"

/* Fills in problem->mask, whose arrays are *memory, which the caller frees; NULL: none. The
 * problem has its sizes already. Reads the .npy files that the mask names, so rank 0 calls it. Not
 * collective. At the key: ATTN_ERR_CONFIG, a mask that means nothing on these sizes;
 * ATTN_ERR_INPUT and ATTN_ERR_IO, a file; ATTN_ERR_MEMORY. */
attn_status attn_mask_config_read(const attn_config *config, attn_problem *problem,
                                  int64_t **memory, attn_error *error);

#endif
