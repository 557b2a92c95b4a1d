/* apps.h - apps and their processes. See store.h for the functions that every resource has. */
#ifndef CONTROLLER_STORE_APPS_H
#define CONTROLLER_STORE_APPS_H

#include "controller/store/store.h"

/* Filters: guids names space_guids organization_guids states. Orders: name too. */
struct app_row {
    STORE_ROW_HEAD;
    char *name; /* unique in its space */
    char space_guid[GUID_SIZE];
    bool started;                 /* the wish; false: STOPPED */
    char *lifecycle;              /* "docker" */
    char *env;                    /* sealed; JSON object of strings; NULL: none */
    char droplet_guid[GUID_SIZE]; /* the current droplet */
    bool ssh;
    bool revisions_off;            /* starts make no revisions */
    char revision_guid[GUID_SIZE]; /* made, or found unchanged, when it was last started */
    char *labels, *annotations;    /* JSON objects; NULL: none */
    char *space_name;              /* read only */
    char org_guid[GUID_SIZE];      /* read only */
    char *org_name;                /* read only */
};
STORE_DECLARE(app)

/* Deleting an app deletes its processes, packages, builds, droplets and destinations; routes stay.
 *
 * Filters: guids app_guids space_guids organization_guids types. */
struct process_row {
    STORE_ROW_HEAD; /* guid of type "web": the app's own */
    char app_guid[GUID_SIZE];
    char *type;    /* "web"; unique in its app */
    char *command; /* NULL: the image's own */
    uint64_t instances, memory_mb, disk_mb;
    int64_t log_rate;      /* bytes/s; -1: unlimited */
    char *health_type;     /* "port" | "http" | "process" */
    char *health_endpoint; /* of http; NULL: "/" */
    uint64_t health_timeout_s, health_invocation_s, health_interval_s; /* 0: default */
    char *ready_type; /* "process" (none) | "port" | "http" */
    char *ready_endpoint;
    uint64_t ready_invocation_s, ready_interval_s; /* 0: default */
    /* A new one at each (re)start and, while started, at each change of memory or health check:
     * guid "-" version is the process_guid of the desired LRP. */
    char version[GUID_SIZE];
    bool rolling;    /* this version takes the place of others: old_version rows, deployments.h */
    uint64_t rolled; /* while `rolling`: how many of `instances` are wanted of it by now */
    char *labels, *annotations;
    char space_guid[GUID_SIZE];    /* read only */
    char revision_guid[GUID_SIZE]; /* read only; the app's */
    /* Set by who shows an old version as a process (guid is then the old_version row's): the
     * process whose version it is. Not a column. */
    char old_of[GUID_SIZE];
};
STORE_DECLARE(process)

/* The process_guid of its desired LRP: guid "-" version. */
void process_lrp_guid(const struct process_row *p, char buf[static 2 * GUID_SIZE]);
/* How many instances of its present version are wanted. */
uint64_t process_wanted(const struct process_row *p);

/* What this version of the process runs (packed Berth__DesiredLrp), sealed. It keeps what runs from
 * following changes of the app that wait for a restart (environment, droplet, command, disk), also
 * when the controller restarts: desire from it once it is there. -ENOENT: none for this version. */
int store_process_run_info(struct store *s, const char *process_guid, const char *version,
                           void **ret, size_t *ret_n, struct error *err);
/* Keeps it for the process's present version only. */
int store_process_set_run_info(struct store *s, const char *process_guid, const char *version,
                               const void *data, size_t n, struct error *err);

/* What is taken in an org or in a space, or, when both are NULL, in all. */
struct store_usage {
    uint64_t instances, memory_mb; /* of started apps, as asked for */
    uint64_t routes, services, domains;
};
int store_usage_get(struct store *s, const char *org_guid, const char *space_guid,
                    struct store_usage *ret, struct error *err);

#endif
