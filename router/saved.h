/* saved.h - the route table kept on disk for the next run: where it lies, whose it is, and until
 * when it may be used. Main thread.
 *
 * A router that comes back while the controller is away serves what it served before. The file's
 * time says until when that was, and goes on as long as it is: a file that is much older speaks of
 * host ports that may be other apps' by now. */
#ifndef ROUTER_SAVED_H
#define ROUTER_SAVED_H

#include "common/bus/node.h"
#include "router/config.h"
#include "router/routes.h"

struct saved {
    char *path;                     /* owned; NULL: nothing is kept */
    char node[2 * BUS_ID_SIZE + 1]; /* hex; empty without a controller: then any table will do */
    bool is_ours;                   /* the file is what the router serves */
    uint64_t renewed_ms;
};

/* Makes the directory. Nothing is kept when there is no state_dir. */
int saved_open(struct saved *s, const struct router_config *config, struct error *err);
void saved_close(struct saved *s);

/* Into `routes`, which stay as they are on failure. -ENOENT: there is none; -ESTALE: too old, or of
 * another router (another cluster's, say); -EINVAL: damaged. */
int saved_load(struct saved *s, struct routes *routes, unsigned *ret_skipped, struct error *err);
int saved_write(struct saved *s, const struct routes *routes, struct error *err);
/* From time to time: it is still served. */
void saved_renew(struct saved *s, uint64_t now_ms);

#endif
