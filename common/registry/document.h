/* document.h - what a registry stores about an image: index, manifest, config. Pure parsing.
 *
 * All of it is hostile: every digest, size, count and type is checked here. Nothing is trusted for
 * its Content-Type: the bytes say what they are, and must be one thing only (CVE-2021-41190). */
#ifndef COMMON_REGISTRY_DOCUMENT_H
#define COMMON_REGISTRY_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/str.h"
#include "common/registry/registry.h"

#define DOCUMENT_MAX_BYTES  (4u << 20) /* containers/image, internal/iolimits */
#define DOCUMENT_MAX_LAYERS 128        /* Docker's own limit (127) and overlayfs' are near */
#define DOCUMENT_MAX_LISTS  4096       /* words of Entrypoint, Cmd; variables; exposed ports */

/* What Accept says of a manifest request. */
#define DOCUMENT_ACCEPT                                                                            \
    "Accept: application/vnd.oci.image.index.v1+json, "                                            \
    "application/vnd.oci.image.manifest.v1+json, "                                                 \
    "application/vnd.docker.distribution.manifest.list.v2+json, "                                  \
    "application/vnd.docker.distribution.manifest.v2+json"

struct platform {
    const char *architecture;    /* as images name it: "amd64" */
    const char *const *variants; /* that run here, best first, NULL-terminated */
};
/* For uname's machine name: "x86_64", "aarch64", "armv7l" ...; unknown ones stay as they are. */
struct platform platform_of(const char *machine);
struct platform platform_host(void);

struct descriptor {
    char digest[72];
    uint64_t size;
};

struct manifest {
    bool is_index;
    struct descriptor next;        /* an index: the chosen manifest; else the config */
    struct registry_layer *layers; /* owned; diff_id empty until the config is read */
    size_t layer_count;
};

/* 0; -EBADMSG malformed; -ENOTSUP schema 1, no such platform (the text names those there are), not
 * an image, layers kept elsewhere or encrypted. *ret is written only on success. */
int manifest_parse(struct slice json, const struct platform *platform, struct manifest *ret,
                   struct error *err);

/* Fills the image's own fields and the diff ids of image->layers, whose number must fit. -EBADMSG,
 * -ENOTSUP another platform, -ENOMEM. */
int image_config_parse(struct slice json, const struct platform *platform,
                       struct registry_image *image, struct error *err);

/* "80", "80/tcp", "53/udp", "8000-8010/tcp" -> first, last, udp. -EINVAL. */
int port_parse(const char *text, unsigned *ret_first, unsigned *ret_last, bool *ret_udp);

#endif
