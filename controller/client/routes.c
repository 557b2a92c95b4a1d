/* routes.c - routes and domains. A route is named by HOST.DOMAIN/PATH, or DOMAIN -n HOST. */
#include <errno.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

static int find_domain(struct cli *cli, const char *name, char **ret_guid, struct error *err) {
    json_t *list = NULL;
    _cleanup_(freep) char *escaped = rest_escape(name);
    int r = rest_get(&cli->rest, &list, err, "/v3/domains?names=%s", escaped ? escaped : "");
    if (r < 0)
        return r;
    json_t *domain = json_array_get(json_object_get(list, "resources"), 0);
    *ret_guid = domain ? str_dup(json_text(domain, "guid")) : NULL;
    json_decref(list);
    return *ret_guid ? 0 : error_set(err, -ENOENT, "Domain '%s' not found.", name);
}

/* The route's JSON (owned), or NULL when there is none. */
static int find_route(struct cli *cli, const char *domain_guid, const char *host, const char *path,
                      json_t **ret, struct error *err) {
    json_t *list = NULL;
    _cleanup_(freep) char *h = rest_escape(host);
    _cleanup_(freep) char *p = rest_escape(path);
    int r = rest_get(&cli->rest, &list, err, "/v3/routes?domain_guids=%s&hosts=%s&paths=%s",
                     domain_guid, h ? h : "", p ? p : "");
    if (r < 0)
        return r;
    *ret = json_incref(json_array_get(json_object_get(list, "resources"), 0));
    json_decref(list);
    return 0;
}

static int make_route(struct cli *cli, const char *domain_guid, const char *host, const char *path,
                      json_t **ret, struct error *err) {
    json_t *body =
        json_pack("{s:{s:{s:{s:s}},s:{s:{s:s}}}}", "relationships", "space", "data", "guid",
                  cli->session.space_guid, "domain", "data", "guid", domain_guid);
    if (*host)
        json_object_set_new(body, "host", json_string(host));
    if (*path)
        json_object_set_new(body, "path", json_string(path));
    int r = rest_call(&cli->rest, "POST", "/v3/routes", body, ret, err);
    json_decref(body);
    return r;
}

/* DOMAIN [-n HOST] [--path PATH] from the command line. */
struct named_route {
    const char *app, *domain, *host;
    char *path; /* owned; "" or "/..." */
    bool force;
};

static int parse_route(int argc, char **argv, size_t positional, struct named_route *n,
                       struct error *err) {
    const char *host = NULL, *path = NULL;
    const struct flag flags[] = {{"-n", "--hostname", &host, NULL},
                                 {"--path", NULL, &path, NULL},
                                 {"-f", NULL, NULL, &n->force}};
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), positional, positional, &a, err);
    if (r < 0)
        return r;
    n->app = positional == 2 ? a.positional[0] : NULL;
    n->domain = a.positional[positional - 1];
    n->host = host ? host : "";
    n->path = !path || !*path ? str_dup("") : str_printf("%s%s", *path == '/' ? "" : "/", path);
    return n->path ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static char *route_text(const struct named_route *n) {
    return str_printf("%s%s%s%s", n->host, *n->host ? "." : "", n->domain, n->path);
}

int cmd_create_route(struct cli *cli, int argc, char **argv, struct error *err) {
    struct named_route n = {0};
    _cleanup_(freep) char *domain = NULL;
    json_t *route = NULL;
    int r = parse_route(argc, argv, 1, &n, err);
    if (r == 0)
        r = cli_need_space(cli, err);
    _cleanup_(freep) char *text = r == 0 ? route_text(&n) : NULL;
    if (r == 0) {
        printf("Creating route %s for org %s / space %s as %s...\n", text, cli->session.org,
               cli->session.space, cli->session.user);
        if ((r = find_domain(cli, n.domain, &domain, err)) == 0 &&
            (r = make_route(cli, domain, n.host, n.path, &route, err)) == 0) {
            printf("Route %s has been created.\n", json_text(route, "url"));
            cli_ok();
        }
    }
    json_decref(route);
    free(n.path);
    return r;
}

/* Looks up app (if named), domain and route. */
struct found {
    json_t *app, *route;
    char *domain;
};

static void found_fini(struct found *f) {
    json_decref(f->app);
    json_decref(f->route);
    free(f->domain);
}

static int look_up(struct cli *cli, const struct named_route *n, struct found *f,
                   struct error *err) {
    int r = n->app ? cli_find_app(cli, n->app, &f->app, err) : cli_need_space(cli, err);
    if (r == 0)
        r = find_domain(cli, n->domain, &f->domain, err);
    return r < 0 ? r : find_route(cli, f->domain, n->host, n->path, &f->route, err);
}

int cmd_map_route(struct cli *cli, int argc, char **argv, struct error *err) {
    struct named_route n = {0};
    _cleanup_(found_fini) struct found f = {0};
    int r = parse_route(argc, argv, 2, &n, err);
    if (r == 0)
        r = look_up(cli, &n, &f, err);
    if (r == 0) {
        _cleanup_(freep) char *text = route_text(&n);
        printf("Mapping route %s to app %s in org %s / space %s as %s...\n", text ? text : "",
               n.app, cli->session.org, cli->session.space, cli->session.user);
        if (!f.route)
            r = make_route(cli, f.domain, n.host, n.path, &f.route, err);
    }
    if (r == 0) {
        json_t *body =
            json_pack("{s:[{s:{s:s}}]}", "destinations", "app", "guid", json_text(f.app, "guid"));
        _cleanup_(freep) char *path =
            str_printf("/v3/routes/%s/destinations", json_text(f.route, "guid"));
        r = rest_call(&cli->rest, "POST", path ? path : "", body, NULL, err);
        json_decref(body);
    }
    free(n.path);
    if (r == 0)
        cli_ok();
    return r;
}

int cmd_unmap_route(struct cli *cli, int argc, char **argv, struct error *err) {
    struct named_route n = {0};
    _cleanup_(found_fini) struct found f = {0};
    json_t *destination;
    size_t i;
    int r = parse_route(argc, argv, 2, &n, err);
    if (r == 0)
        r = look_up(cli, &n, &f, err);
    if (r == 0) {
        _cleanup_(freep) char *text = route_text(&n);
        printf("Removing route %s from app %s in org %s / space %s as %s...\n", text ? text : "",
               n.app, cli->session.org, cli->session.space, cli->session.user);
        if (!f.route)
            r = error_set(err, -ENOENT, "Route '%s' not found.", text ? text : "");
    }
    free(n.path);
    json_array_foreach(json_object_get(f.route, "destinations"), i, destination) {
        if (r < 0 || !str_eq(json_text_at(destination, "app.guid"), json_text(f.app, "guid")))
            continue;
        _cleanup_(freep) char *path =
            str_printf("/v3/routes/%s/destinations/%s", json_text(f.route, "guid"),
                       json_text(destination, "guid"));
        r = rest_call(&cli->rest, "DELETE", path ? path : "", NULL, NULL, err);
    }
    if (r == 0)
        cli_ok();
    return r;
}

int cmd_delete_route(struct cli *cli, int argc, char **argv, struct error *err) {
    struct named_route n = {0};
    _cleanup_(found_fini) struct found f = {0};
    int r = parse_route(argc, argv, 1, &n, err);
    if (r == 0)
        r = look_up(cli, &n, &f, err);
    _cleanup_(freep) char *text = r == 0 ? route_text(&n) : NULL;
    free(n.path);
    if (r < 0)
        return r;
    if (!n.force) {
        char line[16] = "";
        printf("Really delete the route %s? [yN]: ", text);
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin) || (line[0] != 'y' && line[0] != 'Y')) {
            printf("Delete cancelled\n");
            return 0;
        }
    }
    printf("Deleting route %s...\n", text);
    if (!f.route) {
        printf("Unable to delete. Route with domain '%s' not found.\n", n.domain);
        cli_ok();
        return 0;
    }
    _cleanup_(freep) char *path = str_printf("/v3/routes/%s", json_text(f.route, "guid"));
    r = rest_call(&cli->rest, "DELETE", path ? path : "", NULL, NULL, err);
    if (r == 0 && cli->rest.location)
        r = rest_wait_job(&cli->rest, err);
    if (r == 0)
        cli_ok();
    return r;
}

/* guid -> name of every app or domain of a list. */
static json_t *names_of(json_t *list) {
    json_t *names = json_object(), *one;
    size_t i;
    json_array_foreach(list, i, one) {
        json_object_set(names, json_text(one, "guid"), json_object_get(one, "name"));
    }
    return names;
}

int cmd_routes(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"space", "host", "domain", "path", "protocol", "apps"};
    struct args a;
    json_t *routes = NULL, *apps = NULL, *domains = NULL, *route, *destination;
    int r = args_parse(argc, argv, NULL, 0, 0, 0, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    printf("Getting routes for org %s / space %s as %s...\n\n", cli->session.org,
           cli->session.space, cli->session.user);
    r = rest_list(&cli->rest, &routes, err, "/v3/routes?per_page=5000&space_guids=%s",
                  cli->session.space_guid);
    if (r == 0)
        r = rest_list(&cli->rest, &apps, err, "/v3/apps?per_page=5000&space_guids=%s",
                      cli->session.space_guid);
    if (r == 0)
        r = rest_list(&cli->rest, &domains, err, "/v3/domains?per_page=5000");
    if (r == 0 && json_array_size(routes) == 0) {
        printf("No routes found.\n");
    } else if (r == 0) {
        json_t *app_names = names_of(apps), *domain_names = names_of(domains);
        struct table *t = table_new(header, ARRAY_SIZE(header));
        size_t i, k;
        json_array_foreach(routes, i, route) {
            _cleanup_(strbuf_fini) struct strbuf to = {0};
            json_array_foreach(json_object_get(route, "destinations"), k, destination) {
                const char *name = json_text(app_names, json_text_at(destination, "app.guid"));
                strbuf_printf(&to, "%s%s", k ? ", " : "", name);
            }
            table_add(t, "%s", cli->session.space);
            table_add(t, "%s", json_text(route, "host"));
            table_add(
                t, "%s",
                json_text(domain_names, json_text_at(route, "relationships.domain.data.guid")));
            table_add(t, "%s", json_text(route, "path"));
            table_add(t, "%s", json_text(route, "protocol"));
            table_add(t, "%s", to.p ? to.p : "");
        }
        table_print(t);
        table_free(t);
        json_decref(app_names);
        json_decref(domain_names);
    }
    json_decref(routes);
    json_decref(apps);
    json_decref(domains);
    return r;
}

int cmd_domains(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"name", "availability", "internal", "protocols"};
    struct args a;
    json_t *domains = NULL, *domain;
    int r = args_parse(argc, argv, NULL, 0, 0, 0, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    printf("Getting domains in org %s as %s...\n\n", cli->session.org, cli->session.user);
    r = rest_list(&cli->rest, &domains, err, "/v3/organizations/%s/domains", cli->session.org_guid);
    if (r < 0)
        return r;
    struct table *t = table_new(header, ARRAY_SIZE(header));
    size_t i;
    json_array_foreach(domains, i, domain) {
        bool private = *json_text_at(domain, "relationships.organization.data.guid") != 0;
        table_add(t, "%s", json_text(domain, "name"));
        table_add(t, "%s", private ? "private" : "shared");
        table_add(t, "%s", json_is_true(json_object_get(domain, "internal")) ? "true" : "");
        table_add(t, "http");
    }
    table_print(t);
    table_free(t);
    json_decref(domains);
    return 0;
}
