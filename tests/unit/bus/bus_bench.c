/* bus_bench.c - round trips over loopback, hub and nodes in one process on one loop. Prints a line
 * of JSON a figure. usage: bus_bench [SECONDS]  (not a test: build target only) */
#include "tests/unit/bus/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/bus/seal.h"

enum { SAMPLES_MAX = 1 << 20, NODES_MAX = 100 };

struct bench {
    struct event_base *loop;
    struct hub *hub;
    struct bus_conversation *conversation[NODES_MAX];
    struct ping {
        struct bench *bench;
        unsigned index;
        uint64_t sent_ns;
    } ping[NODES_MAX];
    uint8_t *text;
    unsigned text_size;
    uint32_t *samples_us;
    unsigned count;
    bool counting;
};

static bool knows(void *data, const uint8_t id[BUS_ID_SIZE]) {
    return true;
}

static void on_request(void *data, struct hub_peer *peer, struct hub_request *req,
                       const ProtobufCMessage *msg) {
    struct bench *b = data;
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    reply.epoch = (ProtobufCBinaryData){b->text_size, b->text};
    hub_reply(b->hub, req, &reply.base);
}

static void ask(struct ping *p) {
    Berth__Watch watch = BERTH__WATCH__INIT;
    p->sent_ns = clock_mono_ns();
    watch.version = 1;
    if (bus_conversation_request(p->bench->conversation[p->index], &watch.base, 5000, NULL) < 0)
        abort();
}

static void on_open(void *data, const Berth__HelloAck *ack) {
    ask(data);
}

static void on_reply(void *data, const ProtobufCMessage *reply) {
    struct ping *p = data;
    struct bench *b = p->bench;
    if (b->counting && b->count < SAMPLES_MAX)
        b->samples_us[b->count++] = (uint32_t)((clock_mono_ns() - p->sent_ns) / 1000);
    ask(p);
}

static void on_down(void *data, const char *why) {
    fprintf(stderr, "down: %s\n", why);
    abort();
}

static int by_value(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void run(unsigned nodes, unsigned bytes, unsigned seconds) {
    static struct bench b;
    uint8_t master[BUS_KEY_SIZE] = {1};
    struct hub_config config = {
        .control_url = url_of(PORT_CONTROL), .logs_url = url_of(PORT_LOGS), .master_key = master};
    struct hub_ops hub_ops = {.knows = knows, .on_request = on_request, .data = &b};
    const struct timeval warm = {.tv_usec = 300000}, span = {.tv_sec = seconds};
    b = (struct bench){.loop = event_base_new(), .text_size = bytes};
    b.text = calloc(1, bytes);
    b.samples_us = calloc(SAMPLES_MAX, sizeof *b.samples_us);
    if (!b.text || !b.samples_us || hub_new(&b.hub, b.loop, &config, &hub_ops, NULL) < 0)
        abort();
    for (unsigned i = 0; i < nodes; i++) {
        struct bus_conversation_ops ops = {on_open, on_reply, on_down, &b.ping[i]};
        Berth__Hello hello = BERTH__HELLO__INIT;
        struct bus_identity identity;
        uint8_t id[BUS_ID_SIZE] = {(uint8_t)i};
        hub_derive_identity(master, 0, id, &identity);
        b.ping[i] = (struct ping){.bench = &b, .index = i};
        if (bus_conversation_new(&b.conversation[i], b.loop, &identity, config.control_url, &hello,
                                 &ops, NULL) < 0)
            abort();
    }
    event_base_loopexit(b.loop, &warm);
    event_base_dispatch(b.loop);
    b.counting = true;
    uint64_t begin = clock_mono_ns();
    event_base_loopexit(b.loop, &span);
    event_base_dispatch(b.loop);
    double took = (double)(clock_mono_ns() - begin) / 1e9;
    qsort(b.samples_us, b.count, sizeof *b.samples_us, by_value);
    printf("{\"bench\":\"bus_round_trip\",\"nodes\":%u,\"reply_bytes\":%u,\"per_s\":%.0f,"
           "\"p50_us\":%u,\"p99_us\":%u}\n",
           nodes, bytes, b.count / took, b.samples_us[b.count / 2],
           b.samples_us[b.count * 99ull / 100]);
    for (unsigned i = 0; i < nodes; i++)
        bus_conversation_free(b.conversation[i]);
    hub_free(b.hub);
    event_base_free(b.loop);
    free(b.text);
    free(b.samples_us);
}

/* What one Hello costs the hub: two keys, X25519 twice, both session keys. */
static void run_handshakes(unsigned count) {
    uint8_t master[SEAL_KEY_SIZE] = {1}, id[SEAL_ID_SIZE] = {2}, key[SEAL_KEY_SIZE];
    uint8_t hello[256], copy[256], ack[256];
    struct seal_entropy entropy = {.random = {3}, .secret = {4}};
    struct seal_handshake node, hub;
    struct seal_header header;
    struct seal_session session;
    int r = seal_derive_node_key(master, id, key);
    r |= seal_handshake_init(&node, SEAL_TO_HUB, id, 0, key, &entropy);
    memset(seal_plain(hello, true), 0, 100);
    r |= seal_hello(&node, 1, hello, 100);
    uint64_t begin = clock_mono_ns();
    for (unsigned i = 0; i < count; i++) {
        memcpy(copy, hello, sizeof copy);
        r |= seal_parse(copy, seal_packet_size(true, 100), &header);
        r |= seal_derive_node_key(master, id, key);
        r |= seal_handshake_init(&hub, SEAL_TO_NODE, id, 0, key, &entropy);
        r |= seal_hello_open(&hub, &header, copy);
        memset(seal_plain(ack, true), 0, 50);
        r |= seal_ack(&hub, 2, ack, 50);
        r |= seal_session_init(&session, &hub, node.share);
        seal_session_fini(&session);
    }
    if (r != 0)
        abort();
    printf("{\"bench\":\"bus_handshake\",\"us\":%.0f}\n",
           (double)(clock_mono_ns() - begin) / 1e3 / count);
}

int main(int argc, char **argv) {
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 2;
    run_handshakes(2000);
    run(1, 200, seconds);
    run(1, 20000, seconds);
    run(NODES_MAX, 200, seconds);
    run(NODES_MAX, 20000, seconds);
    return 0;
}
