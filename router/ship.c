#include "router/ship.h"

#include <errno.h>
#include <event2/event.h>

#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/bus/times.h"

#define BATCH_MS     500 /* lines wait this long for company */
#define BATCH_LINES  1024
#define BATCH_BYTES  (128u * 1024) /* half of what a message may be */
#define FIRST_CREDIT (64u * 1024)  /* before the controller said how much it takes */
#define LINE_EXTRA   96u           /* of a LogLine beside guid and message, packed */

struct ship {
    struct access_sink *sink; /* borrowed; its ring is shared with the workers */
    struct bus_conversation *logs;
    struct event *timer;
    bool in_flight;
    uint64_t credit;
    uint64_t expected; /* number after the last line acknowledged */
    uint64_t sent_end; /* number after the last line of the batch in flight */
    uint64_t sent, lost;
    Berth__LogLine lines[BATCH_LINES];
    Berth__LogLine *list[BATCH_LINES];
    char guids[BATCH_LINES][129];
    char text[BATCH_BYTES];
};

/* Takes lines from the ring's oldest on, as many as fit. Returns their number. */
static size_t fill(struct ship *s, Berth__Logs *logs) {
    size_t n = 0, used = 0, at = 0, weight = 0;
    uint64_t limit = MIN(s->credit, (uint64_t)BATCH_BYTES);
    struct log_ring_entry e;
    pthread_mutex_lock(&s->sink->lock);
    const struct log_ring *ring = s->sink->ring;
    logs->first = ring->first;
    while (n < BATCH_LINES) {
        size_t got = log_ring_read(ring, &at, s->text + used, sizeof s->text - used, &e);
        weight += got + LINE_EXTRA;
        if (!got || (n && weight > limit))
            break;
        Berth__LogLine *line = &s->lines[n];
        berth__log_line__init(line);
        memcpy(s->guids[n], e.app_guid.p, e.app_guid.n);
        s->guids[n][e.app_guid.n] = 0;
        line->app_guid = s->guids[n];
        line->source_type = (char *)(uintptr_t) "RTR";
        line->source_instance = (char *)(uintptr_t) "0";
        line->stream = BERTH__LOG_STREAM__LOG_OUT;
        line->wall_ns = e.wall_ns;
        line->message.data = (uint8_t *)(uintptr_t)e.line.p;
        line->message.len = e.line.n;
        s->list[n++] = line;
        used += got;
    }
    pthread_mutex_unlock(&s->sink->lock);
    return n;
}

static void send_batch(struct ship *s) {
    Berth__Logs logs = BERTH__LOGS__INIT;
    struct error err = {0};
    if (s->in_flight || !bus_conversation_is_open(s->logs))
        return;
    size_t n = fill(s, &logs);
    if (!n)
        return;
    logs.lost_before = logs.first - s->expected;
    logs.n_lines = n;
    logs.lines = s->list;
    int r = bus_conversation_request(s->logs, &logs.base, BUS_REPORT_TIMEOUT_MS * 4, &err);
    if (r < 0) {
        if (r != -ENOTCONN)
            log_error("cannot send access lines", "why=%s", log_quote(err.msg));
        return;
    }
    s->lost += logs.lost_before;
    s->expected = logs.first;
    s->sent_end = logs.first + n;
    s->in_flight = true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    send_batch(arg);
}

static void on_open(void *data, const Berth__HelloAck *ack) {
    struct ship *s = data;
    (void)ack;
    s->in_flight = false;
    s->credit = FIRST_CREDIT;
}

static void on_reply(void *data, const ProtobufCMessage *reply) {
    struct ship *s = data;
    const Berth__LogsAck *ack = (const Berth__LogsAck *)reply;
    uint64_t next = MIN(ack->next, s->sent_end);
    s->in_flight = false;
    s->credit = ack->credit_bytes;
    if (next > s->expected) {
        s->sent += next - s->expected;
        s->expected = next;
    }
    pthread_mutex_lock(&s->sink->lock);
    log_ring_ack(s->sink->ring, next);
    bool more = s->sink->ring->used > BATCH_BYTES;
    pthread_mutex_unlock(&s->sink->lock);
    if (more && s->credit)
        send_batch(s);
}

static void on_down(void *data, const char *why) {
    struct ship *s = data;
    (void)why; /* the watch of routes says so already */
    s->in_flight = false;
}

void ship_free(struct ship *s) {
    if (!s)
        return;
    bus_conversation_free(s->logs);
    if (s->timer)
        event_free(s->timer);
    free(s);
}

static void ship_freep(struct ship **s) {
    ship_free(*s);
}

int ship_new(struct ship **ret, struct event_base *loop, const struct router_config *config,
             const struct bus_identity *identity, struct access_sink *sink, struct error *err) {
    static const struct timeval every = {.tv_usec = BATCH_MS * 1000};
    _cleanup_(ship_freep) struct ship *s = mem_zalloc(sizeof *s);
    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->sink = sink;
    s->timer = event_new(loop, -1, EV_PERSIST, on_timer, s);
    if (!s->timer || event_add(s->timer, &every) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    struct bus_conversation_ops ops = {on_open, on_reply, on_down, s};
    Berth__Hello hello = BERTH__HELLO__INIT;
    hello.kind = BERTH__NODE_KIND__NODE_ROUTER;
    hello.conversation = BERTH__CONVERSATION__CONVERSATION_LOGS;
    hello.name = config->name;
    hello.version = (char *)(uintptr_t)BERTH_VERSION;
    hello.zone = config->zone ? config->zone : (char *)(uintptr_t) "";
    int r =
        bus_conversation_new(&s->logs, loop, identity, config->controller_logs, &hello, &ops, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

void ship_metrics(const struct ship *s, struct strbuf *out) {
    metric_put(out, "berth_router_log_lines_sent", "counter",
               "Access lines that the controller took.", (double)s->sent);
    metric_put(out, "berth_router_log_lines_lost", "counter",
               "Access lines dropped because the controller was slow.", (double)s->lost);
}
