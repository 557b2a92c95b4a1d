/* env.h - the environment a container's process gets: the owner's list, placeholders filled,
 * defaults added. Pure. */
#ifndef CELL_CONTAINER_ENV_H
#define CELL_CONTAINER_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct published {
    uint16_t container, host; /* TCP ports */
};

struct env_facts {
    const struct published *ports;
    size_t port_count;
    const char *host_ip, *ip;
    const char *user; /* as the image names it */
    const char *home;
    bool root; /* uid 0: which PATH */
};

/* Owned, NULL-terminated. In values of CF_INSTANCE_*: {{host_port}} is the host port of the first
 * published port (nothing when there is none), {{host_port:8080}} that of container port 8080,
 * {{host_ip}} and {{ip}} the cell's and the container's address. PATH, HOME and USER are added when
 * missing. */
int env_build(const char *const *env, const struct env_facts *facts, char ***ret,
              struct error *err);
void env_free(char **env);
const char *env_get(char *const *env, const char *name); /* NULL: not set */

#endif
