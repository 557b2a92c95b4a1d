/* internal.h - for the files of this folder only. */
#ifndef CONTROLLER_STAGING_INTERNAL_H
#define CONTROLLER_STAGING_INTERNAL_H

#include "model.pb-c.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION     HASH_FNV
#include <uthash.h>
#include <utlist.h>

#include "common/base/str.h"
#include "controller/staging/staging.h"
#include "controller/store/apps.h"
#include "controller/store/deployments.h"
#include "controller/store/droplets.h"
#include "controller/store/routes.h"
#include "controller/store/tasks.h"

#define APP_FDS            16384 /* Cloud Controller's instance_file_descriptor_limit */
#define DEFAULT_PORT       8080
#define PORTS_MAX          16           /* mapped of one instance */
#define RUN_INFO_MAX_BYTES (512 * 1024) /* fits a message of the bus with room to spare */

struct staging {
    struct staging_deps deps;
    struct job *running, *waiting; /* lookups in flight, and those whose turn is to come */
    unsigned running_n;
    uint64_t passes;         /* of staging_desire_all() */
    struct tracked *tracked; /* what the brain was told of each app */
    struct refresh *refresh; /* under way; NULL: none */
};

/* --- droplet.c: what a registry found, as a row. Fills all but guid, app_guid and package_guid. */
int droplet_fill(struct droplet_row *row, const struct registry_image *image, const char *reference,
                 struct error *err);

/* --- run_info.c: rows to what a cell gets. Pure. */
struct run_rows {
    const struct app_row *app;
    const struct process_row *process; /* of a task: its command, sizes and user's wishes */
    const struct task_row *task;       /* NULL: it is a process */
    const struct droplet_row *droplet;
    const struct package_row *package; /* NULL: its package is gone, there are no credentials */
    const struct destination_row *destinations; /* all of the app */
    size_t destination_count;
    const char *running_env; /* JSON object of strings; NULL: none */
    const char *services;    /* VCAP_SERVICES; NULL: {} */
    const char *api_url;
};
/* The packed Berth__DesiredLrp, owned; the same rows give the same bytes. -ENOEXEC: there is no
 * command; -E2BIG: more than RUN_INFO_MAX_BYTES; -EUCLEAN: a row is damaged; -ENOMEM. */
int run_info_pack(const struct run_rows *rows, void **ret, size_t *ret_n, struct error *err);
/* "host.domain" of a route, owned, or NULL without memory. */
char *run_info_route_host(const struct destination_row *d);

/* --- desire.c */
void tracked_free(struct staging *s);

/* --- refresh.c */
void refresh_free(struct staging *s);
/* What is read once for all processes of an app, or for all apps. */
struct context {
    char *running_env;          /* owned */
    struct domain_rows domains; /* for the internal ones */
};
void context_fini(struct context *c);
int context_read(struct staging *s, struct context *c, struct error *err);

/* --- tasks.c */
/* Tells the brain of every task that has not ended. */
int tasks_desire_all(struct staging *s, struct error *err);

#endif
