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
#define TURN_MS       2  /* answers of one loop turn: API requests want their turn, too */

/* A WatchReply that grows. Its lists are packed as they come, each item as the field on the wire
 * that it will be: what an instance runs is packed already, and unpacking it only to pack it again
 * would be most of what an answer costs. protobuf-c takes them along as fields that it does not
 * know, which it sends as they are. */
struct page {
    Berth__WatchReply reply;
    ProtobufCMessageUnknownField fields;
    struct strbuf packed;
    size_t bytes;
};

static void page_fini(struct page *p) {
    strbuf_fini(&p->packed);
}

static bool page_has_room(struct page *p, size_t bytes) {
    if (p->packed.failed || (p->bytes > 0 && p->bytes + bytes > BUS_WATCH_PAGE_BYTES))
        return false;
    p->bytes += bytes;
    return true;
}

static size_t varint_size(uint64_t v) {
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static void put_varint(struct strbuf *out, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        strbuf_putc(out, (char)(v | 0x80));
    strbuf_putc(out, (char)v);
}

/* All numbers of fields here are below 16: their tags are one byte. */
static void put_tag(struct strbuf *out, unsigned field, ProtobufCWireType type) {
    strbuf_putc(out, (char)(field << 3 | type));
}

static size_t bytes_size(size_t n) {
    return 1 + varint_size(n) + n;
}

static void put_bytes(struct strbuf *out, unsigned field, const void *p, size_t n) {
    put_tag(out, field, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    put_varint(out, n);
    strbuf_add(out, p, n);
}

/* Numbers of fields: WatchReply and Assignment in proto/bus.proto. */
enum {
    REPLY_ASSIGNMENTS = 5,
    REPLY_WITHDRAWN = 6,
    REPLY_ROUTES = 7,
    REPLY_REMOVED_ROUTES = 8,
    ASSIGNMENT_INSTANCE_GUID = 1,
    ASSIGNMENT_INDEX = 2,
    ASSIGNMENT_LRP = 3,
};

static bool on_assign(void *arg, const struct lrp_assignment *a) {
    struct page *p = arg;
    if (!page_has_room(p, a->run_info_n + ITEM_OVERHEAD))
        return false;
    size_t guid_n = strlen(a->instance_guid);
    put_tag(&p->packed, REPLY_ASSIGNMENTS, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    put_varint(&p->packed,
               bytes_size(guid_n) + 1 + varint_size(a->index) + bytes_size(a->run_info_n));
    put_bytes(&p->packed, ASSIGNMENT_INSTANCE_GUID, a->instance_guid, guid_n);
    put_tag(&p->packed, ASSIGNMENT_INDEX, PROTOBUF_C_WIRE_TYPE_VARINT);
    put_varint(&p->packed, a->index);
    put_bytes(&p->packed, ASSIGNMENT_LRP, a->run_info, a->run_info_n);
    return !p->packed.failed;
}

static bool put_text(struct page *p, unsigned field, const char *text) {
    size_t n = strlen(text);
    if (!page_has_room(p, n + ITEM_OVERHEAD))
        return false;
    put_bytes(&p->packed, field, text, n);
    return !p->packed.failed;
}

static bool on_withdraw(void *arg, const char *guid) {
    return put_text(arg, REPLY_WITHDRAWN, guid);
}

static bool on_route_removed(void *arg, const char *key) {
    return put_text(arg, REPLY_REMOVED_ROUTES, key);
}

static bool on_route(void *arg, const Berth__Route *route) {
    struct page *p = arg;
    size_t n = berth__route__get_packed_size(route);
    if (!page_has_room(p, n + ITEM_OVERHEAD))
        return false;
    put_tag(&p->packed, REPLY_ROUTES, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    put_varint(&p->packed, n);
    uint8_t *to = strbuf_extend(&p->packed, n);
    if (to)
        berth__route__pack(route, to);
    return !p->packed.failed;
}

/* The packed lists become the reply's: the first one's tag is protobuf-c's to write. */
static void page_end(struct page *p) {
    if (p->packed.n == 0)
        return;
    p->fields = (ProtobufCMessageUnknownField){
        .tag = (uint32_t)(uint8_t)p->packed.p[0] >> 3,
        .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
        .len = p->packed.n - 1,
        .data = (uint8_t *)p->packed.p + 1,
    };
    p->reply.base.n_unknown_fields = 1;
    p->reply.base.unknown_fields = &p->fields;
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
    _cleanup_(page_fini) struct page page = {.reply = BERTH__WATCH_REPLY__INIT};
    uint64_t had = node->since, since = had, to;
    bool more = false;
    if (node->peer->kind == BERTH__NODE_KIND__NODE_CELL)
        to = lrp_cell_changes(n->deps.lrp, node->peer->id_text, &since, on_assign, on_withdraw,
                              &page, &more);
    else
        to = lrp_route_changes(n->deps.lrp, &since, on_route, on_route_removed, &page, &more);
    bool nothing = to == 0 || (since != 0 && to == since) || page.packed.failed;
    if (!nothing) {
        page.reply.from = since;
        page.reply.to = to;
        page.reply.more = more;
        page_end(&page);
        if (node->peer->kind == BERTH__NODE_KIND__NODE_CELL)
            page.reply.keep_version = lrp_keep_version(n->deps.lrp, node->peer->id_text);
        tell(node, &page.reply);
    }
    return !nothing;
}

static void answer_nothing(struct node *node) {
    Berth__WatchReply reply;
    berth__watch_reply__init(&reply);
    reply.from = reply.to = node->since;
    if (node->peer->kind == BERTH__NODE_KIND__NODE_CELL)
        reply.keep_version = lrp_keep_version(node->nodes->deps.lrp, node->peer->id_text);
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
        if (i > 0 && clock_mono_ms() >= now_ms + TURN_MS)
            break;
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
    uint64_t end_ms = clock_mono_ms() + TURN_MS;
    for (int i = 0; i < ANSWERS_A_TURN && n->changed; i++) {
        if (i > 0 && clock_mono_ms() >= end_ms)
            break;
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
