/* nodes.c - the hub's callbacks: who it is, then to the file of the conversation. */
#include "controller/nodes/nodes.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/random.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/internal.h"

static bool on_knows(void *data, const uint8_t id[BUS_ID_SIZE]) {
    /* Only the holder of the master key can make a key that fits an id: who is not revoked, is
     * known. */
    return (id[0] == NODES_CELL_ID || id[0] == NODES_ROUTER_ID) && !known_is_revoked(data, id);
}

static bool on_admits(void *data, const uint8_t id[BUS_ID_SIZE], const Berth__Hello *hello) {
    (void)data;
    return id[0] == (hello->kind == BERTH__NODE_KIND__NODE_CELL ? NODES_CELL_ID : NODES_ROUTER_ID);
}

static struct node *node_get(struct nodes *n, struct hub_peer *peer) {
    struct node *node = peer->owner;
    if (node)
        return node;
    node = mem_zalloc(sizeof *node);
    if (!node)
        return NULL;
    node->nodes = n;
    node->peer = peer;
    node->full_ms = clock_mono_ms();
    peer->owner = node;
    DL_APPEND(n->all, node);
    return node;
}

/* A cell is announced to the brain with every report conversation, because its full report follows;
 * a watch only proves that it lives, and that it sends log lines not even that: it would obey
 * nobody. */
static void announce(struct node *node, const Berth__Hello *hello, uint64_t now_ms) {
    struct nodes *n = node->nodes;
    bool reports = hello->conversation == BERTH__CONVERSATION__CONVERSATION_REPORT;
    const struct lrp_cell_info info = {
        .id = node->peer->id_text,
        .name = node->name,
        .zone = node->zone,
        .address = node->address,
        .memory_mb = hello->capacity ? hello->capacity->memory_mb : 0,
        .disk_mb = hello->capacity ? hello->capacity->disk_mb : 0,
        .containers = hello->capacity ? hello->capacity->containers : 0,
    };
    if (node->present && !reports) {
        if (hello->conversation == BERTH__CONVERSATION__CONVERSATION_WATCH)
            lrp_cell_heard(n->deps.lrp, node->peer->id_text, now_ms);
        return;
    }
    if (lrp_cell_present(n->deps.lrp, &info, now_ms) == 0)
        node->present = true;
    node->in_full = node->in_holdings = false;
}

static void on_session(void *data, struct hub_peer *peer, const Berth__Hello *hello) {
    struct nodes *n = data;
    struct node *node = node_get(n, peer);
    if (!node)
        return; /* its requests are not answered; it tries again */
    snprintf(node->name, sizeof node->name, "%s", hello->name);
    snprintf(node->zone, sizeof node->zone, "%s", hello->zone);
    snprintf(node->address, sizeof node->address, "%s", hello->address);
    snprintf(node->version, sizeof node->version, "%s", hello->version);
    if (hello->conversation == BERTH__CONVERSATION__CONVERSATION_LOGS)
        lines_session(node);
    if (peer->kind == BERTH__NODE_KIND__NODE_CELL)
        announce(node, hello, clock_mono_ms());
    known_seen(node);
}

static void on_request(void *data, struct hub_peer *peer, struct hub_request *req,
                       const ProtobufCMessage *msg) {
    struct nodes *n = data;
    struct node *node = node_get(n, peer);
    if (!node)
        return;
    bool logs = msg->descriptor == &berth__logs__descriptor;
    if (peer->kind == BERTH__NODE_KIND__NODE_CELL && !logs) /* who only logs obeys nobody */
        lrp_cell_heard(n->deps.lrp, peer->id_text, clock_mono_ms());
    if (msg->descriptor == &berth__watch__descriptor)
        watch_request(node, req, (const Berth__Watch *)msg);
    else if (msg->descriptor == &berth__report__descriptor)
        heard_report(node, req, (const Berth__Report *)msg);
    else if (logs)
        lines_request(node, req, (const Berth__Logs *)msg);
}

static void on_dropped(void *data, struct hub_peer *peer, struct hub_request *req) {
    (void)data;
    struct node *node = peer->owner;
    if (node && node->watch == req)
        watch_dropped(node);
}

/* --- what changed in the brain --- */

void nodes_cell_changed(struct nodes *n, const char *cell_id) {
    uint8_t id[BUS_ID_SIZE];
    if (hex_decode(cell_id, id, sizeof id) < 0)
        return;
    struct hub_peer *peer = hub_find(n->hub, id);
    if (peer && peer->owner)
        watch_changed(peer->owner);
}

void nodes_routes_changed(struct nodes *n) {
    for (struct node *node = n->all; node; node = node->next)
        if (node->peer->kind == BERTH__NODE_KIND__NODE_ROUTER)
            watch_changed(node);
}

/* --- made and freed --- */

void nodes_free(struct nodes *n) {
    if (!n)
        return;
    hub_free(n->hub);
    struct node *node, *tmp;
    DL_FOREACH_SAFE (n->all, node, tmp) {
        free(node->last_lines);
        mem_wipe(&node->giver, sizeof node->giver);
        free(node);
    }
    if (n->answer_timer)
        event_free(n->answer_timer);
    if (n->wait_timer)
        event_free(n->wait_timer);
    if (n->save_timer)
        event_free(n->save_timer);
    known_free(n);
    free(n);
}

int nodes_new(struct nodes **ret, const struct nodes_deps *deps, struct error *err) {
    _cleanup_(nodes_freep) struct nodes *n = mem_zalloc(sizeof *n);
    int r;
    if (!n)
        return error_set(err, -ENOMEM, "out of memory");
    n->deps = *deps;
    n->changed_tail = &n->changed;
    if (!n->deps.watch_wait_ms)
        n->deps.watch_wait_ms = BUS_WATCH_WAIT_MS;
    random_bytes(n->epoch, sizeof n->epoch);
    n->answer_timer = evtimer_new(deps->loop, on_answer_timer, n);
    n->wait_timer = evtimer_new(deps->loop, on_wait_timer, n);
    n->save_timer = evtimer_new(deps->loop, on_save_timer, n);
    if (!n->answer_timer || !n->wait_timer || !n->save_timer)
        return error_set(err, -ENOMEM, "out of memory");
    if ((r = known_load(n, err)) < 0)
        return error_wrap(err, "nodes");
    struct hub_config config = {.control_url = deps->control_url,
                                .logs_url = deps->logs_url,
                                .master_key = deps->master_key,
                                .gen = deps->gen,
                                .previous_master_key = deps->previous_master_key,
                                .previous_gen = deps->previous_gen,
                                .watch_wait_ms = n->deps.watch_wait_ms};
    memcpy(config.epoch, n->epoch, sizeof config.epoch);
    const struct hub_ops ops = {.knows = on_knows,
                                .admits = on_admits,
                                .on_session = on_session,
                                .on_request = on_request,
                                .on_dropped = on_dropped,
                                .data = n};
    if ((r = hub_new(&n->hub, deps->loop, &config, &ops, err)) < 0)
        return error_wrap(err, "bus");
    n->deps.master_key = n->deps.previous_master_key = NULL; /* the caller wipes them */
    *ret = TAKE_PTR(n);
    return 0;
}

/* --- looking --- */

bool nodes_is_listening(const struct nodes *n) {
    return hub_is_listening(n->hub);
}

void nodes_each(struct nodes *n, void (*each)(void *arg, const struct node_view *v), void *arg) {
    for (const struct node *node = n->all; node; node = node->next) {
        if (known_is_revoked(n, node->peer->id))
            continue;
        bool is_cell = node->peer->kind == BERTH__NODE_KIND__NODE_CELL;
        const struct node_view v = {.id = node->peer->id_text,
                                    .name = node->name,
                                    .zone = node->zone,
                                    .address = node->address,
                                    .version = node->version,
                                    .is_cell = is_cell,
                                    .heard_ms = node->peer->last_heard_mono_ms,
                                    .current = !is_cell && node->since > 0 &&
                                               node->since == lrp_route_version(n->deps.lrp)};
        each(arg, &v);
    }
}

void nodes_page(struct nodes *n, struct strbuf *out) {
    uint64_t now_ms = clock_mono_ms();
    for (const struct node *node = n->all; node; node = node->next) {
        if (known_is_revoked(n, node->peer->id))
            continue;
        strbuf_printf(out, "%s kind=%s name=%s zone=%s address=%s silent_ms=%llu version=%llu\n",
                      node->peer->id_text,
                      node->peer->kind == BERTH__NODE_KIND__NODE_CELL ? "cell" : "router",
                      node->name, node->zone, node->address,
                      (unsigned long long)(now_ms - node->peer->last_heard_mono_ms),
                      (unsigned long long)node->since);
    }
}

void nodes_metrics(struct nodes *n, struct strbuf *out) {
    struct bus_counters c;
    hub_counters(n->hub, &c);
    const struct {
        const char *name, *help;
        uint64_t value;
    } counters[] = {
        {"berth_bus_received_total", "Authentic messages received.", c.received},
        {"berth_bus_sent_total", "Packets sent.", c.sent},
        {"berth_bus_sessions_total", "Sessions opened.", c.sessions},
        {"berth_bus_dropped_malformed_total", "Packets without an envelope.", c.dropped_malformed},
        {"berth_bus_dropped_unknown_total", "Packets of unknown nodes or sessions.",
         c.dropped_unknown},
        {"berth_bus_dropped_forged_total", "Packets not sealed with their node's key.",
         c.dropped_forged},
        {"berth_bus_dropped_replayed_total", "Packets seen before.", c.dropped_replayed},
        {"berth_bus_dropped_limited_total", "Hellos above the rate limits.", c.dropped_limited},
        {"berth_bus_unsendable_total", "Answers too big to be sent.", c.unsendable},
        {"berth_log_lines_total", "Log lines taken from nodes.", n->lines},
        {"berth_log_lines_lost_total", "Log lines that nodes had to drop.", n->lines_lost},
        {"berth_log_lines_refused_total", "Malformed log lines.", n->lines_refused},
        {"berth_log_lines_foreign_total", "Log lines of apps that the sender does not run.",
         n->lines_foreign},
        {"berth_report_instances_refused_total", "Malformed instances in reports.",
         n->instances_refused},
        {"berth_layer_places_total", "Times that a cell was told where it can fetch a layer.",
         n->places_told},
    };
    for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
        metric_put(out, counters[i].name, "counter", counters[i].help, (double)counters[i].value);
    metric_put(out, "berth_bus_connections", "gauge", "TCP connections of the bus now.",
               hub_connections(n->hub));
}
