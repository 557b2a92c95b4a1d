/* token.h - leave to fetch one blob from one cell for about a minute. Pure.
 *
 * The controller makes it, the cell that holds the blob checks it: an HMAC-SHA256 under a key that
 * both derive from that cell's bus key, over the cell's nonce, the blob, who asked and until when.
 * Nothing is to be distributed or kept; another cell, another blob or another run of the cell does
 * not accept it. The times are by the clock of the cell that checks. */
#ifndef COMMON_BUS_TOKEN_H
#define COMMON_BUS_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/bus/node.h"

#define TOKEN_BLOB_SIZE  32 /* sha256 */
#define TOKEN_NONCE_SIZE 16
#define TOKEN_TTL_MS     60000u
#define TOKEN_MAX_MS     (2 * TOKEN_TTL_MS)               /* one that is good for longer is none */
#define TOKEN_TEXT_SIZE  (2 * (BUS_ID_SIZE + 8 + 32) + 1) /* hex and a NUL */

struct token {
    uint8_t blob[TOKEN_BLOB_SIZE];
    uint8_t asker[BUS_ID_SIZE]; /* the cell that it is given to */
    uint64_t expires_ms;
};

/* The key, of the bus key of the cell that checks. 0 or -EIO. */
int token_key(const uint8_t node_key[BUS_KEY_SIZE], uint8_t ret[BUS_KEY_SIZE]);

/* 0 or -EIO. */
int token_make(const uint8_t key[BUS_KEY_SIZE], const uint8_t nonce[TOKEN_NONCE_SIZE],
               const struct token *token, char text[static TOKEN_TEXT_SIZE]);

/* What goes with a token to who is given it, and what who checks it derives of it: whoever sees the
 * token alone does not have it. 0 or -EIO. */
#define TOKEN_SECRET_SIZE 32
int token_secret(const uint8_t key[BUS_KEY_SIZE], const char text[static TOKEN_TEXT_SIZE],
                 uint8_t ret[TOKEN_SECRET_SIZE]);

/* n bytes from anywhere. 0; -EACCES: not made with this key for this blob and nonce; -ESTALE: was
 * good once. */
int token_check(const uint8_t key[BUS_KEY_SIZE], const uint8_t nonce[TOKEN_NONCE_SIZE],
                const uint8_t blob[TOKEN_BLOB_SIZE], const char *text, size_t n, uint64_t now_ms);

#endif
