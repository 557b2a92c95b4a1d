/* env.c - the environment that a user gives an app: env, set-env, unset-env. */
#include <errno.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"

static void print_group(const char *title, const json_t *group) {
    const char *key;
    json_t *value;
    if (json_object_size(group) == 0) {
        printf("No %s have been set\n\n", title);
        return;
    }
    printf("%c%s:\n", title[0] - 'a' + 'A', title + 1);
    json_object_foreach((json_t *)(uintptr_t)group, key, value) {
        _cleanup_(freep) char *text = json_is_string(value)
                                          ? str_dup(json_string_value(value))
                                          : json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(2));
        printf("%s: %s\n", key, text ? text : "");
    }
    printf("\n");
}

int cmd_env(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    json_t *app = NULL, *env = NULL;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    cli_say(cli, "Getting env variables for app", a.positional[0]);
    if ((r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    r = rest_get(&cli->rest, &env, err, "/v3/apps/%s/env", json_text(app, "guid"));
    if (r == 0) {
        json_t *system = json_deep_copy(json_object_get(env, "system_env_json"));
        if (system)
            json_object_update(system, json_object_get(env, "application_env_json"));
        printf("\n");
        print_group("system-provided env variables", system);
        print_group("user-provided env variables", json_object_get(env, "environment_variables"));
        print_group("running env variables", json_object_get(env, "running_env_json"));
        json_decref(system);
    }
    json_decref(env);
    json_decref(app);
    return r;
}

static int patch_env(struct cli *cli, const char *app_name, const char *name, json_t *value,
                     struct error *err) {
    json_t *app = NULL;
    int r = cli_find_app(cli, app_name, &app, err);
    json_t *body = json_pack("{s:{s:o}}", "var", name, value);
    if (r == 0) {
        _cleanup_(freep) char *path =
            str_printf("/v3/apps/%s/environment_variables", json_text(app, "guid"));
        r = path && body ? rest_call(&cli->rest, "PATCH", path, body, NULL, err)
                         : error_set(err, -EINVAL, "\"%s\" is not valid UTF-8", name);
    }
    json_decref(body);
    json_decref(app);
    if (r < 0)
        return r;
    cli_ok();
    printf("\nTIP: Use 'berth restart %s' to ensure your env variable changes take effect.\n",
           app_name);
    return 0;
}

int cmd_set_env(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    int r = args_parse(argc, argv, NULL, 0, 3, 3, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    printf("Setting env variable %s for app %s in org %s / space %s as %s...\n", a.positional[1],
           a.positional[0], cli->session.org, cli->session.space, cli->session.user);
    json_t *value = json_string(a.positional[2]);
    if (!value)
        return error_set(err, -EINVAL, "the value is not valid UTF-8");
    return patch_env(cli, a.positional[0], a.positional[1], value, err);
}

int cmd_unset_env(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    int r = args_parse(argc, argv, NULL, 0, 2, 2, &a, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0)
        return r;
    printf("Removing env variable %s from app %s in org %s / space %s as %s...\n", a.positional[1],
           a.positional[0], cli->session.org, cli->session.space, cli->session.user);
    json_t *app = NULL, *env = NULL;
    if ((r = cli_find_app(cli, a.positional[0], &app, err)) < 0)
        return r;
    r = rest_get(&cli->rest, &env, err, "/v3/apps/%s/environment_variables",
                 json_text(app, "guid"));
    bool set = json_object_get(json_object_get(env, "var"), a.positional[1]) != NULL;
    json_decref(env);
    json_decref(app);
    if (r < 0)
        return r;
    if (!set) {
        printf("Env variable %s was not set.\n", a.positional[1]);
        cli_ok();
        return 0;
    }
    return patch_env(cli, a.positional[0], a.positional[1], json_null(), err);
}
