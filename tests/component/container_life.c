/* container_life.c - what a container may, may not, and is given. */
#include "tests/component/container_runs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#define GATEWAY    "10.218.0.1"
#define WORLD_IP   "198.51.100.2"
#define PRIVATE_IP "10.99.0.2"

static bool a_command_runs_and_its_status_and_output_come_back(void) {
    struct run run;
    if (!run_once(&run, &(struct wish){.script = "echo out; echo err >&2; exit 7"}))
        return false;
    CHECK(run.end.status == 7 && !run.end.out_of_memory && !run.end.unknown, "status %d",
          run.end.status);
    CHECK(run.ended == 1, "told %u times", run.ended);
    return says(&run, "out\n") && says(&run, "err\n");
}

static bool the_environment_is_complete(void) {
    struct run run;
    char text[64];
    if (!create(&run,
                &(struct wish){.script = "env; cat /etc/hosts /etc/resolv.conf; hostname; pwd",
                               .port = 8080,
                               .workdir = "/made/on demand"}))
        return false;
    unsigned port = container_host_port(run.c, 8080);
    CHECK(port >= PORT_FIRST && port < PORT_FIRST + PORT_COUNT, "host port %u", port);
    char ip[32];
    snprintf(ip, sizeof ip, "%s", container_ip(run.c));
    if (!until(is_ended, &run))
        return false;
    read_log(&run);
    snprintf(text, sizeof text, "CF_INSTANCE_PORT=%u\n", port);
    bool ok = says(&run, text);
    snprintf(text, sizeof text, "CF_INSTANCE_ADDR=" HOST_IP ":%u\n", port);
    ok = ok && says(&run, text);
    snprintf(text, sizeof text, "CF_INSTANCE_INTERNAL_IP=%s\n", ip);
    ok = ok && says(&run, text) && says(&run, "NOT_CF={{ip}}\n") &&
         says(&run, "GREETING=hi there\n") && says(&run, "PATH=/usr/local/sbin:") &&
         says(&run, "HOME=/root\n") && says(&run, "USER=root\n");
    snprintf(text, sizeof text, "%s checked\n", ip);
    ok = ok && says(&run, text) && says(&run, "nameserver 198.51.100.53\n") &&
         says(&run, "\nchecked\n") && says(&run, "\n/made/on demand\n");
    return destroy(&run) && ok;
}

static bool users_are_those_of_the_image(void) {
    struct run run;
    if (!run_once(&run,
                  &(struct wish){.script = "id; echo home=$HOME; touch /root-only", .user = "app"}))
        return false;
    if (!says(&run, "uid=1000(app) gid=1000(app) groups=1000(app),2000(logs)") ||
        !says(&run, "home=/home/app") || !says(&run, "Permission denied"))
        return false;
    return run_once(&run, &(struct wish){.script = "id", .user = "65534:logs"}) &&
           says(&run, "uid=65534 gid=2000(logs)");
}

static bool refused_with(const struct wish *wish, const char *text) {
    struct run run;
    if (!begin(&run, wish) || !until(is_created, &run))
        return false;
    if (run.c)
        return destroy(&run) && fail("it was created");
    CHECK(run.error.code == -EINVAL && strstr(run.error.msg, text), "%d: %s", run.error.code,
          run.error.msg);
    return true;
}

static bool what_the_user_can_mend_is_said_so(void) {
    const char *missing[] = {"no-such-program", NULL}, *plain[] = {"/data/old/file", NULL};
    return refused_with(&(struct wish){.script = "true", .user = "nobody-there"},
                        "unable to find user nobody-there") &&
           refused_with(&(struct wish){.argv = missing},
                        "Failed to resolve path: exec: \"no-such-program\"") &&
           refused_with(&(struct wish){.argv = plain}, "permission denied") &&
           refused_with(&(struct wish){.script = "true", .workdir = "/data/changed/x"},
                        "cannot make directory");
}

static bool layers_lie_one_above_the_other(void) {
    struct run run;
    if (!run_once(&run, &(struct wish){.script = "cat /data/changed /data/old/file; ls /data; "
                                                 "stat -c %u:%g:%a /data/old /; rm /data/old/file; "
                                                 "echo x > /data/changed; ls -d /data/old/*"}))
        return false;
    CHECK(!strstr(run.log, "removed\n"), "the whiteout does not hide: %s", run.log);
    char path[512];
    snprintf(path, sizeof path, "%s/data/old/file", t.base);
    CHECK(access(path, F_OK) == 0, "a layer was changed");
    return says(&run, "above\nbelow\n") && says(&run, "0:0:755\n");
}

static bool ids_are_the_containers_own(void) {
    struct run a, b;
    const struct wish wish = {.script = "cat /proc/self/uid_map; sleep 1000"};
    if (!create(&a, &wish) || !create(&b, &wish) || !until(log_has_line, &a) ||
        !until(log_has_line, &b))
        return false;
    unsigned long long map_a[3], map_b[3];
    int n = sscanf(a.log, "%llu %llu %llu", &map_a[0], &map_a[1], &map_a[2]);
    n += sscanf(b.log, "%llu %llu %llu", &map_b[0], &map_b[1], &map_b[2]);
    struct stat st;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d", (int)container_pid(a.c));
    int seen = stat(path, &st);
    bool ok = destroy(&a) && destroy(&b);
    CHECK(n == 6 && map_a[0] == 0 && map_a[2] == ID_RANGE && map_a[1] >= ID_BASE, "%s", a.log);
    CHECK(map_a[1] != map_b[1], "both have %llu", map_a[1]);
    CHECK(seen == 0 && st.st_uid == map_a[1], "its root is %u on the host", st.st_uid);
    return ok;
}

static bool the_disk_quota_is_exact(void) {
    struct run full, other;
    if (!create(&other,
                &(struct wish){.script = "sleep 3; dd if=/dev/zero of=/x bs=64k count=16 && "
                                         "echo wrote; exit 0"}) ||
        !run_once(&full,
                  &(struct wish){.script =
                                     "df -k / | tail -1 | { read a b c d e; echo avail=$d; }; "
                                     "dd if=/dev/zero of=/fill bs=64k; "
                                     "echo size=$(stat -c %s /fill); rm /fill; "
                                     "i=0; while echo $i >/tmp/$i; do i=$((i+1)); "
                                     "[ $i -lt 500 ] || break; done; echo files=$i",
                                 .memory = 256 * MIB}) ||
        !until(is_ended, &other))
        return false;
    read_log(&other);
    if (!destroy(&other) || !says(&other, "wrote") || !says(&full, "No space left on device"))
        return false;
    unsigned long long size = number_after(&full, "size="), avail = number_after(&full, "avail=");
    CHECK(avail <= 64 * 1024 && avail >= 64 * 1024 - 64, "%llu kB are free of 65536", avail);
    CHECK(size <= 64 * MIB && size >= 64 * MIB - 256 * 1024, "%llu bytes fit into %d", size,
          64 * MIB);
    CHECK(number_after(&full, "files=") == 500, "%s", full.log);
    return true;
}

static bool quotas_of_every_size_are_exact(void) {
    static const uint64_t sizes[] = {MIB,       MIB + 4096,    3 * MIB + 1, 100 * MIB,
                                     700 * MIB, 5000ull * MIB, 1ull << 40};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct run run;
        if (!run_once(&run, &(struct wish){.script = "stat -f -c 'block=%S free=%a all=%b' /",
                                           .disk = sizes[i]}))
            return false;
        unsigned long long block = number_after(&run, "block="),
                           avail = number_after(&run, "free=");
        uint64_t whole = (sizes[i] + 4095) / 4096 * 4096,
                 files = 12 * 4096; /* of /etc, and mountpoints */
        CHECK(block * avail <= whole && block * avail + files >= whole, "%llu of %llu: %s",
              block * avail, (unsigned long long)whole, run.log);
    }
    return true;
}

static bool memory_is_limited_and_its_lack_is_told(void) {
    struct run run;
    if (!run_once(&run, &(struct wish){.script = "exec tail /dev/zero", .memory = 32 * MIB}))
        return false;
    CHECK(run.end.status == 137 && run.end.out_of_memory, "status %d, out of memory %d",
          run.end.status, run.end.out_of_memory);
    return true;
}

static bool processes_are_limited(void) {
    struct run run;
    if (!run_once(&run,
                  &(struct wish){.script = "i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i+1)); "
                                           "done; echo all",
                                 .pids = 16}))
        return false;
    CHECK(!strstr(run.log, "all\n"), "60 processes of 16 were made");
    return says(&run, "can't fork");
}

static bool ports_are_published_to_host_and_world(void) {
    struct run run;
    const char *argv[] = {"httpd", "-f", "-p", "8080", "-h", "/www", NULL};
    if (!create(&run, &(struct wish){.argv = argv, .port = 8080}))
        return false;
    unsigned port = container_host_port(run.c, 8080);
    bool ok = until(answers, &(struct target){"127.0.0.1", port}) &&
              (get(HOST_IP, port) || fail("not at the host's address")) &&
              (get(container_ip(run.c), 8080) || fail("not at the container's address"));
    char command[256];
    snprintf(command, sizeof command,
             "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nsenter --net=%s busybox nc -w 5 " HOST_IP
             " %u | grep -q ' 200 '",
             t.world, port);
    ok = ok && (system(command) == 0 || fail("not from the world"));
    if (!destroy(&run))
        return false;
    return ok && (!get("127.0.0.1", port) || fail("still there after removal"));
}

/* For a container's script: says so when `ip` answers at `port`. Refused it is quick; a packet lost
 * would take the 5 s. */
#define TRY(ip, port)                                                                              \
    "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 " ip " " port " 2>&1 | grep -q ' 200 ' && "     \
    "echo reached=" ip "; "

static void chdir_to_www(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/www", t.base);
    if (chdir(path) < 0)
        _exit(1);
}

static bool containers_reach_the_internet_and_nothing_else(void) {
    struct run server, run;
    char script[2048];
    const char *argv[] = {"httpd", "-f", "-p", "80", "-h", "/www", NULL};
    if (!create(&server, &(struct wish){.argv = argv, .port = 80}) ||
        !until(answers, &(struct target){container_ip(server.c), 80}))
        return false;
    snprintf(script, sizeof script,
             "i=%s; p=%u; " TRY(WORLD_IP, "80") TRY(PRIVATE_IP, "80") TRY(GATEWAY, "22499")
                 TRY(HOST_IP, "22499") TRY("$i", "80") TRY("$i", "$p") TRY(HOST_IP, "$p")
                     TRY("127.0.0.1", "$p") "echo end",
             container_ip(server.c), container_host_port(server.c, 80));
    pid_t listener = fork();
    if (listener == 0) { /* on all of the host's addresses */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        chdir_to_www();
        execlp("busybox", "busybox", "httpd", "-f", "-p", "22499", NULL);
        _exit(1);
    }
    bool ok = until(answers, &(struct target){"127.0.0.1", 22499});
    uint64_t began = clock_mono_ms();
    ok = ok && run_once(&run, &(struct wish){.script = script});
    uint64_t took = clock_mono_ms() - began;
    kill(listener, SIGKILL);
    waitpid(listener, NULL, 0);
    if (!destroy(&server) || !ok)
        return false;
    CHECK(took < 5000, "refusals took %llu ms", (unsigned long long)took);
    CHECK(strcmp(run.log, "reached=" WORLD_IP "\nend\n") == 0, "%s", run.log);
    return true;
}

static bool allowed_networks_are_reached(void) {
    struct run run;
    stop_engine();
    setenv("ALLOW", "10.99.0.0/24", 1);
    bool ok = start_engine();
    unsetenv("ALLOW");
    ok = ok && run_once(&run, &(struct wish){.script = TRY(PRIVATE_IP, "80") "echo end"}) &&
         says(&run, "reached=" PRIVATE_IP);
    stop_engine();
    return start_engine() && ok;
}

static bool a_forged_address_goes_nowhere(void) {
    struct run run;
    /* Root in a container has no right over its interface; raw sockets it has, which busybox's
     * arping uses: with another's source address no answer comes back. */
    if (!run_once(&run,
                  &(struct wish){.script = "arping -c 1 -w 2 -I eth0 " GATEWAY " && echo own; "
                                           "arping -c 1 -w 2 -I eth0 -s 10.218.7.7 " GATEWAY
                                           " || echo forged refused; "
                                           "ip addr add 10.218.9.9/32 dev eth0 || echo no right"}))
        return false;
    return says(&run, "own\n") && says(&run, "forged refused\n") && says(&run, "no right\n");
}

static bool privileges_are_none(void) {
    struct run run;
    if (!run_once(&run,
                  &(struct wish){
                      .script =
                          "mount -t tmpfs x /tmp || echo no mount; "
                          "unshare -r true || echo no unshare; "
                          "unshare -m true || echo no mount namespace; "
                          "[ -e /dev/fuse ] || echo no fuse; "
                          "mknod /tmp/fuse c 10 229 || echo no mknod; "
                          "head -c1 /proc/kcore | wc -c; "
                          "echo 1 >/proc/sys/kernel/panic || echo no sysctl; "
                          "echo x >/sys/fs/cgroup/memory/memory.limit_in_bytes || echo no cgroup; "
                          "chroot / true && echo chroot; "
                          "ls /dev | tr '\\n' ' '; echo; "
                          "grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status"}))
        return false;
    return says(&run, "no mount\n") && says(&run, "no unshare\n") &&
           says(&run, "no mount namespace\n") && says(&run, "no fuse\n") &&
           says(&run, "no mknod\n") && says(&run, "\n0\n") && says(&run, "no sysctl\n") &&
           says(&run, "no cgroup\n") && says(&run, "chroot\n") && says(&run, "NoNewPrivs:\t1") &&
           says(&run, "Seccomp:\t2") && says(&run, "CapEff:\t00000000a80425fb");
}

static bool signals_reach_the_program(void) {
    struct run run;
    /* no handler: the default action, which pid 1 itself would not have */
    if (!create(&run, &(struct wish){.script = "echo up; exec sleep 1000"}) ||
        !until(log_has_line, &run))
        return false;
    container_signal_stop(run.c);
    if (!until(is_ended, &run) || !destroy(&run))
        return false;
    CHECK(run.end.status == 143, "SIGTERM: status %d", run.end.status);

    if (!create(&run, &(struct wish){.script = "trap 'echo quit; exit 3' QUIT; echo up; "
                                               "while :; do sleep 0.05; done",
                                     .stop_signal = "SIGQUIT"}) ||
        !until(log_has_line, &run))
        return false;
    container_signal_stop(run.c);
    if (!until(is_ended, &run))
        return false;
    read_log(&run);
    if (!destroy(&run))
        return false;
    CHECK(run.end.status == 3, "SIGQUIT: status %d", run.end.status);

    if (!create(&run,
                &(struct wish){.script = "trap '' TERM; echo up; while :; do sleep 0.05; done"}) ||
        !until(log_has_line, &run))
        return false;
    container_signal_stop(run.c);
    container_kill(run.c);
    if (!until(is_ended, &run) || !destroy(&run))
        return false;
    CHECK(run.end.status == 137, "SIGKILL: status %d", run.end.status);
    return says(&run, "up\n");
}

static bool orphans_are_reaped(void) {
    struct run run;
    return run_once(&run,
                    &(struct wish){
                        .script = "(sleep 0.1 & sleep 0.1 &); sleep 0.5; "
                                  "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; echo end"}) &&
           (strstr(run.log, "0\nend\n") || fail("%s", run.log));
}

static bool usage_is_measured(void) {
    struct run run;
    struct container_stats s = {0};
    struct error err = {0};
    if (!create(&run,
                &(struct wish){.script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; "
                                         "dd if=/dev/zero of=/x bs=1M count=8 2>/dev/null; sync; "
                                         "echo up; sleep 1000"}) ||
        !until(log_has_line, &run))
        return false;
    int r = container_stats(run.c, &s, &err);
    bool ok = destroy(&run);
    CHECK(r == 0, "%s", err.msg);
    CHECK(s.cpu_ns > 1000000 && s.cpu_ns < 60000000000ull, "cpu %llu",
          (unsigned long long)s.cpu_ns);
    CHECK(s.memory_bytes > 4096 && s.memory_bytes < 64 * MIB, "memory %llu",
          (unsigned long long)s.memory_bytes);
    CHECK(s.disk_bytes >= 8 * MIB && s.disk_bytes < 9 * MIB, "disk %llu",
          (unsigned long long)s.disk_bytes);
    CHECK(s.pids == 2 || s.pids == 3, "pids %u", s.pids); /* init, sh or its sleep or both */
    return ok;
}

static bool connects_inside(void *arg) {
    struct run *run = arg;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(3000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_(close_fdp) int fd = container_socket(run->c);
    return fd >= 0 &&
           (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS) &&
           send(fd, "x", 1, MSG_NOSIGNAL) == 1;
}

static bool a_socket_inside_sees_its_loopback(void) {
    struct run run;
    const char *argv[] = {"httpd", "-f", "-p", "127.0.0.1:3000", "-h", "/www", NULL};
    if (!create(&run, &(struct wish){.argv = argv, .port = 3000}) || !until(connects_inside, &run))
        return false;
    bool outside = get(container_ip(run.c), 3000);
    return destroy(&run) && (!outside || fail("loopback is seen from outside"));
}

static bool pid_gone(void *arg) {
    return kill(*(pid_t *)arg, 0) < 0;
}

/* The process id in a one-line file of the container's directory. */
static pid_t pid_in(const struct container *c, const char *name) {
    char path[512];
    _cleanup_(freep) char *text = NULL;
    snprintf(path, sizeof path, "%s/%s", container_dir(c), name);
    return fs_read(AT_FDCWD, path, 32, &text, NULL, NULL) == 0 ? atoi(text) : 0;
}

static bool a_killed_monitor_ends_its_container(void) {
    struct run run;
    if (!create(&run, &(struct wish){.script = "sleep 1000"}))
        return false;
    pid_t main_pid = container_pid(run.c);
    kill(pid_in(run.c, "conmon.pid"), SIGKILL);
    if (!until(is_ended, &run) || !until(pid_gone, &main_pid))
        return false;
    CHECK(run.end.unknown, "status %d is known", run.end.status);
    return destroy(&run);
}

const struct check checks_of_life[] = {
    CHECK_ROW(a_command_runs_and_its_status_and_output_come_back),
    CHECK_ROW(the_environment_is_complete),
    CHECK_ROW(users_are_those_of_the_image),
    CHECK_ROW(what_the_user_can_mend_is_said_so),
    CHECK_ROW(layers_lie_one_above_the_other),
    CHECK_ROW(ids_are_the_containers_own),
    CHECK_ROW(the_disk_quota_is_exact),
    CHECK_ROW(quotas_of_every_size_are_exact),
    CHECK_ROW(memory_is_limited_and_its_lack_is_told),
    CHECK_ROW(processes_are_limited),
    CHECK_ROW(ports_are_published_to_host_and_world),
    CHECK_ROW(containers_reach_the_internet_and_nothing_else),
    CHECK_ROW(allowed_networks_are_reached),
    CHECK_ROW(a_forged_address_goes_nowhere),
    CHECK_ROW(privileges_are_none),
    CHECK_ROW(signals_reach_the_program),
    CHECK_ROW(orphans_are_reaped),
    CHECK_ROW(usage_is_measured),
    CHECK_ROW(a_socket_inside_sees_its_loopback),
    CHECK_ROW(a_killed_monitor_ends_its_container),
    {NULL, NULL},
};
