/* input_test.c - what no CLI sends: malformed, hostile and merely wrong requests to every endpoint.
 */
#include "tests/unit/api/harness.h"

#include <fcntl.h>

#include "common/base/fs.h"
#include "controller/api/yaml_read.h"
#include "controller/api/yaml_write.h"

static void setup(void) {
    harness_up(true);
}

static void setup_off(void) {
    harness_up(false);
}

/* The endpoint's path with `value` for each parameter. */
static char *fill(const char *path, const char *value) {
    struct strbuf url = {0};
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, ":");
        strbuf_add(&url, p, n);
        p += n;
        if (*p == ':') {
            strbuf_puts(&url, value);
            p += strcspn(p, "/");
        }
    }
    return strbuf_take(&url);
}

/* v3's list of errors, or v2's one. */
static bool is_envelope(const struct answer *a) {
    if (json_is_string(json_object_get(a->json, "error_code")))
        return json_is_integer(json_object_get(a->json, "code")) &&
               json_is_string(json_object_get(a->json, "description"));
    const json_t *list = json_object_get(a->json, "errors"), *one = json_array_get(list, 0);
    return json_is_integer(json_object_get(one, "code")) &&
           json_is_string(json_object_get(one, "title")) &&
           json_is_string(json_object_get(one, "detail"));
}

/* UAA's errors have another form. */
static bool is_uaa(const struct endpoint *e) {
    return e->uaa || str_starts(e->path, "/oauth/token");
}

static const char deep[] =
    "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}";
static const struct {
    const char *body;
    size_t n;
} bodies[] = {
    {"", 0},
    {"{", 0},
    {"[]", 0},
    {"null", 0},
    {"\"x\"", 0},
    {"{\"a\":1}", 0},
    {"{\"name\":1}", 0},
    {"{\"name\":\"a\\u0000b\"}", 0},
    {"{\"name\":\"\xff\"}", 0},
    {"{\"name\":\"x\"}\0", 14},
    {"{\"name\":null,\"relationships\":null,\"enabled\":null,\"data\":null,\"var\":null}", 0},
    {"{\"name\":{},\"relationships\":[],\"enabled\":\"x\",\"data\":1,\"var\":1,\"destinations\":1}",
     0},
    {"{\"name\":\"x\",\"name\":\"y\"}", 0},
    {"{\"relationships\":{\"space\":{\"data\":{\"guid\":5}},\"app\":{\"data\":[]}},\"type\":7}", 0},
    {"{\"metadata\":{\"labels\":{\"a b\":\"c\"},\"annotations\":[]}}", 0},
    {"{\"destinations\":[1,{\"app\":null},{\"app\":{\"guid\":\"x\"},\"port\":99999}]}", 0},
    {"{\"instances\":1e999,\"memory_in_mb\":1.5,\"disk_in_mb\":99999999999999999999}", 0},
    {deep, 0},
};

START_TEST(no_body_breaks_an_endpoint) {
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *e = &endpoints[i];
        char *url = fill(e->path, "nope");
        for (size_t j = 0; j < ARRAY_SIZE(bodies); j++) {
            struct answer a = ask_full(&(struct question){.method = e->method,
                                                          .url = url,
                                                          .authorization = token,
                                                          .body = bodies[j].body,
                                                          .body_n = bodies[j].n});
            ck_assert_msg(a.status < 500, "%s %s %s: %d %s", e->method, url, bodies[j].body,
                          a.status, a.text);
            ck_assert_msg(a.status < 400 || is_uaa(e) || is_envelope(&a), "%s %s: %d %s", e->method,
                          url, a.status, a.text);
            if (e->body == BODY_JSON && !strstr(e->path, ":"))
                ck_assert_msg(a.status == 400 || a.status == 422 || a.status == 404,
                              "%s %s %s: %d %s", e->method, url, bodies[j].body, a.status, a.text);
            answer_fini(&a);
        }
        free(url);
    }
}
END_TEST

START_TEST(no_path_or_query_breaks_an_endpoint) {
    static const char *const values[] = {
        "%00", "%2e%2e%2f",           "..", "%ff", "'%20OR%201=1--", "%", "a%2fb",
        "-1",  "99999999999999999999"};
    static const char *const queries[] = {
        "page=0",
        "page=-1",
        "page=99999999999999999999",
        "per_page=5001",
        "per_page=x",
        "order_by=guid;drop",
        "names=%ff",
        "names=%2525,%252C",
        "names=&names=",
        "guids=,,,,",
        "&&&=&=x&",
        "foo=bar",
        "a=1&b=2&c=3&d=4&e=5&f=6&g=7&h=8&i=9&j=1&k=1&l=1&m=1&n=1&o=1"
        "&p=1&q=1&r=1&s=1&t=1&u=1&v=1&w=1&x=1&y=1&z=1&aa=1&bb=1&cc=1"
        "&dd=1&ee=1&ff=1&gg=1",
        "start_time=x",
        "limit=-5",
        "include=space,space.organization,nope"};
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *e = &endpoints[i];
        for (size_t j = 0; j < ARRAY_SIZE(values); j++) {
            char *url = fill(e->path, values[j]);
            struct answer a = ask(e->method, url, NULL);
            ck_assert_msg(a.status < 500, "%s %s: %d %s", e->method, url, a.status, a.text);
            answer_fini(&a);
            free(url);
        }
        for (size_t j = 0; str_eq(e->method, "GET") && j < ARRAY_SIZE(queries); j++) {
            char *path = fill(e->path, space_guid), *url = str_printf("%s?%s", path, queries[j]);
            struct answer a = ask("GET", url, NULL);
            ck_assert_msg(a.status < 500, "%s: %d %s", url, a.status, a.text);
            answer_fini(&a);
            free(path);
            free(url);
        }
    }
}
END_TEST

START_TEST(unknown_paths_and_methods_are_cloud_controllers_404_and_405) {
    struct answer a = want(404, "GET", "/v3/nope", NULL);
    ck_assert_int_eq(code_of(&a), 10000);
    ck_assert_str_eq(detail_of(&a), "Unknown request");
    answer_fini(&a);
    a = want(405, "PUT", "/v3/apps", NULL);
    ck_assert_int_eq(code_of(&a), 10000);
    answer_fini(&a);
    a = want(405, "OTHER", "/", NULL);
    answer_fini(&a);
    a = want(400, "GET", "/v3/apps?nope=1", NULL);
    ck_assert_int_eq(code_of(&a), 10005);
    answer_fini(&a);
    a = want(200, "GET", "/v3//apps/", NULL);
    answer_fini(&a);
}
END_TEST

START_TEST(a_body_that_is_too_large_is_refused) {
    size_t n = CALL_BODY_MAX + 1;
    char *body = malloc(n + 1);
    memset(body, ' ', n);
    body[n] = '\0';
    struct answer a = ask_full(&(struct question){
        .method = "POST", .url = "/v3/apps", .authorization = token, .body = body, .body_n = n});
    ck_assert_int_eq(a.status, 413);
    answer_fini(&a);
    free(body);
}
END_TEST

static struct answer apply(const char *yaml) {
    char url[200];
    snprintf(url, sizeof url, "/v3/spaces/%s/actions/apply_manifest", space_guid);
    return ask_full(
        &(struct question){.method = "POST", .url = url, .authorization = token, .body = yaml});
}

START_TEST(bad_manifests_say_what_is_wrong_and_change_nothing) {
    static const struct {
        const char *yaml;
        int status;
        const char *detail;
    } cases[] = {
        {"", 400, NULL},
        {"a: [", 400, NULL},
        {"a: &x 1\nb: *x\n", 400, NULL},
        {"--- 1\n--- 2\n", 400, NULL},
        {"a: 1\na: 2\n", 400, NULL},
        {"x: 1", 422, "Cannot parse manifest with no 'applications' field."},
        {"applications: []", 422, "Cannot parse manifest with no 'applications' field."},
        {"version: 2\napplications: [{name: a}]", 422,
         "Unsupported manifest schema version. Currently supported versions: [1]."},
        {"applications: [1]", 422, "For application at index 0: An application must be a mapping"},
        {"applications: [{docker: {image: a}}]", 422,
         "For application at index 0: Name must not be empty, and a string of at most 255 "
         "characters"},
        {"applications: [{name: a, docker: {image: i}, memory: 64}]", 422,
         "For application 'a': Memory must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB"},
        {"applications: [{name: a, docker: {image: i}, memory: 0M}]", 422,
         "For application 'a': Memory must be greater than 0MB"},
        {"applications: [{name: a, docker: {image: i}, instances: -1}]", 422,
         "For application 'a': Instances must be between 0 and 10000"},
        {"applications: [{name: a, docker: {image: i}, health-check-type: x}]", 422,
         "For application 'a': Health check type must be \"port\", \"process\", or \"http\""},
        {"applications: [{name: a, docker: {image: i}, env: {PORT: 1}}]", 422,
         "For application 'a': Environment variables cannot set PORT"},
        {"applications: [{name: a, docker: {image: i}, buildpacks: [x]}]", 422,
         "For application 'a': Buildpacks cannot be configured for a docker lifecycle app."},
        {"applications: [{name: a, docker: {image: i}, routes: [{route: a.nope.test}]}]", 422,
         "For application 'a': The route 'a.nope.test' does not match any existing domain"},
        {"applications: [{name: a, docker: {image: i}, routes: [{route: r.apps.test, options: "
         "x}]}]",
         422, "For application 'a': Route 'r.apps.test': options must be an object"},
        {"applications: [{name: a, docker: {image: i}, routes: [{route: r.apps.test, options: {x: "
         "1}}]}]",
         422,
         "For application 'a': Route 'r.apps.test' contains invalid route option 'x'. Valid keys: "
         "'loadbalancing'"},
        {"applications: [{name: a, docker: {image: i}, routes: [{route: r.apps.test, options: "
         "{loadbalancing: 1}}]}]",
         422,
         "For application 'a': Invalid value for 'loadbalancing' for Route 'r.apps.test'; Valid "
         "values are: 'round-robin, least-connection'"},
        {"applications: [{name: a, docker: {image: i}, routes: [{route: r.apps.test, options: "
         "{loadbalancing: hash}}]}]",
         422,
         "For application 'a': Cannot use loadbalancing value 'hash' for Route 'r.apps.test'; "
         "Valid values are: 'round-robin, least-connection'"},
        {"applications: [{name: a, docker: {image: i}, processes: [{instances: 1}]}]", 422,
         "For application 'a': All Processes must specify a type"},
        {"applications: [{name: a, docker: {image: i}, processes: [{type: web}, {type: web}]}]",
         422, "For application 'a': Process \"web\" may only be present once"},
        {"applications: [{name: a, docker: {image: i}}, {name: a, docker: {image: i}}]", 422,
         "Manifest: the application 'a' stands there twice"},
        {"applications: [{name: a}]", 422,
         "For application 'a': This platform runs Docker images: a new application needs one"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct answer a = apply(cases[i].yaml);
        ck_assert_msg(a.status == cases[i].status, "%s: %d %s", cases[i].yaml, a.status, a.text);
        if (cases[i].detail)
            ck_assert_str_eq(detail_of(&a), cases[i].detail);
        answer_fini(&a);
    }
    struct answer a = want(200, "GET", "/v3/apps", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 0);
    answer_fini(&a);
}
END_TEST

START_TEST(routes_of_a_manifest) {
    struct answer a = apply("applications:\n"
                            "- name: My App\n"
                            "  docker: {image: i}\n"
                            "  random-route: true\n"
                            "- name: b\n"
                            "  docker: {image: i}\n"
                            "  default-route: true\n"
                            "  routes:\n"
                            "  - route: https://X.apps.test/p/\n"
                            "  - route: y.apps.test\n"
                            "  processes:\n"
                            "  - type: web\n"
                            "    memory: 1G\n"
                            "  - type: worker\n"
                            "    command: sleep 1\n"
                            "    instances: 2\n");
    ck_assert_msg(a.status == 202, "%d %s", a.status, a.text);
    answer_fini(&a);
    a = want(200, "GET", "/v3/routes?order_by=created_at", NULL);
    json_t *list = json_object_get(a.json, "resources");
    ck_assert_uint_eq(json_array_size(list), 3);
    ck_assert(str_starts(body_text(json_array_get(list, 0), "host"), "my-app-"));
    ck_assert_str_eq(body_text(json_array_get(list, 1), "url"), "x.apps.test/p/");
    ck_assert_str_eq(body_text(json_array_get(list, 2), "url"), "y.apps.test");
    answer_fini(&a);
    a = want(200, "GET", "/v3/processes?types=worker", NULL);
    list = json_object_get(a.json, "resources");
    ck_assert_int_eq(json_integer_value(body_at(json_array_get(list, 0), "instances")), 2);
    answer_fini(&a);
    a = apply("applications: [{name: b, no-route: true}]");
    ck_assert_int_eq(a.status, 202);
    answer_fini(&a);
    a = want(200, "GET", "/v3/routes?hosts=y", NULL); /* the route stays, unmapped */
    list = json_object_get(a.json, "resources");
    ck_assert_uint_eq(json_array_size(body_at(json_array_get(list, 0), "destinations")), 0);
    answer_fini(&a);
}
END_TEST

static void apply_option(const char *options) {
    char yaml[300];
    snprintf(yaml, sizeof yaml,
             "applications:\n- name: b\n  docker: {image: i}\n  routes:\n"
             "  - route: r.apps.test\n%s",
             options);
    struct answer a = apply(yaml);
    ck_assert_msg(a.status == 202, "%d %s", a.status, a.text);
    answer_fini(&a);
}

static void check_option(const char *want_value, size_t changes) {
    struct answer a = want(200, "GET", "/v3/routes?hosts=r", NULL);
    const json_t *route = json_array_get(json_object_get(a.json, "resources"), 0);
    ck_assert_str_eq(body_text(route, "options.loadbalancing"), want_value);
    answer_fini(&a);
    a = want(200, "GET", "/v3/audit_events?types=audit.route.update", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), changes);
    answer_fini(&a);
}

START_TEST(options_of_a_route_in_a_manifest) {
    static const char other[] = "applications:\n- name: b\n  routes:\n  - route: r.apps.test\n"
                                "    options: {loadbalancing: least-connection}\n";
    char url[200];
    apply_option("    options: {loadbalancing: round-robin}\n");
    check_option("round-robin", 0);
    apply_option("    options: {loadbalancing: least-connection}\n");
    check_option("least-connection", 1);
    apply_option("    options: {loadbalancing: least-connection}\n"); /* changes nothing */
    apply_option("    options: {}\n");
    apply_option("");
    check_option("least-connection", 1);
    snprintf(url, sizeof url, "/v3/spaces/%s/manifest_diff", space_guid);
    struct question q = {"POST", url, token, "application/x-yaml", other, 0};
    struct answer a = ask_full(&q);
    ck_assert_msg(a.status == 201, "%d %s", a.status, a.text);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "diff")), 0);
    answer_fini(&a);
    apply_option("    options: {loadbalancing: round-robin}\n");
    a = ask_full(&q);
    const json_t *one = json_array_get(json_object_get(a.json, "diff"), 0);
    ck_assert_str_eq(body_text(one, "op"), "replace");
    ck_assert_str_eq(body_text(one, "path"), "/applications/0/routes/0/options/loadbalancing");
    answer_fini(&a);
    a = want(200, "GET", "/v3/apps?names=b", NULL);
    snprintf(url, sizeof url, "/v3/apps/%s/manifest",
             body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    ck_assert_ptr_nonnull(strstr(a.text, "loadbalancing: round-robin"));
    answer_fini(&a);
}
END_TEST

START_TEST(while_docker_is_off_it_is_refused_as_by_the_real_one) {
    char body[300], url[200], app[GUID_SIZE];
    struct answer a = apply("applications: [{name: a, docker: {image: i}}]");
    ck_assert_int_eq(a.status, 422);
    ck_assert_int_eq(code_of(&a), 10008);
    ck_assert_str_eq(detail_of(&a), "For application 'a': Feature Disabled: diego_docker");
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'name':'x','lifecycle':{'type':'docker','data':{}},"
             "'relationships':{'space':{'data':{'guid':'%s'}}}}",
             space_guid);
    a = want(403, "POST", "/v3/apps", body);
    ck_assert_int_eq(code_of(&a), 330002);
    ck_assert_str_eq(detail_of(&a), "Feature Disabled: diego_docker");
    answer_fini(&a);

    a = want(200, "PATCH", "/v3/feature_flags/diego_docker", "{'enabled':true}");
    ck_assert_uint_eq(desired_all_count, 1);
    answer_fini(&a);
    a = want(201, "POST", "/v3/apps", body);
    snprintf(app, sizeof app, "%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(200, "PATCH", "/v3/feature_flags/diego_docker",
             "{'enabled':false,'custom_error_message':'ask ops'}");
    ck_assert_uint_eq(desired_all_count, 2);
    answer_fini(&a);
    snprintf(
        body, sizeof body,
        "{'type':'docker','relationships':{'app':{'data':{'guid':'%s'}}},'data':{'image':'i'}}",
        app);
    a = want(201, "POST", "/v3/packages", body); /* no check here, as the real one */
    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(403, "POST", "/v3/builds", body);
    ck_assert_str_eq(detail_of(&a), "Feature Disabled: ask ops");
    answer_fini(&a);
    ck_assert_uint_eq(staged_count, 0);
    struct app_row row = {0};
    struct droplet_row droplet = {.state = str_dup("STAGED")};
    memcpy(droplet.app_guid, app, GUID_SIZE);
    OK(store_droplet_insert(store, &droplet, &err));
    OK(store_app_get(store, app, &row, &err));
    memcpy(row.droplet_guid, droplet.guid, GUID_SIZE);
    OK(store_app_update(store, &row, &err));
    app_row_fini(&row);
    droplet_row_fini(&droplet);
    static const char *const actions[] = {"start", "restart"};
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        snprintf(url, sizeof url, "/v3/apps/%s/actions/%s", app, actions[i]);
        a = want(403, "POST", url, NULL);
        ck_assert_int_eq(code_of(&a), 330002);
        answer_fini(&a);
    }
    a = want(404, "GET", "/v3/feature_flags/nope", NULL);
    ck_assert_str_eq(detail_of(&a), "Feature flag not found");
    answer_fini(&a);
}
END_TEST

START_TEST(staging_that_cannot_begin_fails_the_build) {
    char body[300], url[200];
    struct answer a = apply("applications: [{name: a, docker: {image: i}}]");
    answer_fini(&a);
    a = want(200, "GET", "/v3/apps?names=a", NULL);
    json_t *app = json_array_get(json_object_get(a.json, "resources"), 0);
    snprintf(
        body, sizeof body,
        "{'type':'docker','relationships':{'app':{'data':{'guid':'%s'}}},'data':{'image':'i'}}",
        body_text(app, "guid"));
    snprintf(url, sizeof url, "/v3/apps/%s/actions/start", body_text(app, "guid"));
    answer_fini(&a);
    a = want(422, "POST", url, NULL);
    ck_assert_str_eq(detail_of(&a), "Assign a droplet before starting this app.");
    answer_fini(&a);
    a = want(201, "POST", "/v3/packages", body);
    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", text_at(&a, "guid"));
    answer_fini(&a);
    staging_refuses = true;
    a = want(201, "POST", "/v3/builds", body);
    snprintf(url, sizeof url, "/v3/builds/%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "state"), "FAILED");
    ck_assert_str_eq(text_at(&a, "error"), "StagingError - Staging error: not today");
    answer_fini(&a);
    staging_refuses = false;
    stage_at_once = false;
    a = want(201, "POST", "/v3/builds", body);
    snprintf(url, sizeof url, "/v3/builds/%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(422, "POST", "/v3/builds", body); /* one at a time */
    ck_assert_int_eq(code_of(&a), 170017);
    answer_fini(&a);
}
END_TEST

static void on_end(struct call *held, void *arg) {
    ck_assert_int_eq(held->status, 503);
}

START_TEST(a_held_call_is_answered_when_the_api_ends) {
    char body[300], url[200];
    struct answer a = apply("applications: [{name: a, docker: {image: i}}]");
    answer_fini(&a);
    a = want(200, "GET", "/v3/apps?names=a", NULL);
    json_t *app = json_array_get(json_object_get(a.json, "resources"), 0);
    snprintf(
        body, sizeof body,
        "{'type':'docker','relationships':{'app':{'data':{'guid':'%s'}}},'data':{'image':'i'}}",
        body_text(app, "guid"));
    answer_fini(&a);
    a = want(201, "POST", "/v3/packages", body);
    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", text_at(&a, "guid"));
    answer_fini(&a);
    stage_at_once = false;
    a = want(201, "POST", "/v3/builds", body);
    snprintf(url, sizeof url, "/v3/builds/%s", text_at(&a, "guid"));
    answer_fini(&a);
    ck_assert_ptr_null(api->open);
    struct call *c = call_new(api, "GET", url, NULL, NULL, NULL);
    c->send = on_end;
    c->authorization = str_dup(token);
    api_dispatch(api, c);
    ck_assert_uint_eq(api->held, 1);
    ck_assert_ptr_eq(api->open, c);
}
END_TEST

START_TEST(filters_are_decoded_as_the_clis_encode_them) {
    static const char *const names[] = {"a,b", "100%", "sp ace", "pl+us", "\xc3\xa4", "x"};
    static const struct {
        const char *query, *found;
    } cases[] = {
        {"names=a%252Cb", "a,b"},     {"names=100%2525", "100%"},
        {"names=100%25", "100%"},     {"names=sp%2520ace", "sp ace"},
        {"names=sp%20ace", "sp ace"}, {"names=sp+ace", "sp ace"},
        {"names=pl%252Bus", "pl+us"}, {"names=%25C3%25A4", "\xc3\xa4"},
        {"names=x%2Cnope", "x"},      {"names=x,nope&page=1", "x"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char body[300];
        snprintf(body, sizeof body,
                 "{'name':'%s','relationships':{'space':{'data':{'guid':'%s'}}}}", names[i],
                 space_guid);
        struct answer a = want(201, "POST", "/v3/apps", body);
        answer_fini(&a);
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char url[200];
        snprintf(url, sizeof url, "/v3/apps?%s", cases[i].query);
        struct answer a = want(200, "GET", url, NULL);
        json_t *list = json_object_get(a.json, "resources");
        ck_assert_msg(json_array_size(list) == 1, "%s: %s", url, a.text);
        ck_assert_str_eq(body_text(json_array_get(list, 0), "name"), cases[i].found);
        answer_fini(&a);
    }
    struct answer a = want(200, "GET", "/v3/apps?order_by=-name&per_page=2&page=2", NULL);
    ck_assert_str_eq(text_at(&a, "pagination.next.href"),
                     "http://api.test/v3/apps?order_by=-name&page=3&per_page=2");
    ck_assert_str_eq(text_at(&a, "pagination.previous.href"),
                     "http://api.test/v3/apps?order_by=-name&page=1&per_page=2");
    ck_assert_int_eq(json_integer_value(body_at(a.json, "pagination.total_pages")), 3);
    answer_fini(&a);
    a = want(
        400, "GET",
        "/v3/apps?names=a&names=a&names=a&names=a&names=a&names=a&names=a&names=a&names=a&names=a&"
        "names=a",
        NULL);
    answer_fini(&a);
}
END_TEST

START_TEST(yaml_reads_back_what_it_wrote) {
    static const char *const trees[] = {
        "{\"a\":[1,-5,0,true,false,null,\"x\"],\"b\":{\"c\":\"true\",\"d\":\"null\",\"e\":\"12\"}}",
        "{\"a\":\"0755\",\"b\":\"1.5\",\"c\":\"\",\"d\":\"~\",\"e\":\"yes\",\"f\":\"a: "
        "b\",\"g\":\"- x\"}",
        "{\"a\":\"line\\nbreak\\n\",\"b\":\" "
        "lead\",\"c\":\"\\u00e4\\u20ac\",\"d\":\"#x\",\"e\":\"'\\\"\"}",
        "{\"a\":[],\"b\":{},\"c\":[{\"d\":[[\"e\"]]}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        json_t *tree = json_loads(trees[i], 0, NULL), *again = NULL;
        char *text = yaml_write(tree);
        ck_assert_ptr_nonnull(text);
        ck_assert_msg(yaml_parse(text, strlen(text), &again, &err) == 0, "%s: %s", text, err.msg);
        ck_assert_msg(json_equal(tree, again), "%s", text);
        json_decref(tree);
        json_decref(again);
        free(text);
    }
}
END_TEST

START_TEST(the_readme_lists_every_endpoint) {
    static const char *const access[] = {"public",  "user",  "read",   "secrets",
                                         "operate", "write", "manage", "admin"};
    char *readme = NULL;
    size_t listed = 0;
    OK(fs_read(AT_FDCWD, API_README, 1 << 20, &readme, NULL, &err));
    for (const char *p = strstr(readme, "## Endpoints"); p && (p = strstr(p, "\n    ")); p++)
        listed++;
    ck_assert_uint_eq(listed, endpoint_count);
    for (size_t i = 0; i < endpoint_count; i++) {
        char line[300];
        snprintf(line, sizeof line, "\n    %-7s%s  (%s)\n", endpoints[i].method, endpoints[i].path,
                 access[endpoints[i].access]);
        ck_assert_msg(strstr(readme, line) != NULL, "not in the README:%s", line);
    }
    free(readme);
}
END_TEST

int main(void) {
    const TTest *const on[] = {
        no_body_breaks_an_endpoint,
        no_path_or_query_breaks_an_endpoint,
        unknown_paths_and_methods_are_cloud_controllers_404_and_405,
        a_body_that_is_too_large_is_refused,
        bad_manifests_say_what_is_wrong_and_change_nothing,
        routes_of_a_manifest,
        options_of_a_route_in_a_manifest,
        staging_that_cannot_begin_fails_the_build,
        a_held_call_is_answered_when_the_api_ends,
        filters_are_decoded_as_the_clis_encode_them,
        yaml_reads_back_what_it_wrote,
        the_readme_lists_every_endpoint,
    };
    Suite *suite = suite_create("api/input");
    TCase *docker = tcase_create("docker on"), *off = tcase_create("docker off");
    tcase_set_timeout(docker, 60);
    tcase_add_checked_fixture(docker, setup, harness_down);
    tcase_add_checked_fixture(off, setup_off, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(on); i++)
        tcase_add_test(docker, on[i]);
    tcase_add_test(off, while_docker_is_off_it_is_refused_as_by_the_real_one);
    suite_add_tcase(suite, docker);
    suite_add_tcase(suite, off);
    return run_suite(suite);
}
