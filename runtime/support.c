#include "support.h"

#include <stdio.h>
#include <string.h>

#include "circulate.h"
#include "layout.h"
#include "plan_imagine.h"

#define SELF(h, kv)  .batch = 1, .length = 150, .kv_length = 150, .heads = (h), .kv_heads = (kv)
#define WIDTHS(k, v) .key_dim = (k), .value_dim = (v)
#define PLAIN        SELF(3, 3), WIDTHS(16, 16)

static const int64_t starts[] = {0, 1, 60, 97, 150}, key_lengths[] = {150, 0, 37};
static const float slopes[] = {0.5f, 0.125f, 0.03f}, sinks[] = {0.5f, -3, 2};

static const attn_support_row rows[] = {
    {"`mask: none`", {PLAIN}},
    {"`mask: causal`", {PLAIN, .mask = {.causal = ATTN_CAUSAL}}},
    {"`causal: top_left`, N ≠ N_kv",
     {.batch = 1,
      .length = 90,
      .kv_length = 150,
      .heads = 3,
      .kv_heads = 3,
      WIDTHS(16, 16),
      .mask = {.causal = ATTN_CAUSAL_TOP_LEFT}}},
    {"`causal: true`, N ≠ N_kv",
     {.batch = 1,
      .length = 150,
      .kv_length = 90,
      .heads = 3,
      .kv_heads = 3,
      WIDTHS(16, 16),
      .mask = {.causal = ATTN_CAUSAL}}},
    {"`window`", {PLAIN, .mask = {.windowed = 1, .left = 40, .right = 9}}},
    {"`window` and `first`",
     {PLAIN, .mask = {.causal = ATTN_CAUSAL, .windowed = 1, .left = 20, .right = 0, .first = 5}}},
    {"`prefix`", {PLAIN, .mask = {.causal = ATTN_CAUSAL, .prefix = 50}}},
    {"`documents`",
     {PLAIN, .mask = {.causal = ATTN_CAUSAL, .document_count = 4, .document_starts = starts}}},
    {"`key_lengths`",
     {.batch = 3,
      .length = 150,
      .kv_length = 150,
      .heads = 2,
      .kv_heads = 2,
      WIDTHS(16, 16),
      .mask = {.key_lengths = key_lengths}}},
    {"`bias`", {PLAIN, .terms = {.bias_heads = 3}}},
    {"`alibi`", {PLAIN, .mask = {.causal = ATTN_CAUSAL}, .terms = {.slopes = slopes}}},
    {"`softcap`", {PLAIN, .mask = {.causal = ATTN_CAUSAL}, .terms = {.softcap = 5}}},
    {"`sinks`", {PLAIN, .mask = {.causal = ATTN_CAUSAL}, .terms = {.sinks = sinks}}},
    {"`rope`", {PLAIN, .mask = {.causal = ATTN_CAUSAL}, .rope = {.dim = 16, .theta = 1e4}}},
    {"`qk_norm`", {PLAIN, .mask = {.causal = ATTN_CAUSAL}, .qk_norm_eps = 1e-6}},
    {"`kv_heads` (GQA)", {SELF(6, 2), WIDTHS(16, 16), .mask = {.causal = ATTN_CAUSAL}}},
    {"`kv_heads: 1` (MQA)", {SELF(4, 1), WIDTHS(16, 16), .mask = {.causal = ATTN_CAUSAL}}},
    {"d_v ≠ d_k", {SELF(2, 2), WIDTHS(12, 20), .mask = {.causal = ATTN_CAUSAL}}},
    {"decoding: few queries",
     {.batch = 1,
      .length = 2,
      .kv_length = 300,
      .heads = 4,
      .kv_heads = 2,
      WIDTHS(16, 16),
      .mask = {.causal = ATTN_CAUSAL}}},
    {"a layer", {PLAIN, .model_dim = 40, .mask = {.causal = ATTN_CAUSAL}}},
    {"`memory` (cross-attention)",
     {.batch = 1,
      .length = 90,
      .kv_length = 150,
      .heads = 3,
      .kv_heads = 3,
      WIDTHS(16, 16),
      .model_dim = 40,
      .memory_dim = 24}},
};

const attn_support_row *attn_support_row_at(int index) {
    return index >= 0 && index < (int)(sizeof rows / sizeof *rows) ? &rows[index] : NULL;
}

attn_status attn_support_cell(const attn_problem *problem, const char *circulation,
                              const char *layout, attn_storage storage, attn_error *error) {
    const attn_options options = {.storage = storage};
    const attn_cluster cluster = {
        .ranks = 2, .ranks_per_node = 2, .threads = 1, .machine = attn_machine_default()};
    const attn_choice choice = {.way = {.members = 1,
                                        .shards = 2,
                                        .circulate = circulation,
                                        .layout = attn_layout_find(layout)}};
    attn_plan *plan;

    if (attn_plan_imagine(problem, &options, &cluster, &choice, 0, &plan, error) == ATTN_OK)
        attn_plan_destroy(plan);
    return error->status;
}

/* --- the page ------------------------------------------------------------------- */

/* What a cell of the page stands for. */
typedef struct page_cell {
    int taken, refused;
    char reason[sizeof((attn_error *)0)->message]; /* of the last that is refused */
} page_cell;

static attn_status look_at(const attn_problem *problem, const char *circulation, page_cell *cell,
                           attn_error *error) {
    *cell = (page_cell){.taken = 0};
    for (int layout = 0; attn_layout_name(layout) != NULL; layout++)
        for (int storage = 0; storage < ATTN_STORAGES; storage++) {
            attn_status status = attn_support_cell(problem, circulation, attn_layout_name(layout),
                                                   (attn_storage)storage, error);

            if (status == ATTN_ERR_MEMORY) return status;
            cell->taken += status == ATTN_OK;
            cell->refused += status != ATTN_OK;
            if (status != ATTN_OK)
                snprintf(cell->reason, sizeof cell->reason, "%s", error->message);
        }
    return attn_ok(error);
}

/* Layouts and storages that disagree are counted, so that none is silent. */
static void print_cell(const page_cell *cell) {
    if (cell->refused == 0)
        printf(" yes |");
    else if (cell->taken == 0)
        printf(" refused |");
    else
        printf(" %d of %d |", cell->taken, cell->taken + cell->refused);
}

static void print_names(const char *what, const char *(*name)(int)) {
    printf("%s", what);
    for (int i = 0; name(i) != NULL; i++) printf("%s`%s`", i == 0 ? " " : ", ", name(i));
}

attn_status attn_support_print(attn_error *error) {
    char reason[4 * sizeof(page_cell)] = ""; /* each said once */

    printf("A cell stands for");
    print_names(" all layouts,", attn_layout_name);
    print_names(", and storages,", attn_storage_name);
    printf(".\n\n| |");
    for (int c = 0; attn_circulation_name(c) != NULL; c++)
        printf(" `%s` |", attn_circulation_name(c));
    printf("\n|---|");
    for (int c = 0; attn_circulation_name(c) != NULL; c++) printf("---|");
    printf("\n");
    for (int i = 0; attn_support_row_at(i) != NULL; i++) {
        printf("| %s |", rows[i].name);
        for (int c = 0; attn_circulation_name(c) != NULL; c++) {
            page_cell cell;

            if (look_at(&rows[i].problem, attn_circulation_name(c), &cell, error) != ATTN_OK)
                return error->status;
            print_cell(&cell);
            if (cell.refused > 0 && strstr(reason, cell.reason) == NULL)
                snprintf(reason + strlen(reason), sizeof reason - strlen(reason),
                         "\nRefused: %s.\n", cell.reason);
        }
        printf("\n");
    }
    printf("%s", reason);
    return attn_ok(error);
}
