/* cell_swarm_routers.c - a simulated router: it watches the route table and keeps it. */
#include "tests/component/cell_swarm.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

struct route_entry {
    char key[320];
    size_t endpoints;
    uint64_t mark;
    UT_hash_handle hh;
};

struct router {
    struct process *home;
    struct bus_identity identity;
    char name[16];
    struct bus_conversation *watch, *logs;
    uint8_t epoch[BUS_EPOCH_SIZE];
    size_t epoch_n;
    uint64_t version, mark;
    bool in_full, counted; /* the first one's table is what is counted */
    struct route_entry *table;
};

static void send_router_watch(struct router *r) {
    Berth__Watch watch = BERTH__WATCH__INIT;
    watch.epoch = (ProtobufCBinaryData){r->epoch_n, r->epoch};
    watch.version = r->version;
    bus_conversation_request(r->watch, &watch.base, BUS_WATCH_WAIT_MS + BUS_REPLY_SLACK_MS, NULL);
}

static void route_drop(struct router *r, struct route_entry *e) {
    if (r->counted) {
        r->home->counts->routes--;
        r->home->counts->endpoints -= e->endpoints;
    }
    HASH_DEL(r->table, e);
    free(e);
}

static void route_put(struct router *r, const Berth__Route *from) {
    struct route_entry *e;
    char key[sizeof e->key];
    snprintf(key, sizeof key, "%s%s", from->host, from->path);
    HASH_FIND_STR(r->table, key, e);
    if (!e) {
        e = need(mem_zalloc(sizeof *e));
        memcpy(e->key, key, sizeof key);
        HASH_ADD_STR(r->table, key, e);
        r->home->counts->routes += r->counted;
    }
    if (r->counted)
        r->home->counts->endpoints += from->n_endpoints - e->endpoints;
    e->endpoints = from->n_endpoints;
    e->mark = r->mark;
}

static void on_router_open(void *data, const Berth__HelloAck *ack) {
    (void)ack;
    struct router *r = data;
    r->home->counts->routers_open++;
    send_router_watch(r);
}

static void on_router_reply(void *data, const ProtobufCMessage *msg) {
    struct router *r = data;
    const Berth__WatchReply *reply = (const Berth__WatchReply *)msg;
    struct route_entry *e, *tmp;
    if (reply->from == 0 && reply->to != 0) {
        r->in_full = true;
        r->mark++;
    }
    for (size_t i = 0; i < reply->n_routes; i++)
        route_put(r, reply->routes[i]);
    for (size_t i = 0; i < reply->n_removed_routes; i++) {
        HASH_FIND_STR(r->table, reply->removed_routes[i], e);
        if (e)
            route_drop(r, e);
    }
    r->home->counts->route_pages += reply->to != reply->from;
    if (reply->to != 0) {
        r->version = reply->to;
        r->epoch_n = MIN(reply->epoch.len, sizeof r->epoch);
        memcpy(r->epoch, reply->epoch.data, r->epoch_n);
    }
    if (r->in_full && reply->to != 0 && !reply->more) {
        r->in_full = false;
        HASH_ITER (hh, r->table, e, tmp) {
            if (e->mark != r->mark)
                route_drop(r, e);
        }
    }
    send_router_watch(r);
}

static void on_router_down(void *data, const char *why) {
    (void)why;
    struct router *r = data;
    r->home->counts->routers_open--;
    r->home->counts->breaks++;
    if (r->in_full) {
        r->in_full = false;
        r->version = 0;
    }
}

static void router_init(struct process *p, struct router *r, unsigned number) {
    Berth__Hello hello = BERTH__HELLO__INIT;
    r->home = p;
    r->counted = number == 0;
    snprintf(r->name, sizeof r->name, "router-%u", number);
    identify(p->settings, ROUTER_KIND, number, &r->identity);
    hello.kind = BERTH__NODE_KIND__NODE_ROUTER;
    hello.name = r->name;
    hello.version = (char *)"swarm";
    r->watch = talk(
        p, &r->identity, &hello, BERTH__CONVERSATION__CONVERSATION_WATCH,
        (struct bus_conversation_ops){on_router_open, on_router_reply, on_router_down, NULL}, r);
    r->logs = talk_of_nothing(p, &r->identity, &hello);
}

void routers_init(struct process *p, unsigned n) {
    p->routers = need(mem_calloc(n + 1, sizeof *p->routers));
    for (unsigned i = 0; i < n; i++)
        router_init(p, &p->routers[i], i);
}
