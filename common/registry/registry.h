/* registry.h - the registry v2 protocol (OCI distribution 1.1): manifests, configs, blobs.
 *
 * Used by the controller (metadata at staging) and by cells (layers). A registry is known by the
 * name in a reference; operators configure, per name, an extra CA file, a mirror that is tried
 * first and credentials, and which registries may be named at all. Digests are verified here before
 * anything is handed out. https only, and neither a redirect nor a token server's name leads to an
 * address of this machine or its link (common/http/reach.h) unless the registry itself is there;
 * at a link-local one it is asked only when an operator names it. */
#ifndef COMMON_REGISTRY_REGISTRY_H
#define COMMON_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/config.h"
#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/registry/reference.h"

struct http_client;

/* --- operator configuration: [registry NAME] sections ------------------------------------------
 */

struct registry_config; /* all of them; owned by the daemon's config */

/* config_section.on_key of kind "registry": keys ca, mirror, mirror_ca, username, password_file,
 * credentials also for the mirror as mirror_username, mirror_password_file. *list grows. */
int registry_config_key(struct registry_config **list, const char *name, const char *key,
                        const char *value, struct error *err);
/* After the last key: pairs that must be complete. -EINVAL. */
int registry_config_check(const struct registry_config *list, struct error *err);
/* "host[:port], *.example.com, ...": images may come from these registries only. A name without a
 * port has https' own; "*." stands for one or more labels. Empty, or never called: from any.
 * -EINVAL. */
int registry_config_allow(struct registry_config **list, const char *value, struct error *err);
/* 0, or -EPERM with a text for the user that names those that are allowed. */
int registry_allowed(const struct registry_config *list, const struct reference *ref,
                     struct error *err);
void registry_config_free(struct registry_config *list);
DEFINE_FREEP(registry_config)

struct registry_credentials {
    const char *username, *password; /* NULL or empty: none of the user's */
};

/* --- metadata, on the loop ----------------------------------------------------------------------
 */

struct registry_layer {
    char digest[72];  /* compressed: what is fetched */
    char diff_id[72]; /* uncompressed, from the config */
    uint64_t size;    /* compressed bytes */
    char media_type[96];
};

/* The image's own config, as far as Berth honours it. All strings owned, NULL-terminated lists. */
struct registry_image {
    struct reference ref; /* digest filled: of the platform's manifest */
    struct registry_layer *layers;
    size_t layer_count;
    char **entrypoint, **cmd, **env;    /* env: "NAME=value" */
    char *user, *workdir, *stop_signal; /* NULL when absent */
    struct registry_port {
        uint16_t number;
        bool udp; /* or sctp: anything but tcp */
    } * ports;    /* sorted by number, tcp first; ranges expanded */
    size_t port_count;
    char *config_json; /* for display */
};
void registry_image_free(struct registry_image *image);
DEFINE_FREEP(registry_image)

struct registry_lookup; /* one in flight */

/* Resolves `ref` to the linux manifest of this host's architecture and reads its config. `done`
 * comes once, later, from the loop: image (owned by the callee) or NULL with `err` for the user,
 * such as -ENOENT unknown image, -EPERM not of a registry that is allowed (here at once), -EACCES
 * authentication required or refused, -EKEYREJECTED certificate not trusted and by which CA,
 * -ENOTSUP no matching platform / schema 1, -EBADMSG wrong digest or malformed, -ECONNREFUSED ...
 * Retries 429 and 5xx within bounds. */
int registry_lookup(struct http_client *http, const struct registry_config *config,
                    const struct reference *ref, const struct registry_credentials *credentials,
                    void (*done)(struct registry_image *image, const struct error *err, void *arg),
                    void *arg, struct registry_lookup **ret, struct error *err);
void registry_lookup_cancel(struct registry_lookup *l);

/* --- blobs, blocking, on a worker thread
 * ---------------------------------------------------------- */

struct registry_blob; /* a blob being downloaded */

/* Opens the download of a blob, or of what is left of it behind its first `from` bytes: tries the
 * mirror first, authenticates (tokens are cached per repository and shared by threads), follows
 * redirects without the credentials. `stop`, if not NULL, is looked at often: when it becomes true
 * reads return -ECANCELED. */
int registry_blob_open(const struct registry_config *config, const struct reference *ref,
                       const struct registry_credentials *credentials, const char *digest,
                       uint64_t size, uint64_t from, const volatile bool *stop,
                       struct registry_blob **ret, struct error *err);
/* The caller computes the digest itself, so it is not verified here: for who needs it anyway, and
 * for who asked for a part. Before the first read. */
void registry_blob_leave_digest(struct registry_blob *b);
/* The next bytes of the blob, up to n; 0 at the end. At the end the digest and size have been
 * verified: -EBADMSG otherwise, -EFBIG as soon as more than `size` came. */
ssize_t registry_blob_read(struct registry_blob *b, void *buf, size_t n, struct error *err);
void registry_blob_close(struct registry_blob *b);

#endif
