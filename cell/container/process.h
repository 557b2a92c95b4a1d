/* process.h - other processes: starting one, and knowing one again that an earlier agent started.
 */
#ifndef CELL_CONTAINER_PROCESS_H
#define CELL_CONTAINER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"

/* A process by its pid and start time (clock ticks since boot): the pair is never used twice within
 * one boot. */
struct process {
    pid_t pid; /* 0: none */
    uint64_t start;
    int pidfd; /* owned; -1: none */
};

#define PROCESS_NONE ((struct process){.pidfd = -1})

/* Opens a living process. -ESRCH when it is gone or only a zombie. */
int process_open(pid_t pid, struct process *ret, struct error *err);
/* Opens it again from pid and start. -ESRCH when that process is gone. */
int process_reopen(pid_t pid, uint64_t start, struct process *ret, struct error *err);
void process_close(struct process *p);
/* Whether `parent` is its parent now. */
bool process_is_child(const struct process *p, pid_t parent);
int process_signal(const struct process *p, int signal); /* 0 or -errno */
/* Waits until it has ended. -ETIMEDOUT. No process: 0 at once. */
int process_wait(const struct process *p, int timeout_ms);

/* "/usr/bin/crun" for "crun": PATH, then the usual directories. Owned; NULL when there is none. */
char *program_find(const char *name);

struct spawn {
    const char *const *argv; /* argv[0]: absolute */
    const char *const *env;  /* added to ours; NULL: none */
    const char *cwd;         /* NULL: "/" */
    int out;                 /* becomes its stdout and stderr; -1: /dev/null */
    int kept;                /* becomes its descriptor 3; -1: none */
    int timeout_ms;          /* then it is killed */
};
/* Runs it to its end, without a shell, with default signals and an own session. Its wait status
 * (>= 0) or -errno. */
int program_run(const struct spawn *spawn, struct error *err);

#define SPAWN_KEPT_FD 3

#endif
