/* engine.h - the engine's and a container's insides, shared by engine.c, create.c, destroy.c,
 * adopt.c and state.c. Everything belongs to the loop thread, except that a worker owns what its
 * stage needs until it is done. */
#ifndef CELL_CONTAINER_ENGINE_H
#define CELL_CONTAINER_ENGINE_H

#include <limits.h>

#include "cell/container/cgroup.h"
#include "cell/container/container.h"
#include "cell/container/env.h"
#include "cell/container/firewall.h"
#include "cell/container/ids.h"
#include "cell/container/network.h"
#include "cell/container/ports.h"
#include "cell/container/process.h"
#include "cell/container/rootfs.h"
#include "cell/container/runtime.h"

struct event;
struct workers;

#define PORTS_FILE "ports" /* in the engine's directory */

struct container_engine {
    struct event_base *loop;                                                    /* borrowed */
    char *dir, *containers_dir, *templates_dir, *run_dir, *name, *host_address; /* owned */
    struct rootfs_places places; /* owned; in run_dir */
    char *user_ns, *net_ns;      /* owned; files there: what namespaces_pin() binds to */
    char *resolv_conf;           /* owned: what containers get */
    char boot_id[BOOT_ID_SIZE];  /* of the running kernel */
    struct subnet subnet;
    uint32_t id_base, id_range;
    struct pool slots;
    struct ports ports;
    unsigned max_containers;
    struct workers *workers;
    struct runtime *runtime;
    struct firewall *firewall;
    struct cgroups *cgroups;
    int own_mounts, own_net; /* the process's namespaces */
    struct container_ops ops;
    struct strbuf note;
    struct container *containers; /* all, also those on their way in or out */
    unsigned container_count;
    bool stopping; /* container_engine_free() waits for the workers */
};

struct creation;
struct removal;

struct container {
    struct container_engine *engine;
    char *id, *dir, *log_path, *timings; /* owned; timings NULL for adopted ones */
    unsigned slot;
    char ip[IPV4_TEXT];
    struct published *ports; /* owned */
    size_t port_count;
    uint64_t disk_bytes;
    int stop_signal;
    void *note; /* owned */
    size_t note_n;
    void *owner;
    struct process main, monitor;
    struct event *on_end;      /* the monitor has ended */
    struct creation *creation; /* only while being made */
    struct removal *removal;   /* only while being removed */
    struct container *prev, *next;
};

static inline uint32_t container_first_id(const struct container *c) {
    return c->engine->id_base + c->slot * c->engine->id_range;
}

/* --- engine.c --- */
/* A container in the engine's list, without slot and ports. NULL: out of memory. */
struct container *container_new(struct container_engine *e, const char *id);
/* Gives back slot and ports and frees it. */
void container_forget(struct container *c);
struct firewall_entry container_firewall_entry(const struct container *c,
                                               char port[static INTERFACE_NAME]);
/* Waits for the end of the monitor and tells the owner; at once when it ended already. */
int container_watch(struct container *c, struct error *err);

/* --- destroy.c --- */
/* Removes all of a container but its firewall entry, known well or by its id and directory alone.
 * On a worker, or before any exist. Repeatable. */
int container_clear(const struct container_engine *e, const char *id, const char *dir,
                    const struct process *main, const struct process *monitor, struct error *err);
/* The same with its firewall entry. */
int container_remove(struct container *c, struct error *err);

/* --- state.c: DIR/containers/<id>/state.json, there before the runtime is asked to run it (without
 * processes, pid 0), and again once it runs --- */
int state_write(const struct container *c, struct error *err);
/* Fills slot, ports, processes (not opened), stop signal and note of `c`. -ESTALE: written before
 * the last boot. -ENOENT, -EBADMSG: no whole container. */
int state_read(struct container *c, struct error *err);

#endif
