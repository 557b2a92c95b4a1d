/* target.c - where the client talks to and as whom: api, login, auth, logout, target. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"

/* Asks the API for its links; they are where UAA and the log cache live. */
static int discover(struct cli *cli, struct error *err) {
    static const char *const headers[] = {"Accept: application/json", NULL};
    _cleanup_(strbuf_fini) struct strbuf body = {0};
    struct rest_raw q = {.method = "GET", .path = "/", .headers = headers, .anonymous = true};
    int r = rest_raw(&cli->rest, &q, &body, NULL, err);
    if (r < 0)
        return r;
    json_t *root = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    const char *uaa = json_text_at(root, "links.uaa.href");
    const char *login = json_text_at(root, "links.login.href");
    const char *log_cache = json_text_at(root, "links.log_cache.href");
    if (cli->rest.status != 200 || !json_object_get(root, "links"))
        r = error_set(err, -EBADMSG, "%s is not a Cloud Foundry API (status %ld)", cli->session.api,
                      cli->rest.status);
    else if (str_set(&cli->session.uaa, *uaa     ? uaa
                                        : *login ? login
                                                 : cli->session.api) < 0 ||
             str_set(&cli->session.log_cache, *log_cache ? log_cache : cli->session.api) < 0)
        r = error_set(err, -ENOMEM, "out of memory");
    json_decref(root);
    return r;
}

static int set_api(struct cli *cli, const char *url, const char *ca, bool skip, struct error *err) {
    _cleanup_(freep) char *full = strstr(url, "://") ? str_dup(url) : str_printf("https://%s", url);
    _cleanup_(freep) char *ca_path = ca ? realpath(ca, NULL) : NULL;
    if (ca && !ca_path)
        return error_set(err, -ENOENT, "cannot find the CA file %s", ca);
    if (!full)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t n = strlen(full); n > 8 && full[n - 1] == '/'; n--)
        full[n - 1] = 0;
    if (!str_starts(full, "https://"))
        return error_set(err, -EINVAL, "%s: the API is reached by https only", full);
    bool same = str_eq(full, cli->session.api);
    if (!same)
        session_forget_login(&cli->session);
    if (str_set(&cli->session.api, full) < 0 ||
        ((ca || !same) && str_set(&cli->session.ca_file, ca_path) < 0))
        return error_set(err, -ENOMEM, "out of memory");
    cli->session.skip_verify = skip || (same && cli->session.skip_verify);
    int r = discover(cli, err);
    return r < 0 ? r : session_save(&cli->session, err);
}

int cmd_api(struct cli *cli, int argc, char **argv, struct error *err) {
    const char *ca = NULL;
    bool skip = false;
    const struct flag flags[] = {{"--ca-cert", NULL, &ca, NULL},
                                 {"--skip-ssl-validation", NULL, NULL, &skip}};
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 0, 1, &a, err);
    if (r < 0)
        return r;
    if (a.count == 0 && !cli->session.api)
        return error_set(err, -ENOENT, "No API endpoint set. Use 'berth api URL' to set one.");
    if (a.count == 1) {
        printf("Setting API endpoint to %s...\n", a.positional[0]);
        if ((r = set_api(cli, a.positional[0], ca, skip, err)) < 0)
            return r;
        cli_ok();
        printf("\n");
    }
    printf("API endpoint:   %s\n", cli->session.api);
    if (a.count == 1 && !cli->session.access_token)
        printf("\nNot logged in. Use 'berth login' to log in.\n");
    return 0;
}

/* One line from the terminal (or standard input); without echo for secrets. Owned. */
static char *ask(const char *prompt, bool secret) {
    struct termios was, quiet;
    bool tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &was) == 0;
    char *line = NULL;
    size_t cap = 0;
    printf("%s: ", prompt);
    fflush(stdout);
    if (secret && tty) {
        quiet = was;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    ssize_t n = getline(&line, &cap, stdin);
    if (secret && tty) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
        printf("\n");
    }
    if (n < 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

static int log_in(struct cli *cli, const char *user, const char *password, struct error *err) {
    _cleanup_(freep) char *u = rest_escape(user);
    _cleanup_(freep) char *p = rest_escape(password);
    _cleanup_(freep) char *form =
        str_printf("grant_type=password&username=%s&password=%s", u ? u : "", p ? p : "");
    if (!u || !p || !form)
        return error_set(err, -ENOMEM, "out of memory");
    session_forget_login(&cli->session);
    int r = rest_token(&cli->rest, form, err);
    mem_wipe(form, strlen(form));
    mem_wipe(p, strlen(p));
    if (r == -EACCES)
        return error_set(err, r, "Credentials were rejected, please try again. (%s)", err->msg);
    if (r < 0)
        return r;
    return str_set(&cli->session.user, user) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

/* Picks the named one, or the only one. 1: picked; 0: none or several and no name. */
static int pick(struct cli *cli, const char *what, const char *name, const char *path,
                char **ret_name, char **ret_guid, struct error *err) {
    json_t *list = NULL;
    int r = rest_list(&cli->rest, &list, err, "%s", path);
    if (r < 0)
        return r;
    json_t *one = json_array_size(list) == 1 || name ? json_array_get(list, 0) : NULL;
    if (name && !one)
        r = error_set(err, -ENOENT, "%s '%s' not found.", what, name);
    else if (one && (str_set(ret_name, json_text(one, "name")) < 0 ||
                     str_set(ret_guid, json_text(one, "guid")) < 0))
        r = error_set(err, -ENOMEM, "out of memory");
    else
        r = one != NULL;
    json_decref(list);
    return r;
}

static int target_org(struct cli *cli, const char *name, struct error *err) {
    _cleanup_(freep) char *escaped = name ? rest_escape(name) : NULL;
    _cleanup_(freep) char *path = name ? str_printf("/v3/organizations?names=%s", escaped)
                                       : str_dup("/v3/organizations?order_by=name");
    struct session *s = &cli->session;
    int r = pick(cli, "Organization", name, path, &s->org, &s->org_guid, err);
    if (r > 0) {
        free(s->space), free(s->space_guid);
        s->space = s->space_guid = NULL;
    }
    return r;
}

static int target_space(struct cli *cli, const char *name, struct error *err) {
    struct session *s = &cli->session;
    if (!s->org_guid)
        return name ? error_set(err, -ENOENT, "An org must be targeted before a space.") : 0;
    _cleanup_(freep) char *escaped = name ? rest_escape(name) : NULL;
    _cleanup_(freep) char *path =
        name ? str_printf("/v3/spaces?names=%s&organization_guids=%s", escaped, s->org_guid)
             : str_printf("/v3/spaces?order_by=name&organization_guids=%s", s->org_guid);
    return pick(cli, "Space", name, path, &s->space, &s->space_guid, err);
}

static void show_target(const struct cli *cli) {
    const struct session *s = &cli->session;
    printf("API endpoint:   %s\n", s->api);
    printf("user:           %s\n", s->user);
    printf("org:            %s\n", s->org ? s->org : "");
    printf("space:          %s\n", s->space ? s->space : "");
    if (!s->org)
        printf("\nNo org targeted, use 'berth target -o ORG'\n");
    else if (!s->space)
        printf("\nNo space targeted, use 'berth target -s SPACE'\n");
}

static int finish_login(struct cli *cli, const char *org, const char *space, struct error *err) {
    int r = target_org(cli, org, err);
    if (r >= 0)
        r = target_space(cli, space, err);
    int saved = session_save(&cli->session, r < 0 ? NULL : err);
    if (r < 0 || saved < 0)
        return r < 0 ? r : saved;
    show_target(cli);
    return 0;
}

int cmd_login(struct cli *cli, int argc, char **argv, struct error *err) {
    const char *api = NULL, *user = NULL, *password = NULL, *org = NULL, *space = NULL, *ca = NULL;
    bool skip = false;
    const struct flag flags[] = {
        {"-a", NULL, &api, NULL},
        {"-u", NULL, &user, NULL},
        {"-p", NULL, &password, NULL},
        {"-o", NULL, &org, NULL},
        {"-s", NULL, &space, NULL},
        {"--ca-cert", NULL, &ca, NULL},
        {"--skip-ssl-validation", NULL, NULL, &skip},
    };
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 0, 0, &a, err);
    if (r < 0)
        return r;
    if (api || ca || skip) {
        if (!api && !cli->session.api)
            return error_set(err, -ENOENT, "No API endpoint set: give one with -a URL.");
        _cleanup_(freep) char *url = str_dup(api ? api : cli->session.api);
        if ((r = set_api(cli, url ? url : "", ca, skip, err)) < 0)
            return r;
    }
    if (!cli->session.api)
        return error_set(err, -ENOENT, "No API endpoint set: give one with -a URL.");
    printf("API endpoint:   %s\n\n", cli->session.api);
    _cleanup_(freep) char *asked_user = user ? NULL : ask("Email", false);
    const char *from_env = getenv("CF_PASSWORD");
    if (!password)
        password = from_env;
    _cleanup_(freep) char *asked_password = password ? NULL : ask("Password", true);
    user = user ? user : asked_user;
    password = password ? password : asked_password;
    if (!user || !password)
        return error_set(err, -EINVAL,
                         "Unable to authenticate: user name and password are needed.");
    printf("Authenticating...\n");
    if ((r = log_in(cli, user, password, err)) < 0)
        return r;
    cli_ok();
    printf("\n");
    return finish_login(cli, org, space, err);
}

int cmd_auth(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    int r = args_parse(argc, argv, NULL, 0, 0, 2, &a, err);
    if (r < 0)
        return r;
    const char *user = a.count > 0 ? a.positional[0] : getenv("CF_USERNAME");
    const char *password = a.count > 1 ? a.positional[1] : getenv("CF_PASSWORD");
    if (!user || !password)
        return error_set(err, -EINVAL, "Username and password not provided.");
    printf("API endpoint:   %s\nAuthenticating...\n", cli->session.api ? cli->session.api : "");
    if ((r = log_in(cli, user, password, err)) < 0 || (r = session_save(&cli->session, err)) < 0)
        return r;
    cli_ok();
    printf("\nUse 'berth target' to view or set your target org and space.\n");
    return 0;
}

int cmd_logout(struct cli *cli, int argc, char **argv, struct error *err) {
    struct args a;
    int r = args_parse(argc, argv, NULL, 0, 0, 0, &a, err);
    if (r < 0)
        return r;
    printf("Logging out %s...\n", cli->session.user ? cli->session.user : "");
    session_forget_login(&cli->session);
    if ((r = session_save(&cli->session, err)) < 0)
        return r;
    cli_ok();
    return 0;
}

int cmd_target(struct cli *cli, int argc, char **argv, struct error *err) {
    const char *org = NULL, *space = NULL;
    const struct flag flags[] = {{"-o", NULL, &org, NULL}, {"-s", NULL, &space, NULL}};
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 0, 0, &a, err);
    if (r < 0 || (r = cli_need_login(cli, err)) < 0)
        return r;
    if (org && (r = target_org(cli, org, err)) < 0)
        return r;
    if ((space || org) && (r = target_space(cli, space, err)) < 0)
        return r;
    if ((org || space) && (r = session_save(&cli->session, err)) < 0)
        return r;
    show_target(cli);
    return 0;
}
