#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/registry/digest.h"
#include "common/registry/document.h"
#include "common/registry/printable.h"

#define MAX_LAYER_BYTES (1ULL << 40)

static const char *text(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static bool is_one_of(const char *s, const char *const *list) {
    for (; *list; list++)
        if (str_eq(s, *list))
            return true;
    return false;
}

static int read_descriptor(const json_t *object, const char *what, uint64_t max,
                           struct descriptor *ret, struct error *err) {
    const char *digest = text(object, "digest");
    const json_t *size = json_object_get(object, "size");
    if (!digest_is_valid(digest))
        return error_set(err, -EBADMSG, "the manifest is malformed: %s has no sha256 digest", what);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return error_set(err, -EBADMSG, "the manifest is malformed: %s has no size", what);
    if ((uint64_t)json_integer_value(size) > max)
        return error_set(err, -EFBIG, "%s is too large: %lld bytes", what,
                         (long long)json_integer_value(size));
    snprintf(ret->digest, sizeof ret->digest, "%s", digest);
    ret->size = (uint64_t)json_integer_value(size);
    return 0;
}

/* --- index ---------------------------------------------------------------------------------- */

/* Place of `variant` among those that run here, or -1. */
static int rank(const char *variant, const struct platform *platform) {
    for (int i = 0; platform->variants[i]; i++)
        if (str_eq(platform->variants[i], variant))
            return i;
    return -1;
}

static void add_seen(struct strbuf *seen, const json_t *platform) {
    char name[96], clean[96];
    const char *variant = text(platform, "variant");
    snprintf(name, sizeof name, "%s/%s%s%s", text(platform, "os"), text(platform, "architecture"),
             *variant ? "/" : "", variant);
    printable(name, clean, sizeof clean);
    if (seen->n < 200 && !str_eq(clean, "unknown/unknown") && !str_eq(clean, "/"))
        strbuf_printf(seen, "%s%s", seen->n ? ", " : "", clean);
}

static int choose(const json_t *list, const struct platform *platform, struct manifest *ret,
                  struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf seen = {0};
    const json_t *best = NULL, *entry;
    int best_rank = -1;
    size_t i;
    json_array_foreach((json_t *)list, i, entry) {
        const json_t *where = json_object_get(entry, "platform");
        int place = -1;
        if (!where && json_array_size(list) == 1)
            place = 0; /* an index need not say; the config will */
        else if (str_eq(text(where, "os"), "linux") &&
                 str_eq(text(where, "architecture"), platform->architecture))
            place = rank(text(where, "variant"), platform);
        add_seen(&seen, where);
        if (place >= 0 && (!best || place < best_rank)) {
            best = entry;
            best_rank = place;
        }
    }
    if (!best)
        return error_set(err, -ENOTSUP, "the image has no build for linux/%s, only for: %s",
                         platform->architecture, seen.n ? seen.p : "nothing");
    ret->is_index = true;
    return read_descriptor(best, "the manifest of this platform", DOCUMENT_MAX_BYTES, &ret->next,
                           err);
}

/* --- manifest ------------------------------------------------------------------------------- */

static const char *const config_types[] = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream", /* Docker 1.10 */
    "",
    NULL,
};

static const char *const layer_types[] = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    NULL,
};

static int read_layer(const json_t *object, size_t number, struct registry_layer *ret,
                      struct error *err) {
    struct descriptor d;
    char what[32], clean[96];
    const char *type = text(object, "mediaType");
    snprintf(what, sizeof what, "layer %zu", number + 1);
    if (strstr(type, "foreign") || strstr(type, "nondistributable"))
        return error_set(err, -ENOTSUP, "%s is not kept by registries (%s)", what,
                         printable(type, clean, sizeof clean));
    if (!is_one_of(type, layer_types))
        return error_set(err, -ENOTSUP, "%s is of a kind that Berth does not know: \"%s\"", what,
                         printable(type, clean, sizeof clean));
    int r = read_descriptor(object, what, MAX_LAYER_BYTES, &d, err);
    if (r < 0)
        return r;
    memcpy(ret->digest, d.digest, sizeof ret->digest);
    ret->size = d.size;
    snprintf(ret->media_type, sizeof ret->media_type, "%s", type);
    return 0;
}

static int read_manifest(const json_t *root, struct manifest *ret, struct error *err) {
    const json_t *config = json_object_get(root, "config"),
                 *layers = json_object_get(root, "layers");
    const char *type = text(config, "mediaType");
    char clean[96];
    size_t count = json_array_size(layers);
    int r;
    if (!is_one_of(type, config_types))
        return error_set(err, -ENOTSUP, "this is not a container image but \"%s\"",
                         printable(type, clean, sizeof clean));
    if (count == 0)
        return error_set(err, -EBADMSG, "the image has no layers");
    if (count > DOCUMENT_MAX_LAYERS)
        return error_set(err, -EFBIG, "the image has %zu layers, more than %d", count,
                         DOCUMENT_MAX_LAYERS);
    if ((r = read_descriptor(config, "the config", DOCUMENT_MAX_BYTES, &ret->next, err)) < 0)
        return r;
    _cleanup_(freep) struct registry_layer *list = mem_calloc(count, sizeof *list);
    if (!list)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        if ((r = read_layer(json_array_get(layers, i), i, &list[i], err)) < 0)
            return r;
    ret->layers = TAKE_PTR(list);
    ret->layer_count = count;
    return 0;
}

static int read_document(const json_t *root, const struct platform *platform, struct manifest *ret,
                         struct error *err) {
    bool index = json_object_get(root, "manifests") != NULL;
    bool image = json_object_get(root, "config") || json_object_get(root, "layers");
    bool schema1 = json_integer_value(json_object_get(root, "schemaVersion")) == 1 ||
                   json_object_get(root, "fsLayers");
    const json_t *list = json_object_get(root, "manifests");
    if (schema1 && !index && !image)
        return error_set(err, -ENOTSUP,
                         "the image is in the old schema 1 format, which carries no verifiable "
                         "digests: push it again with a current docker, podman or skopeo");
    if (index == image || schema1)
        return error_set(err, -EBADMSG, "the manifest is malformed: it is %s",
                         index || schema1 ? "more than one kind of document" : "no known kind");
    if (image)
        return read_manifest(root, ret, err);
    if (!json_is_array(list))
        return error_set(err, -EBADMSG, "the manifest is malformed: \"manifests\" is no list");
    return choose(list, platform, ret, err);
}

int manifest_parse(struct slice json, const struct platform *platform, struct manifest *ret,
                   struct error *err) {
    struct manifest manifest = {0};
    json_error_t why;
    json_t *root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(err, -EBADMSG, "the manifest is not a JSON object");
    }
    int r = read_document(root, platform, &manifest, err);
    json_decref(root);
    if (r == 0)
        *ret = manifest;
    return r;
}
