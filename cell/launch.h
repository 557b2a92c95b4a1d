/* launch.h - from an assignment and its layers to what the container engine is to make. */
#ifndef CELL_LAUNCH_H
#define CELL_LAUNCH_H

#include "bus.pb-c.h"

#include "cell/container/container.h"
#include "cell/image/image.h"
#include "common/base/error.h"

struct launch_defaults {
    uint64_t disk_bytes; /* of a DesiredLrp without disk_mb */
    uint32_t pids, nofile;
};

/* Everything that `spec` points to. */
struct launch {
    struct container_spec spec;
    char **argv, **env; /* owned lists of owned strings (argv: borrowed strings) */
    uint16_t *ports;
    uint8_t *note;
};
void launch_fini(struct launch *l);

/* Borrows from `a` and `lease`, which must outlive `l`. -EINVAL with a text for the user, -ENOMEM.
 */
int launch_prepare(struct launch *l, const Berth__Assignment *a, const struct image_lease *lease,
                   const struct launch_defaults *defaults, uint64_t wall_ns, struct error *err);

/* Diego's: 1024 shares at 8 GB, by weights of whole percents; at least 10. */
uint64_t launch_cpu_shares(uint32_t memory_mb);

#endif
