#include "cell/container/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "cell/container/seccomp.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define INIT_AT "/dev/.berth-init" /* /dev is a tmpfs: nothing enters the image's tree */

enum {
    OOM_SCORE_ADJ = 200, /* the kernel takes an app before a daemon */
};

/* As Docker and Garden (guardiancmd/command_linux.go); all within the user namespace only. */
static const char *const capabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",     "CAP_FOWNER",           "CAP_MKNOD",
    "CAP_NET_RAW", "CAP_SETGID",       "CAP_SETUID",     "CAP_SETFCAP",          "CAP_SETPCAP",
    "CAP_KILL",    "CAP_AUDIT_WRITE",  "CAP_SYS_CHROOT", "CAP_NET_BIND_SERVICE",
};

/* What tells of the host or lets a container act on it. */
static const char *const masked[] = {
    "/proc/acpi",        "/proc/asound",        "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap",
};

static const char *const read_only[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static const struct mount_row {
    const char *at, *type, *source;
    const char *options[9];
} mounts[] = {
    {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
    {"/dev", "tmpfs", "tmpfs", {"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}},
    {"/dev/pts",
     "devpts",
     "devpts",
     {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
    {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
    {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
    {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
    {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}},
};

/* Arrays that failed to grow are left short only when memory is out, which json_pack() tells: it
 * gives NULL for any NULL part. */
static json_t *strings(const char *const *list, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < n && list[i]; i++)
        if (json_array_append_new(array, json_string(list[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *mount_list(const struct bundle_spec *spec) {
    json_t *array = json_array();
    bool ok = array;
    for (size_t i = 0; ok && i < ARRAY_SIZE(mounts); i++)
        ok = json_array_append_new(
                 array, json_pack("{s:s, s:s, s:s, s:o}", "destination", mounts[i].at, "type",
                                  mounts[i].type, "source", mounts[i].source, "options",
                                  strings(mounts[i].options, ARRAY_SIZE(mounts[i].options)))) == 0;
    ok = ok &&
         json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:[ssss]}", "destination", INIT_AT,
                                                "type", "bind", "source", spec->init, "options",
                                                "bind", "ro", "nosuid", "nodev")) == 0;
    if (!ok) {
        json_decref(array);
        return NULL;
    }
    return array;
}

static json_t *arguments(const struct bundle_spec *spec) {
    json_t *array = json_pack("[s]", INIT_AT);
    if (array && spec->program)
        json_array_append_new(array, json_string(spec->program));
    size_t given = 0;
    for (; array && spec->program && spec->argv[given]; given++)
        json_array_append_new(array, json_string(spec->argv[given]));
    if (array && spec->program && json_array_size(array) != given + 2) {
        json_decref(array);
        return NULL;
    }
    return array;
}

/* Root gets the set in full, others only as the bound of what they could ever gain: nothing, as
 * there are no new privileges. */
static json_t *capability_sets(bool root) {
    json_t *sets = json_object();
    static const char *const names[] = {"bounding", "effective", "permitted"};
    for (size_t i = 0; sets && i < (root ? ARRAY_SIZE(names) : 1); i++)
        if (json_object_set_new(sets, names[i], strings(capabilities, ARRAY_SIZE(capabilities))) <
            0) {
            json_decref(sets);
            return NULL;
        }
    return sets;
}

/* No more than we have ourselves: only CAP_SYS_RESOURCE could raise it. */
static uint64_t bounded_nofile(uint32_t wanted) {
    struct rlimit own;
    if (getrlimit(RLIMIT_NOFILE, &own) < 0)
        return wanted;
    return MIN((uint64_t)wanted, (uint64_t)own.rlim_max);
}

static json_t *process(const struct bundle_spec *spec) {
    json_t *groups = json_array();
    for (size_t i = 0; groups && i < spec->user->group_count; i++)
        json_array_append_new(groups, json_integer(spec->user->groups[i]));
    size_t env_count = 0;
    while (spec->env[env_count])
        env_count++;
    json_int_t nofile = (json_int_t)bounded_nofile(spec->nofile);
    return json_pack("{s:b, s:{s:I, s:I, s:o}, s:o, s:o, s:s, s:o, s:[{s:s, s:I, s:I}], s:b, s:i}",
                     "terminal", 0, "user", "uid", (json_int_t)spec->user->uid, "gid",
                     (json_int_t)spec->user->gid, "additionalGids", groups, "args", arguments(spec),
                     "env", strings(spec->env, env_count), "cwd", spec->cwd, "capabilities",
                     capability_sets(spec->user->uid == 0), "rlimits", "type", "RLIMIT_NOFILE",
                     "soft", nofile, "hard", nofile, "noNewPrivileges", 1, "oomScoreAdj",
                     OOM_SCORE_ADJ);
}

static json_t *name_spaces(const struct bundle_spec *spec) {
    json_t *array =
        json_pack("[{s:s}, {s:s}, {s:s}, {s:s}, {s:s, s:s*}, {s:s, s:s*}]", "type", "pid", "type",
                  "ipc", "type", "uts", "type", "mount", "type", "network", "path", spec->net_ns,
                  "type", "user", "path", spec->user_ns);
    if (array && spec->unified)
        json_array_append_new(array, json_pack("{s:s}", "type", "cgroup"));
    return array;
}

static json_t *resources(const struct bundle_spec *spec) {
    json_t *memory = json_pack("{s:I}", "limit", (json_int_t)spec->memory_bytes);
    if (memory && spec->limit_swap) /* memory and swap together: no swap */
        json_object_set_new(memory, "swap", json_integer((json_int_t)spec->memory_bytes));
    return json_pack("{s:[{s:b, s:s}], s:o, s:{s:I}, s:{s:I}}", "devices", "allow", 0, "access",
                     "rwm", "memory", memory, "cpu", "shares", (json_int_t)spec->cpu_shares, "pids",
                     "limit", (json_int_t)spec->pids);
}

static json_t *id_map(const struct bundle_spec *spec) {
    return json_pack("[{s:i, s:I, s:I}]", "containerID", 0, "hostID", (json_int_t)spec->first_id,
                     "size", (json_int_t)spec->id_range);
}

json_t *bundle_config(const struct bundle_spec *spec) {
    json_t *limits =
        json_pack("{s:o, s:o, s:o, s:s, s:o, s:s, s:o, s:o, s:o}", "namespaces", name_spaces(spec),
                  "uidMappings", id_map(spec), "gidMappings", id_map(spec), "cgroupsPath",
                  spec->cgroup, "resources", resources(spec), "rootfsPropagation", "private",
                  "seccomp", seccomp_profile(), "maskedPaths", strings(masked, ARRAY_SIZE(masked)),
                  "readonlyPaths", strings(read_only, ARRAY_SIZE(read_only)));
    return json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2", "process",
                     process(spec), "root", "path", spec->root, "readonly", 0, "hostname",
                     spec->hostname, "mounts", mount_list(spec), "linux", limits);
}

int bundle_write(const char *dir, const struct bundle_spec *spec, struct error *err) {
    json_t *config = bundle_config(spec);
    _cleanup_(freep) char *text = config ? json_dumps(config, JSON_COMPACT) : NULL;
    _cleanup_(freep) char *path = str_printf("%s/config.json", dir);
    json_decref(config);
    if (!text)
        return error_set(err, -EINVAL, "the command or environment is no valid UTF-8");
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    return fs_write_quick(AT_FDCWD, path, 0600, text, strlen(text), err);
}
