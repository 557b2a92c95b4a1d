#include "controller/api/limiter.h"

#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV /* the default one is no clean C to every compiler */
#include <uthash.h>

#include "common/base/str.h"

struct entry {
    char *key; /* owned */
    unsigned failures;
    uint64_t first_ms;  /* of the failures counted */
    uint64_t closed_ms; /* until when; 0: open */
    UT_hash_handle hh;  /* oldest failure first */
};

struct limiter {
    struct limiter_policy policy;
    struct entry *entries;
};

const struct limiter_policy limiter_uaa = {
    .failures = 5,
    .within_ms = 20 * 60 * 1000,
    .closed_ms = 5 * 60 * 1000,
    .max_keys = 10000,
};

struct limiter *limiter_new(const struct limiter_policy *policy) {
    struct limiter *l = mem_zalloc(sizeof *l);
    if (l)
        l->policy = *policy;
    return l;
}

static void drop(struct limiter *l, struct entry *e) {
    HASH_DEL(l->entries, e);
    free(e->key);
    free(e);
}

void limiter_free(struct limiter *l) {
    if (!l)
        return;
    while (l->entries)
        drop(l, l->entries);
    free(l);
}

bool limiter_closed(const struct limiter *l, const char *key, uint64_t now_ms) {
    struct entry *e = NULL;
    HASH_FIND_STR(l->entries, key, e);
    return e && e->closed_ms > now_ms;
}

void limiter_failed(struct limiter *l, const char *key, unsigned factor, uint64_t now_ms) {
    struct entry *e = NULL;
    HASH_FIND_STR(l->entries, key, e);
    if (e) {
        HASH_DEL(l->entries, e); /* back in at the young end */
    } else {
        if (HASH_COUNT(l->entries) >= l->policy.max_keys)
            drop(l, l->entries);
        if (!(e = mem_zalloc(sizeof *e)))
            return;
        if (!(e->key = str_dup(key))) {
            free(e);
            return;
        }
    }
    if (!e->failures || now_ms - e->first_ms > l->policy.within_ms) {
        e->failures = 0;
        e->first_ms = now_ms;
    }
    if (++e->failures >= l->policy.failures * factor) {
        e->closed_ms = now_ms + l->policy.closed_ms;
        e->failures = 0;
    }
    HASH_ADD_KEYPTR(hh, l->entries, e->key, strlen(e->key), e);
    if (!e->hh.tbl) { /* out of memory: not added */
        free(e->key);
        free(e);
    }
}

void limiter_forget(struct limiter *l, const char *key) {
    struct entry *e = NULL;
    HASH_FIND_STR(l->entries, key, e);
    if (e)
        drop(l, e);
}
