/* destroy.c - the removal of a container, whole or half-made. Every step removes what it finds and
 * is content to find nothing, so that the list can be run again after a failure, and serves to undo
 * a failed creation and to clean up after a killed agent too. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "cell/container/engine.h"
#include "cell/container/monitor.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/workers.h"

enum {
    KILL_TIMEOUT_MS = 10000,   /* a process in an uninterruptible wait may hold out */
    MONITOR_TIMEOUT_MS = 2000, /* from the process's end to the monitor's */
    POLL_MS = 2,
};

static void rest(int ms) {
    (void)poll(NULL, 0, ms);
}

/* Kills what its cgroup holds until that is empty: a runtime killed on its way may still have been
 * forking. */
static int empty_cgroup(const struct cgroups *g, const char *id, struct error *err) {
    uint64_t end = clock_mono_ms() + KILL_TIMEOUT_MS;
    while (cgroups_kill(g, id)) {
        if (clock_mono_ms() > end)
            return error_set(err, -EBUSY, "a process of %s cannot be killed", id);
        rest(POLL_MS);
    }
    return 0;
}

/* The last task may be leaving yet when cgroup.procs is empty already. */
static int remove_cgroup(const struct cgroups *g, const char *id, struct error *err) {
    uint64_t end = clock_mono_ms() + KILL_TIMEOUT_MS;
    int r;
    while ((r = cgroups_remove(g, id, err)) == -EBUSY && clock_mono_ms() < end)
        rest(POLL_MS);
    return r;
}

int container_clear(const struct container_engine *e, const char *id, const char *dir,
                    const struct process *main, const struct process *monitor, struct error *err) {
    int r;
    (void)process_signal(main, SIGKILL);
    if (!monitor->pid)
        monitor_kill_unknown(id);
    if ((r = empty_cgroup(e->cgroups, id, err)) < 0)
        return r;
    if (process_wait(main, KILL_TIMEOUT_MS) < 0)
        return error_set(err, -EBUSY, "the main process of %s does not end", id);
    if (process_wait(monitor, MONITOR_TIMEOUT_MS) < 0) {
        (void)process_signal(monitor, SIGKILL);
        (void)process_wait(monitor, MONITOR_TIMEOUT_MS);
    }
    if ((r = remove_cgroup(e->cgroups, id, err)) < 0 ||
        (r = runtime_forget(e->runtime, id, err)) < 0)
        return r;
    return fs_remove_tree(AT_FDCWD, dir, err);
}

int container_remove(struct container *c, struct error *err) {
    char port[INTERFACE_NAME];
    const struct firewall_entry entry = container_firewall_entry(c, port);
    int r = firewall_close(c->engine->firewall, &entry, err);
    return r < 0 ? r : container_clear(c->engine, c->id, c->dir, &c->main, &c->monitor, err);
}

struct removal {
    void (*done)(void *arg, const struct error *err);
    void *arg;
    struct error error;
};

static void work_remove(void *arg) {
    struct container *c = arg;
    if (container_remove(c, &c->removal->error) == 0)
        c->removal->error = (struct error){0}; /* of a try that was followed by a better one */
}

static void done_remove(void *arg) {
    struct container *c = arg;
    struct removal *removal = TAKE_PTR(c->removal);
    bool failed = removal->error.code != 0;
    if (!failed)
        container_forget(c);
    removal->done(removal->arg, failed ? &removal->error : NULL);
    free(removal);
}

int container_destroy(struct container *c, void (*done)(void *arg, const struct error *err),
                      void *arg, struct error *err) {
    if (c->removal)
        return error_set(err, -EALREADY, "%s is being removed", c->id);
    struct removal *removal = mem_zalloc(sizeof *removal);
    if (!removal)
        return error_set(err, -ENOMEM, "out of memory");
    removal->done = done;
    removal->arg = arg;
    c->removal = removal;
    int r = workers_run(c->engine->workers, work_remove, done_remove, c);
    if (r < 0) {
        free(TAKE_PTR(c->removal));
        return error_set(err, r, "out of memory");
    }
    if (c->on_end) /* the owner wants no more news */
        event_del(c->on_end);
    return 0;
}
