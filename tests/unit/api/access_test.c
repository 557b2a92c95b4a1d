/* access_test.c - each role on each endpoint: what may not be seen is 404, what may only be seen
 * 403, and the rest gets past the door. Who may what is written here once more, from Cloud
 * Foundry's documentation and not from access.c. */
#include "tests/unit/api/world.h"

#include "controller/store/flags.h"

static void setup(void) {
    harness_up(true);
    impatient = true;
}

/* Letters: r read, s secrets, o operate, w write, m manage. */
static const struct {
    const char *role, *in_org, *in_space;
} roles[] = {
    {"", "", ""}, /* none at all */
    {"organization_user", "r", ""},
    {"organization_auditor", "r", ""},
    {"organization_billing_manager", "r", ""},
    {"organization_manager", "rm", "rm"},
    {"space_auditor", "r", "r"},
    {"space_developer", "r", "rsow"},
    {"space_manager", "r", "rm"},
    {"space_supporter", "r", "ro"},
};

static char letter_of(enum access access) {
    static const char letters[] = {
        [ACCESS_READ] = 'r',  [ACCESS_SECRETS] = 's', [ACCESS_OPERATE] = 'o',
        [ACCESS_WRITE] = 'w', [ACCESS_MANAGE] = 'm',
    };
    return letters[access];
}

/* --- the users: one a role
 * --------------------------------------------------------------------------
 */

static char *who[ARRAY_SIZE(roles)];
static char user_guid[ARRAY_SIZE(roles)][GUID_SIZE];

static void users_up(void) {
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        char name[16];
        snprintf(name, sizeof name, "u%zu", i);
        who[i] = other_user(name, user_guid[i]);
    }
}

static void users_down(void) {
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        free(who[i]);
}

/* Straight into the store: the org role that a space role presupposes would give rights too. */
static void give_role(size_t i) {
    struct role_row role = {.type = str_dup(roles[i].role)};
    if (!*roles[i].role) {
        role_row_fini(&role);
        return;
    }
    memcpy(role.user_guid, user_guid[i], GUID_SIZE);
    if (str_starts(roles[i].role, "space_"))
        memcpy(role.space_guid, world_space, GUID_SIZE);
    else
        memcpy(role.org_guid, world_org, GUID_SIZE);
    OK(store_role_insert(store, &role, &err));
    role_row_fini(&role);
}

static void roles_up(void) {
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        give_role(i);
}

static struct answer ask_as(size_t i, const char *method, const char *url, const char *body) {
    char *json = str_dup(body);
    for (char *p = json; p && *p; p++)
        if (*p == '\'')
            *p = '"';
    struct answer a = ask_full(
        &(struct question){.method = method, .url = url, .authorization = who[i], .body = json});
    free(json);
    return a;
}

static bool in(const char *letters, char letter) {
    return strchr(letters, letter) != NULL;
}

/* --- the matrix
 * -------------------------------------------------------------------------------------
 */

START_TEST(each_role_on_each_endpoint_that_names_an_object) {
    users_up();
    world_up();
    roles_up();
    unsigned tried = 0;
    for (size_t e = 0; e < endpoint_count; e++) {
        const struct endpoint *at = &endpoints[e];
        int object = world_object_of(at->path);
        if (object < 0 || at->access < ACCESS_READ || at->access >= ACCESS_ADMIN ||
            str_starts(at->path, "/v3/apps/:guid/droplets/current"))
            continue;
        char letter = letter_of(at->access);
        for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
            /* to delete a space is to change its org */
            bool org = world_objects[object].in_org ||
                       (str_eq(at->path + 3, "/spaces/:guid") && str_eq(at->method, "DELETE"));
            bool sees = in(world_objects[object].in_org ? roles[i].in_org : roles[i].in_space, 'r');
            bool may = in(org ? roles[i].in_org : roles[i].in_space, letter);
            char url[300];
            world_path(at->path, world_objects[object].guid, url);
            struct answer a = ask_as(i, at->method, url, "{}");
            const char *detail = detail_of(&a);
            if (!sees)
                ck_assert_msg(a.status == 404, "%s %s as '%s': %d %s", at->method, at->path,
                              roles[i].role, a.status, a.text);
            else if (!may)
                ck_assert_msg(a.status == 403 && code_of(&a) == 10003, "%s %s as '%s': %d %s",
                              at->method, at->path, roles[i].role, a.status, a.text);
            else
                ck_assert_msg(a.status < 500 && a.status != 401 &&
                                  (a.status != 403 || code_of(&a) == 330002) &&
                                  (a.status != 404 || !str_eq(detail, "Space not found")),
                              "%s %s as '%s': %d %s", at->method, at->path, roles[i].role, a.status,
                              a.text);
            bool done = a.status < 300 && !str_eq(at->method, "GET");
            answer_fini(&a);
            tried++;
            if (done && str_eq(at->method, "DELETE")) {
                world_up();
                roles_up();
            }
        }
    }
    ck_assert_uint_gt(tried, 500);
    users_down();
}
END_TEST

/* What a body names: {method, url, body with %s of the guids it needs, letter, in_org}. */
START_TEST(each_role_on_each_endpoint_whose_body_names_the_place) {
    users_up();
    static const struct {
        const char *url, *body;
        const char *guid, *second;
        char letter;
        bool in_org;
    } cases[] = {
        {"/v3/apps", "{'name':'n%u','relationships':{'space':{'data':{'guid':'%s'}}}}", world_space,
         "", 'w', false},
        {"/v3/spaces", "{'name':'n%u','relationships':{'organization':{'data':{'guid':'%s'}}}}",
         world_org, "", 'm', true},
        {"/v3/packages",
         "{'type':'docker','data':{'image':'x%u'},"
         "'relationships':{'app':{'data':{'guid':'%s'}}}}",
         world_app, "", 'w', false},
        {"/v3/builds", "{'staging_memory_in_mb':1%u,'package':{'guid':'%s'}}", world_package, "",
         'o', false},
        {"/v3/routes",
         "{'host':'n%u','relationships':{'space':{'data':{'guid':'%s'}},"
         "'domain':{'data':{'guid':'%s'}}}}",
         world_space, world_domain, 'o', false},
        {"/v3/domains",
         "{'name':'n%u.x.test','relationships':{'organization':{'data':{'guid':'%s'}}}}", world_org,
         "", 'm', true},
        {"/v3/service_instances",
         "{'type':'user-provided','name':'n%u',"
         "'relationships':{'space':{'data':{'guid':'%s'}}}}",
         world_space, "", 'w', false},
        {"/v3/roles",
         "{'type':'organization_auditor','relationships':{'user':{'data':{'username':'u%u'}},"
         "'organization':{'data':{'guid':'%s'}}}}",
         world_org, "", 'm', true},
    };
    world_up();
    roles_up();
    for (size_t k = 0; k < ARRAY_SIZE(cases); k++)
        for (unsigned i = 0; i < ARRAY_SIZE(roles); i++) {
            char body[500];
            const char *letters = cases[k].in_org ? roles[i].in_org : roles[i].in_space;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(body, sizeof body, cases[k].body, i, cases[k].guid, cases[k].second);
#pragma GCC diagnostic pop
            struct answer a = ask_as(i, "POST", cases[k].url, body);
            int wanted = !in(letters, 'r') ? 422 : !in(letters, cases[k].letter) ? 403 : 201;
            ck_assert_msg(a.status == wanted, "%s as '%s': %d, not %d: %s", cases[k].url,
                          roles[i].role, a.status, wanted, a.text);
            answer_fini(&a);
        }
    users_down();
}
END_TEST

START_TEST(only_admins_do_what_is_admins) {
    users_up();
    world_up();
    roles_up();
    for (size_t e = 0; e < endpoint_count; e++) {
        const struct endpoint *at = &endpoints[e];
        if (at->access != ACCESS_ADMIN)
            continue;
        char url[300];
        world_path(at->path, "diego_docker", url);
        for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
            struct answer a = ask_as(i, at->method, url, "{'enabled':false,'name':'x'}");
            ck_assert_msg(a.status == 403, "%s %s as '%s': %d %s", at->method, url, roles[i].role,
                          a.status, a.text);
            answer_fini(&a);
        }
    }
    ck_assert(store_flag_enabled(store, "diego_docker"));
    users_down();
}
END_TEST

static size_t shown(size_t i, const char *url) {
    struct answer a = ask_as(i, "GET", url, NULL);
    ck_assert_msg(a.status == 200, "%s: %d %s", url, a.status, a.text);
    size_t n = json_array_size(json_object_get(a.json, "resources"));
    answer_fini(&a);
    return n;
}

START_TEST(lists_show_what_may_be_seen) {
    static const char *const of_space[] = {
        "/v3/apps",   "/v3/processes",         "/v3/packages",
        "/v3/builds", "/v3/droplets",          "/v3/routes",
        "/v3/spaces", "/v3/service_instances", "/v3/service_credential_bindings",
        "/v3/tasks"};
    users_up();
    world_up(); /* one that nobody belongs to */
    world_up();
    roles_up();
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(of_space); k++)
            ck_assert_msg(shown(i, of_space[k]) == in(roles[i].in_space, 'r'), "%s as '%s': %zu",
                          of_space[k], roles[i].role, shown(i, of_space[k]));
        ck_assert_uint_eq(shown(i, "/v3/organizations"), in(roles[i].in_org, 'r'));
        /* whoever is in the org sees who else is; a stranger itself alone */
        ck_assert_uint_eq(shown(i, "/v3/users"), *roles[i].role ? ARRAY_SIZE(roles) : 1);
        if (!*roles[i].role)
            ck_assert_uint_eq(shown(i, "/v3/roles"), 0);
    }
    users_down();
}
END_TEST

START_TEST(a_suspended_org_is_only_read) {
    users_up();
    world_up();
    roles_up();
    char url[200];
    snprintf(url, sizeof url, "/v3/organizations/%s", world_org);
    struct answer a = want(200, "PATCH", url, "{'suspended':true}");
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s", world_app);
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        if (!in(roles[i].in_space, 'w'))
            continue;
        a = ask_as(i, "PATCH", url, "{'metadata':{}}");
        ck_assert_int_eq(a.status, 403);
        ck_assert_int_eq(code_of(&a), 10017);
        answer_fini(&a);
        a = ask_as(i, "GET", url, NULL);
        ck_assert_int_eq(a.status, 200);
        answer_fini(&a);
    }
    a = want(200, "PATCH", url, "{'metadata':{}}");
    answer_fini(&a);
    users_down();
}
END_TEST

START_TEST(a_flag_opens_the_making_of_orgs) {
    users_up();
    struct answer a = ask_as(0, "POST", "/v3/organizations", "{'name':'mine'}");
    ck_assert_int_eq(a.status, 403);
    answer_fini(&a);
    a = want(200, "PATCH", "/v3/feature_flags/user_org_creation", "{'enabled':true}");
    answer_fini(&a);
    a = ask_as(0, "POST", "/v3/organizations", "{'name':'mine'}");
    ck_assert_int_eq(a.status, 201);
    char body[200];
    snprintf(body, sizeof body,
             "{'name':'s','relationships':{'organization':{'data':{'guid':'%s'}}}}",
             text_at(&a, "guid"));
    answer_fini(&a);
    a = ask_as(0, "POST", "/v3/spaces", body); /* whoever made it manages it */
    ck_assert_int_eq(a.status, 201);
    answer_fini(&a);
    users_down();
}
END_TEST

START_TEST(members_of_spaces_are_members_of_their_org) {
    users_up();
    world_up();
    char body[300], url[200], role[GUID_SIZE];
    snprintf(body, sizeof body,
             "{'type':'space_developer','relationships':{'user':{'data':{'username':'u0'}},"
             "'space':{'data':{'guid':'%s'}}}}",
             world_space);
    struct answer a = want(422, "POST", "/v3/roles", body);
    ck_assert_str_eq(detail_of(&a),
                     "Users cannot be assigned roles in a space if they do not have a "
                     "role in that space's organization.");
    answer_fini(&a);
    world_make(role, "/v3/roles",
               "{'type':'organization_user','relationships':{'user':{'data':{'username':'u0'}},"
               "'organization':{'data':{'guid':'%s'}}}}",
               world_org);
    a = want(201, "POST", "/v3/roles", body);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/roles/%s", role);
    a = want(422, "DELETE", url, NULL);
    answer_fini(&a);
    users_down();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        each_role_on_each_endpoint_that_names_an_object,
        each_role_on_each_endpoint_whose_body_names_the_place,
        only_admins_do_what_is_admins,
        lists_show_what_may_be_seen,
        a_suspended_org_is_only_read,
        a_flag_opens_the_making_of_orgs,
        members_of_spaces_are_members_of_their_org,
    };
    Suite *suite = suite_create("api/access");
    TCase *tcase = tcase_create("access");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
