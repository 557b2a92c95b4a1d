#include "common/registry/link.h"

#include <pthread.h>
#include <stdint.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define MAX_IDLE    8
#define MAX_IDLE_MS 60000

struct idle {
    struct link *link; /* NULL: free */
    char *host;
    uint64_t since_ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct idle idle[MAX_IDLE];

static void link_free(struct link *l) {
    if (!l)
        return;
    curl_easy_cleanup(l->easy);
    curl_multi_cleanup(l->multi);
    free(l);
}

static void link_freep(struct link **l) {
    link_free(*l);
}

/* Empties the place; its link is the caller's. */
static struct link *take(struct idle *i) {
    struct link *l = i->link;
    free(i->host);
    *i = (struct idle){0};
    return l;
}

static struct link *link_new(void) {
    _cleanup_(link_freep) struct link *l = mem_zalloc(sizeof *l);
    if (!l || !(l->multi = curl_multi_init()) || !(l->easy = curl_easy_init()))
        return NULL;
    return TAKE_PTR(l);
}

struct link *link_take(const char *host) {
    struct link *found = NULL, *old[MAX_IDLE] = {0};
    uint64_t now = clock_mono_ms();
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_IDLE; i++) {
        if (idle[i].link && now - idle[i].since_ms > MAX_IDLE_MS)
            old[i] = take(&idle[i]);
        else if (idle[i].link && !found && str_eq(idle[i].host, host))
            found = take(&idle[i]);
    }
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < MAX_IDLE; i++)
        link_free(old[i]); /* closes connections: not under the lock */
    return found ? found : link_new();
}

void link_give(struct link *l, const char *host) {
    char *copy = l ? str_dup(host) : NULL;
    struct link *old = l;
    if (l)
        curl_easy_reset(l->easy); /* forgets secrets and borrowed pointers, keeps connections */
    if (copy) {
        pthread_mutex_lock(&lock);
        struct idle *to = &idle[0];
        for (size_t i = 1; i < MAX_IDLE && to->link; i++)
            if (!idle[i].link || idle[i].since_ms < to->since_ms)
                to = &idle[i];
        old = take(to);
        *to = (struct idle){l, copy, clock_mono_ms()};
        pthread_mutex_unlock(&lock);
    }
    link_free(old);
}
