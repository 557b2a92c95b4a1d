/* adopt.c - what an earlier agent left: containers that run on or have ended, outcomes untold. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <utlist.h>

#include "cell/agent_parts.h"
#include "common/base/log.h"

/* What container_adopt() found, until it has returned. */
struct found {
    struct agent *agent;
    struct container *c;
    Berth__ContainerNote *note; /* owned; NULL when damaged */
    struct found *next;
};

static void on_found(void *arg, struct container *c, const void *note, size_t note_n) {
    struct found **list = arg;
    struct found *f = mem_zalloc(sizeof *f);
    if (!f) {
        log_error("out of memory: a container is left alone", "id=%s", container_id(c));
        return;
    }
    f->c = c;
    f->note = berth__container_note__unpack(NULL, note_n, note);
    LL_APPEND(*list, f);
}

static void on_stranger_destroyed(void *arg, const struct error *err) {
    (void)arg;
    if (err)
        log_error("cannot destroy a container without a note", "why=%s", log_quote(err->msg));
}

/* A container whose note nobody can read is nobody's: the controller does not know it either. */
static void destroy_stranger(struct container *c) {
    struct error err = {0};
    log_warn("destroying a container whose note is damaged", "id=%s", container_id(c));
    if (container_destroy(c, on_stranger_destroyed, NULL, &err) < 0)
        on_stranger_destroyed(NULL, &err);
}

static int adopt_one(struct agent *a, struct found *f, struct error *err) {
    struct tracked *t;
    const Berth__Assignment *assignment = f->note ? f->note->assignment : NULL;
    if (!assignment || wanted_check(assignment, NULL) < 0 ||
        !str_eq(assignment->instance_guid, container_id(f->c))) {
        destroy_stranger(f->c);
        return 0;
    }
    if (!(t = agent_track(a, assignment, err)))
        return -ENOMEM;
    Berth__InstanceRecord *record = records_read(a->records, assignment->instance_guid);
    a->counters.adopted++;
    instance_adopt(t->in, f->c, f->note, record);
    if (record)
        berth__instance_record__free_unpacked(record, NULL);
    return 0;
}

/* A record without a container: its outcome is still to be told, or there is nothing to tell. A
 * task that may have run has one in any case. */
static void on_record(void *arg, const char *guid) {
    struct agent *a = arg;
    if (agent_find(a, guid))
        return;
    Berth__InstanceRecord *record = records_read(a->records, guid);
    const Berth__ActualLrp *outcome = !record           ? NULL
                                      : record->outcome ? record->outcome
                                                        : record->if_lost;
    struct tracked *t = NULL;
    if (outcome && str_eq(outcome->instance_guid, guid)) {
        Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
        Berth__Assignment assignment = BERTH__ASSIGNMENT__INIT;
        lrp.process_guid = outcome->process_guid;
        lrp.app_guid = outcome->app_guid;
        lrp.memory_mb = outcome->memory_mb;
        lrp.disk_mb = outcome->disk_mb;
        assignment.instance_guid = outcome->instance_guid;
        assignment.index = outcome->index;
        assignment.lrp = &lrp;
        t = agent_track(a, &assignment, NULL);
        if (t)
            instance_adopt_outcome(t->in, outcome);
    }
    if (!t)
        records_forget(a->records, guid);
    if (record)
        berth__instance_record__free_unpacked(record, NULL);
}

int agent_adopt(struct agent *a, struct error *err) {
    struct found *list = NULL, *f, *tmp;
    int r = container_adopt(a->engine, on_found, &list, err);
    LL_FOREACH_SAFE (list, f, tmp) {
        if (r == 0)
            r = adopt_one(a, f, err);
        if (f->note)
            berth__container_note__free_unpacked(f->note, NULL);
        free(f);
    }
    if (r < 0)
        return error_wrap(err, "adopting containers");
    if (a->counters.adopted)
        log_info("adopted containers", "count=%" PRIu64, a->counters.adopted);
    return records_each(a->records, on_record, a, err);
}
