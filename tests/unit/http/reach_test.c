#include "tests/unit/lib/runner.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "common/base/mem.h"
#include "common/http/reach.h"

START_TEST(addresses_of_this_machine_and_its_link_are_known) {
    static const struct {
        const char *ip;
        unsigned kind;
    } rows[] = {
        {"127.0.0.1", REACH_LOOPBACK},
        {"127.255.255.254", REACH_LOOPBACK},
        {"0.0.0.0", REACH_LOOPBACK},
        {"::1", REACH_LOOPBACK},
        {"::", REACH_LOOPBACK},
        {"::ffff:127.0.0.1", REACH_LOOPBACK},
        {"169.254.169.254", REACH_LINK_LOCAL},
        {"169.254.0.1", REACH_LINK_LOCAL},
        {"::ffff:169.254.169.254", REACH_LINK_LOCAL},
        {"fe80::1", REACH_LINK_LOCAL},
        {"febf::1", REACH_LINK_LOCAL},
        {"fe80::1%eth0", REACH_LINK_LOCAL},
        {"fd00:ec2::254", REACH_LINK_LOCAL},
        {"fd20:ce::254", REACH_LINK_LOCAL},
        {"100.100.100.200", REACH_LINK_LOCAL},
        {"126.255.255.255", 0},
        {"128.0.0.1", 0},
        {"169.253.255.255", 0},
        {"169.255.0.0", 0},
        {"10.0.0.1", 0},
        {"100.100.100.201", 0},
        {"::2", 0},
        {"fec0::1", 0},
        {"fd00:ec2::253", 0},
        {"2001:db8::1", 0},
        {"::ffff:192.0.2.1", 0},
        {"", 0},
        {"no address", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        ck_assert_msg(reach_kind_of_text(rows[i].ip) == rows[i].kind, "%s", rows[i].ip);
        if (inet_pton(AF_INET, rows[i].ip, &v4.sin_addr) == 1)
            ck_assert_uint_eq(reach_kind((const struct sockaddr *)&v4), rows[i].kind);
        if (inet_pton(AF_INET6, rows[i].ip, &v6.sin6_addr) == 1)
            ck_assert_uint_eq(reach_kind((const struct sockaddr *)&v6), rows[i].kind);
    }
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    ck_assert_uint_eq(reach_kind((const struct sockaddr *)&local), REACH_LOOPBACK);
}
END_TEST

START_TEST(who_leads_where) {
    enum { L = REACH_LOOPBACK, K = REACH_LINK_LOCAL };
    static const struct {
        struct reach r;
        unsigned kind;
        bool allowed;
    } rows[] = {
        {{.guarded = false}, K, true},
        {{.guarded = true}, 0, true},
        {{.guarded = true}, L, false},
        {{.guarded = true}, K, false},
        {{.guarded = true, .first = L}, L, true},
        {{.guarded = true, .first = L}, K, false},
        {{.guarded = true, .first = L | K}, K, true},
        {{.guarded = true, .first = L | K, .answered = true, .at = 0}, L, false}, /* led there */
        {{.guarded = true, .first = L | K, .answered = true, .at = 0}, K, false},
        {{.guarded = true, .first = L | K, .answered = true, .at = 0}, 0, true},
        {{.guarded = true, .first = L, .answered = true, .at = L}, L, true},
        {{.guarded = true, .first = L, .answered = true, .at = L}, K, false},
        {{.guarded = true, .first = K, .answered = true, .at = K}, K, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(reach_allows(&rows[i].r, rows[i].kind) == rows[i].allowed, "row %zu", i);
}
END_TEST

RUN_TESTS("http/reach", addresses_of_this_machine_and_its_link_are_known, who_leads_where)
