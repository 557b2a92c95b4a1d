/* seal.c
 *
 *   K_node = HKDF(salt "cf-bus/1", K_master[gen], "node" id)
 *   Hello     under HKDF(salt Cn,    K_node, "hello")         Cn, Sn: 32 clear random bytes
 *   HelloAck  under HKDF(salt Cn Sn, K_node, "ack")
 *   session   under HKDF(salt Cn Sn, K_node X25519, "n2c"|"c2n" id session transcript)
 *   a key for what is no packet: HKDF(salt "cf-bus/1", K_node, its purpose)
 *
 * A handshake key seals one message, so its nonce is zero; a session's nonce is the sequence
 * number, and each direction has a key of its own. */
#include "common/bus/seal.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/sha.h>
#include <string.h>

#include "common/base/str.h"
#include "common/bus/times.h"

static const uint8_t magic[4] = {'C', 'F', 'B', '1'};
enum { VERSION = 1, NONCE_SIZE = 12 };
enum { FLAG_TO_NODE = 1 << 0, FLAG_HANDSHAKE = 1 << 1 };

/* Offsets in the header; README.md has the same table. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_TYPE = 5,
    AT_FLAGS = 6,
    AT_GEN = 7,
    AT_ID = 8,
    AT_SESSION = 24,
    AT_SEQ = 32,
    AT_REPLY_TO = 40,
    AT_LENGTH = 48,
    AT_RESERVED = 52,
};

static_assert(AT_RESERVED + 4 == SEAL_HEADER_SIZE, "the header's layout");

static void put_u64(uint8_t *p, uint64_t v) {
    v = htobe64(v);
    memcpy(p, &v, sizeof v);
}

static uint64_t get_u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

static uint32_t get_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static size_t clear_size(bool handshake) {
    return SEAL_HEADER_SIZE + (handshake ? SEAL_RANDOM_SIZE : 0);
}

size_t seal_packet_size(bool handshake, size_t plain) {
    return clear_size(handshake) + plain + SEAL_TAG_SIZE;
}

uint8_t *seal_plain(uint8_t *packet, bool handshake) {
    return packet + clear_size(handshake);
}

int seal_parse(const uint8_t *packet, size_t n, struct seal_header *ret) {
    if (n < seal_packet_size(false, 0) || n > SEAL_PLAIN_MAX)
        return -EBADMSG;
    if (memcmp(packet + AT_MAGIC, magic, sizeof magic) != 0 || packet[AT_VERSION] != VERSION)
        return -EBADMSG;
    uint8_t flags = packet[AT_FLAGS];
    if (flags & ~(FLAG_TO_NODE | FLAG_HANDSHAKE) || get_u32(packet + AT_RESERVED) != 0)
        return -EBADMSG;
    ret->type = packet[AT_TYPE];
    ret->direction = flags & FLAG_TO_NODE ? SEAL_TO_NODE : SEAL_TO_HUB;
    ret->handshake = flags & FLAG_HANDSHAKE;
    ret->gen = packet[AT_GEN];
    memcpy(ret->id, packet + AT_ID, sizeof ret->id);
    memcpy(ret->session, packet + AT_SESSION, sizeof ret->session);
    ret->seq = get_u64(packet + AT_SEQ);
    ret->reply_to = get_u64(packet + AT_REPLY_TO);
    ret->length = get_u32(packet + AT_LENGTH);
    /* A handshake has no sequence; everything else has one. */
    if (ret->handshake != (ret->seq == 0) || (ret->handshake && ret->reply_to != 0))
        return -EBADMSG;
    return n == seal_packet_size(ret->handshake, ret->length) ? 0 : -EBADMSG;
}

static void put_header(uint8_t *packet, const struct seal_header *h) {
    uint32_t length = htobe32(h->length);
    memcpy(packet + AT_MAGIC, magic, sizeof magic);
    packet[AT_VERSION] = VERSION;
    packet[AT_TYPE] = h->type;
    packet[AT_FLAGS] = (uint8_t)((h->direction == SEAL_TO_NODE ? FLAG_TO_NODE : 0) |
                                 (h->handshake ? FLAG_HANDSHAKE : 0));
    packet[AT_GEN] = h->gen;
    memcpy(packet + AT_ID, h->id, sizeof h->id);
    memcpy(packet + AT_SESSION, h->session, sizeof h->session);
    put_u64(packet + AT_SEQ, h->seq);
    put_u64(packet + AT_REPLY_TO, h->reply_to);
    memcpy(packet + AT_LENGTH, &length, sizeof length);
    memset(packet + AT_RESERVED, 0, 4);
}

/* --- the primitives --- */

/* HKDF-SHA256 (RFC 5869), one 32-byte key. */
static int hkdf(const uint8_t *salt, size_t salt_n, const uint8_t *ikm, size_t ikm_n,
                const uint8_t *info, size_t info_n, uint8_t ret[SEAL_KEY_SIZE]) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)ikm, ikm_n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_n),
        OSSL_PARAM_construct_end(),
    };
    int ok = ctx && EVP_KDF_derive(ctx, ret, SEAL_KEY_SIZE, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok ? 0 : -EIO;
}

/* AES-256-GCM, keyed once. NULL when out of memory. */
static EVP_CIPHER_CTX *gcm_new(const uint8_t key[SEAL_KEY_SIZE], bool sealing) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, NULL, sealing) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* Seals `plain` bytes behind `clear` ones, in place, and puts the tag behind them. */
static int gcm_seal(EVP_CIPHER_CTX *ctx, uint64_t seq, uint8_t *packet, size_t clear,
                    size_t plain) {
    uint8_t nonce[NONCE_SIZE] = {0};
    uint8_t *body = packet + clear;
    int n;
    put_u64(nonce + 4, seq);
    if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, 1) != 1 ||
        EVP_EncryptUpdate(ctx, NULL, &n, packet, (int)clear) != 1 ||
        EVP_EncryptUpdate(ctx, body, &n, body, (int)plain) != 1 ||
        EVP_EncryptFinal_ex(ctx, body + plain, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, body + plain) != 1)
        return -EIO;
    return 0;
}

static int gcm_open(EVP_CIPHER_CTX *ctx, uint64_t seq, uint8_t *packet, size_t clear,
                    size_t plain) {
    uint8_t nonce[NONCE_SIZE] = {0};
    uint8_t *body = packet + clear;
    int n;
    put_u64(nonce + 4, seq);
    if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, 0) != 1 ||
        EVP_DecryptUpdate(ctx, NULL, &n, packet, (int)clear) != 1 ||
        EVP_DecryptUpdate(ctx, body, &n, body, (int)plain) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, body + plain) != 1)
        return -EIO;
    return EVP_DecryptFinal_ex(ctx, body + plain, &n) == 1 ? 0 : -EBADMSG;
}

static int x25519_share(const uint8_t secret[SEAL_KEY_SIZE], uint8_t ret[SEAL_SHARE_SIZE]) {
    size_t n = SEAL_SHARE_SIZE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SEAL_KEY_SIZE);
    int ok = key && EVP_PKEY_get_raw_public_key(key, ret, &n) == 1 && n == SEAL_SHARE_SIZE;
    EVP_PKEY_free(key);
    return ok ? 0 : -EIO;
}

/* OpenSSL refuses a share of small order, whose result is all zero (RFC 7748 section 6.1). */
static int x25519(const uint8_t secret[SEAL_KEY_SIZE], const uint8_t share[SEAL_SHARE_SIZE],
                  uint8_t ret[SEAL_KEY_SIZE]) {
    size_t n = SEAL_KEY_SIZE;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, SEAL_KEY_SIZE);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, share, SEAL_SHARE_SIZE);
    EVP_PKEY_CTX *ctx = own ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    int ok = ctx && peer && EVP_PKEY_derive_init(ctx) == 1 &&
             EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, ret, &n) == 1 &&
             n == SEAL_KEY_SIZE;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return ok ? 0 : -EBADMSG;
}

/* --- the handshake --- */

int seal_derive_node_key(const uint8_t master[SEAL_KEY_SIZE], const uint8_t id[SEAL_ID_SIZE],
                         uint8_t ret[SEAL_KEY_SIZE]) {
    static const char salt[] = "cf-bus/1", label[] = "node";
    uint8_t info[sizeof label - 1 + SEAL_ID_SIZE];
    memcpy(info, label, sizeof label - 1);
    memcpy(info + sizeof label - 1, id, SEAL_ID_SIZE);
    return hkdf((const uint8_t *)salt, sizeof salt - 1, master, SEAL_KEY_SIZE, info, sizeof info,
                ret);
}

int seal_derive_purpose_key(const uint8_t node_key[SEAL_KEY_SIZE], const char *label,
                            uint8_t ret[SEAL_KEY_SIZE]) {
    static const char salt[] = "cf-bus/1";
    return hkdf((const uint8_t *)salt, sizeof salt - 1, node_key, SEAL_KEY_SIZE,
                (const uint8_t *)label, strlen(label), ret);
}

int seal_handshake_init(struct seal_handshake *hs, enum seal_direction own,
                        const uint8_t id[SEAL_ID_SIZE], uint8_t gen,
                        const uint8_t node_key[SEAL_KEY_SIZE], const struct seal_entropy *entropy) {
    *hs = (struct seal_handshake){.gen = gen, .own = own};
    memcpy(hs->id, id, sizeof hs->id);
    memcpy(hs->node_key, node_key, sizeof hs->node_key);
    memcpy(hs->secret, entropy->secret, sizeof hs->secret);
    if (own == SEAL_TO_HUB) {
        memcpy(hs->randoms, entropy->random, SEAL_RANDOM_SIZE);
    } else {
        memcpy(hs->randoms + SEAL_RANDOM_SIZE, entropy->random, SEAL_RANDOM_SIZE);
        memcpy(hs->session, entropy->session, sizeof hs->session);
    }
    return x25519_share(hs->secret, hs->share);
}

void seal_handshake_fini(struct seal_handshake *hs) {
    mem_wipe(hs, sizeof *hs);
}

/* A key of the handshake: a context that seals or opens one message. */
static EVP_CIPHER_CTX *handshake_gcm(const struct seal_handshake *hs, size_t randoms,
                                     const char *label, bool sealing) {
    uint8_t key[SEAL_KEY_SIZE];
    EVP_CIPHER_CTX *ctx = NULL;
    if (hkdf(hs->randoms, randoms * SEAL_RANDOM_SIZE, hs->node_key, sizeof hs->node_key,
             (const uint8_t *)label, strlen(label), key) == 0)
        ctx = gcm_new(key, sealing);
    mem_wipe(key, sizeof key);
    return ctx;
}

static int handshake_seal(struct seal_handshake *hs, uint8_t type, uint8_t *packet, size_t plain,
                          const char *label) {
    assert(plain <= SEAL_PLAIN_MAX);
    bool ack = hs->own == SEAL_TO_NODE;
    struct seal_header header = {.type = type,
                                 .direction = hs->own,
                                 .handshake = true,
                                 .gen = hs->gen,
                                 .length = (uint32_t)plain};
    memcpy(header.id, hs->id, sizeof header.id);
    memcpy(header.session, hs->session, sizeof header.session);
    put_header(packet, &header);
    memcpy(packet + SEAL_HEADER_SIZE, hs->randoms + (ack ? SEAL_RANDOM_SIZE : 0), SEAL_RANDOM_SIZE);
    EVP_CIPHER_CTX *ctx = handshake_gcm(hs, ack ? 2 : 1, label, true);
    int r = ctx ? gcm_seal(ctx, 0, packet, clear_size(true), plain) : -EIO;
    EVP_CIPHER_CTX_free(ctx);
    if (r == 0)
        SHA256(packet, seal_packet_size(true, plain), hs->transcript + (ack ? 32 : 0));
    return r;
}

static int handshake_open(struct seal_handshake *hs, const struct seal_header *header,
                          uint8_t *packet, const char *label) {
    bool ack = hs->own == SEAL_TO_HUB;
    if (!header->handshake || header->direction == hs->own || header->gen != hs->gen ||
        memcmp(header->id, hs->id, sizeof hs->id) != 0)
        return -EBADMSG;
    memcpy(hs->randoms + (ack ? SEAL_RANDOM_SIZE : 0), packet + SEAL_HEADER_SIZE, SEAL_RANDOM_SIZE);
    SHA256(packet, seal_packet_size(true, header->length), hs->transcript + (ack ? 32 : 0));
    EVP_CIPHER_CTX *ctx = handshake_gcm(hs, ack ? 2 : 1, label, false);
    int r = ctx ? gcm_open(ctx, 0, packet, clear_size(true), header->length) : -EIO;
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

int seal_hello(struct seal_handshake *hs, uint8_t type, uint8_t *packet, size_t plain) {
    assert(hs->own == SEAL_TO_HUB);
    return handshake_seal(hs, type, packet, plain, "hello");
}

int seal_hello_open(struct seal_handshake *hs, const struct seal_header *header, uint8_t *packet) {
    static const uint8_t none[SEAL_SESSION_SIZE];
    assert(hs->own == SEAL_TO_NODE);
    if (memcmp(header->session, none, sizeof none) != 0)
        return -EBADMSG;
    return handshake_open(hs, header, packet, "hello");
}

int seal_ack(struct seal_handshake *hs, uint8_t type, uint8_t *packet, size_t plain) {
    assert(hs->own == SEAL_TO_NODE);
    return handshake_seal(hs, type, packet, plain, "ack");
}

int seal_ack_open(struct seal_handshake *hs, const struct seal_header *header, uint8_t *packet) {
    assert(hs->own == SEAL_TO_HUB);
    int r = handshake_open(hs, header, packet, "ack");
    if (r == 0)
        memcpy(hs->session, header->session, sizeof hs->session);
    return r;
}

/* --- the session --- */

static EVP_CIPHER_CTX *session_gcm(const struct seal_handshake *hs, const uint8_t ikm[64],
                                   enum seal_direction direction, bool sealing) {
    uint8_t info[3 + SEAL_ID_SIZE + SEAL_SESSION_SIZE + sizeof hs->transcript], *p = info;
    uint8_t key[SEAL_KEY_SIZE];
    EVP_CIPHER_CTX *ctx = NULL;
    p = mempcpy(p, direction == SEAL_TO_HUB ? "n2c" : "c2n", 3);
    p = mempcpy(p, hs->id, sizeof hs->id);
    p = mempcpy(p, hs->session, sizeof hs->session);
    p = mempcpy(p, hs->transcript, sizeof hs->transcript);
    assert(p == info + sizeof info);
    if (hkdf(hs->randoms, sizeof hs->randoms, ikm, 64, info, sizeof info, key) == 0)
        ctx = gcm_new(key, sealing);
    mem_wipe(key, sizeof key);
    return ctx;
}

int seal_session_init(struct seal_session *ret, const struct seal_handshake *hs,
                      const uint8_t peer_share[SEAL_SHARE_SIZE]) {
    uint8_t ikm[2 * SEAL_KEY_SIZE];
    struct seal_session s = {.gen = hs->gen, .own = hs->own};
    memcpy(s.id, hs->id, sizeof s.id);
    memcpy(s.session, hs->session, sizeof s.session);
    memcpy(ikm, hs->node_key, SEAL_KEY_SIZE);
    int r = x25519(hs->secret, peer_share, ikm + SEAL_KEY_SIZE);
    if (r == 0) {
        s.sealer = session_gcm(hs, ikm, s.own, true);
        s.opener = session_gcm(hs, ikm, (enum seal_direction) !s.own, false);
        r = s.sealer && s.opener ? 0 : -EIO;
    }
    mem_wipe(ikm, sizeof ikm);
    if (r < 0)
        seal_session_fini(&s);
    else
        *ret = s;
    return r;
}

void seal_session_fini(struct seal_session *s) {
    EVP_CIPHER_CTX_free(s->sealer); /* wipes the key */
    EVP_CIPHER_CTX_free(s->opener);
    mem_wipe(s, sizeof *s);
}

int seal_session_seal(struct seal_session *s, uint8_t type, uint64_t reply_to, uint8_t *packet,
                      size_t plain) {
    assert(plain <= SEAL_PLAIN_MAX);
    if (s->sent >= BUS_SESSION_MAX_MESSAGES)
        return -EOVERFLOW;
    struct seal_header header = {.type = type,
                                 .direction = s->own,
                                 .gen = s->gen,
                                 .seq = s->sent + 1,
                                 .reply_to = reply_to,
                                 .length = (uint32_t)plain};
    memcpy(header.id, s->id, sizeof header.id);
    memcpy(header.session, s->session, sizeof header.session);
    put_header(packet, &header);
    s->sent++; /* before it is used: no nonce twice, whatever happens below */
    return gcm_seal(s->sealer, header.seq, packet, SEAL_HEADER_SIZE, plain);
}

int seal_session_open(struct seal_session *s, const struct seal_header *header, uint8_t *packet) {
    if (header->handshake || header->gen != s->gen ||
        memcmp(header->id, s->id, sizeof s->id) != 0 ||
        memcmp(header->session, s->session, sizeof s->session) != 0)
        return -ENOENT;
    if (header->direction == s->own || header->seq != s->received + 1 ||
        header->seq > BUS_SESSION_MAX_MESSAGES)
        return -ESTALE;
    int r = gcm_open(s->opener, header->seq, packet, SEAL_HEADER_SIZE, header->length);
    if (r == 0)
        s->received++;
    return r;
}
