#include "cell/container/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cell/container/namespaces.h"
#include "cell/container/netlink.h"
#include "common/base/fs.h"
#include "common/base/mem.h"

enum {
    LOOPBACK_INDEX = 1,
    OLD_PORT_WAIT_MS = 5000,
    OLD_PORT_POLL_MS = 10,
    RESOLV_CONF_MAX = 64 << 10,
};

void network_bridge_name(const char *name, char buf[static INTERFACE_NAME]) {
    snprintf(buf, INTERFACE_NAME, "%.9sbr0", name);
}

void network_port_name(const char *name, unsigned slot, char buf[static INTERFACE_NAME]) {
    snprintf(buf, INTERFACE_NAME, "%.9sv%u", name, slot % 100000);
}

static int write_sysctl(const char *path, const char *value) {
    _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

static int set_bridge(const char *bridge, const char *key, const char *value, struct error *err) {
    char path[80];
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/%s", bridge, key);
    int r = write_sysctl(path, value);
    return r < 0 ? error_set(err, r, "cannot set %s: %s", path, strerror(-r)) : 0;
}

static int forward(struct strbuf *note, struct error *err) {
    static const char path[] = "/proc/sys/net/ipv4/ip_forward";
    _cleanup_(freep) char *was = NULL;
    int r = fs_read(AT_FDCWD, path, 16, &was, NULL, err);
    if (r < 0 || was[0] == '1')
        return r;
    if ((r = write_sysctl(path, "1")) < 0)
        return error_set(err, r, "cannot set net.ipv4.ip_forward: %s", strerror(-r));
    strbuf_puts(note, "; net.ipv4.ip_forward set to 1");
    return 0;
}

/* Two bridges with one subnet would each get half of the packets: another cell on this host, or the
 * host's own network. */
static int refuse_overlap(const char *bridge, const struct subnet *subnet, struct error *err) {
    struct ifaddrs *list = NULL;
    uint32_t mask = subnet->prefix ? ~0u << (32 - subnet->prefix) : 0;
    int r = 0;
    if (getifaddrs(&list) < 0)
        return error_set(err, -errno, "cannot list the host's addresses: %s", strerror(errno));
    for (const struct ifaddrs *i = list; i && r == 0; i = i->ifa_next) {
        struct sockaddr_in in;
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || str_eq(i->ifa_name, bridge))
            continue;
        memcpy(&in, i->ifa_addr, sizeof in);
        if ((ntohl(in.sin_addr.s_addr) & mask) == (subnet->network & mask))
            r = error_set(err, -EADDRINUSE,
                          "%s has an address in the containers' subnet: give this cell another one "
                          "with subnet = ...",
                          i->ifa_name);
    }
    freeifaddrs(list);
    return r;
}

int network_prepare(const char *name, const struct subnet *subnet, struct strbuf *note,
                    struct error *err) {
    _cleanup_(netlink_freep) struct netlink *nl = NULL;
    char bridge[INTERFACE_NAME];
    uint8_t mac[6];
    uint32_t gateway = subnet_gateway(subnet);
    network_bridge_name(name, bridge);
    mac_of(gateway, mac);
    int r = refuse_overlap(bridge, subnet, err);
    if (r < 0 || (r = netlink_open(&nl, err)) < 0)
        return r;
    if ((r = netlink_add_bridge(nl, bridge, mac, err)) < 0 && r != -EEXIST)
        return error_wrap(err, "%s", bridge);
    uint32_t index = if_nametoindex(bridge);
    if (!index)
        return error_set(err, -errno, "%s is gone again", bridge);
    if ((r = netlink_add_address(nl, index, gateway, subnet->prefix, err)) < 0 && r != -EEXIST)
        return error_wrap(err, "%s", bridge);
    /* rp_filter: packets from the bridge must have an address that is routed to it. route_localnet:
     * the host may reach published ports at 127.0.0.1 too; the firewall keeps the containers from
     * using it the other way round. */
    if ((r = netlink_set_up(nl, index, err)) < 0 ||
        (r = set_bridge(bridge, "rp_filter", "1", err)) < 0 ||
        (r = set_bridge(bridge, "route_localnet", "1", err)) < 0)
        return r;
    return forward(note, err);
}

/* "NAMEbr0", or "NAMEv12": a port outlives its container until the kernel has taken its network
 * namespace apart, which may be a minute later. */
static bool is_ours(const char *interface, const char *name) {
    char bridge[INTERFACE_NAME];
    size_t n = strlen(name);
    network_bridge_name(name, bridge);
    return strcmp(interface, bridge) == 0 ||
           (strncmp(interface, name, n) == 0 && interface[n] == 'v' && interface[n + 1] &&
            strspn(interface + n + 1, "0123456789") == strlen(interface + n + 1));
}

int network_remove(const char *name, struct error *err) {
    _cleanup_(netlink_freep) struct netlink *nl = NULL;
    int r = netlink_open(&nl, err);
    struct if_nameindex *all = r == 0 ? if_nameindex() : NULL;
    if (r == 0 && !all)
        return error_set(err, -errno, "cannot list interfaces: %s", strerror(errno));
    for (const struct if_nameindex *i = all; r == 0 && i->if_index; i++)
        if (is_ours(i->if_name, name)) {
            r = netlink_delete_link(nl, i->if_name, err);
            if (r == -ENODEV) /* gone by now */
                r = 0;
        }
    if (all)
        if_freenameindex(all);
    return r;
}

/* In the container's network namespace: settings, and a socket that stays in it. */
static int open_inside(const struct network_spec *spec, struct netlink **ret, uint32_t *ret_index,
                       struct error *err) {
    char groups[32];
    int r = net_enter(spec->net, err);
    if (r < 0)
        return r;
    /* As Docker: every user may bind low ports and ping, for no host port is at stake. IPv6 stays
     * on lo, for programs that listen on "::". Missing keys are kernels without the feature. */
    snprintf(groups, sizeof groups, "0 %u", spec->id_range - 1);
    (void)write_sysctl("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    (void)write_sysctl("/proc/sys/net/ipv4/ping_group_range", groups);
    (void)write_sysctl("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
    *ret_index = if_nametoindex("eth0");
    r = *ret_index ? netlink_open(ret, err) : error_set(err, -ENODEV, "eth0 is not there");
    net_leave(spec->own_net);
    return r;
}

int network_join(const struct network_spec *spec, struct error *err) {
    _cleanup_(netlink_freep) struct netlink *host = NULL, *inside = NULL;
    char bridge[INTERFACE_NAME], port[INTERFACE_NAME];
    uint32_t address = subnet_address(spec->subnet, spec->slot);
    uint32_t gateway = subnet_gateway(spec->subnet);
    uint32_t index = 0;
    uint8_t mac[6];
    int r;

    network_bridge_name(spec->name, bridge);
    network_port_name(spec->name, spec->slot, port);
    mac_of(address, mac);
    int bridge_index = (int)if_nametoindex(bridge);
    if (!bridge_index)
        return error_set(err, -ENODEV, "the bridge %s is gone", bridge);
    if ((r = netlink_open(&host, err)) < 0)
        return r;
    r = netlink_add_veth(host, port, bridge_index, spec->net, mac, err);
    /* An ended container's port keeps its name until the kernel is through with its namespace. */
    for (unsigned waited = 0; r == -EEXIST && waited < OLD_PORT_WAIT_MS;
         waited += OLD_PORT_POLL_MS) {
        (void)netlink_delete_link(host, port, NULL);
        usleep(OLD_PORT_POLL_MS * 1000);
        r = netlink_add_veth(host, port, bridge_index, spec->net, mac, err);
    }
    if (r < 0)
        return error_wrap(err, "%s", port);
    if ((r = netlink_isolate_port(host, if_nametoindex(port), err)) < 0 ||
        (r = open_inside(spec, &inside, &index, err)) < 0 ||
        (r = netlink_set_up(inside, LOOPBACK_INDEX, err)) < 0 ||
        (r = netlink_set_up(inside, index, err)) < 0 ||
        (r = netlink_add_address(inside, index, address, 32, err)) < 0 ||
        (r = netlink_add_route(inside, index, gateway, 32, 0, err)) < 0 ||
        (r = netlink_add_route(inside, index, 0, 0, gateway, err)) < 0)
        return error_wrap(err, "%s", port);
    return 0;
}

/* Adds a server unless it is the host's own loopback, which a container cannot reach. */
static void add_server(struct slice word, struct strbuf *conf, struct strbuf *servers) {
    char text[IPV4_TEXT];
    struct in_addr in;
    word = slice_trim(word);
    if (!word.n || word.n >= sizeof text)
        return;
    memcpy(text, word.p, word.n);
    text[word.n] = 0;
    if (inet_pton(AF_INET, text, &in) != 1 || ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET)
        return;
    strbuf_printf(conf, "nameserver %s\n", text);
    strbuf_printf(servers, "%s%s", servers->n ? "," : "", text);
}

static void read_resolv_conf(const char *path, struct strbuf *conf, struct strbuf *servers) {
    _cleanup_(freep) char *text = NULL;
    if (fs_read(AT_FDCWD, path, RESOLV_CONF_MAX, &text, NULL, NULL) < 0)
        return;
    for (char *line = text, *next; line && *line; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        if (str_starts(line, "nameserver ") || str_starts(line, "nameserver\t"))
            add_server(slice_of(line + strlen("nameserver ")), conf, servers);
        else if (str_starts(line, "search ") || str_starts(line, "options "))
            strbuf_printf(conf, "%s\n", line);
    }
}

int network_dns(const char *configured, char **ret_conf, char **ret_servers, struct error *err) {
    /* The second one holds the real servers where the first names a resolver on 127.0.0.53. */
    static const char *const files[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};
    _cleanup_(strbuf_fini) struct strbuf conf = {0}, servers = {0};
    strbuf_puts(&conf, "");
    strbuf_puts(&servers, "");
    for (const char *p = configured; p && *p;) {
        size_t n = strcspn(p, ",");
        add_server((struct slice){p, n}, &conf, &servers);
        p += n + (p[n] == ',');
    }
    if (configured && *configured && !servers.n)
        return error_set(err, -EINVAL, "dns = %s names no IPv4 server beyond loopback", configured);
    for (size_t i = 0; i < ARRAY_SIZE(files) && !servers.n; i++) {
        strbuf_clear(&conf);
        read_resolv_conf(files[i], &conf, &servers);
    }
    char *conf_text = strbuf_take(&conf), *servers_text = strbuf_take(&servers);
    if (!conf_text || !servers_text) {
        free(conf_text);
        free(servers_text);
        return error_set(err, -ENOMEM, "out of memory");
    }
    *ret_conf = conf_text;
    *ret_servers = servers_text;
    return 0;
}
