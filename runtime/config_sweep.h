/* config_sweep.h: bench.sweep: keys and the values that they take in turn.
 *
 *     sweep: {attention.mask: [none, causal, {window: [64, 0]}], sequence.length: [1024, 4096]}
 *
 * Any key of the config with a value of its own, except files; a section that may be one word
 * counts as such. Values are kept as text, because a point of the sweep is the config with a --set
 * for each axis; a mapping replaces the whole section. One axis is no key: `ranks`, how many ranks
 * of the job a point runs on. Not collective.
 */
#ifndef ATTN_RUNTIME_CONFIG_SWEEP_H
#define ATTN_RUNTIME_CONFIG_SWEEP_H

#include <stdint.h>

enum { ATTN_SWEEP_AXES = 8, ATTN_SWEEP_VALUES = 64, ATTN_SWEEP_TEXT = 96 };

#define ATTN_SWEEP_RANKS "ranks"

typedef struct attn_sweep_axis {
    char key[ATTN_SWEEP_TEXT]; /* "sequence.length", or ATTN_SWEEP_RANKS */
    int32_t count;             /* >= 1 */
    char values[ATTN_SWEEP_VALUES][ATTN_SWEEP_TEXT];
} attn_sweep_axis;

typedef struct attn_sweep {
    int32_t axes;
    attn_sweep_axis axis[ATTN_SWEEP_AXES];
} attn_sweep;

/* The axis of that key, "ranks" or one of the config; -1: there is none. */
int32_t attn_sweep_axis_of(const attn_sweep *sweep, const char *key);

/* The axis that says how many ranks a point runs on; -1: all points take all ranks. */
int32_t attn_sweep_ranks_axis(const attn_sweep *sweep);

/* Points of the sweep: the product of the axes' counts; 1 without axes. */
int64_t attn_sweep_points(const attn_sweep *sweep);

/* Index of the value that `axis` has at point `point`; the last axis runs fastest. */
int32_t attn_sweep_value(const attn_sweep *sweep, int64_t point, int32_t axis);

#endif
