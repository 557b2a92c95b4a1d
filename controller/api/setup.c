#include "controller/api/setup.h"

#include <ctype.h>
#include <errno.h>

#include "common/base/str.h"
#include "controller/api/password.h"
#include "controller/store/accounts.h"
#include "controller/store/routes.h"

void setup_password(char buf[static 25]) {
    /* 62 letters and digits; what would favour some is thrown again. */
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t n = 0; n < 24;) {
        unsigned char byte;
        random_bytes(&byte, 1);
        if (byte < 248)
            buf[n++] = letters[byte % 62];
    }
    buf[24] = '\0';
}

static bool domain_ok(const char *name) {
    size_t n = name ? strlen(name) : 0;
    if (n < 3 || n > 253 || !strchr(name, '.') || name[0] == '.' || name[n - 1] == '.')
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
            return false;
    return !strstr(name, "..");
}

static bool name_ok(const char *name) {
    size_t n = strlen(name);
    return n >= 1 && n <= 255 && str_is_utf8(name, n);
}

static int make_org_and_space(struct store *store, const char *org_name, const char *space_name,
                              struct error *err) {
    _cleanup_(org_row_fini) struct org_row org = {.name = str_dup(org_name)};
    _cleanup_(space_row_fini) struct space_row space = {.name = str_dup(space_name), .ssh = true};
    if (!org.name || !space.name)
        return error_set(err, -ENOMEM, "out of memory");
    int r = store_org_insert(store, &org, err);
    if (r < 0)
        return r;
    memcpy(space.org_guid, org.guid, GUID_SIZE);
    return store_space_insert(store, &space, err);
}

static int make_domain(struct store *store, const char *name, struct error *err) {
    _cleanup_(domain_row_fini) struct domain_row domain = {.name = str_dup(name)};
    if (!domain.name)
        return error_set(err, -ENOMEM, "out of memory");
    for (char *p = domain.name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return store_domain_insert(store, &domain, err);
}

static int make_admin(struct store *store, const char *name, const char *password,
                      struct error *err) {
    _cleanup_(user_row_fini) struct user_row user = {
        .username = str_dup(name), .origin = str_dup("uaa"), .admin = true, .active = true};
    if (!user.username || !user.origin)
        return error_set(err, -ENOMEM, "out of memory");
    int r = password_hash(password, false, &user.password_hash, err);
    return r < 0 ? r : store_user_insert(store, &user, err);
}

/* The instance's own guid is the mark of a store that was set up. */
static int mark(struct store *store, struct error *err) {
    char guid[GUID_SIZE];
    guid_new(guid);
    return store_setting_set(store, "instance_guid", guid, err);
}

int setup_first_run(struct store *store, const struct setup_params *params, struct error *err) {
    const char *admin = params->admin ? params->admin : "admin",
               *org = params->org ? params->org : "default",
               *space = params->space ? params->space : "default";
    _cleanup_(freep) char *known = NULL;
    if (!domain_ok(params->domain))
        return error_set(err, -EINVAL, "%s is not a domain for apps",
                         params->domain ? params->domain : "nothing");
    if (!name_ok(admin) || !name_ok(org) || !name_ok(space))
        return error_set(err, -EINVAL, "a name has 1 to 255 bytes of UTF-8");
    if (str_empty(params->password))
        return error_set(err, -EINVAL, "the admin needs a password");
    int r = store_setting_get(store, "instance_guid", &known, err);
    if (r == 0)
        return error_set(err, -EEXIST, "this store was set up before");
    if (r != -ENOENT || (r = store_begin(store, err)) < 0)
        return r;
    if ((r = make_admin(store, admin, params->password, err)) < 0 ||
        (r = make_org_and_space(store, org, space, err)) < 0 ||
        (r = make_domain(store, params->domain, err)) < 0 || (r = mark(store, err)) < 0) {
        store_rollback(store);
        return r;
    }
    return store_commit(store, err);
}
