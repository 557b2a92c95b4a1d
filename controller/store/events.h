/* events.h - the audit log: who did what, and what happened to apps. */
#ifndef CONTROLLER_STORE_EVENTS_H
#define CONTROLLER_STORE_EVENTS_H

#include "controller/store/store.h"

/* Filters: guids types target_guids space_guids organization_guids. */
struct event_row {
    STORE_ROW_HEAD;
    char *type;       /* "audit.app.start", "app.crash" */
    char *actor_guid; /* a user's guid, or a process's */
    char *actor_type, *actor_name;
    char *target_guid, *target_type, *target_name;
    char *data; /* JSON object; NULL: {} */
    char space_guid[GUID_SIZE], org_guid[GUID_SIZE];
};
STORE_DECLARE(event)

/* Deletes events made before. */
int store_event_prune(struct store *s, uint64_t before_ns, struct error *err);

#endif
