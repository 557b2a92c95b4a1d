/* shown_test.c - what is listed by the thousand, to the byte: each field of an app, a process and a
 * route, in a list and alone. */
#include "tests/unit/api/harness.h"

static void setup(void) {
    harness_up(true);
}

static char app[GUID_SIZE];

static void make_app(void) {
    char body[400];
    snprintf(
        body, sizeof body,
        "{'name':'\\u00e9 \\\\ b','relationships':{'space':{'data':{'guid':'%s'}}},'metadata':{"
        "'labels':{'a.b/c':'d'},'annotations':{'note':'x \\u0001 \\u00e9'}}}",
        space_guid);
    struct answer a = want(201, "POST", "/v3/apps", body);
    snprintf(app, sizeof app, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

static const json_t *first(const struct answer *a) {
    return json_array_get(json_object_get(a->json, "resources"), 0);
}

/* `expected` with " for ', and of the words in <> what they stand for: a guid, a time, a base. */
static char *filled(const char *expected, const json_t *one, const char *more) {
    const struct {
        const char *word, *text;
    } words[] = {
        {"<guid>", body_text(one, "guid")},
        {"<created>", body_text(one, "created_at")},
        {"<updated>", body_text(one, "updated_at")},
        {"<version>", body_text(one, "version")},
        {"<app>", app},
        {"<space>", space_guid},
        {"<base>", "http://api.test/v3"},
        {"<more>", more},
    };
    struct strbuf out = {0};
    for (const char *p = expected; *p;) {
        size_t i = 0;
        while (i < ARRAY_SIZE(words) && !str_starts(p, words[i].word))
            i++;
        if (i < ARRAY_SIZE(words)) {
            strbuf_puts(&out, words[i].text);
            p += strlen(words[i].word);
        } else {
            strbuf_putc(&out, (char)(*p == '\'' ? '"' : *p));
            p++;
        }
    }
    return strbuf_take(&out);
}

/* The only resource of the list at `list`, and the answer of `alone`: the same text. */
static void shown(const char *list, const char *alone, const char *expected, const char *more) {
    struct answer a = want(200, "GET", list, NULL);
    const char *text = strstr(a.text, "\"resources\":[");
    _cleanup_(freep) char *wanted = filled(expected, first(&a), more),
                          *in_list = str_printf("\"resources\":[%s]}", wanted);
    ck_assert_str_eq(text, in_list);
    answer_fini(&a);
    if (!alone)
        return;
    a = want(200, "GET", alone, NULL);
    ck_assert_str_eq(a.text, wanted);
    answer_fini(&a);
}

START_TEST(every_field_of_an_app) {
    char url[100];
    make_app();
    snprintf(url, sizeof url, "/v3/apps/%s", app);
    shown(
        "/v3/apps", url,
        "{'guid':'<guid>','created_at':'<created>','updated_at':'<updated>','name':'\u00e9 \\\\ b',"
        "'state':'STOPPED','lifecycle':{'type':'docker','data':{}},'relationships':{'space':{"
        "'data':{'guid':'<space>'}},'current_droplet':{'data':null}},'metadata':{'labels':{"
        "'a.b/c':'d'},'annotations':{'note':'x \\u0001 \u00e9'}},'links':{"
        "'self':{'href':'<base>/apps/<app>'},"
        "'environment_variables':{'href':'<base>/apps/<app>/environment_variables'},"
        "'processes':{'href':'<base>/apps/<app>/processes'},"
        "'packages':{'href':'<base>/apps/<app>/packages'},"
        "'current_droplet':{'href':'<base>/apps/<app>/droplets/current'},"
        "'droplets':{'href':'<base>/apps/<app>/droplets'},"
        "'tasks':{'href':'<base>/apps/<app>/tasks'},"
        "'start':{'href':'<base>/apps/<app>/actions/start','method':'POST'},"
        "'stop':{'href':'<base>/apps/<app>/actions/stop','method':'POST'},"
        "'revisions':{'href':'<base>/apps/<app>/revisions'},"
        "'deployed_revisions':{'href':'<base>/apps/<app>/revisions/deployed'},"
        "'features':{'href':'<base>/apps/<app>/features'},"
        "'space':{'href':'<base>/spaces/<space>'}}}",
        NULL);
}
END_TEST

#define PROCESS_LINKS                                                                              \
    "'links':{'self':{'href':'<base>/processes/<guid>'},"                                          \
    "'scale':{'href':'<base>/processes/<guid>/actions/scale','method':'POST'},"                    \
    "'app':{'href':'<base>/apps/<app>'},'space':{'href':'<base>/spaces/<space>'},"                 \
    "'stats':{'href':'<base>/processes/<guid>/stats'},"                                            \
    "'process_instances':{'href':'<base>/processes/<guid>/process_instances'}}"
#define PROCESS                                                                                    \
    "{'guid':'<guid>','created_at':'<created>','updated_at':'<updated>','type':'web',"             \
    "'version':'<version>','command':null,'user':null,'instances':1,'memory_in_mb':1024,"          \
    "'disk_in_mb':1024,'log_rate_limit_in_bytes_per_second':-1,'health_check':{'type':'port',"     \
    "'data':{'invocation_timeout':null,'interval':null,'timeout':null}},"                          \
    "'readiness_health_check':{'type':'process','data':{'invocation_timeout':null,"                \
    "'interval':null}},'relationships':{'app':{'data':{'guid':'<app>'}},'revision':null},"         \
    "'metadata':{'labels':{},'annotations':{}}," PROCESS_LINKS

START_TEST(every_field_of_a_process) {
    char url[100];
    make_app();
    snprintf(url, sizeof url, "/v3/processes/%s", app);
    shown("/v3/processes", url, PROCESS "}", NULL);
    snprintf(url, sizeof url, "/v3/apps/%s/processes/web", app);
    struct answer a = want(200, "PATCH", url,
                           "{'command':'run \\u00e9','health_check':{'type':'http','data':{"
                           "'endpoint':'/\\u00e9\\\\','timeout':7,'interval':5}},"
                           "'readiness_health_check':{'type':'http','data':{'endpoint':'/r',"
                           "'invocation_timeout':9}},'metadata':{'labels':{'l':'v'}}}");
    ck_assert_str_eq(text_at(&a, "command"), "run \u00e9");
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/processes/web/actions/scale", app);
    a = want(202, "POST", url,
             "{'instances':2,'memory_in_mb':64,'disk_in_mb':128,"
             "'log_rate_limit_in_bytes_per_second':100}");
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/processes", app);
    shown(url, NULL,
          "{'guid':'<guid>','created_at':'<created>','updated_at':'<updated>','type':'web',"
          "'version':'<version>','command':'[PRIVATE DATA HIDDEN IN LISTS]','user':null,"
          "'instances':2,'memory_in_mb':64,'disk_in_mb':128,"
          "'log_rate_limit_in_bytes_per_second':100,'health_check':{'type':'http','data':{"
          "'invocation_timeout':null,'interval':5,'endpoint':'/\u00e9\\\\','timeout':7}},"
          "'readiness_health_check':{'type':'http','data':{'invocation_timeout':9,"
          "'interval':null,'endpoint':'/r'}},'relationships':{'app':{'data':{'guid':'<app>'}},"
          "'revision':null},'metadata':{'labels':{'l':'v'},'annotations':{}}," PROCESS_LINKS "}",
          NULL);
}
END_TEST

START_TEST(the_instances_of_a_process_beside_it) {
    char url[100];
    make_app();
    snprintf(url, sizeof url, "/v3/processes?app_guids=%s&embed=process_instances", app);
    shown(url, NULL, PROCESS ",'process_instances':[{'index':0,'state':'DOWN','since':0}]}", NULL);
    actuals[0] = (struct lrp_actual){.index = 0, .state = LRP_RUNNING, .since_ms = UINT64_MAX};
    actuals[1] = (struct lrp_actual){.index = 1, .state = LRP_RUNNING}; /* a surplus one */
    actual_count = 2;
    shown(url, NULL, PROCESS ",'process_instances':[{'index':0,'state':'RUNNING','since':0}]}",
          NULL);
}
END_TEST

static void domain_of_tests(char guid[GUID_SIZE]) {
    struct answer a = want(200, "GET", "/v3/domains", NULL);
    snprintf(guid, GUID_SIZE, "%s", body_text(first(&a), "guid"));
    answer_fini(&a);
}

static void make_route(const char *host, const char *more, char guid[GUID_SIZE]) {
    char body[500], domain[GUID_SIZE];
    domain_of_tests(domain);
    snprintf(body, sizeof body,
             "{'host':'%s','relationships':{'space':{'data':{'guid':'%s'}},'domain':{'data':{"
             "'guid':'%s'}}}%s}",
             host, space_guid, domain, more);
    struct answer a = want(201, "POST", "/v3/routes", body);
    snprintf(guid, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

/* The guid and times of a route's destination number i, in the form of the list. */
static char *destination(const char *route, size_t i, const char *process, int port) {
    char url[100];
    snprintf(url, sizeof url, "/v3/routes/%s/destinations", route);
    struct answer a = want(200, "GET", url, NULL);
    const json_t *one = json_array_get(json_object_get(a.json, "destinations"), i);
    char *text =
        str_printf("{\"guid\":\"%s\",\"app\":{\"guid\":\"%s\",\"process\":{\"type\":\"%s\"}"
                   "},\"weight\":null,\"port\":%d,\"protocol\":\"http1\",\"created_at\":"
                   "\"%s\",\"updated_at\":\"%s\"}",
                   body_text(one, "guid"), app, process, port, body_text(one, "created_at"),
                   body_text(one, "updated_at"));
    answer_fini(&a);
    return text;
}

#define ROUTE                                                                                      \
    "'metadata':{'labels':{},'annotations':{}},'relationships':{'space':{'data':{"                 \
    "'guid':'<space>'}},'domain':{'data':{'guid':'<more>'}},'shared_spaces':{'data':[]}},"         \
    "'links':{'self':{'href':'<base>/routes/<guid>'},"                                             \
    "'space':{'href':'<base>/spaces/<space>'},"                                                    \
    "'destinations':{'href':'<base>/routes/<guid>/destinations'},"                                 \
    "'domain':{'href':'<base>/domains/<more>'}}}"

START_TEST(every_field_of_a_route) {
    char guid[GUID_SIZE], other[GUID_SIZE], domain[GUID_SIZE], url[100];
    domain_of_tests(domain);
    make_route("h", "", guid);
    snprintf(url, sizeof url, "/v3/routes/%s", guid);
    shown("/v3/routes?hosts=h", url,
          "{'guid':'<guid>','created_at':'<created>','updated_at':'<updated>','protocol':'http',"
          "'host':'h','path':'','port':null,'url':'h.apps.test','destinations':[],'options':{}"
          "," ROUTE,
          domain);
    make_route("i", ",'path':'/p','options':{'loadbalancing':'round-robin'}", other);
    snprintf(url, sizeof url, "/v3/routes/%s", other);
    shown("/v3/routes?hosts=i", url,
          "{'guid':'<guid>','created_at':'<created>','updated_at':'<updated>','protocol':'http',"
          "'host':'i','path':'/p','port':null,'url':'i.apps.test/p','destinations':[],"
          "'options':{'loadbalancing':'round-robin'}," ROUTE,
          domain);
}
END_TEST

/* Whatever the order of routes is, each has its own. */
START_TEST(the_destinations_of_a_page_of_routes) {
    char guids[6][GUID_SIZE], host[8], url[100], body[300];
    make_app();
    for (size_t i = 0; i < ARRAY_SIZE(guids); i++) {
        snprintf(host, sizeof host, "h%zu", i);
        make_route(host, "", guids[i]);
        snprintf(url, sizeof url, "/v3/routes/%s/destinations", guids[i]);
        snprintf(body, sizeof body,
                 "{'destinations':[{'app':{'guid':'%s','process':{'type':'web'}}},{'app':{'guid':"
                 "'%s','process':{'type':'w\\\\'}},'port':%zu}]}",
                 app, app, 9000 + i);
        if (i % 2 == 0)
            answer_fini(&(struct answer[]){want(200, "POST", url, body)}[0]);
    }
    struct answer a = want(200, "GET", "/v3/routes?order_by=-created_at", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(guids); i++) {
        snprintf(host, sizeof host, "h%zu", i);
        _cleanup_(
            freep) char *one = destination(guids[i], 0, "web", 8080),
                        *two = destination(guids[i], 1, "w\\\\", 9000 + (int)i),
                        *wanted =
                            i % 2
                                ? str_printf("\"url\":\"%s.apps.test\",\"destinations\":[],", host)
                                : str_printf("\"url\":\"%s.apps.test\",\"destinations\":[%s,%s],",
                                             host, one, two);
        ck_assert_msg(strstr(a.text, wanted) != NULL, "no %s in %s", wanted, a.text);
    }
    answer_fini(&a);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {every_field_of_an_app, every_field_of_a_process,
                                  the_instances_of_a_process_beside_it, every_field_of_a_route,
                                  the_destinations_of_a_page_of_routes};
    Suite *suite = suite_create("api/shown");
    TCase *tcase = tcase_create("shown");
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
