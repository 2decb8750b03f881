/* refused_layers.h: layers, stored as in stored.h, which the command cannot read: it refuses each
 * with one message at the key that is wrong, and leaves no file. */
#ifndef ATTN_TESTS_REFUSED_LAYERS_H
#define ATTN_TESTS_REFUSED_LAYERS_H

#include <stddef.h>

#include "stored.h"

enum { ATTN_REFUSED_MODEL = 40, ATTN_REFUSED_INNER = 48 };

/* Makes a good layer of these widths, which the caller frees. Writes it as llama.safetensors, and
 * twice as both.safetensors, which bad.yaml names without a prefix. */
void attn_refused_layers_begin(attn_stored_layer *good);

/* Writes a file of a layer with one more tensor, or without its last `dropped`. */
void attn_refused_layer_write(const char *name, int scheme, const attn_stored_layer *from,
                              const char *added, size_t dropped);

/* What becomes of bad.yaml with one --set: the message begins with the place. */
typedef struct attn_refusal {
    const char *name, *set, *place, *message;
    int on_ranks; /* whether it is refused under mpirun as well */
} attn_refusal;

void attn_refused_layers_expect(const attn_refusal *rows, size_t count);
#define ATTN_REFUSED_LAYERS_EXPECT(rows) \
    attn_refused_layers_expect(rows, sizeof(rows) / sizeof *(rows))

#endif
