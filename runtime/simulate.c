/* Work is charged as time: so rates are in one place, the machine, whatever they are of. */
#include "simulate.h"

#include <limits.h>
#include <math.h>
#include <mpi.h>
#include <stdlib.h>
#include <time.h>

#include "kv_shard.h"

enum { GROUP_ROWS = 14, VECTOR_KEYS = 16 }; /* what a kernel computes together */

static attn_machine rates; /* of all ranks, which share the program's variables */
static char *range;        /* of all arrays of all ranks */
static size_t range_bytes;

void attn_simulate_rates(const attn_machine *machine) {
    rates = *machine;
}

/* Sleeping, and not smpi_execute_flops(), which takes the longer the more messages a rank has sent:
 * a rank has cores of its own, so that both are the same. */
static void charge(double seconds) {
    const double whole = floor(seconds);
    const struct timespec pause = {.tv_sec = (time_t)whole,
                                   .tv_nsec = (long)((seconds - whole) * 1e9)};

    if (seconds > 0) smpi_nanosleep(&pause, NULL);
}

void attn_simulate_copy(int64_t bytes, int64_t heads, int threads) {
    const int64_t copying = heads < threads ? heads : threads;

    if (copying > 0) charge((double)bytes / ((double)copying * rates.copy_bytes));
}

void attn_simulate_gemm(double flops, int threads) {
    charge(flops / (threads * rates.gemm_flops));
}

/* Of one head on one thread. */
static double pair_sec(const attn_kv_layout *kv) {
    const attn_attention_rate *rate = &rates.attention[kv->kernel->storage];

    return rate->score_sec + 2 * ((double)kv->key_dim + kv->value_dim) / rate->flops +
           rate->block_sec / (double)kv->rows->block_rows;
}

/* --- pairs ------------------------------------------------------------------ */

/* Unmasked pairs of an item's queries with keys before `end`: those of the mask with the rest as
 * padding, which moves nothing. */
static int64_t pairs_before(const attn_mask *mask, int64_t item, attn_rows rows, int64_t end) {
    const int64_t *lengths = mask->spec.key_lengths;
    attn_mask shorter = *mask;

    if (lengths != NULL && lengths[item] < end) end = lengths[item];
    shorter.batch = 1;
    shorter.spec.key_lengths = &end;
    return attn_mask_pairs(&shorter, 0, rows.first, rows.first + rows.count);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Keys of a vector that is computed at all are computed. */
static int64_t whole_vectors(attn_interval seen, attn_range keys) {
    int64_t first = seen.first > keys.first ? seen.first : keys.first;
    int64_t last = seen.last < keys.last ? seen.last : keys.last;

    if (first >= last) return 0;
    first = first / VECTOR_KEYS * VECTOR_KEYS;
    return least((last + VECTOR_KEYS - 1) / VECTOR_KEYS * VECTOR_KEYS, keys.last) - first;
}

/* Of rows that see some of the keys and not others: group by group. */
static double pairs_of_groups(const attn_attend *attend, int64_t item, attn_rows rows,
                              attn_range keys) {
    const int64_t end = rows.first + rows.count;
    double pairs = 0;

    for (int64_t first = rows.first; first < end; first += GROUP_ROWS) {
        const int64_t last = least(first + GROUP_ROWS, end);
        const attn_visible seen = attn_mask_span(&attend->mask, item, first, last);
        const int64_t seen_keys =
            whole_vectors(seen.span[0], keys) + whole_vectors(seen.span[1], keys);

        pairs += (double)(last - first) * (double)seen_keys;
    }
    return pairs;
}

/* What the kernel computes of a run of rows and a run of keys. */
static double pairs_computed(const attn_attend *attend, int64_t item, attn_rows rows,
                             attn_range keys) {
    const int64_t all = rows.count * attn_range_count(keys);
    const int64_t pairs = pairs_before(&attend->mask, item, rows, keys.last) -
                          pairs_before(&attend->mask, item, rows, keys.first);

    if (pairs == 0 || pairs == all) return (double)pairs;
    return pairs_of_groups(attend, item, rows, keys);
}

/* Of a slice of keys with all queries of the rank, of one head. */
static double pairs_of_piece(const attn_attend *attend, const attn_kv_shard *piece) {
    const attn_kv_layout *kv = &attend->kv;
    double pairs = 0;

    for (int64_t run = 0; run < attn_layout_run_count(kv->rows, piece->shard); run++) {
        int64_t place;
        attn_range blocks = attn_kv_shard_run(kv, piece, run, &place);
        attn_range keys = attn_layout_rows_of(kv->rows, blocks);

        for (int64_t i = 0; i < attend->queries.run_count && attn_range_count(keys) > 0; i++)
            for (int64_t item = 0; item < kv->batch; item++)
                pairs += pairs_computed(attend, item, attend->queries.runs[i], keys);
    }
    return pairs;
}

/* --- attending -------------------------------------------------------------- */

/* Of partials that wait for a step: written before and read in it, by all threads. */
static double keep_sec(const attn_attend *attend) {
    const int64_t rows = attend->kv.batch * attn_range_count(attend->heads) * attend->queries.count;

    return 2.0 * sizeof(float) * (double)rows * (attend->kv.value_dim + 2) /
           (attend->threads * rates.copy_bytes);
}

static double step_sec(const attn_attend *attend, int32_t step) {
    const attn_arrivals *arrivals = attend->arrivals;
    double pairs = 0, seconds;

    for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++)
        pairs += pairs_of_piece(attend, &arrivals->pieces[i]);
    if (pairs == 0) return 0;
    seconds =
        pairs * (double)attn_range_count(attend->heads) * pair_sec(&attend->kv) / attend->threads;
    return arrivals->step_first[step] > 0 ? seconds + keep_sec(attend) : seconds;
}

/* All at once, without a poll: what is in flight goes on meanwhile, and SimGrid keeps a message
 * that a test finds done in the lists of both ranks for good, which all later ones walk. */
void attn_simulate_attend(attn_attend *attend, int32_t step) {
    const double start = MPI_Wtime();

    charge(step_sec(attend, step));
    attend->compute_sec += MPI_Wtime() - start;
}

void attn_simulate_forget(attn_attend *attend) {
    attn_kept_partials_destroy(&attend->kept);
    attn_merge_tree_destroy(&attend->tree);
}

/* --- memory ----------------------------------------------------------------- */

/* SimGrid maps one small file over and over, and copies no messages from there to there. It fills
 * the page tables at once, which takes 1/512 of the bytes: hence one range and not one a rank.
 * Ranks take turns on one thread and nothing needs a lock. */
void *attn_simulate_alloc(int64_t bytes) {
    const size_t least = (size_t)1 << 30, doubled = 2 * range_bytes;
    size_t wanted = (size_t)bytes;

    if (bytes >= 0 && wanted <= range_bytes && range != NULL) return range;
    if (wanted < least) wanted = least;
    if (wanted < doubled) wanted = doubled;
    range = SMPI_SHARED_MALLOC(wanted);
    range_bytes = range == NULL ? 0 : wanted;
    return range;
}

static int64_t from_environment(const char *name, int64_t otherwise) {
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoll(text, NULL, 10);
}

int attn_simulate_threads(void) {
    int64_t threads = from_environment("ATTNSPAN_SIMULATE_THREADS", 1);

    return threads >= 1 && threads <= INT_MAX ? (int)threads : 1;
}

int64_t attn_simulate_memory(void) {
    return from_environment("ATTNSPAN_SIMULATE_MEMORY", -1);
}

const char *attn_simulate_cluster(void) {
    const char *text = getenv("ATTNSPAN_SIMULATE_CLUSTER");

    return text == NULL ? "a simulated cluster" : text;
}
