/* revisions.c - what an app was made of each time it was started: kept, compared, gone back to. */
#include "controller/api/resources.h"

#define KEEP_REVISIONS 100 /* cc: max_retained_revisions_per_app */

/* --- showing
 * --------------------------------------------------------------------------------------
 */

static json_t *revision_json(struct call *c, const struct revision_row *r) {
    json_t *processes = json_object(), *commands = json_stored(r->commands, "{}"), *command;
    const char *type;
    json_object_foreach(commands, type, command) {
        json_object_set_new(processes, type, json_pack("{s:O}", "command", command));
    }
    json_decref(commands);
    json_t *links =
        json_pack("{s:o,s:o,s:o}", "self", json_link(c, "/v3/revisions/%s", r->guid), "app",
                  json_link(c, "/v3/apps/%s", r->app_guid), "environment_variables",
                  json_link(c, "/v3/revisions/%s/environment_variables", r->guid));
    return json_pack("{s:s,s:o,s:o,s:I,s:{s:o},s:o,s:[],s:s,s:b,s:{s:o},s:o,s:o}", "guid", r->guid,
                     "created_at", json_time(r->created_ns), "updated_at", json_time(r->updated_ns),
                     "version", (json_int_t)r->version, "droplet", "guid",
                     json_text_or_null(r->droplet_guid), "processes", processes, "sidecars",
                     "description", r->description, "deployable", r->deployable, "relationships",
                     "app", json_relation(r->app_guid), "metadata",
                     json_metadata(r->labels, r->annotations), "links", links);
}

int list_app_revisions(struct call *c) {
    static const char *const filters[] = {"guids", "versions", "label_selector", NULL};
    static const char *const also[] = {"deployable=true", "deployable=false", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    const char *deployable = call_query(c, "deployable");
    if (listing_of_app(c, &l, filters, also, &app) < 0)
        return -1;
    if (deployable)
        listing_add(&l, "deployable", &deployable);
    return reply_rows(c, &l, revision, revision_json);
}

/* Those that run now: the app's own, and in a deployment those of the versions that go. */
int list_deployed_revisions(struct call *c) {
    static const char *const none[] = {NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(old_version_rows_fini) struct old_version_rows olds = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0 || listing_parse(c, &l, none, NULL) < 0 ||
        app_old_versions(c, app.guid, &olds) < 0)
        return -1;
    const char **guids = mem_calloc(olds.n + 1, sizeof *guids);
    size_t n = 0;
    if (!guids)
        return fail_no_memory(c);
    if (app.started && app.revision_guid[0])
        guids[n++] = app.revision_guid;
    for (size_t i = 0; app.started && i < olds.n; i++)
        if (olds.v[i].instances && olds.v[i].revision_guid[0])
            guids[n++] = olds.v[i].revision_guid;
    struct store_filter *filter = &l.filters[l.query.filter_count++];
    *filter = (struct store_filter){"guids", guids, n};
    l.query.filters = l.filters;
    int r = reply_rows(c, &l, revision, revision_json);
    free(guids);
    return r;
}

static int load_revision(struct call *c, enum need need, struct revision_row *ret) {
    struct error err = {0};
    int r = store_revision_get(c->api->deps.store, c->params[0], ret, &err);
    return need_found(c, r, &err, "Revision") < 0
               ? -1
               : need_space(c, ret->space_guid, need, "Revision");
}

int get_revision(struct call *c) {
    _cleanup_(revision_row_fini) struct revision_row r = {0};
    return load_revision(c, NEED_READ, &r) < 0 ? -1 : reply_json(c, 200, revision_json(c, &r));
}

int update_revision(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(revision_row_fini) struct revision_row r = {0};
    struct error err = {0};
    if (load_revision(c, NEED_WRITE, &r) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &r.labels, &r.annotations) < 0)
        return -1;
    if (store_revision_update(c->api->deps.store, &r, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, revision_json(c, &r));
}

int get_revision_vars(struct call *c) {
    _cleanup_(revision_row_fini) struct revision_row r = {0};
    if (load_revision(c, NEED_WRITE, &r) < 0)
        return -1;
    json_t *links = json_pack("{s:o,s:o,s:o}", "self",
                              json_link(c, "/v3/revisions/%s/environment_variables", r.guid),
                              "revision", json_link(c, "/v3/revisions/%s", r.guid), "app",
                              json_link(c, "/v3/apps/%s", r.app_guid));
    return reply_json(c, 200,
                      json_pack("{s:o,s:o}", "var", json_stored(r.env, "{}"), "links", links));
}

/* --- making
 * ---------------------------------------------------------------------------------------
 */

/* {"web": null, "worker": "run"} */
static json_t *commands_of(struct call *c, const struct app_row *app) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    if (app_processes(c, app->guid, &rows) < 0)
        return NULL;
    json_t *commands = json_object();
    for (size_t i = 0; i < rows.n; i++)
        json_object_set_new(commands, rows.v[i].type, json_text_or_null(rows.v[i].command));
    return commands;
}

static bool same_json(const char *a, const char *b) {
    json_t *x = json_stored(a, "{}"), *y = json_stored(b, "{}");
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static void say_commands(struct strbuf *out, const json_t *before, json_t *now) {
    const char *type;
    json_t *command;
    json_object_foreach(now, type, command) {
        const json_t *was = json_object_get(before, type);
        bool had = json_is_string(was), has = json_is_string(command);
        if ((had || has) && !json_equal(was, command))
            strbuf_printf(out, "%sCustom start command %s '%s' process.", out->n ? " " : "",
                          !had   ? "added for"
                          : !has ? "removed for"
                                 : "updated for",
                          type);
    }
}

/* What is new since `last`, in Cloud Controller's words; empty: nothing. */
static void say_changes(struct strbuf *out, const struct revision_row *last,
                        const struct app_row *app, json_t *commands) {
    json_t *before = json_stored(last->commands, "{}");
    if (!str_eq(last->droplet_guid, app->droplet_guid))
        strbuf_puts(out, "New droplet deployed.");
    if (!same_json(last->env, app->env))
        strbuf_printf(out, "%sNew environment variables deployed.", out->n ? " " : "");
    say_commands(out, before, commands);
    json_decref(before);
}

static int latest_revision(struct call *c, const char *app_guid, struct revision_rows *ret) {
    const struct store_filter filter = {"app_guids", &app_guid, 1};
    const struct store_query query = {
        .filters = &filter, .filter_count = 1, .descending = true, .limit = 1};
    struct error err = {0};
    return store_revision_list(c->api->deps.store, &query, ret, &err) < 0 ? fail_internal(c, &err)
                                                                          : 0;
}

static int insert_revision(struct call *c, struct app_row *app, uint64_t version,
                           const char *description, const json_t *commands) {
    struct store *store = c->api->deps.store;
    _cleanup_(revision_row_fini) struct revision_row row = {.version = version,
                                                            .description = str_dup(description),
                                                            .commands =
                                                                json_dumps(commands, JSON_COMPACT)};
    struct error err = {0};
    memcpy(row.app_guid, app->guid, GUID_SIZE);
    memcpy(row.droplet_guid, app->droplet_guid, GUID_SIZE);
    if (!row.description || !row.commands || (app->env && !(row.env = str_dup(app->env))))
        return fail_no_memory(c);
    if (store_revision_insert(store, &row, &err) < 0 ||
        store_revision_trim(store, app->guid, KEEP_REVISIONS, &err) < 0)
        return fail_internal(c, &err);
    memcpy(app->revision_guid, row.guid, GUID_SIZE);
    return record_event(
        c, "audit.app.revision.create", app,
        json_pack("{s:s,s:I}", "revision_guid", row.guid, "revision_version", (json_int_t)version));
}

static int note(struct call *c, struct app_row *app, json_t *commands, uint64_t rolled_back_to,
                uint64_t *ret_version) {
    _cleanup_(revision_rows_fini) struct revision_rows last = {0};
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    if (latest_revision(c, app->guid, &last) < 0)
        return -1;
    if (last.n == 0)
        strbuf_puts(&text, "Initial revision.");
    else
        say_changes(&text, &last.v[0], app, commands);
    if (rolled_back_to && text.n == 0)
        return fail_invalid(c, "Unable to rollback. The code and configuration you are rolling "
                               "back to is the same as the deployed revision.");
    if (rolled_back_to)
        strbuf_printf(&text, " Rolled back to revision %llu.", (unsigned long long)rolled_back_to);
    if (text.failed)
        return fail_no_memory(c);
    *ret_version = last.n ? last.v[0].version : 0;
    if (text.n)
        return insert_revision(c, app, ++*ret_version, text.p, commands);
    memcpy(app->revision_guid, last.v[0].guid, GUID_SIZE);
    return 0;
}

int revision_note(struct call *c, struct app_row *app, uint64_t rolled_back_to,
                  uint64_t *ret_version) {
    uint64_t version = 0;
    int r = 0;
    app->revision_guid[0] = '\0';
    if (!app->revisions_off) {
        json_t *commands = commands_of(c, app);
        r = commands ? note(c, app, commands, rolled_back_to, &version) : fail_no_memory(c);
        json_decref(commands);
    }
    if (ret_version)
        *ret_version = version;
    return r;
}

int revision_apply(struct call *c, const struct revision_row *r, struct app_row *app) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    int result = 0;
    memcpy(app->droplet_guid, r->droplet_guid, GUID_SIZE);
    free(app->env);
    app->env = r->env ? str_dup(r->env) : NULL;
    if ((r->env && !app->env) || app_processes(c, app->guid, &rows) < 0)
        return c->errors ? -1 : fail_no_memory(c);
    json_t *commands = json_stored(r->commands, "{}");
    for (size_t i = 0; result == 0 && i < rows.n; i++) {
        const json_t *command = json_object_get(commands, rows.v[i].type);
        if (!command)
            continue; /* a process that came later */
        free(rows.v[i].command);
        rows.v[i].command = NULL;
        if (json_is_string(command) && str_set(&rows.v[i].command, json_string_value(command)) < 0)
            result = fail_no_memory(c);
        else
            result = process_save(c, &rows.v[i]);
    }
    json_decref(commands);
    return result;
}
