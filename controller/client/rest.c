#include "controller/client/rest.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/config.h"
#include "common/base/mem.h"

#define CONNECT_TIMEOUT_S 10L
#define TIMEOUT_S         120L
#define MAX_ANSWER        (64u << 20)
#define REFRESH_BEFORE_S  60 /* as the official CLI does */
#define JOB_POLL_FIRST_US 20000u
#define JOB_POLL_MOST_US  500000u
#define MAX_PAGES         1000

int rest_init(struct rest *r, struct session *session, struct error *err) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    *r = (struct rest){.session = session, .curl = curl_easy_init()};
    const char *trace = getenv("BERTH_TRACE");
    r->trace = trace && !str_eq(trace, "false") && *trace;
    return r->curl ? 0 : error_set(err, -ENOMEM, "cannot start libcurl");
}

void rest_fini(struct rest *r) {
    if (r->curl)
        curl_easy_cleanup(r->curl);
    free(r->location);
    *r = (struct rest){0};
}

static size_t on_bytes(char *p, size_t size, size_t n, void *arg) {
    struct strbuf *out = arg;
    if (out->n + size * n > MAX_ANSWER)
        return 0;
    strbuf_add(out, p, size * n);
    return out->failed ? 0 : size * n;
}

/* What a person can do about a transfer that failed. */
static int transfer_error(struct rest *r, CURLcode code, const char *detail, struct error *err) {
    const char *text = *detail ? detail : curl_easy_strerror(code);
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, -EKEYREJECTED,
                         "Invalid SSL Cert for %s: %s\nTIP: Use 'berth api %s --ca-cert FILE' to "
                         "trust its CA, or --skip-ssl-validation to continue with an insecure API "
                         "endpoint",
                         r->session->api, text, r->session->api);
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return error_set(err, -ECONNREFUSED, "Request error: %s\nIs the controller running at %s?",
                         text, r->session->api);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(err, -ETIMEDOUT, "Request error: %s", text);
    default:
        return error_set(err, -EIO, "Request error: %s", text);
    }
}

static char *full_url(const struct rest *r, const char *path) {
    if (str_starts(path, "https://") || str_starts(path, "http://"))
        return str_dup(path);
    return str_printf("%s%s%s", r->session->api, *path == '/' ? "" : "/", path);
}

static int add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static void note_location(struct rest *r, const struct strbuf *headers) {
    free(r->location);
    r->location = NULL;
    for (const char *line = headers->p; line && *line;) {
        size_t n = strcspn(line, "\r\n");
        struct slice whole = {line, n};
        struct slice name = {line, MIN(n, strlen("location:"))};
        if (slice_eq_nocase(name, SLICE_LIT("location:"))) {
            struct slice value = slice_trim((struct slice){line + name.n, whole.n - name.n});
            free(r->location);
            r->location = str_ndup(value.p, value.n);
        }
        line += n;
        line += strspn(line, "\r\n");
    }
}

static int perform(struct rest *r, const struct rest_raw *q, const char *url,
                   struct curl_slist *headers, struct strbuf *body, struct strbuf *head,
                   struct error *err) {
    CURL *c = r->curl;
    char detail[CURL_ERROR_SIZE] = "";
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, head);
    if (r->session->ca_file)
        curl_easy_setopt(c, CURLOPT_CAINFO, r->session->ca_file);
    if (r->session->skip_verify) {
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (q->basic) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(c, CURLOPT_USERPWD, q->basic);
    }
    if (q->body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_n);
    }
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
    if (r->trace)
        fprintf(stderr, "REQUEST: %s %s\n", q->method, url);
    CURLcode code = curl_easy_perform(c);
    if (code != CURLE_OK)
        return transfer_error(r, code, detail, err);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &r->status);
    if (r->trace)
        fprintf(stderr, "RESPONSE: %ld %zu bytes\n", r->status, body->n);
    return 0;
}

/* Seconds until the token's exp claim; negative when it cannot be read. */
static long token_lifetime(const char *token) {
    const char *dot = strchr(token, '.');
    if (!dot)
        return -1;
    size_t n = strcspn(dot + 1, ".");
    _cleanup_(freep) uint8_t *text = NULL;
    size_t text_n;
    if (base64_decode(dot + 1, n, &text, &text_n) < 0)
        return -1;
    json_t *claims = json_loadb((const char *)text, text_n, 0, NULL);
    long left = (long)(json_integer_value(json_object_get(claims, "exp")) - time(NULL));
    json_decref(claims);
    return left;
}

int rest_token(struct rest *r, const char *form, struct error *err) {
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/json", NULL};
    _cleanup_(strbuf_fini) struct strbuf body = {0};
    _cleanup_(freep) char *url =
        str_printf("%s/oauth/token", r->session->uaa ? r->session->uaa : r->session->api);
    if (!url)
        return error_set(err, -ENOMEM, "out of memory");
    struct rest_raw q = {"POST", url, headers, form, strlen(form), "cf:", false};
    int rc = rest_raw(r, &q, &body, NULL, err);
    if (rc < 0)
        return rc;
    json_t *root = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    const char *access = json_string_value(json_object_get(root, "access_token"));
    const char *refresh = json_string_value(json_object_get(root, "refresh_token"));
    const char *why = json_string_value(json_object_get(root, "error_description"));
    if (r->status != 200 || !access)
        rc = error_set(err, -EACCES, "%s", why ? why : "the log-in server refused");
    else if (str_set(&r->session->access_token, access) < 0 ||
             (refresh && str_set(&r->session->refresh_token, refresh) < 0))
        rc = error_set(err, -ENOMEM, "out of memory");
    json_decref(root);
    return rc;
}

static int renew_token(struct rest *r, struct error *err) {
    struct session *s = r->session;
    _cleanup_(freep) char *token = rest_escape(s->refresh_token);
    _cleanup_(freep) char *form = str_printf("grant_type=refresh_token&refresh_token=%s", token);
    if (!token || !form)
        return error_set(err, -ENOMEM, "out of memory");
    if (rest_token(r, form, err) < 0)
        return error_set(err, -EACCES, "Your session has expired. Use 'berth login' to log in.");
    return session_save(s, err);
}

static int keep_token_fresh(struct rest *r, struct error *err) {
    const struct session *s = r->session;
    if (!s->access_token)
        return error_set(err, -EACCES, "Not logged in. Use 'berth login' to log in.");
    if (!s->refresh_token || token_lifetime(s->access_token) >= REFRESH_BEFORE_S)
        return 0;
    return renew_token(r, err);
}

static void cut(struct strbuf *b, size_t n) {
    b->n = n;
    if (b->p)
        b->p[n] = '\0';
}

static int ask(struct rest *r, const struct rest_raw *q, struct strbuf *ret_body,
               struct strbuf *head, struct error *err) {
    struct curl_slist *headers = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && q->headers && q->headers[i]; i++)
        rc = add_header(&headers, q->headers[i]);
    if (rc == 0 && !q->basic && !q->anonymous && (rc = keep_token_fresh(r, err)) == 0) {
        _cleanup_(freep) char *line =
            str_printf("Authorization: bearer %s", r->session->access_token);
        rc = line ? add_header(&headers, line) : -ENOMEM;
    }
    _cleanup_(freep) char *url = full_url(r, q->path);
    if (rc == -ENOMEM || !url)
        rc = error_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = perform(r, q, url, headers, ret_body, head, err);
    curl_slist_free_all(headers);
    return rc;
}

int rest_raw(struct rest *r, const struct rest_raw *q, struct strbuf *ret_body,
             struct strbuf *ret_headers, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf head = {0};
    size_t body_n = ret_body->n;
    r->status = 0;
    if (!r->session->api)
        return error_set(err, -ENOENT,
                         "No API endpoint set. Use 'berth login' or 'berth api' to target one.");
    int rc = ask(r, q, ret_body, &head, err);
    /* A token that is fresh by our clock and not by the API's, which may be ahead: a new one. */
    if (rc == 0 && r->status == 401 && !q->basic && !q->anonymous && r->session->refresh_token) {
        cut(ret_body, body_n);
        cut(&head, 0);
        rc = renew_token(r, err);
        if (rc == 0)
            rc = ask(r, q, ret_body, &head, err);
    }
    if (rc < 0)
        return rc;
    note_location(r, &head);
    if (ret_headers)
        strbuf_add(ret_headers, head.p, head.n);
    return 0;
}

int rest_refusal(struct rest *r, const char *body, size_t n, struct error *err) {
    json_t *root = json_loadb(body, n, 0, NULL), *e;
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    size_t i;
    json_array_foreach(json_object_get(root, "errors"), i, e) {
        const char *detail = json_string_value(json_object_get(e, "detail"));
        if (detail)
            strbuf_printf(&text, "%s%s", text.n ? "\n" : "", detail);
    }
    json_decref(root);
    if (text.n)
        return error_set(err, -EREMOTEIO, "%s", text.p);
    return error_set(err, -EREMOTEIO, "Unexpected Response\nResponse Code: %ld\n%.*s", r->status,
                     (int)MIN(n, (size_t)300), body);
}

int rest_call(struct rest *r, const char *method, const char *path, const json_t *body,
              json_t **ret, struct error *err) {
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Accept: application/json", NULL};
    _cleanup_(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    _cleanup_(strbuf_fini) struct strbuf answer = {0};
    struct rest_raw q = {method, path, headers, text, text ? strlen(text) : 0, NULL, false};
    int rc = rest_raw(r, &q, &answer, NULL, err);
    if (rc < 0)
        return rc;
    const char *p = answer.p ? answer.p : "";
    if (r->status >= 400)
        return rest_refusal(r, p, answer.n, err);
    if (!ret)
        return 0;
    json_error_t at;
    json_t *root = answer.n ? json_loadb(p, answer.n, 0, &at) : NULL;
    if (answer.n && !root)
        return error_set(err, -EBADMSG, "the API answered something that is not JSON: %s", at.text);
    *ret = root;
    return 0;
}

int rest_get(struct rest *r, json_t **ret, struct error *err, const char *path_fmt, ...) {
    char path[4096];
    va_list ap;
    va_start(ap, path_fmt);
    vsnprintf(path, sizeof path, path_fmt, ap);
    va_end(ap);
    return rest_call(r, "GET", path, NULL, ret, err);
}

int rest_list(struct rest *r, json_t **ret, struct error *err, const char *path_fmt, ...) {
    char path[4096];
    va_list ap;
    va_start(ap, path_fmt);
    vsnprintf(path, sizeof path, path_fmt, ap);
    va_end(ap);
    json_t *all = json_array();
    for (int page = 0; *path && page < MAX_PAGES; page++) {
        json_t *root = NULL;
        int rc = rest_call(r, "GET", path, NULL, &root, err);
        if (rc < 0) {
            json_decref(all);
            return rc;
        }
        json_array_extend(all, json_object_get(root, "resources"));
        json_t *next = json_object_get(json_object_get(root, "pagination"), "next");
        const char *href = json_string_value(json_object_get(next, "href"));
        snprintf(path, sizeof path, "%s", href ? href : "");
        json_decref(root);
    }
    *ret = all;
    return 0;
}

int rest_wait_job(struct rest *r, struct error *err) {
    if (!r->location)
        return error_set(err, -EBADMSG, "the API started a job but did not say which");
    _cleanup_(freep) char *url = str_dup(r->location);
    for (unsigned wait_us = JOB_POLL_FIRST_US;; wait_us = MIN(wait_us * 2, JOB_POLL_MOST_US)) {
        json_t *job = NULL;
        int rc = rest_call(r, "GET", url, NULL, &job, err);
        if (rc < 0)
            return rc;
        const char *state = json_string_value(json_object_get(job, "state"));
        json_t *first = json_array_get(json_object_get(job, "errors"), 0);
        const char *detail = json_string_value(json_object_get(first, "detail"));
        bool done = str_eq(state, "COMPLETE");
        if (str_eq(state, "FAILED") || !state)
            rc = error_set(err, -EREMOTEIO, "%s", detail ? detail : "the job failed");
        json_decref(job);
        if (done || rc < 0)
            return rc;
        usleep(wait_us);
    }
}

char *rest_escape(const char *value) {
    char *escaped = curl_easy_escape(NULL, value, 0);
    char *copy = str_dup(escaped);
    curl_free(escaped);
    return copy;
}
