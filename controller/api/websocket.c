#include "controller/api/websocket.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "common/base/str.h"

#define GUID_OF_RFC  "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* section 1.3 */
#define KEY_BYTES    16
#define CONTROL_MAX  125           /* section 5.5 */
#define QUIET_S      30            /* then we ping; twice without a sign is the end */
#define UNREAD_MAX   (1024 * 1024) /* bytes that a reader may lag behind */
#define CLOSING_S    5
#define STATUS_OK    1000 /* section 7.4.1 */
#define STATUS_PROTO 1002
#define STATUS_BIG   1009

/* --- the handshake
 * -------------------------------------------------------------------------------
 */

bool websocket_key_ok(const char *key) {
    uint8_t *bytes = NULL;
    size_t n = 0;
    bool ok = key && strlen(key) == 24 && base64_decode(key, 24, &bytes, &n) == 0 && n == KEY_BYTES;
    free(bytes);
    return ok;
}

int websocket_accept(const char *key, char ret[static WEBSOCKET_ACCEPT_SIZE]) {
    unsigned char digest[SHA_DIGEST_LENGTH];
    char text[24 + sizeof GUID_OF_RFC];
    snprintf(text, sizeof text, "%.24s%s", key, GUID_OF_RFC);
    SHA1((const unsigned char *)text, strlen(text), digest);
    _cleanup_(freep) char *accept = base64_encode(digest, sizeof digest, false);
    if (!accept)
        return -ENOMEM;
    snprintf(ret, WEBSOCKET_ACCEPT_SIZE, "%s", accept);
    return 0;
}

/* --- frames (section 5.2)
 * -------------------------------------------------------------------------------
 */

static bool opcode_known(unsigned opcode) {
    return opcode <= WEBSOCKET_BINARY || (opcode >= WEBSOCKET_CLOSE && opcode <= WEBSOCKET_PONG);
}

int websocket_parse(uint8_t *p, size_t n, struct websocket_frame *ret) {
    if (n < 2)
        return 0;
    unsigned opcode = p[0] & 0x0f;
    bool control = opcode >= WEBSOCKET_CLOSE;
    uint64_t payload = p[1] & 0x7f;
    size_t header = 2;
    if (p[0] & 0x70 || !opcode_known(opcode) || !(p[1] & 0x80) ||
        (control && (payload > CONTROL_MAX || !(p[0] & 0x80))))
        return -EPROTO; /* extensions, unmasked, or a control frame in pieces */
    if (payload == 127)
        return -EMSGSIZE;
    if (payload == 126) {
        if (n < 4)
            return 0;
        payload = (uint64_t)p[2] << 8 | p[3];
        header = 4;
    }
    if (payload > WEBSOCKET_FRAME_MAX)
        return -EMSGSIZE;
    if (n < header + 4 + payload)
        return 0;
    uint8_t *mask = p + header, *data = mask + 4;
    for (size_t i = 0; i < payload; i++)
        data[i] ^= mask[i % 4];
    *ret = (struct websocket_frame){opcode, p[0] & 0x80, data, (size_t)payload};
    return (int)(header + 4 + payload);
}

size_t websocket_header(enum websocket_opcode opcode, size_t n,
                        uint8_t ret[static WEBSOCKET_HEADER_MAX]) {
    ret[0] = (uint8_t)(0x80 | opcode);
    if (n <= CONTROL_MAX) {
        ret[1] = (uint8_t)n;
        return 2;
    }
    unsigned bytes = n <= UINT16_MAX ? 2 : 8;
    ret[1] = bytes == 2 ? 126 : 127;
    for (unsigned i = 0; i < bytes; i++)
        ret[2 + i] = (uint8_t)((uint64_t)n >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}

/* --- a connection
 * -------------------------------------------------------------------------------
 */

struct websocket {
    struct bufferevent *bev; /* borrowed */
    void (*on_end)(void *arg), (*on_close)(void *arg);
    void *end_arg, *close_arg;
    bool closing; /* our close frame is out: nothing follows it */
    bool pinged;  /* and nothing heard since */
};

static void end(struct websocket *ws) {
    void (*on_close)(void *arg) = ws->on_close;
    ws->on_close = NULL;
    if (on_close)
        on_close(ws->close_arg);
    ws->on_end(ws->end_arg);
}

static void send_frame(struct websocket *ws, enum websocket_opcode opcode, const void *p,
                       size_t n) {
    uint8_t header[WEBSOCKET_HEADER_MAX];
    bufferevent_write(ws->bev, header, websocket_header(opcode, n, header));
    if (n)
        bufferevent_write(ws->bev, p, n);
}

static void step_close(struct websocket *ws, unsigned status) {
    struct timeval soon = {.tv_sec = CLOSING_S};
    const uint8_t code[2] = {(uint8_t)(status >> 8), (uint8_t)status};
    if (ws->closing)
        return;
    ws->closing = true;
    send_frame(ws, WEBSOCKET_CLOSE, code, sizeof code);
    bufferevent_set_timeouts(ws->bev, &soon, &soon);
}

static void step_frame(struct websocket *ws, const struct websocket_frame *f) {
    ws->pinged = false;
    if (f->opcode == WEBSOCKET_CLOSE)
        step_close(ws, STATUS_OK);
    else if (f->opcode == WEBSOCKET_PING && !ws->closing)
        send_frame(ws, WEBSOCKET_PONG, f->payload, f->payload_n);
}

static void on_read(struct bufferevent *bev, void *arg) {
    struct websocket *ws = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    for (size_t n; (n = evbuffer_get_length(in)) && !ws->closing;) {
        struct websocket_frame f;
        n = MIN(n, (size_t)WEBSOCKET_FRAME_MAX + 8);
        int used = websocket_parse(evbuffer_pullup(in, (ev_ssize_t)n), n, &f);
        if (used == 0)
            return;
        if (used < 0) {
            step_close(ws, used == -EMSGSIZE ? STATUS_BIG : STATUS_PROTO);
            return;
        }
        step_frame(ws, &f);
        evbuffer_drain(in, (size_t)used);
    }
    if (ws->closing)
        evbuffer_drain(in, evbuffer_get_length(in));
}

static void on_written(struct bufferevent *bev, void *arg) {
    struct websocket *ws = arg;
    if (ws->closing)
        end(ws);
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
    struct websocket *ws = arg;
    bool quiet = (what & BEV_EVENT_TIMEOUT) && (what & BEV_EVENT_READING);
    if (!quiet || ws->closing || ws->pinged) {
        end(ws);
        return;
    }
    ws->pinged = true;
    send_frame(ws, WEBSOCKET_PING, NULL, 0);
    bufferevent_enable(bev, EV_READ);
}

struct websocket *websocket_new(struct bufferevent *bev, void (*on_end)(void *arg), void *arg) {
    struct websocket *ws = mem_zalloc(sizeof *ws);
    struct timeval quiet = {.tv_sec = QUIET_S};
    if (!ws)
        return NULL;
    ws->bev = bev;
    ws->on_end = on_end;
    ws->end_arg = arg;
    bufferevent_setcb(bev, on_read, on_written, on_event, ws);
    bufferevent_set_timeouts(bev, &quiet, &quiet);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    on_read(bev, ws); /* what came along with the handshake */
    return ws;
}

void websocket_free(struct websocket *ws) {
    if (!ws)
        return;
    if (ws->on_close)
        ws->on_close(ws->close_arg);
    bufferevent_setcb(ws->bev, NULL, NULL, NULL, NULL);
    free(ws);
}

void websocket_on_close(struct websocket *ws, void (*on_close)(void *arg), void *arg) {
    ws->on_close = on_close;
    ws->close_arg = arg;
}

void websocket_send(struct websocket *ws, const void *p, size_t n) {
    if (ws->closing)
        return;
    if (evbuffer_get_length(bufferevent_get_output(ws->bev)) > UNREAD_MAX)
        end(ws);
    else
        send_frame(ws, WEBSOCKET_BINARY, p, n);
}
