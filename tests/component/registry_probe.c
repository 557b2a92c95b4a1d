/* registry_probe - drives common/registry from a shell.
 *
 *   registry_probe [-c NAME KEY VALUE]... [-a LIST] [-u USER PASSWORD] [-t MS] lookup REF
 *   registry_probe ... blob REF DIGEST SIZE > file
 *   registry_probe ... pull REF [THREADS]      fetches all layers, keeps nothing
 *
 * -c is one key of the configuration's [registry NAME], -a its key "registries"; -t stops downloads
 * after so long. `lookup` prints the image, one "key value" a line. On failure the last line of
 * stderr is "error CODE: text" and the exit status is 1. */
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/registry/registry.h"

#define READ_SIZE (256 * 1024)

struct probe {
    struct registry_config *config;
    struct registry_credentials credentials;
    struct reference ref;
    struct registry_image *image;
    struct error err;
    size_t next; /* layer to fetch */
    pthread_mutex_t lock;
};

static volatile bool stop;

static void on_alarm(int signal) {
    stop = true;
}

static void stop_after(unsigned ms) {
    struct itimerval when = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &when, NULL);
}

static int fail(const struct error *err) {
    fprintf(stderr, "error %s: %s\n", strerrorname_np(-err->code), err->msg);
    return 1;
}

static void on_done(struct registry_image *image, const struct error *err, void *arg) {
    struct probe *p = arg;
    p->image = image;
    if (err)
        p->err = *err;
}

static int lookup(struct probe *p) {
    struct event_base *loop = event_base_new();
    struct http_client *http = NULL;
    int r = http_client_new(&http, loop, &p->err);
    if (r == 0)
        r = registry_lookup(http, p->config, &p->ref, &p->credentials, on_done, p, NULL, &p->err);
    while (r == 0 && !p->image && !p->err.code)
        event_base_loop(loop, EVLOOP_ONCE);
    http_client_free(http);
    event_base_free(loop);
    return p->image ? 0 : p->err.code;
}

static void print_list(const char *name, char *const *list) {
    for (; *list; list++)
        printf("%s %s\n", name, *list);
}

static void print_image(const struct registry_image *image) {
    char name[600];
    reference_format(&image->ref, name, sizeof name);
    printf("image %s\n", name);
    for (size_t i = 0; i < image->layer_count; i++)
        printf("layer %s %s %llu %s\n", image->layers[i].digest, image->layers[i].diff_id,
               (unsigned long long)image->layers[i].size, image->layers[i].media_type);
    print_list("entrypoint", image->entrypoint);
    print_list("cmd", image->cmd);
    print_list("env", image->env);
    printf("user %s\nworkdir %s\nstop_signal %s\n", image->user ? image->user : "-",
           image->workdir ? image->workdir : "-", image->stop_signal ? image->stop_signal : "-");
    for (size_t i = 0; i < image->port_count; i++)
        printf("port %u/%s\n", image->ports[i].number, image->ports[i].udp ? "udp" : "tcp");
}

static int fetch(struct probe *p, const char *digest, uint64_t size, int fd, struct error *err) {
    struct registry_blob *b = NULL;
    _cleanup_(freep) char *buf = malloc(READ_SIZE);
    ssize_t n =
        registry_blob_open(p->config, &p->ref, &p->credentials, digest, size, 0, &stop, &b, err);
    if (n < 0)
        return (int)n;
    while ((n = registry_blob_read(b, buf, READ_SIZE, err)) > 0)
        if (fd >= 0 && fs_write_all(fd, buf, (size_t)n) < 0)
            break;
    registry_blob_close(b);
    return (int)n;
}

static void *fetch_layers(void *arg) {
    struct probe *p = arg;
    struct error err = {0};
    while (true) {
        pthread_mutex_lock(&p->lock);
        size_t i = p->next++;
        pthread_mutex_unlock(&p->lock);
        if (i >= p->image->layer_count || p->err.code)
            return NULL;
        if (fetch(p, p->image->layers[i].digest, p->image->layers[i].size, -1, &err) < 0)
            p->err = err;
    }
}

static int pull(struct probe *p, unsigned threads) {
    pthread_t ids[64];
    int r = lookup(p);
    if (r < 0)
        return r;
    threads = MIN(MAX(threads, 1u), 64u);
    for (unsigned i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, fetch_layers, p);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return p->err.code;
}

static int run(struct probe *p, int argc, char **argv) {
    if (argc < 2)
        return error_set(&p->err, -EINVAL, "usage: see the source");
    if (reference_parse(argv[1], &p->ref, &p->err) < 0)
        return p->err.code;
    if (str_eq(argv[0], "lookup") && lookup(p) == 0)
        print_image(p->image);
    else if (str_eq(argv[0], "blob") && argc == 4)
        fetch(p, argv[2], strtoull(argv[3], NULL, 10), STDOUT_FILENO, &p->err);
    else if (str_eq(argv[0], "pull"))
        pull(p, argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1);
    return p->err.code;
}

int main(int argc, char **argv) {
    struct probe p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int at = 1, r = 0;
    for (; r == 0 && at < argc && argv[at][0] == '-';) {
        if (str_eq(argv[at], "-c") && at + 3 < argc) {
            r = registry_config_key(&p.config, argv[at + 1], argv[at + 2], argv[at + 3], &p.err);
            at += 4;
        } else if (str_eq(argv[at], "-a") && at + 1 < argc) {
            r = registry_config_allow(&p.config, argv[at + 1], &p.err);
            at += 2;
        } else if (str_eq(argv[at], "-u") && at + 2 < argc) {
            p.credentials = (struct registry_credentials){argv[at + 1], argv[at + 2]};
            at += 3;
        } else if (str_eq(argv[at], "-t") && at + 1 < argc) {
            stop_after((unsigned)strtoul(argv[at + 1], NULL, 10));
            at += 2;
        } else {
            r = error_set(&p.err, -EINVAL, "unknown option %s", argv[at]);
        }
    }
    if (r == 0)
        r = registry_config_check(p.config, &p.err);
    if (r == 0)
        r = run(&p, argc - at, argv + at);
    registry_image_free(p.image);
    registry_config_free(p.config);
    return r < 0 ? fail(&p.err) : 0;
}
