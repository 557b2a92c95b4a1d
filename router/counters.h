/* counters.h - what a worker counts. Written by its thread alone, read by the admin page: relaxed
 * atomics that cost the writer an ordinary add. */
#ifndef ROUTER_COUNTERS_H
#define ROUTER_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* name, Prometheus type, help */
#define ROUTER_COUNTERS(X)                                                                         \
    X(requests, "counter", "Requests received, refused ones too.")                                 \
    X(rejected_requests, "counter", "Requests refused as malformed or too large.")                 \
    X(unknown_routes, "counter", "Requests for a route that does not exist.")                      \
    X(routes_unknown, "counter", "Requests before any route table was known.")                     \
    X(no_endpoints, "counter", "Requests for a route without instances.")                          \
    X(bad_gateways, "counter", "Requests that no instance answered.")                              \
    X(responses_1xx, "counter", "Upgraded connections (101).")                                     \
    X(responses_2xx, "counter", "Responses by status group.")                                      \
    X(responses_3xx, "counter", "Responses by status group.")                                      \
    X(responses_4xx, "counter", "Responses by status group.")                                      \
    X(responses_5xx, "counter", "Responses by status group.")                                      \
    X(retries, "counter", "Attempts on another instance.")                                         \
    X(slow_attempts, "counter", "Those because nothing came back from an instance for a while.")   \
    X(probes, "counter", "Connections to see whether an instance that failed is there.")           \
    X(failed_attempts, "counter", "Attempts on an instance that failed.")                          \
    X(instance_faults, "counter", "Those that found none: refused, unreachable, reset, too late.") \
    X(attempt_timeouts, "counter", "Those that came too late.")                                    \
    X(client_aborts, "counter", "Requests whose client went away.")                                \
    X(request_body_bytes, "counter", "Body bytes from clients.")                                   \
    X(response_body_bytes, "counter", "Body bytes to clients.")                                    \
    X(backend_connects, "counter", "Connections opened to instances.")                             \
    X(backend_reuses, "counter", "Requests that found an open connection.")                        \
    X(tls_handshakes, "counter", "TLS handshakes with clients completed.")                         \
    X(tls_failures, "counter", "TLS handshakes with clients that failed.")                         \
    X(accepted, "counter", "Client connections accepted.")                                         \
    X(accept_pauses, "counter", "Times that accepting paused for want of descriptors.")            \
    X(timeouts, "counter", "Client connections closed for a missed deadline.")                     \
    X(log_lines_dropped, "counter", "Access log lines that could not be written.")                 \
    X(client_connections, "gauge", "Client connections open.")                                     \
    X(active_requests, "gauge", "Requests being served, tunnels too.")                             \
    X(tunnels, "gauge", "Upgraded connections open.")                                              \
    X(backend_connections, "gauge", "Connections to instances open.")

struct counters {
#define X(name, type, help) _Atomic uint64_t name;
    ROUTER_COUNTERS(X)
#undef X
};

static inline void count_add(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
#define COUNT(w, name)        count_add(&(w)->counters.name, 1)
#define COUNT_ADD(w, name, n) count_add(&(w)->counters.name, (n))
#define COUNT_DOWN(w, name)   count_add(&(w)->counters.name, UINT64_MAX)

#endif
