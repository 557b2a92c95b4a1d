#include "cell/container/firewall.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <pthread.h>
#include <string.h>

#include "cell/container/network.h"
#include "common/base/str.h"

struct firewall {
    pthread_mutex_t lock; /* libnftables: one context, one thread at a time */
    struct nft_ctx *nft;
    char name[INTERFACE_NAME], bridge[INTERFACE_NAME];
};

/* What is not the internet (RFC 6890), wherever a cell stands. */
#define REFUSED                                                                                    \
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "           \
    "192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3"

/* $N: table, $B: bridge, $P: pattern of its ports, $S: subnet. Priorities are nft(8)'s: raw -300,
 * dstnat -100, filter 0, srcnat 100. */
static const char rules[] =
    "table inet $N {\n"
    " map ports { type inet_service : ipv4_addr . inet_service; }\n"
    " set published { type inet_service . ipv4_addr . inet_service; }\n" /* the same pairs */
    " set allowed { type ipv4_addr; flags interval; auto-merge; }\n"
    " set denied { type ipv4_addr; flags interval; auto-merge; }\n"
    " set refused { type ipv4_addr; flags interval; auto-merge; }\n"
    " set dns { type ipv4_addr; }\n"
    " chain refuse {\n" /* the kernel limits how many ICMP errors it sends, not resets */
    "  meta l4proto tcp reject with tcp reset\n"
    "  reject with icmp host-prohibited\n"
    " }\n"
    " chain guard { type filter hook prerouting priority -300; policy accept;\n"
    "  iifname \"$B\" ip daddr 127.0.0.0/8 drop\n" /* what route_localnet would let in */
    " }\n"
    " chain publish { type nat hook prerouting priority -100; policy accept;\n"
    "  iifname != \"$B\" fib daddr type local dnat ip to tcp dport map @ports\n"
    " }\n"
    " chain publish_own { type nat hook output priority -100; policy accept;\n"
    "  fib daddr type local dnat ip to tcp dport map @ports\n"
    " }\n"
    " chain masquerade_out { type nat hook postrouting priority 100; policy accept;\n"
    "  oifname \"$B\" ip saddr 127.0.0.0/8 masquerade\n"
    "  oifname != \"$B\" ip saddr $S masquerade\n"
    " }\n"
    " chain input { type filter hook input priority 0; policy accept;\n"
    "  iifname \"$B\" jump to_host\n"
    " }\n"
    " chain to_host {\n"
    "  meta nfproto ipv6 drop\n"
    "  ct state established,related accept\n"
    "  ip daddr @dns meta l4proto { tcp, udp } th dport 53 accept\n"
    "  ip daddr @denied goto refuse\n"
    "  ip daddr @allowed accept\n"
    "  goto refuse\n"
    " }\n"
    " chain forward { type filter hook forward priority 0; policy accept;\n"
    "  iifname \"$B\" jump from_container\n"
    "  oifname \"$B\" jump to_container\n"
    " }\n"
    " chain from_container {\n"
    "  meta nfproto ipv6 drop\n"
    "  ct state established,related accept\n"
    "  ip daddr @dns meta l4proto { tcp, udp } th dport 53 accept\n"
    "  ip daddr @denied goto refuse\n"
    "  ip daddr @allowed accept\n"
    "  oifname \"$B\" goto refuse\n"
    "  ip daddr @refused goto refuse\n"
    "  accept\n"
    " }\n"
    " chain output { type filter hook output priority 0; policy accept;\n"
    "  oifname \"$B\" jump to_published\n"
    " }\n"
    " chain to_published {\n" /* firewall_reset() fills it */
    " }\n"
    " chain to_container {\n"
    "  jump to_published\n"
    "  ct state established,related accept\n"
    "  ct status dnat accept\n"
    "  iifname \"$B\" accept\n" /* from_container let it pass */
    "  drop\n"
    " }\n"
    "}\n"
    "table bridge $N {\n"
    " set ports { type ifname . ether_addr . ipv4_addr; }\n"
    " chain prerouting { type filter hook prerouting priority -300; policy accept;\n"
    "  iifname \"$P*\" jump port\n"
    " }\n"
    " chain port {\n"
    "  ether type ip iifname . ether saddr . ip saddr @ports accept\n"
    "  ether type arp iifname . ether saddr . arp saddr ip @ports accept\n"
    "  drop\n"
    " }\n"
    "}\n";

/* A connection once redirected stays so, for days when its end was not seen: a router that was cut
 * off, or has crashed, and happens to use the same port of its own again would reach the next owner
 * of the container's address. Its first packet says that it is a new one, and must have been sent
 * to what is published now. All others the next owner's kernel refuses. */
static const char to_published[] =
    "flush chain inet %s to_published\n"
    "add rule inet %s to_published tcp flags & (fin | syn | rst | ack) == syn ct status dnat "
    "ct original proto-dst . ip daddr . tcp dport != @published reject with tcp reset\n";

static int run(struct firewall *f, const struct strbuf *commands, const char *what,
               struct error *err) {
    if (commands->failed)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_lock(&f->lock);
    int r = nft_run_cmd_from_buffer(f->nft, commands->p);
    const char *text = nft_ctx_get_error_buffer(f->nft);
    if (r != 0)
        r = error_set(err, -EIO, "cannot %s: nftables: %.*s", what, (int)strcspn(text, "\n"), text);
    pthread_mutex_unlock(&f->lock);
    return r;
}

void firewall_free(struct firewall *f) {
    if (!f)
        return;
    if (f->nft)
        nft_ctx_free(f->nft);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static void put_rules(const struct firewall *f, const struct subnet *subnet, struct strbuf *out) {
    char port[INTERFACE_NAME], network[IPV4_TEXT];
    network_port_name(f->name, 0, port);
    port[strlen(port) - 1] = 0; /* without the slot */
    ipv4_format(subnet->network, network);
    for (const char *p = rules; *p; p++)
        if (*p != '$')
            strbuf_putc(out, *p);
        else if (*++p == 'N')
            strbuf_puts(out, f->name);
        else if (*p == 'B')
            strbuf_puts(out, f->bridge);
        else if (*p == 'P')
            strbuf_puts(out, port);
        else
            strbuf_printf(out, "%s/%u", network, subnet->prefix);
}

static void put_set(const struct firewall *f, const char *set, const struct strbuf *elements,
                    struct strbuf *out) {
    if (elements->n)
        strbuf_printf(out, "add element inet %s %s { %s }\n", f->name, set, elements->p);
}

/* `prefix` says what happens to an older agent's tables first. */
static int load(struct firewall *f, const struct firewall_config *config, const char *prefix,
                struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf out = {0}, dns = {0}, allowed = {0}, denied = {0};
    int r;
    if ((r = cidrs_parse(config->allow_networks, &allowed, err)) < 0)
        return error_wrap(err, "allow_networks");
    if ((r = cidrs_parse(config->deny_networks, &denied, err)) < 0)
        return error_wrap(err, "deny_networks");
    for (const char *p = config->dns; p && *p;) { /* plain addresses: no interval set */
        size_t n = strcspn(p, ",");
        strbuf_printf(&dns, "%s%.*s", dns.n ? ", " : "", (int)n, p);
        p += n + (p[n] == ',');
    }
    static const char *const tables[] = {"inet", "bridge"};
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        strbuf_printf(&out, "add table %s %s\n", tables[i], f->name);
        strbuf_printf(&out, "%s table %s %s\n", prefix, tables[i], f->name);
    }
    put_rules(f, config->subnet, &out);
    static const char *const sets[] = {"allowed", "denied", "refused", "dns"};
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        strbuf_printf(&out, "flush set inet %s %s\n", f->name, sets[i]);
    put_set(f, "allowed", &allowed, &out);
    put_set(f, "denied", &denied, &out);
    strbuf_printf(&out, "add element inet %s refused { " REFUSED " }\n", f->name);
    put_set(f, "dns", &dns, &out);
    if (dns.failed)
        return error_set(err, -ENOMEM, "out of memory");
    return run(f, &out, "load the firewall", err);
}

int firewall_new(struct firewall **ret, const struct firewall_config *config, struct error *err) {
    _cleanup_(firewall_freep) struct firewall *f = mem_zalloc(sizeof *f);
    if (!f)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&f->lock, NULL);
    f->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!f->nft || nft_ctx_buffer_error(f->nft) != 0 || nft_ctx_buffer_output(f->nft) != 0)
        return error_set(err, -ENOMEM, "cannot make an nftables context");
    strncpy(f->name, config->name, sizeof f->name - 1);
    network_bridge_name(config->name, f->bridge);
    /* "flush table" drops the rules and keeps sets and their elements; tables of another version
     * whose sets differ are replaced as a whole, and container_adopt() fills them again. */
    int r = load(f, config, "flush", err);
    if (r == -EIO)
        r = load(f, config, "delete", err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(f);
    return 0;
}

static void put_entry(const struct firewall *f, const char *verb, const struct firewall_entry *e,
                      struct strbuf *out) {
    char ip[IPV4_TEXT];
    uint8_t mac[6];
    ipv4_format(e->address, ip);
    mac_of(e->address, mac);
    strbuf_printf(out,
                  "%s element bridge %s ports { \"%s\" . %02x:%02x:%02x:%02x:%02x:%02x . %s }\n",
                  verb, f->name, e->port, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], ip);
    if (!e->port_count)
        return;
    static const char *const sets[][2] = {{"ports", ":"}, {"published", "."}};
    for (size_t set = 0; set < ARRAY_SIZE(sets); set++) {
        strbuf_printf(out, "%s element inet %s %s { ", verb, f->name, sets[set][0]);
        for (size_t i = 0; i < e->port_count; i++)
            strbuf_printf(out, "%s%u %s %s . %u", i ? ", " : "", e->ports[i].host, sets[set][1], ip,
                          e->ports[i].container);
        strbuf_puts(out, " }\n");
    }
}

int firewall_open(struct firewall *f, const struct firewall_entry *entry, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    put_entry(f, "add", entry, &out);
    return run(f, &out, "publish the container's ports", err);
}

int firewall_close(struct firewall *f, const struct firewall_entry *entry, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    put_entry(f, "add", entry, &out); /* so that deleting never misses, which would undo all */
    put_entry(f, "delete", entry, &out);
    return run(f, &out, "withdraw the container's ports", err);
}

int firewall_reset(struct firewall *f, const struct firewall_entry *entries, size_t n,
                   struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    strbuf_printf(&out, "flush map inet %s ports\nflush set inet %s published\n", f->name, f->name);
    strbuf_printf(&out, "flush set bridge %s ports\n", f->name);
    strbuf_printf(&out, to_published, f->name, f->name);
    for (size_t i = 0; i < n; i++)
        put_entry(f, "add", &entries[i], &out);
    return run(f, &out, "publish the containers' ports", err);
}

int firewall_remove(struct firewall *f, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    strbuf_printf(&out,
                  "add table inet %s\ndelete table inet %s\n"
                  "add table bridge %s\ndelete table bridge %s\n",
                  f->name, f->name, f->name, f->name);
    return run(f, &out, "remove the firewall", err);
}
