#include "tests/unit/api/harness.h"

#include <assert.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/workers.h"
#include "controller/api/password.h"
#include "controller/logs/logs.h"
#include "controller/nodes/nodes.h"
#include "controller/staging/staging.h"
#include "controller/store/flags.h"

/* Fuzz targets use this too, where Check is not at work: plain asserts. */
#undef OK
#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_ = (call);                                                                          \
        if (ok_ < 0) {                                                                             \
            fprintf(stderr, #call ": %d %s\n", ok_, err.msg);                                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct error err;
struct api *api;
struct store *store;
char state_dir[64];
char org_guid[GUID_SIZE], space_guid[GUID_SIZE];
char *token;

unsigned desired_count, desired_all_count, staged_count, restarted_count;
char last_desired[GUID_SIZE], last_staged[GUID_SIZE], last_task[GUID_SIZE];
char last_command[200];
int task_refusal;
bool stage_at_once = true, staging_refuses, images_refused, impatient;
struct lrp_actual actuals[8];
size_t actual_count;
char last_type[100];

static struct event_base *loop;
static struct workers *workers;
static struct api_config config = {.fast_password_hashes = true};

/* --- fakes
 * ------------------------------------------------------------------------------------------
 */

int staging_desire_app(struct staging *s, const char *app_guid, struct error *e) {
    assert(!store_in_transaction(store)); /* only what is on disk is told */
    desired_count++;
    snprintf(last_desired, sizeof last_desired, "%s", app_guid);
    return 0;
}

int staging_refresh_all(struct staging *s, struct error *e) {
    assert(!store_in_transaction(store));
    desired_all_count++;
    return 0;
}

int staging_start(struct staging *s, const char *build_guid, struct error *e) {
    assert(!store_in_transaction(store));
    staged_count++;
    snprintf(last_staged, sizeof last_staged, "%s", build_guid);
    if (staging_refuses)
        return error_set(e, -EINVAL, "not today");
    if (!stage_at_once)
        return 0;
    struct build_row build = {0};
    struct package_row package = {0};
    OK(store_build_get(store, build_guid, &build, &err));
    OK(store_package_get(store, build.package_guid, &package, &err));
    struct droplet_row d = {.state = str_dup("STAGED"),
                            .image = str_dup(package.image),
                            .ports = str_dup("[{\"Port\":3000,\"Protocol\":\"tcp\"}]"),
                            .process_types = str_dup("{\"web\":\"/run\"}")};
    memcpy(d.app_guid, build.app_guid, GUID_SIZE);
    memcpy(d.package_guid, build.package_guid, GUID_SIZE);
    OK(store_droplet_insert(store, &d, &err));
    memcpy(build.droplet_guid, d.guid, GUID_SIZE);
    OK(str_set(&build.state, "STAGED"));
    OK(store_build_update(store, &build, &err));
    if (build.start_after_staging) {
        struct app_row app = {0};
        OK(store_app_get(store, build.app_guid, &app, &err));
        memcpy(app.droplet_guid, d.guid, GUID_SIZE);
        app.started = true;
        OK(store_app_update(store, &app, &err));
        app_row_fini(&app);
    }
    droplet_row_fini(&d);
    build_row_fini(&build);
    package_row_fini(&package);
    return 0;
}

int staging_check_image(const struct staging *s, const char *image, struct error *e) {
    return images_refused ? error_set(e, -EPERM, "only images of reg.test are allowed") : 0;
}

int staging_pack_task(struct staging *s, const struct app_row *app,
                      const struct droplet_row *droplet, const struct task_row *task,
                      const char *command, void **ret, size_t *ret_n, struct error *e) {
    assert(store_in_transaction(store));
    if (task_refusal)
        return error_set(e, task_refusal, "not today");
    snprintf(last_command, sizeof last_command, "%s", command ? command : "(the image's)");
    *ret = str_dup("packed");
    *ret_n = 6;
    return 0;
}

int staging_desire_task(struct staging *s, const char *task_guid, struct error *e) {
    assert(!store_in_transaction(store));
    snprintf(last_task, sizeof last_task, "%s", task_guid);
    return 0;
}

int lrp_restart_instance(struct lrp *l, const char *process, uint32_t index, uint64_t now_ms) {
    for (size_t i = 0; i < actual_count; i++)
        if (actuals[i].index == index) {
            restarted_count++;
            return 0;
        }
    return -ENOENT;
}

void lrp_instances(struct lrp *l, const char *process,
                   void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    for (size_t i = 0; i < actual_count; i++)
        each(arg, &actuals[i]);
}

void lrp_cells(struct lrp *l, void (*each)(void *arg, const struct lrp_cell_view *c), void *arg) {
    struct lrp_cell_view v = {.id = "00",
                              .name = "cell-1",
                              .zone = "z",
                              .address = "10.0.0.1",
                              .present = true,
                              .memory_mb = 1000};
    each(arg, &v);
}

bool settled = true;

bool lrp_is_settled(const struct lrp *l) {
    return settled;
}

int lrp_image_copies(const struct lrp *l, const char *group) {
    (void)l, (void)group;
    return actual_count > 0 ? 2 : -ENOENT;
}

void lrp_instances_all(struct lrp *l, const char *process,
                       void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    lrp_instances(l, process, each, arg);
}

int lrp_cell_instances(struct lrp *l, const char *cell_id,
                       void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    if (!str_eq(cell_id, "00"))
        return -ENOENT;
    lrp_instances(l, "", each, arg);
    return 0;
}

const char *lrp_cell_state(const struct lrp_cell_view *c) {
    return c->present ? "present" : "expected";
}

const char *lrp_state_name(enum lrp_state state) {
    return state == LRP_RUNNING ? "RUNNING" : "OTHER";
}

void nodes_each(struct nodes *n, void (*each)(void *arg, const struct node_view *v), void *arg) {
    const struct node_view views[] = {
        {.id = "00", .name = "cell-1", .version = "1.2", .is_cell = true},
        {.id = "40",
         .name = "router-1",
         .zone = "z",
         .version = "1.2",
         .heard_ms = clock_mono_ms(),
         .current = true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(views); i++)
        each(arg, &views[i]);
}

static struct {
    char guid[GUID_SIZE], source[32], text[64];
    uint64_t ns;
} lines[64];
static size_t line_count;

void say(const char *app_guid, const char *source, uint64_t wall_ns, const char *text) {
    snprintf(lines[line_count].guid, GUID_SIZE, "%s", app_guid);
    snprintf(lines[line_count].source, 32, "%s", source);
    snprintf(lines[line_count].text, 64, "%s", text);
    lines[line_count++].ns = wall_ns;
}

size_t logs_read(struct logs *l, const char *app_guid, uint64_t start_ns, uint64_t end_ns,
                 size_t limit, bool descending,
                 void (*each)(void *arg, const struct logs_line *line), void *arg) {
    size_t n = 0;
    for (size_t i = 0; i < line_count && n < limit; i++) {
        size_t at = descending ? line_count - 1 - i : i;
        if (!str_eq(lines[at].guid, app_guid) || lines[at].ns < start_ns ||
            (end_ns && lines[at].ns >= end_ns))
            continue;
        struct logs_line line = {lines[at].source,      "0", false, lines[at].ns, lines[at].text,
                                 strlen(lines[at].text)};
        each(arg, &line);
        n++;
    }
    return n;
}

static void (*subscriber)(void *arg, const struct logs_line *line);
static void *subscriber_arg;

struct logs_subscription *logs_subscribe(struct logs *l, const char *app_guid,
                                         void (*each)(void *arg, const struct logs_line *line),
                                         void *arg) {
    subscriber = each;
    subscriber_arg = arg;
    return (struct logs_subscription *)&subscriber;
}

void logs_unsubscribe(struct logs *l, struct logs_subscription *s) {
    subscriber = NULL;
}

bool is_subscribed(void) {
    return subscriber != NULL;
}

void tell_subscriber(const char *source, uint64_t wall_ns, const char *text) {
    struct logs_line line = {source, "0", false, wall_ns, text, strlen(text)};
    assert(subscriber);
    subscriber(subscriber_arg, &line);
}

void turn_loop(void) {
    event_base_loop(loop, EVLOOP_NONBLOCK);
}

void logs_forget(struct logs *l, const char *app_guid) {
}

/* --- up and down
 * ------------------------------------------------------------------------------------
 */

static void print_failure(void *data, const char *request_id, const char *text) {
    fprintf(stderr, "request %s failed: %s\n", request_id, text);
}

static void make_user(const char *name, bool admin, char guid[GUID_SIZE]) {
    struct user_row user = {
        .username = str_dup(name), .origin = str_dup("uaa"), .admin = admin, .active = true};
    OK(password_hash("secret", true, &user.password_hash, &err));
    OK(store_user_insert(store, &user, &err));
    memcpy(guid, user.guid, GUID_SIZE);
    user_row_fini(&user);
}

void harness_up(bool docker) {
    char admin[GUID_SIZE];
    snprintf(state_dir, sizeof state_dir, "/tmp/berth-api-XXXXXX");
    assert(mkdtemp(state_dir));
    OK(store_open(&store, state_dir, &err));
    make_user("admin", true, admin);
    struct org_row org = {.name = str_dup("o")};
    OK(store_org_insert(store, &org, &err));
    memcpy(org_guid, org.guid, GUID_SIZE);
    struct space_row space = {.name = str_dup("s"), .ssh = true};
    memcpy(space.org_guid, org.guid, GUID_SIZE);
    OK(store_space_insert(store, &space, &err));
    memcpy(space_guid, space.guid, GUID_SIZE);
    struct domain_row domain = {.name = str_dup("apps.test")};
    OK(store_domain_insert(store, &domain, &err));
    OK(store_flag_set(store, "diego_docker", docker, NULL, &err));
    org_row_fini(&org);
    space_row_fini(&space);
    domain_row_fini(&domain);

    loop = event_base_new();
    OK(workers_new(&workers, loop, 2, &err));
    struct api_deps deps = {.loop = loop,
                            .store = store,
                            .nodes = (struct nodes *)&actuals, /* of the fake above */
                            .workers = workers,
                            .config = &config,
                            .on_failure = print_failure};
    OK(api_new(&api, &deps, &err));
    log_in();
    desired_count = desired_all_count = staged_count = restarted_count = 0;
    actual_count = line_count = 0;
    settled = true;
    stage_at_once = true;
    staging_refuses = images_refused = impatient = false;
    *last_task = *last_command = '\0';
    task_refusal = 0;
}

void harness_down(void) {
    workers_free(workers);
    api_free(api);
    event_base_free(loop);
    store_free(store);
    free(token);
    token = NULL;
    OK(fs_remove_tree(AT_FDCWD, state_dir, &err));
}

/* --- asking
 * -----------------------------------------------------------------------------------------
 */

void answer_fini(struct answer *a) {
    free(a->text);
    free(a->location);
    json_decref(a->json);
    *a = (struct answer){0};
}

static void on_sent(struct call *c, void *arg) {
    struct answer *a = arg;
    a->status = c->status;
    snprintf(last_type, sizeof last_type, "%s", c->reply_type ? c->reply_type : "");
    a->text = str_ndup(c->reply.p ? c->reply.p : "", c->reply.n);
    a->text_n = c->reply.n;
    a->location = str_dup(c->location);
    if (c->reply_type && str_starts(c->reply_type, "application/json"))
        a->json = json_loadb(a->text, a->text_n, 0, NULL);
}

struct answer ask_full(const struct question *q) {
    struct answer a = {0};
    const char *query = strchr(q->url, '?');
    char *path = query ? str_ndup(q->url, (size_t)(query - q->url)) : str_dup(q->url);
    struct call *c = call_new(api, q->method, path, query ? query + 1 : NULL, on_sent, &a);
    free(path);
    assert(c);
    c->host = str_dup("api.test");
    c->remote = str_dup("192.0.2.1");
    c->authorization = str_dup(q->authorization);
    c->content_type = str_dup(q->type);
    if (q->body) {
        c->body_n = q->body_n ? q->body_n : strlen(q->body);
        c->body = malloc(c->body_n + 1);
        memcpy(c->body, q->body, c->body_n);
        c->body[c->body_n] = '\0';
    }
    c->hold_over = impatient;
    api_dispatch(api, c);
    while (!a.status)
        event_base_loop(loop, EVLOOP_ONCE);
    return a;
}

struct answer ask(const char *method, const char *url, const char *body) {
    char *json = str_dup(body);
    for (char *p = json; p && *p; p++)
        if (*p == '\'')
            *p = '"';
    struct answer a = ask_full(
        &(struct question){.method = method, .url = url, .authorization = token, .body = json});
    free(json);
    return a;
}

struct answer want(int status, const char *method, const char *url, const char *body) {
    struct answer a = ask(method, url, body);
    if (a.status != status) {
        fprintf(stderr, "%s %s: %d, not %d: %s\n", method, url, a.status, status, a.text);
        abort();
    }
    return a;
}

static char *grant(const char *name) {
    char form[256];
    snprintf(form, sizeof form, "grant_type=password&username=%s&password=secret", name);
    struct answer a = ask_full(&(struct question){
        .method = "POST", .url = "/oauth/token", .authorization = "Basic Y2Y6", .body = form});
    assert(a.status == 200);
    char *bearer = str_printf("bearer %s", text_at(&a, "access_token"));
    answer_fini(&a);
    return bearer;
}

void log_in(void) {
    free(token);
    token = grant("admin");
}

char *other_user(const char *name, char guid[GUID_SIZE]) {
    make_user(name, false, guid);
    return grant(name);
}

const char *text_at(const struct answer *a, const char *path) {
    const char *text = body_text(a->json, path);
    return text ? text : "";
}

static json_t *first_error(const struct answer *a) {
    return json_array_get(json_object_get(a->json, "errors"), 0);
}

int code_of(const struct answer *a) {
    const json_t *own = json_object_get(a->json, "error_code"); /* API v2: one error */
    return (int)json_integer_value(json_object_get(own ? a->json : first_error(a), "code"));
}

const char *detail_of(const struct answer *a) {
    const char *text = json_string_value(json_object_get(first_error(a), "detail"));
    return text ? text : "";
}
