/* deployments.c - versions of an app: taking the place of the last one instance by instance
 * (`--strategy`), and going back to an earlier one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

#define POLL_FIRST_US 50000u
#define POLL_MOST_US  500000u

int deploying_check(const struct deploying *d, struct error *err) {
    uint64_t n;
    if (d->strategy && !str_eq(d->strategy, "rolling") && !str_eq(d->strategy, "canary"))
        return error_set(err, -EINVAL,
                         "Incorrect Usage: STRATEGY must be \"canary\", \"rolling\" or not set");
    if (d->max_in_flight && parse_u64(d->max_in_flight, 1, INT32_MAX, &n) < 0)
        return error_set(err, -EINVAL,
                         "Incorrect Usage: --max-in-flight must be greater than or equal to 1");
    if (d->max_in_flight && !d->strategy)
        return error_set(err, -EINVAL,
                         "Incorrect Usage: --max-in-flight needs --strategy rolling or canary");
    return 0;
}

/* --- following one
 * ------------------------------------------------------------------------------------
 */

/* Whether an instance of what comes is up. */
static bool first_is_up(struct cli *cli, const json_t *deployment) {
    json_t *stats = NULL, *one;
    const json_t *process = json_array_get(json_object_get(deployment, "new_processes"), 0);
    bool up = false;
    size_t i;
    if (rest_get(&cli->rest, &stats, NULL, "/v3/processes/%s/stats", json_text(process, "guid")) ==
        0)
        json_array_foreach(json_object_get(stats, "resources"), i, one) {
            up |= str_eq(json_text(one, "state"), "RUNNING");
        }
    json_decref(stats);
    return up;
}

/* 1 done, 0 not yet, negative failed. */
static int look_at(struct cli *cli, const char *guid, const char *name, bool no_wait,
                   struct error *err) {
    json_t *deployment = NULL;
    int r = rest_get(&cli->rest, &deployment, err, "/v3/deployments/%s", guid);
    if (r < 0)
        return r;
    const char *reason = json_text_at(deployment, "status.reason");
    if (str_eq(reason, "PAUSED")) {
        printf("Deployment is paused: run 'berth continue-deployment %s' to go on, or 'berth "
               "cancel-deployment %s' to go back.\n",
               name, name);
        r = 1;
    } else if (str_eq(reason, "CANCELED") || str_eq(reason, "SUPERSEDED")) {
        r = error_set(err, -ECANCELED, "Deployment has been %s",
                      str_eq(reason, "CANCELED") ? "canceled" : "superseded");
    } else if (!str_eq(json_text_at(deployment, "status.value"), "ACTIVE")) {
        r = 1;
    } else if (no_wait && first_is_up(cli, deployment)) {
        printf("First instance is up, the others follow in the background\n");
        r = 1;
    }
    json_decref(deployment);
    return r;
}

static int follow(struct cli *cli, const char *guid, const char *name, bool no_wait,
                  struct error *err) {
    printf("Waiting for app to deploy...\n\n");
    fflush(stdout);
    for (unsigned wait_us = POLL_FIRST_US;; wait_us = MIN(wait_us * 2, POLL_MOST_US)) {
        int r = look_at(cli, guid, name, no_wait, err);
        if (r != 0)
            return MIN(r, 0);
        usleep(wait_us);
    }
}

int deploy_app(struct cli *cli, const char *name, const char *app_guid, const struct deploying *d,
               const char *what, const char *what_guid, struct error *err) {
    json_t *body = json_pack("{s:s,s:{s:{s:{s:s}}}}", "strategy", d->strategy, "relationships",
                             "app", "data", "guid", app_guid),
           *deployment = NULL;
    uint64_t n;
    if (d->max_in_flight && parse_u64(d->max_in_flight, 1, INT32_MAX, &n) == 0)
        json_object_set_new(body, "options", json_pack("{s:I}", "max_in_flight", (json_int_t)n));
    if (what)
        json_object_set_new(body, what, json_pack("{s:s}", "guid", what_guid));
    printf("Creating deployment for app %s...\n\n", name);
    int r = rest_call(&cli->rest, "POST", "/v3/deployments", body, &deployment, err);
    if (r == 0)
        r = follow(cli, json_text(deployment, "guid"), name, d->no_wait, err);
    json_decref(deployment);
    json_decref(body);
    return r;
}

/* --- cancel, continue
 * ---------------------------------------------------------------------------------
 */

/* The guid of the app's deployment that is under way; owned. */
static int find_active(struct cli *cli, const char *name, char **ret, struct error *err) {
    json_t *app = NULL, *list = NULL;
    int r = cli_find_app(cli, name, &app, err);
    if (r == 0)
        r = rest_get(&cli->rest, &list, err,
                     "/v3/deployments?app_guids=%s&status_values=ACTIVE&per_page=1",
                     json_text(app, "guid"));
    json_t *one = json_array_get(json_object_get(list, "resources"), 0);
    if (r == 0 && !one)
        r = error_set(err, -ENOENT, "No active deployment found for app.");
    else if (r == 0 && !(*ret = str_dup(json_text(one, "guid"))))
        r = error_set(err, -ENOMEM, "out of memory");
    json_decref(list);
    json_decref(app);
    return r;
}

static int change(struct cli *cli, const char *guid, const char *action, struct error *err) {
    _cleanup_(freep) char *path = str_printf("/v3/deployments/%s/actions/%s", guid, action);
    return path ? rest_call(&cli->rest, "POST", path, NULL, NULL, err)
                : error_set(err, -ENOMEM, "out of memory");
}

int cmd_cancel_deployment(struct cli *cli, int argc, char **argv, struct error *err) {
    _cleanup_(freep) char *guid = NULL;
    struct args a;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    cli_say(cli, "Canceling deployment for app", a.positional[0]);
    if ((r = find_active(cli, a.positional[0], &guid, err)) < 0 ||
        (r = change(cli, guid, "cancel", err)) < 0)
        return r;
    cli_ok();
    return 0;
}

int cmd_continue_deployment(struct cli *cli, int argc, char **argv, struct error *err) {
    _cleanup_(freep) char *guid = NULL;
    bool no_wait = false;
    const struct flag flags[] = {{"--no-wait", NULL, NULL, &no_wait}};
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    cli_say(cli, "Continuing deployment for app", a.positional[0]);
    if ((r = find_active(cli, a.positional[0], &guid, err)) < 0 ||
        (r = change(cli, guid, "continue", err)) < 0 ||
        (r = follow(cli, guid, a.positional[0], no_wait, err)) < 0)
        return r;
    return show_app(cli, a.positional[0], true, err);
}

/* --- revisions
 * ----------------------------------------------------------------------------------------
 */

static bool has_guid(const json_t *list, const char *guid) {
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) {
        if (str_eq(json_text(one, "guid"), guid))
            return true;
    }
    return false;
}

int cmd_revisions(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"revision", "description", "deployable", "revision guid",
                                         "created at"};
    struct args a;
    json_t *app = NULL, *list = NULL, *deployed = NULL, *one;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    const char *guid = json_text(app, "guid");
    cli_say(cli, "Getting revisions for app", a.positional[0]);
    printf("\n");
    r = rest_list(&cli->rest, &list, err, "/v3/apps/%s/revisions?order_by=-created_at", guid);
    if (r == 0)
        r = rest_list(&cli->rest, &deployed, err, "/v3/apps/%s/revisions/deployed", guid);
    if (r == 0 && json_array_size(list) == 0) {
        printf("No revisions found\n");
    } else if (r == 0) {
        struct table *t = table_new(header, ARRAY_SIZE(header));
        size_t i;
        json_array_foreach(list, i, one) {
            table_add(t, "%" PRId64 "%s", (int64_t)json_number(one, "version"),
                      has_guid(deployed, json_text(one, "guid")) ? "(deployed)" : "");
            table_add(t, "%s", json_text(one, "description"));
            table_add(t, "%s", json_is_true(json_object_get(one, "deployable")) ? "true" : "false");
            table_add(t, "%s", json_text(one, "guid"));
            table_add(t, "%s", json_text(one, "created_at"));
        }
        table_print(t);
        table_free(t);
    }
    json_decref(deployed);
    json_decref(list);
    json_decref(app);
    return r;
}

static bool confirm(const char *name, const char *version) {
    char line[16] = "";
    printf("Really roll app %s back to revision %s? [yN]: ", name, version);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int roll_back(struct cli *cli, const char *name, const char *version,
                     const struct deploying *d, struct error *err) {
    json_t *app = NULL, *list = NULL;
    int r = cli_find_app(cli, name, &app, err);
    if (r == 0)
        r = rest_get(&cli->rest, &list, err, "/v3/apps/%s/revisions?versions=%s",
                     json_text(app, "guid"), version);
    const json_t *one = json_array_get(json_object_get(list, "resources"), 0);
    if (r == 0 && !one)
        r = error_set(err, -ENOENT, "Revision '%s' not found", version);
    if (r == 0)
        r = deploy_app(cli, name, json_text(app, "guid"), d, "revision", json_text(one, "guid"),
                       err);
    json_decref(list);
    json_decref(app);
    return r;
}

int cmd_rollback(struct cli *cli, int argc, char **argv, struct error *err) {
    struct deploying d = {0};
    const char *version = NULL;
    bool force = false;
    uint64_t n;
    const struct flag flags[] = {
        {"--version", NULL, &version, NULL}, {"-f", NULL, NULL, &force}, DEPLOYING_FLAGS(d)};
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    d.strategy = d.strategy ? d.strategy : "rolling";
    if ((r = deploying_check(&d, err)) < 0)
        return r;
    if (!version || parse_u64(version, 1, INT32_MAX, &n) < 0)
        return error_set(err, -EINVAL, "Incorrect Usage: --version must be a revision's number");
    if (!force && !confirm(a.positional[0], version)) {
        printf("App '%s' has not been rolled back to revision '%s'.\n", a.positional[0], version);
        return 0;
    }
    printf("Rolling back to revision %s for app %s in org %s / space %s as %s...\n\n", version,
           a.positional[0], cli->session.org, cli->session.space, cli->session.user);
    r = roll_back(cli, a.positional[0], version, &d, err);
    return r < 0 ? r : show_app(cli, a.positional[0], true, err);
}
