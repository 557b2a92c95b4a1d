/* deployments.c - /v3/deployments. */
#include <errno.h>

#include "controller/api/deploy.h"

/* The CLI asks at once and then every 3 s: an answer that waits a little saves most of them. */
#define HOLD_MS     1000
#define STEPS_MAX   20
#define CANARY_OF_1 "[0]" /* no steps were given: one instance, see rollout_canary() */

/* --- showing
 * --------------------------------------------------------------------------------------
 */

static json_t *status_json(const struct deployment_row *d) {
    json_t *status =
        json_pack("{s:s,s:s,s:{s:o,s:o}}", "value", d->status_value, "reason", d->status_reason,
                  "details", "last_successful_healthcheck", json_time(d->healthy_ns),
                  "last_status_change", json_time(d->changed_ns));
    if (!d->canary_steps || !status)
        return status;
    json_t *steps = json_stored(d->canary_steps, "[]");
    json_int_t total = (json_int_t)json_array_size(steps);
    json_decref(steps);
    json_object_set_new(status, "canary",
                        json_pack("{s:{s:I,s:I}}", "steps", "current",
                                  MIN((json_int_t)d->canary_step + 1, total), "total", total));
    return status;
}

static json_t *options_json(const struct deployment_row *d) {
    json_t *options = json_pack("{s:I}", "max_in_flight", (json_int_t)d->max_in_flight);
    if (!d->canary_steps || str_eq(d->canary_steps, CANARY_OF_1))
        return options;
    json_t *weights = json_stored(d->canary_steps, "[]"), *steps = json_array(), *weight;
    size_t i;
    json_array_foreach(weights, i, weight) {
        json_array_append_new(steps, json_pack("{s:O}", "instance_weight", weight));
    }
    json_decref(weights);
    json_object_set_new(options, "canary", json_pack("{s:o}", "steps", steps));
    return options;
}

static json_t *deployment_json(struct call *c, const struct deployment_row *d) {
    json_t *links = json_pack("{s:o,s:o,s:o}", "self", json_link(c, "/v3/deployments/%s", d->guid),
                              "app", json_link(c, "/v3/apps/%s", d->app_guid), "cancel",
                              json_link_post(c, "/v3/deployments/%s/actions/cancel", d->guid));
    if (links && d->canary_steps)
        json_object_set_new(links, "continue",
                            json_link_post(c, "/v3/deployments/%s/actions/continue", d->guid));
    json_t *revision = d->revision_guid[0] ? json_pack("{s:s,s:I}", "guid", d->revision_guid,
                                                       "version", (json_int_t)d->revision_version)
                                           : json_null();
    return json_pack(
        "{s:s,s:o,s:o,s:o,s:s,s:o,s:{s:o},s:{s:o},s:[{s:s,s:s}],s:o,s:{s:o},s:o,s:o}", "guid",
        d->guid, "created_at", json_time(d->created_ns), "updated_at", json_time(d->updated_ns),
        "status", status_json(d), "strategy", d->strategy, "options", options_json(d), "droplet",
        "guid", json_text_or_null(d->droplet_guid), "previous_droplet", "guid",
        json_guid_or_null(d->previous_droplet_guid), "new_processes", "guid", d->process_guid,
        "type", "web", "revision", revision, "relationships", "app", json_relation(d->app_guid),
        "metadata", json_metadata(d->labels, d->annotations), "links", links);
}

int list_deployments(struct call *c) {
    static const char *const filters[] = {
        "guids", "app_guids", "status_values", "status_reasons", "states", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    if (listing_parse(c, &l, filters, NULL) < 0)
        return -1;
    return reply_rows(c, &l, deployment, deployment_json);
}

static int load_deployment(struct call *c, enum need need, struct deployment_row *ret) {
    struct error err = {0};
    int r = store_deployment_get(c->api->deps.store, c->params[0], ret, &err);
    return need_found(c, r, &err, "Deployment") < 0
               ? -1
               : need_space(c, ret->space_guid, need, "Deployment");
}

int get_deployment(struct call *c) {
    _cleanup_(deployment_row_fini) struct deployment_row d = {0};
    if (load_deployment(c, NEED_READ, &d) < 0)
        return -1;
    bool moving = str_eq(d.status_value, "ACTIVE") && !str_eq(d.status_reason, "PAUSED");
    if (moving && call_hold(c, HOLD_MS))
        return 0;
    return reply_json(c, 200, deployment_json(c, &d));
}

int update_deployment(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(deployment_row_fini) struct deployment_row d = {0};
    struct error err = {0};
    if (load_deployment(c, NEED_WRITE, &d) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &d.labels, &d.annotations) < 0)
        return -1;
    if (store_deployment_update(c->api->deps.store, &d, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, deployment_json(c, &d));
}

/* --- creating
 * -------------------------------------------------------------------------------------
 */

static const struct field guid_fields[] = {
    {.name = "guid", .kind = FIELD_TEXT, .nullable = true, .min = 1},
    {.name = "version", .kind = FIELD_INT, .nullable = true},
};
static const struct field app_field[] = {FIELD_RELATION("app", true)};
static const struct field step_fields[] = {
    {.name = "instance_weight", .kind = FIELD_INT, .required = true, .min = 1, .max = 100},
};
static const struct field canary_fields[] = {
    {.name = "steps",
     .kind = FIELD_LIST,
     .nullable = true,
     .max = STEPS_MAX,
     .fields = step_fields,
     .field_count = ARRAY_SIZE(step_fields)},
};

static int check_body(struct call *c) {
    const struct api_config *config = &c->api->config;
    const int64_t instances = (int64_t)config->max_instances;
    const struct field options[] = {
        {.name = "max_in_flight", .kind = FIELD_INT, .nullable = true, .min = 1, .max = instances},
        {.name = "web_instances", .kind = FIELD_INT, .nullable = true, .min = 0, .max = instances},
        FIELDS_OF_SIZE(config),
        {.name = "canary",
         .kind = FIELD_OBJECT,
         .nullable = true,
         .fields = canary_fields,
         .field_count = ARRAY_SIZE(canary_fields)},
    };
    const struct field fields[] = {
        FIELD_OF("relationships", true, app_field),
        {.name = "droplet",
         .kind = FIELD_OBJECT,
         .nullable = true,
         .fields = guid_fields,
         .field_count = 1},
        {.name = "revision",
         .kind = FIELD_OBJECT,
         .nullable = true,
         .fields = guid_fields,
         .field_count = ARRAY_SIZE(guid_fields)},
        {.name = "strategy", .kind = FIELD_TEXT, .nullable = true},
        {.name = "options",
         .kind = FIELD_OBJECT,
         .nullable = true,
         .fields = options,
         .field_count = ARRAY_SIZE(options)},
        FIELD_METADATA,
    };
    if (body_check_all(c, fields) < 0)
        return -1;
    if (body_text(c->json, "droplet.guid") && body_text(c->json, "revision.guid"))
        return fail_invalid(c, "Cannot set both fields 'droplet' and 'revision'");
    return 0;
}

static int load_revision_to_deploy(struct call *c, const struct app_row *app, const char *guid,
                                   struct revision_row *ret) {
    struct error err = {0};
    int r = store_revision_get(c->api->deps.store, guid, ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !str_eq(ret->app_guid, app->guid))
        return fail_invalid(c, "The revision does not exist");
    if (!ret->deployable)
        return fail_invalid(
            c, "Unable to deploy this revision, the droplet for this revision no longer exists.");
    return 0;
}

/* The one given, the revision's, or the app's own. */
static int choose_droplet(struct call *c, const struct app_row *app, struct revision_row *revision,
                          struct droplet_row *ret) {
    const char *droplet = body_text(c->json, "droplet.guid"),
               *revision_guid = body_text(c->json, "revision.guid");
    struct error err = {0};
    if (revision_guid && load_revision_to_deploy(c, app, revision_guid, revision) < 0)
        return -1;
    const char *guid = droplet         ? droplet
                       : revision_guid ? revision->droplet_guid
                                       : app->droplet_guid;
    if (!*guid)
        return fail_invalid(c, "Invalid droplet. Please specify a droplet in the request or set a "
                               "current droplet for the app.");
    int r = store_droplet_get(c->api->deps.store, guid, ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !str_eq(ret->app_guid, app->guid) || !str_eq(ret->state, "STAGED"))
        return fail_invalid(c, "Unable to assign current droplet. Ensure the droplet exists and "
                               "belongs to this app.");
    return 0;
}

static void take_number(const json_t *body, const char *path, uint64_t *to) {
    int64_t value;
    if (body_int(body, path, &value))
        *to = (uint64_t)value;
}

static int take_canary(struct call *c, struct deployment_row *d) {
    json_t *weights = json_array(), *step;
    int64_t weight = 0, before = 0;
    size_t i;
    json_array_foreach(body_at(c->json, "options.canary.steps"), i, step) {
        body_int(step, "instance_weight", &weight);
        if (weight < before) {
            json_decref(weights);
            return fail_invalid(c, "Options canary steps must be sorted in ascending order");
        }
        before = weight;
        json_array_append_new(weights, json_integer(weight));
    }
    d->canary_steps = i ? json_dumps(weights, JSON_COMPACT) : str_dup(CANARY_OF_1);
    json_decref(weights);
    return d->canary_steps ? 0 : fail_no_memory(c);
}

static int take_strategy(struct call *c, struct deployment_row *d) {
    const char *strategy = body_text(c->json, "strategy");
    strategy = strategy ? strategy : "rolling";
    if (!str_eq(strategy, "rolling") && !str_eq(strategy, "canary"))
        return fail_invalid(c, "Strategy '%.50s' is not a supported deployment strategy", strategy);
    if (str_eq(strategy, "rolling") && json_is_object(body_at(c->json, "options.canary")))
        return fail_invalid(c, "Canary options are only valid for Canary deployments");
    if (str_set(&d->strategy, strategy) < 0)
        return fail_no_memory(c);
    d->max_in_flight = 1;
    take_number(c->json, "options.max_in_flight", &d->max_in_flight);
    return str_eq(strategy, "canary") ? take_canary(c, d) : 0;
}

static int take_size(struct call *c, const struct process_row *web, struct process_size *ret) {
    *ret = (struct process_size){web->instances, web->memory_mb, web->disk_mb, web->log_rate};
    take_number(c->json, "options.web_instances", &ret->instances);
    take_number(c->json, "options.memory_in_mb", &ret->memory_mb);
    take_number(c->json, "options.disk_in_mb", &ret->disk_mb);
    body_int(c->json, "options.log_rate_limit_in_bytes_per_second", &ret->log_rate);
    return ret->instances == web->instances && ret->memory_mb == web->memory_mb &&
                   ret->disk_mb == web->disk_mb && ret->log_rate == web->log_rate
               ? 0
               : need_flag(c, "app_scaling");
}

int create_deployment(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(process_row_fini) struct process_row web = {0};
    _cleanup_(revision_row_fini) struct revision_row revision = {0};
    _cleanup_(droplet_row_fini) struct droplet_row droplet = {0};
    _cleanup_(deployment_row_fini) struct deployment_row d = {0};
    struct deploy_wish wish = {.droplet_guid = droplet.guid};
    if (check_body(c) < 0 ||
        load_related_app(c,
                         "Unable to use app. Ensure that the app exists and you have access to it.",
                         &app) < 0 ||
        need_docker(c, &app) < 0 || choose_droplet(c, &app, &revision, &droplet) < 0 ||
        load_app_process(c, app.guid, "web", NEED_READ, &web) < 0 || take_strategy(c, &d) < 0 ||
        take_size(c, &web, &wish.size) < 0 ||
        metadata_merge(c, c->json, &d.labels, &d.annotations) < 0)
        return -1;
    if (revision.guid[0])
        wish.revision = &revision;
    if (deployment_begin(c, &wish, &app, &web, &d) < 0)
        return -1;
    return reply_json(c, 201, deployment_json(c, &d));
}

/* --- actions
 * --------------------------------------------------------------------------------------
 */

static int act(struct call *c,
               int (*action)(struct call *c, struct deployment_row *d, struct app_row *app)) {
    _cleanup_(deployment_row_fini) struct deployment_row d = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_deployment(c, NEED_WRITE, &d) < 0 || load_app(c, d.app_guid, NEED_WRITE, &app) < 0 ||
        action(c, &d, &app) < 0)
        return -1;
    return reply_json(c, 200, deployment_json(c, &d));
}

int cancel_deployment(struct call *c) {
    return act(c, deployment_cancel);
}

int continue_deployment(struct call *c) {
    return act(c, deployment_continue);
}
