/* seal.c - AES-256-GCM with random nonces. 2^32 values under one key stay far from a repeat (NIST
 * SP 800-38D section 8.3). */
#include <errno.h>
#include <openssl/evp.h>

#include "controller/store/internal.h"

#define NONCE_SIZE 12
#define TAG_SIZE   16

static void ctx_freep(EVP_CIPHER_CTX **ctx) {
    EVP_CIPHER_CTX_free(*ctx);
}

/* The associated data: place, a NUL, guid. */
static int add_place(EVP_CIPHER_CTX *ctx, bool encrypt, const char *place, const char *guid) {
    int n, (*update)(EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int) =
               encrypt ? EVP_EncryptUpdate : EVP_DecryptUpdate;
    return update(ctx, NULL, &n, (const unsigned char *)place, (int)strlen(place) + 1) == 1 &&
           update(ctx, NULL, &n, (const unsigned char *)guid, (int)strlen(guid)) == 1;
}

int seal(const unsigned char key[SEAL_KEY_SIZE], const char *place, const char *guid,
         const void *plain, size_t n, unsigned char **ret, size_t *ret_n, struct error *err) {
    if (n > INT32_MAX / 2)
        return error_set(err, -E2BIG, "%s is too large to be sealed", place);
    _cleanup_(ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    _cleanup_(freep) unsigned char *out = malloc(NONCE_SIZE + n + TAG_SIZE);
    int got = 0, rest = 0;
    if (!ctx || !out)
        return error_set(err, -ENOMEM, "out of memory sealing %s", place);
    random_bytes(out, NONCE_SIZE);
    if (EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, out) != 1 ||
        !add_place(ctx, true, place, guid) ||
        EVP_EncryptUpdate(ctx, out + NONCE_SIZE, &got, plain, (int)n) != 1 ||
        EVP_EncryptFinal_ex(ctx, out + NONCE_SIZE + got, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, out + NONCE_SIZE + n) != 1)
        return error_set(err, -EIO, "cannot seal %s", place);
    *ret_n = NONCE_SIZE + n + TAG_SIZE;
    *ret = TAKE_PTR(out);
    return 0;
}

int seal_open(const unsigned char key[SEAL_KEY_SIZE], const char *place, const char *guid,
              const void *sealed, size_t n, char **ret, size_t *ret_n, struct error *err) {
    const unsigned char *in = sealed;
    if (n < NONCE_SIZE + TAG_SIZE || n > INT32_MAX)
        return error_set(err, -EBADMSG, "%s of %s is damaged", place, guid);
    size_t plain_n = n - NONCE_SIZE - TAG_SIZE;
    _cleanup_(ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    _cleanup_(freep) char *out = malloc(plain_n + 1);
    int got = 0, rest = 0;
    if (!ctx || !out)
        return error_set(err, -ENOMEM, "out of memory opening %s", place);
    if (EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, in) != 1 ||
        !add_place(ctx, false, place, guid) ||
        EVP_DecryptUpdate(ctx, (unsigned char *)out, &got, in + NONCE_SIZE, (int)plain_n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE,
                            (void *)(in + NONCE_SIZE + plain_n)) != 1 ||
        EVP_DecryptFinal_ex(ctx, (unsigned char *)out + got, &rest) != 1)
        return error_set(err, -EBADMSG,
                         "%s of %s does not open: damaged, or sealed with another key", place,
                         guid);
    out[plain_n] = '\0';
    if (ret_n)
        *ret_n = plain_n;
    *ret = TAKE_PTR(out);
    return 0;
}
