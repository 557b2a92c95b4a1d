/* config.h - what an operator may set of the controller. */
#ifndef CONTROLLER_CONFIG_H
#define CONTROLLER_CONFIG_H

#include "common/base/config.h"
#include "common/registry/registry.h"

struct controller_config {
    char *state_dir;
    char *api_listen, *api_cert, *api_key, *api_url;
    char *bus_control, *bus_logs;
    char *master_key_file, *previous_master_key_file, *secrets_key_file, *previous_secrets_key_file;
    char *revoked_file;
    char *admin;
    char *default_domain;
    char *log_level, *log_format;
    uint64_t max_memory, max_disk, max_instances, default_memory, default_disk;
    uint64_t staging_in_flight;
    bool spread;
    uint64_t spread_quiet; /* s */
    uint64_t log_bytes_per_app, log_bytes;
    char *allowed_registries; /* "registries"; in `registries` too, as are the sections */
    struct registry_config *registries;

    /* Not of the daemon: do one thing and exit. */
    bool init, check_store;
    char *password_file, *org, *space;
    char *make_node_key, *node_id, *out, *revoke_node, *backup;
};

extern const struct config_spec controller_config_spec;

/* config_load() that also takes "--init" without a value. Then checks what a table cannot say and
 * fills paths that follow from state_dir. As config_load(). */
int controller_config_load(struct controller_config *c, int argc, char **argv, struct error *err);
void controller_config_fini(struct controller_config *c);

#endif
