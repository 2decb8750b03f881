#include "layout_balance.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "partition.h"

static const double imbalance_allowed = 1.02;

/* What a chunk, or a shard, has. */
typedef struct share {
    double weight;
    int64_t blocks;
    int64_t index; /* of the chunk, or shard */
} share;

typedef struct solver {
    const attn_balance_unit *units;
    int64_t unit_count, shard_count, chunk_count;
    int64_t most_blocks; /* that a shard may have */
    int64_t *edge;       /* owned: [chunks + 1]: units [edge[i], edge[i + 1]) are chunk i */
    int64_t *owner;      /* owned: [chunks] */
    share *chunks;       /* owned: [units], room for the most chunks */
    share *order;        /* owned: the same room; chunks, or shards, to be sorted */
    share *shards;       /* owned: [shards] */
} solver;

static int heaviest_first(const void *a, const void *b) {
    const share *left = a, *right = b;

    if (left->weight > right->weight) return -1;
    if (left->weight < right->weight) return 1;
    return left->index < right->index ? -1 : left->index > right->index;
}

/* Blocks beyond what a shard may have. */
static int64_t excess(const solver *self, int64_t blocks) {
    return blocks > self->most_blocks ? blocks - self->most_blocks : 0;
}

/* Moves what `part` has from shard `from` to `to`, and what `back` has the other way, if that
 * helps the pair: less excess, or as much and a lighter heavier one. */
static int move_if_better(solver *self, int64_t from, int64_t to, share part, share back) {
    const double least_gain = 1e-9; /* of the weight: rounding is no gain */
    share *a = &self->shards[from], *b = &self->shards[to];
    const double a_after = a->weight - part.weight + back.weight;
    const double b_after = b->weight + part.weight - back.weight;
    const double before = a->weight > b->weight ? a->weight : b->weight;
    const double after = a_after > b_after ? a_after : b_after;
    const int64_t moved = part.blocks - back.blocks;
    const int64_t excess_before = excess(self, a->blocks) + excess(self, b->blocks);
    const int64_t excess_after = excess(self, a->blocks - moved) + excess(self, b->blocks + moved);

    if (excess_after > excess_before) return 0;
    if (excess_after == excess_before && after >= before * (1 - least_gain)) return 0;
    a->weight = a_after;
    b->weight = b_after;
    a->blocks -= moved;
    b->blocks += moved;
    return 1;
}

/* --- steps ------------------------------------------------------------------ */

static void cut(solver *self, int64_t chunk_count) {
    self->chunk_count = chunk_count;
    for (int64_t i = 0; i < chunk_count; i++) {
        attn_range units = attn_deal(self->unit_count, chunk_count, i);
        share *chunk = &self->chunks[i];

        self->edge[i] = units.first;
        self->edge[i + 1] = units.last;
        *chunk = (share){.index = i};
        for (int64_t u = units.first; u < units.last; u++) {
            chunk->weight += self->units[u].weight;
            chunk->blocks += self->units[u].blocks;
        }
    }
}

static void deal(solver *self) {
    int64_t shard_count = self->shard_count;

    for (int64_t s = 0; s < shard_count; s++) self->shards[s] = (share){.index = s};
    memcpy(self->order, self->chunks, (size_t)self->chunk_count * sizeof *self->order);
    qsort(self->order, (size_t)self->chunk_count, sizeof *self->order, heaviest_first);
    for (int64_t first = 0; first < self->chunk_count; first += shard_count) {
        int64_t left = self->chunk_count - first;

        /* The lightest shard is the last. */
        qsort(self->shards, (size_t)shard_count, sizeof *self->shards, heaviest_first);
        for (int64_t i = 0; i < left && i < shard_count; i++) {
            const share *chunk = &self->order[first + i];
            share *shard = &self->shards[shard_count - 1 - i];

            shard->weight += chunk->weight;
            shard->blocks += chunk->blocks;
            self->owner[chunk->index] = shard->index;
        }
    }
    /* Back to the order of shards. */
    for (int64_t s = 0; s < shard_count; s++) self->order[self->shards[s].index] = self->shards[s];
    memcpy(self->shards, self->order, (size_t)shard_count * sizeof *self->shards);
}

/* Of a chunk of the heaviest shard for one of the lightest, the swap that comes closest to half
 * the difference. False when none helps. */
static int swap_once(solver *self) {
    int64_t heavy = 0, light = 0, best_out = -1, best_in = -1;
    double wanted, best = 0;

    for (int64_t s = 1; s < self->shard_count; s++) {
        if (self->shards[s].weight > self->shards[heavy].weight) heavy = s;
        if (self->shards[s].weight < self->shards[light].weight) light = s;
    }
    wanted = (self->shards[heavy].weight - self->shards[light].weight) / 2;
    for (int64_t out = 0; out < self->chunk_count; out++) {
        if (self->owner[out] != heavy) continue;
        for (int64_t in = 0; in < self->chunk_count; in++) {
            double off = self->chunks[out].weight - self->chunks[in].weight - wanted;

            if (self->owner[in] != light) continue;
            if (off < 0) off = -off;
            if (best_out >= 0 && off >= best) continue;
            best = off;
            best_out = out;
            best_in = in;
        }
    }
    if (best_out < 0 ||
        !move_if_better(self, heavy, light, self->chunks[best_out], self->chunks[best_in]))
        return 0;
    self->owner[best_out] = light;
    self->owner[best_in] = heavy;
    return 1;
}

static share share_of_unit(const solver *self, int64_t unit) {
    return (share){self->units[unit].weight, self->units[unit].blocks, 0};
}

/* Units at the end between chunks i and i + 1 change sides. False when none does. */
static int shift_edge(solver *self, int64_t i) {
    int64_t left = self->owner[i], right = self->owner[i + 1];
    int64_t *edge = &self->edge[i + 1], before = *edge;
    const share nothing = {0};

    if (left == right) return 0;
    while (*edge - self->edge[i] > 1 &&
           move_if_better(self, left, right, share_of_unit(self, *edge - 1), nothing))
        --*edge;
    while (self->edge[i + 2] - *edge > 1 &&
           move_if_better(self, right, left, share_of_unit(self, *edge), nothing))
        ++*edge;
    return *edge != before;
}

static void refine(solver *self) {
    enum { PASSES = 32 };
    int moved = 1;

    for (int64_t i = 0; i < 4 * self->shard_count && swap_once(self);) i++;
    for (int pass = 0; pass < PASSES && moved; pass++) {
        moved = 0;
        for (int64_t i = 0; i + 1 < self->chunk_count; i++) moved |= shift_edge(self, i);
    }
}

/* --- solutions -------------------------------------------------------------- */

/* Most over mean; −1 when a shard has too many blocks. */
static double imbalance_of(const solver *self) {
    double most = 0, total = 0;

    for (int64_t s = 0; s < self->shard_count; s++) {
        if (excess(self, self->shards[s].blocks) > 0) return -1;
        if (self->shards[s].weight > most) most = self->shards[s].weight;
        total += self->shards[s].weight;
    }
    return total > 0 ? most / total * (double)self->shard_count : 1;
}

/* owner[i] := shard of unit i, shards numbered by their first unit. */
static void write_owners(const solver *self, int64_t *owner) {
    int64_t numbered = 0;

    for (int64_t s = 0; s < self->shard_count; s++) self->order[s].index = -1;
    for (int64_t i = 0; i < self->chunk_count; i++) {
        share *named = &self->order[self->owner[i]];

        if (named->index < 0) named->index = numbered++;
        for (int64_t u = self->edge[i]; u < self->edge[i + 1]; u++) owner[u] = named->index;
    }
}

static attn_status create(solver *self, attn_error *error) {
    size_t units = (size_t)self->unit_count, shards = (size_t)self->shard_count;
    int64_t blocks = 0, mean;

    for (int64_t u = 0; u < self->unit_count; u++) blocks += self->units[u].blocks;
    mean = (blocks - 1) / self->shard_count + 1;
    self->most_blocks = blocks / self->shard_count * 17 / 16;
    if (self->most_blocks < mean) self->most_blocks = mean;
    self->edge = attn_alloc(units + 1, sizeof *self->edge);
    self->owner = attn_alloc(units, sizeof *self->owner);
    self->chunks = attn_alloc(units, sizeof *self->chunks);
    self->order = attn_alloc(units > shards ? units : shards, sizeof *self->order);
    self->shards = attn_alloc(shards, sizeof *self->shards);
    if (self->edge == NULL || self->owner == NULL || self->chunks == NULL || self->order == NULL ||
        self->shards == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the layout");
    return attn_ok(error);
}

attn_status attn_layout_balance(const attn_balance_unit *units, int64_t count, int64_t shards,
                                int64_t *owner, attn_error *error) {
    enum { MOST_CHUNKS = 16 }; /* of a shard */
    solver self = {.units = units, .unit_count = count, .shard_count = shards};
    double best = -1;

    if (create(&self, error) != ATTN_OK) goto cleanup;
    for (int64_t chunks = 1; chunks <= MOST_CHUNKS; chunks *= 2) {
        double imbalance;

        cut(&self, chunks * shards < count ? chunks * shards : count);
        deal(&self);
        refine(&self);
        imbalance = imbalance_of(&self);
        if (imbalance >= 0 && (best < 0 || imbalance < best)) {
            best = imbalance;
            write_owners(&self, owner);
        }
        if ((best >= 0 && best <= imbalance_allowed) || self.chunk_count == count) break;
    }

cleanup:
    free(self.shards);
    free(self.order);
    free(self.chunks);
    free(self.owner);
    free(self.edge);
    return error->status;
}
