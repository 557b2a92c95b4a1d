/* reference.h - image references: one parser for all of Berth.
 *
 *     [REGISTRY[:PORT]/]PATH[:TAG][@sha256:HEX]
 *
 * The first component is a registry if it holds '.' or ':' or is "localhost"; else docker.io. One
 * component on docker.io gets "library/". Tag and digest may both stand: the digest counts. */
#ifndef COMMON_REGISTRY_REFERENCE_H
#define COMMON_REGISTRY_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

struct reference {
    char registry[256];   /* "docker.io", "reg.example:5000" */
    char repository[256]; /* "library/busybox" */
    char tag[129];   /* "latest" when neither tag nor digest was given; "" with a digest only */
    char digest[72]; /* "sha256:<64 hex>" or "" */
};

/* -EINVAL with a text for the user: scheme given, upper case, empty part, bad tag or digest, too
 * long. *ret is written only on success. */
int reference_parse(const char *text, struct reference *ret, struct error *err);
/* What a manifest is asked for: the digest if there is one, else the tag. */
const char *reference_version(const struct reference *ref);
/* "docker.io/library/busybox:latest" into buf; cut, never overrun. */
void reference_format(const struct reference *ref, char *buf, size_t n);

/* "HOST" or "HOST:PORT", as a reference may begin. */
bool reference_registry_is_valid(const char *name);

#endif
