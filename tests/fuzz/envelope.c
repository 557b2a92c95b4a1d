/* envelope.c - the bus's packets. The first byte says what the rest is:
 *   0       a packet from the wire, for a hub that knows one node and one session
 *   1..10   an authentic message of that word type
 * The keys are those of tests/unit/bus/seal_test.c, so that true packets are in the corpus. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus/seal.h"
#include "common/bus/times.h"
#include "common/bus/words.h"

static uint8_t id[SEAL_ID_SIZE], node_key[SEAL_KEY_SIZE];
static struct seal_entropy node_entropy, hub_entropy;
static struct seal_session node, hub; /* two ends of one session */

static void must(int ok) {
    if (!ok)
        abort();
}

static void set_up(void) {
    uint8_t master[SEAL_KEY_SIZE], packet[256];
    struct seal_handshake n, h;
    struct seal_header header;
    for (unsigned i = 0; i < sizeof master; i++)
        master[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof id; i++)
        id[i] = (uint8_t)(0x40 + i);
    memset(node_entropy.random, 0xa0, sizeof node_entropy.random);
    memset(node_entropy.secret, 0x11, sizeof node_entropy.secret);
    memset(hub_entropy.random, 0xb0, sizeof hub_entropy.random);
    memset(hub_entropy.secret, 0x22, sizeof hub_entropy.secret);
    for (unsigned i = 0; i < SEAL_SESSION_SIZE; i++)
        hub_entropy.session[i] = (uint8_t)(0xc1 + i);
    must(seal_derive_node_key(master, id, node_key) == 0);
    must(seal_handshake_init(&n, SEAL_TO_HUB, id, 3, node_key, &node_entropy) == 0);
    must(seal_handshake_init(&h, SEAL_TO_NODE, id, 3, node_key, &hub_entropy) == 0);
    memcpy(seal_plain(packet, true), "hello", 5);
    must(seal_hello(&n, WORD_HELLO, packet, 5) == 0);
    must(seal_parse(packet, seal_packet_size(true, 5), &header) == 0);
    must(seal_hello_open(&h, &header, packet) == 0);
    memcpy(seal_plain(packet, true), "ack!", 4);
    must(seal_ack(&h, WORD_HELLO_ACK, packet, 4) == 0);
    must(seal_parse(packet, seal_packet_size(true, 4), &header) == 0);
    must(seal_ack_open(&n, &header, packet) == 0);
    must(seal_session_init(&node, &n, h.share) == 0);
    must(seal_session_init(&hub, &h, n.share) == 0);
}

/* What is accepted can be walked and packed to the size that it says. Unpacking that again may fail
 * (unknown fields are kept as they came, also such as may not be) but does no harm. */
static void try_word(const struct word *word, const uint8_t *p, size_t n) {
    struct unpacked u, again;
    if (word_unpack(word, p, n, &u) < 0)
        return;
    if (u.msg) {
        size_t size = protobuf_c_message_get_packed_size(u.msg);
        uint8_t *packed = malloc(size + 1);
        must(packed && protobuf_c_message_pack(u.msg, packed) == size);
        if (word_unpack(word, packed, size, &again) == 0)
            unpacked_fini(&again);
        free(packed);
    }
    unpacked_fini(&u);
}

/* From the wire: whatever parses has the size that it says; nothing but a true packet opens. */
static void try_packet(const uint8_t *p, size_t n) {
    struct seal_header header;
    struct seal_handshake hs;
    uint8_t *packet = malloc(n ? n : 1);
    must(packet != NULL);
    memcpy(packet, p, n);
    if (seal_parse(packet, n, &header) == 0) {
        must(seal_packet_size(header.handshake, header.length) == n);
        must(seal_handshake_init(&hs, SEAL_TO_NODE, id, 3, node_key, &hub_entropy) == 0);
        hub.received = header.seq ? header.seq - 1 : 0; /* whichever comes is the next one */
        const struct word *word = word_of_type(header.type);
        int r = header.handshake ? seal_hello_open(&hs, &header, packet)
                                 : seal_session_open(&hub, &header, packet);
        if (r == 0 && word)
            try_word(word, seal_plain(packet, header.handshake), header.length);
    }
    free(packet);
}

/* Sealed at one end, it comes out at the other. */
static void try_round_trip(uint8_t type, const uint8_t *p, size_t n) {
    struct seal_header header;
    uint8_t *packet = malloc(seal_packet_size(false, n));
    must(packet != NULL);
    memcpy(seal_plain(packet, false), p, n);
    node.sent = hub.received = 0;
    must(seal_session_seal(&node, type, 0, packet, n) == 0);
    must(seal_parse(packet, seal_packet_size(false, n), &header) == 0);
    must(seal_session_open(&hub, &header, packet) == 0);
    must(header.type == type && header.length == n);
    must(memcmp(seal_plain(packet, false), p, n) == 0);
    free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!node.sealer)
        set_up();
    if (size < 1 || size > BUS_CONTROL_BYTES)
        return 0;
    const struct word *word = word_of_type(data[0]);
    if (word) {
        try_word(word, data + 1, size - 1);
        try_round_trip(data[0], data + 1, size - 1);
    } else {
        try_packet(data + 1, size - 1);
    }
    return 0;
}
