#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>

#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/seal.h"
#include "common/bus/times.h"

/* Made with another implementation (Python's hmac and cryptography) from the README's description:
 * master key 00..1f, id 40..4f, generation 3, session c1..c8; the randoms a0.., b0.., secrets 11..,
 * 22... Plaintexts: "hello", "ack!", "", "done", "ask". */
static const char golden_key[] = "fef08aa9a60c7840070f79044ae8239698b52ccb626dff4f78c41248dc1d465d";
static const char golden_hello[] =
    "4346423101010203404142434445464748494a4b4c4d4e4f0000000000000000000000000000000000000000"
    "000000000000000500000000a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0"
    "af66a248ec651361be71fe4033037b9185aadc5481";
static const char golden_ack[] =
    "4346423101020303404142434445464748494a4b4c4d4e4fc1c2c3c4c5c6c7c8000000000000000000000000"
    "000000000000000400000000b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0"
    "9785442a197b0656ce83086e360fd6816c83da44";
static const char golden_first[] =
    "4346423101030003404142434445464748494a4b4c4d4e4fc1c2c3c4c5c6c7c8000000000000000100000000"
    "000000000000000000000000752a75fdfcd5f8484d792adac5628da3";
static const char golden_answer[] =
    "4346423101040103404142434445464748494a4b4c4d4e4fc1c2c3c4c5c6c7c8000000000000000100000000"
    "000000010000000400000000311f1a661fee5ec8f0badba64a9044c0b0547715";
static const char golden_second[] =
    "4346423101050003404142434445464748494a4b4c4d4e4fc1c2c3c4c5c6c7c8000000000000000200000000"
    "000000000000000300000000d7e1a6533693171b4f47d2724c5e75e15a43ad";
static const char golden_node_share[] =
    "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13";
static const char golden_hub_share[] =
    "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20";

enum { PACKET_MAX = 512 };

struct packet {
    uint8_t bytes[PACKET_MAX];
    size_t n;
};

/* Both ends of one session, and the packets that made it. */
struct pair {
    uint8_t master[SEAL_KEY_SIZE], id[SEAL_ID_SIZE], key[SEAL_KEY_SIZE];
    struct seal_entropy node_entropy, hub_entropy;
    struct seal_handshake node_hs, hub_hs;
    struct seal_session node, hub;
    struct packet hello, ack;
};

static struct packet packet_of(bool handshake, const char *plain) {
    struct packet p = {.n = seal_packet_size(handshake, strlen(plain))};
    ck_assert_uint_le(p.n, sizeof p.bytes);
    memcpy(seal_plain(p.bytes, handshake), plain, strlen(plain));
    return p;
}

static void check_golden(const struct packet *p, const char *golden) {
    char hex[2 * PACKET_MAX + 1];
    hex_encode(p->bytes, p->n, hex);
    ck_assert_str_eq(hex, golden);
}

static void check_share(const uint8_t share[SEAL_SHARE_SIZE], const char *golden) {
    char hex[2 * SEAL_SHARE_SIZE + 1];
    hex_encode(share, SEAL_SHARE_SIZE, hex);
    ck_assert_str_eq(hex, golden);
}

static int hello_open(struct pair *p, struct packet packet) {
    struct seal_header h;
    struct seal_handshake hs;
    ck_assert_int_eq(seal_handshake_init(&hs, SEAL_TO_NODE, p->id, 3, p->key, &p->hub_entropy), 0);
    int r = seal_parse(packet.bytes, packet.n, &h);
    if (r == 0)
        r = seal_hello_open(&hs, &h, packet.bytes);
    if (r == 0)
        p->hub_hs = hs;
    return r;
}

static int ack_open(struct pair *p, struct packet packet) {
    struct seal_header h;
    struct seal_handshake hs = p->node_hs;
    int r = seal_parse(packet.bytes, packet.n, &h);
    if (r == 0)
        r = seal_ack_open(&hs, &h, packet.bytes);
    if (r == 0)
        p->node_hs = hs;
    return r;
}

static void pair_init(struct pair *p) {
    memset(p, 0, sizeof *p);
    for (unsigned i = 0; i < sizeof p->master; i++)
        p->master[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof p->id; i++)
        p->id[i] = (uint8_t)(0x40 + i);
    memset(p->node_entropy.random, 0xa0, sizeof p->node_entropy.random);
    memset(p->node_entropy.secret, 0x11, sizeof p->node_entropy.secret);
    memset(p->hub_entropy.random, 0xb0, sizeof p->hub_entropy.random);
    memset(p->hub_entropy.secret, 0x22, sizeof p->hub_entropy.secret);
    for (unsigned i = 0; i < SEAL_SESSION_SIZE; i++)
        p->hub_entropy.session[i] = (uint8_t)(0xc1 + i);
    ck_assert_int_eq(seal_derive_node_key(p->master, p->id, p->key), 0);

    ck_assert_int_eq(
        seal_handshake_init(&p->node_hs, SEAL_TO_HUB, p->id, 3, p->key, &p->node_entropy), 0);
    p->hello = packet_of(true, "hello");
    ck_assert_int_eq(seal_hello(&p->node_hs, 1, p->hello.bytes, 5), 0);
    ck_assert_int_eq(hello_open(p, p->hello), 0);
    p->ack = packet_of(true, "ack!");
    ck_assert_int_eq(seal_ack(&p->hub_hs, 2, p->ack.bytes, 4), 0);
    ck_assert_int_eq(ack_open(p, p->ack), 0);
    ck_assert_int_eq(seal_session_init(&p->hub, &p->hub_hs, p->node_hs.share), 0);
    ck_assert_int_eq(seal_session_init(&p->node, &p->node_hs, p->hub_hs.share), 0);
}

static void pair_fini(struct pair *p) {
    seal_session_fini(&p->node);
    seal_session_fini(&p->hub);
    seal_handshake_fini(&p->node_hs);
    seal_handshake_fini(&p->hub_hs);
}

static struct packet say(struct seal_session *from, uint8_t type, uint64_t reply_to,
                         const char *plain) {
    struct packet p = packet_of(false, plain);
    ck_assert_int_eq(seal_session_seal(from, type, reply_to, p.bytes, strlen(plain)), 0);
    return p;
}

/* Opens a copy. */
static int hear(struct seal_session *to, struct packet p, const char *want) {
    struct seal_header h;
    int r = seal_parse(p.bytes, p.n, &h);
    if (r == 0)
        r = seal_session_open(to, &h, p.bytes);
    if (r == 0 && want) {
        ck_assert_uint_eq(h.length, strlen(want));
        ck_assert_mem_eq(seal_plain(p.bytes, false), want, strlen(want));
    }
    return r;
}

START_TEST(the_bytes_are_those_of_the_golden_run) {
    struct pair p;
    pair_init(&p);
    check_share(p.key, golden_key);
    check_share(p.node_hs.share, golden_node_share);
    check_share(p.hub_hs.share, golden_hub_share);
    check_golden(&p.hello, golden_hello);
    check_golden(&p.ack, golden_ack);
    struct packet first = say(&p.node, 3, 0, "");
    check_golden(&first, golden_first);
    ck_assert_int_eq(hear(&p.hub, first, ""), 0);
    struct packet answer = say(&p.hub, 4, 1, "done");
    check_golden(&answer, golden_answer);
    ck_assert_int_eq(hear(&p.node, answer, "done"), 0);
    struct packet second = say(&p.node, 5, 0, "ask");
    check_golden(&second, golden_second);
    ck_assert_int_eq(hear(&p.hub, second, "ask"), 0);
    pair_fini(&p);
}
END_TEST

START_TEST(a_changed_bit_anywhere_is_refused) {
    struct pair p;
    pair_init(&p);
    struct packet first = say(&p.node, 3, 0, "some words"), answer = say(&p.hub, 4, 1, "others");
    for (size_t i = 0; i < PACKET_MAX * 8; i++) {
        struct packet hello = p.hello, ack = p.ack, f = first, a = answer;
        uint8_t bit = (uint8_t)(1 << i % 8);
        hello.bytes[i / 8] ^= bit, ack.bytes[i / 8] ^= bit;
        f.bytes[i / 8] ^= bit, a.bytes[i / 8] ^= bit;
        if (i / 8 < hello.n)
            ck_assert_int_eq(hello_open(&p, hello), -EBADMSG);
        if (i / 8 < ack.n)
            ck_assert_int_eq(ack_open(&p, ack), -EBADMSG);
        if (i / 8 < f.n)
            ck_assert_int_lt(hear(&p.hub, f, NULL), 0);
        if (i / 8 < a.n)
            ck_assert_int_lt(hear(&p.node, a, NULL), 0);
    }
    /* And none of that did any harm. */
    ck_assert_int_eq(hear(&p.hub, first, "some words"), 0);
    ck_assert_int_eq(hear(&p.node, answer, "others"), 0);
    pair_fini(&p);
}
END_TEST

START_TEST(a_cut_or_lengthened_packet_is_refused) {
    struct pair p;
    struct seal_header h;
    pair_init(&p);
    struct packet first = say(&p.node, 3, 0, "some words");
    for (size_t n = 0; n <= PACKET_MAX; n++) {
        if (n != first.n)
            ck_assert_int_eq(seal_parse(first.bytes, n, &h), -EBADMSG);
        if (n != p.hello.n)
            ck_assert_int_eq(seal_parse(p.hello.bytes, n, &h), -EBADMSG);
    }
    pair_fini(&p);
}
END_TEST

START_TEST(only_the_next_message_of_the_other_end_is_taken) {
    struct pair p;
    pair_init(&p);
    struct packet m[4];
    for (int i = 0; i < 4; i++)
        m[i] = say(&p.node, 5, 0, "m");
    ck_assert_int_eq(hear(&p.hub, m[1], NULL), -ESTALE); /* one was lost */
    ck_assert_int_eq(hear(&p.hub, m[0], "m"), 0);
    ck_assert_int_eq(hear(&p.hub, m[0], NULL), -ESTALE); /* replayed */
    ck_assert_int_eq(hear(&p.hub, m[2], NULL), -ESTALE);
    ck_assert_int_eq(hear(&p.hub, m[1], "m"), 0);
    ck_assert_int_eq(hear(&p.node, m[2], NULL), -ESTALE); /* reflected */
    struct packet turned = m[2];
    turned.bytes[6] ^= 1; /* reflected, with its direction turned */
    turned.bytes[39] = 1; /* and the sequence that the node waits for */
    ck_assert_int_eq(hear(&p.node, turned, NULL), -EBADMSG);
    ck_assert_int_eq(hear(&p.hub, m[2], "m"), 0);
    ck_assert_int_eq(hear(&p.hub, m[3], "m"), 0);
    pair_fini(&p);
}
END_TEST

START_TEST(packets_of_other_sessions_and_nodes_are_unknown) {
    static const struct { uint8_t at; /* what is changed */ } rows[] = {{24}, {8}, {7}};
    struct pair p;
    pair_init(&p);
    struct packet ours = say(&p.node, 5, 0, "m");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packet other = ours;
        other.bytes[rows[i].at] ^= 1;
        ck_assert_int_eq(hear(&p.hub, other, NULL), -ENOENT);
    }
    ck_assert_int_eq(hear(&p.hub, p.hello, NULL), -ENOENT);
    pair_fini(&p);
}
END_TEST

START_TEST(an_ack_answers_one_hello_only) {
    struct pair p;
    pair_init(&p);
    p.node_entropy.random[0] ^= 1;
    ck_assert_int_eq(seal_handshake_init(&p.node_hs, SEAL_TO_HUB, p.id, 3, p.key, &p.node_entropy),
                     0);
    ck_assert_int_eq(ack_open(&p, p.ack), -EBADMSG);
    pair_fini(&p);
}
END_TEST

START_TEST(a_hello_with_another_key_is_refused) {
    struct pair p;
    pair_init(&p);
    uint8_t other_id[SEAL_ID_SIZE] = {1}, other_key[SEAL_KEY_SIZE];
    ck_assert_int_eq(seal_derive_node_key(p.master, other_id, other_key), 0);
    /* A stolen key of another node, under this node's name. */
    ck_assert_int_eq(
        seal_handshake_init(&p.node_hs, SEAL_TO_HUB, p.id, 3, other_key, &p.node_entropy), 0);
    struct packet hello = packet_of(true, "hello");
    ck_assert_int_eq(seal_hello(&p.node_hs, 1, hello.bytes, 5), 0);
    ck_assert_int_eq(hello_open(&p, hello), -EBADMSG);
    /* An ack is no Hello, and the other way round. */
    ck_assert_int_eq(hello_open(&p, p.ack), -EBADMSG);
    ck_assert_int_eq(ack_open(&p, p.hello), -EBADMSG);
    pair_fini(&p);
}
END_TEST

START_TEST(shares_of_small_order_make_no_session) {
    static const uint8_t points[][SEAL_SHARE_SIZE] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    };
    struct pair p;
    pair_init(&p);
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        struct seal_session s;
        ck_assert_int_eq(seal_session_init(&s, &p.hub_hs, points[i]), -EBADMSG);
    }
    pair_fini(&p);
}
END_TEST

START_TEST(a_session_ends_before_its_nonces_do) {
    struct pair p;
    pair_init(&p);
    struct packet m = packet_of(false, "");
    p.node.sent = p.hub.received = BUS_SESSION_MAX_MESSAGES - 1;
    ck_assert_int_eq(hear(&p.hub, say(&p.node, 5, 0, "last"), "last"), 0);
    ck_assert_int_eq(seal_session_seal(&p.node, 5, 0, m.bytes, 0), -EOVERFLOW);
    pair_fini(&p);
}
END_TEST

START_TEST(headers_that_make_no_sense_are_refused) {
    static const struct {
        uint8_t at, value;
    } wrong[] = {
        {0, 'c'}, {3, '2'}, {4, 0},  {4, 2},  {6, 4},  {6, 0x80},
        {52, 1},  {55, 1},  {48, 1}, {51, 9}, {39, 0}, /* no sequence, no handshake */
        {6, 2},                                        /* a handshake with a sequence */
    };
    struct pair p;
    struct seal_header h;
    pair_init(&p);
    struct packet m = say(&p.node, 5, 0, "words");
    ck_assert_int_eq(seal_parse(m.bytes, m.n, &h), 0);
    ck_assert_uint_eq(h.type, 5);
    ck_assert_uint_eq(h.seq, 1);
    ck_assert_uint_eq(h.length, 5);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct packet bad = m;
        bad.bytes[wrong[i].at] = wrong[i].value;
        ck_assert_msg(seal_parse(bad.bytes, bad.n, &h) == -EBADMSG, "row %zu", i);
    }
    struct rng rng = {.state = 1};
    for (int i = 0; i < 20000; i++) {
        struct packet junk = m;
        for (int k = 0; k < 3; k++)
            junk.bytes[rng_below(&rng, m.n)] = (uint8_t)rng_next(&rng);
        if (seal_parse(junk.bytes, rng_below(&rng, PACKET_MAX), &h) == 0)
            ck_assert_uint_le(h.length, PACKET_MAX);
    }
    pair_fini(&p);
}
END_TEST

RUN_TESTS("bus/seal", the_bytes_are_those_of_the_golden_run, a_changed_bit_anywhere_is_refused,
          a_cut_or_lengthened_packet_is_refused, only_the_next_message_of_the_other_end_is_taken,
          packets_of_other_sessions_and_nodes_are_unknown, an_ack_answers_one_hello_only,
          a_hello_with_another_key_is_refused, shares_of_small_order_make_no_session,
          a_session_ends_before_its_nonces_do, headers_that_make_no_sense_are_refused)
