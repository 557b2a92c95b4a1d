/* peer_stream.h - a blob's bytes from one other cell, pulled by a thread of the store. */
#ifndef CELL_IMAGE_PEER_STREAM_H
#define CELL_IMAGE_PEER_STREAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "cell/image/peer_head.h"
#include "cell/image/peers.h"

struct peer_stream {
    int fd; /* owned; -1: closed */
    const volatile bool *stop;
    unsigned slow_ms;
    uint64_t left;                       /* of the blob, to be handed out */
    uint64_t coming;                     /* of it, to be opened */
    uint64_t received;                   /* bytes of its body */
    uint64_t waited_ms, waited_received; /* to tell a slow one */
    size_t head_at, head_n;              /* what came with the answer's head */
    char head[PEER_HEAD_MAX];
    struct peer_seal seal;
    uint8_t *record;        /* owned: as much of it as came, then what it holds */
    size_t record_n;        /* bytes there */
    size_t open_at, open_n; /* what is open of it, and not handed out */
};

/* The blob of `size` bytes from its byte `from` on. Errors: -ECANCELED; -EBUSY: it gives to too
 * many already; -EACCES: the token is not (any more) good; -ENOENT: it has it no more; others. */
int peer_stream_open(struct peer_stream *s, const struct peer_place *at, const char *hex,
                     uint64_t from, uint64_t size, const volatile bool *stop, struct error *err);
/* The next bytes; 0 once all came. -ETIMEDOUT: too slow. -EBADMSG: they are not from there. */
ssize_t peer_stream_read(struct peer_stream *s, void *buf, size_t n, struct error *err);
void peer_stream_close(struct peer_stream *s);

/* What came from there was wrong: tells it, as far as it listens. */
void peer_stream_doubt(const struct peer_place *at, const char *hex);

#endif
