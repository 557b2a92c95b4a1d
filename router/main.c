#include <stdio.h>

#include "common/base/log.h"
#include "router/router.h"

static int fail(const char *what, const struct error *err) {
    log_error("cannot start", "part=%s why=%s", what, log_quote(err->msg));
    return 1;
}

int main(int argc, char **argv) {
    _cleanup_(router_fini) struct router router = {.argc = argc, .argv = argv};
    struct error err = {0};

    int outcome = config_load(&router_config_spec, &router.config, argc, argv, &err);
    if (outcome < 0 || (outcome != CONFIG_DONE && router_config_check(&router.config, &err) < 0))
        return fail("config", &err);
    if (outcome == CONFIG_DONE)
        return 0;
    if (log_setup(router.config.log_level, router.config.log_format, &err) < 0)
        return fail("log", &err);
    if (outcome == CONFIG_CHECK)
        return puts("configuration is fine") < 0;
    daemon_set_limits();
    if (router_build(&router, &err) < 0)
        return fail("build", &err);
    if (router_listen(&router, &err) < 0)
        return fail("listen", &err);
    daemon_ready(router.daemon, router_config_spec.program);
    event_base_dispatch(router.loop); /* returns when drained */
    return 0;
}
