/* container.h - containers: root file system, network, runtime, limits, logs, exit, adoption.
 *
 * An OCI bundle run by conmon and crun (runc where crun cannot run on the host's cgroups). Each
 * container has its own range of host ids, its layers idmapped read-only under overlayfs, a
 * writable layer of exactly its disk quota, a veth into an isolated bridge port, and a directory
 * DIR/containers/<id>/ with all that a restarted agent needs. Blocking work runs on the engine's
 * workers; every callback comes on the loop. */
#ifndef CELL_CONTAINER_CONTAINER_H
#define CELL_CONTAINER_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct event_base;
struct container_engine;
struct container;

struct container_engine_config {
    const char *dir;     /* state; absolute */
    const char *run_dir; /* sockets and runtime state; at most 60 bytes, and others must be
                            able to search it: e.g. /run/berth/cell-1 */
    const char *name;    /* prefix of interfaces, nftables tables and cgroups: "berth"; at most
                            9 letters and digits; one a host */
    const char *subnet;  /* of the bridge: "10.253.0.0/16" */
    const char *runtime; /* "auto", "crun" or "runc" */
    uint32_t id_base;    /* first host id; each container takes id_range ids */
    uint32_t id_range;   /* 65536 */
    uint16_t port_first, port_count; /* host ports */
    uint64_t port_rest_ms;           /* between two containers that have the same one */
    const char *host_address;        /* where routers reach the host ports */
    const char *dns; /* comma-separated servers; NULL: from the host's resolv.conf */
    const char *allow_networks, *deny_networks; /* comma-separated CIDRs that containers may reach
                                                   although private (the host's own addresses too) /
                                                   may not reach */
    unsigned max_containers;
};

/* Makes the bridge, the nftables table and the cgroup parents where missing; chooses the runtime.
 * *ret_note (borrowed, lives with the engine) says which and why. */
int container_engine_new(struct container_engine **ret, struct event_base *loop,
                         const struct container_engine_config *config, const char **ret_note,
                         struct error *err);
/* Leaves running containers running. */
void container_engine_free(struct container_engine *e);
DEFINE_FREEP(container_engine)
/* Removes bridge, table and cgroup parents: only with no container left (quickstart --purge). */
int container_engine_uninstall(struct container_engine *e, struct error *err);

/* What is to run. Borrowed during container_create(). */
struct container_spec {
    const char *id;            /* instance guid: [a-z0-9-]{1,64} */
    const char *const *layers; /* absolute directories, lowest first, NULL-terminated */
    const char *const *argv;   /* NULL-terminated, at least one; argv[0] is searched in PATH */
    const char *const *env;    /* "NAME=value", deduplicated (last wins), without the defaults:
                                  PATH, HOME and USER are added when missing;
                                  "{{host_port}}" (of ports[0]), "{{host_port:8081}}" (of that
                                  container port), "{{host_ip}}", "{{ip}}" in values of
                                  CF_INSTANCE_* are filled by the engine once known */
    const char *user;          /* image form: "", name, uid, name:group, uid:gid ... */
    const char *workdir;       /* NULL or "": "/"; made when missing */
    const char *stop_signal;   /* NULL or "": SIGTERM */
    const char *hostname;
    const uint16_t *ports; /* container TCP ports to publish */
    size_t port_count;
    uint64_t memory_bytes, disk_bytes;
    uint64_t cpu_shares; /* 2..262144 */
    uint32_t pids, nofile;
    const void *note; /* kept with the container, given back on adoption: the owner's */
    size_t note_n;
    /* All is ready; called with container_create()'s `arg`, on a worker, at the moment before the
     * runtime is asked to start the process. <0: it is not, and all is undone. May be NULL. */
    int (*before_start)(void *arg, struct error *err);
};

struct container_exit {
    int status;         /* 0..255; 128+N when killed by signal N */
    bool out_of_memory; /* the kernel killed something in it for memory */
    bool unknown;       /* the monitor died: the status is lost */
};

struct container_ops {
    /* The main process ended, by itself or not; container_destroy() is still to be called. May come
     * right after creation or adoption. */
    void (*on_exit)(void *data, struct container *c, const struct container_exit *exit);
    void *data;
};
/* For all containers; before the first create or adopt. */
void container_engine_set_ops(struct container_engine *e, const struct container_ops *ops);

/* Makes and starts a container. `done` comes once: `c` lives until container_destroy()'s callback;
 * or NULL with `err`, everything undone: -EINVAL for what the user can mend (unknown USER, command
 * not found: the text says it as Cloud Foundry's launcher would), else the platform's fault;
 * -EOWNERDEAD: and its process may have been started before it was killed again. */
int container_create(struct container_engine *e, const struct container_spec *spec,
                     void (*done)(void *arg, struct container *c, const struct error *err),
                     void *arg, struct error *err);

void container_signal_stop(struct container *c); /* its stop signal to its main process */
void container_kill(struct container *c);        /* SIGKILL to all in it */

/* Kills what is left, removes everything of it. `done` comes once; err NULL on success. Repeatable
 * after failure. From the call on there is no on_exit. `c` is gone after a successful one. */
int container_destroy(struct container *c, void (*done)(void *arg, const struct error *err),
                      void *arg, struct error *err);

/* Finds what an earlier agent left in DIR/containers: calls `found` for each whole container,
 * running or ended meanwhile (on_exit follows), with its note; those whose start was asked for are
 * waited for, for some seconds; cleans up half-made ones. Blocks; before any container_create(). */
int container_adopt(struct container_engine *e,
                    void (*found)(void *arg, struct container *c, const void *note, size_t note_n),
                    void *arg, struct error *err);

const char *container_id(const struct container *c);
const char *container_ip(const struct container *c); /* on the bridge; for health checks */
uint16_t container_host_port(const struct container *c, uint16_t container_port); /* 0: none */
pid_t container_pid(const struct container *c); /* main process, as the host sees it; 0: ended */
const char *container_log_path(const struct container *c); /* see log format in README.md */
const char *container_dir(const struct container *c);
/* How long each step of its making took, "step=ms ..."; "" for an adopted one. */
const char *container_timings(const struct container *c);
void container_set_owner(struct container *c, void *owner);
void *container_owner(const struct container *c);
/* Opens a TCP socket inside the container's network namespace, unconnected, non-blocking: tells who
 * listens on 127.0.0.1 only. Returns the descriptor or -errno. */
int container_socket(struct container *c);

struct container_stats {
    uint64_t cpu_ns, memory_bytes, disk_bytes;
    uint32_t pids;
};
int container_stats(struct container *c, struct container_stats *ret, struct error *err);

#endif
