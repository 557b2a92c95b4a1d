/* rootfs.h - mounts a container's root file system: the layers read-only and idmapped into its ids,
 * its writable layer above them, overlayfs over all.
 *
 * Everything is mounted in the calling thread's own mount namespace (mounts_enter()), which the
 * monitor and the runtime share. So no mount is ever seen on the host, and when the last process of
 * a container is gone the kernel takes down mounts and loop device, whatever became of the agent.
 */
#ifndef CELL_CONTAINER_ROOTFS_H
#define CELL_CONTAINER_ROOTFS_H

#include <stdint.h>

#include "common/base/error.h"

/* Mountpoints, empty directories that all containers of a cell share, since each mounts in a
 * namespace of its own. */
struct rootfs_places {
    char *root, *disk, *layers; /* absolute paths */
};

struct rootfs_spec {
    const char *const *layers; /* lowest first, NULL-terminated */
    const char *image;         /* the writable layer, disk.h */
    int user_ns;               /* whose mapping the layers get */
    uint32_t owner;            /* host id of the container's root */
};

/* Mounts it at places->root. */
int rootfs_mount(const struct rootfs_spec *spec, const struct rootfs_places *places,
                 struct error *err);

#endif
