#include "common/registry/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/base/str.h"

#define PREFIX "sha256:"

bool digest_is_valid(const char *text) {
    if (!text || !str_starts(text, PREFIX))
        return false;
    text += strlen(PREFIX);
    return strspn(text, "0123456789abcdef") == 64 && text[64] == '\0';
}

void digest_format(const unsigned char sha256[static 32], char buf[static DIGEST_SIZE]) {
    memcpy(buf, PREFIX, strlen(PREFIX));
    hex_encode(sha256, 32, buf + strlen(PREFIX));
}

int digest_of(const void *p, size_t n, char buf[static DIGEST_SIZE]) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    if (EVP_Digest(p, n, hash, NULL, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    digest_format(hash, buf);
    return 0;
}
