/* watch.c - long polls: held until there is something to tell or the wait is over, told in pages.
 *
 * An answer with to = 0 says nothing: the brain does not know yet what it wants. */
#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "common/base/clock.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/internal.h"

#define ITEM_OVERHEAD 64 /* tags and lengths of an item in a page, and its guid */

/* A WatchReply that grows. Items are owned. */
struct page {
    Berth__WatchReply reply;
    size_t bytes, caps[4];
    bool failed; /* memory ran out: what stands is whole, but there is more */
};

static void page_init(struct page *p) {
    memset(p, 0, sizeof *p);
    berth__watch_reply__init(&p->reply);
}

static void page_fini(struct page *p) {
    for (size_t i = 0; i < p->reply.n_assignments; i++)
        berth__assignment__free_unpacked(p->reply.assignments[i], NULL);
    for (size_t i = 0; i < p->reply.n_routes; i++)
        berth__route__free_unpacked(p->reply.routes[i], NULL);
    for (size_t i = 0; i < p->reply.n_withdrawn; i++)
        free(p->reply.withdrawn[i]);
    for (size_t i = 0; i < p->reply.n_removed_routes; i++)
        free(p->reply.removed_routes[i]);
    free(p->reply.assignments);
    free(p->reply.routes);
    free(p->reply.withdrawn);
    free(p->reply.removed_routes);
}

static bool page_has_room(struct page *p, size_t bytes) {
    if (p->bytes > 0 && p->bytes + bytes > BUS_WATCH_PAGE_BYTES)
        return false;
    p->bytes += bytes;
    return true;
}

/* Room for one more pointer in a list, or NULL. */
static void *page_grow(struct page *p, void *list, size_t n, size_t *cap) {
    if (n < *cap)
        return list;
    size_t more = *cap ? *cap * 2 : 16;
    void *grown = mem_resize(list, more, sizeof(void *));
    if (!grown) {
        p->failed = true;
        return NULL;
    }
    *cap = more;
    return grown;
}

static bool on_assign(void *arg, const struct lrp_assignment *a) {
    struct page *p = arg;
    Berth__WatchReply *r = &p->reply;
    if (p->failed || !page_has_room(p, a->run_info_n + ITEM_OVERHEAD))
        return false;
    void *list = page_grow(p, r->assignments, r->n_assignments, &p->caps[0]);
    if (!list)
        return false;
    r->assignments = list;
    Berth__Assignment *item = malloc(sizeof *item);
    if (!item) {
        p->failed = true;
        return false;
    }
    berth__assignment__init(item);
    item->index = a->index;
    item->instance_guid = str_dup(a->instance_guid);
    item->lrp = berth__desired_lrp__unpack(NULL, a->run_info_n, a->run_info);
    if (!item->instance_guid || !item->lrp) {
        berth__assignment__free_unpacked(item, NULL);
        p->failed = true;
        return false;
    }
    r->assignments[r->n_assignments++] = item;
    return true;
}

static bool add_text(struct page *p, char ***list, size_t *n, size_t *cap, const char *text) {
    if (p->failed || !page_has_room(p, strlen(text) + ITEM_OVERHEAD))
        return false;
    void *grown = page_grow(p, *list, *n, cap);
    char *copy = grown ? str_dup(text) : NULL;
    if (grown)
        *list = grown;
    if (!copy) {
        p->failed = true;
        return false;
    }
    (*list)[(*n)++] = copy;
    return true;
}

static bool on_withdraw(void *arg, const char *guid) {
    struct page *p = arg;
    return add_text(p, &p->reply.withdrawn, &p->reply.n_withdrawn, &p->caps[1], guid);
}

static bool on_route_removed(void *arg, const char *key) {
    struct page *p = arg;
    return add_text(p, &p->reply.removed_routes, &p->reply.n_removed_routes, &p->caps[2], key);
}

static bool on_route(void *arg, const Berth__Route *route) {
    struct page *p = arg;
    Berth__WatchReply *r = &p->reply;
    size_t n = berth__route__get_packed_size(route);
    if (p->failed || !page_has_room(p, n + ITEM_OVERHEAD))
        return false;
    void *list = page_grow(p, r->routes, r->n_routes, &p->caps[3]);
    if (!list)
        return false;
    r->routes = list;
    _cleanup_(freep) uint8_t *packed = malloc(n ? n : 1); /* the only copy that protobuf-c offers */
    if (packed)
        berth__route__pack(route, packed);
    Berth__Route *copy = packed ? berth__route__unpack(NULL, n, packed) : NULL;
    if (!copy) {
        p->failed = true;
        return false;
    }
    r->routes[r->n_routes++] = copy;
    return true;
}

static void tell(struct node *node, Berth__WatchReply *reply) {
    struct hub_request *req = node->watch;
    reply->epoch.data = node->nodes->epoch;
    reply->epoch.len = sizeof node->nodes->epoch;
    node->watch = NULL;
    hub_reply(node->nodes->hub, req, &reply->base);
}

/* Answers the held Watch if there is something to tell. */
static bool answer(struct node *node) {
    struct nodes *n = node->nodes;
    struct page page;
    uint64_t had = node->since, since = had, to;
    bool more = false;
    page_init(&page);
    if (node->peer->kind == BERTH__NODE_KIND__NODE_CELL)
        to = lrp_cell_changes(n->deps.lrp, node->peer->id_text, &since, on_assign, on_withdraw,
                              &page, &more);
    else
        to = lrp_route_changes(n->deps.lrp, &since, on_route, on_route_removed, &page, &more);
    bool nothing = to == 0 || (since != 0 && to == since) || (page.failed && page.bytes == 0);
    if (!nothing) {
        page.reply.from = since;
        page.reply.to = to;
        page.reply.more = more;
        if (node->peer->kind == BERTH__NODE_KIND__NODE_CELL)
            page.reply.keep_version = lrp_keep_version(n->deps.lrp, node->peer->id_text);
        tell(node, &page.reply);
    }
    page_fini(&page);
    return !nothing;
}

static void answer_nothing(struct node *node) {
    Berth__WatchReply reply;
    berth__watch_reply__init(&reply);
    reply.from = reply.to = node->since;
    tell(node, &reply);
}

/* --- waiting: all wait equally long, so the list is in order of deadlines --- */

static void arm(struct nodes *n, uint64_t now_ms) {
    if (!n->waiting) {
        event_del(n->wait_timer);
        return;
    }
    uint64_t at = n->waiting->deadline_ms, in_ms = at > now_ms ? at - now_ms : 0;
    const struct timeval tv = {.tv_sec = (time_t)(in_ms / 1000),
                               .tv_usec = (suseconds_t)(in_ms % 1000 * 1000)};
    event_add(n->wait_timer, &tv);
}

static void hold(struct node *node) {
    struct nodes *n = node->nodes;
    uint64_t now_ms = clock_mono_ms();
    bool first = !n->waiting;
    node->deadline_ms = now_ms + n->deps.watch_wait_ms;
    DL_APPEND2(n->waiting, node, wait_prev, wait_next);
    if (first)
        arm(n, now_ms);
}

static void let_go(struct node *node) {
    DL_DELETE2(node->nodes->waiting, node, wait_prev, wait_next);
}

void on_wait_timer(int fd, short what, void *arg) {
    (void)fd, (void)what;
    struct nodes *n = arg;
    uint64_t now_ms = clock_mono_ms();
    for (int i = 0; i < ANSWERS_A_TURN && n->waiting && n->waiting->deadline_ms <= now_ms; i++) {
        struct node *node = n->waiting;
        let_go(node);
        if (!answer(node))
            answer_nothing(node);
    }
    arm(n, now_ms);
}

void watch_request(struct node *node, struct hub_request *req, const Berth__Watch *msg) {
    struct nodes *n = node->nodes;
    bool same = msg->epoch.len == sizeof n->epoch &&
                memcmp(msg->epoch.data, n->epoch, sizeof n->epoch) == 0;
    if (node->watch) /* the hub holds one a conversation: never */
        watch_dropped(node);
    node->watch = req;
    node->since = same ? msg->version : 0;
    if (!answer(node))
        hold(node);
}

void watch_dropped(struct node *node) {
    if (!node->watch)
        return;
    node->watch = NULL;
    let_go(node);
}

/* --- what changed: noted, answered a few a loop turn --- */

void watch_changed(struct node *node) {
    struct nodes *n = node->nodes;
    static const struct timeval at_once = {0, 0};
    if (node->changed || !node->watch)
        return;
    node->changed = true;
    node->changed_next = NULL;
    *n->changed_tail = node;
    n->changed_tail = &node->changed_next;
    if (!event_pending(n->answer_timer, EV_TIMEOUT, NULL))
        event_add(n->answer_timer, &at_once);
}

void on_answer_timer(int fd, short what, void *arg) {
    (void)fd, (void)what;
    struct nodes *n = arg;
    static const struct timeval at_once = {0, 0};
    for (int i = 0; i < ANSWERS_A_TURN && n->changed; i++) {
        struct node *node = n->changed;
        n->changed = node->changed_next;
        if (!n->changed)
            n->changed_tail = &n->changed;
        node->changed = false;
        if (node->watch && answer(node))
            let_go(node);
    }
    if (n->changed)
        event_add(n->answer_timer, &at_once);
}
