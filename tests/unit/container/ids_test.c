#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "cell/container/ids.h"
#include "common/base/mem.h"
#include "common/base/random.h"

START_TEST(a_pool_gives_each_number_once_and_rests_them) {
    struct pool p;
    ck_assert_int_eq(pool_init(&p, 4, 0), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pool_take(&p, 1), i);
    ck_assert_int_eq(pool_take(&p, 1), -ENOSPC);
    pool_give(&p, 2, 1);
    pool_give(&p, 0, 1);
    ck_assert_int_eq(pool_take(&p, 1), 0); /* the turn goes on after 3 */
    pool_give(&p, 0, 1);
    ck_assert_int_eq(pool_take(&p, 1), 2); /* not 0 again, which has just been given back */
    ck_assert_int_eq(pool_claim(&p, 2), -EEXIST);
    ck_assert_int_eq(pool_claim(&p, 0), 0);
    ck_assert_int_eq(pool_claim(&p, 4), -ERANGE);
    ck_assert_uint_eq(p.used, 4);
    pool_fini(&p);
}
END_TEST

START_TEST(a_pool_never_gives_a_number_twice) {
    enum { COUNT = 37, STEPS = 20000 };
    struct rng rng = {.state = 7};
    struct pool p;
    bool held[COUNT] = {0};
    unsigned holding = 0;
    ck_assert_int_eq(pool_init(&p, COUNT, 0), 0);
    for (int i = 0; i < STEPS; i++) {
        unsigned n = (unsigned)rng_below(&rng, COUNT);
        if (rng_below(&rng, 2)) {
            int got = pool_take(&p, 1);
            ck_assert_int_eq(got < 0, holding == COUNT);
            if (got < 0)
                continue;
            n = (unsigned)got;
            ck_assert(!held[n]);
        } else if (held[n]) {
            pool_give(&p, n, 1);
            held[n] = false;
            holding--;
            continue;
        } else {
            ck_assert_int_eq(pool_claim(&p, n), 0);
        }
        held[n] = true;
        holding++;
        ck_assert_uint_eq(p.used, holding);
    }
    pool_fini(&p);
}
END_TEST

START_TEST(one_given_back_rests_before_it_is_given_out_again) {
    struct pool p;
    ck_assert_int_eq(pool_init(&p, 3, 60000), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pool_take(&p, 5000), i); /* a new one has nothing to rest from */
    pool_give(&p, 1, 10000);
    pool_give(&p, 0, 20000);
    ck_assert_int_eq(pool_take(&p, 69999), -EAGAIN);
    ck_assert_int_eq(pool_take(&p, 70000), 1);
    ck_assert_int_eq(pool_take(&p, 70000), -EAGAIN);
    ck_assert_int_eq(pool_claim(&p, 0), 0); /* who has it all along has it */
    ck_assert_int_eq(pool_take(&p, 90000), -ENOSPC);
    pool_fini(&p);
}
END_TEST

START_TEST(subnets_are_parsed_strictly) {
    static const struct {
        const char *text;
        unsigned slots; /* 0: refused */
    } rows[] = {
        {"10.253.0.0/16", 65533}, {"10.0.0.0/29", 5},
        {"10.0.0.0/30", 0},       {"10.0.0.0/7", 0},
        {"10.0.0.0", 0},          {"10.0.0.1/24", 0},
        {"10.0.0/24", 0},         {"10.0.0.0/", 0},
        {"10.0.0.0/24x", 0},      {"", 0},
        {"10.0.0.0/-1", 0},       {"fd00::/64", 0},
        {"010.0.0.0/24", 0},      {" 10.0.0.0/24", 0},
        {"10.0.0.0/ 24", 0},      {"10.0.0.0/33", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct subnet s = {0};
        struct error err = {0};
        int r = subnet_parse(rows[i].text, &s, &err);
        ck_assert_msg(rows[i].slots ? r == 0 : r == -EINVAL, "%s: %d", rows[i].text, r);
        if (r == 0)
            ck_assert_uint_eq(subnet_slots(&s), rows[i].slots);
        else
            ck_assert_str_ne(err.msg, "");
    }
}
END_TEST

START_TEST(addresses_follow_from_slots) {
    struct subnet s;
    char text[IPV4_TEXT];
    uint8_t mac[6];
    ck_assert_int_eq(subnet_parse("10.253.0.0/16", &s, NULL), 0);
    ipv4_format(subnet_gateway(&s), text);
    ck_assert_str_eq(text, "10.253.0.1");
    ipv4_format(subnet_address(&s, 0), text);
    ck_assert_str_eq(text, "10.253.0.2");
    ipv4_format(subnet_address(&s, 300), text);
    ck_assert_str_eq(text, "10.253.1.46");
    ipv4_format(subnet_address(&s, subnet_slots(&s) - 1), text);
    ck_assert_str_eq(text, "10.253.255.254");
    mac_of(subnet_address(&s, 0), mac);
    ck_assert_mem_eq(mac, "\x02\x42\x0a\xfd\x00\x02", 6);
}
END_TEST

START_TEST(networks_become_set_elements_and_nothing_else) {
    static const struct {
        const char *list, *elements; /* NULL: refused */
    } rows[] = {
        {NULL, ""},
        {"", ""},
        {" , ", ""},
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"192.0.2.1, 10.1.0.0/16,", "192.0.2.1/32, 10.1.0.0/16"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"10.0.0.1/8", NULL},
        {"10.0.0.0/8 }; flush ruleset; {", NULL},
        {"::/0", NULL},
        {"example.org", NULL},
        {"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16/32", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(strbuf_fini) struct strbuf out = {0};
        int r = cidrs_parse(rows[i].list, &out, NULL);
        ck_assert_int_eq(r, rows[i].elements ? 0 : -EINVAL);
        if (r == 0)
            ck_assert_str_eq(out.p ? out.p : "", rows[i].elements);
    }
}
END_TEST

START_TEST(slots_fit_ids_and_addresses) {
    struct subnet wide, narrow;
    ck_assert_int_eq(subnet_parse("10.253.0.0/16", &wide, NULL), 0);
    ck_assert_int_eq(subnet_parse("10.253.0.0/24", &narrow, NULL), 0);
    ck_assert_uint_eq(slots_that_fit(&wide, 100000, 65536, 250), 1000);
    ck_assert_uint_eq(slots_that_fit(&narrow, 100000, 65536, 250), 253);
    /* 2^32 - 1 is no id, and one range more is the runtime's trial's */
    uint32_t base = UINT32_MAX - 10 * 65536;
    ck_assert_uint_eq(slots_that_fit(&wide, base, 65536, 250), 9);
    ck_assert_uint_eq(slots_that_fit(&wide, UINT32_MAX - 1, 65536, 250), 0);
}
END_TEST

RUN_TESTS("container/ids", a_pool_gives_each_number_once_and_rests_them,
          a_pool_never_gives_a_number_twice, one_given_back_rests_before_it_is_given_out_again,
          subnets_are_parsed_strictly, addresses_follow_from_slots,
          networks_become_set_elements_and_nothing_else, slots_fit_ids_and_addresses)
