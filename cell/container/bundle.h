/* bundle.h - the OCI bundle's config.json (OCI runtime specification 1.0.2): how strictly a
 * container is kept. Pure but for the writing of the file. */
#ifndef CELL_CONTAINER_BUNDLE_H
#define CELL_CONTAINER_BUNDLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cell/container/user.h"
#include "common/base/error.h"

struct bundle_spec {
    const char *root;        /* absolute path of the root file system */
    const char *init;        /* host path of the init program */
    const char *program;     /* path in the container of what argv[0] names; NULL: init alone */
    const char *const *argv; /* NULL-terminated; not with program NULL */
    const char *const *env;  /* NULL-terminated */
    const char *cwd;         /* absolute */
    const char *hostname;
    const char *cgroup; /* "/berth/<id>" */
    const struct user *user;
    const char *user_ns, *net_ns; /* paths to join; NULL: new ones */
    uint32_t first_id, id_range;
    uint64_t memory_bytes, cpu_shares;
    uint32_t pids, nofile;
    bool limit_swap; /* the kernel can */
    bool unified;    /* cgroup v2: then a cgroup namespace too */
};

/* Owned; NULL: out of memory or a text that is no UTF-8. */
json_t *bundle_config(const struct bundle_spec *spec);

/* Writes it as DIR/config.json, readable by root alone: it holds the environment. */
int bundle_write(const char *dir, const struct bundle_spec *spec, struct error *err);

#endif
