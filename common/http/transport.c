#include "common/http/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/trust.h"

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static CURLcode init_result;

static void init(void) {
    init_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int transport_init(struct error *err) {
    pthread_once(&init_once, init);
    return init_result == CURLE_OK ? 0 : error_set(err, -ENOMEM, "libcurl does not start");
}

/* --- certificates ------------------------------------------------------------------------- */

static void format_name(const X509_NAME *name, char *buf, size_t n) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    buf[0] = '\0';
    if (!bio)
        return;
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    size_t got = (size_t)BIO_get_mem_data(bio, &text);
    snprintf(buf, n, "%.*s", (int)MIN(got, n - 1), text);
    BIO_free(bio);
}

static bool unknown_issuer(long code) {
    return code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           code == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
           code == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
           code == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || code == X509_V_ERR_CERT_UNTRUSTED;
}

/* OpenSSL's own verification, with its verdict remembered: curl only tells that it failed. */
static int on_verify(X509_STORE_CTX *ctx, void *arg) {
    struct transport *t = arg;
    char issuer[200] = "?";
    int ok = X509_verify_cert(ctx);
    if (ok > 0)
        return ok;
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    if (cert)
        format_name(X509_get_issuer_name(cert), issuer, sizeof issuer);
    t->rejected.code = X509_STORE_CTX_get_error(ctx);
    snprintf(t->rejected.text, sizeof t->rejected.text, "%s, issued by \"%s\"",
             unknown_issuer(t->rejected.code) ? "no trusted authority vouches for it"
                                              : X509_verify_cert_error_string(t->rejected.code),
             issuer);
    return ok;
}

/* libcurl is about to connect: `ctx` is new and for this connection only. */
static CURLcode on_ssl_ctx(CURL *easy, void *ctx, void *arg) {
    struct transport *t = arg;
    X509_STORE *store;
    if (trust_store(t->ca_file, &store, &t->trust_error) < 0)
        return CURLE_SSL_CACERT_BADFILE;
    SSL_CTX_set_cert_store(ctx, store);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, t);
    /* A connection outlives the transfer it was made for, `t` does not: verify once only. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
    return CURLE_OK;
}

/* --- addresses ---------------------------------------------------------------------------- */

static bool may_reach(struct transport *t, unsigned kind, const char *address) {
    if (reach_allows(&t->reach, kind))
        return true;
    t->reach.denied = kind;
    snprintf(t->reach.address, sizeof t->reach.address, "%s", address);
    return false;
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to) {
    char address[64] = "?";
    const void *ip = to->family == AF_INET6
                         ? (const void *)&((struct sockaddr_in6 *)(void *)&to->addr)->sin6_addr
                         : (const void *)&((struct sockaddr_in *)(void *)&to->addr)->sin_addr;
    (void)purpose;
    if (to->family == AF_INET || to->family == AF_INET6)
        inet_ntop(to->family, ip, address, sizeof address);
    if (!may_reach(arg, reach_kind(&to->addr), address))
        return CURL_SOCKET_BAD;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* Each request, also over a connection that another transfer left: who is asked names who is asked
 * next. */
static int on_asked(void *arg, char *ip, char *own_ip, int port, int own_port) {
    struct transport *t = arg;
    unsigned kind = reach_kind_of_text(ip ? ip : "");
    (void)own_ip, (void)port, (void)own_port;
    if (!may_reach(t, kind, ip ? ip : "?"))
        return CURL_PREREQFUNC_ABORT;
    t->reach.answered = true;
    t->reach.at = kind;
    return CURL_PREREQFUNC_OK;
}

/* --- set-up ------------------------------------------------------------------------------- */

void transport_host(const char *url, char *buf, size_t n) {
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL;
    if (u && url && curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
        curl_url_get(u, CURLUPART_HOST, &host, 0);
    if (host)
        curl_url_get(u, CURLUPART_PORT, &port, 0);
    snprintf(buf, n, "%s%s%s", host ? host : "?", port ? ":" : "", port ? port : "");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
}

static int check_url(const struct transport *t, const char *url, bool *ret_plain,
                     struct error *err) {
    char host[256];
    bool https = strncasecmp(url, "https://", 8) == 0;
    *ret_plain = strncasecmp(url, "http://", 7) == 0;
    transport_host(url, host, sizeof host);
    if ((!https && !*ret_plain) || str_eq(host, "?"))
        return error_set(err, -EINVAL, "\"%.200s\" is not an https URL", url);
    if (*ret_plain && !t->allow_plain_http)
        return error_set(err, -EPROTO, "plain http to %s is not allowed, only https", host);
    return 0;
}

int transport_setup(CURL *easy, struct transport *t, const char *url, struct error *err) {
    bool plain;
    int r = check_url(t, url, &plain, err);
    if (r < 0)
        return r;
    const char *protocols = plain ? "http,https" : "https";
    t->rejected.code = 0;
    t->trust_error.code = 0;
    t->reach = (struct reach){.guarded = t->reach.guarded, .first = t->reach.first};
    CURLcode rc = CURLE_OK;
#define SET(option, value) (rc = rc ? rc : curl_easy_setopt(easy, CURLOPT_##option, (value)))
    SET(URL, url);
    SET(PROTOCOLS_STR, protocols);
    SET(REDIR_PROTOCOLS_STR, protocols);
    SET(FOLLOWLOCATION, t->follow_redirects ? 1L : 0L);
    SET(MAXREDIRS, (long)TRANSPORT_MAX_REDIRECTS);
    SET(CONNECTTIMEOUT_MS, (long)TRANSPORT_CONNECT_MS);
    SET(NOSIGNAL, 1L);
    SET(QUICK_EXIT, 1L); /* giving up must not wait for a name server */
    SET(USERAGENT, "berth");
    /* One transfer a connection at a time: HTTP/2 would cost CPU and gain nothing here. */
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    /* The store comes from on_ssl_ctx; CAINFO is set so that curl does not reuse a connection
     * that was made under another trust. */
    SET(CAINFO, t->ca_file);
    SET(CAPATH, NULL);
    SET(SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(SSL_CTX_DATA, t);
    SET(OPENSOCKETFUNCTION, on_socket);
    SET(OPENSOCKETDATA, t);
    SET(PREREQFUNCTION, on_asked);
    SET(PREREQDATA, t);
#undef SET
    return rc == CURLE_OK
               ? 0
               : error_set(err, -ENOMEM, "setting up a transfer: %s", curl_easy_strerror(rc));
}

/* --- errors ------------------------------------------------------------------------------- */

static int certificate_error(const struct transport *t, const char *host, struct error *err) {
    if (!t->rejected.code)
        return error_set(err, -EKEYREJECTED,
                         "the certificate of %s is not trusted: it was issued for another name",
                         host);
    if (t->ca_option && unknown_issuer(t->rejected.code))
        return error_set(err, -EKEYREJECTED,
                         "the certificate of %s is not trusted: %s; add its CA with %s", host,
                         t->rejected.text, t->ca_option);
    return error_set(err, -EKEYREJECTED, "the certificate of %s is not trusted: %s", host,
                     t->rejected.text);
}

static int connect_error(CURL *easy, const char *host, struct error *err) {
    long os = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os);
    if (os == EHOSTUNREACH || os == ENETUNREACH || os == ETIMEDOUT)
        return error_set(err, -(int)os, "cannot connect to %s: %s", host, strerror((int)os));
    return error_set(err, -ECONNREFUSED, "cannot connect to %s: %s", host,
                     strerror(os ? (int)os : ECONNREFUSED));
}

int transport_error(CURL *easy, CURLcode rc, const struct transport *t, struct error *err) {
    const char *url = NULL;
    char host[256];
    curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    transport_host(url, host, sizeof host);
    if (t->reach.denied && (rc == CURLE_COULDNT_CONNECT || rc == CURLE_ABORTED_BY_CALLBACK))
        return error_set(err, -EACCES, "%s is at %s, %s", host, t->reach.address,
                         reach_reason(t->reach.denied));
    switch (rc) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return error_set(err, -EHOSTUNREACH, "cannot find the address of %s", host);
    case CURLE_COULDNT_CONNECT:
        return connect_error(easy, host, err);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(err, -ETIMEDOUT, "%s did not answer in time", host);
    case CURLE_PEER_FAILED_VERIFICATION:
        return certificate_error(t, host, err);
    case CURLE_SSL_CACERT_BADFILE:
        return t->trust_error.code
                   ? error_set(err, -EKEYREJECTED, "the CA for %s: %s", host, t->trust_error.msg)
                   : error_set(err, -EKEYREJECTED, "the CA for %s cannot be used", host);
    case CURLE_SSL_CONNECT_ERROR:
        return error_set(err, -EPROTO, "%s does not speak TLS 1.2 or later", host);
    case CURLE_UNSUPPORTED_PROTOCOL:
        return error_set(err, -EPROTO, "%s redirects to something that is not https", host);
    case CURLE_TOO_MANY_REDIRECTS:
        return error_set(err, -EPROTO, "%s redirects more than %d times", host,
                         TRANSPORT_MAX_REDIRECTS);
    case CURLE_FILESIZE_EXCEEDED:
        return error_set(err, -EFBIG, "the answer of %s is too large", host);
    case CURLE_OUT_OF_MEMORY:
        return error_set(err, -ENOMEM, "out of memory");
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return error_set(err, -ECONNRESET, "the connection to %s broke", host);
    default:
        return error_set(err, -EPROTO, "%s: %s", host, curl_easy_strerror(rc));
    }
}

/* --- headers ------------------------------------------------------------------------------ */

int transport_headers(CURL *easy, char ***ret) {
    size_t count = 0, bytes = 0;
    for (struct curl_header *h = NULL; (h = curl_easy_nextheader(easy, CURLH_HEADER, -1, h));) {
        count++;
        bytes += strlen(h->name) + strlen(h->value) + sizeof ": ";
    }
    if (count > TRANSPORT_MAX_HEADERS || bytes > TRANSPORT_MAX_HEADER_SIZE)
        return -EFBIG;
    char **list = mem_zalloc((count + 1) * sizeof *list + bytes);
    if (!list)
        return -ENOMEM;
    char *at = (char *)(list + count + 1), *end = at + bytes;
    size_t i = 0;
    for (struct curl_header *h = NULL;
         i < count && (h = curl_easy_nextheader(easy, CURLH_HEADER, -1, h));) {
        list[i++] = at;
        at += snprintf(at, (size_t)(end - at), "%s: %s", h->name, h->value) + 1;
    }
    *ret = list;
    return 0;
}

const char *transport_header(const char *const *headers, const char *name, unsigned nth) {
    size_t n = strlen(name);
    for (; headers && *headers; headers++)
        if (strncasecmp(*headers, name, n) == 0 && (*headers)[n] == ':' && nth-- == 0)
            return *headers + n + 1 + strspn(*headers + n + 1, " \t");
    return NULL;
}
