#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <signal.h>

#include "cell/container/bundle.h"
#include "cell/container/stop_signal.h"
#include "common/base/mem.h"
#include "common/base/str.h"

static uint32_t groups[] = {50, 1000};
static const char *const argv[] = {"app", "--flag", "a b", NULL};
static const char *const env[] = {"A=1", "B=\xc3\xa4", NULL};

static struct user user_of(uint32_t uid) {
    return (struct user){.uid = uid, .gid = 50, .groups = groups, .group_count = 2};
}

static struct bundle_spec spec_of(const struct user *user) {
    return (struct bundle_spec){
        .root = "/run/x/root",
        .init = "/run/x/init",
        .program = "/bin/app",
        .argv = argv,
        .env = env,
        .cwd = "/work",
        .hostname = "h",
        .cgroup = "/berth/id",
        .user = user,
        .user_ns = "/proc/1/fd/5",
        .net_ns = "/proc/1/fd/6",
        .first_id = 1000000,
        .id_range = 65536,
        .memory_bytes = (uint64_t)5 << 30,
        .cpu_shares = 102,
        .pids = 512,
        .nofile = 100,
        .limit_swap = true,
    };
}

static const char *text(json_t *at, const char *key) {
    const char *s = json_string_value(json_object_get(at, key));
    return s ? s : "";
}

static json_t *get(json_t *at, const char *a, const char *b) {
    return json_object_get(json_object_get(at, a), b);
}

static json_t *find(json_t *array, const char *key, const char *value) {
    for (size_t i = 0; i < json_array_size(array); i++)
        if (str_eq(text(json_array_get(array, i), key), value))
            return json_array_get(array, i);
    return NULL;
}

static bool lists(json_t *array, const char *value) {
    for (size_t i = 0; i < json_array_size(array); i++)
        if (str_eq(json_string_value(json_array_get(array, i)), value))
            return true;
    return false;
}

START_TEST(the_process_is_what_was_asked_for) {
    const struct user user = user_of(1000);
    const struct bundle_spec spec = spec_of(&user);
    json_t *config = bundle_config(&spec), *process = json_object_get(config, "process");
    ck_assert_ptr_nonnull(config);
    static const char *const expected[] = {"/dev/.berth-init", "/bin/app", "app", "--flag", "a b"};
    json_t *args = json_object_get(process, "args");
    ck_assert_uint_eq(json_array_size(args), ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        ck_assert_str_eq(json_string_value(json_array_get(args, i)), expected[i]);
    ck_assert_str_eq(text(process, "cwd"), "/work");
    ck_assert(lists(json_object_get(process, "env"), "B=\xc3\xa4"));
    ck_assert_int_eq(json_integer_value(get(process, "user", "uid")), 1000);
    ck_assert_int_eq(json_integer_value(get(process, "user", "gid")), 50);
    ck_assert_uint_eq(json_array_size(get(process, "user", "additionalGids")), 2);
    ck_assert(json_is_false(json_object_get(process, "terminal")));
    ck_assert_int_eq(json_integer_value(json_object_get(
                         json_array_get(json_object_get(process, "rlimits"), 0), "hard")),
                     100);
    json_decref(config);
}
END_TEST

START_TEST(privileges_are_few_and_cannot_grow) {
    for (uint32_t uid = 0; uid <= 1000; uid += 1000) {
        const struct user user = user_of(uid);
        const struct bundle_spec spec = spec_of(&user);
        json_t *config = bundle_config(&spec), *process = json_object_get(config, "process");
        json_t *sets = json_object_get(process, "capabilities");
        ck_assert(json_is_true(json_object_get(process, "noNewPrivileges")));
        ck_assert_uint_eq(json_array_size(json_object_get(sets, "bounding")), 14);
        ck_assert_uint_eq(json_array_size(json_object_get(sets, "effective")), uid ? 0 : 14);
        ck_assert_uint_eq(json_array_size(json_object_get(sets, "permitted")), uid ? 0 : 14);
        ck_assert_ptr_null(json_object_get(sets, "ambient"));
        ck_assert(!lists(json_object_get(sets, "bounding"), "CAP_SYS_ADMIN"));
        ck_assert(!lists(json_object_get(sets, "bounding"), "CAP_NET_ADMIN"));
        json_decref(config);
    }
}
END_TEST

START_TEST(every_name_space_is_the_containers_own) {
    const struct user user = user_of(0);
    struct bundle_spec spec = spec_of(&user);
    static const char *const kinds[] = {"pid", "ipc", "uts", "mount", "network", "user"};
    for (int unified = 0; unified < 2; unified++) {
        spec.unified = unified;
        json_t *config = bundle_config(&spec), *list = get(config, "linux", "namespaces");
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
            ck_assert_ptr_nonnull(find(list, "type", kinds[i]));
        ck_assert_int_eq(find(list, "type", "cgroup") != NULL, unified);
        ck_assert_str_eq(text(find(list, "type", "network"), "path"), "/proc/1/fd/6");
        ck_assert_str_eq(text(find(list, "type", "user"), "path"), "/proc/1/fd/5");
        json_t *map = json_array_get(get(config, "linux", "uidMappings"), 0);
        ck_assert_int_eq(json_integer_value(json_object_get(map, "hostID")), 1000000);
        ck_assert_int_eq(json_integer_value(json_object_get(map, "size")), 65536);
        json_decref(config);
    }
    spec.user_ns = spec.net_ns = NULL; /* the trial: new ones */
    json_t *config = bundle_config(&spec), *list = get(config, "linux", "namespaces");
    ck_assert_ptr_null(json_object_get(find(list, "type", "user"), "path"));
    json_decref(config);
}
END_TEST

START_TEST(mounts_expose_nothing_writable_of_the_host) {
    const struct user user = user_of(0);
    const struct bundle_spec spec = spec_of(&user);
    json_t *config = bundle_config(&spec), *list = json_object_get(config, "mounts");
    static const char *const read_only[] = {"/sys", "/sys/fs/cgroup", "/dev/.berth-init"};
    for (size_t i = 0; i < ARRAY_SIZE(read_only); i++) {
        json_t *row = find(list, "destination", read_only[i]);
        ck_assert_ptr_nonnull(row);
        ck_assert(lists(json_object_get(row, "options"), "ro"));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *row = json_array_get(list, i);
        ck_assert(lists(json_object_get(row, "options"), "nosuid"));
        ck_assert_int_eq(str_eq(text(row, "type"), "bind"),
                         str_eq(text(row, "destination"), "/dev/.berth-init"));
    }
    ck_assert(lists(get(config, "linux", "maskedPaths"), "/proc/kcore"));
    ck_assert(lists(get(config, "linux", "readonlyPaths"), "/proc/sys"));
    ck_assert_str_eq(text(json_object_get(config, "linux"), "rootfsPropagation"), "private");
    json_decref(config);
}
END_TEST

START_TEST(limits_are_set_and_swap_where_it_can_be) {
    const struct user user = user_of(0);
    struct bundle_spec spec = spec_of(&user);
    for (int swap = 0; swap < 2; swap++) {
        spec.limit_swap = swap;
        json_t *config = bundle_config(&spec), *r = get(config, "linux", "resources");
        ck_assert_int_eq(json_integer_value(get(r, "memory", "limit")), 5ll << 30);
        ck_assert_int_eq(json_integer_value(get(r, "memory", "swap")), swap ? 5ll << 30 : 0);
        ck_assert_int_eq(json_integer_value(get(r, "cpu", "shares")), 102);
        ck_assert_int_eq(json_integer_value(get(r, "pids", "limit")), 512);
        json_t *devices = json_array_get(json_object_get(r, "devices"), 0);
        ck_assert(json_is_false(json_object_get(devices, "allow")));
        json_decref(config);
    }
}
END_TEST

START_TEST(dangerous_calls_are_not_allowed) {
    static const char *const refused[] = {"mount",
                                          "umount",
                                          "umount2",
                                          "unshare",
                                          "setns",
                                          "pivot_root",
                                          "move_mount",
                                          "open_tree",
                                          "fsopen",
                                          "fsmount",
                                          "fsconfig",
                                          "mount_setattr",
                                          "keyctl",
                                          "add_key",
                                          "request_key",
                                          "bpf",
                                          "perf_event_open",
                                          "io_uring_setup",
                                          "io_uring_enter",
                                          "io_uring_register",
                                          "kexec_load",
                                          "kexec_file_load",
                                          "init_module",
                                          "finit_module",
                                          "delete_module",
                                          "reboot",
                                          "swapon",
                                          "swapoff",
                                          "syslog",
                                          "userfaultfd",
                                          "open_by_handle_at",
                                          "settimeofday",
                                          "clock_settime",
                                          "acct",
                                          "quotactl",
                                          "iopl",
                                          "ioperm",
                                          "vhangup",
                                          "lookup_dcookie",
                                          "clone3"};
    const struct user user = user_of(0);
    const struct bundle_spec spec = spec_of(&user);
    json_t *config = bundle_config(&spec), *seccomp = get(config, "linux", "seccomp");
    json_t *calls = json_object_get(seccomp, "syscalls");
    ck_assert_str_eq(text(seccomp, "defaultAction"), "SCMP_ACT_ERRNO");
    bool clone_masked = false, clone3_absent = false;
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *rule = json_array_get(calls, i), *names = json_object_get(rule, "names");
        json_t *arg = json_array_get(json_object_get(rule, "args"), 0);
        bool allows = str_eq(text(rule, "action"), "SCMP_ACT_ALLOW");
        for (size_t j = 0; allows && j < ARRAY_SIZE(refused); j++)
            ck_assert_msg(!lists(names, refused[j]), "%s is allowed", refused[j]);
        if (allows && (lists(names, "clone") || lists(names, "socket")))
            ck_assert_ptr_nonnull(arg);
        clone_masked |= lists(names, "clone") && str_eq(text(arg, "op"), "SCMP_CMP_MASKED_EQ") &&
                        json_integer_value(json_object_get(arg, "value")) == 0x7e020000 &&
                        json_integer_value(json_object_get(arg, "valueTwo")) == 0;
        clone3_absent |= lists(names, "clone3") &&
                         json_integer_value(json_object_get(rule, "errnoRet")) == ENOSYS;
    }
    ck_assert(clone_masked && clone3_absent);
    json_decref(config);
}
END_TEST

START_TEST(text_that_is_no_utf8_is_refused) {
    const char *bad[] = {"app", "\xff", NULL};
    const struct user user = user_of(0);
    struct bundle_spec spec = spec_of(&user);
    struct error err = {0};
    spec.argv = bad;
    ck_assert_ptr_null(bundle_config(&spec));
    ck_assert_int_eq(bundle_write("/nonexistent", &spec, &err), -EINVAL);
}
END_TEST

START_TEST(stop_signals_are_read_as_images_write_them) {
    static const struct {
        const char *text;
        int signal;
    } rows[] = {
        {NULL, SIGTERM},
        {"", SIGTERM},
        {"SIGTERM", SIGTERM},
        {"term", SIGTERM},
        {"sigquit", SIGQUIT},
        {"SIGINT", SIGINT},
        {"15", 15},
        {"64", 64},
        {"SIGRTMIN+3", 37},
        {"RTMIN", 34},
        {"SIGRTMAX-1", 63},
        {"0", -EINVAL},
        {"65", -EINVAL},
        {"SIG", -EINVAL},
        {"SIGNOTHING", -EINVAL},
        {"SIGRTMIN+99", -EINVAL},
        {"SIGTERM ", -EINVAL},
        {"-9", -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(stop_signal_parse(rows[i].text, NULL) == rows[i].signal, "%s", rows[i].text);
}
END_TEST

RUN_TESTS("container/bundle", the_process_is_what_was_asked_for, privileges_are_few_and_cannot_grow,
          every_name_space_is_the_containers_own, mounts_expose_nothing_writable_of_the_host,
          limits_are_set_and_swap_where_it_can_be, dangerous_calls_are_not_allowed,
          text_that_is_no_utf8_is_refused, stop_signals_are_read_as_images_write_them)
