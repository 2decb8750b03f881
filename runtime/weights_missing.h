/* weights_missing.h: what to say when a scheme does not find its tensors. */
#ifndef ATTN_RUNTIME_WEIGHTS_MISSING_H
#define ATTN_RUNTIME_WEIGHTS_MISSING_H

#include "checkpoint.h"

/* Fails because the checkpoint has no tensor `name`, which the scheme wants by that prefix:
 * says what else was looked for, and which prefix or scheme finds a whole layer. *key gets
 * the config key that is most likely wrong. Not collective. ATTN_ERR_INPUT. */
attn_status attn_weights_missing(const attn_checkpoint *checkpoint, int scheme, const char *prefix,
                                 const char *name, const char **key, attn_error *error);

#endif
