#include "controller/rollouts.h"

#include <errno.h>
#include <event2/event.h>

#include "common/base/log.h"
#include "common/base/str.h"
#include "controller/staging/staging.h"

#define LOOK_MS 1000 /* for what no event tells: a silent cell, a failed write */

struct rollouts {
    struct event *timer; /* owned */
    struct staging *staging;
    size_t active; /* deployments, at the last look */
};

static void arm(struct rollouts *r, unsigned ms) {
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_add(r->timer, &tv);
}

static void on_look(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct rollouts *r = arg;
    struct error err = {0};
    if (staging_roll(r->staging, &r->active, &err) < 0)
        log_error("a deployment cannot go on; it is tried again", "why=%s", log_quote(err.msg));
    if (r->active)
        arm(r, LOOK_MS);
}

int rollouts_new(struct rollouts **ret, struct event_base *loop, struct staging *staging,
                 struct error *err) {
    _cleanup_(rollouts_freep) struct rollouts *r = mem_zalloc(sizeof *r);
    if (!r || !(r->timer = evtimer_new(loop, on_look, r)))
        return error_set(err, -ENOMEM, "out of memory");
    r->staging = staging;
    rollouts_begun(r);
    *ret = TAKE_PTR(r);
    return 0;
}

void rollouts_free(struct rollouts *r) {
    if (!r)
        return;
    if (r->timer)
        event_free(r->timer);
    free(r);
}

void rollouts_begun(struct rollouts *r) {
    r->active = r->active ? r->active : 1; /* until the look says how many */
    arm(r, 0);
}

void rollouts_changed(struct rollouts *r) {
    if (r->active)
        arm(r, 0);
}
