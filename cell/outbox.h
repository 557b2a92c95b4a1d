/* outbox.h - log lines on their way to the controller: a bounded queue that drops its oldest.
 *
 * Lines are numbered; a batch repeats until it is acknowledged. What came from a container's log
 * file carries where to read on, told to its origin once the line is acknowledged or dropped. */
#ifndef CELL_OUTBOX_H
#define CELL_OUTBOX_H

#include "bus.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct outbox;

/* Where lines come from. Counted: every line in the outbox holds it. */
struct outbox_origin {
    unsigned refs;
    char *app_guid, *source_instance; /* owned */
    char *source_type;                /* owned: "APP/PROC/WEB" */
    /* Called when lines up to `resume` are done with; may be NULL. `data` may be NULLed by its
     * owner at any time: then it is not called. */
    void (*on_done)(void *data, uint64_t file, uint64_t resume);
    void *data;
};
/* With one reference, the caller's. NULL: no memory. */
struct outbox_origin *outbox_origin_new(const char *app_guid, const char *source_type,
                                        uint32_t index);
void outbox_origin_unref(struct outbox_origin *o);

struct outbox_line {
    const char *source_type; /* static text, or NULL: the origin's */
    Berth__LogStream stream;
    uint64_t wall_ns;
    const char *message;
    size_t message_n;
    uint64_t file, resume; /* which file, and from where to read on after this line; 0, 0: none */
};

#define OUTBOX_BYTES_MIN (1u << 20) /* a reader's chunk of the shortest lines fits twice */
int outbox_new(struct outbox **ret, size_t max_bytes, struct error *err);
void outbox_free(struct outbox *o);
DEFINE_FREEP(outbox)

/* Copies. Makes room by dropping the oldest lines, which are counted. -ENOMEM: this one is counted
 * as lost. */
int outbox_push(struct outbox *o, struct outbox_origin *origin, const struct outbox_line *line);
/* Counts lines that were lost before they got here. */
void outbox_count_lost(struct outbox *o, uint64_t lines);
bool outbox_has_room(const struct outbox *o); /* a reader of files should go on reading */
bool outbox_is_empty(const struct outbox *o); /* also of losses to be told */
size_t outbox_bytes(const struct outbox *o);

/* A new conversation: numbers begin again with 1. */
void outbox_rewind(struct outbox *o);
/* The oldest lines of at most max_bytes (one line at least) as a message, borrowed until the next
 * call on the outbox. NULL: nothing to tell, or no memory. */
const Berth__Logs *outbox_batch(struct outbox *o, size_t max_bytes);
/* Lines before number `next` arrived. A number never sent is ignored. */
void outbox_ack(struct outbox *o, uint64_t next);

struct outbox_counters {
    uint64_t pushed, acknowledged, lost;
};
void outbox_counters(const struct outbox *o, struct outbox_counters *ret);

#endif
