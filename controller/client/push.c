/* push.c - from an image to a running app, by the public API only:
 * apply the manifest (flags win over its file), make a package, stage it, start, show. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "controller/client/cli.h"
#include "controller/client/manifest.h"

struct push {
    const char *name, *image, *command, *memory, *disk, *instances, *host, *file, *health_type,
        *endpoint, *timeout, *docker_user, *path;
    bool no_start, no_route, random_route, no_manifest;
    struct deploying deploying;
};

static int parse_flags(int argc, char **argv, struct push *p, struct error *err) {
    const struct flag flags[] = {
        {"-o", "--docker-image", &p->image, NULL},
        {"-c", "--start-command", &p->command, NULL},
        {"-m", "--memory", &p->memory, NULL},
        {"-k", "--disk", &p->disk, NULL},
        {"-i", "--instances", &p->instances, NULL},
        {"-n", "--hostname", &p->host, NULL},
        {"-f", "--manifest", &p->file, NULL},
        {"-u", "--health-check-type", &p->health_type, NULL},
        {"--endpoint", NULL, &p->endpoint, NULL},
        {"-t", "--app-start-timeout", &p->timeout, NULL},
        {"--docker-username", NULL, &p->docker_user, NULL},
        {"-p", "--path", &p->path, NULL},
        {"--no-start", NULL, NULL, &p->no_start},
        {"--no-route", NULL, NULL, &p->no_route},
        {"--random-route", NULL, NULL, &p->random_route},
        {"--no-manifest", NULL, NULL, &p->no_manifest},
        DEPLOYING_FLAGS(p->deploying),
    };
    struct args a;
    int r = args_parse(argc, argv, flags, ARRAY_SIZE(flags), 0, 1, &a, err);
    if (r < 0)
        return r;
    p->name = a.count ? a.positional[0] : NULL;
    if ((r = deploying_check(&p->deploying, err)) < 0)
        return r;
    if (p->no_start && (p->deploying.strategy || p->deploying.no_wait))
        return error_set(err, -EINVAL,
                         "Incorrect Usage: --no-start cannot be used together with %s",
                         p->deploying.strategy ? "--strategy" : "--no-wait");
    if (p->path)
        return error_set(err, -EINVAL,
                         "Berth runs Docker images only: give -o IMAGE instead of -p PATH");
    if (p->no_route && (p->host || p->random_route))
        return error_set(err, -EINVAL,
                         "Incorrect Usage: --no-route cannot be used together with %s",
                         p->host ? "-n" : "--random-route");
    if (p->docker_user && !getenv("CF_DOCKER_PASSWORD"))
        return error_set(err, -EINVAL,
                         "Environment variable CF_DOCKER_PASSWORD not set: --docker-username needs "
                         "the password in it");
    return 0;
}

static int load_manifest(struct push *p, struct manifest **ret, struct error *err) {
    const char *path = p->file;
    if (!path && !p->no_manifest && access("manifest.yml", R_OK) == 0)
        path = "manifest.yml";
    int r = manifest_load(ret, path, err);
    if (r < 0)
        return r;
    if (p->name)
        return manifest_select(*ret, p->name, err);
    if (manifest_count(*ret) == 0)
        return error_set(err, -EINVAL,
                         "Incorrect Usage: give an app name, or a manifest with applications");
    if (p->image && manifest_count(*ret) > 1)
        return error_set(err, -EINVAL,
                         "Incorrect Usage: Command line flags (except -f) cannot be "
                         "applied when pushing multiple apps from a manifest file.");
    return 0;
}

/* HOST and the org's default domain: what -n means. */
static int host_route(struct cli *cli, const char *host, char **ret, struct error *err) {
    json_t *domain = NULL;
    int r = rest_get(&cli->rest, &domain, err, "/v3/organizations/%s/domains/default",
                     cli->session.org_guid);
    if (r == 0 && !(*ret = str_printf("%s.%s", host, json_text(domain, "name"))))
        r = error_set(err, -ENOMEM, "out of memory");
    json_decref(domain);
    return r;
}

static int apply_flags(struct cli *cli, const struct push *p, struct manifest *m, size_t i,
                       struct error *err) {
    const struct {
        const char *key, *value;
        int quoted;
    } rows[] = {
        {"docker.image", p->image, 1},
        {"docker.username", p->docker_user, 1},
        {"command", p->command, 1},
        {"memory", p->memory, 0},
        {"disk_quota", p->disk, 0},
        {"instances", p->instances, 0},
        {"health-check-type", p->health_type, 0},
        {"health-check-http-endpoint", p->endpoint, 1},
        {"timeout", p->timeout, 0},
        {"no-route", p->no_route ? "true" : NULL, 0},
        {"random-route", p->random_route ? "true" : NULL, 0},
    };
    int r = 0;
    for (size_t k = 0; r == 0 && k < ARRAY_SIZE(rows); k++) {
        /* `-c null` and `-c default` ask for the image's own command. */
        bool reset = str_eq(rows[k].key, "command") &&
                     (str_eq(p->command, "null") || str_eq(p->command, "default"));
        if (rows[k].value)
            r = manifest_set(m, i, rows[k].key, reset ? "null" : rows[k].value,
                             reset ? 0 : rows[k].quoted, err);
    }
    _cleanup_(freep) char *route = NULL;
    if (r == 0 && p->host && (r = host_route(cli, p->host, &route, err)) == 0)
        return manifest_set_route(m, i, route, err);
    if (r == 0 && !p->no_route && !p->random_route)
        r = manifest_set(m, i, "default-route", "true", 0, err);
    return r;
}

static int apply_manifest(struct cli *cli, struct manifest *m, struct error *err) {
    static const char *const headers[] = {"Content-Type: application/x-yaml", NULL};
    _cleanup_(strbuf_fini) struct strbuf yaml = {0}, answer = {0};
    int r = manifest_print(m, &yaml, err);
    if (r < 0)
        return r;
    _cleanup_(freep) char *path =
        str_printf("/v3/spaces/%s/actions/apply_manifest", cli->session.space_guid);
    struct rest_raw q = {"POST", path, headers, yaml.p, yaml.n, NULL, false};
    if ((r = rest_raw(&cli->rest, &q, &answer, NULL, err)) < 0)
        return r;
    if (cli->rest.status >= 400)
        return rest_refusal(&cli->rest, answer.p ? answer.p : "", answer.n, err);
    return rest_wait_job(&cli->rest, err);
}

static int make_package(struct cli *cli, const char *app_guid, const char *image,
                        const char *username, char **ret_guid, struct error *err) {
    json_t *data = json_pack("{s:s}", "image", image), *package = NULL;
    if (username) {
        json_object_set_new(data, "username", json_string(username));
        const char *password = getenv("CF_DOCKER_PASSWORD");
        json_object_set_new(data, "password", json_string(password ? password : ""));
    }
    json_t *body = json_pack("{s:s, s:{s:{s:{s:s}}}, s:o}", "type", "docker", "relationships",
                             "app", "data", "guid", app_guid, "data", data);
    int r = rest_call(&cli->rest, "POST", "/v3/packages", body, &package, err);
    if (r == 0 && !(*ret_guid = str_dup(json_text(package, "guid"))))
        r = error_set(err, -ENOMEM, "out of memory");
    json_decref(package);
    json_decref(body);
    return r;
}

struct target {
    char *name, *image, *username;
};

static void target_fini(struct target *t) {
    free(t->name), free(t->image), free(t->username);
}

static int push_one(struct cli *cli, const struct push *p, const struct target *t,
                    struct error *err) {
    json_t *app = NULL;
    struct tail tail;
    _cleanup_(freep) char *package = NULL;
    _cleanup_(freep) char *guid = NULL;
    int r = cli_find_app(cli, t->name, &app, err);
    if (r < 0)
        return r;
    bool started = str_eq(json_text(app, "state"), "STARTED");
    guid = str_dup(json_text(app, "guid"));
    json_decref(app);
    if (!guid)
        return error_set(err, -ENOMEM, "out of memory");
    tail_begin(cli, guid, &tail);
    if ((r = make_package(cli, guid, t->image, t->username, &package, err)) < 0)
        return r;
    _cleanup_(freep) char *action =
        str_printf("/v3/apps/%s/actions/%s", guid, p->no_start ? "stop" : "restart");
    if (p->no_start)
        return started ? rest_call(&cli->rest, "POST", action ? action : "", NULL, NULL, err) : 0;
    printf("Staging app and tracing logs...\n");
    fflush(stdout);
    if (p->deploying.strategy) {
        _cleanup_(freep) char *droplet = NULL;
        r = stage_package(cli, guid, package, &tail, &droplet, err);
        return r < 0 ? r : deploy_app(cli, t->name, guid, &p->deploying, "droplet", droplet, err);
    }
    if ((r = stage_package(cli, guid, package, &tail, NULL, err)) < 0 ||
        (r = rest_call(&cli->rest, "POST", action ? action : "", NULL, NULL, err)) < 0)
        return r;
    return wait_for_start(cli, t->name, guid, &tail, err);
}

int cmd_push(struct cli *cli, int argc, char **argv, struct error *err) {
    struct push p = {0};
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    int r = parse_flags(argc, argv, &p, err);
    if (r < 0 || (r = cli_need_space(cli, err)) < 0 || (r = load_manifest(&p, &m, err)) < 0)
        return r;
    size_t count = manifest_count(m);
    struct target *targets = mem_calloc(count, sizeof *targets);
    if (!targets)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = apply_flags(cli, &p, m, i, err);
        if (r < 0)
            break;
        const char *name = manifest_get(m, i, "name"), *image = manifest_get(m, i, "docker.image");
        targets[i] = (struct target){str_dup(name), str_dup(image),
                                     str_dup(manifest_get(m, i, "docker.username"))};
        if (!targets[i].name)
            r = error_set(err, -EINVAL, "application %zu of the manifest has no name", i);
        else if (!targets[i].image)
            r = error_set(err, -EINVAL,
                          "Incorrect Usage: app '%s' has no image: give -o IMAGE, or docker: "
                          "{image: IMAGE} in the manifest",
                          name);
        else
            cli_say(cli, "Pushing app", name);
    }
    if (r == 0) {
        printf("Applying manifest...\n");
        if ((r = apply_manifest(cli, m, err)) == 0)
            printf("Manifest applied\n");
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = push_one(cli, &p, &targets[i], err);
        if (r == 0)
            r = show_app(cli, targets[i].name, true, err);
    }
    for (size_t i = 0; i < count; i++)
        target_fini(&targets[i]);
    free(targets);
    return r;
}
