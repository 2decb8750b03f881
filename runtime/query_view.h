/* query_view.h: what a mask lets a query see, in figures of what its kernel calls cost.
 *
 * From up to 512 queries, at places that no block is in step with. Cost: O(512 log documents). Not
 * collective.
 */
#ifndef ATTN_RUNTIME_QUERY_VIEW_H
#define ATTN_RUNTIME_QUERY_VIEW_H

#include "attnspan/kernels.h"

/* Of a query on average. */
typedef struct attn_query_view {
    double edges;  /* ends of its keys that the mask cuts off */
    double blocks; /* of keys that it sees some of */
} attn_query_view;

attn_query_view attn_query_view_of(const attn_mask *mask);

#endif
