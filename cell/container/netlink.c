#include "cell/container/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <string.h>

struct netlink {
    struct nl_sock *sock;
};

void netlink_free(struct netlink *nl) {
    if (!nl)
        return;
    nl_socket_free(nl->sock);
    free(nl);
}

/* libnl folds errnos into its own codes; these are the ones that callers branch on. */
static int errno_of(int code) {
    switch (-code) {
    case NLE_EXIST:
        return -EEXIST;
    case NLE_NODEV:
    case NLE_OBJ_NOTFOUND:
        return -ENODEV;
    case NLE_NOMEM:
        return -ENOMEM;
    case NLE_PERM:
    case NLE_NOACCESS:
        return -EPERM;
    case NLE_OPNOTSUPP:
        return -EOPNOTSUPP;
    default:
        return -EIO;
    }
}

int netlink_open(struct netlink **ret, struct error *err) {
    _cleanup_(netlink_freep) struct netlink *nl = mem_zalloc(sizeof *nl);
    if (!nl || !(nl->sock = nl_socket_alloc()))
        return error_set(err, -ENOMEM, "out of memory");
    int r = nl_connect(nl->sock, NETLINK_ROUTE);
    if (r < 0)
        return error_set(err, errno_of(r), "cannot open a netlink socket: %s", nl_geterror(r));
    *ret = TAKE_PTR(nl);
    return 0;
}

/* A request of `type` whose fixed part is `head`. */
static struct nl_msg *request(int type, int flags, void *head, size_t n) {
    struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);
    if (msg && nlmsg_append(msg, head, n, NLMSG_ALIGNTO) < 0) {
        nlmsg_free(msg);
        return NULL;
    }
    return msg;
}

/* `built` is 0 or a libnl code from building the message, which this frees. */
static int send_request(struct netlink *nl, struct nl_msg *msg, int built, const char *what,
                        struct error *err) {
    if (!msg || built < 0) {
        nlmsg_free(msg);
        return error_set(err, -ENOMEM, "out of memory");
    }
    int r = nl_send_sync(nl->sock, msg);
    return r < 0 ? error_set(err, errno_of(r), "cannot %s: %s", what, nl_geterror(r)) : 0;
}

int netlink_add_bridge(struct netlink *nl, const char *name, const uint8_t mac[static 6],
                       struct error *err) {
    struct ifinfomsg head = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct nl_msg *msg = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    int r = -NLE_NOMEM;
    struct nlattr *info, *data;
    if (msg && (r = nla_put_string(msg, IFLA_IFNAME, name)) == 0 &&
        (r = nla_put(msg, IFLA_ADDRESS, 6, mac)) == 0) {
        r = -NLE_NOMEM;
        if ((info = nla_nest_start(msg, IFLA_LINKINFO)) &&
            nla_put_string(msg, IFLA_INFO_KIND, "bridge") == 0 &&
            (data = nla_nest_start(msg, IFLA_INFO_DATA)) &&
            nla_put_u8(msg, IFLA_BR_MCAST_SNOOPING, 0) == 0) {
            nla_nest_end(msg, data);
            r = nla_nest_end(msg, info);
        }
    }
    return send_request(nl, msg, r, "make the bridge", err);
}

static int put_veth(struct nl_msg *msg, const char *name, int bridge, int peer_net,
                    const uint8_t mac[static 6]) {
    struct ifinfomsg peer_head = {.ifi_family = AF_UNSPEC};
    struct nlattr *info, *data, *peer;
    if (nla_put_string(msg, IFLA_IFNAME, name) < 0 ||
        nla_put_u32(msg, IFLA_MASTER, (uint32_t)bridge) < 0 ||
        !(info = nla_nest_start(msg, IFLA_LINKINFO)) ||
        nla_put_string(msg, IFLA_INFO_KIND, "veth") < 0 ||
        !(data = nla_nest_start(msg, IFLA_INFO_DATA)) ||
        !(peer = nla_nest_start(msg, VETH_INFO_PEER)) ||
        nlmsg_append(msg, &peer_head, sizeof peer_head, NLMSG_ALIGNTO) < 0 ||
        nla_put_string(msg, IFLA_IFNAME, "eth0") < 0 ||
        nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)peer_net) < 0 ||
        nla_put(msg, IFLA_ADDRESS, 6, mac) < 0)
        return -NLE_NOMEM;
    nla_nest_end(msg, peer);
    nla_nest_end(msg, data);
    nla_nest_end(msg, info);
    return 0;
}

int netlink_add_veth(struct netlink *nl, const char *name, int bridge, int peer_net,
                     const uint8_t mac[static 6], struct error *err) {
    struct ifinfomsg head = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct nl_msg *msg = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    int r = msg ? put_veth(msg, name, bridge, peer_net, mac) : -NLE_NOMEM;
    return send_request(nl, msg, r, "make a veth", err);
}

int netlink_isolate_port(struct netlink *nl, uint32_t index, struct error *err) {
    struct ifinfomsg head = {.ifi_family = AF_BRIDGE, .ifi_index = (int)index};
    struct nl_msg *msg = request(RTM_SETLINK, 0, &head, sizeof head);
    struct nlattr *port;
    int r = -NLE_NOMEM;
    if (msg && (port = nla_nest_start(msg, IFLA_PROTINFO | NLA_F_NESTED)) &&
        nla_put_u8(msg, IFLA_BRPORT_ISOLATED, 1) == 0)
        r = nla_nest_end(msg, port);
    return send_request(nl, msg, r, "isolate a bridge port", err);
}

int netlink_set_up(struct netlink *nl, uint32_t index, struct error *err) {
    struct ifinfomsg head = {.ifi_family = AF_UNSPEC,
                             .ifi_index = (int)index,
                             .ifi_flags = IFF_UP,
                             .ifi_change = IFF_UP};
    struct nl_msg *msg = request(RTM_NEWLINK, 0, &head, sizeof head);
    return send_request(nl, msg, 0, "bring up an interface", err);
}

int netlink_add_address(struct netlink *nl, uint32_t index, uint32_t address, unsigned prefix,
                        struct error *err) {
    struct ifaddrmsg head = {
        .ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)prefix, .ifa_index = index};
    uint32_t wire = htonl(address);
    struct nl_msg *msg = request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    int r = msg ? nla_put(msg, IFA_LOCAL, sizeof wire, &wire) : 0;
    if (msg && r == 0)
        r = nla_put(msg, IFA_ADDRESS, sizeof wire, &wire);
    return send_request(nl, msg, r, "add an address", err);
}

int netlink_add_route(struct netlink *nl, uint32_t index, uint32_t network, unsigned prefix,
                      uint32_t gateway, struct error *err) {
    struct rtmsg head = {
        .rtm_family = AF_INET,
        .rtm_dst_len = (uint8_t)prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
        .rtm_type = RTN_UNICAST,
    };
    uint32_t to = htonl(network), via = htonl(gateway);
    struct nl_msg *msg = request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    int r = msg ? nla_put_u32(msg, RTA_OIF, index) : 0;
    if (msg && r == 0 && prefix)
        r = nla_put(msg, RTA_DST, sizeof to, &to);
    if (msg && r == 0 && gateway)
        r = nla_put(msg, RTA_GATEWAY, sizeof via, &via);
    return send_request(nl, msg, r, "add a route", err);
}

int netlink_delete_link(struct netlink *nl, const char *name, struct error *err) {
    struct ifinfomsg head = {.ifi_family = AF_UNSPEC};
    struct nl_msg *msg = request(RTM_DELLINK, 0, &head, sizeof head);
    int r = msg ? nla_put_string(msg, IFLA_IFNAME, name) : 0;
    return send_request(nl, msg, r, "remove an interface", err);
}
