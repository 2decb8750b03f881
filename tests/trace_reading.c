#include "trace_reading.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { MOST_DEPTH = 8, MOST_PHASES = 9, LANE_KINDS = 4 };

/* Of one rank, and the lane at hand. */
typedef struct reader {
    attn_traced *traced;
    int64_t rank, lane;
    int64_t keys_of_step; /* the shard; −1: several, or none */
    const char *lane_name;
    int lane_kind;               /* its place among lane_kinds */
    int64_t start_ns;            /* of the last slice */
    int64_t ends_ns[MOST_DEPTH]; /* of slices that are open, outermost first */
    const char *open[MOST_DEPTH];
    int depth;
    int phases[MOST_PHASES];
    attn_traced_tile tile;        /* the last one */
    attn_traced_message *message; /* the last one, without an arrow yet */
    int has_arrived;              /* it, at its end */
} reader;

static const struct {
    const char *name;
    int times, is_executed; /* of a rank; within an execution */
} phases[MOST_PHASES] = {{"load", 1, 0},     {"execute", 1, 0}, {"project", 1, 1},
                         {"exchange", 2, 1}, {"attend", 1, 1},  {"output", 1, 1},
                         {"pack", 1, 1},     {"verify", 1, 0},  {"write", 1, 0}};

/* From the top down. */
static const char *const lane_kinds[LANE_KINDS] = {"phases", "thread", "receive", "send"};

static void *grown(void *array, int64_t count, size_t bytes) {
    void *larger = (count & (count - 1)) != 0
                       ? array
                       : realloc(array, (size_t)(count == 0 ? 1 : 2 * count) * bytes);

    if (larger == NULL) abort();
    return larger;
}

const json_t *attn_traced_rank(const json_t *trace, int rank) {
    return json_array_get(json_object_get(json_object_get(trace, "otherData"), "per_rank"),
                          (size_t)rank);
}

int64_t attn_traced_integer(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);

    CU_ASSERT(json_is_integer(value));
    return json_integer_value(value);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));

    CU_ASSERT_PTR_NOT_NULL(text);
    return text == NULL ? "" : text;
}

/* Microseconds with three digits behind the point. */
static int64_t time_of(const json_t *event, const char *key) {
    const json_t *value = json_object_get(event, key);

    CU_ASSERT(json_is_number(value));
    return llround(json_number_value(value) * 1000);
}

static int compare_tiles(const void *a, const void *b) {
    const attn_traced_tile *x = a, *y = b;
    const int64_t left[] = {x->shard, x->head, x->row, x->block};
    const int64_t right[] = {y->shard, y->head, y->row, y->block};

    for (int i = 0; i < 4; i++)
        if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
    return 0;
}

int attn_traced_same_tile(const attn_traced_tile *a, const attn_traced_tile *b) {
    return a->shard == b->shard && a->head == b->head && a->row == b->row;
}

int attn_traced_compare_messages(const void *a, const void *b) {
    const attn_traced_message *left = a, *right = b;
    int name = strcmp(left->name, right->name);

    if (left->from != right->from) return left->from < right->from ? -1 : 1;
    if (left->to != right->to) return left->to < right->to ? -1 : 1;
    if (name != 0) return name;
    return (left->number > right->number) - (left->number < right->number);
}

/* --- slices --------------------------------------------------------------------------- */

static int is_in(const reader *self, const char *cat) {
    for (int i = 0; i < self->depth - 1; i++)
        if (strcmp(self->open[i], cat) == 0) return 1;
    return 0;
}

/* Starts in order, and within the slices that are open. */
static void take_place(reader *self, const char *cat, int64_t start_ns, int64_t end_ns) {
    CU_ASSERT(start_ns >= self->start_ns && end_ns >= start_ns);
    self->start_ns = start_ns;
    while (self->depth > 0 && self->ends_ns[self->depth - 1] <= start_ns) self->depth--;
    CU_ASSERT(self->depth == 0 || end_ns <= self->ends_ns[self->depth - 1]);
    if (self->depth == MOST_DEPTH) {
        CU_FAIL("slices are too deep");
        self->depth--;
    }
    self->open[self->depth] = cat;
    self->ends_ns[self->depth++] = end_ns;
    if (end_ns > self->traced->last_ns) self->traced->last_ns = end_ns;
}

static void take_message(reader *self, const json_t *event, int is_send) {
    attn_traced *traced = self->traced;
    const json_t *args = json_object_get(event, "args");
    int peer = (int)attn_traced_integer(args, "peer");
    attn_traced_message **list = is_send ? &traced->sends : &traced->receives;
    int64_t *count = is_send ? &traced->send_count : &traced->receive_count;

    CU_ASSERT_EQUAL(self->depth, 1); /* a lane has one at a time */
    CU_ASSERT(strncmp(self->lane_name, is_send ? "send" : "receive", is_send ? 4 : 7) == 0);
    *list = grown(*list, *count, sizeof **list);
    self->message = &(*list)[(*count)++];
    *self->message = (attn_traced_message){.from = is_send ? (int)self->rank : peer,
                                           .to = is_send ? peer : (int)self->rank,
                                           .name = text_of(event, "name"),
                                           .number = attn_traced_integer(args, "number"),
                                           .bytes = attn_traced_integer(args, "bytes"),
                                           .start_ns = self->start_ns,
                                           .end_ns = self->ends_ns[0],
                                           .arrow = -1};
}

static void take_compute(reader *self, const char *cat, const json_t *args) {
    attn_traced *traced = self->traced;

    if (strcmp(cat, "step") == 0) {
        self->tile.shard = attn_traced_integer(args, "queries_of_shard");
        self->keys_of_step = attn_traced_integer(args, "keys_of_shard");
    }
    if (strcmp(cat, "tile") == 0) {
        CU_ASSERT(is_in(self, "step"));
        self->tile.head = attn_traced_integer(args, "head");
        self->tile.row = attn_traced_integer(args, "row");
        self->tile.block = -1;
        traced->tiles = grown(traced->tiles, traced->tile_count, sizeof *traced->tiles);
        traced->tiles[traced->tile_count++] = self->tile;
    }
    if (strcmp(cat, "block") == 0) {
        CU_ASSERT(is_in(self, "tile"));
        traced->blocks = grown(traced->blocks, traced->block_count, sizeof *traced->blocks);
        traced->blocks[traced->block_count] = self->tile;
        traced->blocks[traced->block_count].block = attn_traced_integer(args, "block");
        traced->blocks[traced->block_count].keys_of_shard =
            attn_traced_integer(args, "keys_of_shard");
        CU_ASSERT(self->keys_of_step < 0 ||
                  traced->blocks[traced->block_count].keys_of_shard == self->keys_of_step);
        traced->block_count++;
    }
}

static void take_slice(reader *self, const json_t *event) {
    const char *cat = text_of(event, "cat");
    int64_t start_ns = time_of(event, "ts");
    int is_send = strcmp(cat, "send") == 0;

    CU_ASSERT(self->message == NULL); /* a message has had its arrow */
    take_place(self, cat, start_ns, start_ns + time_of(event, "dur"));
    if (is_send || strcmp(cat, "receive") == 0)
        take_message(self, event, is_send);
    else if (strncmp(self->lane_name, "thread ", 7) == 0)
        take_compute(self, cat, json_object_get(event, "args"));
    for (int i = 0; i < MOST_PHASES; i++) {
        if (strcmp(phases[i].name, cat) != 0) continue;
        CU_ASSERT(strcmp(self->lane_name, "phases") == 0);
        CU_ASSERT_EQUAL(is_in(self, "execute"), phases[i].is_executed);
        self->phases[i]++;
    }
    if (strcmp(cat, "wait") == 0 || strcmp(cat, "wait_node") == 0)
        CU_ASSERT(is_in(self, "execute"));
}

/* The instant in which the message before was there. */
static void take_arrival(reader *self, const json_t *event) {
    CU_ASSERT_STRING_EQUAL(text_of(event, "name"), "arrived");
    CU_ASSERT(self->message != NULL && self->message->to == self->rank && !self->has_arrived &&
              time_of(event, "ts") == self->message->end_ns);
    self->has_arrived = 1;
}

/* The arrow's end of the message before: its start, or that it has arrived. */
static void take_arrow(reader *self, const json_t *event, int is_start) {
    int64_t at_ns = time_of(event, "ts");

    CU_ASSERT_PTR_NOT_NULL(self->message);
    if (self->message == NULL) return;
    CU_ASSERT_EQUAL(is_start, self->message->from == self->rank);
    CU_ASSERT_EQUAL(is_start, !self->has_arrived);
    CU_ASSERT_EQUAL(at_ns, is_start ? self->message->start_ns : self->message->end_ns);
    self->message->arrow = attn_traced_integer(event, "id");
    self->message = NULL;
    self->has_arrived = 0;
}

/* --- ranks and lanes ------------------------------------------------------------------ */

static void end_rank(const reader *self) {
    for (int i = 0; i < MOST_PHASES && self->rank >= 0; i++) {
        CU_ASSERT_EQUAL(self->phases[i], phases[i].times);
        if (self->phases[i] != phases[i].times)
            fprintf(stderr, "\nrank %d: %s: %d times\n", (int)self->rank, phases[i].name,
                    self->phases[i]);
    }
}

/* A lane has the next number, and its kind does not go up. No rank has that number: a lane with its
 * rank's would be the main thread, which Perfetto shows first. */
static void take_lane(reader *self, const json_t *event, const char *name) {
    int64_t lane = attn_traced_integer(event, "tid");
    int kind = 0;

    while (kind < LANE_KINDS && strncmp(lane_kinds[kind], name, strlen(lane_kinds[kind])) != 0)
        kind++;
    CU_ASSERT(kind < LANE_KINDS && kind >= self->lane_kind);
    CU_ASSERT(lane >= self->traced->ranks && (self->lane == 0 || lane == self->lane + 1));
    self->lane = lane;
    self->lane_name = name;
    self->lane_kind = kind;
    self->start_ns = 0;
    self->depth = 0;
    self->traced->threads += strncmp(name, "thread ", 7) == 0;
}

static void take_name(reader *self, const json_t *event) {
    const char *what = text_of(event, "name");
    const json_t *args = json_object_get(event, "args");
    const char *name = json_string_value(json_object_get(args, "name"));

    if (strcmp(what, "process_name") == 0)
        CU_ASSERT_EQUAL(self->traced->ranks++, attn_traced_integer(event, "pid"));
    if (strcmp(what, "process_labels") == 0)
        self->traced->labelled += strstr(text_of(args, "labels"), "left out: ") != NULL;
    if (strcmp(what, "process_sort_index") == 0)
        CU_ASSERT_EQUAL(attn_traced_integer(args, "sort_index"), attn_traced_integer(event, "pid"));
    if (strcmp(what, "thread_sort_index") == 0)
        CU_ASSERT_EQUAL(attn_traced_integer(args, "sort_index"), self->lane);
    if (strcmp(what, "thread_name") != 0) return;
    if (attn_traced_integer(event, "pid") != self->rank) {
        end_rank(self);
        *self = (reader){.traced = self->traced, .rank = attn_traced_integer(event, "pid")};
    }
    take_lane(self, event, name == NULL ? "" : name);
}

static void take_event(reader *self, const json_t *event) {
    const char *phase = text_of(event, "ph");

    if (strcmp(phase, "M") == 0) {
        take_name(self, event);
        return;
    }
    CU_ASSERT_EQUAL(attn_traced_integer(event, "pid"), self->rank);
    CU_ASSERT_EQUAL(attn_traced_integer(event, "tid"), self->lane);
    if (strcmp(phase, "X") == 0)
        take_slice(self, event);
    else if (strcmp(phase, "i") == 0)
        take_arrival(self, event);
    else
        take_arrow(self, event, strcmp(phase, "s") == 0);
}

void attn_traced_read(const char *path, attn_traced *traced) {
    reader self = {.traced = traced, .rank = -1, .lane_name = ""};
    const json_t *events;
    json_error_t error;

    *traced = (attn_traced){.json = json_load_file(path, JSON_REJECT_DUPLICATES, &error)};
    CU_ASSERT_PTR_NOT_NULL(traced->json);
    if (traced->json == NULL) {
        fprintf(stderr, "\n%s:%d: %s\n", path, error.line, error.text);
        return;
    }
    events = json_object_get(traced->json, "traceEvents");
    for (size_t i = 0; i < json_array_size(events); i++)
        take_event(&self, json_array_get(events, i));
    end_rank(&self);
    CU_ASSERT_EQUAL(self.rank, traced->ranks - 1);
    for (int rank = 0; rank < traced->ranks; rank++) {
        const json_t *left_out = json_object_get(attn_traced_rank(traced->json, rank), "left_out");

        traced->left_out += attn_traced_integer(left_out, "tiles") +
                            attn_traced_integer(left_out, "blocks") +
                            attn_traced_integer(left_out, "others");
    }
    if (traced->tile_count > 0)
        qsort(traced->tiles, (size_t)traced->tile_count, sizeof *traced->tiles, compare_tiles);
    if (traced->block_count > 0)
        qsort(traced->blocks, (size_t)traced->block_count, sizeof *traced->blocks, compare_tiles);
    if (traced->send_count > 0)
        qsort(traced->sends, (size_t)traced->send_count, sizeof *traced->sends,
              attn_traced_compare_messages);
    if (traced->receive_count > 0)
        qsort(traced->receives, (size_t)traced->receive_count, sizeof *traced->receives,
              attn_traced_compare_messages);
}

void attn_traced_free(attn_traced *traced) {
    free(traced->tiles);
    free(traced->blocks);
    free(traced->sends);
    free(traced->receives);
    json_decref(traced->json);
    *traced = (attn_traced){0};
}
