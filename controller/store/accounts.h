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

/* Filters: guids usernames origins active ("1"). Orders: name too. */
struct user_row {
    STORE_ROW_HEAD;
    char *username; /* unique, any case */
    char *origin;   /* "uaa" */
    /* "scrypt$N$r$p$<salt>$<hash>" (see controller/api/password.h); NULL: cannot log in */
    char *password_hash;
    bool admin;
    bool active;
    char *labels, *annotations; /* JSON objects, or NULL */
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

/* The kinds of roles, as a set of bits. */
enum store_role {
    STORE_ORG_USER = 1 << 0,
    STORE_ORG_AUDITOR = 1 << 1,
    STORE_ORG_BILLING = 1 << 2,
    STORE_ORG_MANAGER = 1 << 3,
    STORE_SPACE_AUDITOR = 1 << 4,
    STORE_SPACE_DEVELOPER = 1 << 5,
    STORE_SPACE_MANAGER = 1 << 6,
    STORE_SPACE_SUPPORTER = 1 << 7,
};
#define STORE_ROLES     8
#define STORE_ORG_ROLES (STORE_ORG_USER | STORE_ORG_AUDITOR | STORE_ORG_BILLING | STORE_ORG_MANAGER)
/* "organization_user", ... of bit 1 << i; 0 for another text. */
const char *store_role_name(unsigned i);
unsigned store_role_of(const char *type);

int store_role_delete_of_user(struct store *s, const char *user_guid, struct error *err);

/* The user's roles in this space and in its org, or in this org and in any of its spaces. */
int store_roles_in_space(struct store *s, const char *user_guid, const char *space_guid,
                         unsigned *ret, struct error *err);
int store_roles_in_org(struct store *s, const char *user_guid, const char *org_guid, unsigned *ret,
                       struct error *err);

#endif
