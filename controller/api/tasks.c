/* tasks.c - /v3/tasks: commands that run once, beside an app and with its environment. */
#include "controller/store/tasks.h"

#include <errno.h>

#include "controller/api/resources.h"
#include "controller/staging/staging.h"

#define COMMAND_MAX 4096 /* cc: app/models/runtime/task_model.rb */
#define NAME_MAX_   255
#define PRIVATE     "[PRIVATE DATA HIDDEN]" /* cc: Censorship::PRIVATE_DATA_HIDDEN */
#define NO_DROPLET                                                                                 \
    "Task must have a droplet. Specify droplet or assign current droplet to app." /* CLIs look for \
                                                                                     it */

/* --- showing
 * --------------------------------------------------------------------------------------
 */

static json_t *task_json(struct call *c, const struct task_row *t, bool with_command) {
    json_t *links = json_pack("{s:o,s:o,s:o,s:o}", "self", json_link(c, "/v3/tasks/%s", t->guid),
                              "app", json_link(c, "/v3/apps/%s", t->app_guid), "cancel",
                              json_link_post(c, "/v3/tasks/%s/actions/cancel", t->guid), "droplet",
                              json_link(c, "/v3/droplets/%s", t->droplet_guid));
    json_t *task = json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:I,s:I,s:I,s:o,s:{s:o},s:o,s:o,s:o,s:o,s:{s:o},s:o}", "guid",
        t->guid, "name", t->name, "sequence_id", (json_int_t)t->sequence_id, "command",
        t->command ? t->command : "", "state", t->state, "memory_in_mb", (json_int_t)t->memory_mb,
        "disk_in_mb", (json_int_t)t->disk_mb, "log_rate_limit_in_bytes_per_second",
        (json_int_t)t->log_rate, "user", json_text_or_null(t->user), "result", "failure_reason",
        json_text_or_null(t->failure_reason), "droplet_guid", json_guid_or_null(t->droplet_guid),
        "metadata", json_metadata(t->labels, t->annotations), "created_at",
        json_time(t->created_ns), "updated_at", json_time(t->updated_ns), "relationships", "app",
        json_relation(t->app_guid), "links", links);
    if (task && !with_command)
        json_object_del(task, "command"); /* what it says may be secret */
    return task;
}

static int reply_tasks(struct call *c, struct listing *l, bool with_command) {
    _cleanup_(task_rows_fini) struct task_rows rows = {0};
    struct error err = {0};
    if (store_task_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        if (json_array_append_new(list, task_json(c, &rows.v[i], with_command)))
            return json_decref(list), fail_no_memory(c);
    return reply_list(c, l, rows.total, list, NULL);
}

int list_tasks(struct call *c) {
    static const char *const filters[] = {"guids",          "names",       "states",
                                          "app_guids",      "space_guids", "organization_guids",
                                          "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    return listing_parse(c, &l, filters, NULL) < 0 ? -1 : reply_tasks(c, &l, false);
}

int list_app_tasks(struct call *c) {
    static const char *const filters[] = {"guids",        "names",          "states",
                                          "sequence_ids", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (listing_of_app(c, &l, filters, NULL, &app) < 0)
        return -1;
    return reply_tasks(c, &l, sees_secrets(c, app.space_guid));
}

static int load_task(struct call *c, enum need need, struct task_row *ret) {
    struct error err = {0};
    int r = store_task_get(c->api->deps.store, c->params[0], ret, &err);
    return need_found(c, r, &err, "Task") < 0 ? -1 : need_space(c, ret->space_guid, need, "Task");
}

static int reply_task(struct call *c, int status, const struct task_row *t) {
    return reply_json(c, status, task_json(c, t, sees_secrets(c, t->space_guid)));
}

int get_task(struct call *c) {
    _cleanup_(task_row_fini) struct task_row t = {0};
    return load_task(c, NEED_READ, &t) < 0 ? -1 : reply_task(c, 200, &t);
}

int update_task(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(task_row_fini) struct task_row t = {0};
    struct error err = {0};
    if (load_task(c, NEED_WRITE, &t) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &t.labels, &t.annotations) < 0)
        return -1;
    if (store_task_update(c->api->deps.store, &t, &err) < 0)
        return fail_internal(c, &err);
    return reply_task(c, 200, &t);
}

/* --- making
 * ---------------------------------------------------------------------------------------
 */

static int check_body(struct call *c) {
    static const struct field guid_field[] = {
        {.name = "guid", .kind = FIELD_TEXT, .required = true, .min = 1},
    };
    static const struct field process_field[] = {FIELD_OF("process", true, guid_field)};
    const struct api_config *config = &c->api->config;
    const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .nullable = true, .min = 1, .max = NAME_MAX_},
        {.name = "command", .kind = FIELD_TEXT, .nullable = true, .min = 1, .max = COMMAND_MAX},
        FIELDS_OF_SIZE(config),
        {.name = "droplet_guid", .kind = FIELD_TEXT, .nullable = true, .min = 1},
        {.name = "user", .kind = FIELD_TEXT, .nullable = true, .min = 1},
        {.name = "template",
         .kind = FIELD_OBJECT,
         .nullable = true,
         .fields = process_field,
         .field_count = ARRAY_SIZE(process_field)},
        FIELD_METADATA,
    };
    if (body_check_all(c, fields) < 0)
        return -1;
    if (!body_text(c->json, "command") && !body_text(c->json, "template.process.guid"))
        return fail_invalid(c, "Command No command or template provided");
    const char *name = body_text(c->json, "name");
    return name ? app_name_ok(c, name) : 0;
}

/* The one given, or the app's own. */
static int choose_droplet(struct call *c, const struct app_row *app, struct droplet_row *ret) {
    const char *given = body_text(c->json, "droplet_guid");
    struct error err = {0};
    if (!given && !*app->droplet_guid)
        return fail_invalid(c, NO_DROPLET);
    int r = store_droplet_get(c->api->deps.store, given ? given : app->droplet_guid, ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !str_eq(ret->app_guid, app->guid))
        return fail_not_found(c, "Droplet");
    if (staging_check_image(c->api->deps.staging, ret->image, &err) < 0)
        return fail_invalid(c, "%s", err.msg);
    return 0;
}

static int load_template(struct call *c, const struct app_row *app, struct process_row *ret) {
    const char *guid = body_text(c->json, "template.process.guid");
    struct error err = {0};
    if (!guid)
        return 0;
    int r = store_process_get(c->api->deps.store, guid, ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    return r < 0 || !str_eq(ret->app_guid, app->guid) ? fail_not_found(c, "Process") : 0;
}

static void take_number(const json_t *body, const char *name, uint64_t *to) {
    int64_t value;
    if (body_int(body, name, &value))
        *to = (uint64_t)value;
}

/* What was asked for, else what the template has, else what apps get. */
static void take_sizes(struct call *c, const struct process_row *like, struct task_row *t) {
    const struct api_config *config = &c->api->config;
    bool has = *like->guid;
    t->memory_mb = has ? like->memory_mb : config->default_memory_mb;
    t->disk_mb = has ? like->disk_mb : config->default_disk_mb;
    t->log_rate = has ? like->log_rate : -1;
    take_number(c->json, "memory_in_mb", &t->memory_mb);
    take_number(c->json, "disk_in_mb", &t->disk_mb);
    body_int(c->json, "log_rate_limit_in_bytes_per_second", &t->log_rate);
}

/* cc: eight hexadecimal digits. */
static int take_name(struct call *c, struct task_row *t) {
    const char *name = body_text(c->json, "name");
    uint32_t random;
    random_bytes(&random, sizeof random);
    t->name = name ? str_dup(name) : str_printf("%08x", random);
    return t->name ? 0 : fail_no_memory(c);
}

/* *ret_run: the command that a shell runs; NULL: the image's own. The row gets what people see. */
static int take_command(struct call *c, const struct process_row *like,
                        const struct droplet_row *droplet, struct task_row *t,
                        const char **ret_run) {
    const char *command = body_text(c->json, "command");
    *ret_run = command ? command : like->command;
    if (*ret_run)
        return str_set(&t->command, *ret_run) < 0 ? fail_no_memory(c) : 0;
    json_t *types = json_stored(droplet->process_types, "{}");
    const char *detected = json_string_value(json_object_get(types, "web"));
    int r = str_set(&t->command, detected ? detected : "");
    json_decref(types);
    return r < 0 ? fail_no_memory(c) : 0;
}

static int insert(struct call *c, const struct app_row *app, const struct droplet_row *droplet,
                  const char *command, struct task_row *t) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    void *run_info = NULL;
    size_t n = 0;
    memcpy(t->app_guid, app->guid, GUID_SIZE);
    memcpy(t->droplet_guid, droplet->guid, GUID_SIZE);
    memcpy(t->space_guid, app->space_guid, GUID_SIZE);
    if (str_set(&t->state, "PENDING") < 0 || str_set(&t->user, body_text(c->json, "user")) < 0)
        return fail_no_memory(c);
    if (store_task_number(store, app->guid, &t->sequence_id, &err) < 0 ||
        store_task_insert(store, t, &err) < 0)
        return fail_internal(c, &err);
    int r = staging_pack_task(c->api->deps.staging, app, droplet, t, command, &run_info, &n, &err);
    if (r == -ENOEXEC || r == -E2BIG)
        return fail_invalid(c, "%s", err.msg);
    if (r == 0) {
        r = store_task_set_run_info(store, t->guid, run_info, n, &err);
        mem_wipe(run_info, n); /* environment and registry password */
        free(run_info);
    }
    return r < 0 ? fail_internal(c, &err) : 0;
}

static int record(struct call *c, const char *type, const struct app_row *app,
                  const struct task_row *t, json_t *request) {
    json_t *data = json_pack("{s:s}", "task_guid", t->guid);
    if (request && json_object_get(request, "command"))
        json_object_set_new(request, "command", json_string(PRIVATE));
    if (request)
        json_object_set_new(data, "request", request);
    return record_event(c, type, app, data);
}

int create_task(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(droplet_row_fini) struct droplet_row droplet = {0};
    _cleanup_(process_row_fini) struct process_row like = {0};
    _cleanup_(task_row_fini) struct task_row t = {0};
    const char *command = NULL;
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0 || need_flag(c, "task_creation") < 0 ||
        check_body(c) < 0 || need_docker(c, &app) < 0 || choose_droplet(c, &app, &droplet) < 0 ||
        load_template(c, &app, &like) < 0 || take_name(c, &t) < 0 ||
        take_command(c, &like, &droplet, &t, &command) < 0 ||
        metadata_merge(c, c->json, &t.labels, &t.annotations) < 0)
        return -1;
    take_sizes(c, &like, &t);
    if (insert(c, &app, &droplet, command, &t) < 0 ||
        record(c, "audit.app.task.create", &app, &t, json_copy(c->json)) < 0 ||
        after_commit(c, AFTER_TASK, t.guid) < 0)
        return -1;
    return reply_task(c, 202, &t);
}

/* --- ending
 * ---------------------------------------------------------------------------------------
 */

int cancel_task(struct call *c) {
    _cleanup_(task_row_fini) struct task_row t = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    struct error err = {0};
    if (load_task(c, NEED_WRITE, &t) < 0 || load_app(c, t.app_guid, NEED_WRITE, &app) < 0)
        return -1;
    if (str_eq(t.state, "SUCCEEDED") || str_eq(t.state, "FAILED"))
        return fail_invalid(c, "Task state is %s and therefore cannot be canceled", t.state);
    if (str_set(&t.state, "CANCELING") < 0)
        return fail_no_memory(c);
    if (store_task_update(c->api->deps.store, &t, &err) < 0)
        return fail_internal(c, &err);
    if (record(c, "audit.app.task.cancel", &app, &t, NULL) < 0 ||
        after_commit(c, AFTER_TASK, t.guid) < 0)
        return -1;
    return reply_task(c, 202, &t);
}
