/* monitor.h - conmon, a container's parent for all its life: it has the runtime run it, writes its
 * log (README.md: log format) and, at the end, its exit status. An agent may come and go meanwhile.
 *
 * In the container's directory: pid, conmon.pid, log; and exit/, where at the end a file named
 * after the container holds its status in decimal. */
#ifndef CELL_CONTAINER_MONITOR_H
#define CELL_CONTAINER_MONITOR_H

#include "cell/container/process.h"
#include "common/base/error.h"

struct runtime;

/* Runs the container of bundle `dir` under a new monitor, in the calling thread's mount namespace.
 * Opens both processes; one that has ended already has a pid and no descriptor. */
int monitor_start(const struct runtime *rt, const char *id, const char *dir, struct process *main,
                  struct process *monitor, struct error *err);

/* Finds again what an earlier agent's monitor_start() began; waits until the runtime is done with
 * it. Of one that has ended by now neither process is opened. -ENOENT: there is no monitor, and it
 * left no exit status; -ETIMEDOUT. */
int monitor_find(const char *id, const char *dir, struct process *main, struct process *monitor,
                 struct error *err);

/* The monitor's word: 0 and *ret, or -ENOENT when it left none. */
int monitor_exit_status(const char *dir, const char *id, int *ret);

/* Kills monitors of `id` that nobody knows: an agent died between starting one and noting it. */
void monitor_kill_unknown(const char *id);

#endif
