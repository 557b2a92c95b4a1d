/* peer_source.c - one blob from one source after the other.
 *
 *     own file -> peers, as the controller names them -> registry -> peers again, if it may help
 *
 * A cell that is fetching it from the registry just now is followed: the bytes come at its pace,
 * and the registry sends them once.
 *
 * The own file and other peers only where it is known that the app may have the blob (layer_id.h):
 * it is the registry that tells so the first time, by giving all of it.
 *
 * Each goes on where the one before stopped, and the digest is of all that was handed out, whoever
 * it came from. Peers come before the registry: they are nearer, cost nothing and are not limited,
 * and while they have it nobody waits for a registry that is down. */
#include "cell/image/peer_source.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/image/peer_stream.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#define ROUNDS   4   /* over the peers, when the registry does not help */
#define PAUSE_MS 200 /* before another round; doubled */
#define LOOK_MS  50

enum from { FROM_NOBODY, FROM_FILE, FROM_PEER, FROM_REGISTRY };

struct reading {
    struct peers *peers;
    const struct layer_blob *what;
    const volatile bool *stop;
    char hex[2 * TOKEN_BLOB_SIZE + 1];
    uint8_t digest[TOKEN_BLOB_SIZE];
    uint64_t received;
    bool others_gave; /* some of it came from here or from a peer */
    EVP_MD_CTX *md;   /* of what was handed out */
    bool verified;
    struct peers_counters counted;

    enum from from;
    int file;
    struct peer_stream stream;
    char peer[64]; /* its name */
    struct registry_blob *registry;

    /* who is next */
    bool file_tried, located;
    uint8_t id[LAYER_ID_SIZE];
    enum peer_leave leave;
    struct peers_found found;
    size_t place; /* of those */
    unsigned rounds;
    bool may_pass;              /* a peer failed in a way that it may not fail in again */
    bool missed, missed_before; /* one that was fetching it has just done so, or failed */
    struct error registry_says; /* it failed so; code 0: it was not asked */
    struct error peer_says;
};

static int canceled(struct error *err) {
    return error_set(err, -ECANCELED, "the download was stopped");
}

/* --- one source each: 0 when it can be read from ---------------------------------------------- */

static int open_file(struct reading *r) {
    struct stat st;
    if (r->what->own_fd < 0 || r->what->trail->own_is_bad || r->received > 0)
        return -ENOENT;
    r->file = openat(r->what->own_fd, r->hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (r->file < 0)
        return -errno;
    r->what->trail->own = r->others_gave = true;
    if (fstat(r->file, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != r->what->size) {
        r->what->trail->own_is_bad = true;
        close_fdp(&r->file);
        return -EBADMSG;
    }
    r->from = FROM_FILE;
    return 0;
}

static void note_peer(struct layer_trail *t, const struct peer_place *at) {
    for (unsigned i = 0; i < t->peer_count; i++)
        if (t->peers[i].port == at->port && str_eq(t->peers[i].address, at->address))
            return;
    t->peers[t->peer_count++] = *at;
}

static int open_peer(struct reading *r, const struct peer_place *at) {
    struct layer_trail *trail = r->what->trail;
    char id[2 * LAYER_ID_SIZE + 1];
    peer_name(at, r->peer);
    if (!peers_trusts(r->peers, r->peer) || trail->peer_count == TRAIL_PEERS ||
        (at->coming ? trail->follow_none : !r->leave))
        return -EPERM;
    hex_encode(r->id, sizeof r->id, id);
    int code = peer_stream_open(&r->stream, at, at->coming ? id : r->hex, r->received,
                                r->what->size, r->stop, &r->peer_says);
    if (code < 0) {
        r->counted.failures++;
        r->may_pass |= code == -EBUSY || code == -EACCES || code == -ETIMEDOUT;
        r->missed |= code == -ENOENT && at->coming;
        return code;
    }
    r->stream.slow_ms = peers_config(r->peers)->slow_ms;
    if (at->coming)
        trail->followed = true;
    else
        note_peer(trail, at);
    r->others_gave = true;
    r->from = FROM_PEER;
    return 0;
}

static int open_registry(struct reading *r) {
    if (!r->what->ref || !*r->what->ref->registry)
        return error_set(&r->registry_says, -EHOSTUNREACH, "no registry is known for it here");
    int code = registry_blob_open(peers_config(r->peers)->registries, r->what->ref,
                                  r->what->credentials, r->what->digest, r->what->size, r->received,
                                  r->stop, &r->registry, &r->registry_says);
    if (code < 0)
        return code;
    registry_blob_leave_digest(r->registry);
    r->from = FROM_REGISTRY;
    return 0;
}

/* --- one after the other ---------------------------------------------------------------------- */

static void locate(struct reading *r) {
    peers_locate(r->peers, r->id, r->stop, &r->found);
    r->leave = MAX(r->leave, r->found.leave);
    r->place = 0;
    r->located = true;
}

static int nap(struct reading *r, uint64_t ms, struct error *err) {
    for (uint64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;) {
        if (*r->stop)
            return canceled(err);
        usleep(LOOK_MS * 1000);
    }
    return 0;
}

/* The registry's words are what a user can act on; peers are a reason beside it. */
static int give_up(struct reading *r, struct error *err) {
    if (r->peer_says.code)
        return error_set(err, r->registry_says.code, "%s (other cells: %s)", r->registry_says.msg,
                         r->peer_says.msg);
    return error_set(err, r->registry_says.code, "%s", r->registry_says.msg);
}

static int next_source(struct reading *r, struct error *err) {
    int code;
    while (true) {
        if (*r->stop)
            return canceled(err);
        if (!r->located && (!r->leave || r->file_tried))
            locate(r);
        if (!r->file_tried && r->leave) {
            r->file_tried = true;
            if (open_file(r) == 0)
                return 0;
            continue;
        }
        while (r->place < r->found.n)
            if (open_peer(r, &r->found.places[r->place++]) == 0)
                return 0;
        if (r->missed && !r->missed_before) {
            r->missed_before = true;
            r->located = false;
            if ((code = nap(r, LOOK_MS, err)) < 0)
                return code;
            continue;
        }
        if (*r->stop)
            return canceled(err);
        if (!r->registry_says.code && open_registry(r) == 0)
            return 0;
        if (!r->may_pass || ++r->rounds >= ROUNDS)
            return give_up(r, err);
        code = nap(r, (uint64_t)PAUSE_MS << (r->rounds - 1), err);
        if (code < 0)
            return code;
        r->located = r->may_pass = false;
    }
}

static void leave_source(struct reading *r) {
    if (r->from == FROM_FILE)
        close_fdp(&r->file);
    else if (r->from == FROM_PEER)
        peer_stream_close(&r->stream);
    else if (r->from == FROM_REGISTRY)
        registry_blob_close(r->registry);
    r->from = FROM_NOBODY;
}

/* --- the bytes -------------------------------------------------------------------------------- */

static ssize_t read_some(struct reading *r, void *buf, size_t n, struct error *err) {
    ssize_t got;
    switch (r->from) {
    case FROM_FILE:
        got = read(r->file, buf, n);
        return got < 0 ? error_set(err, -errno, "%s", strerror(errno)) : got;
    case FROM_PEER:
        got = peer_stream_read(&r->stream, buf, n, err);
        if (got > 0)
            r->counted.bytes += (uint64_t)got;
        return got;
    default:
        return registry_blob_read(r->registry, buf, n, err);
    }
}

/* More, from whoever has it; 0 once all came. */
static ssize_t read_any(struct reading *r, void *buf, size_t n, struct error *err) {
    while (r->received < r->what->size || r->from == FROM_REGISTRY) {
        struct error why = {0};
        int code = r->from == FROM_NOBODY ? next_source(r, err) : 0;
        if (code < 0)
            return code;
        ssize_t got = read_some(r, buf, n, &why);
        if (got > 0)
            return got;
        if (r->from == FROM_REGISTRY) {
            if (got == 0)
                return 0;
            r->registry_says = why;
            if (why.code == -ECANCELED || why.code == -EBADMSG || why.code == -EFBIG)
                return error_set(err, why.code, "%s", why.msg);
            r->located = false; /* who can go on with it? */
        } else if (r->from == FROM_PEER) {
            r->peer_says = why;
            r->counted.failures++;
            r->may_pass = true;
            if (why.code == -EBADMSG)
                peers_distrust(r->peers, r->peer);
        }
        leave_source(r);
    }
    return 0;
}

static int verify(struct reading *r, struct error *err) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    if (r->verified)
        return 0;
    if (EVP_DigestFinal_ex(r->md, digest, NULL) != 1)
        return error_set(err, -EIO, "cannot compute a digest");
    hex_encode(digest, sizeof r->digest, hex);
    if (!str_eq(hex, r->hex))
        return error_set(err, -EBADMSG,
                         "%s sent something else than the layer: its digest is sha256:%s, not %s",
                         r->others_gave ? "another cell" : "the registry", hex, r->what->digest);
    r->verified = true;
    r->what->trail->leave = !r->others_gave            ? LEAVE_NONE
                            : r->what->trail->followed ? MAX(r->leave, LEAVE_REPOSITORY)
                                                       : r->leave;
    if (r->from == FROM_PEER)
        r->counted.blobs++;
    return 0;
}

static ssize_t read_blob(void *blob, void *buf, size_t n, struct error *err) {
    struct reading *r = blob;
    ssize_t got = read_any(r, buf, n, err);
    if (got == 0)
        return n > 0 ? verify(r, err) : 0;
    if (got < 0)
        return got;
    r->received += (uint64_t)got;
    if (EVP_DigestUpdate(r->md, buf, (size_t)got) != 1)
        return error_set(err, -EIO, "cannot compute a digest");
    return got;
}

static void close_blob(void *blob) {
    struct reading *r = blob;
    if (!r)
        return;
    leave_source(r);
    if (r->peers)
        peers_count(r->peers, &r->counted);
    EVP_MD_CTX_free(r->md);
    mem_wipe(&r->found, sizeof r->found);
    free(r);
}

static void reading_freep(struct reading **r) {
    close_blob(*r);
}

static int open_blob(void *data, const struct layer_blob *what, const volatile bool *stop,
                     void **ret, struct error *err) {
    _cleanup_(reading_freep) struct reading *r = mem_zalloc(sizeof *r);
    if (!r || !(r->md = EVP_MD_CTX_new()) || EVP_DigestInit_ex(r->md, EVP_sha256(), NULL) != 1)
        return error_set(err, -ENOMEM, "out of memory");
    if (!str_starts(what->digest, "sha256:") ||
        hex_decode(what->digest + strlen("sha256:"), r->digest, sizeof r->digest) < 0)
        return error_set(err, -EINVAL, "a layer's digest is not a sha256 digest");
    r->peers = data;
    r->what = what;
    r->stop = stop;
    r->leave = what->own_leave;
    layer_id(r->digest, what->of, r->id);
    hex_encode(r->digest, sizeof r->digest, r->hex);
    int code = what->size > 0 ? next_source(r, err) : open_registry(r);
    if (code < 0)
        return what->size > 0 ? code : give_up(r, err);
    *ret = TAKE_PTR(r);
    return 0;
}

static bool blame(void *data, const struct layer_blob *what) {
    struct layer_trail *trail = what->trail;
    bool somebody = trail->peer_count > 0 || trail->followed || (trail->own && !trail->own_is_bad);
    for (unsigned i = 0; i < trail->peer_count; i++) {
        char name[64];
        peer_name(&trail->peers[i], name);
        peers_distrust(data, name);
        peer_stream_doubt(&trail->peers[i], what->digest + strlen("sha256:"));
    }
    mem_wipe(trail->peers, sizeof trail->peers);
    trail->own_is_bad |= trail->own;
    trail->follow_none |= trail->followed;
    trail->followed = false;
    trail->own = false;
    trail->peer_count = 0;
    return somebody;
}

void peer_source(struct peers *p, struct layer_source *ret) {
    *ret = (struct layer_source){open_blob, read_blob, close_blob, blame, p};
}
