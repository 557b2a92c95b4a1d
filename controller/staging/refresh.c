/* refresh.c - every started app desired anew, a few a loop turn: with thousands of them it takes a
 * second, in which the API and the bus want their turns. */
#include <errno.h>
#include <event2/event.h>

#include "common/base/clock.h"
#include "controller/logs/logs.h"
#include "controller/staging/internal.h"

#define PAGE    500 /* apps a query */
#define TURN_MS 2

struct refresh {
    struct event *timer;
    char (*guids)[GUID_SIZE]; /* of the apps that were started when it began */
    size_t n, done;
};

void refresh_free(struct staging *s) {
    struct refresh *r = s->refresh;
    if (!r)
        return;
    if (r->timer)
        event_free(r->timer);
    free(r->guids);
    free(r);
    s->refresh = NULL;
}

static int add_page(struct refresh *r, const struct app_rows *rows) {
    if (rows->n == 0)
        return 0;
    char(*grown)[GUID_SIZE] = mem_resize(r->guids, r->n + rows->n, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    r->guids = grown;
    for (size_t i = 0; i < rows->n; i++)
        memcpy(r->guids[r->n++], rows->v[i].guid, GUID_SIZE);
    return 0;
}

/* Who is started or made later is desired by its own request. */
static int list_started(struct staging *s, struct refresh *r, struct error *err) {
    static const char *const states[] = {"STARTED"};
    const struct store_filter filter = {"states", states, 1};
    struct store_query query = {.filters = &filter, .filter_count = 1, .limit = PAGE};
    for (bool more = true; more; query.offset += PAGE) {
        _cleanup_(app_rows_fini) struct app_rows rows = {0};
        int e = store_app_list(s->deps.store, &query, &rows, err);
        if (e < 0)
            return e;
        if (add_page(r, &rows) < 0)
            return error_set(err, -ENOMEM, "out of memory");
        more = rows.n == PAGE;
    }
    return 0;
}

static void again_at_once(struct refresh *r) {
    static const struct timeval at_once = {0, 0};
    event_add(r->timer, &at_once);
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct staging *s = arg;
    struct refresh *r = s->refresh;
    struct error err = {0};
    uint64_t end_ms = clock_mono_ms() + TURN_MS;
    do {
        if (r->done == r->n) {
            tasks_desire_all(s, &err); /* what fails here, the next start repairs */
            refresh_free(s);
            return;
        }
        const char *guid = r->guids[r->done++];
        if (staging_desire_app(s, guid, &err) < 0)
            logs_printf(s->deps.logs, guid, "API", true, clock_wall_ns(), "%s", err.msg);
    } while (clock_mono_ms() < end_ms);
    again_at_once(r);
}

int staging_refresh_all(struct staging *s, struct error *err) {
    if (!s->deps.loop)
        return staging_desire_all(s, err);
    refresh_free(s); /* one that is under way begins anew */
    struct refresh *r = s->refresh = mem_zalloc(sizeof *r);
    int e = r ? 0 : -ENOMEM;
    if (r && !(r->timer = evtimer_new(s->deps.loop, on_turn, s)))
        e = -ENOMEM;
    e = e < 0 ? error_set(err, e, "out of memory") : list_started(s, r, err);
    if (e < 0)
        refresh_free(s);
    else
        again_at_once(r);
    return e;
}
