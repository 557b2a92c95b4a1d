#include "router/sticky.h"

#include <stdio.h>

#include "router/pen.h"

#define VCAP_ID        "__VCAP_ID__"
#define GUID_TEXT_SIZE 36

/* Next part of a ';' list, trimmed; false at the end. */
static bool part_next(struct slice *list, struct slice *ret) {
    if (!list->n)
        return false;
    const char *end = memchr(list->p, ';', list->n);
    size_t n = end ? (size_t)(end - list->p) : list->n;
    *ret = slice_trim((struct slice){list->p, n});
    n += end != NULL;
    list->p += n;
    list->n -= n;
    return true;
}

static struct slice split_value(struct slice *name) {
    const char *eq = memchr(name->p, '=', name->n);
    if (!eq)
        return (struct slice){"", 0};
    struct slice value = {eq + 1, name->n - (size_t)(eq - name->p) - 1};
    name->n = (size_t)(eq - name->p);
    *name = slice_trim(*name);
    return slice_trim(value);
}

static bool is_session_name(struct slice name, const char *names) {
    struct slice list = slice_of(names), member;
    while (list_next(&list, &member))
        if (slice_eq(member, name))
            return true;
    return false;
}

/* The value of __VCAP_ID__ when a session's cookie came with it; empty otherwise. */
static struct slice session_id(const struct head *h, const char *names) {
    struct slice id = {"", 0};
    bool session = false;
    if (!(h->present & FIELD_BIT(FIELD_COOKIE)))
        return id;
    for (unsigned i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, name;
        if (h->fields[i].id != FIELD_COOKIE)
            continue;
        while (part_next(&list, &name)) {
            struct slice value = split_value(&name);
            if (slice_eq(name, SLICE_LIT(VCAP_ID)))
                id = value;
            else
                session |= is_session_name(name, names);
        }
    }
    return session ? id : (struct slice){"", 0};
}

static enum sticky_target find_instance(const struct route *r, struct slice wanted,
                                        unsigned *ret_endpoint,
                                        char message[static STICKY_MESSAGE_MAX]) {
    const char *colon = memchr(wanted.p, ':', wanted.n);
    size_t guid_n = colon ? (size_t)(colon - wanted.p) : 0;
    struct slice guid = {wanted.p, guid_n};
    struct slice index = {wanted.p + guid_n + 1, colon ? wanted.n - guid_n - 1 : 0};
    uint64_t number;
    bool ok =
        guid_n == GUID_TEXT_SIZE && index.n && parse_u64_slice(index, 0, UINT32_MAX, &number) == 0;
    for (size_t i = 0; ok && i < guid_n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = guid.p[i];
        ok = dash ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    if (!ok) {
        snprintf(message, STICKY_MESSAGE_MAX, "Invalid X-CF-App-Instance Header");
        return TARGET_MALFORMED;
    }
    for (unsigned i = 0; slice_eq(guid, slice_of(r->app_guid)) && i < r->endpoint_count; i++) {
        if (slice_eq(index, slice_of(r->endpoints[i].index))) {
            *ret_endpoint = i;
            return TARGET_PINNED;
        }
    }
    snprintf(message, STICKY_MESSAGE_MAX,
             "Requested instance ('%.*s') with guid ('%.*s') does not exist for route ('%s')",
             (int)index.n, index.p, (int)guid.n, guid.p, r->host);
    return TARGET_MISSING;
}

enum sticky_target sticky_find(const struct head *h, const struct route *r, const char *names,
                               unsigned *ret_endpoint, char message[static STICKY_MESSAGE_MAX]) {
    const struct field *instance = head_find(h, FIELD_X_CF_APP_INSTANCE);
    if (instance)
        return find_instance(r, instance->value, ret_endpoint, message);
    struct slice id = session_id(h, names);
    if (!id.n)
        return TARGET_NONE;
    for (unsigned i = 0; i < r->endpoint_count; i++) {
        if (slice_eq(id, slice_of(r->endpoints[i].instance_guid))) {
            *ret_endpoint = i;
            return TARGET_SESSION;
        }
    }
    return TARGET_SESSION_LOST;
}

static void put_attribute(struct pen *pen, struct slice name, struct slice value) {
    pen_lit(pen, "; ");
    pen_slice(pen, name);
    if (value.n) {
        pen_char(pen, '=');
        pen_slice(pen, value);
    }
}

/* What the session's cookie says of its life holds for ours, as Gorouter copies it. */
static void copy_attributes(struct pen *pen, struct slice list) {
    struct slice name, secure = {0};
    while (part_next(&list, &name)) {
        struct slice value = split_value(&name);
        if (slice_eq_nocase(name, SLICE_LIT("secure")))
            secure = SLICE_LIT("Secure");
        else if (slice_eq_nocase(name, SLICE_LIT("expires")))
            put_attribute(pen, SLICE_LIT("Expires"), value);
        else if (slice_eq_nocase(name, SLICE_LIT("samesite")))
            put_attribute(pen, SLICE_LIT("SameSite"), value);
        else if (slice_eq_nocase(name, SLICE_LIT("partitioned")))
            put_attribute(pen, SLICE_LIT("Partitioned"), (struct slice){0});
        else if (slice_eq_nocase(name, SLICE_LIT("max-age")) && value.n &&
                 (value.p[0] == '-' || slice_eq(value, SLICE_LIT("0"))))
            put_attribute(pen, SLICE_LIT("Max-Age"), SLICE_LIT("0"));
    }
    if (secure.n)
        put_attribute(pen, secure, (struct slice){0});
}

struct slice sticky_cookie(const struct head *h, const char *names, const struct route *r,
                           const struct endpoint *e, bool lost,
                           char buf[static STICKY_COOKIE_MAX]) {
    struct slice attributes = {0}, none = {"", 0};
    bool session = false;
    if (!*e->instance_guid || (!lost && !(h->present & FIELD_BIT(FIELD_SET_COOKIE))))
        return none;
    for (unsigned i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, name;
        if (h->fields[i].id != FIELD_SET_COOKIE || !part_next(&list, &name))
            continue;
        split_value(&name);
        if (slice_eq(name, SLICE_LIT(VCAP_ID)))
            return none;
        if (is_session_name(name, names)) {
            session = true;
            attributes = list;
        }
    }
    if (!session && !lost)
        return none;
    struct pen pen = {buf, buf + STICKY_COOKIE_MAX, false};
    pen_lit(&pen, VCAP_ID "=");
    pen_slice(&pen, slice_of(e->instance_guid));
    put_attribute(&pen, SLICE_LIT("Path"), slice_of(*r->path ? r->path : "/"));
    put_attribute(&pen, SLICE_LIT("HttpOnly"), (struct slice){0});
    if (session)
        copy_attributes(&pen, attributes);
    return pen.full ? none : (struct slice){buf, (size_t)(pen.p - buf)};
}
