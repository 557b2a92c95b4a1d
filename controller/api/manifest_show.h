/* manifest_show.h - an app as the manifest that would make it. */
#ifndef CONTROLLER_API_MANIFEST_SHOW_H
#define CONTROLLER_API_MANIFEST_SHOW_H

#include <jansson.h>

struct app_row;
struct call;

/* One member of `applications`; NULL with the error answered. */
json_t *manifest_of_app(struct call *c, const struct app_row *app);

#endif
