/* access.c - who may do what, decided in one place: an endpoint declares the access that it needs
 * (endpoints.c), a role gives rights (the table below), and every loader asks here.
 *
 * A handler finds out which space or org its object lies in and calls need_space() or need_org();
 * dispatch refuses to commit what an endpoint did without having asked. */
#include <errno.h>

#include "controller/api/internal.h"
#include "controller/store/flags.h"

#define R BIT(ACCESS_READ)
#define S BIT(ACCESS_SECRETS)
#define O BIT(ACCESS_OPERATE)
#define W BIT(ACCESS_WRITE)
#define M BIT(ACCESS_MANAGE)

/* docs: "Orgs, spaces, roles, and permissions"; cc: lib/cloud_controller/permissions.rb. A role in
 * an org counts in all its spaces; a role in a space lets its holder see the org. */
/* clang-format off */
static const struct {
    enum store_role role;
    unsigned in_org, in_space;
} rights[] = {
    {STORE_ORG_USER,        R,     0},
    {STORE_ORG_AUDITOR,     R,     0},
    {STORE_ORG_BILLING,     R,     0},
    {STORE_ORG_MANAGER,     R | M, R | M},
    {STORE_SPACE_AUDITOR,   R,     R},
    {STORE_SPACE_DEVELOPER, R,     R | S | O | W},
    {STORE_SPACE_MANAGER,   R,     R | M},
    {STORE_SPACE_SUPPORTER, R,     R | O},
};
/* clang-format on */

const char *visible_to(const struct call *c) {
    return c->identity.admin ? NULL : c->identity.guid;
}

unsigned access_of_roles(unsigned roles, bool in_space) {
    unsigned all = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rights); i++)
        if (roles & rights[i].role)
            all |= in_space ? rights[i].in_space : rights[i].in_org;
    return all;
}

/* What the endpoint declares; a handler that asks to write where it only declares reading gets the
 * stricter one. In an org nothing but managing changes anything. */
static unsigned needed(const struct call *c, enum need need, bool in_space) {
    enum access declared = c->endpoint->access;
    if (need == NEED_READ)
        return R;
    if (!in_space)
        return M;
    return BIT(declared < ACCESS_SECRETS ? ACCESS_WRITE : declared);
}

static bool changes(unsigned right) {
    return right & (O | W | M);
}

/* Nobody but admins changes anything in a suspended org. */
static int refuse_suspended(struct call *c, const char *org_guid) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    struct error err = {0};
    if (store_org_get(c->api->deps.store, org_guid, &org, &err) < 0)
        return fail_internal(c, &err);
    return org.suspended ? fail_plain(c, CC_ORG_SUSPENDED) : 0;
}

static int judge(struct call *c, unsigned roles, enum need need, bool in_space, const char *thing) {
    unsigned have = access_of_roles(roles, in_space), want = needed(c, need, in_space);
    if (!(have & R))
        return fail_not_found(c, thing);
    if (!(have & want))
        return fail_plain(c, CC_NOT_AUTHORIZED);
    return 0;
}

int need_space(struct call *c, const char *space_guid, enum need need, const char *thing) {
    struct store *store = c->api->deps.store;
    _cleanup_(space_row_fini) struct space_row space = {0};
    struct error err = {0};
    unsigned roles = 0;
    c->access_checked |= need != NEED_READ;
    if (c->identity.admin)
        return 0;
    if (store_roles_in_space(store, c->identity.guid, space_guid, &roles, &err) < 0)
        return fail_internal(c, &err);
    if (judge(c, roles, need, true, thing) < 0)
        return -1;
    if (!changes(needed(c, need, true)))
        return 0;
    if (store_space_get(store, space_guid, &space, &err) < 0)
        return fail_internal(c, &err);
    return refuse_suspended(c, space.org_guid);
}

int need_org(struct call *c, const char *org_guid, enum need need, const char *thing) {
    struct error err = {0};
    unsigned roles = 0;
    c->access_checked |= need != NEED_READ;
    if (c->identity.admin)
        return 0;
    if (store_roles_in_org(c->api->deps.store, c->identity.guid, org_guid, &roles, &err) < 0)
        return fail_internal(c, &err);
    if (judge(c, roles, need, false, thing) < 0)
        return -1;
    return changes(needed(c, need, false)) ? refuse_suspended(c, org_guid) : 0;
}

static bool has_in_space(struct call *c, const char *space_guid, unsigned right) {
    unsigned roles = 0;
    return c->identity.admin || (store_roles_in_space(c->api->deps.store, c->identity.guid,
                                                      space_guid, &roles, NULL) == 0 &&
                                 access_of_roles(roles, true) & right);
}

bool sees_space(struct call *c, const char *space_guid) {
    return has_in_space(c, space_guid, R);
}

bool sees_secrets(struct call *c, const char *space_guid) {
    return has_in_space(c, space_guid, S);
}

bool sees_org(struct call *c, const char *org_guid) {
    unsigned roles = 0;
    return c->identity.admin ||
           (store_roles_in_org(c->api->deps.store, c->identity.guid, org_guid, &roles, NULL) == 0 &&
            access_of_roles(roles, false) & R);
}

int need_flag(struct call *c, const char *name) {
    _cleanup_(flag_fini) struct flag flag = {0};
    struct error err = {0};
    if (c->identity.admin)
        return 0;
    if (store_flag_get(c->api->deps.store, name, &flag, &err) < 0)
        return fail_internal(c, &err);
    return flag.enabled ? 0
                        : fail(c, CC_FEATURE_DISABLED, "Feature Disabled: %s",
                               flag.error_message ? flag.error_message : name);
}

int need_admin(struct call *c) {
    c->access_checked = true;
    return c->identity.admin ? 0 : fail_plain(c, CC_NOT_AUTHORIZED);
}

int access_before(struct call *c) {
    const struct endpoint *e = c->endpoint;
    if (e->access == ACCESS_PUBLIC)
        return 0;
    if (authenticate(c) < 0)
        return -1;
    if (e->access != ACCESS_ADMIN || c->identity.admin)
        return 0;
    if (e->open_flag && store_flag_enabled(c->api->deps.store, e->open_flag))
        return 0;
    return fail_plain(c, CC_NOT_AUTHORIZED);
}

int access_after(struct call *c) {
    const struct endpoint *e = c->endpoint;
    bool must = e->access > ACCESS_READ && e->access < ACCESS_ADMIN;
    if (!must || c->access_checked || c->errors || c->state != CALL_RUNNING)
        return 0;
    struct error err = {0};
    error_set(&err, -EPERM, "%s %s never asked whether the caller may", e->method, e->path);
    return fail_internal(c, &err);
}
