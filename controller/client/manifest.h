/* manifest.h - an app manifest: read, changed by flags, written. YAML in, YAML out, styles kept. */
#ifndef CONTROLLER_CLIENT_MANIFEST_H
#define CONTROLLER_CLIENT_MANIFEST_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct manifest;

/* path NULL: a manifest with no app. -EINVAL when it is not YAML with a list `applications`. */
int manifest_load(struct manifest **ret, const char *path, struct error *err);
void manifest_free(struct manifest *m);
DEFINE_FREEP(manifest)

size_t manifest_count(const struct manifest *m);
/* A scalar of app i; key may be "docker.image". NULL when absent. Borrowed. */
const char *manifest_get(struct manifest *m, size_t i, const char *key);

/* Keeps only the app of this name; a single one is renamed; in an empty manifest it is made.
 * -ENOENT */
int manifest_select(struct manifest *m, const char *name, struct error *err);

/* Sets a scalar of app i ("docker.image" makes the map). quoted: always a string, never a number.
 */
int manifest_set(struct manifest *m, size_t i, const char *key, const char *value, int quoted,
                 struct error *err);
/* Sets `routes` of app i to this one. */
int manifest_set_route(struct manifest *m, size_t i, const char *route, struct error *err);

/* The whole as YAML. */
int manifest_print(struct manifest *m, struct strbuf *out, struct error *err);

#endif
