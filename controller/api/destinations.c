/* destinations.c - the apps that a route leads to. */
#include <errno.h>
#include <inttypes.h>

#include "controller/api/resources.h"

#define DESTINATIONS_MAX 100 /* cc: per request */
#define DEFAULT_PORT     8080

/* The lowest TCP port that the image exposes: the first of the stored list. */
static uint64_t image_port(const char *ports) {
    json_t *list = json_stored(ports, "[]"), *one;
    size_t i;
    int64_t port = 0;
    json_array_foreach(list, i, one) {
        const char *protocol = body_text(one, "Protocol");
        if ((!protocol || str_eq(protocol, "tcp")) && body_int(one, "Port", &port))
            break;
        port = 0;
    }
    json_decref(list);
    return port > 0 && port < 65536 ? (uint64_t)port : DEFAULT_PORT;
}

void put_destination(struct strbuf *out, const struct destination_row *row) {
    strbuf_printf(out,
                  "{\"guid\":\"%s\",\"app\":{\"guid\":\"%s\",\"process\":{\"type\":", row->guid,
                  row->app_guid);
    json_put_text(out, row->process_type);
    strbuf_printf(out, "}},\"weight\":null,\"port\":%" PRIu64 ",\"protocol\":",
                  row->port ? row->port : image_port(row->image_ports));
    json_put_text(out, row->protocol);
    strbuf_puts(out, ",\"created_at\":");
    json_put_time(out, row->created_ns);
    strbuf_puts(out, ",\"updated_at\":");
    json_put_time(out, row->updated_ns);
    strbuf_putc(out, '}');
}

static json_t *destination_json(const struct destination_row *row) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    put_destination(&text, row);
    return json_of_text(&text);
}

static int list_of_route(struct call *c, const char *guid, struct destination_rows *ret) {
    struct store_filter filter = {"route_guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    struct error err = {0};
    return store_destination_list(c->api->deps.store, &q, ret, &err) < 0 ? fail_internal(c, &err)
                                                                         : 0;
}

int destinations_desire(struct call *c, const char *route_guid) {
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    if (list_of_route(c, route_guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++)
        if (after_commit(c, AFTER_DESIRE_APP, rows.v[i].app_guid) < 0)
            return -1;
    return 0;
}

static int reply_destinations(struct call *c, const struct route_row *route) {
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    if (list_of_route(c, route->guid, &rows) < 0)
        return -1;
    json_t *links =
        json_pack("{s:o,s:o}", "self", json_link(c, "/v3/routes/%s/destinations", route->guid),
                  "route", json_link(c, "/v3/routes/%s", route->guid));
    return reply_json(c, 200,
                      json_pack("{s:o,s:o}", "destinations",
                                rows_json_bare(&rows, destination_json), "links", links));
}

int list_destinations(struct call *c) {
    _cleanup_(route_row_fini) struct route_row route = {0};
    if (load_route(c, c->params[0], NEED_READ, &route) < 0)
        return -1;
    return reply_destinations(c, &route);
}

/* --- adding
 * -----------------------------------------------------------------------------------------
 */

int destination_add(struct call *c, const struct route_row *route, const struct app_row *app,
                    const char *process_type, uint64_t port, const char *protocol) {
    _cleanup_(destination_row_fini) struct destination_row row = {.port = port};
    struct error err = {0};
    memcpy(row.route_guid, route->guid, GUID_SIZE);
    memcpy(row.app_guid, app->guid, GUID_SIZE);
    if (str_set(&row.process_type, process_type) < 0 || str_set(&row.protocol, protocol) < 0)
        return fail_no_memory(c);
    int r = store_destination_insert(c->api->deps.store, &row, &err);
    if (r == -EEXIST)
        return 0;
    if (r < 0)
        return fail_internal(c, &err);
    if (record_event(c, "audit.app.map-route", app,
                     json_pack("{s:s,s:s,s:s}", "route_guid", route->guid, "destination_guid",
                               row.guid, "process_type", process_type)) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app->guid);
}

static const struct field app_fields[] = {
    {.name = "guid", .kind = FIELD_TEXT, .required = true, .min = 1},
    {.name = "process", .kind = FIELD_OBJECT, .nullable = true}, /* {"type":"web"}, or empty */
};
static const struct field destination_fields[] = {
    FIELD_OF("app", true, app_fields),
    {.name = "port", .kind = FIELD_INT, .nullable = true, .min = 1, .max = 65535},
    {.name = "protocol", .kind = FIELD_TEXT, .nullable = true},
    {.name = "weight", .kind = FIELD_INT, .nullable = true, .min = 1, .max = 100},
};
static const struct field body_fields[] = {
    {.name = "destinations",
     .kind = FIELD_LIST,
     .required = true,
     .max = DESTINATIONS_MAX,
     .fields = destination_fields,
     .field_count = ARRAY_SIZE(destination_fields)},
};

static int add_one(struct call *c, const struct route_row *route, const json_t *wish) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    int64_t port = 0;
    const char *type = body_text(wish, "app.process.type"), *protocol = body_text(wish, "protocol"),
               *guid = body_text(wish, "app.guid");
    struct error err = {0};
    int r = store_app_get(c->api->deps.store, guid, &app, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0)
        return fail_invalid(
            c, "App(s) with guid(s) \"%.100s\" do not exist or you do not have access.", guid);
    if (!str_eq(app.space_guid, route->space_guid))
        return fail_invalid(c, "Routes cannot be mapped to destinations in different spaces.");
    if (protocol && !str_eq(protocol, "http1") && !str_eq(protocol, "http2"))
        return fail_invalid(c, "Destination protocol must be 'http1' or 'http2'.");
    body_int(wish, "port", &port);
    return destination_add(c, route, &app, type ? type : "web", (uint64_t)port,
                           protocol ? protocol : "http1");
}

static int add_all(struct call *c, const struct route_row *route) {
    size_t i;
    json_t *wish;
    json_array_foreach(body_at(c->json, "destinations"), i, wish) if (add_one(c, route, wish) < 0) {
        return -1;
    }
    return reply_destinations(c, route);
}

int add_destinations(struct call *c) {
    _cleanup_(route_row_fini) struct route_row route = {0};
    if (load_route(c, c->params[0], NEED_WRITE, &route) < 0 || body_check_all(c, body_fields) < 0)
        return -1;
    return add_all(c, &route);
}

int replace_destinations(struct call *c) {
    _cleanup_(route_row_fini) struct route_row route = {0};
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    struct error err = {0};
    if (load_route(c, c->params[0], NEED_WRITE, &route) < 0 || body_check_all(c, body_fields) < 0 ||
        list_of_route(c, route.guid, &rows) < 0 || destinations_desire(c, route.guid) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++)
        if (store_destination_delete(c->api->deps.store, rows.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
    return add_all(c, &route);
}

int destination_remove(struct call *c, const struct destination_row *row) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    struct error err = {0};
    if (store_destination_delete(c->api->deps.store, row->guid, &err) < 0 ||
        store_app_get(c->api->deps.store, row->app_guid, &app, &err) < 0)
        return fail_internal(c, &err);
    if (record_event(c, "audit.app.unmap-route", &app,
                     json_pack("{s:s,s:s}", "route_guid", row->route_guid, "destination_guid",
                               row->guid)) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app.guid);
}

/* The destination of the path, of the route of the path. */
static int load_destination(struct call *c, const struct route_row *route,
                            struct destination_row *ret) {
    struct error err = {0};
    int r = store_destination_get(c->api->deps.store, c->params[1], ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !str_eq(ret->route_guid, route->guid))
        return fail_invalid(c, "Unable to unmap route from destination. Ensure the route has a "
                               "destination with this guid.");
    return 0;
}

int delete_destination(struct call *c) {
    _cleanup_(route_row_fini) struct route_row route = {0};
    _cleanup_(destination_row_fini) struct destination_row row = {0};
    if (load_route(c, c->params[0], NEED_WRITE, &route) < 0 ||
        load_destination(c, &route, &row) < 0 || destination_remove(c, &row) < 0)
        return -1;
    return reply_nothing(c, 204);
}

int update_destination(struct call *c) {
    static const struct field fields[] = {
        {.name = "protocol", .kind = FIELD_TEXT, .required = true, .nullable = true}};
    _cleanup_(route_row_fini) struct route_row route = {0};
    _cleanup_(destination_row_fini) struct destination_row row = {0};
    struct error err = {0};
    if (load_route(c, c->params[0], NEED_WRITE, &route) < 0 || body_check_all(c, fields) < 0 ||
        load_destination(c, &route, &row) < 0)
        return -1;
    const char *protocol = body_text(c->json, "protocol");
    if (protocol && !str_eq(protocol, "http1") && !str_eq(protocol, "http2"))
        return fail_invalid(c, "Destination protocol must be 'http1' or 'http2'.");
    if (str_set(&row.protocol, protocol ? protocol : "http1") < 0)
        return fail_no_memory(c);
    if (store_destination_update(c->api->deps.store, &row, &err) < 0)
        return fail_internal(c, &err);
    if (after_commit(c, AFTER_DESIRE_APP, row.app_guid) < 0)
        return -1;
    return reply_json(c, 200, destination_json(&row));
}
