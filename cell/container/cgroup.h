/* cgroup.h - the control groups of containers, on cgroup v2 and v1 hosts (cgroups(7)).
 *
 * The runtime makes /NAME/ID in each hierarchy; here are the parent, what is read from them, and
 * their removal. */
#ifndef CELL_CONTAINER_CGROUP_H
#define CELL_CONTAINER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct cgroups;

/* Finds the host's layout and makes the parent NAME in it. */
int cgroups_new(struct cgroups **ret, const char *name, struct error *err);
void cgroups_free(struct cgroups *g);
DEFINE_FREEP(cgroups)

bool cgroups_unified(const struct cgroups *g);    /* v2 */
bool cgroups_count_swap(const struct cgroups *g); /* swap can be limited */

/* Sends SIGKILL to every process in it. Whether any was there. */
bool cgroups_kill(const struct cgroups *g, const char *id);
/* Removes it; a missing one is fine. -EBUSY while a process is left. */
int cgroups_remove(const struct cgroups *g, const char *id, struct error *err);
int cgroups_remove_parent(const struct cgroups *g, struct error *err);

/* How many processes the kernel killed in it for memory; 0 when it cannot be read. */
uint64_t cgroups_oom_kills(const struct cgroups *g, const char *id);

struct cgroup_usage {
    uint64_t cpu_ns;
    uint64_t memory_bytes; /* without file cache that can be dropped at once */
    uint32_t pids;
};
int cgroups_usage(const struct cgroups *g, const char *id, struct cgroup_usage *ret,
                  struct error *err);

#endif
