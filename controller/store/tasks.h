/* tasks.h - tasks of apps. See store.h for the functions that every resource has. */
#ifndef CONTROLLER_STORE_TASKS_H
#define CONTROLLER_STORE_TASKS_H

#include "controller/store/store.h"

/* Filters: guids names states sequence_ids app_guids space_guids organization_guids. Deleted with
 * its app. */
struct task_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE];
    uint64_t sequence_id; /* 1, 2 ... of its app, never used again; see store_task_number() */
    char *name;
    char *command;        /* sealed; for people: what is run is the run info */
    char *state;          /* "PENDING" | "RUNNING" | "CANCELING" | "SUCCEEDED" | "FAILED" */
    char *failure_reason; /* NULL: none */
    uint64_t memory_mb, disk_mb;
    int64_t log_rate; /* bytes/s; -1: unlimited */
    char droplet_guid[GUID_SIZE];
    char *user;                    /* NULL: the image's */
    char instance_guid[GUID_SIZE]; /* of its one instance, once it is placed */
    char *cell_id;                 /* and where; NULL: nowhere */
    bool began;                    /* its process was seen running */
    uint64_t tries;                /* to start it that failed so far */
    char *labels, *annotations;
    char space_guid[GUID_SIZE]; /* read only */
    char *app_name;             /* read only */
    char *lifecycle;            /* read only; of its app */
};
STORE_DECLARE(task)

/* The next sequence_id of an app. -ENOENT: no such app. */
int store_task_number(struct store *s, const char *app_guid, uint64_t *ret, struct error *err);

/* What it runs (packed Berth__DesiredLrp), sealed; forgotten when it has ended. -ENOENT: none. */
int store_task_set_run_info(struct store *s, const char *guid, const void *data, size_t n,
                            struct error *err);
int store_task_run_info(struct store *s, const char *guid, void **ret, size_t *ret_n,
                        struct error *err);

/* What became of it. A CANCELING one stays that until it has ended, an ended one what it is. One
 * that is gone is fine. */
struct task_progress {
    const char *guid;
    const char *state;                   /* any but CANCELING */
    const char *instance_guid, *cell_id; /* "" for none */
    const char *reason;                  /* of FAILED; "" for none */
    unsigned tries;                      /* as in task_row */
};
int store_task_progress(struct store *s, const struct task_progress *p, struct error *err);

/* Forgets those that ended before. */
int store_task_prune(struct store *s, uint64_t before_ns, struct error *err);

#endif
