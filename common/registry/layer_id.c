#include "common/registry/layer_id.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/registry/reference.h"

const struct repository_id repository_id_open = {.v = {[0 ... 15] = 0xff}};

struct repository_id repository_id_of(const char *registry, const char *repository) {
    /* Neither has a NUL or a line end, so no two pairs make the same text. */
    char text[sizeof((struct reference *)0)->registry + sizeof((struct reference *)0)->repository +
              32];
    unsigned char hash[SHA256_DIGEST_LENGTH];
    struct repository_id id;
    int n = snprintf(text, sizeof text, "berth repository\n%s\n%s", registry, repository);
    SHA256((const unsigned char *)text, (size_t)MIN(n, (int)sizeof text - 1), hash);
    memcpy(id.v, hash, sizeof id.v);
    return id;
}

bool repository_id_is_open(const struct repository_id *of) {
    return repository_id_equal(of, &repository_id_open);
}

bool repository_id_equal(const struct repository_id *a, const struct repository_id *b) {
    return memcmp(a->v, b->v, sizeof a->v) == 0;
}

void layer_id(const uint8_t digest[LAYER_ID_SIZE], const struct repository_id *of,
              uint8_t ret[LAYER_ID_SIZE]) {
    uint8_t text[LAYER_ID_SIZE + sizeof of->v];
    if (repository_id_is_open(of)) {
        memcpy(ret, digest, LAYER_ID_SIZE);
        return;
    }
    memcpy(text, digest, LAYER_ID_SIZE);
    memcpy(text + LAYER_ID_SIZE, of->v, sizeof of->v);
    SHA256(text, sizeof text, ret);
}
