#include "tests/unit/api/world.h"

#include <stdarg.h>

char world_org[GUID_SIZE], world_space[GUID_SIZE], world_app[GUID_SIZE], world_package[GUID_SIZE],
    world_droplet[GUID_SIZE], world_build[GUID_SIZE], world_domain[GUID_SIZE],
    world_route[GUID_SIZE], world_service[GUID_SIZE], world_binding[GUID_SIZE],
    world_role[GUID_SIZE], world_event[GUID_SIZE], world_task[GUID_SIZE];

static void keep(struct answer a, char guid[GUID_SIZE]) {
    ck_assert_msg(a.status == 201, "%d %s", a.status, a.text);
    snprintf(guid, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

void world_make(char guid[GUID_SIZE], const char *url, const char *format, ...) {
    char body[700];
    va_list ap;
    va_start(ap, format);
    vsnprintf(body, sizeof body, format, ap);
    va_end(ap);
    keep(ask("POST", url, body), guid);
}

void world_up(void) {
    static unsigned n;
    n++;
    world_make(world_org, "/v3/organizations", "{'name':'org%u'}", n);
    world_make(world_space, "/v3/spaces",
               "{'name':'s','relationships':{'organization':{'data':{'guid':'%s'}}}}", world_org);
    world_make(world_app, "/v3/apps",
               "{'name':'a','relationships':{'space':{'data':{'guid':'%s'}}}}", world_space);
    world_make(
        world_package, "/v3/packages",
        "{'type':'docker','data':{'image':'x'},'relationships':{'app':{'data':{'guid':'%s'}}}}",
        world_app);
    world_make(world_build, "/v3/builds", "{'package':{'guid':'%s'}}", world_package);
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
    world_make(world_domain, "/v3/domains",
               "{'name':'d%u.test','relationships':{'organization':{'data':{'guid':'%s'}}}}", n,
               world_org);
    world_make(world_route, "/v3/routes",
               "{'host':'h','relationships':{'space':{'data':{'guid':'%s'}},"
               "'domain':{'data':{'guid':'%s'}}}}",
               world_space, world_domain);
    world_make(
        world_service, "/v3/service_instances",
        "{'type':'user-provided','name':'db','relationships':{'space':{'data':{'guid':'%s'}}}}",
        world_space);
    world_make(world_binding, "/v3/service_credential_bindings",
               "{'type':'app','relationships':{'app':{'data':{'guid':'%s'}},"
               "'service_instance':{'data':{'guid':'%s'}}}}",
               world_app, world_service);
    char ignored[GUID_SIZE];
    world_make(ignored, "/v3/roles",
               "{'type':'organization_user','relationships':{'user':{'data':{'username':'admin'}},"
               "'organization':{'data':{'guid':'%s'}}}}",
               world_org);
    world_make(world_role, "/v3/roles",
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

const struct world_object world_objects[] = {
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

int world_object_of(const char *path) {
    for (size_t i = 0; i < ARRAY_SIZE(world_objects); i++)
        if (str_starts(path, world_objects[i].prefix))
            return (int)i;
    return -1;
}

void world_path(const char *path, const char *guid, char url[300]) {
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
