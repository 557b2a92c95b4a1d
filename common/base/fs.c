#include "common/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/str.h"

static int fail(struct error *err, const char *doing, const char *path) {
    int saved = errno;
    return error_set(err, -saved, "cannot %s %s: %s", doing, path, strerror(saved));
}

int fs_read(int dirfd, const char *path, size_t max, char **ret, size_t *ret_n, struct error *err) {
    _cleanup_(close_fdp) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open", path);
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, "read", path);
        if (n == 0)
            break;
        if (text.n + (size_t)n > max)
            return error_set(err, -EFBIG, "%s is larger than %zu bytes", path, max);
        strbuf_add(&text, chunk, (size_t)n);
    }
    size_t n = text.n;
    char *p = strbuf_take(&text);
    if (!p)
        return error_set(err, -ENOMEM, "out of memory reading %s", path);
    *ret = p;
    if (ret_n)
        *ret_n = n;
    return 0;
}

int fs_write_all(int fd, const void *data, size_t n) {
    const char *p = data;
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

/* fsyncs the directory that holds `path`, so that the rename itself lasts. */
static int sync_parent(int dirfd, const char *path) {
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *parent =
        slash ? str_ndup(path, MAX((size_t)(slash - path), (size_t)1)) : str_dup(".");
    if (!parent)
        return -ENOMEM;
    _cleanup_(close_fdp) int fd = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace(int dirfd, const char *path, mode_t mode, const void *data, size_t n, int sync,
                   struct error *err) {
    _cleanup_(freep) char *tmp = str_printf("%s.tmp", path);
    if (!tmp)
        return error_set(err, -ENOMEM, "out of memory");
    _cleanup_(close_fdp) int fd =
        openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return fail(err, "create", tmp);
    int r = fchmod(fd, mode) < 0 ? -errno : fs_write_all(fd, data, n);
    if (r == 0 && sync && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dirfd, tmp, 0);
        return error_set(err, r, "cannot write %s: %s", path, strerror(-r));
    }
    if (sync && (r = sync_parent(dirfd, path)) < 0)
        return error_set(err, r, "cannot sync the directory of %s: %s", path, strerror(-r));
    return 0;
}

int fs_write_atomic(int dirfd, const char *path, mode_t mode, const void *data, size_t n,
                    struct error *err) {
    return replace(dirfd, path, mode, data, n, 1, err);
}

int fs_write_quick(int dirfd, const char *path, mode_t mode, const void *data, size_t n,
                   struct error *err) {
    return replace(dirfd, path, mode, data, n, 0, err);
}

int fs_mkdirs(int dirfd, const char *path, mode_t mode, struct error *err) {
    _cleanup_(freep) char *part = str_dup(path);
    if (!part)
        return error_set(err, -ENOMEM, "out of memory");
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = 0;
        if (mkdirat(dirfd, part, mode) < 0 && errno != EEXIST)
            return fail(err, "make directory", part);
        *p = was;
        if (!was)
            break;
    }
    struct stat st;
    if (fstatat(dirfd, path, &st, 0) < 0)
        return fail(err, "look at", path);
    return S_ISDIR(st.st_mode) ? 0 : error_set(err, -ENOTDIR, "%s is not a directory", path);
}

static int remove_beneath(int dirfd, const char *name, dev_t dev, struct error *err) {
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return fail(err, "remove", name);
    _cleanup_(close_fdp) int fd =
        openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(err, "open directory", name);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return fail(err, "look at", name);
    if (dev && st.st_dev != dev)
        return error_set(err, -EXDEV, "%s is a mount point: not removed", name);
    DIR *dir = fdopendir(dup(fd));
    if (!dir)
        return fail(err, "list", name);
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(dir));)
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            r = remove_beneath(fd, e->d_name, st.st_dev, err);
    closedir(dir);
    if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = fail(err, "remove", name);
    return r;
}

int fs_remove_tree(int dirfd, const char *path, struct error *err) {
    return remove_beneath(dirfd, path, 0, err);
}

int fs_read_secret(const char *path, char **ret, struct error *err) {
    struct stat st;
    if (stat(path, &st) < 0)
        return fail(err, "look at", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return error_set(err, -EPERM, "%s holds a secret and must have mode 0600", path);
    char *text;
    int r = fs_read(AT_FDCWD, path, 65536, &text, NULL, err);
    if (r < 0)
        return r;
    text[strcspn(text, "\r\n")] = 0;
    *ret = text;
    return 0;
}
