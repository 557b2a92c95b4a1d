/* peer_seal.h - a blob's bytes between two cells, so that nobody between them reads or changes any.
 *
 * The controller gives who asks a secret beside the token, and the giver derives the same from the
 * token; neither travels here. Each answer draws a salt, which makes a key of its own of it:
 *
 *     key = HMAC-SHA256(secret, salt)
 *     body = records: up to PEER_RECORD bytes, AES-256-GCM, and the tag; nonce: the record's number
 *
 * All records but the last are full, so the length of the body follows from that of the blob. */
#ifndef CELL_IMAGE_PEER_SEAL_H
#define CELL_IMAGE_PEER_SEAL_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bus/token.h"

#define PEER_SALT_SIZE 16
#define PEER_RECORD    ((size_t)64 * 1024)
#define PEER_TAG       16
#define PEER_SEALED    (PEER_RECORD + PEER_TAG)

struct peer_seal { /* one answer, in order */
    EVP_CIPHER_CTX *ctx;
    uint64_t record;
};

/* 0 or -ENOMEM. `opens`: it is for peer_open(), else for peer_seal(). */
int peer_seal_init(struct peer_seal *s, const uint8_t secret[TOKEN_SECRET_SIZE],
                   const uint8_t salt[PEER_SALT_SIZE], bool opens);
void peer_seal_fini(struct peer_seal *s);

/* The body of n bytes. */
uint64_t peer_sealed_size(uint64_t n);

/* The next record, in place: at most PEER_RECORD bytes, and room for the tag behind them. -EIO. */
int peer_seal(struct peer_seal *s, uint8_t *record, size_t n);
/* The next record, in place: n bytes without the tag behind them. -EBADMSG: it is another one. */
int peer_open(struct peer_seal *s, uint8_t *record, size_t n);

#endif
