/* USER and an image's tables: the input is USER, passwd and group, separated by NUL. What is found
 * has ids within the range and a group list that is ascending and holds the primary group. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cell/container/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size + 3);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    memset(copy + size, 0, 3);
    const char *user = copy;
    const char *passwd = memchr(user, 0, size) ? user + strlen(user) + 1 : "";
    const char *group =
        passwd > user && passwd + strlen(passwd) < copy + size ? passwd + strlen(passwd) + 1 : "";
    struct user u = {0};
    struct error err = {0};
    int r = user_find(passwd, group, user, LIMIT, &u, &err);
    if (r == 0) {
        bool has_primary = false;
        assert(u.uid < LIMIT && u.gid < LIMIT && u.home[0] == '/' && u.group_count > 0);
        for (size_t i = 0; i < u.group_count; i++) {
            assert(u.groups[i] < LIMIT && (i == 0 || u.groups[i] > u.groups[i - 1]));
            has_primary |= u.groups[i] == u.gid;
        }
        assert(has_primary);
        user_fini(&u);
    } else {
        assert(err.code == r && err.msg[0]);
    }
    free(copy);
    return 0;
}
