/* adopt.c - what an earlier agent left in DIR/containers.
 *
 * A directory with a state.json of this boot is a whole container: its processes are looked up
 * again (gone ones are told as ended), its numbers claimed, its owner told. So is one whose agent
 * died while the runtime was starting it: its monitor goes on without us. All others are remains:
 * of a creation or removal cut short, or of the time before the last boot. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "cell/container/engine.h"
#include "cell/container/monitor.h"
#include "common/base/fs.h"

/* Claims slot and ports. They may not fit another configuration of the cell: then it goes. */
static int claim(struct container *c, struct error *err) {
    struct container_engine *e = c->engine;
    unsigned slot = c->slot;
    c->slot = UINT_MAX;
    int r = pool_claim(&e->slots, slot);
    if (r < 0)
        return error_set(err, r, "its slot %u is not to be had", slot);
    c->slot = slot;
    ipv4_format(subnet_address(&e->subnet, slot), c->ip);
    for (size_t i = 0; i < c->port_count; i++) {
        r = ports_claim(&e->ports, c->ports[i].host);
        if (r == -EEXIST) {
            c->port_count = i; /* those after are not ours to give back */
            return error_set(err, r, "its host port %u is another's", c->ports[i].host);
        }
    }
    return 0;
}

static void reopen(struct process *p) {
    struct process again = PROCESS_NONE;
    if (process_reopen(p->pid, p->start, &again, NULL) == 0)
        *p = again;
}

/* Its agent did not live to note them. */
static int find_processes(struct container *c, struct error *err) {
    int r = monitor_find(c->id, c->dir, &c->main, &c->monitor, err);
    return r < 0 ? r : state_write(c, err);
}

static int adopt_one(struct container_engine *e, const char *id, struct container **ret,
                     struct error *err) {
    struct container *c = container_new(e, id);
    if (!c)
        return error_set(err, -ENOMEM, "out of memory");
    int r = state_read(c, err);
    if (r == 0)
        r = claim(c, err);
    else
        c->slot = UINT_MAX, c->port_count = 0; /* read, not claimed */
    if (r == 0 && !c->monitor.pid)
        r = find_processes(c, err);
    if (r < 0) {
        container_forget(c);
        return r;
    }
    if (c->main.pidfd < 0)
        reopen(&c->main);
    if (c->monitor.pidfd < 0)
        reopen(&c->monitor);
    *ret = c;
    return 0;
}

static int clear_remains(const struct container_engine *e, const char *id, struct error *err) {
    _cleanup_(freep) char *dir = str_printf("%s/%s", e->containers_dir, id);
    if (!dir)
        return error_set(err, -ENOMEM, "out of memory");
    return container_clear(e, id, dir, &PROCESS_NONE, &PROCESS_NONE, err);
}

static int publish_all(struct container_engine *e, struct error *err) {
    size_t n = 0;
    struct container *c;
    struct port_name {
        char port[INTERFACE_NAME];
    };
    _cleanup_(freep) struct port_name *names = mem_calloc(e->container_count + 1, sizeof *names);
    _cleanup_(freep) struct firewall_entry *entries =
        mem_calloc(e->container_count + 1, sizeof *entries);
    if (!entries || !names)
        return error_set(err, -ENOMEM, "out of memory");
    DL_FOREACH (e->containers, c) {
        entries[n] = container_firewall_entry(c, names[n].port);
        n++;
    }
    return firewall_reset(e->firewall, entries, n, err);
}

int container_adopt(struct container_engine *e,
                    void (*found)(void *arg, struct container *c, const void *note, size_t note_n),
                    void *arg, struct error *err) {
    DIR *dir = opendir(e->containers_dir);
    int r = 0;
    if (!dir)
        return error_set(err, -errno, "cannot list %s: %s", e->containers_dir, strerror(errno));
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        struct container *c = NULL;
        if (entry->d_name[0] == '.')
            continue;
        r = adopt_one(e, entry->d_name, &c, err);
        if (r < 0 && r != -ENOMEM)
            r = clear_remains(e, entry->d_name, err);
    }
    closedir(dir);
    if (r == 0)
        r = publish_all(e, err);
    struct container *c, *next;
    DL_FOREACH_SAFE (e->containers, c, next) {
        if (r < 0)
            break;
        if ((r = container_watch(c, err)) == 0)
            found(arg, c, c->note, c->note_n);
    }
    return r;
}
