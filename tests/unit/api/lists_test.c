/* lists_test.c - what lists can be asked for: times, orders, related resources; and the endpoints
 * that the documentation of API v3 has beside those that the CLIs use. */
#include "tests/unit/api/harness.h"

#include "common/base/clock.h"

static void setup(void) {
    harness_up(true);
}

static void post(const char *url, char guid[GUID_SIZE], const char *body) {
    struct answer a = want(201, "POST", url, body);
    if (guid)
        snprintf(guid, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

static void make_app(const char *name, char guid[GUID_SIZE]) {
    char body[300];
    snprintf(body, sizeof body, "{'name':'%s','relationships':{'space':{'data':{'guid':'%s'}}}}",
             name, space_guid);
    post("/v3/apps", guid, body);
}

static void make_package(const char *app, char guid[GUID_SIZE]) {
    char body[300];
    snprintf(body, sizeof body,
             "{'type':'docker','data':{'image':'i/i','username':'u','password':'p'},"
             "'relationships':{'app':{'data':{'guid':'%s'}}}}",
             app);
    post("/v3/packages", guid, body);
}

/* How many of a list there are. */
static size_t count(const char *url) {
    struct answer a = want(200, "GET", url, NULL);
    size_t n = json_array_size(json_object_get(a.json, "resources"));
    answer_fini(&a);
    return n;
}

static void refused(const char *url, const char *detail) {
    struct answer a = want(400, "GET", url, NULL);
    ck_assert_int_eq(code_of(&a), 10005);
    ck_assert_msg(strstr(detail_of(&a), detail) != NULL, "%s: %s", url, detail_of(&a));
    answer_fini(&a);
}

static char *with_time(const char *format, int64_t offset_s) {
    char text[21];
    clock_format(clock_wall_ns() + (uint64_t)(offset_s * 1000000000), text);
    struct strbuf url = {0};
    for (const char *p = format; *p; p++)
        *p == '@' ? strbuf_puts(&url, text) : strbuf_putc(&url, *p);
    return strbuf_take(&url);
}

START_TEST(rows_are_found_by_when_they_were_made) {
    static const struct {
        const char *url;
        int64_t offset_s;
        size_t n;
    } cases[] = {
        {"/v3/apps?created_ats[lt]=@", 100, 1},
        {"/v3/apps?created_ats[lt]=@", -100, 0},
        {"/v3/apps?created_ats[lte]=@", 100, 1},
        {"/v3/apps?created_ats[gt]=@", -100, 1},
        {"/v3/apps?created_ats[gt]=@", 100, 0},
        {"/v3/apps?updated_ats[gte]=@", -100, 1},
        {"/v3/apps?created_ats=@", -100, 0},
        {"/v3/apps?created_ats=@,@,@", 100, 0},
        {"/v3/"
         "apps?created_ats[gt]=@&names=a1&label_selector=!x&created_ats[lt]=2250-01-01T00:00:00Z",
         -100, 1},
        {"/v3/spaces?created_ats[gt]=@", -100, 1},
    };
    make_app("a1", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *url = with_time(cases[i].url, cases[i].offset_s);
        ck_assert_msg(count(url) == cases[i].n, "%s: %zu", url, count(url));
        free(url);
    }
    /* to the second */
    struct answer a = want(200, "GET", "/v3/apps", NULL);
    const char *at =
        body_text(json_array_get(json_object_get(a.json, "resources"), 0), "created_at");
    static const struct {
        const char *format;
        size_t n;
    } exact[] = {{"", 1}, {"[gte]", 1}, {"[lte]", 1}, {"[gt]", 0}, {"[lt]", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(exact); i++) {
        char url[100];
        snprintf(url, sizeof url, "/v3/apps?created_ats%s=%s", exact[i].format, at);
        ck_assert_msg(count(url) == exact[i].n, "%s", url);
    }
    answer_fini(&a);
    refused("/v3/apps?created_ats=yesterday",
            "Created ats has an invalid timestamp format. Timestamps should be formatted as "
            "'YYYY-MM-DDThh:mm:ssZ'");
    refused("/v3/apps?created_ats[before]=2024-01-01T00:00:00Z",
            "Created ats Invalid relational operator: 'before'");
    refused("/v3/apps?updated_ats[lt]=2024-01-01T00:00:00Z,2024-01-01T00:00:00Z",
            "Updated ats only accepts one value when using a relational operator");
    refused("/v3/apps?created_ats[gt", "Unknown query parameter(s)");
}
END_TEST

START_TEST(a_list_has_the_orders_that_it_has) {
    static const char *const lists[] = {
        "apps",          "organizations",     "spaces",
        "feature_flags", "service_instances", "service_credential_bindings"};
    static const char *const nameless[] = {"processes",   "packages", "builds",
                                           "droplets",    "routes",   "domains",
                                           "deployments", "roles",    "audit_events"};
    char url[100];
    make_app("b", NULL);
    make_app("a", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        snprintf(url, sizeof url, "/v3/%s?order_by=-name", lists[i]);
        count(url);
    }
    for (size_t i = 0; i < ARRAY_SIZE(nameless); i++) {
        snprintf(url, sizeof url, "/v3/%s?order_by=name", nameless[i]);
        refused(url, "Order by can only be: 'created_at', 'updated_at'");
        snprintf(url, sizeof url, "/v3/%s?order_by=-updated_at", nameless[i]);
        count(url);
    }
    struct answer a = want(200, "GET", "/v3/apps?order_by=%2Bname", NULL);
    ck_assert_str_eq(body_text(json_array_get(json_object_get(a.json, "resources"), 0), "name"),
                     "a");
    answer_fini(&a);
    count("/v3/apps?order_by=state");
    refused("/v3/apps?order_by=guid", "'created_at', 'updated_at', 'name', 'state'");
    refused("/v3/apps?per_page=5001", "Per page must be between 1 and 5000");
    refused("/v3/apps?page=0", "Page must be a positive integer");
}
END_TEST

static size_t included(const char *url, const char *what) {
    struct answer a = want(200, "GET", url, NULL);
    size_t n = json_array_size(json_object_get(json_object_get(a.json, "included"), what));
    answer_fini(&a);
    return n;
}

START_TEST(related_resources_come_beside) {
    char app[GUID_SIZE], url[200];
    make_app("a", app);
    make_app("b", NULL);
    ck_assert_uint_eq(included("/v3/apps", "spaces"), 0);
    ck_assert_uint_eq(included("/v3/apps?include=space", "spaces"), 1);
    ck_assert_uint_eq(included("/v3/apps?include=space", "organizations"), 0);
    ck_assert_uint_eq(included("/v3/apps?include=space.organization", "organizations"), 1);
    ck_assert_uint_eq(included("/v3/apps?include=space,space.organization", "spaces"), 1);
    ck_assert_uint_eq(included("/v3/spaces?include=organization", "organizations"), 1);
    ck_assert_uint_eq(included("/v3/roles?include=user,space,organization", "users"), 0);
    snprintf(url, sizeof url, "/v3/apps/%s?include=space.organization", app);
    ck_assert_uint_eq(included(url, "spaces"), 1);
    ck_assert_uint_eq(included(url, "organizations"), 1);
    refused("/v3/apps?include=space,moon",
            "Invalid included resource: 'moon'. Valid included resources are: 'space', "
            "'space.organization', 'org'");
    refused("/v3/organizations?include=space", "Unknown query parameter(s): 'include'");
    refused("/v3/processes?embed=stats", "Invalid embed: 'stats'");

    struct answer a = want(200, "GET", "/v3/processes?embed=process_instances", NULL);
    const json_t *one = json_array_get(json_object_get(a.json, "resources"), 0);
    const json_t *instance = json_array_get(json_object_get(one, "process_instances"), 0);
    ck_assert_str_eq(body_text(instance, "state"), "DOWN");
    ck_assert(json_is_integer(json_object_get(instance, "index")));
    ck_assert(json_is_integer(json_object_get(instance, "since")));
    answer_fini(&a);
}
END_TEST

START_TEST(users_are_found_by_parts_of_names_and_by_place) {
    char dev[GUID_SIZE], none[GUID_SIZE], body[400], url[200];
    free(other_user("Developer-One", dev));
    free(other_user("nobody", none));
    ck_assert_uint_eq(count("/v3/users?partial_usernames=ELOPER,nope"), 1);
    ck_assert_uint_eq(count("/v3/users?partial_usernames=o"), 2);
    ck_assert_uint_eq(count("/v3/users?partial_usernames=%25"), 0);
    snprintf(body, sizeof body,
             "{'type':'organization_user','relationships':{'user':{'data':{'guid':'%s'}},"
             "'organization':{'data':{'guid':'%s'}}}}",
             dev, org_guid);
    post("/v3/roles", NULL, body);
    snprintf(url, sizeof url, "/v3/organizations/%s/users", org_guid);
    ck_assert_uint_eq(count(url), 1);
    snprintf(url, sizeof url, "/v3/spaces/%s/users", space_guid);
    ck_assert_uint_eq(count(url), 0);
    ck_assert_uint_eq(included("/v3/roles?include=user,organization", "organizations"), 1);

    snprintf(url, sizeof url, "/v3/users/%s", dev);
    struct answer a = want(200, "PATCH", url, "{'metadata':{'labels':{'team':'red'}}}");
    ck_assert_str_eq(text_at(&a, "metadata.labels.team"), "red");
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/users?label_selector=team=red"), 1);
}
END_TEST

START_TEST(events_of_all_but_some) {
    char app[GUID_SIZE], url[200];
    make_app("a", app);
    make_app("b", NULL);
    size_t all = count("/v3/audit_events?types=audit.app.create");
    snprintf(url, sizeof url, "/v3/audit_events?types=audit.app.create&target_guids[not]=%s", app);
    ck_assert_uint_eq(count(url), all - 1);
}
END_TEST

START_TEST(a_package_and_a_droplet_are_copied_to_another_app) {
    char a1[GUID_SIZE], a2[GUID_SIZE], package[GUID_SIZE], url[200], body[300];
    make_app("a", a1);
    make_app("b", a2);
    make_package(a1, package);
    snprintf(url, sizeof url, "/v3/packages?source_guid=%s", package);
    snprintf(body, sizeof body, "{'relationships':{'app':{'data':{'guid':'%s'}}}}", a2);
    struct answer a = want(201, "POST", url, body);
    ck_assert_str_eq(text_at(&a, "data.image"), "i/i");
    ck_assert(json_is_null(body_at(a.json, "data.username"))); /* not for other eyes */
    ck_assert_str_eq(text_at(&a, "relationships.app.data.guid"), a2);
    answer_fini(&a);
    a = want(422, "POST", "/v3/packages?source_guid=none", body);
    ck_assert_str_eq(detail_of(&a),
                     "Source package is invalid. Ensure it exists and you have access to it.");
    answer_fini(&a);
    snprintf(body, sizeof body, "{'relationships':{'app':{'data':{'guid':'%s'}}}}", a1);
    a = want(422, "POST", url, body);
    ck_assert_str_eq(detail_of(&a), "Source and destination app cannot be the same");
    answer_fini(&a);

    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", package);
    post("/v3/builds", NULL, body);
    a = want(200, "GET", "/v3/droplets", NULL);
    snprintf(url, sizeof url, "/v3/droplets?source_guid=%s",
             body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid"));
    answer_fini(&a);
    snprintf(body, sizeof body, "{'relationships':{'app':{'data':{'guid':'%s'}}}}", a2);
    a = want(201, "POST", url, body);
    ck_assert_str_eq(text_at(&a, "state"), "STAGED");
    ck_assert_str_eq(text_at(&a, "relationships.app.data.guid"), a2);
    answer_fini(&a);
    a = want(422, "POST", "/v3/droplets", body);
    answer_fini(&a);
}
END_TEST

START_TEST(labels_of_what_else_has_them) {
    char app[GUID_SIZE], package[GUID_SIZE], build[GUID_SIZE], body[300], url[200];
    make_app("a", app);
    make_package(app, package);
    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", package);
    post("/v3/builds", build, body);
    struct answer a = want(200, "GET", "/v3/droplets", NULL);
    char *urls[] = {
        str_printf("/v3/packages/%s", package), str_printf("/v3/builds/%s", build),
        str_printf("/v3/droplets/%s",
                   body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid"))};
    answer_fini(&a);
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        a = want(200, "PATCH", urls[i],
                 "{'metadata':{'labels':{'k':'v'},'annotations':{'n':'x'}}}");
        ck_assert_str_eq(text_at(&a, "metadata.labels.k"), "v");
        answer_fini(&a);
        a = want(200, "GET", urls[i], NULL);
        ck_assert_str_eq(text_at(&a, "metadata.annotations.n"), "x");
        answer_fini(&a);
        a = want(422, "PATCH", urls[i], "{'state':'x'}");
        answer_fini(&a);
        free(urls[i]);
    }
    snprintf(url, sizeof url, "/v3/packages/%s/upload", package);
    a = want(422, "POST", url, NULL);
    ck_assert_str_eq(detail_of(&a), "Package type must be bits.");
    answer_fini(&a);
}
END_TEST

START_TEST(usage_is_summed_up) {
    char app[GUID_SIZE], url[200];
    make_app("a", app);
    static const char *const places[] = {"/v3/info/usage_summary", NULL, NULL};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (i)
            snprintf(url, sizeof url, "/v3/%s/%s/usage_summary",
                     i == 1 ? "organizations" : "spaces", i == 1 ? org_guid : space_guid);
        struct answer a = want(200, "GET", i ? url : places[0], NULL);
        int64_t n = -1;
        ck_assert(body_int(a.json, "usage_summary.started_instances", &n));
        ck_assert_int_eq(n, 0); /* none is started */
        ck_assert(body_int(a.json, "usage_summary.memory_in_mb", &n));
        answer_fini(&a);
    }
}
END_TEST

START_TEST(what_there_is_none_of_is_not_found_or_refused_in_words) {
    static const struct {
        const char *method, *url, *detail;
        int status;
    } cases[] = {
        {"PATCH", "/v3/stacks/x", "Stack not found", 404},
        {"DELETE", "/v3/buildpacks/x", "Buildpack not found", 404},
        {"POST", "/v3/buildpacks/x/upload", "Buildpack not found", 404},
        {"POST", "/v3/security_groups/x/relationships/running_spaces", "Security group not found",
         404},
        {"GET", "/v3/service_plans/x/visibility", "Service plan not found", 404},
        {"GET", "/v3/isolation_segments/x/relationships/spaces", "Isolation segment not found",
         404},
        {"DELETE", "/v3/sidecars/x", "Sidecar not found", 404},
        {"GET", "/v3/app_usage_events/x", "App usage event not found", 404},
        {"POST", "/v3/space_quotas", "This platform has no space quotas.", 400},
        {"DELETE", "/v3/organization_quotas/x", "Organization quota not found", 404},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct answer a = want(cases[i].status, cases[i].method, cases[i].url, NULL);
        ck_assert_str_eq(detail_of(&a), cases[i].detail);
        answer_fini(&a);
    }
    ck_assert_uint_eq(count("/v3/service_usage_events"), 0);
    char url[200];
    snprintf(url, sizeof url, "/v3/spaces/%s/features", space_guid);
    ck_assert_uint_eq(count(url), 1);
    snprintf(url, sizeof url, "/v3/spaces/%s/features/moon", space_guid);
    struct answer a = want(404, "GET", url, NULL);
    ck_assert_str_eq(detail_of(&a), "Feature not found");
    answer_fini(&a);
    a = want(201, "POST", "/v3/resource_matches", "{'resources':[]}");
    answer_fini(&a);
    a = want(202, "POST", "/v3/admin/actions/clear_buildpack_cache", NULL);
    answer_fini(&a);
}
END_TEST

START_TEST(a_route_moves_to_another_space_while_that_is_allowed) {
    char other[GUID_SIZE], route[GUID_SIZE], body[400], url[200];
    struct answer a = want(200, "GET", "/v3/domains", NULL);
    const char *domain = body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid");
    snprintf(body, sizeof body,
             "{'host':'r','relationships':{'space':{'data':{'guid':'%s'}},"
             "'domain':{'data':{'guid':'%s'}}}}",
             space_guid, domain);
    post("/v3/routes", route, body);
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'name':'s2','relationships':{'organization':{'data':{'guid':'%s'}}}}", org_guid);
    post("/v3/spaces", other, body);
    snprintf(url, sizeof url, "/v3/spaces/%s", other);
    a = want(422, "PATCH", url, "{'name':'s'}");
    ck_assert_str_eq(detail_of(&a), "Organization 'o' already contains a space with name 's'.");
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/routes/%s/relationships/space", route);
    snprintf(body, sizeof body, "{'data':{'guid':'%s'}}", other);
    a = want(403, "PATCH", url, body);
    ck_assert_int_eq(code_of(&a), 330002);
    answer_fini(&a);
    a = want(200, "PATCH", "/v3/feature_flags/route_sharing", "{'enabled':true}");
    answer_fini(&a);
    a = want(200, "PATCH", url, body);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/routes?space_guids=%s", other);
    ck_assert_uint_eq(count(url), 1);
    snprintf(url, sizeof url, "/v3/routes/%s?include=domain,space.organization", route);
    ck_assert_uint_eq(included(url, "domains"), 1);
    ck_assert_uint_eq(included(url, "organizations"), 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        rows_are_found_by_when_they_were_made,
        a_list_has_the_orders_that_it_has,
        related_resources_come_beside,
        users_are_found_by_parts_of_names_and_by_place,
        events_of_all_but_some,
        a_package_and_a_droplet_are_copied_to_another_app,
        labels_of_what_else_has_them,
        usage_is_summed_up,
        what_there_is_none_of_is_not_found_or_refused_in_words,
        a_route_moves_to_another_space_while_that_is_allowed,
    };
    Suite *suite = suite_create("api/lists");
    TCase *tcase = tcase_create("lists");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
