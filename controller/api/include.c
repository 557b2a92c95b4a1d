/* include.c - related resources that a request wants beside what it asked for, each once. */
#include "controller/api/include.h"

#include "controller/api/resources.h"
#include "controller/store/services.h"

static json_t *show_space(struct call *c, const char *guid) {
    _cleanup_(space_row_fini) struct space_row row = {0};
    return store_space_get(c->api->deps.store, guid, &row, NULL) < 0 ? NULL : space_json(c, &row);
}

static json_t *show_org(struct call *c, const char *guid) {
    _cleanup_(org_row_fini) struct org_row row = {0};
    return store_org_get(c->api->deps.store, guid, &row, NULL) < 0 ? NULL : org_json(c, &row);
}

static json_t *show_user(struct call *c, const char *guid) {
    _cleanup_(user_row_fini) struct user_row row = {0};
    return store_user_get(c->api->deps.store, guid, &row, NULL) < 0 ? NULL : user_json(c, &row);
}

static json_t *show_domain(struct call *c, const char *guid) {
    _cleanup_(domain_row_fini) struct domain_row row = {0};
    return store_domain_get(c->api->deps.store, guid, &row, NULL) < 0 ? NULL : domain_json(c, &row);
}

static json_t *show_app(struct call *c, const char *guid) {
    _cleanup_(app_row_fini) struct app_row row = {0};
    return store_app_get(c->api->deps.store, guid, &row, NULL) < 0 ? NULL : app_json(c, &row);
}

static json_t *show_service(struct call *c, const char *guid) {
    _cleanup_(service_row_fini) struct service_row row = {0};
    return store_service_get(c->api->deps.store, guid, &row, NULL) < 0 ? NULL
                                                                       : service_json(c, &row);
}

static const struct {
    const char *name;
    json_t *(*show)(struct call *c, const char *guid);
} kinds[INCLUDE_COUNT] = {
    [INCLUDE_SPACES] = {"spaces", show_space},
    [INCLUDE_ORGS] = {"organizations", show_org},
    [INCLUDE_USERS] = {"users", show_user},
    [INCLUDE_DOMAINS] = {"domains", show_domain},
    [INCLUDE_APPS] = {"apps", show_app},
    [INCLUDE_SERVICES] = {"service_instances", show_service},
};

/* What the words of `include` ask for. */
static const struct {
    const char *word;
    unsigned kinds;
} words[] = {
    {"space", BIT(INCLUDE_SPACES)},
    {"space.organization", BIT(INCLUDE_SPACES) | BIT(INCLUDE_ORGS)},
    {"org", BIT(INCLUDE_SPACES) | BIT(INCLUDE_ORGS)},
    {"organization", BIT(INCLUDE_ORGS)},
    {"user", BIT(INCLUDE_USERS)},
    {"domain", BIT(INCLUDE_DOMAINS)},
    {"app", BIT(INCLUDE_APPS)},
    {"service_instance", BIT(INCLUDE_SERVICES)},
};

void including_init(struct including *in, struct call *c) {
    *in = (struct including){.c = c};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (query_lists(c, "include", words[i].word))
            in->wanted |= words[i].kinds;
}

void including_fini(struct including *in) {
    json_decref(in->seen);
    json_decref(in->lists);
}

void include(struct including *in, enum include_kind kind, const char *guid) {
    if (!(in->wanted & BIT(kind)) || !*guid)
        return;
    if (!in->seen)
        in->seen = json_object();
    if (json_object_get(in->seen, guid))
        return;
    json_object_set_new(in->seen, guid, json_true());
    json_t *one = kinds[kind].show(in->c, guid);
    if (one)
        json_array_append_new(json_object_get(including_lists(in), kinds[kind].name), one);
}

json_t *including_lists(struct including *in) {
    if (!in->wanted)
        return NULL;
    if (!in->lists)
        in->lists = json_object();
    for (size_t i = 0; i < INCLUDE_COUNT; i++)
        if (in->wanted & BIT(i) && !json_object_get(in->lists, kinds[i].name))
            json_object_set_new(in->lists, kinds[i].name, json_array());
    return in->lists;
}

json_t *including_take(struct including *in) {
    return json_incref(including_lists(in));
}

json_t *including_with(struct including *in, json_t *one) {
    json_t *lists = including_take(in);
    if (lists && (!one || json_object_set_new(one, "included", lists)))
        return json_decref(one), NULL;
    return one;
}
