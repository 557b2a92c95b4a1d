#include "common/http/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

/* All as IPv6; IPv4 is ::ffff:a.b.c.d, in which form it is connected to as well. */
static const struct {
    uint8_t prefix[16];
    uint8_t bits;
    enum reach_kind kind;
} networks[] = {
#define V4(a, b, c, d)                                                                             \
    { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d }
    {V4(127, 0, 0, 0), 96 + 8, REACH_LOOPBACK},
    {V4(0, 0, 0, 0), 96 + 8, REACH_LOOPBACK},
    {{0}, 127, REACH_LOOPBACK}, /* :: and ::1 */
    {V4(169, 254, 0, 0), 96 + 16, REACH_LINK_LOCAL},
    {{0xfe, 0x80}, 10, REACH_LINK_LOCAL},
    {V4(100, 100, 100, 200), 128, REACH_LINK_LOCAL}, /* Alibaba's metadata */
    /* fd00:ec2::254, Amazon's, and fd20:ce::254, Google's */
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, REACH_LINK_LOCAL},
    {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128, REACH_LINK_LOCAL},
#undef V4
};

static bool is_in(const uint8_t address[16], const uint8_t prefix[16], unsigned bits) {
    unsigned bytes = bits / 8, mask = bits % 8 ? 0xffu << (8 - bits % 8) & 0xff : 0;
    return memcmp(address, prefix, bytes) == 0 &&
           (bytes == 16 || ((address[bytes] ^ prefix[bytes]) & mask) == 0);
}

static unsigned kind_of(const uint8_t address[16]) {
    for (size_t i = 0; i < ARRAY_SIZE(networks); i++)
        if (is_in(address, networks[i].prefix, networks[i].bits))
            return networks[i].kind;
    return 0;
}

static unsigned kind_of_v4(const struct in_addr *a) {
    uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(mapped + 12, a, 4);
    return kind_of(mapped);
}

unsigned reach_kind(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return kind_of_v4(&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    if (address->sa_family == AF_INET6)
        return kind_of(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
    return REACH_LOOPBACK; /* a socket of this machine */
}

unsigned reach_kind_of_text(const char *ip) {
    char text[64];
    struct in_addr v4;
    struct in6_addr v6;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(ip, "%"), ip);
    if (inet_pton(AF_INET, text, &v4) == 1)
        return kind_of_v4(&v4);
    return inet_pton(AF_INET6, text, &v6) == 1 ? kind_of(v6.s6_addr) : 0;
}

bool reach_allows(const struct reach *r, unsigned kind) {
    return !r->guarded || !kind || ((r->answered ? r->at : r->first) & kind);
}

const char *reach_reason(unsigned kind) {
    return kind == REACH_LOOPBACK
               ? "an address of this machine itself: it is not asked on the word of another"
               : "a link-local or metadata address: such are asked only when an operator names "
                 "the host";
}
