#include "cell/holdings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION     HASH_FNV
#include <uthash.h>

#include "common/base/str.h"

struct held {
    uint8_t key[1 + LAYER_ID_SIZE]; /* 1 for a blob, 0 for a tree; the id */
    bool there, told;               /* not alike: to be told */
    UT_hash_handle hh;
};

struct asked {
    uint8_t id[LAYER_ID_SIZE];
    bool in_flight;
};

struct holdings {
    struct holdings_giver giver;
    char *address; /* owned */
    struct holdings_ops ops;
    struct held *held;
    size_t untold;
    bool full;  /* a full list is being told */
    bool first; /* its first page is still to come */

    struct asked asks[HOLDINGS_ASKS_MAX];
    size_t ask_count;

    uint64_t keep_told, keep_version; /* what the controller spoke of; what is known here */
    uint64_t keep_coming;             /* of what is collected */
    struct holdings_kept *kept;       /* owned */
    size_t keep_count, keep_cap;

    /* the message */
    Berth__Holdings said;
    Berth__Keep keep;
    uint8_t lists[2][2][HOLDINGS_PAGE * LAYER_ID_SIZE]; /* of trees, blobs: gone, there */
    ProtobufCBinaryData locate[HOLDINGS_ASKS_PAGE];
};

int holdings_new(struct holdings **ret, const struct holdings_giver *giver,
                 const struct holdings_ops *ops, struct error *err) {
    struct holdings *h = mem_zalloc(sizeof *h);
    if (!h || !(h->address = str_dup(giver->address))) {
        free(h);
        return error_set(err, -ENOMEM, "out of memory");
    }
    h->giver = *giver;
    h->giver.address = h->address;
    h->ops = *ops;
    h->full = h->first = true;
    *ret = h;
    return 0;
}

static void forget(struct holdings *h, struct held *it) {
    h->untold -= it->there != it->told;
    HASH_DEL(h->held, it);
    free(it);
}

void holdings_free(struct holdings *h) {
    if (!h)
        return;
    while (h->held)
        forget(h, h->held);
    free(h->kept);
    free(h->address);
    free(h);
}

/* --- what is here --- */

void holdings_put(struct holdings *h, bool blob, const uint8_t id[LAYER_ID_SIZE], bool there) {
    uint8_t key[1 + LAYER_ID_SIZE] = {blob};
    struct held *it;
    memcpy(key + 1, id, LAYER_ID_SIZE);
    HASH_FIND(hh, h->held, key, sizeof key, it);
    if (!it && there && (it = mem_zalloc(sizeof *it))) {
        memcpy(it->key, key, sizeof key);
        HASH_ADD(hh, h->held, key, sizeof it->key, it);
        if (!it->hh.tbl) {
            free(it);
            it = NULL;
        }
    }
    if (!it)
        return; /* without memory: nobody will ask for it here */
    h->untold -= it->there != it->told;
    it->there = there;
    h->untold += it->there != it->told;
    if (!it->there && !it->told)
        forget(h, it);
}

void holdings_restart(struct holdings *h) {
    struct held *it, *tmp;
    h->untold = 0;
    HASH_ITER (hh, h->held, it, tmp) {
        it->told = false;
        h->untold += it->there;
        if (!it->there)
            forget(h, it);
    }
    h->full = h->first = true;
    for (size_t i = 0; i < h->ask_count; i++)
        h->asks[i].in_flight = false;
    h->keep_count = 0;
    h->keep_coming = 0;
}

static void fill_held(struct holdings *h, uint64_t now_ms) {
    struct held *it, *tmp;
    size_t n[2][2] = {{0}}, all = 0;
    HASH_ITER (hh, h->held, it, tmp) {
        if (all == HOLDINGS_PAGE || h->untold == 0)
            break;
        if (it->there == it->told)
            continue;
        memcpy(h->lists[it->key[0]][it->there] + LAYER_ID_SIZE * n[it->key[0]][it->there]++,
               it->key + 1, LAYER_ID_SIZE);
        all++;
        it->told = it->there;
        h->untold--;
        if (!it->there)
            forget(h, it);
    }
#define LIST(blob, there)                                                                          \
    ((ProtobufCBinaryData){n[blob][there] * LAYER_ID_SIZE, h->lists[blob][there]})
    berth__holdings__init(&h->said);
    h->said.full = h->full && h->first;
    h->said.more = h->full && h->untold > 0;
    h->said.blobs = LIST(1, 1);
    h->said.trees = LIST(0, 1);
    h->said.gone_blobs = LIST(1, 0);
    h->said.gone_trees = LIST(0, 0);
#undef LIST
    h->said.address = h->address;
    h->said.port = h->giver.port;
    h->said.nonce = (ProtobufCBinaryData){sizeof h->giver.nonce, h->giver.nonce};
    h->said.clock_ms = now_ms;
    h->said.by_id = true;
    h->first = false;
    h->full = h->said.more;
}

/* --- what is elsewhere --- */

void holdings_ask(struct holdings *h, const uint8_t id[LAYER_ID_SIZE]) {
    for (size_t i = 0; i < h->ask_count; i++)
        if (memcmp(h->asks[i].id, id, LAYER_ID_SIZE) == 0)
            return; /* the answer is for all */
    if (h->ask_count == HOLDINGS_ASKS_MAX) {
        h->ops.on_places(h->ops.data, id, NULL);
        return;
    }
    struct asked *a = &h->asks[h->ask_count++];
    memcpy(a->id, id, sizeof a->id);
    a->in_flight = false;
}

static void fill_asks(struct holdings *h, Berth__Report *report) {
    report->locate = h->locate;
    for (size_t i = 0; i < h->ask_count && report->n_locate < HOLDINGS_ASKS_PAGE; i++) {
        h->asks[i].in_flight = true;
        h->locate[report->n_locate++] = (ProtobufCBinaryData){sizeof h->asks[i].id, h->asks[i].id};
    }
}

static void answer(struct holdings *h, const uint8_t *id, const Berth__ReportAck *ack) {
    const Berth__Places *found = NULL;
    for (size_t i = 0; i < ack->n_places; i++)
        if (ack->places[i]->blob.len == LAYER_ID_SIZE &&
            memcmp(ack->places[i]->blob.data, id, LAYER_ID_SIZE) == 0)
            found = ack->places[i];
    h->ops.on_places(h->ops.data, id, found);
}

static void take_answers(struct holdings *h, const Berth__ReportAck *ack) {
    struct asked answered[HOLDINGS_ASKS_PAGE];
    size_t n = 0, left = 0;
    for (size_t i = 0; i < h->ask_count; i++)
        if (h->asks[i].in_flight && n < HOLDINGS_ASKS_PAGE)
            answered[n++] = h->asks[i];
        else
            h->asks[left++] = h->asks[i];
    h->ask_count = left;
    for (size_t i = 0; i < n; i++)
        answer(h, answered[i].id, ack); /* may ask again */
}

/* --- what must be here --- */

void holdings_keep_version(struct holdings *h, uint64_t version) {
    if (version)
        h->keep_told = version;
}

static int collect(struct holdings *h, const Berth__Keep *page) {
    const size_t of_size = sizeof h->kept->of.v;
    size_t n = MIN(page->blobs.len / LAYER_ID_SIZE, page->n_sizes);
    n = MIN(n, page->repositories.len / of_size);
    n = MIN(n, HOLDINGS_KEEP_MAX - h->keep_count);
    if (h->keep_count + n > h->keep_cap) {
        struct holdings_kept *grown = mem_resize(h->kept, h->keep_count + n, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        h->kept = grown;
        h->keep_cap = h->keep_count + n;
    }
    for (size_t i = 0; i < n; i++) {
        struct holdings_kept *to = &h->kept[h->keep_count++];
        memcpy(to->digest, page->blobs.data + i * LAYER_ID_SIZE, LAYER_ID_SIZE);
        memcpy(to->of.v, page->repositories.data + i * of_size, of_size);
        to->size = page->sizes[i];
    }
    return 0;
}

/* What does not go on from what is here begins anew with the next word of the controller's. */
static void take_keep(struct holdings *h, const Berth__Keep *page) {
    if (page && page->from == 0) {
        h->keep_coming = page->version;
        h->keep_count = 0;
    }
    bool fits = page && page->version == h->keep_coming && page->from == h->keep_count &&
                (!page->more || page->n_sizes > 0) && collect(h, page) == 0;
    if (fits && page->more && h->keep_count < HOLDINGS_KEEP_MAX)
        return;
    if (fits && h->ops.on_keep(h->ops.data, h->kept, h->keep_count) == 0)
        h->keep_version = page->version;
    h->keep_told = h->keep_version;
    h->keep_coming = 0;
    h->keep_count = 0;
}

/* --- the message --- */

bool holdings_are_due(const struct holdings *h) {
    return h->full || h->untold > 0 || h->ask_count > 0 || h->keep_told != h->keep_version;
}

void holdings_fill(struct holdings *h, Berth__Report *report, uint64_t now_ms) {
    if (h->full || h->untold > 0) {
        fill_held(h, now_ms);
        report->holdings = &h->said;
    }
    fill_asks(h, report);
    if (h->keep_told != h->keep_version) {
        berth__keep__init(&h->keep);
        h->keep.version = h->keep_coming;
        h->keep.from = (uint32_t)h->keep_count;
        report->keep = &h->keep;
    }
}

void holdings_answered(struct holdings *h, const Berth__ReportAck *ack) {
    take_answers(h, ack);
    if (h->keep_told != h->keep_version)
        take_keep(h, ack->keep);
    if (ack->want_full)
        holdings_restart(h);
}
