/* services.h - user-provided service instances and their bindings to apps. See store.h for the
 * functions that every resource has. */
#ifndef CONTROLLER_STORE_SERVICES_H
#define CONTROLLER_STORE_SERVICES_H

#include "controller/store/store.h"

/* Filters: guids names space_guids organization_guids. Orders: name too. Deleting one deletes its
 * bindings; deleting a space deletes its instances. */
struct service_row {
    STORE_ROW_HEAD;
    char *name; /* unique in its space */
    char space_guid[GUID_SIZE];
    char *credentials;                          /* sealed; a JSON object; NULL: {} */
    char *tags;                                 /* JSON list of strings; NULL: [] */
    char *syslog_drain_url, *route_service_url; /* NULL: none */
    char *labels, *annotations;
    char org_guid[GUID_SIZE]; /* read only */
};
STORE_DECLARE(service)

/* Filters: guids names app_guids app_names service_instance_guids service_instance_names. */
struct binding_row {
    STORE_ROW_HEAD;
    char app_guid[GUID_SIZE], service_guid[GUID_SIZE]; /* unique together */
    char *name;                                        /* unique in its app; NULL: none */
    char *labels, *annotations;
    char space_guid[GUID_SIZE]; /* read only; the app's */
    char *service_name;         /* read only */
};
STORE_DECLARE(binding)

/* VCAP_SERVICES of an app, owned: {"user-provided":[...]}, or {} when nothing is bound. */
int store_vcap_services(struct store *s, const char *app_guid, char **ret, struct error *err);

#endif
