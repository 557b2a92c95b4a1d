#include "router/config.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "router/buf.h"

#define OFFSET(member) offsetof(struct router_config, member)

#define STRING(member, def, help)                                                                  \
    { #member, OPTION_STRING, OFFSET(member), def, 0, 0, false, help }
#define NUMBER(member, def, min, max, help)                                                        \
    { #member, OPTION_U64, OFFSET(member), def, min, max, false, help }
#define FLAG(member, def, help)                                                                    \
    { #member, OPTION_BOOL, OFFSET(member), def, 0, 0, false, help }

#define HOUR  3600000u
#define NEVER (24u * HOUR)

/* Defaults are Gorouter's job defaults unless the line says otherwise. */
static const struct option options[] = {
    STRING(listen, "0.0.0.0:8080", "host:port for HTTP; empty: none"),
    STRING(listen_tls, NULL, "host:port for HTTPS; needs tls_cert and tls_key"),
    STRING(tls_cert, NULL, "PEM certificate chain: the default certificate"),
    STRING(tls_key, NULL, "PEM private key of tls_cert"),
    STRING(tls_sni, NULL, "file with further certificates: lines of \"CERT-FILE KEY-FILE\""),
    STRING(admin, "127.0.0.1:7420", "host:port of /healthz, /metrics and /routes; empty: none"),
    STRING(health, NULL, "host:port of /health for load balancers and DNS; empty: none"),
    STRING(name, "router", "for people: in the controller's logs"),
    STRING(zone, NULL, "availability zone"),
    STRING(key_file, NULL, "this node's key for the bus"),
    STRING(controller, NULL, "the controller's bus, tcp://host:port; empty: saved routes only"),
    STRING(controller_logs, NULL, "the controller's bus for logs; empty: no access lines to apps"),
    STRING(state_dir, "/var/lib/berth/router", "where the last route table is kept; empty: none"),
    STRING(access_log, NULL, "file to append the access log to; empty: none"),
    LOG_OPTIONS(struct router_config),
    NUMBER(workers, "0", 0, 256, "event loops; 0: one a core"),
    NUMBER(header_timeout_ms, "15000", 100, HOUR, "for a whole request head (Gorouter: none)"),
    NUMBER(idle_timeout_ms, "900000", 100, NEVER, "between requests of a connection"),
    NUMBER(client_timeout_ms, "60000", 100, NEVER, "client sends or takes no byte"),
    NUMBER(handshake_timeout_ms, "10000", 100, HOUR, "for the TLS handshake"),
    NUMBER(connect_timeout_ms, "5000", 10, HOUR, "connecting to an instance"),
    NUMBER(endpoint_timeout_ms, "900000", 100, NEVER, "an instance sends or takes no byte"),
    NUMBER(continue_timeout_ms, "1000", 0, HOUR, "an instance's answer to Expect: 100-continue"),
    NUMBER(backend_idle_ms, "90000", 0, HOUR, "unused connections to instances are kept"),
    NUMBER(endpoint_fail_ms, "30000", 0, HOUR, "an instance that failed is passed over"),
    NUMBER(max_idle_per_endpoint, "100", 0, 10000, "unused connections kept, per event loop"),
    NUMBER(max_attempts, "3", 1, 8, "instances tried for a request"),
    {"max_request_header_bytes", OPTION_BYTES, OFFSET(max_request_header_bytes), "64K", 1024,
     BUF_READ, false, "request line and headers (Gorouter: 1M)"},
    NUMBER(drain_wait_ms, "20000", 0, HOUR, "after SIGTERM: unhealthy but serving, for balancers"),
    NUMBER(drain_timeout_ms, "30000", 0, HOUR, "then: for active requests (Gorouter: 900 s)"),
    FLAG(sanitize_forwarded_proto, "false", "overwrite the client's X-Forwarded-Proto"),
    FLAG(force_forwarded_proto_https, "false", "X-Forwarded-Proto is always https"),
    STRING(sticky_cookies, "JSESSIONID", "cookies that make a session, by comma"),
};

const struct config_spec router_config_spec = {
    .program = "berth-router",
    .summary = "takes requests from the world and forwards each to a healthy instance",
    .options = options,
    .option_count = ARRAY_SIZE(options),
};

int router_config_check(struct router_config *c, struct error *err) {
    if (str_empty(c->listen) && str_empty(c->listen_tls))
        return error_set(err, -EINVAL, "neither listen nor listen_tls is set");
    if (!str_empty(c->listen_tls) && (str_empty(c->tls_cert) || str_empty(c->tls_key)))
        return error_set(err, -EINVAL, "listen_tls needs tls_cert and tls_key");
    if (!str_empty(c->controller) && str_empty(c->key_file))
        return error_set(err, -EINVAL, "controller needs key_file");
    if (c->workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        c->workers = cores > 0 ? (uint64_t)cores : 1;
    }
    return 0;
}
