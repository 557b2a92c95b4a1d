#include "cell/container/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/container/disk.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum {
    LAYERS_MAX = 128,   /* Docker's own bound is 127 */
    OPTIONS_MAX = 4096, /* mount(2): one page */
};

/* What a hostile image may put into a layer's xattrs is not followed; nothing is indexed, since no
 * layer of ours is ever mounted twice; fsync is not passed down, since the writable layer does not
 * outlive the container, let alone the machine. */
#define OVERLAY_OPTIONS "redirect_dir=nofollow,metacopy=off,index=off,xino=off,volatile"

struct layers {
    int fds[LAYERS_MAX];
    size_t n;
};

static void layers_close(struct layers *l) {
    while (l->n)
        close(l->fds[--l->n]);
}

/* Mounts one more layer at `at`, above the others there. */
static int add_layer(struct layers *l, const char *path, const char *at, int user_ns,
                     struct error *err) {
    if (l->n == LAYERS_MAX)
        return error_set(err, -EINVAL, "the image has more than %d layers", LAYERS_MAX);
    int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot open layer %s: %s", path, strerror(errno));
    l->fds[l->n++] = fd;
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID,
        .userns_fd = (uint64_t)user_ns,
    };
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
        return error_set(err, -errno, "cannot map the ids of layer %s: %s%s", path, strerror(errno),
                         errno == EINVAL ? " (its file system must know idmapped mounts)" : "");
    if (move_mount(fd, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return error_set(err, -errno, "cannot mount layer %s: %s", path, strerror(errno));
    return 0;
}

/* The root directory of the merged tree looks as the topmost layer's. */
static int prepare_upper(int disk, int top_layer, uint32_t owner, struct error *err) {
    struct stat st;
    if (fstat(top_layer, &st) < 0)
        return error_set(err, -errno, "cannot look at a layer: %s", strerror(errno));
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    /* Seen from here the layer's ids are mapped already; what lies outside of the map is shown as
     * the overflow id, and becomes the container's root. */
    uid_t uid = st.st_uid >= owner ? st.st_uid : owner;
    gid_t gid = st.st_gid >= owner ? st.st_gid : owner;
    if (fchownat(disk, "upper", uid, gid, 0) < 0 ||
        fchmodat(disk, "upper", st.st_mode & 07777, 0) < 0 ||
        utimensat(disk, "upper", times, 0) < 0)
        return error_set(err, -errno, "cannot prepare the writable layer: %s", strerror(errno));
    return 0;
}

/* Descriptors as paths: no byte of a name reaches the option text. */
static int mount_overlay(const struct layers *l, int disk, const char *at, struct error *err) {
    char options[OPTIONS_MAX];
    size_t n = (size_t)snprintf(options, sizeof options,
                                OVERLAY_OPTIONS
                                ",upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work"
                                ",lowerdir=",
                                disk, disk);
    for (size_t i = l->n; i-- > 0 && n < sizeof options;) /* overlayfs wants the topmost first */
        n += (size_t)snprintf(options + n, sizeof options - n, "/proc/self/fd/%d%s", l->fds[i],
                              i ? ":" : "");
    if (n >= sizeof options)
        return error_set(err, -E2BIG, "too many layers for one overlay");
    if (mount("overlay", at, "overlay", MS_NODEV, options) < 0)
        return error_set(err, -errno, "cannot mount the root file system: %s", strerror(errno));
    return 0;
}

int rootfs_mount(const struct rootfs_spec *spec, const struct rootfs_places *places,
                 struct error *err) {
    _cleanup_(layers_close) struct layers layers = {0};
    int r;

    if (!spec->layers[0])
        return error_set(err, -EINVAL, "the image has no layers");
    if ((r = disk_mount(spec->image, places->disk, err)) < 0)
        return r;
    for (size_t i = 0; spec->layers[i]; i++)
        if ((r = add_layer(&layers, spec->layers[i], places->layers, spec->user_ns, err)) < 0)
            return r;
    _cleanup_(close_fdp) int disk = open(places->disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk < 0)
        return error_set(err, -errno, "cannot open %s: %s", places->disk, strerror(errno));
    if ((r = prepare_upper(disk, layers.fds[layers.n - 1], spec->owner, err)) < 0 ||
        (r = mount_overlay(&layers, disk, places->root, err)) < 0)
        return r;
    /* Overlayfs keeps what it needs; what goes to the runtime is the root alone. */
    for (size_t i = 0; i < layers.n; i++)
        (void)umount2(places->layers, MNT_DETACH);
    (void)umount2(places->disk, MNT_DETACH);
    return 0;
}
