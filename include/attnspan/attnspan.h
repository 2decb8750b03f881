/* attnspan.h: distributed exact multi-head attention.
 *
 *  status.h   how a call says that it failed
 *  plan.h     plan, execute, destroy on the ranks of a communicator
 *  kernels.h  local attention on one core, masks, and the fp64 oracle
 *  rope.h     rotation by position, and the RMS norm of q and k
 */
#ifndef ATTNSPAN_ATTNSPAN_H
#define ATTNSPAN_ATTNSPAN_H

#include "attnspan/kernels.h"
#include "attnspan/plan.h"
#include "attnspan/rope.h"
#include "attnspan/status.h"

#endif
