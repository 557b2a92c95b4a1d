/* flags.c - feature flags. diego_docker decides whether anything runs here at all. */
#include "controller/store/flags.h"

#include <errno.h>

#include "controller/api/resources.h"

static json_t *flag_json(struct call *c, const struct flag *f) {
    return json_pack("{s:s,s:b,s:o,s:o,s:{s:o}}", "name", f->name, "enabled", f->enabled,
                     "updated_at", json_time(f->updated_ns), "custom_error_message",
                     json_text_or_null(f->error_message), "links", "self",
                     json_link(c, "/v3/feature_flags/%s", f->name));
}

int list_flags(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    struct error err = {0};
    if (listing_parse(c, &l, (const char *const[]){NULL},
                      (const char *const[]){"order_by=name", NULL}) < 0)
        return -1;
    json_t *list = json_array();
    size_t n = store_flag_count();
    for (size_t i = l.query.offset; i < n && i < l.query.offset + l.per_page; i++) {
        _cleanup_(flag_fini) struct flag f = {0};
        if (store_flag_get(c->api->deps.store, store_flag_name(i), &f, &err) < 0)
            return json_decref(list), fail_internal(c, &err);
        if (json_array_append_new(list, flag_json(c, &f)))
            return json_decref(list), fail_no_memory(c);
    }
    return reply_list(c, &l, n, list, NULL);
}

int load_flag(struct call *c, const char *name, struct flag *ret) {
    struct error err = {0};
    int r = store_flag_get(c->api->deps.store, name, ret, &err);
    if (r == -ENOENT)
        return fail_not_found(c, "Feature flag");
    return r < 0 ? fail_internal(c, &err) : 0;
}

int get_flag(struct call *c) {
    _cleanup_(flag_fini) struct flag f = {0};
    return load_flag(c, c->params[0], &f) < 0 ? -1 : reply_json(c, 200, flag_json(c, &f));
}

int flag_set(struct call *c, const char *name, bool enabled, const char *message,
             struct flag *ret) {
    struct error err = {0};
    if (store_flag_set(c->api->deps.store, name, enabled, message, &err) < 0)
        return fail_internal(c, &err);
    if (record_event_on(c, "audit.feature_flag.update", "feature_flag", name, name, "", "",
                        json_pack("{s:O}", "request", c->json)) < 0 ||
        (str_eq(name, "diego_docker") && after_commit(c, AFTER_DESIRE_ALL, NULL) < 0))
        return -1;
    return load_flag(c, name, ret);
}

int update_flag(struct call *c) {
    static const struct field fields[] = {
        {.name = "enabled", .kind = FIELD_BOOL, .required = true},
        {.name = "custom_error_message", .kind = FIELD_TEXT, .nullable = true, .max = 250},
    };
    _cleanup_(flag_fini) struct flag f = {0}, now = {0};
    bool enabled = false;
    if (load_flag(c, c->params[0], &f) < 0 || body_check_all(c, fields) < 0)
        return -1;
    body_bool(c->json, "enabled", &enabled);
    const char *message = json_object_get(c->json, "custom_error_message")
                              ? body_text(c->json, "custom_error_message")
                              : f.error_message;
    if (flag_set(c, f.name, enabled, message, &now) < 0)
        return -1;
    return reply_json(c, 200, flag_json(c, &now));
}
