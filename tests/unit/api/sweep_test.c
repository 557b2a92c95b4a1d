/* sweep_test.c - bad input to every endpoint of the table, whatever endpoints there are.
 *
 * Which fields a body may have is learned from the endpoint itself: its body_check() is watched
 * (ld --wrap). Each field then gets what it is not, and what it is in the extreme, beside a body
 * that is otherwise right. Nothing may be answered with 5xx, no error without its envelope, and
 * what is of the wrong type never with 2xx. */
#include "tests/unit/api/world.h"

#include "controller/api/resources.h"

static char user[GUID_SIZE], deployment[GUID_SIZE], revision[GUID_SIZE];

/* What the world lacks: a user, and a deployment with its revision. */
static void make_others(void) {
    char url[200];
    free(other_user("somebody", user));
    snprintf(url, sizeof url, "/v3/apps/%s/actions/start", world_app);
    struct answer a = want(200, "POST", url, NULL);
    answer_fini(&a);
    world_make(deployment, "/v3/deployments", "{'relationships':{'app':{'data':{'guid':'%s'}}}}",
               world_app);
    snprintf(url, sizeof url, "/v3/apps/%s/revisions", world_app);
    a = want(200, "GET", url, NULL);
    snprintf(revision, GUID_SIZE, "%s",
             body_text(json_array_get(json_object_get(a.json, "resources"), 0), "guid"));
    answer_fini(&a);
}

static void setup(void) {
    harness_up(true);
    impatient = true;
    world_up();
    make_others();
}

/* --- which fields an endpoint knows
 * --------------------------------------------------------------------
 */

static struct field *seen;
static size_t seen_count;
/* Tables may live for one call only: copies, with what is under them. */
static struct field *tables[100];
static size_t table_count;

static struct field *copy_table(const struct field *fields, size_t n) {
    struct field *copy = mem_calloc(n + 1, sizeof *copy);
    ck_assert(copy && table_count < ARRAY_SIZE(tables));
    tables[table_count++] = copy;
    memcpy(copy, fields, n * sizeof *fields);
    for (size_t i = 0; i < n; i++)
        if (copy[i].fields)
            copy[i].fields = copy_table(copy[i].fields, copy[i].field_count);
    return copy;
}

static void drop_tables(void) {
    while (table_count)
        free(tables[--table_count]);
    seen = NULL;
}

int __real_body_check(struct call *c, const json_t *object, const struct field *fields,
                      size_t count);
int __wrap_body_check(struct call *c, const json_t *object, const struct field *fields,
                      size_t count);
int __wrap_body_check(struct call *c, const json_t *object, const struct field *fields,
                      size_t count) {
    if (!seen) {
        seen = copy_table(fields, count);
        seen_count = count;
    }
    return __real_body_check(c, object, fields, count);
}

/* --- a body that is right
 * ------------------------------------------------------------------------------
 */

/* The guid that a member of this name wants. */
static const char *guid_for(const char *name) {
    static const struct {
        const char *name, *guid;
    } names[] = {{"space", world_space},     {"organization", world_org},
                 {"app", world_app},         {"domain", world_domain},
                 {"package", world_package}, {"service_instance", world_service},
                 {"droplet", world_droplet}, {"space_guid", world_space},
                 {"data", world_droplet},    {"domain_guid", world_domain},
                 {"app_guid", world_app},    {"organization_guid", world_org},
                 {"route", world_route},     {"service_instance_guid", world_service}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_eq(names[i].name, name))
            return names[i].guid;
    return NULL;
}

static json_t *right_object(const struct field *fields, size_t n, const char *of);

static json_t *right_value(const struct field *f, const char *of) {
    const char *guid = guid_for(str_eq(f->name, "guid") ? of : f->name);
    switch (f->kind) {
    case FIELD_TEXT:
        return json_string(guid                       ? guid
                           : str_eq(f->name, "type")  ? "docker"
                           : str_eq(f->name, "image") ? "images/x"
                           : str_eq(f->name, "name")  ? "name.test"
                                                      : "text");
    case FIELD_INT:
        return json_integer(MAX(f->min, 1));
    case FIELD_BOOL:
        return json_true();
    case FIELD_OBJECT:
        return f->fields
                   ? right_object(f->fields, f->field_count, str_eq(f->name, "data") ? of : f->name)
                   : json_object();
    case FIELD_LIST:
        return f->fields ? json_pack("[o]", right_object(f->fields, f->field_count, f->name))
                         : json_array();
    case FIELD_ANY:
        return json_null();
    }
    return json_null();
}

static json_t *right_object(const struct field *fields, size_t n, const char *of) {
    json_t *object = json_object();
    for (size_t i = 0; i < n; i++)
        if (fields[i].required)
            json_object_set_new(object, fields[i].name, right_value(&fields[i], of));
    return object;
}

/* --- what is asked
 * -------------------------------------------------------------------------------------
 */

static unsigned asked;

static bool is_envelope(const struct answer *a) {
    const json_t *one = json_array_get(json_object_get(a->json, "errors"), 0);
    return json_is_string(json_object_get(one, "detail")) ||
           json_is_string(json_object_get(a->json, "description")) ||
           json_is_string(json_object_get(a->json, "error_description"));
}

/* `wrong`: it must be refused. */
static void send(const struct endpoint *e, const char *url, const json_t *body, bool wrong) {
    char *text = json_dumps(body, JSON_COMPACT);
    struct answer a = ask_full(
        &(struct question){.method = e->method, .url = url, .authorization = token, .body = text});
    ck_assert_msg(a.status < 500, "%s %s %.300s: %d %s", e->method, url, text, a.status, a.text);
    ck_assert_msg(a.status < 400 || is_envelope(&a), "%s %s %.300s: %d %s", e->method, url, text,
                  a.status, a.text);
    ck_assert_msg(!wrong || a.status >= 400, "%s %s %.300s: %d %s", e->method, url, text, a.status,
                  a.text);
    asked++;
    answer_fini(&a);
    free(text);
}

static json_t *nested(unsigned depth) {
    json_t *value = json_integer(1);
    while (depth--)
        value = depth % 2 ? json_pack("[o]", value) : json_pack("{s:o}", "a", value);
    return value;
}

static json_t *long_text(size_t n, const char *piece) {
    struct strbuf text = {0};
    while (text.n < n)
        strbuf_puts(&text, piece);
    json_t *value = json_string(text.p);
    strbuf_fini(&text);
    return value;
}

static const enum field_kind kinds_of_json[] = {
    [JSON_OBJECT] = FIELD_OBJECT, [JSON_ARRAY] = FIELD_LIST, [JSON_STRING] = FIELD_TEXT,
    [JSON_INTEGER] = FIELD_INT,   [JSON_REAL] = FIELD_ANY,   [JSON_TRUE] = FIELD_BOOL,
    [JSON_FALSE] = FIELD_BOOL,    [JSON_NULL] = FIELD_ANY,
};

/* Beyond what its own table says of a text or a number. */
static bool out_of_range(const struct field *f, const json_t *value) {
    if (json_is_integer(value))
        return json_integer_value(value) < f->min || (f->max && json_integer_value(value) > f->max);
    if (json_is_string(value))
        return json_string_length(value) > 4 * (size_t)(f->max ? f->max : 255);
    return false;
}

static bool is_wrong(const struct field *f, const json_t *value) {
    if (f->kind == FIELD_ANY || json_is_null(value))
        return false; /* null: as the field says */
    return kinds_of_json[json_typeof(value)] != f->kind || out_of_range(f, value);
}

/* Puts each value into member `f` of `object`, which lies in `body`, and sends `body`. */
static void try_values(const struct endpoint *e, const char *url, json_t *body, json_t *object,
                       const struct field *f) {
    json_t *values = json_pack(
        "[n,b,i,i,I,I,f,s,s,s,s,s,s,[],[n],[i],[s],{},{s:n},o,o,o,o,o,o,o,o]", 1, 0, -1,
        (json_int_t)INT64_MAX, (json_int_t)INT64_MIN, 1.5, "", " ", "\x01\x1f", "../../etc/passwd",
        "%s%n%00", "<'\";--", 1, "x", "a", long_text(300, "\xc3\xa9"), long_text(70000, "x"),
        long_text(3000, "9"), nested(5), nested(28), json_integer(f->min - 1),
        json_integer(f->max == INT64_MAX ? f->max : f->max + 1), json_integer(f->max));
    ck_assert_ptr_nonnull(values);
    size_t i;
    json_t *value, *was = json_incref(json_object_get(object, f->name));
    json_array_foreach(values, i, value) {
        json_object_set(object, f->name, value);
        send(e, url, body, is_wrong(f, value));
    }
    json_object_del(object, f->name);
    if (was)
        json_object_set_new(object, f->name, was);
    json_decref(values);
}

static void try_fields(const struct endpoint *e, const char *url, json_t *body, json_t *object,
                       const struct field *fields, size_t n, const char *of) {
    json_object_set_new(object, "no_such_field", json_integer(1));
    send(e, url, body, str_starts(e->path, "/v3/")); /* v2 and UAA overlook it */
    json_object_del(object, "no_such_field");
    for (size_t i = 0; i < n; i++) {
        try_values(e, url, body, object, &fields[i]);
        if (fields[i].kind != FIELD_OBJECT || !fields[i].fields)
            continue;
        json_t *was = json_incref(json_object_get(object, fields[i].name));
        json_t *inner = right_value(&fields[i], of);
        json_object_set_new(object, fields[i].name, inner);
        try_fields(e, url, body, inner, fields[i].fields, fields[i].field_count, fields[i].name);
        json_object_del(object, fields[i].name);
        if (was)
            json_object_set_new(object, fields[i].name, was);
    }
}

static void url_of(const struct endpoint *e, char url[300]) {
    const struct {
        const char *prefix, *value;
    } others[] = {{"/v3/feature_flags/", "diego_docker"},
                  {"/v2/config/feature_flags/", "diego_docker"},
                  {"/v3/users/", user},
                  {"/v2/users/", user},
                  {"/v3/deployments/", deployment},
                  {"/v3/revisions/", revision},
                  {"/v3/organization_quotas/", QUOTA_GUID}};
    int object = world_object_of(e->path);
    const char *value = object < 0 ? "running" : world_objects[object].guid;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (str_starts(e->path, others[i].prefix))
            value = others[i].value;
    world_path(e->path, value, url);
    /* ssh is a feature, and a name of the groups of variables is not */
    if (str_starts(e->path, "/v3/feature_flags/") || str_starts(e->path, "/v2/config/feature") ||
        strstr(e->path, "environment_variable_groups")) {
        char *name = strrchr(url, '/') + 1;
        snprintf(name, 300 - (size_t)(name - url), "%s", value);
    }
}

START_TEST(every_field_of_every_body_withstands_everything) {
    unsigned with_fields = 0;
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *e = &endpoints[i];
        if ((e->body != BODY_JSON && e->body != BODY_OPTIONAL) || e->async)
            continue; /* async ones hash a password for each try: see auth_test.c */
        char url[300];
        json_t *empty = json_object();
        url_of(e, url);
        send(e, url, empty, false);
        json_decref(empty);
        if (!seen)
            continue; /* it reads its body by itself */
        json_t *body = right_object(seen, seen_count, "");
        try_fields(e, url, body, body, seen, seen_count, "");
        json_decref(body);
        drop_tables();
        with_fields++;
    }
    ck_assert_uint_gt(with_fields, 40);
    ck_assert_uint_gt(asked, 5000);
}
END_TEST

/* --- lists, guids
 * --------------------------------------------------------------------------------------
 */

static void refused(const char *method, const char *url, int status) {
    struct answer a = ask(method, url, NULL);
    ck_assert_msg(a.status == status && is_envelope(&a), "%s %s: %d %s", method, url, a.status,
                  a.text);
    answer_fini(&a);
}

START_TEST(every_list_refuses_pages_that_are_none) {
    static const char *const v3[] = {"page=0",     "page=-1",
                                     "page=x",     "page=9223372036854775808",
                                     "per_page=0", "per_page=5001",
                                     "per_page=",  "per_page=1e3",
                                     "page=%00",   "per_page=%ff"},
                             *const v2[] = {"page=0", "results-per-page=101",
                                            "page=9223372036854775808", "q=%ff", "page=%00"};
    unsigned lists = 0;
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *e = &endpoints[i];
        char url[300], asked_url[400];
        if (!str_eq(e->method, "GET") || e->access == ACCESS_PUBLIC)
            continue;
        url_of(e, url);
        struct answer a = ask("GET", url, NULL);
        bool is_v3 = a.status == 200 && json_object_get(a.json, "pagination"),
             is_v2 = a.status == 200 && json_object_get(a.json, "total_results");
        answer_fini(&a);
        if (str_starts(e->path, "/v3/apps/:guid/features"))
            continue; /* not paged (cc) */
        for (size_t j = 0; is_v3 && j < ARRAY_SIZE(v3); j++) {
            snprintf(asked_url, sizeof asked_url, "%s?%s", url, v3[j]);
            refused("GET", asked_url, 400);
        }
        for (size_t j = 0; is_v2 && j < ARRAY_SIZE(v2); j++) {
            snprintf(asked_url, sizeof asked_url, "%s?%s", url, v2[j]);
            refused("GET", asked_url, 400);
        }
        lists += is_v3 || is_v2;
    }
    ck_assert_uint_gt(lists, 60);
}
END_TEST

/* What a path names is there or not, and nothing between. */
START_TEST(every_path_with_a_guid_refuses_what_is_none) {
    static const char *const guids[] = {"00000000-0000-4000-8000-000000000000",
                                        "x",
                                        "%00",
                                        "%ff",
                                        "..%2f..%2fetc",
                                        "a%0d%0ab",
                                        "%F0%9F%90%B3",
                                        "9999999999999999999999999999999999999999"};
    for (size_t i = 0; i < endpoint_count; i++) {
        const struct endpoint *e = &endpoints[i];
        if (world_object_of(e->path) < 0)
            continue;
        for (size_t j = 0; j < ARRAY_SIZE(guids); j++) {
            char url[600];
            world_path(e->path, guids[j], url);
            struct answer a = ask(e->method, url, "{}");
            ck_assert_msg(a.status >= 400 && a.status < 500 && is_envelope(&a), "%s %s: %d %s",
                          e->method, url, a.status, a.text);
            answer_fini(&a);
        }
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        every_field_of_every_body_withstands_everything,
        every_list_refuses_pages_that_are_none,
        every_path_with_a_guid_refuses_what_is_none,
    };
    Suite *suite = suite_create("api/sweep");
    TCase *tcase = tcase_create("sweep");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
