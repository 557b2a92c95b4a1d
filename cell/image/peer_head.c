#include "cell/image/peer_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

#define PATH "GET /layers/sha256:"

size_t peer_head_end(const char *p, size_t n) {
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    return end ? (size_t)(end - p) + 4 : 0;
}

/* The next line of a head, without its end. False: it is malformed, or it is the empty one; it is
 * still there then. */
static bool next_line(struct slice *rest, struct slice *ret) {
    const char *end = memmem(rest->p, rest->n, "\r\n", 2);
    if (!end || end == rest->p)
        return false;
    for (const char *p = rest->p; p < end; p++)
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
            return false;
    *ret = (struct slice){rest->p, (size_t)(end - rest->p)};
    *rest = (struct slice){end + 2, rest->n - ret->n - 2};
    return true;
}

static bool split(struct slice line, struct slice *name, struct slice *value) {
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon || colon == line.p)
        return false;
    *name = (struct slice){line.p, (size_t)(colon - line.p)};
    *value = slice_trim((struct slice){colon + 1, line.n - name->n - 1});
    return !memchr(name->p, ' ', name->n) && !memchr(name->p, '\t', name->n);
}

/* Takes `prefix`, in any case, off the front. */
static bool take(struct slice *s, const char *prefix) {
    size_t n = strlen(prefix);
    if (s->n < n || !slice_eq_nocase((struct slice){s->p, n}, slice_of(prefix)))
        return false;
    *s = (struct slice){s->p + n, s->n - n};
    return true;
}

static bool is_whole(struct slice rest) {
    return rest.n == 2 && memcmp(rest.p, "\r\n", 2) == 0;
}

/* --- the request --- */

static int parse_path(struct slice line, struct peer_ask *ret) {
    const size_t hex = 2 * TOKEN_BLOB_SIZE;
    struct slice prefix = SLICE_LIT(PATH), version = SLICE_LIT(" HTTP/1.1");
    if (line.n < 4 || memcmp(line.p, "GET ", 4) != 0)
        return 405;
    if (line.n != prefix.n + hex + version.n || memcmp(line.p, prefix.p, prefix.n) != 0 ||
        memcmp(line.p + prefix.n + hex, version.p, version.n) != 0)
        return 404;
    memcpy(ret->hex, line.p + prefix.n, hex);
    if (strspn(ret->hex, "0123456789abcdef") != hex ||
        hex_decode(ret->hex, ret->blob, sizeof ret->blob) < 0)
        return 404;
    return 0;
}

static int parse_ask_range(struct slice value, struct peer_ask *ret) {
    const char *dash = memchr(value.p, '-', value.n);
    uint64_t last;
    if (!dash)
        return -EPROTO;
    struct slice from = {value.p, (size_t)(dash - value.p)}, to = {dash + 1, value.n - from.n - 1};
    if (parse_u64_slice(from, 0, INT64_MAX, &ret->from) < 0)
        return -EPROTO;
    if (to.n == 0)
        return 0;
    if (parse_u64_slice(to, ret->from, INT64_MAX, &last) < 0)
        return -EPROTO;
    ret->size = last + 1;
    return 0;
}

static int parse_header(struct slice name, struct slice value, struct peer_ask *ret) {
    if (slice_eq_nocase(name, SLICE_LIT("Authorization"))) {
        if (*ret->token || !take(&value, "Bearer ") || value.n >= sizeof ret->token)
            return 403;
        memcpy(ret->token, value.p, value.n);
    } else if (slice_eq_nocase(name, SLICE_LIT("Range"))) {
        if (ret->ranged || !take(&value, "bytes=") || parse_ask_range(value, ret) < 0)
            return 416;
        ret->ranged = true;
    } else if (slice_eq_nocase(name, SLICE_LIT("Doubt"))) {
        ret->doubt = true;
    } else if (slice_eq_nocase(name, SLICE_LIT("Content-Length")) ||
               slice_eq_nocase(name, SLICE_LIT("Transfer-Encoding"))) {
        return 400;
    }
    return 0;
}

int peer_ask_parse(const char *head, size_t n, struct peer_ask *ret) {
    struct slice rest = {head, n}, line, name, value;
    *ret = (struct peer_ask){0};
    if (!next_line(&rest, &line))
        return 400;
    int r = parse_path(line, ret);
    while (r == 0 && next_line(&rest, &line))
        r = split(line, &name, &value) ? parse_header(name, value, ret) : 400;
    return r == 0 && !is_whole(rest) ? 400 : r;
}

size_t peer_ask_format(const struct peer_place *at, const char *hex, uint64_t from, uint64_t size,
                       bool doubt, char buf[static PEER_HEAD_MAX]) {
    char name[64];
    peer_name(at, name);
    int n = snprintf(buf, PEER_HEAD_MAX,
                     PATH "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
                          "Range: bytes=%" PRIu64 "-%" PRIu64 "\r\n%s\r\n",
                     hex, name, at->token, from, size - 1, doubt ? "Doubt: 1\r\n" : "");
    return (size_t)n;
}

/* --- the answer --- */

static int parse_range(struct slice value, struct peer_answer *ret) {
    const char *dash;
    if (!take(&value, "bytes ") || !(dash = memchr(value.p, '-', value.n)))
        return -EPROTO;
    struct slice from = {value.p, (size_t)(dash - value.p)};
    return parse_u64_slice(from, 0, INT64_MAX, &ret->from) < 0 ? -EPROTO : 0;
}

static int parse_salt(struct slice value, struct peer_answer *ret) {
    char text[2 * PEER_SALT_SIZE + 1];
    if (ret->sealed || value.n != sizeof text - 1)
        return -EPROTO;
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    ret->sealed = true;
    return hex_decode(text, ret->salt, sizeof ret->salt) < 0 ? -EPROTO : 0;
}

int peer_answer_parse(const char *head, size_t n, struct peer_answer *ret) {
    struct slice rest = {head, n}, line, name, value;
    bool has_length = false;
    uint64_t status;
    *ret = (struct peer_answer){0};
    if (!next_line(&rest, &line) || !take(&line, "HTTP/1.1 ") || line.n < 3 ||
        parse_u64_slice((struct slice){line.p, 3}, 100, 999, &status) < 0)
        return -EPROTO;
    ret->status = (unsigned)status;
    while (next_line(&rest, &line)) {
        int r = 0;
        if (!split(line, &name, &value))
            return -EPROTO;
        if (slice_eq_nocase(name, SLICE_LIT("Content-Length"))) {
            r = has_length ? -EPROTO : parse_u64_slice(value, 0, INT64_MAX, &ret->length);
            has_length = true;
        } else if (slice_eq_nocase(name, SLICE_LIT("Content-Range"))) {
            r = parse_range(value, ret);
        } else if (slice_eq_nocase(name, SLICE_LIT("Salt"))) {
            r = parse_salt(value, ret);
        } else if (slice_eq_nocase(name, SLICE_LIT("Transfer-Encoding"))) {
            r = -EPROTO;
        }
        if (r < 0)
            return -EPROTO;
    }
    return is_whole(rest) && has_length ? 0 : -EPROTO;
}

static const char *reason(unsigned status) {
    switch (status) {
    case 206:
        return "Partial Content";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 416:
        return "Range Not Satisfiable";
    default:
        return "Service Unavailable";
    }
}

size_t peer_answer_format(unsigned status, uint64_t from, uint64_t size,
                          const uint8_t salt[PEER_SALT_SIZE], char buf[static PEER_HEAD_MAX]) {
    char text[2 * PEER_SALT_SIZE + 1];
    bool good = status == 206;
    int n = snprintf(buf, PEER_HEAD_MAX,
                     "HTTP/1.1 %u %s\r\nContent-Length: %" PRIu64 "\r\nConnection: close\r\n",
                     status, reason(status), good ? peer_sealed_size(size - from) : 0);
    if (good) {
        hex_encode(salt, PEER_SALT_SIZE, text);
        n += snprintf(buf + n, PEER_HEAD_MAX - (size_t)n,
                      "Content-Type: application/octet-stream\r\n"
                      "Content-Encoding: berth-sealed\r\nSalt: %s\r\n"
                      "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                      text, from, size - 1, size);
    }
    n += snprintf(buf + n, PEER_HEAD_MAX - (size_t)n, "\r\n");
    return (size_t)n;
}
