#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/random.h"
#include "router/publish.h"
#include "router/table.h"

static struct route *make_route(const char *host, const char *path, unsigned endpoints) {
    struct endpoint_spec specs[8];
    struct route *r;
    char guids[8][16];
    for (unsigned i = 0; i < endpoints; i++) {
        snprintf(guids[i], sizeof guids[i], "inst-%u", i);
        specs[i] = (struct endpoint_spec){"10.0.0.1", 1000 + i, guids[i], i};
    }
    ck_assert_int_eq(route_new(&r, host, path, "app", "name", specs, endpoints, 0, NULL, NULL), 0);
    return r;
}

static const char *found(const struct table *t, const char *host, const char *path) {
    static char text[128];
    struct route *r = table_find(t, slice_of(host), slice_of(path));
    snprintf(text, sizeof text, "%s%s", r ? r->host : "none", r ? r->path : "");
    return text;
}

START_TEST(routes_match_as_gorouter_matches) {
    static const struct {
        const char *host, *path;
        unsigned endpoints;
    } routes[] = {
        {"app.example", "", 1},
        {"app.example", "/foo", 1},
        {"app.example", "/foo/bar", 0},
        {"app.example", "/empty", 0},
        {"*.example", "", 1},
        {"*.wild.example", "/x", 1},
        {"gone.example", "", 0},
        {"ctx.example", "/only", 1},
        {"App2.Example", "/CaSe/", 1},
        {"*.b.c", "", 1},
        {"*.c", "/deep", 1},
    };
    static const struct {
        const char *host, *path, *want;
    } rows[] = {
        {"app.example", "/", "app.example"},
        {"APP.example", "/anything", "app.example"},
        {"app.example", "/foo", "app.example/foo"},
        {"app.example", "/foo/", "app.example/foo"},
        {"app.example", "/FOO/x", "app.example/foo"},
        {"app.example", "/foobar", "app.example"},
        {"app.example", "/foo/bar/baz", "app.example/foo"}, /* the deeper one is empty */
        {"app.example", "/empty/x", "app.example"},
        {"other.example", "/", "*.example"},
        {"a.b.example", "/", "*.example"},
        {"y.wild.example", "/x/1", "*.wild.example/x"},
        {"y.wild.example", "/", "*.example"},
        {"gone.example", "/", "gone.example"}, /* exact, though empty, goes before the wildcard */
        {"ctx.example", "/only/this", "ctx.example/only"},
        {"ctx.example", "/", "*.example"}, /* the exact host has no such path */
        {"app2.example", "/case", "app2.example/case"},
        {"example", "/", "none"},
        {"a.b.c", "/deep", "*.b.c"},
        {"x.y.z.c", "/deep/er", "*.c/deep"},
        {"x.y.z.c", "/", "none"},
        {"", "/", "none"},
        {"app.example", "", "app.example"},
    };
    struct route *all[ARRAY_SIZE(routes)];
    struct table *t;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
        all[i] = make_route(routes[i].host, routes[i].path, routes[i].endpoints);
    ck_assert_int_eq(table_new(&t, all, ARRAY_SIZE(routes), NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
        route_unref(all[i]);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(str_eq(found(t, rows[i].host, rows[i].path), rows[i].want),
                      "%s%s -> %s, not %s", rows[i].host, rows[i].path,
                      found(t, rows[i].host, rows[i].path), rows[i].want);
    char long_host[400];
    memset(long_host, 'a', sizeof long_host);
    ck_assert_ptr_null(table_find(t, (struct slice){long_host, sizeof long_host}, SLICE_LIT("/")));
    table_unref(t);
}
END_TEST

/* The rules again, by brute force over all routes. */
static struct route *naive_on_host(struct route **all, size_t n, const char *host,
                                   const char *path) {
    struct route *best = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(all[i]->path);
        if (!str_eq(all[i]->host, host) || strncmp(all[i]->path, path, len) != 0 ||
            (path[len] && path[len] != '/'))
            continue;
        bool fuller = best && (all[i]->endpoint_count != 0) > (best->endpoint_count != 0);
        bool same = best && (all[i]->endpoint_count != 0) == (best->endpoint_count != 0);
        if (!best || fuller || (same && len > strlen(best->path)))
            best = all[i];
    }
    return best;
}

static struct route *naive_find(struct route **all, size_t n, const char *host, const char *path) {
    struct route *r = naive_on_host(all, n, host, path);
    for (const char *dot = strchr(host, '.'); !r && dot; dot = strchr(dot + 1, '.')) {
        char wild[256];
        snprintf(wild, sizeof wild, "*%s", dot);
        r = naive_on_host(all, n, wild, path);
    }
    return r;
}

static void random_name(struct rng *rng, char *out, char separator, unsigned max_parts) {
    unsigned parts = (unsigned)rng_below(rng, max_parts + 1);
    if (separator == '.')
        parts += parts == 0;
    for (unsigned i = 0; i < parts; i++) {
        if (separator == '/' || i)
            *out++ = separator;
        *out++ = (char)('a' + rng_below(rng, 3));
        if (rng_below(rng, 4) == 0)
            *out++ = 'x';
    }
    *out = 0;
}

START_TEST(random_tables_answer_as_a_naive_search_does) {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng = {seed};
        struct route *all[40];
        size_t n = 0;
        for (int i = 0; i < 40; i++) {
            char host[64], path[64], wild[70];
            random_name(&rng, host, '.', 3);
            random_name(&rng, path, '/', 3);
            snprintf(wild, sizeof wild, rng_below(&rng, 3) ? "%s" : "*.%s", host);
            bool twice = false;
            for (size_t j = 0; j < n; j++)
                twice |= str_eq(all[j]->host, wild) && str_eq(all[j]->path, path);
            if (!twice)
                all[n++] = make_route(wild, path, (unsigned)rng_below(&rng, 3));
        }
        struct table *t;
        ck_assert_int_eq(table_new(&t, all, n, NULL), 0);
        ck_assert_uint_eq(table_count(t), n);
        for (int i = 0; i < 200; i++) {
            char host[64], path[64];
            random_name(&rng, host, '.', 4);
            random_name(&rng, path, '/', 4);
            ck_assert_msg(table_find(t, slice_of(host), slice_of(path)) ==
                              naive_find(all, n, host, path),
                          "seed %llu: %s%s", (unsigned long long)seed, host, path);
        }
        table_unref(t);
        for (size_t i = 0; i < n; i++)
            route_unref(all[i]);
    }
}
END_TEST

START_TEST(turns_go_round_and_pass_over_what_failed) {
    struct route *r = make_route("a", "", 3);
    unsigned seen[3] = {0}, over;
    for (int i = 0; i < 30; i++) {
        seen[route_choose(r, NULL, 0, 1000, &over)]++;
        ck_assert_uint_eq(over, ROUTE_NONE);
    }
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(seen[i], 10);
    route_mark_failed(r, 1, 5000);
    for (int i = 0; i < 30; i++) {
        ck_assert_uint_ne(route_choose(r, NULL, 0, 4999, &over), 1);
        ck_assert_uint_eq(over, ROUTE_NONE);
    }
    for (unsigned i = 0; i < 3; i++)
        route_mark_failed(r, i, 9000);
    ck_assert_uint_ne(route_choose(r, NULL, 0, 6000, &over), ROUTE_NONE); /* all: begin anew */
    ck_assert_uint_eq(atomic_load(&r->endpoints[2].failed_until_ms), 0);
    unsigned tried[] = {0, 2};
    ck_assert_uint_eq(route_choose(r, tried, 2, 6000, &over), 1);
    unsigned all_tried[] = {0, 1, 2};
    ck_assert_uint_eq(route_choose(r, all_tried, 3, 6000, &over), ROUTE_NONE);
    route_unref(r);
}
END_TEST

START_TEST(after_its_time_a_mark_stays_until_one_has_looked) {
    struct route *r = make_route("a", "", 3);
    unsigned over, named = 0;
    ck_assert(!route_claim(r, 1, 5000, 6000)); /* no mark: nothing to look at */
    route_mark_failed(r, 1, 5000);
    ck_assert(!route_claim(r, 1, 4999, 6000));
    for (int i = 0; i < 30; i++) {
        ck_assert_uint_ne(route_choose(r, NULL, 0, 5000, &over), 1);
        named += over == 1;
    }
    ck_assert_uint_eq(named, 10); /* whenever it was its turn */
    ck_assert(route_claim(r, 1, 5000, 6000));
    ck_assert(!route_claim(r, 1, 5000, 6000)); /* one looks */
    for (int i = 0; i < 30; i++) {
        ck_assert_uint_ne(route_choose(r, NULL, 0, 5999, &over), 1);
        ck_assert_uint_eq(over, ROUTE_NONE);
    }
    ck_assert(route_claim(r, 1, 6000, 7000)); /* and never told: the next one */
    route_mark_alive(r, 1, 6500);             /* a request of before: not for this mark */
    ck_assert(route_is_marked(r, 1));
    route_mark_alive(r, 1, 7000);
    ck_assert(!route_is_marked(r, 1));
    for (int i = 0; i < 30; i++)
        named += route_choose(r, NULL, 0, 6000, &over) == 1;
    ck_assert_uint_eq(named, 20);
    route_unref(r);
}
END_TEST

START_TEST(of_marked_ones_that_is_best_whose_time_is_over) {
    struct route *r = make_route("a", "", 3);
    unsigned over;
    route_mark_failed(r, 0, 9000);
    route_mark_failed(r, 1, 5000);
    route_mark_failed(r, 2, 9000);
    for (int i = 0; i < 6; i++) {
        ck_assert_uint_eq(route_choose(r, NULL, 0, 5000, &over), 1);
        ck_assert_uint_eq(over, ROUTE_NONE); /* the request itself will tell */
    }
    ck_assert(route_is_marked(r, 0) && route_is_marked(r, 1));
    route_unref(r);
}
END_TEST

START_TEST(doubt_is_a_mark_whose_time_is_over) {
    struct route *r = make_route("a", "", 2);
    unsigned tried[] = {1};
    ck_assert(route_has_another(r, NULL, 0) && route_has_another(r, tried, 1));
    route_mark_doubtful(r, 0, 5000);
    ck_assert(route_has_another(r, NULL, 0));
    ck_assert(!route_has_another(r, tried, 1));
    ck_assert(route_claim(r, 0, 5000, 6000));
    route_mark_doubtful(r, 0, 5500); /* is being looked at */
    ck_assert(!route_claim(r, 0, 5500, 6000));
    route_unref(r);
}
END_TEST

START_TEST(marks_survive_a_change_of_the_route) {
    struct route *was = make_route("a", "", 2), *now = make_route("a", "", 3);
    route_mark_failed(was, 1, 777);
    route_carry_state(now, was);
    ck_assert_uint_eq(atomic_load(&now->endpoints[1].failed_until_ms), 777);
    ck_assert_uint_eq(atomic_load(&now->endpoints[0].failed_until_ms), 0);
    route_unref(was);
    route_unref(now);
}
END_TEST

static struct route *make_least(unsigned endpoints) {
    struct route *r = make_route("a", "", endpoints);
    ck_assert_int_eq(route_use_least_connection(r), 0);
    return r;
}

static uint32_t load_of(const struct route *r, unsigned endpoint) {
    return atomic_load(&r->endpoints[endpoint].load->in_flight);
}

START_TEST(with_least_connection_the_one_with_the_fewest_requests_is_next) {
    struct route *r = make_least(3);
    unsigned over, seen[3] = {0};
    for (int i = 0; i < 30; i++)
        seen[route_choose(r, NULL, 0, 1000, &over)]++;
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(seen[i], 10); /* equals take turns */
    struct load *first = route_begin(r, 0), *more = route_begin(r, 0);
    struct load *second = route_begin(r, 1);
    for (int i = 0; i < 6; i++)
        ck_assert_uint_eq(route_choose(r, NULL, 0, 1000, &over), 2);
    unsigned tried[] = {2};
    for (int i = 0; i < 6; i++)
        ck_assert_uint_eq(route_choose(r, tried, 1, 1000, &over), 1);
    route_mark_failed(r, 2, 5000); /* a mark is worse than any load */
    for (int i = 0; i < 6; i++)
        ck_assert_uint_eq(route_choose(r, NULL, 0, 1000, &over), 1);
    ck_assert_uint_eq(over, ROUTE_NONE);
    for (unsigned i = 0, named = 0; i < 6; i++) {
        ck_assert_uint_eq(route_choose(r, NULL, 0, 5000, &over), 1);
        named += over == 2;
        ck_assert(i < 5 || named >= 2); /* is looked at */
    }
    load_end(first);
    load_end(more);
    load_end(second);
    ck_assert_uint_eq(load_of(r, 0) + load_of(r, 1) + load_of(r, 2), 0);
    route_unref(r);
}
END_TEST

START_TEST(without_least_connection_nothing_is_counted) {
    struct route *r = make_route("a", "", 1);
    ck_assert_ptr_null(route_begin(r, 0));
    load_end(NULL);
    route_unref(r);
}
END_TEST

/* Requests, each with some attempts, begin and end while the route changes: endpoints come, go and
 * come again, and it is round robin for a while. */
START_TEST(however_requests_end_nothing_is_left_of_them) {
    struct {
        struct route *route;
        struct load *load;
        unsigned endpoint;
    } running[40] = {{0}};
    struct rng rng = {7};
    struct route *now = make_least(3);
    for (int step = 0; step < 20000; step++) {
        unsigned which = (unsigned)rng_below(&rng, ARRAY_SIZE(running)), over;
        uint64_t dice = rng_below(&rng, 100);
        if (dice == 0) {
            unsigned n = 1 + (unsigned)rng_below(&rng, 8);
            struct route *next = rng_below(&rng, 4) ? make_least(n) : make_route("a", "", n);
            route_carry_state(next, now);
            route_unref(now);
            now = next;
        } else if (!running[which].route) {
            running[which].route = route_ref(now);
            running[which].endpoint = route_choose(now, NULL, 0, 1000, &over);
            running[which].load = route_begin(now, running[which].endpoint);
        } else if (dice < 30) { /* another attempt */
            load_end(running[which].load);
            running[which].endpoint =
                route_choose(running[which].route, &running[which].endpoint, 1, 1000, &over);
            running[which].load = running[which].endpoint == ROUTE_NONE
                                      ? NULL
                                      : route_begin(running[which].route, running[which].endpoint);
        } else {
            load_end(running[which].load);
            route_unref(running[which].route);
            running[which].route = NULL;
        }
        for (unsigned i = 0; now->least_connection && i < now->endpoint_count; i++) {
            uint32_t most = 0;
            for (size_t k = 0; k < ARRAY_SIZE(running); k++)
                most += running[k].route && running[k].load == now->endpoints[i].load;
            ck_assert_uint_eq(load_of(now, i), most);
        }
    }
    for (size_t k = 0; k < ARRAY_SIZE(running); k++) {
        if (running[k].route)
            load_end(running[k].load);
        route_unref(running[k].route);
    }
    for (unsigned i = 0; now->least_connection && i < now->endpoint_count; i++)
        ck_assert_uint_eq(load_of(now, i), 0);
    route_unref(now);
}
END_TEST

START_TEST(routes_with_texts_that_could_harm_headers_are_refused) {
    static const struct {
        const char *host, *path, *app, *name;
    } rows[] = {
        {"", "", "a", ""},        {"a b", "", "a", ""},   {"a\r\nX: y", "", "a", ""},
        {"a", "x", "a", ""},      {"a", "/?q", "a", ""},  {"a", "/a b", "a", ""},
        {"a", "", "g\r\nX:", ""}, {"a", "", "a\"", ""},   {"a", "", "a", "\xff"},
        {"*", "", "a", ""},       {"a.*.b", "", "a", ""}, {NULL, "", "a", ""},
    };
    struct error err;
    struct route *r;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(route_new(&r, rows[i].host, rows[i].path, rows[i].app, rows[i].name, NULL, 0,
                                0, NULL, &err) == -EINVAL,
                      "row %zu", i);
    struct endpoint_spec specs[] = {
        {"cell-1", 80, "i", 0}, {"10.0.0.1", 0, "i", 0},      {"10.0.0.1", 65536, "i", 0},
        {"::1", 80, "i", 4},    {"10.0.0.1", 80, "i\r\n", 0}, {NULL, 80, "i", 0},
    };
    unsigned skipped;
    ck_assert_int_eq(
        route_new(&r, "a", NULL, NULL, NULL, specs, ARRAY_SIZE(specs), 0, &skipped, &err), 0);
    ck_assert_uint_eq(skipped, 5);
    ck_assert_uint_eq(r->endpoint_count, 1);
    ck_assert_str_eq(r->endpoints[0].text, "[::1]:80");
    ck_assert_str_eq(r->endpoints[0].index, "4");
    route_unref(r);
}
END_TEST

START_TEST(a_published_table_lives_as_long_as_somebody_looks_at_it) {
    struct publisher p;
    struct view v = {0};
    struct table *first, *second;
    publisher_init(&p);
    ck_assert_ptr_null(view_table(&v, &p));
    ck_assert_int_eq(table_new(&first, NULL, 0, NULL), 0);
    publisher_set(&p, first);
    ck_assert_ptr_eq(view_table(&v, &p), first);
    ck_assert_int_eq(table_new(&second, NULL, 0, NULL), 0);
    publisher_set(&p, second);
    ck_assert_uint_eq(p.retired_count, 1); /* v still holds it */
    ck_assert_ptr_eq(view_table(&v, &p), second);
    publisher_sweep(&p);
    ck_assert_uint_eq(p.retired_count, 0);
    view_fini(&v);
    publisher_fini(&p);
}
END_TEST

RUN_TESTS("router/table", routes_match_as_gorouter_matches,
          random_tables_answer_as_a_naive_search_does, turns_go_round_and_pass_over_what_failed,
          after_its_time_a_mark_stays_until_one_has_looked,
          of_marked_ones_that_is_best_whose_time_is_over, doubt_is_a_mark_whose_time_is_over,
          marks_survive_a_change_of_the_route,
          with_least_connection_the_one_with_the_fewest_requests_is_next,
          without_least_connection_nothing_is_counted, however_requests_end_nothing_is_left_of_them,
          routes_with_texts_that_could_harm_headers_are_refused,
          a_published_table_lives_as_long_as_somebody_looks_at_it)
