/* manifest_routes.h - the routes that a manifest gives an app. */
#ifndef CONTROLLER_API_MANIFEST_ROUTES_H
#define CONTROLLER_API_MANIFEST_ROUTES_H

struct app_row;
struct call;
struct manifest_app;
struct space_row;

/* no-route: unmaps all. routes: makes and maps them, unmaps none. default-route, random-route:
 * makes one, only when the app has none and no routes are given. */
int manifest_routes_apply(struct call *c, const struct app_row *app, const struct space_row *space,
                          const struct manifest_app *wish);
/* "My App" -> "my-app": what of a name can be a host, into buf; "" when nothing can. */
void host_from_name(const char *name, char buf[static 64]);

#endif
