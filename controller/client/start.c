/* start.c - staging and starting, told live: the app's log lines and a progress bar. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "controller/client/cli.h"

#define POLL_FIRST_US    20000u
#define POLL_MOST_US     250000u
#define STAGING_LIMIT_MS (15u * 60 * 1000) /* CF_STAGING_TIMEOUT's default */
#define START_LIMIT_MS   (5u * 60 * 1000)  /* CF_STARTUP_TIMEOUT's default */
#define BAR_WIDTH        30
#define LINES_A_READ     1000

static unsigned limit_ms(const char *variable, unsigned def) {
    uint64_t minutes;
    return parse_u64(getenv(variable), 1, 24 * 60, &minutes) < 0 ? def
                                                                 : (unsigned)minutes * 60 * 1000;
}

static void print_line(const json_t *envelope) {
    const char *payload = json_text_at(envelope, "log.payload");
    _cleanup_(freep) uint8_t *text = NULL;
    size_t n = 0;
    if (base64_decode(payload, strlen(payload), &text, &n) == 0)
        printf("   %.*s\n", (int)n, (const char *)text);
}

static int read_logs(struct cli *cli, const char *app_guid, const char *query, json_t **ret,
                     struct error *err) {
    const char *base = cli->session.log_cache ? cli->session.log_cache : cli->session.api;
    return rest_get(&cli->rest, ret, err, "%s/api/v1/read/%s?%s", base, app_guid, query);
}

static json_t *batch_of(const json_t *answer) {
    return json_object_get(json_object_get(answer, "envelopes"), "batch");
}

static long long timestamp_of(const json_t *envelope) {
    return strtoll(json_text(envelope, "timestamp"), NULL, 10);
}

void tail_begin(struct cli *cli, const char *app_guid, struct tail *tail) {
    json_t *answer = NULL;
    *tail = (struct tail){0};
    if (read_logs(cli, app_guid, "descending=true&limit=1", &answer, NULL) < 0)
        return;
    json_t *newest = json_array_get(batch_of(answer), 0);
    if (newest)
        tail->next_ns = timestamp_of(newest) + 1;
    json_decref(answer);
}

int tail_show(struct cli *cli, const char *app_guid, struct tail *tail, const char *const *sources,
              struct error *err) {
    json_t *answer = NULL, *envelope;
    char query[96];
    snprintf(query, sizeof query, "start_time=%lld&limit=%d", tail->next_ns, LINES_A_READ);
    int r = read_logs(cli, app_guid, query, &answer, err), shown = 0;
    if (r < 0)
        return r;
    size_t i;
    json_array_foreach(batch_of(answer), i, envelope) {
        const char *source = json_text_at(envelope, "tags.source_type");
        bool wanted = sources == NULL;
        for (size_t k = 0; sources && sources[k]; k++)
            wanted |= str_starts(source, sources[k]);
        if (wanted) {
            print_line(envelope);
            shown++;
        }
        tail->next_ns = timestamp_of(envelope) + 1;
    }
    json_decref(answer);
    fflush(stdout);
    return shown;
}

static const char *const staging_sources[] = {"STG", NULL};
static const char *const start_sources[] = {"CELL", "HEALTH", NULL};

/* 1 staged, 0 still staging, negative failed. */
static int look_at_build(struct cli *cli, const char *guid, char **ret_droplet, struct error *err) {
    json_t *build = NULL;
    int r = rest_get(&cli->rest, &build, err, "/v3/builds/%s", guid);
    if (r < 0)
        return r;
    const char *state = json_text(build, "state");
    if (str_eq(state, "FAILED"))
        r = error_set(err, -EREMOTEIO, "%s", json_text(build, "error"));
    else if (str_eq(state, "STAGED"))
        r = (*ret_droplet = str_dup(json_text_at(build, "droplet.guid"))) ? 1 : -ENOMEM;
    json_decref(build);
    return r;
}

int stage_package(struct cli *cli, const char *app_guid, const char *package_guid,
                  struct tail *tail, char **ret_droplet, struct error *err) {
    json_t *body = json_pack("{s:{s:s}}", "package", "guid", package_guid), *build = NULL;
    int r = rest_call(&cli->rest, "POST", "/v3/builds", body, &build, err);
    json_decref(body);
    if (r < 0)
        return r;
    _cleanup_(freep) char *build_guid = str_dup(json_text(build, "guid"));
    _cleanup_(freep) char *droplet = NULL;
    json_decref(build);
    uint64_t end = clock_mono_ms() + limit_ms("CF_STAGING_TIMEOUT", STAGING_LIMIT_MS);
    for (unsigned wait_us = POLL_FIRST_US;; wait_us = MIN(wait_us * 2, POLL_MOST_US)) {
        r = look_at_build(cli, build_guid, &droplet, err);
        tail_show(cli, app_guid, tail, staging_sources, NULL);
        if (r != 0)
            break;
        if (clock_mono_ms() > end)
            return error_set(err, -ETIME, "staging did not finish in time: see 'berth logs'");
        usleep(wait_us);
    }
    if (r < 0)
        return r;
    if (ret_droplet) {
        *ret_droplet = TAKE_PTR(droplet);
        return 0;
    }
    body = json_pack("{s:{s:s}}", "data", "guid", droplet);
    _cleanup_(freep) char *path = str_printf("/v3/apps/%s/relationships/current_droplet", app_guid);
    r = rest_call(&cli->rest, "PATCH", path, body, NULL, err);
    json_decref(body);
    return r;
}

/* --- waiting for the first running instance ------------------------------------------------------
 */

struct progress {
    bool bar_open;       /* a bar stands on the current terminal line */
    unsigned last_tenth; /* without a terminal: one line each tenth */
    char last_detail[256];
};

static void close_bar(struct progress *p) {
    if (p->bar_open)
        printf("\n");
    p->bar_open = false;
}

/* "downloading 12.3/150.0 MB" is the cell's word for bytes fetched so far. */
static bool show_download(struct progress *p, const char *detail) {
    double done, total;
    if (sscanf(detail, "downloading %lf/%lf MB", &done, &total) != 2 || total <= 0)
        return false;
    double part = MIN(done / total, 1.0);
    if (isatty(STDOUT_FILENO)) {
        int full = (int)(part * BAR_WIDTH);
        printf("\r   downloading layers [%.*s%*s] %3.0f%%  %.1f of %.1f MB", full,
               "==============================", BAR_WIDTH - full, "", part * 100, done, total);
        p->bar_open = true;
    } else if ((unsigned)(part * 10) + 1 > p->last_tenth) {
        p->last_tenth = (unsigned)(part * 10) + 1;
        printf("   downloading layers: %.1f of %.1f MB (%.0f%%)\n", done, total, part * 100);
    }
    fflush(stdout);
    return true;
}

static void show_detail(struct progress *p, const json_t *instance) {
    const char *detail = json_text(instance, "details");
    if (!*detail || show_download(p, detail) || str_eq(detail, p->last_detail))
        return;
    close_bar(p);
    snprintf(p->last_detail, sizeof p->last_detail, "%s", detail);
    if (str_eq(json_text(instance, "state"), "DOWN"))
        printf("Error starting instances: '%s'\n", detail);
    fflush(stdout);
}

/* 1 done, 0 not yet, negative failed. */
static int look_at_instances(struct cli *cli, const char *process_guid, struct progress *progress,
                             struct error *err) {
    json_t *stats = NULL, *one;
    int r = rest_get(&cli->rest, &stats, err, "/v3/processes/%s/stats", process_guid);
    if (r < 0)
        return r;
    json_t *list = json_object_get(stats, "resources");
    size_t i, running = 0, crashed = 0, count = json_array_size(list);
    char why[300] = "";
    json_array_foreach(list, i, one) {
        const char *state = json_text(one, "state");
        running += str_eq(state, "RUNNING");
        crashed += str_eq(state, "CRASHED");
        if (str_eq(state, "CRASHED"))
            snprintf(why, sizeof why, "%s", json_text(one, "details"));
        show_detail(progress, one);
    }
    json_decref(stats);
    if (count == 0 || running > 0)
        return 1;
    if (crashed == count)
        return error_set(err, -ECHILD, "%s", why);
    return 0;
}

int wait_for_start(struct cli *cli, const char *app_name, const char *app_guid, struct tail *tail,
                   struct error *err) {
    json_t *process = NULL;
    struct progress progress = {0};
    printf("\nWaiting for app %s to start...\n\n", app_name);
    int r = cli_web_process(cli, app_guid, &process, err);
    if (r < 0)
        return r;
    _cleanup_(freep) char *guid = str_dup(json_text(process, "guid"));
    json_decref(process);
    uint64_t end = clock_mono_ms() + limit_ms("CF_STARTUP_TIMEOUT", START_LIMIT_MS);
    struct error why = {0};
    for (unsigned wait_us = POLL_FIRST_US;; wait_us = MIN(wait_us * 2, POLL_MOST_US)) {
        r = look_at_instances(cli, guid, &progress, &why);
        if (!progress.bar_open || r != 0) {
            close_bar(&progress);
            tail_show(cli, app_guid, tail, start_sources, NULL);
        }
        if (r != 0)
            break;
        if (clock_mono_ms() > end) {
            r = error_set(&why, -ETIME, "no instance became healthy in time");
            break;
        }
        usleep(wait_us);
    }
    if (r > 0)
        return 0;
    if (r != -ECHILD && r != -ETIME)
        return error_set(err, r, "%s", why.msg);
    return error_set(err, r,
                     "Start unsuccessful%s%s\n\nTIP: use 'berth logs %s --recent' for more "
                     "information",
                     *why.msg ? ": " : "", why.msg, app_name);
}
