/* jobs.c - what came of a request that was answered 202. */
#include "controller/store/jobs.h"

#include "controller/api/resources.h"

int get_job(struct call *c) {
    _cleanup_(job_row_fini) struct job_row job = {0};
    struct error err = {0};
    int r = store_job_get(c->api->deps.store, c->params[0], &job, &err);
    if (need_found(c, r, &err, "Job") < 0)
        return -1;
    return reply_json(c, 200,
                      json_pack("{s:s,s:o,s:o,s:s,s:s,s:o,s:o,s:{s:o}}", "guid", job.guid,
                                "created_at", json_time(job.created_ns), "updated_at",
                                json_time(job.updated_ns), "operation", job.operation, "state",
                                job.state, "errors", json_stored(job.errors, "[]"), "warnings",
                                json_stored(job.warnings, "[]"), "links", "self",
                                json_link(c, "/v3/jobs/%s", job.guid)));
}
