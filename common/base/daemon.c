#include "common/base/daemon.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "common/base/footprint.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

/* What a burst of work touched is given back once a daemon has been idle for a while. */
#define TIDY_EVERY_S     3
#define TIDY_IDLE_CPU_NS 60000000u /* two percent of a core: idle */
#define TIDY_WORTH_NS    20000000u /* less work than this touched little */
#define MALLOC_ARENAS    2 /* a few workers seldom meet; an arena each would keep its peak */

enum { ON_TERM, ON_INT, ON_HUP, ON_USR2, EVENT_COUNT };

struct daemon {
    struct event_base *loop; /* borrowed */
    struct daemon_ops ops;
    struct event *signals[EVENT_COUNT];
    struct event *watchdog; /* NULL when systemd asks for none */
    struct event *tidy;
    uint64_t cpu_ns;         /* used when `tidy` last looked */
    uint64_t trimmed_cpu_ns; /* used when memory was last given back */
    struct evhttp *admin;    /* NULL when none */
    bool stopping;
};

static void on_stop_signal(evutil_socket_t sig, short what, void *arg) {
    struct daemon *d = arg;
    (void)what;
    if (d->stopping && d->ops.on_hurry && d->ops.on_hurry(d->ops.data)) {
        log_info("stopping, in a hurry", "signal=%d", (int)sig);
        return;
    }
    if (d->stopping) {
        log_warn("second stop signal: leaving at once", "signal=%d", (int)sig);
        _exit(1);
    }
    d->stopping = true;
    log_info("stopping", "signal=%d", (int)sig);
    sd_notify(0, "STOPPING=1");
    d->ops.on_stop(d->ops.data);
}

static void on_reload_signal(evutil_socket_t sig, short what, void *arg) {
    struct daemon *d = arg;
    (void)sig, (void)what;
    if (d->ops.on_reload)
        d->ops.on_reload(d->ops.data);
}

static void on_evacuate_signal(evutil_socket_t sig, short what, void *arg) {
    struct daemon *d = arg;
    (void)sig, (void)what;
    d->ops.on_evacuate(d->ops.data);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg) {
    struct daemon *d = arg;
    (void)fd, (void)what;
    const char *stuck = d->ops.stuck ? d->ops.stuck(d->ops.data) : NULL;
    if (stuck)
        log_error("the watchdog is not fed", "why=%s", log_quote(stuck));
    else
        sd_notify(0, "WATCHDOG=1");
}

static uint64_t cpu_used_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_tidy(evutil_socket_t fd, short what, void *arg) {
    struct daemon *d = arg;
    (void)fd, (void)what;
    uint64_t now = cpu_used_ns();
    bool idle = now - d->cpu_ns < TIDY_IDLE_CPU_NS;
    d->cpu_ns = now;
    if (!idle || now - d->trimmed_cpu_ns < TIDY_WORTH_NS)
        return;
    footprint_trim();
    d->trimmed_cpu_ns = d->cpu_ns = cpu_used_ns();
}

static void answer(struct evhttp_request *req, int status, const char *reason, const char *text) {
    struct evbuffer *body = evbuffer_new();
    if (body)
        evbuffer_add(body, text, strlen(text));
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
                      "text/plain; charset=utf-8");
    evhttp_send_reply(req, status, reason, body);
    if (body)
        evbuffer_free(body);
}

static void on_healthz(struct evhttp_request *req, void *arg) {
    struct daemon *d = arg;
    const char *why = d->ops.health ? d->ops.health(d->ops.data) : NULL;
    if (why)
        answer(req, 503, "Service Unavailable", why);
    else
        answer(req, 200, "OK", "ok\n");
}

static void on_metrics(struct evhttp_request *req, void *arg) {
    struct daemon *d = arg;
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    metrics_put_process(&out);
    if (d->ops.metrics)
        d->ops.metrics(&out, d->ops.data);
    if (out.failed)
        answer(req, 500, "Internal Server Error", "out of memory\n");
    else
        answer(req, 200, "OK", out.p);
}

static int listen_admin(struct daemon *d, const char *admin, struct error *err) {
    _cleanup_(freep) char *host = NULL;
    uint16_t port;
    int r = address_parse(admin, &host, &port, err);
    if (r < 0)
        return error_wrap(err, "admin address");
    d->admin = evhttp_new(d->loop);
    if (!d->admin)
        return error_set(err, -ENOMEM, "out of memory");
    evhttp_set_timeout(d->admin, 10);
    evhttp_set_max_headers_size(d->admin, 16384);
    evhttp_set_max_body_size(d->admin, 65536);
    evhttp_set_cb(d->admin, "/healthz", on_healthz, d);
    evhttp_set_cb(d->admin, "/metrics", on_metrics, d);
    if (evhttp_bind_socket(d->admin, host, port) < 0)
        return error_set(err, -errno ? -errno : -EADDRINUSE, "cannot listen on %s: %s", admin,
                         strerror(errno));
    return 0;
}

void daemon_free(struct daemon *d) {
    if (!d)
        return;
    for (int i = 0; i < EVENT_COUNT; i++)
        if (d->signals[i])
            event_free(d->signals[i]);
    if (d->watchdog)
        event_free(d->watchdog);
    if (d->tidy)
        event_free(d->tidy);
    if (d->admin)
        evhttp_free(d->admin);
    free(d);
}

static int watch_signals(struct daemon *d, struct error *err) {
    signal(SIGPIPE, SIG_IGN);
    d->signals[ON_TERM] = evsignal_new(d->loop, SIGTERM, on_stop_signal, d);
    d->signals[ON_INT] = evsignal_new(d->loop, SIGINT, on_stop_signal, d);
    d->signals[ON_HUP] = evsignal_new(d->loop, SIGHUP, on_reload_signal, d);
    if (d->ops.on_evacuate)
        d->signals[ON_USR2] = evsignal_new(d->loop, SIGUSR2, on_evacuate_signal, d);
    for (int i = 0; i < EVENT_COUNT; i++)
        if (d->signals[i] ? event_add(d->signals[i], NULL) < 0 : i != ON_USR2 || d->ops.on_evacuate)
            return error_set(err, -ENOMEM, "cannot watch signals");
    uint64_t every_us;
    if (sd_watchdog_enabled(0, &every_us) > 0) {
        struct timeval half = {.tv_sec = (time_t)(every_us / 2000000u),
                               .tv_usec = (suseconds_t)(every_us / 2 % 1000000u)};
        d->watchdog = event_new(d->loop, -1, EV_PERSIST, on_watchdog, d);
        if (!d->watchdog || event_add(d->watchdog, &half) < 0)
            return error_set(err, -ENOMEM, "cannot arm the watchdog");
    }
    return 0;
}

int daemon_new(struct daemon **ret, struct event_base *loop, const char *admin,
               const struct daemon_ops *ops, struct error *err) {
    _cleanup_(daemon_freep) struct daemon *d = mem_zalloc(sizeof *d);
    int r;
    if (!d)
        return error_set(err, -ENOMEM, "out of memory");
    d->loop = loop;
    d->ops = *ops;
    if ((r = watch_signals(d, err)) < 0)
        return r;
    if (!str_empty(admin) && (r = listen_admin(d, admin, err)) < 0)
        return r;
    const struct timeval every = {.tv_sec = TIDY_EVERY_S};
    d->tidy = event_new(loop, -1, EV_PERSIST, on_tidy, d);
    if (!d->tidy || event_add(d->tidy, &every) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    *ret = TAKE_PTR(d);
    return 0;
}

int daemon_add_page(struct daemon *d, const char *path,
                    void (*handle)(struct evhttp_request *req, void *data), void *data) {
    return d->admin && evhttp_set_cb(d->admin, path, handle, data) < 0 ? -EEXIST : 0;
}

void daemon_ready(struct daemon *d, const char *program) {
    (void)d;
    footprint_trim();
    sd_notify(0, "READY=1");
    log_info("ready", "program=%s pid=%d", program, (int)getpid());
}

void daemon_extend_stop(unsigned seconds) {
    sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", seconds * 1000000ull);
}

static void raise_nofile(void) {
    struct rlimit was, wanted;
    if (getrlimit(RLIMIT_NOFILE, &was) < 0)
        return;
    wanted = was;
    wanted.rlim_max = MAX(was.rlim_max, (rlim_t)65536);
    wanted.rlim_cur = wanted.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        return;
    was.rlim_cur = was.rlim_max; /* without CAP_SYS_RESOURCE: as far as we may */
    if (setrlimit(RLIMIT_NOFILE, &was) < 0)
        log_warn("cannot raise the open files limit", "errno=%d", errno);
}

void daemon_set_limits(void) {
    mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    raise_nofile();
}

int address_parse(const char *text, char **ret_host, uint16_t *ret_port, struct error *err) {
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || parse_u64(colon + 1, 0, 65535, &port) < 0)
        return error_set(err, -EINVAL, "\"%s\" is not of the form host:port", text);
    struct slice host = {text, (size_t)(colon - text)};
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct slice){host.p + 1, host.n - 2};
    char *copy = str_ndup(host.p, host.n);
    if (!copy)
        return error_set(err, -ENOMEM, "out of memory");
    *ret_host = copy;
    *ret_port = (uint16_t)port;
    return 0;
}

void metric_put(struct strbuf *out, const char *name, const char *type, const char *help,
                double value) {
    strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name,
                  value);
}
