/* head.h - the head of an HTTP/1 request or response: strict parser.
 *
 * Requests are held to RFC 9112 without leniency: what two parsers could read differently is
 * refused (bare LF or CR, folded lines, blanks before the colon, Content-Length together with
 * Transfer-Encoding, repeated framing or Host fields, HTTP/1.0 with Transfer-Encoding ...).
 * Responses may end lines with a bare LF, since simple apps do; their framing is held as strictly.
 *
 * Pure. Slices point into the text that was parsed, which must outlive the struct head. */
#ifndef ROUTER_HEAD_H
#define ROUTER_HEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "router/body.h"
#include "router/fields.h"

#define HEAD_MAX_FIELDS           250 /* more: 431 */
#define HEAD_MAX_CONNECTION_NAMES 32  /* in Connection; more: 400 */

enum method {
    METHOD_OTHER,
    METHOD_CONNECT,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_OPTIONS,
    METHOD_TRACE,
};

struct field {
    struct slice name, value; /* value trimmed */
    enum field_id id;
    bool dropped; /* named by Connection: goes no further */
};

struct head {
    /* request */
    struct slice method, target; /* target in origin form ("/x?y"), or "*" */
    struct slice host;           /* with port, as to be forwarded; empty when there was none */
    struct slice host_name;      /* without port and trailing dot */
    struct slice path;           /* of target, without the query */
    enum method method_id;
    bool add_slash;       /* absolute form without a path: "/" goes in front of target */
    bool expect_continue; /* Expect: 100-continue from HTTP/1.1 */
    bool te_trailers;
    /* response */
    int status;
    struct slice reason;
    /* both */
    unsigned minor; /* HTTP/1.x: 0 or 1 */
    bool keep_alive;
    struct slice upgrade; /* protocol asked for or switched to; empty when Connection has no
                             "upgrade" */
    enum body_kind body;
    uint64_t length; /* of BODY_LENGTH */
    bool has_length; /* a Content-Length stood there (also in the answer to HEAD) */
    unsigned count;
    uint64_t present; /* FIELD_BIT of each field in fields[] */
    struct field fields[HEAD_MAX_FIELDS];
};

/* Why a head is refused: the status for the client and a fixed text. */
struct refusal {
    int status; /* 400 405 417 431 501 505; of a response always 502 */
    const char *why;
};

/* Length of the head at p including its empty line, 0 when more bytes are needed, -EBADMSG when
 * `strict` and a line ends with a bare LF. *scanned must be 0 at first and be kept between calls
 * with a longer p: each byte is looked at once. */
ssize_t head_end(const char *p, size_t n, size_t *scanned, bool strict);

/* `text` is exactly one head as found by head_end(). 0, or -EBADMSG with *why filled. */
int head_parse_request(struct head *h, struct slice text, struct refusal *why);

/* `to_head`: the request was HEAD, so no body follows. For 101 the body is BODY_NONE. */
int head_parse_response(struct head *h, struct slice text, bool to_head, struct refusal *why);

/* Field lines only, such as a trailer section without its last line. Into h->fields. */
int head_parse_fields(struct head *h, struct slice text, bool strict, struct refusal *why);

const struct field *head_find(const struct head *h, enum field_id id); /* the first, or NULL */

#endif
