/* health.c
 *
 *   waiting --delay--> connecting --writable--> (http: sending, reading) --> verdict
 *      ^                                                                       |
 *      `-------- not yet healthy: 5, 10 ... 250 ms; healthy: the interval -----'
 */
#include "cell/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/str.h"

#define REPLY_MAX 512 /* of an HTTP answer: its status line is all that matters */

struct health {
    enum health_type type;
    struct sockaddr_in to;
    char *request; /* of HTTP; owned */
    size_t request_n;
    uint32_t timeout_ms, invocation_ms, interval_ms;
    struct health_callbacks callbacks;
    struct event_base *loop; /* borrowed */
    struct event *timer;     /* the next check, or the end of the one under way */
    struct event *io;        /* of the check under way; NULL between */
    int fd;
    bool healthy;
    uint32_t delay_ms;
    uint64_t begun_ms, check_begun_ms;
    size_t sent, reply_n;
    char reply[REPLY_MAX + 1];
    char *path;       /* for texts; owned */
    char detail[256]; /* of the last failure */
};

void health_format_duration(uint64_t ms, char *buf, size_t n) {
    unsigned long long m = ms / 60000, s = ms % 60000 / 1000, rest = ms % 1000;
    char fraction[8] = "";
    if (rest) {
        snprintf(fraction, sizeof fraction, ".%03llu", rest);
        for (size_t i = strlen(fraction); fraction[i - 1] == '0'; i--)
            fraction[i - 1] = 0;
    }
    if (ms < 1000)
        snprintf(buf, n, "%llums", rest);
    else if (m)
        snprintf(buf, n, "%llum%llu%ss", m, s, fraction);
    else
        snprintf(buf, n, "%llu%ss", s, fraction);
}

static void arm(struct health *h, uint64_t ms) {
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(h->timer, &tv); /* cannot fail: its place in the heap was made by health_new() */
}

static void end_check(struct health *h) {
    if (h->io)
        event_free(h->io);
    h->io = NULL;
    if (h->timer)
        event_del(h->timer);
    close_fdp(&h->fd);
    h->fd = -1;
}

/* --- verdicts: `h` may be gone after these --- */

static void step_passed(struct health *h) {
    end_check(h);
    bool first = !h->healthy;
    h->healthy = true;
    if (h->type != HEALTH_PROCESS)
        arm(h, h->interval_ms);
    if (first)
        h->callbacks.on_healthy(h->callbacks.data);
}

static void step_failed(struct health *h) {
    uint64_t asked = clock_mono_ms() - h->begun_ms;
    end_check(h);
    if (h->healthy || asked >= h->timeout_ms) {
        h->callbacks.on_unhealthy(h->callbacks.data, asked, h->detail);
        return;
    }
    arm(h, MIN((uint64_t)h->delay_ms, h->timeout_ms - asked));
    h->delay_ms = MIN(2 * h->delay_ms, (uint32_t)HEALTH_MAX_DELAY_MS);
}

static void what_failed(struct health *h, const char *why) {
    if (h->type == HEALTH_HTTP)
        snprintf(h->detail, sizeof h->detail,
                 "Failed to make HTTP request to '%.100s' on port %u: %s", h->path,
                 ntohs(h->to.sin_port), why);
    else
        snprintf(h->detail, sizeof h->detail, "Failed to make TCP connection to port %u: %s",
                 ntohs(h->to.sin_port), why);
}

static void fail_errno(struct health *h, int code) {
    char text[96];
    snprintf(text, sizeof text, "%s", strerror(code));
    text[0] = (char)(text[0] >= 'A' && text[0] <= 'Z' ? text[0] + 32 : text[0]);
    what_failed(h, text);
    step_failed(h);
}

static void fail_timeout(struct health *h) {
    char text[64];
    snprintf(text, sizeof text, "timed out after %.2f seconds", h->invocation_ms / 1000.0);
    what_failed(h, text);
    step_failed(h);
}

/* "HTTP/1.1 200 OK": any other status is a failure, as Diego's healthcheck has it. */
static void judge_reply(struct health *h) {
    char text[96], took[32];
    int status = 0, major = 0, minor = 0;
    h->reply[h->reply_n] = 0;
    if (sscanf(h->reply, "HTTP/%1d.%1d %3d", &major, &minor, &status) != 3) {
        what_failed(h, "malformed HTTP response");
        step_failed(h);
        return;
    }
    if (status == 200) {
        step_passed(h);
        return;
    }
    health_format_duration(clock_mono_ms() - h->check_begun_ms, took, sizeof took);
    snprintf(text, sizeof text, "received status code %d in %s", status, took);
    what_failed(h, text);
    step_failed(h);
}

/* --- one check --- */

static void on_io(evutil_socket_t fd, short what, void *arg);

static void wait_for(struct health *h, short what) {
    if (h->io)
        event_free(h->io);
    h->io = event_new(h->loop, h->fd, what, on_io, h);
    if (!h->io || event_add(h->io, NULL) < 0)
        fail_errno(h, ENOMEM);
}

static void step_read(struct health *h) {
    ssize_t n = recv(h->fd, h->reply + h->reply_n, REPLY_MAX - h->reply_n, 0);
    if (n < 0 && errno == EAGAIN) {
        wait_for(h, EV_READ);
    } else if (n < 0) {
        fail_errno(h, errno);
    } else {
        h->reply_n += (size_t)n;
        bool whole = n == 0 || h->reply_n == REPLY_MAX || memchr(h->reply, '\n', h->reply_n);
        if (whole)
            judge_reply(h);
        else
            wait_for(h, EV_READ);
    }
}

static void step_send(struct health *h) {
    ssize_t n = send(h->fd, h->request + h->sent, h->request_n - h->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        fail_errno(h, errno);
        return;
    }
    h->sent += n > 0 ? (size_t)n : 0;
    wait_for(h, h->sent < h->request_n ? EV_WRITE : EV_READ);
}

static void step_connected(struct health *h) {
    if (h->type == HEALTH_HTTP)
        step_send(h);
    else
        step_passed(h);
}

static void on_io(evutil_socket_t fd, short what, void *arg) {
    struct health *h = arg;
    int code = 0;
    socklen_t n = sizeof code;
    (void)fd;
    if (what & EV_READ)
        step_read(h);
    else if (getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0 || code)
        fail_errno(h, code ? code : errno);
    else
        step_connected(h);
}

static void step_check(struct health *h) {
    if (h->type == HEALTH_PROCESS) {
        step_passed(h);
        return;
    }
    h->sent = h->reply_n = 0;
    h->check_begun_ms = clock_mono_ms();
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (h->fd < 0) {
        fail_errno(h, errno);
        return;
    }
    arm(h, h->invocation_ms);
    if (connect(h->fd, (const struct sockaddr *)&h->to, sizeof h->to) == 0)
        step_connected(h);
    else if (errno == EINPROGRESS)
        wait_for(h, EV_WRITE);
    else
        fail_errno(h, errno);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct health *h = arg;
    (void)fd, (void)what;
    if (h->fd >= 0)
        fail_timeout(h);
    else
        step_check(h);
}

/* --- the module's interface --- */

static uint32_t or_default(uint32_t v, uint32_t def) {
    return v ? v : def;
}

static int fill(struct health *h, const struct health_config *config, struct error *err) {
    if (config->type == HEALTH_PROCESS)
        return 0;
    h->to.sin_family = AF_INET;
    h->to.sin_port = htons(config->port);
    if (str_empty(config->ip) || inet_pton(AF_INET, config->ip, &h->to.sin_addr) != 1)
        return error_set(err, -EINVAL, "\"%s\" is no address to check",
                         config->ip ? config->ip : "");
    h->path = str_printf("%s%s", config->path && *config->path == '/' ? "" : "/",
                         config->path ? config->path : "");
    if (!h->path)
        return error_set(err, -ENOMEM, "out of memory");
    for (const char *c = h->path; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return error_set(err, -EINVAL, "the health check's path has a space or control byte");
    h->request = str_printf("GET %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: berth-healthcheck\r\n"
                            "Accept: */*\r\nConnection: close\r\n\r\n",
                            h->path, config->ip, config->port);
    if (!h->request)
        return error_set(err, -ENOMEM, "out of memory");
    h->request_n = strlen(h->request);
    return 0;
}

int health_new(struct health **ret, struct event_base *loop, const struct health_config *config,
               const struct health_callbacks *callbacks, struct error *err) {
    _cleanup_(health_freep) struct health *h = mem_zalloc(sizeof *h);
    int r;
    if (!h)
        return error_set(err, -ENOMEM, "out of memory");
    h->fd = -1;
    h->type = config->type;
    h->loop = loop;
    h->callbacks = *callbacks;
    h->timeout_ms = or_default(config->timeout_ms, HEALTH_TIMEOUT_MS);
    h->invocation_ms = or_default(config->invocation_ms, HEALTH_INVOCATION_MS);
    h->interval_ms = or_default(config->interval_ms, HEALTH_INTERVAL_MS);
    h->healthy = config->was_healthy;
    h->delay_ms = HEALTH_FIRST_DELAY_MS;
    h->begun_ms = clock_mono_ms();
    if ((r = fill(h, config, err)) < 0)
        return r;
    h->timer = evtimer_new(loop, on_timer, h);
    struct timeval soon = {.tv_usec = config->was_healthy ? 0 : HEALTH_FIRST_DELAY_MS * 1000};
    if (h->type == HEALTH_PROCESS)
        soon.tv_usec = 0;
    if (!h->timer || (!(h->type == HEALTH_PROCESS && h->healthy) && event_add(h->timer, &soon) < 0))
        return error_set(err, -ENOMEM, "out of memory");
    *ret = TAKE_PTR(h);
    return 0;
}

void health_free(struct health *h) {
    if (!h)
        return;
    end_check(h);
    if (h->timer)
        event_free(h->timer);
    free(h->request);
    free(h->path);
    free(h);
}
