#include "controller/config.h"

#include <errno.h>

#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define MB (1024ull * 1024)
#define TB (1024 * 1024 * MB)

#define OFFSET(member) offsetof(struct controller_config, member)
#define STRING(member, def, help)                                                                  \
    { #member, OPTION_STRING, OFFSET(member), def, 0, 0, false, help }
#define NUMBER(member, def, min, max, help)                                                        \
    { #member, OPTION_U64, OFFSET(member), def, min, max, false, help }
#define BYTES(member, def, min, max, help)                                                         \
    { #member, OPTION_BYTES, OFFSET(member), def, min, max, false, help }

static const struct option options[] = {
    STRING(state_dir, "/var/lib/berth/controller", "database and keys; made with mode 0700"),
    STRING(api_listen, "127.0.0.1:8443", "host:port of the API"),
    STRING(api_cert, NULL, "PEM certificate chain of the API; none: plain HTTP, on loopback only"),
    STRING(api_key, NULL, "PEM private key of api_cert"),
    STRING(api_url, NULL, "the API as users reach it: https://api.example"),
    STRING(bus_control, "tcp://127.0.0.1:7400", "bus for cells and routers; below port 32768"),
    STRING(bus_logs, "tcp://127.0.0.1:7401", "bus for their log lines"),
    STRING(master_key_file, NULL, "key that nodes' keys come from [state_dir/master.key]"),
    STRING(previous_master_key_file, NULL, "while keys are rotated: the one before"),
    STRING(secrets_key_file, NULL, "key that seals secrets in the database [state_dir/store.key]"),
    STRING(previous_secrets_key_file, NULL, "after a change of it: the ones before, a line each"),
    STRING(revoked_file, NULL, "ids of nodes that may not speak [state_dir/revoked]"),
    STRING(admin, "127.0.0.1:8081", "host:port of /healthz, /metrics, /cells, /nodes; empty: none"),
    STRING(default_domain, NULL, "with --init: the shared domain of apps (required then)"),
    LOG_OPTIONS(struct controller_config),
    BYTES(max_memory, "64G", MB, TB, "the most that one instance may ask for"),
    BYTES(max_disk, "64G", MB, TB, "the same for its disk"),
    NUMBER(max_instances, "10000", 1, 250000, "the most instances of a process"),
    BYTES(default_memory, "1G", MB, TB, "of an instance that asks for none"),
    BYTES(default_disk, "1G", MB, TB, "the same for its disk"),
    {"registries", OPTION_STRING, OFFSET(allowed_registries), NULL, 0, 0, false,
     "images may come from these only: host[:port], *.example.com, ...; empty: from any"},
    NUMBER(staging_in_flight, "8", 1, 256, "registry look-ups at a time"),
    {"spread", OPTION_BOOL, OFFSET(spread), "on", 0, 0, false,
     "move instances of an app that ended up together while cells were away apart again"},
    NUMBER(spread_quiet, "60", 1, 86400, "seconds that cells and the app are quiet before that"),
    BYTES(log_bytes_per_app, "256K", 16384, TB,
          "recent log lines kept of an app; requests go first above half"),
    BYTES(log_bytes, "256M", 16384, TB, "recent log lines kept in all"),
    {"init", OPTION_BOOL, OFFSET(init), "false", 0, 0, false,
     "first run: make keys, database and an admin, then exit"},
    STRING(password_file, NULL,
           "with --init: gets the admin's password [state_dir/admin-password]"),
    STRING(org, "default", "with --init: the first organization"),
    STRING(space, "default", "with --init: its first space"),
    STRING(make_node_key, NULL, "KIND:NAME (cell or router): make a node's key, then exit"),
    STRING(node_id, NULL, "with --make-node-key: keep this id (hex), as when keys are rotated"),
    STRING(out, NULL, "with --make-node-key: the file to write"),
    STRING(revoke_node, NULL, "ID in hex: refuse this node from the next SIGHUP on, then exit"),
    STRING(backup, NULL,
           "FILE, new: a consistent copy of the database, also of one in use, then exit"),
    {"check_store", OPTION_BOOL, OFFSET(check_store), "false", 0, 0, false,
     "is the database whole, of no newer version, and is it its key? then exit"},
};

static int on_registry(void *target, const char *name, const char *key, const char *value,
                       struct error *err) {
    struct controller_config *c = target;
    return registry_config_key(&c->registries, name, key, value, err);
}

static const struct config_section sections[] = {{"registry", on_registry}};

const struct config_spec controller_config_spec = {
    .program = "berth-controller",
    .summary = "the API of the cluster; decides what runs where and tells cells and routers",
    .options = options,
    .option_count = ARRAY_SIZE(options),
    .sections = sections,
    .section_count = ARRAY_SIZE(sections),
};

/* Without TLS passwords and tokens go in the clear: on this machine only. */
static int check_listen(const struct controller_config *c, struct error *err) {
    _cleanup_(freep) char *host = NULL;
    uint16_t port;
    int r = address_parse(c->api_listen ? c->api_listen : "", &host, &port, err);
    if (r < 0)
        return error_wrap(err, "api_listen");
    if (str_empty(c->api_cert) != str_empty(c->api_key))
        return error_set(err, -EINVAL, "api_cert and api_key go together");
    if (str_empty(c->api_cert) && !str_starts(host, "127.") && !str_eq(host, "::1") &&
        !str_eq(host, "localhost"))
        return error_set(err, -EINVAL,
                         "api_listen is %s: without api_cert and api_key only loopback is allowed",
                         c->api_listen);
    return 0;
}

static int fill_path(const struct controller_config *c, char **path, const char *name) {
    if (!str_empty(*path))
        return 0;
    free(*path);
    *path = str_printf("%s/%s", c->state_dir, name);
    return *path ? 0 : -ENOMEM;
}

static int check(struct controller_config *c, struct error *err) {
    int r;
    if ((r = check_listen(c, err)) < 0 ||
        (r = registry_config_allow(&c->registries, c->allowed_registries, err)) < 0 ||
        (r = registry_config_check(c->registries, err)) < 0)
        return r;
    if (c->default_memory > c->max_memory || c->default_disk > c->max_disk)
        return error_set(err, -EINVAL, "a default is above its maximum");
    if (c->init && str_empty(c->default_domain))
        return error_set(err, -EINVAL, "--init needs --default-domain");
    if (!str_empty(c->make_node_key) && str_empty(c->out))
        return error_set(err, -EINVAL, "--make-node-key needs --out=FILE");
    if (fill_path(c, &c->master_key_file, "master.key") < 0 ||
        fill_path(c, &c->secrets_key_file, "store.key") < 0 ||
        fill_path(c, &c->revoked_file, "revoked") < 0 ||
        fill_path(c, &c->password_file, "admin-password") < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

int controller_config_load(struct controller_config *c, int argc, char **argv, struct error *err) {
    static char init[] = "--init=true", check_store[] = "--check_store=true";
    _cleanup_(freep) char **args = mem_calloc((size_t)argc + 1, sizeof *args);
    if (!args)
        return error_set(err, -ENOMEM, "out of memory");
    for (int i = 0; i < argc; i++)
        args[i] = str_eq(argv[i], "--init")          ? init
                  : str_eq(argv[i], "--check-store") ? check_store
                                                     : argv[i];
    int outcome = config_load(&controller_config_spec, c, argc, args, err), r;
    if (outcome < 0 || outcome == CONFIG_DONE)
        return outcome;
    return (r = check(c, err)) < 0 ? r : outcome;
}

void controller_config_fini(struct controller_config *c) {
    config_free_strings(&controller_config_spec, c);
    registry_config_free(c->registries);
    c->registries = NULL;
}
