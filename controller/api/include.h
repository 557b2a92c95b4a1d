/* include.h - `include=space,user`: related resources beside a list, or beside one resource.
 *
 *     _cleanup_(including_fini) struct including in;
 *     including_init(&in, c);
 *     include(&in, INCLUDE_SPACES, row.space_guid);            for each row
 *     reply_list(..., including_take(&in))  or  reply_json(c, 200, including_with(&in, one)) */
#ifndef CONTROLLER_API_INCLUDE_H
#define CONTROLLER_API_INCLUDE_H

#include <jansson.h>

struct call;

enum include_kind {
    INCLUDE_SPACES,
    INCLUDE_ORGS,
    INCLUDE_USERS,
    INCLUDE_DOMAINS,
    INCLUDE_APPS,
    INCLUDE_SERVICES,
    INCLUDE_COUNT,
};

struct including {
    struct call *c;  /* borrowed */
    unsigned wanted; /* bits 1 << include_kind */
    json_t *seen;    /* owned; the guids that are there */
    json_t *lists;   /* owned; {"spaces":[...]} */
};

void including_init(struct including *in, struct call *c);
void including_fini(struct including *in);
/* Nothing when the request does not want it, when it is there, or cannot be found. */
void include(struct including *in, enum include_kind kind, const char *guid);
/* {"spaces":[...]}, for what was asked for; borrowed. NULL: nothing was. */
json_t *including_lists(struct including *in);
json_t *including_take(struct including *in); /* the same, owned by the caller */
/* `one` (taken) with its "included". */
json_t *including_with(struct including *in, json_t *one);

#endif
