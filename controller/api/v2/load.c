/* load.c - bodies and loaders of v2: what is not there has v2's own error. */
#include "controller/api/v2/v2.h"

int v2_body_check(struct call *c, const struct field *fields, size_t count) {
    json_t *known = json_object();
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(c->json, fields[i].name);
        if (value && json_object_set(known, fields[i].name, value)) {
            json_decref(known);
            return fail_no_memory(c);
        }
    }
    int r = known ? body_check(c, known, fields, count) : fail_no_memory(c);
    json_decref(known);
    return r;
}

/* A 404 of v3 said in v2's words. */
static int in_v2_words(struct call *c, int r, enum cc_error e, const char *guid) {
    if (r == 0 || !c->errors || c->status != 404)
        return r;
    json_decref(c->errors);
    c->errors = NULL;
    return fail(c, e, "%s: %.100s", cc_error_info(e)->detail, guid);
}

int v2_load_app(struct call *c, const char *guid, enum need need, struct app_row *ret) {
    return in_v2_words(c, load_app(c, guid, need, ret), CC_APP_NOT_FOUND, guid);
}

int v2_load_space(struct call *c, const char *guid, enum need need, struct space_row *ret) {
    return in_v2_words(c, load_space(c, guid, need, ret), CC_SPACE_NOT_FOUND, guid);
}

int v2_load_org(struct call *c, const char *guid, enum need need, struct org_row *ret) {
    return in_v2_words(c, load_org(c, guid, need, ret), CC_ORG_NOT_FOUND, guid);
}

int v2_load_route(struct call *c, const char *guid, enum need need, struct route_row *ret) {
    return in_v2_words(c, load_route(c, guid, need, ret), CC_ROUTE_NOT_FOUND, guid);
}

int v2_load_domain(struct call *c, const char *guid, struct domain_row *ret) {
    return in_v2_words(c, load_domain(c, guid, ret), CC_DOMAIN_NOT_FOUND, guid);
}

bool v2_reads_secrets(struct call *c, const char *space_guid) {
    unsigned roles = 0;
    return c->identity.admin || (store_roles_in_space(c->api->deps.store, c->identity.guid,
                                                      space_guid, &roles, NULL) == 0 &&
                                 access_of_roles(roles, true) & BIT(ACCESS_SECRETS));
}
