#include "cell/container/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

extern char **environ;

enum {
    STAT_MAX = 4096,
    STAT_STATE = 3, /* proc_pid_stat(5): field numbers */
    STAT_PARENT = 4,
    STAT_START = 22,
};

/* A number from its line in /proc; -ESRCH also for one that has ended. */
static int stat_field(pid_t pid, int wanted, uint64_t *ret) {
    char path[40];
    _cleanup_(freep) char *text = NULL;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (fs_read(AT_FDCWD, path, STAT_MAX, &text, NULL, NULL) < 0)
        return -ESRCH;
    char *p = strrchr(text, ')'); /* the end of field 2, which may hold anything */
    if (!p || p[1] != ' ')
        return -ESRCH;
    p += 2;
    if (*p == 'Z' || *p == 'X')
        return -ESRCH;
    for (int field = STAT_STATE; field < wanted; field++) {
        p = strchr(p, ' ');
        if (!p)
            return -ESRCH;
        p++;
    }
    return parse_u64_slice((struct slice){p, strcspn(p, " ")}, 0, UINT64_MAX, ret);
}

int process_open(pid_t pid, struct process *ret, struct error *err) {
    _cleanup_(close_fdp) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return error_set(err, -errno, "cannot open process %d: %s", (int)pid, strerror(errno));
    uint64_t start;
    if (stat_field(pid, STAT_START, &start) < 0)
        return error_set(err, -ESRCH, "process %d is gone", (int)pid);
    *ret = (struct process){.pid = pid, .start = start, .pidfd = TAKE_FD(fd)};
    return 0;
}

int process_reopen(pid_t pid, uint64_t start, struct process *ret, struct error *err) {
    struct process p = PROCESS_NONE;
    int r = process_open(pid, &p, err);
    if (r < 0)
        return r;
    if (p.start != start) {
        process_close(&p);
        return error_set(err, -ESRCH, "process %d is another one now", (int)pid);
    }
    *ret = p;
    return 0;
}

bool process_is_child(const struct process *p, pid_t parent) {
    uint64_t of;
    return stat_field(p->pid, STAT_PARENT, &of) == 0 && of == (uint64_t)parent &&
           process_wait(p, 0) == -ETIMEDOUT; /* still the one that was opened */
}

void process_close(struct process *p) {
    if (p->pidfd >= 0)
        close(p->pidfd);
    *p = PROCESS_NONE;
}

int process_signal(const struct process *p, int signal) {
    if (p->pidfd < 0)
        return -ESRCH;
    return syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int process_wait(const struct process *p, int timeout_ms) {
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};
    if (p->pidfd < 0)
        return 0;
    int n;
    do
        n = poll(&fd, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n == 0 ? -ETIMEDOUT : 0;
}

char *program_find(const char *name) {
    static const char fallback[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const char *paths[] = {getenv("PATH"), fallback};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        for (const char *p = paths[i]; p && *p;) {
            size_t n = strcspn(p, ":");
            char *full = n && p[0] == '/' ? str_printf("%.*s/%s", (int)n, p, name) : NULL;
            if (full && access(full, X_OK) == 0)
                return full;
            free(full);
            p += n + (p[n] == ':');
        }
    return NULL;
}

/* The service manager's word to us alone: runtimes that found it would wait for their container to
 * say that it is ready. sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). */
static bool is_of_service(const char *variable) {
    static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_starts(variable, names[i]))
            return true;
    return false;
}

/* `added` first: the first one of a name is what getenv() finds. */
static char **join_env(const char *const *added) {
    size_t n = 0, own = 0;
    while (added && added[n])
        n++;
    while (environ && environ[own])
        own++;
    char **all = mem_calloc(n + own + 1, sizeof *all);
    if (!all)
        return NULL;
    for (size_t i = 0; i < n; i++)
        all[i] = (char *)added[i];
    for (size_t i = 0; i < own; i++)
        if (!is_of_service(environ[i]))
            all[n++] = environ[i];
    return all;
}

static int start(const struct spawn *s, pid_t *ret) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    _cleanup_(freep) char **env = join_env(s->env);
    if (!env)
        return -ENOMEM;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    /* dup2 onto itself clears close-on-exec, as POSIX now asks and glibc does. */
    int r = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_addchdir_np(&files, s->cwd ? s->cwd : "/");
    if (r == 0 && s->kept >= 0)
        r = posix_spawn_file_actions_adddup2(&files, s->kept, SPAWN_KEPT_FD);
    if (r == 0)
        r = s->out >= 0 ? posix_spawn_file_actions_adddup2(&files, s->out, 1)
                        : posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&files, 1, 2);
    if (r == 0)
        r = posix_spawn(ret, s->argv[0], &files, &attr, (char *const *)s->argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return -r;
}

int program_run(const struct spawn *spawn, struct error *err) {
    struct process p = PROCESS_NONE;
    pid_t pid = 0;
    int status = 0, r = start(spawn, &pid);
    if (r < 0)
        return error_set(err, r, "cannot run %s: %s", spawn->argv[0], strerror(-r));
    bool late = false;
    /* A pidfd of an ended child is fine too, so this cannot miss its end. */
    p.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p.pidfd >= 0 && process_wait(&p, spawn->timeout_ms) == -ETIMEDOUT) {
        late = true;
        kill(pid, SIGKILL);
    }
    process_close(&p);
    while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (late)
        return error_set(err, -ETIMEDOUT, "%s did not end within %d s", spawn->argv[0],
                         spawn->timeout_ms / 1000);
    return r < 0 ? error_set(err, -errno, "cannot wait for %s: %s", spawn->argv[0], strerror(errno))
                 : status;
}
