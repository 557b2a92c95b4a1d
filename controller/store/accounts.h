/* accounts.h - organizations, spaces, users and their roles. */
#ifndef CONTROLLER_STORE_ACCOUNTS_H
#define CONTROLLER_STORE_ACCOUNTS_H

#include "controller/store/store.h"

/* Filters: guids names. Orders: name too. */
struct org_row {
    STORE_ROW_HEAD;
    char *name; /* unique, any case */
    bool suspended;
    char *labels, *annotations;
};
STORE_DECLARE(org)

/* Filters: guids names organization_guids. Orders: name too. */
struct space_row {
    STORE_ROW_HEAD;
    char *name; /* unique in its org, any case */
    char org_guid[GUID_SIZE];
    bool ssh;
    char *labels, *annotations;
    char *org_name; /* read only */
};
STORE_DECLARE(space)

/* Filters: guids usernames origins. */
struct user_row {
    STORE_ROW_HEAD;
    char *username; /* unique, any case */
    char *origin;   /* "uaa" */
    /* "scrypt$N$r$p$<salt>$<hash>" (see controller/api/password.h); NULL: cannot log in */
    char *password_hash;
    bool admin;
    bool active;
};
STORE_DECLARE(user)

int store_user_find(struct store *s, const char *username, struct user_row *ret,
                    struct error *err); /* -ENOENT */

/* Filters: guids types user_guids space_guids organization_guids. */
struct role_row {
    STORE_ROW_HEAD;
    char *type; /* "space_developer", "organization_user", ... */
    char user_guid[GUID_SIZE];
    char space_guid[GUID_SIZE], org_guid[GUID_SIZE]; /* one of them, as the type says */
};
STORE_DECLARE(role)

/* The most that the user's roles allow in this space. */
enum store_access { STORE_ACCESS_NONE, STORE_ACCESS_READ, STORE_ACCESS_WRITE };
int store_space_access(struct store *s, const char *user_guid, const char *space_guid,
                       enum store_access *ret, struct error *err);
int store_org_access(struct store *s, const char *user_guid, const char *org_guid,
                     enum store_access *ret, struct error *err);

#endif
