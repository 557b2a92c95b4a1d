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
    for (size_t i = 0; i < im->layer_count; i++) {
        layer_unref(l, im->layers[i].blob);
        layer_unref(l, im->layers[i].tree);
    }
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

static int fill_layers(struct lrp *l, struct image *im, const Berth__Image *from) {
    im->layers = mem_calloc(from->n_layers + 1, sizeof *im->layers);
    if (!im->layers)
        return -ENOMEM;
    for (size_t i = 0; i < from->n_layers; i++) {
        uint8_t blob[LAYER_DIGEST], tree[LAYER_DIGEST];
        struct image_layer *to = &im->layers[im->layer_count];
        digest_read(from->layers[i]->digest, blob);
        digest_read(from->layers[i]->diff_id, tree);
        to->size = from->layers[i]->size;
        if (!(to->blob = layer_get(l, LAYER_BLOB, blob)))
            return -ENOMEM;
        if (image_has(im, to->blob))
            continue; /* listed twice: it is one */
        to->blob->refs++;
        im->layer_count++;
        im->bytes += to->size;
        if (!(to->tree = layer_get(l, LAYER_TREE, tree)))
            return -ENOMEM;
        to->tree->refs++;
    }
    im->bytes = MAX(im->bytes, 1u);
    return 0;
}

static int image_new(struct lrp *l, const Berth__Image *from, struct image **ret) {
    struct image *im = mem_zalloc(sizeof *im);
    if (!im)
        return -ENOMEM;
    im->refs = 1;
    snprintf(im->digest, sizeof im->digest, "%s", from->digest);
    HASH_ADD_STR(l->images, digest, im);
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
        HASH_FIND_STR(l->images, lrp->image->digest, *ret);
        if (*ret)
            (*ret)->refs++;
        else
            r = image_new(l, lrp->image, ret);
    }
    berth__desired_lrp__free_unpacked(lrp, NULL);
    return r;
}

bool image_has(const struct image *im, const struct layer *blob) {
    for (size_t i = 0; i < im->layer_count; i++)
        if (im->layers[i].blob == blob)
            return true;
    return false;
}

uint64_t image_bytes_at(const struct image *im, const struct cell *c) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < im->layer_count; i++)
        if (ptrset_has(&im->layers[i].blob->holders, c))
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
        const struct ptrset *blobs = &im->layers[i].blob->holders;
        const struct ptrset *trees = &im->layers[i].tree->holders;
        for (uint32_t k = 0; k < blobs->n; k++)
            add_held(l, blobs->v[k], im->layers[i].size);
        for (uint32_t k = 0; held == HELD_AT_ALL && k < trees->n; k++)
            if (!ptrset_has(blobs, trees->v[k]))
                add_held(l, trees->v[k], im->layers[i].size);
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

/* A layer of a private repository goes only where an app runs that proved its access at staging, or
 * where it is kept for one. */
static bool has_business(struct lrp *l, const struct cell *c, const struct layer *blob) {
    const struct instance *in;
    DL_FOREACH (c->changes, in)
        if (in->role != ROLE_NONE && in->desired->image && image_has(in->desired->image, blob))
            return true;
    for (const struct image *im = l->images; im; im = im->hh.next)
        if (is_kept_by(im, c) && image_has(im, blob))
            return true;
    return false;
}

size_t lrp_locate(struct lrp *l, const char *cell_id, const uint8_t digest[LAYER_DIGEST],
                  const char **ids, size_t max) {
    const struct cell *asker = cell_find(l, cell_id);
    const struct layer *blob = layer_find(l, LAYER_BLOB, digest);
    size_t n = 0;
    if (!asker || !blob || blob->holders.n == 0 || !has_business(l, asker, blob))
        return 0;
    uint32_t count = blob->holders.n, start = (uint32_t)rng_below(&l->rng, count);
    for (int own_zone = 1; own_zone >= 0; own_zone--)
        for (uint32_t i = 0; i < count && n < max; i++) {
            const struct cell *c = blob->holders.v[(start + i) % count];
            if (c != asker && c->present && !c->suspect && c->gives &&
                (c->zone == asker->zone) == own_zone)
                ids[n++] = c->id;
        }
    return n;
}
