/* leave.c - for whom a layer that is here may be used.
 *
 * A layer is kept once, whoever it came for, and carries in trusted.berth.for the repositories of
 * all of them: or that it is everybody's, when one of them had no password to show. It was verified
 * for each: all of it came from there, or from a cell where it had come from there. Lost in a crash
 * it makes the layer nobody's, to be shown again. */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "cell/image/store.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define FOR_XATTR "trusted.berth.for"
/* The oldest goes above that. An attribute has some 4000 bytes. */
#define FOR_MAX 64

int leave_write(int fd, const struct repository_id *list, size_t n) {
    return fsetxattr(fd, FOR_XATTR, list, n * sizeof *list, 0) < 0 ? -errno : 0;
}

void leave_read(int fd, struct layer *layer) {
    struct repository_id list[FOR_MAX];
    ssize_t n = fgetxattr(fd, FOR_XATTR, list, sizeof list);
    if (n <= 0 || (size_t)n % sizeof *list != 0 || !(layer->whose = mem_calloc(1, (size_t)n)))
        return;
    memcpy(layer->whose, list, (size_t)n);
    layer->whose_count = (size_t)n / sizeof *list;
}

enum peer_leave leave_of(const struct layer *layer, const struct repository_id *of) {
    enum peer_leave leave = LEAVE_NONE;
    for (size_t i = 0; i < layer->whose_count; i++) {
        if (repository_id_is_open(&layer->whose[i]))
            return LEAVE_ALL;
        if (repository_id_equal(&layer->whose[i], of))
            leave = LEAVE_REPOSITORY;
    }
    return leave;
}

static void tell(struct image_store *s, const struct layer *layer, const struct repository_id *of,
                 bool there) {
    uint8_t digest[LAYER_ID_SIZE], id[LAYER_ID_SIZE];
    if (!s->ops.on_change || hex_decode(layer->hex, digest, sizeof digest) < 0)
        return;
    layer_id(digest, of, id);
    s->ops.on_change(s->ops.data, layer->kind, id, there);
}

void leave_tell(struct image_store *s, const struct layer *layer, bool there) {
    for (size_t i = 0; i < layer->whose_count; i++)
        tell(s, layer, &layer->whose[i], there);
}

/* From the first on. */
static void drop(struct image_store *s, struct layer *layer, size_t n) {
    for (size_t i = 0; i < n; i++)
        tell(s, layer, &layer->whose[i], false);
    layer->whose_count -= n;
    memmove(layer->whose, layer->whose + n, layer->whose_count * sizeof *layer->whose);
}

bool leave_add(struct image_store *s, struct layer *layer, const struct repository_id *of) {
    if (leave_of(layer, of) != LEAVE_NONE)
        return false;
    struct repository_id *grown =
        mem_resize(layer->whose, layer->whose_count + 1, sizeof *layer->whose);
    if (!grown)
        return false; /* it is shown again */
    layer->whose = grown;
    layer->whose[layer->whose_count++] = *of;
    tell(s, layer, of, true);
    if (repository_id_is_open(of))
        drop(s, layer, layer->whose_count - 1);
    else if (layer->whose_count > FOR_MAX)
        drop(s, layer, 1);
    return true;
}
