#include "cell/container/ids.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "common/base/mem.h"

int pool_init(struct pool *p, unsigned count, uint64_t rest_ms) {
    bool *taken = mem_calloc(MAX(count, 1u), sizeof *taken);
    uint64_t *given_ms = mem_calloc(MAX(count, 1u), sizeof *given_ms);
    *p = (struct pool){.count = count, .rest_ms = rest_ms, .taken = taken, .given_ms = given_ms};
    if (taken && given_ms)
        return 0;
    pool_fini(p);
    return -ENOMEM;
}

void pool_fini(struct pool *p) {
    free(p->taken);
    free(p->given_ms);
    *p = (struct pool){0};
}

static bool is_rested(const struct pool *p, unsigned n, uint64_t now_ms) {
    return !p->given_ms[n] || now_ms - p->given_ms[n] >= p->rest_ms;
}

int pool_take(struct pool *p, uint64_t now_ms) {
    if (p->used >= p->count)
        return -ENOSPC;
    for (unsigned i = 0; i < p->count; i++) {
        unsigned n = (p->next + i) % p->count;
        if (p->taken[n] || !is_rested(p, n, now_ms))
            continue;
        p->taken[n] = true;
        p->used++;
        p->next = (n + 1) % p->count;
        return (int)n;
    }
    return -EAGAIN;
}

int pool_claim(struct pool *p, unsigned n) {
    if (n >= p->count)
        return -ERANGE;
    if (p->taken[n])
        return -EEXIST;
    p->taken[n] = true;
    p->used++;
    return 0;
}

/* The difference to a later time is what counts: it may lie before the clock's beginning. */
void pool_rest(struct pool *p, unsigned n, uint64_t since_ms) {
    assert(n < p->count);
    p->given_ms[n] = since_ms ? since_ms : 1;
}

void pool_give(struct pool *p, unsigned n, uint64_t now_ms) {
    assert(n < p->count && p->taken[n]);
    p->taken[n] = false;
    pool_rest(p, n, now_ms);
    p->used--;
}

/* "a.b.c.d" or "a.b.c.d/n" without host bits. */
static int cidr_parse(const char *text, uint32_t *ret, unsigned *ret_prefix, struct error *err) {
    char address[IPV4_TEXT];
    struct in_addr in;
    uint64_t prefix = 32;
    size_t n = strcspn(text, "/");
    if (n >= sizeof address)
        return error_set(err, -EINVAL, "\"%s\" is no IPv4 network", text);
    memcpy(address, text, n);
    address[n] = 0;
    if (inet_pton(AF_INET, address, &in) != 1 ||
        (text[n] && parse_u64(text + n + 1, 0, 32, &prefix) < 0))
        return error_set(err, -EINVAL, "\"%s\" is no IPv4 network", text);
    uint32_t value = ntohl(in.s_addr);
    uint32_t mask = prefix ? UINT32_MAX << (32 - prefix) : 0;
    if (value & ~mask)
        return error_set(err, -EINVAL, "\"%s\" has bits set beyond its prefix", text);
    *ret = value;
    *ret_prefix = (unsigned)prefix;
    return 0;
}

int subnet_parse(const char *text, struct subnet *ret, struct error *err) {
    struct subnet s;
    int r = cidr_parse(text ? text : "", &s.network, &s.prefix, err);
    if (r < 0)
        return r;
    if (s.prefix < 8 || s.prefix > 29)
        return error_set(err, -EINVAL, "subnet %s: the prefix must be 8 to 29", text);
    *ret = s;
    return 0;
}

unsigned subnet_slots(const struct subnet *s) {
    return (1u << (32 - s->prefix)) - 3; /* but network, gateway and broadcast */
}

uint32_t subnet_gateway(const struct subnet *s) {
    return s->network + 1;
}

uint32_t subnet_address(const struct subnet *s, unsigned slot) {
    return s->network + 2 + slot;
}

void ipv4_format(uint32_t address, char buf[static IPV4_TEXT]) {
    snprintf(buf, IPV4_TEXT, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
             address & 255);
}

void mac_of(uint32_t address, uint8_t mac[static 6]) {
    mac[0] = 0x02;
    mac[1] = 0x42;
    for (int i = 0; i < 4; i++)
        mac[2 + i] = (uint8_t)(address >> (24 - 8 * i));
}

int cidrs_parse(const char *list, struct strbuf *out, struct error *err) {
    for (const char *p = list ? list : ""; *p;) {
        size_t n = strcspn(p, ",");
        struct slice word = slice_trim((struct slice){p, n});
        p += n + (p[n] == ',');
        if (!word.n)
            continue;
        char text[32], address[IPV4_TEXT];
        uint32_t value;
        unsigned prefix;
        if (word.n >= sizeof text)
            return error_set(err, -EINVAL, "\"%.*s\" is no IPv4 network", (int)word.n, word.p);
        memcpy(text, word.p, word.n);
        text[word.n] = 0;
        int r = cidr_parse(text, &value, &prefix, err);
        if (r < 0)
            return r;
        ipv4_format(value, address);
        strbuf_printf(out, "%s%s/%u", out->n ? ", " : "", address, prefix);
    }
    return out->failed ? error_set(err, -ENOMEM, "out of memory") : 0;
}

unsigned slots_that_fit(const struct subnet *s, uint32_t id_base, uint32_t id_range,
                        unsigned max_containers) {
    uint64_t ids = (UINT32_MAX - (uint64_t)id_base) / MAX(id_range, 1u); /* -1 is no id */
    ids -= ids > 0; /* one range is the runtime's trial's */
    uint64_t wanted = MAX(4 * (uint64_t)max_containers, (uint64_t)64); /* room to rest */
    return (unsigned)MIN(MIN(ids, wanted), (uint64_t)subnet_slots(s));
}
