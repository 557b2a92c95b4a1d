/* instance_env.h - the environment of one instance: what the controller merged, plus what only the
 * cell knows.
 *
 * Order of precedence, later wins: DesiredLrp.env (image, groups, app), then per instance
 * INSTANCE_GUID, INSTANCE_INDEX, CF_INSTANCE_GUID, CF_INSTANCE_INDEX, PORT, MEMORY_LIMIT,
 * VCAP_APPLICATION with host, instance_id, instance_index and port, and CF_INSTANCE_IP,
 * _INTERNAL_IP, _PORT, _ADDR, _PORTS (placeholders that the container engine fills). Values are
 * literal: no quotes, no $. */
#ifndef CELL_INSTANCE_ENV_H
#define CELL_INSTANCE_ENV_H

#include "bus.pb-c.h"

#include "common/base/error.h"

/* "NAME=value" strings, each name once, NULL-terminated; owned: instance_env_free(). -ENOMEM;
 * -EINVAL for a name that is empty or has '='. */
int instance_env_build(char ***ret, const Berth__Assignment *assignment, struct error *err);
void instance_env_free(char **env);
static inline void instance_env_freep(char ***env) {
    instance_env_free(*env);
}

#endif
