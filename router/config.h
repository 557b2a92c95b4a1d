/* config.h - what berth-router is told: its option table and the values. */
#ifndef ROUTER_CONFIG_H
#define ROUTER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/config.h"

struct router_config {
    char *listen, *listen_tls, *admin, *health;
    char *tls_cert, *tls_key, *tls_sni;
    char *name, *zone, *key_file, *controller, *controller_logs;
    char *state_dir, *access_log, *sticky_cookies;
    char *log_level, *log_format;
    uint64_t workers;
    uint64_t header_timeout_ms, idle_timeout_ms, client_timeout_ms, handshake_timeout_ms;
    uint64_t connect_timeout_ms, endpoint_timeout_ms, continue_timeout_ms, backend_idle_ms;
    uint64_t endpoint_fail_ms, max_idle_per_endpoint, max_attempts;
    uint64_t max_request_header_bytes;
    uint64_t drain_wait_ms, drain_timeout_ms;
    bool sanitize_forwarded_proto, force_forwarded_proto_https;
};

extern const struct config_spec router_config_spec;

/* What the table cannot say: options that need each other, sizes that depend on the machine.
 * 0 or -EINVAL with *err filled. */
int router_config_check(struct router_config *c, struct error *err);

#endif
