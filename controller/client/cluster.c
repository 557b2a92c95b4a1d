/* cluster.c - the cluster as its controller sees it: cells and routers for admins, and why an app's
 * instances are where they are. Berth's own part of the API. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

static const char *or_dash(const char *text) {
    return *text ? text : "-";
}

/* Another Cloud Foundry has no such endpoint. */
static int berth_get(struct cli *cli, json_t **ret, struct error *err, const char *path) {
    int r = rest_call(&cli->rest, "GET", path, NULL, ret, err);
    if (r == -EREMOTEIO && cli->rest.status == 404)
        return error_set(err, -ENOENT, "Not found: %s", path);
    return r;
}

/* "12 s ago"; rounded down to what a reader wants to know. */
static void add_ago(struct table *t, const json_t *node) {
    json_int_t ms = json_number(node, "heard_ms_ago");
    if (!json_is_integer(json_object_get(node, "heard_ms_ago")))
        table_add(t, "never");
    else if (ms < 120000)
        table_add(t, "%.1f s ago", (double)ms / 1000);
    else if (ms < 7200000)
        table_add(t, "%" PRId64 " min ago", (int64_t)ms / 60000);
    else
        table_add(t, "%" PRId64 " h ago", (int64_t)ms / 3600000);
}

static void add_amount(struct table *t, const json_t *cell, const char *key, const char *unit) {
    const json_t *o = json_object_get(cell, key);
    if (json_is_object(o))
        table_add(t, "%" PRId64 " of %" PRId64 "%s", (int64_t)json_number(o, "free"),
                  (int64_t)json_number(o, "total"), unit);
    else
        table_add(t, "-");
}

static void add_cell(struct table *t, const json_t *cell) {
    const char *name = json_text(cell, "name");
    table_add(t, "%s", *name ? name : json_text(cell, "id"));
    table_add(t, "%s", json_text(cell, "state"));
    table_add(t, "%s", or_dash(json_text(cell, "zone")));
    table_add(t, "%s", or_dash(json_text(cell, "address")));
    table_add(t, "%s", or_dash(json_text(cell, "version")));
    if (json_object_get(cell, "instances"))
        table_add(t, "%" PRId64, (int64_t)json_number(cell, "instances"));
    else
        table_add(t, "-");
    add_amount(t, cell, "memory_mb", "M");
    add_amount(t, cell, "disk_mb", "M");
    add_amount(t, cell, "containers", "");
    add_ago(t, cell);
}

static const char *const cell_header[] = {"name",        "state",     "zone",        "address",
                                          "version",     "instances", "free memory", "free disk",
                                          "free places", "heard"};

int cmd_cells(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *answer = NULL, *cell;
    int r = args_parse(argc, argv, NULL, 0, 0, 0, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0)
        return r;
    printf("Getting cells as %s...\n\n", cli->session.user);
    if ((r = berth_get(cli, &answer, err, "/berth/v1/cells")) < 0)
        return r;
    struct table *t = table_new(cell_header, ARRAY_SIZE(cell_header));
    size_t i;
    json_array_foreach(json_object_get(answer, "cells"), i, cell) add_cell(t, cell);
    table_print(t);
    table_free(t);
    json_decref(answer);
    return 0;
}

static void print_held(const json_t *held) {
    static const char *const header[] = {"app",   "process", "instance", "state",
                                         "since", "memory",  "details"};
    struct table *t = table_new(header, ARRAY_SIZE(header));
    const json_t *one;
    size_t i;
    json_array_foreach(held, i, one) {
        const char *app = json_text(one, "app_name");
        table_add(t, "%s", *app ? app : json_text(one, "app_guid"));
        table_add(t, "%s", json_text(one, "process_type"));
        table_add(t, "#%" PRId64, (int64_t)json_number(one, "index"));
        table_add(t, "%s", json_text(one, "state"));
        table_add(t, "%s", json_text(one, "since"));
        table_add(t, "%" PRId64 "M", (int64_t)json_number(one, "memory_mb"));
        table_add(t, "%s", json_text(one, "text"));
    }
    table_print(t);
    table_free(t);
}

int cmd_cell(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *cell = NULL;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0)
        return r;
    _cleanup_(freep) char *escaped = rest_escape(a.positional[0]);
    _cleanup_(freep) char *path = escaped ? str_printf("/berth/v1/cells/%s", escaped) : NULL;
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    printf("Getting cell %s as %s...\n\n", a.positional[0], cli->session.user);
    r = berth_get(cli, &cell, err, path);
    if (r == -ENOENT)
        return error_set(err, r, "Cell '%s' not found.", a.positional[0]);
    if (r < 0)
        return r;
    struct table *t = table_new(cell_header, ARRAY_SIZE(cell_header));
    add_cell(t, cell);
    table_print(t);
    table_free(t);
    printf("\nid: %s\n\n", json_text(cell, "id"));
    const json_t *held = json_object_get(cell, "held");
    if (json_array_size(held) > 0)
        print_held(held);
    else
        printf("It holds no instances.\n");
    json_decref(cell);
    return 0;
}

int cmd_routers(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"name", "state", "zone", "version", "routes", "heard"};
    struct args a;
    json_t *answer = NULL, *router;
    int r = args_parse(argc, argv, NULL, 0, 0, 0, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0)
        return r;
    printf("Getting routers as %s...\n\n", cli->session.user);
    if ((r = berth_get(cli, &answer, err, "/berth/v1/routers")) < 0)
        return r;
    struct table *t = table_new(header, ARRAY_SIZE(header));
    size_t i;
    json_array_foreach(json_object_get(answer, "routers"), i, router) {
        const char *name = json_text(router, "name");
        bool known = json_object_get(router, "routes_current");
        table_add(t, "%s", *name ? name : json_text(router, "id"));
        table_add(t, "%s", json_text(router, "state"));
        table_add(t, "%s", or_dash(json_text(router, "zone")));
        table_add(t, "%s", or_dash(json_text(router, "version")));
        table_add(t, "%s",
                  !known                                                    ? "-"
                  : json_is_true(json_object_get(router, "routes_current")) ? "current"
                                                                            : "behind");
        add_ago(t, router);
    }
    table_print(t);
    table_free(t);
    json_decref(answer);
    return 0;
}

/* --- why --- */

static void print_process(const json_t *p) {
    static const char *const header[] = {"", "state", "since", "cell", "why"};
    const json_t *instances = json_object_get(p, "instances"), *one;
    const char *text = json_text(p, "text");
    const json_t *copies = json_object_get(p, "image_copies");
    size_t i;
    printf("\n%s: %" PRId64 " of %" PRId64 " instances run%s%s\n", json_text(p, "type"),
           (int64_t)json_number(p, "running"), (int64_t)json_number(p, "desired"),
           *text ? "; " : "", text);
    if (json_is_integer(copies))
        printf("its image can be had from %" JSON_INTEGER_FORMAT " cell%s without the registry\n",
               json_integer_value(copies), json_integer_value(copies) == 1 ? "" : "s");
    if (json_array_size(instances) == 0)
        return;
    struct table *t = table_new(header, ARRAY_SIZE(header));
    json_array_foreach(instances, i, one) {
        bool replaced = json_is_true(json_object_get(one, "replaced"));
        table_add(t, "#%" PRId64 "%s", (int64_t)json_number(one, "index"),
                  replaced ? " (old)" : "");
        table_add(t, "%s", json_text(one, "state"));
        table_add(t, "%s", json_text(one, "since"));
        table_add(t, "%s", or_dash(json_text(one, "cell")));
        table_add(t, "%s", json_text(one, "text"));
    }
    table_print(t);
    table_free(t);
}

int cmd_why(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *app = NULL, *answer = NULL, *process;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0 ||
        (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    cli_say(cli, "Getting the places of app", a.positional[0]);
    _cleanup_(freep) char *path = str_printf("/berth/v1/apps/%s/placement", json_text(app, "guid"));
    r = path ? berth_get(cli, &answer, err, path) : error_set(err, -ENOMEM, "out of memory");
    if (r == 0) {
        size_t i;
        if (!json_is_true(json_object_get(answer, "settled")))
            printf("\nThe controller has just started and still waits for cells to report.\n");
        json_array_foreach(json_object_get(answer, "processes"), i, process) print_process(process);
    }
    json_decref(answer);
    json_decref(app);
    return r;
}
