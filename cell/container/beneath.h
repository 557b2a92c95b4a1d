/* beneath.h - files of a container's root, reached from outside without trusting it: every path is
 * resolved with the root as "/" (openat2 RESOLVE_IN_ROOT), so no symlink leads out. */
#ifndef CELL_CONTAINER_BENEATH_H
#define CELL_CONTAINER_BENEATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"

/* A descriptor or -errno. */
int beneath_open(int root, const char *path, int flags);

/* A regular file of at most `max` bytes, owned and NUL-terminated. -ENOENT when missing, -EINVAL
 * when it is something else, -EFBIG. */
int beneath_read(int root, const char *path, size_t max, char **ret, struct error *err);

/* Makes the directory and its parents as `owner`:`owner`, 0755. -EINVAL when something else than a
 * directory is in the way. */
int beneath_mkdirs(int root, const char *path, uid_t owner, struct error *err);

/* Puts a new file DIR/NAME there in place of whatever has that name; DIR is made when missing. */
int beneath_put(int root, const char *dir, const char *name, const char *text, uid_t owner,
                struct error *err);

/* Finds what execvp() would run: `name` with a slash as it stands (relative to `cwd`), else in the
 * directories of `path`. *ret is owned. -EINVAL with the text that a user gets. */
int beneath_find_command(int root, const char *name, const char *path, const char *cwd, char **ret,
                         struct error *err);

#endif
