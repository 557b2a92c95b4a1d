/* dispatch.c - from a request to its handler and back: path, token, body, transaction, answer.
 *
 *   find endpoint -> query -> token -> body -> [begin] handler [commit | rollback] -> after ->
 * answer
 */
#include <errno.h>
#include <event2/event.h>

#include "controller/api/internal.h"
#include "controller/logs/logs.h"
#include "controller/staging/staging.h"

void api_track(struct call *c) {
    if (c->tracked)
        return;
    c->tracked = true;
    c->prev = NULL;
    c->next = c->api->open;
    if (c->next)
        c->next->prev = c;
    c->api->open = c;
}

void api_untrack(struct call *c) {
    if (!c->tracked)
        return;
    c->tracked = false;
    if (c->prev)
        c->prev->next = c->next;
    else
        c->api->open = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

/* Staging cannot begin: the build says so, or the CLI would wait for it until its time is up. */
static void fail_build(struct api *api, const char *guid, const struct error *why) {
    _cleanup_(build_row_fini) struct build_row build = {0};
    struct error err = {0};
    int r = store_build_get(api->deps.store, guid, &build, &err);
    if (r == 0) {
        char *text = str_printf("StagingError - Staging error: %s", why->msg);
        free(build.error);
        build.error = text;
        r = str_set(&build.state, "FAILED");
        if (r == 0)
            r = store_build_update(api->deps.store, &build, &err);
    }
    if (r < 0 && api->deps.on_failure)
        api->deps.on_failure(api->deps.data, guid, err.msg);
}

/* What is on disk is true whatever goes wrong here: convergence and the next start repair it. */
static void run_after(struct call *c) {
    struct api *api = c->api;
    for (const struct after *a = c->after; a; a = a->next) {
        struct error err = {0};
        int r = 0;
        switch (a->kind) {
        case AFTER_DESIRE_APP:
            r = staging_desire_app(api->deps.staging, a->guid, &err);
            break;
        case AFTER_DESIRE_ALL:
            r = staging_refresh_all(api->deps.staging, &err);
            break;
        case AFTER_STAGE:
            r = staging_start(api->deps.staging, a->guid, &err);
            if (r < 0)
                fail_build(api, a->guid, &err);
            if (r == -EINVAL)
                r = 0; /* no image reference: the user's matter, and the build says so */
            break;
        case AFTER_FORGET_LOGS:
            logs_forget(api->deps.logs, a->guid);
            break;
        case AFTER_TASK:
            r = staging_desire_task(api->deps.staging, a->guid, &err);
            break;
        case AFTER_DEPLOYMENT:
            if (api->deps.on_deployment)
                api->deps.on_deployment(api->deps.data);
            break;
        }
        if (r < 0 && api->deps.on_failure)
            api->deps.on_failure(api->deps.data, c->request_id, err.msg);
    }
}

static bool changes_something(const struct call *c) {
    return !c->endpoint->async && !str_eq(c->method, "GET");
}

static void run_handler(struct call *c) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    bool transaction = changes_something(c);
    if (transaction && store_begin(store, &err) < 0) {
        fail_internal(c, &err);
        return;
    }
    int r = c->endpoint->handle(c);
    if (r == 0)
        r = access_after(c);
    if (!transaction) {
        if (r < 0 && !c->errors)
            fail_plain(c, CC_UNKNOWN_ERROR);
        return;
    }
    if (r < 0 || c->errors) {
        store_rollback(store);
        if (!c->errors)
            fail_plain(c, CC_UNKNOWN_ERROR);
        return;
    }
    if (store_commit(store, &err) < 0)
        fail_internal(c, &err);
    else
        run_after(c);
}

static int read_body(struct call *c) {
    switch (c->endpoint->body) {
    case BODY_NONE:
    case BODY_RAW:
        return 0;
    case BODY_JSON:
        return body_parse(c, false);
    case BODY_OPTIONAL:
        return body_parse(c, true);
    }
    return 0;
}

static void start_hold_timer(struct api *api) {
    struct timeval tick = {.tv_usec = 25 * 1000};
    if (api->hold_timer && !event_pending(api->hold_timer, EV_TIMEOUT, NULL))
        event_add(api->hold_timer, &tick);
}

/* After a handler ran: answered now, held, or someone else's matter. */
static void settle(struct call *c) {
    if (c->errors)
        c->state = CALL_RUNNING;
    switch (c->state) {
    case CALL_HELD:
        api_track(c);
        c->api->held++;
        start_hold_timer(c->api);
        return;
    case CALL_ASYNC:
        api_track(c);
        return;
    default:
        call_finish(c);
    }
}

void api_dispatch(struct api *api, struct call *c) {
    if (c->body_n > CALL_BODY_MAX)
        fail_plain(c, CC_REQUEST_TOO_LARGE);
    else if (endpoint_find(c) == 0 && query_parse(c) == 0 && access_before(c) == 0 &&
             read_body(c) == 0)
        run_handler(c);
    settle(c);
}

void api_dispatch_again(struct call *c) {
    c->api->held--;
    c->state = CALL_RUNNING;
    api_untrack(c);
    run_handler(c);
    settle(c);
}
