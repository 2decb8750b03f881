/* plan_report.h: what attnspan plan says. */
#ifndef ATTN_RUNTIME_PLAN_REPORT_H
#define ATTN_RUNTIME_PLAN_REPORT_H

#include "job.h"
#include "survey.h"

enum { ATTN_PLAN_CHOICES = 8 };

typedef struct attn_plan_report {
    const attn_job *job; /* borrowed */
    attn_cluster cluster;
    int64_t nodes;
    attn_choice choice;                  /* what the config asks for */
    attn_choice open[ATTN_PLAN_CHOICES]; /* by predicted time, with nothing stated */
    int32_t open_count;
    attn_survey survey;
} attn_plan_report;

/* What the prediction says is in short supply. */
typedef enum attn_limit { ATTN_LIMIT_COMPUTE, ATTN_LIMIT_NETWORK, ATTN_LIMIT_MEMORY } attn_limit;

attn_limit attn_plan_report_limit(const attn_plan_report *report);
const char *attn_limit_name(attn_limit limit);

/* Seconds of the prediction in which ranks wait for messages. */
double attn_plan_report_network_sec(const attn_plan_report *report);

/* Within 80 columns, to stdout. Not collective. */
void attn_plan_report_print(const attn_plan_report *report);

/* The same for programs; the caller frees it. NULL without memory. */
char *attn_plan_report_json(const attn_plan_report *report);

#endif
