/* node.c
 *
 *   WAITING --back-off over--> HELLO --HelloAck--> PROVING --DoneAck--> IDLE <--> ASKING
 *      ^                         |                    |                  |          |
 *      `-------------------------+--------------------+------------------+----------'
 *                 (time is up, the link broke, an answer that makes no sense, keys too old)
 *
 * Every way down closes the socket: a new attempt has a new connection and new keys. */
#include "common/bus/node.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/seal.h"
#include "common/bus/socket.h"
#include "common/bus/times.h"
#include "common/bus/words.h"

enum state {
    WAITING, /* for the back-off; no socket */
    HELLO,   /* sent, or waiting for the link */
    PROVING, /* the session's first message is on its way */
    IDLE,    /* open */
    ASKING,  /* open, with a request in flight */
};

static const unsigned allowed[] = {
    [WAITING] = BIT(HELLO) | BIT(WAITING), [HELLO] = BIT(PROVING) | BIT(WAITING),
    [PROVING] = BIT(IDLE) | BIT(WAITING),  [IDLE] = BIT(ASKING) | BIT(WAITING),
    [ASKING] = BIT(IDLE) | BIT(WAITING),
};

struct bus_conversation {
    struct event_base *loop; /* borrowed */
    struct bus_identity identity;
    char *url;                  /* owned */
    Berth__Hello *hello;        /* owned copy, its share empty */
    const struct word *request; /* the one word that this conversation asks */
    struct bus_conversation_ops ops;
    struct rng rng;           /* jitter */
    struct event *deadline;   /* owned; of the state, but for IDLE */
    struct event *link_check; /* owned; while there is a socket */

    enum state state;
    struct bus_socket *socket;       /* owned; NULL while WAITING */
    struct seal_handshake handshake; /* secrets; while HELLO */
    struct seal_session session;     /* while PROVING, IDLE, ASKING */
    struct unpacked ack;             /* owned; until on_open has seen it */
    uint64_t opened_ms;
    bool rekey;          /* fresh keys are wanted */
    bool stale;          /* the session is too old: no more requests */
    uint32_t number;     /* of the last request, for nanomsg's header */
    unsigned backoff_ms; /* the last one; 0 after a good answer */
    const char *trouble; /* why it is not open; "" when it is */
    struct bus_counters counters;

    unsigned calling; /* inside an owner's callback */
    bool dead;        /* freed by its owner in there: goes when the callback returns */
};

static void enter(struct bus_conversation *c, enum state next) {
    assert(allowed[c->state] & BIT(next));
    c->state = next;
}

static void arm(struct event *timer, uint64_t ms) {
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    /* Adding to the heap fails only without memory; the other timer finds the conversation then. */
    (void)event_add(timer, &tv);
}

static bool is_open(const struct bus_conversation *c) {
    return c->state == IDLE || c->state == ASKING;
}

/* Brackets a callback to the owner. end_call() is false when the conversation is gone. */
static void begin_call(struct bus_conversation *c) {
    c->calling++;
}

static bool end_call(struct bus_conversation *c) {
    c->calling--;
    if (!c->dead)
        return true;
    if (c->calling == 0)
        free(c);
    return false;
}

/* --- steps --- */

/* Drops link and keys. */
static void close_link(struct bus_conversation *c) {
    bus_socket_free(TAKE_PTR(c->socket));
    seal_handshake_fini(&c->handshake);
    seal_session_fini(&c->session);
    unpacked_fini(&c->ack);
    event_del(c->link_check);
    event_del(c->deadline);
    c->rekey = c->stale = false;
}

/* `c` may be gone when this returns. */
static void step_down(struct bus_conversation *c, const char *why) {
    bool was_open = is_open(c);
    close_link(c);
    enter(c, WAITING);
    c->trouble = why;
    c->backoff_ms =
        MAX((unsigned)BUS_REOPEN_MIN_MS, MIN(2 * c->backoff_ms, (unsigned)BUS_REOPEN_MAX_MS));
    arm(c->deadline, c->backoff_ms / 2 + rng_below(&c->rng, c->backoff_ms / 2 + 1));
    if (!was_open || !c->ops.on_down)
        return;
    begin_call(c);
    c->ops.on_down(c->ops.data, why);
    end_call(c);
}

static void send_packet(struct bus_conversation *c, uint8_t *packet) {
    struct bus_route route = bus_route_request(++c->number);
    bus_socket_send(c->socket, &route, packet);
    c->counters.sent++;
}

static int send_hello(struct bus_conversation *c) {
    struct seal_entropy entropy;
    random_bytes(&entropy, sizeof entropy);
    int r = seal_handshake_init(&c->handshake, SEAL_TO_HUB, c->identity.id, c->identity.gen,
                                c->identity.key, &entropy);
    mem_wipe(&entropy, sizeof entropy);
    if (r < 0)
        return r;
    Berth__Hello hello = *c->hello;
    hello.share = (ProtobufCBinaryData){SEAL_SHARE_SIZE, c->handshake.share};
    size_t n = berth__hello__get_packed_size(&hello);
    uint8_t *packet = bus_packet_new(seal_packet_size(true, n));
    if (!packet)
        return -ENOMEM;
    berth__hello__pack(&hello, seal_plain(packet, true));
    r = seal_hello(&c->handshake, WORD_HELLO, packet, n);
    if (r < 0)
        bus_packet_free(packet);
    else
        send_packet(c, packet);
    return r;
}

static int seal_and_send(struct bus_conversation *c, enum word_type type, uint8_t *packet,
                         size_t n) {
    int r = seal_session_seal(&c->session, type, 0, packet, n);
    if (r < 0)
        bus_packet_free(packet);
    else
        send_packet(c, packet);
    return r;
}

static const struct bus_socket_ops socket_ops;

static void step_open(struct bus_conversation *c) {
    struct bus_socket_ops ops = socket_ops;
    ops.data = c;
    enter(c, HELLO);
    size_t max = word_of_type(c->request->answer)->max_bytes;
    if (bus_socket_connect(&c->socket, c->loop, c->url,
                           MAX(max, (size_t)BUS_SMALL_BYTES) + BUS_PACKET_SLACK, &ops, NULL) < 0) {
        step_down(c, "no socket to be had");
        return;
    }
    arm(c->deadline, BUS_OPEN_TIMEOUT_MS);
    arm(c->link_check, BUS_LINK_CHECK_MS);
    if (send_hello(c) < 0)
        step_down(c, "cannot seal a Hello");
}

/* HELLO: the controller's half of the keys. */
static void step_ack(struct bus_conversation *c, const struct seal_header *header,
                     uint8_t *packet) {
    const struct word *word = word_of_type(WORD_HELLO_ACK);
    if (header->length > word->max_bytes) {
        c->counters.dropped_malformed++;
        return;
    }
    /* A forged one changes what the handshake knows: try it on a copy. */
    struct seal_handshake _cleanup_(seal_handshake_fini) trial = c->handshake;
    if (seal_ack_open(&trial, header, packet) < 0) {
        c->counters.dropped_forged++;
        return;
    }
    if (word_unpack(word, seal_plain(packet, true), header->length, &c->ack) < 0) {
        step_down(c, "a HelloAck that cannot be read");
        return;
    }
    const Berth__HelloAck *ack = (const Berth__HelloAck *)c->ack.msg;
    uint8_t *done = NULL;
    if (ack->share.len != SEAL_SHARE_SIZE || ack->epoch.len != BUS_EPOCH_SIZE ||
        seal_session_init(&c->session, &trial, ack->share.data) < 0 ||
        !(done = bus_packet_new(seal_packet_size(false, 0)))) {
        step_down(c, "a HelloAck that makes no session");
        return;
    }
    seal_handshake_fini(&c->handshake);
    enter(c, PROVING);
    if (seal_and_send(c, WORD_DONE, done, 0) < 0)
        step_down(c, "cannot seal the first message");
}

/* PROVING: the session stands. */
static void step_opened(struct bus_conversation *c) {
    struct unpacked _cleanup_(unpacked_fini) ack = c->ack;
    c->ack = (struct unpacked){0};
    enter(c, IDLE);
    event_del(c->deadline);
    c->opened_ms = clock_mono_ms();
    c->trouble = "";
    c->counters.sessions++;
    begin_call(c);
    c->ops.on_open(c->ops.data, (const Berth__HelloAck *)ack.msg);
    end_call(c);
}

static const char fresh_keys[] = "time for fresh keys";

/* ASKING: the answer. Old keys are thrown away between an answer and the next request. */
static void step_reply(struct bus_conversation *c, const ProtobufCMessage *reply) {
    enter(c, IDLE);
    event_del(c->deadline);
    c->backoff_ms = 0;
    c->stale = c->rekey || clock_mono_ms() - c->opened_ms > BUS_SESSION_MAX_MS ||
               c->session.sent >= BUS_SESSION_MAX_MESSAGES ||
               c->session.received >= BUS_SESSION_MAX_MESSAGES;
    begin_call(c);
    c->ops.on_reply(c->ops.data, reply);
    if (end_call(c) && c->stale)
        step_down(c, fresh_keys);
}

/* Of this session, authentic and in sequence: it must be the answer that is waited for. */
static void step_authentic(struct bus_conversation *c, const struct seal_header *header,
                           const uint8_t *plain) {
    struct unpacked _cleanup_(unpacked_fini) reply = {0};
    uint8_t want = c->state == PROVING  ? WORD_DONE_ACK
                   : c->state == ASKING ? c->request->answer
                                        : 0;
    c->counters.received++;
    if (header->type != want || header->reply_to != c->session.sent) {
        c->counters.dropped_malformed++;
        step_down(c, "the controller answered what was not asked");
    } else if (word_unpack(word_of_type(want), plain, header->length, &reply) < 0) {
        c->counters.dropped_malformed++;
        step_down(c, "an answer that cannot be read");
    } else if (want == WORD_DONE_ACK) {
        step_opened(c);
    } else {
        step_reply(c, reply.msg);
    }
}

static void step_overdue(struct bus_conversation *c) {
    switch (c->state) {
    case WAITING:
        step_open(c);
        return;
    case HELLO:
        c->counters.timeouts++;
        step_down(c,
                  bus_socket_connections(c->socket) ? "no answer to the Hello" : "cannot connect");
        return;
    case PROVING:
        c->counters.timeouts++;
        step_down(c, "no answer to the first message");
        return;
    case ASKING:
        c->counters.timeouts++;
        step_down(c, "the answer is overdue");
        return;
    case IDLE: /* only bus_conversation_rekey() arms the timer here */
        step_down(c, fresh_keys);
        return;
    }
}

/* --- callbacks --- */

static void on_packet(void *data, const struct bus_route *route, uint8_t *packet, size_t n) {
    struct bus_conversation *c = data;
    struct seal_header header;
    if (seal_parse(packet, n, &header) < 0) {
        c->counters.dropped_malformed++;
        return;
    }
    if (header.handshake) {
        if (c->state == HELLO && header.type == WORD_HELLO_ACK)
            step_ack(c, &header, packet);
        else
            c->counters.dropped_replayed++;
        return;
    }
    int r = c->session.opener ? seal_session_open(&c->session, &header, packet) : -ENOENT;
    if (r == 0)
        step_authentic(c, &header, seal_plain(packet, false));
    else if (r == -ENOENT)
        c->counters.dropped_unknown++;
    else if (r == -ESTALE)
        c->counters.dropped_replayed++;
    else
        c->counters.dropped_forged++;
}

static const struct bus_socket_ops socket_ops = {.on_packet = on_packet};

static void on_deadline(evutil_socket_t fd, short what, void *arg) {
    step_overdue(arg);
}

static void on_link_check(evutil_socket_t fd, short what, void *arg) {
    struct bus_conversation *c = arg;
    if (bus_socket_is_broken(c->socket)) {
        step_down(c, "the connection broke");
        return;
    }
    if (c->state == HELLO)
        c->trouble =
            bus_socket_connections(c->socket) ? "no answer to the Hello yet" : "cannot connect";
    arm(c->link_check, BUS_LINK_CHECK_MS);
}

/* --- the interface --- */

static Berth__Hello *hello_dup(const Berth__Hello *hello) {
    Berth__Hello plain = *hello;
    plain.share = (ProtobufCBinaryData){0};
    size_t n = berth__hello__get_packed_size(&plain);
    _cleanup_(freep) uint8_t *p = malloc(n + 1);
    if (!p)
        return NULL;
    berth__hello__pack(&plain, p);
    return berth__hello__unpack(NULL, n, p);
}

int bus_conversation_new(struct bus_conversation **ret, struct event_base *loop,
                         const struct bus_identity *identity, const char *url,
                         const Berth__Hello *hello, const struct bus_conversation_ops *ops,
                         struct error *err) {
    if (!word_kind_may(hello->kind, hello->conversation))
        return error_set(err, -EINVAL, "a node of kind %d has no conversation %d", hello->kind,
                         hello->conversation);
    if (berth__hello__get_packed_size(hello) > BUS_SMALL_BYTES - SEAL_SHARE_SIZE - 8)
        return error_set(err, -EMSGSIZE, "a Hello of more than %d bytes", BUS_SMALL_BYTES);
    if (strncmp(url, "tcp://", 6) != 0)
        return error_set(err, -EINVAL, "%s is not of the form tcp://host:port", url);
    _cleanup_(bus_conversation_freep) struct bus_conversation *c = mem_zalloc(sizeof *c);
    if (!c)
        return error_set(err, -ENOMEM, "no memory for a conversation with %s", url);
    c->loop = loop;
    c->identity = *identity;
    c->ops = *ops;
    c->request = word_of_conversation(hello->conversation);
    c->trouble = "not yet opened";
    c->url = str_dup(url);
    c->hello = hello_dup(hello);
    c->deadline = evtimer_new(loop, on_deadline, c);
    c->link_check = evtimer_new(loop, on_link_check, c);
    if (!c->url || !c->hello || !c->deadline || !c->link_check)
        return error_set(err, -ENOMEM, "no memory for a conversation with %s", url);
    random_bytes(&c->rng, sizeof c->rng);
    arm(c->deadline, 0);
    *ret = TAKE_PTR(c);
    return 0;
}

void bus_conversation_free(struct bus_conversation *c) {
    if (!c)
        return;
    bus_socket_free(TAKE_PTR(c->socket));
    seal_handshake_fini(&c->handshake);
    seal_session_fini(&c->session);
    unpacked_fini(&c->ack);
    if (c->deadline)
        event_free(c->deadline);
    if (c->link_check)
        event_free(c->link_check);
    if (c->hello)
        berth__hello__free_unpacked(c->hello, NULL);
    free(c->url);
    mem_wipe(&c->identity, sizeof c->identity);
    c->dead = true;
    if (c->calling == 0)
        free(c);
}

int bus_conversation_request(struct bus_conversation *c, const ProtobufCMessage *request,
                             unsigned timeout_ms, struct error *err) {
    if (!is_open(c) || c->stale)
        return error_set(err, -ENOTCONN, "the conversation with the controller is not open");
    if (c->state == ASKING)
        return error_set(err, -EBUSY, "a request is in flight");
    if (word_of_message(request) != c->request)
        return error_set(err, -EINVAL, "%s is not a request of this conversation",
                         request->descriptor->short_name);
    size_t n = protobuf_c_message_get_packed_size(request);
    if (n > c->request->max_bytes)
        return error_set(err, -EMSGSIZE, "a %s of %zu bytes; %zu are allowed",
                         request->descriptor->short_name, n, c->request->max_bytes);
    uint8_t *packet = bus_packet_new(seal_packet_size(false, n));
    if (!packet)
        return error_set(err, -ENOMEM, "no memory for a request of %zu bytes", n);
    protobuf_c_message_pack(request, seal_plain(packet, false));
    int r = seal_and_send(c, c->request->type, packet, n);
    if (r < 0)
        return error_set(err, r, "cannot seal a request: %s", strerror(-r));
    enter(c, ASKING);
    arm(c->deadline, timeout_ms);
    return 0;
}

void bus_conversation_rekey(struct bus_conversation *c) {
    c->rekey = is_open(c);
    if (c->state != IDLE)
        return;
    c->stale = true;
    arm(c->deadline, 0);
}

bool bus_conversation_is_open(const struct bus_conversation *c) {
    return is_open(c) && !c->stale;
}

const char *bus_conversation_trouble(const struct bus_conversation *c) {
    return c->trouble;
}

void bus_conversation_counters(const struct bus_conversation *c, struct bus_counters *ret) {
    *ret = c->counters;
}
