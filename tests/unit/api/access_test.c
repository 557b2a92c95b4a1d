/* access_test.c - each role on each endpoint: what may not be seen is 404, what may only be seen
 * 403, and the rest gets past the door. Who may what is written here once more, from Cloud
 * Foundry's documentation and not from access.c. */
#include "tests/unit/api/harness.h"

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

/* --- a world: one object of each kind in a space of its own
 * -----------------------------------------
 */

static char world_org[GUID_SIZE], world_space[GUID_SIZE], world_app[GUID_SIZE],
    world_package[GUID_SIZE], world_droplet[GUID_SIZE], world_build[GUID_SIZE],
    world_domain[GUID_SIZE], world_route[GUID_SIZE], world_service[GUID_SIZE],
    world_binding[GUID_SIZE], world_role[GUID_SIZE], world_event[GUID_SIZE], world_task[GUID_SIZE];

static void keep(struct answer a, char guid[GUID_SIZE]) {
    ck_assert_msg(a.status == 201, "%d %s", a.status, a.text);
    snprintf(guid, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

/* As the admin; %s of `format` are guids, ' stands for ". */
__attribute__((format(printf, 3, 4))) static void make(char guid[GUID_SIZE], const char *url,
                                                       const char *format, ...) {
    char body[700];
    va_list ap;
    va_start(ap, format);
    vsnprintf(body, sizeof body, format, ap);
    va_end(ap);
    keep(ask("POST", url, body), guid);
}

static void world_up(void) {
    static unsigned n;
    n++;
    make(world_org, "/v3/organizations", "{'name':'org%u'}", n);
    make(world_space, "/v3/spaces",
         "{'name':'s','relationships':{'organization':{'data':{'guid':'%s'}}}}", world_org);
    make(world_app, "/v3/apps", "{'name':'a','relationships':{'space':{'data':{'guid':'%s'}}}}",
         world_space);
    make(world_package, "/v3/packages",
         "{'type':'docker','data':{'image':'x'},'relationships':{'app':{'data':{'guid':'%s'}}}}",
         world_app);
    make(world_build, "/v3/builds", "{'package':{'guid':'%s'}}", world_package);
    char url[200], body[200];
    snprintf(url, sizeof url, "/v3/builds/%s", world_build);
    struct answer a = want(200, "GET", url, NULL);
    snprintf(world_droplet, GUID_SIZE, "%s", text_at(&a, "droplet.guid"));
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/relationships/current_droplet", world_app);
    snprintf(body, sizeof body, "{'data':{'guid':'%s'}}", world_droplet);
    a = want(200, "PATCH", url, body);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/tasks", world_app);
    a = want(202, "POST", url, "{'command':'true'}");
    snprintf(world_task, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
    make(world_domain, "/v3/domains",
         "{'name':'d%u.test','relationships':{'organization':{'data':{'guid':'%s'}}}}", n,
         world_org);
    make(world_route, "/v3/routes",
         "{'host':'h','relationships':{'space':{'data':{'guid':'%s'}},"
         "'domain':{'data':{'guid':'%s'}}}}",
         world_space, world_domain);
    make(world_service, "/v3/service_instances",
         "{'type':'user-provided','name':'db','relationships':{'space':{'data':{'guid':'%s'}}}}",
         world_space);
    make(world_binding, "/v3/service_credential_bindings",
         "{'type':'app','relationships':{'app':{'data':{'guid':'%s'}},"
         "'service_instance':{'data':{'guid':'%s'}}}}",
         world_app, world_service);
    char ignored[GUID_SIZE];
    make(ignored, "/v3/roles",
         "{'type':'organization_user','relationships':{'user':{'data':{'username':'admin'}},"
         "'organization':{'data':{'guid':'%s'}}}}",
         world_org);
    make(world_role, "/v3/roles",
         "{'type':'space_auditor','relationships':{'user':{'data':{'username':'admin'}},"
         "'space':{'data':{'guid':'%s'}}}}",
         world_space);
    snprintf(url, sizeof url, "/v3/audit_events?space_guids=%s&target_guids=%s", world_space,
             world_app);
    a = want(200, "GET", url, NULL);
    snprintf(world_event, GUID_SIZE, "%s",
             body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid"));
    answer_fini(&a);
}

/* The object that a path's first parameter names; `in_org`: it lies in the org, not the space. */
static const struct {
    const char *prefix, *guid;
    bool in_org;
} objects[] = {
    {"/v3/organizations/:", world_org, true},
    {"/v3/spaces/:", world_space, false},
    {"/v3/apps/:", world_app, false},
    {"/v3/processes/:", world_app, false},
    {"/v3/packages/:", world_package, false},
    {"/v3/builds/:", world_build, false},
    {"/v3/droplets/:", world_droplet, false},
    {"/v3/routes/:", world_route, false},
    {"/v3/domains/:", world_domain, true},
    {"/v3/roles/:", world_role, false},
    {"/v3/tasks/:", world_task, false},
    {"/v3/service_instances/:", world_service, false},
    {"/v3/service_credential_bindings/:", world_binding, false},
    {"/v3/audit_events/:", world_event, false},
    {"/api/v1/read/:", world_app, false},
    {"/v2/organizations/:", world_org, true},
    {"/v2/spaces/:", world_space, false},
    {"/v2/apps/:", world_app, false},
    {"/v2/routes/:", world_route, false},
    {"/v2/private_domains/:", world_domain, true},
    {"/v2/user_provided_service_instances/:", world_service, false},
    {"/v2/service_instances/:", world_service, false},
    {"/v2/service_bindings/:", world_binding, false},
};

static int object_of(const char *path) {
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        if (str_starts(path, objects[i].prefix))
            return (int)i;
    return -1;
}

/* "/v3/apps/:guid/processes/:type" of the world. */
static void fill_path(const char *path, const char *guid, char url[300]) {
    static const struct {
        const char *name, *value;
    } others[] = {{":type", "web"},        {":index", "0"},       {":name", "ssh"},
                  {":destination", "x"},   {":role", "auditors"}, {":user", "x"},
                  {":route", world_route}, {":app", world_app}};
    size_t n = 0;
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, ":");
        n += (size_t)snprintf(url + n, 300 - n, "%.*s", (int)len, p);
        p += len;
        if (!*p)
            break;
        size_t word = strcspn(p, "/");
        const char *value = guid;
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
            if (word == strlen(others[i].name) && memcmp(p, others[i].name, word) == 0)
                value = others[i].value;
        n += (size_t)snprintf(url + n, 300 - n, "%s", value);
        p += word;
    }
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
        int object = object_of(at->path);
        if (object < 0 || at->access < ACCESS_READ || at->access >= ACCESS_ADMIN ||
            str_starts(at->path, "/v3/apps/:guid/droplets/current"))
            continue;
        char letter = letter_of(at->access);
        for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
            /* to delete a space is to change its org */
            bool org = objects[object].in_org ||
                       (str_eq(at->path + 3, "/spaces/:guid") && str_eq(at->method, "DELETE"));
            bool sees = in(objects[object].in_org ? roles[i].in_org : roles[i].in_space, 'r');
            bool may = in(org ? roles[i].in_org : roles[i].in_space, letter);
            char url[300];
            fill_path(at->path, objects[object].guid, url);
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
        fill_path(at->path, "diego_docker", url);
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
    make(role, "/v3/roles",
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
