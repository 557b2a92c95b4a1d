#include "controller/store/jobs.h"

#include "controller/store/internal.h"

static const struct column job_columns[] = {
    COLUMN_HEAD(job_row),
    COLUMN(job_row, COLUMN_TEXT, operation),
    COLUMN(job_row, COLUMN_TEXT, state),
    COLUMN(job_row, COLUMN_TEXT, errors),
    COLUMN(job_row, COLUMN_TEXT, warnings),
};

static const struct filter job_filters[] = {{"guids", "t.guid"}, {"states", "t.state"}};

static const struct table job_table = {
    .name = "jobs",
    .thing = "job",
    .row_size = sizeof(struct job_row),
    .columns = job_columns,
    .column_count = ARRAY_SIZE(job_columns),
    .filters = job_filters,
    .filter_count = ARRAY_SIZE(job_filters),
};
STORE_DEFINE(job)

int store_job_prune(struct store *s, uint64_t before_ns, struct error *err) {
    return table_prune(s, "jobs", "created_ns", before_ns, err);
}
