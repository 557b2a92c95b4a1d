/* container_runs.c - see container_runs.h. */
#include "tests/component/container_runs.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"

struct runs t;

/* --- saying what is wrong --- */

bool fail(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t.why, sizeof t.why, fmt, ap);
    va_end(ap);
    return false;
}

/* --- the loop, stepped until a condition holds --- */

bool until(bool (*holds)(void *arg), void *arg) {
    uint64_t end = clock_mono_ms() + WAIT_MS;
    while (!holds(arg)) {
        if (clock_mono_ms() > end)
            return fail("it did not happen within %d s", WAIT_MS / 1000);
        struct timeval pause = {.tv_usec = 2000};
        event_base_loopexit(t.loop, &pause);
        event_base_dispatch(t.loop);
    }
    return true;
}

bool is_created(void *arg) {
    return ((struct run *)arg)->created;
}

bool is_ended(void *arg) {
    return ((struct run *)arg)->ended > 0;
}

static bool is_removed(void *arg) {
    return ((struct run *)arg)->removed;
}

/* --- the engine --- */

static void on_exit_of(void *data, struct container *c, const struct container_exit *end) {
    struct run *run = container_owner(c);
    (void)data;
    if (!run)
        return;
    run->ended++;
    run->end = *end;
}

static struct container_engine_config config_of(void) {
    return (struct container_engine_config){
        .dir = t.dir,
        .run_dir = t.run_dir,
        .name = NAME,
        .subnet = SUBNET,
        .runtime = getenv("RUNTIME") ? getenv("RUNTIME") : "auto",
        .id_base = ID_BASE,
        .id_range = ID_RANGE,
        .port_first = PORT_FIRST,
        .port_count = PORT_COUNT,
        .host_address = HOST_IP,
        .dns = "198.51.100.53",
        .allow_networks = getenv("ALLOW"),
        .max_containers = 100,
    };
}

bool start_engine(void) {
    struct container_engine_config config = config_of();
    struct container_ops ops = {.on_exit = on_exit_of};
    struct error err = {0};
    const char *note = NULL;
    CHECK(container_engine_new(&t.engine, t.loop, &config, &note, &err) == 0, "%s", err.msg);
    container_engine_set_ops(t.engine, &ops);
    static bool told;
    if (!told)
        printf("# %s\n", note);
    told = true;
    return true;
}

void stop_engine(void) {
    container_engine_free(t.engine);
    t.engine = NULL;
}

static void on_created(void *arg, struct container *c, const struct error *err) {
    struct run *run = arg;
    run->created = true;
    run->c = c;
    if (c)
        container_set_owner(c, run);
    else
        run->error = *err;
}

static void on_removed(void *arg, const struct error *err) {
    struct run *run = arg;
    run->removed = true;
    if (err)
        run->error = *err;
}

/* --- containers --- */

bool begin(struct run *run, const struct wish *wish) {
    char id[32];
    const char *shell[] = {"/bin/sh", "-c", wish->script, NULL};
    const char *layers[] = {t.base, t.top, NULL};
    const char *env[] = {"GREETING=hi there",
                         "CF_INSTANCE_PORT={{host_port}}",
                         "CF_INSTANCE_ADDR={{host_ip}}:{{host_port:8080}}",
                         "CF_INSTANCE_INTERNAL_IP={{ip}}",
                         "NOT_CF={{ip}}",
                         NULL};
    snprintf(id, sizeof id, "check-%u", t.next_id++);
    struct container_spec spec = {
        .id = wish->id ? wish->id : id,
        .layers = layers,
        .argv = wish->argv ? wish->argv : shell,
        .env = env,
        .user = wish->user,
        .workdir = wish->workdir,
        .stop_signal = wish->stop_signal,
        .hostname = "checked",
        .ports = &wish->port,
        .port_count = wish->port ? 1 : 0,
        .memory_bytes = wish->memory ? wish->memory : 64 * MIB,
        .disk_bytes = wish->disk ? wish->disk : 64 * MIB,
        .cpu_shares = 128,
        .pids = wish->pids ? wish->pids : 64,
        .nofile = 1024,
        .note = "a note",
        .note_n = 6,
    };
    *run = (struct run){0};
    return container_create(t.engine, &spec, on_created, run, &run->error) == 0 ||
           fail("%s", run->error.msg);
}

bool create(struct run *run, const struct wish *wish) {
    if (!begin(run, wish) || !until(is_created, run))
        return false;
    CHECK(run->c, "not created: %s", run->error.msg);
    return true;
}

void read_log(struct run *run) {
    _cleanup_(freep) char *text = NULL;
    size_t n = 0;
    run->log[0] = 0;
    if (fs_read(AT_FDCWD, container_log_path(run->c), 1 << 22, &text, NULL, NULL) < 0)
        return;
    for (char *line = text, *next; line && *line && n < sizeof run->log - 1; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        char *body = line;
        for (int i = 0; i < 3 && body; i++)
            body = strchr(body, ' ') ? strchr(body, ' ') + 1 : NULL;
        if (body)
            n += (size_t)snprintf(run->log + n, sizeof run->log - n, "%s\n", body);
    }
}

bool destroy(struct run *run) {
    struct error err = {0};
    CHECK(container_destroy(run->c, on_removed, run, &err) == 0, "%s", err.msg);
    if (!until(is_removed, run))
        return false;
    CHECK(!run->error.code, "not removed: %s", run->error.msg);
    run->c = NULL;
    return true;
}

bool run_once(struct run *run, const struct wish *wish) {
    if (!create(run, wish) || !until(is_ended, run))
        return false;
    read_log(run);
    return destroy(run);
}

bool log_has_line(void *arg) {
    struct run *run = arg;
    read_log(run);
    return run->log[0] || run->ended;
}

bool says(const struct run *run, const char *text) {
    return strstr(run->log, text) || fail("no \"%s\" in: %.800s", text, run->log);
}

unsigned long long number_after(const struct run *run, const char *key) {
    const char *p = strstr(run->log, key);
    return p ? strtoull(p + strlen(key), NULL, 10) : 0;
}

/* --- connections from here --- */

bool get(const char *ip, unsigned port) {
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char answer[32] = "";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval limit = {.tv_sec = 1};
    inet_pton(AF_INET, ip, &to.sin_addr);
    _cleanup_(close_fdp) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
           send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0 &&
           recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 0 && strstr(answer, " 200 ");
}

bool answers(void *arg) {
    const struct target *target = arg;
    return get(target->ip, target->port);
}
