/* logs.h - recent log lines of apps, in memory, bounded by bytes a source and in all. Of one that
 * has too much, requests (RTR) are dropped first while they take more than half.
 *
 * Read as log-cache reads: by source (app guid), time range, limit, order. Loop thread only. */
#ifndef CONTROLLER_LOGS_LOGS_H
#define CONTROLLER_LOGS_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct logs;

struct logs_line {
    const char *source_type;     /* "APP/PROC/WEB", "STG", "API", "CELL", "RTR", "HEALTH" */
    const char *source_instance; /* "0" */
    bool err;                    /* STDERR */
    uint64_t wall_ns;
    const char *message; /* bytes, not NUL-terminated */
    size_t message_n;
};

int logs_new(struct logs **ret, size_t max_bytes_per_app, size_t max_bytes, struct error *err);
void logs_free(struct logs *l);
DEFINE_FREEP(logs)

/* Copies. Lines of one app are kept in time order; equal times keep the order of arrival and get
 * distinct times (1 ns apart), so that a reader that goes on after the last time misses none. */
void logs_put(struct logs *l, const char *app_guid, const struct logs_line *line);
void logs_printf(struct logs *l, const char *app_guid, const char *source_type, bool err,
                 uint64_t wall_ns, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void logs_forget(struct logs *l, const char *app_guid);

/* Lines with start <= time < end (end 0: no end), at most `limit`: the oldest, or with `descending`
 * the newest first. Returns how many. */
size_t logs_read(struct logs *l, const char *app_guid, uint64_t start_ns, uint64_t end_ns,
                 size_t limit, bool descending,
                 void (*each)(void *arg, const struct logs_line *line), void *arg);

/* Calls `each` for every line of this app put from now on; remove with logs_unsubscribe(), also
 * from inside `each`, which must not put lines. NULL: no memory. */
struct logs_subscription;
struct logs_subscription *logs_subscribe(struct logs *l, const char *app_guid,
                                         void (*each)(void *arg, const struct logs_line *line),
                                         void *arg);
void logs_unsubscribe(struct logs *l, struct logs_subscription *s);

size_t logs_bytes(const struct logs *l); /* held */

#endif
