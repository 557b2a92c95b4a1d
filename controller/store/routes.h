/* routes.h - domains, routes and their destinations. */
#ifndef CONTROLLER_STORE_ROUTES_H
#define CONTROLLER_STORE_ROUTES_H

#include "controller/store/store.h"

/* Filters: guids names organization_guids (owner) available_to (shared, or this org's). Orders:
 * name too. */
struct domain_row {
    STORE_ROW_HEAD;
    char *name; /* lower case; unique */
    bool internal;
    char org_guid[GUID_SIZE]; /* empty: shared by all orgs */
    char *labels, *annotations;
};
STORE_DECLARE(domain)

/* Filters: guids hosts paths domain_guids space_guids organization_guids app_guids. */
struct route_row {
    STORE_ROW_HEAD;
    char space_guid[GUID_SIZE], domain_guid[GUID_SIZE];
    char *host;     /* lower case; "" for the domain itself; "*" for a wildcard */
    char *path;     /* "" or "/..." */
    char *protocol; /* "http" */
    char *options;  /* JSON object; NULL: none */
    char *labels, *annotations;
    char *domain_name;        /* read only */
    char org_guid[GUID_SIZE]; /* read only */
};
STORE_DECLARE(route)

/* Filters: guids route_guids app_guids. */
struct destination_row {
    STORE_ROW_HEAD;
    char route_guid[GUID_SIZE], app_guid[GUID_SIZE];
    char *process_type;                        /* "web" */
    uint64_t port;                             /* container port; 0: the image's lowest or 8080 */
    char *protocol;                            /* "http1" */
    char *host, *path, *domain_name, *options; /* read only: the route's */
    char *image_ports;                         /* read only: `ports` of the app's current droplet */
};
STORE_DECLARE(destination)

/* Deletes the routes of a space that have no destination. *ret_n: how many. */
int store_route_delete_unmapped(struct store *s, const char *space_guid, uint64_t *ret_n,
                                struct error *err);

#endif
