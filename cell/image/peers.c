#include "cell/image/peers.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <utlist.h>

#include "common/base/clock.h"
#include "common/base/str.h"

#define LOOK_MS      100 /* how often `stop` is looked at */
#define DOUBTS_MAX   16  /* more at a time are left to the daily look */
#define DISTRUST_MAX 64  /* the oldest is forgotten above that */

struct question { /* on the stack of the thread that asks */
    uint8_t id[LAYER_ID_SIZE];
    bool asked, answered;
    struct peers_found found;
    struct question *prev, *next;
};

struct peers {
    struct peers_config config;
    struct peers_ops ops;
    int fd; /* eventfd: there are questions */
    struct event *on_fd;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct question *questions; /* under lock, as is the rest */
    uint8_t doubts[DOUBTS_MAX][TOKEN_BLOB_SIZE];
    size_t doubt_count;
    struct distrust {
        char name[64];
        uint64_t until_ms;
    } distrusted[DISTRUST_MAX];
    size_t distrust_next;
    struct peers_counters counters;
};

/* --- questions --- */

static bool take_question(struct peers *p, uint8_t ret[LAYER_ID_SIZE]) {
    struct question *q;
    bool found = false;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->questions, q)
        if (!q->asked) {
            q->asked = found = true;
            memcpy(ret, q->id, sizeof q->id);
            break;
        }
    pthread_mutex_unlock(&p->lock);
    return found;
}

static bool take_doubt(struct peers *p, uint8_t ret[TOKEN_BLOB_SIZE]) {
    pthread_mutex_lock(&p->lock);
    bool found = p->doubt_count > 0;
    if (found)
        memcpy(ret, p->doubts[--p->doubt_count], TOKEN_BLOB_SIZE);
    pthread_mutex_unlock(&p->lock);
    return found;
}

static void wake(struct peers *p) {
    const uint64_t one = 1;
    if (write(p->fd, &one, sizeof one) < 0)
        (void)0; /* the counter is full: the loop is already woken */
}

void peers_doubt(struct peers *p, const uint8_t blob[TOKEN_BLOB_SIZE]) {
    pthread_mutex_lock(&p->lock);
    if (p->doubt_count < DOUBTS_MAX)
        memcpy(p->doubts[p->doubt_count++], blob, TOKEN_BLOB_SIZE);
    pthread_mutex_unlock(&p->lock);
    wake(p);
}

static void on_questions(evutil_socket_t fd, short what, void *arg) {
    struct peers *p = arg;
    uint8_t id[LAYER_ID_SIZE], blob[TOKEN_BLOB_SIZE];
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0)
        (void)0; /* a spurious wake */
    while (take_question(p, id))
        p->ops.ask(p->ops.data, id);
    while (take_doubt(p, blob))
        p->ops.doubt(p->ops.data, blob);
}

void peers_located(struct peers *p, const uint8_t id[LAYER_ID_SIZE],
                   const struct peers_found *found) {
    struct question *q;
    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->questions, q) {
        if (!q->asked || memcmp(q->id, id, sizeof q->id) != 0)
            continue;
        if (found)
            q->found = *found;
        q->answered = true;
    }
    pthread_cond_broadcast(&p->answered);
    pthread_mutex_unlock(&p->lock);
}

static void wait_a_moment(struct peers *p) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&p->answered, &p->lock, &until);
}

void peers_locate(struct peers *p, const uint8_t id[LAYER_ID_SIZE], const volatile bool *stop,
                  struct peers_found *ret) {
    struct question q = {0};
    const uint64_t end = clock_mono_ms() + PEERS_LOCATE_MS;
    memcpy(q.id, id, sizeof q.id);
    pthread_mutex_lock(&p->lock);
    DL_APPEND(p->questions, &q);
    wake(p);
    while (!q.answered && !*stop && clock_mono_ms() < end)
        wait_a_moment(p);
    DL_DELETE(p->questions, &q);
    pthread_mutex_unlock(&p->lock);
    *ret = q.found;
    mem_wipe(&q, sizeof q);
}

/* --- trust --- */

void peer_name(const struct peer_place *place, char name[static 64]) {
    snprintf(name, 64, strchr(place->address, ':') ? "[%s]:%u" : "%s:%u", place->address,
             place->port);
}

void peers_distrust(struct peers *p, const char *name) {
    pthread_mutex_lock(&p->lock);
    struct distrust *d = &p->distrusted[p->distrust_next];
    p->distrust_next = (p->distrust_next + 1) % DISTRUST_MAX;
    snprintf(d->name, sizeof d->name, "%s", name);
    d->until_ms = clock_mono_ms() + PEERS_DISTRUST_MS;
    p->counters.distrusted++;
    pthread_mutex_unlock(&p->lock);
}

bool peers_trusts(struct peers *p, const char *name) {
    uint64_t now = clock_mono_ms();
    bool trusted = true;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < DISTRUST_MAX; i++)
        if (p->distrusted[i].until_ms > now && str_eq(p->distrusted[i].name, name))
            trusted = false;
    pthread_mutex_unlock(&p->lock);
    return trusted;
}

const struct peers_config *peers_config(const struct peers *p) {
    return &p->config;
}

void peers_count(struct peers *p, const struct peers_counters *more) {
    pthread_mutex_lock(&p->lock);
    p->counters.bytes += more->bytes;
    p->counters.blobs += more->blobs;
    p->counters.failures += more->failures;
    pthread_mutex_unlock(&p->lock);
}

void peers_counters(struct peers *p, struct peers_counters *ret) {
    pthread_mutex_lock(&p->lock);
    *ret = p->counters;
    pthread_mutex_unlock(&p->lock);
}

/* --- made and freed --- */

int peers_new(struct peers **ret, struct event_base *loop, const struct peers_config *config,
              const struct peers_ops *ops, struct error *err) {
    struct peers *p = mem_zalloc(sizeof *p);
    pthread_condattr_t attr;
    if (!p)
        return error_set(err, -ENOMEM, "out of memory");
    p->config = *config;
    p->config.slow_ms = config->slow_ms ? config->slow_ms : PEERS_SLOW_MS;
    p->ops = *ops;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->answered, &attr);
    pthread_condattr_destroy(&attr);
    p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->on_fd = p->fd < 0 ? NULL : event_new(loop, p->fd, EV_READ | EV_PERSIST, on_questions, p);
    if (!p->on_fd || event_add(p->on_fd, NULL) < 0) {
        peers_free(p);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret = p;
    return 0;
}

void peers_free(struct peers *p) {
    if (!p)
        return;
    if (p->on_fd)
        event_free(p->on_fd);
    close_fdp(&p->fd);
    pthread_cond_destroy(&p->answered);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
