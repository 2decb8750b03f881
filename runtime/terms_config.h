/* terms_config.h: the config's terms of scores as the problem's: attention.softcap, .alibi, .sinks
 * and .mask.bias. */
#ifndef ATTN_RUNTIME_TERMS_CONFIG_H
#define ATTN_RUNTIME_TERMS_CONFIG_H

#include "attnspan/plan.h"
#include "config.h"
#include "tensor.h"

/* Fills in problem->terms, whose arrays are *memory, which the caller frees; NULL: none. *bias
 * describes the bias, if there is one. The problem has its sizes already. Reads headers, and
 * slopes and sinks that are in files, so rank 0 calls it. Not collective. At the key:
 * ATTN_ERR_CONFIG, terms that mean nothing on these sizes; ATTN_ERR_INPUT and ATTN_ERR_IO, a
 * file; ATTN_ERR_MEMORY. */
attn_status attn_terms_config_read(const attn_config *config, attn_problem *problem,
                                   attn_tensor *bias, float **memory, attn_error *error);

#endif
