/* disk.h - a container's writable layer: an ext4 image that leaves exactly its quota usable.
 *
 * The image is a sparse file, so it costs the host what is written to it; removing the container's
 * data is removing one file. An image is copied from a template of its size
 * (DIR/<version>-<bytes>), made once with mkfs.ext4: only metadata, a few hundred kB. */
#ifndef CELL_CONTAINER_DISK_H
#define CELL_CONTAINER_DISK_H

#include <stdint.h>

#include "common/base/error.h"

/* Makes the template of `bytes` in `dir` when it is missing. Mounts at `mountpoint` for a moment:
 * call it in a mount namespace of one's own (namespaces.h). Safe from several threads. */
int disk_template(const char *dir, uint64_t bytes, const char *mountpoint, struct error *err);

/* Copies the template of `bytes` to the new file `image`. */
int disk_copy(const char *dir, uint64_t bytes, const char *image, struct error *err);

/* Mounts `image` at `mountpoint`, through a loop device that ends with the mount. In it are the
 * directories "upper" and "work" for overlayfs. */
int disk_mount(const char *image, const char *mountpoint, struct error *err);

#endif
