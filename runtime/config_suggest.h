/* config_suggest.h: which valid word a misspelt one was probably meant to be.
 *
 * Words are compared without case by the optimal string alignment distance: the
 * fewest insertions, deletions, replacements and swaps of neighbours. "Near" is
 * up to a third of the longer word's length, or a whole word_ more or less in
 * front. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_SUGGEST_H
#define ATTN_RUNTIME_CONFIG_SUGGEST_H

#include <stdint.h>

#include "config_keys.h"

/* Row of the nearest key, by whole path or by last word (then a key of the same
 * section is preferred); -1 when none is near. */
int32_t attn_config_suggest_key(const char *path);

/* The nearest word that a choice takes, or NULL. */
const char *attn_config_suggest_choice(const attn_config_key *key, const char *word);

#endif
