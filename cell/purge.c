/* purge.c - berth-cell --stop-containers and --purge: nothing of this cell runs on the host any
 * more; with
 * --purge its state is gone too. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>

#include "cell/agent_parts.h"
#include "common/base/fs.h"
#include "common/base/log.h"

#define TRIES 5 /* of the removal of one container */

struct purge {
    struct event_base *loop;
    struct container_engine *engine;
    unsigned left, failed;
};

struct removal {
    struct purge *purge;
    struct container *c;
    unsigned tries;
};

static void remove_one(struct removal *r);

static void on_removed(void *arg, const struct error *err) {
    struct removal *r = arg;
    if (err && ++r->tries < TRIES) {
        remove_one(r);
        return;
    }
    if (err)
        log_error("cannot remove a container", "why=%s", log_quote(err->msg));
    r->purge->failed += err != NULL;
    if (--r->purge->left == 0)
        event_base_loopbreak(r->purge->loop);
    free(r);
}

static void remove_one(struct removal *r) {
    struct error err = {0};
    if (container_destroy(r->c, on_removed, r, &err) < 0) {
        r->tries = TRIES;
        on_removed(r, &err);
    }
}

/* The list first, for the engine is still walking its own. */
struct found_list {
    struct container **all;
    size_t n;
    bool failed;
};

static void on_found(void *arg, struct container *c, const void *note, size_t note_n) {
    struct found_list *list = arg;
    (void)note, (void)note_n;
    struct container **all = mem_resize(list->all, list->n + 1, sizeof *all);
    if (!all) {
        list->failed = true;
        return;
    }
    list->all = all;
    list->all[list->n++] = c;
}

static void on_exit_ignored(void *data, struct container *c, const struct container_exit *exit) {
    (void)data, (void)c, (void)exit;
}

static int remove_all(struct purge *p, struct error *err) {
    const struct container_ops ops = {on_exit_ignored, NULL};
    struct found_list list = {0};
    container_engine_set_ops(p->engine, &ops);
    int r = container_adopt(p->engine, on_found, &list, err);
    p->left = (unsigned)list.n;
    for (size_t i = 0; r == 0 && i < list.n; i++) {
        struct removal *removal = mem_zalloc(sizeof *removal);
        if (!removal)
            r = error_set(err, -ENOMEM, "out of memory");
        else {
            *removal = (struct removal){p, list.all[i], 0};
            remove_one(removal);
        }
    }
    if (r == 0 && p->left)
        event_base_dispatch(p->loop);
    log_info("containers removed", "count=%zu", list.n - p->failed);
    free(list.all);
    if (r == 0 && (p->failed || list.failed))
        r = error_set(err, -EIO, "%u containers could not be removed", p->failed);
    return r;
}

int agent_purge(struct event_base *loop, const struct settings *settings, bool with_state,
                struct error *err) {
    static const char *const ours[] = {"instances", "containers", "templates",
                                       "images",    "ports",      "lock"};
    struct purge p = {.loop = loop};
    _cleanup_(close_fdp) int lock = -1;
    int r;
    if ((r = agent_lock(settings, &lock, err)) < 0 ||
        (r = agent_open_engine(&p.engine, loop, settings, err)) < 0)
        return r;
    r = remove_all(&p, err);
    if (r == 0)
        r = container_engine_uninstall(p.engine, err);
    container_engine_free(p.engine);
    if (r < 0 || !with_state)
        return r;
    _cleanup_(close_fdp) int dir = open(settings->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; dir >= 0 && i < ARRAY_SIZE(ours); i++)
        if ((r = fs_remove_tree(dir, ours[i], err)) < 0)
            return r;
    return 0;
}
