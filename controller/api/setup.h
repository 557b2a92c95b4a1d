/* setup.h - what a new cluster begins with: an admin, an org, a space, a shared domain. */
#ifndef CONTROLLER_API_SETUP_H
#define CONTROLLER_API_SETUP_H

#include "common/base/error.h"

struct store;

struct setup_params {
    const char *admin;    /* NULL: "admin" */
    const char *password; /* required; see setup_password() */
    const char *org;      /* NULL: "default" */
    const char *space;    /* NULL: "default" */
    const char *domain;   /* of the apps: "apps.example"; required */
};

/* 24 characters from the kernel's random source, about 142 bits; `buf` of 25 bytes. */
void setup_password(char buf[static 25]);

/* All in one transaction. -EEXIST: the store was set up before, nothing is changed. -EINVAL: a name
 * or the domain is not one. Blocks for one password hash. */
int setup_first_run(struct store *store, const struct setup_params *params, struct error *err);

#endif
