/* job_arrays.h: a job's own rows of inputs and results, from files or the generator and to files.
 *
 * Collective, and agreed on, but for what frees them.
 */
#ifndef ATTN_RUNTIME_JOB_ARRAYS_H
#define ATTN_RUNTIME_JOB_ARRAYS_H

#include "job.h"

/* Allocates the arrays and fills in own rows, from files or the generator. */
attn_status attn_job_load(attn_job *job, attn_error *error);

/* Own rows of y and lse to their files, which then get their names. */
attn_status attn_job_write(attn_job *job, attn_error *error);

/* Whether own rows of y and lse are all numbers: fp32 can overflow on finite
 * inputs. (An lse of −inf belongs to a query that sees no key.) */
attn_status attn_job_check_finite(const attn_job *job, attn_error *error);

/* Not collective; NULL arrays are legal. */
void attn_job_free_arrays(attn_job *job);

#endif
