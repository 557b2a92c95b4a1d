/* client.c
 *
 * libcurl tells which sockets it wants watched and when it wants to be called (on_watch, on_wait);
 * the loop tells what happened (on_ready, on_timer); then `reap` hands out what has finished.
 */
#include "common/http/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <utlist.h>

#include "common/http/transport.h"

#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_MAX_BODY   (4u << 20)

struct http_client {
    struct event_base *loop; /* borrowed */
    CURLM *multi;
    struct event *timer;
    struct http_request *requests; /* in flight */
    bool reaping;                  /* a callback may be running */
    bool doomed;                   /* http_client_free() came from it: reap() frees */
};

struct http_request {
    struct http_client *client;
    CURL *easy;
    struct transport transport;
    struct curl_slist *headers;
    char *ca_file, *ca_option; /* owned; what `transport` borrows */
    struct strbuf body;        /* of the response */
    size_t max_body;
    bool too_big;
    void (*done)(const struct http_response *res, void *arg);
    void *arg;
    struct http_request *prev, *next;
};

/* --- one request -------------------------------------------------------------------------- */

static void request_free(struct http_request *req) {
    if (!req)
        return;
    curl_easy_cleanup(req->easy);
    curl_slist_free_all(req->headers);
    free(req->ca_file);
    free(req->ca_option);
    strbuf_fini(&req->body);
    free(req);
}

static void request_freep(struct http_request **req) {
    request_free(*req);
}

static void detach(struct http_request *req) {
    curl_multi_remove_handle(req->client->multi, req->easy);
    DL_DELETE(req->client->requests, req);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    struct http_request *req = arg;
    if (n > req->max_body - req->body.n) {
        req->too_big = true;
        return CURL_WRITEFUNC_ERROR;
    }
    strbuf_add(&req->body, p, n);
    return req->body.failed ? CURL_WRITEFUNC_ERROR : n;
}

static int request_error(struct http_request *req, CURLcode rc, struct error *err) {
    if (req->too_big)
        return transport_error(req->easy, CURLE_FILESIZE_EXCEEDED, &req->transport, err);
    if (req->body.failed)
        return error_set(err, -ENOMEM, "out of memory");
    return transport_error(req->easy, rc, &req->transport, err);
}

/* `req` is gone when this returns, and the client may be. */
static void finish(struct http_request *req, CURLcode rc) {
    struct error err = {0};
    struct http_response res = {0};
    _cleanup_(freep) char **headers = NULL;
    long status = 0;
    if (rc != CURLE_OK)
        request_error(req, rc, &err);
    else if (transport_headers(req->easy, &headers) < 0)
        transport_error(req->easy, CURLE_FILESIZE_EXCEEDED, &req->transport, &err);
    else
        curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &status);
    if (err.code) {
        res.error = &err;
    } else {
        res.status = (int)status;
        res.reached = req->transport.reach.at;
        res.headers = (const char *const *)headers;
        res.body = (struct slice){req->body.p ? req->body.p : "", req->body.n};
    }
    detach(req);
    req->done(&res, req->arg);
    request_free(req);
}

static void client_free(struct http_client *c) {
    curl_multi_cleanup(c->multi);
    if (c->timer)
        event_free(c->timer);
    free(c);
}

/* The client may be gone when this returns. */
static void reap(struct http_client *c) {
    CURLMsg *msg;
    int left;
    c->reaping = true;
    while (!c->doomed && (msg = curl_multi_info_read(c->multi, &left))) {
        struct http_request *req;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode rc = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&req);
        finish(req, rc);
    }
    c->reaping = false;
    if (c->doomed)
        client_free(c);
}

/* --- libcurl and the loop ----------------------------------------------------------------- */

static void on_ready(evutil_socket_t fd, short what, void *arg) {
    struct http_client *c = arg;
    int running,
        flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(c->multi, fd, flags, &running);
    reap(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct http_client *c = arg;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(c);
}

static int on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch) {
    struct http_client *c = arg;
    struct event *ev = watch;
    if (ev)
        event_free(ev);
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    short flags =
        EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);
    ev = event_new(c->loop, fd, flags, on_ready, c);
    if (ev && event_add(ev, NULL) < 0) {
        event_free(ev);
        ev = NULL;
    }
    curl_multi_assign(c->multi, fd, ev);
    return ev ? 0 : -1;
}

static int on_wait(CURLM *multi, long ms, void *arg) {
    struct http_client *c = arg;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    return ms < 0 ? event_del(c->timer) : event_add(c->timer, &tv);
}

/* --- the module's interface --------------------------------------------------------------- */

int http_client_new(struct http_client **ret, struct event_base *loop, struct error *err) {
    int r = transport_init(err);
    if (r < 0)
        return r;
    _cleanup_(http_client_freep) struct http_client *c = mem_zalloc(sizeof *c);
    if (!c)
        return error_set(err, -ENOMEM, "out of memory");
    c->loop = loop;
    c->timer = evtimer_new(loop, on_timer, c);
    c->multi = curl_multi_init();
    if (!c->timer || !c->multi)
        return error_set(err, -ENOMEM, "out of memory");
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_watch);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_wait);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    *ret = TAKE_PTR(c);
    return 0;
}

void http_client_free(struct http_client *c) {
    if (!c)
        return;
    while (c->requests)
        http_cancel(c->requests);
    if (c->reaping)
        c->doomed = true;
    else
        client_free(c);
}

struct event_base *http_client_loop(const struct http_client *c) {
    return c->loop;
}

const char *http_header(const struct http_response *res, const char *name) {
    return transport_header(res->headers, name, 0);
}

static int add_header(struct http_request *req, const char *line, struct error *err) {
    if (strpbrk(line, "\r\n"))
        return error_set(err, -EINVAL, "a request header holds a line break");
    struct curl_slist *list = curl_slist_append(req->headers, line);
    if (!list)
        return error_set(err, -ENOMEM, "out of memory");
    req->headers = list;
    return 0;
}

static int set_request(struct http_request *req, const struct http_options *o, struct error *err) {
    const char *method = o->method ? o->method : "GET";
    unsigned timeout = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    CURLcode rc = CURLE_OK;
    int r = add_header(req, "Expect:", err); /* no 100-continue round trip */
    for (const char *const *h = o->headers; h && *h && r == 0; h++)
        r = add_header(req, *h, err);
    if (r < 0)
        return r;
#define SET(option, value) (rc = rc ? rc : curl_easy_setopt(req->easy, CURLOPT_##option, (value)))
    bool posts =
        o->body || str_eq(method, "POST") || str_eq(method, "PUT") || str_eq(method, "PATCH");
    if (posts) { /* without a body: Content-Length 0 */
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)(o->body ? o->body_n : 0));
        SET(COPYPOSTFIELDS, o->body ? o->body : "");
    }
    if (str_eq(method, "HEAD"))
        SET(NOBODY, 1L);
    else
        SET(MAXFILESIZE_LARGE, (curl_off_t)req->max_body);
    if (!str_eq(method, "HEAD") && !str_eq(method, posts ? "POST" : "GET"))
        SET(CUSTOMREQUEST, method);
    if (!str_empty(o->username)) {
        SET(HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(USERNAME, o->username);
        SET(PASSWORD, o->password ? o->password : "");
    }
    SET(HTTPHEADER, req->headers);
    SET(TIMEOUT_MS, (long)timeout);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, req);
    SET(PRIVATE, req);
#undef SET
    return rc == CURLE_OK
               ? 0
               : error_set(err, -ENOMEM, "setting up a request: %s", curl_easy_strerror(rc));
}

int http_send(struct http_client *c, const struct http_options *options,
              void (*done)(const struct http_response *res, void *arg), void *arg,
              struct http_request **ret, struct error *err) {
    _cleanup_(request_freep) struct http_request *req = mem_zalloc(sizeof *req);
    int r;
    if (!req || !(req->easy = curl_easy_init()) || str_set(&req->ca_file, options->ca_file) < 0 ||
        str_set(&req->ca_option, options->ca_option) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    req->client = c;
    req->done = done;
    req->arg = arg;
    req->max_body = options->max_body ? options->max_body : DEFAULT_MAX_BODY;
    req->transport = (struct transport){
        .ca_file = req->ca_file,
        .ca_option = req->ca_option,
        .allow_plain_http = options->allow_plain_http,
        .follow_redirects = options->follow_redirects,
        .reach = {.guarded = options->guarded, .first = options->may_reach},
    };
    if ((r = transport_setup(req->easy, &req->transport, options->url, err)) < 0 ||
        (r = set_request(req, options, err)) < 0)
        return r;
    DL_APPEND(c->requests, req);
    if (curl_multi_add_handle(c->multi, req->easy) != CURLM_OK) {
        DL_DELETE(c->requests, req);
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (ret)
        *ret = req;
    TAKE_PTR(req);
    return 0;
}

void http_cancel(struct http_request *req) {
    detach(req);
    request_free(req);
}
