/* main.c - the `berth` command: a table of commands, and help made from it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/config.h"
#include "common/base/mem.h"
#include "controller/client/cli.h"

#define DEPLOYING_USAGE "[--strategy rolling|canary] [--max-in-flight N] [--no-wait]"

static const struct command commands[] = {
    {"api", NULL, cmd_api, "[URL] [--ca-cert FILE] [--skip-ssl-validation]",
     "Set or view the API endpoint", "GETTING STARTED"},
    {"login", "l", cmd_login,
     "[-a URL] [-u USERNAME] [-p PASSWORD] [-o ORG] [-s SPACE] [--ca-cert FILE] "
     "[--skip-ssl-validation]",
     "Log user in", "GETTING STARTED"},
    {"auth", NULL, cmd_auth, "USERNAME PASSWORD", "Authenticate without asking", "GETTING STARTED"},
    {"logout", "lo", cmd_logout, "", "Log user out", "GETTING STARTED"},
    {"target", "t", cmd_target, "[-o ORG] [-s SPACE]", "Set or view the targeted org and space",
     "GETTING STARTED"},
    {"push", "p", cmd_push,
     "NAME -o IMAGE [-c COMMAND] [-m MEMORY] [-k DISK] [-i INSTANCES] [-n HOST] [-u TYPE] "
     "[--endpoint PATH] [-t SECONDS] [-f MANIFEST] [--docker-username USER] [--no-start] "
     "[--no-route] [--random-route] [--no-manifest] [--strategy rolling|canary] [--max-in-flight "
     "N] "
     "[--no-wait]",
     "Push a Docker image as an app", "APPS"},
    {"apps", "a", cmd_apps, "", "List all apps in the target space", "APPS"},
    {"app", NULL, cmd_app, "NAME [--guid]", "Display health and status for an app", "APPS"},
    {"start", "st", cmd_start, "NAME", "Start an app", "APPS"},
    {"stop", "sp", cmd_stop, "NAME", "Stop an app", "APPS"},
    {"restart", "rs", cmd_restart, "NAME " DEPLOYING_USAGE, "Stop and start an app", "APPS"},
    {"restage", "rg", cmd_restage, "NAME " DEPLOYING_USAGE,
     "Resolve the app's image again and restart it", "APPS"},
    {"cancel-deployment", NULL, cmd_cancel_deployment, "NAME",
     "Go back from a deployment under way", "APPS"},
    {"continue-deployment", NULL, cmd_continue_deployment, "NAME [--no-wait]",
     "Go on with a deployment that is paused", "APPS"},
    {"revisions", NULL, cmd_revisions, "NAME", "List the versions of an app", "APPS"},
    {"rollback", NULL, cmd_rollback, "NAME --version N [-f] " DEPLOYING_USAGE,
     "Go back to an earlier version of an app", "APPS"},
    {"restart-app-instance", NULL, cmd_restart_instance, "NAME INDEX", "Restart one instance",
     "APPS"},
    {"scale", NULL, cmd_scale, "NAME [-i INSTANCES] [-m MEMORY] [-k DISK] [-f]",
     "Change or view instances, memory and disk of an app", "APPS"},
    {"rename", NULL, cmd_rename, "NAME NEW-NAME", "Rename an app", "APPS"},
    {"delete", "d", cmd_delete, "NAME [-f] [-r]", "Delete an app (-r: and its routes)", "APPS"},
    {"env", "e", cmd_env, "NAME", "Show all env variables of an app", "APPS"},
    {"set-env", "se", cmd_set_env, "NAME VARIABLE VALUE", "Set an env variable", "APPS"},
    {"unset-env", NULL, cmd_unset_env, "NAME VARIABLE", "Remove an env variable", "APPS"},
    {"logs", NULL, cmd_logs, "NAME [--recent]", "Tail or show recent logs of an app", "APPS"},
    {"events", NULL, cmd_events, "NAME", "Show recent app events", "APPS"},
    {"why", NULL, cmd_why, "NAME", "Show where each instance is, or why it is not", "APPS"},
    {"run-task", "rt", cmd_run_task,
     "APP [-c COMMAND | --process TYPE] [--name NAME] [-m MEMORY] [-k DISK] [-l LOG_RATE_LIMIT] "
     "[-w]",
     "Run a command once, beside an app", "APPS"},
    {"tasks", NULL, cmd_tasks, "APP", "List tasks of an app", "APPS"},
    {"task", NULL, cmd_task, "APP TASK_ID", "Display a task of an app", "APPS"},
    {"terminate-task", NULL, cmd_terminate_task, "APP TASK_ID", "Terminate a running task", "APPS"},
    {"routes", "r", cmd_routes, "", "List all routes in the space", "ROUTES"},
    {"create-route", NULL, cmd_create_route, "DOMAIN [-n HOST] [--path PATH]",
     "Create a route for later use", "ROUTES"},
    {"map-route", NULL, cmd_map_route, "APP DOMAIN [-n HOST] [--path PATH]",
     "Map a route to an app", "ROUTES"},
    {"unmap-route", NULL, cmd_unmap_route, "APP DOMAIN [-n HOST] [--path PATH]",
     "Remove a route from an app", "ROUTES"},
    {"delete-route", NULL, cmd_delete_route, "DOMAIN [-n HOST] [--path PATH] [-f]",
     "Delete a route", "ROUTES"},
    {"domains", NULL, cmd_domains, "", "List domains", "ROUTES"},
    {"feature-flags", NULL, cmd_feature_flags, "", "List feature flags", "FEATURE FLAGS"},
    {"feature-flag", NULL, cmd_feature_flag, "NAME", "Show one feature flag", "FEATURE FLAGS"},
    {"enable-feature-flag", NULL, cmd_enable_feature_flag, "NAME", "Enable a feature (admins)",
     "FEATURE FLAGS"},
    {"disable-feature-flag", NULL, cmd_disable_feature_flag, "NAME", "Disable a feature (admins)",
     "FEATURE FLAGS"},
    {"cells", NULL, cmd_cells, "", "List all cells and what they have left (admins)", "CLUSTER"},
    {"cell", NULL, cmd_cell, "NAME", "Show a cell and what it holds (admins)", "CLUSTER"},
    {"routers", NULL, cmd_routers, "", "List all routers (admins)", "CLUSTER"},
    {"curl", NULL, cmd_curl, "PATH [-X METHOD] [-H HEADER] [-d DATA] [-i] [-f] [--output FILE]",
     "Send a request to the API", "ADVANCED"},
};

const struct command *commands_all(size_t *ret_count) {
    *ret_count = ARRAY_SIZE(commands);
    return commands;
}

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (str_eq(commands[i].name, name) || str_eq(commands[i].alias, name))
            return &commands[i];
    return NULL;
}

static void print_usage(const struct command *c, FILE *to) {
    fprintf(to, "NAME:\n   %s - %s\n\nUSAGE:\n   berth %s %s\n", c->name, c->help, c->name,
            c->usage);
    if (c->alias)
        fprintf(to, "\nALIAS:\n   %s\n", c->alias);
}

static void print_help(void) {
    const char *group = "";
    printf("berth " BERTH_VERSION ", a client of the Cloud Foundry API for Docker apps\n\n"
           "usage: berth COMMAND [arguments], berth help COMMAND\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!str_eq(group, commands[i].group))
            printf("\n%s:\n", commands[i].group);
        group = commands[i].group;
        printf("   %-22s %s\n", commands[i].name, commands[i].help);
    }
}

static int run(const struct command *c, int argc, char **argv) {
    struct cli cli = {0};
    struct error err = {0};
    int r = session_load(&cli.session, &err);
    if (r == 0)
        r = rest_init(&cli.rest, &cli.session, &err);
    if (r == 0)
        r = c->run(&cli, argc, argv, &err);
    rest_fini(&cli.rest);
    session_fini(&cli.session);
    if (r >= 0)
        return 0;
    fflush(stdout);
    fprintf(stderr, "%s\n", err.msg);
    printf("FAILED\n");
    if (r == -EINVAL && str_starts(err.msg, "Incorrect Usage")) {
        printf("\n");
        print_usage(c, stdout);
    }
    return 1;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "help";
    if (str_eq(name, "--version") || str_eq(name, "version") || str_eq(name, "-v")) {
        printf("berth version " BERTH_VERSION "\n");
        return 0;
    }
    bool help = str_eq(name, "help") || str_eq(name, "--help") || str_eq(name, "-h");
    if (help && argc < 3) {
        print_help();
        return 0;
    }
    const struct command *c = find_command(help ? argv[2] : name);
    if (!c) {
        fprintf(stderr, "'%s' is not a registered command. See 'berth help'.\n",
                help ? argv[2] : name);
        return 1;
    }
    for (int i = 2; i < argc && !str_eq(argv[i], "--"); i++)
        help |= str_eq(argv[i], "--help") || str_eq(argv[i], "-h");
    if (help) {
        print_usage(c, stdout);
        return 0;
    }
    return run(c, argc - 2, argv + 2);
}
