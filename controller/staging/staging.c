/* staging.c - builds: one lookup in a registry each, a few at a time, in the order they came.
 *
 *     STAGING -> (waiting) -> (looking up) -> STAGED with a droplet, or FAILED with the reason */
#include "controller/staging/staging.h"

#include <errno.h>

#include "common/base/clock.h"
#include "controller/logs/logs.h"
#include "controller/staging/internal.h"

#define SOURCE    "STG"
#define IN_FLIGHT 8 /* when deps do not say */

struct job {
    struct job *prev, *next;
    struct staging *staging;
    char build_guid[GUID_SIZE], app_guid[GUID_SIZE];
    char *image; /* as the user gave it */
    char *username, *password;
    struct reference ref;
    struct registry_lookup *lookup; /* NULL while waiting */
};

static void job_free(struct job *j) {
    if (!j)
        return;
    if (j->password)
        mem_wipe(j->password, strlen(j->password));
    free(j->image);
    free(j->username);
    free(j->password);
    free(j);
}
DEFINE_FREEP(job)

int staging_new(struct staging **ret, const struct staging_deps *deps, struct error *err) {
    struct staging *s = mem_zalloc(sizeof *s);
    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->deps = *deps;
    if (!s->deps.max_in_flight)
        s->deps.max_in_flight = IN_FLIGHT;
    if (!s->deps.lookup) {
        s->deps.lookup = registry_lookup;
        s->deps.lookup_cancel = registry_lookup_cancel;
    }
    *ret = s;
    return 0;
}

void staging_free(struct staging *s) {
    if (!s)
        return;
    struct job *j, *tmp;
    DL_FOREACH_SAFE (s->running, j, tmp) {
        s->deps.lookup_cancel(j->lookup);
        job_free(j);
    }
    DL_FOREACH_SAFE (s->waiting, j, tmp) {
        job_free(j);
    }
    tracked_free(s);
    refresh_free(s);
    free(s);
}

static void say(struct job *j, bool wrong, const char *text) {
    logs_printf(j->staging->deps.logs, j->app_guid, SOURCE, wrong, clock_wall_ns(), "%s", text);
}

/* --- how it ends --- */

static void fail(struct job *j, const char *why) {
    struct staging *s = j->staging;
    _cleanup_(build_row_fini) struct build_row build = {0};
    _cleanup_(freep) char *line = str_printf("Staging process failed: %s", why);
    if (line)
        say(j, true, line);
    say(j, true, "Staging Failed");
    if (store_build_get(s->deps.store, j->build_guid, &build, NULL) < 0 ||
        !str_eq(build.state, "STAGING"))
        return; /* deleted, or decided otherwise, meanwhile */
    free(build.error);
    build.error = str_printf("StagingError - Staging error: %s", why);
    if (str_set(&build.state, "FAILED") == 0)
        store_build_update(s->deps.store, &build, NULL);
}

/* Is there anything to start? A process with a command of its own needs none of the image. */
static bool has_command(struct staging *s, const struct job *j,
                        const struct registry_image *image) {
    _cleanup_(process_row_fini) struct process_row web = {0};
    if ((image->entrypoint && image->entrypoint[0]) || (image->cmd && image->cmd[0]))
        return true;
    return store_process_get(s->deps.store, j->app_guid, &web, NULL) == 0 &&
           !str_empty(web.command);
}

static int write_droplet(struct staging *s, struct job *j, struct build_row *build,
                         const struct registry_image *image, struct error *err) {
    _cleanup_(droplet_row_fini) struct droplet_row droplet = {0};
    int r = droplet_fill(&droplet, image, j->image, err);
    if (r < 0)
        return r;
    memcpy(droplet.app_guid, build->app_guid, sizeof droplet.app_guid);
    memcpy(droplet.package_guid, build->package_guid, sizeof droplet.package_guid);
    if ((r = store_droplet_insert(s->deps.store, &droplet, err)) < 0)
        return r;
    memcpy(build->droplet_guid, droplet.guid, sizeof build->droplet_guid);
    if (str_set(&build->state, "STAGED") < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return store_build_update(s->deps.store, build, err);
}

/* New versions: what ran of the app before is replaced. */
static int start_app(struct staging *s, const struct build_row *build, struct error *err) {
    const char *guid = build->app_guid;
    const struct store_filter filter = {"app_guids", &guid, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    int r = store_app_get(s->deps.store, guid, &app, err);
    if (r < 0 || (r = store_process_list(s->deps.store, &query, &rows, err)) < 0)
        return r;
    for (size_t i = 0; i < rows.n; i++) {
        guid_new(rows.v[i].version);
        if ((r = store_process_update(s->deps.store, &rows.v[i], err)) < 0)
            return r;
    }
    memcpy(app.droplet_guid, build->droplet_guid, sizeof app.droplet_guid);
    app.revision_guid[0] = '\0'; /* none was noted of this */
    app.started = true;
    return store_app_update(s->deps.store, &app, err);
}

static int finish(struct staging *s, struct job *j, const struct registry_image *image,
                  struct error *err) {
    _cleanup_(build_row_fini) struct build_row build = {0};
    int r = store_build_get(s->deps.store, j->build_guid, &build, err);
    if (r < 0)
        return r;
    if (!str_eq(build.state, "STAGING"))
        return error_set(err, -ESTALE, "the build is %s already", build.state);
    if ((r = store_begin(s->deps.store, err)) < 0)
        return r;
    if ((r = write_droplet(s, j, &build, image, err)) < 0 ||
        (build.start_after_staging && (r = start_app(s, &build, err)) < 0)) {
        store_rollback(s->deps.store);
        return r;
    }
    if ((r = store_commit(s->deps.store, err)) < 0)
        return r;
    /* What is on disk is true whatever goes wrong here: the next change or start repairs it. */
    if (build.start_after_staging && staging_desire_app(s, build.app_guid, err) < 0)
        say(j, true, err->msg);
    return 0;
}

static void succeed(struct job *j, const struct registry_image *image) {
    struct staging *s = j->staging;
    struct error err = {0};
    if (!has_command(s, j, image)) {
        fail(j, "No start command found or specified: the image has neither ENTRYPOINT nor CMD; "
                "give the app a start command");
        return;
    }
    _cleanup_(freep) char *line =
        str_printf("Image %s is %s, %zu layer%s", j->image, image->ref.digest, image->layer_count,
                   image->layer_count == 1 ? "" : "s");
    int r = finish(s, j, image, &err);
    if (r == -ENOENT || r == -ESTALE)
        return; /* nobody waits for it any more */
    if (r < 0) {
        fail(j, err.msg);
        return;
    }
    if (line)
        say(j, false, line);
    say(j, false, "Staging process finished");
    say(j, false, "Staging Complete");
}

/* --- one at a time, a few at once --- */

static void start_next(struct staging *s);

static void on_found(struct registry_image *image, const struct error *err, void *arg) {
    _cleanup_(registry_image_freep) struct registry_image *found = image;
    _cleanup_(job_freep) struct job *j = arg;
    struct staging *s = j->staging;
    DL_DELETE(s->running, j);
    s->running_n--;
    if (found)
        succeed(j, found);
    else
        fail(j, err->msg);
    start_next(s);
}

static void start_next(struct staging *s) {
    while (s->waiting && s->running_n < s->deps.max_in_flight) {
        struct job *j = s->waiting;
        struct error err = {0};
        const struct registry_credentials credentials = {j->username, j->password};
        DL_DELETE(s->waiting, j);
        say(j, false, "Staging process started ...");
        if (s->deps.lookup(s->deps.http, s->deps.registries, &j->ref, &credentials, on_found, j,
                           &j->lookup, &err) < 0) {
            fail(j, err.msg);
            job_free(j);
            continue;
        }
        DL_APPEND(s->running, j);
        s->running_n++;
    }
}

int staging_check_image(const struct staging *s, const char *image, struct error *err) {
    struct reference ref;
    return image && reference_parse(image, &ref, NULL) == 0
               ? registry_allowed(s->deps.registries, &ref, err)
               : 0;
}

static bool is_in_hand(const struct staging *s, const char *build_guid) {
    const struct job *j;
    DL_FOREACH (s->running, j) {
        if (str_eq(j->build_guid, build_guid))
            return true;
    }
    DL_FOREACH (s->waiting, j) {
        if (str_eq(j->build_guid, build_guid))
            return true;
    }
    return false;
}

int staging_start(struct staging *s, const char *build_guid, struct error *err) {
    _cleanup_(build_row_fini) struct build_row build = {0};
    _cleanup_(package_row_fini) struct package_row package = {0};
    _cleanup_(job_freep) struct job *j = mem_zalloc(sizeof *j);
    int r;
    if (!j)
        return error_set(err, -ENOMEM, "out of memory");
    if (is_in_hand(s, build_guid))
        return 0;
    if ((r = store_build_get(s->deps.store, build_guid, &build, err)) < 0 ||
        (r = store_package_get(s->deps.store, build.package_guid, &package, err)) < 0)
        return r;
    if (!str_eq(build.state, "STAGING"))
        return 0;
    j->staging = s;
    memcpy(j->build_guid, build.guid, sizeof j->build_guid);
    memcpy(j->app_guid, build.app_guid, sizeof j->app_guid);
    if (str_set(&j->image, package.image ? package.image : "") < 0 ||
        str_set(&j->username, package.username) < 0 || str_set(&j->password, package.password) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    if ((r = reference_parse(j->image, &j->ref, err)) < 0)
        return r;
    say(j, false, "Staging...");
    DL_APPEND(s->waiting, j);
    j = NULL;
    start_next(s);
    return 0;
}

int staging_resume(struct staging *s, struct error *err) {
    static const char *const states[] = {"STAGING"};
    const struct store_filter filter = {"states", states, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    _cleanup_(build_rows_fini) struct build_rows rows = {0};
    int r = store_build_list(s->deps.store, &query, &rows, err);
    for (size_t i = 0; r == 0 && i < rows.n; i++) {
        struct error why = {0};
        if (staging_start(s, rows.v[i].guid, &why) == 0)
            continue;
        /* its package is gone or it cannot be read: it will not get better */
        struct job failed = {.staging = s};
        memcpy(failed.build_guid, rows.v[i].guid, sizeof failed.build_guid);
        memcpy(failed.app_guid, rows.v[i].app_guid, sizeof failed.app_guid);
        fail(&failed, why.msg);
    }
    return r;
}
