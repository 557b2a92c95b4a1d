/* create.c - the making of a container.
 *
 *     loop      check, take slot and ports
 *     worker    PREPARE   directory, namespaces
 *     workers   ROOT      disk, root file system, files, command, bundle, state.json
 *                         (in a mount namespace of its own)
 *               NETWORK   interface, firewall (beside ROOT)
 *     worker    RUN       before_start, monitor and runtime, state.json with their pids
 *                         (in ROOT's mount namespace)
 *     loop      watch, done
 *
 * From RUN on it does not need us any more: an agent that is killed meanwhile leaves a container
 * that the next one adopts. What fails at any step is undone by container_remove(), which removes
 * whatever there is. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cell/container/beneath.h"
#include "cell/container/bundle.h"
#include "cell/container/disk.h"
#include "cell/container/engine.h"
#include "cell/container/monitor.h"
#include "cell/container/namespaces.h"
#include "cell/container/rootfs.h"
#include "cell/container/stop_signal.h"
#include "cell/container/user.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/workers.h"

enum {
    STEPS_MAX = 8,
    ID_MAX = 64,
    HOSTNAME_MAX = 49, /* as Garden's (guardian, bundlerules/hostname.go) */
    DISK_MIN = 1 << 20,
    DISK_BLOCK = 4096,
    SHARES_MIN = 2, /* the kernel's bounds of cpu.shares */
    SHARES_MAX = 262144,
};

enum stage_id { PREPARE, ROOT, NETWORK, RUN, STAGE_COUNT };

struct creation {
    void (*done)(void *arg, struct container *c, const struct error *err);
    int (*before_start)(void *arg, struct error *err);
    void *arg;
    /* owned copies of the spec's */
    char **layers, **argv, **env;
    char *user_text, *cwd, *hostname;
    uint64_t memory_bytes, cpu_shares;
    uint32_t pids, nofile;
    /* on the way */
    struct namespaces ns;
    int mounts; /* the mount namespace that ROOT made */
    struct user user;
    char **full_env;
    char *program;                    /* what argv[0] names */
    int root;                         /* the root file system */
    unsigned running;                 /* stages under way */
    bool may_have_run;                /* its process, for a moment */
    struct error errors[STAGE_COUNT]; /* each stage writes its own */
    uint32_t step_us[STAGE_COUNT][STEPS_MAX];
    uint64_t began_ns;
};

/* --- the steps --- */

static int step_directory(struct container *c, struct error *err) {
    _cleanup_(freep) char *exits = str_printf("%s/exit", c->dir);
    if (!exits)
        return error_set(err, -ENOMEM, "out of memory");
    if (mkdir(c->dir, 0700) < 0 || mkdir(exits, 0700) < 0)
        return error_set(err, -errno, "cannot make %s: %s", c->dir, strerror(errno));
    return 0;
}

static int step_namespaces(struct container *c, struct error *err) {
    return namespaces_make(container_first_id(c), c->engine->id_range, &c->creation->ns, err);
}

/* A mount namespace for this container; ROOT fills it, the monitor inherits it in RUN. */
static int step_mounts(struct container *c, struct error *err) {
    int r = mounts_enter(err);
    if (r < 0 || (r = mounts_open(err)) < 0)
        return r;
    c->creation->mounts = r;
    r = namespaces_pin(&c->creation->ns, c->engine->user_ns, c->engine->net_ns, err);
    return r < 0 ? r : runtime_expose(c->engine->runtime, err);
}

static int step_mounts_again(struct container *c, struct error *err) {
    return mounts_reenter(c->creation->mounts, err);
}

static int step_disk(struct container *c, struct error *err) {
    const struct container_engine *e = c->engine;
    _cleanup_(freep) char *image = str_printf("%s/disk.img", c->dir);
    if (!image)
        return error_set(err, -ENOMEM, "out of memory");
    int r = disk_template(e->templates_dir, c->disk_bytes, e->places.disk, err);
    return r < 0 ? r : disk_copy(e->templates_dir, c->disk_bytes, image, err);
}

static int step_rootfs(struct container *c, struct error *err) {
    const struct rootfs_places *places = &c->engine->places;
    _cleanup_(freep) char *image = str_printf("%s/disk.img", c->dir);
    if (!image)
        return error_set(err, -ENOMEM, "out of memory");
    const struct rootfs_spec spec = {
        .layers = (const char *const *)c->creation->layers,
        .image = image,
        .user_ns = c->creation->ns.user,
        .owner = container_first_id(c),
    };
    int r = rootfs_mount(&spec, places, err);
    if (r < 0)
        return r;
    c->creation->root = open(places->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return c->creation->root < 0
               ? error_set(err, -errno, "cannot open %s: %s", places->root, strerror(errno))
               : 0;
}

/* Into the writable layer, so that they count and may be changed like all else; the image's own
 * files of these names are hidden, not touched. */
static int step_files(struct container *c, struct error *err) {
    const struct creation *m = c->creation;
    uid_t owner = container_first_id(c);
    _cleanup_(freep) char *hosts =
        str_printf("127.0.0.1 localhost\n::1 localhost\n%s %s\n", c->ip, m->hostname);
    _cleanup_(freep) char *hostname = str_printf("%s\n", m->hostname);
    if (!hosts || !hostname)
        return error_set(err, -ENOMEM, "out of memory");
    int r;
    if ((r = beneath_put(m->root, "/etc", "hosts", hosts, owner, err)) < 0 ||
        (r = beneath_put(m->root, "/etc", "hostname", hostname, owner, err)) < 0)
        return r;
    return beneath_put(m->root, "/etc", "resolv.conf", c->engine->resolv_conf, owner, err);
}

static int step_command(struct container *c, struct error *err) {
    struct creation *m = c->creation;
    int r = user_lookup(m->root, m->user_text, c->engine->id_range, &m->user, err);
    if (r < 0)
        return r;
    const struct env_facts facts = {
        .ports = c->ports,
        .port_count = c->port_count,
        .host_ip = c->engine->host_address,
        .ip = c->ip,
        .user = m->user_text,
        .home = m->user.home,
        .root = m->user.uid == 0,
    };
    if ((r = env_build((const char *const *)m->env, &facts, &m->full_env, err)) < 0 ||
        (r = beneath_mkdirs(m->root, m->cwd, container_first_id(c), err)) < 0)
        return r;
    return beneath_find_command(m->root, m->argv[0], env_get(m->full_env, "PATH"), m->cwd,
                                &m->program, err);
}

static int step_bundle(struct container *c, struct error *err) {
    const struct creation *m = c->creation;
    const struct container_engine *e = c->engine;
    _cleanup_(freep) char *cgroup = str_printf("/%s/%s", e->name, c->id);
    if (!cgroup)
        return error_set(err, -ENOMEM, "out of memory");
    const struct bundle_spec spec = {
        .root = e->places.root,
        .init = runtime_init_path(e->runtime),
        .program = m->program,
        .argv = (const char *const *)m->argv,
        .env = (const char *const *)m->full_env,
        .cwd = m->cwd,
        .hostname = m->hostname,
        .cgroup = cgroup,
        .user = &m->user,
        .user_ns = e->user_ns,
        .net_ns = e->net_ns,
        .first_id = container_first_id(c),
        .id_range = e->id_range,
        .memory_bytes = m->memory_bytes,
        .cpu_shares = m->cpu_shares,
        .pids = m->pids,
        .nofile = m->nofile,
        .limit_swap = cgroups_count_swap(e->cgroups),
        .unified = cgroups_unified(e->cgroups),
    };
    return bundle_write(c->dir, &spec, err);
}

static int step_interface(struct container *c, struct error *err) {
    const struct network_spec spec = {
        .name = c->engine->name,
        .subnet = &c->engine->subnet,
        .slot = c->slot,
        .id_range = c->engine->id_range,
        .net = c->creation->ns.net,
        .own_net = c->engine->own_net,
    };
    return network_join(&spec, err);
}

static int step_firewall(struct container *c, struct error *err) {
    char port[INTERFACE_NAME];
    const struct firewall_entry entry = container_firewall_entry(c, port);
    return firewall_open(c->engine->firewall, &entry, err);
}

/* Here and not before: jobs wait their turn, and to wait is not to begin. */
static int step_note(struct container *c, struct error *err) {
    const struct creation *m = c->creation;
    return m->before_start ? m->before_start(m->arg, err) : 0;
}

static int step_run(struct container *c, struct error *err) {
    c->creation->may_have_run = true;
    return monitor_start(c->engine->runtime, c->id, c->dir, &c->main, &c->monitor, err);
}

/* What has it, and a monitor, is whole and will be adopted (adopt.c). */
static int step_state(struct container *c, struct error *err) {
    return state_write(c, err);
}

static const struct stage {
    struct {
        const char *name;
        int (*run)(struct container *c, struct error *err);
    } steps[STEPS_MAX];
    bool moves; /* into another mount namespace */
} stages[STAGE_COUNT] = {
    [PREPARE] = {{
        {"directory", step_directory},
        {"namespaces", step_namespaces},
    }},
    [ROOT] = {{
                  {"mounts", step_mounts},
                  {"disk", step_disk},
                  {"rootfs", step_rootfs},
                  {"files", step_files},
                  {"command", step_command},
                  {"bundle", step_bundle},
                  {"ready", step_state},
              },
              .moves = true},
    [NETWORK] = {{
        {"interface", step_interface},
        {"firewall", step_firewall},
    }},
    [RUN] = {{
                 {"again", step_mounts_again},
                 {"note", step_note},
                 {"run", step_run},
                 {"state", step_state},
             },
             .moves = true},
};

static void run_stage(struct container *c, enum stage_id id) {
    const struct stage *stage = &stages[id];
    struct error *err = &c->creation->errors[id];
    int r = 0;
    for (size_t i = 0; r == 0 && i < STEPS_MAX && stage->steps[i].run; i++) {
        uint64_t began = clock_mono_ns();
        r = stage->steps[i].run(c, err);
        c->creation->step_us[id][i] = (uint32_t)((clock_mono_ns() - began) / 1000);
    }
    if (r == 0)
        *err = (struct error){0}; /* of a try that was followed by a better one */
    if (stage->moves)
        mounts_leave(c->engine->own_mounts);
}

/* --- from stage to stage --- */

static void strings_free(char **list) {
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

static void creation_free(struct creation *m) {
    if (!m)
        return;
    strings_free(m->layers);
    strings_free(m->argv);
    strings_free(m->env);
    env_free(m->full_env);
    namespaces_close(&m->ns);
    user_fini(&m->user);
    if (m->root >= 0)
        close(m->root);
    if (m->mounts >= 0)
        close(m->mounts);
    free(m->user_text);
    free(m->cwd);
    free(m->hostname);
    free(m->program);
    free(m);
}

static char *timings_text(const struct creation *m) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        for (size_t i = 0; i < STEPS_MAX && stages[stage].steps[i].run; i++)
            strbuf_printf(&out, "%s=%.2f ", stages[stage].steps[i].name,
                          m->step_us[stage][i] / 1000.0);
    strbuf_printf(&out, "total=%.2f", (double)(clock_mono_ns() - m->began_ns) / 1e6);
    return strbuf_take(&out);
}

static void work_undo(void *arg) {
    (void)container_remove(arg, NULL); /* what is left, the next agent's adoption removes */
}

/* Failed and undone, or the engine is being freed. */
static void done_undone(void *arg) {
    struct container *c = arg;
    struct creation *m = TAKE_PTR(c->creation);
    struct error cause = {0};
    for (int i = 0; i < STAGE_COUNT && !cause.code; i++)
        cause = m->errors[i];
    if (!cause.code)
        error_set(&cause, -ECANCELED, "the cell is stopping");
    if (m->may_have_run)
        cause.code = -EOWNERDEAD;
    container_forget(c);
    m->done(m->arg, NULL, &cause);
    creation_free(m);
}

static void finish(struct container *c) {
    struct creation *m = c->creation;
    if (container_watch(c, &m->errors[RUN]) < 0) {
        if (workers_run(c->engine->workers, work_undo, done_undone, c) < 0)
            done_undone(c);
        return;
    }
    c->timings = timings_text(m);
    c->creation = NULL;
    m->done(m->arg, c, NULL);
    creation_free(m);
}

struct stage_job {
    struct container *c;
    enum stage_id id;
};

static void work_stage(void *arg) {
    const struct stage_job *job = arg;
    run_stage(job->c, job->id);
}

static void done_stage(void *arg);

static void begin(struct container *c, enum stage_id id) {
    struct creation *m = c->creation;
    struct stage_job *job = mem_dup(&(struct stage_job){c, id}, sizeof *job);
    if (job && workers_run(c->engine->workers, work_stage, done_stage, job) == 0) {
        m->running++;
        return;
    }
    free(job);
    error_set(&m->errors[id], -ENOMEM, "out of memory");
}

static bool failed(const struct creation *m) {
    for (int i = 0; i < STAGE_COUNT; i++)
        if (m->errors[i].code)
            return true;
    return false;
}

static void undo(struct container *c) {
    struct creation *m = c->creation;
    int *held[] = {&m->root, &m->mounts};
    namespaces_close(&m->ns); /* what only we keep goes before the rest is looked for */
    for (size_t i = 0; i < ARRAY_SIZE(held); i++)
        if (*held[i] >= 0)
            close(TAKE_FD(*held[i]));
    if (c->engine->stopping || workers_run(c->engine->workers, work_undo, done_undone, c) < 0)
        done_undone(c);
}

static void done_stage(void *arg) {
    struct stage_job *job = arg;
    struct container *c = job->c;
    enum stage_id id = job->id;
    struct creation *m = c->creation;
    free(job);
    if (--m->running > 0)
        return;
    if (!failed(m) && !c->engine->stopping) {
        if (id == PREPARE) {
            begin(c, ROOT);
            begin(c, NETWORK);
        } else if (id != RUN) {
            begin(c, RUN);
        } else {
            finish(c);
            return;
        }
        if (m->running > 0)
            return;
    }
    undo(c);
}

/* --- the request --- */

static bool id_is_fine(const char *id) {
    size_t n = id ? strlen(id) : 0;
    return n > 0 && n <= ID_MAX && id[0] != '-' &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int check_spec(const struct container_spec *spec, struct error *err) {
    if (!id_is_fine(spec->id))
        return error_set(err, -EINVAL, "\"%.64s\" is no container id", spec->id ? spec->id : "");
    if (!spec->layers || !spec->layers[0])
        return error_set(err, -EINVAL, "the image has no layers");
    if (!spec->argv || str_empty(spec->argv[0]))
        return error_set(err, -EINVAL, "No start command found or specified");
    if (!spec->memory_bytes || spec->memory_bytes > INT64_MAX || spec->disk_bytes < DISK_MIN ||
        spec->disk_bytes > (uint64_t)1 << 44 || !spec->pids || !spec->nofile)
        return error_set(err, -EINVAL,
                         "memory, disk (1 MiB to 16 TiB), pids and nofile must be set");
    for (size_t i = 0; i < spec->port_count; i++) {
        if (!spec->ports[i])
            return error_set(err, -EINVAL, "port 0 cannot be published");
        for (size_t j = 0; j < i; j++)
            if (spec->ports[j] == spec->ports[i])
                return error_set(err, -EINVAL, "port %u is published twice", spec->ports[i]);
    }
    return 0;
}

static char **strings_copy(const char *const *list) {
    size_t n = 0;
    while (list && list[n])
        n++;
    char **copy = mem_calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++)
        if (!(copy[i] = str_dup(list[i]))) {
            strings_free(copy);
            return NULL;
        }
    return copy;
}

/* The kernel takes any bytes up to 64; what programs and /etc/hosts can use is a host name. */
static char *hostname_of(const struct container_spec *spec) {
    const char *name = str_empty(spec->hostname) ? spec->id : spec->hostname;
    size_t n = strlen(name);
    char *copy = str_dup(n > HOSTNAME_MAX ? name + n - HOSTNAME_MAX : name);
    for (char *p = copy; p && *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              *p == '.'))
            *p = '-';
    return copy;
}

static struct creation *creation_new(const struct container_spec *spec) {
    struct creation *m = mem_zalloc(sizeof *m);
    if (!m)
        return NULL;
    m->ns = NAMESPACES_NONE;
    m->root = m->mounts = -1;
    m->began_ns = clock_mono_ns();
    m->memory_bytes = spec->memory_bytes;
    m->cpu_shares = MIN(MAX(spec->cpu_shares, (uint64_t)SHARES_MIN), (uint64_t)SHARES_MAX);
    m->pids = spec->pids;
    m->nofile = spec->nofile;
    const char *cwd = str_empty(spec->workdir) ? "/" : spec->workdir;
    if (!(m->layers = strings_copy(spec->layers)) || !(m->argv = strings_copy(spec->argv)) ||
        !(m->env = strings_copy(spec->env)) ||
        !(m->user_text = str_dup(spec->user ? spec->user : "")) ||
        !(m->cwd = cwd[0] == '/' ? str_dup(cwd) : str_printf("/%s", cwd)) ||
        !(m->hostname = hostname_of(spec))) {
        creation_free(m);
        return NULL;
    }
    return m;
}

/* Slot, address and a host port for each published one. */
static int reserve(struct container *c, const struct container_spec *spec, struct error *err) {
    struct container_engine *e = c->engine;
    uint64_t now_ms = clock_mono_ms();
    int n = pool_take(&e->slots, now_ms);
    if (n < 0)
        return error_set(err, n, "no address or host ids are left for another container");
    c->slot = (unsigned)n;
    ipv4_format(subnet_address(&e->subnet, c->slot), c->ip);
    if (!(c->ports = mem_calloc(spec->port_count + 1, sizeof *c->ports)) ||
        (spec->note_n && !(c->note = mem_dup(spec->note, spec->note_n))))
        return error_set(err, -ENOMEM, "out of memory");
    c->note_n = spec->note_n;
    for (size_t i = 0; i < spec->port_count; i++) {
        if ((n = ports_take(&e->ports, now_ms, err)) < 0)
            return n;
        c->ports[c->port_count++] = (struct published){spec->ports[i], (uint16_t)n};
    }
    return 0;
}

int container_create(struct container_engine *e, const struct container_spec *spec,
                     void (*done)(void *arg, struct container *c, const struct error *err),
                     void *arg, struct error *err) {
    int r = check_spec(spec, err);
    int stop_signal = r == 0 ? stop_signal_parse(spec->stop_signal, err) : 0;
    if (r < 0 || stop_signal < 0)
        return r < 0 ? r : stop_signal;
    if (e->container_count >= e->max_containers)
        return error_set(err, -ENOSPC, "the cell has %u containers, its most", e->container_count);
    for (const struct container *other = e->containers; other; other = other->next)
        if (str_eq(other->id, spec->id))
            return error_set(err, -EEXIST, "container %s exists", spec->id);
    struct container *c = container_new(e, spec->id);
    if (!c)
        return error_set(err, -ENOMEM, "out of memory");
    c->stop_signal = stop_signal;
    c->disk_bytes = (spec->disk_bytes + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
    if (!(c->creation = creation_new(spec))) {
        container_forget(c);
        return error_set(err, -ENOMEM, "out of memory");
    }
    c->creation->done = done;
    c->creation->before_start = spec->before_start;
    c->creation->arg = arg;
    if ((r = reserve(c, spec, err)) == 0) {
        begin(c, PREPARE);
        r = c->creation->running ? 0 : error_set(err, -ENOMEM, "out of memory");
    }
    if (r < 0) {
        creation_free(c->creation);
        container_forget(c);
    }
    return r;
}
