/* peer_head.h - what cells say to each other before a blob's bytes. Pure.
 *
 *     GET /layers/sha256:<64 hex> HTTP/1.1       HTTP/1.1 206 Partial Content
 *     Authorization: Bearer <token>              Content-Length: 916
 *     Range: bytes=100-999                       Content-Range: bytes 100-999/1000
 *                                                Content-Encoding: berth-sealed
 *                                                Salt: <32 hex>
 *
 * What is asked for is all from a byte on; where that ends is said so that a blob can be given that
 * is still on its way, whose path has its id (layer_id.h) instead of its digest.
 *
 * HTTP as it is, of which this much is understood: one request a connection, without a body. The
 * answer's body is sealed (peer_seal.h); the range is of the blob, the length of the body. Who
 * got wrong bytes says so with a line "Doubt: 1": the giver looks at its blob then, and gives
 * nothing. */
#ifndef CELL_IMAGE_PEER_HEAD_H
#define CELL_IMAGE_PEER_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cell/image/peer_seal.h"
#include "cell/image/peers.h"

#define PEER_HEAD_MAX 2048 /* of either, with the empty line */

struct peer_ask {
    char hex[2 * TOKEN_BLOB_SIZE + 1];
    uint8_t blob[TOKEN_BLOB_SIZE];
    char token[TOKEN_TEXT_SIZE]; /* "" for none */
    uint64_t from, size;         /* of the whole; 0: not said */
    bool ranged, doubt;
};

/* How long the head at the start of n bytes is, with its empty line; 0: it is not whole yet. */
size_t peer_head_end(const char *p, size_t n);

/* A whole head, from anywhere. 0, or the HTTP status to refuse it with. */
int peer_ask_parse(const char *head, size_t n, struct peer_ask *ret);
/* The request for it at this place, or the doubt about it there. Bytes written to buf. */
size_t peer_ask_format(const struct peer_place *at, const char *hex, uint64_t from, uint64_t size,
                       bool doubt, char buf[static PEER_HEAD_MAX]);

struct peer_answer {
    unsigned status;
    uint64_t length; /* of what follows */
    uint64_t from;   /* its place in the blob */
    uint8_t salt[PEER_SALT_SIZE];
    bool sealed; /* it has one */
};
/* A whole head, from anywhere. 0 or -EPROTO. */
int peer_answer_parse(const char *head, size_t n, struct peer_answer *ret);
/* For a part from `from` on of a blob of `size` bytes, or for a refusal without a body. */
size_t peer_answer_format(unsigned status, uint64_t from, uint64_t size,
                          const uint8_t salt[PEER_SALT_SIZE], char buf[static PEER_HEAD_MAX]);

#endif
