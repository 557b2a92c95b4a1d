#include "common/bus/token.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "common/base/str.h"
#include "common/bus/seal.h"

#define MAC_SIZE 32

struct words { /* the text, decoded */
    uint8_t asker[BUS_ID_SIZE];
    uint8_t expires[8]; /* big-endian */
    uint8_t mac[MAC_SIZE];
};

int token_key(const uint8_t node_key[BUS_KEY_SIZE], uint8_t ret[BUS_KEY_SIZE]) {
    return seal_derive_purpose_key(node_key, "blob token", ret);
}

static int sign(const uint8_t key[BUS_KEY_SIZE], const uint8_t nonce[TOKEN_NONCE_SIZE],
                const uint8_t blob[TOKEN_BLOB_SIZE], struct words *w) {
    uint8_t said[TOKEN_NONCE_SIZE + TOKEN_BLOB_SIZE + BUS_ID_SIZE + 8], *p = said;
    unsigned n = 0;
    p = (uint8_t *)mempcpy(p, nonce, TOKEN_NONCE_SIZE);
    p = (uint8_t *)mempcpy(p, blob, TOKEN_BLOB_SIZE);
    p = (uint8_t *)mempcpy(p, w->asker, sizeof w->asker);
    memcpy(p, w->expires, sizeof w->expires);
    return HMAC(EVP_sha256(), key, BUS_KEY_SIZE, said, sizeof said, w->mac, &n) && n == MAC_SIZE
               ? 0
               : -EIO;
}

int token_make(const uint8_t key[BUS_KEY_SIZE], const uint8_t nonce[TOKEN_NONCE_SIZE],
               const struct token *token, char text[static TOKEN_TEXT_SIZE]) {
    struct words w;
    uint64_t expires = htobe64(token->expires_ms);
    memcpy(w.asker, token->asker, sizeof w.asker);
    memcpy(w.expires, &expires, sizeof w.expires);
    int r = sign(key, nonce, token->blob, &w);
    if (r == 0)
        hex_encode(&w, sizeof w, text);
    return r;
}

int token_secret(const uint8_t key[BUS_KEY_SIZE], const char text[static TOKEN_TEXT_SIZE],
                 uint8_t ret[TOKEN_SECRET_SIZE]) {
    static const char label[] = "blob secret";
    uint8_t said[sizeof label + TOKEN_TEXT_SIZE - 1];
    unsigned n = 0;
    memcpy(said, label, sizeof label); /* longer than what a token signs */
    memcpy(said + sizeof label, text, TOKEN_TEXT_SIZE - 1);
    return HMAC(EVP_sha256(), key, BUS_KEY_SIZE, said, sizeof said, ret, &n) &&
                   n == TOKEN_SECRET_SIZE
               ? 0
               : -EIO;
}

int token_check(const uint8_t key[BUS_KEY_SIZE], const uint8_t nonce[TOKEN_NONCE_SIZE],
                const uint8_t blob[TOKEN_BLOB_SIZE], const char *text, size_t n, uint64_t now_ms) {
    char copy[TOKEN_TEXT_SIZE];
    struct words told, ours;
    uint64_t expires_ms;
    if (n != TOKEN_TEXT_SIZE - 1)
        return -EACCES;
    memcpy(copy, text, n);
    copy[n] = 0;
    if (hex_decode(copy, &told, sizeof told) < 0)
        return -EACCES;
    ours = told;
    if (sign(key, nonce, blob, &ours) < 0 || !mem_equal_secret(ours.mac, told.mac, MAC_SIZE))
        return -EACCES;
    memcpy(&expires_ms, told.expires, sizeof expires_ms);
    expires_ms = be64toh(expires_ms);
    if (expires_ms <= now_ms)
        return -ESTALE;
    return expires_ms - now_ms <= TOKEN_MAX_MS ? 0 : -EACCES;
}
