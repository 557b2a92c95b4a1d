/* keys.h - the master key and what is made with it: nodes' keys; the first run. Commands of
 * berth-controller that do one thing and exit. */
#ifndef CONTROLLER_KEYS_H
#define CONTROLLER_KEYS_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/bus/node.h"

struct controller_config;

/* A master key file: one line "[GEN ]KEY", the key of 32 bytes in hex, mode 0600. GEN, 1 unless
 * given, grows by one with every rotation. */
struct master_key {
    uint8_t gen;
    uint8_t key[BUS_KEY_SIZE];
};
int master_key_read(const char *path, struct master_key *ret, struct error *err);
void master_key_wipe(struct master_key *k); /* guard for _cleanup_ */

/* --init: makes state_dir, the master key and the database with an admin, an org, a space and the
 * shared domain; the admin's password goes to password_file (0600). Run again it changes nothing.
 * *ret_fresh: whether it was the first run. */
int keys_init(const struct controller_config *c, bool *ret_fresh, struct error *err);
/* --check-store: an older database becomes one of this version. -EBUSY: it is in use. */
int keys_check_store(const struct controller_config *c, struct error *err);
/* --make-node-key: writes the identity line for a cell or router, with a new id or --node-id's.
 * `id` gets its id in hex. Needs the master key only: the controller may be running. */
int keys_make_node(const struct controller_config *c, char id[static 2 * BUS_ID_SIZE + 1],
                   struct error *err);

#endif
