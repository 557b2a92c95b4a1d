/* transport.h - what every transfer has in common: TLS policy, trust, protocols, words for errors.
 *
 * Certificates are always verified and TLS is 1.2 or later. A transfer that starts with https never
 * leaves it; credentials (curl's own and an "Authorization:" line) stay with the first host. Used
 * by the client here and by blocking downloads with a curl handle of their own. Any thread. */
#ifndef COMMON_HTTP_TRANSPORT_H
#define COMMON_HTTP_TRANSPORT_H

#include <curl/curl.h>
#include <stdbool.h>

#include "common/base/error.h"
#include "common/http/reach.h"

#define TRANSPORT_MAX_REDIRECTS   5
#define TRANSPORT_CONNECT_MS      10000
#define TRANSPORT_MAX_HEADERS     256
#define TRANSPORT_MAX_HEADER_SIZE (64 * 1024) /* of all header lines of a response */

/* State of one transfer: must live, unmoved, as long as its handle is in use. */
struct transport {
    const char *ca_file;   /* borrowed; NULL: the system's authorities only */
    const char *ca_option; /* borrowed; how an operator trusts one more CA, for the text */
    bool allow_plain_http;
    bool follow_redirects;
    struct reach reach; /* `guarded` and `first` are the owner's, the rest is reset by the set-up */
    struct {            /* why a certificate was refused, by OpenSSL's verification */
        long code;      /* X509_V_ERR_*; 0: it was not */
        char text[320]; /* the reason in words, with the issuer */
    } rejected;
    struct error trust_error; /* ca_file could not be used */
};

/* Readies libcurl for the process; any number of calls. */
int transport_init(struct error *err);

/* Sets URL, protocols, TLS, redirects and the connect time-out on `easy`. -EPROTO for plain http
 * that is not allowed, -EINVAL for what is not an http(s) URL. */
int transport_setup(CURL *easy, struct transport *t, const char *url, struct error *err);

/* The negative errno for a transfer that ended with `rc` (not CURLE_OK), its text in *err:
 * -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, -ECONNRESET (broke while it ran),
 * -EKEYREJECTED, -EPROTO, -EFBIG, -ENOMEM; -EACCES: `reach` does not allow its address. */
int transport_error(CURL *easy, CURLcode rc, const struct transport *t, struct error *err);

/* "Name: value" lines of the last response (not of redirects before it), NULL-terminated; one
 * block, free() it. -EFBIG, -ENOMEM. */
int transport_headers(CURL *easy, char ***ret);
/* The value in such a list or NULL; `nth` counts repeated headers from 0. */
const char *transport_header(const char *const *headers, const char *name, unsigned nth);

/* "host" or "host:port" of a URL, or "?" when it has none, into buf. */
void transport_host(const char *url, char *buf, size_t n);

#endif
