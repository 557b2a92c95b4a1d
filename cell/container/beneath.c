#include "cell/container/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

int beneath_open(int root, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

int beneath_read(int root, const char *path, size_t max, char **ret, struct error *err) {
    /* O_NONBLOCK: a FIFO placed there must not hold us up. */
    _cleanup_(close_fdp) int fd = beneath_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, fd, "cannot open %s: %s", path, strerror(-fd));
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%s is no regular file", path);
    if ((uint64_t)st.st_size > max)
        return error_set(err, -EFBIG, "%s is larger than %zu bytes", path, max);
    _cleanup_(freep) char *text = malloc(max + 1);
    if (!text)
        return error_set(err, -ENOMEM, "out of memory");
    size_t n = 0;
    while (n < max) {
        ssize_t got = read(fd, text + n, max - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            break;
        n += (size_t)got;
    }
    text[n] = 0;
    *ret = TAKE_PTR(text);
    return 0;
}

int beneath_mkdirs(int root, const char *path, uid_t owner, struct error *err) {
    _cleanup_(freep) char *part = str_printf("/%s", path);
    if (!part)
        return error_set(err, -ENOMEM, "out of memory");
    _cleanup_(close_fdp) int parent = beneath_open(root, "/", O_PATH | O_DIRECTORY);
    for (char *name = part, *end; parent >= 0; name = end) {
        name += strspn(name, "/");
        if (!*name)
            return 0;
        end = name + strcspn(name, "/");
        char was = *end;
        *end = 0;
        int fd = beneath_open(root, part, O_PATH | O_DIRECTORY);
        if (fd == -ENOENT) {
            int r = mkdirat(parent, name, 0755) < 0 ? -errno : 0;
            if (r == 0 && fchownat(parent, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
            if (r < 0 && r != -EEXIST) /* it exists: a link to nowhere, refused below */
                return error_set(err, r, "cannot make directory %s: %s", part, strerror(-r));
            fd = beneath_open(root, part, O_PATH | O_DIRECTORY);
        }
        if (fd < 0)
            return error_set(err, -EINVAL, "cannot make directory %s: %s", path, strerror(-fd));
        close(parent);
        parent = fd;
        *end = was;
    }
    return error_set(err, parent, "cannot open the root: %s", strerror(-parent));
}

int beneath_put(int root, const char *dir, const char *name, const char *text, uid_t owner,
                struct error *err) {
    int r = beneath_mkdirs(root, dir, owner, err);
    if (r < 0)
        return r;
    _cleanup_(close_fdp) int dirfd = beneath_open(root, dir, O_PATH | O_DIRECTORY);
    if (dirfd < 0)
        return error_set(err, dirfd, "cannot open %s: %s", dir, strerror(-dirfd));
    if (unlinkat(dirfd, name, 0) < 0 && errno == EISDIR)
        return error_set(err, -EINVAL, "%s/%s is a directory", dir, name);
    _cleanup_(close_fdp) int fd =
        openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fchown(fd, owner, owner) < 0 || fchmod(fd, 0644) < 0)
        return error_set(err, -errno, "cannot make %s/%s: %s", dir, name, strerror(errno));
    if ((r = fs_write_all(fd, text, strlen(text))) < 0)
        return error_set(err, r, "cannot write %s/%s: %s", dir, name, strerror(-r));
    return 0;
}

/* 0 when `path` is a program, else -errno. */
static int check_program(int root, const char *path) {
    _cleanup_(close_fdp) int fd = beneath_open(root, path, O_PATH);
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    return S_ISREG(st.st_mode) && st.st_mode & 0111 ? 0 : -EACCES;
}

/* In the words of Go's os/exec, which Cloud Foundry's launcher shows. */
static const char *reason(int r) {
    return r == -ENOENT    ? "no such file or directory"
           : r == -EISDIR  ? "is a directory"
           : r == -EACCES  ? "permission denied"
           : r == -ENOTDIR ? "not a directory"
                           : strerror(-r);
}

static char *join(const char *cwd, const char *dir, const char *name) {
    return dir[0] == '/' ? str_printf("%s/%s", dir, name) : str_printf("%s/%s/%s", cwd, dir, name);
}

int beneath_find_command(int root, const char *name, const char *path, const char *cwd, char **ret,
                         struct error *err) {
    if (strchr(name, '/')) {
        _cleanup_(freep) char *full =
            name[0] == '/' ? str_dup(name) : str_printf("%s/%s", cwd, name);
        if (!full)
            return error_set(err, -ENOMEM, "out of memory");
        int r = check_program(root, full);
        if (r < 0)
            return error_set(err, -EINVAL, "Failed to resolve path: exec: \"%s\": %s", name,
                             reason(r));
        *ret = TAKE_PTR(full);
        return 0;
    }
    bool denied = false;
    for (const char *p = path, *end; *name; p = end + 1) {
        end = p + strcspn(p, ":");
        _cleanup_(freep) char *dir = str_ndup(p, (size_t)(end - p));
        _cleanup_(freep) char *full = dir ? join(cwd, dir, name) : NULL;
        if (!full)
            return error_set(err, -ENOMEM, "out of memory");
        int r = check_program(root, full);
        if (r == 0) {
            *ret = TAKE_PTR(full);
            return 0;
        }
        denied |= r == -EACCES;
        if (!*end)
            break;
    }
    if (denied)
        return error_set(err, -EINVAL, "Failed to resolve path: exec: \"%s\": permission denied",
                         name);
    return error_set(err, -EINVAL,
                     "Failed to resolve path: exec: \"%s\": executable file not found in $PATH",
                     name);
}
