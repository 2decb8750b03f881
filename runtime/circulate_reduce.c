/* Reduce circulation: queries travel to the keys, and partials back; keys and values stay. For few
 * queries over many keys (split-KV decoding: Dao et al. 2023, Flash-Decoding; Shyam et al. 2024,
 * Tree Attention).
 *
 *   0. start sending the own queries to every shard with a key that some of them see, and
 *      receiving those of others; attend to the own shard for the own queries; wait;
 *   1. for every shard's queries that came: attend to the own shard, and start sending what the
 *      fixed tree leaves for others to join (merge_share.h), polling between tiles;
 *   2. wait for what others left for this rank; join; start sending what that leaves; and so on,
 *      until the root of each shard's queries is with that shard, which normalises it.
 *
 * So every partial is joined as on one rank, and the bits are those of the other circulations. A
 * value goes as the tiles of queries that may see its blocks (kept_partials.h); nothing is sent of
 * a value of which none sees any.
 *
 * Restrictions: no bias, of which a rank has the rows of its own queries. Shards may be uneven or
 * empty.
 * Cost: a message of the own queries to each other shard with a key that they see; for each shard's
 * queries, a message for each join of values of two ranks, and one for the root if its leftmost
 * block is not there: with contiguous equal shards of 2^k blocks P_s − 1 and at most one, each of
 *
 *     4 · tiles · tile rows · (d_v + 2) bytes
 *
 * for the tiles of the queries on a rank, and one behind the other about log2 P_s of them. Memory:
 * the own shard (none for a few queries, kv_shard.h), the queries of others, and for each shard's
 * queries the values that step 1 leaves and those received, O(log blocks) for each run of blocks:
 * meant for queries that are few beside the keys.
 */
#include <stdlib.h>

#include "circulate.h"
#include "memory.h"
#include "merge_share.h"
#include "row_list.h"

typedef struct reduce_part reduce_part;
typedef struct reduce_message reduce_message;

typedef struct attn_reduce {
    reduce_part *parts; /* owned: [P_s], the own one first, then upwards from it */
    int part_count;
    reduce_message *messages; /* owned */
    int64_t message_count;
    int32_t step_count;
    float *scratch; /* borrowed from the plan's buffers */
    double done;    /* of all work */
    void (*on_progress)(void *context, double done);
    void *progress_context;
} attn_reduce;

/* The queries of one shard, attended to here. */
struct reduce_part {
    int is_wanted;         /* some see a key of this rank, or they are its own */
    int shard;             /* whose */
    attn_row_list queries; /* owned */
    attn_attend attend;    /* owned; its scratch is that of all parts */
    char *query;           /* borrowed from the plan's buffers; of others only */
    int64_t query_bytes;
    attn_reduce *reduce; /* borrowed */
    double share, done;  /* of all work, and of this part */
};

/* A message of a part, in the order of execution. Those between two ranks have the same order on
 * both: by step, then as the sender goes through the parts, then as in the tree. */
struct reduce_message {
    const attn_merge_message *message; /* borrowed from the part */
    int part;
    int turn; /* of the part at the sender */
};

/* Several parts make up the rank's progress. */
static void on_part_progress(void *context, double done) {
    reduce_part *part = context;
    attn_reduce *self = part->reduce;

    self->done += (done - part->done) * part->share;
    part->done = done;
    self->on_progress(self->progress_context, self->done);
}

/* --- planning --------------------------------------------------------------- */

/* Which rank holds the blocks that the queries of `shard` see. */
static void find_owners(const attn_circulate *circulate, int shard, int32_t *owner_of) {
    const attn_layout *keys = circulate->kv->rows;

    for (int64_t block = 0; block < keys->block_count; block++) owner_of[block] = -1;
    for (int32_t k = 0; k < circulate->shard_count; k++)
        for (int64_t run = 0; run < attn_layout_run_count(keys, k); run++) {
            attn_range blocks = attn_layout_run(keys, k, run);

            for (int64_t block = blocks.first; block < blocks.last; block++)
                if (attn_reach_overlaps(circulate->reach, shard, (attn_range){block, block + 1}))
                    owner_of[block] = k;
        }
}

/* The part's queries and its share of the tree. */
static attn_status plan_part(const attn_circulate *circulate, attn_reduce *self, int turn,
                             int32_t *owner_of, attn_error *error) {
    const attn_layout *layout = circulate->query_layout;
    reduce_part *part = &self->parts[turn];
    int shard = (circulate->shard + turn) % circulate->shard_count;
    attn_attend *attend = &part->attend;

    part->shard = shard;
    part->is_wanted = turn == 0 || attn_circulate_needs(circulate, shard, circulate->own);
    if (!part->is_wanted) return attn_ok(error);
    if (attn_row_list_create(&part->queries, layout, shard,
                             (attn_range){0, attn_layout_rows(layout, shard)}, error) != ATTN_OK)
        return error->status;
    *attend = *circulate->attend;
    attend->shard = shard;
    attend->queries = part->queries;
    attend->terms.queries = part->queries;
    if (attend->on_progress != NULL) {
        part->reduce = self;
        attend->on_progress = on_part_progress;
        attend->progress_context = part;
    }
    find_owners(circulate, shard, owner_of);
    if (attn_merge_share_create(circulate->kv->rows->block_count, owner_of, circulate->shard, shard,
                                &attend->tree, error) != ATTN_OK)
        return error->status;
    if (attend->tree.step_count > self->step_count) self->step_count = attend->tree.step_count;
    self->message_count += attend->tree.message_count;
    return attn_ok(error);
}

/* The own shard in step 0, nothing in those that only join. */
static attn_status plan_arrivals(attn_circulate *circulate, const attn_reduce *self,
                                 attn_error *error) {
    attn_arrivals *arrivals = &circulate->arrivals;

    if (attn_arrivals_create(arrivals, self->step_count, 1, error) != ATTN_OK) return error->status;
    arrivals->steps = self->step_count;
    arrivals->pieces[0] = *circulate->own;
    for (int32_t step = 0; step < arrivals->steps; step++) arrivals->step_first[step + 1] = 1;
    return attn_ok(error);
}

/* Memory of all parts. */
static attn_status plan_attends(attn_circulate *circulate, attn_reduce *self, attn_buffers *buffers,
                                attn_error *error) {
    int64_t elem_bytes = attn_storage_bytes(circulate->kv->kernel->storage);
    int64_t scratch_elems = 0;
    double work = 0;

    for (int turn = 0; turn < circulate->shard_count; turn++) {
        reduce_part *part = &self->parts[turn];
        attn_attend *attend = &part->attend;

        if (!part->is_wanted) continue;
        attend->arrivals = &circulate->arrivals;
        if (attn_attend_plan(attend, buffers, error) != ATTN_OK) return error->status;
        part->query_bytes = attn_elems(part->queries.count, attend->query_row_elems, elem_bytes);
        if (turn > 0) attn_buffers_reserve(buffers, part->query_bytes, 1, &part->query);
        if (attn_attend_scratch_elems(attend) > scratch_elems)
            scratch_elems = attn_attend_scratch_elems(attend);
        part->share =
            (double)attend->tree.step_first[attend->tree.step_count] * (double)attend->tiling.count;
        work += part->share;
    }
    for (int turn = 0; turn < circulate->shard_count && work > 0; turn++)
        self->parts[turn].share /= work;
    attn_buffers_reserve(buffers, scratch_elems, sizeof(float), &self->scratch);
    return attn_ok(error);
}

static int in_order(const void *a, const void *b) {
    const reduce_message *left = a, *right = b;

    if (left->message->step != right->message->step)
        return left->message->step < right->message->step ? -1 : 1;
    if (left->turn != right->turn) return left->turn < right->turn ? -1 : 1;
    /* Messages of one part lie in one array, in the order of its tree. */
    if (left->part != right->part) return left->part < right->part ? -1 : 1;
    return left->message < right->message ? -1 : left->message > right->message;
}

static attn_status list_messages(const attn_circulate *circulate, attn_reduce *self,
                                 attn_error *error) {
    int shards = circulate->shard_count;
    reduce_message *next;

    self->messages = attn_alloc((size_t)self->message_count, sizeof *self->messages);
    if (self->messages == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    next = self->messages;
    for (int turn = 0; turn < shards; turn++) {
        const reduce_part *part = &self->parts[turn];

        for (int64_t i = 0; i < part->attend.tree.message_count; i++) {
            const attn_merge_message *message = &part->attend.tree.messages[i];
            int sender = message->is_sent ? circulate->shard : message->peer;

            *next++ = (reduce_message){message, turn, (part->shard - sender + shards) % shards};
        }
    }
    qsort(self->messages, (size_t)self->message_count, sizeof *self->messages, in_order);
    return attn_ok(error);
}

/* Message pieces in flight at once: those of all queries, or of one step. */
static int64_t most_pieces(const attn_circulate *circulate, const attn_reduce *self) {
    int64_t queries = 0, most = 0, of_step = 0;

    for (int turn = 1; turn < circulate->shard_count; turn++)
        queries += attn_transfer_pieces(self->parts[turn].query_bytes) +
                   attn_transfer_pieces(self->parts[0].query_bytes);
    for (int64_t i = 0; i < self->message_count; i++) {
        const reduce_message *at = &self->messages[i];

        if (i > 0 && at->message->step != at[-1].message->step) of_step = 0;
        of_step += attn_transfer_pieces(
            attn_attend_message_bytes(&self->parts[at->part].attend, at->message));
        if (of_step > most) most = of_step;
    }
    return queries > most ? queries : most;
}

static attn_status plan(attn_circulate *circulate, attn_buffers *buffers, int64_t *pieces,
                        attn_error *error) {
    int32_t *owner_of = attn_alloc((size_t)circulate->kv->rows->block_count, sizeof *owner_of);
    attn_reduce *self = calloc(1, sizeof *self);

    circulate->state = self;
    if (self != NULL) self->parts = calloc((size_t)circulate->shard_count, sizeof *self->parts);
    if (owner_of == NULL || self == NULL || self->parts == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
        goto cleanup;
    }
    self->part_count = circulate->shard_count;
    self->on_progress = circulate->attend->on_progress;
    self->progress_context = circulate->attend->progress_context;
    if (attn_circulate_slice(circulate, 1, error) != ATTN_OK) goto cleanup;
    for (int turn = 0; turn < circulate->shard_count; turn++)
        if (plan_part(circulate, self, turn, owner_of, error) != ATTN_OK) goto cleanup;
    if (plan_arrivals(circulate, self, error) != ATTN_OK ||
        plan_attends(circulate, self, buffers, error) != ATTN_OK ||
        list_messages(circulate, self, error) != ATTN_OK)
        goto cleanup;
    attn_buffers_reserve(buffers, circulate->own->bytes, 1, &circulate->blocks[0]);
    *pieces = most_pieces(circulate, self);

cleanup:
    free(owner_of);
    return error->status;
}

/* The own queries to those that need them, and what this rank makes of all queries. */
static void sends(const attn_circulate *circulate, attn_send_visit *visit, void *context) {
    const attn_reduce *self = circulate->state;
    int64_t query_bytes = self->parts[0].query_bytes;

    for (int distance = 1; distance < circulate->shard_count && query_bytes > 0; distance++) {
        int to = (circulate->shard + distance) % circulate->shard_count;

        if (attn_circulate_needs(circulate, circulate->shard,
                                 attn_circulate_slice_of(circulate, to, 0)))
            visit(context, to, query_bytes);
    }
    for (int64_t i = 0; i < self->message_count; i++) {
        const attn_merge_message *message = self->messages[i].message;
        int64_t bytes =
            attn_attend_message_bytes(&self->parts[self->messages[i].part].attend, message);

        if (message->is_sent && bytes > 0) visit(context, message->peer, bytes);
    }
}

/* --- execution -------------------------------------------------------------- */

static void start_queries(attn_circulate *circulate, const attn_reduce *self, const void *query) {
    for (int turn = 1; turn < circulate->shard_count; turn++) {
        const reduce_part *part = &self->parts[turn];

        circulate->transfer.cargo = (attn_cargo){ATTN_CARGO_queries, part->shard, 0};
        if (part->is_wanted)
            attn_transfer_receive(&circulate->transfer, part->query, part->query_bytes,
                                  part->shard);
    }
    circulate->transfer.cargo = (attn_cargo){ATTN_CARGO_queries, circulate->shard, 0};
    for (int distance = 1; distance < circulate->shard_count; distance++) {
        int to = (circulate->shard + distance) % circulate->shard_count;

        if (attn_circulate_needs(circulate, circulate->shard,
                                 attn_circulate_slice_of(circulate, to, 0)))
            attn_transfer_send(&circulate->transfer, query, self->parts[0].query_bytes, to);
    }
}

/* Starts receiving what others make in that step. Returns where its messages end. */
static int64_t start_receiving(attn_circulate *circulate, const attn_reduce *self, int32_t step,
                               int64_t first) {
    int64_t i;

    for (i = first; i < self->message_count && self->messages[i].message->step == step; i++) {
        const attn_merge_message *message = self->messages[i].message;
        const attn_attend *attend = &self->parts[self->messages[i].part].attend;

        if (message->is_sent) continue;
        circulate->transfer.cargo =
            (attn_cargo){ATTN_CARGO_partials, self->parts[self->messages[i].part].shard, 0};
        attn_transfer_receive(&circulate->transfer, attn_attend_incoming(attend, message),
                              attn_attend_message_bytes(attend, message), message->peer);
    }
    return i;
}

/* Starts sending what this rank made of a part, among messages [first, last) of a step. */
static void start_sending(attn_circulate *circulate, const attn_reduce *self, int turn,
                          int64_t first, int64_t last) {
    const attn_attend *attend = &self->parts[turn].attend;

    circulate->transfer.cargo = (attn_cargo){ATTN_CARGO_partials, self->parts[turn].shard, 0};
    for (int64_t i = first; i < last; i++) {
        const attn_merge_message *message = self->messages[i].message;

        if (message->is_sent && self->messages[i].part == turn)
            attn_transfer_send(&circulate->transfer, attn_attend_outgoing(attend, message),
                               attn_attend_message_bytes(attend, message), message->peer);
    }
}

static void run_part(attn_circulate *circulate, attn_reduce *self, int turn, int32_t step,
                     const void *query, float *out) {
    reduce_part *part = &self->parts[turn];

    if (!part->is_wanted || step >= part->attend.tree.step_count) return;
    part->attend.scratch = self->scratch;
    attn_attend_step(&part->attend, step, turn == 0 ? query : part->query, turn == 0 ? out : NULL,
                     &circulate->transfer);
}

static void execute(attn_circulate *circulate, attn_attend *attend, const void *query, float *out) {
    attn_reduce *self = circulate->state;
    int64_t first = 0, last;

    self->done = 0;
    for (int i = 0; i < self->part_count; i++) self->parts[i].done = 0;
    circulate->arrivals.pieces[0].data = circulate->own->data;

    start_queries(circulate, self, query);
    run_part(circulate, self, 0, 0, query, out);
    attn_transfer_wait(&circulate->transfer);
    for (int32_t step = 0; step < self->step_count; step++, first = last) {
        last = start_receiving(circulate, self, step, first);
        for (int turn = 0; turn < circulate->shard_count; turn++) {
            if (step > 0 || turn > 0) run_part(circulate, self, turn, step, query, out);
            start_sending(circulate, self, turn, first, last);
        }
        attn_transfer_wait(&circulate->transfer);
    }
    for (int i = 0; i < self->part_count; i++) { /* each part has an attend of its own */
        attend->compute_sec += self->parts[i].attend.compute_sec;
        self->parts[i].attend.compute_sec = 0;
    }
}

static void destroy(attn_circulate *circulate) {
    attn_reduce *self = circulate->state;

    for (int i = 0; i < self->part_count; i++) {
        attn_attend_destroy(&self->parts[i].attend);
        attn_row_list_destroy(&self->parts[i].queries);
    }
    free(self->messages);
    free(self->parts);
    free(self);
}

const attn_circulation attn_circulate_reduce = {.name = "reduce",
                                                .moves_queries = 1,
                                                .plan = plan,
                                                .sends = sends,
                                                .execute = execute,
                                                .destroy = destroy};
