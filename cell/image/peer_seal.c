#include "cell/image/peer_seal.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "common/base/mem.h"

#define KEY_SIZE   32
#define NONCE_SIZE 12

int peer_seal_init(struct peer_seal *s, const uint8_t secret[TOKEN_SECRET_SIZE],
                   const uint8_t salt[PEER_SALT_SIZE], bool opens) {
    uint8_t key[KEY_SIZE];
    unsigned n = 0;
    *s = (struct peer_seal){.ctx = EVP_CIPHER_CTX_new()};
    bool good =
        s->ctx && HMAC(EVP_sha256(), secret, TOKEN_SECRET_SIZE, salt, PEER_SALT_SIZE, key, &n) &&
        n == KEY_SIZE && EVP_CipherInit_ex(s->ctx, EVP_aes_256_gcm(), NULL, key, NULL, !opens) == 1;
    mem_wipe(key, sizeof key);
    if (!good)
        peer_seal_fini(s);
    return good ? 0 : -ENOMEM;
}

void peer_seal_fini(struct peer_seal *s) {
    EVP_CIPHER_CTX_free(s->ctx);
    *s = (struct peer_seal){0};
}

uint64_t peer_sealed_size(uint64_t n) {
    return n + (n + PEER_RECORD - 1) / PEER_RECORD * PEER_TAG;
}

/* All but the tag. */
static bool run(struct peer_seal *s, uint8_t *record, size_t n) {
    uint8_t nonce[NONCE_SIZE] = {0};
    uint64_t number = htobe64(s->record++);
    int done = 0;
    memcpy(nonce + NONCE_SIZE - sizeof number, &number, sizeof number);
    return n <= PEER_RECORD && EVP_CipherInit_ex(s->ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
           EVP_CipherUpdate(s->ctx, record, &done, record, (int)n) == 1 && done == (int)n;
}

int peer_seal(struct peer_seal *s, uint8_t *record, size_t n) {
    int none = 0;
    return run(s, record, n) && EVP_CipherFinal_ex(s->ctx, record + n, &none) == 1 &&
                   EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, PEER_TAG, record + n) == 1
               ? 0
               : -EIO;
}

int peer_open(struct peer_seal *s, uint8_t *record, size_t n) {
    int none = 0;
    return run(s, record, n) &&
                   EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, PEER_TAG, record + n) == 1 &&
                   EVP_CipherFinal_ex(s->ctx, record + n, &none) == 1
               ? 0
               : -EBADMSG;
}
