/* daemon.h - what every daemon's main() does alike: signals, readiness, the admin listener.
 *
 * SIGTERM/SIGINT: on_stop once (drain); a second one hurries or ends the process at once. SIGHUP:
 * on_reload. SIGUSR2: on_evacuate. SIGPIPE is ignored. READY=1, STOPPING=1 and the watchdog go to
 * systemd when it started us. */
#ifndef COMMON_BASE_DAEMON_H
#define COMMON_BASE_DAEMON_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct event_base;
struct evhttp_request;
struct daemon;

struct daemon_ops {
    void (*on_stop)(void *data);   /* begin to drain; end with event_base_loopexit() */
    void (*on_reload)(void *data); /* may be NULL */
    /* A stop signal after on_stop. False, or NULL: there is nothing to hurry, end at once. */
    bool (*on_hurry)(void *data);
    void (*on_evacuate)(void *data); /* NULL: the signal is not taken */
    /* NULL when healthy, else why not, in a few words: GET /healthz answers 200 or 503 with it. */
    const char *(*health)(void *data);
    /* NULL while every thread moves on, else what does not: the watchdog is then left unfed, and
     * systemd starts the daemon anew. NULL: the loop is all there is. Called a few times a minute.
     */
    const char *(*stuck)(void *data);
    /* Adds Prometheus text (exposition format 0.0.4) for GET /metrics. */
    void (*metrics)(struct strbuf *out, void *data);
    void *data;
};

/* `admin` is "host:port" or NULL for none; loopback by default in every daemon. */
int daemon_new(struct daemon **ret, struct event_base *loop, const char *admin,
               const struct daemon_ops *ops, struct error *err);
void daemon_free(struct daemon *d);
DEFINE_FREEP(daemon)

/* Adds one more page to the admin listener ("/routes"). */
int daemon_add_page(struct daemon *d, const char *path,
                    void (*handle)(struct evhttp_request *req, void *data), void *data);

/* All parts are up: tells systemd and logs "ready". */
void daemon_ready(struct daemon *d, const char *program);

/* While systemd stops us: wait for at least this long from now. Without it, nothing. */
void daemon_extend_stop(unsigned seconds);

/* First thing in main(): raises RLIMIT_NOFILE's soft limit to the hard one (more where the kernel
 * lets us) and keeps the allocator from holding an arena's peak for each thread. */
void daemon_set_limits(void);

/* "127.0.0.1:8080", "[::1]:80" -> host (owned) and port. -EINVAL. */
int address_parse(const char *text, char **ret_host, uint16_t *ret_port, struct error *err);

/* One metric line with its HELP and TYPE ("counter" | "gauge"). */
void metric_put(struct strbuf *out, const char *name, const char *type, const char *help,
                double value);

#endif
