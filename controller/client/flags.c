/* flags.c - feature flags: the four commands of admins. */
#include <errno.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/table.h"

static const char *state_of(const json_t *flag) {
    return json_is_true(json_object_get(flag, "enabled")) ? "enabled" : "disabled";
}

int cmd_feature_flags(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"name", "state"};
    struct args a;
    int r = args_parse(argc, argv, NULL, 0, 0, 0, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0)
        return r;
    printf("Getting feature flags as %s...\n\n", cli->session.user);
    json_t *list = NULL, *flag;
    if ((r = rest_list(&cli->rest, &list, err, "/v3/feature_flags?per_page=100")) < 0)
        return r;
    struct table *t = table_new(header, 2);
    size_t i;
    json_array_foreach(list, i, flag) {
        table_add(t, "%s", json_text(flag, "name"));
        table_add(t, "%s", state_of(flag));
    }
    table_print(t);
    table_free(t);
    json_decref(list);
    return 0;
}

static int flag_path(const char *name, char **ret, struct error *err) {
    _cleanup_(freep) char *escaped = rest_escape(name);
    *ret = escaped ? str_printf("/v3/feature_flags/%s", escaped) : NULL;
    return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int no_such_flag(struct cli *cli, const char *name, int r, struct error *err) {
    return r == -EREMOTEIO && cli->rest.status == 404
               ? error_set(err, -ENOENT, "Feature flag '%s' not found.", name)
               : r;
}

int cmd_feature_flag(struct cli *cli, int argc, char **argv, struct error *err) {
    static const char *const header[] = {"features", "state"};
    struct args a;
    _cleanup_(freep) char *path = NULL;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0 ||
        (r = flag_path(a.positional[0], &path, err)) < 0)
        return r;
    printf("Getting info for feature flag %s as %s...\n\n", a.positional[0], cli->session.user);
    json_t *flag = NULL;
    if ((r = rest_call(&cli->rest, "GET", path, NULL, &flag, err)) < 0)
        return no_such_flag(cli, a.positional[0], r, err);
    struct table *t = table_new(header, 2);
    table_add(t, "%s", json_text(flag, "name"));
    table_add(t, "%s", state_of(flag));
    table_print(t);
    table_free(t);
    json_decref(flag);
    return 0;
}

static int switch_flag(struct cli *cli, int argc, char **argv, bool on, struct error *err) {
    struct args a;
    _cleanup_(freep) char *path = NULL;
    int r = args_parse(argc, argv, NULL, 0, 1, 1, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0 ||
        (r = flag_path(a.positional[0], &path, err)) < 0)
        return r;
    printf("%s feature flag %s as %s...\n", on ? "Enabling" : "Disabling", a.positional[0],
           cli->session.user);
    json_t *body = json_pack("{s:b}", "enabled", on);
    r = rest_call(&cli->rest, "PATCH", path, body, NULL, err);
    json_decref(body);
    if (r < 0)
        return no_such_flag(cli, a.positional[0], r, err);
    cli_ok();
    return 0;
}

int cmd_enable_feature_flag(struct cli *cli, int argc, char **argv, struct error *err) {
    return switch_flag(cli, argc, argv, true, err);
}

int cmd_disable_feature_flag(struct cli *cli, int argc, char **argv, struct error *err) {
    return switch_flag(cli, argc, argv, false, err);
}
