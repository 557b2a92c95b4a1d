/* flags.h - Cloud Controller's feature flags; what was never set has its default. */
#ifndef CONTROLLER_STORE_FLAGS_H
#define CONTROLLER_STORE_FLAGS_H

#include "controller/store/store.h"

struct flag {
    const char *name; /* of a constant table */
    bool enabled;
    char *error_message; /* owned; NULL: none */
    uint64_t updated_ns; /* 0: never set */
};
void flag_fini(struct flag *f);

size_t store_flag_count(void);
const char *store_flag_name(size_t i); /* in the order of their names */

int store_flag_get(struct store *s, const char *name, struct flag *ret,
                   struct error *err); /* -ENOENT */
/* error_message NULL: none. */
int store_flag_set(struct store *s, const char *name, bool enabled, const char *error_message,
                   struct error *err);
/* False also when it cannot be read. */
bool store_flag_enabled(struct store *s, const char *name);

#endif
