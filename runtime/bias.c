#include "bias.h"

#include "agree.h"

/* The rows of a list, run by run. */
static attn_status read_rows(attn_tensor_reader *reader, const attn_problem *problem, int64_t head,
                             const attn_row_list *rows, float *out, attn_error *error) {
    attn_ok(error);
    for (int64_t i = 0; i < rows->run_count && error->status == ATTN_OK; i++) {
        int64_t elems = rows->runs[i].count * problem->kv_length;

        attn_tensor_reader_read(reader,
                                (head * problem->length + rows->runs[i].first) * problem->kv_length,
                                elems, out, error);
        out += elems;
    }
    return error->status;
}

attn_status attn_bias_load(MPI_Comm comm, const attn_inputs *inputs, attn_plan *plan,
                           const attn_plan_info *info, attn_error *error) {
    const attn_problem *problem = &inputs->problem;
    const int for_each = problem->terms.bias_heads > 1;
    const int64_t heads = for_each ? info->head_count : 1;
    const int64_t head_elems = info->shard_queries.count * problem->kv_length;
    attn_tensor_reader *reader;

    if (problem->terms.bias_heads == 0) return attn_ok(error);
    if (attn_tensor_reader_open(comm, &inputs->bias, &reader, error) != ATTN_OK)
        return error->status;
    attn_tensor_reader_allow_minus_infinity(reader);
    for (int64_t i = 0; i < heads && error->status == ATTN_OK; i++)
        read_rows(reader, problem, for_each ? info->first_head + i : 0, &info->shard_queries,
                  attn_plan_bias(plan) + i * head_elems, error);
    attn_tensor_reader_close(reader);
    return attn_agree(comm, "load", error);
}

attn_status attn_bias_read(attn_tensor_reader *reader, const attn_problem *problem, int64_t head,
                           int64_t row, const attn_row_list *keys, float *out, attn_error *error) {
    attn_ok(error);
    for (int64_t i = 0; i < keys->run_count && error->status == ATTN_OK; i++) {
        attn_tensor_reader_read(
            reader, (head * problem->length + row) * problem->kv_length + keys->runs[i].first,
            keys->runs[i].count, out, error);
        out += keys->runs[i].count;
    }
    return error->status;
}
