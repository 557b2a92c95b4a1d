#include "cell/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "common/base/str.h"

#define LINE_OVERHEAD   160 /* of a queued line beside its message: struct and allocator */
#define WIRE_OVERHEAD   96  /* of a line on the wire beside its message: guid, source, time */
#define MAX_BATCH_LINES 2048

struct queued {
    struct outbox_origin *origin; /* one reference */
    const char *source_type;
    Berth__LogStream stream;
    uint64_t wall_ns, file, resume;
    struct queued *prev, *next;
    size_t message_n;
    char message[];
};

struct outbox {
    size_t max_bytes, bytes, count;
    struct queued *lines; /* oldest first */
    uint64_t first;       /* number of lines->, or of the one to come */
    uint64_t sent;        /* numbers below were sent in this conversation */
    uint64_t lost;        /* not yet told */
    uint64_t lost_in_batch;
    Berth__Logs batch; /* what the last batch points to */
    Berth__LogLine *batch_lines, **batch_pointers;
    size_t batch_cap;
    struct outbox_counters counters;
};

struct outbox_origin *outbox_origin_new(const char *app_guid, const char *source_type,
                                        uint32_t index) {
    struct outbox_origin *o = mem_zalloc(sizeof *o);
    if (!o)
        return NULL;
    o->refs = 1;
    o->app_guid = str_dup(app_guid);
    o->source_type = str_dup(source_type);
    o->source_instance = str_printf("%u", index);
    if (!o->app_guid || !o->source_type || !o->source_instance) {
        outbox_origin_unref(o);
        return NULL;
    }
    return o;
}

void outbox_origin_unref(struct outbox_origin *o) {
    if (!o || --o->refs)
        return;
    free(o->app_guid);
    free(o->source_type);
    free(o->source_instance);
    free(o);
}

int outbox_new(struct outbox **ret, size_t max_bytes, struct error *err) {
    struct outbox *o = mem_zalloc(sizeof *o);
    if (!o)
        return error_set(err, -ENOMEM, "out of memory");
    o->max_bytes = max_bytes;
    o->first = o->sent = 1;
    *ret = o;
    return 0;
}

static void remove_oldest(struct outbox *o) {
    struct queued *q = o->lines;
    DL_DELETE(o->lines, q);
    o->bytes -= q->message_n + LINE_OVERHEAD;
    o->count--;
    o->first++;
    if (q->resume && q->origin->data && q->origin->on_done)
        q->origin->on_done(q->origin->data, q->file, q->resume);
    outbox_origin_unref(q->origin);
    free(q);
}

void outbox_free(struct outbox *o) {
    if (!o)
        return;
    struct queued *q, *tmp;
    DL_FOREACH_SAFE (o->lines, q, tmp) { /* not on_done(): these were not done with */
        outbox_origin_unref(q->origin);
        free(q);
    }
    free(o->batch_lines);
    free(o->batch_pointers);
    free(o);
}

void outbox_count_lost(struct outbox *o, uint64_t lines) {
    o->lost += lines;
    o->counters.lost += lines;
}

int outbox_push(struct outbox *o, struct outbox_origin *origin, const struct outbox_line *line) {
    size_t cost = line->message_n + LINE_OVERHEAD;
    while (o->lines && o->bytes + cost > o->max_bytes) {
        remove_oldest(o);
        outbox_count_lost(o, 1);
    }
    struct queued *q = malloc(sizeof *q + line->message_n);
    if (!q) {
        outbox_count_lost(o, 1);
        return -ENOMEM;
    }
    *q = (struct queued){
        .origin = origin,
        .source_type = line->source_type,
        .stream = line->stream,
        .wall_ns = line->wall_ns,
        .file = line->file,
        .resume = line->resume,
        .message_n = line->message_n,
    };
    memcpy(q->message, line->message, line->message_n);
    origin->refs++;
    DL_APPEND(o->lines, q);
    o->bytes += cost;
    o->count++;
    o->counters.pushed++;
    return 0;
}

/* Half of the room is for readers of files, which can wait; the rest for lines that cannot. */
bool outbox_has_room(const struct outbox *o) {
    return o->bytes < o->max_bytes / 2;
}

bool outbox_is_empty(const struct outbox *o) {
    return !o->lines && !o->lost;
}

size_t outbox_bytes(const struct outbox *o) {
    return o->bytes;
}

void outbox_rewind(struct outbox *o) {
    o->first = o->sent = 1;
    o->lost_in_batch = 0;
}

static bool reserve_batch(struct outbox *o, size_t n) {
    if (n <= o->batch_cap)
        return true;
    size_t cap = MAX(n, (size_t)64);
    Berth__LogLine *lines = mem_resize(o->batch_lines, cap, sizeof *lines);
    if (lines)
        o->batch_lines = lines;
    Berth__LogLine **pointers = mem_resize(o->batch_pointers, cap, sizeof *pointers);
    if (pointers)
        o->batch_pointers = pointers;
    if (lines && pointers)
        o->batch_cap = cap;
    return lines && pointers;
}

const Berth__Logs *outbox_batch(struct outbox *o, size_t max_bytes) {
    size_t n = 0, bytes = 0;
    if (outbox_is_empty(o))
        return NULL;
    for (struct queued *q = o->lines; q && n < MAX_BATCH_LINES; q = q->next, n++) {
        bytes += q->message_n + WIRE_OVERHEAD;
        if (n && bytes > max_bytes)
            break;
    }
    if (!reserve_batch(o, n))
        return NULL;
    struct queued *q = o->lines;
    for (size_t i = 0; i < n; i++, q = q->next) {
        berth__log_line__init(&o->batch_lines[i]);
        o->batch_lines[i].app_guid = q->origin->app_guid;
        o->batch_lines[i].source_instance = q->origin->source_instance;
        o->batch_lines[i].source_type =
            q->source_type ? (char *)(uintptr_t)q->source_type : q->origin->source_type;
        o->batch_lines[i].stream = q->stream;
        o->batch_lines[i].wall_ns = q->wall_ns;
        o->batch_lines[i].message = (ProtobufCBinaryData){q->message_n, (uint8_t *)q->message};
        o->batch_pointers[i] = &o->batch_lines[i];
    }
    berth__logs__init(&o->batch);
    o->batch.first = o->first;
    o->batch.lost_before = o->lost_in_batch = o->lost;
    o->batch.lines = o->batch_pointers;
    o->batch.n_lines = n;
    o->sent = o->first + n;
    return &o->batch;
}

/* Lines may have been dropped while the batch was under way: o->first is beyond them already. */
void outbox_ack(struct outbox *o, uint64_t next) {
    if (next > o->sent)
        return;
    o->lost -= MIN(o->lost, o->lost_in_batch);
    o->lost_in_batch = 0;
    while (o->lines && o->first < next) {
        remove_oldest(o);
        o->counters.acknowledged++;
    }
}

void outbox_counters(const struct outbox *o, struct outbox_counters *ret) {
    *ret = o->counters;
}
