#include "cell/container/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"

void namespaces_close(struct namespaces *ns) {
    if (ns->user >= 0)
        close(ns->user);
    if (ns->net >= 0)
        close(ns->net);
    *ns = NAMESPACES_NONE;
}

static int write_map(pid_t pid, const char *which, uint32_t first_id, uint32_t range,
                     struct error *err) {
    char path[48], line[48];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, which);
    int n = snprintf(line, sizeof line, "0 %u %u\n", first_id, range);
    _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        return error_set(err, -errno, "cannot map host ids %u+%u: %s", first_id, range,
                         strerror(errno));
    return 0;
}

static int open_namespace(pid_t pid, const char *which, struct error *err) {
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, which);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_set(err, -errno, "cannot open %s: %s", path, strerror(errno)) : fd;
}

int namespaces_make(uint32_t first_id, uint32_t range, struct namespaces *ret, struct error *err) {
    struct namespaces ns = NAMESPACES_NONE;
    /* No exit signal: its end is nobody's business but ours. */
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNET, 0, 0, 0, 0);
    if (pid < 0)
        return error_set(err, -errno, "cannot make namespaces: %s", strerror(errno));
    if (pid == 0) { /* a copy of one thread of many: nothing but system calls */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    int r = write_map(pid, "uid_map", first_id, range, err);
    if (r == 0)
        r = write_map(pid, "gid_map", first_id, range, err);
    if (r == 0 && (ns.user = r = open_namespace(pid, "user", err)) >= 0)
        ns.net = r = open_namespace(pid, "net", err);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    if (r < 0) {
        namespaces_close(&ns);
        return r;
    }
    *ret = ns;
    return 0;
}

static int pin(int fd, const char *at, struct error *err) {
    char path[48];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (mount(path, at, NULL, MS_BIND, NULL) < 0)
        return error_set(err, -errno, "cannot bind a namespace to %s: %s", at, strerror(errno));
    return 0;
}

int namespaces_pin(const struct namespaces *ns, const char *user_at, const char *net_at,
                   struct error *err) {
    int r = pin(ns->user, user_at, err);
    return r < 0 ? r : pin(ns->net, net_at, err);
}

int own_namespaces(int *ret_mounts, int *ret_net, struct error *err) {
    _cleanup_(close_fdp) int mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    _cleanup_(close_fdp) int net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (mounts < 0 || net < 0)
        return error_set(err, -errno, "cannot open /proc/self/ns: %s", strerror(errno));
    *ret_mounts = TAKE_FD(mounts);
    *ret_net = TAKE_FD(net);
    return 0;
}

int mounts_enter(struct error *err) {
    /* CLONE_FS: root and working directory become the thread's own, without which the kernel lets
     * no thread change its mount namespace. */
    if (unshare(CLONE_FS | CLONE_NEWNS) < 0)
        return error_set(err, -errno, "cannot make a mount namespace: %s", strerror(errno));
    /* Slave: what the host unmounts goes away here too, and keeps no device busy. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return error_set(err, -errno, "cannot separate the mount namespace: %s", strerror(errno));
    return 0;
}

int mounts_open(struct error *err) {
    int fd = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_set(err, -errno, "cannot open the mount namespace: %s", strerror(errno))
                  : fd;
}

int mounts_reenter(int mounts, struct error *err) {
    if (unshare(CLONE_FS) < 0 || setns(mounts, CLONE_NEWNS) < 0)
        return error_set(err, -errno, "cannot enter a mount namespace: %s", strerror(errno));
    return 0;
}

int net_enter(int net, struct error *err) {
    if (setns(net, CLONE_NEWNET) < 0)
        return error_set(err, -errno, "cannot enter a network namespace: %s", strerror(errno));
    return 0;
}

void mounts_leave(int own_mounts) {
    if (unshare(CLONE_FS) < 0 || setns(own_mounts, CLONE_NEWNS) < 0)
        abort();
}

void net_leave(int own_net) {
    if (setns(own_net, CLONE_NEWNET) < 0)
        abort();
}
