#include "router/pump.h"

#include <errno.h>
#include <stdio.h>

#include "router/forward.h"
#include "router/rewrite.h"
#include "router/sticky.h"
#include "router/worker.h"

/* Turns of one pump before the other connections get theirs: at most 1 MiB. */
#define PUMP_TURNS 16

/* A first read below this was one segment: the rest may hang on Nagle's algorithm. */
#define HURRY_BYTES 1400u

#define MAX_INTERIM 16 /* 1xx answers of one response; more is a flood */

/* --- framing --- */

/* Makes `data`, which lies in b's raw range, the out range as one chunk; with `tail` (the last
 * chunk and what follows it) behind it. b->raw must stand behind what was decoded. */
static void frame_chunk(struct buf *b, struct slice data, struct slice tail) {
    static const char hex[] = "0123456789abcdef";
    if (!data.n) {
        /* Right before what is left raw; behind it when that does not do and nothing is left. */
        uint32_t at = buf_raw_size(b) ? b->raw - (uint32_t)tail.n : b->raw;
        memcpy(b->data + at, tail.p, tail.n);
        b->out = at;
        b->out_end = at + (uint32_t)tail.n;
        if (!buf_raw_size(b))
            b->raw = b->raw_end = b->out_end;
        return;
    }
    uint32_t from = (uint32_t)(data.p - b->data), end = from + (uint32_t)data.n;
    b->data[--from] = '\n';
    b->data[--from] = '\r';
    for (size_t n = data.n; n; n >>= 4)
        b->data[--from] = hex[n & 15];
    memcpy(b->data + end, "\r\n", 2);
    memcpy(b->data + end + 2, tail.p, tail.n);
    b->out = from;
    b->out_end = end + 2 + (uint32_t)tail.n;
    if (b->raw < b->out_end) /* into the tail room: then nothing is left raw */
        b->raw = b->raw_end = b->out_end;
}

static void frame_plain(struct buf *b, struct slice data) {
    b->out = (uint32_t)(data.p - b->data);
    b->out_end = b->out + (uint32_t)data.n;
}

/* --- the request --- */

int pump_decode_request(struct exchange *x) {
    struct client *c = x->client;
    struct slice data;
    if (!c->in || !buf_raw_size(c->in) || x->up_body.done)
        return 0;
    if (buf_unpark(&x->worker->bufs, &c->in) < 0)
        return -ENOMEM;
    struct buf *in = c->in;
    ssize_t n = body_decode(&x->up_body, in->data + in->raw, buf_raw_size(in), &data);
    if (n < 0)
        return (int)n;
    in->raw += (uint32_t)n;
    if (x->up_body.kind != BODY_CHUNKED)
        frame_plain(in, data);
    else if (x->up_body.done)
        frame_chunk(in, data, SLICE_LIT("0\r\n\r\n"));
    else if (data.n)
        frame_chunk(in, data, SLICE_LIT(""));
    else
        in->out = in->out_end = in->raw;
    return 0;
}

/* What the client sent goes to the app: false when the pump must stop. */
static bool send_request(struct exchange *x, bool *ret_over) {
    struct backend *b = x->backend;
    struct buf *in = x->client->in;
    if (!b || b->state != BACKEND_BUSY)
        return false;
    ssize_t n = stream_write(&b->stream, in->data + in->out, buf_out_size(in));
    if (n == -EAGAIN)
        return false;
    if (n < 0) {
        if (x->up_sent) {
            /* Perhaps it answered before it had all: that answer is worth waiting for. */
            x->up = UP_DROPPED;
            x->backend_keep = false;
            x->close = true;
            in->out = in->out_end;
        } else {
            *ret_over = true;
            forward_attempt_failed(x, (int)n, "connection reset");
        }
        return false;
    }
    in->out += (uint32_t)n;
    x->up_sent += (uint64_t)n;
    x->progress_ms = worker_now_ms();
    return !buf_out_size(in);
}

/* More of the request from the client: 1, 0 when there is none now, -1 when x is over. */
static int read_request(struct exchange *x) {
    struct client *c = x->client;
    if (!stream_may_read(&c->stream))
        return 0;
    if (buf_unpark(&x->worker->bufs, &c->in) < 0) {
        forward_client_gone(x);
        return -1;
    }
    ssize_t n = stream_read(&c->stream, c->in->data + c->in->raw_end, buf_room(c->in));
    if (n == -EAGAIN)
        return 0;
    if (n == 0 && x->up == UP_TUNNEL) {
        stream_shutdown_write(&x->backend->stream);
        x->up = UP_DONE;
        return 0;
    }
    if (n <= 0) {
        forward_client_gone(x);
        return -1;
    }
    c->in->raw_end += (uint32_t)n;
    return 1;
}

bool pump_request(struct exchange *x) {
    struct client *c = x->client;
    bool over = false;
    unsigned turns = PUMP_TURNS;
    while (x->up < UP_DROPPED && turns--) {
        if (c->in && buf_out_size(c->in) && !send_request(x, &over))
            break;
        if (x->up == UP_GATE)
            break;
        if (x->up == UP_BODY && x->up_body.done) {
            x->up = UP_DONE;
            break;
        }
        if (!c->in || !buf_raw_size(c->in)) {
            int r = read_request(x);
            if (r < 0)
                return false;
            if (r == 0) {
                if (x->up == UP_BODY && x->up_body.total < HURRY_BYTES)
                    stream_hurry(&c->stream);
                break;
            }
        }
        if (x->up == UP_TUNNEL) {
            c->in->out = c->in->raw; /* nothing is framed: a parked buffer does as well */
            c->in->out_end = c->in->raw = c->in->raw_end;
            x->up_body.total += buf_out_size(c->in);
        } else if (pump_decode_request(x) < 0) {
            forward_bad_request(x, "malformed chunked body");
            return false;
        }
    }
    if (over)
        return false;
    if (x->up < UP_DROPPED && turns == UINT32_MAX)
        worker_ready(x->worker, c);
    buf_park(&x->worker->bufs, &c->in);
    return true;
}

/* --- the response --- */

static int bad_response(struct exchange *x, const char *why) {
    forward_attempt_failed(x, -EBADMSG, why);
    return -1;
}

static void write_interim(struct exchange *x) {
    struct worker *w = x->worker;
    struct buf *o = x->out;
    struct response_facts facts = {.client_minor = x->minor, .body = BODY_NONE};
    size_t n = rewrite_response(&w->head, &facts, w->scratch, sizeof w->scratch);
    o->out = o->out_end = o->raw;
    if (n)
        buf_prepend(o, w->scratch, (uint32_t)n);
}

/* 1xx but 101: goes on to clients that know of it; 100 opens the gate. */
static int take_interim(struct exchange *x) {
    bool is_continue = x->worker->head.status == 100;
    if (++x->interim > MAX_INTERIM)
        return bad_response(x, "too many interim responses");
    if (is_continue && x->up == UP_GATE) {
        x->up = UP_BODY;
        worker_ready(x->worker, x->client);
    }
    if (x->minor == 0 || (is_continue && x->continue_sent))
        return 1;
    x->continue_sent |= is_continue;
    write_interim(x);
    return 1;
}

/* How the body goes to the client, and whether the connection can go on after it. */
static enum body_kind client_framing(struct exchange *x, const struct head *h) {
    if (h->body == BODY_CHUNKED || h->body == BODY_UNTIL_CLOSE) {
        if (x->minor >= 1)
            return BODY_CHUNKED;
        x->close = true;
        return BODY_UNTIL_CLOSE;
    }
    return h->body;
}

/* The head for the client, into the worker's scratch space: before the body is decoded, for that
 * may overwrite the end of what the head was parsed from. Returns its length, 0 when it does not
 * fit. */
static size_t write_head(struct exchange *x) {
    struct worker *w = x->worker;
    struct head *h = &w->head;
    char cookie[STICKY_COOKIE_MAX];
    struct response_facts facts = {
        .request_id = {x->id, GUID_SIZE - 1},
        .client_minor = x->minor,
        .body = x->framing,
        .close = x->close,
        .sticky = sticky_cookie(h, w->config->sticky_cookies, x->route,
                                &x->route->endpoints[x->endpoint], x->sticky_lost, cookie),
    };
    return rewrite_response(h, &facts, w->scratch, sizeof w->scratch);
}

/* Body bytes in x->out's raw: into its out range. */
static int decode_response(struct exchange *x) {
    struct buf *o = x->out;
    struct slice data;
    char trailers[TRAILER_MAX + HEAD_MAX_FIELDS + 8];
    struct slice tail = {"", 0};
    ssize_t n = body_decode(&x->down_body, o->data + o->raw, buf_raw_size(o), &data);
    if (n < 0)
        return bad_response(x, "malformed chunked body");
    o->raw += (uint32_t)n;
    if (x->down_body.done) {
        if (buf_raw_size(o)) /* more than it announced: such a connection is not trusted again */
            x->backend_keep = false;
        o->raw_end = o->raw;
    }
    if (x->framing != BODY_CHUNKED) {
        frame_plain(o, data);
        return 1;
    }
    if (x->down_body.done)
        tail = forward_last_chunk(x, trailers, sizeof trailers);
    if (data.n || tail.n)
        frame_chunk(o, data, tail);
    else
        o->out = o->out_end = o->raw;
    return 1;
}

static void check_done(struct exchange *x) {
    if (x->down != DOWN_BODY || !x->down_body.done)
        return;
    x->down = DOWN_DONE;
    forward_backend_done(x);
}

static int begin_body(struct exchange *x) {
    struct buf *o = x->out;
    x->down = DOWN_BODY;
    if (!x->down_body.done) {
        bool small = buf_raw_size(o) < HURRY_BYTES;
        if (buf_raw_size(o) && decode_response(x) < 0)
            return -1;
        if (small && !x->down_body.done)
            stream_hurry(&x->backend->stream);
        return 1;
    }
    if (buf_raw_size(o))
        x->backend_keep = false; /* bytes after an answer that has none */
    o->raw_end = o->raw;
    return 1;
}

static int begin_tunnel(struct exchange *x) {
    struct worker *w = x->worker;
    struct buf *o = x->out;
    if (!x->upgrade.n || !slice_eq_nocase(w->head.upgrade, x->upgrade))
        return bad_response(x, "unasked protocol switch");
    x->up = UP_TUNNEL;
    x->down = DOWN_TUNNEL;
    x->close = true;
    x->backend_keep = false;
    x->in_tunnel = true;
    COUNT(w, tunnels);
    worker_ready(w, x->client); /* for what the client sent already */
    o->out_end = o->raw = o->raw_end;
    x->down_body.total += buf_out_size(o);
    return 1;
}

static int take_final(struct exchange *x) {
    struct worker *w = x->worker;
    struct head *h = &w->head;
    int status = h->status;
    if (x->up != UP_DONE || w->draining)
        x->close = true; /* answered before it was all said: the rest is not waited for */
    x->backend_keep = h->keep_alive;
    x->framing = client_framing(x, h);
    body_init(&x->down_body, h->body, h->length);
    x->down_body.keep_trailers = x->framing == BODY_CHUNKED;
    x->out->out = x->out->out_end = x->out->raw;
    size_t n = write_head(x);
    if (!n)
        return bad_response(x, "response head too large");
    if ((status == 101 ? begin_tunnel(x) : begin_body(x)) < 0)
        return -1;
    if (buf_prepend(x->out, w->scratch, (uint32_t)n) < 0)
        return bad_response(x, "response head too large");
    x->status = status;
    x->head_sent = true;
    check_done(x);
    return 1;
}

/* 1 when something was taken, 0 when more bytes are needed, -1 when x is over. */
static int take_head(struct exchange *x) {
    struct buf *o = x->out;
    struct refusal why;
    ssize_t n = head_end(o->data + o->raw, buf_raw_size(o), &x->scanned, false);
    if (n == 0 && buf_raw_size(o) < BUF_READ) {
        stream_hurry(&x->backend->stream);
        return 0;
    }
    if (n == 0)
        return bad_response(x, "response head too large");
    struct slice text = {o->data + o->raw, (size_t)n};
    if (head_parse_response(&x->worker->head, text, x->to_head, &why) < 0)
        return bad_response(x, why.why);
    o->raw += (uint32_t)n;
    x->scanned = 0;
    int status = x->worker->head.status;
    return status < 200 && status != 101 ? take_interim(x) : take_final(x);
}

static int take_response(struct exchange *x) {
    if (buf_unpark(&x->worker->bufs, &x->out) < 0)
        return bad_response(x, "out of memory");
    struct buf *o = x->out;
    switch (x->down) {
    case DOWN_HEAD:
        return take_head(x);
    case DOWN_BODY:
        if (decode_response(x) < 0)
            return -1;
        check_done(x);
        return 1;
    case DOWN_TUNNEL:
        o->out = o->raw;
        o->out_end = o->raw = o->raw_end;
        x->down_body.total += buf_out_size(o);
        return 1;
    case DOWN_DONE:
        return 1;
    }
    return -1;
}

/* The app's side ended. 1 when that is a proper end, -1 when x is over. */
static int end_of_response(struct exchange *x) {
    if (x->down == DOWN_TUNNEL) {
        x->down = DOWN_DONE;
        forward_backend_done(x);
        return 1;
    }
    if (x->down == DOWN_BODY && body_end_of_stream(&x->down_body)) {
        char tail[8];
        struct slice last = {"", 0};
        if (x->framing == BODY_CHUNKED)
            last = forward_last_chunk(x, tail, sizeof tail);
        frame_chunk(x->out, (struct slice){"", 0}, last);
        check_done(x);
        return 1;
    }
    forward_attempt_failed(x, -EPIPE, "EOF");
    return -1;
}

static int read_response(struct exchange *x) {
    struct backend *b = x->backend;
    if (!b || b->state != BACKEND_BUSY || !stream_may_read(&b->stream))
        return 0;
    if (buf_unpark(&x->worker->bufs, &x->out) < 0) {
        forward_attempt_failed(x, -ENOMEM, "out of memory");
        return -1;
    }
    struct buf *o = x->out;
    ssize_t n = stream_read(&b->stream, o->data + o->raw_end, buf_room(o));
    if (n == -EAGAIN)
        return 0;
    if (n == 0)
        return end_of_response(x);
    if (n < 0) {
        forward_attempt_failed(x, (int)n, n == -ETIMEDOUT ? "no answer" : "connection reset");
        return -1;
    }
    x->response_begun = true;
    x->progress_ms = worker_now_ms();
    o->raw_end += (uint32_t)n;
    return take_response(x) < 0 ? -1 : 1;
}

/* 1 when all of out is with the client, 0 when it must wait, -1 when x is over. */
static int send_response(struct exchange *x) {
    struct buf *o = x->out;
    if (!o || !buf_out_size(o)) {
        int r = stream_flush(&x->client->stream);
        if (r < 0 && r != -EAGAIN) {
            forward_client_gone(x);
            return -1;
        }
        return r == 0;
    }
    ssize_t n = stream_write(&x->client->stream, o->data + o->out, buf_out_size(o));
    if (n == -EAGAIN)
        return 0;
    if (n < 0) {
        forward_client_gone(x);
        return -1;
    }
    o->out += (uint32_t)n;
    x->progress_ms = worker_now_ms();
    return !buf_out_size(o) && !x->client->stream.tls_pending;
}

bool pump_response(struct exchange *x) {
    struct worker *w = x->worker;
    unsigned turns = PUMP_TURNS;
    for (; turns; turns--) {
        int r = send_response(x);
        if (r < 0)
            return false;
        if (r == 0)
            return true;
        if (x->down == DOWN_DONE) {
            forward_finish(x);
            return false;
        }
        bool raw = x->out && buf_raw_size(x->out) && x->down != DOWN_HEAD;
        if (x->down == DOWN_HEAD && x->out && buf_raw_size(x->out) > x->scanned)
            raw = true; /* an interim answer went, more came with it */
        r = raw ? take_response(x) : read_response(x);
        if (r < 0)
            return false;
        if (r == 0 && !raw)
            break;
    }
    if (!turns)
        worker_ready(w, x->client);
    buf_park(&w->bufs, &x->out);
    return true;
}
