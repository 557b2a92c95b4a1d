#include "controller/api/call.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "controller/api/internal.h"
#include "controller/api/v2/v2.h"
#include "controller/store/jobs.h"

#define ERRORS_MAX 50   /* messages in one answer */
#define HELD_MAX   1000 /* calls held at a time; more are answered at once */

struct call *call_new(struct api *api, const char *method, const char *path, const char *query,
                      void (*send)(struct call *c, void *arg), void *arg) {
    _cleanup_(call_freep) struct call *c = mem_zalloc(sizeof *c);
    if (!c)
        return NULL;
    c->api = api;
    c->send = send;
    c->send_arg = arg;
    c->after_end = &c->after;
    c->begun_ns = clock_mono_ns();
    guid_new(c->request_id);
    if (str_set(&c->method, method) < 0 || str_set(&c->path, path) < 0 ||
        str_set(&c->query, query ? query : "") < 0)
        return NULL;
    return TAKE_PTR(c);
}

void call_free(struct call *c) {
    if (!c)
        return;
    char *const texts[] = {c->websocket_key,
                           c->method,
                           c->path,
                           c->query,
                           c->authorization,
                           c->content_type,
                           c->host,
                           c->remote,
                           c->base,
                           c->location,
                           c->identity.name,
                           c->identity.jti,
                           c->identity.session};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    if (c->body)
        mem_wipe(c->body, c->body_n); /* may hold a password */
    free(c->body);
    for (size_t i = 0; i < CALL_PARAMS_MAX; i++)
        free(c->params[i]);
    for (size_t i = 0; i < c->query_count; i++) {
        free(c->queries[i].key);
        free(c->queries[i].value);
    }
    for (struct after *a = c->after, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    json_decref(c->json);
    json_decref(c->errors);
    strbuf_fini(&c->reply);
    free(c);
}

/* --- ending
 * ---------------------------------------------------------------------------------------
 */

/* The words that the CLIs decide on (uaa: error responses of /Users and /oauth). */
static json_t *uaa_error(const struct call *c) {
    json_t *first = json_array_get(c->errors, 0);
    const char *detail = json_string_value(json_object_get(first, "detail"));
    bool token = json_integer_value(json_object_get(first, "code")) == 1000 || !c->identity.jti;
    const char *error = c->status == 400   ? "invalid_scim_resource"
                        : c->status == 401 ? token ? "invalid_token" : "unauthorized"
                        : c->status == 403 ? "insufficient_scope"
                        : c->status == 404 ? "scim_resource_not_found"
                        : c->status == 409 ? "scim_resource_already_exists"
                        : c->status == 422 ? "invalid_password"
                                           : "server_error";
    return json_pack("{s:s,s:s,s:s}", "error", error, "error_description", detail, "message",
                     detail);
}

static void render_errors(struct call *c) {
    bool uaa = c->endpoint && c->endpoint->uaa, v2 = str_starts(c->path, "/v2/");
    json_t *body = uaa  ? uaa_error(c)
                   : v2 ? v2_error_json(c)
                        : json_pack("{s:O}", "errors", c->errors);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    strbuf_clear(&c->reply);
    strbuf_puts(&c->reply,
                text ? text
                     : "{\"errors\":[{\"code\":10001,\"title\":\"UnknownError\",\"detail\":"
                       "\"An unknown error occurred.\"}]}");
    free(text);
    c->reply_type = "application/json; charset=utf-8";
}

void call_finish(struct call *c) {
    if (!c->status && !c->errors)
        fail_plain(c, CC_UNKNOWN_ERROR);
    if (c->errors)
        render_errors(c);
    c->state = CALL_ANSWERED;
    api_untrack(c);
    c->api->counters.answered[MIN(c->status / 100, 5)]++;
    if (!c->hold_till) /* that one waited on purpose */
        histogram_add(&c->api->latency, (double)(clock_mono_ns() - c->begun_ns) / 1e9);
    c->send(c, c->send_arg);
    call_free(c);
}

bool call_hold(struct call *c, uint64_t max_ms) {
    uint64_t now = clock_mono_ms();
    if (!c->hold_till) {
        if (c->api->held >= HELD_MAX)
            c->hold_over = true;
        c->hold_till = now + max_ms;
    }
    if (c->hold_over || now >= c->hold_till)
        return false;
    c->state = CALL_HELD;
    return true;
}

/* The Host header goes into links: only what can be a host and a port. */
static bool host_ok(const char *host) {
    if (str_empty(host) || strlen(host) > 260)
        return false;
    for (const char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(".-_:[]", *p))
            return false;
    return true;
}

const char *call_base(struct call *c) {
    const struct api_config *config = &c->api->config;
    if (!c->base)
        c->base = config->external_url
                      ? str_dup(config->external_url)
                      : str_printf("%s://%s", config->certificate ? "https" : "http",
                                   host_ok(c->host) ? c->host : "localhost");
    return c->base;
}

const char *call_query(const struct call *c, const char *key) {
    for (size_t i = 0; i < c->query_count; i++)
        if (str_eq(c->queries[i].key, key))
            return c->queries[i].value;
    return NULL;
}

/* --- answering
 * ------------------------------------------------------------------------------------
 */

int reply_json(struct call *c, int status, json_t *body) {
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(body);
    if (!text)
        return fail_no_memory(c);
    strbuf_clear(&c->reply);
    strbuf_puts(&c->reply, text);
    free(text);
    if (c->reply.failed)
        return fail_no_memory(c);
    c->reply_type = "application/json; charset=utf-8";
    c->status = status;
    return 0;
}

int reply_text(struct call *c, int status, const char *type, const char *text) {
    strbuf_clear(&c->reply);
    strbuf_puts(&c->reply, text);
    if (c->reply.failed)
        return fail_no_memory(c);
    c->reply_type = type;
    c->status = status;
    return 0;
}

int reply_nothing(struct call *c, int status) {
    strbuf_clear(&c->reply);
    c->status = status;
    return 0;
}

int reply_websocket(struct call *c,
                    int (*on_websocket)(struct api *api, struct websocket *ws, const char *guid,
                                        int how),
                    const char *guid, int how) {
    if (!c->websocket_key)
        return fail(c, CC_BAD_REQUEST, "Bad request: this is for websockets, version 13");
    c->on_websocket = on_websocket;
    c->websocket_how = how;
    snprintf(c->websocket_guid, sizeof c->websocket_guid, "%s", guid);
    return reply_nothing(c, 101);
}

int reply_job(struct call *c, const char *operation) {
    struct error err = {0};
    _cleanup_(job_row_fini) struct job_row job = {.operation = str_dup(operation),
                                                  .state = str_dup("COMPLETE")};
    if (!job.operation || !job.state)
        return fail_no_memory(c);
    if (store_job_insert(c->api->deps.store, &job, &err) < 0)
        return fail_internal(c, &err);
    const char *base = call_base(c);
    free(c->location);
    c->location = base ? str_printf("%s/v3/jobs/%s", base, job.guid) : NULL;
    return c->location ? reply_nothing(c, 202) : fail_no_memory(c);
}

int fail(struct call *c, enum cc_error e, const char *fmt, ...) {
    const struct cc_error_info *info = cc_error_info(e);
    char detail[1024];
    va_list ap;
    if (!c->errors) {
        c->errors = json_array();
        c->status = info->status;
    }
    if (fmt) {
        va_start(ap, fmt);
        int n = vsnprintf(detail, sizeof detail, fmt, ap);
        va_end(ap);
        /* A cut in the middle of a character would make it no text at all. */
        if (n >= (int)sizeof detail)
            for (size_t end = sizeof detail - 1; end && !str_is_utf8(detail, end);)
                detail[--end] = '\0';
    } else {
        snprintf(detail, sizeof detail, "%s", info->detail);
    }
    if (json_array_size(c->errors) < ERRORS_MAX)
        json_array_append_new(c->errors,
                              json_pack("{s:i,s:s,s:o}", "code", info->code, "title", info->title,
                                        "detail", json_text_or_null(detail)));
    return -1;
}

int fail_internal(struct call *c, const struct error *err) {
    const struct api_deps *deps = &c->api->deps;
    if (deps->on_failure)
        deps->on_failure(deps->data, c->request_id, err->msg);
    return fail_plain(c, err->code == -ENOSPC ? CC_UNAVAILABLE : CC_UNKNOWN_ERROR);
}

int fail_no_memory(struct call *c) {
    struct error err = {.code = -ENOMEM, .msg = "out of memory"};
    return fail_internal(c, &err);
}

int after_commit(struct call *c, enum after_kind kind, const char *guid) {
    struct after *a = mem_zalloc(sizeof *a);
    if (!a)
        return fail_no_memory(c);
    a->kind = kind;
    snprintf(a->guid, sizeof a->guid, "%s", guid ? guid : "");
    *c->after_end = a;
    c->after_end = &a->next;
    return 0;
}
