#include "router/forward.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "router/answer.h"
#include "router/pen.h"
#include "router/pump.h"
#include "router/rewrite.h"
#include "router/sticky.h"
#include "router/worker.h"

#define TUNNEL_CHECK_MS 3600000u /* a tunnel has no deadline; its timer only comes by */
#define CACHE_SHORT     "public,max-age=2"
#define CACHE_NEVER     "no-cache, no-store"

static void attempt(struct exchange *x);

void forward_abandon(struct exchange *x) {
    exchange_free(x);
}

void forward_finish(struct exchange *x) {
    struct client *c = x->client;
    bool close = x->close;
    exchange_free(x);
    client_exchange_done(c, close);
}

void forward_client_gone(struct exchange *x) {
    client_close(x->client);
}

void forward_backend_done(struct exchange *x) {
    struct backend *b = exchange_take_backend(x);
    x->backend_done_ns = clock_mono_ns();
    if (x->up != UP_DONE) {
        x->up = UP_DROPPED;
        x->close = true;
        x->backend_keep = false;
    }
    if (x->backend_keep)
        backend_release(b);
    else
        backend_close(b);
}

/* --- the router's own answers --- */

/* Takes the place of the app's response: nothing of that was sent yet. */
static void answer(struct exchange *x, int status, const char *router_error,
                   const char *cache_control, const char *message) {
    struct worker *w = x->worker;
    struct backend *b = exchange_take_backend(x);
    if (b)
        backend_close(b);
    x->close |= !x->up_body.done || w->draining;
    x->up = UP_DROPPED;
    x->status = status;
    x->router_error = router_error;
    x->head_sent = true;
    x->down = DOWN_DONE;
    if (x->client->in)
        x->client->in->out = x->client->in->out_end = x->client->in->raw;
    buf_put(&w->bufs, TAKE_PTR(x->out));
    x->out = buf_get(&w->bufs);
    if (!x->out) {
        forward_client_gone(x);
        return;
    }
    struct answer a = {status,   router_error, cache_control, message, {x->id, GUID_SIZE - 1},
                       x->minor, x->to_head,   x->close};
    size_t body_n;
    x->out->out_end += (uint32_t)answer_write(&a, x->out->data + x->out->out, &body_n);
    x->out->raw = x->out->raw_end = x->out->out_end;
    body_fini(&x->down_body);
    body_init(&x->down_body, BODY_NONE, 0);
    x->down_body.total = body_n;
    if (pump_response(x))
        forward_arm(x);
}

static void answer_about_host(struct exchange *x, int status, const char *router_error,
                              const char *cache_control, const char *what) {
    char message[512];
    struct slice host = x->host;
    snprintf(message, sizeof message, "Requested route ('%.*s') %s.", (int)MIN(host.n, 300u),
             host.p, what);
    answer(x, status, router_error, cache_control, message);
}

static void answer_bad_gateway(struct exchange *x, const char *reason) {
    COUNT(x->worker, bad_gateways);
    snprintf(x->error_text, sizeof x->error_text, "endpoint_failure (%s)", reason);
    answer(x, 502, x->error_text, NULL, "Registered endpoint failed to handle the request.");
}

static void refuse(struct exchange *x, const struct refusal *why) {
    COUNT(x->worker, rejected_requests);
    x->close = true;
    if (why->status == 431)
        answer(x, 431, "max-request-size-exceeded", NULL, "");
    else
        answer(x, why->status, NULL, NULL, why->why);
}

void forward_refuse(struct client *c, int status, const char *why, size_t head_n) {
    struct exchange *x = exchange_new(c, head_n);
    struct refusal refusal = {status, why};
    if (x)
        refuse(x, &refusal);
    else
        client_close(c);
}

void forward_bad_request(struct exchange *x, const char *why) {
    struct refusal refusal = {400, why};
    if (x->head_sent)
        forward_client_gone(x);
    else
        refuse(x, &refusal);
}

/* --- deadlines --- */

static bool is_sending(const struct exchange *x) {
    return (x->out && buf_out_size(x->out)) || x->client->stream.tls_pending;
}

/* Whose turn it is: true while only the client can move things on. */
static bool waits_for_client(const struct exchange *x) {
    if (is_sending(x))
        return true;
    const struct buf *in = x->client->in;
    return x->up == UP_BODY && !x->up_body.done && !(in && buf_out_size(in));
}

void forward_arm(struct exchange *x) {
    const struct router_config *config = x->worker->config;
    uint64_t deadline;
    if (x->in_tunnel && !is_sending(x))
        deadline = worker_now_ms() + TUNNEL_CHECK_MS;
    else if (waits_for_client(x))
        deadline = x->progress_ms + config->client_timeout_ms;
    else
        deadline = x->progress_ms + config->endpoint_timeout_ms;
    if (x->up == UP_GATE && x->gate_ms < deadline)
        deadline = x->gate_ms;
    client_set_deadline(x->client, deadline);
}

/* The app does not say 100: the client gets it from here, once, and the body may flow. */
static void open_gate(struct exchange *x) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    x->up = UP_BODY;
    if (!x->continue_sent) {
        /* A socket that took nothing yet but cannot take 25 bytes does not exist: no buffer. */
        ssize_t n = stream_write(&x->client->stream, go_on, sizeof go_on - 1);
        if (n != sizeof go_on - 1) {
            forward_client_gone(x);
            return;
        }
        x->continue_sent = true;
    }
    forward_on_client(x);
}

void forward_on_deadline(struct exchange *x) {
    const struct router_config *config = x->worker->config;
    uint64_t now = worker_now_ms();
    if (x->up == UP_GATE && now >= x->gate_ms) {
        open_gate(x);
    } else if (x->in_tunnel && !is_sending(x)) {
        forward_arm(x);
    } else if (waits_for_client(x) && now >= x->progress_ms + config->client_timeout_ms) {
        COUNT(x->worker, timeouts);
        if (x->head_sent)
            forward_client_gone(x);
        else
            answer(x, 408, NULL, NULL, "request body took too long");
    } else if (!waits_for_client(x) && now >= x->progress_ms + config->endpoint_timeout_ms) {
        x->no_retry = true;
        forward_attempt_failed(x, -ETIMEDOUT, "timeout");
    } else {
        forward_arm(x);
    }
}

/* --- attempts --- */

static bool can_retry(const struct exchange *x) {
    if (x->head_sent || x->response_begun || x->interim || x->no_retry)
        return false;
    return x->up_sent == 0 || (x->idempotent && x->up_body.kind == BODY_NONE);
}

/* What says that the instance is not there, rather than that it did not like the request. */
static bool is_instance_fault(int code) {
    return code == -ECONNREFUSED || code == -ETIMEDOUT || code == -EHOSTUNREACH ||
           code == -ENETUNREACH || code == -ECONNRESET;
}

static void count_failure(struct worker *w, int code) {
    COUNT(w, failed_attempts);
    COUNT_ADD(w, instance_faults, is_instance_fault(code));
    COUNT_ADD(w, attempt_timeouts, code == -ETIMEDOUT);
}

/* Aborts so that the client cannot take the part it has for the whole. */
static void abort_response(struct exchange *x) {
    struct linger reset = {.l_onoff = 1};
    if (x->framing == BODY_UNTIL_CLOSE)
        setsockopt(x->client->stream.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    forward_client_gone(x);
}

static void mark_failed(struct exchange *x) {
    struct worker *w = x->worker;
    route_mark_failed(x->route, x->endpoint, worker_now_ms() + w->config->endpoint_fail_ms);
    backend_close_idle(w, &x->route->endpoints[x->endpoint]); /* not to be found dead one by one */
}

static void try_again(struct exchange *x, const char *reason) {
    x->last_reason = reason;
    buf_put(&x->worker->bufs, TAKE_PTR(x->out));
    x->scanned = 0;
    attempt(x);
}

void forward_attempt_failed(struct exchange *x, int code, const char *reason) {
    struct worker *w = x->worker;
    struct backend *b = exchange_take_backend(x);
    bool stale = b && b->reused && !x->response_begun && !x->had_stale && code != -ETIMEDOUT;
    if (b)
        backend_close(b);
    if (x->head_sent) {
        abort_response(x);
        return;
    }
    if (stale) {
        x->no_reuse = x->had_stale = true;
    } else {
        count_failure(w, code);
        if (is_instance_fault(code) && !x->no_retry)
            mark_failed(x);
    }
    if (!can_retry(x)) {
        answer_bad_gateway(x, reason);
        return;
    }
    if (stale)
        x->attempts--;
    else
        COUNT(w, retries);
    try_again(x, reason);
}

void forward_on_connect_timeout(struct exchange *x) {
    forward_attempt_failed(x, -ETIMEDOUT, "connect timeout");
}

static bool another_is_left(const struct exchange *x) {
    return !x->pinned && x->attempts < x->worker->config->max_attempts &&
           route_has_another(x->route, x->tried, x->attempts);
}

bool forward_on_silence(struct exchange *x) {
    if (!another_is_left(x))
        return false;
    route_mark_doubtful(x->route, x->endpoint, worker_now_ms());
    if (!can_retry(x))
        return false;
    backend_close(exchange_take_backend(x));
    COUNT(x->worker, slow_attempts);
    COUNT(x->worker, retries);
    try_again(x, "no answer");
    return true;
}

/* Puts the head for the chosen endpoint in front of the body bytes at hand. */
static int place_head(struct exchange *x, bool again) {
    struct worker *w = x->worker;
    const struct endpoint *e = &x->route->endpoints[x->endpoint];
    struct refusal why;
    if (again && head_parse_request(&w->head, (struct slice){x->text, x->text_n}, &why) < 0)
        return -EBADMSG;
    struct request_facts facts = {
        .client_ip = client_ip(x->client),
        .proto = x->client->stream.ssl ? SLICE_LIT("https") : SLICE_LIT("http"),
        .override_proto = w->config->sanitize_forwarded_proto,
        .start_ms = x->arrived_wall_ns / 1000000u,
        .request_id = {x->id, GUID_SIZE - 1},
        .app_guid = slice_of(x->route->app_guid),
        .instance_id = slice_of(*e->instance_guid ? e->instance_guid : e->text),
        .instance_index = slice_of(e->index),
    };
    if (w->config->force_forwarded_proto_https) {
        facts.proto = SLICE_LIT("https");
        facts.override_proto = true;
    }
    if (!x->forwarded_proto.n || facts.override_proto)
        x->forwarded_proto = facts.proto;
    size_t n = rewrite_request(&w->head, &facts, w->scratch, sizeof w->scratch);
    if (!n || buf_unpark(&w->bufs, &x->client->in) < 0)
        return -ENOMEM;
    struct buf *in = x->client->in;
    if (buf_out_size(in))
        in->out += x->head_n; /* of the attempt before */
    else
        in->out = in->out_end = in->raw;
    x->head_n = (unsigned)n;
    x->up_sent = 0;
    return buf_prepend(in, w->scratch, (uint32_t)n);
}

/* A connection for the endpoint, kept or new. */
static int get_backend(struct exchange *x) {
    const struct endpoint *e = &x->route->endpoints[x->endpoint];
    if (!x->no_reuse && !route_is_marked(x->route, x->endpoint))
        x->backend = backend_reuse(x->worker, e, x, !x->idempotent);
    return x->backend ? 0 : backend_connect(&x->backend, x->worker, e, x);
}

/* Until a probe's end is known at the latest. */
static uint64_t probe_ms(const struct worker *w) {
    return w->config->connect_timeout_ms + 2 * WHEEL_TICK_MS;
}

static unsigned choose(struct exchange *x) {
    if (x->attempts >= x->worker->config->max_attempts)
        return ROUTE_NONE;
    if (x->wanted_endpoint != ROUTE_NONE && !x->attempts)
        return x->wanted_endpoint;
    if (x->pinned)
        return ROUTE_NONE;
    unsigned over;
    uint64_t now = worker_now_ms();
    unsigned endpoint = route_choose(x->route, x->tried, x->attempts, now, &over);
    if (over != ROUTE_NONE && route_claim(x->route, over, now, now + probe_ms(x->worker)))
        backend_probe(x->worker, x->route, over);
    return endpoint;
}

static void attempt(struct exchange *x) {
    struct worker *w = x->worker;
    bool again = x->dispatched_ns != 0;
    for (;;) {
        if (!x->no_reuse || !again) {
            unsigned endpoint = choose(x);
            if (endpoint == ROUTE_NONE) {
                answer_bad_gateway(x, x->last_reason);
                return;
            }
            x->endpoint = endpoint;
            x->sticky_lost |= x->wanted_endpoint != ROUTE_NONE && endpoint != x->wanted_endpoint;
        }
        x->tried[x->attempts++] = x->endpoint;
        int r = get_backend(x);
        x->no_reuse = false;
        if (r == 0)
            break;
        count_failure(w, r);
        x->last_reason = "cannot connect";
        if (is_instance_fault(r))
            mark_failed(x);
    }
    x->load = route_begin(x->route, x->endpoint);
    x->dispatched_ns = clock_mono_ns();
    x->progress_ms = worker_now_ms();
    if (x->up != UP_GATE)
        x->up = UP_BODY; /* also when all of it had been sent to the one that failed */
    if (place_head(x, again) < 0) {
        answer_bad_gateway(x, "head too large");
        return;
    }
    if (pump_request(x))
        forward_arm(x);
}

/* --- the beginning --- */

static bool is_idempotent(const struct head *h) {
    if (h->body != BODY_NONE)
        return false;
    if (h->method_id == METHOD_GET || h->method_id == METHOD_HEAD || h->method_id == METHOD_OPTIONS)
        return true;
    for (unsigned i = 0; i < h->count; i++)
        if (slice_eq_nocase(h->fields[i].name, SLICE_LIT("idempotency-key")) ||
            slice_eq_nocase(h->fields[i].name, SLICE_LIT("x-idempotency-key")))
            return true;
    return false;
}

static void answer_empty_host(struct exchange *x) {
    answer(x, 400, "empty_host", CACHE_SHORT, "Request had empty Host header");
}

static void find_route(struct exchange *x, const struct head *h) {
    struct worker *w = x->worker;
    char message[STICKY_MESSAGE_MAX];
    if (!h->host_name.n) {
        answer_empty_host(x);
        return;
    }
    if (h->method_id == METHOD_OPTIONS && slice_eq(h->target, SLICE_LIT("*"))) {
        answer(x, 200, NULL, NULL, "");
        return;
    }
    const struct table *table = view_table(&w->view, &w->shared->publisher);
    if (!table) {
        COUNT(w, routes_unknown);
        answer(x, 503, "routes_unknown", CACHE_NEVER,
               "The router has not been told its routes yet.");
        return;
    }
    struct route *r = table_find(table, h->host_name, h->path);
    if (!r && slice_eq(h->host_name, client_ip(x->client))) {
        answer_empty_host(x); /* some balancers fill in an address where there was no Host */
        return;
    }
    if (!r) {
        COUNT(w, unknown_routes);
        answer_about_host(x, 404, "unknown_route", CACHE_NEVER, "does not exist");
        return;
    }
    x->route = route_ref(r);
    if (!r->endpoint_count) {
        COUNT(w, no_endpoints);
        answer_about_host(x, 503, "no_endpoints", CACHE_SHORT, "has no available endpoints");
        return;
    }
    enum sticky_target target =
        sticky_find(h, r, w->config->sticky_cookies, &x->wanted_endpoint, message);
    if (target == TARGET_MALFORMED) {
        answer(x, 400, "invalid_cf_app_instance_header", CACHE_NEVER, message);
        return;
    }
    if (target == TARGET_MISSING) {
        answer(x, 400, "unknown_route", CACHE_NEVER, message);
        return;
    }
    x->pinned = target == TARGET_PINNED;
    x->sticky_lost = target == TARGET_SESSION_LOST;
    attempt(x);
}

void forward_begin(struct client *c, size_t head_n) {
    struct worker *w = c->worker;
    struct head *h = &w->head;
    struct refusal why;
    struct exchange *x = buf_unpark(&w->bufs, &c->in) < 0 ? NULL : exchange_new(c, head_n);
    if (!x) {
        client_close(c);
        return;
    }
    c->in->raw += (uint32_t)head_n;
    c->in->out = c->in->out_end = c->in->raw;
    x->wanted_endpoint = ROUTE_NONE;
    int r = head_parse_request(h, (struct slice){x->text, x->text_n}, &why);
    exchange_note_head(x, h);
    if (r < 0) {
        refuse(x, &why);
        return;
    }
    x->close = !h->keep_alive;
    x->idempotent = is_idempotent(h);
    x->upgrade = h->upgrade;
    body_init(&x->up_body, h->body, h->length);
    x->up = UP_BODY;
    if (h->expect_continue) {
        x->up = UP_GATE;
        x->gate_ms = worker_now_ms() + w->config->continue_timeout_ms;
    } else if (pump_decode_request(x) < 0) {
        forward_bad_request(x, "malformed chunked body");
        return;
    }
    find_route(x, h);
}

/* --- events --- */

/* With the whole request taken, nothing is read from the client: only whether it is still there. */
static bool client_is_gone(const struct client *c) {
    char byte;
    if (!c->stream.readable)
        return false;
    return recv(c->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno != EAGAIN &&
           errno != EINTR;
}

void forward_on_client(struct exchange *x) {
    if (x->up >= UP_DROPPED && client_is_gone(x->client)) {
        forward_client_gone(x);
        return;
    }
    if (x->up < UP_DROPPED && !pump_request(x))
        return;
    if (pump_response(x))
        forward_arm(x);
}

static const char *connect_reason(int code) {
    switch (-code) {
    case ECONNREFUSED:
        return "connection refused";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "no route to host";
    case ETIMEDOUT:
        return "connect timeout";
    default:
        return "cannot connect";
    }
}

void forward_on_backend(struct exchange *x) {
    struct backend *b = x->backend;
    if (b->state == BACKEND_CONNECTING) {
        int code = stream_socket_error(&b->stream);
        if (code < 0) {
            forward_attempt_failed(x, code, connect_reason(code));
            return;
        }
        if (!b->stream.writable)
            return;
        b->state = BACKEND_BUSY;
        route_mark_alive(x->route, x->endpoint, worker_now_ms());
    }
    if (x->up < UP_DROPPED && !pump_request(x))
        return;
    if (pump_response(x))
        forward_arm(x);
}

/* --- for the pump --- */

struct slice forward_last_chunk(struct exchange *x, char *buf, size_t cap) {
    struct pen pen = {buf, buf + cap, false};
    struct refusal why;
    pen_lit(&pen, "0\r\n");
    const struct strbuf *trailers = x->down_body.trailers;
    size_t n = 0;
    if (trailers && head_parse_fields(&x->worker->head, (struct slice){trailers->p, trailers->n},
                                      true, &why) == 0)
        n = rewrite_trailers(&x->worker->head, pen.p, (size_t)(pen.end - pen.p));
    pen.p += n;
    if (!n)
        pen_lit(&pen, "\r\n");
    return (struct slice){buf, (size_t)(pen.p - buf)};
}
