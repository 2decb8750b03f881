#include "buffers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "simulate.h"

static int64_t saturating_multiply(int64_t a, int64_t b) {
    return b != 0 && a > INT64_MAX / b ? INT64_MAX : a * b;
}

static int64_t saturating_add(int64_t a, int64_t b) {
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

int64_t attn_elems(int64_t a, int64_t b, int64_t c) {
    return saturating_multiply(saturating_multiply(a, b), c);
}

static int grow(attn_buffers *buffers) {
    int32_t capacity = buffers->capacity == 0 ? 16 : buffers->capacity * 2;
    attn_buffer *entries = realloc(buffers->entries, (size_t)capacity * sizeof *entries);

    if (entries == NULL) return 0;
    buffers->entries = entries;
    buffers->capacity = capacity;
    return 1;
}

/* *where := address, whatever the pointer at `where` points to. */
static void set_pointer(void *where, void *address) {
    memcpy(where, &address, sizeof address);
}

void attn_buffers_reserve(attn_buffers *buffers, int64_t elems, int64_t elem_bytes, void *where) {
    int64_t bytes = saturating_multiply(elems, elem_bytes);

    buffers->bytes = saturating_add(buffers->bytes, bytes);
    if (where == NULL) return;
    set_pointer(where, NULL);
    if (buffers->count == buffers->capacity && !grow(buffers)) {
        buffers->out_of_memory = 1;
        return;
    }
    buffers->entries[buffers->count++] = (attn_buffer){.where = where, .bytes = bytes};
}

/* All at one address, because contents mean nothing; none has memory to be freed. */
static void allocate_simulated(attn_buffers *buffers) {
    int64_t most = 0;
    void *memory;

    for (int32_t i = 0; i < buffers->count; i++)
        if (buffers->entries[i].bytes > most) most = buffers->entries[i].bytes;
    memory = attn_simulate_alloc(most);
    buffers->out_of_memory |= memory == NULL;
    for (int32_t i = 0; i < buffers->count; i++) set_pointer(buffers->entries[i].where, memory);
}

attn_status attn_buffers_allocate(attn_buffers *buffers, attn_error *error) {
    if (ATTN_SIMULATED) allocate_simulated(buffers);
    for (int32_t i = 0; i < buffers->count && !buffers->out_of_memory && !ATTN_SIMULATED; i++) {
        attn_buffer *entry = &buffers->entries[i];

        entry->memory = attn_alloc((size_t)entry->bytes, 1);
        set_pointer(entry->where, entry->memory);
        if (entry->memory == NULL)
            buffers->out_of_memory = 1;
        else
            attn_touch(entry->memory, (size_t)entry->bytes);
    }
    if (buffers->out_of_memory)
        return attn_fail(error, ATTN_ERR_MEMORY,
                         "cannot allocate the %" PRId64 " bytes of this rank's buffers",
                         buffers->bytes);
    return attn_ok(error);
}

void attn_buffers_free(attn_buffers *buffers) {
    for (int32_t i = 0; i < buffers->count; i++) free(buffers->entries[i].memory);
    free(buffers->entries);
    *buffers = (attn_buffers){0};
}
