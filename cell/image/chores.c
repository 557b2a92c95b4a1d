/* chores.c - what need not be waited for: removing trees, notes with a layer. On a worker of their
 * own, one after another.
 *
 * They are helpful, not needed: without memory for one, the next start does it. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "cell/image/store.h"
#include "common/base/fs.h"
#include "common/base/mem.h"

struct chore {
    struct image_store *s;
    char name[LAYER_HEX + 1];
    enum image_kind kind;
    uint64_t used_ns;
    struct repository_id *whose; /* owned */
    size_t whose_count;
};

static void chore_done(void *arg) {
    struct chore *c = arg;
    free(c->whose);
    free(c);
}

static struct chore *chore_new(struct image_store *s, const char *name) {
    struct chore *c = mem_zalloc(sizeof *c);
    if (!c)
        return NULL;
    c->s = s;
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

static void chore_run(struct chore *c, void (*work)(void *arg)) {
    if (c && workers_run(c->s->chores, work, chore_done, c) < 0)
        chore_done(c);
}

static void remove_work(void *arg) {
    struct chore *c = arg;
    struct error err;
    if (!c->s->stopping)
        fs_remove_tree(c->s->tmp_fd, c->name, &err);
}

void store_remove_later(struct image_store *s, const char *name) {
    chore_run(chore_new(s, name), remove_work);
}

static void used_work(void *arg) {
    struct chore *c = arg;
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, c->used_ns);
    _cleanup_(close_fdp) int fd = layer_open(c->s, IMAGE_TREE, c->name);
    if (fd >= 0 && fsetxattr(fd, USED_XATTR, text, (size_t)n, 0) < 0)
        return; /* it is collected a little early or late after a restart */
}

void note_used(struct image_store *s, const struct layer *layer) {
    struct chore *c = chore_new(s, layer->hex);
    if (c)
        c->used_ns = layer->used_ns;
    chore_run(c, used_work);
}

static void leave_work(void *arg) {
    struct chore *c = arg;
    _cleanup_(close_fdp) int fd = layer_open(c->s, c->kind, c->name);
    if (fd >= 0 && leave_write(fd, c->whose, c->whose_count) < 0)
        return; /* it is shown again after a restart */
}

void note_leave(struct image_store *s, const struct layer *layer) {
    struct chore *c = chore_new(s, layer->hex);
    if (c && (c->whose = mem_calloc(layer->whose_count, sizeof *c->whose))) {
        c->kind = layer->kind;
        c->whose_count = layer->whose_count;
        memcpy(c->whose, layer->whose, c->whose_count * sizeof *c->whose);
    }
    chore_run(c, leave_work);
}
