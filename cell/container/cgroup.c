#include "cell/container/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/str.h"

#define ROOT          "/sys/fs/cgroup"
#define CGROUP2_MAGIC 0x63677270
#define CONTROLLERS   "+cpu +memory +pids"

enum {
    HIERARCHIES_MAX = 24,
    FILE_MAX = 64 << 10,
};

struct cgroups {
    bool unified, swap;
    char *name;                    /* owned */
    char *mounts[HIERARCHIES_MAX]; /* owned; v2: the one */
    size_t mount_count;
    char *cpuacct, *memory, *pids; /* borrowed from mounts; v2: all the one */
};

void cgroups_free(struct cgroups *g) {
    if (!g)
        return;
    for (size_t i = 0; i < g->mount_count; i++)
        free(g->mounts[i]);
    free(g->name);
    free(g);
}

bool cgroups_unified(const struct cgroups *g) {
    return g->unified;
}

bool cgroups_count_swap(const struct cgroups *g) {
    return g->swap;
}

static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ','), p += p != NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

/* One line of /proc/self/mountinfo (proc_pid_mountinfo(5)): a v1 hierarchy becomes ours to use, and
 * so does a hybrid host's v2 one, where runtimes make a group too. */
static int take_mount(struct cgroups *g, char *line) {
    char *point = NULL, *p = line;
    for (int field = 1; field < 5 && p; field++) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    char *rest = p ? strstr(p, " - cgroup ") : NULL;
    if (p && !rest)
        rest = strstr(p, " - cgroup2 ");
    if (!rest || g->mount_count == HIERARCHIES_MAX)
        return 0;
    if (!(point = str_ndup(p, strcspn(p, " "))))
        return -ENOMEM;
    g->mounts[g->mount_count++] = point;
    const char *options = strrchr(rest, ' ') + 1;
    if (has_word(options, "memory"))
        g->memory = point;
    if (has_word(options, "cpuacct"))
        g->cpuacct = point;
    if (has_word(options, "pids"))
        g->pids = point;
    return 0;
}

static int find_v1(struct cgroups *g, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    int r = fs_read(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &text, NULL, err);
    if (r < 0)
        return r;
    for (char *line = text, *next; line; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        if ((r = take_mount(g, line)) < 0)
            return error_set(err, r, "out of memory");
    }
    if (!g->memory || !g->cpuacct || !g->pids)
        return error_set(err, -ENOTSUP, "the host's cgroups lack the %s controller",
                         !g->memory    ? "memory"
                         : !g->cpuacct ? "cpuacct"
                                       : "pids");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/memory.memsw.limit_in_bytes", g->memory);
    g->swap = access(path, F_OK) == 0;
    return 0;
}

static int write_file(const char *path, const char *text) {
    _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int find_v2(struct cgroups *g, struct error *err) {
    if (!(g->mounts[0] = str_dup(ROOT)))
        return error_set(err, -ENOMEM, "out of memory");
    g->mount_count = 1;
    g->cpuacct = g->memory = g->pids = g->mounts[0];
    /* systemd has done it on its hosts; elsewhere it is ours to do. */
    int r = write_file(ROOT "/cgroup.subtree_control", CONTROLLERS);
    return r < 0
               ? error_set(err, r, "cannot enable the controllers " CONTROLLERS " in " ROOT ": %s",
                           strerror(-r))
               : 0;
}

static int make_parents(struct cgroups *g, struct error *err) {
    char path[PATH_MAX];
    for (size_t i = 0; i < g->mount_count; i++) {
        snprintf(path, sizeof path, "%s/%s", g->mounts[i], g->name);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return error_set(err, -errno, "cannot make %s: %s", path, strerror(errno));
    }
    if (!g->unified)
        return 0;
    snprintf(path, sizeof path, ROOT "/%s/cgroup.subtree_control", g->name);
    int r = write_file(path, CONTROLLERS);
    snprintf(path, sizeof path, ROOT "/%s/memory.swap.max", g->name);
    g->swap = access(path, F_OK) == 0;
    return r < 0 ? error_set(err, r, "cannot enable the controllers " CONTROLLERS " in %s: %s",
                             g->name, strerror(-r))
                 : 0;
}

int cgroups_new(struct cgroups **ret, const char *name, struct error *err) {
    _cleanup_(cgroups_freep) struct cgroups *g = mem_zalloc(sizeof *g);
    struct statfs st;
    if (!g || !(g->name = str_dup(name)))
        return error_set(err, -ENOMEM, "out of memory");
    if (statfs(ROOT, &st) < 0)
        return error_set(err, -errno, "cannot look at " ROOT ": %s", strerror(errno));
    g->unified = st.f_type == CGROUP2_MAGIC;
    int r = g->unified ? find_v2(g, err) : find_v1(g, err);
    if (r == 0)
        r = make_parents(g, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(g);
    return 0;
}

static int read_file(const struct cgroups *g, const char *mount, const char *id, const char *file,
                     char **ret) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/%s/%s", mount, g->name, id, file);
    return fs_read(AT_FDCWD, path, FILE_MAX, ret, NULL, NULL);
}

static int read_number(const struct cgroups *g, const char *mount, const char *id, const char *file,
                       uint64_t *ret) {
    _cleanup_(freep) char *text = NULL;
    int r = read_file(g, mount, id, file, &text);
    return r < 0 ? r
                 : parse_u64_slice((struct slice){text, strcspn(text, "\n")}, 0, UINT64_MAX, ret);
}

/* The value of "key value" in a flat keyed file; 0 when there is none. */
static uint64_t keyed(const char *text, const char *key) {
    size_t n = strlen(key);
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        uint64_t value;
        if (strncmp(p, key, n) == 0 && p[n] == ' ' &&
            parse_u64_slice((struct slice){p + n + 1, strcspn(p + n + 1, "\n")}, 0, UINT64_MAX,
                            &value) == 0)
            return value;
    }
    return 0;
}

/* SIGKILL to all that cgroup.procs lists in one hierarchy. */
static bool kill_listed(const struct cgroups *g, const char *mount, const char *id) {
    _cleanup_(freep) char *text = NULL;
    bool any = false;
    if (read_file(g, mount, id, "cgroup.procs", &text) < 0)
        return false;
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        uint64_t pid;
        if (parse_u64_slice((struct slice){p, strcspn(p, "\n")}, 1, INT_MAX, &pid) == 0) {
            kill((pid_t)pid, SIGKILL);
            any = true;
        }
    }
    return any;
}

bool cgroups_kill(const struct cgroups *g, const char *id) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/%s/cgroup.kill", g->memory, g->name, id);
    if (g->unified)
        (void)write_file(path, "1"); /* since kernel 5.14; the loop below does the rest */
    bool any = false;
    for (size_t i = 0; i < g->mount_count; i++)
        any |= kill_listed(g, g->mounts[i], id);
    return any;
}

int cgroups_remove(const struct cgroups *g, const char *id, struct error *err) {
    char path[PATH_MAX];
    for (size_t i = 0; i < g->mount_count; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", g->mounts[i], g->name, id);
        if (rmdir(path) < 0 && errno != ENOENT)
            return error_set(err, -errno, "cannot remove %s: %s", path, strerror(errno));
    }
    return 0;
}

/* Groups whose container's directory somebody else removed: empty ones go too. */
static void remove_children(const char *parent) {
    DIR *dir = opendir(parent);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
    if (dir)
        closedir(dir);
}

int cgroups_remove_parent(const struct cgroups *g, struct error *err) {
    char path[PATH_MAX];
    for (size_t i = 0; i < g->mount_count; i++) {
        snprintf(path, sizeof path, "%s/%s", g->mounts[i], g->name);
        remove_children(path);
        if (rmdir(path) < 0 && errno != ENOENT)
            return error_set(err, -errno, "cannot remove %s: %s", path, strerror(errno));
    }
    return 0;
}

uint64_t cgroups_oom_kills(const struct cgroups *g, const char *id) {
    _cleanup_(freep) char *text = NULL;
    if (read_file(g, g->memory, id, g->unified ? "memory.events" : "memory.oom_control", &text) < 0)
        return 0;
    return keyed(text, "oom_kill");
}

int cgroups_usage(const struct cgroups *g, const char *id, struct cgroup_usage *ret,
                  struct error *err) {
    _cleanup_(freep) char *cpu = NULL, *memory = NULL;
    struct cgroup_usage u = {0};
    uint64_t pids = 0;
    int r;
    if (g->unified) {
        if ((r = read_file(g, g->cpuacct, id, "cpu.stat", &cpu)) == 0)
            u.cpu_ns = keyed(cpu, "usage_usec") * 1000;
    } else {
        r = read_number(g, g->cpuacct, id, "cpuacct.usage", &u.cpu_ns);
    }
    if (r == 0)
        r = read_number(g, g->memory, id, g->unified ? "memory.current" : "memory.usage_in_bytes",
                        &u.memory_bytes);
    if (r == 0)
        r = read_file(g, g->memory, id, "memory.stat", &memory);
    if (r == 0)
        r = read_number(g, g->pids, id, "pids.current", &pids);
    if (r < 0)
        return error_set(err, r, "cannot read the cgroup of %s: %s", id, strerror(-r));
    uint64_t cache = keyed(memory, g->unified ? "inactive_file" : "total_inactive_file");
    u.memory_bytes -= MIN(cache, u.memory_bytes);
    u.pids = (uint32_t)pids;
    *ret = u;
    return 0;
}
