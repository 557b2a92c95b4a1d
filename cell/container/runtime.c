#include "cell/container/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cell/container/bundle.h"
#include "cell/container/cgroup.h"
#include "cell/container/init.h"
#include "cell/container/namespaces.h"
#include "cell/container/process.h"
#include "common/base/fs.h"
#include "common/base/random.h"

enum {
    TRIAL_TIMEOUT_MS = 20000,
    MESSAGE_MAX = 16384,
};

struct runtime {
    char *program, *conmon; /* absolute paths */
    /* beneath run_dir: the runtime's state, conmon's sockets, programs of ours, and those */
    char *root, *sockets, *bin, *init, *command;
};

void runtime_free(struct runtime *rt) {
    if (!rt)
        return;
    free(rt->program);
    free(rt->conmon);
    free(rt->root);
    free(rt->sockets);
    free(rt->bin);
    free(rt->init);
    free(rt->command);
    free(rt);
}

const char *runtime_init_path(const struct runtime *rt) {
    return rt->init;
}

const char *runtime_conmon(const struct runtime *rt) {
    return rt->conmon;
}

const char *runtime_command(const struct runtime *rt) {
    return rt->command;
}

const char *runtime_root(const struct runtime *rt) {
    return rt->root;
}

const char *runtime_sockets(const struct runtime *rt) {
    return rt->sockets;
}

/* Hosts commonly mount /run noexec, and a bind mount inherits that. */
int runtime_expose(const struct runtime *rt, struct error *err) {
    if (mount(rt->bin, rt->bin, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, rt->bin, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, NULL) < 0)
        return error_set(err, -errno, "cannot mount %s: %s", rt->bin, strerror(errno));
    return 0;
}

/* --- choosing --- */

void runtime_plain_words(char *text) {
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
    runtime_plain_words(buf);
}

struct trial {
    const char *program;
    const struct runtime *rt;
    const struct runtime_config *config;
    struct error error;
    int result;
};

/* Our init, without a program, as a container set up like any other. */
static int run_trial(const char *program, const struct runtime *rt,
                     const struct runtime_config *config, struct error *err) {
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
    int r = mounts_enter(err);
    if (r == 0)
        r = runtime_expose(rt, err);
    if (r == 0)
        r = fs_mkdirs(AT_FDCWD, root, 0755, err);
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

static void *trial_main(void *arg) {
    struct trial *t = arg;
    t->result = run_trial(t->program, t->rt, t->config, &t->error);
    return NULL;
}

/* On a thread of its own, which ends in the mount namespace it made. */
static int trial(const char *program, const struct runtime *rt, const struct runtime_config *config,
                 struct error *err) {
    struct trial t = {.program = program, .rt = rt, .config = config};
    pthread_t thread;
    int r = pthread_create(&thread, NULL, trial_main, &t);
    if (r != 0)
        return error_set(err, -r, "cannot start a thread: %s", strerror(r));
    pthread_join(thread, NULL);
    return t.result < 0 ? error_set(err, t.result, "%s", t.error.msg) : 0;
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

/* conmon knows "create" only, and whoever started it is to call "start" later. All that has to be
 * ready before a start is ready before the create here, so both are one "run", which spares the
 * second start of the runtime: a quarter of the time with runc. */
static int install_command(const struct runtime *rt, struct error *err) {
    if (strchr(rt->program, '\''))
        return error_set(err, -EINVAL, "%s: no quotes in paths, please", rt->program);
    _cleanup_(freep) char *text = str_printf("#!/bin/sh\n"
                                             "# %s, told to create by conmon, runs at once.\n"
                                             "for word; do\n"
                                             "    shift\n"
                                             "    case $done$word in\n"
                                             "    create) set -- \"$@\" run --detach; done=1 ;;\n"
                                             "    *) set -- \"$@\" \"$word\" ;;\n"
                                             "    esac\n"
                                             "done\n"
                                             "exec '%s' \"$@\"\n",
                                             rt->program, rt->program);
    if (!text)
        return error_set(err, -ENOMEM, "out of memory");
    return fs_write_quick(AT_FDCWD, rt->command, 0755, text, strlen(text), err);
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
        !(rt->bin = str_printf("%s/bin", config->run_dir)) ||
        !(rt->init = str_printf("%s/bin/init", config->run_dir)) ||
        !(rt->command = str_printf("%s/bin/runtime", config->run_dir)))
        return error_set(err, -ENOMEM, "out of memory");
    if (!(rt->conmon = program_find("conmon")))
        return error_set(err, -ENOENT, "conmon is not installed");
    if ((r = fs_mkdirs(AT_FDCWD, rt->root, 0711, err)) < 0 ||
        (r = fs_mkdirs(AT_FDCWD, rt->sockets, 0700, err)) < 0 ||
        (r = fs_mkdirs(AT_FDCWD, rt->bin, 0711, err)) < 0 || (r = install_init(rt, err)) < 0 ||
        (r = choose(rt, config, note, err)) < 0 || (r = install_command(rt, err)) < 0)
        return r;
    *ret = TAKE_PTR(rt);
    return 0;
}

int runtime_forget(const struct runtime *rt, const char *id, struct error *err) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", rt->root, id);
    int r = fs_remove_tree(AT_FDCWD, path, err);
    snprintf(path, sizeof path, "%s/%s", rt->sockets, id);
    return r < 0 ? r : fs_remove_tree(AT_FDCWD, path, err); /* a link: not followed */
}
