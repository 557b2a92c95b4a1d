#include "cell/image/peer_source.h"
#include "cell/image/source.h"

static int open_blob(void *data, const struct layer_blob *what, const volatile bool *stop,
                     void **ret, struct error *err) {
    struct registry_blob *blob;
    int r = registry_blob_open(data, what->ref, what->credentials, what->digest, what->size, 0,
                               stop, &blob, err);
    if (r == 0)
        *ret = blob;
    return r;
}

static ssize_t read_blob(void *blob, void *buf, size_t n, struct error *err) {
    return registry_blob_read(blob, buf, n, err);
}

static void close_blob(void *blob) {
    registry_blob_close(blob);
}

int image_store_new(struct image_store **ret, struct event_base *loop, const char *dir,
                    const struct registry_config *registries, struct peers *peers,
                    const struct image_limits *limits, struct error *err) {
    struct layer_source source = {
        .open = open_blob,
        .read = read_blob,
        .close = close_blob,
        .data = (void *)registries, /* only ever read */
    };
    if (peers)
        peer_source(peers, &source);
    return image_store_new_from(ret, loop, dir, &source, peers != NULL, limits, err);
}
