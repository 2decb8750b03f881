#include "choose.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "circulate.h"
#include "layout.h"
#include "mask_spec.h"
#include "units.h"

static const double near_enough = 1.03; /* predictions are no better than that */

attn_status attn_choose_fits(const attn_wish *wish, int64_t ranks, attn_error *error) {
    int64_t members = wish->members, shards = wish->shards;
    int64_t stated = members != ATTN_PLAN_AUTO ? members : shards;

    if (members != ATTN_PLAN_AUTO && shards != ATTN_PLAN_AUTO && members * shards != ranks)
        return attn_fail(
            error, ATTN_ERR_CONFIG,
            "a mesh of %" PRId64 " x %" PRId64 " needs %" PRId64 " ranks, but there %s %" PRId64
            "; start mpirun -n %" PRId64 ", or leave one of the two auto",
            members, shards, members * shards, ranks == 1 ? "is" : "are", ranks, members * shards);
    if (stated != ATTN_PLAN_AUTO && ranks % stated != 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "%" PRId64 " does not divide the number of ranks, which is %" PRId64
                         "; choose a divisor of it, or auto",
                         stated, ranks);
    return attn_ok(error);
}

/* The fastest way so far, and the next ones in the order of their times. */
typedef struct contest {
    attn_choice *list; /* borrowed: [most] */
    int32_t count, most;
    int64_t entries;
} contest;

/* Among the next ones. */
static void insert(contest *self, attn_choice entry) {
    int32_t at = self->count;

    while (at > 1 && self->list[at - 1].cost.total_sec > entry.cost.total_sec) at--;
    if (at >= self->most) return;
    if (self->count < self->most) self->count++;
    for (int32_t i = self->count - 1; i > at; i--) self->list[i] = self->list[i - 1];
    self->list[at] = entry;
}

/* Ways come with the most head groups first, so that a later one has to be clearly faster. */
static void enter(contest *self, const attn_way *way, const attn_cost *cost) {
    attn_choice entry = {.way = *way, .cost = *cost}, best = self->list[0];

    if (self->entries++ == 0) {
        self->list[self->count++] = entry;
    } else if (cost->total_sec * near_enough < best.cost.total_sec) {
        self->list[0] = entry;
        insert(self, best);
    } else {
        insert(self, entry);
    }
}

/* Whether some node has two ranks of one axis, with a circulation of which they share what comes.
 */
static int can_share(const attn_way *way, const attn_cluster *cluster) {
    return attn_circulation_find(way->circulate)->shares && way->shards > 1 &&
           cluster->ranks_per_node > way->members;
}

static attn_status enter_circulations(contest *self, const attn_problem *problem,
                                      const attn_wish *wish, const attn_cluster *cluster,
                                      attn_way *way, attn_error *error) {
    for (int i = 0; attn_circulation_name(i) != NULL; i++) {
        attn_cost cost;

        way->circulate = attn_circulation_name(i);
        if (wish->circulate != NULL && strcmp(wish->circulate, way->circulate) != 0) continue;
        if (wish->circulate == NULL && attn_circulation_refuses(problem, way->circulate) != NULL)
            continue;
        if (wish->share_nodes == ATTN_SHARE_ALWAYS && !can_share(way, cluster)) continue;
        if (wish->circulate == NULL && way->shards == 1 && i > 0) continue; /* nothing circulates */
        if (attn_cost_predict(problem, wish->storage, cluster, way, &cost, error) != ATTN_OK)
            return error->status;
        enter(self, way, &cost);
    }
    return attn_ok(error);
}

/* "4 x 2, ring, zigzag: 1.2 ms" */
static void describe(const attn_choice *entry, char *text, size_t bytes) {
    char time[ATTN_UNITS_BYTES];

    snprintf(text, bytes, "%" PRId64 " x %" PRId64 ", %s, %s: %s", entry->way.members,
             entry->way.shards, entry->way.circulate, attn_layout_name(entry->way.layout),
             attn_units_seconds(entry->cost.total_sec, time));
}

static void explain(const attn_wish *wish, contest *self) {
    char best[72], next[72];
    int open = wish->members == ATTN_PLAN_AUTO || wish->shards == ATTN_PLAN_AUTO ||
               wish->circulate == NULL || wish->layout < 0;

    self->list[0].why[0] = '\0';
    if (!open || self->count < 2) return;
    describe(&self->list[0], best, sizeof best);
    describe(&self->list[1], next, sizeof next);
    snprintf(self->list[0].why, sizeof self->list[0].why, "%s predicted, next %s", best, next);
}

attn_status attn_choose_list(const attn_problem *problem, const attn_wish *wish,
                             const attn_cluster *cluster, attn_choice *choices, int32_t most,
                             int32_t *count, attn_error *error) {
    const attn_mask mask = attn_mask_spec_mask(problem);
    contest self = {.list = choices, .most = most};

    *count = 0;
    if (attn_choose_fits(wish, cluster->ranks, error) != ATTN_OK) return error->status;
    for (int64_t members = cluster->ranks; members >= 1; members--) {
        attn_way way = {.members = members, .shards = cluster->ranks / members};
        attn_layout layout;

        if (cluster->ranks % members != 0) continue;
        if (wish->members != ATTN_PLAN_AUTO && wish->members != members) continue;
        if (wish->shards != ATTN_PLAN_AUTO && wish->shards != way.shards) continue;
        if (attn_layout_choose(&layout, wish->layout, way.shards, &mask, error) != ATTN_OK)
            return error->status;
        way.layout = layout.kind;
        attn_layout_destroy(&layout);
        if (enter_circulations(&self, problem, wish, cluster, &way, error) != ATTN_OK)
            return error->status;
    }
    if (self.entries == 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "share_nodes: no mesh of these ranks has two of one axis on a node and "
                         "circulates by gather, which is what shares; leave it auto, or take it "
                         "out");
    explain(wish, &self);
    *count = self.count;
    return attn_ok(error);
}

attn_status attn_choose(const attn_problem *problem, const attn_wish *wish,
                        const attn_cluster *cluster, attn_choice *choice, attn_error *error) {
    attn_choice list[2];
    int32_t count;

    if (attn_choose_list(problem, wish, cluster, list, 2, &count, error) == ATTN_OK)
        *choice = list[0];
    return error->status;
}
