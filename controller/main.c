#include <event2/event.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/daemon.h"
#include "common/base/log.h"
#include "controller/controller.h"
#include "controller/keys.h"
#include "controller/nodes/nodes.h"
#include "controller/store/store.h"

static int fail(const char *what, const struct error *err) {
    log_error("cannot start", "part=%s why=%s", what, log_quote(err->msg));
    return 1;
}

/* Commands that do one thing; -1: none was given. */
static int run_command(const struct controller_config *c, struct error *err) {
    char id[2 * BUS_ID_SIZE + 1];
    if (c->init) {
        bool fresh = false;
        if (keys_init(c, &fresh, err) < 0)
            return fail("init", err);
        if (fresh)
            printf("made %s; the password of user admin is in %s\n", c->state_dir,
                   c->password_file);
        else
            printf("%s was set up before: nothing was changed\n", c->state_dir);
        return 0;
    }
    if (!str_empty(c->make_node_key)) {
        if (keys_make_node(c, id, err) < 0)
            return fail("make-node-key", err);
        printf("%s %s\n", id, c->make_node_key);
        return 0;
    }
    if (!str_empty(c->revoke_node)) {
        if (nodes_revoke(c->revoked_file, c->revoke_node, err) < 0)
            return fail("revoke-node", err);
        printf("%s is refused from the controller's next start or SIGHUP on\n", c->revoke_node);
        return 0;
    }
    if (!str_empty(c->backup)) {
        if (store_backup_beside(c->state_dir, c->backup, err) < 0)
            return fail("backup", err);
        printf("the database is in %s; its secrets need %s\n", c->backup, c->secrets_key_file);
        return 0;
    }
    if (c->check_store) {
        if (keys_check_store(c, err) < 0)
            return fail("check-store", err);
        puts("the database is whole");
        return 0;
    }
    return -1;
}

int main(int argc, char **argv) {
    _cleanup_(controller_fini) struct controller c = {.argc = argc, .argv = argv};
    struct error err = {0};

    umask(0077);
    int outcome = controller_config_load(&c.config, argc, argv, &err);
    if (outcome < 0)
        return fail("config", &err);
    if (outcome == CONFIG_DONE)
        return 0;
    if (log_setup(c.config.log_level, c.config.log_format, &err) < 0)
        return fail("log", &err);
    if (outcome == CONFIG_CHECK)
        return puts("configuration is fine") < 0;
    int command = run_command(&c.config, &err);
    if (command >= 0)
        return command;
    daemon_set_limits();
    if (controller_build(&c, &err) < 0)
        return fail("build", &err);
    if (controller_listen(&c, &err) < 0)
        return fail("listen", &err);
    daemon_ready(c.daemon, controller_config_spec.program);
    event_base_dispatch(c.loop); /* returns when drained */
    return 0;
}
