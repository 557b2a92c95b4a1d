#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/token.h"

#define NOW 1000000u

static uint8_t key[BUS_KEY_SIZE], other_key[BUS_KEY_SIZE];
static uint8_t nonce[TOKEN_NONCE_SIZE], other_nonce[TOKEN_NONCE_SIZE];
static struct token token;
static char text[TOKEN_TEXT_SIZE];

static void setup(void) {
    uint8_t node[BUS_KEY_SIZE] = {1}, other_node[BUS_KEY_SIZE] = {2};
    ck_assert_int_eq(token_key(node, key), 0);
    ck_assert_int_eq(token_key(other_node, other_key), 0);
    ck_assert_mem_ne(key, node, sizeof key);
    ck_assert_mem_ne(key, other_key, sizeof key);
    random_bytes(nonce, sizeof nonce);
    random_bytes(other_nonce, sizeof other_nonce);
    random_bytes(&token, sizeof token);
    token.expires_ms = NOW + TOKEN_TTL_MS;
    ck_assert_int_eq(token_make(key, nonce, &token, text), 0);
}

static int check_at(uint64_t now_ms) {
    return token_check(key, nonce, token.blob, text, strlen(text), now_ms);
}

START_TEST(a_token_is_good_until_it_expires) {
    setup();
    ck_assert_int_eq(check_at(NOW), 0);
    ck_assert_int_eq(check_at(NOW + TOKEN_TTL_MS - 1), 0);
    ck_assert_int_eq(check_at(NOW + TOKEN_TTL_MS), -ESTALE);
    ck_assert_int_eq(check_at(UINT64_MAX), -ESTALE);
}
END_TEST

START_TEST(one_for_a_longer_time_than_any_is_made_for_is_refused) {
    setup();
    ck_assert_int_eq(check_at(NOW + TOKEN_TTL_MS - TOKEN_MAX_MS), 0);
    ck_assert_int_eq(check_at(NOW + TOKEN_TTL_MS - TOKEN_MAX_MS - 1), -EACCES);
    ck_assert_int_eq(check_at(0), -EACCES);
}
END_TEST

START_TEST(another_cell_blob_or_run_does_not_accept_it) {
    uint8_t blob[TOKEN_BLOB_SIZE];
    setup();
    size_t n = strlen(text);
    memcpy(blob, token.blob, sizeof blob);
    blob[31] ^= 1;
    ck_assert_int_eq(token_check(other_key, nonce, token.blob, text, n, NOW), -EACCES);
    ck_assert_int_eq(token_check(key, other_nonce, token.blob, text, n, NOW), -EACCES);
    ck_assert_int_eq(token_check(key, nonce, blob, text, n, NOW), -EACCES);
}
END_TEST

START_TEST(no_byte_of_it_may_be_another) {
    setup();
    for (size_t i = 0; text[i]; i++) {
        char was = text[i];
        text[i] = was == '0' ? '1' : '0';
        ck_assert_int_eq(check_at(NOW), -EACCES);
        text[i] = 'x';
        ck_assert_int_eq(check_at(NOW), -EACCES);
        text[i] = 0;
        ck_assert_int_eq(token_check(key, nonce, token.blob, text, TOKEN_TEXT_SIZE - 1, NOW),
                         -EACCES);
        text[i] = was;
    }
    ck_assert_int_eq(check_at(NOW), 0);
}
END_TEST

START_TEST(nor_may_it_be_longer_or_shorter) {
    char longer[TOKEN_TEXT_SIZE + 2];
    setup();
    size_t n = strlen(text);
    snprintf(longer, sizeof longer, "%s00", text);
    ck_assert_int_eq(token_check(key, nonce, token.blob, longer, n + 2, NOW), -EACCES);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(token_check(key, nonce, token.blob, text, i, NOW), -EACCES);
}
END_TEST

START_TEST(its_secret_is_of_this_token_and_this_key_and_not_in_it) {
    uint8_t secret[TOKEN_SECRET_SIZE], another[TOKEN_SECRET_SIZE];
    char hex[2 * TOKEN_SECRET_SIZE + 1];
    setup();
    ck_assert_int_eq(token_secret(key, text, secret), 0);
    hex_encode(secret, sizeof secret, hex);
    ck_assert_ptr_null(strstr(text, hex));
    ck_assert_int_eq(token_secret(key, text, another), 0);
    ck_assert_mem_eq(secret, another, sizeof secret);
    ck_assert_int_eq(token_secret(other_key, text, another), 0);
    ck_assert_mem_ne(secret, another, sizeof secret);
    text[0] ^= 1;
    ck_assert_int_eq(token_secret(key, text, another), 0);
    ck_assert_mem_ne(secret, another, sizeof secret);
}
END_TEST

RUN_TESTS("bus/token", a_token_is_good_until_it_expires,
          one_for_a_longer_time_than_any_is_made_for_is_refused,
          another_cell_blob_or_run_does_not_accept_it, no_byte_of_it_may_be_another,
          nor_may_it_be_longer_or_shorter, its_secret_is_of_this_token_and_this_key_and_not_in_it)
