/* server.c - the listener: HTTP/1.1 over TLS (evhttp on OpenSSL bufferevents), and from its
 * requests to calls and back. The only file that knows either library. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "common/base/daemon.h"
#include "common/base/metrics.h"
#include "controller/api/internal.h"
#include "controller/api/websocket.h"

#define HEADERS_MAX                                                                                \
    (64 * 1024)    /* request line and headers: lists of 200 guids in a URL are usual */
#define IDLE_S  75 /* of a connection, also between requests */
#define BACKLOG 512

struct server {
    struct api *api;
    struct evhttp *http; /* owned */
    SSL_CTX *tls;        /* owned; NULL: plain */
    struct evhttp_bound_socket *sockets[8];
    size_t socket_count;
    unsigned connections; /* with TLS */
    unsigned refs;        /* the api's one, and one a connection */
    bool paused;          /* at the connections' limit */
    bool draining;
    uint16_t port;
    struct stream *streams; /* connections that became websockets */
};

struct stream {
    struct server *server;
    struct evhttp_connection *conn;
    struct websocket *ws;
    struct stream *prev, *next;
};

/* --- TLS
 * --------------------------------------------------------------------------------------------
 */

static int tls_fail(struct error *err, const char *what) {
    char text[256];
    unsigned long code = ERR_get_error();
    ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return error_set(err, -EINVAL, "%s: %s", what, text);
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned int in_n, void *arg) {
    static const unsigned char http11[] = "\x08http/1.1";
    if (SSL_select_next_proto((unsigned char **)out, out_n, http11, sizeof http11 - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static int tls_new(const struct api_config *config, SSL_CTX **ret, struct error *err) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int r = 0;
    if (!ctx)
        return tls_fail(err, "TLS");
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"berth-api", 9);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (SSL_CTX_use_certificate_chain_file(ctx, config->certificate) != 1)
        r = tls_fail(err, config->certificate);
    else if (SSL_CTX_use_PrivateKey_file(ctx, config->key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(ctx) != 1)
        r = tls_fail(err, config->key);
    if (r < 0)
        SSL_CTX_free(ctx);
    else
        *ret = ctx;
    return r;
}

/* --- counting connections
 * ---------------------------------------------------------------------------
 */

static void server_unref(struct server *s) {
    if (--s->refs)
        return;
    SSL_CTX_free(s->tls);
    free(s);
}

/* At the limit the listeners rest; the kernel's backlog holds who comes. */
static void step_count(struct server *s, int change) {
    s->connections += (unsigned)change;
    if (!s->http || s->draining)
        return;
    bool full = s->connections >= s->api->config.max_connections;
    if (full == s->paused)
        return;
    s->paused = full;
    for (size_t i = 0; i < s->socket_count; i++) {
        struct evconnlistener *l = evhttp_bound_socket_get_listener(s->sockets[i]);
        if (full)
            evconnlistener_disable(l);
        else
            evconnlistener_enable(l);
    }
}

/* evhttp does not tell when a connection ends; the end of its SSL object does. That may come after
 * server_free(), from the loop: hence the references. */
static void on_ssl_freed(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long n,
                         void *arg) {
    struct server *s = ptr;
    if (!s)
        return;
    step_count(s, -1);
    server_unref(s);
}

static int ssl_index(void) {
    static int index = -1;
    if (index < 0)
        index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_freed);
    return index;
}

/* NULL, when memory is out, makes evhttp take a plain buffer: the client's TLS is no HTTP to it. */
static struct bufferevent *on_connection(struct event_base *loop, void *arg) {
    struct server *s = arg;
    SSL *ssl = s->tls ? SSL_new(s->tls) : NULL;
    if (!ssl)
        return NULL;
    if (SSL_set_ex_data(ssl, ssl_index(), s) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    s->refs++;
    step_count(s, 1);
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        loop, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!bev) {
        SSL_free(ssl);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

/* --- requests to calls
 * ------------------------------------------------------------------------------
 */

static const char *method_of(struct evhttp_request *req) {
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    default:
        return "OTHER"; /* no endpoint has it */
    }
}

/* Why a status came to be is in the body: the usual words do. */
static const char *reason_of(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 302:
        return "Found";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Payload Too Large";
    case 422:
        return "Unprocessable Entity";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

/* --- websockets
 * ----------------------------------------------------------------------------------------
 */

static void end_stream(void *arg) {
    struct stream *s = arg;
    DL_DELETE(s->server->streams, s);
    websocket_free(s->ws);
    evhttp_connection_free(s->conn); /* and its request */
    free(s);
}

/* The request stays with its connection and the connection with evhttp; the stream reads and writes
 * beside them. */
static void open_stream(struct call *c, struct evhttp_request *req) {
    struct server *server = c->api->server;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct stream *s = mem_zalloc(sizeof *s);
    char accept[WEBSOCKET_ACCEPT_SIZE];
    if (!s || websocket_accept(c->websocket_key, accept) < 0) {
        free(s);
        evhttp_send_error(req, 503, "Service Unavailable");
        return;
    }
    s->server = server;
    s->conn = evhttp_request_get_connection(req);
    evhttp_add_header(headers, "Upgrade", "websocket");
    evhttp_add_header(headers, "Connection", "Upgrade");
    evhttp_add_header(headers, "Sec-WebSocket-Accept", accept);
    evhttp_send_reply_start(req, 101, "Switching Protocols");
    s->ws = websocket_new(evhttp_connection_get_bufferevent(s->conn), end_stream, s);
    DL_APPEND(server->streams, s);
    if (!s->ws || c->on_websocket(c->api, s->ws, c->websocket_guid, c->websocket_how) < 0)
        end_stream(s);
}

/* evhttp frees the request; when its connection is gone already it only does that. */
static void on_answer(struct call *c, void *arg) {
    struct evhttp_request *req = arg;
    if (c->status == 101 && evhttp_request_get_connection(req)) {
        open_stream(c, req);
        return;
    }
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *body = c->reply.n ? evbuffer_new() : NULL;
    evhttp_add_header(headers, "X-Vcap-Request-Id", c->request_id);
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(headers, "Cache-Control", "no-store");
    if (c->status == 405)
        evhttp_add_header(headers, "Allow", c->allow);
    if (c->location)
        evhttp_add_header(headers, "Location", c->location);
    if (c->reply_type && c->reply.n)
        evhttp_add_header(headers, "Content-Type", c->reply_type);
    if (body)
        evbuffer_add(body, c->reply.p, c->reply.n);
    else if (c->status != 204)
        evhttp_add_header(headers, "Content-Length", "0");
    evhttp_send_reply(req, c->status, reason_of(c->status), body);
    if (body)
        evbuffer_free(body);
}

static int copy_header(struct evhttp_request *req, const char *name, char **to) {
    return str_set(to, evhttp_find_header(evhttp_request_get_input_headers(req), name));
}

static int copy_body(struct evhttp_request *req, struct call *c) {
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    c->body_n = evbuffer_get_length(in);
    c->body = malloc(c->body_n + 1);
    if (!c->body)
        return -ENOMEM;
    c->body[c->body_n] = '\0';
    evbuffer_remove(in, c->body, c->body_n);
    return 0;
}

/* RFC 6455 section 4.2.1, as far as it concerns one who speaks version 13 only. */
static int take_handshake(struct evhttp_request *req, struct call *c) {
    struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const char *upgrade = evhttp_find_header(headers, "Upgrade"),
               *version = evhttp_find_header(headers, "Sec-WebSocket-Version"),
               *key = evhttp_find_header(headers, "Sec-WebSocket-Key");
    if (!upgrade || strcasecmp(upgrade, "websocket") != 0 || !str_eq(version, "13") ||
        !websocket_key_ok(key))
        return 0;
    return str_set(&c->websocket_key, key);
}

static int fill_call(struct evhttp_request *req, struct call *c) {
    char *address = NULL;
    uint16_t port = 0;
    struct evhttp_connection *conn = evhttp_request_get_connection(req);
    if (conn)
        evhttp_connection_get_peer(conn, &address, &port);
    if (str_set(&c->remote, address) < 0 ||
        copy_header(req, "Authorization", &c->authorization) < 0 ||
        copy_header(req, "Content-Type", &c->content_type) < 0 ||
        copy_header(req, "Host", &c->host) < 0)
        return -ENOMEM;
    if (take_handshake(req, c) < 0)
        return -ENOMEM;
    return copy_body(req, c);
}

static void on_request(struct evhttp_request *req, void *arg) {
    struct server *s = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
    if (!uri) {
        evhttp_send_error(req, 400, "Bad Request");
        return;
    }
    struct call *c =
        call_new(s->api, method_of(req), str_empty(path) ? "/" : path, query, on_answer, req);
    if (!c || fill_call(req, c) < 0) {
        call_free(c);
        evhttp_send_error(req, 503, "Service Unavailable");
        return;
    }
    api_dispatch(s->api, c);
}

/* --- listening
 * --------------------------------------------------------------------------------------
 */

static int server_new(struct api *api, struct error *err) {
    struct server *s = mem_zalloc(sizeof *s);
    if (!s)
        return error_set(err, -ENOMEM, "out of memory making the listener");
    s->api = api;
    s->refs = 1;
    int r = api->config.certificate ? tls_new(&api->config, &s->tls, err) : 0;
    if (r == 0 && !(s->http = evhttp_new(api->deps.loop)))
        r = error_set(err, -ENOMEM, "out of memory making the listener");
    if (r < 0) {
        server_unref(s);
        return r;
    }
    evhttp_set_max_headers_size(s->http, HEADERS_MAX);
    /* A body that is somewhat too large is read, so that its sender hears the 413, in our form.
     * evhttp refuses a larger one by its head alone: it could be without end. */
    evhttp_set_max_body_size(s->http, 4 * CALL_BODY_MAX);
    evhttp_set_timeout(s->http, IDLE_S);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                            EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE | EVHTTP_REQ_HEAD |
                                            EVHTTP_REQ_OPTIONS);
    evhttp_set_default_content_type(s->http, NULL);
    evhttp_set_gencb(s->http, on_request, s);
    if (s->tls)
        evhttp_set_bevcb(s->http, on_connection, s);
    api->server = s;
    return 0;
}

/* Accepted sockets inherit TCP_NODELAY: an answer's last segment must not wait for an ACK. */
static int open_socket(const char *host, uint16_t port, struct error *err) {
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    int on = 1, fd = -1, saved = EADDRNOTAVAIL;
    snprintf(service, sizeof service, "%u", port);
    int r = getaddrinfo(host, service, &hints, &list);
    if (r)
        return error_set(err, -EINVAL, "%s: %s", host, gai_strerror(r));
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
                        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
                        bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)) {
            saved = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        return error_set(err, -saved, "cannot listen on %s port %u: %s", host, port,
                         strerror(saved));
    return fd;
}

static uint16_t port_of(int fd) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

int api_listen(struct api *api, const char *address, struct error *err) {
    _cleanup_(freep) char *host = NULL;
    uint16_t port = 0;
    int r = address_parse(address, &host, &port, err);
    if (r < 0 || (!api->server && (r = server_new(api, err)) < 0))
        return r;
    struct server *s = api->server;
    if (s->socket_count == ARRAY_SIZE(s->sockets))
        return error_set(err, -E2BIG, "too many addresses to listen on");
    int fd = open_socket(host, port, err);
    if (fd < 0)
        return fd;
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(s->http, fd);
    if (!bound) {
        close(fd);
        return error_set(err, -ENOMEM, "cannot listen on %s", address);
    }
    s->sockets[s->socket_count++] = bound;
    s->port = port_of(fd);
    return 0;
}

uint16_t api_port(const struct api *api) {
    return api->server ? api->server->port : 0;
}

int api_reload_certificates(struct api *api, struct error *err) {
    SSL_CTX *fresh = NULL;
    if (!api->server || !api->server->tls)
        return 0;
    int r = tls_new(&api->config, &fresh, err);
    if (r < 0)
        return r;
    SSL_CTX_free(api->server->tls); /* connections keep their own reference */
    api->server->tls = fresh;
    return 0;
}

void api_drain(struct api *api) {
    struct server *s = api->server;
    if (!s || s->draining)
        return;
    s->draining = true;
    for (size_t i = 0; i < s->socket_count; i++)
        evhttp_del_accept_socket(s->http, s->sockets[i]);
    s->socket_count = 0;
}

unsigned server_connections(const struct server *s) {
    return s->connections;
}

int64_t server_certificate_not_after(const struct server *s) {
    return s->tls ? certificate_not_after(SSL_CTX_get0_certificate(s->tls)) : 0;
}

unsigned api_connections(const struct api *api) {
    return api->server ? server_connections(api->server) : 0;
}

void server_free(struct server *s) {
    if (!s)
        return;
    s->draining = true;
    while (s->streams)
        end_stream(s->streams);
    struct evhttp *http = s->http;
    s->http = NULL;
    evhttp_free(http);
    server_unref(s);
}
