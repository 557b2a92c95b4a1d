#include "cell/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "cell/outbox.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/registry/registry.h"

#define AT(member) offsetof(struct settings, member)
#define GIB        (1ull << 30)

static const struct option options[] = {
    {"controller", OPTION_STRING, AT(controller), .required = true,
     .help = "the controller's bus, tcp://host:port"},
    {"controller_logs", OPTION_STRING, AT(controller_logs), .required = true,
     .help = "the controller's bus for logs, tcp://host:port"},
    {"key_file", OPTION_STRING, AT(key_file), .required = true,
     .help = "this cell's bus key, made by the controller"},
    {"name", OPTION_STRING, AT(name), .help = "of this cell, for people [the host's name]"},
    {"zone", OPTION_STRING, AT(zone), "z1", .help = "instances of an app are spread over zones"},
    {"address", OPTION_STRING, AT(address), "127.0.0.1",
     .help = "IP address where routers reach this host's ports"},

    {"state_dir", OPTION_STRING, AT(state_dir), "/var/lib/berth/cell",
     .help = "layers, containers, logs"},
    {"run_dir", OPTION_STRING, AT(run_dir), "/run/berth/cell",
     .help = "sockets and runtime state; short"},
    {"prefix", OPTION_STRING, AT(prefix), "berth",
     .help = "of interfaces, nftables table and cgroups"},
    {"runtime", OPTION_STRING, AT(runtime), "auto", .help = "auto, crun or runc"},

    {"subnet", OPTION_STRING, AT(subnet), "10.253.0.0/16", .help = "of the containers' bridge"},
    {"port_first", OPTION_U64, AT(port_first), "61001", 1024, 65535,
     .help = "first host port for containers"},
    {"port_count", OPTION_U64, AT(port_count), "4534", 1, 64511, .help = "how many host ports"},
    /* A minute is several times what a router may take to hear that a port is no longer an app's:
     * a crash report under way (10 s and a new session), or a cell's silence (15 s). */
    {"port_rest", OPTION_U64, AT(port_rest), "60", 0, 3600,
     .help = "seconds before a host port is another container's; no less but in tests"},
    {"dns", OPTION_STRING, AT(dns), .help = "servers for containers [the host's]"},
    {"allow_networks", OPTION_STRING, AT(allow_networks),
     .help = "private networks that containers may reach: CIDR,CIDR"},
    {"deny_networks", OPTION_STRING, AT(deny_networks),
     .help = "networks that containers may not reach: CIDR,CIDR"},
    {"id_base", OPTION_U64, AT(id_base), "1000000", 65536, UINT32_MAX - 1,
     .help = "first host user id for containers"},
    {"id_range", OPTION_U64, AT(id_range), "65536", 65536, 1u << 24,
     .help = "user ids of each container"},

    {"memory", OPTION_BYTES, AT(memory), "0",
     .help = "for all containers; 0: nine tenths of the host's"},
    {"disk", OPTION_BYTES, AT(disk), "0",
     .help = "for all containers; 0: nine tenths of state_dir's file system"},
    {"max_containers", OPTION_U64, AT(max_containers), "250", 1, 10000,
     .help = "at a time"}, /* Diego: max_containers 250 */
    {"default_disk", OPTION_BYTES, AT(default_disk), "1G", 1u << 20,
     .help = "of a container whose app says nothing"},
    {"default_pids", OPTION_U64, AT(default_pids), "2048", 1, 1u << 22,
     .help = "processes and threads of a container"},
    {"default_nofile", OPTION_U64, AT(default_nofile), "16384", 64, 1u << 20,
     .help = "open files of a process"},

    {"registries", OPTION_STRING, AT(allowed_registries),
     .help = "layers come from these only: host[:port], *.example.com, ...; empty: from any"},
    {"max_layer", OPTION_BYTES, AT(max_layer), "16G", 1u << 20,
     .help = "uncompressed bytes of a layer"},
    {"max_image", OPTION_BYTES, AT(max_image), "32G", 1u << 20,
     .help = "uncompressed bytes of an image"},
    {"max_entries", OPTION_U64, AT(max_entries), "2000000", 1, .help = "files of a layer"},
    {"max_ratio", OPTION_U64, AT(max_ratio), "200", 2, 1000000,
     .help = "of a layer's uncompressed to compressed bytes"},
    {"cache", OPTION_BYTES, AT(cache), "20G", .help = "collect unused layers above this; 0: never"},
    {"pull_threads", OPTION_U64, AT(pull_threads), "4", 1, 64, .help = "layers fetched at a time"},
    {"peer_port", OPTION_U64, AT(peer_port), "0", 0, 65535,
     .help = "where other cells fetch layers, as this one does from them; 0: from registries only"},
    {"peer_address", OPTION_STRING, AT(peer_address),
     .help = "IP address of this host that other cells reach [address]"},
    {"peer_rate", OPTION_BYTES, AT(peer_rate), "64M", 1u << 16,
     .help = "bytes a second given to other cells"},

    {"log_buffer", OPTION_BYTES, AT(log_buffer), "4M", OUTBOX_BYTES_MIN, GIB,
     .help = "of app log lines on their way"},
    {"drain", OPTION_BOOL, AT(drain), "no",
     .help = "SIGTERM empties this cell first, as SIGUSR2 always does; no: containers run on"},
    {"drain_timeout", OPTION_U64, AT(drain_timeout), "600", 0, 86400,
     .help = "seconds to wait for instances to run elsewhere, then they are stopped"},
    {"admin", OPTION_STRING, AT(admin), "127.0.0.1:7410",
     .help = "/healthz, /metrics and /instances"},
    LOG_OPTIONS(struct settings),
};

static int on_registry_key(void *target, const char *name, const char *key, const char *value,
                           struct error *err) {
    struct settings *s = target;
    return registry_config_key(&s->registries, name, key, value, err);
}

static const struct config_section sections[] = {{"registry", on_registry_key}};
static const struct config_spec spec = {
    .program = "berth-cell",
    .summary = "runs the containers of one host; --purge removes all of them",
    .options = options,
    .option_count = ARRAY_SIZE(options),
    .sections = sections,
    .section_count = ARRAY_SIZE(sections),
};

static int check(struct settings *s, struct error *err) {
    char host[256];
    if (str_empty(s->name)) {
        if (gethostname(host, sizeof host) < 0)
            return error_set(err, -errno, "this host has no name: set \"name\"");
        host[sizeof host - 1] = 0;
        if (str_set(&s->name, host) < 0)
            return error_set(err, -ENOMEM, "out of memory");
    }
    if (s->port_first + s->port_count > 65536)
        return error_set(err, -ERANGE, "port_first and port_count go beyond port 65535");
    if (s->id_base + s->id_range * s->max_containers > UINT32_MAX)
        return error_set(err, -ERANGE, "id_base, id_range and max_containers go beyond 32 bits");
    struct in6_addr any;
    if (inet_pton(AF_INET, s->address, &any) != 1 && inet_pton(AF_INET6, s->address, &any) != 1)
        return error_set(err, -EINVAL, "address: \"%s\" is no IP address", s->address);
    if (!str_empty(s->peer_address) && inet_pton(AF_INET, s->peer_address, &any) != 1 &&
        inet_pton(AF_INET6, s->peer_address, &any) != 1)
        return error_set(err, -EINVAL, "peer_address: \"%s\" is no IP address", s->peer_address);
    if (*s->state_dir != '/' || *s->run_dir != '/')
        return error_set(err, -EINVAL, "state_dir and run_dir must be absolute");
    int r = registry_config_allow(&s->registries, s->allowed_registries, err);
    return r < 0 ? r : registry_config_check(s->registries, err);
}

int settings_load(struct settings *s, int argc, char **argv, struct error *err) {
    int outcome = config_load(&spec, s, argc, argv, err);
    if (outcome < 0 || outcome == CONFIG_DONE)
        return outcome;
    int r = check(s, err);
    return r < 0 ? r : outcome;
}

void settings_fini(struct settings *s) {
    registry_config_free(s->registries);
    s->registries = NULL;
    config_free_strings(&spec, s);
}
