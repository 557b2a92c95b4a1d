#include "router/head.h"

#include <errno.h>
#include <string.h>

#include "common/base/mem.h"

static int refuse(struct refusal *why, int status, const char *text) {
    *why = (struct refusal){status, text};
    return -EBADMSG;
}

ssize_t head_end(const char *p, size_t n, size_t *scanned, bool strict) {
    size_t i = *scanned;
    const char *lf;
    while (i < n && (lf = memchr(p + i, '\n', n - i))) {
        size_t at = (size_t)(lf - p);
        bool has_cr = at && p[at - 1] == '\r';
        if (strict && !has_cr)
            return -EBADMSG;
        size_t line_end = at - has_cr; /* where this line's text ends */
        if (line_end && p[line_end - 1] == '\n')
            return (ssize_t)(at + 1);
        i = at + 1;
    }
    *scanned = n;
    return 0;
}

/* Cuts the next line from *text, without its end. A head always ends with a complete line. */
static struct slice take_line(struct slice *text) {
    const char *lf = memchr(text->p, '\n', text->n);
    size_t n = lf ? (size_t)(lf - text->p) : text->n;
    struct slice line = {text->p, n};
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    n += lf != NULL;
    text->p += n;
    text->n -= n;
    return line;
}

static int parse_field(struct head *h, struct slice line, struct refusal *why) {
    size_t i = 0;
    while (i < line.n && char_is(line.p[i], CHAR_TOKEN))
        i++;
    if (i == 0)
        return refuse(why, 400,
                      line.n && (line.p[0] == ' ' || line.p[0] == '\t')
                          ? "folded header line"
                          : "header line without a name");
    if (i == line.n || line.p[i] != ':')
        return refuse(why, 400, "malformed header name");
    if (h->count == HEAD_MAX_FIELDS)
        return refuse(why, 431, "too many header fields");
    struct field *f = &h->fields[h->count];
    f->name = (struct slice){line.p, i};
    for (i++; i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'); i++)
        ;
    f->value = (struct slice){line.p + i, line.n - i};
    for (; i < line.n; i++)
        if (!char_is(line.p[i], CHAR_VALUE))
            return refuse(why, 400, "control character in a header");
    while (f->value.n && (f->value.p[f->value.n - 1] == ' ' || f->value.p[f->value.n - 1] == '\t'))
        f->value.n--;
    f->id = field_find(f->name);
    f->dropped = false;
    h->present |= FIELD_BIT(f->id);
    h->count++;
    return 0;
}

int head_parse_fields(struct head *h, struct slice text, bool strict, struct refusal *why) {
    int r;
    h->count = 0;
    h->present = 0;
    while (text.n) {
        struct slice line = take_line(&text);
        if (!line.n)
            return text.n ? refuse(why, 400, "text after the empty line") : 0;
        if (strict && line.p[line.n] != '\r')
            return refuse(why, 400, "bare LF");
        if ((r = parse_field(h, line, why)) < 0)
            return r;
    }
    return 0;
}

const struct field *head_find(const struct head *h, enum field_id id) {
    if (!(h->present & FIELD_BIT(id)))
        return NULL;
    for (unsigned i = 0; i < h->count; i++)
        if (h->fields[i].id == id)
            return &h->fields[i];
    return NULL;
}

/* What a client may not have removed by naming it in Connection: framing, routing, and what
 * Gorouter lists in hop_by_hop_headers_to_filter. */
#define PROTECTED                                                                                  \
    (FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) |                                     \
     FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_AUTHORIZATION) |                         \
     FIELD_BIT(FIELD_COOKIE) | FIELD_BIT(FIELD_SET_COOKIE) | FIELD_BIT(FIELD_B3) |                 \
     FIELD_BIT(FIELD_X_B3) | FIELD_BIT(FIELD_X_B3_SPANID) | FIELD_BIT(FIELD_X_B3_TRACEID) |        \
     FIELD_BIT(FIELD_X_FORWARDED_CLIENT_CERT) | FIELD_BIT(FIELD_X_FORWARDED_FOR) |                 \
     FIELD_BIT(FIELD_X_FORWARDED_PROTO) | FIELD_BIT(FIELD_X_REQUEST_START) |                       \
     FIELD_BIT(FIELD_X_VCAP_REQUEST_ID) | FIELD_BIT(FIELD_X_CF_APP_INSTANCE))

static void drop_named(struct head *h, struct slice name) {
    for (unsigned i = 0; i < h->count; i++) {
        struct field *f = &h->fields[i];
        if (!(FIELD_BIT(f->id) & PROTECTED) && slice_eq_nocase(f->name, name))
            f->dropped = true;
    }
}

/* Reads Connection, Upgrade and TE; marks what they name. */
static int read_connection(struct head *h, struct refusal *why) {
    bool close = false, keep = false, upgrade = false;
    unsigned names = 0;
    h->keep_alive = h->minor >= 1;
    if (!(h->present & (FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_TE))))
        return 0;
    for (unsigned i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, member;
        if (h->fields[i].id == FIELD_TE) {
            while (list_next(&list, &member))
                h->te_trailers |= slice_eq_nocase(member, SLICE_LIT("trailers"));
            continue;
        }
        if (h->fields[i].id != FIELD_CONNECTION)
            continue;
        while (list_next(&list, &member)) {
            if (slice_eq_nocase(member, SLICE_LIT("close")))
                close = true;
            else if (slice_eq_nocase(member, SLICE_LIT("keep-alive")))
                keep = true;
            else if (slice_eq_nocase(member, SLICE_LIT("upgrade")))
                upgrade = true;
            else if (++names > HEAD_MAX_CONNECTION_NAMES)
                return refuse(why, 400, "too many names in Connection");
            else
                drop_named(h, member);
        }
    }
    h->keep_alive = !close && (h->minor >= 1 || keep);
    const struct field *f = upgrade ? head_find(h, FIELD_UPGRADE) : NULL;
    if (f && h->minor >= 1)
        h->upgrade = f->value;
    return 0;
}

/* Content-Length and Transfer-Encoding (RFC 9112 section 6.3). Refuses with 400 and 501. */
static int read_framing(struct head *h, struct refusal *why) {
    const struct field *length = NULL, *coding = NULL;
    h->body = BODY_NONE;
    h->length = 0;
    h->has_length = false;
    if (!(h->present & (FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_TRANSFER_ENCODING))))
        return 0;
    for (unsigned i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->id == FIELD_CONTENT_LENGTH) {
            if (length)
                return refuse(why, 400, "repeated Content-Length");
            length = f;
        } else if (f->id == FIELD_TRANSFER_ENCODING) {
            if (coding)
                return refuse(why, 400, "repeated Transfer-Encoding");
            coding = f;
        }
    }
    if (length && coding)
        return refuse(why, 400, "Content-Length together with Transfer-Encoding");
    if (coding) {
        if (h->minor == 0)
            return refuse(why, 400, "Transfer-Encoding in HTTP/1.0");
        if (!slice_eq_nocase(coding->value, SLICE_LIT("chunked")))
            return refuse(why, 501, "unsupported Transfer-Encoding");
        h->body = BODY_CHUNKED;
        return 0;
    }
    /* 2^62 leaves room for sums; 19 digits never overflow the accumulator. */
    if (!length->value.n || length->value.n > 19)
        return refuse(why, 400, "malformed Content-Length");
    for (size_t i = 0; i < length->value.n; i++) {
        char c = length->value.p[i];
        if (c < '0' || c > '9')
            return refuse(why, 400, "malformed Content-Length");
        h->length = h->length * 10 + (uint64_t)(c - '0');
    }
    if (h->length > UINT64_C(1) << 62)
        return refuse(why, 400, "malformed Content-Length");
    h->has_length = true;
    h->body = h->length ? BODY_LENGTH : BODY_NONE;
    return 0;
}

/* host[:port] (RFC 3986 section 3.2 without userinfo), into h->host and h->host_name. */
static int read_authority(struct head *h, struct slice host, struct refusal *why) {
    struct slice name = host;
    size_t n;
    if (host.n && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);
        if (!end)
            return refuse(why, 400, "malformed Host header");
        n = (size_t)(end - host.p) + 1;
        for (size_t i = 1; i + 1 < n; i++)
            if (host.p[i] != ':' && host.p[i] != '.' &&
                !(char_is(host.p[i], CHAR_HOST) && char_is(host.p[i], CHAR_TOKEN)))
                return refuse(why, 400, "malformed Host header");
    } else {
        for (n = 0; n < host.n && char_is(host.p[n], CHAR_HOST); n++)
            ;
    }
    name.n = n;
    if (n < host.n) {
        unsigned port = 0;
        if (host.p[n] != ':' || n + 1 == host.n || host.n - n > 6)
            return refuse(why, 400, "malformed Host header");
        for (size_t i = n + 1; i < host.n; i++) {
            if (host.p[i] < '0' || host.p[i] > '9')
                return refuse(why, 400, "malformed Host header");
            port = port * 10 + (unsigned)(host.p[i] - '0');
        }
        if (port > 65535)
            return refuse(why, 400, "malformed Host header");
    }
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    h->host = host;
    h->host_name = name;
    return 0;
}

/* "http://authority/path" -> the origin form of what remains, the authority as Host. */
static int read_absolute_form(struct head *h, struct refusal *why) {
    static const struct slice schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        struct slice s = schemes[i], t = h->target;
        if (t.n <= s.n || !slice_eq_nocase((struct slice){t.p, s.n}, s))
            continue;
        struct slice rest = {t.p + s.n, t.n - s.n};
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
            n++;
        if (n == 0)
            return refuse(why, 400, "malformed request target");
        h->target = (struct slice){rest.p + n, rest.n - n};
        h->add_slash = n == rest.n || rest.p[n] == '?';
        return read_authority(h, (struct slice){rest.p, n}, why);
    }
    return refuse(why, 400, "malformed request target");
}

static int read_host(struct head *h, bool absolute, struct refusal *why) {
    const struct field *host = NULL;
    for (unsigned i = 0; i < h->count; i++) {
        if (h->fields[i].id != FIELD_HOST)
            continue;
        if (host)
            return refuse(why, 400, "repeated Host header");
        host = &h->fields[i];
    }
    if (!host && h->minor >= 1)
        return refuse(why, 400, "missing Host header");
    if (!host)
        return 0;
    struct slice target_host = h->host, target_name = h->host_name;
    int r = read_authority(h, host->value, why);
    if (absolute) { /* the target's authority wins (RFC 9112 section 3.2.2) */
        h->host = target_host;
        h->host_name = target_name;
    }
    return r;
}

static enum method method_find(struct slice m) {
    static const struct {
        struct slice name;
        enum method id;
    } methods[] = {
        {{"GET", 3}, METHOD_GET},         {{"HEAD", 4}, METHOD_HEAD},
        {{"OPTIONS", 7}, METHOD_OPTIONS}, {{"CONNECT", 7}, METHOD_CONNECT},
        {{"TRACE", 5}, METHOD_TRACE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (slice_eq(m, methods[i].name))
            return methods[i].id;
    return METHOD_OTHER;
}

/* "HTTP/1.x": 400 for what is not of that form, 505 for another major version. */
static int read_version(struct head *h, struct slice v, struct refusal *why) {
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[6] != '.' || v.p[5] < '0' || v.p[5] > '9' ||
        v.p[7] < '0' || v.p[7] > '9')
        return refuse(why, 400, "malformed HTTP version");
    if (v.p[5] != '1')
        return refuse(why, v.p[5] < '1' ? 400 : 505, "unsupported HTTP version");
    h->minor = v.p[7] != '0';
    return 0;
}

static int read_request_line(struct head *h, struct slice line, struct refusal *why) {
    size_t i = 0, j;
    while (i < line.n && char_is(line.p[i], CHAR_TOKEN))
        i++;
    if (i == 0 || i == line.n || line.p[i] != ' ')
        return refuse(why, 400, "malformed request line");
    h->method = (struct slice){line.p, i};
    for (j = ++i; j < line.n && char_is(line.p[j], CHAR_TARGET); j++)
        ;
    if (j == i || j == line.n || line.p[j] != ' ')
        return refuse(why, 400, "malformed request line");
    h->target = (struct slice){line.p + i, j - i};
    h->method_id = method_find(h->method);
    return read_version(h, (struct slice){line.p + j + 1, line.n - j - 1}, why);
}

static int read_target(struct head *h, bool *ret_absolute, struct refusal *why) {
    int r;
    *ret_absolute = false;
    if (h->method_id == METHOD_CONNECT || h->method_id == METHOD_TRACE)
        return refuse(why, 405, "method not allowed");
    if (h->target.p[0] != '/' && !slice_eq(h->target, SLICE_LIT("*"))) {
        if ((r = read_absolute_form(h, why)) < 0)
            return r;
        *ret_absolute = true;
    } else if (h->target.p[0] == '*' && h->method_id != METHOD_OPTIONS) {
        return refuse(why, 400, "malformed request target");
    }
    const char *query = h->target.n ? memchr(h->target.p, '?', h->target.n) : NULL;
    h->path = (struct slice){h->target.p, query ? (size_t)(query - h->target.p) : h->target.n};
    return 0;
}

static int read_expect(struct head *h, struct refusal *why) {
    const struct field *f = head_find(h, FIELD_EXPECT);
    if (!f || h->minor == 0)
        return 0; /* from HTTP/1.0 it is to be ignored (RFC 9110 section 10.1.1) */
    if (!slice_eq_nocase(f->value, SLICE_LIT("100-continue")))
        return refuse(why, 417, "unknown expectation");
    h->expect_continue = h->body != BODY_NONE;
    return 0;
}

/* Everything but the field array, which is the big part and is filled up to `count`. */
static void head_clear(struct head *h) {
    memset(h, 0, offsetof(struct head, fields));
}

int head_parse_request(struct head *h, struct slice text, struct refusal *why) {
    bool absolute;
    int r;
    head_clear(h);
    struct slice line = take_line(&text);
    if ((r = read_request_line(h, line, why)) < 0 || (r = read_target(h, &absolute, why)) < 0 ||
        (r = head_parse_fields(h, text, true, why)) < 0 || (r = read_connection(h, why)) < 0 ||
        (r = read_framing(h, why)) < 0 || (r = read_host(h, absolute, why)) < 0)
        return r;
    /* An upgrade with a body, or to HTTP/2 in plain text, is how tunnels get smuggled. */
    if (h->upgrade.n && (h->body != BODY_NONE || slice_eq_nocase(h->upgrade, SLICE_LIT("h2c"))))
        h->upgrade.n = 0;
    return read_expect(h, why);
}

static int read_status_line(struct head *h, struct slice line, struct refusal *why) {
    if (line.n < 12 || line.p[8] != ' ' || read_version(h, (struct slice){line.p, 8}, why) < 0)
        return refuse(why, 502, "malformed status line");
    for (size_t i = 9; i < 12; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return refuse(why, 502, "malformed status line");
        h->status = h->status * 10 + (line.p[i] - '0');
    }
    if (h->status < 100 || (line.n > 12 && line.p[12] != ' '))
        return refuse(why, 502, "malformed status line");
    h->reason = line.n > 13 ? (struct slice){line.p + 13, line.n - 13} : (struct slice){"", 0};
    if (!slice_is(h->reason, CHAR_VALUE))
        return refuse(why, 502, "malformed status line");
    return 0;
}

int head_parse_response(struct head *h, struct slice text, bool to_head, struct refusal *why) {
    head_clear(h);
    struct slice line = take_line(&text);
    if (read_status_line(h, line, why) < 0 || head_parse_fields(h, text, false, why) < 0 ||
        read_connection(h, why) < 0 || read_framing(h, why) < 0) {
        why->status = 502;
        return -EBADMSG;
    }
    bool bodiless = h->status < 200 || h->status == 204 || h->status == 304 || to_head;
    if (bodiless)
        h->body = BODY_NONE;
    else if (h->body == BODY_NONE && !h->has_length)
        h->body = BODY_UNTIL_CLOSE;
    if (h->body == BODY_UNTIL_CLOSE)
        h->keep_alive = false;
    return 0;
}
