/* image_puller - drives cell/image from a shell: looks images up and pulls them as a cell would.
 *
 *   image_puller [-c NAME KEY VALUE]... [-u USER PASSWORD] [-t LAYERS_AT_A_TIME] [-r]
 *                [-l MAX_LAYER_BYTES] [-n MAX_ENTRIES] [-p PORT] [-g PORT] DIR REF...
 *
 * -c is one key of the configuration's [registry NAME]; -r repeats all pulls, which then need no
 * registry. -p keeps the blobs, and fetches them from another one that gives them on 127.0.0.1:PORT
 * (0: there is none); -g keeps them and gives them on PORT, when all is pulled, until the end of
 * standard input. All REFs are pulled side by side. Prints "image REF", then a line "layer PATH"
 * for each layer, lowest first; on failure "error CODE: text" to stderr, and the exit status is 1.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cell/image/image.h"
#include "cell/image/peer_server.h"
#include "cell/image/peers.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/registry/registry.h"

#define MAX_REFS 32

struct one {
    struct puller *puller;
    const char *text;
    struct reference ref;
    struct registry_image *image;
    struct image_pull *pull;
    struct image_lease *lease;
    struct error err;
    bool done;
};

struct puller {
    struct event_base *loop;
    struct http_client *http;
    struct registry_config *config;
    struct registry_credentials credentials;
    struct image_limits limits;
    struct image_store *store;
    struct one refs[MAX_REFS];
    size_t count;
    bool repeat;
    bool has_peers;
    uint16_t from_port, give_port;
    struct peers *peers;
};

/* Givers and takers of this program are of one cluster. */
static const uint8_t token_key_of_all[BUS_KEY_SIZE] = "image_puller",
                     token_nonce[TOKEN_NONCE_SIZE] = "image_puller";

static void on_progress(void *data, uint64_t done_bytes, uint64_t total_bytes) {
    (void)data, (void)done_bytes, (void)total_bytes;
}

static void on_pulled(void *data, struct image_lease *lease, const struct error *err) {
    struct one *o = data;
    o->lease = lease;
    o->done = true;
    if (!lease)
        o->err = *err;
}

static int start_pull(struct one *o) {
    const struct registry_image *from = o->image;
    struct puller *p = o->puller;
    struct image_pull_ops ops = {on_progress, on_pulled, o};
    Berth__Image image = BERTH__IMAGE__INIT;
    _cleanup_(freep) Berth__Layer *layers = mem_calloc(from->layer_count + 1, sizeof *layers);
    _cleanup_(freep) Berth__Layer **list = mem_calloc(from->layer_count + 1, sizeof *list);
    if (!layers || !list)
        return error_set(&o->err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < from->layer_count; i++) {
        berth__layer__init(&layers[i]);
        layers[i].digest = from->layers[i].digest;
        layers[i].diff_id = from->layers[i].diff_id;
        layers[i].size = from->layers[i].size;
        list[i] = &layers[i];
    }
    image.registry = (char *)from->ref.registry;
    image.repository = (char *)from->ref.repository;
    image.digest = (char *)from->ref.digest;
    if (p->credentials.username) {
        image.username = (char *)p->credentials.username;
        image.password = (char *)p->credentials.password;
    }
    image.layers = list;
    image.n_layers = from->layer_count;
    return image_pull_start(p->store, &image, &ops, &o->pull, &o->err);
}

static void on_found(struct registry_image *image, const struct error *err, void *arg) {
    struct one *o = arg;
    o->image = image;
    if (err)
        o->err = *err;
    o->done = !image || start_pull(o) < 0;
}

static void wait_for_all(struct puller *p) {
    for (size_t i = 0; i < p->count; i++)
        while (!p->refs[i].done)
            event_base_loop(p->loop, EVLOOP_ONCE);
}

static void pull_all(struct puller *p) {
    for (size_t i = 0; i < p->count; i++) {
        struct one *o = &p->refs[i];
        o->puller = p;
        if (reference_parse(o->text, &o->ref, &o->err) < 0 ||
            registry_lookup(p->http, p->config, &o->ref, &p->credentials, on_found, o, NULL,
                            &o->err) < 0)
            o->done = true;
    }
    wait_for_all(p);
}

static void pull_all_again(struct puller *p) {
    for (size_t i = 0; i < p->count; i++) {
        struct one *o = &p->refs[i];
        if (!o->lease)
            continue;
        image_lease_free(TAKE_PTR(o->lease));
        o->done = start_pull(o) < 0;
    }
    wait_for_all(p);
}

static int report(struct puller *p) {
    int status = 0;
    for (size_t i = 0; i < p->count; i++) {
        struct one *o = &p->refs[i];
        if (!o->lease) {
            fprintf(stderr, "error %s: %s\n", strerrorname_np(-o->err.code), o->err.msg);
            status = 1;
            continue;
        }
        printf("image %s\n", o->text);
        for (size_t k = 0; k < o->lease->layer_count; k++)
            printf("layer %s\n", o->lease->layers[k]);
    }
    return status;
}

/* The digest of which `id` is one of the images' layers. */
static bool find_digest(const struct puller *p, const uint8_t id[LAYER_ID_SIZE],
                        uint8_t ret[LAYER_ID_SIZE]) {
    for (size_t i = 0; i < p->count; i++) {
        const struct registry_image *image = p->refs[i].image;
        for (size_t k = 0; image && k < image->layer_count; k++) {
            struct repository_id of = repository_id_of(image->ref.registry, image->ref.repository);
            uint8_t its[LAYER_ID_SIZE];
            if (hex_decode(image->layers[k].digest + strlen("sha256:"), ret, LAYER_ID_SIZE) < 0)
                continue;
            layer_id(ret, &of, its);
            if (memcmp(its, id, sizeof its) == 0)
                return true;
        }
    }
    return false;
}

static void on_ask(void *data, const uint8_t id[LAYER_ID_SIZE]) {
    struct puller *p = data;
    struct peers_found found = {.leave = LEAVE_ALL};
    struct peer_place *at = found.places;
    struct token token = {.expires_ms = clock_mono_ms() + TOKEN_TTL_MS};
    strcpy(at->address, "127.0.0.1");
    at->port = p->from_port;
    found.n = p->from_port && find_digest(p, id, token.blob) &&
              token_make(token_key_of_all, token_nonce, &token, at->token) == 0 &&
              token_secret(token_key_of_all, at->token, at->secret) == 0;
    if (found.n == 0)
        found.leave = LEAVE_NONE;
    peers_located(p->peers, id, &found);
}

static int give(struct puller *p, struct error *err) {
    struct peer_server_config config = {.address = "127.0.0.1",
                                        .port = p->give_port,
                                        .rate = 1ull << 40,
                                        .blobs_fd = image_store_blobs_fd(p->store),
                                        .coming_fd = -1};
    _cleanup_(peer_server_freep) struct peer_server *server = NULL;
    char end;
    memcpy(config.key, token_key_of_all, sizeof config.key);
    memcpy(config.nonce, token_nonce, sizeof config.nonce);
    int r = peer_server_new(&server, &config, err);
    if (r < 0)
        return r;
    puts("giving");
    fflush(stdout);
    while (read(STDIN_FILENO, &end, 1) > 0)
        ;
    return 0;
}

static int run(struct puller *p, const char *dir) {
    const struct peers_config peers_config = {.registries = p->config};
    const struct peers_ops peers_ops = {.ask = on_ask, .data = p};
    struct error err = {0};
    p->loop = event_base_new();
    int r = http_client_new(&p->http, p->loop, &err);
    if (r == 0 && p->has_peers)
        r = peers_new(&p->peers, p->loop, &peers_config, &peers_ops, &err);
    if (r == 0)
        r = image_store_new(&p->store, p->loop, dir, p->config, p->peers, &p->limits, &err);
    if (r < 0) {
        fprintf(stderr, "error %s: %s\n", strerrorname_np(-r), err.msg);
        return 1;
    }
    pull_all(p);
    if (p->repeat)
        pull_all_again(p);
    int status = report(p);
    if (status == 0 && p->give_port && give(p, &err) < 0) {
        fprintf(stderr, "error %s: %s\n", strerrorname_np(-err.code), err.msg);
        return 1;
    }
    return status;
}

static void fini(struct puller *p) {
    for (size_t i = 0; i < p->count; i++) {
        image_lease_free(p->refs[i].lease);
        registry_image_free(p->refs[i].image);
    }
    image_store_free(p->store);
    peers_free(p->peers);
    http_client_free(p->http);
    if (p->loop)
        event_base_free(p->loop);
    registry_config_free(p->config);
}

static int usage(void) {
    fputs("usage: image_puller [-c NAME KEY VALUE]... [-u USER PASSWORD] [-t N] [-r] [-l BYTES] "
          "[-n ENTRIES] [-p PORT] [-g PORT] DIR REF...\n",
          stderr);
    return 2;
}

int main(int argc, char **argv) {
    struct puller p = {.limits = {
                           .max_layer_bytes = 10ull << 30,
                           .max_image_bytes = 20ull << 30,
                           .max_entries = 2000000,
                           .max_ratio = 200,
                           .threads = 3,
                       }};
    struct error err = {0};
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        const char *option = argv[at];
        int left = argc - at - 1;
        if (str_eq(option, "-c") && left >= 3) {
            if (registry_config_key(&p.config, argv[at + 1], argv[at + 2], argv[at + 3], &err) < 0)
                return usage();
            at += 3;
        } else if (str_eq(option, "-u") && left >= 2) {
            p.credentials = (struct registry_credentials){argv[at + 1], argv[at + 2]};
            at += 2;
        } else if (str_eq(option, "-r")) {
            p.repeat = true;
        } else if (str_eq(option, "-t") && left >= 1) {
            p.limits.threads = (unsigned)strtoul(argv[++at], NULL, 10);
        } else if (str_eq(option, "-l") && left >= 1) {
            p.limits.max_layer_bytes = strtoull(argv[++at], NULL, 10);
        } else if ((str_eq(option, "-p") || str_eq(option, "-g")) && left >= 1) {
            uint16_t port = (uint16_t)strtoul(argv[++at], NULL, 10);
            *(option[1] == 'p' ? &p.from_port : &p.give_port) = port;
            p.has_peers = true;
        } else if (str_eq(option, "-n") && left >= 1) {
            p.limits.max_entries = strtoull(argv[++at], NULL, 10);
        } else {
            return usage();
        }
    }
    if (argc - at < 2 || argc - at - 1 > MAX_REFS)
        return usage();
    const char *dir = argv[at++];
    for (; at < argc; at++)
        p.refs[p.count++].text = argv[at];
    int status = run(&p, dir);
    fini(&p);
    return status;
}
