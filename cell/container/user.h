/* user.h - an image's USER, looked up in the container's own /etc/passwd and /etc/group.
 *
 * Forms: "", name, uid, name:group, name:gid, uid:group, uid:gid, and any of them with an empty
 * half. A number need not be listed; a name must be. */
#ifndef CELL_CONTAINER_USER_H
#define CELL_CONTAINER_USER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct user {
    uint32_t uid, gid;
    uint32_t *groups; /* all of them, ascending; owned */
    size_t group_count;
    char *home; /* owned; "/" when unknown */
};

/* `passwd` and `group`: texts of the tables, hostile. Ids must be below `limit`. -EINVAL with what
 * the image's owner can mend. */
int user_find(const char *passwd, const char *group, const char *text, uint32_t limit,
              struct user *ret, struct error *err);
/* The same with the tables of the container whose root `root` is a descriptor of. */
int user_lookup(int root, const char *text, uint32_t limit, struct user *ret, struct error *err);
void user_fini(struct user *u);

#endif
