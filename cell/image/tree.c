#include "cell/image/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

/* openat2 answers EAGAIN when anybody renamed or mounted something while it walked over "..". */
#define OPEN_ATTEMPTS 1000
/* What an estimate of disk use counts: ext4's block, and its inode for what has no blocks. */
#define BLOCK_BYTES 4096u
#define INODE_BYTES 256u

/* What the names of directories may take in memory until the end: a million ordinary ones. */
#define MAX_PATHS_BYTES ((size_t)64 * 1024 * 1024)

#define OPAQUE_XATTR "trusted.overlay.opaque"

void tree_init(struct tree *t, int root) {
    *t = (struct tree){.root = root, .parent = -1};
}

static void forget_parent(struct tree *t) {
    if (t->parent >= 0 && t->parent != t->root)
        close(t->parent);
    t->parent = -1;
}

void tree_fini(struct tree *t) {
    forget_parent(t);
    free(t->times);
    strbuf_fini(&t->paths);
}

/* Is the archive to blame for this errno, or the machine? */
static int blame(int e) {
    switch (e) {
    case ELOOP:
    case EXDEV:
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case ENAMETOOLONG:
    case EINVAL:
    case EMLINK:
    case ERANGE:
        return -EBADMSG;
    case EDQUOT:
        return -ENOSPC;
    default:
        return -e;
    }
}

static int fail(struct error *err, const char *doing) {
    int e = errno;
    if (e == EXDEV || e == ELOOP)
        return error_set(err, -EBADMSG, "leads out of the layer through a symbolic link");
    return error_set(err, blame(e), "cannot %s: %s", doing, strerror(e));
}

static int no_memory(struct error *err) {
    return error_set(err, -ENOMEM, "out of memory");
}

/* --- directories ------------------------------------------------------------------------------ */

static int open_beneath(const struct tree *t, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_DIRECTORY | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    int fd = -1;
    for (int i = 0; i < OPEN_ATTEMPTS; i++) {
        fd = (int)syscall(SYS_openat2, t->root, *path ? path : ".", &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd;
}

static bool is_whiteout(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int set_opaque(int dirfd, const char *name, struct error *err) {
    _cleanup_(close_fdp) int fd =
        openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsetxattr(fd, OPAQUE_XATTR, "y", 1, 0) < 0)
        return fail(err, "make the directory opaque");
    return 0;
}

/* Makes the directory `name`: 1 if it is new, 0 if there is one, -EEXIST if something else is. */
static int make_dir(struct tree *t, int dirfd, const char *name, mode_t mode, struct error *err) {
    struct stat st;
    if (mkdirat(dirfd, name, mode) == 0) {
        t->disk_bytes += BLOCK_BYTES;
        return 1;
    }
    if (errno != EEXIST)
        return fail(err, "make the directory");
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, "look at what is there");
    if (S_ISDIR(st.st_mode))
        return 0;
    if (!is_whiteout(&st))
        return -EEXIST;
    if (unlinkat(dirfd, name, 0) < 0 || mkdirat(dirfd, name, mode) < 0)
        return fail(err, "make the directory");
    t->disk_bytes += BLOCK_BYTES;
    int r = set_opaque(dirfd, name, err);
    return r < 0 ? r : 1;
}

/* Opens the directory `path`, making what is missing of it as Docker does: 0755, owned by root. */
static int open_making(struct tree *t, char *path, struct error *err) {
    int fd = open_beneath(t, path, O_PATH);
    if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR))
        return fd >= 0 ? fd : fail(err, "open its directory");
    _cleanup_(close_fdp) int above = open_beneath(t, "", O_PATH);
    for (char *name = path, *end; above >= 0; name = end + 1) {
        end = name + strcspn(name, "/");
        bool last = !*end;
        *end = 0;
        int r = make_dir(t, above, name, 0755, err);
        fd = r < 0 && r != -EEXIST ? r : open_beneath(t, path, O_PATH); /* EEXIST: a symlink? */
        if (!last)
            *end = '/';
        if (r < 0 && r != -EEXIST)
            return r;
        if (fd < 0 || last)
            break;
        close(above);
        above = fd;
    }
    return fd >= 0 ? fd : fail(err, "make its directory");
}

/* Makes the directory of `path` the current one. *ret_name: the last component. */
static int enter(struct tree *t, const char *path, const char **ret_name, struct error *err) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    *ret_name = slash ? slash + 1 : path;
    if (t->parent >= 0 && n == t->parent_n && memcmp(path, t->parent_path, n) == 0)
        return 0;
    forget_parent(t);
    if (n >= sizeof t->parent_path)
        return error_set(err, -EBADMSG, "path too long");
    memcpy(t->parent_path, path, n);
    t->parent_path[n] = 0;
    t->parent_n = n;
    int fd = n ? open_making(t, t->parent_path, err) : t->root;
    if (fd < 0)
        return fd;
    t->parent = fd;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail(err, "look at its directory");
    t->parent_setgid = st.st_mode & S_ISGID;
    return 0;
}

/* Makes room for a new entry where something stands. The current directory is above it: it stays.
 */
static int clear_place(struct tree *t, const char *name, struct error *err) {
    struct error why = {0};
    int r = fs_remove_tree(t->parent, name, &why);
    if (r < 0)
        return error_set(err, blame(-r), "cannot replace what is there: %s", why.msg);
    return 0;
}

static int remember_time(struct tree *t, const char *path, const struct timespec *mtime,
                         struct error *err) {
    if (t->paths.n > MAX_PATHS_BYTES)
        return error_set(err, -EFBIG, "the names of the layer's directories are too long together");
    if (t->time_count == t->time_cap) {
        size_t cap = t->time_cap ? t->time_cap * 2 : 256;
        struct dir_time *times = mem_resize(t->times, cap, sizeof *times);
        if (!times)
            return no_memory(err);
        t->times = times;
        t->time_cap = cap;
    }
    t->times[t->time_count++] = (struct dir_time){t->paths.n, *mtime};
    strbuf_add(&t->paths, path, strlen(path) + 1);
    return t->paths.failed ? no_memory(err) : 0;
}

static int set_xattrs(int fd, const struct tree_attr *attr, struct error *err) {
    for (size_t i = 0; i < attr->xattr_count; i++) {
        const struct tree_xattr *x = &attr->xattrs[i];
        if (fsetxattr(fd, x->name, x->value, x->n, 0) < 0)
            return error_set(err, blame(errno), "cannot set the extended attribute %s: %s", x->name,
                             strerror(errno));
    }
    return 0;
}

/* All attributes of a directory that is open for reading. */
static int set_dir_attr(int fd, const struct tree_attr *attr, struct error *err) {
    if (fchown(fd, attr->uid, attr->gid) < 0)
        return fail(err, "set its owner");
    if (fchmod(fd, attr->mode) < 0)
        return fail(err, "set its mode");
    return set_xattrs(fd, attr, err);
}

static int set_dir_attr_at(int dirfd, const char *name, const struct tree_attr *attr,
                           struct error *err) {
    _cleanup_(close_fdp) int fd =
        openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open the directory");
    return set_dir_attr(fd, attr, err);
}

int tree_dir(struct tree *t, const char *path, const struct tree_attr *attr, struct error *err) {
    const char *name;
    int r;
    if (!*path) {
        forget_parent(t);
        r = set_dir_attr_at(t->root, ".", attr, err);
        return r < 0 ? r : remember_time(t, path, &attr->mtime, err);
    }
    if ((r = enter(t, path, &name, err)) < 0)
        return r;
    r = make_dir(t, t->parent, name, attr->mode, err);
    if (r == -EEXIST) {
        if ((r = clear_place(t, name, err)) < 0)
            return r;
        r = make_dir(t, t->parent, name, attr->mode, err);
    }
    if (r < 0)
        return r;
    /* mkdir() knows neither set-id bits nor owners; a new directory mostly needs neither. */
    bool plain = r == 1 && !attr->uid && !attr->gid && !(attr->mode & (S_ISUID | S_ISGID)) &&
                 !attr->xattr_count && !t->parent_setgid;
    if (!plain && (r = set_dir_attr_at(t->parent, name, attr, err)) < 0)
        return r;
    return remember_time(t, path, &attr->mtime, err);
}

/* --- files ------------------------------------------------------------------------------------ */

/* Runs one of make_* below, clearing the place first if something stands there. */
typedef int maker(int dirfd, const char *name, const void *arg, mode_t mode);

static int make(struct tree *t, const char *path, maker *m, const void *arg, mode_t mode,
                const char *doing, const char **ret_name, struct error *err) {
    int r = enter(t, path, ret_name, err);
    if (r < 0)
        return r;
    int made = m(t->parent, *ret_name, arg, mode);
    if (made < 0 && errno == EEXIST) {
        if ((r = clear_place(t, *ret_name, err)) < 0)
            return r;
        made = m(t->parent, *ret_name, arg, mode);
    }
    return made < 0 ? fail(err, doing) : made;
}

static int make_file(int dirfd, const char *name, const void *arg, mode_t mode) {
    (void)arg;
    return openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

static int make_symlink(int dirfd, const char *name, const void *target, mode_t mode) {
    (void)mode;
    return symlinkat(target, dirfd, name);
}

static int make_fifo(int dirfd, const char *name, const void *arg, mode_t mode) {
    (void)arg;
    return mkfifoat(dirfd, name, mode);
}

static bool needs_owner(const struct tree *t, const struct tree_attr *attr) {
    return attr->uid || attr->gid || t->parent_setgid;
}

int tree_file(struct tree *t, const char *path, const struct tree_attr *attr, int *ret_fd,
              struct error *err) {
    const char *name;
    int fd = make(t, path, make_file, NULL, attr->mode, "create the file", &name, err);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}

/* Owner first, since changing it drops set-id bits and capabilities; times last. */
int tree_file_done(struct tree *t, int fd, const struct tree_attr *attr, uint64_t size,
                   struct error *err) {
    if (needs_owner(t, attr) && fchown(fd, attr->uid, attr->gid) < 0)
        return fail(err, "set its owner");
    if (attr->mode & (S_ISUID | S_ISGID) && fchmod(fd, attr->mode) < 0)
        return fail(err, "set its mode");
    int r = set_xattrs(fd, attr, err);
    if (r < 0)
        return r;
    const struct timespec times[2] = {attr->mtime, attr->mtime};
    if (futimens(fd, times) < 0)
        return fail(err, "set its times");
    t->disk_bytes += INODE_BYTES + (size + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    return 0;
}

/* Owner and times of what cannot be opened. */
static int set_special_attr(struct tree *t, const char *name, const struct tree_attr *attr,
                            struct error *err) {
    if (needs_owner(t, attr) &&
        fchownat(t->parent, name, attr->uid, attr->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, "set its owner");
    const struct timespec times[2] = {attr->mtime, attr->mtime};
    if (utimensat(t->parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, "set its times");
    t->disk_bytes += INODE_BYTES;
    return 0;
}

int tree_symlink(struct tree *t, const char *path, const char *target, const struct tree_attr *attr,
                 struct error *err) {
    const char *name;
    int r = make(t, path, make_symlink, target, 0, "make the symbolic link", &name, err);
    return r < 0 ? r : set_special_attr(t, name, attr, err);
}

int tree_fifo(struct tree *t, const char *path, const struct tree_attr *attr, struct error *err) {
    const char *name;
    int r = make(t, path, make_fifo, NULL, attr->mode & 0777, "make the fifo", &name, err);
    return r < 0 ? r : set_special_attr(t, name, attr, err);
}

struct link_from {
    int dirfd;
    const char *name;
};

static int make_link(int dirfd, const char *name, const void *arg, mode_t mode) {
    (void)mode;
    const struct link_from *from = arg;
    return linkat(from->dirfd, from->name, dirfd, name, 0);
}

int tree_link(struct tree *t, const char *path, const char *target, struct error *err) {
    const char *slash = strrchr(target, '/'), *name;
    _cleanup_(freep) char *dir = str_ndup(target, slash ? (size_t)(slash - target) : 0);
    if (!dir)
        return no_memory(err);
    struct link_from from = {.name = slash ? slash + 1 : target};
    _cleanup_(close_fdp) int dirfd = from.dirfd = open_beneath(t, dir, O_PATH);
    struct stat st, there;
    if (dirfd < 0 && errno != ENOENT && errno != ENOTDIR)
        return fail(err, "open the directory of its target");
    if (dirfd < 0 || fstatat(dirfd, from.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(err, -EBADMSG, "is a hard link to a file that is not in this layer");
    if (S_ISDIR(st.st_mode) || is_whiteout(&st))
        return error_set(err, -EBADMSG, "is a hard link to what is not a file");
    int r = enter(t, path, &name, err);
    if (r < 0)
        return r;
    if (fstatat(t->parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == st.st_ino)
        return 0; /* already the same file; clearing the place would lose it */
    return make(t, path, make_link, &from, 0, "make the hard link", &name, err);
}

/* --- what hides lower layers ------------------------------------------------------------------ */

int tree_whiteout(struct tree *t, const char *path, struct error *err) {
    const char *name;
    struct stat st;
    int r = enter(t, path, &name, err);
    if (r < 0)
        return r;
    if (mknodat(t->parent, name, S_IFCHR, makedev(0, 0)) == 0) {
        t->disk_bytes += INODE_BYTES;
        return 0;
    }
    if (errno != EEXIST)
        return fail(err, "make the whiteout");
    /* OCI image specification, layers: a whiteout applies to lower layers only. A file of this
     * layer hides the lower one already; a directory would be merged with it. */
    if (fstatat(t->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, "look at what is there");
    return S_ISDIR(st.st_mode) ? set_opaque(t->parent, name, err) : 0;
}

int tree_opaque(struct tree *t, const char *path, struct error *err) {
    struct error why = {0};
    _cleanup_(freep) char *dir = str_dup(path);
    if (!dir)
        return no_memory(err);
    _cleanup_(close_fdp) int fd = *dir ? open_making(t, dir, err) : open_beneath(t, "", O_PATH);
    if (fd < 0)
        return *dir ? fd : fail(err, "open the layer");
    int r = set_opaque(fd, ".", &why);
    return r < 0 ? error_set(err, r, "%s", why.msg) : 0;
}

int tree_remove(struct tree *t, const char *path, struct error *err) {
    const char *name;
    int r = enter(t, path, &name, err);
    if (r == 0)
        r = clear_place(t, name, err);
    forget_parent(t);
    return r;
}

int tree_finish(struct tree *t, struct error *err) {
    forget_parent(t);
    for (size_t i = 0; i < t->time_count; i++) {
        const struct timespec times[2] = {t->times[i].mtime, t->times[i].mtime};
        _cleanup_(close_fdp) int fd = open_beneath(t, t->paths.p + t->times[i].path, O_RDONLY);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
            continue; /* a later entry took its place */
        if (fd < 0)
            return fail(err, "open a directory");
        if (futimens(fd, times) < 0)
            return fail(err, "set the times of a directory");
    }
    return 0;
}
