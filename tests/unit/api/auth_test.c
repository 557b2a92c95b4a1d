/* auth_test.c - logging in, tokens, lockout, and who may do what. */
#include "tests/unit/api/harness.h"

#include <errno.h>

#include "common/base/clock.h"
#include "controller/api/limiter.h"
#include "controller/api/password.h"
#include "controller/api/token.h"
#include "controller/store/tokens.h"

static void setup(void) {
    harness_up(true);
}

static struct answer ask_token(const char *basic, const char *form) {
    return ask_full(&(struct question){
        .method = "POST", .url = "/oauth/token", .authorization = basic, .body = form});
}

static struct answer ask_as(const char *who, const char *method, const char *url) {
    return ask_full(&(struct question){.method = method, .url = url, .authorization = who});
}

START_TEST(a_password_gives_what_the_clis_read) {
    struct answer a =
        ask_token("Basic Y2Y6", "grant_type=password&password=secret&scope=&username=ADMIN");
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(text_at(&a, "token_type"), "bearer");
    ck_assert_str_ne(text_at(&a, "refresh_token"), "");
    const char *jwt = text_at(&a, "access_token"), *dot = strchr(jwt, '.');
    uint8_t *text = NULL;
    size_t n = 0;
    ck_assert_int_eq(base64_decode(dot + 1, strcspn(dot + 1, "."), &text, &n), 0);
    json_t *claims = json_loadb((char *)text, n, 0, NULL);
    ck_assert_str_eq(body_text(claims, "user_name"), "admin");
    ck_assert_str_eq(body_text(claims, "origin"), "uaa");
    ck_assert_str_ne(body_text(claims, "user_id"), "");
    ck_assert_int_gt(json_integer_value(body_at(claims, "exp")),
                     (json_int_t)(clock_wall_ns() / 1000000000u) + 500);
    ck_assert(json_is_true(body_at(claims, "revocable"))); /* so that logging out revokes it */
    json_decref(claims);
    free(text);
    answer_fini(&a);
}
END_TEST

START_TEST(a_refresh_token_gives_a_new_access_token) {
    struct answer a = ask_token("Basic Y2Y6", "grant_type=password&username=admin&password=secret");
    char form[300];
    snprintf(form, sizeof form,
             "grant_type=refresh_token&refresh_token=%s&scope=", text_at(&a, "refresh_token"));
    answer_fini(&a);
    a = ask_token("Basic Y2Y6", form);
    ck_assert_int_eq(a.status, 200);
    char *bearer = str_printf("bearer %s", text_at(&a, "access_token"));
    answer_fini(&a);
    a = ask_as(bearer, "GET", "/v3/apps");
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    free(bearer);

    struct token_rows rows = {0};
    OK(store_token_list(store, NULL, &rows, &err));
    for (size_t i = 0; i < rows.n; i++) {
        char url[100];
        ck_assert_ptr_null(strstr(form, rows.v[i].hash)); /* what is stored is no token */
        snprintf(url, sizeof url, "/oauth/token/revoke/%s", rows.v[i].guid);
        a = want(200, "DELETE", url, NULL);
        answer_fini(&a);
        log_in(); /* one of them was our own session */
    }
    token_rows_fini(&rows);
    a = ask_token("Basic Y2Y6", form);
    ck_assert_int_eq(a.status, 401);
    ck_assert_str_eq(text_at(&a, "error"), "invalid_token");
    answer_fini(&a);
}
END_TEST

START_TEST(wrong_credentials_look_all_the_same) {
    static const struct {
        const char *basic, *form;
        int status;
    } cases[] = {
        {"Basic Y2Y6", "grant_type=password&username=admin&password=wrong", 401},
        {"Basic Y2Y6", "grant_type=password&username=nobody&password=secret", 401},
        {"Basic Y2Y6", "grant_type=password&username=admin&password=", 401},
        {"Basic Zm9vOmJhcg==", "grant_type=password&username=admin&password=secret", 401},
        {NULL, "grant_type=password&username=admin&password=secret", 401},
        {"Basic Y2Y6", "grant_type=password&username=admin", 400},
        {"Basic Y2Y6", "grant_type=magic", 400},
        {"Basic Y2Y6", "", 400},
        {"Basic Y2Y6", "grant_type=password&grant_type=password", 400},
        {"Basic !!!", "grant_type=password&username=admin&password=secret", 401},
        {NULL, "grant_type=client_credentials&client_id=cf&client_secret=", 401},
        {NULL, "grant_type=client_credentials&client_id=admin&client_secret=secret", 401},
        {"Basic Y2Y6", "grant_type=refresh_token&refresh_token=x", 401},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct answer a = ask_token(cases[i].basic, cases[i].form);
        ck_assert_msg(a.status == cases[i].status, "case %zu: %d %s", i, a.status, a.text);
        ck_assert_str_ne(text_at(&a, "error"), "");
        answer_fini(&a);
    }
}
END_TEST

START_TEST(a_client_logs_in_with_its_secret) {
    struct user_row client = {
        .username = str_dup("robot"), .origin = str_dup("client"), .active = true};
    OK(password_hash("s3cret", true, &client.password_hash, &err));
    OK(store_user_insert(store, &client, &err));
    user_row_fini(&client);
    struct answer a =
        ask_token(NULL, "grant_type=client_credentials&client_id=robot&client_secret=s3cret");
    ck_assert_int_eq(a.status, 200);
    ck_assert_ptr_null(body_at(a.json, "refresh_token"));
    answer_fini(&a);
    a = ask_token("Basic Y2Y6", "grant_type=password&username=robot&password=s3cret");
    ck_assert_int_eq(a.status, 401); /* a client is no person */
    answer_fini(&a);
}
END_TEST

START_TEST(too_many_failures_lock_a_user_from_one_address_out) {
    for (int i = 0; i < 5; i++) {
        struct answer a = ask_token("Basic Y2Y6", "grant_type=password&username=admin&password=no");
        ck_assert_str_eq(text_at(&a, "error_description"), "Bad credentials");
        answer_fini(&a);
    }
    struct answer a = ask_token("Basic Y2Y6", "grant_type=password&username=aDmin&password=secret");
    ck_assert_int_eq(a.status, 401);
    ck_assert_str_eq(text_at(&a, "error_description"),
                     "Your account has been locked because of too many failed attempts to login.");
    answer_fini(&a);
    a = want(200, "GET", "/v3/apps", NULL); /* tokens stay good */
    answer_fini(&a);
}
END_TEST

START_TEST(bad_tokens_are_refused) {
    char *jwt = str_dup(token + strlen("bearer "));
    ck_assert_ptr_nonnull(jwt);
    char *cut = str_printf("bearer %.*s", (int)strlen(jwt) - 3, jwt);
    char *none = str_printf("bearer eyJhbGciOiJub25lIn0%s", strchr(jwt, '.'));
    char *flipped = str_printf("bearer %s", jwt);
    char *body = strchr(flipped + 7, '.') + 10;
    *body = *body == 'A' ? 'B' : 'A';
    const struct {
        const char *header;
        int code;
    } cases[] = {
        {NULL, 10002},      {"", 10002},         {"bearer", 1000},     {"bearer ", 1000},
        {"bearer a", 1000}, {"bearer ..", 1000}, {"Basic Y2Y6", 1000}, {cut, 1000},
        {none, 1000},       {flipped, 1000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct answer a = ask_as(cases[i].header, "GET", "/v3/apps");
        ck_assert_msg(a.status == 401 && code_of(&a) == cases[i].code, "case %zu: %d %s", i,
                      a.status, a.text);
        answer_fini(&a);
    }
    free(cut);
    free(none);
    free(flipped);
    free(jwt);
}
END_TEST

START_TEST(tokens_expire_and_outlive_a_restart) {
    struct user_row user = {0};
    struct claims claims = {0};
    OK(store_user_find(store, "admin", &user, &err));
    uint64_t now = clock_wall_ns() / 1000000000u;
    char *jwt = token_issue(api, &(struct token_wish){.user = &user,
                                                      .jti = "j",
                                                      .grant = "password",
                                                      .issuer = "http://x",
                                                      .now_s = now - 600});
    ck_assert(!token_verify(api, jwt, now, &claims));
    ck_assert(token_verify(api, jwt, now - 10, &claims));
    claims_fini(&claims);
    free(jwt);
    user_row_fini(&user);
    unsigned char key[TOKEN_KEY_SIZE];
    memcpy(key, api->token_key, sizeof key);
    memset(api->token_key, 0, sizeof api->token_key);
    OK(token_key_load(api, &err));
    ck_assert_int_eq(memcmp(key, api->token_key, sizeof key), 0);
}
END_TEST

START_TEST(a_revoked_or_inactive_users_token_ends_at_once) {
    char guid[GUID_SIZE], url[100];
    char *who = other_user("u", guid);
    struct answer a = ask_as(who, "GET", "/v3/apps");
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    struct user_row user = {0};
    OK(store_user_get(store, guid, &user, &err));
    user.active = false;
    OK(store_user_update(store, &user, &err));
    a = ask_as(who, "GET", "/v3/apps");
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    user.active = true;
    OK(store_user_update(store, &user, &err));
    user_row_fini(&user);
    struct claims claims = {0};
    ck_assert(token_verify(api, who + 7, clock_wall_ns() / 1000000000u, &claims));
    snprintf(url, sizeof url, "/oauth/token/revoke/%s", claims.jti);
    claims_fini(&claims);
    a = ask_as(who, "DELETE", url);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    a = ask_as(who, "GET", "/v3/apps");
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    free(who);
}
END_TEST

/* Every endpoint, as a user without any role: nothing of others is shown or changed. */
START_TEST(without_a_role_nothing_is_seen_or_done) {
    char guid[GUID_SIZE], body[300];
    char *who = other_user("u", guid);
    snprintf(body, sizeof body, "{'name':'x','relationships':{'space':{'data':{'guid':'%s'}}}}",
             space_guid);
    struct answer a = want(201, "POST", "/v3/apps", body);
    char app[GUID_SIZE];
    snprintf(app, sizeof app, "%s", text_at(&a, "guid"));
    answer_fini(&a);
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *e = &endpoints[i];
        if (e->access == ACCESS_PUBLIC || !strstr(e->path, ":guid") ||
            str_starts(e->path, "/v3/organization_quotas"))
            continue;
        const char *mine = strstr(e->path, "/spaces/")          ? space_guid
                           : strstr(e->path, "/organizations/") ? org_guid
                                                                : app;
        char url[300];
        const char *p = strstr(e->path, ":guid");
        snprintf(url, sizeof url, "%.*s%s%s", (int)(p - e->path), e->path, mine, p + 5);
        a = ask_full(&(struct question){
            .method = e->method, .url = url, .authorization = who, .body = "{}"});
        ck_assert_msg(a.status == 404 || a.status == 403 || a.status == 422, "%s %s: %d %s",
                      e->method, url, a.status, a.text);
        ck_assert_msg(a.status != 422 || !str_eq(e->method, "GET"), "%s %s: %s", e->method, url,
                      a.text);
        answer_fini(&a);
    }
    a = ask_as(who, "GET", "/v3/apps");
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 0);
    answer_fini(&a);
    a = ask_full(&(struct question){.method = "PATCH",
                                    .url = "/v3/feature_flags/diego_docker",
                                    .authorization = who,
                                    .body = "{\"enabled\":false}"});
    ck_assert_int_eq(a.status, 403);
    ck_assert_int_eq(code_of(&a), 10003);
    answer_fini(&a);
    free(who);
}
END_TEST

START_TEST(an_auditor_reads_and_a_developer_writes) {
    char guid[GUID_SIZE], body[300], url[200];
    char *who = other_user("u", guid);
    static const struct {
        const char *role;
        int read, write;
    } cases[] = {{"space_auditor", 200, 403}, {"space_developer", 200, 200}};
    snprintf(body, sizeof body, "{'name':'x','relationships':{'space':{'data':{'guid':'%s'}}}}",
             space_guid);
    struct answer a = want(201, "POST", "/v3/apps", body);
    snprintf(url, sizeof url, "/v3/apps/%s", text_at(&a, "guid"));
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'type':'organization_user','relationships':{'organization':{'data':{'guid':'%s'}},"
             "'user':{'data':{'guid':'%s'}}}}",
             org_guid, guid);
    a = want(201, "POST", "/v3/roles", body);
    answer_fini(&a);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        snprintf(body, sizeof body,
                 "{'type':'%s','relationships':{'space':{'data':{'guid':'%s'}},"
                 "'user':{'data':{'guid':'%s'}}}}",
                 cases[i].role, space_guid, guid);
        a = want(201, "POST", "/v3/roles", body);
        answer_fini(&a);
        a = ask_as(who, "GET", url);
        ck_assert_int_eq(a.status, cases[i].read);
        answer_fini(&a);
        a = ask_full(&(struct question){
            .method = "PATCH", .url = url, .authorization = who, .body = "{\"metadata\":{}}"});
        ck_assert_int_eq(a.status, cases[i].write);
        answer_fini(&a);
    }
    free(who);
}
END_TEST

static struct answer ask_body(const char *who, const char *method, const char *url,
                              const char *body) {
    char *json = str_dup(body);
    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct answer a = ask_full(
        &(struct question){.method = method, .url = url, .authorization = who, .body = json});
    free(json);
    return a;
}

static char *bearer_of(struct answer *a) {
    ck_assert_msg(a->status == 200, "%d %s", a->status, a->text);
    return str_printf("bearer %s", text_at(a, "access_token"));
}

/* As create-user and delete-user ask, 7 and 8: UAA, Cloud Controller, and back. */
START_TEST(accounts_are_made_found_and_deleted) {
    static const char body[] =
        "{'userName':'New','password':'pw','origin':'','name':{'familyName':'New','givenName':"
        "'New'},'emails':[{'value':'New','primary':true}]}";
    char url[200], guid[GUID_SIZE], told[100];
    struct answer a = want(201, "POST", "/Users", body);
    ck_assert_str_eq(text_at(&a, "origin"), "uaa");
    snprintf(guid, sizeof guid, "%s", text_at(&a, "id"));
    answer_fini(&a);
    a = want(409, "POST", "/Users", body); /* which the CLI tells and takes for done */
    ck_assert_str_eq(text_at(&a, "error"), "scim_resource_already_exists");
    answer_fini(&a);
    snprintf(told, sizeof told, "{'guid':'%s'}", guid);
    a = want(201, "POST", "/v3/users", told);
    answer_fini(&a);
    static const char *const filters[] = {"userName%20eq%20%22new%22",
                                          "userName+Eq+%22New%22+and+origin+eq+%22uaa%22"};
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        snprintf(url, sizeof url, "/Users?filter=%s", filters[i]);
        a = want(200, "GET", url, NULL);
        json_t *one = json_array_get(json_object_get(a.json, "resources"), 0);
        ck_assert_str_eq(body_text(one, "id"), guid);
        answer_fini(&a);
    }
    static const char *const bad[] = {"userName", "userName%20eq%20new", "password%20eq%20%22x%22",
                                      "userName%20eq%20%22x%22%20or%20id%20eq%20%22y%22"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(url, sizeof url, "/Users?filter=%s", bad[i]);
        a = want(400, "GET", url, NULL);
        answer_fini(&a);
    }
    char *who = NULL;
    a = ask_token("Basic Y2Y6", "grant_type=password&username=new&password=pw");
    who = bearer_of(&a);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/users/%s", guid);
    a = want(202, "DELETE", url, NULL);
    answer_fini(&a);
    a = ask_as(who, "GET", "/v3/apps");
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    a = want(404, "GET", url, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, "/Users/%s", guid);
    a = want(200, "DELETE", url, NULL);
    answer_fini(&a);
    a = want(404, "DELETE", url, NULL);
    ck_assert_str_eq(text_at(&a, "error"), "scim_resource_not_found");
    answer_fini(&a);
    free(who);
}
END_TEST

/* As passwd asks. */
START_TEST(a_changed_password_ends_all_log_ins) {
    char guid[GUID_SIZE], url[200], form[300];
    char *who = other_user("u", guid);
    struct answer a = ask_token("Basic Y2Y6", "grant_type=password&username=u&password=secret");
    snprintf(form, sizeof form, "grant_type=refresh_token&refresh_token=%s",
             text_at(&a, "refresh_token"));
    answer_fini(&a);
    snprintf(url, sizeof url, "/Users/%s/password", guid);
    static const struct {
        const char *body;
        int status;
        const char *error;
    } cases[] = {
        {"{'oldPassword':'no','password':'new'}", 401, "unauthorized"},
        {"{'password':'new'}", 401, "unauthorized"},
        {"{'oldPassword':'secret','password':''}", 400, "invalid_scim_resource"},
        {"{'oldPassword':'secret','password':'secret'}", 422, "invalid_password"},
        {"{'oldPassword':'secret','password':'new'}", 200, ""},
        {"{'oldPassword':'new','password':'newer'}", 401, "invalid_token"}, /* it has ended */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        a = ask_body(who, "PUT", url, cases[i].body);
        ck_assert_msg(a.status == cases[i].status, "%s: %d %s", cases[i].body, a.status, a.text);
        ck_assert_str_eq(text_at(&a, "error"), cases[i].error);
        answer_fini(&a);
    }
    a = ask_token("Basic Y2Y6", form);
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    a = ask_token("Basic Y2Y6", "grant_type=password&username=u&password=secret");
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    a = ask_token("Basic Y2Y6", "grant_type=password&username=u&password=new");
    free(who);
    who = bearer_of(&a);
    answer_fini(&a);
    char admin[200];
    struct user_row row = {0};
    OK(store_user_find(store, "admin", &row, &err));
    snprintf(admin, sizeof admin, "/Users/%s/password", row.guid);
    user_row_fini(&row);
    a = ask_body(who, "PUT", admin, "{'oldPassword':'secret','password':'mine'}");
    ck_assert_int_eq(a.status, 403);
    ck_assert_str_eq(text_at(&a, "error"), "insufficient_scope");
    answer_fini(&a);
    a = want(200, "PUT", url, "{'password':'reset'}"); /* an admin need not know the old one */
    answer_fini(&a);
    free(who);
}
END_TEST

START_TEST(logging_out_ends_the_session_and_no_other) {
    struct answer a = ask_token("Basic Y2Y6", "grant_type=password&username=admin&password=secret");
    char form[300], url[200], *first = bearer_of(&a);
    snprintf(form, sizeof form, "grant_type=refresh_token&refresh_token=%s",
             text_at(&a, "refresh_token"));
    answer_fini(&a);
    a = ask_token("Basic Y2Y6", form);
    char *second = bearer_of(&a); /* the same session's */
    snprintf(url, sizeof url, "/oauth/token/revoke/%s", text_at(&a, "jti"));
    answer_fini(&a);
    a = ask_as(second, "DELETE", url);
    ck_assert_int_eq(a.status, 200);
    answer_fini(&a);
    const char *ended[] = {first, second};
    for (size_t i = 0; i < ARRAY_SIZE(ended); i++) {
        a = ask_as(ended[i], "GET", "/v3/apps");
        ck_assert_int_eq(a.status, 401);
        answer_fini(&a);
    }
    a = ask_token("Basic Y2Y6", form);
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    a = want(200, "GET", "/v3/apps", NULL);
    answer_fini(&a);
    free(first);
    free(second);
}
END_TEST

START_TEST(clients_are_made_and_have_roles) {
    struct answer a = want(201, "POST", "/oauth/clients",
                           "{'client_id':'robot','client_secret':'s3cret',"
                           "'authorized_grant_types':['client_credentials'],'authorities':[]}");
    answer_fini(&a);
    a = want(200, "GET", "/oauth/clients/robot", NULL);
    ck_assert_str_eq(text_at(&a, "client_id"), "robot");
    answer_fini(&a);
    char body[300];
    snprintf(body, sizeof body,
             "{'type':'organization_manager','relationships':{'organization':{'data':{'guid':'%s'}}"
             ",'user':{'data':{'guid':'robot'}}}}",
             org_guid);
    a = want(201, "POST", "/v3/roles", body);
    answer_fini(&a);
    a = want(200, "GET", "/v3/roles?user_guids=robot", NULL); /* a client's id is its guid */
    ck_assert_int_eq((int)json_integer_value(body_at(a.json, "pagination.total_results")), 1);
    answer_fini(&a);
    a = ask_token(NULL, "grant_type=client_credentials&client_id=robot&client_secret=s3cret");
    char *who = bearer_of(&a);
    answer_fini(&a);
    a = ask_as(who, "GET", "/v3/spaces");
    ck_assert_int_eq((int)json_integer_value(body_at(a.json, "pagination.total_results")), 1);
    answer_fini(&a);
    a = want(200, "DELETE", "/oauth/clients/robot", NULL);
    answer_fini(&a);
    a = ask_as(who, "GET", "/v3/spaces");
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    free(who);
}
END_TEST

START_TEST(environment_groups_are_merged_and_shown_to_apps) {
    static const char url[] = "/v3/environment_variable_groups/running";
    struct answer a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(json_object_size(body_at(a.json, "var")), 0);
    answer_fini(&a);
    a = want(200, "PATCH", url, "{'var':{'A':'1','B':'2'}}");
    answer_fini(&a);
    a = want(200, "PATCH", url, "{'var':{'A':null,'C':'3'}}");
    ck_assert_ptr_null(body_at(a.json, "var.A"));
    ck_assert_str_eq(text_at(&a, "var.B"), "2");
    answer_fini(&a);
    static const char *const bad[] = {"{'var':{'VCAP_X':'1'}}", "{'var':{'PORT':'1'}}",
                                      "{'var':{'A':1}}", "{'var':5}", "{}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        a = want(422, "PATCH", url, bad[i]);
        answer_fini(&a);
    }
    a = want(404, "GET", "/v3/environment_variable_groups/nope", NULL);
    answer_fini(&a);
    char body[200], env[100];
    snprintf(body, sizeof body, "{'name':'x','relationships':{'space':{'data':{'guid':'%s'}}}}",
             space_guid);
    a = want(201, "POST", "/v3/apps", body);
    snprintf(env, sizeof env, "/v3/apps/%s/env", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(200, "GET", env, NULL);
    ck_assert_str_eq(text_at(&a, "running_env_json.C"), "3");
    answer_fini(&a);
}
END_TEST

START_TEST(a_limiter_forgets_the_oldest_and_opens_again) {
    static const struct limiter_policy policy = {
        .failures = 2, .within_ms = 100, .closed_ms = 50, .max_keys = 3};
    struct limiter *l = limiter_new(&policy);
    limiter_failed(l, "a", 1, 1000);
    ck_assert(!limiter_closed(l, "a", 1000));
    limiter_failed(l, "a", 1, 1010);
    ck_assert(limiter_closed(l, "a", 1059));
    ck_assert(!limiter_closed(l, "a", 1060));
    limiter_failed(l, "b", 1, 1000);
    limiter_failed(l, "b", 1, 1101); /* too far apart */
    ck_assert(!limiter_closed(l, "b", 1101));
    limiter_failed(l, "f", 2, 1000);
    limiter_failed(l, "f", 2, 1000);
    ck_assert(!limiter_closed(l, "f", 1000));
    for (char k[2] = "k"; *k < 'z'; (*k)++)
        limiter_failed(l, k, 1, 2000);
    limiter_failed(l, "z", 1, 2000);
    limiter_failed(l, "z", 1, 2000);
    ck_assert(limiter_closed(l, "z", 2001));
    limiter_forget(l, "z");
    ck_assert(!limiter_closed(l, "z", 2001));
    limiter_free(l);
}
END_TEST

START_TEST(password_hashes_are_salted_and_checked_strictly) {
    char *one = NULL, *two = NULL;
    OK(password_hash("p\xc3\xa4ss", true, &one, &err));
    OK(password_hash("p\xc3\xa4ss", true, &two, &err));
    ck_assert_str_ne(one, two);
    ck_assert(password_verify("p\xc3\xa4ss", one));
    ck_assert(!password_verify("pass", one));
    char *longer = str_printf("%s0", one);
    ck_assert(!password_verify("p\xc3\xa4ss", longer));
    ck_assert(!password_verify("", "scrypt$0$8$1$00$00"));
    char big[PASSWORD_MAX + 2];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    ck_assert_int_eq(password_hash(big, true, &one, &err), -EINVAL);
    free(one);
    free(two);
    free(longer);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_password_gives_what_the_clis_read,
        a_refresh_token_gives_a_new_access_token,
        wrong_credentials_look_all_the_same,
        a_client_logs_in_with_its_secret,
        too_many_failures_lock_a_user_from_one_address_out,
        bad_tokens_are_refused,
        tokens_expire_and_outlive_a_restart,
        a_revoked_or_inactive_users_token_ends_at_once,
        without_a_role_nothing_is_seen_or_done,
        an_auditor_reads_and_a_developer_writes,
        accounts_are_made_found_and_deleted,
        a_changed_password_ends_all_log_ins,
        logging_out_ends_the_session_and_no_other,
        clients_are_made_and_have_roles,
        environment_groups_are_merged_and_shown_to_apps,
        a_limiter_forgets_the_oldest_and_opens_again,
        password_hashes_are_salted_and_checked_strictly,
    };
    Suite *suite = suite_create("api/auth");
    TCase *tcase = tcase_create("auth");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
