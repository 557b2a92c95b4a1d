/* namespaces.h - a container's user and network namespace, made ahead of the runtime, and moving a
 * worker thread into mount and network namespaces and back.
 *
 * They are made first because the layers are mounted with the user namespace's mapping, because the
 * network is set up while the runtime starts, and because the network namespace must belong to that
 * user namespace: then the container may mount /sys and bind low ports. */
#ifndef CELL_CONTAINER_NAMESPACES_H
#define CELL_CONTAINER_NAMESPACES_H

#include <stdint.h>

#include "common/base/error.h"

struct namespaces {
    int user, net; /* owned descriptors; -1: none */
};

#define NAMESPACES_NONE ((struct namespaces){.user = -1, .net = -1})

/* Ids 0..range-1 inside are first_id.. outside. They live as long as a process or descriptor. */
int namespaces_make(uint32_t first_id, uint32_t range, struct namespaces *ret, struct error *err);
void namespaces_close(struct namespaces *ns);
/* Binds them to these files in the calling thread's mount namespace: there they live as long as it
 * does, and a process in it finds them whatever becomes of us. */
int namespaces_pin(const struct namespaces *ns, const char *user_at, const char *net_at,
                   struct error *err);

/* Gives the calling thread a mount namespace of its own: a copy of the host's from which nothing
 * flows back. What it starts shares it; it ends with its last process. */
int mounts_enter(struct error *err);
/* A descriptor of the calling thread's mount namespace, and the way back into it. */
int mounts_open(struct error *err);
int mounts_reenter(int mounts, struct error *err);
/* Moves the calling thread into a network namespace. */
int net_enter(int net, struct error *err);

/* Descriptors of the process's own namespaces; opened before any thread moves. */
int own_namespaces(int *ret_mounts, int *ret_net, struct error *err);
/* Back to the process's own ones. Ends the process when the kernel refuses: the thread would do
 * another's work in a container's namespace. */
void mounts_leave(int own_mounts);
void net_leave(int own_net);

#endif
