/* Cells that give and take blobs, over loopback: real servers, real streams, and one that lies. */
#include "tests/unit/lib/runner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/image/fetch.h"
#include "cell/image/peer_head.h"
#include "cell/image/peer_server.h"
#include "cell/image/peer_source.h"
#include "cell/image/peers.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "common/registry/digest.h"

#define SERVERS 3
#define MB      ((size_t)1 << 20)

static char dir[64];
static struct event_base *loop;
static struct peers *peers;
static uint8_t key[BUS_KEY_SIZE] = "key", nonce[TOKEN_NONCE_SIZE] = "nonce";

static struct giver {
    struct peer_server *server;
    int fd, coming_fd; /* its directories: of blobs, and of those it is fetching */
    bool coming;       /* it is fetching the blob itself */
    uint16_t port;
    uint64_t expires_ms; /* of tokens for it; 0: as long as they are */
} givers[SERVERS];
static const char *order; /* of the places that are told: "01" */
static unsigned asked;

static char *content;
static size_t content_n;
static char digest[72];
static uint8_t digest_bytes[TOKEN_BLOB_SIZE];

static uint16_t next_port(void) {
    static uint16_t port;
    if (!port)
        port = (uint16_t)(22600 + getpid() % 100 * 3);
    return port++;
}

static void put_blob(int fd, const char *hex, const char *p, size_t n) {
    ck_assert_int_eq(fs_write_quick(fd, hex, 0600, p, n, NULL), 0);
}

static void start_giver(size_t i, uint64_t rate) {
    struct giver *g = &givers[i];
    char path[96];
    struct error err = {0};
    snprintf(path, sizeof path, "%s/%zu", dir, i);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    g->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(mkdirat(g->fd, "coming", 0700), 0);
    g->coming_fd = openat(g->fd, "coming", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct peer_server_config config = {.address = "127.0.0.1",
                                        .rate = rate,
                                        .ask_ms = 500,
                                        .blobs_fd = g->fd,
                                        .coming_fd = g->coming_fd,
                                        .peers = peers};
    memcpy(config.key, key, sizeof key);
    memcpy(config.nonce, nonce, sizeof nonce);
    for (int k = 0; k < 20 && !g->server; k++) {
        config.port = g->port = next_port();
        peer_server_new(&g->server, &config, &err);
    }
    ck_assert_msg(g->server != NULL, "%s", err.msg);
}

static void token_for(const struct giver *g, const uint8_t *blob, char text[TOKEN_TEXT_SIZE]) {
    struct token token = {.expires_ms =
                              g->expires_ms ? g->expires_ms : clock_mono_ms() + TOKEN_TTL_MS};
    memcpy(token.blob, blob, sizeof token.blob);
    ck_assert_int_eq(token_make(key, nonce, &token, text), 0);
}

static const struct repository_id of = {"some repository"};
static enum peer_leave leave;

static void on_ask(void *data, const uint8_t id[LAYER_ID_SIZE]) {
    struct peers_found found = {.leave = leave};
    uint8_t expected[LAYER_ID_SIZE];
    (void)data;
    layer_id(digest_bytes, &of, expected);
    ck_assert_mem_eq(id, expected, LAYER_ID_SIZE);
    for (const char *p = order; *p; p++) {
        const struct giver *g = &givers[*p - '0'];
        struct peer_place *to = &found.places[found.n++];
        strcpy(to->address, "127.0.0.1");
        to->port = g->port;
        to->coming = g->coming;
        token_for(g, g->coming ? id : digest_bytes, to->token);
        ck_assert_int_eq(token_secret(key, to->token, to->secret), 0);
    }
    asked++;
    peers_located(peers, id, &found);
}

/* As a fetch does it: under the blob's id, and growing. */
static void coming_name(char hex[2 * LAYER_ID_SIZE + 1]) {
    uint8_t id[LAYER_ID_SIZE];
    layer_id(digest_bytes, &of, id);
    hex_encode(id, sizeof id, hex);
}

static unsigned doubted;
static void on_doubt(void *data, const uint8_t blob[TOKEN_BLOB_SIZE]) {
    (void)data;
    ck_assert_mem_eq(blob, digest_bytes, TOKEN_BLOB_SIZE);
    doubted++;
}

static void setup(size_t size) {
    const struct peers_ops ops = {on_ask, on_doubt, NULL};
    strcpy(dir, "/tmp/berth-peers-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    loop = event_base_new();
    ck_assert_int_eq(peers_new(&peers, loop, &(struct peers_config){.slow_ms = 500}, &ops, NULL),
                     0);
    memset(givers, 0, sizeof givers);
    order = "";
    leave = LEAVE_REPOSITORY;
    asked = doubted = 0;
    content_n = size;
    content = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        content[i] = (char)(i * 7 + i / 251);
    digest_of(content, size, digest);
    hex_decode(digest + 7, digest_bytes, sizeof digest_bytes);
}

static void teardown(void) {
    for (size_t i = 0; i < SERVERS; i++) {
        peer_server_free(givers[i].server);
        if (givers[i].fd > 0)
            close(givers[i].fd);
        if (givers[i].coming_fd > 0)
            close(givers[i].coming_fd);
    }
    peers_free(peers);
    event_base_free(loop);
    free(content);
    fs_remove_tree(AT_FDCWD, dir, NULL);
}

/* --- taking: on a thread, as in the store, while the loop answers --- */

struct taking {
    struct layer_trail trail;
    int own_fd;
    enum peer_leave own_leave;
    volatile bool stop;
    struct strbuf got;
    int code;
    struct error err;
    _Atomic bool done;
};

static void *take_main(void *arg) {
    struct taking *t = arg;
    struct layer_source source;
    peer_source(peers, &source);
    struct layer_blob what = {NULL, NULL,      digest,       content_n,
                              &of,  t->own_fd, t->own_leave, &t->trail};
    do {
        void *blob = NULL;
        char buf[10000];
        ssize_t n = 0;
        strbuf_clear(&t->got);
        t->code = source.open(source.data, &what, &t->stop, &blob, &t->err);
        while (t->code == 0 && (n = source.read(blob, buf, sizeof buf, &t->err)) > 0)
            strbuf_add(&t->got, buf, (size_t)n);
        if (t->code == 0)
            t->code = (int)n;
        source.close(blob);
    } while (t->code == -EBADMSG && source.blame(source.data, &what));
    t->done = true;
    return NULL;
}

static void take(struct taking *t) {
    static const struct timeval slice = {0, 2000};
    pthread_t thread;
    strbuf_fini(&t->got);
    strbuf_puts(&t->got, "");
    t->done = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, take_main, t), 0);
    while (!t->done) {
        event_base_loopexit(loop, &slice);
        event_base_dispatch(loop);
    }
    pthread_join(thread, NULL);
}

static void ck_whole(const struct taking *t) {
    ck_assert_msg(t->code == 0, "%s", t->err.msg);
    ck_assert_uint_eq(t->got.n, content_n);
    ck_assert_int_eq(memcmp(t->got.p, content, content_n), 0);
}

static struct peers_counters counted(void) {
    struct peers_counters c;
    peers_counters(peers, &c);
    return c;
}

START_TEST(a_blob_comes_from_a_cell_that_has_it) {
    struct taking t = {.own_fd = -1};
    setup(3 * MB + 17);
    start_giver(0, 1 << 30);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    order = "0";
    take(&t);
    ck_whole(&t);
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(counted().bytes, content_n);
    ck_assert_uint_eq(counted().blobs, 1);
    struct peer_server_stats stats;
    peer_server_stats(givers[0].server, &stats);
    ck_assert_uint_eq(stats.bytes, peer_sealed_size(content_n));
    ck_assert_uint_eq(stats.given, 1);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

START_TEST(one_that_lies_is_found_out_and_another_one_is_asked) {
    struct taking t = {.own_fd = -1};
    setup(2 * MB);
    start_giver(0, 1 << 30);
    start_giver(1, 1 << 30);
    put_blob(givers[1].fd, digest + 7, content, content_n);
    content[content_n - 1] ^= 1; /* the last byte */
    put_blob(givers[0].fd, digest + 7, content, content_n);
    content[content_n - 1] ^= 1;
    order = "01";
    take(&t);
    ck_whole(&t);
    ck_assert_uint_eq(counted().distrusted, 1);
    ck_assert_uint_eq(doubted, 1); /* it hears of it */
    uint64_t before = counted().bytes;
    take(&t); /* it is not even asked again */
    ck_whole(&t);
    ck_assert_uint_eq(counted().bytes - before, content_n);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

/* --- one that is slow, or goes away: says that it has everything, sends some, does nothing more
 * --- */

struct stuck {
    int listener;
    size_t records;    /* that it sends */
    size_t tampers_at; /* this one is not what was sealed */
    bool closes;
    pthread_t thread;
};

static void *stuck_main(void *arg) {
    struct stuck *s = arg;
    char head[PEER_HEAD_MAX];
    int fd = accept(s->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    static uint8_t salt[PEER_SALT_SIZE], secret[TOKEN_SECRET_SIZE], record[PEER_SEALED];
    struct peer_seal seal;
    struct peer_ask ask = {0};
    ssize_t got = recv(fd, head, sizeof head, 0);
    if (got <= 0 || peer_ask_parse(head, (size_t)got, &ask) != 0 ||
        token_secret(key, ask.token, secret) < 0 || peer_seal_init(&seal, secret, salt, false) < 0)
        return NULL;
    size_t n = peer_answer_format(206, 0, content_n, salt, head);
    got = send(fd, head, n, MSG_NOSIGNAL);
    for (size_t i = 0; got > 0 && i < s->records; i++) {
        memcpy(record, content + i * PEER_RECORD, PEER_RECORD);
        peer_seal(&seal, record, PEER_RECORD);
        record[5] ^= s->tampers_at == i;
        size_t left = sizeof record;
        for (const uint8_t *p = record; got > 0 && left > 0; left -= (size_t)got, p += got)
            got = send(fd, p, left, MSG_NOSIGNAL);
    }
    peer_seal_fini(&seal);
    if (!s->closes)
        while (recv(fd, head, sizeof head, 0) > 0)
            ;
    close(fd);
    return NULL;
}

static void start_stuck(struct stuck *s, struct giver *as) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(s->listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(s->listener, 5), 0);
    ck_assert_int_eq(getsockname(s->listener, (struct sockaddr *)&at, &n), 0);
    as->port = ntohs(at.sin_port);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, stuck_main, s), 0);
}

static void end_stuck(struct stuck *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

static void go_on(bool closes) {
    struct taking t = {.own_fd = -1};
    struct stuck stuck = {.records = 8, .tampers_at = SIZE_MAX, .closes = closes};
    struct peer_server_stats stats;
    setup(2 * MB);
    start_stuck(&stuck, &givers[0]);
    start_giver(1, 1 << 30);
    put_blob(givers[1].fd, digest + 7, content, content_n);
    order = "01";
    take(&t);
    ck_whole(&t);
    peer_server_stats(givers[1].server, &stats);
    ck_assert_uint_eq(stats.bytes,
                      peer_sealed_size(content_n - 8 * PEER_RECORD)); /* from there on */
    ck_assert_uint_eq(counted().failures, 1);
    end_stuck(&stuck);
    strbuf_fini(&t.got);
    teardown();
}

START_TEST(where_one_goes_away_the_next_one_goes_on) {
    go_on(true);
}
END_TEST

START_TEST(where_one_becomes_slow_the_next_one_goes_on) {
    go_on(false);
}
END_TEST

/* --- one that is fetching it itself --- */

struct fetcher {
    int dirfd;
    size_t until; /* then it goes on without, its file having no name any more */
    size_t wrong; /* this byte */
    pthread_t thread;
};

static void *fetcher_main(void *arg) {
    struct fetcher *f = arg;
    char name[2 * LAYER_ID_SIZE + 1];
    coming_name(name);
    int fd = openat(f->dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (size_t at = 0, n; at < f->until; at += n) {
        n = MIN((size_t)100000, f->until - at);
        if (write(fd, content + at, n) != (ssize_t)n ||
            (f->wrong - at < n && pwrite(fd, "?", 1, (off_t)f->wrong) != 1))
            break;
        usleep(1000);
    }
    if (f->until < content_n)
        unlinkat(f->dirfd, name, 0);
    close(fd);
    return NULL;
}

static void start_fetcher(struct fetcher *f, struct giver *g) {
    char name[2 * LAYER_ID_SIZE + 1];
    f->dirfd = g->coming_fd;
    g->coming = true;
    coming_name(name);
    put_blob(f->dirfd, name, "", 0);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, fetcher_main, f), 0);
}

START_TEST(a_blob_is_followed_while_another_cell_fetches_it) {
    struct taking t = {.own_fd = -1};
    struct fetcher f = {.until = 2 * MB + 17, .wrong = SIZE_MAX};
    setup(2 * MB + 17);
    start_giver(0, 1 << 30);
    leave = LEAVE_NONE; /* its registry shows it just now */
    order = "0";
    start_fetcher(&f, &givers[0]);
    take(&t);
    ck_whole(&t);
    ck_assert_int_eq(t.trail.leave, LEAVE_REPOSITORY);
    pthread_join(f.thread, NULL);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

START_TEST(where_that_comes_to_nothing_another_one_goes_on) {
    struct taking t = {.own_fd = -1};
    struct fetcher f = {.until = MB, .wrong = SIZE_MAX};
    setup(2 * MB);
    start_giver(0, 1 << 30);
    start_giver(1, 1 << 30);
    put_blob(givers[1].fd, digest + 7, content, content_n);
    order = "01";
    start_fetcher(&f, &givers[0]);
    take(&t);
    ck_whole(&t);
    ck_assert_uint_eq(counted().failures, 1);
    pthread_join(f.thread, NULL);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

/* What an image's own registry sends wrong is no fault of the cell that passes it on. */
START_TEST(who_is_followed_to_wrong_bytes_is_not_blamed_and_not_followed_again) {
    struct taking t = {.own_fd = -1};
    struct fetcher f = {.until = MB, .wrong = 1000};
    setup(MB);
    start_giver(0, 1 << 30);
    leave = LEAVE_NONE;
    order = "0";
    start_fetcher(&f, &givers[0]);
    take(&t);
    ck_assert_int_eq(t.code, -EHOSTUNREACH); /* the registry is asked, of which there is none */
    ck_assert_uint_eq(counted().distrusted + doubted, 0);
    pthread_join(f.thread, NULL);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

/* Fetched it, and has not told so yet. */
START_TEST(who_comes_a_moment_late_asks_again) {
    struct taking t = {.own_fd = -1};
    setup(MB);
    start_giver(0, 1 << 30);
    givers[0].coming = true;
    leave = LEAVE_NONE;
    order = "0";
    take(&t);
    ck_assert_int_eq(t.code, -EHOSTUNREACH);
    ck_assert_uint_eq(asked, 2);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

/* Somebody between the two changes a byte, or puts himself in the place of the one asked. */
START_TEST(what_does_not_come_from_who_was_asked_is_dropped_and_another_one_goes_on) {
    static const size_t at[] = {0, 3};
    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        struct taking t = {.own_fd = -1};
        struct stuck stuck = {.records = 8, .tampers_at = at[i], .closes = true};
        struct peer_server_stats stats;
        setup(2 * MB);
        start_stuck(&stuck, &givers[0]);
        start_giver(1, 1 << 30);
        put_blob(givers[1].fd, digest + 7, content, content_n);
        order = "01";
        take(&t);
        ck_whole(&t);
        peer_server_stats(givers[1].server, &stats);
        ck_assert_uint_eq(stats.bytes, peer_sealed_size(content_n - at[i] * PEER_RECORD));
        ck_assert_uint_eq(counted().distrusted, 1);
        end_stuck(&stuck);
        strbuf_fini(&t.got);
        teardown();
    }
}
END_TEST

START_TEST(ones_own_blob_is_used_first_and_dropped_when_it_is_wrong) {
    struct taking t = {.own_fd = -1, .own_leave = LEAVE_ALL};
    setup(MB);
    start_giver(0, 1 << 30);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    order = "0";
    t.own_fd = open(dir, O_RDONLY | O_DIRECTORY);
    put_blob(t.own_fd, digest + 7, content, content_n);
    take(&t);
    ck_whole(&t);
    ck_assert_uint_eq(asked, 0);
    ck_assert(t.trail.own && !t.trail.own_is_bad);
    content[5] ^= 1;
    put_blob(t.own_fd, digest + 7, content, content_n);
    content[5] ^= 1;
    take(&t);
    ck_whole(&t);
    ck_assert(t.trail.own_is_bad);
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(counted().distrusted, 0);
    memset(&t.trail, 0, sizeof t.trail);
    put_blob(t.own_fd, digest + 7, content, content_n / 2); /* cut */
    take(&t);
    ck_whole(&t);
    ck_assert(t.trail.own_is_bad);
    close(t.own_fd);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

START_TEST(what_is_here_is_used_only_with_leave) {
    static const struct {
        enum peer_leave own, others;
        bool given;
        enum peer_leave then; /* who may have it from now on */
    } rows[] = {
        {LEAVE_NONE, LEAVE_NONE, false, LEAVE_NONE},
        {LEAVE_NONE, LEAVE_REPOSITORY, true, LEAVE_REPOSITORY},
        {LEAVE_NONE, LEAVE_ALL, true, LEAVE_ALL},
        {LEAVE_REPOSITORY, LEAVE_NONE, true, LEAVE_REPOSITORY},
        {LEAVE_ALL, LEAVE_NONE, true, LEAVE_ALL},
    };
    struct taking t = {.own_fd = -1};
    setup(MB);
    t.own_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put_blob(t.own_fd, digest + 7, content, content_n);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        t.trail = (struct layer_trail){0};
        t.own_leave = rows[i].own;
        leave = rows[i].others;
        take(&t);
        ck_assert_int_eq(t.code == 0, rows[i].given);
        ck_assert_int_eq(t.trail.own, rows[i].given);
        ck_assert_int_eq(t.trail.leave, rows[i].then);
    }
    close(t.own_fd);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

/* A controller that errs: places without leave. */
START_TEST(no_cell_is_asked_without_leave) {
    struct taking t = {.own_fd = -1};
    struct peer_server_stats stats;
    setup(MB);
    start_giver(0, 1 << 30);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    order = "0";
    leave = LEAVE_NONE;
    take(&t);
    ck_assert_int_eq(t.code, -EHOSTUNREACH);
    peer_server_stats(givers[0].server, &stats);
    ck_assert_uint_eq(stats.given + stats.refused, 0);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

START_TEST(without_anybody_who_has_it_it_fails_at_once) {
    struct taking t = {.own_fd = -1};
    setup(MB);
    start_giver(0, 1 << 30); /* has it not */
    uint64_t begun = clock_mono_ms();
    take(&t);
    ck_assert_int_eq(t.code, -EHOSTUNREACH);
    order = "0";
    take(&t);
    ck_assert_int_eq(t.code, -EHOSTUNREACH);
    ck_assert_ptr_nonnull(strstr(t.err.msg, "a cell has the layer no more"));
    ck_assert_uint_lt(clock_mono_ms() - begun, 1500);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

START_TEST(a_token_that_has_expired_is_asked_for_again) {
    struct taking t = {.own_fd = -1};
    setup(MB);
    start_giver(0, 1 << 30);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    order = "0";
    givers[0].expires_ms = 1;
    take(&t);
    ck_assert_int_eq(t.code, -EHOSTUNREACH);
    ck_assert_ptr_nonnull(strstr(t.err.msg, "does not accept the token"));
    ck_assert_uint_gt(asked, 1);
    struct peer_server_stats stats;
    peer_server_stats(givers[0].server, &stats);
    ck_assert_uint_eq(stats.bytes, 0);
    ck_assert_uint_eq(stats.refused, asked);
    givers[0].expires_ms = 0;
    take(&t);
    ck_whole(&t);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

START_TEST(what_is_given_keeps_to_the_bandwidth) {
    struct taking t = {.own_fd = -1};
    setup(4 * MB);
    start_giver(0, 4 * MB);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    order = "0";
    uint64_t begun = clock_mono_ms();
    take(&t);
    ck_whole(&t);
    ck_assert_uint_ge(clock_mono_ms() - begun, 700); /* a burst is free */
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

/* --- strangers --- */

/* A connection that has asked for the blob; it reads nothing yet. */
static int ask_for_it(void) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)},
                             .sin_port = htons(givers[0].port)};
    char request[PEER_HEAD_MAX], token[TOKEN_TEXT_SIZE];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    token_for(&givers[0], digest_bytes, token);
    snprintf(request, sizeof request, "GET /layers/%s HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n",
             digest, token);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    return fd;
}

START_TEST(the_bandwidth_is_that_of_all_together) {
    enum { TAKERS = 4 };
    struct pollfd takers[TAKERS];
    static char buf[256 * 1024];
    size_t n[TAKERS] = {0}, whole, left = TAKERS;
    setup(MB);
    whole = peer_sealed_size(content_n);
    start_giver(0, 4 * MB);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    uint64_t begun = clock_mono_ms();
    for (size_t i = 0; i < TAKERS; i++)
        takers[i] = (struct pollfd){.fd = ask_for_it(), .events = POLLIN};
    while (left > 0) {
        ck_assert_int_gt(poll(takers, TAKERS, 5000), 0);
        for (size_t i = 0; i < TAKERS; i++) {
            if (!takers[i].revents)
                continue;
            ssize_t got = recv(takers[i].fd, buf, sizeof buf, 0);
            n[i] += (size_t)MAX(got, 0);
            if (got <= 0) {
                ck_assert_uint_gt(n[i], whole); /* and a head */
                close(takers[i].fd);
                takers[i].fd = -1;
                left--;
            }
        }
    }
    ck_assert_uint_ge(clock_mono_ms() - begun, 700); /* a burst is free */
    teardown();
}
END_TEST

START_TEST(who_finds_no_room_is_told_so_and_turns_to_another) {
    int fds[PEER_TRANSFERS];
    struct peer_server_stats stats = {0};
    struct taking t = {.own_fd = -1};
    setup(16 * MB); /* more than sockets hold */
    for (size_t i = 0; i < 2; i++) {
        start_giver(i, 1 << 30);
        put_blob(givers[i].fd, digest + 7, content, content_n);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = ask_for_it();
    for (uint64_t end = clock_mono_ms() + 15000; stats.giving < PEER_TRANSFERS;) {
        ck_assert_uint_lt(clock_mono_ms(), end);
        usleep(1000);
        peer_server_stats(givers[0].server, &stats);
    }
    order = "01";
    take(&t);
    ck_whole(&t);
    peer_server_stats(givers[0].server, &stats);
    ck_assert_uint_eq(stats.busy, 1);
    peer_server_stats(givers[1].server, &stats);
    ck_assert_uint_eq(stats.given, 1);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    order = "0";
    take(&t); /* there is room again */
    ck_whole(&t);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

/* Sends `request` as it is; the status of the answer, -1 for none; what came with it in *body_n. */
static int raw(const char *request, size_t *body_n) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)},
                             .sin_port = htons(givers[0].port)};
    static char answer[64 * 1024];
    size_t n = 0;
    ssize_t got;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = -1;
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    while (n < sizeof answer - 1 && (got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0)
        n += (size_t)got;
    close(fd);
    answer[n] = 0;
    sscanf(answer, "HTTP/1.1 %d", &status);
    *body_n = n - peer_head_end(answer, n);
    return status;
}

START_TEST(strangers_get_nothing_but_a_status) {
    char request[PEER_HEAD_MAX], token[TOKEN_TEXT_SIZE], foreign[TOKEN_TEXT_SIZE];
    uint8_t other[TOKEN_BLOB_SIZE] = {7};
    size_t n;
    setup(1000);
    start_giver(0, 1 << 30);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    ck_assert_int_eq(mkdirat(givers[0].fd, "d", 0700), 0);
    token_for(&givers[0], digest_bytes, token);
    token_for(&givers[0], other, foreign);
#define ASK(text, bearer, range)                                                                   \
    (snprintf(request, sizeof request,                                                             \
              "GET /layers/%s HTTP/1.1\r\nAuthorization: Bearer %s\r\n%s\r\n", (text), (bearer),   \
              (range)),                                                                            \
     raw(request, &n))
    ck_assert_int_eq(ASK(digest, token, ""), 206);
    ck_assert_uint_eq(n, peer_sealed_size(1000));
    ck_assert_int_eq(ASK(digest, token, "Range: bytes=900-\r\n"), 206);
    ck_assert_uint_eq(n, peer_sealed_size(100));
    ck_assert_int_eq(ASK(digest, token, "Range: bytes=1000-\r\n"), 416);
    ck_assert_int_eq(ASK(digest, foreign, ""), 403); /* of another blob */
    ck_assert_int_eq(ASK(digest, "", "Doubt: 1\r\n"), 403);
    ck_assert_int_eq(ASK(digest, token, "Doubt: 1\r\n"), 404);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(ASK(digest, "", ""), 403);
    ck_assert_int_eq(ASK(digest, "abc", ""), 403);
    ck_assert_uint_eq(n, 0);
    token[3] = token[3] == '0' ? '1' : '0';
    ck_assert_int_eq(ASK(digest, token, ""), 403);
    /* whether it has a blob is not told without a token for it */
    char unknown[72] = "sha256:";
    memset(unknown + 7, '0', 64);
    ck_assert_int_eq(ASK(unknown, token, ""), 403);
    hex_encode(other, sizeof other, unknown + 7);
    ck_assert_int_eq(ASK(unknown, foreign, ""), 404);
    ck_assert_int_eq(ASK("../0/d", token, ""), 404);
    ck_assert_int_eq(raw("GET / HTTP/1.1\r\n\r\n", &n), 404);
    ck_assert_int_eq(raw("POST / HTTP/1.1\r\n\r\n", &n), 405);
    ck_assert_int_eq(raw("nonsense\r\n\r\n", &n), 405);
    ck_assert_uint_eq(n, 0);
#undef ASK
    teardown();
}
END_TEST

START_TEST(who_says_nothing_or_reads_nothing_is_let_go) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct peer_server_stats stats = {0};
    int fds[PEER_CONNECTIONS + 20];
    struct taking t = {.own_fd = -1};
    setup(1000);
    start_giver(0, 1 << 30);
    put_blob(givers[0].fd, digest + 7, content, content_n);
    at.sin_port = htons(givers[0].port);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&at, sizeof at), 0);
    }
    for (uint64_t end = clock_mono_ms() + 15000; stats.slow < PEER_CONNECTIONS;) {
        ck_assert_uint_lt(clock_mono_ms(), end);
        usleep(50000);
        for (size_t i = 0; i < PEER_CONNECTIONS; i += 2)
            send(fds[i], "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* a drop now and then is no more */
        peer_server_stats(givers[0].server, &stats);
    }
    order = "0";
    take(&t); /* there is room again */
    ck_whole(&t);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    strbuf_fini(&t.got);
    teardown();
}
END_TEST

RUN_TESTS("image/peers", a_blob_comes_from_a_cell_that_has_it,
          one_that_lies_is_found_out_and_another_one_is_asked,
          where_one_goes_away_the_next_one_goes_on, where_one_becomes_slow_the_next_one_goes_on,
          what_does_not_come_from_who_was_asked_is_dropped_and_another_one_goes_on,
          a_blob_is_followed_while_another_cell_fetches_it,
          where_that_comes_to_nothing_another_one_goes_on,
          who_is_followed_to_wrong_bytes_is_not_blamed_and_not_followed_again,
          who_comes_a_moment_late_asks_again,
          ones_own_blob_is_used_first_and_dropped_when_it_is_wrong,
          what_is_here_is_used_only_with_leave, no_cell_is_asked_without_leave,
          without_anybody_who_has_it_it_fails_at_once, a_token_that_has_expired_is_asked_for_again,
          what_is_given_keeps_to_the_bandwidth, the_bandwidth_is_that_of_all_together,
          who_finds_no_room_is_told_so_and_turns_to_another, strangers_get_nothing_but_a_status,
          who_says_nothing_or_reads_nothing_is_let_go)
