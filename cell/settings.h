/* settings.h - every key of berth-cell's configuration. */
#ifndef CELL_SETTINGS_H
#define CELL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/config.h"
#include "common/base/error.h"

struct registry_config;

struct settings {
    char *controller, *controller_logs; /* "tcp://host:port" */
    char *key_file, *name, *zone, *address;
    char *state_dir, *run_dir, *prefix;
    char *subnet, *dns, *allow_networks, *deny_networks, *runtime;
    uint64_t id_base, id_range, port_first, port_count, port_rest;
    uint64_t memory, disk, max_containers; /* bytes; 0: what the host has */
    uint64_t default_disk, default_pids, default_nofile;
    uint64_t max_layer, max_image, max_entries, max_ratio, cache, pull_threads;
    char *peer_address;            /* "": `address` */
    uint64_t peer_port, peer_rate; /* 0: no layers from or for other cells; bytes a second */
    uint64_t log_buffer;
    bool drain;
    uint64_t drain_timeout; /* seconds */
    char *admin, *log_level, *log_format;
    char *allowed_registries; /* "registries"; in `registries` too, as are the sections */
    struct registry_config *registries;
};

/* An enum config_outcome, or a negative errno. `s` is zeroed by the caller; settings_fini() also
 * after a failure. */
int settings_load(struct settings *s, int argc, char **argv, struct error *err);
void settings_fini(struct settings *s); /* guard for _cleanup_ */

#endif
