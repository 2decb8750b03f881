#include "plan_sends.h"

#include "plan_state.h"

/* From a communicator of the mesh to all ranks: rank `peer` there is `first + peer · stride`. */
typedef struct translation {
    attn_plan_send_visit *visit;
    void *context;
    attn_send_phase phase;
    int first, stride;
} translation;

static void translate(void *context, int peer, int64_t bytes) {
    const translation *self = context;

    self->visit(self->context, self->phase, self->first + peer * self->stride, bytes);
}

void attn_plan_sends(const attn_plan *plan, attn_plan_send_visit *visit, void *context) {
    const attn_mesh *mesh = &plan->mesh;
    translation group = {visit, context, ATTN_SEND_EXCHANGE, mesh->shard * mesh->members, 1};
    translation axis = {visit, context, ATTN_SEND_CIRCULATE, mesh->member, mesh->members};

    attn_exchange_sends_to_heads(&plan->query.exchange, translate, &group);
    attn_exchange_sends_to_heads(&plan->key.exchange, translate, &group);
    attn_exchange_sends_to_heads(&plan->value.exchange, translate, &group);
    attn_exchange_sends_to_rows(&plan->output.exchange, translate, &group);
    attn_circulate_sends(&plan->circulate, translate, &axis);
}

static void add_bytes(void *context, attn_send_phase phase, int to, int64_t bytes) {
    (void)phase;
    (void)to;
    *(int64_t *)context += bytes;
}

int64_t attn_plan_send_bytes(const attn_plan *plan) {
    int64_t bytes = 0;

    attn_plan_sends(plan, add_bytes, &bytes);
    return bytes;
}
