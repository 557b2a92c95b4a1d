/* peer_server.h - gives this cell's blobs to other cells, on a thread of its own.
 *
 * GET /layers/sha256:<hex> with a token of the controller and a range (peer_head.h). Whoever
 * connects is a stranger until the token is checked: connections, the time for a request,
 * transfers, their bandwidth and the patience with slow readers are bounded; refusals say nothing
 * but a status. What it gives is sealed for who was given the token (peer_seal.h). */
#ifndef CELL_IMAGE_PEER_SERVER_H
#define CELL_IMAGE_PEER_SERVER_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/bus/token.h"

struct peer_server;
struct peers;

#define PEER_TRANSFERS   16 /* at a time; who comes then is told to come again (503) */
#define PEER_CONNECTIONS 128
#define PEER_ASK_MS      5000

struct peer_server_config {
    const char *address; /* numeric */
    uint16_t port;
    uint64_t rate;                   /* bytes a second of all transfers */
    unsigned ask_ms;                 /* for a request to come; 0: PEER_ASK_MS */
    int blobs_fd;                    /* the directory of blobs, by their hex digits; borrowed */
    int coming_fd;                   /* of those on their way, by their ids; borrowed; -1: none */
    uint8_t key[BUS_KEY_SIZE];       /* of tokens */
    uint8_t nonce[TOKEN_NONCE_SIZE]; /* of this run */
    struct peers *peers;             /* who is told of doubts; borrowed; NULL: nobody */
};

/* Listens at once. -EADDRINUSE, -EINVAL ... */
int peer_server_new(struct peer_server **ret, const struct peer_server_config *config,
                    struct error *err);
void peer_server_free(struct peer_server *s);
DEFINE_FREEP(peer_server)

struct peer_server_stats { /* counters, but for `giving` */
    uint64_t giving, given, bytes, refused, busy, slow;
};
void peer_server_stats(const struct peer_server *s, struct peer_server_stats *ret);

#endif
