#include "controller/api/password.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/random.h"
#include "common/base/str.h"

/* 32 MiB and some 80 ms a guess. OWASP's first choice, N = 2^17, would take 128 MiB for each of the
 * log-ins that run side by side on a small controller. */
#define COST_N      32768
#define COST_N_FAST 16
#define COST_R      8
#define COST_P      1
#define SALT_SIZE   16
#define HASH_SIZE   32
/* What a stored text may ask for: a damaged row must not take all memory. */
#define COST_N_MAX (1u << 20)
#define MEMORY_MAX (1024u * 1024 * 1024)

struct cost {
    unsigned n, r, p;
};

static bool derive(const char *password, const unsigned char salt[SALT_SIZE],
                   const struct cost *cost, unsigned char hash[HASH_SIZE]) {
    return EVP_PBE_scrypt(password, strlen(password), salt, SALT_SIZE, cost->n, cost->r, cost->p,
                          MEMORY_MAX, hash, HASH_SIZE) == 1;
}

int password_hash(const char *password, bool fast, char **ret, struct error *err) {
    struct cost cost = {fast ? COST_N_FAST : COST_N, COST_R, COST_P};
    unsigned char salt[SALT_SIZE], hash[HASH_SIZE];
    char salt_hex[2 * SALT_SIZE + 1], hash_hex[2 * HASH_SIZE + 1];
    if (strlen(password) > PASSWORD_MAX)
        return error_set(err, -EINVAL, "a password has at most %d bytes", PASSWORD_MAX);
    random_bytes(salt, sizeof salt);
    if (!derive(password, salt, &cost, hash))
        return error_set(err, -ENOMEM, "cannot hash the password");
    hex_encode(salt, sizeof salt, salt_hex);
    hex_encode(hash, sizeof hash, hash_hex);
    mem_wipe(hash, sizeof hash);
    if (!(*ret = str_printf("scrypt$%u$%u$%u$%s$%s", cost.n, cost.r, cost.p, salt_hex, hash_hex)))
        return error_set(err, -ENOMEM, "out of memory hashing the password");
    return 0;
}

static bool parse(const char *stored, struct cost *cost, unsigned char salt[SALT_SIZE],
                  unsigned char hash[HASH_SIZE]) {
    char salt_hex[2 * SALT_SIZE + 1], hash_hex[2 * HASH_SIZE + 1];
    int end = 0;
    if (!stored ||
        sscanf(stored, "scrypt$%7u$%3u$%3u$%32[0-9a-f]$%64[0-9a-f]%n", &cost->n, &cost->r, &cost->p,
               salt_hex, hash_hex, &end) != 5 ||
        stored[end] != '\0' || strlen(salt_hex) != 2 * SALT_SIZE ||
        strlen(hash_hex) != 2 * HASH_SIZE)
        return false;
    if (cost->n < 2 || cost->n > COST_N_MAX || (cost->n & (cost->n - 1)) || !cost->r ||
        cost->r > 32 || !cost->p || cost->p > 16)
        return false;
    return hex_decode(salt_hex, salt, SALT_SIZE) == 0 && hex_decode(hash_hex, hash, HASH_SIZE) == 0;
}

bool password_verify(const char *password, const char *stored) {
    struct cost cost = {0};
    unsigned char salt[SALT_SIZE] = {0}, want[HASH_SIZE] = {0}, got[HASH_SIZE];
    if (strlen(password) > PASSWORD_MAX)
        return false;
    bool known = parse(stored, &cost, salt, want);
    if (!known)
        cost = (struct cost){COST_N, COST_R, COST_P};
    bool equal = derive(password, salt, &cost, got) && mem_equal_secret(got, want, HASH_SIZE);
    mem_wipe(got, sizeof got);
    return known && equal;
}
