/* v2_words.c - see v2_words.h. */
#include "tests/unit/api/v2_words.h"

struct answer wantf(int status, const char *method, const char *body, const char *fmt, ...) {
    char url[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(url, sizeof url, fmt, ap);
    va_end(ap);
    return want(status, method, url, body);
}

void drop(struct answer a) {
    answer_fini(&a);
}

json_t *resource(const struct answer *a, size_t i) {
    json_t *one = json_array_get(json_object_get(a->json, "resources"), i);
    ck_assert_msg(one != NULL, "%s", a->text);
    return one;
}

const char *text(const json_t *at, const char *path) {
    const char *t = body_text(at, path);
    return t ? t : "";
}

int64_t number(const json_t *at, const char *path) {
    int64_t n = -999;
    body_int(at, path, &n);
    return n;
}

void refused(struct answer a, int code, const char *error_code, const char *description) {
    ck_assert_msg(number(a.json, "code") == code, "%s", a.text);
    ck_assert_str_eq(text_at(&a, "error_code"), error_code);
    if (description)
        ck_assert_str_eq(text_at(&a, "description"), description);
    ck_assert_ptr_null(json_object_get(a.json, "errors"));
    answer_fini(&a);
}

void shared_domain(char guid[GUID_SIZE]) {
    struct answer a = want(200, "GET", "/v2/shared_domains", NULL);
    ck_assert_int_eq(number(a.json, "total_results"), 1);
    ck_assert_str_eq(text(resource(&a, 0), "entity.name"), "apps.test");
    ck_assert(body_null(resource(&a, 0), "entity.router_group_type"));
    snprintf(guid, GUID_SIZE, "%s", text(resource(&a, 0), "metadata.guid"));
    answer_fini(&a);
}

void create(const char *name, char app[GUID_SIZE], char route[GUID_SIZE]) {
    char body[600], domain[GUID_SIZE];
    shared_domain(domain);
    snprintf(body, sizeof body,
             "{'name':'%s','space_guid':'%s','docker_image':'alpine:3','memory':64,"
             "'disk_quota':128,'instances':2,'command':'run me','health_check_type':'http',"
             "'health_check_http_endpoint':'/up','health_check_timeout':90,"
             "'environment_json':{'A':'b'},'docker_credentials':{'username':'u','password':'p'},"
             "'diego':true,'state':'STOPPED'}",
             name, space_guid);
    struct answer a = want(201, "POST", "/v2/apps", body);
    snprintf(app, GUID_SIZE, "%s", text_at(&a, "metadata.guid"));
    answer_fini(&a);
    snprintf(body, sizeof body, "{'host':'%s','port':null,'domain_guid':'%s','space_guid':'%s'}",
             name, domain, space_guid);
    a = want(201, "POST", "/v2/routes", body);
    snprintf(route, GUID_SIZE, "%s", text_at(&a, "metadata.guid"));
    answer_fini(&a);
    drop(wantf(201, "PUT", NULL, "/v2/routes/%s/apps/%s", route, app));
}

struct answer set_state(const char *app, const char *state) {
    char body[60];
    snprintf(body, sizeof body, "{'state':'%s'}", state);
    return wantf(201, "PUT", body, "/v2/apps/%s?async=true&inline-relations-depth=1", app);
}

void running(size_t n) {
    for (size_t i = 0; i < n; i++)
        actuals[i] = (struct lrp_actual){.index = (uint32_t)i,
                                         .state = LRP_RUNNING,
                                         .since_ms = 1,
                                         .address = "10.0.0.1",
                                         .cpu = 0.25,
                                         .memory_bytes = 1000,
                                         .disk_bytes = 2000};
    actual_count = n;
}

static void setup(void) {
    harness_up(true);
}

static void setup_off(void) {
    harness_up(false);
}

static TCase *case_of(const char *name, void (*up)(void), const TTest *const *tests) {
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, up, harness_down);
    for (; *tests; tests++)
        tcase_add_test(tcase, *tests);
    return tcase;
}

int run_v2_tests(const char *name, const TTest *const *on, const TTest *const *off) {
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, case_of("docker on", setup, on));
    if (off)
        suite_add_tcase(suite, case_of("docker off", setup_off, off));
    return run_suite(suite);
}
