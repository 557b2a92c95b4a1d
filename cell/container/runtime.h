/* runtime.h - the OCI runtime (crun, or runc where crun cannot run) under conmon, which stays as
 * the container's parent: it writes the log (README.md: log format) and, at the end, the exit
 * status.
 *
 * In the container's directory: config.json (ours), pid, conmon.pid and log; and exit/, where at
 * the end a file named after the container holds its status in decimal. */
#ifndef CELL_CONTAINER_RUNTIME_H
#define CELL_CONTAINER_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/container/process.h"
#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct cgroups;
struct runtime;

struct runtime_config {
    const char *wanted;  /* "auto", "crun" or "runc" */
    const char *run_dir; /* made when missing */
    const char *name;    /* cgroup parent */
    const struct cgroups *cgroups;
    uint32_t first_id, id_range; /* for the trial */
};

/* Finds conmon and a runtime that can run here: each candidate runs a trial container, which is a
 * few milliseconds. Adds to `note` which one and why. */
int runtime_new(struct runtime **ret, const struct runtime_config *config, struct strbuf *note,
                struct error *err);
void runtime_free(struct runtime *rt);
DEFINE_FREEP(runtime)

const char *runtime_init_path(const struct runtime *rt); /* host path of init.c, installed */
const char *runtime_name(const struct runtime *rt);      /* "crun" | "runc" */

/* Creates the container of bundle `dir` under a new monitor; both processes are opened. In the
 * calling thread's mount namespace. */
int runtime_create(const struct runtime *rt, const char *id, const char *dir, struct process *main,
                   struct process *monitor, struct error *err);
/* Lets a created container's process go. */
int runtime_start(const struct runtime *rt, const char *id, struct error *err);
/* Forgets an ended container. With no hook and no cgroup of its own left this is the runtime's
 * state directory; starting the runtime for it would cost more than all other steps. */
int runtime_forget(const struct runtime *rt, const char *id, struct error *err);

/* The monitor's word: 0 and *ret, or -ENOENT when it left none. */
int runtime_exit_status(const char *dir, const char *id, int *ret);
/* Kills monitors of `id` that nobody knows: an agent died between starting one and noting it. */
void runtime_kill_monitors(const char *id);

#endif
