#include "cell/image/ring.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. Blocks are numbered from 0 on and lie at their number modulo RING_BLOCKS. */
    uint64_t pushed; /* blocks filled */
    uint64_t taken;  /* blocks given back */
    size_t n[RING_BLOCKS];
    bool ended, abandoned;
    int code;
    struct error err;
    /* The consumer's own. */
    bool holding;
    uint8_t *memory;
};

int ring_new(struct ring **ret, struct error *err) {
    _cleanup_(ring_freep) struct ring *r = mem_zalloc(sizeof *r);
    if (!r)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    /* Mapped, so that an agent that pulls once a day gives it back. */
    void *memory = mmap(NULL, RING_BLOCKS * RING_BLOCK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    r->memory = memory == MAP_FAILED ? NULL : memory;
    if (!r->memory)
        return error_set(err, -ENOMEM, "out of memory");
    *ret = TAKE_PTR(r);
    return 0;
}

void ring_free(struct ring *r) {
    if (!r)
        return;
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    if (r->memory)
        munmap(r->memory, RING_BLOCKS * RING_BLOCK_BYTES);
    free(r);
}

uint8_t *ring_reserve(struct ring *r) {
    pthread_mutex_lock(&r->lock);
    while (r->pushed - r->taken == RING_BLOCKS && !r->abandoned)
        pthread_cond_wait(&r->changed, &r->lock);
    uint8_t *p = r->abandoned ? NULL : r->memory + r->pushed % RING_BLOCKS * RING_BLOCK_BYTES;
    pthread_mutex_unlock(&r->lock);
    return p;
}

void ring_push(struct ring *r, size_t n) {
    pthread_mutex_lock(&r->lock);
    r->n[r->pushed++ % RING_BLOCKS] = n;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void ring_end(struct ring *r, int code, const struct error *err) {
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    r->code = code;
    if (code < 0)
        r->err = *err;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

ssize_t ring_next(struct ring *r, const void **block, struct error *err) {
    ssize_t n = 0;
    pthread_mutex_lock(&r->lock);
    if (r->holding) {
        r->taken++;
        pthread_cond_signal(&r->changed);
    }
    while (r->taken == r->pushed && !r->ended)
        pthread_cond_wait(&r->changed, &r->lock);
    r->holding = r->taken < r->pushed;
    if (r->holding) {
        *block = r->memory + r->taken % RING_BLOCKS * RING_BLOCK_BYTES;
        n = (ssize_t)r->n[r->taken % RING_BLOCKS];
    } else if (r->code < 0) {
        n = error_set(err, r->code, "%s", r->err.msg);
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

void ring_abandon(struct ring *r) {
    pthread_mutex_lock(&r->lock);
    r->abandoned = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}
