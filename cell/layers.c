/* layers.c - layers from other cells, and for them: the store's questions go to the controller and
 * its answers back; what is here is told; what must be here is fetched. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "cell/agent_parts.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/str.h"

#define SHA256 "sha256:"

/* --- where is it? --- */

static void on_ask(void *data, const uint8_t id[LAYER_ID_SIZE]) {
    struct agent *a = data;
    if (a->sync && sync_is_up(a->sync))
        sync_locate(a->sync, id);
    else
        peers_located(a->peers, id, NULL); /* nobody to ask */
}

static void on_doubt(void *data, const uint8_t blob[TOKEN_BLOB_SIZE]) {
    struct agent *a = data;
    char hex[2 * TOKEN_BLOB_SIZE + 1];
    hex_encode(blob, TOKEN_BLOB_SIZE, hex);
    log_warn("another cell got something else than a layer; it is verified", "layer=%s", hex);
    image_store_doubt(a->store, hex);
}

static enum peer_leave leave_of(Berth__Leave leave) {
    switch (leave) {
    case BERTH__LEAVE__LEAVE_REPOSITORY:
        return LEAVE_REPOSITORY;
    case BERTH__LEAVE__LEAVE_ALL:
        return LEAVE_ALL;
    default:
        return LEAVE_NONE;
    }
}

void agent_on_places(void *data, const uint8_t id[LAYER_ID_SIZE], const Berth__Places *places) {
    struct agent *a = data;
    struct peers_found found = {.leave = places ? leave_of(places->leave) : LEAVE_NONE};
    for (size_t i = 0; places && i < places->n_places && found.n < PEERS_PLACES; i++) {
        const Berth__Place *from = places->places[i];
        struct peer_place *to = &found.places[found.n];
        if (strlen(from->address) >= sizeof to->address || from->port < 1 ||
            from->port > UINT16_MAX || strlen(from->token) != sizeof to->token - 1 ||
            from->secret.len != sizeof to->secret)
            continue;
        snprintf(to->address, sizeof to->address, "%s", from->address);
        snprintf(to->token, sizeof to->token, "%s", from->token);
        memcpy(to->secret, from->secret.data, sizeof to->secret);
        to->port = (uint16_t)from->port;
        to->coming = from->coming;
        found.n++;
    }
    if (a->peers)
        peers_located(a->peers, id, &found);
    mem_wipe(&found, sizeof found);
}

int agent_open_peers(struct agent *a, struct error *err) {
    const struct peers_ops ops = {on_ask, on_doubt, a};
    const struct settings *s = a->settings;
    const struct peers_config config = {.registries = s->registries};
    a->giver.address = str_empty(s->peer_address) ? s->address : s->peer_address;
    a->giver.port = (uint16_t)s->peer_port;
    random_bytes(a->giver.nonce, sizeof a->giver.nonce);
    return s->peer_port ? peers_new(&a->peers, a->loop, &config, &ops, err) : 0;
}

/* --- what is here --- */

static void on_change(void *data, enum image_kind kind, const uint8_t id[LAYER_ID_SIZE],
                      bool there) {
    struct agent *a = data;
    if (a->sync)
        sync_hold(a->sync, kind == IMAGE_BLOB, id, there);
}

/* An app that is to run here showed that it may have its image: its credentials may be used, for
 * the layers of that image. */
static const Berth__Image *image_with(void *data, const char *digest,
                                      const struct repository_id *of) {
    struct agent *a = data;
    struct tracked *t;
    DL_FOREACH (a->instances, t) {
        const Berth__Image *image = instance_assignment(t->in)->lrp->image;
        struct repository_id its = repository_id_of(image->registry, image->repository);
        if (instance_state(t->in) == INSTANCE_DONE || !repository_id_equal(&its, of))
            continue;
        for (size_t i = 0; i < image->n_layers; i++)
            if (str_eq(image->layers[i]->digest, digest))
                return image;
    }
    return NULL;
}

int agent_on_keep(void *data, const struct holdings_kept *list, size_t n) {
    struct agent *a = data;
    _cleanup_(freep) struct image_keep *keep = mem_calloc(n + 1, sizeof *keep);
    if (!keep)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        snprintf(keep[i].digest, sizeof keep[i].digest, SHA256);
        hex_encode(list[i].digest, sizeof list[i].digest, keep[i].digest + strlen(SHA256));
        keep[i].of = list[i].of;
        keep[i].size = list[i].size;
    }
    return image_store_keep(a->store, keep, n);
}

void agent_peer_stats(const struct agent *a, struct peers_counters *got,
                      struct peer_server_stats *given) {
    *got = (struct peers_counters){0};
    *given = (struct peer_server_stats){0};
    if (a->peers)
        peers_counters(a->peers, got);
    if (a->peer_server)
        peer_server_stats(a->peer_server, given);
}

static int open_server(struct agent *a, struct error *err) {
    struct peer_server_config config = {
        .address = a->giver.address,
        .port = a->giver.port,
        .rate = a->settings->peer_rate,
        .blobs_fd = image_store_blobs_fd(a->store),
        .coming_fd = image_store_coming_fd(a->store),
        .peers = a->peers,
    };
    memcpy(config.nonce, a->giver.nonce, sizeof config.nonce);
    int r = token_key(a->identity.key, config.key);
    r = r < 0 ? error_set(err, r, "cannot derive a key")
              : peer_server_new(&a->peer_server, &config, err);
    mem_wipe(config.key, sizeof config.key);
    if (r == 0)
        log_info("giving layers to other cells", "address=%s port=%u", a->giver.address,
                 a->giver.port);
    return r < 0 ? error_wrap(err, "peer_port") : 0;
}

int agent_start_giving(struct agent *a, struct error *err) {
    const struct image_store_ops ops = {on_change, image_with, a};
    int r = a->peers ? open_server(a, err) : 0;
    if (r == 0)
        image_store_set_ops(a->store, &ops);
    return r;
}
