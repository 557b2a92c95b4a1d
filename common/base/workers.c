#include "common/base/workers.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <utlist.h>

struct job {
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
    struct job *next;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *todo, *finished; /* under lock */
    bool stopping;               /* under lock */
    unsigned thread_count;
    pthread_t *threads;
    int fd; /* eventfd: something in `finished` */
    struct event *on_fd;
};

static void *worker_main(void *arg) {
    struct workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->todo && !w->stopping)
            pthread_cond_wait(&w->wake, &w->lock);
        if (!w->todo)
            break;
        struct job *job = w->todo;
        LL_DELETE(w->todo, job);
        pthread_mutex_unlock(&w->lock);
        job->work(job->arg);
        pthread_mutex_lock(&w->lock);
        LL_APPEND(w->finished, job);
        uint64_t one = 1;
        if (write(w->fd, &one, sizeof one) < 0)
            (void)0; /* the counter is full: the loop is already woken */
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void tell_finished(struct workers *w) {
    pthread_mutex_lock(&w->lock);
    struct job *list = w->finished, *job, *tmp;
    w->finished = NULL;
    pthread_mutex_unlock(&w->lock);
    LL_FOREACH_SAFE (list, job, tmp) {
        job->done(job->arg);
        free(job);
    }
}

static void on_finished(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0)
        (void)0; /* spurious wake */
    tell_finished(arg);
}

void workers_free(struct workers *w) {
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    tell_finished(w);
    if (w->on_fd)
        event_free(w->on_fd);
    if (w->fd >= 0)
        close(w->fd);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w->threads);
    free(w);
}

int workers_new(struct workers **ret, struct event_base *loop, unsigned threads,
                struct error *err) {
    _cleanup_(workers_freep) struct workers *w = mem_zalloc(sizeof *w);
    if (!w)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->threads = mem_calloc(threads, sizeof *w->threads);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->fd >= 0)
        w->on_fd = event_new(loop, w->fd, EV_READ | EV_PERSIST, on_finished, w);
    if (!w->threads || !w->on_fd || event_add(w->on_fd, NULL) < 0)
        return error_set(err, -ENOMEM, "cannot make the worker pool");

    sigset_t all, was; /* signals are for the loop thread */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &was);
    int r = 0;
    for (; r == 0 && w->thread_count < threads; w->thread_count += r == 0)
        r = pthread_create(&w->threads[w->thread_count], NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (r != 0)
        return error_set(err, -r, "cannot start a worker thread: %s", strerror(r));
    *ret = TAKE_PTR(w);
    return 0;
}

int workers_run(struct workers *w, void (*work)(void *arg), void (*done)(void *arg), void *arg) {
    struct job *job = mem_zalloc(sizeof *job);
    if (!job)
        return -ENOMEM;
    *job = (struct job){.work = work, .done = done, .arg = arg};
    pthread_mutex_lock(&w->lock);
    LL_APPEND(w->todo, job);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    return 0;
}
