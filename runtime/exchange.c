#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "partition.h"

/* Bytes of a row at member j. */
static int64_t row_bytes(const attn_exchange *exchange, int j) {
    return exchange->width[j] * exchange->elem_bytes;
}

/* Pieces in flight at once: those sent to and received from every other member. */
static int64_t pieces_in_flight(const attn_exchange *exchange) {
    int64_t my_rows = exchange->rows[exchange->member];
    int64_t my_row_bytes = row_bytes(exchange, exchange->member);
    int64_t pieces = 0;

    for (int j = 0; j < exchange->members; j++)
        if (j != exchange->member)
            pieces += attn_transfer_pieces(my_rows * row_bytes(exchange, j)) +
                      attn_transfer_pieces(exchange->rows[j] * my_row_bytes);
    return pieces;
}

attn_status attn_exchange_plan(attn_exchange *exchange, const attn_mesh *mesh, int64_t shard_rows,
                               const int64_t *width, int64_t elem_bytes, attn_buffers *buffers,
                               attn_error *error) {
    size_t members = (size_t)mesh->members;
    int64_t outgoing = 0;

    *exchange =
        (attn_exchange){.members = mesh->members, .member = mesh->member, .elem_bytes = elem_bytes};
    exchange->rows = attn_alloc(members, sizeof *exchange->rows);
    exchange->first_row = attn_alloc(members, sizeof *exchange->first_row);
    exchange->width = attn_alloc(members, sizeof *exchange->width);
    exchange->offset = attn_alloc(members, sizeof *exchange->offset);
    if (exchange->rows == NULL || exchange->first_row == NULL || exchange->width == NULL ||
        exchange->offset == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the head exchange");
    memcpy(exchange->width, width, members * sizeof *width);
    for (int j = 0; j < mesh->members; j++) {
        attn_range rows = attn_deal(shard_rows, mesh->members, j);
        exchange->rows[j] = attn_range_count(rows);
        exchange->first_row[j] = rows.first;
    }
    for (int j = 0; j < mesh->members; j++) {
        exchange->offset[j] = outgoing;
        if (j != mesh->member)
            outgoing += attn_elems(exchange->rows[mesh->member], width[j], elem_bytes);
    }
    attn_buffers_reserve(buffers, attn_elems(shard_rows, width[mesh->member], 1), elem_bytes,
                         &exchange->shard);
    attn_buffers_reserve(buffers, outgoing, 1, &exchange->outgoing);
    return attn_transfer_create(&exchange->transfer, mesh->group, pieces_in_flight(exchange),
                                error);
}

/* My shard's rows that member j holds. */
static char *rows_of(const attn_exchange *exchange, int j) {
    return exchange->shard + exchange->first_row[j] * row_bytes(exchange, exchange->member);
}

void *attn_exchange_region(const attn_exchange *exchange, int member) {
    if (member == exchange->member) return rows_of(exchange, member);
    return exchange->outgoing + exchange->offset[member];
}

/* Pairwise: at distance i every member sends to the one i above and receives from
 * the one i below, so that no member is everybody's first target. */
static void exchange_pairwise(attn_exchange *exchange, int to_heads) {
    int members = exchange->members;
    int64_t my_rows = exchange->rows[exchange->member];
    int64_t my_row_bytes = row_bytes(exchange, exchange->member);

    for (int distance = 1; distance < members; distance++) {
        int above = (exchange->member + distance) % members;
        int below = (exchange->member - distance + members) % members;

        if (to_heads) {
            attn_transfer_receive(&exchange->transfer, rows_of(exchange, below),
                                  exchange->rows[below] * my_row_bytes, below);
            attn_transfer_send(&exchange->transfer, attn_exchange_region(exchange, above),
                               my_rows * row_bytes(exchange, above), above);
        } else {
            attn_transfer_receive(&exchange->transfer, attn_exchange_region(exchange, below),
                                  my_rows * row_bytes(exchange, below), below);
            attn_transfer_send(&exchange->transfer, rows_of(exchange, above),
                               exchange->rows[above] * my_row_bytes, above);
        }
    }
}

void attn_exchange_to_heads(attn_exchange *exchange) {
    exchange_pairwise(exchange, 1);
}

void attn_exchange_to_rows(attn_exchange *exchange) {
    exchange_pairwise(exchange, 0);
}

void attn_exchange_wait(attn_exchange *exchange) {
    attn_transfer_wait(&exchange->transfer);
}

void attn_exchange_sends_to_heads(const attn_exchange *exchange, attn_send_visit *visit,
                                  void *context) {
    for (int j = 0; j < exchange->members; j++) {
        int64_t bytes = exchange->rows[exchange->member] * row_bytes(exchange, j);

        if (j != exchange->member && bytes > 0) visit(context, j, bytes);
    }
}

void attn_exchange_sends_to_rows(const attn_exchange *exchange, attn_send_visit *visit,
                                 void *context) {
    for (int j = 0; j < exchange->members; j++) {
        int64_t bytes = exchange->rows[j] * row_bytes(exchange, exchange->member);

        if (j != exchange->member && bytes > 0) visit(context, j, bytes);
    }
}

void attn_exchange_destroy(attn_exchange *exchange) {
    attn_transfer_destroy(&exchange->transfer);
    free(exchange->offset);
    free(exchange->width);
    free(exchange->first_row);
    free(exchange->rows);
    *exchange = (attn_exchange){0};
}
