#include "common/http/trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define MAX_STORES 16 /* an operator's extra CA files are few */
#define MAX_AGE_MS (10 * 60 * 1000ULL)

struct entry {
    char *ca_file;    /* owned; NULL: the system's only */
    struct stat stat; /* of ca_file when it was read */
    uint64_t made_ms;
    X509_STORE *store; /* NULL: the entry is free */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[MAX_STORES];

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The system's directory of hashed certificates, read as they are needed: its bundle as one file
 * would be megabytes in every process. SSL_CERT_DIR and SSL_CERT_FILE are honoured, as OpenSSL
 * documents them. What is missing only means that nothing is trusted. */
static void trust_system(X509_STORE *store) {
    X509_LOOKUP *dir = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());
    if (dir)
        X509_LOOKUP_add_dir(dir, NULL, X509_FILETYPE_DEFAULT);
    const char *file = getenv(X509_get_default_cert_file_env());
    if (file)
        X509_STORE_load_file(store, file);
}

static int read_store(const char *ca_file, X509_STORE **ret, struct error *err) {
    X509_STORE *store = X509_STORE_new();
    if (!store)
        return error_set(err, -ENOMEM, "out of memory");
    ERR_clear_error();
    trust_system(store);
    if (ca_file && X509_STORE_load_file(store, ca_file) != 1) {
        X509_STORE_free(store);
        ERR_clear_error();
        return error_set(err, -EINVAL, "%s holds no certificate in PEM form", ca_file);
    }
    /* PARTIAL_CHAIN: an intermediate or the server's own certificate may be the anchor. */
    X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    ERR_clear_error();
    *ret = store;
    return 0;
}

static void forget(struct entry *e) {
    X509_STORE_free(e->store);
    free(e->ca_file);
    *e = (struct entry){0};
}

/* The entry of ca_file, else a free one, else the oldest, emptied. */
static struct entry *find(const char *ca_file) {
    struct entry *best = &entries[0];
    for (struct entry *e = entries; e < entries + MAX_STORES; e++) {
        if (e->store && str_eq(e->ca_file, ca_file))
            return e;
        if (best->store && (!e->store || e->made_ms < best->made_ms))
            best = e;
    }
    if (best->store)
        forget(best);
    return best;
}

static int lookup(const char *ca_file, X509_STORE **ret, struct error *err) {
    struct stat now = {0};
    int r;
    if (ca_file && stat(ca_file, &now) < 0)
        return error_set(err, -errno, "cannot read %s: %s", ca_file, strerror(errno));
    struct entry *e = find(ca_file);
    if (e->store && (clock_mono_ms() - e->made_ms > MAX_AGE_MS || !same_file(&e->stat, &now)))
        forget(e);
    if (!e->store) {
        _cleanup_(freep) char *copy = str_dup(ca_file);
        if (ca_file && !copy)
            return error_set(err, -ENOMEM, "out of memory");
        if ((r = read_store(ca_file, &e->store, err)) < 0)
            return r;
        e->ca_file = TAKE_PTR(copy);
        e->stat = now;
        e->made_ms = clock_mono_ms();
    }
    X509_STORE_up_ref(e->store);
    *ret = e->store;
    return 0;
}

int trust_store(const char *ca_file, X509_STORE **ret, struct error *err) {
    pthread_mutex_lock(&lock);
    int r = lookup(ca_file, ret, err);
    pthread_mutex_unlock(&lock);
    return r;
}
