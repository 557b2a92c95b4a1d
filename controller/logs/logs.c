/* logs.c - each line stands in two lists: its app's, by time, and that of all, by arrival; a
 * request stands in its app's list of those, too. What is dropped first when the app has too much
 * is its earliest line, but its earliest request while requests take more than half: under load
 * what the app said is not pushed out by who asked. When all have too much, it is the first that
 * came. */
#include "controller/logs/logs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION     HASH_FNV
#include <uthash.h>
#include <utlist.h>

#include "common/base/str.h"

#define TYPE_MAX 64 /* of source type and instance; longer ones are cut */

struct line {
    struct line *prev, *next;         /* app->lines, by time */
    struct line *all_prev, *all_next; /* logs->all, by arrival */
    struct line *req_prev, *req_next; /* app->requests, by time; only of requests */
    struct app *app;
    struct logs_line public; /* its texts point behind this struct */
    size_t bytes;            /* held, in all */
    bool request;            /* a router's line */
};

struct logs_subscription {
    struct logs_subscription *prev, *next;
    struct app *app;
    void (*each)(void *arg, const struct logs_line *line); /* NULL: gone, freed after the call */
    void *arg;
};

struct app {
    char *guid;
    struct line *lines, *requests;
    struct logs_subscription *subscriptions;
    size_t bytes, request_bytes;
    bool calling; /* subscribers are being called */
    UT_hash_handle hh;
};

struct logs {
    struct app *apps;
    struct line *all;
    size_t max_per_app, max, bytes;
};

int logs_new(struct logs **ret, size_t max_bytes_per_app, size_t max_bytes, struct error *err) {
    struct logs *l = mem_zalloc(sizeof *l);
    if (!l)
        return error_set(err, -ENOMEM, "out of memory");
    l->max_per_app = max_bytes_per_app;
    l->max = max_bytes;
    *ret = l;
    return 0;
}

static struct app *app_find(struct logs *l, const char *guid) {
    struct app *a;
    HASH_FIND_STR(l->apps, guid, a);
    return a;
}

static struct app *app_get(struct logs *l, const char *guid) {
    struct app *a = app_find(l, guid);
    if (a)
        return a;
    a = mem_zalloc(sizeof *a);
    if (a && (a->guid = str_dup(guid))) {
        HASH_ADD_KEYPTR(hh, l->apps, a->guid, strlen(a->guid), a);
        if (a->hh.tbl)
            return a;
        free(a->guid);
    }
    free(a);
    return NULL;
}

/* An app without lines and listeners is nothing. */
static void app_settle(struct logs *l, struct app *a) {
    if (a->lines || a->subscriptions || a->calling)
        return;
    HASH_DEL(l->apps, a);
    free(a->guid);
    free(a);
}

static void drop(struct logs *l, struct line *line) {
    struct app *a = line->app;
    DL_DELETE(a->lines, line);
    DL_DELETE2(l->all, line, all_prev, all_next);
    if (line->request) {
        DL_DELETE2(a->requests, line, req_prev, req_next);
        a->request_bytes -= line->bytes;
    }
    a->bytes -= line->bytes;
    l->bytes -= line->bytes;
    free(line);
}

void logs_forget(struct logs *l, const char *app_guid) {
    struct app *a = app_find(l, app_guid);
    if (!a)
        return;
    while (a->lines)
        drop(l, a->lines);
    app_settle(l, a);
}

void logs_free(struct logs *l) {
    if (!l)
        return;
    struct app *a, *tmp;
    HASH_ITER (hh, l->apps, a, tmp) {
        while (a->lines)
            drop(l, a->lines);
        struct logs_subscription *s, *next;
        DL_FOREACH_SAFE (a->subscriptions, s, next) {
            DL_DELETE(a->subscriptions, s);
            free(s);
        }
        app_settle(l, a);
    }
    free(l);
}

static struct line *line_make(const struct logs_line *from) {
    const char *type = from->source_type ? from->source_type : "";
    const char *instance = from->source_instance ? from->source_instance : "";
    size_t type_n = strnlen(type, TYPE_MAX), instance_n = strnlen(instance, TYPE_MAX);
    size_t bytes = sizeof(struct line) + type_n + 1 + instance_n + 1 + from->message_n;
    struct line *line = malloc(bytes);
    if (!line)
        return NULL;
    char *at = (char *)(line + 1);
    *line = (struct line){.public = *from, .bytes = bytes, .request = str_starts(type, "RTR")};
    line->public.source_type = at;
    memcpy(at, type, type_n);
    at[type_n] = '\0';
    at += type_n + 1;
    line->public.source_instance = at;
    memcpy(at, instance, instance_n);
    at[instance_n] = '\0';
    at += instance_n + 1;
    line->public.message = at;
    if (from->message_n)
        memcpy(at, from->message, from->message_n);
    return line;
}

/* Most lines come in order, so the place is looked for from the end. */
static void insert(struct app *a, struct line *line) {
    struct line *before = a->lines ? a->lines->prev : NULL;
    while (before && before->public.wall_ns > line->public.wall_ns)
        before = before == a->lines ? NULL : before->prev;
    for (; before && before->public.wall_ns == line->public.wall_ns; line->public.wall_ns++)
        if (before->next && before->next->public.wall_ns == line->public.wall_ns + 1)
            before = before->next;
    if (before)
        DL_APPEND_ELEM(a->lines, before, line);
    else
        DL_PREPEND(a->lines, line);
}

static void insert_request(struct app *a, struct line *line) {
    struct line *before = a->requests ? a->requests->req_prev : NULL;
    while (before && before->public.wall_ns > line->public.wall_ns)
        before = before == a->requests ? NULL : before->req_prev;
    if (before)
        DL_APPEND_ELEM2(a->requests, before, line, req_prev, req_next);
    else
        DL_PREPEND2(a->requests, line, req_prev, req_next);
    a->request_bytes += line->bytes;
}

static void tell(struct app *a, const struct logs_line *line) {
    struct logs_subscription *s, *next;
    a->calling = true;
    DL_FOREACH (a->subscriptions, s) {
        if (s->each)
            s->each(s->arg, line);
    }
    a->calling = false;
    DL_FOREACH_SAFE (a->subscriptions, s, next) {
        if (!s->each) {
            DL_DELETE(a->subscriptions, s);
            free(s);
        }
    }
}

void logs_put(struct logs *l, const char *app_guid, const struct logs_line *from) {
    struct app *a = app_get(l, app_guid);
    struct line *line = a ? line_make(from) : NULL;
    if (!line) {
        if (a)
            app_settle(l, a);
        return; /* no memory: a log line is the first thing to do without */
    }
    line->app = a;
    insert(a, line);
    if (line->request)
        insert_request(a, line);
    DL_APPEND2(l->all, line, all_prev, all_next);
    a->bytes += line->bytes;
    l->bytes += line->bytes;
    tell(a, &line->public);
    while (a->bytes > l->max_per_app && a->lines)
        drop(l, a->request_bytes > l->max_per_app / 2 ? a->requests : a->lines);
    while (l->bytes > l->max && l->all) {
        struct app *other = l->all->app;
        drop(l, l->all);
        if (other != a)
            app_settle(l, other);
    }
    app_settle(l, a);
}

void logs_printf(struct logs *l, const char *app_guid, const char *source_type, bool err,
                 uint64_t wall_ns, const char *fmt, ...) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&text, fmt, ap);
    va_end(ap);
    if (text.failed)
        return;
    logs_put(l, app_guid,
             &(struct logs_line){.source_type = source_type,
                                 .source_instance = "0",
                                 .err = err,
                                 .wall_ns = wall_ns,
                                 .message = text.p ? text.p : "",
                                 .message_n = text.n});
}

size_t logs_read(struct logs *l, const char *app_guid, uint64_t start_ns, uint64_t end_ns,
                 size_t limit, bool descending,
                 void (*each)(void *arg, const struct logs_line *line), void *arg) {
    const struct app *a = app_find(l, app_guid);
    size_t n = 0;
    if (!a || !a->lines)
        return 0;
    const struct line *last = a->lines->prev;
    const struct line *line = descending ? last : a->lines;
    while (line && n < limit) {
        uint64_t at = line->public.wall_ns;
        if (at >= start_ns && (end_ns == 0 || at < end_ns)) {
            each(arg, &line->public);
            n++;
        } else if (descending ? at < start_ns : end_ns && at >= end_ns) {
            break;
        }
        line = !descending ? line->next : line == a->lines ? NULL : line->prev;
    }
    return n;
}

struct logs_subscription *logs_subscribe(struct logs *l, const char *app_guid,
                                         void (*each)(void *arg, const struct logs_line *line),
                                         void *arg) {
    struct app *a = app_get(l, app_guid);
    struct logs_subscription *s = a ? mem_zalloc(sizeof *s) : NULL;
    if (!s) {
        if (a)
            app_settle(l, a);
        return NULL;
    }
    *s = (struct logs_subscription){.app = a, .each = each, .arg = arg};
    DL_APPEND(a->subscriptions, s);
    return s;
}

void logs_unsubscribe(struct logs *l, struct logs_subscription *s) {
    if (!s)
        return;
    struct app *a = s->app;
    if (a->calling) {
        s->each = NULL;
        return;
    }
    DL_DELETE(a->subscriptions, s);
    free(s);
    app_settle(l, a);
}

size_t logs_bytes(const struct logs *l) {
    return l->bytes;
}
