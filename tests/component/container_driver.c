/* container_driver.c - the container engine by hand: reads commands, one a line, answers each with
 * one line. For tests, measuring and trying out.
 *
 *     container_driver DIR RUN_DIR NAME LAYER... < commands
 *
 *     run ARGV...         from the call to the end of the command, then removes the container:
 *                         "exited STATUS created=MS ended=MS removed=MS | step=MS ..."
 *     serve PORT ARGV...  from the call to the first HTTP 200 at the host port, then kills and
 * removes: "served created=MS answered=MS removed=MS | step=MS ..." keep ID PORT ARGV   leaves it
 * running: "kept ID HOST_PORT IP PID" note                which runtime and why uninstall removes
 * what the engine made on the host
 *
 * Anything that fails is answered by "failed: ..." */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cell/container/container.h"
#include "common/base/clock.h"
#include "common/base/str.h"

extern char **environ;

enum {
    WORDS_MAX = 64,
    KEPT_MAX = 250,
    ID_BASE = 600000000,
    PORT_FIRST = 22000,
    PORT_COUNT = 500,
    POLL_MS = 1,
    ANSWER_TIMEOUT_MS = 20000,
};

struct driver {
    struct event_base *loop;
    struct container_engine *engine;
    const char *note;
    const char **layers;
    struct container *c;
    struct container_exit end;
    bool created, ended, removed;
    struct error error;
    uint64_t began, created_ns, ended_ns;
    unsigned next_id;
    struct container *kept[KEPT_MAX];
    size_t kept_count;
};

static double ms_since(uint64_t began) {
    return (double)(clock_mono_ns() - began) / 1e6;
}

static void on_created(void *arg, struct container *c, const struct error *err) {
    struct driver *d = arg;
    d->created = true;
    d->c = c;
    d->created_ns = clock_mono_ns();
    if (!c)
        d->error = *err;
}

static void on_exit_of(void *data, struct container *c, const struct container_exit *end) {
    struct driver *d = data;
    (void)c;
    d->ended = true;
    d->ended_ns = clock_mono_ns();
    d->end = *end;
}

static void on_removed(void *arg, const struct error *err) {
    struct driver *d = arg;
    d->removed = true;
    if (err)
        d->error = *err;
}

static void wait_for(struct driver *d, const bool *flag) {
    while (!*flag)
        event_base_loop(d->loop, EVLOOP_ONCE);
}

static bool create(struct driver *d, const char *id, uint16_t port, const char *const *argv) {
    const char *env[] = {"CF_INSTANCE_PORT={{host_port}}", NULL};
    struct container_spec spec = {
        .id = id,
        .layers = d->layers,
        .argv = argv,
        .env = env,
        .ports = &port,
        .port_count = port ? 1 : 0,
        .memory_bytes = 256 << 20,
        .disk_bytes = (uint64_t)1 << 30,
        .cpu_shares = 256,
        .pids = 256,
        .nofile = 1024,
    };
    d->created = d->ended = d->removed = false;
    d->error = (struct error){0};
    d->c = NULL;
    d->began = clock_mono_ns();
    if (container_create(d->engine, &spec, on_created, d, &d->error) < 0)
        return false;
    wait_for(d, &d->created);
    return d->c != NULL;
}

static bool destroy(struct driver *d) {
    if (container_destroy(d->c, on_removed, d, &d->error) < 0)
        return false;
    wait_for(d, &d->removed);
    return d->error.code == 0;
}

static void run(struct driver *d, const char *const *argv) {
    char id[32];
    snprintf(id, sizeof id, "driver-%u", d->next_id++);
    if (create(d, id, 0, argv)) {
        wait_for(d, &d->ended);
        char *timings = str_dup(container_timings(d->c));
        double created = (double)(d->created_ns - d->began) / 1e6;
        double ended = (double)(d->ended_ns - d->began) / 1e6;
        uint64_t removing = clock_mono_ns();
        if (destroy(d))
            printf("exited %d created=%.2f ended=%.2f removed=%.2f | %s\n", d->end.status, created,
                   ended, ms_since(removing), timings);
        free(timings);
    }
}

/* One GET; whether the answer begins with a status of 200. */
static bool answers(uint16_t port) {
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char answer[64] = "";
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
              send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0 &&
              recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 0;
    close(fd);
    return ok && strstr(answer, " 200 ");
}

static void serve(struct driver *d, uint16_t port, const char *const *argv) {
    char id[32];
    snprintf(id, sizeof id, "driver-%u", d->next_id++);
    if (!create(d, id, port, argv))
        return;
    double created = ms_since(d->began), answered = 0;
    uint16_t host_port = container_host_port(d->c, port);
    while (!answers(host_port) && !d->ended && ms_since(d->began) < ANSWER_TIMEOUT_MS) {
        struct timeval pause = {.tv_usec = POLL_MS * 1000};
        event_base_loopexit(d->loop, &pause);
        event_base_dispatch(d->loop);
    }
    answered = ms_since(d->began);
    if (d->ended)
        printf("failed: it ended with %d\n", d->end.status);
    char *timings = str_dup(container_timings(d->c));
    uint64_t removing = clock_mono_ns();
    bool ended = d->ended;
    if (destroy(d) && !ended)
        printf("served created=%.2f answered=%.2f removed=%.2f | %s\n", created, answered,
               ms_since(removing), timings);
    free(timings);
}

static void clear(struct driver *d) {
    size_t n = d->kept_count;
    for (; d->kept_count; d->kept_count--) {
        d->removed = false;
        d->c = d->kept[d->kept_count - 1];
        if (!destroy(d))
            return;
    }
    printf("cleared %zu\n", n);
}

/* Starts a peer's command, its output unseen; 0 when that fails. */
static pid_t start_peer(struct driver *d, const char *const *argv) {
    posix_spawn_file_actions_t files;
    pid_t pid = 0;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    d->began = clock_mono_ns();
    int r = posix_spawnp(&pid, argv[0], &files, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (r != 0)
        error_set(&d->error, -r, "cannot run %s: %s", argv[0], strerror(r));
    return r == 0 ? pid : 0;
}

static void exec_peer(struct driver *d, const char *const *argv) {
    int status = 0;
    pid_t pid = start_peer(d, argv);
    if (pid && waitpid(pid, &status, 0) == pid)
        printf("exited %d ended=%.2f\n", WEXITSTATUS(status), ms_since(d->began));
}

static void await_peer(struct driver *d, uint16_t port, const char *const *argv) {
    pid_t pid = start_peer(d, argv);
    if (!pid)
        return;
    while (!answers(port) && ms_since(d->began) < ANSWER_TIMEOUT_MS)
        usleep(POLL_MS * 1000);
    double answered = ms_since(d->began);
    waitpid(pid, NULL, 0);
    if (answered < ANSWER_TIMEOUT_MS)
        printf("served answered=%.2f\n", answered);
    else
        error_set(&d->error, -ETIMEDOUT, "no answer at port %u", port);
}

static void obey(struct driver *d, char *line) {
    const char *words[WORDS_MAX + 1] = {0};
    size_t n = 0;
    char *save = NULL;
    for (char *w = strtok_r(line, " \n", &save); w && n < WORDS_MAX;
         w = strtok_r(NULL, " \n", &save))
        words[n++] = w;
    if (!n)
        return;
    uint64_t port = 0;
    d->error = (struct error){0};
    if (str_eq(words[0], "run") && n > 1) {
        run(d, words + 1);
    } else if (str_eq(words[0], "serve") && n > 2 && parse_u64(words[1], 1, 65535, &port) == 0) {
        serve(d, (uint16_t)port, words + 2);
    } else if (str_eq(words[0], "exec") && n > 1) {
        exec_peer(d, words + 1);
    } else if (str_eq(words[0], "await") && n > 2 && parse_u64(words[1], 1, 65535, &port) == 0) {
        await_peer(d, (uint16_t)port, words + 2);
    } else if (str_eq(words[0], "keep") && n > 3 && parse_u64(words[2], 1, 65535, &port) == 0) {
        if (create(d, words[1], (uint16_t)port, words + 3) && d->kept_count < KEPT_MAX) {
            d->kept[d->kept_count++] = d->c;
            printf("kept %s %u %s %d\n", words[1], container_host_port(d->c, (uint16_t)port),
                   container_ip(d->c), (int)container_pid(d->c));
        }
    } else if (str_eq(words[0], "clear")) {
        clear(d);
    } else if (str_eq(words[0], "note")) {
        printf("%s\n", d->note);
    } else if (str_eq(words[0], "uninstall")) {
        if (container_engine_uninstall(d->engine, &d->error) == 0)
            printf("uninstalled\n");
    } else {
        error_set(&d->error, -EINVAL, "no such command");
    }
    if (d->error.code)
        printf("failed: %s\n", d->error.msg);
}

static void found(void *arg, struct container *c, const void *note, size_t n) {
    struct driver *d = arg;
    (void)note;
    (void)n;
    if (d->kept_count < KEPT_MAX)
        d->kept[d->kept_count++] = c;
    printf("found %s %d\n", container_id(c), (int)container_pid(c));
}

int main(int argc, char **argv) {
    struct driver d = {.layers = (const char **)argv + 4};
    if (argc < 5) {
        fprintf(stderr, "usage: container_driver DIR RUN_DIR NAME LAYER...\n");
        return 2;
    }
    struct container_engine_config config = {
        .dir = argv[1],
        .run_dir = argv[2],
        .name = argv[3],
        .subnet = "10.219.0.0/20",
        .runtime = getenv("RUNTIME") ? getenv("RUNTIME") : "auto",
        .id_base = ID_BASE,
        .id_range = 65536,
        .port_first = PORT_FIRST,
        .port_count = PORT_COUNT,
        .host_address = "127.0.0.1",
        .max_containers = 250,
    };
    struct container_ops ops = {.on_exit = on_exit_of, .data = &d};
    setvbuf(stdout, NULL, _IOLBF, 0);
    d.loop = event_base_new();
    if (!d.loop || container_engine_new(&d.engine, d.loop, &config, &d.note, &d.error) < 0) {
        printf("failed: %s\n", d.error.msg);
        return 1;
    }
    container_engine_set_ops(d.engine, &ops);
    if (container_adopt(d.engine, found, &d, &d.error) < 0)
        printf("failed: %s\n", d.error.msg);
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0)
        obey(&d, line);
    free(line);
    container_engine_free(d.engine);
    event_base_free(d.loop);
    return 0;
}
