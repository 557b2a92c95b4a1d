/* tls.h - TLS towards clients: certificates chosen by SNI, and OpenSSL behind struct stream.
 *
 * TLS 1.2 and 1.3. OpenSSL reads and writes through a BIO of ours that honours the stream's edges,
 * takes a record with one call, and an idle connection holds no record buffers. */
#ifndef ROUTER_TLS_H
#define ROUTER_TLS_H

#include "common/base/error.h"
#include "common/base/mem.h"
#include "router/stream.h"

struct tls_set; /* certificates as loaded at one time; immutable, counted */

/* `sni_file` (NULL for none) holds lines "CERT-FILE KEY-FILE", '#' comments; their names are those
 * in the certificates (subjectAltName). The first certificate is the default. */
int tls_set_load(struct tls_set **ret, const char *cert, const char *key, const char *sni_file,
                 struct error *err);
struct tls_set *tls_set_ref(struct tls_set *set);
void tls_set_unref(struct tls_set *set);
int64_t tls_set_not_after(const struct tls_set *set); /* of the first to end, since 1970; 0: none */

/* Makes an open stream a TLS server's. 0 or -ENOMEM. */
int tls_accept(struct stream *s, struct tls_set *set);
/* 0 when done, -EAGAIN, or -EPROTO/-errno. */
int tls_handshake(struct stream *s);

ssize_t tls_read(struct stream *s, void *p, size_t n);
ssize_t tls_write(struct stream *s, const void *p, size_t n);
int tls_flush(struct stream *s); /* see stream_flush() */
void tls_shutdown_write(struct stream *s);
void tls_close(struct stream *s);

#endif
