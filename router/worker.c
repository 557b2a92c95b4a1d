#include "router/worker.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/log.h"
#include "router/client.h"

#define BACKLOG         4096
#define ACCEPT_TURNS    64    /* connections accepted before the others get their turn */
#define ACCEPT_PAUSE_MS 1000u /* when descriptors are used up */

uint64_t worker_now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

void worker_ready(struct worker *w, struct client *c) {
    if (c->is_ready)
        return;
    c->is_ready = true;
    c->ready_next = NULL;
    *w->ready_end = c;
    w->ready_end = &c->ready_next;
}

/* --- accepting --- */

static void pause_accepting(struct worker *w) {
    if (w->accept_paused)
        return;
    w->accept_paused = true;
    w->accept_again_ms = worker_now_ms() + ACCEPT_PAUSE_MS;
    COUNT(w, accept_pauses);
    for (unsigned i = 0; i < WORKER_LISTENERS; i++)
        if (w->listeners[i].fd >= 0)
            event_del(&w->listeners[i].event);
}

static void resume_accepting(struct worker *w) {
    if (!w->accept_paused || w->draining || worker_now_ms() < w->accept_again_ms)
        return;
    w->accept_paused = false;
    for (unsigned i = 0; i < WORKER_LISTENERS; i++)
        if (w->listeners[i].fd >= 0)
            event_add(&w->listeners[i].event, NULL);
}

/* Takes at most `limit` connections; false when there are no more for now. */
static bool accept_some(struct listener *l, unsigned limit) {
    struct worker *w = l->worker;
    while (limit--) {
        union {
            struct sockaddr any;
            struct sockaddr_in6 in6;
        } peer;
        socklen_t n = sizeof peer;
        int fd = accept4(l->fd, &peer.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR || errno == EPROTO))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN) /* EMFILE, ENFILE, ENOBUFS, ENOMEM: would fail at once again */
                pause_accepting(w);
            return false;
        }
        if (client_open(w, fd, &peer.any, l->tls) < 0) {
            close(fd);
            pause_accepting(w);
            return false;
        }
    }
    return true;
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    accept_some(arg, ACCEPT_TURNS);
}

static void close_listeners(struct worker *w) {
    for (unsigned i = 0; i < WORKER_LISTENERS; i++) {
        struct listener *l = &w->listeners[i];
        if (l->fd < 0)
            continue;
        if (event_initialized(&l->event))
            event_del(&l->event);
        close(l->fd);
        l->fd = -1;
    }
}

/* shared: another socket of ours, in another worker, may listen there too. */
static int bind_socket(const struct addrinfo *at, const char *text, bool shared,
                       struct error *err) {
    int on = 1;
    _cleanup_(close_fdp) int fd =
        socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, -errno, "socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        return error_set(err, -errno, "cannot listen on %s: %s", text, strerror(errno));
    return TAKE_FD(fd);
}

static int listen_on(struct worker *w, const char *text, bool tls, struct error *err) {
    struct listener *l = &w->listeners[tls];
    _cleanup_(freep) char *host = NULL;
    uint16_t port;
    char service[8];
    int r = address_parse(text, &host, &port, err);
    if (r < 0)
        return error_wrap(err, tls ? "listen_tls" : "listen");
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *at;
    snprintf(service, sizeof service, "%u", port);
    r = getaddrinfo(*host ? host : NULL, service, &hints, &at);
    if (r != 0)
        return error_set(err, -EINVAL, "%s: %s", text, gai_strerror(r));
    /* SO_REUSEPORT would let a second router take half of this one's requests: the first worker
     * makes sure that nobody listens there. */
    if (w->index == 0 && (r = bind_socket(at, text, false, err)) >= 0)
        close(r);
    if (r >= 0)
        r = l->fd = bind_socket(at, text, true, err);
    freeaddrinfo(at);
    if (r < 0)
        return r;
    l->tls = tls;
    l->worker = w;
    if (event_assign(&l->event, w->loop, l->fd, EV_READ | EV_PERSIST, on_accept, l) < 0 ||
        event_add(&l->event, NULL) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

int worker_listen(struct worker *w, struct error *err) {
    int r;
    if (!str_empty(w->config->listen) && (r = listen_on(w, w->config->listen, false, err)) < 0)
        return r;
    if (!str_empty(w->config->listen_tls) &&
        (r = listen_on(w, w->config->listen_tls, true, err)) < 0)
        return r;
    return 0;
}

/* --- the loop --- */

static void begin_drain(struct worker *w) {
    w->draining = true;
    /* Who waits to be accepted already would be reset when the listener closes. */
    for (unsigned i = 0; i < WORKER_LISTENERS; i++)
        if (w->listeners[i].fd >= 0)
            accept_some(&w->listeners[i], BACKLOG);
    close_listeners(w);
    for (struct client *c = w->clients, *next; c; c = next) {
        next = c->next;
        client_begin_drain(c);
    }
    backend_close_all(w);
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    struct worker *w = arg;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0)
        return;
    if (atomic_load(&w->drain) && !w->draining)
        begin_drain(w);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct worker *w = arg;
    (void)fd, (void)what;
    w->wall_offset_ns = clock_wall_ns() - clock_mono_ns();
    atomic_store_explicit(&w->beat_ms, worker_now_ms(), memory_order_relaxed);
    wheel_run(&w->wheel, worker_now_ms());
    resume_accepting(w);
    access_batch_flush(&w->log);
    view_table(&w->view, &w->shared->publisher); /* lets an old table go when there is no traffic */
    atomic_store_explicit(&w->counters.log_lines_dropped, w->log.dropped, memory_order_relaxed);
}

static void run_ready(struct worker *w) {
    struct client *c = w->ready;
    w->ready = NULL;
    w->ready_end = &w->ready;
    while (c) {
        struct client *next = c->ready_next;
        c->is_ready = false;
        client_step(c);
        c = next;
    }
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    char name[16]; /* pthread_setname_np(3) */
    snprintf(name, sizeof name, "worker-%u", w->index);
    pthread_setname_np(pthread_self(), name);
    while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
        event_base_loop(w->loop, EVLOOP_ONCE | (w->ready ? EVLOOP_NONBLOCK : 0));
        run_ready(w);
        client_free_dead(w);
        backend_free_dead(w);
    }
    access_batch_flush(&w->log);
    return NULL;
}

/* --- life --- */

static struct event_base *new_loop(void) {
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* one thread only */
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    struct event_base *loop = event_base_new_with_config(config);
    event_config_free(config);
    return loop;
}

static int add_own_events(struct worker *w) {
    static const struct timeval tick = {.tv_usec = WHEEL_TICK_MS * 1000};
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->wake_fd < 0)
        return -errno;
    if (event_assign(&w->wake_event, w->loop, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w) < 0 ||
        event_assign(&w->tick_event, w->loop, -1, EV_PERSIST, on_tick, w) < 0 ||
        event_add(&w->wake_event, NULL) < 0 || event_add(&w->tick_event, &tick) < 0)
        return -ENOMEM;
    return 0;
}

int worker_new(struct worker **ret, struct shared *shared, unsigned index, struct error *err) {
    _cleanup_(worker_freep) struct worker *w = mem_zalloc(sizeof *w);
    if (!w)
        return error_set(err, -ENOMEM, "out of memory");
    w->shared = shared;
    w->config = shared->config;
    w->index = index;
    w->wake_fd = -1;
    for (unsigned i = 0; i < WORKER_LISTENERS; i++)
        w->listeners[i].fd = -1;
    w->ready_end = &w->ready;
    w->wall_offset_ns = clock_wall_ns() - clock_mono_ns();
    random_bytes(&w->rng, sizeof w->rng);
    wheel_init(&w->wheel, worker_now_ms());
    if (access_batch_init(&w->log, shared->sink) < 0 || !(w->loop = new_loop()))
        return error_set(err, -ENOMEM, "cannot make an event loop");
    int r = add_own_events(w);
    if (r < 0)
        return error_set(err, r, "cannot make an event loop: %s", strerror(-r));
    *ret = TAKE_PTR(w);
    return 0;
}

int worker_start(struct worker *w, struct error *err) {
    sigset_t all, was;
    atomic_store(&w->beat_ms, worker_now_ms());
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_BLOCK, &all, &was);
    int r = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (r != 0)
        return error_set(err, -r, "cannot start a thread: %s", strerror(r));
    w->started = true;
    return 0;
}

bool worker_is_stuck(const struct worker *w, uint64_t now_ms) {
    uint64_t beat_ms = atomic_load_explicit(&w->beat_ms, memory_order_relaxed);
    return w->started && now_ms > beat_ms + WORKER_STUCK_MS;
}

static void wake(struct worker *w) {
    uint64_t one = 1;
    if (write(w->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is awake */
}

void worker_begin_drain(struct worker *w) {
    atomic_store(&w->drain, true);
    wake(w);
}

void worker_stop(struct worker *w) {
    if (!w->started)
        return;
    atomic_store(&w->stop, true);
    wake(w);
    pthread_join(w->thread, NULL);
    w->started = false;
}

void worker_free(struct worker *w) {
    if (!w)
        return;
    worker_stop(w);
    close_listeners(w);
    while (w->clients)
        client_close(w->clients);
    run_ready(w); /* of closed ones: only takes them off the list */
    backend_close_all(w);
    client_free_dead(w);
    backend_free_dead(w);
    access_batch_fini(&w->log);
    view_fini(&w->view);
    buf_pool_fini(&w->bufs);
    if (w->wake_fd >= 0) {
        if (event_initialized(&w->wake_event))
            event_del(&w->wake_event);
        close(w->wake_fd);
    }
    if (event_initialized(&w->tick_event))
        event_del(&w->tick_event);
    if (w->loop)
        event_base_free(w->loop);
    free(w);
}
