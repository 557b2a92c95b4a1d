/* logs.c - what an app said and what happened to it: logs, events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

#define RECENT_LINES    1000
#define STREAM_PAUSE_US 250000u

static void print_envelope(const json_t *e) {
    long long ns = strtoll(json_text(e, "timestamp"), NULL, 10);
    time_t s = (time_t)(ns / 1000000000);
    struct tm tm;
    char when[32], zone[16];
    localtime_r(&s, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm);
    const char *payload = json_text_at(e, "log.payload");
    const char *type = json_text_at(e, "log.type");
    _cleanup_(freep) uint8_t *text = NULL;
    size_t n = 0;
    if (base64_decode(payload, strlen(payload), &text, &n) < 0)
        return;
    printf("   %s.%02lld%s [%s/%s] %s %.*s\n", when, ns / 10000000 % 100, zone,
           json_text_at(e, "tags.source_type"), json_text(e, "instance_id"), *type ? type : "OUT",
           (int)n, (const char *)text);
}

static int read_batch(struct cli *cli, const char *guid, const char *query, json_t **ret,
                      struct error *err) {
    const char *base = cli->session.log_cache ? cli->session.log_cache : cli->session.api;
    json_t *answer = NULL;
    int r = rest_get(&cli->rest, &answer, err, "%s/api/v1/read/%s?%s", base, guid, query);
    if (r < 0)
        return error_wrap(err, "Failed to retrieve logs from Log Cache");
    *ret = json_incref(json_object_get(json_object_get(answer, "envelopes"), "batch"));
    json_decref(answer);
    return 0;
}

/* The newest lines, oldest first. *ret_next: where a stream goes on. */
static int show_recent(struct cli *cli, const char *guid, int limit, long long *ret_next,
                       struct error *err) {
    json_t *batch = NULL;
    char query[96];
    snprintf(query, sizeof query, "envelope_types=LOG&descending=true&limit=%d", limit);
    int r = read_batch(cli, guid, query, &batch, err);
    if (r < 0)
        return r;
    *ret_next = 0;
    for (size_t i = json_array_size(batch); i-- > 0;) {
        const json_t *e = json_array_get(batch, i);
        print_envelope(e);
        *ret_next = strtoll(json_text(e, "timestamp"), NULL, 10) + 1;
    }
    json_decref(batch);
    fflush(stdout);
    return 0;
}

static int stream(struct cli *cli, const char *guid, long long next, struct error *err) {
    for (;;) {
        json_t *batch = NULL, *e;
        char query[96];
        snprintf(query, sizeof query, "envelope_types=LOG&start_time=%lld&limit=%d", next,
                 RECENT_LINES);
        int r = read_batch(cli, guid, query, &batch, err);
        if (r < 0)
            return r;
        size_t i, count = json_array_size(batch);
        json_array_foreach(batch, i, e) {
            print_envelope(e);
            next = strtoll(json_text(e, "timestamp"), NULL, 10) + 1;
        }
        json_decref(batch);
        fflush(stdout);
        if (count == 0)
            usleep(STREAM_PAUSE_US);
    }
}

int cmd_logs(struct cli *cli, int argc, char **argv, struct error *err) {
    bool recent = false;
    const struct flag flags[] = {{"--recent", NULL, NULL, &recent}};
    struct args a;
    json_t *app = NULL;
    long long next;
    int r = args_parse(argc, argv, flags, 1, 1, 1, &a, err);
    if (r < 0 || (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    cli_say(cli, "Retrieving logs for app", a.positional[0]);
    printf("\n");
    r = show_recent(cli, json_text(app, "guid"), recent ? RECENT_LINES : 10, &next, err);
    if (r == 0 && !recent)
        r = stream(cli, json_text(app, "guid"), next, err);
    json_decref(app);
    return r;
}

/* The members of an event's data that say something, as cf shows them. */
static void describe(const json_t *data, struct strbuf *out) {
    static const char *const keys[] = {
        "index",       "reason",    "cell_id",         "instance",  "exit_description",
        "exit_status", "recursive", "disk_quota",      "instances", "memory",
        "state",       "command",   "environment_json"};
    const json_t *request = json_object_get(data, "request");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const json_t *v = json_object_get(request, keys[i]);
        if (!v)
            v = json_object_get(data, keys[i]);
        if (!v || json_is_null(v))
            continue;
        _cleanup_(freep) char *text =
            json_is_string(v) ? str_dup(json_string_value(v)) : json_dumps(v, JSON_ENCODE_ANY);
        strbuf_printf(out, "%s%s: %s", out->n ? ", " : "", keys[i], text ? text : "");
    }
}

int cmd_events(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"time", "event", "actor", "description"};
    struct args a;
    json_t *app = NULL, *answer = NULL, *event;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    cli_say(cli, "Getting events for app", a.positional[0]);
    printf("\n");
    r = rest_get(&cli->rest, &answer, err,
                 "/v3/audit_events?order_by=-created_at&target_guids=%s&per_page=50",
                 json_text(app, "guid"));
    json_decref(app);
    if (r < 0)
        return r;
    json_t *list = json_object_get(answer, "resources");
    if (json_array_size(list) == 0) {
        printf("No events found.\n");
    } else {
        struct table *t = table_new(header, ARRAY_SIZE(header));
        size_t i;
        json_array_foreach(list, i, event) {
            _cleanup_(strbuf_fini) struct strbuf text = {0};
            describe(json_object_get(event, "data"), &text);
            table_add(t, "%s", json_text(event, "created_at"));
            table_add(t, "%s", json_text(event, "type"));
            table_add(t, "%s", json_text_at(event, "actor.name"));
            table_add(t, "%s", text.p ? text.p : "");
        }
        table_print(t);
        table_free(t);
    }
    json_decref(answer);
    return 0;
}
