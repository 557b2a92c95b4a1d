/* layers.c - what cells hold of images, where they find it, and what they must keep. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/registry/layer_id.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/internal.h"

#define DIGEST_SIZE   32   /* sha256 */
#define LOCATE_MAX    64   /* of a report: bus.proto */
#define KEEP_PAGE_MAX 2000 /* some 116 kB */
#define KEEP_ID_SIZE  sizeof(struct repository_id)

/* --- what a cell says --- */

static struct lrp_digests digests(ProtobufCBinaryData from) {
    return (struct lrp_digests){from.data, from.len / DIGEST_SIZE};
}

static bool is_address(const char *s) {
    struct in6_addr any;
    return inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1;
}

/* Where it gives blobs, if it does. */
static void note_giver(struct node *node, const Berth__Holdings *h, uint64_t now_ms) {
    struct giver *g = &node->giver;
    g->port = 0;
    if (h->port == 0 || h->port > UINT16_MAX || h->nonce.len != sizeof g->nonce ||
        !is_address(h->address) || hub_token_key(node->nodes->hub, node->peer, g->key) < 0)
        return;
    g->port = (uint16_t)h->port;
    snprintf(g->address, sizeof g->address, "%s", h->address);
    memcpy(g->nonce, h->nonce.data, sizeof g->nonce);
    g->ahead_ms = h->clock_ms - now_ms;
}

int layers_heard(struct node *node, const Berth__Holdings *h) {
    if (!h->by_id)
        return 0;
    note_giver(node, h, clock_mono_ms());
    node->in_holdings |= h->full;
    bool ends = node->in_holdings && !h->more;
    const struct lrp_holdings told = {
        .full_begin = h->full,
        .full_end = ends,
        .gives = node->giver.port != 0,
        .blobs = digests(h->blobs),
        .trees = digests(h->trees),
        .gone_blobs = digests(h->gone_blobs),
        .gone_trees = digests(h->gone_trees),
    };
    if (ends)
        node->in_holdings = false;
    return lrp_cell_holds(node->nodes->deps.lrp, node->peer->id_text, &told);
}

/* --- what it asks --- */

static struct node *node_of(const struct nodes *n, const char *id_text) {
    uint8_t id[BUS_ID_SIZE];
    struct hub_peer *peer = hex_decode(id_text, id, sizeof id) == 0 ? hub_find(n->hub, id) : NULL;
    return peer ? peer->owner : NULL;
}

struct told_place {
    Berth__Place msg;
    char token[TOKEN_TEXT_SIZE];
    uint8_t secret[TOKEN_SECRET_SIZE];
};

struct told_places { /* of one blob */
    Berth__Places msg;
    Berth__Place *list[LRP_GIVERS];
    struct told_place places[LRP_GIVERS];
};

static void find(struct node *asker, ProtobufCBinaryData blob, uint64_t now_ms,
                 struct told_places *ret) {
    static const Berth__Leave leaves[] = {
        [LRP_LEAVE_NONE] = BERTH__LEAVE__LEAVE_NONE,
        [LRP_LEAVE_REPOSITORY] = BERTH__LEAVE__LEAVE_REPOSITORY,
        [LRP_LEAVE_ALL] = BERTH__LEAVE__LEAVE_ALL,
    };
    struct lrp_located found;
    berth__places__init(&ret->msg);
    ret->msg.blob = blob;
    ret->msg.places = ret->list;
    if (blob.len != DIGEST_SIZE)
        return;
    lrp_locate(asker->nodes->deps.lrp, asker->peer->id_text, blob.data, &found);
    ret->msg.leave = leaves[found.leave];
    for (size_t i = 0; i < found.n; i++) {
        const struct node *at = node_of(asker->nodes, found.ids[i]);
        struct told_place *to = &ret->places[ret->msg.n_places];
        if (!at || at->giver.port == 0)
            continue;
        struct token token = {.expires_ms = now_ms + at->giver.ahead_ms + TOKEN_TTL_MS};
        memcpy(token.blob, found.coming ? blob.data : found.digest, sizeof token.blob);
        memcpy(token.asker, asker->peer->id, sizeof token.asker);
        if (token_make(at->giver.key, at->giver.nonce, &token, to->token) < 0 ||
            token_secret(at->giver.key, to->token, to->secret) < 0)
            continue;
        berth__place__init(&to->msg);
        to->msg.address = (char *)at->giver.address;
        to->msg.port = at->giver.port;
        to->msg.token = to->token;
        to->msg.coming = found.coming;
        to->msg.secret = (ProtobufCBinaryData){sizeof to->secret, to->secret};
        ret->list[ret->msg.n_places++] = &to->msg;
        asker->nodes->places_told++;
    }
}

static bool on_keep(void *arg, const struct lrp_kept *kept) {
    struct layers_answer *a = arg;
    size_t n = a->keep.n_sizes;
    if (n == KEEP_PAGE_MAX)
        return false;
    memcpy(a->keep_blobs + n * DIGEST_SIZE, kept->digest, DIGEST_SIZE);
    memcpy(a->keep_repositories + n * KEEP_ID_SIZE, kept->repository, KEEP_ID_SIZE);
    a->keep_sizes[n] = kept->size;
    a->keep.n_sizes++;
    return true;
}

static int list_kept(struct node *node, const Berth__Keep *question, struct layers_answer *a) {
    struct lrp *lrp = node->nodes->deps.lrp;
    a->keep_blobs = mem_calloc(KEEP_PAGE_MAX, DIGEST_SIZE);
    a->keep_repositories = mem_calloc(KEEP_PAGE_MAX, KEEP_ID_SIZE);
    a->keep_sizes = mem_calloc(KEEP_PAGE_MAX, sizeof *a->keep_sizes);
    if (!a->keep_blobs || !a->keep_repositories || !a->keep_sizes)
        return -ENOMEM;
    berth__keep__init(&a->keep);
    a->keep.version = lrp_keep_version(lrp, node->peer->id_text);
    a->keep.from = question->version == a->keep.version ? question->from : 0;
    a->keep.sizes = a->keep_sizes;
    a->keep.more = lrp_keep_list(lrp, node->peer->id_text, a->keep.from, on_keep, a);
    a->keep.blobs = (ProtobufCBinaryData){a->keep.n_sizes * DIGEST_SIZE, a->keep_blobs};
    a->keep.repositories =
        (ProtobufCBinaryData){a->keep.n_sizes * KEEP_ID_SIZE, a->keep_repositories};
    return 0;
}

/* What cannot be answered for want of memory is asked again. */
void layers_answer(struct node *node, const Berth__Report *msg, Berth__ReportAck *ack,
                   struct layers_answer *a) {
    size_t n = MIN(msg->n_locate, (size_t)LOCATE_MAX);
    uint64_t now_ms = clock_mono_ms();
    if (n > 0) {
        a->places = mem_calloc(n, sizeof *a->places);
        a->list = mem_calloc(n, sizeof(Berth__Places *));
    }
    for (size_t i = 0; a->places && a->list && i < n; i++) {
        find(node, msg->locate[i], now_ms, &a->places[i]);
        a->list[ack->n_places++] = &a->places[i].msg;
    }
    ack->places = a->list;
    if (msg->keep && list_kept(node, msg->keep, a) == 0)
        ack->keep = &a->keep;
}

void layers_answer_fini(struct layers_answer *a) {
    free(a->places);
    free(a->list);
    free(a->keep_blobs);
    free(a->keep_repositories);
    free(a->keep_sizes);
}
