/* Causal attention of 8 heads over 4096 tokens, spread over the ranks of MPI_COMM_WORLD. */
#include <attnspan/attnspan.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const attn_problem problem = {.batch = 1,
                                  .length = 4096,
                                  .kv_length = 4096,
                                  .heads = 8,
                                  .kv_heads = 8,
                                  .key_dim = 64,
                                  .value_dim = 64,
                                  .mask = {.causal = ATTN_CAUSAL}};
    const attn_options options = {0}; /* mesh, circulation, kernel and threads: auto */
    attn_plan *plan;
    attn_error error;
    int provided;

    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    if (attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error) == ATTN_OK) {
        const attn_row_list rows = attn_plan_query_rows(plan); /* tokens that this rank holds */
        size_t elems = (size_t)(problem.heads * rows.count * problem.key_dim);
        float *q = malloc(4 * elems * sizeof *q), *k = q + elems, *v = k + elems, *out = v + elems;

        for (size_t i = 0; i < 3 * elems; i++) q[i] = (float)rand() / (float)RAND_MAX - 0.5f;
        attn_execute(plan, q, k, v, out, NULL); /* [heads][rows.count][64], as often as wanted */
        printf("%d rows, from row %d on: %.3f s in attention\n", (int)rows.count,
               rows.count > 0 ? (int)rows.runs[0].first : 0, attn_plan_stats(plan).attend_sec);
        free(q);
        attn_plan_destroy(plan);
    } else {
        fprintf(stderr, "%s\n", error.message); /* the same on all ranks */
    }
    MPI_Finalize();
    return attn_status_exit(error.status);
}
