/* peers.h - other cells as a source of blobs: where they have one, and whom not to ask again soon.
 *
 * A thread that wants a blob asks; the question goes to the loop, whose owner asks the controller,
 * and the answer comes back to the thread. */
#ifndef CELL_IMAGE_PEERS_H
#define CELL_IMAGE_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/bus/token.h"
#include "common/registry/layer_id.h"

struct event_base;
struct peers;
struct registry_config;

#define PEERS_LOCATE_MS   2000 /* for an answer of the controller; then it is as if none had it */
#define PEERS_DISTRUST_MS 300000
/* Slower than PEERS_SLOW_BYTES in that long of waiting for it: another source will do better. */
#define PEERS_SLOW_MS    5000
#define PEERS_SLOW_BYTES (512u * 1024)
#define PEERS_PLACES     3 /* of a blob, at a time */

struct peer_place {
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
    char token[TOKEN_TEXT_SIZE];
    uint8_t secret[TOKEN_SECRET_SIZE]; /* of the token */
    bool coming;                       /* it is on its way there from its registry */
};

/* May it be had without its registry being asked? By whom: common/registry/layer_id.h. */
enum peer_leave {
    LEAVE_NONE,       /* no: nobody showed yet that its repository has it */
    LEAVE_REPOSITORY, /* by apps of the repository that was asked for */
    LEAVE_ALL,        /* by everybody */
};

struct peers_found {
    enum peer_leave leave;
    struct peer_place places[PEERS_PLACES];
    size_t n;
};

struct peers_ops {
    /* On the loop: where is this blob? peers_located() answers, from inside or later. */
    void (*ask)(void *data, const uint8_t id[LAYER_ID_SIZE]);
    /* On the loop: another cell says that our blob is wrong. */
    void (*doubt)(void *data, const uint8_t blob[TOKEN_BLOB_SIZE]);
    void *data;
};

struct peers_config {
    const struct registry_config *registries; /* for what no peer has; borrowed */
    unsigned slow_ms;                         /* 0: PEERS_SLOW_MS */
};

int peers_new(struct peers **ret, struct event_base *loop, const struct peers_config *config,
              const struct peers_ops *ops, struct error *err);
/* No thread may be in it any more. */
void peers_free(struct peers *p);
DEFINE_FREEP(peers)

/* On the loop: answers all who ask for it. NULL: nobody knows. */
void peers_located(struct peers *p, const uint8_t id[LAYER_ID_SIZE],
                   const struct peers_found *found);

/* --- any thread --- */

/* Waits for the answer, at most PEERS_LOCATE_MS and while *stop is false; zeros without one. */
void peers_locate(struct peers *p, const uint8_t id[LAYER_ID_SIZE], const volatile bool *stop,
                  struct peers_found *ret);
/* "address:port" */
void peer_name(const struct peer_place *place, char name[static 64]);
/* It sent wrong bytes: not to be asked for a while. */
void peers_distrust(struct peers *p, const char *name);
bool peers_trusts(struct peers *p, const char *name);
void peers_doubt(struct peers *p, const uint8_t blob[TOKEN_BLOB_SIZE]); /* ours; see peers_ops */
const struct peers_config *peers_config(const struct peers *p);

/* Bytes that peers gave, blobs that one gave the end of, tries that failed, times that one was
 * distrusted. */
struct peers_counters {
    uint64_t bytes, blobs, failures, distrusted;
};
void peers_count(struct peers *p, const struct peers_counters *more);
void peers_counters(struct peers *p, struct peers_counters *ret);

#endif
