#include "cell/container/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cell/container/beneath.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum {
    FILE_MAX = 4 << 20, /* an /etc/passwd beyond this is no honest one */
    GROUPS_MAX = 1024,  /* supplementary groups taken; the kernel's own bound is 65536 */
    FIELD_COUNT = 7,    /* of passwd(5); group(5) has 4 */
};

void user_fini(struct user *u) {
    free(u->groups);
    free(u->home);
    *u = (struct user){0};
}

/* Splits the next line at ':' into at most FIELD_COUNT fields; the number of fields, 0 at the end.
 */
static size_t next_line(const char **text, struct slice fields[static FIELD_COUNT]) {
    const char *p = *text;
    while (*p) {
        size_t left = strcspn(p, "\n"), count = 0;
        const char *line = p;
        p += left + (p[left] == '\n');
        *text = p;
        if (!left || line[0] == '#')
            continue;
        while (count < FIELD_COUNT) {
            const char *colon = memchr(line, ':', left);
            size_t n = colon ? (size_t)(colon - line) : left;
            fields[count++] = (struct slice){line, n};
            if (!colon)
                break;
            line += n + 1;
            left -= n + 1;
        }
        return count;
    }
    return 0;
}

static int field_id(struct slice s, uint32_t limit, uint32_t *ret) {
    uint64_t value;
    if (parse_u64_slice(slice_trim(s), 0, limit - 1, &value) < 0)
        return -EINVAL;
    *ret = (uint32_t)value;
    return 0;
}

static bool in_list(struct slice list, struct slice name) {
    while (list.n) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t)(comma - list.p) : list.n;
        if (slice_eq(slice_trim((struct slice){list.p, n}), name))
            return true;
        n += comma != NULL;
        list = (struct slice){list.p + n, list.n - n};
    }
    return false;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The file's text; an empty one when it is missing, unreadable or no file: a bare image has none.
 */
static int read_table(int root, const char *path, char **ret, struct error *err) {
    struct error ignored;
    int r = beneath_read(root, path, FILE_MAX, ret, &ignored);
    if (r == -ENOMEM)
        return error_set(err, r, "out of memory");
    if (r < 0 && !(*ret = str_dup("")))
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

/* All digits: it is a number, whether within range or not. */
static bool is_number(struct slice s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

static int out_of_range(const char *what, struct slice s, uint32_t limit, struct error *err) {
    return error_set(err, -EINVAL, "%s %.*s is outside of 0 to %u, the range a container has", what,
                     (int)MIN(s.n, (size_t)64), s.p, limit - 1);
}

/* *ret_name: the name found in passwd, empty when none. */
static int find_user(const char *passwd, struct slice wanted, uint32_t limit, struct user *u,
                     struct slice *ret_name, struct error *err) {
    uint32_t number = 0;
    bool numeric = is_number(wanted);
    if (numeric && field_id(wanted, limit, &number) < 0)
        return out_of_range("user id", wanted, limit, err);
    if (!wanted.n)
        numeric = true; /* root */

    struct slice f[FIELD_COUNT];
    for (size_t n; (n = next_line(&passwd, f)) > 0;) {
        uint32_t uid, gid;
        if (n < 4 || !f[0].n || field_id(f[2], limit, &uid) < 0 || field_id(f[3], limit, &gid) < 0)
            continue;
        if (!slice_eq(f[0], wanted) && !(numeric && uid == number))
            continue;
        u->uid = uid;
        u->gid = gid;
        *ret_name = f[0];
        if (n > 5 && f[5].n && f[5].p[0] == '/') {
            free(u->home);
            if (!(u->home = str_ndup(f[5].p, f[5].n)))
                return error_set(err, -ENOMEM, "out of memory");
        }
        return 0;
    }
    if (!numeric && !slice_eq(wanted, SLICE_LIT("root")))
        return error_set(err, -EINVAL,
                         "unable to find user %.*s: no matching entries in passwd file",
                         (int)MIN(wanted.n, (size_t)64), wanted.p);
    u->uid = number;
    u->gid = 0;
    return 0;
}

static int find_group(const char *group, struct slice wanted, uint32_t limit, uint32_t *ret,
                      struct error *err) {
    if (is_number(wanted))
        return field_id(wanted, limit, ret) < 0 ? out_of_range("group id", wanted, limit, err) : 0;
    struct slice f[FIELD_COUNT];
    for (size_t n; (n = next_line(&group, f)) > 0;)
        if (n >= 3 && slice_eq(f[0], wanted) && field_id(f[2], limit, ret) == 0)
            return 0;
    return error_set(err, -EINVAL, "unable to find group %.*s: no matching entries in group file",
                     (int)MIN(wanted.n, (size_t)64), wanted.p);
}

/* The groups of a process: its primary one, as permissions that a file denies to a group must hold
 * for it too (CVE-2022-36109), and those that list the user `name`. */
static int find_groups(const char *group, struct slice name, uint32_t limit, struct user *u,
                       struct error *err) {
    struct slice f[FIELD_COUNT];
    uint32_t found[GROUPS_MAX], gid;
    size_t count = 0;
    found[count++] = u->gid;
    for (size_t n; name.n && count < GROUPS_MAX && (n = next_line(&group, f)) > 0;)
        if (n >= 4 && in_list(f[3], name) && field_id(f[2], limit, &gid) == 0)
            found[count++] = gid;
    qsort(found, count, sizeof *found, by_value);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++)
        if (found[i] != found[kept - 1])
            found[kept++] = found[i];
    if (!(u->groups = mem_dup(found, kept * sizeof *found)))
        return error_set(err, -ENOMEM, "out of memory");
    u->group_count = kept;
    return 0;
}

int user_find(const char *passwd, const char *group, const char *text, uint32_t limit,
              struct user *ret, struct error *err) {
    _cleanup_(user_fini) struct user u = {0};
    struct slice name = {"", 0};
    int r;
    text = text ? text : "";
    size_t n = strcspn(text, ":");
    struct slice user = {text, n}, of = slice_of(text[n] ? text + n + 1 : "");

    if (!(u.home = str_dup("/")))
        return error_set(err, -ENOMEM, "out of memory");
    if ((r = find_user(passwd, user, limit, &u, &name, err)) < 0)
        return r;
    if (of.n) { /* a group that is given is the only one */
        r = find_group(group, of, limit, &u.gid, err);
        name = (struct slice){"", 0};
    }
    if (r == 0)
        r = find_groups(group, name, limit, &u, err);
    if (r < 0)
        return r;
    *ret = u;
    u = (struct user){0};
    return 0;
}

int user_lookup(int root, const char *text, uint32_t limit, struct user *ret, struct error *err) {
    _cleanup_(freep) char *passwd = NULL, *group = NULL;
    int r;
    if ((r = read_table(root, "/etc/passwd", &passwd, err)) < 0 ||
        (r = read_table(root, "/etc/group", &group, err)) < 0)
        return r;
    return user_find(passwd, group, text, limit, ret, err);
}
