#include "cell/container/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell/container/bundle.h"
#include "cell/container/cgroup.h"
#include "cell/container/init.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/random.h"

enum {
    CREATE_TIMEOUT_MS = 60000, /* a host under load; what takes longer is broken */
    START_TIMEOUT_MS = 30000,
    TRIAL_TIMEOUT_MS = 20000,
    MESSAGE_MAX = 16384,
    LOG_MAX = 16 << 20, /* conmon then begins a new file in its place: README.md */
};

struct runtime {
    char *program, *conmon;      /* absolute paths */
    char *root, *sockets, *init; /* beneath run_dir */
};

void runtime_free(struct runtime *rt) {
    if (!rt)
        return;
    free(rt->program);
    free(rt->conmon);
    free(rt->root);
    free(rt->sockets);
    free(rt->init);
    free(rt);
}

const char *runtime_init_path(const struct runtime *rt) {
    return rt->init;
}

const char *runtime_name(const struct runtime *rt) {
    return strrchr(rt->program, '/') + 1;
}

/* --- choosing --- */

/* What a runtime said, shortened in place to the words for a person: runc's msg="..." of its log
 * lines, crun's without its time stamp; the first line. */
static void plain_words(char *text) {
    char *msg = strstr(text, "msg=\""), *to = text;
    char *stamp = msg ? NULL : strstr(text, "Z: ");
    const char *from = msg ? msg + strlen("msg=\"") : stamp ? stamp + strlen("Z: ") : text;
    for (; *from && *from != '\n' && !(msg && *from == '"'); from++) {
        if (msg && *from == '\\' && from[1])
            from++;
        *to++ = *from;
    }
    *to = 0;
}

/* The same of what was written to `fd`, from its start. */
static void read_words(int fd, char *buf, size_t size) {
    ssize_t n = pread(fd, buf, size - 1, 0);
    buf[n > 0 ? n : 0] = 0;
    plain_words(buf);
}

/* Runs our init, without a program, as a container set up like any other. */
static int trial(const char *program, const struct runtime *rt, const struct runtime_config *config,
                 struct error *err) {
    char id[GUID_SIZE + 8] = "trial-", output[MESSAGE_MAX] = "";
    guid_new(id + strlen(id));
    _cleanup_(freep) char *dir = str_printf("%s/%s", config->run_dir, id);
    _cleanup_(freep) char *root = str_printf("%s/%s/rootfs", config->run_dir, id);
    _cleanup_(freep) char *log = str_printf("%s/%s/log", config->run_dir, id);
    _cleanup_(freep) char *cgroup = str_printf("/%s/%s", config->name, id);
    if (!dir || !root || !log || !cgroup)
        return error_set(err, -ENOMEM, "out of memory");
    const struct user user = {.home = (char *)"/"};
    const char *env[] = {"PATH=/", NULL};
    struct bundle_spec spec = {
        .root = root,
        .init = rt->init,
        .env = env,
        .cwd = "/",
        .hostname = "trial",
        .cgroup = cgroup,
        .user = &user,
        .first_id = config->first_id,
        .id_range = config->id_range,
        .memory_bytes = 64 << 20,
        .cpu_shares = 2,
        .pids = 16,
        .nofile = 64,
        .limit_swap = cgroups_count_swap(config->cgroups),
        .unified = cgroups_unified(config->cgroups),
    };
    int r = fs_mkdirs(AT_FDCWD, root, 0755, err);
    if (r == 0 && chown(root, config->first_id, config->first_id) < 0)
        r = error_set(err, -errno, "cannot own %s: %s", root, strerror(errno));
    if (r == 0)
        r = bundle_write(dir, &spec, err);
    _cleanup_(close_fdp) int out =
        r == 0 ? open(log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (r == 0) {
        const char *argv[] = {program, "--root", rt->root, "run", "--bundle", dir, id, NULL};
        r = program_run(
            &(struct spawn){.argv = argv, .out = out, .kept = -1, .timeout_ms = TRIAL_TIMEOUT_MS},
            err);
        if (r > 0) {
            read_words(out, output, sizeof output);
            r = error_set(err, -ENOTSUP, "%s", *output ? output : "its trial container failed");
        }
    }
    cgroups_kill(config->cgroups, id);
    (void)cgroups_remove(config->cgroups, id, NULL);
    (void)runtime_forget(rt, id, NULL);
    (void)fs_remove_tree(AT_FDCWD, dir, NULL);
    return r;
}

static int try_one(const char *name, struct runtime *rt, const struct runtime_config *config,
                   struct error *err) {
    _cleanup_(freep) char *program = program_find(name);
    if (!program)
        return error_set(err, -ENOENT, "not installed");
    int r = trial(program, rt, config, err);
    if (r == 0)
        rt->program = TAKE_PTR(program);
    return r;
}

static int choose(struct runtime *rt, const struct runtime_config *config, struct strbuf *note,
                  struct error *err) {
    struct error crun_error = {0};
    if (str_eq(config->wanted, "crun") || str_eq(config->wanted, "runc")) {
        int r = try_one(config->wanted, rt, config, err);
        if (r < 0)
            return error_wrap(err, "%s cannot run here", config->wanted);
        strbuf_printf(note, "%s, as configured", config->wanted);
        return 0;
    }
    if (!str_eq(config->wanted, "auto"))
        return error_set(err, -EINVAL, "runtime must be auto, crun or runc, not \"%s\"",
                         config->wanted);
    if (try_one("crun", rt, config, &crun_error) == 0) {
        strbuf_puts(note, "crun");
        return 0;
    }
    struct error runc_error = {0};
    int r = try_one("runc", rt, config, &runc_error);
    if (r < 0)
        return error_set(err, r, "no runtime can run here: crun: %.200s; runc: %.200s",
                         crun_error.msg, runc_error.msg);
    strbuf_printf(note, "runc, as crun cannot run here: %s", crun_error.msg);
    return 0;
}

static int install_init(const struct runtime *rt, struct error *err) {
    return fs_write_quick(AT_FDCWD, rt->init, 0755, container_init, container_init_size, err);
}

int runtime_new(struct runtime **ret, const struct runtime_config *config, struct strbuf *note,
                struct error *err) {
    _cleanup_(runtime_freep) struct runtime *rt = mem_zalloc(sizeof *rt);
    int r;
    if (!rt || !(rt->root = str_printf("%s/runtime", config->run_dir)) ||
        !(rt->sockets = str_printf("%s/s", config->run_dir)) ||
        !(rt->init = str_printf("%s/init", config->run_dir)))
        return error_set(err, -ENOMEM, "out of memory");
    if (!(rt->conmon = program_find("conmon")))
        return error_set(err, -ENOENT, "conmon is not installed");
    if ((r = fs_mkdirs(AT_FDCWD, rt->root, 0711, err)) < 0 ||
        (r = fs_mkdirs(AT_FDCWD, rt->sockets, 0700, err)) < 0 || (r = install_init(rt, err)) < 0 ||
        (r = choose(rt, config, note, err)) < 0)
        return r;
    *ret = TAKE_PTR(rt);
    return 0;
}

/* --- running --- */

/* conmon's one line: {"data": PID} or {"data": -1, "message": "..."}. */
static int read_answer(int fd, pid_t *ret, struct error *err) {
    char text[MESSAGE_MAX];
    size_t n = 0;
    uint64_t end = clock_mono_ms() + CREATE_TIMEOUT_MS;
    while (n < sizeof text - 1 && !memchr(text, '\n', n)) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = now < end ? poll(&p, 1, (int)(end - now)) : 0;
        if (ready == 0)
            return error_set(err, -ETIMEDOUT, "the container was not made within %d s",
                             CREATE_TIMEOUT_MS / 1000);
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
        plain_words(text);
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
static int start_monitor(const struct runtime *rt, const char *id, const char *dir, int pipe_fd,
                         struct error *err) {
    char log_max[24], kept[32];
    snprintf(log_max, sizeof log_max, "%d", LOG_MAX);
    snprintf(kept, sizeof kept, "_OCI_SYNCPIPE=%d", SPAWN_KEPT_FD);
    _cleanup_(freep) char *pid_file = str_printf("%s/pid", dir);
    _cleanup_(freep) char *conmon_pid_file = str_printf("%s/conmon.pid", dir);
    _cleanup_(freep) char *log = str_printf("k8s-file:%s/log", dir);
    _cleanup_(freep) char *root = str_printf("--root=%s", rt->root);
    _cleanup_(freep) char *exits = str_printf("%s/exit", dir);
    if (!pid_file || !conmon_pid_file || !log || !root || !exits)
        return error_set(err, -ENOMEM, "out of memory");
    const char *argv[] = {
        rt->conmon,
        "--api-version",
        "1",
        "--cid",
        id,
        "--cuuid",
        id,
        "--name",
        id,
        "--runtime",
        rt->program,
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
        rt->sockets,
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

int runtime_create(const struct runtime *rt, const char *id, const char *dir, struct process *main,
                   struct process *monitor, struct error *err) {
    int fds[2];
    pid_t pid = 0, conmon_pid = 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    _cleanup_(close_fdp) int in = fds[0];
    int r = start_monitor(rt, id, dir, fds[1], err);
    close(fds[1]);
    _cleanup_(freep) char *conmon_pid_file = str_printf("%s/conmon.pid", dir);
    if (r == 0 && !conmon_pid_file)
        r = error_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = read_answer(in, &pid, err);
    if (r == 0)
        r = process_open(pid, main, err);
    if (r == 0)
        r = read_pid(conmon_pid_file, &conmon_pid, err);
    if (r == 0)
        r = process_open(conmon_pid, monitor, err);
    return r;
}

int runtime_start(const struct runtime *rt, const char *id, struct error *err) {
    char output[MESSAGE_MAX];
    _cleanup_(close_fdp) int out = memfd_create("start", MFD_CLOEXEC);
    const char *argv[] = {rt->program, "--root", rt->root, "start", id, NULL};
    if (out < 0)
        return error_set(err, -errno, "cannot make a buffer: %s", strerror(errno));
    int status = program_run(
        &(struct spawn){.argv = argv, .out = out, .kept = -1, .timeout_ms = START_TIMEOUT_MS}, err);
    if (status <= 0)
        return status;
    read_words(out, output, sizeof output);
    return error_set(err, -EIO, "cannot start the container: %s", output);
}

int runtime_forget(const struct runtime *rt, const char *id, struct error *err) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", rt->root, id);
    int r = fs_remove_tree(AT_FDCWD, path, err);
    snprintf(path, sizeof path, "%s/%s", rt->sockets, id);
    return r < 0 ? r : fs_remove_tree(AT_FDCWD, path, err); /* a link: not followed */
}

int runtime_exit_status(const char *dir, const char *id, int *ret) {
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

void runtime_kill_monitors(const char *id) {
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        char path[300];
        uint64_t pid;
        size_t n = 0;
        _cleanup_(freep) char *words = NULL;
        if (parse_u64(e->d_name, 2, INT_MAX, &pid) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        if (fs_read(AT_FDCWD, path, 1 << 20, &words, &n, NULL) == 0 && strstr(words, "conmon") &&
            names_container(words, n, id))
            kill((pid_t)pid, SIGKILL);
    }
    if (proc)
        closedir(proc);
}
