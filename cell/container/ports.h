/* ports.h - host ports: a pool whose memory outlives the agent, and the machine's run.
 *
 * A router that hears of a container's end late may still send requests to its port: within the
 * rest that must be nobody's, and after it rather not another app's. So the file keeps whose turn
 * it is and since when each port rests. It is written in place, without waiting for the disk: whole
 * after a kill of the agent; after a crash of the machine perhaps some seconds old, and then the
 * turn is put forward by more than was given out in them. Loop thread. */
#ifndef CELL_CONTAINER_PORTS_H
#define CELL_CONTAINER_PORTS_H

#include "cell/container/ids.h"

#define BOOT_ID_SIZE 37

struct ports {
    struct pool pool; /* of port - first */
    unsigned first;
    int fd; /* owned */
};

/* Fails only when the file cannot be opened or memory is out: what is not readable in it is as if
 * it was not there. The times of now: monotonic (since boot) and wall clock. */
int ports_open(struct ports *p, const char *path, unsigned first, unsigned count, uint64_t rest_ms,
               const char *boot_id, uint64_t now_ms, uint64_t wall_s, struct error *err);
void ports_close(struct ports *p); /* ports that are taken stay so for the next one to claim */

/* A port, or a negative errno with *err filled: -ENOSPC, -EAGAIN as pool_take(), or the file's. */
int ports_take(struct ports *p, uint64_t now_ms, struct error *err);
int ports_claim(struct ports *p, unsigned port); /* 0, -EEXIST; -ERANGE: of another range */
void ports_give(struct ports *p, unsigned port, uint64_t now_ms, uint64_t wall_s);

#endif
