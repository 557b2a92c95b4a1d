/* staging.h - an image reference becomes a droplet; a droplet and a process become a desired LRP.
 *
 * Both read and write the store's rows; neither knows HTTP requests. Loop thread only. */
#ifndef CONTROLLER_STAGING_STAGING_H
#define CONTROLLER_STAGING_STAGING_H

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/registry/registry.h"

struct event_base;
struct http_client;
struct logs;
struct lrp;
struct staging;
struct store;

/* The store's secret that holds the running environment variable group: a JSON object of strings.
 */
#define STAGING_RUNNING_ENV "running_env"

/* What staging and desiring need. All borrowed. */
struct staging_deps {
    struct event_base *loop; /* NULL: staging_refresh_all() does it all at once */
    struct store *store;
    struct http_client *http;
    const struct registry_config *registries;
    struct logs *logs;
    struct lrp *lrp;
    const char *api_url;    /* for VCAP_APPLICATION's cf_api */
    unsigned max_in_flight; /* lookups at a time; more wait their turn */
    /* registry_lookup() and registry_lookup_cancel() when NULL; for tests. */
    int (*lookup)(struct http_client *http, const struct registry_config *config,
                  const struct reference *ref, const struct registry_credentials *credentials,
                  void (*done)(struct registry_image *image, const struct error *err, void *arg),
                  void *arg, struct registry_lookup **ret, struct error *err);
    void (*lookup_cancel)(struct registry_lookup *l);
};

int staging_new(struct staging **ret, const struct staging_deps *deps, struct error *err);
void staging_free(struct staging *s);
DEFINE_FREEP(staging)

/* May images be named so? 0, also for what is no reference (its staging says why); -EPERM with a
 * text for the user: not of a registry that the operator allows. */
int staging_check_image(const struct staging *s, const char *image, struct error *err);

/* Stages the package of a build whose row is STAGING. When done the build is STAGED with a droplet
 * row, or FAILED with the registry's real reason; log lines go to the app (source STG). On an error
 * returned here nothing was started and the row is as it was. */
int staging_start(struct staging *s, const char *build_guid, struct error *err);
/* After a controller start: builds that were STAGING when it ended are staged again. */
int staging_resume(struct staging *s, struct error *err);

/* Reads the app's rows and tells the brain what should run of it: nothing when it is stopped,
 * deleted, has no droplet, or is a Docker app while diego_docker is off. Call after every change of
 * an app, its processes, environment, droplet or routes. A process that cannot run (no command) is
 * not desired and says so in the app's log. */
int staging_desire_app(struct staging *s, const char *app_guid, struct error *err);
/* The same for every app, after a start: at once, before anything else happens. */
int staging_desire_all(struct staging *s, struct error *err);
/* The same for every started app, a few a loop turn: when diego_docker is switched. What cannot be
 * read says so in its app's log. */
int staging_refresh_all(struct staging *s, struct error *err);

/* What a task runs, packed (owned), from its row and the app's and droplet's: kept with the row, it
 * does not follow later changes of the app. `command` NULL: the image's own. -ENOEXEC: there is no
 * command; -E2BIG: it is too much. */
struct app_row;
struct droplet_row;
struct task_row;
int staging_pack_task(struct staging *s, const struct app_row *app,
                      const struct droplet_row *droplet, const struct task_row *task,
                      const char *command, void **ret, size_t *ret_n, struct error *err);
/* Tells the brain what a task's row says: to run it, or to end it. staging_desire_all() does the
 * same for all, and ends those of Docker apps while diego_docker is off. */
int staging_desire_task(struct staging *s, const char *task_guid, struct error *err);

/* Takes every deployment that is ACTIVE as far as what runs now allows. Call it again when an
 * instance began to run or crashed, and every second while *ret_active of them are left (not set on
 * an error that says nothing of them). */
int staging_roll(struct staging *s, size_t *ret_active, struct error *err);

#endif
