/* run_info.c - an app's rows to what a cell runs. Pure: the same rows give the same bytes, because
 * what is packed is kept and compared.
 *
 * Environment, later wins: image, running group, app, then the platform's. The per-instance part
 * (INSTANCE_*, CF_INSTANCE_*, PORT, VCAP_APPLICATION's host, port and instance) is the cell's. */
#include <errno.h>
#include <jansson.h>

#include "controller/staging/internal.h"

/* All that a DesiredLrp under construction points to; what the rows own is borrowed. */
struct build {
    Berth__DesiredLrp lrp;
    Berth__HealthCheck health;
    Berth__Image *image; /* owned, unpacked */
    json_t *keep;        /* owned list of the JSON values whose strings are borrowed */
    Berth__EnvVar *env;  /* owned, names and values too */
    Berth__EnvVar **env_list;
    size_t env_n, env_cap;
    char **command;
    size_t command_n;
    uint32_t ports[PORTS_MAX];
    size_t port_count;
    char process_guid[2 * GUID_SIZE];
    char *vcap_application;
    char *log_source;
};

static void build_fini(struct build *b) {
    if (b->image)
        berth__image__free_unpacked(b->image, NULL);
    json_decref(b->keep);
    for (size_t i = 0; i < b->env_n; i++) {
        free(b->env[i].name);
        free(b->env[i].value);
    }
    free(b->env);
    free(b->env_list);
    free(b->command);
    free(b->vcap_application);
    free(b->log_source);
}

static json_t *load(struct build *b, const char *text, bool object) {
    json_t *j = json_loads(text ? text : object ? "{}" : "[]", 0, NULL);
    if (object ? !json_is_object(j) : !json_is_array(j)) {
        json_decref(j);
        return NULL;
    }
    json_array_append_new(b->keep, j);
    return j;
}

/* --- environment --- */

static int env_set(struct build *b, struct slice name, const char *value) {
    char *copy = str_dup(value ? value : "");
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < b->env_n; i++)
        if (slice_eq(slice_of(b->env[i].name), name)) {
            free(b->env[i].value);
            b->env[i].value = copy;
            return 0;
        }
    if (b->env_n == b->env_cap) {
        size_t cap = b->env_cap ? b->env_cap * 2 : 32;
        Berth__EnvVar *grown = mem_resize(b->env, cap, sizeof *grown);
        if (!grown) {
            free(copy);
            return -ENOMEM;
        }
        b->env = grown;
        b->env_cap = cap;
    }
    Berth__EnvVar *var = &b->env[b->env_n];
    berth__env_var__init(var);
    var->name = str_ndup(name.p, name.n);
    var->value = copy;
    if (!var->name) {
        free(copy);
        return -ENOMEM;
    }
    b->env_n++;
    return 0;
}

static int env_add_image(struct build *b, const json_t *list) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        const char *text = json_string_value(item);
        const char *eq = text ? strchr(text, '=') : NULL;
        if (eq && eq > text && env_set(b, (struct slice){text, (size_t)(eq - text)}, eq + 1) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Values that are not strings are given as their JSON. */
static int env_add_object(struct build *b, json_t *object) {
    const char *name;
    json_t *value;
    int r = 0;
    json_object_foreach(object, name, value) {
        if (json_is_string(value)) {
            r = env_set(b, slice_of(name), json_string_value(value));
        } else {
            char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
            r = text ? env_set(b, slice_of(name), text) : -ENOMEM;
            free(text);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int set_env(struct build *b, const struct run_rows *rows, struct error *err) {
    json_t *image = load(b, rows->droplet->env, false);
    json_t *group = load(b, rows->running_env, true);
    json_t *app = load(b, rows->app->env, true);
    char limit[32];
    if (!image || !group || !app)
        return error_set(err, -EUCLEAN, "an environment of app %s is no JSON", rows->app->guid);
    snprintf(limit, sizeof limit, "%um", b->lrp.memory_mb);
    if (env_add_image(b, image) < 0 || env_add_object(b, group) < 0 || env_add_object(b, app) < 0 ||
        env_set(b, SLICE_LIT("MEMORY_LIMIT"), limit) < 0 ||
        env_set(b, SLICE_LIT("VCAP_SERVICES"), rows->services ? rows->services : "{}") < 0)
        return error_set(err, -ENOMEM, "out of memory");
    b->env_list = mem_calloc(b->env_n, sizeof *b->env_list);
    if (!b->env_list)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < b->env_n; i++)
        b->env_list[i] = &b->env[i];
    b->lrp.env = b->env_list;
    b->lrp.n_env = b->env_n;
    return 0;
}

char *run_info_route_host(const struct destination_row *d) {
    const char *domain = d->domain_name ? d->domain_name : "";
    return str_empty(d->host) ? str_dup(domain) : str_printf("%s.%s", d->host, domain);
}

static json_t *uris_json(const struct run_rows *rows) {
    json_t *uris = json_array();
    for (size_t i = 0; uris && i < rows->destination_count; i++) {
        _cleanup_(freep) char *host = run_info_route_host(&rows->destinations[i]);
        const char *path = rows->destinations[i].path;
        _cleanup_(freep) char *uri = host ? str_printf("%s%s", host, path ? path : "") : NULL;
        if (!uri || json_array_append_new(uris, json_string(uri)) < 0) {
            json_decref(uris);
            return NULL;
        }
    }
    return uris;
}

/* cc: lib/vcap/vars_builder.rb. A task has no process. */
static int set_vcap_application(struct build *b, const struct run_rows *rows, struct error *err) {
    const struct app_row *app = rows->app;
    const struct process_row *p = rows->process;
    json_t *uris = uris_json(rows);
    json_t *j =
        uris ? json_pack("{s:s,s:{s:i,s:I,s:I},s:s,s:O,s:s,s:s,s:s,s:s,s:s,s:O,s:s,s:s,s:s,"
                         "s:s,s:s}",
                         "cf_api", rows->api_url ? rows->api_url : "", "limits", "fds", APP_FDS,
                         "mem", (json_int_t)p->memory_mb, "disk", (json_int_t)p->disk_mb,
                         "application_name", app->name, "application_uris", uris, "name", app->name,
                         "space_name", app->space_name ? app->space_name : "", "space_id",
                         app->space_guid, "organization_id", app->org_guid, "organization_name",
                         app->org_name ? app->org_name : "", "uris", uris, "process_id", p->guid,
                         "process_type", p->type, "application_id", app->guid, "version",
                         p->version, "application_version", p->version)
             : NULL;
    json_decref(uris);
    if (j && rows->task) {
        json_object_del(j, "process_id");
        json_object_del(j, "process_type");
    }
    b->vcap_application = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    b->lrp.vcap_application = b->vcap_application;
    return b->vcap_application ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* --- command --- */

static int add_words(struct build *b, const json_t *list) {
    char **grown = mem_resize(b->command, b->command_n + json_array_size(list) + 1, sizeof *grown);
    size_t i;
    json_t *word;
    if (!grown)
        return -ENOMEM;
    b->command = grown;
    json_array_foreach(list, i, word) {
        if (json_is_string(word))
            b->command[b->command_n++] = (char *)json_string_value(word);
    }
    return 0;
}

/* dockerapplifecycle launcher: a custom command runs in a shell and replaces both; else entrypoint
 * and cmd are one argv. */
static int set_command(struct build *b, const struct run_rows *rows, struct error *err) {
    static char *const shell[] = {(char *)"/bin/sh", (char *)"-c"};
    if (!str_empty(rows->process->command)) {
        b->command = mem_calloc(3, sizeof *b->command);
        if (!b->command)
            return error_set(err, -ENOMEM, "out of memory");
        b->command[0] = shell[0];
        b->command[1] = shell[1];
        b->command[2] = rows->process->command;
        b->command_n = 3;
    } else {
        json_t *entrypoint = load(b, rows->droplet->entrypoint, false);
        json_t *cmd = load(b, rows->droplet->cmd, false);
        if (!entrypoint || !cmd)
            return error_set(err, -EUCLEAN, "the command of droplet %s is no JSON",
                             rows->droplet->guid);
        if (add_words(b, entrypoint) < 0 || add_words(b, cmd) < 0)
            return error_set(err, -ENOMEM, "out of memory");
    }
    if (b->command_n == 0)
        return error_set(
            err, -ENOEXEC,
            "No start command found or specified: the image has neither ENTRYPOINT nor "
            "CMD, and %s \"%s\" has no command of its own",
            rows->task ? "task" : "process", rows->task ? rows->task->name : rows->process->type);
    b->lrp.command = b->command;
    b->lrp.n_command = b->command_n;
    return 0;
}

/* --- ports --- */

static bool is_process_check(const struct process_row *p) {
    return str_eq(p->health_type, "process") || str_eq(p->health_type, "none");
}

static void add_port(struct build *b, uint64_t port) {
    for (size_t i = 0; i < b->port_count; i++)
        if (b->ports[i] == port)
            return;
    if (port >= 1 && port <= UINT16_MAX && b->port_count < PORTS_MAX)
        b->ports[b->port_count++] = (uint32_t)port;
}

static bool leads_to(const struct destination_row *d, const struct process_row *p) {
    return str_eq(d->process_type, p->type);
}

/* The exposed TCP ports, lowest first as staging sorted them; at most `most` of them. */
static void add_exposed(struct build *b, const json_t *exposed, size_t most) {
    size_t i;
    json_t *item;
    json_array_foreach(exposed, i, item) {
        if (!str_eq(json_string_value(json_object_get(item, "Protocol")), "tcp"))
            continue;
        add_port(b, (uint64_t)json_integer_value(json_object_get(item, "Port")));
        if (--most == 0)
            return;
    }
}

/* Traffic goes to the lowest TCP port that the image exposes; none exposed: 8080. Where every route
 * of the process names a port, the first of them is the one: the user chose. Other named and
 * exposed ports are mapped after it. */
static int set_ports(struct build *b, const struct run_rows *rows, struct error *err) {
    const struct process_row *p = rows->process;
    const struct destination_row *first = NULL;
    json_t *exposed = load(b, rows->droplet->ports, false);
    bool all_named = true;
    if (!exposed)
        return error_set(err, -EUCLEAN, "the ports of droplet %s are no JSON", rows->droplet->guid);
    for (size_t i = 0; i < rows->destination_count; i++) {
        if (!leads_to(&rows->destinations[i], p))
            continue;
        first = first ? first : &rows->destinations[i];
        all_named &= rows->destinations[i].port > 0;
    }
    if (first && all_named)
        add_port(b, first->port);
    add_exposed(b, exposed, 1);
    bool needs_one = str_eq(p->type, "web") || first || !is_process_check(p);
    if (b->port_count == 0 && needs_one)
        add_port(b, DEFAULT_PORT);
    for (size_t i = 0; i < rows->destination_count; i++)
        if (leads_to(&rows->destinations[i], p))
            add_port(b, rows->destinations[i].port); /* 0 is none */
    add_exposed(b, exposed, PORTS_MAX);
    b->lrp.ports = b->ports;
    b->lrp.n_ports = b->port_count;
    return 0;
}

/* --- the rest --- */

static int set_image(struct build *b, const struct run_rows *rows, struct error *err) {
    const struct droplet_row *d = rows->droplet;
    b->image = berth__image__unpack(NULL, d->image_packed_n, d->image_packed);
    if (!b->image)
        return error_set(err, -EUCLEAN, "the image of droplet %s is damaged", d->guid);
    const struct package_row *package = rows->package;
    if (package && !str_empty(package->username)) {
        char *username = str_dup(package->username);
        char *password = str_dup(package->password ? package->password : "");
        if (!username || !password) {
            free(username);
            free(password);
            return error_set(err, -ENOMEM, "out of memory");
        }
        b->image->username = username; /* was the empty default, which is not freed */
        b->image->password = password;
    }
    b->lrp.image = b->image;
    return 0;
}

static void set_health(struct build *b, const struct process_row *p) {
    berth__health_check__init(&b->health);
    b->health.type = str_eq(p->health_type, "http") ? BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_HTTP
                     : is_process_check(p)          ? BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_PROCESS
                                                    : BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_PORT;
    if (p->health_endpoint)
        b->health.endpoint = p->health_endpoint;
    b->health.timeout_s = (uint32_t)p->health_timeout_s;
    b->health.invocation_timeout_s = (uint32_t)p->health_invocation_s;
    b->health.interval_s = (uint32_t)p->health_interval_s;
    b->lrp.health = &b->health;
}

static void set_plain(struct build *b, const struct run_rows *rows) {
    const struct process_row *p = rows->process;
    const struct droplet_row *d = rows->droplet;
    if (rows->task)
        snprintf(b->process_guid, sizeof b->process_guid, "%s", rows->task->guid);
    else
        process_lrp_guid(p, b->process_guid);
    b->lrp.process_guid = b->process_guid;
    b->lrp.app_guid = (char *)rows->app->guid;
    b->lrp.app_name = rows->app->name;
    b->lrp.process_type = p->type;
    b->lrp.memory_mb = (uint32_t)p->memory_mb;
    b->lrp.disk_mb = (uint32_t)p->disk_mb;
    b->lrp.log_rate_bytes_s = p->log_rate;
    if (d->user)
        b->lrp.user = d->user;
    if (d->workdir)
        b->lrp.workdir = d->workdir;
    if (d->stop_signal)
        b->lrp.stop_signal = d->stop_signal;
}

static int set_task(struct build *b, const struct task_row *task, struct error *err) {
    b->lrp.task = true;
    b->log_source = str_printf("APP/TASK/%s", task->name);
    b->lrp.log_source = b->log_source;
    if (task->user)
        b->lrp.user = task->user;
    return b->log_source ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int run_info_pack(const struct run_rows *rows, void **ret, size_t *ret_n, struct error *err) {
    _cleanup_(build_fini) struct build b = {.keep = json_array()};
    int r;
    berth__desired_lrp__init(&b.lrp);
    if (!b.keep)
        return error_set(err, -ENOMEM, "out of memory");
    set_plain(&b, rows);
    set_health(&b, rows->process);
    if ((r = set_image(&b, rows, err)) < 0 || (r = set_command(&b, rows, err)) < 0 ||
        (r = rows->task ? set_task(&b, rows->task, err) : set_ports(&b, rows, err)) < 0 ||
        (r = set_env(&b, rows, err)) < 0 || (r = set_vcap_application(&b, rows, err)) < 0)
        return r;
    size_t n = berth__desired_lrp__get_packed_size(&b.lrp);
    if (n > RUN_INFO_MAX_BYTES)
        return error_set(err, -E2BIG,
                         "environment, command and image metadata of %s \"%s\" take %zu "
                         "bytes; at most %d can be run",
                         rows->task ? "task" : "process",
                         rows->task ? rows->task->name : rows->process->type, n,
                         RUN_INFO_MAX_BYTES);
    uint8_t *packed = malloc(n + 1);
    if (!packed)
        return error_set(err, -ENOMEM, "out of memory");
    berth__desired_lrp__pack(&b.lrp, packed);
    *ret = packed;
    *ret_n = n;
    return 0;
}
