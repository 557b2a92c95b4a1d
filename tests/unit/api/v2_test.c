/* v2_test.c - the requests that CLI 6.13 and 6.53 send for their commands, in their order, and each
 * field that they read of the answers: targets, routes, users, settings and errors. */
#include "tests/unit/api/v2_words.h"

#include "controller/store/flags.h"

START_TEST(info_is_what_api_stores) {
    struct answer a = ask_full(&(struct question){.method = "GET", .url = "/v2/info"});
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(text_at(&a, "api_version"), "2.254.0");
    ck_assert_str_eq(text_at(&a, "authorization_endpoint"), "http://api.test");
    ck_assert(body_null(a.json, "min_cli_version"));
    answer_fini(&a);
}
END_TEST

START_TEST(orgs_and_spaces_are_found_by_name_in_any_case) {
    struct answer a = want(200, "GET", "/v2/organizations?order-by=name&q=name:O", NULL);
    ck_assert_str_eq(text(resource(&a, 0), "entity.name"), "o");
    ck_assert_str_eq(text(resource(&a, 0), "metadata.guid"), org_guid);
    ck_assert(body_null(a.json, "next_url"));
    answer_fini(&a);
    a = wantf(200, "GET", NULL, "/v2/spaces?order-by=name&q=name%%3AS&q=organization_guid%%3A%s",
              org_guid);
    ck_assert_str_eq(text(resource(&a, 0), "metadata.guid"), space_guid);
    ck_assert_ptr_nonnull(json_object_get(body_at(resource(&a, 0), "entity"), "allow_ssh"));
    answer_fini(&a);
    a = wantf(200, "GET", NULL, "/v2/organizations/%s/spaces?q=name:S&inline-relations-depth=1",
              org_guid);
    ck_assert_str_eq(text(resource(&a, 0), "entity.organization.entity.name"), "o");
    ck_assert(json_is_array(body_at(resource(&a, 0), "entity.apps")));
    ck_assert(json_is_array(body_at(resource(&a, 0), "entity.service_instances")));
    answer_fini(&a);
    a = want(200, "GET", "/v2/organizations?q=name:o&inline-relations-depth=1", NULL);
    ck_assert_str_eq(text(resource(&a, 0), "entity.quota_definition.entity.name"), "default");
    ck_assert_int_eq(number(resource(&a, 0), "entity.quota_definition.entity.memory_limit"),
                     1 << 30);
    ck_assert_uint_eq(json_array_size(body_at(resource(&a, 0), "entity.spaces")), 1);
    ck_assert_uint_eq(json_array_size(body_at(resource(&a, 0), "entity.domains")), 1);
    answer_fini(&a);
    a = want(200, "GET", "/v2/organizations?q=name:nope", NULL);
    ck_assert_int_eq(number(a.json, "total_results"), 0);
    answer_fini(&a);
}
END_TEST

START_TEST(create_space_gives_its_maker_roles) {
    char body[200], space[GUID_SIZE], bob[GUID_SIZE];
    free(other_user("bob", bob));
    snprintf(body, sizeof body, "{'name':'s2','organization_guid':'%s'}", org_guid);
    struct answer a = want(201, "POST", "/v2/spaces?async=true&inline-relations-depth=1", body);
    snprintf(space, sizeof space, "%s", text_at(&a, "metadata.guid"));
    ck_assert_str_eq(text_at(&a, "entity.name"), "s2");
    answer_fini(&a);
    /* 6.53 by name, 6.13 by guid; a second time changes nothing */
    drop(wantf(201, "PUT", "{'username':'admin'}", "/v2/organizations/%s/users", org_guid));
    drop(wantf(201, "PUT", "{'username':'admin'}", "/v2/spaces/%s/managers", space));
    drop(wantf(201, "PUT", NULL, "/v2/organizations/%s/users/%s", org_guid, bob));
    drop(wantf(201, "PUT", NULL, "/v2/spaces/%s/developers/%s", space, bob));
    drop(wantf(201, "PUT", NULL, "/v2/spaces/%s/developers/%s", space, bob));
    a = wantf(200, "GET", NULL, "/v3/roles?space_guids=%s&types=space_developer", space);
    ck_assert_int_eq(number(a.json, "pagination.total_results"), 1);
    answer_fini(&a);
    drop(wantf(200, "DELETE", NULL, "/v2/spaces/%s/developers/%s", space, bob));
    refused(wantf(404, "PUT", "{'username':'nobody'}", "/v2/spaces/%s/managers", space), 20003,
            "CF-UserNotFound", "The user could not be found: nobody");
    refused(wantf(404, "PUT", "{'username':'bob'}", "/v2/spaces/%s/kings", space), 10000,
            "CF-NotFound", "Unknown request");
    refused(want(400, "POST", "/v2/spaces", body), 40002, "CF-SpaceNameTaken",
            "The app space name is taken: s2");
    drop(wantf(201, "PUT", "{'name':'s3'}", "/v2/spaces/%s", space));
    drop(wantf(201, "PUT", "{'username':'bob'}", "/v2/spaces/%s/developers", space));
    a = wantf(200, "GET", NULL, "/v2/spaces/%s/developers", space);
    ck_assert_str_eq(text(resource(&a, 0), "entity.username"), "bob");
    answer_fini(&a);
    drop(wantf(200, "DELETE", "{'username':'bob'}", "/v2/spaces/%s/developers", space));
    a = wantf(200, "GET", NULL, "/v2/spaces/%s/developers", space);
    ck_assert_int_eq(number(a.json, "total_results"), 0);
    answer_fini(&a);
    refused(wantf(404, "GET", NULL, "/v2/spaces/%s/kings", space), 10000, "CF-NotFound", NULL);
    /* 6.53 polls the job that it is told of */
    a = wantf(202, "DELETE", NULL, "/v2/spaces/%s?async=true&recursive=true", space);
    ck_assert_str_eq(text_at(&a, "entity.status"), "finished");
    drop(want(200, "GET", text_at(&a, "metadata.url"), NULL));
    answer_fini(&a);
    refused(wantf(404, "GET", NULL, "/v2/spaces/%s", space), 40004, "CF-SpaceNotFound", NULL);
}
END_TEST

START_TEST(routes_are_mapped_unmapped_and_deleted) {
    char app[GUID_SIZE], route[GUID_SIZE], domain[GUID_SIZE], body[300];
    create("a1", app, route);
    shared_domain(domain);
    snprintf(body, sizeof body, "{'host':'a1','domain_guid':'%s','space_guid':'%s'}", domain,
             space_guid);
    refused(want(400, "POST", "/v2/routes?async=true&inline-relations-depth=1", body), 210003,
            "CF-RouteHostTaken", "The host is taken: a1");
    snprintf(body, sizeof body, "{'host':'a1','path':'/p','domain_guid':'%s','space_guid':'%s'}",
             domain, space_guid);
    struct answer a = want(201, "POST", "/v2/routes?inline-relations-depth=1", body);
    ck_assert_str_eq(text_at(&a, "entity.path"), "/p");
    ck_assert_str_eq(text_at(&a, "entity.domain.entity.name"), "apps.test");
    char second[GUID_SIZE];
    snprintf(second, sizeof second, "%s", text_at(&a, "metadata.guid"));
    answer_fini(&a);
    refused(want(400, "POST", "/v2/routes", body), 210004, "CF-RoutePathTaken", NULL);
    drop(wantf(201, "PUT", NULL, "/v2/apps/%s/routes/%s", app, second));
    drop(wantf(201, "PUT", NULL, "/v2/apps/%s/routes/%s", app, second)); /* twice is once */
    a = wantf(200, "GET", NULL, "/v2/apps/%s/routes", app);
    ck_assert_int_eq(number(a.json, "total_results"), 2);
    answer_fini(&a);
    /* an empty value: no path */
    a = wantf(200, "GET", NULL, "/v2/routes?q=domain_guid%%3A%s&q=host%%3Aa1&q=path%%3A", domain);
    ck_assert_int_eq(number(a.json, "total_results"), 1);
    ck_assert_str_eq(text(resource(&a, 0), "metadata.guid"), route);
    answer_fini(&a);
    drop(wantf(204, "DELETE", NULL, "/v2/apps/%s/routes/%s?async=true", app, second));
    a = wantf(200, "GET", NULL, "/v2/spaces/%s/routes?inline-relations-depth=1", space_guid);
    ck_assert_int_eq(number(a.json, "total_results"), 2);
    ck_assert_uint_eq(json_array_size(body_at(resource(&a, 1), "entity.apps")), 0);
    answer_fini(&a);
    drop(wantf(204, "DELETE", NULL, "/v2/spaces/%s/unmapped_routes", space_guid));
    refused(wantf(404, "GET", NULL, "/v2/routes/%s", second), 210002, "CF-RouteNotFound", NULL);
    a = wantf(200, "GET", NULL, "/v2/routes/%s/apps", route);
    ck_assert_str_eq(text(resource(&a, 0), "metadata.guid"), app);
    answer_fini(&a);
    drop(wantf(204, "DELETE", NULL, "/v2/routes/%s?async=true", route));
    drop(wantf(204, "DELETE", NULL, "/v2/apps/%s?async=true&recursive=true", app));
    refused(wantf(404, "GET", NULL, "/v2/apps/%s", app), 100004, "CF-AppNotFound", NULL);
}
END_TEST

START_TEST(domains_are_shared_or_private) {
    char body[200], shared[GUID_SIZE], mine[GUID_SIZE];
    shared_domain(shared);
    snprintf(body, sizeof body, "{'name':'m1.test','owning_organization_guid':'%s'}", org_guid);
    struct answer a = want(201, "POST", "/v2/private_domains", body);
    snprintf(mine, sizeof mine, "%s", text_at(&a, "metadata.guid"));
    answer_fini(&a);
    refused(want(400, "POST", "/v2/private_domains", body), 130003, "CF-DomainNameTaken", NULL);
    a = wantf(200, "GET", NULL,
              "/v2/organizations/%s/private_domains?q=name+IN+apps.test%%2Cm1.test", org_guid);
    ck_assert_int_eq(number(a.json, "total_results"), 1);
    ck_assert_str_eq(text(resource(&a, 0), "entity.owning_organization_guid"), org_guid);
    answer_fini(&a);
    a = want(200, "GET", "/v2/shared_domains?q=name+IN+apps.test%2Cm1.test", NULL);
    ck_assert_int_eq(number(a.json, "total_results"), 1);
    answer_fini(&a);
    a = want(200, "GET", "/v2/private_domains", NULL);
    ck_assert_int_eq(number(a.json, "total_results"), 1);
    answer_fini(&a);
    refused(wantf(404, "GET", NULL, "/v2/shared_domains/%s", mine), 130002, "CF-DomainNotFound",
            NULL);
    drop(wantf(200, "GET", NULL, "/v2/shared_domains/%s", shared));
    drop(wantf(204, "DELETE", NULL, "/v2/private_domains/%s", mine));
}
END_TEST

START_TEST(flags_are_a_bare_list) {
    struct answer a = want(200, "GET", "/v2/config/feature_flags", NULL);
    ck_assert(json_is_array(a.json));
    ck_assert_uint_eq(json_array_size(a.json), store_flag_count());
    ck_assert(json_is_boolean(json_object_get(json_array_get(a.json, 0), "enabled")));
    answer_fini(&a);
    a = want(200, "PUT", "/v2/config/feature_flags/diego_docker", "{'enabled': false}");
    ck_assert(json_is_false(json_object_get(a.json, "enabled")));
    ck_assert(body_null(a.json, "error_message"));
    answer_fini(&a);
    ck_assert_uint_eq(desired_all_count, 1);
    refused(want(404, "GET", "/v2/config/feature_flags/nope", NULL), 330000,
            "CF-FeatureFlagNotFound", "The feature flag could not be found: nope");
}
END_TEST

START_TEST(errors_are_v2s_own) {
    char app[GUID_SIZE], route[GUID_SIZE], body[300], guid[GUID_SIZE];
    create("a1", app, route);
    snprintf(body, sizeof body, "{'name':'a1','space_guid':'%s','docker_image':'x'}", space_guid);
    refused(want(400, "POST", "/v2/apps", body), 100002, "CF-AppNameTaken",
            "The app name is taken: a1");
    refused(want(404, "GET", "/v2/apps/nope", NULL), 100004, "CF-AppNotFound",
            "The app could not be found: nope");
    refused(want(400, "POST", "/v2/apps", "{'name':'x','space_guid':'nope','docker_image':'x'}"),
            1002, "CF-InvalidRelation", NULL);
    snprintf(body, sizeof body, "{'name':'x','space_guid':'%s'}", space_guid);
    refused(want(400, "POST", "/v2/apps", body), 100001, "CF-AppInvalid", NULL);
    refused(wantf(400, "PUT", "{'instances':-1}", "/v2/apps/%s", app), 100001, "CF-AppInvalid",
            NULL);
    refused(wantf(400, "PUT", "{'environment_json':{'PORT':'1'}}", "/v2/apps/%s", app), 100001,
            "CF-AppInvalid", "The app is invalid: Environment variables cannot set PORT");
    refused(wantf(400, "PUT", "{", "/v2/apps/%s", app), 1001, "CF-MessageParseError", NULL);
    refused(want(400, "GET", "/v2/apps?q=nope:1", NULL), 10005, "CF-BadQueryParameter", NULL);
    refused(want(404, "GET", "/v2/nope", NULL), 10000, "CF-NotFound", "Unknown request");
    struct answer a = ask_full(&(struct question){.method = "GET", .url = "/v2/apps"});
    ck_assert_int_eq(a.status, 401);
    refused(a, 10002, "CF-NotAuthenticated", "Authentication error");
    /* who has no role sees nothing and changes nothing */
    char *bob = other_user("bob", guid);
    char url[100];
    snprintf(url, sizeof url, "/v2/apps/%s", app);
    a = ask_full(&(struct question){.method = "GET", .url = url, .authorization = bob});
    ck_assert_int_eq(a.status, 404);
    refused(a, 100004, "CF-AppNotFound", NULL);
    a = ask_full(&(struct question){.method = "PUT",
                                    .url = "/v2/config/feature_flags/diego_docker",
                                    .authorization = bob,
                                    .body = "{\"enabled\":false}"});
    ck_assert_int_eq(a.status, 403);
    refused(a, 10003, "CF-NotAuthorized", NULL);
    free(bob);
}
END_TEST

START_TEST(pages_are_linked_by_paths) {
    char body[200];
    for (int i = 0; i < 3; i++) {
        snprintf(body, sizeof body, "{'name':'p%d','organization_guid':'%s'}", i, org_guid);
        drop(want(201, "POST", "/v2/spaces", body));
    }
    struct answer a =
        wantf(200, "GET", NULL,
              "/v2/spaces?results-per-page=3&order-by=name&q=organization_guid%%3A%s", org_guid);
    ck_assert_int_eq(number(a.json, "total_results"), 4);
    ck_assert_int_eq(number(a.json, "total_pages"), 2);
    char next[300];
    snprintf(next, sizeof next, "%s", text_at(&a, "next_url"));
    ck_assert(str_starts(next, "/v2/spaces?"));
    answer_fini(&a);
    a = want(200, "GET", next, NULL);
    ck_assert_str_eq(text(resource(&a, 0), "entity.name"), "s");
    ck_assert(body_null(a.json, "next_url"));
    ck_assert_uint_gt(strlen(text_at(&a, "prev_url")), 0);
    answer_fini(&a);
    refused(want(400, "GET", "/v2/spaces?results-per-page=101", NULL), 10005,
            "CF-BadQueryParameter", NULL);
}
END_TEST

START_TEST(users_come_and_go) {
    char guid[GUID_SIZE], body[200];
    free(other_user("u6", guid));
    snprintf(body, sizeof body, "{'guid':'%s'}", guid);
    struct answer a = want(201, "POST", "/v2/users", body); /* after UAA has made the account */
    ck_assert_str_eq(text_at(&a, "metadata.guid"), guid);
    ck_assert_str_eq(text_at(&a, "entity.username"), "u6");
    answer_fini(&a);
    drop(wantf(200, "GET", NULL, "/v2/users/%s", guid));
    a = want(200, "GET", "/v2/users", NULL);
    ck_assert_int_eq(number(a.json, "total_results"), 2);
    answer_fini(&a);
    drop(wantf(204, "DELETE", NULL, "/v2/users/%s", guid));
    refused(wantf(404, "DELETE", NULL, "/v2/users/%s", guid), 20003, "CF-UserNotFound", NULL);
    refused(want(404, "POST", "/v2/users", "{'guid':'x'}"), 20003, "CF-UserNotFound",
            "The user could not be found: x");
}
END_TEST

START_TEST(environment_groups_are_bare_and_replaced) {
    static const char url[] = "/v2/config/environment_variable_groups/running";
    struct answer a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(json_object_size(a.json), 0);
    answer_fini(&a);
    drop(want(200, "PUT", url, "{'A':'1','B':'2'}"));
    a = want(200, "PUT", url, "{'C':'3'}");
    ck_assert_uint_eq(json_object_size(a.json), 1);
    ck_assert_str_eq(text_at(&a, "C"), "3");
    answer_fini(&a);
    a = want(200, "GET", "/v3/environment_variable_groups/running", NULL);
    ck_assert_str_eq(text_at(&a, "var.C"), "3");
    answer_fini(&a);
    drop(want(200, "GET", "/v2/config/environment_variable_groups/staging", NULL));
    drop(want(404, "GET", "/v2/config/environment_variable_groups/moon", NULL));
    drop(want(200, "PUT", url, "{}"));
}
END_TEST

START_TEST(what_there_is_none_of_in_v2) {
    static const char *const empty[] = {"/v2/config/running_security_groups",
                                        "/v2/config/staging_security_groups",
                                        "/v2/service_plan_visibilities", "/v2/buildpacks"};
    for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
        struct answer a = want(200, "GET", empty[i], NULL);
        ck_assert_int_eq(number(a.json, "total_results"), 0);
        answer_fini(&a);
    }
    refused(want(400, "POST", "/v2/quota_definitions", "{}"), 1004, "CF-BadRequest",
            "This platform has no organization quotas but the default one, which is unlimited.");
    refused(want(400, "POST", "/v2/service_brokers", "{}"), 1004, "CF-BadRequest", NULL);
    struct answer a =
        wantf(201, "PUT", "{'quota_definition_guid':'d0000000-0000-4000-8000-000000000001'}",
              "/v2/organizations/%s", org_guid);
    ck_assert_str_eq(text_at(&a, "entity.name"), "o");
    answer_fini(&a);
    refused(wantf(404, "PUT", "{'quota_definition_guid':'x'}", "/v2/organizations/%s", org_guid),
            240001, "CF-QuotaDefinitionNotFound", NULL);
}
END_TEST

int main(void) {
    const TTest *const on[] = {
        info_is_what_api_stores,
        orgs_and_spaces_are_found_by_name_in_any_case,
        create_space_gives_its_maker_roles,
        routes_are_mapped_unmapped_and_deleted,
        domains_are_shared_or_private,
        flags_are_a_bare_list,
        errors_are_v2s_own,
        pages_are_linked_by_paths,
        users_come_and_go,
        environment_groups_are_bare_and_replaced,
        what_there_is_none_of_in_v2,
        NULL,
    };
    return run_v2_tests("api/v2", on, NULL);
}
