#include "controller/api/manifest_routes.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "controller/api/manifest.h"
#include "controller/api/resources.h"

#define RANDOM_TRIES 10

static const char *const adjectives[] = {
    "brave", "bright", "calm",  "clever", "eager",  "fair",  "fancy", "fast",  "gentle", "grand",
    "happy", "keen",   "kind",  "light",  "lively", "lucky", "neat",  "noble", "proud",  "quick",
    "quiet", "rapid",  "shiny", "smart",  "sunny",  "swift", "tidy",  "warm",  "wise",   "zany"};
static const char *const nouns[] = {
    "badger", "bear",  "bird",  "crane", "deer",  "dolphin", "eagle", "falcon", "fox",   "gazelle",
    "hare",   "heron", "koala", "lark",  "lemur", "lion",    "lynx",  "mole",   "otter", "owl",
    "panda",  "puma",  "quail", "raven", "robin", "seal",    "swan",  "tiger",  "whale", "wolf"};

void host_from_name(const char *name, char buf[static 64]) {
    size_t n = 0;
    for (const char *p = name; *p && n < 63; p++) {
        if (isalnum((unsigned char)*p) || *p == '-')
            buf[n++] = (char)tolower((unsigned char)*p);
        else if ((*p == ' ' || *p == '_' || *p == '.') && n && buf[n - 1] != '-')
            buf[n++] = '-';
    }
    while (n && buf[n - 1] == '-')
        n--;
    buf[n] = '\0';
}

/* --- mapping
 * ----------------------------------------------------------------------------------------
 */

static int map_one(struct call *c, const struct app_row *app, const struct space_row *space,
                   const struct route_wish *wish, const char *protocol) {
    _cleanup_(route_row_fini) struct route_row route = {0};
    int found = route_find(c, wish, &route);
    if (found < 0 || (found > 0 && route_create(c, wish, space->guid, &route) < 0))
        return -1;
    if (!str_eq(route.space_guid, space->guid))
        return fail_invalid(
            c,
            "For application '%s': The route '%s%s%s%s' is already in use by another "
            "space",
            app->name, wish->host, *wish->host ? "." : "", wish->domain->name, wish->path);
    if (found == 0 && route_change_options(c, &route, wish->options) < 0)
        return -1;
    return destination_add(c, &route, app, "web", 0, protocol ? protocol : "http1");
}

static int has_routes(struct call *c, const struct app_row *app, bool *ret) {
    const char *guid = app->guid;
    struct store_filter filter = {"app_guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .limit = 1};
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    struct error err = {0};
    if (store_destination_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    *ret = rows.n > 0;
    return 0;
}

static int unmap_all(struct call *c, const struct app_row *app) {
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    struct error err = {0};
    if (app_destinations(c, app->guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++)
        if (store_destination_delete(c->api->deps.store, rows.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
    return 0;
}

/* --- a route that the platform chooses
 * --------------------------------------------------------------
 */

static int map_default(struct call *c, const struct app_row *app, const struct space_row *space,
                       const char *label) {
    _cleanup_(domain_row_fini) struct domain_row domain = {0};
    if (!*label)
        return fail_invalid(c, "For application '%s': The name cannot be a host name: give a route",
                            app->name);
    if (default_domain(c, space->org_guid, &domain) < 0)
        return -1;
    return map_one(c, app, space, &(struct route_wish){label, "", &domain, NULL}, NULL);
}

static int map_random(struct call *c, const struct app_row *app, const struct space_row *space,
                      const char *label) {
    _cleanup_(domain_row_fini) struct domain_row domain = {0};
    char host[100];
    if (default_domain(c, space->org_guid, &domain) < 0)
        return -1;
    struct route_wish wish = {host, "", &domain, NULL};
    for (int i = 0; i < RANDOM_TRIES; i++) {
        _cleanup_(route_row_fini) struct route_row taken = {0};
        unsigned char dice[2];
        random_bytes(dice, sizeof dice);
        snprintf(host, sizeof host, "%.40s%s%s-%s", label, *label ? "-" : "",
                 adjectives[dice[0] % ARRAY_SIZE(adjectives)], nouns[dice[1] % ARRAY_SIZE(nouns)]);
        int found = route_find(c, &wish, &taken);
        if (found < 0)
            return -1;
        if (found > 0)
            return map_one(c, app, space, &wish, NULL);
    }
    return fail_invalid(c, "For application '%s': No free random route was found", app->name);
}

/* --- routes that the user gives
 * ---------------------------------------------------------------------
 */

struct url {
    char host[256], path[1024]; /* host: with the domain */
};

static int parse_url(struct call *c, const struct app_row *app, const char *text, struct url *url) {
    const char *p = strstr(text, "://");
    p = p ? p + 3 : text;
    size_t n = strcspn(p, "/");
    if (n == 0 || n >= sizeof url->host || memchr(p, ':', n) || memchr(p, '?', n))
        return fail_invalid(c,
                            "For application '%s': The route '%.255s' is not a properly formed URL",
                            app->name, text);
    memcpy(url->host, p, n);
    url->host[n] = '\0';
    snprintf(url->path, sizeof url->path, "%s", str_eq(p + n, "/") ? "" : p + n);
    return 0;
}

/* The longest domain that the host ends with; *ret_label gets what stands before it. */
static const struct domain_row *find_domain(const struct domain_rows *domains, const char *host,
                                            char label[256]) {
    const struct domain_row *best = NULL;
    size_t n = strlen(host), best_n = 0;
    for (size_t i = 0; i < domains->n; i++) {
        size_t d = strlen(domains->v[i].name);
        bool ends = d <= n && strcasecmp(host + n - d, domains->v[i].name) == 0 &&
                    (d == n || host[n - d - 1] == '.');
        if (ends && d > best_n) {
            best = &domains->v[i];
            best_n = d;
        }
    }
    size_t label_n = best ? n - best_n : 0;
    snprintf(label, 256, "%.*s", (int)(label_n ? label_n - 1 : 0), host);
    return best;
}

static int map_given(struct call *c, const struct app_row *app, const struct space_row *space,
                     const struct manifest_app *wish) {
    const char *org = space->org_guid;
    struct store_filter filter = {"available_to", &org, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    _cleanup_(domain_rows_fini) struct domain_rows domains = {0};
    struct error err = {0};
    if (store_domain_list(c->api->deps.store, &q, &domains, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < wish->route_count; i++) {
        struct url url;
        char label[256];
        if (parse_url(c, app, wish->routes[i].url, &url) < 0)
            return -1;
        const struct domain_row *domain = find_domain(&domains, url.host, label);
        if (!domain)
            return fail_invalid(c,
                                "For application '%s': The route '%.255s' does not match any "
                                "existing domain",
                                app->name, wish->routes[i].url);
        struct route_wish route = {label, url.path, domain, wish->routes[i].options};
        if (map_one(c, app, space, &route, wish->routes[i].protocol) < 0)
            return -1;
    }
    return 0;
}

int manifest_routes_apply(struct call *c, const struct app_row *app, const struct space_row *space,
                          const struct manifest_app *wish) {
    char label[64];
    bool any = false;
    if (wish->no_route)
        return unmap_all(c, app);
    if (wish->route_count)
        return map_given(c, app, space, wish);
    if (!wish->default_route && !wish->random_route)
        return 0;
    if (has_routes(c, app, &any) < 0 || any)
        return c->errors ? -1 : 0;
    host_from_name(app->name, label);
    return wish->random_route ? map_random(c, app, space, label)
                              : map_default(c, app, space, label);
}
