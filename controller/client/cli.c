#include "controller/client/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

int cli_need_login(struct cli *cli, struct error *err) {
    if (!cli->session.api)
        return error_set(err, -ENOENT,
                         "No API endpoint set. Use 'berth login' or 'berth api' to target one.");
    if (!cli->session.access_token)
        return error_set(err, -EACCES, "Not logged in. Use 'berth login' to log in.");
    return 0;
}

int cli_need_space(struct cli *cli, struct error *err) {
    int r = cli_need_login(cli, err);
    if (r < 0)
        return r;
    if (!cli->session.space_guid)
        return error_set(err, -ENOENT,
                         "No org and space targeted, use 'berth target -o ORG -s SPACE'.");
    return 0;
}

int cli_find_app(struct cli *cli, const char *name, json_t **ret, struct error *err) {
    int r = cli_need_space(cli, err);
    if (r < 0)
        return r;
    _cleanup_(freep) char *escaped = rest_escape(name);
    json_t *list = NULL;
    r = rest_get(&cli->rest, &list, err, "/v3/apps?names=%s&space_guids=%s", escaped ? escaped : "",
                 cli->session.space_guid);
    if (r < 0)
        return r;
    json_t *app = json_incref(json_array_get(json_object_get(list, "resources"), 0));
    json_decref(list);
    if (!app)
        return error_set(err, -ENOENT, "App '%s' not found.", name);
    *ret = app;
    return 0;
}

int cli_web_process(struct cli *cli, const char *app_guid, json_t **ret, struct error *err) {
    return rest_get(&cli->rest, ret, err, "/v3/apps/%s/processes/web", app_guid);
}

const char *json_text(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

const char *json_text_at(const json_t *o, const char *path) {
    char key[64];
    for (;;) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof key)
            return "";
        memcpy(key, path, n);
        key[n] = 0;
        if (!path[n])
            return json_text(o, key);
        o = json_object_get(o, key);
        path += n + 1;
    }
}

json_int_t json_number(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

void cli_say(const struct cli *cli, const char *doing, const char *name) {
    const struct session *s = &cli->session;
    printf("%s%s%s in org %s / space %s as %s...\n", doing, *name ? " " : "", name, s->org,
           s->space, s->user);
    fflush(stdout);
}

void cli_ok(void) {
    printf("OK\n");
}

int cli_megabytes(const char *flag, const char *text, json_t *body, const char *key,
                  struct error *err) {
    uint64_t bytes;
    if (!text)
        return 0;
    if (parse_bytes(text, &bytes) < 0 || bytes < 1 << 20 || bytes % (1 << 20))
        return error_set(
            err, -EINVAL,
            "Incorrect Usage: invalid argument for flag `%s': Byte quantity must be a "
            "whole number of megabytes with a unit of measurement like M, MB, G, or GB",
            flag);
    json_object_set_new(body, key, json_integer((json_int_t)(bytes >> 20)));
    return 0;
}
