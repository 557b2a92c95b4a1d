#include "controller/api/manifest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "controller/api/resources.h"
#include "controller/api/yaml_read.h"

#define COMMAND_MAX        4096
#define HEALTH_TIMEOUT_MAX 180
#define SECONDS_MAX        3600
#define MB                 1048576

/* Where we are, for the words of an error. */
struct place {
    struct call *c;
    const char *name; /* NULL: it has none, then the index */
    size_t index;
};

static int wrong(const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int wrong(const struct place *at, const char *fmt, ...) {
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return at->name ? fail_invalid(at->c, "For application '%.255s': %s", at->name, text)
                    : fail_invalid(at->c, "For application at index %zu: %s", at->index, text);
}

void manifest_fini(struct manifest *m) {
    free(m->apps);
    json_decref(m->document);
    *m = (struct manifest){0};
}

/* --- single values
 * ----------------------------------------------------------------------------------
 */

/* A key may be written with '-' or '_'. */
static const json_t *get(const json_t *map, const char *key) {
    char other[64];
    const json_t *value = json_object_get(map, key);
    if (value || strlen(key) >= sizeof other)
        return value;
    snprintf(other, sizeof other, "%s", key);
    for (char *p = other; *p; p++)
        if (*p == '-')
            *p = '_';
    return json_object_get(map, other);
}

bool manifest_size(const json_t *value, uint64_t *ret) {
    const char *text = json_string_value(value);
    /* A unit must stand there: a bare number could be bytes or megabytes. */
    if (!text || !*text || strspn(text, "0123456789") == strlen(text))
        return false;
    return parse_bytes(text, ret) == 0;
}

static int take_mb(const struct place *at, const json_t *map, const char *key, const char *words,
                   uint64_t max_mb, bool *has, uint64_t *ret) {
    const json_t *value = get(map, key);
    uint64_t bytes = 0;
    if (!value || json_is_null(value))
        return 0;
    if (!manifest_size(value, &bytes))
        return wrong(at, "%s must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB", words);
    if (bytes < MB)
        return wrong(at, "%s must be greater than 0MB", words);
    if (bytes / MB > max_mb)
        return wrong(at, "%s must be at most %lluMB", words, (unsigned long long)max_mb);
    *has = true;
    *ret = bytes / MB;
    return 0;
}

static int take_int(const struct place *at, const json_t *map, const char *key, const char *words,
                    uint64_t min, uint64_t max, bool *has, uint64_t *ret) {
    const json_t *value = get(map, key);
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_integer(value))
        return wrong(at, "%s must be an integer", words);
    json_int_t n = json_integer_value(value);
    if (n < (json_int_t)min || n > (json_int_t)max)
        return wrong(at, "%s must be between %llu and %llu", words, (unsigned long long)min,
                     (unsigned long long)max);
    *has = true;
    *ret = (uint64_t)n;
    return 0;
}

static int take_text(const struct place *at, const json_t *map, const char *key, const char *words,
                     size_t max, const char **ret) {
    const json_t *value = get(map, key);
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return wrong(at, "%s must be a string", words);
    if (!json_string_length(value) || json_string_length(value) > max)
        return wrong(at, "%s must have 1 to %zu characters", words, max);
    *ret = json_string_value(value);
    return 0;
}

static int take_bool(const struct place *at, const json_t *map, const char *key, bool *ret) {
    const json_t *value = get(map, key);
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_boolean(value))
        return wrong(at, "%s must be a boolean", key);
    *ret = json_is_true(value);
    return 0;
}

/* --- a process
 * --------------------------------------------------------------------------------------
 */

static int take_command(const struct place *at, const json_t *map, struct manifest_process *p) {
    const json_t *value = get(map, "command");
    if (!value)
        return 0;
    p->has_command = true;
    const char *text = json_string_value(value);
    if (json_is_null(value) || (text && (str_eq(text, "null") || str_eq(text, "default")))) {
        p->command = NULL;
        return 0;
    }
    return take_text(at, map, "command", "Command", COMMAND_MAX, &p->command);
}

static int take_log_rate(const struct place *at, const json_t *map, struct manifest_process *p) {
    const json_t *value = get(map, "log-rate-limit-per-second");
    uint64_t bytes = 0;
    if (!value || json_is_null(value))
        return 0;
    p->has_log_rate = true;
    if ((json_is_integer(value) && json_integer_value(value) == -1) ||
        str_eq(json_string_value(value), "-1"))
        p->log_rate = -1;
    else if (json_is_integer(value) && json_integer_value(value) == 0)
        p->log_rate = 0;
    else if (manifest_size(value, &bytes) && bytes <= INT32_MAX)
        p->log_rate = (int64_t)bytes;
    else
        return wrong(at, "Log rate limit per second must use a supported unit: B, K, KB, M, MB, G, "
                         "GB, T, or TB");
    return 0;
}

static int check_type(const struct place *at, const char *type, const char *words) {
    if (!type || str_eq(type, "port") || str_eq(type, "http") || str_eq(type, "process") ||
        str_eq(type, "none"))
        return 0;
    return wrong(at, "%s must be \"port\", \"process\", or \"http\"", words);
}

static int check_endpoint(const struct place *at, const char *endpoint, const char *words) {
    return !endpoint || *endpoint == '/' ? 0 : wrong(at, "%s must be a valid URI path", words);
}

static int take_process(const struct place *at, const json_t *map, struct manifest_process *p) {
    const struct api_config *config = &at->c->api->config;
    int bad = 0;
    bad |= take_command(at, map, p);
    bad |= take_int(at, map, "instances", "Instances", 0, config->max_instances, &p->has_instances,
                    &p->instances);
    bad |=
        take_mb(at, map, "memory", "Memory", config->max_memory_mb, &p->has_memory, &p->memory_mb);
    bad |= take_mb(at, map, "disk-quota", "Disk quota", config->max_disk_mb, &p->has_disk,
                   &p->disk_mb);
    bad |= take_log_rate(at, map, p);
    bad |= take_int(at, map, "timeout", "Timeout", 1, HEALTH_TIMEOUT_MAX, &p->has_timeout,
                    &p->timeout_s);
    bad |= take_int(at, map, "health-check-invocation-timeout", "Health check invocation timeout",
                    1, SECONDS_MAX, &p->has_invocation, &p->invocation_s);
    bad |= take_int(at, map, "health-check-interval", "Health check interval", 1, SECONDS_MAX,
                    &p->has_interval, &p->interval_s);
    bad |= take_int(at, map, "readiness-health-check-invocation-timeout",
                    "Readiness health check invocation timeout", 1, SECONDS_MAX,
                    &p->has_ready_invocation, &p->ready_invocation_s);
    bad |= take_int(at, map, "readiness-health-check-interval", "Readiness health check interval",
                    1, SECONDS_MAX, &p->has_ready_interval, &p->ready_interval_s);
    bad |= take_text(at, map, "health-check-type", "Health check type", 20, &p->health_type);
    bad |= take_text(at, map, "health-check-http-endpoint", "Health check HTTP endpoint", 1024,
                     &p->health_endpoint);
    bad |= take_text(at, map, "readiness-health-check-type", "Readiness health check type", 20,
                     &p->ready_type);
    bad |= take_text(at, map, "readiness-health-check-http-endpoint",
                     "Readiness health check HTTP endpoint", 1024, &p->ready_endpoint);
    bad |= check_type(at, p->health_type, "Health check type");
    bad |= check_type(at, p->ready_type, "Readiness health check type");
    bad |= check_endpoint(at, p->health_endpoint, "Health check HTTP endpoint");
    bad |= check_endpoint(at, p->ready_endpoint, "Readiness health check HTTP endpoint");
    if (str_eq(p->health_type, "none"))
        p->health_type = "process"; /* the old name */
    return bad ? -1 : 0;
}

static int take_processes(const struct place *at, const json_t *map, struct manifest_app *app) {
    const json_t *list = get(map, "processes");
    size_t i;
    json_t *one;
    bool web_seen = false;
    /* The app's own keys are those of web. */
    app->processes[0].type = "web";
    app->process_count = 1;
    int bad = take_process(at, map, &app->processes[0]);
    if (!list || json_is_null(list))
        return bad;
    if (!json_is_array(list))
        return wrong(at, "Processes must be an array of process configurations");
    json_array_foreach(list, i, one) {
        const char *type = NULL;
        if (!json_is_object(one) || take_text(at, one, "type", "Process type", 255, &type) < 0 ||
            !type)
            return wrong(at, "All Processes must specify a type");
        struct manifest_process *p = NULL;
        for (size_t j = 0; j < app->process_count; j++)
            if (str_eq(app->processes[j].type, type))
                p = &app->processes[j];
        if (p && (p != &app->processes[0] || web_seen))
            return wrong(at, "Process \"%s\" may only be present once", type);
        web_seen |= p != NULL;
        if (!p && app->process_count == MANIFEST_PROCESSES_MAX)
            return wrong(at, "There are too many processes (maximum is %d)",
                         MANIFEST_PROCESSES_MAX);
        if (!p)
            p = &app->processes[app->process_count++];
        p->type = type;
        bad |= take_process(at, one, p);
    }
    return bad;
}

/* --- routes
 * -----------------------------------------------------------------------------------------
 */

static int take_routes(const struct place *at, const json_t *map, struct manifest_app *app) {
    const json_t *list = get(map, "routes");
    size_t i;
    json_t *one;
    int bad = take_bool(at, map, "no-route", &app->no_route) |
              take_bool(at, map, "random-route", &app->random_route) |
              take_bool(at, map, "default-route", &app->default_route);
    if (app->random_route && app->default_route)
        bad |= wrong(at, "Random-route and default-route may not be used together");
    if (!list || json_is_null(list))
        return bad;
    if (!json_is_array(list))
        return wrong(at, "Routes must be a list of route objects");
    if (json_array_size(list) > MANIFEST_ROUTES_MAX)
        return wrong(at, "There are too many routes (maximum is %d)", MANIFEST_ROUTES_MAX);
    json_array_foreach(list, i, one) {
        struct manifest_route *route = &app->routes[app->route_count];
        if (!json_is_object(one) || take_text(at, one, "route", "Route", 1024, &route->url) < 0 ||
            !route->url)
            return wrong(at, "Routes must be a list of route objects");
        if (take_text(at, one, "protocol", "Route protocol", 16, &route->protocol) < 0)
            return -1;
        if (route->protocol && !str_eq(route->protocol, "http1") &&
            !str_eq(route->protocol, "http2"))
            bad |= wrong(at, "Route protocol must be 'http1' or 'http2'.");
        char problem[600];
        route->options = get(one, "options");
        if (route->options &&
            route_options_problem(route->options, route->url, problem, sizeof problem))
            bad |= wrong(at, "%s", problem);
        app->route_count++;
    }
    return bad;
}

/* --- an app
 * -----------------------------------------------------------------------------------------
 */

static int take_docker(const struct place *at, const json_t *map, struct manifest_app *app) {
    const json_t *docker = get(map, "docker"), *lifecycle = get(map, "lifecycle");
    const char *image = NULL, *username = NULL;
    if (get(map, "buildpacks") || get(map, "buildpack"))
        return wrong(at, "Buildpacks cannot be configured for a docker lifecycle app.");
    if (lifecycle && !json_is_null(lifecycle) && !str_eq(json_string_value(lifecycle), "docker"))
        return wrong(at, "Lifecycle must be 'docker': this platform runs Docker images");
    if (!docker || json_is_null(docker))
        return 0;
    if (!json_is_object(docker))
        return wrong(at, "Docker must be an object");
    app->docker = true;
    if (take_text(at, docker, "username", "Docker username", 1000, &username) < 0)
        return -1;
    return take_text(at, docker, "image", "Docker image", 2048, &image);
}

static int take_env(const struct place *at, const json_t *map, struct manifest_app *app) {
    const json_t *env = get(map, "env");
    if (!env || json_is_null(env))
        return 0;
    if (!json_is_object(env))
        return wrong(at, "Env must be an object of keys and values");
    app->env = env;
    return 0;
}

static int take_services(const struct place *at, const json_t *map, struct manifest_app *app) {
    const json_t *list = get(map, "services");
    size_t i;
    json_t *one;
    if (!list || json_is_null(list))
        return 0;
    if (!json_is_array(list))
        return wrong(at, "Services must be a list of service instances");
    json_array_foreach((json_t *)list, i, one) {
        const json_t *name = json_is_object(one) ? json_object_get(one, "name") : one;
        if (!json_string_length(name))
            return wrong(at, "Services must be a list of service instances");
        if (json_object_size(json_object_get(one, "parameters")))
            return wrong(at, "Binding parameters are not supported for user-provided service "
                             "instances");
    }
    app->services = list;
    return 0;
}

static int take_app(struct call *c, const json_t *map, size_t index, struct manifest_app *app) {
    struct place at = {c, NULL, index};
    if (!json_is_object(map))
        return wrong(&at, "An application must be a mapping");
    app->whole = map;
    const json_t *name = json_object_get(map, "name");
    if (!json_string_length(name) || json_string_length(name) > 255)
        return wrong(&at, "Name must not be empty, and a string of at most 255 characters");
    at.name = app->name = json_string_value(name);
    int bad = app_name_ok(c, app->name);
    bad |= take_docker(&at, map, app);
    bad |= take_env(&at, map, app);
    bad |= take_services(&at, map, app);
    bad |= take_processes(&at, map, app);
    bad |= take_routes(&at, map, app);
    return bad ? -1 : 0;
}

static int find_twins(struct call *c, const struct manifest *m) {
    for (size_t i = 0; i < m->count; i++)
        for (size_t j = i + 1; j < m->count; j++)
            if (str_eq(m->apps[i].name, m->apps[j].name))
                return fail_invalid(c, "Manifest: the application '%.255s' stands there twice",
                                    m->apps[i].name);
    return 0;
}

int manifest_read(struct call *c, struct manifest *m) {
    struct error err = {0};
    int r = yaml_parse(c->body ? c->body : "", c->body_n, &m->document, &err);
    if (r == -ENOMEM)
        return fail_no_memory(c);
    if (r < 0)
        return fail(c, CC_MESSAGE_PARSE_ERROR,
                    "Request invalid due to parse error: invalid YAML, %s", err.msg);
    const json_t *version = json_object_get(m->document, "version"),
                 *apps = json_object_get(m->document, "applications");
    if (version && !(json_is_integer(version) && json_integer_value(version) == 1))
        return fail_invalid(
            c, "Unsupported manifest schema version. Currently supported versions: [1].");
    if (!json_is_array(apps) || !json_array_size(apps))
        return fail_invalid(c, "Cannot parse manifest with no 'applications' field.");
    if (json_array_size(apps) > MANIFEST_APPS_MAX)
        return fail_invalid(c, "Manifest has too many applications (maximum is %d)",
                            MANIFEST_APPS_MAX);
    if (!(m->apps = mem_calloc(json_array_size(apps), sizeof *m->apps)))
        return fail_no_memory(c);
    for (size_t i = 0; i < json_array_size(apps); i++)
        if (take_app(c, json_array_get(apps, i), i, &m->apps[i]) == 0)
            m->count++;
    return c->errors ? -1 : find_twins(c, m);
}
