/* api.h - the controller's HTTPS API: Cloud Controller v3, UAA and log-cache on one listener.
 *
 * Everything runs on the loop's thread but password hashing, which goes to the workers. One request
 * that changes something is one transaction; it is answered once that is on disk, and only then
 * staging and the brain are told. */
#ifndef CONTROLLER_API_API_H
#define CONTROLLER_API_API_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct api;
struct event_base;
struct logs;
struct lrp;
struct lrp_actual;
struct nodes;
struct staging;
struct store;
struct workers;

/* What an operator may set. Strings are copied. */
struct api_config {
    const char *external_url; /* "https://api.example": for links; NULL: as the client called us */
    const char *certificate, *key; /* PEM files; both NULL: plain HTTP, for tests on loopback */
    uint64_t max_memory_mb;        /* of an instance; 0: 65536 */
    uint64_t max_disk_mb;          /* 0: 65536 */
    uint64_t max_instances;        /* of a process; 0: 10000 */
    uint64_t default_memory_mb;    /* 0: 1024, Cloud Controller's */
    uint64_t default_disk_mb;      /* 0: 1024 */
    uint64_t token_s;              /* an access token's life; 0: 599, UAA's usual */
    uint64_t refresh_s;            /* a refresh token's; 0: 30 days */
    unsigned max_connections;      /* 0: 1000 */
    bool fast_password_hashes;     /* for tests: cheap scrypt for new passwords */
};

/* All borrowed and living longer than the api. */
struct api_deps {
    struct event_base *loop;
    struct store *store;
    struct lrp *lrp;
    struct logs *logs;
    struct nodes *nodes; /* NULL: none is known */
    struct staging *staging;
    struct workers *workers;
    const struct api_config *config;
    /* Called when a request failed for a reason of ours (answered 500): for the log. May be NULL.
     */
    void (*on_failure)(void *data, const char *request_id, const char *text);
    /* A deployment was made or changed, and that is on disk. May be NULL. */
    void (*on_deployment)(void *data);
    void *data;
};

/* Reads, or makes, the key that signs access tokens (a sealed setting of the store). */
int api_new(struct api **ret, const struct api_deps *deps, struct error *err);
/* "host:port"; port 0 takes a free one, see api_port(). May be called for several addresses. */
int api_listen(struct api *api, const char *address, struct error *err);
uint16_t api_port(const struct api *api); /* of the last api_listen() */
/* For SIGHUP: new connections get the files' present contents. On error the old ones stay. */
int api_reload_certificates(struct api *api, struct error *err);
/* No new connections; requests in flight are answered. */
void api_drain(struct api *api);
unsigned api_connections(const struct api *api); /* open ones, idle or not */
/* Answers what is in flight with 503. The workers must still live, or be idle. */
void api_free(struct api *api);
DEFINE_FREEP(api)

/* Prometheus lines: requests by class of status, connections, log-ins refused. */
void api_metrics(struct api *api, struct strbuf *out);

/* Writes the app's events: "app.crash" and "audit.app.process.crash", or, for an instance that is
 * to run on another cell, "audit.app.process.rescheduling". `text` says why. For the owner of
 * lrp_ops.on_event. */
enum api_instance_event { API_INSTANCE_CRASHED, API_INSTANCE_RESCHEDULED };
int api_record_instance(struct api *api, enum api_instance_event event, const struct lrp_actual *a,
                        const char *text, struct error *err);

#endif
