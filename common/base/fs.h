/* fs.h - files: read whole, write atomically and durably, make and remove trees beneath a
 * directory.
 *
 * A path and the directory descriptor it is relative to travel together (dirfd may be AT_FDCWD). */
#ifndef COMMON_BASE_FS_H
#define COMMON_BASE_FS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"

/* The whole file, NUL-terminated beyond *ret_n, owned by the caller. -EFBIG above `max` bytes. */
int fs_read(int dirfd, const char *path, size_t max, char **ret, size_t *ret_n, struct error *err);

/* Replaces `path` in one step: writes path.tmp, fsyncs it, renames, fsyncs the directory. */
int fs_write_atomic(int dirfd, const char *path, mode_t mode, const void *data, size_t n,
                    struct error *err);
/* The same without the fsyncs: atomic against a crash of the process, not of the machine. */
int fs_write_quick(int dirfd, const char *path, mode_t mode, const void *data, size_t n,
                   struct error *err);

/* Makes `path` and its parents; an existing directory is fine. */
int fs_mkdirs(int dirfd, const char *path, mode_t mode, struct error *err);

/* Removes a file or a whole tree without following symlinks or crossing into other file systems.
 * A missing path is fine. */
int fs_remove_tree(int dirfd, const char *path, struct error *err);

/* write() all of it; 0 or -errno. */
int fs_write_all(int fd, const void *data, size_t n);

/* Reads a one-line secret or password file: its first line without the newline, owned. Refuses a
 * file that others than its owner may read (-EPERM). */
int fs_read_secret(const char *path, char **ret, struct error *err);

#endif
