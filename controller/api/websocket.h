/* websocket.h - the server's side of RFC 6455, for streams that only we fill: what a client sends
 * is answered (ping, close) or dropped. */
#ifndef CONTROLLER_API_WEBSOCKET_H
#define CONTROLLER_API_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/mem.h"

struct bufferevent;
struct websocket;

/* --- the handshake -------------------------------------------------------------------------------
 */

#define WEBSOCKET_ACCEPT_SIZE 29 /* base64 of SHA-1, and a NUL */

/* 16 bytes in base64 (section 4.1). */
bool websocket_key_ok(const char *key);
/* Sec-WebSocket-Accept for a key (section 4.2.2). */
int websocket_accept(const char *key, char ret[static WEBSOCKET_ACCEPT_SIZE]);

/* --- frames --------------------------------------------------------------------------------------
 */

#define WEBSOCKET_FRAME_MAX 4096 /* bytes of a client's frame: "I'm alive!" is all we expect */

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};
struct websocket_frame {
    enum websocket_opcode opcode;
    bool final;
    const uint8_t *payload; /* inside the buffer, unmasked in place */
    size_t payload_n;
};
/* One frame of a client at the start of `p`: how many bytes it takes, 0 when it is not whole yet,
 * -EPROTO or -EMSGSIZE. */
int websocket_parse(uint8_t *p, size_t n, struct websocket_frame *ret);
/* The header of a frame of ours; how many bytes of ret it takes. */
#define WEBSOCKET_HEADER_MAX 10
size_t websocket_header(enum websocket_opcode opcode, size_t payload_n,
                        uint8_t ret[static WEBSOCKET_HEADER_MAX]);

/* --- a connection --------------------------------------------------------------------------------
 */

/* Takes over the callbacks of `bev`, which is borrowed. `on_end` is called once, when the
 * connection is over in whatever way: it frees the websocket and what is behind it. NULL: out of
 * memory. */
struct websocket *websocket_new(struct bufferevent *bev, void (*on_end)(void *arg), void *arg);
void websocket_free(struct websocket *ws);
/* The same for who fills the stream; called before on_end. */
void websocket_on_close(struct websocket *ws, void (*on_close)(void *arg), void *arg);
/* A reader that does not keep up is cut off: the websocket may be gone after this. */
void websocket_send(struct websocket *ws, const void *p, size_t n);

#endif
