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

#define TEMPLATE_VERSION "1" /* of how the image is made; a new one leaves old templates unused */

enum {
    BLOCK = 4096,
    INODE_SIZE = 256,
    BYTES_PER_INODE = 4096, /* so blocks run out first; unused inode tables are holes */
    SLACK = 40 << 20,       /* beyond quota and inode tables: bitmaps, and the 16 MiB that the
                               kernel keeps back (ext4: s_resv_clusters) */
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

/* With the image mounted: the two directories, and a file that holds what is beyond the quota. */
static int furnish(const char *at, uint64_t bytes, struct error *err) {
    _cleanup_(close_fdp) int root = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || mkdirat(root, "upper", 0755) < 0 || mkdirat(root, "work", 0700) < 0)
        return error_set(err, -errno, "cannot furnish the writable layer: %s", strerror(errno));
    (void)unlinkat(root, "lost+found", AT_REMOVEDIR);
    _cleanup_(close_fdp) int fd = openat(root, "beyond", O_WRONLY | O_CREAT | O_CLOEXEC, 0);
    struct statvfs st;
    if (fd < 0 || fstatvfs(fd, &st) < 0)
        return error_set(err, -errno, "cannot measure the writable layer: %s", strerror(errno));
    uint64_t usable = (uint64_t)st.f_bavail * st.f_frsize;
    if (usable < bytes)
        return error_set(err, -EIO, "a writable layer of %llu bytes came out too small",
                         (unsigned long long)bytes);
    if (usable > bytes && fallocate(fd, 0, 0, (off_t)(usable - bytes)) < 0)
        return error_set(err, -errno, "cannot size the writable layer: %s", strerror(errno));
    if (fstatvfs(fd, &st) < 0)
        return error_set(err, -errno, "cannot measure the writable layer: %s", strerror(errno));
    usable = (uint64_t)st.f_bavail * st.f_frsize;
    if (usable < bytes &&
        ftruncate(fd, (off_t)(lseek(fd, 0, SEEK_END) - (off_t)(bytes - usable))) < 0)
        return error_set(err, -errno, "cannot size the writable layer: %s", strerror(errno));
    return 0;
}

static int make_template(const char *path, uint64_t bytes, const char *mountpoint,
                         struct error *err) {
    _cleanup_(freep) char *tmp = str_printf("%s.tmp", path);
    if (!tmp)
        return error_set(err, -ENOMEM, "out of memory");
    (void)unlink(tmp);
    _cleanup_(close_fdp) int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint64_t tables = bytes / BYTES_PER_INODE * INODE_SIZE;
    uint64_t size = bytes + tables + (bytes + tables) / 16 + SLACK; /* 1/16: inodes of the tables */
    if (fd < 0 || ftruncate(fd, (off_t)(size / BLOCK * BLOCK)) < 0)
        return error_set(err, -errno, "cannot make %s: %s", tmp, strerror(errno));
    int r = mkfs(tmp, err);
    if (r == 0 && (r = disk_mount(tmp, mountpoint, err)) == 0) {
        r = furnish(mountpoint, bytes, err);
        if (umount2(mountpoint, 0) < 0 && r == 0)
            r = error_set(err, -errno, "cannot unmount %s: %s", mountpoint, strerror(errno));
    }
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
