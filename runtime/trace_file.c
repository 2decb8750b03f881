#define _POSIX_C_SOURCE 200809L

#include "trace_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agree.h"
#include "dtype.h"
#include "file.h"
#include "memory.h"
#include "mesh.h"
#include "version.h"

enum { TAG = 3, HOST_BYTES = 256 };

/* What rank 0 knows of each rank. */
typedef struct rank_facts {
    int place, member, shard; /* in the mesh */
    int leader;               /* the lowest rank of its node */
    char host[HOST_BYTES];
    attn_clock_reading before, after;
    int64_t tiles_left_out, blocks_left_out, others_left_out;
    int64_t sent_messages, sent_bytes;
} rank_facts;

static int is_wanted(const attn_job *job) {
    return job->config.output.trace[0] != '\0';
}

void attn_trace_file_begin(const attn_job *job, attn_trace_notes *notes) {
    *notes = (attn_trace_notes){0};
    if (is_wanted(job)) attn_clocks_compare(job->comm, attn_trace_clock, &notes->before);
}

int64_t attn_trace_file_clock(const attn_job *job) {
    return is_wanted(job) ? attn_trace_clock() : 0;
}

/* --- what the ranks are ------------------------------------------------------- */

/* Collective on job->comm. */
static int node_leader(const attn_job *job) {
    MPI_Comm node;
    int leader;

    attn_mesh_split_nodes(job->comm, &node);
    ATTN_MPI(MPI_Allreduce(&job->rank, &leader, 1, MPI_INT, MPI_MIN, node));
    ATTN_MPI(MPI_Comm_free(&node));
    return leader;
}

/* Collective on job->comm. */
static rank_facts own_facts(const attn_job *job, const attn_trace_notes *notes) {
    const attn_trace *trace = attn_plan_trace(job->plan);
    attn_stats stats = attn_plan_stats(job->plan);
    rank_facts facts = {0};
    char host[MPI_MAX_PROCESSOR_NAME];
    int bytes;

    facts.place = job->info.shard * job->info.mesh_heads + job->info.member;
    facts.member = job->info.member;
    facts.shard = job->info.shard;
    facts.leader = node_leader(job);
    ATTN_MPI(MPI_Get_processor_name(host, &bytes));
    snprintf(facts.host, sizeof facts.host, "%.*s", bytes, host);
    facts.before = notes->before;
    attn_clocks_compare(job->comm, attn_trace_clock, &facts.after);
    facts.tiles_left_out = attn_trace_left_out(trace, ATTN_EVENT_tile);
    facts.blocks_left_out = attn_trace_left_out(trace, ATTN_EVENT_block);
    for (int kind = 0; kind < ATTN_EVENT_KINDS; kind++)
        facts.others_left_out += attn_trace_left_out(trace, (attn_event_kind)kind);
    facts.others_left_out -= facts.tiles_left_out + facts.blocks_left_out;
    facts.sent_messages = stats.sent_messages;
    facts.sent_bytes = stats.sent_bytes;
    return facts;
}

/* Nodes are numbered in the order of their lowest ranks. */
static int node_of(const rank_facts *facts, int rank) {
    int node = 0;

    for (int other = 0; other < facts[rank].leader; other++) node += facts[other].leader == other;
    return node;
}

/* When the first rank begins, by rank 0's clock. Collective on job->comm. */
static int64_t first_start(const attn_job *job, const attn_trace_rank *rank) {
    int64_t mine = attn_trace_json_time(rank, rank->spans[ATTN_SPAN_LOAD].start_ns), first;

    ATTN_MPI(MPI_Allreduce(&mine, &first, 1, MPI_INT64_T, MPI_MIN, job->comm));
    return first;
}

/* --- rank 0's text --------------------------------------------------------------- */

static json_t *clock_json(const attn_clock_reading *reading) {
    return json_pack("{s:I, s:I}", "offset_ns", (json_int_t)reading->offset_ns, "uncertainty_ns",
                     (json_int_t)reading->uncertainty_ns);
}

static json_t *ranks_json(const rank_facts *facts, int ranks) {
    json_t *array = json_array();

    for (int rank = 0; rank < ranks; rank++) {
        const rank_facts *of = &facts[rank];
        json_t *json = json_pack(
            "{s:i, s:i, s:i, s:i, s:s, s:{s:o, s:o}, s:I, s:I, s:{s:I, s:I, s:I}}", "rank", rank,
            "head_group", of->member, "shard", of->shard, "node", node_of(facts, rank), "host",
            of->host, "clock", "before", clock_json(&of->before), "after", clock_json(&of->after),
            "sent_messages", (json_int_t)of->sent_messages, "sent_bytes",
            (json_int_t)of->sent_bytes, "left_out", "tiles", (json_int_t)of->tiles_left_out,
            "blocks", (json_int_t)of->blocks_left_out, "others", (json_int_t)of->others_left_out);

        if (json_array_append_new(array, json) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* What was run. NULL without memory. */
static char *run_text(const attn_job *job, const rank_facts *facts) {
    const attn_problem *problem = &job->inputs.problem;
    const attn_plan_info *info = &job->info;
    json_t *json = json_pack(
        "{s:s, s:i, s:i, s:{s:i, s:i, s:s, s:s}, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:i, s:o}",
        "version", ATTN_VERSION, "ranks", job->ranks, "nodes", info->nodes, "mesh", "heads",
        info->mesh_heads, "sequence", info->mesh_sequence, "circulate", info->circulate, "layout",
        info->layout, "threads", info->threads, "kernel", info->kernel, "dtype",
        attn_storage_name(job->config.compute.dtype), "length", (json_int_t)problem->length,
        "kv_length", (json_int_t)problem->kv_length, "batch", (json_int_t)problem->batch, "heads",
        (json_int_t)problem->heads, "key_dim", problem->key_dim, "value_dim", problem->value_dim,
        "per_rank", ranks_json(facts, job->ranks));
    char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(1));

    json_decref(json);
    return text;
}

/* The name of a rank, and what is missing of it. NULL without memory. */
static char *process_text(const rank_facts *facts, int rank) {
    const rank_facts *of = &facts[rank];
    char name[128], labels[HOST_BYTES + 128];
    json_t *json;
    char *text;
    int used;

    /* Perfetto has room for some 36 characters, and puts the process number behind. */
    snprintf(name, sizeof name, "rank %d (shard %d, group %d, node %d)", rank, of->shard,
             of->member, node_of(facts, rank));
    used = snprintf(labels, sizeof labels, "%s", of->host);
    if (of->tiles_left_out + of->blocks_left_out + of->others_left_out > 0)
        snprintf(labels + used, sizeof labels - (size_t)used,
                 ", left out: %lld tiles, %lld blocks, %lld others", (long long)of->tiles_left_out,
                 (long long)of->blocks_left_out, (long long)of->others_left_out);
    json =
        json_pack("[{s:s, s:i, s:s, s:{s:s}}, {s:s, s:i, s:s, s:{s:i}}, {s:s, s:i, s:s, s:{s:s}}]",
                  "ph", "M", "pid", rank, "name", "process_name", "args", "name", name, "ph", "M",
                  "pid", rank, "name", "process_sort_index", "args", "sort_index", rank, "ph", "M",
                  "pid", rank, "name", "process_labels", "args", "labels", labels);
    text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

/* --- the file, on rank 0 ----------------------------------------------------------- */

typedef struct trace_file {
    const char *path; /* borrowed */
    char temporary[ATTN_PATH_BYTES];
    FILE *stream; /* owned; NULL: not open */
} trace_file;

static attn_status put_to_file(void *context, const char *text, size_t bytes, attn_error *error) {
    trace_file *file = context;

    if (fwrite(text, 1, bytes, file->stream) == bytes) return attn_ok(error);
    return attn_fail(error, ATTN_ERR_IO, "%s: cannot write: %s", file->path, strerror(errno));
}

static attn_status open_file(trace_file *file, attn_error *error) {
    if (attn_file_begin(file->path, file->temporary, error) != ATTN_OK) return error->status;
    file->stream = fopen(file->temporary, "w");
    if (file->stream == NULL)
        return attn_fail(error, ATTN_ERR_IO, "%s: cannot open its temporary file: %s", file->path,
                         strerror(errno));
    setvbuf(file->stream, NULL, _IONBF, 0); /* what is put is large */
    return attn_ok(error);
}

/* Gives the file its name, or leaves nothing behind. */
static void close_file(trace_file *file, attn_error *error) {
    if (file->stream != NULL && fclose(file->stream) != 0 && error->status == ATTN_OK)
        attn_fail(error, ATTN_ERR_IO, "%s: cannot write: %s", file->path, strerror(errno));
    file->stream = NULL;
    if (error->status == ATTN_OK)
        attn_file_commit(file->temporary, file->path, error);
    else if (file->temporary[0] != '\0')
        unlink(file->temporary);
}

static attn_status put_text(trace_file *file, const char *text, size_t bytes, attn_error *error) {
    if (text == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the trace");
    return put_to_file(file, text, bytes, error);
}

static attn_status put_head(trace_file *file, const attn_job *job, const rank_facts *facts,
                            attn_error *error) {
    static const char head[] = "{\"displayTimeUnit\":\"ns\",\"otherData\":";
    static const char events[] = ",\"traceEvents\":[\n";
    char *text = run_text(job, facts);

    attn_ok(error);
    if (put_text(file, head, sizeof head - 1, error) == ATTN_OK &&
        put_text(file, text, text == NULL ? 0 : strlen(text), error) == ATTN_OK)
        put_text(file, events, sizeof events - 1, error);
    free(text);
    for (int rank = 0; rank < job->ranks && error->status == ATTN_OK; rank++) {
        if (rank > 0 && put_text(file, ",\n", 2, error) != ATTN_OK) break;
        text = process_text(facts, rank);
        /* Its events without the brackets around them. */
        put_text(file, text == NULL ? NULL : text + 1, text == NULL ? 0 : strlen(text) - 2, error);
        free(text);
    }
    return error->status;
}

/* --- pieces of text from rank to rank 0 -------------------------------------------- */

static attn_status put_to_rank_0(void *context, const char *text, size_t bytes, attn_error *error) {
    const attn_job *const *job = context;

    ATTN_MPI(MPI_Send(text, (int)bytes, MPI_CHAR, 0, TAG, (*job)->comm));
    return attn_ok(error);
}

/* Calls a rank and writes what it sends, up to an empty piece. With a failure, which may have been
 * before, the text is taken and thrown away. */
static void take_from(const attn_job *job, int rank, trace_file *file, char *text, int most,
                      attn_error *error) {
    int bytes;

    ATTN_MPI(MPI_Send(NULL, 0, MPI_CHAR, rank, TAG, job->comm));
    do {
        MPI_Status status;

        ATTN_MPI(MPI_Recv(text, most, MPI_CHAR, rank, TAG, job->comm, &status));
        ATTN_MPI(MPI_Get_count(&status, MPI_CHAR, &bytes));
        if (bytes > 0 && error->status == ATTN_OK) put_to_file(file, text, (size_t)bytes, error);
    } while (bytes > 0);
}

static void write_all(const attn_job *job, const attn_trace_rank *rank, const rank_facts *facts,
                      trace_file *file, char *text, attn_error *error) {
    static const char end[] = "\n]}\n";

    if (put_head(file, job, facts, error) == ATTN_OK) attn_trace_json_write(rank, error);
    for (int other = 1; other < job->ranks; other++)
        take_from(job, other, file, text, ATTN_TRACE_PIECE_BYTES, error);
    if (error->status == ATTN_OK) put_text(file, end, sizeof end - 1, error);
}

/* When rank 0 calls. */
static void send_all(const attn_job *job, const attn_trace_rank *rank, attn_error *error) {
    ATTN_MPI(MPI_Recv(NULL, 0, MPI_CHAR, 0, TAG, job->comm, MPI_STATUS_IGNORE));
    attn_trace_json_write(rank, error);
    ATTN_MPI(MPI_Send(NULL, 0, MPI_CHAR, 0, TAG, job->comm));
}

/* --- all of it ------------------------------------------------------------------------ */

/* What each rank needs to know of the others. Collective on job->comm. */
static attn_trace_rank describe(const attn_job *job, const attn_trace_notes *notes,
                                const rank_facts *mine, rank_facts *facts, int *rank_of_place) {
    attn_trace_rank rank = {.rank = job->rank,
                            .ranks = job->ranks,
                            .place = mine->place,
                            .rank_of_place = rank_of_place,
                            .trace = attn_plan_trace(job->plan),
                            .before = mine->before,
                            .after = mine->after};

    memcpy(rank.spans, notes->spans, sizeof rank.spans);
    ATTN_MPI(MPI_Gather(mine, (int)sizeof *mine, MPI_BYTE, facts, (int)sizeof *mine, MPI_BYTE, 0,
                        job->comm));
    for (int i = 0; i < job->ranks && job->rank == 0; i++) rank_of_place[facts[i].place] = i;
    ATTN_MPI(MPI_Bcast(rank_of_place, job->ranks, MPI_INT, 0, job->comm));
    rank.origin_ns = first_start(job, &rank);
    return rank;
}

attn_status attn_trace_file_write(const attn_job *job, const attn_trace_notes *notes,
                                  attn_error *error) {
    trace_file file = {.path = job->config.output.trace};
    rank_facts *facts = NULL;
    char *text = NULL;
    int *rank_of_place;

    attn_ok(error);
    if (!is_wanted(job)) return ATTN_OK;
    rank_of_place = attn_alloc((size_t)job->ranks, sizeof *rank_of_place);
    if (job->rank == 0) {
        facts = attn_alloc((size_t)job->ranks, sizeof *facts);
        text = malloc(ATTN_TRACE_PIECE_BYTES);
    }
    if (rank_of_place == NULL || (job->rank == 0 && (facts == NULL || text == NULL)))
        attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the trace");
    else if (job->rank == 0)
        open_file(&file, error);
    if (attn_agree(job->comm, "trace", error) == ATTN_OK) {
        rank_facts mine = own_facts(job, notes);
        attn_trace_rank rank = describe(job, notes, &mine, facts, rank_of_place);
        const attn_job *sender = job;

        rank.put = job->rank == 0 ? put_to_file : put_to_rank_0;
        rank.context = job->rank == 0 ? (void *)&file : (void *)&sender;
        if (job->rank == 0)
            write_all(job, &rank, facts, &file, text, error);
        else
            send_all(job, &rank, error);
        /* Another rank may have failed: then the file gets no name. */
        attn_agree(job->comm, "trace", error);
    }
    if (job->rank == 0) close_file(&file, error);
    free(text);
    free(facts);
    free(rank_of_place);
    return attn_agree(job->comm, "trace", error);
}
