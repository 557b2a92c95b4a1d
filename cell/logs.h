/* logs.h - follows the log files of containers into the outbox.
 *
 * The file is the buffer: a follower reads only while the outbox has room, so a controller that is
 * away costs no line until conmon rotates the file (--log-size-max: the old one is replaced by an
 * empty one; what was not read by then is counted as lost). How far the controller acknowledged is
 * kept in a small file beside, from where a restarted agent reads on: every line at least once (but
 * for what an agent that is killed had read and not yet sent of a file replaced meanwhile).
 * Woken by inotify. Loop thread only. */
#ifndef CELL_LOGS_H
#define CELL_LOGS_H

#include <stdint.h>

#include "cell/outbox.h"
#include "common/base/error.h"
#include "common/base/mem.h"

struct event_base;
struct logs;
struct log_follow;

/* `outbox` is borrowed. `on_lines` tells that it has something to send. */
int logs_new(struct logs **ret, struct event_base *loop, struct outbox *outbox,
             void (*on_lines)(void *data), void *data, struct error *err);
/* No follower may be left. */
void logs_free(struct logs *l);
DEFINE_FREEP(logs)

struct log_source {
    const char *path;          /* conmon's k8s-file */
    const char *position_path; /* ours; made when missing */
    struct outbox_origin *origin;
    int64_t rate_limit; /* bytes a second; -1: none */
};
/* Begins where the position says. Copies; takes a reference on the origin. */
int logs_follow(struct logs *l, const struct log_source *source, struct log_follow **ret,
                struct error *err);
/* The container ended: reads all that is left at once, room or not. */
void log_follow_finish(struct log_follow *f);
void log_follow_free(struct log_follow *f);
DEFINE_FREEP(log_follow)

/* Bytes of messages since the last call. */
uint64_t log_follow_take_bytes(struct log_follow *f);

/* Lines were acknowledged: keeps how far, and goes on reading into the room they left. */
void logs_resume(struct logs *l);
/* One of the agent's own lines: "CELL", "HEALTH", or NULL for the origin's own source. */
void logs_say(struct logs *l, struct outbox_origin *origin, const char *source_type,
              Berth__LogStream stream, uint64_t wall_ns, const char *text);

#endif
