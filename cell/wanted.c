#include "cell/wanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
/* Without memory an element is left out of the table (its hh.tbl stays NULL), nothing exits. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV /* the default one is no clean C to every compiler */
#include <uthash.h>

#include "common/base/str.h"

#define GUID_MAX  64
#define EPOCH_MAX 16

struct name {
    UT_hash_handle hh;
    char guid[];
};

struct wanted {
    struct wanted_ops ops;
    struct name *names; /* of the full set being collected, or that is complete */
    uint8_t epoch[EPOCH_MAX];
    size_t epoch_n;
    uint64_t version; /* 0: nothing known */
    bool complete;    /* a full set was seen to its last page */
    bool collecting;  /* its last page is still to come */
};

static void forget_all(struct wanted *w) {
    struct name *n, *tmp;
    HASH_ITER (hh, w->names, n, tmp) {
        HASH_DEL(w->names, n);
        free(n);
    }
}

int wanted_new(struct wanted **ret, const struct wanted_ops *ops, struct error *err) {
    struct wanted *w = mem_zalloc(sizeof *w);
    if (!w)
        return error_set(err, -ENOMEM, "out of memory");
    w->ops = *ops;
    *ret = w;
    return 0;
}

void wanted_free(struct wanted *w) {
    if (!w)
        return;
    forget_all(w);
    free(w);
}

static struct name *find(const struct wanted *w, const char *guid) {
    struct name *n;
    HASH_FIND_STR(w->names, guid, n);
    return n;
}

bool wanted_has(const struct wanted *w, const char *instance_guid) {
    return find(w, instance_guid) != NULL;
}

bool wanted_is_complete(const struct wanted *w) {
    return w->complete;
}

static int add(struct wanted *w, const char *guid) {
    if (find(w, guid))
        return 0;
    size_t len = strlen(guid);
    struct name *n = mem_zalloc(sizeof *n + len + 1);
    if (!n)
        return -ENOMEM;
    memcpy(n->guid, guid, len);
    HASH_ADD_STR(w->names, guid, n);
    if (n->hh.tbl)
        return 0;
    free(n);
    return -ENOMEM;
}

static void drop(struct wanted *w, const char *guid) {
    struct name *n = find(w, guid);
    if (!n)
        return;
    HASH_DEL(w->names, n);
    free(n);
}

void wanted_fill(const struct wanted *w, Berth__Watch *watch) {
    berth__watch__init(watch);
    watch->epoch = (ProtobufCBinaryData){w->epoch_n, (uint8_t *)(uintptr_t)w->epoch};
    watch->version = w->version;
}

/* --- what may be run --- */

static bool is_guid(const char *s) {
    size_t n = strlen(s);
    if (n < 1 || n > GUID_MAX)
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '-'))
            return false;
    return true;
}

static bool is_text(const char *s) {
    return str_is_utf8(s, strlen(s));
}

int wanted_check(const Berth__Assignment *a, struct error *err) {
    const Berth__DesiredLrp *lrp = a->lrp;
    if (!is_guid(a->instance_guid))
        return error_set(err, -EPROTO, "an instance guid is malformed");
    if (!lrp || !lrp->image)
        return error_set(err, -EPROTO, "instance %s has no image", a->instance_guid);
    if (!is_text(lrp->app_guid) || !is_text(lrp->process_guid) || !is_text(lrp->process_type) ||
        !is_text(lrp->image->reference) || !is_text(lrp->workdir) || !is_text(lrp->log_source))
        return error_set(err, -EPROTO, "instance %s has text that is no UTF-8", a->instance_guid);
    for (size_t i = 0; i < lrp->n_ports; i++)
        if (lrp->ports[i] < 1 || lrp->ports[i] > 65535)
            return error_set(err, -EPROTO, "instance %s has port %u", a->instance_guid,
                             lrp->ports[i]);
    return 0;
}

/* --- pages --- */

static bool same_epoch(const struct wanted *w, const Berth__WatchReply *reply) {
    return reply->epoch.len == w->epoch_n && memcmp(reply->epoch.data, w->epoch, w->epoch_n) == 0;
}

static int check_page(const struct wanted *w, const Berth__WatchReply *reply, struct error *err) {
    if (reply->epoch.len < 1 || reply->epoch.len > EPOCH_MAX)
        return error_set(err, -EPROTO, "an epoch of %zu bytes", reply->epoch.len);
    if (reply->from != 0 && (reply->from != w->version || !same_epoch(w, reply)))
        return error_set(err, -EPROTO, "changes from version %llu, known is %llu",
                         (unsigned long long)reply->from, (unsigned long long)w->version);
    if (reply->to < reply->from)
        return error_set(err, -EPROTO, "changes that go back");
    return 0;
}

/* A full set begins: all of it is still to be named. */
static void begin_full(struct wanted *w, const Berth__WatchReply *reply) {
    forget_all(w);
    w->collecting = true;
    memcpy(w->epoch, reply->epoch.data, reply->epoch.len);
    w->epoch_n = reply->epoch.len;
}

int wanted_apply(struct wanted *w, const Berth__WatchReply *reply, struct error *err) {
    int r = check_page(w, reply, err);
    if (r < 0) {
        w->version = 0;
        return r;
    }
    if (reply->to == 0)
        return 0; /* the wait was over before the controller had anything to say: not a set */
    if (reply->from == 0)
        begin_full(w, reply);
    for (size_t i = 0; i < reply->n_assignments; i++)
        if (add(w, reply->assignments[i]->instance_guid) < 0) {
            w->version = 0;
            return error_set(err, -ENOMEM, "out of memory");
        }
    for (size_t i = 0; i < reply->n_assignments; i++)
        w->ops.on_wanted(w->ops.data, reply->assignments[i]);
    for (size_t i = 0; i < reply->n_withdrawn; i++) {
        drop(w, reply->withdrawn[i]);
        w->ops.on_unwanted(w->ops.data, reply->withdrawn[i]);
    }
    w->version = reply->to;
    if (!reply->more && w->collecting) {
        w->collecting = false;
        w->complete = true;
        w->ops.on_complete(w->ops.data);
    }
    return 0;
}
