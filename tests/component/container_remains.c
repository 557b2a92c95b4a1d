/* container_remains.c - what is left of a container, also after failures and killed agents. */
#include "tests/component/container_runs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/str.h"

enum { CYCLES = 50 };

/* --- what is left --- */

static unsigned lines_of(const char *command) {
    char line[1024];
    unsigned n = 0;
    FILE *out = popen(command, "r");
    while (out && fgets(line, sizeof line, out))
        n++;
    if (out)
        pclose(out);
    return n;
}

static bool is_clean(void *arg) {
    char command[2048];
    (void)arg;
    snprintf(command, sizeof command,
             "ls %s/containers %s/runtime %s/s;"
             "ls -d /sys/fs/cgroup/" NAME "/*/ /sys/fs/cgroup/*/" NAME "/*/ 2>/dev/null;"
             "losetup -n -l -O BACK-FILE | grep -F %s/;"
             "grep -F %s/ /proc/self/mounts;"
             "ip -br link | grep '^" NAME "v';"
             "nft list map inet " NAME " ports | grep elements;"
             "nft list set bridge " NAME " ports | grep elements",
             t.dir, t.run_dir, t.run_dir, t.dir, t.dir);
    /* ls of three directories prints their names and blank lines: 3 + 2 */
    unsigned n = lines_of(command);
    return n <= 5;
}

/* --- failures --- */

static bool a_failed_creation_is_undone(void) {
    struct run run;
    /* the runtime cannot start in so little memory; the second layer is no directory */
    if (!begin(&run, &(struct wish){.script = "true", .memory = 4096, .port = 8080}) ||
        !until(is_created, &run))
        return false;
    CHECK(!run.c && run.error.code < 0 && run.error.code != -EINVAL, "%d: %s", run.error.code,
          run.error.msg);
    const char *top = t.top;
    t.top = "/nonexistent";
    bool ok =
        begin(&run, &(struct wish){.script = "true", .port = 8080}) && until(is_created, &run);
    t.top = top;
    CHECK(ok && !run.c && strstr(run.error.msg, "/nonexistent"), "%s", run.error.msg);
    return until(is_clean, NULL);
}

static bool many_start_at_once(void) {
    struct run runs[12];
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        if (!begin(&runs[i], &(struct wish){.script = "exit 5", .port = 8080}))
            return false;
    bool ok = true;
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        if (!until(is_created, &runs[i]))
            return false;
        if (!runs[i].c)
            ok = fail("not created: %s", runs[i].error.msg);
    }
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        if (runs[i].c &&
            (!until(is_ended, &runs[i]) || !destroy(&runs[i]) || runs[i].end.status != 5))
            return false;
    return ok;
}

/* --- an agent that is killed --- */

/* Makes containers in a child process with an engine of its own, and kills that. `after_ms`: 0 lets
 * all come up first; else it is killed that long after beginning. */
static bool agent_killed(const struct wish *wishes, size_t n, int after_ms) {
    int fds[2];
    stop_engine();
    if (pipe(fds) < 0)
        return fail("no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        static struct run runs[16];
        event_reinit(t.loop);
        if (!start_engine())
            _exit(1);
        for (size_t i = 0; i < n; i++)
            begin(&runs[i], &wishes[i]);
        if (after_ms)
            (void)!write(fds[1], "b", 1);
        for (size_t i = 0; i < n; i++)
            until(is_created, &runs[i]);
        for (size_t i = 0; i < n; i++)
            if (runs[i].c && wishes[i].script)
                until(log_has_line, &runs[i]);
        (void)!write(fds[1], "u", 1);
        for (;;)
            event_base_loop(t.loop, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    }
    close(fds[1]);
    char byte = 0;
    ssize_t got = read(fds[0], &byte, 1);
    if (after_ms)
        usleep((unsigned)after_ms * 1000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fds[0]);
    return got == 1 || fail("the other agent did not start");
}

struct adoption {
    struct run runs[16];
    size_t n;
};

static void on_found(void *arg, struct container *c, const void *note, size_t n) {
    struct adoption *a = arg;
    struct run *run = &a->runs[a->n++];
    *run = (struct run){.c = c, .created = true};
    if (n != 6 || memcmp(note, "a note", 6) != 0)
        run->error.code = -1;
    container_set_owner(c, run);
}

static bool adopt(struct adoption *a) {
    struct error err = {0};
    *a = (struct adoption){0};
    if (!start_engine())
        return false;
    CHECK(container_adopt(t.engine, on_found, a, &err) == 0, "adoption: %s", err.msg);
    for (size_t i = 0; i < a->n; i++)
        CHECK(!a->runs[i].error.code, "the note is another");
    return true;
}

static struct run *find(struct adoption *a, const char *id) {
    for (size_t i = 0; i < a->n; i++)
        if (str_eq(container_id(a->runs[i].c), id))
            return &a->runs[i];
    return NULL;
}

/* Connects from the world, from this port of its own; a negative errno when that fails. */
static int connect_from_world(uint16_t from, unsigned to) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(from)};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to)};
    struct timeval limit = {.tv_sec = 5};
    int on = 1, own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int world = open(t.world, O_RDONLY | O_CLOEXEC);
    inet_pton(AF_INET, HOST_IP, &there.sin_addr);
    setns(world, CLONE_NEWNET);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setns(own, CLONE_NEWNET);
    close(own), close(world);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) == 0 &&
        connect(fd, (struct sockaddr *)&there, sizeof there) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

static void close_unheard(int fd) {
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

static bool world_nft(const char *commands) {
    char command[512];
    snprintf(command, sizeof command, "nsenter --net=%s nft '%s'", t.world, commands);
    CHECK(system(command) == 0, "nft in the world");
    return true;
}

/* What the kernel remembers of connections to a container outlives it. */
static bool an_old_connection_leads_to_no_other_container(void) {
    static struct adoption a;
    const char *argv[] = {"httpd", "-f", "-p", "8080", "-h", "/www", NULL};
    const struct wish wish = {.argv = argv, .port = 8080};
    struct run first, next;
    char ip[32];
    stop_engine(); /* a new one begins with the first address */
    if (!adopt(&a) || !create(&first, &wish))
        return false;
    unsigned port = container_host_port(first.c, 8080);
    snprintf(ip, sizeof ip, "%s", container_ip(first.c));
    if (!until(answers, &(struct target){"127.0.0.1", port}))
        return false;
    int fds[] = {connect_from_world(40001, port), connect_from_world(40002, port)};
    CHECK(fds[0] >= 0 && fds[1] >= 0, "not from the world");
    if (!world_nft("table inet cut { chain in { type filter hook input priority 0; policy drop; }; "
                   "chain out { type filter hook output priority 0; policy drop; }; }"))
        return false;
    close_unheard(fds[0]), close_unheard(fds[1]);
    if (!destroy(&first))
        return false;
    stop_engine();
    if (!adopt(&a) || !world_nft("delete table inet cut") || !create(&next, &wish))
        return false;
    unsigned other = container_host_port(next.c, 8080);
    CHECK(strcmp(container_ip(next.c), ip) == 0 && other != port, "no test: %s, port %u",
          container_ip(next.c), other);
    if (!until(answers, &(struct target){HOST_IP, other}))
        return false;
    int fd = connect_from_world(40001, port);
    CHECK(fd == -ECONNREFUSED, "%s", fd < 0 ? strerror(-fd) : "it reached the other container");
    CHECK(system("nft flush chain inet " NAME " to_published") == 0, "no such chain");
    fd = connect_from_world(40002, port);
    CHECK(fd >= 0, "no test: there was nothing to refuse");
    close(fd);
    return destroy(&next);
}

static bool pid_file_gone(void *arg) {
    (void)arg;
    char path[512];
    snprintf(path, sizeof path, "%s/containers/ended/exit/ended", t.dir);
    return access(path, F_OK) == 0;
}

static bool a_restarted_agent_adopts_what_runs(void) {
    static struct adoption a;
    const struct wish wishes[] = {
        {.id = "stays",
         .script = "echo up; httpd -p 8080 -h /www; while :; do sleep 0.1; done",
         .port = 8080},
        {.id = "ended", .script = "echo up; sleep 0.5; exit 9"},
    };
    if (!agent_killed(wishes, 2, 0) || !until(pid_file_gone, NULL) || !adopt(&a))
        return false;
    struct run *stays = find(&a, "stays"), *ended = find(&a, "ended");
    CHECK(a.n == 2 && stays && ended, "%zu found", a.n);
    if (!until(is_ended, ended))
        return false;
    CHECK(ended->end.status == 9 && !ended->end.unknown, "status %d", ended->end.status);
    unsigned port = container_host_port(stays->c, 8080);
    struct container_stats stats;
    if (!until(answers, &(struct target){"127.0.0.1", port}))
        return false;
    CHECK(!stays->ended && container_stats(stays->c, &stats, NULL) == 0, "it does not run");
    /* what it holds is not given out again */
    struct run other;
    if (!create(&other, &(struct wish){.script = "true", .port = 8080}))
        return false;
    CHECK(strcmp(container_ip(other.c), container_ip(stays->c)) != 0 &&
              container_host_port(other.c, 8080) != port,
          "address or port given twice");
    container_signal_stop(stays->c);
    if (!until(is_ended, stays))
        return false;
    CHECK(stays->end.status == 143, "status %d", stays->end.status);
    return destroy(&other) && destroy(stays) && destroy(ended);
}

static bool what_a_killed_agent_half_made_is_removed(void) {
    static struct adoption a;
    const struct wish wishes[] = {
        {.id = "half-1", .argv = (const char *[]){"sleep", "1000", NULL}},
        {.id = "half-2", .argv = (const char *[]){"sleep", "1000", NULL}}};
    static const int moments[] = {1, 4, 8, 15, 25, 35, 50, 70, 90, 120};
    for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
        if (!agent_killed(wishes, 2, moments[i]) || !adopt(&a))
            return false;
        for (size_t j = 0; j < a.n; j++)
            if (!destroy(&a.runs[j]))
                return false;
    }
    return true;
}

static bool an_engine_may_be_freed_in_the_midst(void) {
    static struct adoption a;
    struct run runs[6];
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        for (size_t j = 0; j <= i; j++)
            if (!begin(&runs[j], &(struct wish){.script = "sleep 1000", .port = 8080}))
                return false;
        struct timeval moment = {.tv_usec = (suseconds_t)i * 9000};
        event_base_loopexit(t.loop, &moment);
        event_base_dispatch(t.loop);
        stop_engine();
        for (size_t j = 0; j <= i; j++)
            CHECK(runs[j].created, "its caller was not told");
        if (!adopt(&a))
            return false;
        for (size_t j = 0; j < a.n; j++)
            if (!destroy(&a.runs[j]))
                return false;
    }
    return until(is_clean, NULL);
}

static bool fifty_come_and_go_and_leave_nothing(void) {
    struct run run;
    uint64_t began = clock_mono_ms();
    for (int i = 0; i < CYCLES; i++) {
        if (!run_once(&run, &(struct wish){.script = "echo x >/x; exit 0", .port = 8080}))
            return false;
        CHECK(run.end.status == 0, "status %d: %s", run.end.status, run.log);
    }
    printf("# %d cycles, %.1f ms each\n", CYCLES, (double)(clock_mono_ms() - began) / CYCLES);
    return until(is_clean, NULL);
}

static bool nothing_is_left_of_any_check(void) {
    return until(is_clean, NULL);
}

static bool uninstalled_it_leaves_nothing_at_all(void) {
    struct error err = {0};
    CHECK(container_engine_uninstall(t.engine, &err) == 0, "%s", err.msg);
    stop_engine();
    CHECK(lines_of("ip -br link | grep '^" NAME "'; nft list tables | grep -w " NAME ";"
                   "ls -d /sys/fs/cgroup/" NAME " /sys/fs/cgroup/*/" NAME " 2>/dev/null") == 0,
          "bridge, table or cgroup is left");
    return start_engine();
}

const struct check checks_of_remains[] = {
    CHECK_ROW(a_failed_creation_is_undone),
    CHECK_ROW(many_start_at_once),
    CHECK_ROW(a_restarted_agent_adopts_what_runs),
    CHECK_ROW(an_old_connection_leads_to_no_other_container),
    CHECK_ROW(what_a_killed_agent_half_made_is_removed),
    CHECK_ROW(an_engine_may_be_freed_in_the_midst),
    CHECK_ROW(fifty_come_and_go_and_leave_nothing),
    CHECK_ROW(nothing_is_left_of_any_check),
    CHECK_ROW(uninstalled_it_leaves_nothing_at_all),
    {NULL, NULL},
};

void start_over(void) {
    static struct adoption a;
    stop_engine();
    if (!adopt(&a))
        return;
    for (size_t i = 0; i < a.n; i++)
        (void)destroy(&a.runs[i]);
}
