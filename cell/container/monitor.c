#include "cell/container/monitor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cell/container/runtime.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/mem.h"

enum {
    ANSWER_TIMEOUT_MS = 60000, /* a host under load; what takes longer is broken */
    START_TIMEOUT_MS = 30000,
    MESSAGE_MAX = 16384,
    FIND_TIMEOUT_MS = 10000,
    FIND_POLL_MS = 10,
    LOG_MAX = 16 << 20, /* conmon then begins a new file in its place: README.md */
};

/* conmon's one line: {"data": PID} or {"data": -1, "message": "..."}. */
static int read_answer(int fd, pid_t *ret, struct error *err) {
    char text[MESSAGE_MAX];
    size_t n = 0;
    uint64_t end = clock_mono_ms() + ANSWER_TIMEOUT_MS;
    while (n < sizeof text - 1 && !memchr(text, '\n', n)) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = now < end ? poll(&p, 1, (int)(end - now)) : 0;
        if (ready == 0)
            return error_set(err, -ETIMEDOUT, "the container did not start within %d s",
                             ANSWER_TIMEOUT_MS / 1000);
        ssize_t got = ready < 0 ? -1 : read(fd, text + n, sizeof text - 1 - n);
        if (got < 0 && errno != EINTR)
            return error_set(err, -errno, "cannot hear conmon: %s", strerror(errno));
        if (got == 0)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    text[n] = 0;
    json_t *answer = json_loadb(text, n, JSON_DISABLE_EOF_CHECK, NULL);
    json_int_t pid = -1;
    const char *message = NULL;
    int r = 0;
    (void)json_unpack(answer, "{s:I, s?s}", "data", &pid, "message", &message);
    if (pid > 0) {
        *ret = (pid_t)pid;
    } else {
        snprintf(text, sizeof text, "%s", message ? message : "conmon ended without a word");
        runtime_plain_words(text);
        r = error_set(err, -EIO, "%s", text);
    }
    json_decref(answer);
    return r;
}

static int read_pid(const char *path, pid_t *ret, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    uint64_t pid;
    int r = fs_read(AT_FDCWD, path, 32, &text, NULL, err);
    if (r < 0)
        return r;
    text[strcspn(text, "\n")] = 0;
    if (parse_u64(text, 1, INT_MAX, &pid) < 0)
        return error_set(err, -EBADMSG, "%s holds no process id", path);
    *ret = (pid_t)pid;
    return 0;
}

/* Starts conmon, which leaves its first process at once; `pipe_fd` is where it answers. */
static int start_conmon(const struct runtime *rt, const char *id, const char *dir, int pipe_fd,
                        struct error *err) {
    char log_max[24], kept[32];
    snprintf(log_max, sizeof log_max, "%d", LOG_MAX);
    snprintf(kept, sizeof kept, "_OCI_SYNCPIPE=%d", SPAWN_KEPT_FD);
    _cleanup_(freep) char *pid_file = str_printf("%s/pid", dir);
    _cleanup_(freep) char *conmon_pid_file = str_printf("%s/conmon.pid", dir);
    _cleanup_(freep) char *log = str_printf("k8s-file:%s/log", dir);
    _cleanup_(freep) char *root = str_printf("--root=%s", runtime_root(rt));
    _cleanup_(freep) char *exits = str_printf("%s/exit", dir);
    if (!pid_file || !conmon_pid_file || !log || !root || !exits)
        return error_set(err, -ENOMEM, "out of memory");
    const char *argv[] = {
        runtime_conmon(rt),
        "--api-version",
        "1",
        "--cid",
        id,
        "--cuuid",
        id,
        "--name",
        id,
        "--runtime",
        runtime_command(rt),
        "--runtime-arg",
        root,
        "--bundle",
        dir,
        "--container-pidfile",
        pid_file,
        "--conmon-pidfile",
        conmon_pid_file,
        "--exit-dir",
        exits,
        "--log-path",
        log,
        "--log-size-max",
        log_max,
        "--no-sync-log",
        "--log-level",
        "error",
        "--socket-dir-path",
        runtime_sockets(rt),
        NULL,
    };
    const char *env[] = {kept, NULL};
    int status = program_run(
        &(struct spawn){
            .argv = argv,
            .env = env,
            .cwd = dir, /* where it leaves a file "oom" */
            .out = -1,
            .kept = pipe_fd,
            .timeout_ms = START_TIMEOUT_MS,
        },
        err);
    if (status < 0)
        return status;
    return status ? error_set(err, -EIO, "conmon failed (wait status %d)", status) : 0;
}

/* One that has ended already is told by what it left, not by a descriptor. */
static int open_process(pid_t pid, struct process *ret, struct error *err) {
    struct error why = {0};
    int r = process_open(pid, ret, &why);
    if (r == -ESRCH) {
        *ret = (struct process){.pid = pid, .pidfd = -1};
        return 0;
    }
    return r < 0 ? error_set(err, r, "%s", why.msg) : 0;
}

/* A pipe whose writing end reads as well: conmon holds it, and would leave the container alone when
 * it found that nobody hears its answer any more. */
static int make_pipe(int fds[2], struct error *err) {
    char path[32];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fds[1]);
    int both = open(path, O_RDWR | O_CLOEXEC), saved = errno;
    close(fds[1]);
    fds[1] = both;
    if (both >= 0)
        return 0;
    close(fds[0]);
    return error_set(err, -saved, "cannot open a pipe: %s", strerror(saved));
}

int monitor_start(const struct runtime *rt, const char *id, const char *dir, struct process *main,
                  struct process *monitor, struct error *err) {
    int fds[2];
    pid_t pid = 0, conmon_pid = 0;
    _cleanup_(freep) char *conmon_pid_file = str_printf("%s/conmon.pid", dir);
    if (!conmon_pid_file)
        return error_set(err, -ENOMEM, "out of memory");
    int r = make_pipe(fds, err);
    if (r < 0)
        return r;
    _cleanup_(close_fdp) int in = fds[0];
    r = start_conmon(rt, id, dir, fds[1], err);
    close(fds[1]);
    if (r < 0 || (r = read_answer(in, &pid, err)) < 0 ||
        (r = read_pid(conmon_pid_file, &conmon_pid, err)) < 0 ||
        (r = open_process(pid, main, err)) < 0)
        return r;
    return open_process(conmon_pid, monitor, err);
}

int monitor_exit_status(const char *dir, const char *id, int *ret) {
    char path[PATH_MAX];
    _cleanup_(freep) char *text = NULL;
    uint64_t status;
    snprintf(path, sizeof path, "%s/exit/%s", dir, id);
    if (fs_read(AT_FDCWD, path, 16, &text, NULL, NULL) < 0)
        return -ENOENT;
    text[strcspn(text, "\n")] = 0;
    if (parse_u64(text, 0, 255, &status) < 0)
        return -ENOENT;
    *ret = (int)status;
    return 0;
}

/* Whether "--cid ID" is among the NUL-separated words. */
static bool names_container(const char *words, size_t n, const char *id) {
    bool is_next = false;
    for (const char *p = words; p < words + n; p += strlen(p) + 1) {
        if (is_next && str_eq(p, id))
            return true;
        is_next = str_eq(p, "--cid");
    }
    return false;
}

static bool is_monitor(pid_t pid, const char *id) {
    char path[40];
    size_t n = 0;
    _cleanup_(freep) char *words = NULL;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    return fs_read(AT_FDCWD, path, 1 << 20, &words, &n, NULL) == 0 && strstr(words, "conmon") &&
           names_container(words, n, id);
}

/* Every monitor of `id` on this host: how many, after `each` (may be NULL) saw it. */
static unsigned each_monitor(const char *id, void (*each)(pid_t pid)) {
    DIR *proc = opendir("/proc");
    unsigned found = 0;
    for (struct dirent *e; proc && (e = readdir(proc));) {
        uint64_t pid;
        if (parse_u64(e->d_name, 2, INT_MAX, &pid) < 0 || !is_monitor((pid_t)pid, id))
            continue;
        found++;
        if (each)
            each((pid_t)pid);
    }
    if (proc)
        closedir(proc);
    return found;
}

static void kill_it(pid_t pid) {
    kill(pid, SIGKILL);
}

void monitor_kill_unknown(const char *id) {
    each_monitor(id, kill_it);
}

/* Both by what conmon and the runtime noted. The runtime is done once the process is conmon's child
 * (until then it is the runtime's); a pid that passed on to another process is none. */
static int look(const char *id, const char *pid_file, const char *conmon_pid_file, const char *dir,
                struct process *main, struct process *monitor) {
    pid_t pid = 0, conmon_pid = 0;
    int status;
    if (read_pid(pid_file, &pid, NULL) < 0 || read_pid(conmon_pid_file, &conmon_pid, NULL) < 0)
        return -EAGAIN;
    if (monitor_exit_status(dir, id, &status) == 0) {
        *main = (struct process){.pid = pid, .pidfd = -1};
        *monitor = (struct process){.pid = conmon_pid, .pidfd = -1};
        return 0;
    }
    if (process_open(conmon_pid, monitor, NULL) == 0 && is_monitor(conmon_pid, id) &&
        process_open(pid, main, NULL) == 0 && process_is_child(main, conmon_pid))
        return 0;
    process_close(main);
    process_close(monitor);
    return -EAGAIN;
}

int monitor_find(const char *id, const char *dir, struct process *main, struct process *monitor,
                 struct error *err) {
    uint64_t end = clock_mono_ms() + FIND_TIMEOUT_MS;
    _cleanup_(freep) char *pid_file = str_printf("%s/pid", dir);
    _cleanup_(freep) char *conmon_pid_file = str_printf("%s/conmon.pid", dir);
    if (!pid_file || !conmon_pid_file)
        return error_set(err, -ENOMEM, "out of memory");
    while (true) {
        bool alive = each_monitor(id, NULL) > 0; /* before looking: what it leaves is there then */
        if (look(id, pid_file, conmon_pid_file, dir, main, monitor) == 0)
            return 0;
        if (!alive)
            return error_set(err, -ENOENT, "%s has no monitor", id);
        if (clock_mono_ms() > end)
            return error_set(err, -ETIMEDOUT, "%s was not started within %d s", id,
                             FIND_TIMEOUT_MS / 1000);
        (void)poll(NULL, 0, FIND_POLL_MS);
    }
}
