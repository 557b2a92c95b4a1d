/* brain.h - controller/lrp on the event loop: converged soon after a change and when it is due, its
 * events turned into log lines and audit events. */
#ifndef CONTROLLER_BRAIN_H
#define CONTROLLER_BRAIN_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct api;
struct brain;
struct event_base;
struct logs;
struct lrp;
struct nodes;
struct rollouts;
struct store;

/* All borrowed. */
struct brain_deps {
    struct event_base *loop;
    struct store *store;
    struct logs *logs;
    uint64_t spread_quiet_ms; /* as lrp_config's */
};

int brain_new(struct brain **ret, const struct brain_deps *deps, struct error *err);
void brain_free(struct brain *b);
DEFINE_FREEP(brain)

struct lrp *brain_lrp(struct brain *b);
/* Who is told what changed, who takes deployments on, and who writes the events of crashes: all are
 * made later and end earlier than the brain; NULL: nobody. */
void brain_set_nodes(struct brain *b, struct nodes *nodes);
void brain_set_rollouts(struct brain *b, struct rollouts *rollouts);
void brain_set_api(struct brain *b, struct api *api);

/* Writes the events that wait to be written. */
void brain_flush(struct brain *b);

void brain_page(struct brain *b, struct strbuf *out); /* cells, a line each */
void brain_metrics(struct brain *b, struct strbuf *out);

#endif
