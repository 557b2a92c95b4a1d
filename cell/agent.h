/* agent.h - the cell's one owner of everything: image store, container engine, instances, logs, the
 * conversations with the controller. Loop thread only. */
#ifndef CELL_AGENT_H
#define CELL_AGENT_H

#include <stdbool.h>

#include "cell/settings.h"
#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct event_base;
struct evhttp_request;
struct agent;

/* Builds all parts, then adopts what an earlier agent left running. `settings` is borrowed. Fails
 * with -EBUSY when another agent has the state directory. */
int agent_new(struct agent **ret, struct event_base *loop, const struct settings *settings,
              struct error *err);
/* Leaves running containers running. */
void agent_free(struct agent *a);
DEFINE_FREEP(agent)

/* Sends the log lines that wait (a second at most), then ends the loop. Running containers run on,
 * also when the cell was being emptied. */
void agent_stop(struct agent *a);
/* Empties the cell: the controller is told and starts everything elsewhere; what is left after
 * drain_timeout is stopped; then the loop ends. Called again: goes on. */
void agent_evacuate(struct agent *a);
/* What is left is stopped now. False: the cell is not being emptied. */
bool agent_hurry(struct agent *a);

/* For daemon_ops. */
const char *agent_health(struct agent *a);
void agent_metrics(struct agent *a, struct strbuf *out);
void agent_instances_page(struct agent *a, struct strbuf *out);

/* Destroys every container of this cell and removes its bridge, nftables table and cgroups; with
 * with_state its records and layers too. -EBUSY while an agent runs. */
int agent_purge(struct event_base *loop, const struct settings *settings, bool with_state,
                struct error *err);

#endif
