/* source.h - where an image's registry is really asked: its mirror first, then itself. A mirror
 * that could not be reached comes last for a while, so that not each blob waits for it.
 *
 * Also what an operator configured about it. Credentials belong to one host each: a mirror sees its
 * own only, never the registry's or the user's. */
#ifndef COMMON_REGISTRY_SOURCE_H
#define COMMON_REGISTRY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/registry/registry.h"

#define MAX_SOURCES 2

struct registry_source {
    char *host; /* as dialled: "registry-1.docker.io", "127.0.0.1:5000" */
    char *ca_file;
    char *ca_option; /* "ca = FILE in [registry docker.io]" */
    char *username, *password;
    bool mirror;
    unsigned may_reach; /* enum reach_kind: where its host may be, beside anywhere else */
};

struct registry_sources { /* all owned */
    struct registry_source list[MAX_SOURCES];
    size_t count;
};
void registry_sources_fini(struct registry_sources *s);

/* Fills *ret (zeroed by the caller). 0 or -ENOMEM. */
int registry_sources_find(const struct registry_config *config, const struct reference *ref,
                          const struct registry_credentials *credentials,
                          struct registry_sources *ret);

/* --- what is said when all of them failed ------------------------------------------------------
 */

/* Collects each source's reason; the last one's code decides. */
struct source_errors {
    char label[MAX_SOURCES][280]; /* "mirror 127.0.0.1:5000" */
    struct error err[MAX_SOURCES];
    size_t count;
};
void source_errors_add(struct source_errors *e, const struct registry_source *source,
                       const struct error *err);
/* Fills *err and returns its code: "image library/x:latest was not found in docker.io (mirror
 * 127.0.0.1:5000: ...; registry-1.docker.io: ...)". `what` is "image" or "layer". */
int source_errors_say(const struct source_errors *e, const char *what, const struct reference *ref,
                      struct error *err);

#endif
