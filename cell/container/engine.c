#include "cell/container/engine.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <utlist.h>

#include "cell/container/monitor.h"
#include "cell/container/namespaces.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/workers.h"

enum {
    WORKERS = 8,           /* stages at a time: they mostly wait for the runtime and the kernel */
    NAME_MAX_N = 9,        /* leaves room for "v12345" in an interface's name */
    NOFILE_WANTED = 16384, /* what Cloud Foundry gives an app (instance_file_descriptor_limit) */
    RUN_DIR_MAX = 60,      /* below it lie sockets, whose paths have 108 bytes */
};

/* --- the engine --- */

static bool name_is_fine(const char *name) {
    size_t n = strlen(name);
    return n > 0 && n <= NAME_MAX_N && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == n &&
           name[0] > '9';
}

static int check_config(const struct container_engine_config *config, struct error *err) {
    if (str_empty(config->dir) || config->dir[0] != '/' || str_empty(config->run_dir) ||
        config->run_dir[0] != '/')
        return error_set(err, -EINVAL, "the container directories must be absolute paths");
    if (strlen(config->run_dir) > RUN_DIR_MAX)
        return error_set(err, -EINVAL, "%s is longer than %d bytes", config->run_dir, RUN_DIR_MAX);
    if (str_empty(config->name) || !name_is_fine(config->name))
        return error_set(err, -EINVAL,
                         "the name \"%s\" must be a letter and at most %d more letters or digits",
                         config->name ? config->name : "", NAME_MAX_N - 1);
    if (!config->id_base || config->id_range < 1000)
        return error_set(err, -EINVAL,
                         "containers need host ids of their own: id_base > 0 and "
                         "id_range >= 1000");
    if (!config->port_first || (uint32_t)config->port_first + config->port_count > UINT16_MAX + 1u)
        return error_set(err, -EINVAL, "host ports %u+%u are not within 1 to 65535",
                         config->port_first, config->port_count);
    if (str_empty(config->host_address) || !config->max_containers)
        return error_set(err, -EINVAL, "host_address and max_containers must be set");
    return 0;
}

static int copy_config(struct container_engine *e, const struct container_engine_config *config,
                       struct error *err) {
    _cleanup_(freep) char *boot = NULL;
    int r = subnet_parse(config->subnet, &e->subnet, err);
    if (r < 0)
        return r;
    if (!(e->dir = str_dup(config->dir)) ||
        !(e->containers_dir = str_printf("%s/containers", config->dir)) ||
        !(e->templates_dir = str_printf("%s/templates", config->dir)) ||
        !(e->run_dir = str_dup(config->run_dir)) || !(e->name = str_dup(config->name)) ||
        !(e->host_address = str_dup(config->host_address)) ||
        !(e->places.root = str_printf("%s/root", config->run_dir)) ||
        !(e->places.disk = str_printf("%s/disk", config->run_dir)) ||
        !(e->places.layers = str_printf("%s/layers", config->run_dir)) ||
        !(e->user_ns = str_printf("%s/user", config->run_dir)) ||
        !(e->net_ns = str_printf("%s/net", config->run_dir)))
        return error_set(err, -ENOMEM, "out of memory");
    e->id_base = config->id_base;
    e->id_range = config->id_range;
    e->max_containers = config->max_containers;
    unsigned slots = slots_that_fit(&e->subnet, e->id_base, e->id_range, e->max_containers);
    if (slots < e->max_containers)
        return error_set(err, -EINVAL, "subnet and host ids have room for %u of %u containers",
                         slots, e->max_containers);
    if (pool_init(&e->slots, slots, 0) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    if ((r = fs_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, NULL, err)) < 0)
        return r;
    strncpy(e->boot_id, boot, sizeof e->boot_id - 1);
    e->boot_id[strcspn(e->boot_id, "\n")] = 0;
    return 0;
}

/* Containers pass through it as the nobodies that they are on the host. */
static int check_searchable(const char *path, struct error *err) {
    _cleanup_(freep) char *part = str_dup(path);
    struct stat st;
    if (!part)
        return error_set(err, -ENOMEM, "out of memory");
    for (char *slash = part + strlen(part); slash; slash = strrchr(part, '/')) {
        *slash = 0;
        if (*part && (stat(part, &st) < 0 || !(st.st_mode & S_IXOTH)))
            return error_set(err, -EACCES,
                             "%s must be searchable by others (chmod o+x): containers' root file "
                             "systems are mounted at %s",
                             part, path);
    }
    return 0;
}

/* Never replaced: the kernel would take down what is mounted there in containers' namespaces. */
static int make_file(const char *path, struct error *err) {
    _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0400);
    return fd < 0 ? error_set(err, -errno, "cannot make %s: %s", path, strerror(errno)) : 0;
}

static int make_dirs(struct container_engine *e, struct error *err) {
    const struct {
        const char *path;
        mode_t mode;
    } dirs[] = {
        {e->containers_dir, 0700}, {e->templates_dir, 0700}, {e->run_dir, 0711},
        {e->places.root, 0711},    {e->places.disk, 0700},   {e->places.layers, 0700},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
        r = fs_mkdirs(AT_FDCWD, dirs[i].path, dirs[i].mode, err);
    if (r == 0)
        r = make_file(e->user_ns, err);
    if (r == 0)
        r = make_file(e->net_ns, err);
    return r < 0 ? r : check_searchable(e->places.root, err);
}

static int open_ports(struct container_engine *e, const struct container_engine_config *config,
                      struct error *err) {
    _cleanup_(freep) char *path = str_printf("%s/%s", e->dir, PORTS_FILE);
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    return ports_open(&e->ports, path, config->port_first, config->port_count, config->port_rest_ms,
                      e->boot_id, clock_mono_ms(), clock_wall_ns() / 1000000000u, err);
}

static int make_parts(struct container_engine *e, const struct container_engine_config *config,
                      struct error *err) {
    _cleanup_(freep) char *dns = NULL;
    struct strbuf *note = &e->note;
    int r;
    if ((r = own_namespaces(&e->own_mounts, &e->own_net, err)) < 0 ||
        (r = cgroups_new(&e->cgroups, e->name, err)) < 0)
        return r;
    const struct runtime_config runtime = {
        .wanted = str_empty(config->runtime) ? "auto" : config->runtime,
        .run_dir = e->run_dir,
        .name = e->name,
        .cgroups = e->cgroups,
        .first_id = e->id_base + e->slots.count * e->id_range, /* slots_that_fit() left it */
        .id_range = e->id_range,
    };
    if ((r = runtime_new(&e->runtime, &runtime, note, err)) < 0)
        return r;
    strbuf_puts(note, cgroups_unified(e->cgroups) ? "; cgroup v2" : "; cgroup v1");
    if (!cgroups_count_swap(e->cgroups))
        strbuf_puts(note, "; the kernel does not count swap: memory limits are without it");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < NOFILE_WANTED)
        strbuf_printf(note, "; containers may open %llu files, the cell's own limit",
                      (unsigned long long)files.rlim_max);
    if ((r = network_prepare(e->name, &e->subnet, note, err)) < 0 ||
        (r = network_dns(config->dns, &e->resolv_conf, &dns, err)) < 0)
        return r;
    if (str_empty(dns))
        strbuf_puts(note, "; no DNS server that containers could reach: set dns");
    const struct firewall_config firewall = {
        .name = e->name,
        .subnet = &e->subnet,
        .dns = dns,
        .allow_networks = config->allow_networks,
        .deny_networks = config->deny_networks,
    };
    if ((r = firewall_new(&e->firewall, &firewall, err)) < 0)
        return r;
    return note->failed ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int container_engine_new(struct container_engine **ret, struct event_base *loop,
                         const struct container_engine_config *config, const char **ret_note,
                         struct error *err) {
    int r = check_config(config, err);
    if (r < 0)
        return r;
    _cleanup_(container_engine_freep) struct container_engine *e = mem_zalloc(sizeof *e);
    if (!e)
        return error_set(err, -ENOMEM, "out of memory");
    e->loop = loop;
    e->own_mounts = e->own_net = e->ports.fd = -1;
    if ((r = copy_config(e, config, err)) < 0 || (r = make_dirs(e, err)) < 0 ||
        (r = open_ports(e, config, err)) < 0 || (r = make_parts(e, config, err)) < 0 ||
        (r = workers_new(&e->workers, loop, WORKERS, err)) < 0)
        return r;
    if (ret_note)
        *ret_note = e->note.p;
    *ret = TAKE_PTR(e);
    return 0;
}

void container_engine_free(struct container_engine *e) {
    if (!e)
        return;
    e->stopping = true;
    workers_free(e->workers);
    while (e->containers)
        container_forget(e->containers);
    firewall_free(e->firewall);
    runtime_free(e->runtime);
    cgroups_free(e->cgroups);
    pool_fini(&e->slots);
    ports_close(&e->ports);
    strbuf_fini(&e->note);
    if (e->own_mounts >= 0)
        close(e->own_mounts);
    if (e->own_net >= 0)
        close(e->own_net);
    char *texts[] = {e->dir,         e->containers_dir, e->templates_dir, e->run_dir,
                     e->name,        e->host_address,   e->resolv_conf,   e->places.root,
                     e->places.disk, e->places.layers,  e->user_ns,       e->net_ns};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    free(e);
}

int container_engine_uninstall(struct container_engine *e, struct error *err) {
    int r;
    if (e->containers)
        return error_set(err, -EBUSY, "%u containers are left", e->container_count);
    if ((r = firewall_remove(e->firewall, err)) < 0 || (r = network_remove(e->name, err)) < 0 ||
        (r = cgroups_remove_parent(e->cgroups, err)) < 0 ||
        (r = fs_remove_tree(AT_FDCWD, e->templates_dir, err)) < 0 ||
        (r = fs_remove_tree(AT_FDCWD, e->containers_dir, err)) < 0)
        return r;
    return fs_remove_tree(AT_FDCWD, e->run_dir, err);
}

void container_engine_set_ops(struct container_engine *e, const struct container_ops *ops) {
    e->ops = *ops;
}

/* --- a container in the engine's list --- */

struct container *container_new(struct container_engine *e, const char *id) {
    struct container *c = mem_zalloc(sizeof *c);
    if (!c)
        return NULL;
    c->engine = e;
    c->main = c->monitor = PROCESS_NONE;
    c->slot = UINT_MAX;
    c->stop_signal = SIGTERM;
    c->id = str_dup(id);
    c->dir = str_printf("%s/%s", e->containers_dir, id);
    c->log_path = str_printf("%s/%s/log", e->containers_dir, id);
    DL_APPEND(e->containers, c);
    e->container_count++;
    if (!c->id || !c->dir || !c->log_path) {
        container_forget(c);
        return NULL;
    }
    return c;
}

void container_forget(struct container *c) {
    struct container_engine *e = c->engine;
    uint64_t now_ms = clock_mono_ms();
    if (c->slot != UINT_MAX)
        pool_give(&e->slots, c->slot, now_ms);
    for (size_t i = 0; i < c->port_count && !e->stopping; i++) /* stopping: it may run on */
        ports_give(&e->ports, c->ports[i].host, now_ms, clock_wall_ns() / 1000000000u);
    DL_DELETE(e->containers, c);
    e->container_count--;
    if (c->on_end)
        event_free(c->on_end);
    process_close(&c->main);
    process_close(&c->monitor);
    free(c->id);
    free(c->dir);
    free(c->log_path);
    free(c->timings);
    free(c->ports);
    free(c->note);
    free(c);
}

struct firewall_entry container_firewall_entry(const struct container *c,
                                               char port[static INTERFACE_NAME]) {
    network_port_name(c->engine->name, c->slot, port);
    return (struct firewall_entry){
        .port = port,
        .address = subnet_address(&c->engine->subnet, c->slot),
        .ports = c->ports,
        .port_count = c->port_count,
    };
}

/* --- its end --- */

/* The monitor is gone. It leaves the status behind, unless it was killed: then nobody will know how
 * the process ends, nor reads what it prints, so it ends now. */
static void on_end(evutil_socket_t fd, short what, void *arg) {
    struct container *c = arg;
    struct container_engine *e = c->engine;
    struct container_exit end = {.out_of_memory = cgroups_oom_kills(e->cgroups, c->id) > 0};
    (void)fd;
    (void)what;
    if (monitor_exit_status(c->dir, c->id, &end.status) < 0) {
        end.unknown = true;
        container_kill(c);
    }
    if (e->ops.on_exit)
        e->ops.on_exit(e->ops.data, c, &end);
}

int container_watch(struct container *c, struct error *err) {
    c->on_end = event_new(c->engine->loop, c->monitor.pidfd, EV_READ, on_end, c);
    if (!c->on_end)
        return error_set(err, -ENOMEM, "out of memory");
    if (c->monitor.pidfd < 0)
        event_active(c->on_end, EV_READ, 0);
    else if (event_add(c->on_end, NULL) < 0)
        return error_set(err, -ENOMEM, "cannot watch a container's monitor");
    return 0;
}

void container_signal_stop(struct container *c) {
    (void)process_signal(&c->main, c->stop_signal); /* our init hands it on */
}

void container_kill(struct container *c) {
    (void)process_signal(&c->main, SIGKILL); /* the end of pid 1 is the end of all */
    (void)cgroups_kill(c->engine->cgroups, c->id);
}

/* --- what is asked of it --- */

const char *container_id(const struct container *c) {
    return c->id;
}

const char *container_ip(const struct container *c) {
    return c->ip;
}

uint16_t container_host_port(const struct container *c, uint16_t container_port) {
    for (size_t i = 0; i < c->port_count; i++)
        if (c->ports[i].container == container_port)
            return c->ports[i].host;
    return 0;
}

pid_t container_pid(const struct container *c) {
    return process_wait(&c->main, 0) == -ETIMEDOUT ? c->main.pid : 0;
}

const char *container_log_path(const struct container *c) {
    return c->log_path;
}

const char *container_dir(const struct container *c) {
    return c->dir;
}

const char *container_timings(const struct container *c) {
    return c->timings ? c->timings : "";
}

void container_set_owner(struct container *c, void *owner) {
    c->owner = owner;
}

void *container_owner(const struct container *c) {
    return c->owner;
}

/* Opens /proc/PID/WHAT of the main process. The pid may pass to another process between looking and
 * opening, so it is looked at again after. */
static int open_proc(const struct container *c, const char *what, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)c->main.pid, what);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (process_wait(&c->main, 0) != -ETIMEDOUT || c->main.pidfd < 0) {
        close(fd);
        return -ESRCH;
    }
    return fd;
}

int container_socket(struct container *c) {
    _cleanup_(close_fdp) int net = open_proc(c, "ns/net", O_RDONLY);
    if (net < 0)
        return net;
    int r = net_enter(net, NULL);
    if (r < 0)
        return r;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    r = fd < 0 ? -errno : fd;
    net_leave(c->engine->own_net);
    return r;
}

int container_stats(struct container *c, struct container_stats *ret, struct error *err) {
    struct cgroup_usage usage;
    struct statvfs st;
    int r = cgroups_usage(c->engine->cgroups, c->id, &usage, err);
    if (r < 0)
        return r;
    _cleanup_(close_fdp) int root = open_proc(c, "root", O_PATH | O_DIRECTORY);
    if (root < 0 || fstatvfs(root, &st) < 0)
        return error_set(err, root < 0 ? root : -errno, "%s has ended", c->id);
    uint64_t left = (uint64_t)st.f_bavail * st.f_frsize; /* the whole quota at first: disk.h */
    *ret = (struct container_stats){
        .cpu_ns = usage.cpu_ns,
        .memory_bytes = usage.memory_bytes,
        .pids = usage.pids,
        .disk_bytes = c->disk_bytes - MIN(left, c->disk_bytes),
    };
    return 0;
}
