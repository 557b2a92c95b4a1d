/* session.h - what the client remembers between commands: one JSON file, mode 0600.
 *
 * $BERTH_HOME/.berth/config.json, else $HOME/.berth/config.json. */
#ifndef CONTROLLER_CLIENT_SESSION_H
#define CONTROLLER_CLIENT_SESSION_H

#include <stdbool.h>

#include "common/base/error.h"

struct session {
    char *api;                          /* "https://127.0.0.1:8443"; NULL until `berth api` */
    char *ca_file;                      /* absolute; trusted beside the system's CAs; may be NULL */
    bool skip_verify;                   /* --skip-ssl-validation */
    char *uaa, *log_cache;              /* from the API's links */
    char *access_token, *refresh_token; /* NULL when logged out */
    char *user;
    char *org, *org_guid, *space, *space_guid; /* NULL when not targeted */
    char *path;                                /* of the file */
};

/* A missing file is an empty session. */
int session_load(struct session *s, struct error *err);
int session_save(const struct session *s, struct error *err);
void session_fini(struct session *s);
void session_forget_login(struct session *s);

#endif
