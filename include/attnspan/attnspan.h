/* attnspan.h: distributed exact multi-head attention.
 *
 *  status.h   how a call says that it failed
 *  plan.h     plan, execute, destroy on the ranks of a communicator
 *  machine.h  rates of a cluster, from which a plan chooses what is left open
 *  kernels.h  local attention on one core, masks, and the fp64 oracle
 *  rope.h     rotation by position, and the RMS norm of q and k
 */
#ifndef ATTNSPAN_ATTNSPAN_H
#define ATTNSPAN_ATTNSPAN_H

#include "attnspan/kernels.h"
#include "attnspan/machine.h"
#include "attnspan/plan.h"
#include "attnspan/rope.h"
#include "attnspan/status.h"

#endif
