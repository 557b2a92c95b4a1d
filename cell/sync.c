#include "cell/sync.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "cell/report.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/bus/times.h"

enum { WATCH, REPORT, LOGS, CONVERSATIONS };

struct sync {
    struct event_base *loop;
    struct sync_ops ops;
    struct outbox *outbox; /* borrowed */
    struct wanted *wanted;
    struct report *report;
    struct holdings *holdings;
    struct bus_conversation *talks[CONVERSATIONS];
    bool was_up[CONVERSATIONS];              /* so that coming and going is logged once each */
    struct event *send_later[CONVERSATIONS]; /* next loop turn, or a retry */
    uint32_t watch_timeout_ms;
    uint64_t credit;
    bool logs_under_way;
};

static void after(struct sync *s, int talk, unsigned ms) {
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(s->send_later[talk], &tv);
}

static void request(struct sync *s, int talk, const ProtobufCMessage *msg, unsigned timeout_ms) {
    struct error err = {0};
    int r = bus_conversation_request(s->talks[talk], msg, timeout_ms, &err);
    if (r == 0 || r == -EBUSY || r == -ENOTCONN)
        return; /* on_reply or on_open goes on */
    log_error("cannot send to the controller", "why=%s", log_quote(err.msg));
    after(s, talk, SYNC_RETRY_MS);
}

static void came_up(struct sync *s, int talk, const char *name) {
    if (!s->was_up[talk])
        log_info("connected to the controller", "conversation=%s", name);
    s->was_up[talk] = true;
}

static void went_down(struct sync *s, int talk, const char *name, const char *why) {
    if (s->was_up[talk])
        log_warn("lost the controller, instances run on", "conversation=%s why=%s", name,
                 log_quote(why));
    s->was_up[talk] = false;
    event_del(s->send_later[talk]);
}

/* --- watch --- */

static void send_watch(struct sync *s) {
    Berth__Watch watch;
    wanted_fill(s->wanted, &watch);
    request(s, WATCH, &watch.base, s->watch_timeout_ms);
}

static void on_watch_open(void *data, const Berth__HelloAck *ack) {
    struct sync *s = data;
    s->watch_timeout_ms =
        (ack->watch_wait_ms ? ack->watch_wait_ms : BUS_WATCH_WAIT_MS) + BUS_REPLY_SLACK_MS;
    came_up(s, WATCH, "watch");
    send_watch(s);
}

static void on_watch_reply(void *data, const ProtobufCMessage *msg) {
    struct sync *s = data;
    struct error err = {0};
    if (wanted_apply(s->wanted, (const Berth__WatchReply *)msg, &err) < 0) {
        log_warn("asking for the whole set again", "why=%s", log_quote(err.msg));
        after(s, WATCH, SYNC_RETRY_MS);
        return;
    }
    holdings_keep_version(s->holdings, ((const Berth__WatchReply *)msg)->keep_version);
    if (holdings_are_due(s->holdings))
        after(s, REPORT, 0);
    send_watch(s);
}

static void on_watch_down(void *data, const char *why) {
    went_down(data, WATCH, "watch", why);
}

/* --- report --- */

static void send_report(struct sync *s) {
    Berth__Capacity left = BERTH__CAPACITY__INIT;
    if (!bus_conversation_is_open(s->talks[REPORT]))
        return;
    s->ops.free_capacity(s->ops.data, &left);
    if (holdings_are_due(s->holdings))
        report_touch(s->report);
    Berth__Report *report = report_next(s->report, &left);
    if (!report)
        return;
    holdings_fill(s->holdings, report, clock_mono_ms());
    request(s, REPORT, &report->base, BUS_REPORT_TIMEOUT_MS);
}

static void on_report_open(void *data, const Berth__HelloAck *ack) {
    struct sync *s = data;
    (void)ack;
    came_up(s, REPORT, "report");
    report_restart(s->report);
    holdings_restart(s->holdings);
    send_report(s);
}

static void on_report_reply(void *data, const ProtobufCMessage *msg) {
    struct sync *s = data;
    holdings_answered(s->holdings, (const Berth__ReportAck *)msg);
    if (report_acknowledged(s->report, (const Berth__ReportAck *)msg))
        send_report(s);
    else
        after(s, REPORT, SYNC_RETRY_MS); /* the controller cannot write it down just now */
}

static void on_report_down(void *data, const char *why) {
    went_down(data, REPORT, "report", why);
}

/* --- logs --- */

static void send_logs(struct sync *s) {
    if (s->logs_under_way || !bus_conversation_is_open(s->talks[LOGS]))
        return;
    const Berth__Logs *batch = outbox_batch(s->outbox, MIN(s->credit, (uint64_t)SYNC_MAX_BATCH));
    if (!batch)
        return;
    s->logs_under_way = true;
    request(s, LOGS, &batch->base, SYNC_LOGS_TIMEOUT_MS);
}

static void on_logs_open(void *data, const Berth__HelloAck *ack) {
    struct sync *s = data;
    (void)ack;
    came_up(s, LOGS, "logs");
    s->credit = SYNC_FIRST_CREDIT;
    s->logs_under_way = false;
    outbox_rewind(s->outbox);
    send_logs(s);
}

static void on_logs_reply(void *data, const ProtobufCMessage *msg) {
    struct sync *s = data;
    const Berth__LogsAck *ack = (const Berth__LogsAck *)msg;
    s->logs_under_way = false;
    s->credit = ack->credit_bytes;
    outbox_ack(s->outbox, ack->next);
    s->ops.on_room(s->ops.data);
    after(s, LOGS,
          s->credit ? 0 : SYNC_RETRY_MS); /* what comes within this loop turn comes along */
}

static void on_logs_down(void *data, const char *why) {
    struct sync *s = data;
    s->logs_under_way = false;
    went_down(s, LOGS, "logs", why);
}

/* --- the module's interface --- */

static void on_send_watch(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    send_watch(arg);
}

static void on_send_report(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    send_report(arg);
}

static void on_send_logs(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    send_logs(arg);
}

static const struct {
    Berth__Conversation conversation;
    struct bus_conversation_ops ops;
    event_callback_fn on_send;
} talks[CONVERSATIONS] = {
    [WATCH] = {BERTH__CONVERSATION__CONVERSATION_WATCH,
               {on_watch_open, on_watch_reply, on_watch_down, NULL},
               on_send_watch},
    [REPORT] = {BERTH__CONVERSATION__CONVERSATION_REPORT,
                {on_report_open, on_report_reply, on_report_down, NULL},
                on_send_report},
    [LOGS] = {BERTH__CONVERSATION__CONVERSATION_LOGS,
              {on_logs_open, on_logs_reply, on_logs_down, NULL},
              on_send_logs},
};

static void on_final(void *data, const char *guid) {
    struct sync *s = data;
    s->ops.on_final(s->ops.data, guid);
}

static int open_talk(struct sync *s, int talk, const struct sync_config *config,
                     struct error *err) {
    Berth__Hello hello = *config->hello;
    struct bus_conversation_ops ops = talks[talk].ops;
    hello.kind = BERTH__NODE_KIND__NODE_CELL;
    hello.conversation = talks[talk].conversation;
    ops.data = s;
    s->send_later[talk] = evtimer_new(s->loop, talks[talk].on_send, s);
    if (!s->send_later[talk])
        return error_set(err, -ENOMEM, "out of memory");
    return bus_conversation_new(&s->talks[talk], s->loop, config->identity,
                                talk == LOGS ? config->logs_url : config->control_url, &hello, &ops,
                                err);
}

int sync_new(struct sync **ret, struct event_base *loop, const struct sync_config *config,
             const struct sync_ops *ops, struct error *err) {
    _cleanup_(sync_freep) struct sync *s = mem_zalloc(sizeof *s);
    int r;
    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->loop = loop;
    s->ops = *ops;
    s->outbox = config->outbox;
    if ((r = wanted_new(&s->wanted, &ops->wanted, err)) < 0 ||
        (r = report_new(&s->report, on_final, s, err)) < 0 ||
        (r = holdings_new(&s->holdings, config->giver, &ops->layers, err)) < 0)
        return r;
    for (int i = 0; i < CONVERSATIONS; i++)
        if ((r = open_talk(s, i, config, err)) < 0)
            return r;
    *ret = TAKE_PTR(s);
    return 0;
}

void sync_free(struct sync *s) {
    if (!s)
        return;
    for (int i = 0; i < CONVERSATIONS; i++) {
        bus_conversation_free(s->talks[i]);
        if (s->send_later[i])
            event_free(s->send_later[i]);
    }
    report_free(s->report);
    holdings_free(s->holdings);
    wanted_free(s->wanted);
    free(s);
}

void sync_put(struct sync *s, const Berth__ActualLrp *lrp) {
    struct error err = {0};
    if (report_put(s->report, lrp, &err) < 0)
        log_error("cannot note an instance's state", "why=%s", log_quote(err.msg));
    after(s, REPORT, 0); /* several changes of one loop turn go together */
}

void sync_remove(struct sync *s, const char *guid) {
    report_remove(s->report, guid);
}

void sync_hold(struct sync *s, bool blob, const uint8_t id[LAYER_ID_SIZE], bool there) {
    holdings_put(s->holdings, blob, id, there);
    after(s, REPORT, 0);
}

void sync_locate(struct sync *s, const uint8_t id[LAYER_ID_SIZE]) {
    holdings_ask(s->holdings, id);
    after(s, REPORT, 0);
}

void sync_touch(struct sync *s) {
    report_touch(s->report);
    after(s, REPORT, 0);
}

void sync_evacuating(struct sync *s) {
    report_evacuating(s->report);
    after(s, REPORT, 0);
}

bool sync_evacuation_is_known(const struct sync *s) {
    return report_evacuation_is_known(s->report);
}

void sync_kick_logs(struct sync *s) {
    if (!s->logs_under_way && !event_pending(s->send_later[LOGS], EV_TIMEOUT, NULL))
        after(s, LOGS, 0);
}

bool sync_is_up(const struct sync *s) {
    return bus_conversation_is_open(s->talks[WATCH]) && bus_conversation_is_open(s->talks[REPORT]);
}

bool sync_is_wanted(const struct sync *s, const char *guid) {
    return wanted_has(s->wanted, guid);
}

void sync_counters(const struct sync *s, struct bus_counters *ret) {
    *ret = (struct bus_counters){0};
    for (int i = 0; i < CONVERSATIONS; i++) {
        struct bus_counters c;
        bus_conversation_counters(s->talks[i], &c);
        ret->sent += c.sent;
        ret->received += c.received;
        ret->sessions += c.sessions;
        ret->dropped_malformed += c.dropped_malformed;
        ret->dropped_unknown += c.dropped_unknown;
        ret->dropped_forged += c.dropped_forged;
        ret->dropped_replayed += c.dropped_replayed;
        ret->timeouts += c.timeouts;
    }
}
