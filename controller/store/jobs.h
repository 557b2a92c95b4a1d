/* jobs.h - the outcome of requests that were answered 202. */
#ifndef CONTROLLER_STORE_JOBS_H
#define CONTROLLER_STORE_JOBS_H

#include "controller/store/store.h"

/* Filters: guids states. */
struct job_row {
    STORE_ROW_HEAD;
    char *operation; /* "app.delete", "space.apply_manifest" */
    char *state;     /* "PROCESSING" | "COMPLETE" | "FAILED" */
    char *errors;    /* JSON list of {code, title, detail}; NULL: none */
    char *warnings;  /* JSON list of {detail}; NULL: none */
};
STORE_DECLARE(job)

int store_job_prune(struct store *s, uint64_t before_ns, struct error *err);

#endif
