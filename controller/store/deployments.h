/* deployments.h - deployments, the versions of a process that they replace, and revisions. */
#ifndef CONTROLLER_STORE_DEPLOYMENTS_H
#define CONTROLLER_STORE_DEPLOYMENTS_H

#include "controller/store/apps.h"
#include "controller/store/store.h"

/* One version of an app's web process taking the place of another, instance by instance. At most
 * one of an app is ACTIVE. While it is, process_row.rolled says how many instances of the version
 * that comes are wanted, and old_version rows how many of those that go.
 *
 * Filters: guids app_guids status_values status_reasons states space_guids organization_guids. */
struct deployment_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE];
    char *strategy;      /* "rolling" | "canary" */
    char *status_value;  /* "ACTIVE" | "FINALIZED" */
    char *status_reason; /* ACTIVE: "DEPLOYING" | "PAUSED" | "CANCELING"; FINALIZED: "DEPLOYED" |
                            "CANCELED" | "SUPERSEDED" */
    uint64_t changed_ns; /* of the status */
    uint64_t healthy_ns; /* when another instance was last found to serve; 0: none yet */
    uint64_t max_in_flight;
    char *canary_steps;   /* JSON list of weights in per cent; NULL: no canary */
    uint64_t canary_step; /* the present one, from 0; as many as there are: past all of them */
    char droplet_guid[GUID_SIZE];          /* of what comes; may be gone by now, as the next */
    char previous_droplet_guid[GUID_SIZE]; /* what a cancel goes back to */
    char revision_guid[GUID_SIZE];
    uint64_t revision_version;    /* 0: no revision */
    char process_guid[GUID_SIZE]; /* the web process */
    /* Its figures from before the deployment's own options: what a cancel goes back to. */
    uint64_t previous_instances, previous_memory_mb, previous_disk_mb;
    int64_t previous_log_rate;
    char *labels, *annotations;
    char space_guid[GUID_SIZE]; /* read only */
    char *app_name;             /* read only */
    char org_guid[GUID_SIZE];   /* read only */
};
STORE_DECLARE(deployment)

/* -ENOENT: no deployment of this app is ACTIVE. */
int store_deployment_active(struct store *s, const char *app_guid, struct deployment_row *ret,
                            struct error *err);
/* Deletes the oldest of those that are FINALIZED, until `keep` are left of this app. */
int store_deployment_trim(struct store *s, const char *app_guid, uint64_t keep, struct error *err);

/* A version of a process that still runs, but goes. Made by store_old_version_retire() only.
 *
 * Filters: guids app_guids. */
struct old_version_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE], process_guid[GUID_SIZE];
    char version[GUID_SIZE]; /* process_guid "-" version: the desired LRP */
    bool whole;              /* it was all of the process once: what a cancel goes back to */
    uint64_t instances;      /* wanted now */
    uint64_t memory_mb, disk_mb;
    int64_t log_rate;
    char droplet_guid[GUID_SIZE], revision_guid[GUID_SIZE]; /* may be gone by now */
    char space_guid[GUID_SIZE];                             /* read only */
};
STORE_DECLARE(old_version)

/* Keeps what the process's present version runs as a new row; the caller then gives the process
 * another version. *row comes filled but for the process's guid and version. -ENOENT: nothing is
 * kept for that version, which so never ran. */
int store_old_version_retire(struct store *s, const struct process_row *process,
                             struct old_version_row *row, struct error *err);
/* What it runs, as store_process_run_info(). */
int store_old_version_run_info(struct store *s, const struct old_version_row *row, void **ret,
                               size_t *ret_n, struct error *err);
/* The other way round: the process has the old version again, in *process too; the row is gone. */
int store_old_version_restore(struct store *s, const struct old_version_row *row,
                              struct process_row *process, struct error *err);
/* All of an app. */
int store_old_versions_delete(struct store *s, const char *app_guid, struct error *err);

/* What an app was made of when it was started: droplet, environment, commands. Filters: guids
 * app_guids versions deployable ("true", "false"). */
struct revision_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE];
    uint64_t version; /* from 1, by app */
    char droplet_guid[GUID_SIZE];
    char *description;
    char *env;      /* sealed; as app_row.env */
    char *commands; /* JSON object: process type to command or null */
    char *labels, *annotations;
    bool deployable;            /* read only: its droplet is there */
    char space_guid[GUID_SIZE]; /* read only */
};
STORE_DECLARE(revision)
/* Deletes the oldest, until `keep` are left of this app. */
int store_revision_trim(struct store *s, const char *app_guid, uint64_t keep, struct error *err);

#endif
