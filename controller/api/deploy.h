/* deploy.h - deployments as rows: begun, canceled, continued, overtaken. For the handlers of
 * deployments.c, and for whoever starts or stops an app. */
#ifndef CONTROLLER_API_DEPLOY_H
#define CONTROLLER_API_DEPLOY_H

#include "controller/api/resources.h"

/* What is to be deployed. Borrowed. */
struct deploy_wish {
    const char *droplet_guid;
    const struct revision_row *revision; /* to go back to; NULL: none */
    struct process_size size;            /* of the web process from now on */
};

/* `d` comes with strategy, canary, max_in_flight and metadata. An active deployment is overtaken;
 * on an app that is stopped it is done at once. */
int deployment_begin(struct call *c, const struct deploy_wish *wish, struct app_row *app,
                     struct process_row *web, struct deployment_row *d);
/* 422 when it is over. Canceling twice does nothing. */
int deployment_cancel(struct call *c, struct deployment_row *d, struct app_row *app);
int deployment_continue(struct call *c, struct deployment_row *d, struct app_row *app);
int deployment_set(struct call *c, struct deployment_row *d, const char *value, const char *reason);
/* A version that goes, as clients see it: a second web process, with a guid of its own. */
int old_version_process(struct call *c, const struct old_version_row *old, struct process_row *ret);

#endif
