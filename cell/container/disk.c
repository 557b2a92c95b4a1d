#include "cell/container/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cell/container/process.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define TEMPLATE_VERSION "2" /* of how the image is made; a new one leaves old templates unused */

enum {
    BLOCK = 4096,
    INODE_SIZE = 256,
    BYTES_PER_INODE = 4096, /* so blocks run out first; unused inode tables are holes */
    SLACK = 20 << 20,       /* first guess beyond quota and inode tables: bitmaps, and the 16 MiB
                               that the kernel keeps back (ext4: s_resv_clusters) */
    CLOSE_ENOUGH = 1 << 20, /* what more is usable is taken out with a file */
    SIZES_TRIED = 8,
    MKFS_TIMEOUT_MS = 60000,
    LOOP_TRIES = 64,
    LOOP_MAJOR = 7,
    COPY_CHUNK = 1 << 20,
};

/* No journal: the layer never outlives its container. No metadata checksums, no reserved blocks, no
 * lazy threads zeroing tables that are holes already. */
#define FEATURES                                                                                   \
    "none,extent,filetype,dir_index,dir_nlink,extra_isize,flex_bg,large_file,"                     \
    "huge_file,sparse_super,uninit_bg"
#define MOUNT_DATA "noinit_itable,nobarrier,errors=remount-ro"

static char *template_path(const char *dir, uint64_t bytes) {
    return str_printf("%s/" TEMPLATE_VERSION "-%llu.img", dir, (unsigned long long)bytes);
}

/* A free loop device over `image`, which ends with its last user. */
static int loop_open(int image, struct error *err) {
    _cleanup_(close_fdp) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return error_set(err, -errno, "cannot open /dev/loop-control: %s", strerror(errno));
    struct loop_config config = {
        .fd = (unsigned)image,
        .block_size = BLOCK,
        .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO},
    };
    for (int i = 0; i < LOOP_TRIES; i++) {
        char path[32];
        int n = ioctl(control, LOOP_CTL_GET_FREE);
        if (n < 0)
            return error_set(err, -errno, "cannot get a loop device: %s", strerror(errno));
        snprintf(path, sizeof path, "/dev/loop%d", n);
        /* Where /dev is no devtmpfs nobody else makes it. */
        if (access(path, F_OK) < 0)
            (void)mknod(path, S_IFBLK | 0600, makedev(LOOP_MAJOR, (unsigned)n));
        _cleanup_(close_fdp) int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 && errno != ENXIO && errno != EBUSY)
            return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0)
            return TAKE_FD(fd);
        if (fd >= 0 && errno == EINVAL && config.info.lo_flags & LO_FLAGS_DIRECT_IO)
            config.info.lo_flags = LO_FLAGS_AUTOCLEAR; /* the file's device cannot do it */
        else if (fd >= 0 && errno != EBUSY)            /* EBUSY: another took it first */
            return error_set(err, -errno, "cannot set up %s: %s", path, strerror(errno));
    }
    return error_set(err, -EBUSY, "no loop device stays free");
}

int disk_mount(const char *image, const char *mountpoint, struct error *err) {
    char source[40];
    _cleanup_(close_fdp) int fd = open(image, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", image, strerror(errno));
    _cleanup_(close_fdp) int loop = loop_open(fd, err);
    if (loop < 0)
        return loop;
    snprintf(source, sizeof source, "/proc/self/fd/%d", loop);
    if (mount(source, mountpoint, "ext4", MS_NODEV | MS_NOSUID, MOUNT_DATA) < 0)
        return error_set(err, -errno, "cannot mount %s: %s", image, strerror(errno));
    return 0;
}

static int mkfs(const char *image, struct error *err) {
    _cleanup_(freep) char *program = program_find("mkfs.ext4");
    if (!program)
        return error_set(err, -ENOENT, "mkfs.ext4 is not installed");
    char inode_size[16], inode_ratio[16];
    snprintf(inode_size, sizeof inode_size, "%d", INODE_SIZE);
    snprintf(inode_ratio, sizeof inode_ratio, "%d", BYTES_PER_INODE);
    const char *argv[] = {
        program,     "-q", "-F",     "-b",       "4096",
        "-m",        "0",  "-I",     inode_size, "-i",
        inode_ratio, "-O", FEATURES, "-E",       "lazy_itable_init=1,nodiscard,root_owner=0:0",
        image,       NULL};
    int status = program_run(
        &(struct spawn){.argv = argv, .out = -1, .kept = -1, .timeout_ms = MKFS_TIMEOUT_MS}, err);
    if (status < 0)
        return status;
    return status ? error_set(err, -EIO, "mkfs.ext4 failed on %s (wait status %d)", image, status)
                  : 0;
}

static int usable_bytes(int fd, uint64_t *ret, struct error *err) {
    struct statvfs st;
    if (fstatvfs(fd, &st) < 0)
        return error_set(err, -errno, "cannot measure the writable layer: %s", strerror(errno));
    *ret = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

/* Takes `bytes` out of use, with a file beside what the container sees. */
static int take_out(int root, uint64_t bytes, struct error *err) {
    uint64_t before, after;
    _cleanup_(close_fdp) int fd = openat(root, "beyond", O_WRONLY | O_CREAT | O_CLOEXEC, 0);
    int r = fd < 0 ? error_set(err, -errno, "cannot make a file: %s", strerror(errno))
                   : usable_bytes(fd, &before, err);
    if (r < 0 || bytes == 0)
        return r;
    if (fallocate(fd, 0, 0, (off_t)bytes) < 0)
        return error_set(err, -errno, "cannot size the writable layer: %s", strerror(errno));
    if ((r = usable_bytes(fd, &after, err)) < 0)
        return r;
    uint64_t too_much = before - after - bytes; /* blocks that list the file's own */
    if (too_much && ftruncate(fd, (off_t)(bytes - too_much)) < 0)
        return error_set(err, -errno, "cannot size the writable layer: %s", strerror(errno));
    return 0;
}

/* With the image mounted: makes the two directories and leaves `bytes` usable when not much more
 * are; *ret_excess says by how much it missed. */
static int furnish(const char *at, uint64_t bytes, int64_t *ret_excess, struct error *err) {
    uint64_t usable;
    _cleanup_(close_fdp) int root = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || mkdirat(root, "upper", 0755) < 0 || mkdirat(root, "work", 0700) < 0)
        return error_set(err, -errno, "cannot furnish the writable layer: %s", strerror(errno));
    (void)unlinkat(root, "lost+found", AT_REMOVEDIR);
    int r = usable_bytes(root, &usable, err);
    if (r < 0)
        return r;
    *ret_excess = (int64_t)(usable - bytes);
    if (*ret_excess < 0 || *ret_excess > CLOSE_ENOUGH)
        return 0;
    r = take_out(root, usable - bytes, err);
    *ret_excess = 0;
    return r;
}

static int make_image(int fd, const char *path, uint64_t size, uint64_t bytes,
                      const char *mountpoint, int64_t *ret_excess, struct error *err) {
    if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)(size / BLOCK * BLOCK)) < 0)
        return error_set(err, -errno, "cannot make %s: %s", path, strerror(errno));
    int r = mkfs(path, err);
    if (r < 0 || (r = disk_mount(path, mountpoint, err)) < 0)
        return r;
    r = furnish(mountpoint, bytes, ret_excess, err);
    if (umount2(mountpoint, 0) < 0 && r == 0)
        r = error_set(err, -errno, "cannot unmount %s: %s", mountpoint, strerror(errno));
    return r;
}

/* How much of an image is usable depends on its size in steps, so sizes are tried, each corrected
 * by what the last one missed; the error shrinks by the share of inode tables each time. */
static int make_template(const char *path, uint64_t bytes, const char *mountpoint,
                         struct error *err) {
    _cleanup_(freep) char *tmp = str_printf("%s.tmp", path);
    if (!tmp)
        return error_set(err, -ENOMEM, "out of memory");
    (void)unlink(tmp);
    _cleanup_(close_fdp) int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, -errno, "cannot make %s: %s", tmp, strerror(errno));
    uint64_t size = bytes + bytes / BYTES_PER_INODE * INODE_SIZE + SLACK;
    int64_t excess = -1;
    int r = 0;
    for (int i = 0; r == 0 && excess != 0 && i < SIZES_TRIED; i++) {
        r = make_image(fd, tmp, size, bytes, mountpoint, &excess, err);
        size = (uint64_t)((int64_t)size - excess + CLOSE_ENOUGH / 2);
    }
    if (r == 0 && excess != 0)
        r = error_set(err, -EIO, "no image leaves %llu bytes usable", (unsigned long long)bytes);
    if (r == 0 && rename(tmp, path) < 0)
        r = error_set(err, -errno, "cannot make %s: %s", path, strerror(errno));
    if (r < 0)
        (void)unlink(tmp);
    return r;
}

int disk_template(const char *dir, uint64_t bytes, const char *mountpoint, struct error *err) {
    static pthread_mutex_t one_maker = PTHREAD_MUTEX_INITIALIZER;
    _cleanup_(freep) char *path = template_path(dir, bytes);
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    if (access(path, F_OK) == 0)
        return 0;
    pthread_mutex_lock(&one_maker);
    int r = access(path, F_OK) == 0 ? 0 : make_template(path, bytes, mountpoint, err);
    pthread_mutex_unlock(&one_maker);
    return r;
}

/* Copies [from, to) within the kernel. */
static int copy_range(int in, int out, off_t from, off_t to) {
    off_t in_at = from, out_at = from;
    while (in_at < to) {
        ssize_t n = copy_file_range(in, &in_at, out, &out_at,
                                    MIN((size_t)(to - in_at), (size_t)COPY_CHUNK), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
    }
    return 0;
}

int disk_copy(const char *dir, uint64_t bytes, const char *image, struct error *err) {
    _cleanup_(freep) char *path = template_path(dir, bytes);
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    _cleanup_(close_fdp) int in = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_(close_fdp) int out = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat st;
    if (in < 0 || out < 0 || fstat(in, &st) < 0 || ftruncate(out, st.st_size) < 0)
        return error_set(err, -errno, "cannot copy %s: %s", path, strerror(errno));
    for (off_t data = 0; (data = lseek(in, data, SEEK_DATA)) >= 0;) {
        off_t hole = lseek(in, data, SEEK_HOLE);
        int r = hole < 0 ? -errno : copy_range(in, out, data, hole);
        if (r < 0)
            return error_set(err, r, "cannot copy %s: %s", path, strerror(-r));
        data = hole;
    }
    return errno == ENXIO ? 0 /* no data further on */
                          : error_set(err, -errno, "cannot copy %s: %s", path, strerror(errno));
}
