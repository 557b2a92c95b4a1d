/* apps.c - the life of an app: list, show, start, stop, restart, restage, scale, rename, delete. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

static int post_action(struct cli *cli, const char *app_guid, const char *action,
                       struct error *err) {
    _cleanup_(freep) char *path = str_printf("/v3/apps/%s/actions/%s", app_guid, action);
    return path ? rest_call(&cli->rest, "POST", path, NULL, NULL, err)
                : error_set(err, -ENOMEM, "out of memory");
}

/* --- apps ----------------------------------------------------------------------------------------
 */

/* Texts for the columns "processes" and "routes" of every app, by app guid. */
struct columns {
    json_t *processes, *routes; /* objects of strings */
};

static void join(json_t *texts, const char *guid, const char *more) {
    const char *was = json_string_value(json_object_get(texts, guid));
    _cleanup_(freep) char *text = was ? str_printf("%s, %s", was, more) : str_dup(more);
    if (text)
        json_object_set_new(texts, guid, json_string(text));
}

/* With what runs of them: no request a process. */
static int fill_processes(struct cli *cli, const char *guids, struct columns *c,
                          struct error *err) {
    json_t *list = NULL, *process, *one;
    size_t i, k;
    int r = rest_list(&cli->rest, &list, err,
                      "/v3/processes?per_page=5000&embed=process_instances&app_guids=%s", guids);
    if (r < 0)
        return r;
    json_array_foreach(list, i, process) {
        size_t running = 0;
        char text[64];
        json_array_foreach(json_object_get(process, "process_instances"), k, one) {
            running += str_eq(json_text(one, "state"), "RUNNING");
        }
        snprintf(text, sizeof text, "%s:%zu/%" PRId64, json_text(process, "type"), running,
                 (int64_t)json_number(process, "instances"));
        join(c->processes, json_text_at(process, "relationships.app.data.guid"), text);
    }
    json_decref(list);
    return 0;
}

static int fill_routes(struct cli *cli, const char *guids, struct columns *c, struct error *err) {
    json_t *list = NULL, *route, *destination;
    size_t i, k;
    int r = rest_list(&cli->rest, &list, err, "/v3/routes?per_page=5000&app_guids=%s", guids);
    if (r < 0)
        return r;
    json_array_foreach(list, i, route) {
        json_array_foreach(json_object_get(route, "destinations"), k, destination) {
            join(c->routes, json_text_at(destination, "app.guid"), json_text(route, "url"));
        }
    }
    json_decref(list);
    return 0;
}

#define GUIDS_A_REQUEST 50 /* keeps the request line short */

static int fill_columns(struct cli *cli, const json_t *apps, struct columns *c, struct error *err) {
    size_t count = json_array_size(apps);
    int r = 0;
    for (size_t at = 0; r == 0 && at < count; at += GUIDS_A_REQUEST) {
        _cleanup_(strbuf_fini) struct strbuf guids = {0};
        for (size_t i = at; i < MIN(at + GUIDS_A_REQUEST, count); i++)
            strbuf_printf(&guids, "%s%s", i > at ? "," : "",
                          json_text(json_array_get(apps, i), "guid"));
        r = fill_processes(cli, guids.p, c, err);
        if (r == 0)
            r = fill_routes(cli, guids.p, c, err);
    }
    return r;
}

int cmd_apps(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"name", "requested state", "processes", "routes"};
    struct args a;
    int r = args_parse(argc, argv, NULL, 0, 0, 0, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    cli_say(cli, "Getting apps", "");
    printf("\n");
    json_t *apps = NULL, *app;
    r = rest_list(&cli->rest, &apps, err, "/v3/apps?order_by=name&per_page=5000&space_guids=%s",
                  cli->session.space_guid);
    if (r < 0)
        return r;
    struct columns c = {json_object(), json_object()};
    r = fill_columns(cli, apps, &c, err);
    if (r == 0 && json_array_size(apps) == 0) {
        printf("No apps found\n");
    } else if (r == 0) {
        struct table *t = table_new(header, ARRAY_SIZE(header));
        size_t i;
        json_array_foreach(apps, i, app) {
            const char *guid = json_text(app, "guid");
            table_add(t, "%s", json_text(app, "name"));
            table_add(t, "%s", str_eq(json_text(app, "state"), "STARTED") ? "started" : "stopped");
            table_add(t, "%s", json_text(c.processes, guid));
            table_add(t, "%s", json_text(c.routes, guid));
        }
        table_print(t);
        table_free(t);
    }
    json_decref(c.processes);
    json_decref(c.routes);
    json_decref(apps);
    return r;
}

int cmd_app(struct cli *cli, int argc, char **argv, struct error *err) {
    bool guid_only = false;
    const struct flag flags[] = {{"--guid", NULL, NULL, &guid_only}};
    struct args a;
    int r = args_parse(argc, argv, flags, 1, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    if (guid_only) {
        json_t *app = NULL;
        if ((r = cli_find_app(cli, a.positional[0], &app, err)) == 0)
            printf("%s\n", json_text(app, "guid"));
        json_decref(app);
        return r;
    }
    cli_say(cli, "Showing health and status for app", a.positional[0]);
    return show_app(cli, a.positional[0], false, err);
}

/* --- start, stop, restart, restage
 * ------------------------------------------------------------------ */

/* The newest package's guid (owned); NULL when the app has none. */
static int newest_package(struct cli *cli, const char *app_guid, char **ret, struct error *err) {
    json_t *list = NULL;
    int r = rest_get(&cli->rest, &list, err,
                     "/v3/packages?app_guids=%s&order_by=-created_at&per_page=1", app_guid);
    if (r < 0)
        return r;
    json_t *package = json_array_get(json_object_get(list, "resources"), 0);
    *ret = package ? str_dup(json_text(package, "guid")) : NULL;
    json_decref(list);
    return 0;
}

/* Stages the newest package unless it was staged already (or `again`). The droplet as
 * stage_package() has it; NULL when nothing was staged. */
static int stage_newest(struct cli *cli, const char *app_guid, bool again, struct tail *tail,
                        char **ret_droplet, struct error *err) {
    _cleanup_(freep) char *package = NULL;
    json_t *droplets = NULL;
    int r = newest_package(cli, app_guid, &package, err);
    if (r < 0)
        return r;
    if (!package)
        return again ? error_set(err, -ENOENT, "App has no package: push it with -o IMAGE first.")
                     : 0;
    r = rest_get(&cli->rest, &droplets, err, "/v3/packages/%s/droplets?per_page=1&states=STAGED",
                 package);
    bool staged = json_array_size(json_object_get(droplets, "resources")) > 0;
    json_decref(droplets);
    if (r < 0 || (staged && !again))
        return r;
    printf("Staging app and tracing logs...\n");
    return stage_package(cli, app_guid, package, tail, ret_droplet, err);
}

enum how { HOW_START, HOW_RESTART, HOW_RESTAGE };

static int bring_up(struct cli *cli, int argc, char **argv, enum how how, struct error *err) {
    static const char *const doing[] = {"Starting app", "Restarting app", "Restaging app"};
    struct deploying d = {0};
    const struct flag flags[] = {DEPLOYING_FLAGS(d)};
    struct args a;
    json_t *app = NULL;
    struct tail tail;
    _cleanup_(freep) char *droplet = NULL;
    int r = args_parse(argc, argv, flags, how == HOW_START ? 0 : ARRAY_SIZE(flags), 1, 1, &a, err);
    if (r < 0 || (r = deploying_check(&d, err)) < 0 ||
        (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    const char *guid = json_text(app, "guid"), *name = a.positional[0];
    bool started = str_eq(json_text(app, "state"), "STARTED");
    cli_say(cli, doing[how], name);
    if (how == HOW_START && started) {
        printf("App '%s' is already started.\n", name);
        cli_ok();
        json_decref(app);
        return 0;
    }
    printf("\n");
    tail_begin(cli, guid, &tail);
    r = stage_newest(cli, guid, how == HOW_RESTAGE, &tail, d.strategy ? &droplet : NULL, err);
    if (r == 0 && d.strategy) {
        r = deploy_app(cli, name, guid, &d, droplet ? "droplet" : NULL, droplet, err);
        json_decref(app);
        return r < 0 ? r : show_app(cli, name, true, err);
    }
    if (r == 0 && how != HOW_START && started) {
        printf("Stopping app...\n\n");
        r = post_action(cli, guid, "stop", err);
    }
    if (r == 0)
        r = post_action(cli, guid, "start", err);
    if (r == 0)
        r = wait_for_start(cli, name, guid, &tail, err);
    json_decref(app);
    return r < 0 ? r : show_app(cli, name, true, err);
}

int cmd_start(struct cli *cli, int argc, char **argv, struct error *err) {
    return bring_up(cli, argc, argv, HOW_START, err);
}

int cmd_restart(struct cli *cli, int argc, char **argv, struct error *err) {
    return bring_up(cli, argc, argv, HOW_RESTART, err);
}

int cmd_restage(struct cli *cli, int argc, char **argv, struct error *err) {
    return bring_up(cli, argc, argv, HOW_RESTAGE, err);
}

int cmd_stop(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *app = NULL;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    cli_say(cli, "Stopping app", a.positional[0]);
    if (str_eq(json_text(app, "state"), "STOPPED"))
        printf("App '%s' is already stopped.\n", a.positional[0]);
    else
        r = post_action(cli, json_text(app, "guid"), "stop", err);
    json_decref(app);
    if (r == 0)
        cli_ok();
    return r;
}

int cmd_restart_instance(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *app = NULL;
    int r = args_parse(argc, argv, NULL, 0, 2, 2, &a, err);
    if (r < 0 || (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    printf("Restarting instance %s of process web of app %s in org %s / space %s as %s...\n",
           a.positional[1], a.positional[0], cli->session.org, cli->session.space,
           cli->session.user);
    _cleanup_(freep) char *path = str_printf("/v3/apps/%s/processes/web/instances/%s",
                                             json_text(app, "guid"), a.positional[1]);
    json_decref(app);
    r = rest_call(&cli->rest, "DELETE", path ? path : "", NULL, NULL, err);
    if (r == 0)
        cli_ok();
    return r;
}

/* --- scale, rename, delete
 * -------------------------------------------------------------------------- */

static int scale_body(const char *instances, const char *memory, const char *disk, json_t *body,
                      struct error *err) {
    uint64_t count;
    if (instances && parse_u64(instances, 0, INT32_MAX, &count) < 0)
        return error_set(err, -EINVAL,
                         "Incorrect Usage: invalid argument for flag `-i' (expected int > 0)");
    if (instances)
        json_object_set_new(body, "instances", json_integer((json_int_t)count));
    int r = cli_megabytes("-m", memory, body, "memory_in_mb", err);
    return r < 0 ? r : cli_megabytes("-k", disk, body, "disk_in_mb", err);
}

int cmd_scale(struct cli *cli, int argc, char **argv, struct error *err) {
    const char *instances = NULL, *memory = NULL, *disk = NULL;
    bool force = false;
    const struct flag flags[] = {{"-i", NULL, &instances, NULL},
                                 {"-m", NULL, &memory, NULL},
                                 {"-k", NULL, &disk, NULL},
                                 {"-f", NULL, NULL, &force}};
    struct args a;
    json_t *app = NULL, *body = json_object();
    _cleanup_(freep) char *path = NULL;
    struct tail tail;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 1, 1, &a, err);
    if (r == 0)
        r = scale_body(instances, memory, disk, body, err);
    if (r == 0)
        r = cli_find_app(cli, a.positional[0], &app, err);
    if (r < 0)
        goto out;
    const char *guid = json_text(app, "guid"), *name = a.positional[0];
    if (json_object_size(body) == 0) {
        cli_say(cli, "Showing current scale of app", name);
        r = show_app(cli, name, false, err);
        goto out;
    }
    cli_say(cli, "Scaling app", name);
    tail_begin(cli, guid, &tail);
    path = str_printf("/v3/apps/%s/processes/web/actions/scale", guid);
    r = path ? rest_call(&cli->rest, "POST", path, body, NULL, err)
             : error_set(err, -ENOMEM, "out of memory");
    bool started = str_eq(json_text(app, "state"), "STARTED");
    if (r == 0 && (memory || disk) && started) {
        printf("Stopping app...\n");
        if ((r = post_action(cli, guid, "stop", err)) == 0)
            r = post_action(cli, guid, "start", err);
    }
    if (r == 0 && started)
        r = wait_for_start(cli, name, guid, &tail, err);
    if (r == 0)
        r = show_app(cli, name, false, err);
out:
    json_decref(app);
    json_decref(body);
    return r;
}

int cmd_rename(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *app = NULL;
    int r = args_parse(argc, argv, NULL, 0, 2, 2, &a, err);
    if (r < 0 || (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    printf("Renaming app %s to %s in org %s / space %s as %s...\n", a.positional[0],
           a.positional[1], cli->session.org, cli->session.space, cli->session.user);
    _cleanup_(freep) char *path = str_printf("/v3/apps/%s", json_text(app, "guid"));
    json_t *body = json_pack("{s:s}", "name", a.positional[1]);
    json_decref(app);
    r = rest_call(&cli->rest, "PATCH", path ? path : "", body, NULL, err);
    json_decref(body);
    if (r == 0)
        cli_ok();
    return r;
}

static bool confirm(const char *name) {
    char line[16] = "";
    printf("Really delete the app %s? [yN]: ", name);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int delete_one(struct cli *cli, const char *path_fmt, const char *guid, struct error *err) {
    _cleanup_(freep) char *path = str_printf("%s%s", path_fmt, guid);
    int r = rest_call(&cli->rest, "DELETE", path ? path : "", NULL, NULL, err);
    return r < 0 || !cli->rest.location ? r : rest_wait_job(&cli->rest, err);
}

int cmd_delete(struct cli *cli, int argc, char **argv, struct error *err) {
    bool force = false, with_routes = false;
    const struct flag flags[] = {{"-f", NULL, NULL, &force}, {"-r", NULL, NULL, &with_routes}};
    struct args a;
    json_t *app = NULL, *routes = NULL, *route;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    if (!force && !confirm(a.positional[0])) {
        printf("Delete cancelled\n");
        return 0;
    }
    cli_say(cli, "Deleting app", a.positional[0]);
    r = cli_find_app(cli, a.positional[0], &app, err);
    if (r == -ENOENT) {
        printf("App '%s' does not exist.\n", a.positional[0]);
        cli_ok();
        return 0;
    }
    if (r == 0 && with_routes)
        r = rest_list(&cli->rest, &routes, err, "/v3/apps/%s/routes", json_text(app, "guid"));
    if (r == 0)
        r = delete_one(cli, "/v3/apps/", json_text(app, "guid"), err);
    size_t i;
    json_array_foreach(routes, i, route) {
        if (r == 0)
            r = delete_one(cli, "/v3/routes/", json_text(route, "guid"), err);
    }
    json_decref(routes);
    json_decref(app);
    if (r == 0)
        cli_ok();
    return r;
}
