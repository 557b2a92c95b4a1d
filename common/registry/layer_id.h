/* layer_id.h - who may have a layer. Pure.
 *
 * A layer is a digest, and a digest is no secret: it stands in manifests, logs and caches. Whoever
 * writes a manifest may name one that he never had the bytes of. So a layer that came with a
 * password is its repository's: only apps whose image is of that repository get it, and these
 * showed at staging that they may read it. A layer that came without one is everybody's.
 *
 * Cells and the controller speak of layers by ids: of a layer that is everybody's its digest, of
 * one that is a repository's a hash of both. Who has the id may not be who has the bytes. */
#ifndef COMMON_REGISTRY_LAYER_ID_H
#define COMMON_REGISTRY_LAYER_ID_H

#include <stdbool.h>
#include <stdint.h>

#define LAYER_ID_SIZE 32 /* as a sha256 */

struct repository_id { /* all zeros: nobody's */
    uint8_t v[16];
};
extern const struct repository_id repository_id_open; /* everybody's */

/* Of a repository as references write it: "docker.io", "library/busybox". */
struct repository_id repository_id_of(const char *registry, const char *repository);
bool repository_id_is_open(const struct repository_id *of);
bool repository_id_equal(const struct repository_id *a, const struct repository_id *b);

/* `digest` is a blob's or a diff id. */
void layer_id(const uint8_t digest[LAYER_ID_SIZE], const struct repository_id *of,
              uint8_t ret[LAYER_ID_SIZE]);

#endif
