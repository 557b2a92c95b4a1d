#include "router/rewrite.h"

#include "router/pen.h"

/* Hop-by-hop (RFC 9110 section 7.6.1, RFC 9112 9.6, and what Go's proxy removes). */
#define HOP_BY_HOP                                                                                 \
    (FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE) |                                   \
     FIELD_BIT(FIELD_PROXY_CONNECTION) | FIELD_BIT(FIELD_PROXY_AUTHENTICATE) |                     \
     FIELD_BIT(FIELD_PROXY_AUTHORIZATION) | FIELD_BIT(FIELD_TE) | FIELD_BIT(FIELD_TRAILER) |       \
     FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_UPGRADE) |                               \
     FIELD_BIT(FIELD_HTTP2_SETTINGS))

/* What the router says itself, so that a client cannot, or says in its own place. */
#define REQUEST_DROPPED                                                                            \
    (HOP_BY_HOP | FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) |                        \
     FIELD_BIT(FIELD_EXPECT) | FIELD_BIT(FIELD_X_FORWARDED_FOR) |                                  \
     FIELD_BIT(FIELD_X_FORWARDED_PROTO) | FIELD_BIT(FIELD_X_VCAP_REQUEST_ID) |                     \
     FIELD_BIT(FIELD_X_CF_APPLICATIONID) | FIELD_BIT(FIELD_X_CF_INSTANCEID) |                      \
     FIELD_BIT(FIELD_X_CF_INSTANCEINDEX) | FIELD_BIT(FIELD_X_CF_APP_INSTANCE))

#define RESPONSE_DROPPED                                                                           \
    (HOP_BY_HOP | FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_X_CF_PROXY_SIGNATURE))

/* Never in a trailer: framing, routing, authentication, what the router vouches for. */
#define TRAILERS_DROPPED                                                                           \
    (REQUEST_DROPPED | FIELD_BIT(FIELD_AUTHORIZATION) | FIELD_BIT(FIELD_COOKIE) |                  \
     FIELD_BIT(FIELD_SET_COOKIE) | FIELD_BIT(FIELD_X_FORWARDED_CLIENT_CERT) |                      \
     FIELD_BIT(FIELD_X_REQUEST_START) | FIELD_BIT(FIELD_X_CF_PROXY_SIGNATURE))

/* Go's canonical form, which apps of the platform rely on: "x-foo-BAR" -> "X-Foo-Bar". */
static void put_canonical(struct pen *pen, struct slice name) {
    bool upper = true;
    if (!pen_fits(pen, name.n))
        return;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (upper && c >= 'a' && c <= 'z')
            c = (char)(c & ~0x20);
        else if (!upper && c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        upper = c == '-';
        *pen->p++ = c;
    }
}

static void put_field(struct pen *pen, struct slice name, struct slice value) {
    pen_slice(pen, name);
    pen_lit(pen, ": ");
    pen_slice(pen, value);
    pen_lit(pen, "\r\n");
}

/* The client's own lines folded into one, the client's address behind. */
static void put_forwarded_for(struct pen *pen, const struct head *h,
                              const struct request_facts *facts) {
    pen_lit(pen, "X-Forwarded-For: ");
    if (h->present & FIELD_BIT(FIELD_X_FORWARDED_FOR)) {
        for (unsigned i = 0; i < h->count; i++) {
            if (h->fields[i].id != FIELD_X_FORWARDED_FOR || !h->fields[i].value.n)
                continue;
            pen_slice(pen, h->fields[i].value);
            pen_lit(pen, ", ");
        }
    }
    pen_slice(pen, facts->client_ip);
    pen_lit(pen, "\r\n");
}

static void put_forwarded_proto(struct pen *pen, const struct head *h,
                                const struct request_facts *facts) {
    const struct field *given = head_find(h, FIELD_X_FORWARDED_PROTO);
    put_field(pen, SLICE_LIT("X-Forwarded-Proto"),
              given && !facts->override_proto ? given->value : facts->proto);
}

static void put_request_framing(struct pen *pen, const struct head *h) {
    if (h->body == BODY_CHUNKED) {
        pen_lit(pen, "Transfer-Encoding: chunked\r\n");
    } else if (h->has_length) {
        pen_lit(pen, "Content-Length: ");
        pen_u64(pen, h->length);
        pen_lit(pen, "\r\n");
    }
    if (h->expect_continue)
        pen_lit(pen, "Expect: 100-continue\r\n");
    if (h->te_trailers)
        pen_lit(pen, "Te: trailers\r\n");
    if (h->upgrade.n) {
        pen_lit(pen, "Connection: Upgrade\r\n");
        put_field(pen, SLICE_LIT("Upgrade"), h->upgrade);
    }
}

size_t rewrite_request(const struct head *h, const struct request_facts *facts, char *dst,
                       size_t cap) {
    struct pen pen = {dst, dst + cap, false};
    pen_slice(&pen, h->method);
    pen_char(&pen, ' ');
    if (h->add_slash)
        pen_char(&pen, '/');
    pen_slice(&pen, h->target);
    pen_lit(&pen, " HTTP/1.1\r\n");
    put_field(&pen, SLICE_LIT("Host"), h->host);
    for (unsigned i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->dropped || (FIELD_BIT(f->id) & REQUEST_DROPPED))
            continue;
        put_canonical(&pen, f->name);
        pen_lit(&pen, ": ");
        pen_slice(&pen, f->value);
        pen_lit(&pen, "\r\n");
    }
    put_request_framing(&pen, h);
    put_forwarded_for(&pen, h, facts);
    put_forwarded_proto(&pen, h, facts);
    if (!(h->present & FIELD_BIT(FIELD_X_REQUEST_START))) {
        pen_lit(&pen, "X-Request-Start: ");
        pen_u64(&pen, facts->start_ms);
        pen_lit(&pen, "\r\n");
    }
    put_field(&pen, SLICE_LIT("X-Vcap-Request-Id"), facts->request_id);
    put_field(&pen, SLICE_LIT("X-Cf-Applicationid"), facts->app_guid);
    put_field(&pen, SLICE_LIT("X-Cf-Instanceid"), facts->instance_id);
    put_field(&pen, SLICE_LIT("X-Cf-Instanceindex"), facts->instance_index);
    pen_lit(&pen, "\r\n");
    return pen.full ? 0 : (size_t)(pen.p - dst);
}

static void put_response_framing(struct pen *pen, const struct head *h,
                                 const struct response_facts *facts) {
    bool interim = h->status < 200;
    if (facts->body == BODY_CHUNKED) {
        pen_lit(pen, "Transfer-Encoding: chunked\r\n");
    } else if (h->has_length && !interim && h->status != 204) {
        pen_lit(pen, "Content-Length: ");
        pen_u64(pen, h->length);
        pen_lit(pen, "\r\n");
    }
    if (h->status == 101) {
        pen_lit(pen, "Connection: Upgrade\r\n");
        put_field(pen, SLICE_LIT("Upgrade"), h->upgrade);
    } else if (interim) {
        return;
    } else if (facts->close) {
        pen_lit(pen, "Connection: close\r\n");
    } else if (facts->client_minor == 0) {
        pen_lit(pen, "Connection: keep-alive\r\n");
    }
}

size_t rewrite_response(const struct head *h, const struct response_facts *facts, char *dst,
                        size_t cap) {
    struct pen pen = {dst, dst + cap, false};
    uint64_t dropped = RESPONSE_DROPPED;
    if (facts->body == BODY_CHUNKED)
        dropped &= ~FIELD_BIT(FIELD_TRAILER);
    if (facts->client_minor)
        pen_lit(&pen, "HTTP/1.1 ");
    else
        pen_lit(&pen, "HTTP/1.0 ");
    pen_padded(&pen, (uint64_t)h->status, 3);
    pen_char(&pen, ' ');
    pen_slice(&pen, h->reason);
    pen_lit(&pen, "\r\n");
    for (unsigned i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->dropped || (FIELD_BIT(f->id) & dropped))
            continue;
        put_field(&pen, f->name, f->value);
    }
    put_response_framing(&pen, h, facts);
    if (h->status >= 200 || h->status == 101) {
        if (!(h->present & FIELD_BIT(FIELD_X_VCAP_REQUEST_ID)))
            put_field(&pen, SLICE_LIT("X-Vcap-Request-Id"), facts->request_id);
        if (facts->sticky.n)
            put_field(&pen, SLICE_LIT("Set-Cookie"), facts->sticky);
    }
    pen_lit(&pen, "\r\n");
    return pen.full ? 0 : (size_t)(pen.p - dst);
}

size_t rewrite_trailers(const struct head *fields, char *dst, size_t cap) {
    struct pen pen = {dst, dst + cap, false};
    for (unsigned i = 0; i < fields->count; i++)
        if (!(FIELD_BIT(fields->fields[i].id) & TRAILERS_DROPPED))
            put_field(&pen, fields->fields[i].name, fields->fields[i].value);
    pen_lit(&pen, "\r\n");
    return pen.full ? 0 : (size_t)(pen.p - dst);
}
