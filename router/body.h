/* body.h - where a message's body ends: none, by length, chunked (RFC 9112 section 7.1), at the end
 * of the connection, or never (a tunnel).
 *
 * Pure: decodes in place. Strict: any split of the input gives the same result, and what is not
 * exactly the grammar is refused (trailing blanks after a chunk size are let through). */
#ifndef ROUTER_BODY_H
#define ROUTER_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/str.h"

enum body_kind {
    BODY_NONE,
    BODY_LENGTH,
    BODY_CHUNKED,
    BODY_UNTIL_CLOSE,
};

#define CHUNK_EXTRA_MAX 4096u /* of chunk extensions, over the whole message */
#define TRAILER_MAX     4096u /* of the trailer section */

struct body {
    enum body_kind kind;
    bool done;
    bool keep_trailers;      /* collect the trailer section in `trailers` */
    uint8_t state;           /* of the chunk grammar */
    uint8_t digits;          /* of this chunk's size */
    uint32_t extra;          /* extension bytes so far */
    uint32_t trailer_bytes;  /* so far */
    uint64_t left;           /* of the length or of this chunk */
    uint64_t total;          /* data bytes so far */
    struct strbuf *trailers; /* owned; raw lines with their CRLF; NULL when none came */
};

void body_init(struct body *b, enum body_kind kind, uint64_t length);
void body_fini(struct body *b);

/* Takes bytes from p[0..n) until the body is done or they are used up, and brings the data bytes
 * among them together: *ret_data begins where the first of them stood. Returns the number of bytes
 * taken (n unless done), -EBADMSG for what is not the grammar, -EMSGSIZE beyond a limit above. */
ssize_t body_decode(struct body *b, char *p, size_t n, struct slice *ret_data);

/* The connection ended: whether that ends the body as it should (and marks it done). */
bool body_end_of_stream(struct body *b);

#endif
