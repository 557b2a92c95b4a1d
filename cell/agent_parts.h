/* agent_parts.h - what agent.c, adopt.c, purge.c and status.c share: the agent's insides. */
#ifndef CELL_AGENT_PARTS_H
#define CELL_AGENT_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/agent.h"
#include "cell/container/container.h"
#include "cell/image/image.h"
#include "cell/image/peer_server.h"
#include "cell/image/peers.h"
#include "cell/instance.h"
#include "cell/logs.h"
#include "cell/outbox.h"
#include "cell/records.h"
#include "cell/settings.h"
#include "cell/sync.h"

enum evacuation {
    EVACUATION_NONE,
    EVACUATION_WAITING,  /* for the instances to run elsewhere */
    EVACUATION_NOTICED,  /* for routers to hear that the rest is about to stop */
    EVACUATION_STOPPING, /* for the rest to end */
};

#define ENDED_KEPT 1024 /* guids that have ended: an old page may still name them */

/* An instance with what the agent keeps for it. */
struct tracked {
    struct agent *agent;
    struct instance *in;
    struct outbox_origin *origin; /* one reference */
    struct log_follow *follow;    /* NULL: no container, or read to its end */
    bool acknowledged;            /* the controller knows its end */
    enum instance_state logged;
    uint64_t cpu_ns, sampled_ms; /* of the last statistics */
    struct tracked *prev, *next;
};

struct agent {
    const struct settings *settings; /* borrowed */
    struct event_base *loop;         /* borrowed */
    int lock;                        /* of the state directory */
    Berth__Capacity total;
    struct bus_identity identity;
    struct image_store *store;
    struct peers *peers; /* NULL: layers come from registries only, as for the next two */
    struct peer_server *peer_server;
    struct holdings_giver giver;
    struct container_engine *engine;
    struct records *records;
    struct outbox *outbox;
    struct logs *logs;
    struct sync *sync;
    struct tracked *instances; /* oldest first */
    struct launch_defaults defaults;
    struct event *deadline, *stats, *reap, *flush;
    enum evacuation evacuation;
    struct event *evacuation_look;
    uint64_t evacuation_end_ms; /* of its state */
    char ended[ENDED_KEPT][65]; /* a ring of guids */
    size_t ended_next;
    bool stopping;
    struct {
        uint64_t started, crashed, stopped, platform_faults, out_of_memory, adopted;
    } counters;
};

struct tracked *agent_find(struct agent *a, const char *guid);
/* A new instance, not begun. NULL: *err says why. */
struct tracked *agent_track(struct agent *a, const Berth__Assignment *assignment,
                            struct error *err);
void agent_tell(struct agent *a, Berth__ActualLrp *lrp); /* the controller */
void agent_free_capacity(const struct agent *a, Berth__Capacity *ret);

/* layers.c: layers from other cells and for them. Before the store is made; when all is there. */
int agent_open_peers(struct agent *a, struct error *err);
int agent_start_giving(struct agent *a, struct error *err);
void agent_on_places(void *data, const uint8_t id[LAYER_ID_SIZE], const Berth__Places *places);
void agent_peer_stats(const struct agent *a, struct peers_counters *got,
                      struct peer_server_stats *given); /* zeros without peers */
int agent_on_keep(void *data, const struct holdings_kept *list, size_t n);

/* adopt.c: takes over every container and every outcome that an earlier agent left. */
int agent_adopt(struct agent *a, struct error *err);

/* evacuate.c: the cell itself is about to stop what runs: no state is told but that. */
bool agent_gives_up_instances(const struct agent *a);

/* setup.c */
/* Two agents on one state directory would each undo what the other does: -EBUSY. */
int agent_lock(const struct settings *s, int *ret, struct error *err);
int agent_open_engine(struct container_engine **ret, struct event_base *loop,
                      const struct settings *s, struct error *err);

#endif
