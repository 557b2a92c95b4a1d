/* log_stream.c - log lines as CLIs before 6.53 ask for them: websockets that follow an app, and its
 * recent lines as parts of one answer. Two dialects: the old loggregator's (6.13) and doppler's. */
#include "loggregator.pb-c.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/api/websocket.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"

#define RECENT_MAX 1000 /* lines; log-cache's largest answer */
#define ORIGIN     "rep"
#define DIGITS_MAX 24

enum dialect { LOGGREGATOR, DOPPLER };

/* --- one line
 * -------------------------------------------------------------------------------------
 */

struct packed {
    void *p; /* owned */
    size_t n;
};

static int pack(const ProtobufCMessage *m, struct packed *ret) {
    ret->n = protobuf_c_message_get_packed_size(m);
    ret->p = malloc(ret->n ? ret->n : 1);
    if (!ret->p)
        return -1;
    protobuf_c_message_pack(m, ret->p);
    return 0;
}

static char *text(const char *s) {
    return (char *)(s ? s : "");
}

static int pack_loggregator(const char *app_guid, const struct logs_line *line,
                            struct packed *ret) {
    Loggregator__LogMessage m = LOGGREGATOR__LOG_MESSAGE__INIT;
    m.message = (ProtobufCBinaryData){line->message_n, (uint8_t *)line->message};
    m.message_type = line->err ? LOGGREGATOR__LOG_MESSAGE__MESSAGE_TYPE__ERR
                               : LOGGREGATOR__LOG_MESSAGE__MESSAGE_TYPE__OUT;
    m.timestamp = (int64_t)line->wall_ns;
    m.app_id = text(app_guid);
    m.source_id = text(line->source_instance);
    m.source_name = text(line->source_type);
    return pack(&m.base, ret);
}

static int pack_doppler(const char *app_guid, const struct logs_line *line, struct packed *ret) {
    Loggregator__DropsondeLog m = LOGGREGATOR__DROPSONDE_LOG__INIT;
    Loggregator__DropsondeEnvelope e = LOGGREGATOR__DROPSONDE_ENVELOPE__INIT;
    m.message = (ProtobufCBinaryData){line->message_n, (uint8_t *)line->message};
    m.message_type = line->err ? LOGGREGATOR__LOG_MESSAGE__MESSAGE_TYPE__ERR
                               : LOGGREGATOR__LOG_MESSAGE__MESSAGE_TYPE__OUT;
    m.timestamp = (int64_t)line->wall_ns;
    m.app_id = text(app_guid);
    m.source_instance = text(line->source_instance);
    m.source_type = text(line->source_type);
    e.origin = ORIGIN;
    e.event_type = LOGGREGATOR__DROPSONDE_ENVELOPE__EVENT_TYPE__LOG_MESSAGE;
    e.has_timestamp = 1;
    e.timestamp = m.timestamp;
    e.log_message = &m;
    return pack(&e.base, ret);
}

static int pack_line(enum dialect d, const char *app_guid, const struct logs_line *line,
                     struct packed *ret) {
    return d == DOPPLER ? pack_doppler(app_guid, line, ret) : pack_loggregator(app_guid, line, ret);
}

/* --- multipart
 * ------------------------------------------------------------------------------------
 */

struct parts {
    enum dialect dialect;
    const char *app_guid;
    struct packed v[RECENT_MAX];
    size_t n;
    bool failed;
};

static void parts_free(struct parts *p) {
    for (size_t i = 0; p && i < p->n; i++)
        free(p->v[i].p);
    free(p);
}
DEFINE_FREEP(parts)

/* No line can hold the boundary: it is drawn for this answer. */
static int reply_parts(struct call *c, const struct parts *p, bool newest_first) {
    char boundary[GUID_SIZE];
    guid_new(boundary);
    snprintf(c->own_type, sizeof c->own_type, "multipart/x-protobuf; boundary=%s", boundary);
    strbuf_clear(&c->reply);
    for (size_t i = 0; i < p->n; i++) {
        const struct packed *one = &p->v[newest_first ? p->n - 1 - i : i];
        strbuf_printf(&c->reply, "--%s\r\n\r\n", boundary);
        strbuf_add(&c->reply, one->p, one->n);
        strbuf_puts(&c->reply, "\r\n");
    }
    strbuf_printf(&c->reply, "--%s--\r\n", boundary);
    if (p->failed || c->reply.failed)
        return fail_no_memory(c);
    c->reply_type = c->own_type;
    c->status = 200;
    return 0;
}

static void add_line(void *arg, const struct logs_line *line) {
    struct parts *p = arg;
    if (p->n == RECENT_MAX || pack_line(p->dialect, p->app_guid, line, &p->v[p->n]) < 0)
        p->failed = true;
    else
        p->n++;
}

static int reply_recent(struct call *c, const char *guid, enum dialect dialect) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(parts_freep) struct parts *p = NULL;
    if (load_app(c, guid, NEED_READ, &app) < 0)
        return -1;
    if (!(p = mem_zalloc(sizeof *p)))
        return fail_no_memory(c);
    p->dialect = dialect;
    p->app_guid = app.guid;
    logs_read(c->api->deps.logs, app.guid, 0, 0, RECENT_MAX, true, add_line, p);
    return reply_parts(c, p, true);
}

static const char *app_of_query(const struct call *c) {
    const char *guid = call_query(c, "app");
    return guid ? guid : "";
}

int get_recent(struct call *c) {
    return reply_recent(c, app_of_query(c), LOGGREGATOR);
}

int get_recent_logs(struct call *c) {
    return reply_recent(c, c->params[0], DOPPLER);
}

static void add_metric(void *arg, const struct lrp_actual *a) {
    struct parts *p = arg;
    Loggregator__ContainerMetric m = LOGGREGATOR__CONTAINER_METRIC__INIT;
    Loggregator__DropsondeEnvelope e = LOGGREGATOR__DROPSONDE_ENVELOPE__INIT;
    if (a->state != LRP_RUNNING || p->n == RECENT_MAX)
        return;
    m.application_id = text(p->app_guid);
    m.instance_index = (int32_t)a->index;
    m.cpu_percentage = a->cpu * 100;
    m.memory_bytes = a->memory_bytes;
    m.disk_bytes = a->disk_bytes;
    e.origin = ORIGIN;
    e.event_type = LOGGREGATOR__DROPSONDE_ENVELOPE__EVENT_TYPE__CONTAINER_METRIC;
    e.has_timestamp = 1;
    e.timestamp = (int64_t)clock_wall_ns();
    e.container_metric = &m;
    if (pack(&e.base, &p->v[p->n]) < 0)
        p->failed = true;
    else
        p->n++;
}

int get_container_metrics(struct call *c) {
    _cleanup_(process_row_fini) struct process_row web = {0};
    _cleanup_(parts_freep) struct parts *p = mem_zalloc(sizeof *p);
    char group[2 * GUID_SIZE];
    if (!p)
        return fail_no_memory(c);
    if (load_app_process(c, c->params[0], "web", NEED_READ, &web) < 0)
        return -1;
    p->app_guid = web.app_guid;
    process_lrp_guid(&web, group);
    lrp_instances(c->api->deps.lrp, group, add_metric, p);
    return reply_parts(c, p, false);
}

/* --- streams
 * -------------------------------------------------------------------------------------
 */

struct log_stream {
    struct logs *logs;
    struct websocket *ws;
    struct logs_subscription *subscription;
    enum dialect dialect;
    char app_guid[GUID_SIZE];
};

static void on_line(void *arg, const struct logs_line *line) {
    struct log_stream *s = arg;
    struct packed one = {0};
    if (pack_line(s->dialect, s->app_guid, line, &one) == 0)
        websocket_send(s->ws, one.p, one.n); /* the stream may be gone after this */
    free(one.p);
}

static void on_close(void *arg) {
    struct log_stream *s = arg;
    logs_unsubscribe(s->logs, s->subscription);
    free(s);
}

static int on_open(struct api *api, struct websocket *ws, const char *app_guid, int dialect) {
    struct log_stream *s = mem_zalloc(sizeof *s);
    if (!s)
        return -1;
    s->logs = api->deps.logs;
    s->ws = ws;
    s->dialect = (enum dialect)dialect;
    snprintf(s->app_guid, sizeof s->app_guid, "%s", app_guid);
    s->subscription = logs_subscribe(s->logs, app_guid, on_line, s);
    if (!s->subscription) {
        free(s);
        return -1;
    }
    websocket_on_close(ws, on_close, s);
    return 0;
}

static int reply_stream(struct call *c, const char *guid, enum dialect dialect) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, guid, NEED_READ, &app) < 0)
        return -1;
    return reply_websocket(c, on_open, app.guid, dialect);
}

int tail_logs(struct call *c) {
    return reply_stream(c, app_of_query(c), LOGGREGATOR);
}

int stream_logs(struct call *c) {
    return reply_stream(c, c->params[0], DOPPLER);
}
