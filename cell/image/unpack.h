/* unpack.h - turns the tar of one layer into a directory, or refuses it.
 *
 * libarchive reads the tar (every dialect); tree.h makes the files. What the archive is refused for
 * (-EBADMSG with the entry and the reason): absolute paths, "..", links that lead out, devices,
 * names or depths beyond any real image, malformed or cut data. -EFBIG: more bytes or entries than
 * allowed. Nothing of a refused layer may be used: the caller removes the directory.
 *
 * Kept: owners, modes with set-id bits, modification times (ns), user.* extended attributes and
 * security.capability, hard links, sparse files' holes. Whiteouts become overlayfs's. Ignored:
 * other attributes (trusted.* would speak to overlayfs, security.* to the host's policy). */
#ifndef CELL_IMAGE_UNPACK_H
#define CELL_IMAGE_UNPACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"

struct unpack_order {
    int root; /* an empty directory */
    /* The next bytes of the tar, valid until the next call; 0 at the end. Read to its end also
     * behind the archive's own end, but not when refusing. */
    ssize_t (*next)(void *data, const void **block, struct error *err);
    void *data;
    uint64_t max_bytes;        /* of all files; holes count */
    uint64_t max_entries;      /* 0: no limit, of both */
    const volatile bool *stop; /* NULL, or: -ECANCELED once it is true */
};

struct unpack_result {
    uint64_t entries;
    uint64_t disk_bytes; /* about what it takes on disk */
};

/* Sets the calling thread's own umask to 0. */
int unpack_layer(const struct unpack_order *order, struct unpack_result *ret, struct error *err);

#endif
