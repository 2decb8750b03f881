/* layout.h: which blocks of a sequence each of its shards owns.
 *
 *     contiguous  one run of blocks a shard; shards differ by at most one block
 *     zigzag      2 P_s runs of blocks; shard s owns runs s and 2 P_s − 1 − s, so that under a
 *                 causal mask the light and the heavy make pairs (as Llama 3's context
 *                 parallelism has it, Dubey et al. 2024)
 *     striped     stripes of blocks dealt in turn, as Striped Attention (Brandon et al. 2023)
 *                 deals tokens. A stripe is ceil(blocks / (8 P_s)) blocks: at most 8 a shard,
 *                 because every run of a shard costs pending partials (merge_tree.h) and I/O
 *                 calls
 *     balanced    runs chosen by the mask, layout_balance.h: all shards have about as many
 *                 unmasked pairs and about as many rows
 *
 * A shard is an ascending list of runs of whole blocks that do not touch. Its rows, end to end,
 * are numbered from 0: its local rows; likewise its local blocks. Any number of shards, of which
 * some may be empty. Depends on the problem and P_s alone: the same on all ranks. Nothing is
 * collective.
 *
 * Cost: contiguous, zigzag, striped O(runs); balanced asks the mask for at most 256 spans a
 * shard. Memory O(runs).
 */
#ifndef ATTN_RUNTIME_LAYOUT_H
#define ATTN_RUNTIME_LAYOUT_H

#include <stdint.h>

#include "attnspan/kernels.h"
#include "partition.h"
#include "status.h"

/* Runs are blocks here: run i of shard s is runs[first_run[s] + i]. */
typedef struct attn_layout {
    int kind; /* of attn_layout_name() */
    int64_t length, block_rows, block_count;
    int64_t shards;
    attn_range *runs;   /* owned */
    int64_t *first_run; /* owned: [shards + 1] */
} attn_layout;

/* Name of a kind: "contiguous"; NULL past the last. */
const char *attn_layout_name(int kind);

/* The kind of that name; −1 when there is none. */
int attn_layout_find(const char *name);

/* The layout of a sequence of `length` rows. `mask` weighs the rows of its queries; NULL: all
 * rows weigh alike. ATTN_ERR_MEMORY. */
attn_status attn_layout_create(attn_layout *layout, int kind, int64_t length, int64_t shards,
                               const attn_mask *mask, attn_error *error);

/* The layout of the mask's queries: of that kind, or, with kind −1, the first of contiguous,
 * zigzag and balanced whose imbalance is at most 1.02, else the one with the least.
 * ATTN_ERR_MEMORY. */
attn_status attn_layout_choose(attn_layout *layout, int kind, int64_t shards, const attn_mask *mask,
                               attn_error *error);

/* The layout of N_kv keys beside that of the queries. As many keys as queries: the very same, so
 * that a layer's rows are its keys' rows. Otherwise the same kind, but contiguous for balanced:
 * keys have no work of their own. ATTN_ERR_MEMORY. */
attn_status attn_layout_of_keys(attn_layout *layout, const attn_layout *queries, int64_t kv_length,
                                attn_error *error);

/* Of one shard. */
int64_t attn_layout_run_count(const attn_layout *layout, int64_t shard);
attn_range attn_layout_run(const attn_layout *layout, int64_t shard, int64_t run);
int64_t attn_layout_blocks(const attn_layout *layout, int64_t shard);
int64_t attn_layout_rows(const attn_layout *layout, int64_t shard);

/* Global rows [first, last) of global blocks. */
attn_range attn_layout_rows_of(const attn_layout *layout, attn_range blocks);

/* Unmasked pairs of a shard's queries, of all batch items together. */
double attn_layout_pairs(const attn_layout *layout, int64_t shard, const attn_mask *mask);

/* Most over mean of the shards' pairs; 1 when there are none. */
double attn_layout_imbalance(const attn_layout *layout, const attn_mask *mask);

/* The same of the shards of keys, each with the pairs of all queries with its keys: what their
 * ranks compute where keys stay and queries travel. Cost: one count of the mask for each end of a
 * run. ATTN_ERR_MEMORY. */
attn_status attn_layout_key_imbalance(const attn_layout *keys, const attn_mask *mask,
                                      double *imbalance, attn_error *error);

/* A zeroed one is legal. */
void attn_layout_destroy(attn_layout *layout);

#endif
