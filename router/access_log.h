/* access_log.h - one line a request, in Gorouter's format (see README.md), written in batches.
 *
 * Each worker fills a batch of its own and hands it to the shared sink when it is full or at its
 * next tick (100 ms), and at its end. The sink appends to the file with one write, and, when the
 * controller takes app logs, puts the lines into the ring that the feed sends from. */
#ifndef ROUTER_ACCESS_LOG_H
#define ROUTER_ACCESS_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/str.h"
#include "router/log_ring.h"

/* Longest values, as Gorouter cuts them for the app's log. */
#define ACCESS_TARGET_MAX 20000u
#define ACCESS_VALUE_MAX  1000u
#define ACCESS_LINE_MAX   49152u /* all of it, with everything escaped */

struct access_record {
    struct slice host, method, target, referer, user_agent;
    struct slice forwarded_for, forwarded_for_tail; /* printed with ", " between when both */
    struct slice forwarded_proto;
    struct slice client;  /* "ip:port" */
    struct slice backend; /* "ip:port", empty when none */
    struct slice request_id, app_guid, app_index, instance_id, router_error;
    unsigned minor;
    int status; /* 0: none */
    uint64_t bytes_in, bytes_out;
    uint64_t arrived_wall_ns;
    uint64_t response_ns; /* arrival to the end of the response */
    uint64_t backend_ns;  /* of this, at the instance; 0 when there was none */
};

struct access_sink {
    int fd;     /* owned; -1: no file */
    char *path; /* owned */
    pthread_mutex_t lock;
    struct log_ring *ring; /* owned; NULL: lines do not go to the apps' logs */
};

#define ACCESS_BATCH_BYTES (2u * ACCESS_LINE_MAX + 65536u)
#define ACCESS_BATCH_LINES 512u

struct access_batch {
    struct access_sink *sink; /* borrowed; NULL until set */
    char *text;               /* owned, ACCESS_BATCH_BYTES */
    size_t n;
    struct log_ring_entry *entries; /* owned, ACCESS_BATCH_LINES; point into text */
    unsigned count;
    const char *guid; /* where the last line formatted has its app's guid */
    uint64_t second;  /* that `date` is for */
    char date[20];
    uint64_t dropped; /* lines lost since the start: the file could not be written */
};

/* `path` NULL or empty: no file. ring_bytes 0: no ring. */
int access_sink_open(struct access_sink *s, const char *path, size_t ring_bytes, struct error *err);
int access_sink_reopen(struct access_sink *s, struct error *err); /* after rotation */
void access_sink_close(struct access_sink *s);

int access_batch_init(struct access_batch *b, struct access_sink *sink);
void access_batch_fini(struct access_batch *b); /* flushes */
bool access_batch_wanted(const struct access_batch *b);
void access_batch_add(struct access_batch *b, const struct access_record *r);
void access_batch_flush(struct access_batch *b);

/* The line alone, without LF, into dst of at least ACCESS_LINE_MAX bytes; returns its length. */
size_t access_format(struct access_batch *b, const struct access_record *r, char *dst);

#endif
