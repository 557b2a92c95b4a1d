/* seal.h - the sealed envelope: pure functions over bytes. No sockets, no clock, no protobuf.
 *
 * A packet is a 56-byte header, in a handshake 32 random bytes, the ciphertext and a 16-byte tag.
 * Everything before the ciphertext is associated data. README.md has the layout and the handshake.
 * Sealing and opening are done in place. Only -EBADMSG, -ESTALE and the like come out of hostile
 * bytes; what could not be opened is left unreadable and must not be looked at. */
#ifndef COMMON_BUS_SEAL_H
#define COMMON_BUS_SEAL_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/mem.h"

#define SEAL_ID_SIZE      16
#define SEAL_KEY_SIZE     32
#define SEAL_RANDOM_SIZE  32
#define SEAL_SHARE_SIZE   32 /* X25519 */
#define SEAL_SESSION_SIZE 8
#define SEAL_HEADER_SIZE  56
#define SEAL_TAG_SIZE     16
#define SEAL_PLAIN_MAX    (64u * 1024 * 1024) /* of a packet; the bus refuses far less */

enum seal_direction {
    SEAL_TO_HUB = 0,
    SEAL_TO_NODE = 1,
};

struct seal_header {
    uint8_t type; /* see words.h; opaque here */
    enum seal_direction direction;
    bool handshake;
    uint8_t gen;                        /* of the master key */
    uint8_t id[SEAL_ID_SIZE];           /* the node's, in both directions */
    uint8_t session[SEAL_SESSION_SIZE]; /* zero in a Hello */
    uint64_t seq;                       /* from 1 in each direction; 0 in a handshake */
    uint64_t reply_to;                  /* the seq that is answered, or 0 */
    uint32_t length;                    /* bytes of plaintext */
};

/* Reads a header out of n bytes from anywhere and checks all that can be checked without a key:
 * lengths, magic, version, flags, reserved bytes. 0, or -EBADMSG with *ret unspecified. */
int seal_parse(const uint8_t *packet, size_t n, struct seal_header *ret);

size_t seal_packet_size(bool handshake, size_t plain); /* of a packet with that much in it */
uint8_t *seal_plain(uint8_t *packet, bool handshake);  /* where plaintext goes, or was opened to */

/* K_node: what a node holds of the master key. */
int seal_derive_node_key(const uint8_t master[SEAL_KEY_SIZE], const uint8_t id[SEAL_ID_SIZE],
                         uint8_t ret[SEAL_KEY_SIZE]);
/* A key for another purpose, named by `label`, of what a node holds. */
int seal_derive_purpose_key(const uint8_t node_key[SEAL_KEY_SIZE], const char *label,
                            uint8_t ret[SEAL_KEY_SIZE]);

/* --- the handshake: secrets of one attempt, at either end --- */

struct seal_entropy { /* fresh random bytes, never used twice */
    uint8_t random[SEAL_RANDOM_SIZE];
    uint8_t secret[SEAL_KEY_SIZE];
    uint8_t session[SEAL_SESSION_SIZE]; /* of the hub's end */
};

struct seal_handshake {
    uint8_t id[SEAL_ID_SIZE];
    uint8_t gen;
    enum seal_direction own; /* of what this end sends */
    uint8_t node_key[SEAL_KEY_SIZE];
    uint8_t randoms[2 * SEAL_RANDOM_SIZE]; /* the node's, the hub's */
    uint8_t secret[SEAL_KEY_SIZE];         /* X25519, ours */
    uint8_t share[SEAL_SHARE_SIZE];        /* its public half: to be told inside Hello/HelloAck */
    uint8_t session[SEAL_SESSION_SIZE];
    uint8_t transcript[2 * 32]; /* SHA-256 of the Hello and of the HelloAck, as on the wire */
};

/* Secrets live in *hs from here to seal_handshake_fini() (a guard for _cleanup_). -EIO when
 * OpenSSL fails. */
int seal_handshake_init(struct seal_handshake *hs, enum seal_direction own,
                        const uint8_t id[SEAL_ID_SIZE], uint8_t gen,
                        const uint8_t node_key[SEAL_KEY_SIZE], const struct seal_entropy *entropy);
void seal_handshake_fini(struct seal_handshake *hs);

/* Node: seals the `plain` bytes at seal_plain(packet, true) as the Hello. */
int seal_hello(struct seal_handshake *hs, uint8_t type, uint8_t *packet, size_t plain);
/* Hub: opens it. -EBADMSG: not sealed with this node's key. */
int seal_hello_open(struct seal_handshake *hs, const struct seal_header *header, uint8_t *packet);
/* Hub: seals the HelloAck; after it the session's keys are decided. */
int seal_ack(struct seal_handshake *hs, uint8_t type, uint8_t *packet, size_t plain);
/* Node: opens it. -EBADMSG: not by who holds our key, or not the answer to our Hello. */
int seal_ack_open(struct seal_handshake *hs, const struct seal_header *header, uint8_t *packet);

/* --- a session: two keys, two counters --- */

struct seal_session {
    EVP_CIPHER_CTX *sealer, *opener; /* owned, keyed */
    uint64_t sent, received;         /* the last seq, each way */
    uint8_t id[SEAL_ID_SIZE];
    uint8_t session[SEAL_SESSION_SIZE];
    uint8_t gen;
    enum seal_direction own;
};

/* Both ends, after the HelloAck, with the share that it (or the Hello) told. -EBADMSG: a share that
 * is no good (all-zero result); -EIO, -ENOMEM. *ret is to be finished only after 0. */
int seal_session_init(struct seal_session *ret, const struct seal_handshake *hs,
                      const uint8_t peer_share[SEAL_SHARE_SIZE]);
void seal_session_fini(struct seal_session *s);

/* Seals the `plain` bytes at seal_plain(packet, false) under the next seq. -EOVERFLOW: the session
 * has said all it may. */
int seal_session_seal(struct seal_session *s, uint8_t type, uint64_t reply_to, uint8_t *packet,
                      size_t plain);
/* -ENOENT: of another node, session or generation; -EBADMSG: forged; -ESTALE: replayed, reflected
 * or not the next one. Only 0 advances the counter. */
int seal_session_open(struct seal_session *s, const struct seal_header *header, uint8_t *packet);

#endif
