/* manifest.h - an app manifest, read and checked: what a user wishes of apps, processes, routes.
 *
 * Only what stands in the manifest is set; everything else of an app stays as it is. */
#ifndef CONTROLLER_API_MANIFEST_H
#define CONTROLLER_API_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct call;

#define MANIFEST_APPS_MAX      100
#define MANIFEST_PROCESSES_MAX 20
#define MANIFEST_ROUTES_MAX    100

/* Texts are borrowed from the document. `has`: the key stands there. */
struct manifest_process {
    const char *type; /* "web" */
    bool has_command, has_instances, has_memory, has_disk, has_log_rate, has_timeout,
        has_invocation, has_interval, has_ready_invocation, has_ready_interval;
    const char *command; /* NULL: the image's own */
    uint64_t instances, memory_mb, disk_mb, timeout_s, invocation_s, interval_s, ready_invocation_s,
        ready_interval_s;
    int64_t log_rate;
    const char *health_type, *health_endpoint, *ready_type, *ready_endpoint; /* NULL: not given */
};

struct manifest_route {
    const char *url; /* "host.domain/path" */
    const char *protocol;
    const json_t *options; /* borrowed; an object, or NULL */
};

struct manifest_app {
    const char *name;
    bool docker; /* has a docker image */
    bool no_route, random_route, default_route;
    const json_t *env;      /* borrowed; an object, or NULL */
    const json_t *services; /* borrowed; a list of names and {name, binding_name}, or NULL */
    const json_t *whole;    /* borrowed; the app's mapping */
    struct manifest_process processes[MANIFEST_PROCESSES_MAX];
    size_t process_count;
    struct manifest_route routes[MANIFEST_ROUTES_MAX];
    size_t route_count;
};

struct manifest {
    json_t *document;          /* owned */
    struct manifest_app *apps; /* owned */
    size_t count;
};
void manifest_fini(struct manifest *m);

/* Reads the call's body. Every mistake is one error of the call ("For application 'NAME': ..."); -1
 * when there was any. */
int manifest_read(struct call *c, struct manifest *m);
struct app_row;
struct space_row;
/* manifest_services.c. The second adds to the mapping of a manifest; nonzero: failed. */
int manifest_services_apply(struct call *c, const struct app_row *app,
                            const struct space_row *space, const struct manifest_app *wish);
int manifest_services_show(struct call *c, const struct app_row *app, json_t *map);

/* "64M", "1G", "512MB" (a unit must stand there): bytes. False: no size. */
bool manifest_size(const json_t *value, uint64_t *ret);

#endif
