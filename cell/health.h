/* health.h - port and HTTP checks of one instance, by connecting to it from the cell.
 *
 * Two phases, as Diego's: until the first success it is asked often, for at most the timeout;
 * afterwards every interval, where one failure is the end. A check of type process succeeds at
 * once. Texts are Diego's (HEALTH lines and crash reasons). Everything on the loop. */
#ifndef CELL_HEALTH_H
#define CELL_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct event_base;
struct health;

#define HEALTH_TIMEOUT_MS     60000 /* Diego: until the first success */
#define HEALTH_INVOCATION_MS  1000  /* Diego: of one check */
#define HEALTH_INTERVAL_MS    30000 /* Diego: between checks once healthy */
#define HEALTH_FIRST_DELAY_MS 5 /* ours: Diego waits 2 s between checks; a start is told sooner */
#define HEALTH_MAX_DELAY_MS   250

enum health_type { HEALTH_PORT, HEALTH_HTTP, HEALTH_PROCESS };

struct health_config {
    enum health_type type;
    const char *ip; /* copied */
    uint16_t port;
    const char *path;                                /* of HTTP; copied; NULL or "": "/" */
    uint32_t timeout_ms, invocation_ms, interval_ms; /* 0: the defaults above */
    bool was_healthy;                                /* adopted: begins in the second phase */
};

struct health_callbacks {
    void (*on_healthy)(void *data); /* once, unless was_healthy */
    /* Once; nothing follows. `after_ms` is how long it was asked, `detail` borrowed: "Failed to
     * make TCP connection to port 8080: connection refused". */
    void (*on_unhealthy)(void *data, uint64_t after_ms, const char *detail);
    void *data;
};

/* Callbacks come later, from the loop; health_free() is allowed inside them. */
int health_new(struct health **ret, struct event_base *loop, const struct health_config *config,
               const struct health_callbacks *callbacks, struct error *err);
void health_free(struct health *h);
DEFINE_FREEP(health)

/* "1m0.005s", "750ms": as Go prints durations, which people know from Diego. */
void health_format_duration(uint64_t ms, char *buf, size_t n);

#endif
