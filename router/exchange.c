#include "router/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "router/worker.h"

static void write_id(struct worker *w, char id[static GUID_SIZE]) {
    static const char hex[] = "0123456789abcdef";
    uint64_t half[2] = {rng_next(&w->rng), rng_next(&w->rng)};
    half[0] = (half[0] & ~UINT64_C(0xf000)) | 0x4000; /* version 4 */
    half[1] = half[1] >> 2 | UINT64_C(1) << 63;       /* RFC 9562's variant */
    for (unsigned i = 0, n = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            id[n++] = '-';
        id[n++] = hex[half[i / 16] >> (60 - i % 16 * 4) & 15];
    }
    id[GUID_SIZE - 1] = 0;
}

struct exchange *exchange_new(struct client *c, size_t head_n) {
    struct worker *w = c->worker;
    struct exchange *x = mem_zalloc(sizeof *x);
    if (!x)
        return NULL;
    x->text = malloc(head_n + 1);
    if (!x->text) {
        free(x);
        return NULL;
    }
    if (head_n)
        memcpy(x->text, c->in->data + c->in->raw, head_n);
    x->text_n = head_n;
    x->client = c;
    x->worker = w;
    x->minor = 1;
    x->arrived_ns = clock_mono_ns();
    x->arrived_wall_ns = x->arrived_ns + w->wall_offset_ns;
    x->progress_ms = worker_now_ms();
    write_id(w, x->id);
    c->exchange = x;
    COUNT(w, requests);
    COUNT(w, active_requests);
    return x;
}

static void log_request(struct exchange *x) {
    struct worker *w = x->worker;
    if (!access_batch_wanted(&w->log))
        return;
    const struct route *r = x->route;
    const struct endpoint *e = r && x->attempts ? &r->endpoints[x->endpoint] : NULL;
    uint64_t now = clock_mono_ns();
    struct access_record record = {
        .host = x->host,
        .method = x->method,
        .target = x->target,
        .referer = x->referer,
        .user_agent = x->user_agent,
        .forwarded_for = x->forwarded_for,
        .forwarded_for_tail = e ? client_ip(x->client) : (struct slice){0},
        .forwarded_proto = x->forwarded_proto,
        .client = {x->client->peer, x->client->peer_n},
        .backend = e ? slice_of(e->text) : (struct slice){0},
        .request_id = {x->id, GUID_SIZE - 1},
        .app_guid = r ? slice_of(r->app_guid) : (struct slice){0},
        .app_index = e ? slice_of(e->index) : (struct slice){0},
        .instance_id = e ? slice_of(e->instance_guid) : (struct slice){0},
        .router_error = slice_of(x->router_error),
        .minor = x->minor,
        .status = x->status ? x->status : 499,
        .bytes_in = x->up_body.total,
        .bytes_out = x->down_body.total,
        .arrived_wall_ns = x->arrived_wall_ns,
        .response_ns = now - x->arrived_ns,
        .backend_ns = x->dispatched_ns
                          ? (x->backend_done_ns ? x->backend_done_ns : now) - x->dispatched_ns
                          : 0,
    };
    access_batch_add(&w->log, &record);
}

static void count_response(struct exchange *x) {
    struct worker *w = x->worker;
    switch (x->status / 100) {
    case 0:
        COUNT(w, client_aborts);
        break;
    case 1:
        COUNT(w, responses_1xx);
        break;
    case 2:
        COUNT(w, responses_2xx);
        break;
    case 3:
        COUNT(w, responses_3xx);
        break;
    case 4:
        COUNT(w, responses_4xx);
        break;
    default:
        COUNT(w, responses_5xx);
    }
    COUNT_ADD(w, request_body_bytes, x->up_body.total);
    COUNT_ADD(w, response_body_bytes, x->down_body.total);
    COUNT_DOWN(w, active_requests);
    if (x->in_tunnel)
        COUNT_DOWN(w, tunnels);
}

struct backend *exchange_take_backend(struct exchange *x) {
    load_end(TAKE_PTR(x->load));
    return TAKE_PTR(x->backend);
}

void exchange_free(struct exchange *x) {
    log_request(x);
    count_response(x);
    struct backend *b = exchange_take_backend(x);
    if (b)
        backend_close(b);
    route_unref(x->route);
    body_fini(&x->up_body);
    body_fini(&x->down_body);
    buf_put(&x->worker->bufs, x->out);
    free(x->folded);
    free(x->text);
    free(x);
}

static void fold_forwarded_for(struct exchange *x, const struct head *h) {
    _cleanup_(strbuf_fini) struct strbuf all = {0};
    unsigned lines = 0;
    if (!(h->present & FIELD_BIT(FIELD_X_FORWARDED_FOR)))
        return;
    for (unsigned i = 0; i < h->count; i++) {
        if (h->fields[i].id != FIELD_X_FORWARDED_FOR || !h->fields[i].value.n)
            continue;
        x->forwarded_for = h->fields[i].value;
        if (lines++)
            strbuf_puts(&all, ", ");
        strbuf_add(&all, x->forwarded_for.p, x->forwarded_for.n);
    }
    if (lines > 1 && (x->folded = strbuf_take(&all)))
        x->forwarded_for = slice_of(x->folded);
}

static struct slice field_value(const struct head *h, enum field_id id) {
    const struct field *f = head_find(h, id);
    return f ? f->value : (struct slice){0};
}

void exchange_note_head(struct exchange *x, const struct head *h) {
    x->host = h->host;
    x->method = h->method;
    x->target = h->add_slash && !h->target.n ? SLICE_LIT("/") : h->target;
    x->referer = field_value(h, FIELD_REFERER);
    x->user_agent = field_value(h, FIELD_USER_AGENT);
    x->forwarded_proto = field_value(h, FIELD_X_FORWARDED_PROTO);
    x->minor = (uint8_t)h->minor;
    x->to_head = h->method_id == METHOD_HEAD;
    fold_forwarded_for(x, h);
}
