/* nodes_world.c - see nodes_world.h. */
#include "tests/unit/nodes/nodes_world.h"

#include "tests/unit/lib/loopback.h"

#include <event2/event.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/random.h"

#define WAIT_MS 5000

struct event_base *loop;
struct logs *logs;
struct lrp *lrp;
struct store *store;
struct nodes *nodes;
char dir[64], revoked[96];
static char control_url[64], logs_url[64];
static uint8_t master[BUS_KEY_SIZE];
static struct event *work_timer;
uint32_t wait_ms;
uint64_t settle_ms = 15000;
unsigned foreign_calls;
char foreign_said[160];

/* --- the brain on the loop --- */

static void on_cell_changed(void *data, const char *id) {
    (void)data;
    nodes_cell_changed(nodes, id);
}
static void on_routes_changed(void *data) {
    (void)data;
    nodes_routes_changed(nodes);
}
static void on_work(void *data) {
    static const struct timeval at_once = {0, 0};
    (void)data;
    if (work_timer)
        event_add(work_timer, &at_once);
}
static void on_work_timer(int fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
    lrp_converge(lrp, clock_mono_ms());
}
static void on_guid(void *data, char buf[static GUID_SIZE]) {
    (void)data;
    guid_new(buf);
}

static void on_foreign_lines(void *data, const char *node_id, const char *name,
                             const char *app_guid, uint64_t count) {
    (void)data, (void)node_id;
    foreign_calls++;
    snprintf(foreign_said, sizeof foreign_said, "%s %s %d", name, app_guid, (int)count);
}

void start_controller(void) {
    struct error err = {0};
    const struct lrp_config config = {
        .presence_ms = 15000, .converge_ms = 30000, .settle_ms = settle_ms, .rng_seed = 1};
    const struct lrp_ops ops = {.on_cell_changed = on_cell_changed,
                                .on_routes_changed = on_routes_changed,
                                .on_work = on_work,
                                .new_guid = on_guid};
    ck_assert_int_eq(store_open(&store, dir, NULL), 0);
    ck_assert_int_eq(logs_new(&logs, 1 << 20, 1 << 20, NULL), 0);
    ck_assert_int_eq(lrp_new(&lrp, &config, &ops, clock_mono_ms(), NULL), 0);
    work_timer = evtimer_new(loop, on_work_timer, NULL);
    const struct nodes_deps deps = {.loop = loop,
                                    .store = store,
                                    .lrp = lrp,
                                    .logs = logs,
                                    .control_url = control_url,
                                    .logs_url = logs_url,
                                    .master_key = master,
                                    .gen = 1,
                                    .watch_wait_ms = wait_ms,
                                    .revoked_path = revoked,
                                    .on_foreign_lines = on_foreign_lines};
    ck_assert_msg(nodes_new(&nodes, &deps, &err) == 0, "%s", err.msg);
}

void stop_controller(void) {
    nodes_free(nodes);
    event_free(work_timer);
    work_timer = NULL;
    lrp_free(lrp);
    logs_free(logs);
    store_free(store);
}

void setup(void) {
    snprintf(control_url, sizeof control_url, "tcp://%s:20980", loopback_of_tests());
    snprintf(logs_url, sizeof logs_url, "tcp://%s:20981", loopback_of_tests());
    snprintf(dir, sizeof dir, "/tmp/berth-nodes-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(revoked, sizeof revoked, "%s/revoked", dir);
    random_bytes(master, sizeof master);
    loop = event_base_new();
    start_controller();
}

void teardown(void) {
    stop_controller();
    event_base_free(loop);
    fs_remove_tree(AT_FDCWD, dir, NULL);
}

void wait_until(bool (*done)(void *arg), void *arg, const char *what) {
    uint64_t end = clock_mono_ms() + WAIT_MS;
    static const struct timeval slice = {0, 5000};
    while (!done(arg)) {
        ck_assert_msg(clock_mono_ms() < end, "waited in vain: %s", what);
        event_base_loopexit(loop, &slice);
        event_base_dispatch(loop);
    }
}

/* --- a node --- */

static void on_open(void *data, const Berth__HelloAck *ack) {
    (void)ack;
    ((struct peer *)data)->open = true;
}
static void on_reply(void *data, const ProtobufCMessage *reply) {
    struct peer *p = data;
    p->replies++;
    if (reply->descriptor == &berth__watch_reply__descriptor) {
        uint8_t *packed = malloc(protobuf_c_message_get_packed_size(reply));
        size_t n = protobuf_c_message_pack(reply, packed);
        if (p->watch)
            berth__watch_reply__free_unpacked(p->watch, NULL);
        p->watch = berth__watch_reply__unpack(NULL, n, packed);
        free(packed);
    } else if (reply->descriptor == &berth__report_ack__descriptor) {
        p->number = ((const Berth__ReportAck *)reply)->number;
        p->want_full = ((const Berth__ReportAck *)reply)->want_full;
        _cleanup_(freep) uint8_t *packed = malloc(protobuf_c_message_get_packed_size(reply) + 1);
        size_t n = protobuf_c_message_pack(reply, packed);
        if (p->ack)
            berth__report_ack__free_unpacked(p->ack, NULL);
        p->ack = berth__report_ack__unpack(NULL, n, packed);
    } else {
        p->next = ((const Berth__LogsAck *)reply)->next;
        p->credit = ((const Berth__LogsAck *)reply)->credit_bytes;
    }
}
static void on_down(void *data, const char *why) {
    (void)why;
    ((struct peer *)data)->open = false;
    ((struct peer *)data)->downs++;
}

void peer_identity(struct peer *p, Berth__NodeKind kind) {
    uint8_t id[BUS_ID_SIZE];
    nodes_make_id(kind, id);
    ck_assert_int_eq(hub_derive_identity(master, 1, id, &p->identity), 0);
}

void peer_connect(struct peer *p, Berth__NodeKind kind, Berth__Conversation conversation) {
    const struct bus_conversation_ops ops = {on_open, on_reply, on_down, p};
    Berth__Capacity capacity;
    Berth__Hello hello;
    berth__capacity__init(&capacity);
    capacity.memory_mb = 1000;
    capacity.disk_mb = 1000;
    capacity.containers = 600;
    berth__hello__init(&hello);
    hello.kind = kind;
    hello.conversation = conversation;
    hello.name = TEXT("node-1");
    hello.zone = TEXT("z1");
    hello.address = TEXT("127.0.0.1");
    hello.capacity = &capacity;
    struct error err = {0};
    const char *url =
        conversation == BERTH__CONVERSATION__CONVERSATION_LOGS ? logs_url : control_url;
    ck_assert_msg(
        bus_conversation_new(&p->conversation, loop, &p->identity, url, &hello, &ops, &err) == 0,
        "%s", err.msg);
}

void peer_fini(struct peer *p) {
    bus_conversation_free(p->conversation);
    if (p->watch)
        berth__watch_reply__free_unpacked(p->watch, NULL);
    if (p->ack)
        berth__report_ack__free_unpacked(p->ack, NULL);
    *p = (struct peer){.identity = p->identity};
}

bool is_open(void *arg) {
    return ((struct peer *)arg)->open;
}
bool has_reply(void *arg) {
    return ((struct peer *)arg)->replies > 0;
}

void ask(struct peer *p, const ProtobufCMessage *request) {
    struct error err = {0};
    wait_until(is_open, p, "a conversation opens");
    p->replies = 0;
    ck_assert_msg(bus_conversation_request(p->conversation, request, 8000, &err) == 0, "%s",
                  err.msg);
}

void send_watch(struct peer *p) {
    Berth__Watch watch;
    berth__watch__init(&watch);
    if (p->watch && p->watch->to) {
        watch.epoch = p->watch->epoch;
        watch.version = p->watch->to;
    }
    ask(p, &watch.base);
}

void report(struct peer *p, bool full, Berth__ActualLrp **instances, size_t n) {
    static uint64_t number;
    Berth__Report msg;
    berth__report__init(&msg);
    msg.number = ++number;
    msg.full = full;
    msg.instances = instances;
    msg.n_instances = n;
    ask(p, &msg.base);
    wait_until(has_reply, p, "a report is acknowledged");
    ck_assert_uint_eq(p->number, number);
}

void desire(uint32_t instances, size_t padding) {
    _cleanup_(freep) char *pad = malloc(padding + 1);
    memset(pad, 'x', padding);
    pad[padding] = '\0';
    Berth__DesiredLrp lrp_msg;
    berth__desired_lrp__init(&lrp_msg);
    lrp_msg.process_guid = TEXT(APP_GUID "-v1");
    lrp_msg.vcap_application = pad;
    size_t n = berth__desired_lrp__get_packed_size(&lrp_msg);
    _cleanup_(freep) uint8_t *packed = malloc(n);
    berth__desired_lrp__pack(&lrp_msg, packed);
    const struct lrp_route route = {"app.example", "", 0, false};
    const struct lrp_desired d = {.process_guid = APP_GUID "-v1",
                                  .process = APP_GUID,
                                  .app_guid = APP_GUID,
                                  .app_name = "app",
                                  .process_type = "web",
                                  .instances = instances,
                                  .memory_mb = 1,
                                  .disk_mb = 1,
                                  .port = 8080,
                                  .routes = &route,
                                  .route_count = 1,
                                  .run_info = packed,
                                  .run_info_n = n};
    ck_assert_int_eq(lrp_desire(lrp, &d, clock_mono_ms(), NULL), 0);
}

struct peer cell_watch, cell_report, cell_logs, router;

void make_cell(void) {
    peer_identity(&cell_report, BERTH__NODE_KIND__NODE_CELL);
    cell_watch.identity = cell_logs.identity = cell_report.identity;
}

void cell_joins(void) {
    peer_connect(&cell_watch, BERTH__NODE_KIND__NODE_CELL, BERTH__CONVERSATION__CONVERSATION_WATCH);
    peer_connect(&cell_report, BERTH__NODE_KIND__NODE_CELL,
                 BERTH__CONVERSATION__CONVERSATION_REPORT);
}

void all_leave(void) {
    peer_fini(&cell_watch);
    peer_fini(&cell_report);
    peer_fini(&cell_logs);
    peer_fini(&router);
}

void say_running(const Berth__Assignment *a) {
    Berth__ActualLrp m, *list[] = {&m};
    Berth__PortMapping port, *ports[] = {&port};
    berth__actual_lrp__init(&m);
    berth__port_mapping__init(&port);
    port.container_port = 8080;
    port.host_port = 61001;
    m.instance_guid = a->instance_guid;
    m.process_guid = a->lrp->process_guid;
    m.app_guid = TEXT(APP_GUID);
    m.index = a->index;
    m.state = BERTH__INSTANCE_STATE__INSTANCE_RUNNING;
    m.address = TEXT("127.0.0.1");
    m.ports = ports;
    m.n_ports = 1;
    report(&cell_report, false, list, 1);
}
