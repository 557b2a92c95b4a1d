#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>

#include "cell/image/peer_seal.h"
#include "common/base/mem.h"
#include "common/base/random.h"

static const uint8_t secret[TOKEN_SECRET_SIZE] = "secret", other[TOKEN_SECRET_SIZE] = "other";
static const uint8_t salt[PEER_SALT_SIZE] = "salt", another[PEER_SALT_SIZE] = "another";

static uint8_t plain[PEER_RECORD], sealed[3][PEER_SEALED], record[PEER_SEALED];

static void start(struct peer_seal *s, const uint8_t *with, const uint8_t *salted, bool opens) {
    ck_assert_int_eq(peer_seal_init(s, with, salted, opens), 0);
}

/* Three records of n bytes. */
static void seal_three(size_t n) {
    struct peer_seal s;
    random_bytes(plain, sizeof plain);
    start(&s, secret, salt, false);
    for (size_t i = 0; i < 3; i++) {
        memcpy(sealed[i], plain, n);
        ck_assert_int_eq(peer_seal(&s, sealed[i], n), 0);
        ck_assert_mem_ne(sealed[i], plain, n);
    }
    peer_seal_fini(&s);
}

START_TEST(what_is_sealed_opens_again_whatever_its_size) {
    static const size_t sizes[] = {PEER_RECORD, 1, 15, 16, 17, PEER_RECORD - 1};
    for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
        struct peer_seal s;
        seal_three(sizes[k]);
        start(&s, secret, salt, true);
        for (size_t i = 0; i < 3; i++) {
            memcpy(record, sealed[i], sizes[k] + PEER_TAG);
            ck_assert_int_eq(peer_open(&s, record, sizes[k]), 0);
            ck_assert_mem_eq(record, plain, sizes[k]);
        }
        peer_seal_fini(&s);
    }
}
END_TEST

START_TEST(equal_bytes_are_never_sealed_alike) {
    struct peer_seal s;
    seal_three(100);
    ck_assert_mem_ne(sealed[0], sealed[1], 100);
    start(&s, secret, another, false); /* another answer */
    memcpy(record, plain, 100);
    ck_assert_int_eq(peer_seal(&s, record, 100), 0);
    ck_assert_mem_ne(record, sealed[0], 100);
    peer_seal_fini(&s);
}
END_TEST

START_TEST(nothing_else_opens) {
    static const struct {
        const char *what;
        const uint8_t *secret, *salt;
        size_t record, flips, size;
    } rows[] = {
        {"as it was sealed", secret, salt, 0, SIZE_MAX, 1000},
        {"another secret", other, salt, 0, SIZE_MAX, 1000},
        {"of another answer", secret, another, 0, SIZE_MAX, 1000},
        {"another place", secret, salt, 1, SIZE_MAX, 1000},
        {"the first byte", secret, salt, 0, 0, 1000},
        {"the last byte", secret, salt, 0, 999, 1000},
        {"the tag", secret, salt, 0, 1000 + PEER_TAG - 1, 1000},
        {"shorter", secret, salt, 0, SIZE_MAX, 999},
        {"longer", secret, salt, 0, SIZE_MAX, 1001},
        {"too long", secret, salt, 0, SIZE_MAX, PEER_RECORD + 1},
    };
    seal_three(1000);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        static uint8_t room[PEER_SEALED + 1];
        struct peer_seal s;
        memcpy(room, sealed[rows[i].record], PEER_SEALED);
        if (rows[i].flips != SIZE_MAX)
            room[rows[i].flips] ^= 1;
        start(&s, rows[i].secret, rows[i].salt, true);
        ck_assert_msg((peer_open(&s, room, rows[i].size) == 0) == (i == 0), "%s", rows[i].what);
        peer_seal_fini(&s);
    }
}
END_TEST

START_TEST(the_size_of_a_body_follows_from_the_blobs) {
    ck_assert_uint_eq(peer_sealed_size(0), 0);
    ck_assert_uint_eq(peer_sealed_size(1), 1 + PEER_TAG);
    ck_assert_uint_eq(peer_sealed_size(PEER_RECORD), PEER_SEALED);
    ck_assert_uint_eq(peer_sealed_size(PEER_RECORD + 1), PEER_SEALED + 1 + PEER_TAG);
    ck_assert_uint_eq(peer_sealed_size(1000 * PEER_RECORD), 1000 * PEER_SEALED);
}
END_TEST

RUN_TESTS("image/peer_seal", what_is_sealed_opens_again_whatever_its_size,
          equal_bytes_are_never_sealed_alike, nothing_else_opens,
          the_size_of_a_body_follows_from_the_blobs)
