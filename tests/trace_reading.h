/* trace_reading.h: a trace as the tests look at it.
 *
 * While reading it asserts what holds for every trace: ranks from 0 on, each with its name and
 * place; lanes in the order in which viewers show them; in a lane slices in the order of their
 * starts, apart from or within each other; on each rank each phase once (exchange twice), and all
 * that an execution does within it; tiles within steps, and blocks within tiles, of the shard that
 * the step has; for each message one arrow's end, that of a received one where it has arrived. */
#ifndef ATTN_TESTS_TRACE_READING_H
#define ATTN_TESTS_TRACE_READING_H

#include <jansson.h>
#include <stdint.h>

/* A tile in one step, or a block in it. */
typedef struct attn_traced_tile {
    int64_t shard, head, row, block; /* of queries; row in the shard; −1: a tile */
    int64_t keys_of_shard;           /* of a block */
} attn_traced_tile;

typedef struct attn_traced_message {
    int from, to;     /* ranks */
    const char *name; /* borrowed from the JSON */
    int64_t number, bytes, start_ns, end_ns, arrow;
} attn_traced_message;

typedef struct attn_traced {
    json_t *json; /* owned */
    int ranks;
    int64_t threads;            /* lanes of threads, of all ranks */
    int64_t last_ns;            /* when the last slice ends */
    int64_t left_out, labelled; /* events; ranks whose labels say so */
    /* Owned; sorted. */
    attn_traced_tile *tiles, *blocks;
    attn_traced_message *sends, *receives;
    int64_t tile_count, block_count, send_count, receive_count;
} attn_traced;

/* An unreadable one has no ranks, and fails an assertion. */
void attn_traced_read(const char *path, attn_traced *traced);

/* What the trace says of a rank. */
const json_t *attn_traced_rank(const json_t *trace, int rank);

/* An integer of an object; a failure without one. */
int64_t attn_traced_integer(const json_t *object, const char *key);

/* Whether shard, head and row are the same. */
int attn_traced_same_tile(const attn_traced_tile *a, const attn_traced_tile *b);

/* By ranks, name and number. */
int attn_traced_compare_messages(const void *a, const void *b);

void attn_traced_free(attn_traced *traced);

#endif
