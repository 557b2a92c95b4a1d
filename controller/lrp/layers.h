/* layers.h - which cells have which layers, for whom, and which must keep them. For the files of
 * this folder only.
 *
 *     desired --> image --> layers (blob and tree of each) <-- held by --> cells
 *                   `--> keepers (two cells)
 *
 * What cells say of themselves is believed: a wrong word costs a fetch that fails. Soft state, made
 * again from the cells' words after a restart. */
#ifndef CONTROLLER_LRP_LAYERS_H
#define CONTROLLER_LRP_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "common/registry/layer_id.h"

struct cell;
struct lrp;

#define LAYER_DIGEST LAYER_ID_SIZE
#define HOLDS_MAX    20000 /* of one cell: some 16 bytes each, both ways */
#define KEEPERS      2
/* Of one cell that fetches a blob: with a few blobs at a time, no more than it gives to at a time.
 */
#define FOLLOWERS 4

/* Pointers in the order of their values. */
struct ptrset {
    void **v; /* owned */
    uint32_t n, cap;
};
int ptrset_add(struct ptrset *s, void *p); /* 1: new; 0: was in it; -ENOMEM */
bool ptrset_remove(struct ptrset *s, const void *p);
bool ptrset_has(const struct ptrset *s, const void *p);
void ptrset_fini(struct ptrset *s);

enum layer_kind {
    LAYER_BLOB, /* the compressed bytes: can be given to others */
    LAYER_TREE, /* unpacked, ready to be mounted */
    LAYER_KINDS
};

/* For whom a cell has it: which id of the layer it told (common/registry/layer_id.h). */
enum layer_for { FOR_REPOSITORY, FOR_ALL, LAYER_FORS };

struct layer {                     /* while an image has it or a cell holds it */
    uint8_t key[1 + LAYER_DIGEST]; /* kind and id */
    uint32_t refs;                 /* of images */
    struct ptrset holders;         /* cells */
    struct cell *fetcher; /* of a blob that nobody has: to be followed; NULL: nobody fetches it */
    uint32_t followers;   /* of that one */
    UT_hash_handle hh;    /* lrp.layers */
};

struct keeper {
    struct cell *cell; /* NULL: still to be chosen */
    uint64_t held;     /* bytes of the image that it has ... */
    uint64_t since_ms; /* ... and since when it has no more */
};

struct image { /* counted by the desired LRPs that run it */
    unsigned refs;
    struct image_key { /* the same manifest in two repositories is two images */
        uint8_t manifest[LAYER_DIGEST];
        struct repository_id repository;
    } key;
    struct image_layer {
        uint8_t digest[LAYER_DIGEST]; /* of the blob */
        struct layer *by[LAYER_KINDS][LAYER_FORS];
        uint64_t size;
    } * layers; /* owned; lowest first */
    size_t layer_count;
    uint64_t bytes; /* of all; at least 1 */
    uint64_t seen_ms;
    struct keeper keepers[KEEPERS];
    struct cell *late; /* was no keeper in time; borrowed */
    UT_hash_handle hh; /* lrp.images */
};

/* --- layers.c */
/* The image in a packed Berth__DesiredLrp: a reference, or NULL when there is none. -ENOMEM. */
int image_get(struct lrp *l, const void *run_info, size_t n, struct image **ret);
void image_unref(struct lrp *l, struct image *im);
/* Sets held_mark of every cell that has something of it to lrp.held_mark and held_bytes to how
 * much; of what it can give, or of what it need not fetch. */
enum held { HELD_TO_GIVE, HELD_AT_ALL };
void image_mark_held(struct lrp *l, const struct image *im, enum held held);
uint64_t image_bytes_at(const struct image *im, const struct cell *c); /* to give */
struct layer *layer_find(struct lrp *l, enum layer_kind kind, const uint8_t digest[LAYER_DIGEST]);
/* The cell is no more. */
void layers_forget_cell(struct lrp *l, struct cell *c);

/* --- keep.c */
/* Chooses keepers where they are missing; once a second, so many images at a time. */
void keep_pass(struct lrp *l, uint64_t now_ms);
void keep_forget_image(struct lrp *l, struct image *im);
void keep_forget_cell(struct lrp *l, struct cell *c);

#endif
