#include "router/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/fs.h"
#include "common/base/metrics.h"
#include "common/base/str.h"

#define SNI_FILE_MAX (1u << 20)
#define SNI_NAME_MAX 253

struct named {
    char *name; /* owned, lower case; "*.example" for a wildcard */
    SSL_CTX *ctx;
};

struct tls_set {
    _Atomic unsigned refs;
    SSL_CTX **contexts; /* owned; [0] is the default */
    size_t context_count;
    struct named *names; /* sorted */
    size_t name_count;
};

/* --- the BIO --- */

/* Records of one tls_write() are gathered here and sent with one call: a 64 KiB body is four or
 * five of them. What the socket does not take is kept with the stream. */
#define RECORD_MAX   (16384u + 256u)
#define GATHER_BYTES (6u * RECORD_MAX)

struct tls_pending {
    size_t from, n; /* bytes of data not sent yet */
    char data[];
};

static _Thread_local struct {
    bool active;
    size_t n;
    char data[GATHER_BYTES];
} gather;

/* send() with its outcome in s->writable; bytes taken or a negative errno. */
static ssize_t send_some(struct stream *s, const char *p, size_t n) {
    ssize_t r;
    if (!s->writable)
        return -EAGAIN;
    do
        r = send(s->fd, p, n, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    if (r < 0 || (size_t)r < n)
        s->writable = false;
    return r < 0 ? -errno : r;
}

int tls_flush(struct stream *s) {
    struct tls_pending *p = s->tls_pending;
    if (!p)
        return 0;
    ssize_t r = send_some(s, p->data + p->from, p->n);
    if (r < 0)
        return (int)r;
    p->from += (size_t)r;
    p->n -= (size_t)r;
    if (p->n)
        return -EAGAIN;
    free(p);
    s->tls_pending = NULL;
    return 0;
}

static int send_gathered(struct stream *s) {
    ssize_t r = gather.n ? send_some(s, gather.data, gather.n) : 0;
    if (r < 0 && r != -EAGAIN)
        return (int)r;
    size_t left = gather.n - (r > 0 ? (size_t)r : 0);
    if (!left)
        return 0;
    s->tls_pending = malloc(sizeof *s->tls_pending + left);
    if (!s->tls_pending)
        return -ENOMEM;
    s->tls_pending->from = 0;
    s->tls_pending->n = left;
    memcpy(s->tls_pending->data, gather.data + gather.n - left, left);
    return 0;
}

static int bio_read(BIO *bio, char *p, int n) {
    struct stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!s->readable) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t r = recv(s->fd, p, (size_t)n, 0);
    if (r < 0) {
        s->readable = false;
        if (errno == EAGAIN || errno == EINTR)
            BIO_set_retry_read(bio);
        return -1;
    }
    if (r < n && !s->hangup)
        s->readable = false;
    return (int)r;
}

static int bio_write(BIO *bio, const char *p, int n) {
    struct stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (gather.active) {
        if ((size_t)n > GATHER_BYTES - gather.n)
            return -1;
        memcpy(gather.data + gather.n, p, (size_t)n);
        gather.n += (size_t)n;
        return n;
    }
    /* Handshake, alerts: never past what waits already. */
    ssize_t r = s->tls_pending ? -EAGAIN : send_some(s, p, (size_t)n);
    if (r == -EAGAIN)
        BIO_set_retry_write(bio);
    return r < 0 ? -1 : (int)r;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr) {
    (void)bio, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *stream_bio;

__attribute__((constructor)) static void make_bio_method(void) {
    stream_bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (!stream_bio)
        return;
    BIO_meth_set_read(stream_bio, bio_read);
    BIO_meth_set_write(stream_bio, bio_write);
    BIO_meth_set_ctrl(stream_bio, bio_ctrl);
    BIO_meth_set_create(stream_bio, bio_create);
}

__attribute__((destructor)) static void free_bio_method(void) {
    BIO_meth_free(stream_bio);
}

/* --- certificates --- */

static const char *openssl_reason(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "unknown TLS error";
}

static int compare_named(const void *a, const void *b) {
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static SSL_CTX *find_name(const struct tls_set *set, const char *name) {
    struct named key = {.name = (char *)(uintptr_t)name};
    const struct named *found =
        bsearch(&key, set->names, set->name_count, sizeof *set->names, compare_named);
    return found ? found->ctx : NULL;
}

/* Exact name, then a wildcard for its first label, else the default stays (Gorouter's order). */
static int on_server_name(SSL *ssl, int *alert, void *arg) {
    const struct tls_set *set = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char name[SNI_NAME_MAX + 1];
    (void)alert;
    if (!asked || !set->name_count || strlen(asked) > SNI_NAME_MAX)
        return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i <= strlen(asked); i++)
        name[i] = asked[i] >= 'A' && asked[i] <= 'Z' ? (char)(asked[i] | 0x20) : asked[i];
    SSL_CTX *ctx = find_name(set, name);
    char *dot = strchr(name, '.');
    if (!ctx && dot && dot > name) {
        dot[-1] = '*';
        ctx = find_name(set, dot - 1);
    }
    if (ctx)
        SSL_set_SSL_CTX(ssl, ctx);
    return SSL_TLSEXT_ERR_OK;
}

int64_t tls_set_not_after(const struct tls_set *set) {
    int64_t first = 0;
    for (size_t i = 0; i < set->context_count; i++) {
        int64_t at = certificate_not_after(SSL_CTX_get0_certificate(set->contexts[i]));
        first = first == 0 ? at : MIN(first, at);
    }
    return first;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned in_n, void *arg) {
    static const unsigned char spoken[] = "\x08http/1.1";
    (void)ssl, (void)arg;
    unsigned char *picked;
    if (SSL_select_next_proto(&picked, out_n, spoken, sizeof spoken - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

static int add_name(struct tls_set *set, const char *name, size_t n, SSL_CTX *ctx) {
    struct named *grown = mem_resize(set->names, set->name_count + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    set->names = grown;
    char *copy = str_ndup(name, n);
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] | 0x20);
    set->names[set->name_count++] = (struct named){copy, ctx};
    return 0;
}

static int add_names(struct tls_set *set, SSL_CTX *ctx) {
    X509 *cert = SSL_CTX_get0_certificate(ctx);
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int r = 0;
    for (int i = 0; r == 0 && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        const char *text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
        int n = ASN1_STRING_length(name->d.dNSName);
        if (n > 0 && n <= SNI_NAME_MAX && !memchr(text, 0, (size_t)n))
            r = add_name(set, text, (size_t)n, ctx);
    }
    GENERAL_NAMES_free(names);
    return r;
}

static void configure(SSL_CTX *ctx, struct tls_set *set) {
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_COMPRESSION);
    /* Gorouter's order: AES-128 is as safe here and takes a quarter less. */
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                  "TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                 "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets do it, without memory */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, set);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
}

static int add_context(struct tls_set *set, const char *cert, const char *key, struct error *err) {
    SSL_CTX **grown = mem_resize(set->contexts, set->context_count + 1, sizeof(SSL_CTX *));
    if (!grown)
        return error_set(err, -ENOMEM, "out of memory");
    set->contexts = grown;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return error_set(err, -ENOMEM, "out of memory");
    set->contexts[set->context_count++] = ctx;
    configure(ctx, set);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return error_set(err, -EINVAL, "certificate %s: %s", cert, openssl_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return error_set(err, -EINVAL, "private key %s: %s", key, openssl_reason());
    if (SSL_CTX_check_private_key(ctx) != 1)
        return error_set(err, -EINVAL, "private key %s does not belong to %s", key, cert);
    if (add_names(set, ctx) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

static int load_sni_file(struct tls_set *set, const char *path, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    size_t n;
    int r = fs_read(AT_FDCWD, path, SNI_FILE_MAX, &text, &n, err);
    if (r < 0)
        return r;
    char *lines = text, *line;
    for (unsigned number = 1; (line = strsep(&lines, "\n")); number++) {
        char *save = NULL, *cert = strtok_r(line, " \t\r", &save);
        if (!cert || *cert == '#')
            continue;
        char *key = strtok_r(NULL, " \t\r", &save);
        if (!key || strtok_r(NULL, " \t\r", &save))
            return error_set(err, -EINVAL, "%s:%u: not a \"CERT-FILE KEY-FILE\" line", path,
                             number);
        if ((r = add_context(set, cert, key, err)) < 0)
            return error_wrap(err, "%s:%u", path, number);
    }
    return 0;
}

static void tls_set_unrefp(struct tls_set **set) {
    tls_set_unref(*set);
}

int tls_set_load(struct tls_set **ret, const char *cert, const char *key, const char *sni_file,
                 struct error *err) {
    _cleanup_(tls_set_unrefp) struct tls_set *set = mem_zalloc(sizeof *set);
    int r;
    if (!set || !stream_bio)
        return error_set(err, -ENOMEM, "out of memory");
    atomic_init(&set->refs, 1);
    if ((r = add_context(set, cert, key, err)) < 0)
        return r;
    if (!str_empty(sni_file) && (r = load_sni_file(set, sni_file, err)) < 0)
        return r;
    qsort(set->names, set->name_count, sizeof *set->names, compare_named);
    *ret = TAKE_PTR(set);
    return 0;
}

struct tls_set *tls_set_ref(struct tls_set *set) {
    atomic_fetch_add(&set->refs, 1);
    return set;
}

void tls_set_unref(struct tls_set *set) {
    if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    for (size_t i = 0; i < set->name_count; i++)
        free(set->names[i].name);
    for (size_t i = 0; i < set->context_count; i++)
        SSL_CTX_free(set->contexts[i]);
    free(set->names);
    free(set->contexts);
    free(set);
}

/* --- a connection --- */

int tls_accept(struct stream *s, struct tls_set *set) {
    SSL *ssl = SSL_new(set->contexts[0]);
    BIO *bio = ssl ? BIO_new(stream_bio) : NULL;
    if (!bio) {
        SSL_free(ssl);
        return -ENOMEM;
    }
    BIO_set_data(bio, s);
    SSL_set_app_data(ssl, tls_set_ref(set)); /* the SNI callback needs it during the handshake */
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    s->ssl = ssl;
    return 0;
}

/* What an SSL_ call that returned r <= 0 means. 0: the peer ended the session. */
static int outcome(struct stream *s, int r) {
    switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL: /* without errno: the end, and HTTP tells whether it is early */
        return -errno;
    default:
        return -EPROTO;
    }
}

int tls_handshake(struct stream *s) {
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(s->ssl);
    if (r == 1)
        return 0;
    r = outcome(s, r);
    return r == 0 ? -ECONNRESET : r;
}

ssize_t tls_read(struct stream *s, void *p, size_t n) {
    size_t got = 0;
    ERR_clear_error();
    while (got < n) {
        size_t part;
        errno = 0;
        int r = SSL_read_ex(s->ssl, (char *)p + got, n - got, &part);
        if (r == 1) {
            got += part;
            /* Without this, each read would end with one more that only says "no more". */
            if (!stream_may_read(s))
                break;
            continue;
        }
        if (got)
            break; /* whatever it is, the next call says it again */
        return outcome(s, r);
    }
    return (ssize_t)got;
}

ssize_t tls_write(struct stream *s, const void *p, size_t n) {
    size_t taken = 0, part;
    int r = tls_flush(s);
    if (r < 0)
        return r;
    if (!s->writable)
        return -EAGAIN;
    ERR_clear_error();
    errno = 0;
    gather.active = true;
    gather.n = 0;
    int ok = 1;
    while (taken < n && GATHER_BYTES - gather.n >= RECORD_MAX &&
           (ok = SSL_write_ex(s->ssl, (const char *)p + taken, n - taken, &part)) == 1)
        taken += part;
    gather.active = false;
    if (ok != 1 && !taken) {
        r = outcome(s, ok);
        return r == 0 ? -EPIPE : r;
    }
    r = send_gathered(s);
    return r < 0 ? r : (ssize_t)taken;
}

void tls_shutdown_write(struct stream *s) {
    ERR_clear_error();
    SSL_shutdown(s->ssl);
}

void tls_close(struct stream *s) {
    if (SSL_is_init_finished(s->ssl) && s->writable)
        tls_shutdown_write(s);
    struct tls_set *set = SSL_get_app_data(s->ssl);
    SSL_free(s->ssl);
    s->ssl = NULL;
    free(s->tls_pending);
    s->tls_pending = NULL;
    tls_set_unref(set);
}
