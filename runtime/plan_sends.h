/* plan_sends.h: the messages of an execution, told from the plan without sending them. */
#ifndef ATTN_RUNTIME_PLAN_SENDS_H
#define ATTN_RUNTIME_PLAN_SENDS_H

#include <stdint.h>

#include "attnspan/plan.h"

typedef enum attn_send_phase { ATTN_SEND_EXCHANGE, ATTN_SEND_CIRCULATE } attn_send_phase;

/* A message of `bytes` > 0 bytes to rank `to` of the mesh (mesh.h), however it is cut. */
typedef void attn_plan_send_visit(void *context, attn_send_phase phase, int to, int64_t bytes);

/* Tells of all that this rank sends in one execution, in no particular order. Not collective. */
void attn_plan_sends(const attn_plan *plan, attn_plan_send_visit *visit, void *context);

/* The sum of their bytes. */
int64_t attn_plan_send_bytes(const attn_plan *plan);

#endif
