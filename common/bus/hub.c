/* hub.c
 *
 *   packet -> seal_parse -> Hello:   limits, knows(), open, admits() -> an unproved session,
 * HelloAck
 *                        -> session: open -> Done:    the session is proved and replaces the old
 * one
 *                                         -> request: on_request ... hub_reply
 *
 * Everything that fails on the way is dropped and counted, without an answer. A Hello, even a true
 * one that somebody replays, displaces nothing: only who has the session's keys can prove it. */
#include "common/bus/hub.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <string.h>

/* Without memory an element is left out of the table (its hh.tbl stays NULL), nothing exits. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV /* the default one is no clean C to every compiler */
#include <uthash.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/bucket.h"
#include "common/bus/listener.h"
#include "common/bus/seal.h"
#include "common/bus/socket.h"
#include "common/bus/token.h"
#include "common/bus/words.h"

enum { CONVERSATIONS = BERTH__CONVERSATION__CONVERSATION_LOGS + 1, HELLO_BUCKETS = 4096 };

/* One of the hub's two ports. */
struct port {
    struct hub *hub;
    bool logs;                 /* has the Logs conversation; the other one has the rest */
    struct listener *listener; /* owned */
    unsigned sessions;         /* proved ones */
};

struct session {
    struct seal_session seal; /* seal.session is its key in hub.sessions */
    struct peer *peer;
    struct port *port;
    Berth__Conversation conversation;
    struct bus_route route; /* of the last authentic message */
    bool proved;
    uint64_t made_ms;
    uint8_t *hello; /* owned, packed: for on_session, until proved */
    size_t hello_size;
    struct hub_request *request; /* owned: what is not answered yet */
    UT_hash_handle hh;
};

struct hub_request {
    struct session *session; /* NULL: dropped, inside on_dropped */
    uint64_t seq;
};

struct peer {
    struct hub_peer shown; /* first: what the owner sees */
    struct session *proved[CONVERSATIONS];
    struct session *unproved[CONVERSATIONS][BUS_PENDING_MAX];
    UT_hash_handle hh;
};

struct hub {
    struct event_base *loop; /* borrowed */
    struct hub_ops ops;
    uint8_t master_key[BUS_KEY_SIZE], previous_master_key[BUS_KEY_SIZE];
    uint8_t gen, previous_gen;
    bool has_previous;
    uint8_t epoch[BUS_EPOCH_SIZE];
    uint32_t watch_wait_ms;
    struct port control, logs;
    struct peer *peers;       /* by id; all owned */
    struct session *sessions; /* by session id; all owned */
    struct event *tend;       /* owned */

    struct bucket hellos[HELLO_BUCKETS]; /* a node's is found by its id and `salt` */
    struct bucket all_hellos;
    uint64_t salt;

    struct bus_counters counters;
};

static void arm(struct event *timer, unsigned ms) {
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(timer, &tv);
}

/* Seals `reply` (NULL: an empty message) for a session. */
static void answer(struct session *s, enum word_type type, uint64_t reply_to,
                   const ProtobufCMessage *reply) {
    struct hub *h = s->port->hub;
    size_t n = reply ? protobuf_c_message_get_packed_size(reply) : 0;
    uint8_t *packet = NULL;
    if (n <= word_of_type(type)->max_bytes)
        packet = bus_packet_new(seal_packet_size(false, n));
    if (packet && reply)
        protobuf_c_message_pack(reply, seal_plain(packet, false));
    if (packet && seal_session_seal(&s->seal, type, reply_to, packet, n) == 0) {
        listener_send(s->port->listener, &s->route, packet);
    } else {
        bus_packet_free(packet);
        h->counters.unsendable++;
    }
}

/* --- sessions --- */

/* Takes its request away from the owner. */
static void drop_request(struct session *s) {
    struct hub *h = s->port->hub;
    struct hub_request *req = TAKE_PTR(s->request);
    if (!req)
        return;
    req->session = NULL; /* a hub_reply() from inside on_dropped does nothing */
    if (h->ops.on_dropped)
        h->ops.on_dropped(h->ops.data, &s->peer->shown, req);
    free(req);
}

static void session_free(struct session *s) {
    struct hub *h = s->port->hub;
    if (s->hh.tbl)
        HASH_DEL(h->sessions, s);
    if (s->proved)
        s->port->sessions--;
    seal_session_fini(&s->seal);
    free(s->hello);
    free(s->request);
    free(s);
}

static void step_drop(struct session *s) {
    struct peer *peer = s->peer;
    drop_request(s);
    if (s->proved) {
        peer->proved[s->conversation] = NULL;
    } else {
        for (int i = 0; i < BUS_PENDING_MAX; i++)
            if (peer->unproved[s->conversation][i] == s)
                peer->unproved[s->conversation][i] = NULL;
    }
    session_free(s);
}

/* The node is not wanted any more. */
static void step_revoke(struct peer *peer) {
    for (int i = 0; i < CONVERSATIONS; i++) {
        if (peer->proved[i])
            step_drop(peer->proved[i]);
        for (int k = 0; k < BUS_PENDING_MAX; k++)
            if (peer->unproved[i][k])
                step_drop(peer->unproved[i][k]);
    }
}

/* A place for one more unproved session: a free one, or the oldest's. */
static struct session **pending_slot(struct peer *peer, Berth__Conversation conversation) {
    struct session **slots = peer->unproved[conversation], **oldest = &slots[0];
    for (int i = 0; i < BUS_PENDING_MAX; i++) {
        if (!slots[i])
            return &slots[i];
        if (slots[i]->made_ms < (*oldest)->made_ms)
            oldest = &slots[i];
    }
    step_drop(*oldest);
    return oldest;
}

static struct peer *find_peer(struct hub *h, const uint8_t id[BUS_ID_SIZE]) {
    struct peer *peer;
    HASH_FIND(hh, h->peers, id, BUS_ID_SIZE, peer);
    return peer;
}

static struct peer *make_peer(struct hub *h, const uint8_t id[BUS_ID_SIZE], Berth__NodeKind kind) {
    struct peer *peer = mem_zalloc(sizeof *peer);
    if (!peer)
        return NULL;
    memcpy(peer->shown.id, id, BUS_ID_SIZE);
    hex_encode(id, BUS_ID_SIZE, peer->shown.id_text);
    peer->shown.kind = kind;
    HASH_ADD(hh, h->peers, shown.id, BUS_ID_SIZE, peer);
    if (!peer->hh.tbl) {
        free(peer);
        return NULL;
    }
    return peer;
}

/* --- a Hello --- */

/* Limits what Hellos may cost. State is bounded: nodes may share a bucket. */
static bool hello_is_within_limits(struct hub *h, const uint8_t id[BUS_ID_SIZE]) {
    struct rng mix = {.state = h->salt};
    uint64_t half[2];
    memcpy(half, id, sizeof half);
    mix.state = rng_next(&mix) ^ half[0];
    mix.state = rng_next(&mix) ^ half[1];
    uint64_t now = clock_mono_ms();
    return bucket_take(&h->hellos[rng_next(&mix) % HELLO_BUCKETS], BUS_HELLO_BURST, BUS_HELLO_PER_S,
                       now) &&
           bucket_take(&h->all_hellos, BUS_HELLO_TOTAL_BURST, BUS_HELLO_TOTAL_PER_S, now);
}

/* -ENOENT: of no generation we hold. */
static int node_key(const struct hub *h, uint8_t gen, const uint8_t id[BUS_ID_SIZE],
                    uint8_t ret[SEAL_KEY_SIZE]) {
    const uint8_t *master = gen == h->gen                               ? h->master_key
                            : h->has_previous && gen == h->previous_gen ? h->previous_master_key
                                                                        : NULL;
    return master ? seal_derive_node_key(master, id, ret) : -ENOENT;
}

static int start_handshake(struct hub *h, const struct seal_header *header,
                           struct seal_handshake *ret) {
    struct seal_entropy entropy;
    uint8_t key[SEAL_KEY_SIZE];
    int r = node_key(h, header->gen, header->id, key);
    if (r < 0)
        return r;
    random_bytes(&entropy, sizeof entropy);
    r = seal_handshake_init(ret, SEAL_TO_NODE, header->id, header->gen, key, &entropy);
    mem_wipe(key, sizeof key);
    mem_wipe(&entropy, sizeof entropy);
    return r;
}

/* May this node have what it asks for? Checks the kind against the conversation, the listener and
 * what the node was before. */
static bool hello_is_right(struct port *port, const uint8_t id[BUS_ID_SIZE],
                           const Berth__Hello *hello) {
    struct hub *h = port->hub;
    const struct peer *peer = find_peer(h, id);
    bool logs = hello->conversation == BERTH__CONVERSATION__CONVERSATION_LOGS;
    return hello->share.len == SEAL_SHARE_SIZE && logs == port->logs &&
           word_kind_may(hello->kind, hello->conversation) &&
           (!peer || peer->shown.kind == hello->kind) &&
           (!h->ops.admits || h->ops.admits(h->ops.data, id, hello));
}

static int send_ack(struct session *s, struct seal_handshake *hs) {
    struct hub *h = s->port->hub;
    Berth__HelloAck ack = BERTH__HELLO_ACK__INIT;
    ack.share = (ProtobufCBinaryData){SEAL_SHARE_SIZE, hs->share};
    ack.epoch = (ProtobufCBinaryData){BUS_EPOCH_SIZE, h->epoch};
    ack.watch_wait_ms = h->watch_wait_ms;
    size_t n = berth__hello_ack__get_packed_size(&ack);
    uint8_t *packet = bus_packet_new(seal_packet_size(true, n));
    if (!packet)
        return -ENOMEM;
    berth__hello_ack__pack(&ack, seal_plain(packet, true));
    int r = seal_ack(hs, WORD_HELLO_ACK, packet, n);
    if (r < 0)
        bus_packet_free(packet);
    else
        listener_send(s->port->listener, &s->route, packet);
    return r;
}

/* An authentic Hello: makes an unproved session. Its packed bytes are kept for on_session. */
static int step_greet(struct port *port, const struct bus_route *route, struct seal_handshake *hs,
                      const Berth__Hello *hello, const uint8_t *packed, size_t n) {
    struct hub *h = port->hub;
    struct peer *peer = find_peer(h, hs->id);
    if (!peer && !(peer = make_peer(h, hs->id, hello->kind)))
        return -ENOMEM;
    struct session *s = mem_zalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    *s = (struct session){.peer = peer,
                          .port = port,
                          .conversation = hello->conversation,
                          .route = *route,
                          .made_ms = clock_mono_ms(),
                          .hello = mem_dup(packed, n),
                          .hello_size = n};
    /* The ack first: its bytes are part of the keys. */
    int r = s->hello ? send_ack(s, hs) : -ENOMEM;
    if (r == 0)
        r = seal_session_init(&s->seal, hs, hello->share.data);
    if (r == 0) {
        HASH_ADD(hh, h->sessions, seal.session, SEAL_SESSION_SIZE, s);
        r = s->hh.tbl ? 0 : -ENOMEM;
    }
    if (r < 0)
        session_free(s);
    else
        *pending_slot(peer, s->conversation) = s;
    return r;
}

static void on_hello(struct port *port, const struct bus_route *route,
                     const struct seal_header *header, uint8_t *packet) {
    struct hub *h = port->hub;
    const struct word *word = word_of_type(WORD_HELLO);
    struct seal_handshake _cleanup_(seal_handshake_fini) hs = {0};
    struct unpacked _cleanup_(unpacked_fini) hello = {0};
    const uint8_t *plain = seal_plain(packet, true);
    int r;
    if (header->type != WORD_HELLO || header->length > word->max_bytes) {
        h->counters.dropped_malformed++;
    } else if (!h->ops.knows(h->ops.data, header->id)) {
        h->counters.dropped_unknown++;
    } else if (!hello_is_within_limits(h, header->id)) {
        h->counters.dropped_limited++;
    } else if ((r = start_handshake(h, header, &hs)) < 0) {
        h->counters.dropped_unknown++;
    } else if (seal_hello_open(&hs, header, packet) < 0) {
        h->counters.dropped_forged++;
    } else if (word_unpack(word, plain, header->length, &hello) < 0 ||
               !hello_is_right(port, header->id, (const Berth__Hello *)hello.msg)) {
        h->counters.dropped_malformed++;
    } else {
        h->counters.received++;
        step_greet(port, route, &hs, (const Berth__Hello *)hello.msg, plain, header->length);
    }
}

/* --- a message of a session --- */

static void step_prove(struct session *s) {
    struct hub *h = s->port->hub;
    struct peer *peer = s->peer;
    struct unpacked _cleanup_(unpacked_fini) hello = {0};
    if (word_unpack(word_of_type(WORD_HELLO), s->hello, s->hello_size, &hello) < 0) {
        step_drop(s); /* without memory; the node tries again */
        return;
    }
    for (int i = 0; i < BUS_PENDING_MAX; i++)
        if (peer->unproved[s->conversation][i] == s)
            peer->unproved[s->conversation][i] = NULL;
    if (peer->proved[s->conversation])
        step_drop(peer->proved[s->conversation]);
    peer->proved[s->conversation] = s;
    s->proved = true;
    s->port->sessions++;
    h->counters.sessions++;
    free(TAKE_PTR(s->hello));
    answer(s, WORD_DONE_ACK, s->seal.received, NULL);
    if (h->ops.on_session)
        h->ops.on_session(h->ops.data, &peer->shown, (const Berth__Hello *)hello.msg);
}

/* Its node asks one thing at a time, so there is no request before this one. */
static void step_request(struct session *s, const struct word *word, const uint8_t *plain,
                         size_t n) {
    struct hub *h = s->port->hub;
    struct unpacked _cleanup_(unpacked_fini) msg = {0};
    if (s->request || word_unpack(word, plain, n, &msg) < 0) {
        h->counters.dropped_malformed++;
        return;
    }
    s->request = mem_zalloc(sizeof *s->request);
    if (!s->request)
        return;
    *s->request = (struct hub_request){.session = s, .seq = s->seal.received};
    h->ops.on_request(h->ops.data, &s->peer->shown, s->request, msg.msg);
}

static void step_authentic(struct session *s, const struct bus_route *route,
                           const struct seal_header *header, const uint8_t *plain) {
    struct hub *h = s->port->hub;
    const struct word *request = word_of_conversation(s->conversation);
    uint64_t now = clock_mono_ms();
    h->counters.received++;
    if (!h->ops.knows(h->ops.data, s->peer->shown.id)) {
        h->counters.dropped_unknown++;
        step_revoke(s->peer);
        return;
    }
    s->route = *route;
    s->peer->shown.last_heard_mono_ms = now;
    if (!s->proved && header->type == WORD_DONE && header->length == 0)
        step_prove(s);
    else if (s->proved && header->type == request->type)
        step_request(s, request, plain, header->length);
    else
        h->counters.dropped_malformed++;
}

static void on_sealed(struct port *port, const struct bus_route *route,
                      const struct seal_header *header, uint8_t *packet) {
    struct hub *h = port->hub;
    struct session *s;
    HASH_FIND(hh, h->sessions, header->session, SEAL_SESSION_SIZE, s);
    bool current =
        s && s->port == port && (s->proved || clock_mono_ms() - s->made_ms < BUS_PENDING_MS);
    int r = current ? seal_session_open(&s->seal, header, packet) : -ENOENT;
    if (r == 0)
        step_authentic(s, route, header, seal_plain(packet, false));
    else if (r == -ENOENT)
        h->counters.dropped_unknown++;
    else if (r == -ESTALE)
        h->counters.dropped_replayed++;
    else
        h->counters.dropped_forged++;
}

static void on_packet(void *data, const struct bus_route *route, uint8_t *packet, size_t n) {
    struct port *port = data;
    struct seal_header header;
    if (seal_parse(packet, n, &header) < 0)
        port->hub->counters.dropped_malformed++;
    else if (header.direction != SEAL_TO_HUB)
        port->hub->counters.dropped_replayed++; /* our own words, reflected */
    else if (header.handshake)
        on_hello(port, route, &header, packet);
    else
        on_sealed(port, route, &header, packet);
}

static void on_garbage(void *data) {
    struct port *port = data;
    port->hub->counters.garbage++;
}

/* --- tending --- */

/* nanomsg may keep a dead connection for ever when its peer resets it at the right moment. */
static void rebind_when_crowded(struct port *port) {
    if (listener_connections(port->listener) <= port->sessions + BUS_ZOMBIE_SURPLUS)
        return;
    listener_rebind(port->listener);
    port->hub->counters.rebinds++;
}

void hub_tend(struct hub *h) {
    struct session *s, *next;
    struct peer *peer, *next_peer;
    uint64_t now = clock_mono_ms();
    HASH_ITER (hh, h->sessions, s, next)
        if (!s->proved && now - s->made_ms >= BUS_PENDING_MS)
            step_drop(s);
    HASH_ITER (hh, h->peers, peer, next_peer)
        if (!h->ops.knows(h->ops.data, peer->shown.id))
            step_revoke(peer);
    rebind_when_crowded(&h->control);
    rebind_when_crowded(&h->logs);
}

static void on_tend(evutil_socket_t fd, short what, void *arg) {
    struct hub *h = arg;
    hub_tend(h);
    arm(h->tend, BUS_TEND_MS);
}

/* --- the interface --- */

static int port_init(struct port *port, struct hub *h, const char *url, bool logs,
                     struct error *err) {
    struct bus_socket_ops ops = {.on_packet = on_packet, .on_garbage = on_garbage, .data = port};
    *port = (struct port){.hub = h, .logs = logs};
    return listener_new(&port->listener, h->loop, url,
                        (logs ? BUS_LOGS_BYTES : BUS_CONTROL_BYTES) + BUS_PACKET_SLACK, &ops, err);
}

int hub_new(struct hub **ret, struct event_base *loop, const struct hub_config *config,
            const struct hub_ops *ops, struct error *err) {
    _cleanup_(hub_freep) struct hub *h = mem_zalloc(sizeof *h);
    if (!h)
        return error_set(err, -ENOMEM, "no memory for the bus");
    h->loop = loop;
    h->ops = *ops;
    h->gen = config->gen;
    h->watch_wait_ms = config->watch_wait_ms;
    memcpy(h->epoch, config->epoch, sizeof h->epoch);
    memcpy(h->master_key, config->master_key, sizeof h->master_key);
    h->has_previous = config->previous_master_key != NULL;
    if (h->has_previous) {
        h->previous_gen = config->previous_gen;
        memcpy(h->previous_master_key, config->previous_master_key, BUS_KEY_SIZE);
    }
    random_bytes(&h->salt, sizeof h->salt);
    h->tend = evtimer_new(loop, on_tend, h);
    if (!h->tend)
        return error_set(err, -ENOMEM, "no memory for the bus");
    int r;
    if ((r = port_init(&h->control, h, config->control_url, false, err)) < 0 ||
        (r = port_init(&h->logs, h, config->logs_url, true, err)) < 0)
        return r;
    arm(h->tend, BUS_TEND_MS);
    *ret = TAKE_PTR(h);
    return 0;
}

void hub_free(struct hub *h) {
    if (!h)
        return;
    struct session *s, *next_session;
    struct peer *peer, *next_peer;
    HASH_ITER (hh, h->sessions, s, next_session)
        session_free(s);
    HASH_ITER (hh, h->peers, peer, next_peer) {
        HASH_DEL(h->peers, peer);
        free(peer);
    }
    listener_free(h->control.listener);
    listener_free(h->logs.listener);
    if (h->tend)
        event_free(h->tend);
    mem_wipe(h->master_key, sizeof h->master_key);
    mem_wipe(h->previous_master_key, sizeof h->previous_master_key);
    free(h);
}

void hub_reply(struct hub *h, struct hub_request *req, const ProtobufCMessage *reply) {
    struct session *s = req->session;
    if (!s)
        return;
    enum word_type type = word_of_conversation(s->conversation)->answer;
    assert(reply->descriptor == word_of_type(type)->descriptor);
    s->request = NULL;
    answer(s, type, req->seq, reply);
    free(req);
}

int hub_token_key(const struct hub *h, const struct hub_peer *shown, uint8_t ret[BUS_KEY_SIZE]) {
    const struct peer *peer = (const struct peer *)shown; /* its first member */
    const struct session *s = peer->proved[BERTH__CONVERSATION__CONVERSATION_REPORT];
    uint8_t key[SEAL_KEY_SIZE];
    if (!s)
        return -ENOTCONN;
    int r = node_key(h, s->seal.gen, shown->id, key);
    if (r == 0)
        r = token_key(key, ret);
    mem_wipe(key, sizeof key);
    return r;
}

struct hub_peer *hub_find(struct hub *h, const uint8_t id[BUS_ID_SIZE]) {
    struct peer *peer = find_peer(h, id);
    return peer ? &peer->shown : NULL;
}

void hub_counters(const struct hub *h, struct bus_counters *ret) {
    *ret = h->counters;
    ret->sent = listener_sent(h->control.listener) + listener_sent(h->logs.listener);
}

unsigned hub_connections(const struct hub *h) {
    return listener_connections(h->control.listener) + listener_connections(h->logs.listener);
}

bool hub_is_listening(const struct hub *h) {
    return listener_is_bound(h->control.listener) && listener_is_bound(h->logs.listener);
}
