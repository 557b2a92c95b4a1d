/* show.c - the summary of an app, as `app` and the end of `push` print it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

/* 12.3M as cf prints sizes: the largest unit that fits, one decimal unless it is whole. */
static const char *size_text(uint64_t bytes, char *buf, size_t n) {
    static const char units[] = "BKMGT";
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1024 && u + 2 < sizeof units)
        v /= 1024, u++;
    if (u == 0 || v == (double)(uint64_t)v)
        snprintf(buf, n, "%" PRIu64 "%c", (uint64_t)v, units[u]);
    else
        snprintf(buf, n, "%.1f%c", v, units[u]);
    return buf;
}

static void since_text(json_int_t uptime_s, char *buf, size_t n) {
    time_t t = time(NULL) - (time_t)uptime_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(buf, n, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static char *quota_text(const json_t *usage, const char *key, const json_t *stats,
                        const char *quota_key) {
    char used[32], quota[32];
    size_text((uint64_t)json_number(usage, key), used, sizeof used);
    size_text((uint64_t)json_number(stats, quota_key), quota, sizeof quota);
    return str_printf("%s of %s", used, quota);
}

static void add_instance(struct table *t, const json_t *one) {
    char state[32], since[32];
    const json_t *usage = json_object_get(one, "usage");
    snprintf(state, sizeof state, "%s", json_text(one, "state"));
    for (char *p = state; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    since_text(json_number(one, "uptime"), since, sizeof since);
    _cleanup_(freep) char *memory = quota_text(usage, "mem", one, "mem_quota");
    _cleanup_(freep) char *disk = quota_text(usage, "disk", one, "disk_quota");
    char rate[32];
    size_text((uint64_t)json_number(usage, "log_rate"), rate, sizeof rate);
    json_int_t limit = json_number(one, "log_rate_limit");
    table_add(t, "#%" PRId64, (int64_t)json_number(one, "index"));
    table_add(t, "%s", state);
    table_add(t, "%s", since);
    table_add(t, "%.1f%%", json_number_value(json_object_get(usage, "cpu")) * 100);
    table_add(t, "%s", memory ? memory : "");
    table_add(t, "%s", disk ? disk : "");
    if (limit < 0)
        table_add(t, "%s/s of unlimited", rate);
    else
        table_add(t, "%s/s of %" PRId64 "B/s", rate, (int64_t)limit);
    table_add(t, "%s", json_text(one, "details"));
}

static int show_process(struct cli *cli, const char *guid, bool with_command, struct error *err) {
    static const char *const header[] = {"",       "state", "since",   "cpu",
                                         "memory", "disk",  "logging", "details"};
    json_t *process = NULL, *stats = NULL, *one;
    int r = rest_get(&cli->rest, &process, err, "/v3/processes/%s", guid);
    if (r < 0)
        return r;
    if ((r = rest_get(&cli->rest, &stats, err, "/v3/processes/%s/stats", guid)) < 0) {
        json_decref(process);
        return r;
    }
    json_t *instances = json_object_get(stats, "resources");
    size_t i, running = 0;
    json_array_foreach(instances, i, one) running += str_eq(json_text(one, "state"), "RUNNING");
    printf("\ntype:           %s\nsidecars:\ninstances:      %zu/%" PRId64 "\nmemory usage:   "
           "%" PRId64 "M\n",
           json_text(process, "type"), running, (int64_t)json_number(process, "instances"),
           (int64_t)json_number(process, "memory_in_mb"));
    if (with_command && *json_text(process, "command"))
        printf("start command:  %s\n", json_text(process, "command"));
    if (json_array_size(instances) == 0) {
        printf("There are no running instances of this process.\n");
    } else {
        struct table *t = table_new(header, ARRAY_SIZE(header));
        json_array_foreach(instances, i, one) add_instance(t, one);
        table_print(t);
        table_free(t);
    }
    json_decref(stats);
    json_decref(process);
    return 0;
}

static int join_routes(struct cli *cli, const char *app_guid, struct strbuf *out,
                       struct error *err) {
    json_t *routes = NULL, *route;
    size_t i;
    int r = rest_list(&cli->rest, &routes, err, "/v3/apps/%s/routes", app_guid);
    if (r < 0)
        return r;
    json_array_foreach(routes, i, route) {
        strbuf_printf(out, "%s%s", i ? ", " : "", json_text(route, "url"));
    }
    json_decref(routes);
    return 0;
}

int show_app(struct cli *cli, const char *name, bool with_command, struct error *err) {
    json_t *app = NULL, *droplet = NULL, *processes = NULL, *process;
    _cleanup_(strbuf_fini) struct strbuf routes = {0};
    int r = cli_find_app(cli, name, &app, err);
    if (r < 0)
        return r;
    const char *guid = json_text(app, "guid");
    r = join_routes(cli, guid, &routes, err);
    if (r == 0 && rest_get(&cli->rest, &droplet, NULL, "/v3/apps/%s/droplets/current", guid) < 0)
        droplet = NULL; /* not staged yet */
    if (r == 0)
        r = rest_list(&cli->rest, &processes, err, "/v3/apps/%s/processes", guid);
    if (r == 0) {
        printf("\nname:              %s\nrequested state:   %s\nroutes:            %s\n",
               json_text(app, "name"),
               str_eq(json_text(app, "state"), "STARTED") ? "started" : "stopped",
               routes.p ? routes.p : "");
        printf("last uploaded:     %s\nstack:\ndocker image:      %s\n",
               json_text(droplet, "created_at"), json_text(droplet, "image"));
    }
    size_t i;
    json_array_foreach(processes, i, process) {
        if (r == 0)
            r = show_process(cli, json_text(process, "guid"), with_command, err);
    }
    json_decref(processes);
    json_decref(droplet);
    json_decref(app);
    return r;
}
