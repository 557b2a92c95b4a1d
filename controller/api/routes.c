/* routes.c - /v3/routes: a host and a path on a domain, in a space. */
#include <ctype.h>
#include <errno.h>

#include "controller/api/resources.h"

#define HOST_MAX  253 /* RFC 1035 section 2.3.4 */
#define LABEL_MAX 63
#define PATH_MAX_ 128 /* cc: route path */

/* --- what is a route
 * --------------------------------------------------------------------------------
 */

const char *route_host_problem(const char *host) {
    size_t label = 0;
    if (!*host || str_eq(host, "*"))
        return NULL;
    if (strlen(host) > HOST_MAX)
        return "Host is too long (maximum is 253 characters)";
    for (const char *p = host; *p; p++) {
        if (*p == '.' ? label == 0 : !isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return "Host must be either \"*\" or contain only alphanumeric characters, \"_\", or "
                   "\"-\"";
        label = *p == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return "Host is too long (maximum is 63 characters between dots)";
    }
    return label ? NULL : "Host must not end with a dot";
}

/* What a router can compare as a prefix of a request's path. */
const char *route_path_problem(const char *path) {
    if (!*path)
        return NULL;
    if (*path != '/')
        return "Path must begin with '/'";
    if (str_eq(path, "/"))
        return "Path cannot be a single slash";
    if (strlen(path) > PATH_MAX_)
        return "Path is too long (maximum is 128 characters)";
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || strchr("?#\"<>\\^`{|}", *p))
            return "Path must be a valid URI path without query";
    return NULL;
}

/* --- showing
 * ----------------------------------------------------------------------------------------
 */

char *route_url(const char *host, const char *domain, const char *path) {
    return str_printf("%s%s%s%s", host, *host ? "." : "", domain, path);
}

/* Where the routes of a page lead to: one query, whatever the page's size. */
struct destinations {
    struct destination_rows rows;
    const struct destination_row **sorted; /* by route, else as in `rows` */
};

static void destinations_fini(struct destinations *d) {
    destination_rows_fini(&d->rows);
    free(d->sorted);
}

static int by_route(const void *one, const void *other) {
    const struct destination_row *a = *(const struct destination_row *const *)one,
                                 *b = *(const struct destination_row *const *)other;
    int order = strcmp(a->route_guid, b->route_guid);
    return order ? order : (a > b) - (a < b);
}

static int load_destinations(struct call *c, const struct route_row *routes, size_t n,
                             struct destinations *ret) {
    _cleanup_(freep) const char **guids = mem_calloc(n + 1, sizeof *guids);
    struct error err = {0};
    if (!guids)
        return fail_no_memory(c);
    for (size_t i = 0; i < n; i++)
        guids[i] = routes[i].guid;
    struct store_filter filter = {"route_guids", guids, n};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    if (store_destination_list(c->api->deps.store, &q, &ret->rows, &err) < 0)
        return fail_internal(c, &err);
    if (!(ret->sorted = mem_calloc(ret->rows.n + 1, sizeof(void *))))
        return fail_no_memory(c);
    for (size_t i = 0; i < ret->rows.n; i++)
        ret->sorted[i] = &ret->rows.v[i];
    qsort(ret->sorted, ret->rows.n, sizeof(void *), by_route);
    return 0;
}

static void put_destinations(struct strbuf *out, const struct destinations *d, const char *route) {
    size_t from = 0, to = d->rows.n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (strcmp(d->sorted[middle]->route_guid, route) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    strbuf_putc(out, '[');
    for (size_t i = from; i < d->rows.n && str_eq(d->sorted[i]->route_guid, route); i++) {
        if (i > from)
            strbuf_putc(out, ',');
        put_destination(out, d->sorted[i]);
    }
    strbuf_putc(out, ']');
}

static void put_route(struct strbuf *out, const char *base, const struct route_row *r,
                      const struct destinations *to) {
    const struct json_link_row links[] = {
        {"self", "routes", r->guid, NULL, false},
        {"space", "spaces", r->space_guid, NULL, false},
        {"destinations", "routes", r->guid, "/destinations", false},
        {"domain", "domains", r->domain_guid, NULL, false},
    };
    _cleanup_(freep) char *url = route_url(r->host, r->domain_name, r->path);
    const struct {
        const char *name, *text;
    } texts[] = {{"protocol", r->protocol}, {"host", r->host}, {"path", r->path}};
    strbuf_printf(out, "{\"guid\":\"%s\",\"created_at\":", r->guid);
    json_put_time(out, r->created_ns);
    strbuf_puts(out, ",\"updated_at\":");
    json_put_time(out, r->updated_ns);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        strbuf_printf(out, ",\"%s\":", texts[i].name);
        json_put_text(out, texts[i].text);
    }
    strbuf_puts(out, ",\"port\":null,\"url\":");
    json_put_text(out, url);
    strbuf_puts(out, ",\"destinations\":");
    put_destinations(out, to, r->guid);
    strbuf_puts(out, ",\"options\":");
    json_put_stored(out, r->options, "{}");
    strbuf_puts(out, ",\"metadata\":");
    json_put_metadata(out, r->labels, r->annotations);
    strbuf_puts(out, ",\"relationships\":{\"space\":");
    json_put_relation(out, r->space_guid);
    strbuf_puts(out, ",\"domain\":");
    json_put_relation(out, r->domain_guid);
    strbuf_puts(out, ",\"shared_spaces\":{\"data\":[]}},\"links\":");
    json_put_links(out, base, links, ARRAY_SIZE(links));
    strbuf_putc(out, '}');
    out->failed |= !url;
}

static void include_of(struct including *in, const struct route_row *r) {
    include(in, INCLUDE_DOMAINS, r->domain_guid);
    include(in, INCLUDE_SPACES, r->space_guid);
    include(in, INCLUDE_ORGS, r->org_guid);
}

static int reply_route_row(struct call *c, int status, const struct route_row *r,
                           struct including *in) {
    _cleanup_(destinations_fini) struct destinations to = {0};
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    const char *base = call_base(c);
    if (!base)
        return fail_no_memory(c);
    if (load_destinations(c, r, 1, &to) < 0)
        return -1;
    put_route(&text, base, r, &to);
    return reply_json(c, status, including_with(in, json_of_text(&text)));
}

static int reply_route(struct call *c, int status, const char *guid) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    _cleanup_(including_fini) struct including none = {0};
    return load_route(c, guid, NEED_READ, &r) < 0 ? -1 : reply_route_row(c, status, &r, &none);
}

static int reply_routes(struct call *c, struct listing *l) {
    _cleanup_(route_rows_fini) struct route_rows rows = {0};
    _cleanup_(destinations_fini) struct destinations to = {0};
    _cleanup_(strbuf_fini) struct strbuf list = {0};
    _cleanup_(including_fini) struct including in;
    struct error err = {0};
    const char *base = call_base(c);
    including_init(&in, c);
    if (!base)
        return fail_no_memory(c);
    if (store_route_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (load_destinations(c, rows.v, rows.n, &to) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++) {
        if (i)
            strbuf_putc(&list, ',');
        put_route(&list, base, &rows.v[i], &to);
        include_of(&in, &rows.v[i]);
    }
    return reply_list_text(c, l, rows.total, &list, including_take(&in));
}

static const char *const route_filters[] = {"guids",       "hosts",
                                            "paths",       "domain_guids",
                                            "space_guids", "organization_guids",
                                            "app_guids",   "label_selector",
                                            "ports",       "service_instance_guids",
                                            NULL};
static const char *const route_also[] = {"include=domain", "include=space",
                                         "include=space.organization", NULL};

int list_routes(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    return listing_parse(c, &l, route_filters, route_also) < 0 ? -1 : reply_routes(c, &l);
}

int list_app_routes(struct call *c) {
    static const char *const filters[] = {"guids",        "hosts",          "paths",
                                          "domain_guids", "space_guids",    "organization_guids",
                                          "ports",        "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (listing_of_app(c, &l, filters, route_also, &app) < 0)
        return -1;
    return reply_routes(c, &l);
}

int get_route(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    _cleanup_(including_fini) struct including in;
    including_init(&in, c);
    if (load_route(c, c->params[0], NEED_READ, &r) < 0)
        return -1;
    include_of(&in, &r);
    return reply_route_row(c, 200, &r, &in);
}

/* --- creating
 * ---------------------------------------------------------------------------------------
 */

int route_find(struct call *c, const struct route_wish *wish, struct route_row *ret) {
    const char *domain = wish->domain->guid;
    struct store_filter filters[] = {
        {"domain_guids", &domain, 1}, {"hosts", &wish->host, 1}, {"paths", &wish->path, 1}};
    struct store_query q = {.filters = filters, .filter_count = 3};
    _cleanup_(route_rows_fini) struct route_rows rows = {0};
    struct error err = {0};
    if (store_route_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n)
        return 1;
    *ret = rows.v[0];
    rows.v[0] = (struct route_row){0};
    return 0;
}

static int route_taken(struct call *c, const struct route_wish *w) {
    if (*w->path)
        return fail_invalid(c, "Route already exists with host '%s' and path '%s' for domain '%s'.",
                            w->host, w->path, w->domain->name);
    return *w->host ? fail_invalid(c, "Route already exists with host '%s' for domain '%s'.",
                                   w->host, w->domain->name)
                    : fail_invalid(c, "Route already exists for domain '%s'.", w->domain->name);
}

static void lower(char *s) {
    for (; s && *s; s++)
        *s = (char)tolower((unsigned char)*s);
}

int route_create(struct call *c, const struct route_wish *wish, const char *space_guid,
                 struct route_row *ret) {
    struct error err = {0};
    const char *problem = route_host_problem(wish->host);
    problem = problem ? problem : route_path_problem(wish->path);
    if (problem)
        return fail_invalid(c, "%s", problem);
    if (!*wish->host && !wish->domain->org_guid[0])
        return fail_invalid(c, "Missing host. Routes in shared domains must have a host defined.");
    if (strlen(wish->host) + 1 + strlen(wish->domain->name) > HOST_MAX)
        return fail_invalid(c, "Host combined with domain name must be no more than %d characters.",
                            HOST_MAX);
    if (str_set(&ret->host, wish->host) < 0 || str_set(&ret->path, wish->path) < 0 ||
        str_set(&ret->protocol, "http") < 0 || str_set(&ret->domain_name, wish->domain->name) < 0)
        return fail_no_memory(c);
    lower(ret->host);
    memcpy(ret->domain_guid, wish->domain->guid, GUID_SIZE);
    snprintf(ret->space_guid, GUID_SIZE, "%s", space_guid);
    if (route_options_merge(c, wish->options, &ret->options) < 0)
        return -1;
    int r = store_route_insert(c->api->deps.store, ret, &err);
    if (r == -EEXIST)
        return route_taken(c, wish);
    if (r < 0)
        return fail_internal(c, &err);
    return record_event_on(c, "audit.route.create", "route", ret->guid, ret->host, space_guid, "",
                           NULL);
}

int route_place(struct call *c, const char *space_guid, const char *domain_guid,
                struct space_row *space, struct domain_row *domain) {
    struct store *store = c->api->deps.store;
    if (need_flag(c, "route_creation") < 0 ||
        load_space_of_body(c, space_guid, NEED_WRITE, space) < 0)
        return -1;
    if (store_domain_get(store, domain_guid, domain, NULL) < 0 ||
        (domain->org_guid[0] && !sees_org(c, domain->org_guid)))
        return fail_invalid(c,
                            "Invalid domain. Ensure that the domain exists and you have access to "
                            "it.");
    if (domain->org_guid[0] && !str_eq(domain->org_guid, space->org_guid))
        return fail_invalid(c, "Invalid domain. Domain '%s' is not available in organization '%s'.",
                            domain->name, space->org_name);
    return 0;
}

int create_route(struct call *c) {
    static const struct field both[] = {FIELD_RELATION("space", true),
                                        FIELD_RELATION("domain", true)};
    static const struct field fields[] = {
        {.name = "host", .kind = FIELD_TEXT, .nullable = true, .max = HOST_MAX},
        {.name = "path", .kind = FIELD_TEXT, .nullable = true, .max = PATH_MAX_},
        {.name = "port", .kind = FIELD_INT, .nullable = true},
        {.name = "options", .kind = FIELD_ANY},
        FIELD_OF("relationships", true, both),
        FIELD_METADATA,
    };
    _cleanup_(space_row_fini) struct space_row space = {0};
    _cleanup_(domain_row_fini) struct domain_row domain = {0};
    _cleanup_(route_row_fini) struct route_row r = {0};
    int64_t port = 0;
    const json_t *options = body_at(c->json, "options");
    if (body_check_all(c, fields) < 0 || route_options_check(c, options) < 0 ||
        route_place(c, body_text(c->json, "relationships.space.data.guid"),
                    body_text(c->json, "relationships.domain.data.guid"), &space, &domain) < 0)
        return -1;
    if (body_int(c->json, "port", &port))
        return fail_invalid(c, "Ports are not supported for domains of type 'http'.");
    const char *host = body_text(c->json, "host"), *path = body_text(c->json, "path");
    struct route_wish wish = {host ? host : "", path ? path : "", &domain, options};
    if (metadata_merge(c, c->json, &r.labels, &r.annotations) < 0 ||
        route_create(c, &wish, space.guid, &r) < 0)
        return -1;
    return reply_route(c, 201, r.guid);
}

static int save_route(struct call *c, struct route_row *r, json_t *request) {
    struct error err = {0};
    if (store_route_update(c->api->deps.store, r, &err) < 0) {
        json_decref(request);
        return fail_internal(c, &err);
    }
    return record_event_on(c, "audit.route.update", "route", r->guid, r->host, r->space_guid, "",
                           json_pack("{s:o}", "request", request));
}

int route_change_options(struct call *c, struct route_row *r, const json_t *changes) {
    _cleanup_(freep) char *was = str_dup(r->options ? r->options : "");
    if (!was)
        return fail_no_memory(c);
    if (route_options_merge(c, changes, &r->options) < 0)
        return -1;
    if (str_eq(was, r->options ? r->options : ""))
        return 0;
    if (save_route(c, r, json_pack("{s:O}", "options", changes)) < 0)
        return -1;
    return destinations_desire(c, r->guid);
}

int update_route(struct call *c) {
    static const struct field fields[] = {
        {.name = "options", .kind = FIELD_ANY},
        FIELD_METADATA,
    };
    _cleanup_(route_row_fini) struct route_row r = {0};
    const json_t *options = body_at(c->json, "options");
    if (load_route(c, c->params[0], NEED_WRITE, &r) < 0 || body_check_all(c, fields) < 0 ||
        route_options_check(c, options) < 0 || route_options_merge(c, options, &r.options) < 0 ||
        metadata_merge(c, c->json, &r.labels, &r.annotations) < 0 ||
        save_route(c, &r, json_incref(c->json)) < 0 ||
        (options && destinations_desire(c, r.guid) < 0))
        return -1;
    return reply_route(c, 200, r.guid);
}

/* --- other spaces
 * -----------------------------------------------------------------------------------
 */

/* Not even admins do without this one. */
static int need_sharing(struct call *c) {
    _cleanup_(flag_fini) struct flag flag = {0};
    struct error err = {0};
    if (store_flag_get(c->api->deps.store, "route_sharing", &flag, &err) < 0)
        return fail_internal(c, &err);
    return flag.enabled ? 0
                        : fail(c, CC_FEATURE_DISABLED, "Feature Disabled: %s",
                               flag.error_message ? flag.error_message : "route_sharing");
}

int list_route_shares(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    if (load_route(c, c->params[0], NEED_READ, &r) < 0)
        return -1;
    return reply_json(c, 200,
                      json_pack("{s:[],s:{s:o}}", "data", "links", "self",
                                json_link(c, "/v3/routes/%s/relationships/shared_spaces", r.guid)));
}

int share_route(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    if (load_route(c, c->params[0], NEED_WRITE, &r) < 0 || need_sharing(c) < 0)
        return -1;
    return fail_invalid(c, "This platform has no routes of several spaces.");
}

int unshare_route(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    _cleanup_(freep) char *url = NULL;
    if (load_route(c, c->params[0], NEED_WRITE, &r) < 0 || need_sharing(c) < 0)
        return -1;
    if (!(url = route_url(r.host, r.domain_name, r.path)))
        return fail_no_memory(c);
    return fail_invalid(c,
                        "Unable to unshare route '%s' from space '%.100s'. Ensure the space exists "
                        "and that the route is shared to this space.",
                        url, c->params[1]);
}

/* Into another space, where the caller may write too. */
int move_route(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    _cleanup_(domain_row_fini) struct domain_row domain = {0};
    struct error err = {0};
    if (load_route(c, c->params[0], NEED_WRITE, &r) < 0 || need_sharing(c) < 0 ||
        body_check_all(c, relation_fields) < 0 ||
        route_place(c, body_text(c->json, "data.guid"), r.domain_guid, &space, &domain) < 0)
        return -1;
    memcpy(r.space_guid, space.guid, GUID_SIZE);
    if (store_route_update(c->api->deps.store, &r, &err) < 0)
        return fail_internal(c, &err);
    if (record_event_on(c, "audit.route.transfer-owner", "route", r.guid, r.host, space.guid, "",
                        NULL) < 0)
        return -1;
    return reply_json(c, 200, json_pack("{s:s}", "status", "ok"));
}

/* --- deleting
 * ---------------------------------------------------------------------------------------
 */

int route_delete(struct call *c, const struct route_row *r) {
    struct error err = {0};
    if (destinations_desire(c, r->guid) < 0)
        return -1;
    if (store_route_delete(c->api->deps.store, r->guid, &err) < 0)
        return fail_internal(c, &err);
    return record_event_on(c, "audit.route.delete-request", "route", r->guid, r->host,
                           r->space_guid, "", NULL);
}

int delete_route(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    if (load_route(c, c->params[0], NEED_WRITE, &r) < 0 || route_delete(c, &r) < 0)
        return -1;
    return reply_job(c, "route.delete");
}

int delete_unmapped_routes(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    struct error err = {0};
    uint64_t n = 0;
    if (load_space(c, c->params[0], NEED_WRITE, &space) < 0)
        return -1;
    if (!str_eq(call_query(c, "unmapped"), "true"))
        return fail_invalid(
            c, "Mass delete not supported for routes. Use 'unmapped=true' parameter to "
               "delete all unmapped routes.");
    if (store_route_delete_unmapped(c->api->deps.store, space.guid, &n, &err) < 0)
        return fail_internal(c, &err);
    return reply_job(c, "space.delete_unmapped_routes");
}

int get_route_reservation(struct call *c) {
    _cleanup_(domain_row_fini) struct domain_row domain = {0};
    _cleanup_(route_row_fini) struct route_row r = {0};
    if (load_domain(c, c->params[0], &domain) < 0)
        return -1;
    const char *host = call_query(c, "host"), *path = call_query(c, "path");
    struct route_wish wish = {host ? host : "", path ? path : "", &domain, NULL};
    int found = route_find(c, &wish, &r);
    if (found < 0)
        return -1;
    return reply_json(c, 200, json_pack("{s:b}", "matching_route", found == 0));
}
