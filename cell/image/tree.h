/* tree.h - makes files beneath a directory, wherever a hostile archive wants to lead it.
 *
 * Every directory is reached with openat2(RESOLVE_BENEATH) from the root and held while its files
 * are made; the last component of a path is never followed. Symbolic links that this layer itself
 * brought are followed within it, and refused where they lead out (or are absolute).
 *
 * Paths are relative, without "", "." or ".." components; "" is the root itself. Each function
 * replaces what stood at its path. Errors are -EBADMSG or -EFBIG when the archive is to blame, else
 * what the kernel said. The calling thread's umask must be 0. */
#ifndef CELL_IMAGE_TREE_H
#define CELL_IMAGE_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/base/error.h"
#include "common/base/str.h"

struct tree_xattr {
    const char *name;
    const void *value;
    size_t n;
};

struct tree_attr {
    mode_t mode; /* 07777 */
    uid_t uid;
    gid_t gid;
    struct timespec mtime;
    struct tree_xattr xattrs[16]; /* borrowed */
    size_t xattr_count;
};

struct tree {
    int root; /* borrowed */
    /* The directory of the last entry, since the next one is mostly there too. */
    int parent; /* owned unless it is the root; -1: none */
    char parent_path[PATH_MAX];
    size_t parent_n;
    bool parent_setgid; /* children would inherit its group */
    /* Modification times of directories, set last: making files in them changes them. */
    struct dir_time {
        size_t path; /* offset in `paths` */
        struct timespec mtime;
    } * times;
    size_t time_count, time_cap;
    struct strbuf paths;
    uint64_t disk_bytes; /* about what the tree takes on disk */
};

void tree_init(struct tree *t, int root);
void tree_fini(struct tree *t);

/* A directory: made, or given these attributes if it is there. Over a whiteout it is made opaque,
 * since what the whiteout hid must stay hidden. */
int tree_dir(struct tree *t, const char *path, const struct tree_attr *attr, struct error *err);
/* A regular file: the caller writes to *ret_fd (and owns it), then tree_file_done(). */
int tree_file(struct tree *t, const char *path, const struct tree_attr *attr, int *ret_fd,
              struct error *err);
int tree_file_done(struct tree *t, int fd, const struct tree_attr *attr, uint64_t size,
                   struct error *err);
int tree_symlink(struct tree *t, const char *path, const char *target, const struct tree_attr *attr,
                 struct error *err);
int tree_fifo(struct tree *t, const char *path, const struct tree_attr *attr, struct error *err);
/* A hard link to the file at `target`, which must be in the tree. */
int tree_link(struct tree *t, const char *path, const char *target, struct error *err);
/* Hides `path` of lower layers; what this layer itself has there stays. */
int tree_whiteout(struct tree *t, const char *path, struct error *err);
/* Hides what lower layers have in the directory `path`. */
int tree_opaque(struct tree *t, const char *path, struct error *err);
/* Removes `path` and what is beneath it; a missing one is fine. */
int tree_remove(struct tree *t, const char *path, struct error *err);

/* Sets the times of directories: once, last. */
int tree_finish(struct tree *t, struct error *err);

#endif
