/* cli.h - what every command of `berth` gets, and the look-ups they share. */
#ifndef CONTROLLER_CLIENT_CLI_H
#define CONTROLLER_CLIENT_CLI_H

#include <jansson.h>

#include "controller/client/args.h"
#include "controller/client/rest.h"
#include "controller/client/session.h"

struct cli {
    struct session session;
    struct rest rest;
};

/* A command: argv without the command's own name. 0, or negative with the words for the user. */
typedef int command_fn(struct cli *cli, int argc, char **argv, struct error *err);

struct command {
    const char *name, *alias; /* alias may be NULL */
    command_fn *run;
    const char *usage; /* after the name */
    const char *help;
    const char *group;
};
const struct command *commands_all(size_t *ret_count);

/* "Not logged in", "No org and space targeted": -EACCES, -ENOENT. */
int cli_need_login(struct cli *cli, struct error *err);
int cli_need_space(struct cli *cli, struct error *err);

/* The app of this name in the targeted space (owned JSON). -ENOENT "App 'x' not found." */
int cli_find_app(struct cli *cli, const char *name, json_t **ret, struct error *err);
/* The app's web process (owned JSON). */
int cli_web_process(struct cli *cli, const char *app_guid, json_t **ret, struct error *err);

/* Members of an object: "" / 0 when absent. Borrowed. */
const char *json_text(const json_t *o, const char *key);
const char *json_text_at(const json_t *o, const char *path); /* "a.b.c" */
json_int_t json_number(const json_t *o, const char *key);

/* Takes "64M" of a flag into a body's member, in MB; text NULL: the flag was not given. */
int cli_megabytes(const char *flag, const char *text, json_t *body, const char *key,
                  struct error *err);

/* "Doing x to app NAME in org O / space S as U..." and a newline. */
void cli_say(const struct cli *cli, const char *doing, const char *name);
void cli_ok(void);

/* --- parts that several commands show -------------------------------------------------------- */

/* The summary of `app` and of the end of `push`. */
int show_app(struct cli *cli, const char *name, bool with_command, struct error *err);

/* Waits until an instance runs, telling what goes on: log lines of the cell, a progress bar while
 * layers download. -ETIME, or -ECHILD when all instances crashed. cursor: see tail_begin(). */
struct tail {
    long long next_ns; /* log lines before this were shown or are older than the command */
};
void tail_begin(struct cli *cli, const char *app_guid, struct tail *tail);
/* Prints what is new from sources that begin with one of `sources` (NULL-terminated; NULL: all).
 * Returns how many lines, or negative. */
int tail_show(struct cli *cli, const char *app_guid, struct tail *tail, const char *const *sources,
              struct error *err);
int wait_for_start(struct cli *cli, const char *app_name, const char *app_guid, struct tail *tail,
                   struct error *err);
/* Stages `package_guid`. The droplet (owned) is *ret_droplet; NULL: it is made current. */
int stage_package(struct cli *cli, const char *app_guid, const char *package_guid,
                  struct tail *tail, char **ret_droplet, struct error *err);

/* How a new version takes the place of the last one; without a strategy all stops and starts. */
struct deploying {
    const char *strategy, *max_in_flight; /* NULL: not given */
    bool no_wait;
};
#define DEPLOYING_FLAGS(d)                                                                         \
    {"--strategy", NULL, &(d).strategy, NULL},                                                     \
        {"--max-in-flight", NULL, &(d).max_in_flight, NULL}, {                                     \
        "--no-wait", NULL, NULL, &(d).no_wait                                                      \
    }
int deploying_check(const struct deploying *d, struct error *err);
/* Deploys by d->strategy and waits for its end. `what`: NULL, or "droplet" or "revision" with its
 * guid. -ECANCELED: it was canceled, or another came. */
int deploy_app(struct cli *cli, const char *name, const char *app_guid, const struct deploying *d,
               const char *what, const char *what_guid, struct error *err);

command_fn cmd_api, cmd_login, cmd_auth, cmd_logout, cmd_target;
command_fn cmd_push;
command_fn cmd_apps, cmd_app, cmd_start, cmd_stop, cmd_restart, cmd_restage, cmd_delete, cmd_scale,
    cmd_rename, cmd_restart_instance;
command_fn cmd_cancel_deployment, cmd_continue_deployment, cmd_revisions, cmd_rollback;
command_fn cmd_env, cmd_set_env, cmd_unset_env;
command_fn cmd_logs, cmd_events;
command_fn cmd_routes, cmd_create_route, cmd_map_route, cmd_unmap_route, cmd_delete_route,
    cmd_domains;
command_fn cmd_feature_flags, cmd_feature_flag, cmd_enable_feature_flag, cmd_disable_feature_flag;
command_fn cmd_run_task, cmd_tasks, cmd_task, cmd_terminate_task;
command_fn cmd_cells, cmd_cell, cmd_routers, cmd_why;
command_fn cmd_curl;

#endif
