/* layers.c - layers, the images that have them, the cells that hold them. */
#include <errno.h>

#include "controller/lrp/internal.h"

#define SHA256 "sha256:"

/* --- sets of pointers --- */

/* Where p is or belongs. */
static uint32_t ptrset_at(const struct ptrset *s, const void *p) {
    uint32_t low = 0, high = s->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if ((uintptr_t)s->v[mid] < (uintptr_t)p)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool ptrset_has(const struct ptrset *s, const void *p) {
    uint32_t at = ptrset_at(s, p);
    return at < s->n && s->v[at] == p;
}

int ptrset_add(struct ptrset *s, void *p) {
    uint32_t at = ptrset_at(s, p);
    if (at < s->n && s->v[at] == p)
        return 0;
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 4;
        void **grown = mem_resize(s->v, cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        s->v = grown;
        s->cap = cap;
    }
    memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof *s->v);
    s->v[at] = p;
    s->n++;
    return 1;
}

bool ptrset_remove(struct ptrset *s, const void *p) {
    uint32_t at = ptrset_at(s, p);
    if (at == s->n || s->v[at] != p)
        return false;
    s->n--;
    memmove(s->v + at, s->v + at + 1, (s->n - at) * sizeof *s->v);
    return true;
}

void ptrset_fini(struct ptrset *s) {
    free(s->v);
    *s = (struct ptrset){0};
}

/* --- layers --- */

struct layer *layer_find(struct lrp *l, enum layer_kind kind, const uint8_t digest[LAYER_DIGEST]) {
    uint8_t key[1 + LAYER_DIGEST] = {(uint8_t)kind};
    struct layer *layer;
    memcpy(key + 1, digest, LAYER_DIGEST);
    HASH_FIND(hh, l->layers, key, sizeof key, layer);
    return layer;
}

static struct layer *layer_get(struct lrp *l, enum layer_kind kind,
                               const uint8_t digest[LAYER_DIGEST]) {
    struct layer *layer = layer_find(l, kind, digest);
    if (layer || !(layer = mem_zalloc(sizeof *layer)))
        return layer;
    layer->key[0] = (uint8_t)kind;
    memcpy(layer->key + 1, digest, LAYER_DIGEST);
    HASH_ADD(hh, l->layers, key, sizeof layer->key, layer);
    if (HASH_ADDED(layer))
        return layer;
    free(layer);
    return NULL;
}

static void layer_free_if_unused(struct lrp *l, struct layer *layer) {
    if (layer->refs || layer->holders.n)
        return;
    HASH_DEL(l->layers, layer);
    ptrset_fini(&layer->holders);
    free(layer);
}

static void layer_unref(struct lrp *l, struct layer *layer) {
    if (!layer)
        return;
    layer->refs--;
    layer_free_if_unused(l, layer);
}

/* --- images --- */

void image_unref(struct lrp *l, struct image *im) {
    if (!im || --im->refs > 0)
        return;
    keep_forget_image(l, im);
    HASH_DEL(l->images, im);
    for (size_t i = 0; i < im->layer_count; i++)
        for (int kind = 0; kind < LAYER_KINDS; kind++)
            for (int whose = 0; whose < LAYER_FORS; whose++)
                layer_unref(l, im->layers[i].by[kind][whose]);
    free(im->layers);
    free(im);
}

static bool digest_read(const char *text, uint8_t ret[LAYER_DIGEST]) {
    return str_starts(text, SHA256) && hex_decode(text + strlen(SHA256), ret, LAYER_DIGEST) == 0;
}

static bool is_sound(const Berth__Image *from) {
    uint8_t digest[LAYER_DIGEST];
    if (!from || !digest_read(from->digest, digest))
        return false;
    for (size_t i = 0; i < from->n_layers; i++)
        if (!digest_read(from->layers[i]->digest, digest) ||
            !digest_read(from->layers[i]->diff_id, digest))
            return false;
    return true;
}

static bool lists(const struct image *im, const uint8_t digest[LAYER_DIGEST]) {
    for (size_t i = 0; i < im->layer_count; i++)
        if (memcmp(im->layers[i].digest, digest, LAYER_DIGEST) == 0)
            return true;
    return false;
}

static int fill_layer(struct lrp *l, const struct image *im, struct image_layer *to,
                      const uint8_t diff_id[LAYER_DIGEST]) {
    const uint8_t *const digests[LAYER_KINDS] = {to->digest, diff_id};
    const struct repository_id *const whose[LAYER_FORS] = {&im->key.repository,
                                                           &repository_id_open};
    for (int kind = 0; kind < LAYER_KINDS; kind++)
        for (int w = 0; w < LAYER_FORS; w++) {
            uint8_t id[LAYER_ID_SIZE];
            layer_id(digests[kind], whose[w], id);
            if (!(to->by[kind][w] = layer_get(l, (enum layer_kind)kind, id)))
                return -ENOMEM;
            to->by[kind][w]->refs++;
        }
    return 0;
}

static int fill_layers(struct lrp *l, struct image *im, const Berth__Image *from) {
    im->layers = mem_calloc(from->n_layers + 1, sizeof *im->layers);
    if (!im->layers)
        return -ENOMEM;
    for (size_t i = 0; i < from->n_layers; i++) {
        uint8_t diff_id[LAYER_DIGEST];
        struct image_layer *to = &im->layers[im->layer_count];
        digest_read(from->layers[i]->digest, to->digest);
        digest_read(from->layers[i]->diff_id, diff_id);
        if (lists(im, to->digest))
            continue; /* listed twice: it is one */
        to->size = from->layers[i]->size;
        im->layer_count++;
        im->bytes += to->size;
        if (fill_layer(l, im, to, diff_id) < 0)
            return -ENOMEM;
    }
    im->bytes = MAX(im->bytes, 1u);
    return 0;
}

static int image_new(struct lrp *l, const struct image_key *key, const Berth__Image *from,
                     struct image **ret) {
    struct image *im = mem_zalloc(sizeof *im);
    if (!im)
        return -ENOMEM;
    im->refs = 1;
    im->key = *key;
    HASH_ADD(hh, l->images, key, sizeof im->key, im);
    if (!HASH_ADDED(im)) {
        free(im);
        return -ENOMEM;
    }
    if (fill_layers(l, im, from) < 0) {
        image_unref(l, im);
        return -ENOMEM;
    }
    *ret = im;
    return 0;
}

int image_get(struct lrp *l, const void *run_info, size_t n, struct image **ret) {
    int r = 0;
    *ret = NULL;
    Berth__DesiredLrp *lrp = berth__desired_lrp__unpack(NULL, n, run_info);
    if (!lrp)
        return 0;
    if (is_sound(lrp->image)) {
        struct image_key key = {.repository =
                                    repository_id_of(lrp->image->registry, lrp->image->repository)};
        digest_read(lrp->image->digest, key.manifest);
        HASH_FIND(hh, l->images, &key, sizeof key, *ret);
        if (*ret)
            (*ret)->refs++;
        else
            r = image_new(l, &key, lrp->image, ret);
    }
    berth__desired_lrp__free_unpacked(lrp, NULL);
    return r;
}

static bool has(const struct cell *c, const struct image_layer *layer, enum layer_kind kind) {
    return ptrset_has(&layer->by[kind][FOR_REPOSITORY]->holders, c) ||
           ptrset_has(&layer->by[kind][FOR_ALL]->holders, c);
}

uint64_t image_bytes_at(const struct image *im, const struct cell *c) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < im->layer_count; i++)
        if (has(c, &im->layers[i], LAYER_BLOB))
            bytes += im->layers[i].size;
    return bytes;
}

static void add_held(struct lrp *l, struct cell *c, uint64_t bytes) {
    if (c->held_mark != l->held_mark) {
        c->held_mark = l->held_mark;
        c->held_bytes = 0;
    }
    c->held_bytes += bytes;
}

void image_mark_held(struct lrp *l, const struct image *im, enum held held) {
    l->held_mark++;
    for (size_t i = 0; im && i < im->layer_count; i++) {
        const struct image_layer *layer = &im->layers[i];
        for (int w = 0; w < LAYER_FORS; w++) {
            const struct ptrset *blobs = &layer->by[LAYER_BLOB][w]->holders;
            const struct ptrset *trees = &layer->by[LAYER_TREE][w]->holders;
            for (uint32_t k = 0; k < blobs->n; k++)
                add_held(l, blobs->v[k], layer->size);
            for (uint32_t k = 0; held == HELD_AT_ALL && k < trees->n; k++)
                if (!has(trees->v[k], layer, LAYER_BLOB))
                    add_held(l, trees->v[k], layer->size);
        }
    }
}

/* --- what cells say --- */

static int hold(struct lrp *l, struct cell *c, enum layer_kind kind, const uint8_t *digest) {
    if (c->holds.n >= HOLDS_MAX)
        return 0;
    struct layer *layer = layer_get(l, kind, digest);
    if (!layer)
        return -ENOMEM;
    if (ptrset_add(&c->holds, layer) >= 0) {
        layer->fetcher = NULL;
        if (ptrset_add(&layer->holders, c) >= 0)
            return c->in_holdings && ptrset_add(&c->fresh, layer) < 0 ? -ENOMEM : 0;
        ptrset_remove(&c->holds, layer);
    }
    layer_free_if_unused(l, layer);
    return -ENOMEM;
}

static void let_go(struct lrp *l, struct cell *c, struct layer *layer) {
    if (!layer || !ptrset_remove(&c->holds, layer))
        return;
    ptrset_remove(&c->fresh, layer);
    ptrset_remove(&layer->holders, c);
    layer_free_if_unused(l, layer);
}

/* What a full list did not name is there no more. */
static void end_list(struct lrp *l, struct cell *c) {
    for (uint32_t i = c->holds.n; i-- > 0;) /* downwards: what is removed moves what is behind */
        if (!ptrset_has(&c->fresh, c->holds.v[i]))
            let_go(l, c, c->holds.v[i]);
    ptrset_fini(&c->fresh);
    c->in_holdings = false;
}

int lrp_cell_holds(struct lrp *l, const char *cell_id, const struct lrp_holdings *h) {
    struct cell *c = cell_find(l, cell_id);
    int r = 0;
    if (!c)
        return -ENOENT;
    c->gives = h->gives;
    if (h->full_begin) {
        ptrset_fini(&c->fresh);
        c->in_holdings = true;
    }
    const struct {
        enum layer_kind kind;
        const struct lrp_digests *there, *gone;
    } lists[] = {{LAYER_BLOB, &h->blobs, &h->gone_blobs}, {LAYER_TREE, &h->trees, &h->gone_trees}};
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
        for (size_t i = 0; i < lists[k].gone->n; i++)
            let_go(l, c, layer_find(l, lists[k].kind, lists[k].gone->p + i * LAYER_DIGEST));
        for (size_t i = 0; i < lists[k].there->n; i++)
            r = MIN(r, hold(l, c, lists[k].kind, lists[k].there->p + i * LAYER_DIGEST));
    }
    if (h->full_end && c->in_holdings && r == 0)
        end_list(l, c);
    return r;
}

void layers_forget_cell(struct lrp *l, struct cell *c) {
    keep_forget_cell(l, c);
    for (struct layer *layer = l->layers; layer; layer = layer->hh.next)
        layer->fetcher = layer->fetcher == c ? NULL : layer->fetcher;
    while (c->holds.n > 0)
        let_go(l, c, c->holds.v[c->holds.n - 1]);
    ptrset_fini(&c->holds);
    ptrset_fini(&c->fresh);
}

/* --- who may have it, and where --- */

static bool is_kept_by(const struct image *im, const struct cell *c) {
    for (size_t k = 0; k < KEEPERS; k++)
        if (im->keepers[k].cell == c)
            return true;
    return false;
}

static const struct image_layer *find_in(const struct image *im, const struct layer *blob) {
    for (size_t i = 0; im && i < im->layer_count; i++)
        if (im->layers[i].by[LAYER_BLOB][FOR_REPOSITORY] == blob)
            return &im->layers[i];
    return NULL;
}

/* A layer goes only where an app runs whose image has it, or where it is kept for one. The id that
 * was asked for is that of the app's own repository, which it showed at staging that it may read.
 */
static const struct image_layer *has_business(struct lrp *l, const struct cell *c,
                                              const struct layer *blob) {
    const struct image_layer *found;
    const struct instance *in;
    DL_FOREACH (c->changes, in)
        if (in->role != ROLE_NONE && (found = find_in(in->desired->image, blob)))
            return found;
    for (const struct image *im = l->images; im; im = im->hh.next)
        if (is_kept_by(im, c) && (found = find_in(im, blob)))
            return found;
    return NULL;
}

static bool gives(const struct cell *c) {
    return c->present && !c->suspect && c->gives;
}

/* Those of the asker's zone first. */
static size_t list_givers(struct lrp *l, const struct cell *asker, const struct ptrset *holders,
                          const char **ids, size_t n, size_t max) {
    uint32_t count = holders->n, start = count ? (uint32_t)rng_below(&l->rng, count) : 0;
    for (int own_zone = 1; own_zone >= 0; own_zone--)
        for (uint32_t i = 0; i < count && n < max; i++) {
            const struct cell *c = holders->v[(start + i) % count];
            if (c != asker && gives(c) && (c->zone == asker->zone) == own_zone)
                ids[n++] = c->id;
        }
    return n;
}

/* The first of many that want what nobody has asks the registry; the next few get it from there
 * while it comes, the next few of these from the last of those, and so on. */
static void follow(struct lrp *l, struct cell *asker, struct layer *blob, struct lrp_located *ret) {
    struct cell *c = blob->fetcher;
    if (!c || c == asker || !gives(c) || !has_business(l, c, blob)) {
        blob->fetcher = asker;
        blob->followers = 0;
        return;
    }
    ret->coming = true;
    ret->ids[ret->n++] = c->id;
    if (++blob->followers == FOLLOWERS) {
        blob->fetcher = asker;
        blob->followers = 0;
    }
}

void lrp_locate(struct lrp *l, const char *cell_id, const uint8_t id[LAYER_ID_SIZE],
                struct lrp_located *ret) {
    struct cell *asker = cell_find(l, cell_id);
    struct layer *blob = layer_find(l, LAYER_BLOB, id);
    const struct image_layer *found = asker && blob ? has_business(l, asker, blob) : NULL;
    *ret = (struct lrp_located){0};
    if (!found)
        return;
    memcpy(ret->digest, found->digest, sizeof ret->digest);
    const struct ptrset *open = &found->by[LAYER_BLOB][FOR_ALL]->holders;
    ret->leave = open->n ? LRP_LEAVE_ALL : blob->holders.n ? LRP_LEAVE_REPOSITORY : LRP_LEAVE_NONE;
    ret->n = list_givers(l, asker, &blob->holders, ret->ids, ret->n, LRP_GIVERS);
    ret->n = list_givers(l, asker, open, ret->ids, ret->n, LRP_GIVERS);
    if (ret->leave == LRP_LEAVE_NONE)
        follow(l, asker, blob, ret);
}
