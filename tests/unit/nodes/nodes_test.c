/* The glue with a real bus on loopback: a cell and a router that speak, a brain that decides. */
#include "tests/unit/lib/loopback.h"
#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/token.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/nodes.h"
#include "controller/store/nodes.h"

#define TEXT(s)  ((char *)(s))
#define WAIT_MS  5000
#define APP_GUID "11111111-1111-4111-8111-111111111111"

static struct event_base *loop;
static struct logs *logs;
static struct lrp *lrp;
static struct store *store;
static struct nodes *nodes;
static char dir[64], control_url[64], logs_url[64], revoked[96];
static uint8_t master[BUS_KEY_SIZE];
static struct event *work_timer;
static uint32_t wait_ms; /* 0: as in earnest */

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

static void start_controller(void) {
    struct error err = {0};
    const struct lrp_config config = {
        .presence_ms = 15000, .converge_ms = 30000, .settle_ms = 15000, .rng_seed = 1};
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
                                    .revoked_path = revoked};
    ck_assert_msg(nodes_new(&nodes, &deps, &err) == 0, "%s", err.msg);
}

static void stop_controller(void) {
    nodes_free(nodes);
    event_free(work_timer);
    work_timer = NULL;
    lrp_free(lrp);
    logs_free(logs);
    store_free(store);
}

static void setup(void) {
    snprintf(control_url, sizeof control_url, "tcp://%s:20980", loopback_of_tests());
    snprintf(logs_url, sizeof logs_url, "tcp://%s:20981", loopback_of_tests());
    snprintf(dir, sizeof dir, "/tmp/berth-nodes-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(revoked, sizeof revoked, "%s/revoked", dir);
    random_bytes(master, sizeof master);
    loop = event_base_new();
    start_controller();
}

static void teardown(void) {
    stop_controller();
    event_base_free(loop);
    fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void wait_until(bool (*done)(void *arg), void *arg, const char *what) {
    uint64_t end = clock_mono_ms() + WAIT_MS;
    static const struct timeval slice = {0, 5000};
    while (!done(arg)) {
        ck_assert_msg(clock_mono_ms() < end, "waited in vain: %s", what);
        event_base_loopexit(loop, &slice);
        event_base_dispatch(loop);
    }
}

/* --- a node --- */

struct peer {
    struct bus_identity identity;
    struct bus_conversation *conversation;
    bool open;
    unsigned downs, replies;
    /* what the last answer was */
    Berth__WatchReply *watch;
    Berth__ReportAck *ack;
    uint64_t number, next, credit;
    bool want_full;
};

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

static void peer_identity(struct peer *p, Berth__NodeKind kind) {
    uint8_t id[BUS_ID_SIZE];
    nodes_make_id(kind, id);
    ck_assert_int_eq(hub_derive_identity(master, 1, id, &p->identity), 0);
}

static void peer_connect(struct peer *p, Berth__NodeKind kind, Berth__Conversation conversation) {
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

static void peer_fini(struct peer *p) {
    bus_conversation_free(p->conversation);
    if (p->watch)
        berth__watch_reply__free_unpacked(p->watch, NULL);
    if (p->ack)
        berth__report_ack__free_unpacked(p->ack, NULL);
    *p = (struct peer){.identity = p->identity};
}

static bool is_open(void *arg) {
    return ((struct peer *)arg)->open;
}
static bool has_reply(void *arg) {
    return ((struct peer *)arg)->replies > 0;
}

static void ask(struct peer *p, const ProtobufCMessage *request) {
    struct error err = {0};
    wait_until(is_open, p, "a conversation opens");
    p->replies = 0;
    ck_assert_msg(bus_conversation_request(p->conversation, request, 8000, &err) == 0, "%s",
                  err.msg);
}

static void send_watch(struct peer *p) {
    Berth__Watch watch;
    berth__watch__init(&watch);
    if (p->watch && p->watch->to) {
        watch.epoch = p->watch->epoch;
        watch.version = p->watch->to;
    }
    ask(p, &watch.base);
}

static void report(struct peer *p, bool full, Berth__ActualLrp **instances, size_t n) {
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

static void desire(uint32_t instances, size_t padding) {
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
    const struct lrp_route route = {"app.example", "", 0};
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

static struct peer cell_watch, cell_report, cell_logs, router;

static void make_cell(void) {
    peer_identity(&cell_report, BERTH__NODE_KIND__NODE_CELL);
    cell_watch.identity = cell_logs.identity = cell_report.identity;
}

static void cell_joins(void) {
    peer_connect(&cell_watch, BERTH__NODE_KIND__NODE_CELL, BERTH__CONVERSATION__CONVERSATION_WATCH);
    peer_connect(&cell_report, BERTH__NODE_KIND__NODE_CELL,
                 BERTH__CONVERSATION__CONVERSATION_REPORT);
}

static void all_leave(void) {
    peer_fini(&cell_watch);
    peer_fini(&cell_report);
    peer_fini(&cell_logs);
    peer_fini(&router);
}

static void say_running(const Berth__Assignment *a) {
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

/* --- tests --- */

START_TEST(a_desired_instance_goes_to_the_cell_and_its_route_to_the_router) {
    setup();
    lrp_desired_complete(lrp, clock_mono_ms());
    make_cell();
    cell_joins();
    peer_identity(&router, BERTH__NODE_KIND__NODE_ROUTER);
    peer_connect(&router, BERTH__NODE_KIND__NODE_ROUTER, BERTH__CONVERSATION__CONVERSATION_WATCH);
    send_watch(&cell_watch); /* is held: the full report is still to come */
    report(&cell_report, true, NULL, 0);
    wait_until(has_reply, &cell_watch, "the empty set is told");
    ck_assert_uint_eq(cell_watch.watch->from, 0);
    ck_assert_uint_gt(cell_watch.watch->to, 0);
    ck_assert_uint_eq(cell_watch.watch->n_assignments, 0);
    send_watch(&cell_watch); /* is held until there is something */
    report(&cell_report, true, NULL, 0);
    report(&cell_report, false, NULL, 0);
    ck_assert_uint_eq(cell_watch.replies, 0);
    desire(1, 0);
    wait_until(has_reply, &cell_watch, "the instance is assigned");
    ck_assert_uint_eq(cell_watch.watch->n_assignments, 1);
    Berth__Assignment *a = cell_watch.watch->assignments[0];
    ck_assert_str_eq(a->lrp->process_guid, APP_GUID "-v1");

    send_watch(&router);
    wait_until(has_reply, &router, "the route is told");
    ck_assert_uint_eq(router.watch->n_routes, 1);
    ck_assert_str_eq(router.watch->routes[0]->host, "app.example");
    ck_assert_uint_eq(router.watch->routes[0]->n_endpoints, 0);
    send_watch(&router);
    say_running(a);
    wait_until(has_reply, &router, "the endpoint is told");
    ck_assert_uint_eq(router.watch->from, router.watch->to - 1);
    ck_assert_uint_eq(router.watch->routes[0]->n_endpoints, 1);
    ck_assert_uint_eq(router.watch->routes[0]->endpoints[0]->port, 61001);

    send_watch(&router);
    lrp_undesire(lrp, APP_GUID, clock_mono_ms());
    wait_until(has_reply, &router, "the route is removed");
    ck_assert_uint_eq(router.watch->n_removed_routes, 1);
    ck_assert_str_eq(router.watch->removed_routes[0], "app.example");
    send_watch(&cell_watch);
    wait_until(has_reply, &cell_watch, "the instance is withdrawn");
    ck_assert_uint_eq(cell_watch.watch->n_withdrawn, 1);
    all_leave();
    teardown();
}
END_TEST

START_TEST(a_large_set_comes_in_pages_of_bounded_size) {
    setup();
    lrp_desired_complete(lrp, clock_mono_ms());
    make_cell();
    cell_joins();
    desire(50, 20000);
    report(&cell_report, true, NULL, 0);
    size_t told = 0, pages = 0;
    do {
        send_watch(&cell_watch);
        wait_until(has_reply, &cell_watch, "a page comes");
        ck_assert_uint_le(berth__watch_reply__get_packed_size(cell_watch.watch),
                          BUS_WATCH_PAGE_BYTES + 1024);
        told += cell_watch.watch->n_assignments;
        pages++;
    } while (cell_watch.watch->more);
    ck_assert_uint_eq(told, 50);
    ck_assert_uint_ge(pages, 4);
    all_leave();
    teardown();
}
END_TEST

START_TEST(a_watch_is_answered_with_nothing_when_the_wait_is_over) {
    wait_ms = 200;
    setup();
    make_cell();
    cell_joins(); /* nothing is known yet: not even all desired LRPs */
    send_watch(&cell_watch);
    uint64_t begin = clock_mono_ms();
    wait_until(has_reply, &cell_watch, "the wait is over");
    ck_assert_uint_ge(clock_mono_ms() - begin, wait_ms - 10);
    wait_ms = 0;
    ck_assert_uint_eq(cell_watch.watch->to, 0);
    ck_assert_uint_eq(cell_watch.downs, 0);
    all_leave();
    teardown();
}
END_TEST

START_TEST(malformed_instances_are_left_out_and_changes_before_the_whole_are_refused) {
    setup();
    lrp_desired_complete(lrp, clock_mono_ms());
    make_cell();
    cell_joins();
    desire(1, 0);
    report(&cell_report, false, NULL, 0);
    ck_assert(cell_report.want_full);
    Berth__ActualLrp m[3], *list[] = {&m[0], &m[1], &m[2]};
    for (int i = 0; i < 3; i++) {
        berth__actual_lrp__init(&m[i]);
        m[i].instance_guid = TEXT("22222222-2222-4222-8222-222222222222");
        m[i].process_guid = TEXT(APP_GUID "-v1");
        m[i].app_guid = TEXT(APP_GUID);
    }
    m[0].instance_guid = TEXT("../../etc");
    m[1].address = TEXT("not an address");
    m[2].process_guid = TEXT("");
    report(&cell_report, true, list, 3);
    ck_assert(!cell_report.want_full);
    struct strbuf out = {0};
    nodes_metrics(nodes, &out);
    ck_assert_ptr_nonnull(strstr(out.p, "berth_report_instances_refused_total 3\n"));
    strbuf_fini(&out);
    all_leave();
    teardown();
}
END_TEST

static bool cell_is_saved(void *arg) {
    struct node_row row = {0};
    bool found = store_node_get(store, arg, &row, NULL) == 0;
    node_row_fini(&row);
    return found;
}

START_TEST(a_restarted_controller_waits_for_the_cells_it_knew_and_adopts) {
    setup();
    lrp_desired_complete(lrp, clock_mono_ms());
    make_cell();
    cell_joins();
    desire(1, 0);
    report(&cell_report, true, NULL, 0);
    send_watch(&cell_watch);
    wait_until(has_reply, &cell_watch, "the instance is assigned");
    say_running(cell_watch.watch->assignments[0]);
    char id[2 * BUS_ID_SIZE + 1], instance[GUID_SIZE];
    hex_encode(cell_report.identity.id, BUS_ID_SIZE, id);
    snprintf(instance, sizeof instance, "%s", cell_watch.watch->assignments[0]->instance_guid);
    wait_until(cell_is_saved, id, "the cell's row is written");
    all_leave();
    stop_controller();
    start_controller();
    desire(1, 0);
    lrp_desired_complete(lrp, clock_mono_ms());
    lrp_converge(lrp, clock_mono_ms());
    ck_assert(!lrp_is_settled(lrp)); /* it remembers that cell */
    cell_joins();
    Berth__ActualLrp m, *list[] = {&m};
    berth__actual_lrp__init(&m);
    m.instance_guid = instance;
    m.process_guid = TEXT(APP_GUID "-v1");
    m.app_guid = TEXT(APP_GUID);
    m.state = BERTH__INSTANCE_STATE__INSTANCE_RUNNING;
    report(&cell_report, true, list, 1);
    send_watch(&cell_watch);
    wait_until(has_reply, &cell_watch, "the set is told");
    ck_assert_uint_eq(cell_watch.watch->n_assignments, 1);
    ck_assert_str_eq(cell_watch.watch->assignments[0]->instance_guid, instance);
    all_leave();
    teardown();
}
END_TEST

/* --- who may speak --- */

static uint64_t metric(const char *name) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    char line[80];
    nodes_metrics(nodes, &out);
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(out.p, line);
    ck_assert_ptr_nonnull(at);
    return strtoull(at + strlen(line), NULL, 10);
}

static bool has_dropped(void *before) {
    return metric("berth_bus_dropped_unknown_total") > *(uint64_t *)before;
}

START_TEST(a_routers_key_cannot_speak_as_a_cell_and_a_revoked_one_not_at_all) {
    struct peer p = {0}, q = {0};
    struct error err = {0};
    setup();
    peer_identity(&p, BERTH__NODE_KIND__NODE_ROUTER);
    peer_connect(&p, BERTH__NODE_KIND__NODE_CELL, BERTH__CONVERSATION__CONVERSATION_REPORT);
    peer_identity(&q, BERTH__NODE_KIND__NODE_ROUTER);
    peer_connect(&q, BERTH__NODE_KIND__NODE_ROUTER, BERTH__CONVERSATION__CONVERSATION_WATCH);
    wait_until(is_open, &q, "a router may speak");
    ck_assert(!p.open);

    char id[2 * BUS_ID_SIZE + 1];
    hex_encode(q.identity.id, BUS_ID_SIZE, id);
    ck_assert_int_eq(nodes_revoke(revoked, "nonsense", &err), -EINVAL);
    ck_assert_int_eq(nodes_revoke(revoked, id, &err), 0);
    ck_assert_int_eq(nodes_revoke(revoked, "00112233445566778899aabbccddeeff", &err), 0);
    ck_assert_msg(nodes_reload(nodes, &err) == 0, "%s", err.msg);
    send_watch(&q);
    peer_fini(&q);
    peer_connect(&q, BERTH__NODE_KIND__NODE_ROUTER, BERTH__CONVERSATION__CONVERSATION_WATCH);
    uint64_t before = metric("berth_bus_dropped_unknown_total");
    wait_until(has_dropped, &before, "its packets are dropped");
    ck_assert(!q.open && !p.open);
    peer_fini(&q);
    peer_fini(&p);
    teardown();
}
END_TEST

/* --- log lines --- */

static void send_lines(uint64_t first, const char *const *texts, size_t n, uint64_t wall_ns) {
    Berth__LogLine lines[8], *list[8];
    Berth__Logs msg;
    berth__logs__init(&msg);
    for (size_t i = 0; i < n; i++) {
        berth__log_line__init(&lines[i]);
        lines[i].app_guid = TEXT(APP_GUID);
        lines[i].source_type = TEXT("APP/PROC/WEB");
        lines[i].source_instance = TEXT("0");
        lines[i].wall_ns = wall_ns + i;
        lines[i].message.data = (uint8_t *)texts[i];
        lines[i].message.len = strlen(texts[i]);
        list[i] = &lines[i];
    }
    msg.first = first;
    msg.lines = list;
    msg.n_lines = n;
    ask(&cell_logs, &msg.base);
    wait_until(has_reply, &cell_logs, "lines are acknowledged");
    ck_assert_uint_eq(cell_logs.next, first + n);
    ck_assert_uint_gt(cell_logs.credit, 0);
}

static void on_text(void *arg, const struct logs_line *line) {
    strbuf_printf(arg, "%.*s ", (int)line->message_n, line->message);
}

START_TEST(lines_are_taken_once_also_when_an_acknowledgement_was_lost) {
    setup();
    peer_identity(&cell_logs, BERTH__NODE_KIND__NODE_CELL);
    peer_connect(&cell_logs, BERTH__NODE_KIND__NODE_CELL, BERTH__CONVERSATION__CONVERSATION_LOGS);
    send_lines(1, (const char *const[]){"a", "b"}, 2, 1000);
    send_lines(3, (const char *const[]){"c", "d"}, 2, 1002);
    peer_fini(&cell_logs); /* the answer did not arrive: from 1 again, "c" and "d" first */
    peer_connect(&cell_logs, BERTH__NODE_KIND__NODE_CELL, BERTH__CONVERSATION__CONVERSATION_LOGS);
    send_lines(1, (const char *const[]){"c", "d", "e"}, 3, 1002);
    send_lines(4, (const char *const[]){"e"}, 1, 2000); /* the same text, another line */
    struct strbuf out = {0};
    logs_read(logs, APP_GUID, 0, 0, 100, false, on_text, &out);
    ck_assert_str_eq(out.p, "a b c d e e ");
    strbuf_fini(&out);
    /* a clock that runs ahead does not hide later lines */
    uint64_t now_ns = clock_wall_ns();
    send_lines(5, (const char *const[]){"future"}, 1, now_ns + 3600000000000u);
    ck_assert_uint_eq(
        logs_read(logs, APP_GUID, now_ns + 60000000000u, 0, 100, false, on_text, &out), 0);
    strbuf_fini(&out);
    peer_fini(&cell_logs);
    teardown();
}
END_TEST

static void copy_cell(void *arg, const struct lrp_cell_view *c) {
    *(struct lrp_cell_view *)arg = *c;
}

static struct lrp_cell_view the_cell(void) {
    struct lrp_cell_view c = {0};
    lrp_cells(lrp, copy_cell, &c);
    return c;
}

static bool clock_went_on(void *since_ms) {
    return clock_mono_ms() > *(uint64_t *)since_ms;
}

START_TEST(a_cell_that_only_sends_log_lines_is_not_present_for_that) {
    setup();
    make_cell();
    cell_joins();
    report(&cell_report, true, NULL, 0);
    uint64_t heard_ms = the_cell().heard_ms;
    wait_until(clock_went_on, &heard_ms, "a millisecond");
    peer_connect(&cell_logs, BERTH__NODE_KIND__NODE_CELL, BERTH__CONVERSATION__CONVERSATION_LOGS);
    send_lines(1, (const char *const[]){"a"}, 1, 1000);
    ck_assert_uint_eq(the_cell().heard_ms, heard_ms);
    report(&cell_report, false, NULL, 0);
    ck_assert_uint_gt(the_cell().heard_ms, heard_ms);
    all_leave();
    teardown();
}
END_TEST

START_TEST(that_a_cell_is_to_be_emptied_comes_with_its_reports) {
    setup();
    make_cell();
    cell_joins();
    report(&cell_report, true, NULL, 0);
    ck_assert(!the_cell().evacuating);
    Berth__Report msg;
    berth__report__init(&msg);
    msg.number = 100;
    msg.evacuating = true;
    ask(&cell_report, &msg.base);
    wait_until(has_reply, &cell_report, "a report is acknowledged");
    ck_assert(the_cell().evacuating);
    report(&cell_report, false, NULL, 0); /* it began anew */
    ck_assert(!the_cell().evacuating);
    all_leave();
    teardown();
}
END_TEST

/* --- layers --- */

/* A digest is its last byte. */
static void digest(uint8_t ret[32], uint8_t letter) {
    memset(ret, 0, 32);
    ret[31] = letter;
}

/* An app of one instance, whose image has one layer, `letter`. */
static void desire_image(uint8_t letter) {
    char manifest[72] = "sha256:", texts[2][72] = {"sha256:", "sha256:"};
    uint8_t bytes[32], packed[1024];
    Berth__Layer layer = BERTH__LAYER__INIT, *layers[] = {&layer};
    Berth__Image image = BERTH__IMAGE__INIT;
    Berth__DesiredLrp run_info = BERTH__DESIRED_LRP__INIT;
    digest(bytes, letter);
    hex_encode(bytes, 32, texts[0] + 7);
    hex_encode(bytes, 32, texts[1] + 7);
    hex_encode(bytes, 32, manifest + 7);
    layer.digest = texts[0];
    layer.diff_id = texts[1];
    layer.size = 1000;
    image.digest = manifest;
    image.layers = layers;
    image.n_layers = 1;
    run_info.image = &image;
    run_info.process_guid = TEXT(APP_GUID "-v1");
    const struct lrp_desired d = {.process_guid = APP_GUID "-v1",
                                  .process = APP_GUID,
                                  .app_guid = APP_GUID,
                                  .app_name = "app",
                                  .process_type = "web",
                                  .instances = 1,
                                  .memory_mb = 1,
                                  .disk_mb = 1,
                                  .run_info = packed,
                                  .run_info_n = berth__desired_lrp__pack(&run_info, packed)};
    ck_assert_int_eq(lrp_desire(lrp, &d, clock_mono_ms(), NULL), 0);
}

static const uint8_t nonce[TOKEN_NONCE_SIZE] = "of this run";

/* Says that it holds these blobs and gives them at `port`; its clock is `clock_ms`. */
static void say_holdings(struct peer *p, const char *letters, uint32_t port, uint64_t clock_ms) {
    Berth__Holdings held = BERTH__HOLDINGS__INIT;
    Berth__Report msg = BERTH__REPORT__INIT;
    uint8_t blobs[8 * 32];
    for (; *letters; letters++, held.blobs.len += 32)
        digest(blobs + held.blobs.len, (uint8_t)*letters);
    held.blobs.data = blobs;
    held.full = true;
    held.address = TEXT("10.1.2.3");
    held.port = port;
    held.nonce = (ProtobufCBinaryData){sizeof nonce, (uint8_t *)(uintptr_t)nonce};
    held.clock_ms = clock_ms;
    msg.holdings = &held;
    ask(p, &msg.base);
    wait_until(has_reply, p, "holdings are taken");
}

static void locate(struct peer *p, const char *letters) {
    Berth__Report msg = BERTH__REPORT__INIT;
    ProtobufCBinaryData wants[8];
    uint8_t blobs[8][32];
    for (; letters[msg.n_locate]; msg.n_locate++) {
        digest(blobs[msg.n_locate], (uint8_t)letters[msg.n_locate]);
        wants[msg.n_locate] = (ProtobufCBinaryData){32, blobs[msg.n_locate]};
    }
    msg.locate = wants;
    ask(p, &msg.base);
    wait_until(has_reply, p, "an answer");
    ck_assert_uint_eq(p->ack->n_places, msg.n_locate);
}

static struct peer other_watch, other_report;

static void two_cells(void) {
    setup();
    lrp_desired_complete(lrp, clock_mono_ms());
    make_cell();
    cell_joins();
    report(&cell_report, true, NULL, 0);
    desire_image('a');
    send_watch(&cell_watch);
    wait_until(has_reply, &cell_watch, "the set is told");
    for (int i = 0; cell_watch.watch->n_assignments == 0; i++) {
        ck_assert_int_lt(i, 3);
        send_watch(&cell_watch);
        wait_until(has_reply, &cell_watch, "the instance is assigned");
    }
    peer_identity(&other_report, BERTH__NODE_KIND__NODE_CELL);
    peer_connect(&other_report, BERTH__NODE_KIND__NODE_CELL,
                 BERTH__CONVERSATION__CONVERSATION_REPORT);
    report(&other_report, true, NULL, 0);
}

static void two_leave(void) {
    peer_fini(&other_watch);
    peer_fini(&other_report);
    all_leave();
    teardown();
}

START_TEST(a_cell_is_told_where_its_apps_layers_are_with_a_token_for_there) {
    uint8_t blob[32], key[BUS_KEY_SIZE];
    two_cells();
    say_holdings(&other_report, "ab", 7420, 5000);
    locate(&cell_report, "abz");
    const Berth__Places *places = cell_report.ack->places[0];
    ck_assert_uint_eq(places->blob.len, 32);
    ck_assert_uint_eq(places->blob.data[31], 'a');
    ck_assert_uint_eq(places->n_places, 1);
    ck_assert_str_eq(places->places[0]->address, "10.1.2.3");
    ck_assert_uint_eq(places->places[0]->port, 7420);
    ck_assert_uint_eq(cell_report.ack->places[1]->n_places, 0); /* no app of its has it */
    ck_assert_uint_eq(cell_report.ack->places[2]->n_places, 0);

    const char *token = places->places[0]->token;
    ck_assert_int_eq(token_key(other_report.identity.key, key), 0);
    digest(blob, 'a');
    /* by the clock of the cell that gives */
    ck_assert_int_eq(token_check(key, nonce, blob, token, strlen(token), 5000), 0);
    ck_assert_int_eq(token_check(key, nonce, blob, token, strlen(token), 5000 + 2 * TOKEN_TTL_MS),
                     -ESTALE);
    ck_assert_int_eq(token_key(cell_report.identity.key, key), 0);
    ck_assert_int_eq(token_check(key, nonce, blob, token, strlen(token), 5000), -EACCES);

    locate(&other_report, "a"); /* it runs nothing of it */
    ck_assert_uint_eq(other_report.ack->places[0]->n_places, 0);
    say_holdings(&other_report, "ab", 0, 5000); /* and gives no more */
    locate(&cell_report, "a");
    ck_assert_uint_eq(cell_report.ack->places[0]->n_places, 0);
    two_leave();
}
END_TEST

static bool on_first(void *arg, const uint8_t blob[32], uint64_t size) {
    (void)arg, (void)blob, (void)size;
    return false;
}
static bool keeps_something(void *id) {
    lrp_converge(lrp, clock_mono_ms());
    return lrp_keep_list(lrp, id, 0, on_first, NULL);
}

START_TEST(a_cell_is_told_what_it_must_keep) {
    two_cells();
    char id[2 * BUS_ID_SIZE + 1];
    hex_encode(other_report.identity.id, BUS_ID_SIZE, id);
    say_holdings(&cell_report, "a", 7420, 0);
    say_holdings(&other_report, "", 7420, 0);
    wait_until(keeps_something, id, "the other one is chosen");
    Berth__Keep question = BERTH__KEEP__INIT;
    Berth__Report msg = BERTH__REPORT__INIT;
    msg.keep = &question;
    ask(&other_report, &msg.base);
    wait_until(has_reply, &other_report, "the list");
    const Berth__Keep *keep = other_report.ack->keep;
    ck_assert_ptr_nonnull(keep);
    uint64_t version = keep->version;
    ck_assert_uint_eq(version, lrp_keep_version(lrp, id));
    ck_assert(!keep->more && keep->from == 0);
    ck_assert_uint_eq(keep->n_sizes, 1);
    ck_assert_uint_eq(keep->sizes[0], 1000);
    ck_assert_uint_eq(keep->blobs.len, 32);
    ck_assert_uint_eq(keep->blobs.data[31], 'a');
    locate(&other_report, "a"); /* it may fetch what it must keep */
    ck_assert_uint_eq(other_report.ack->places[0]->n_places, 1);

    other_watch.identity = other_report.identity;
    peer_connect(&other_watch, BERTH__NODE_KIND__NODE_CELL,
                 BERTH__CONVERSATION__CONVERSATION_WATCH);
    send_watch(&other_watch);
    wait_until(has_reply, &other_watch, "its set");
    ck_assert_uint_eq(other_watch.watch->keep_version, version);
    two_leave();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("nodes/nodes");
    TCase *tcase = tcase_create("nodes");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_desired_instance_goes_to_the_cell_and_its_route_to_the_router);
    tcase_add_test(tcase, a_large_set_comes_in_pages_of_bounded_size);
    tcase_add_test(tcase, a_watch_is_answered_with_nothing_when_the_wait_is_over);
    tcase_add_test(tcase,
                   malformed_instances_are_left_out_and_changes_before_the_whole_are_refused);
    tcase_add_test(tcase, a_restarted_controller_waits_for_the_cells_it_knew_and_adopts);
    tcase_add_test(tcase, a_routers_key_cannot_speak_as_a_cell_and_a_revoked_one_not_at_all);
    tcase_add_test(tcase, lines_are_taken_once_also_when_an_acknowledgement_was_lost);
    tcase_add_test(tcase, a_cell_that_only_sends_log_lines_is_not_present_for_that);
    tcase_add_test(tcase, that_a_cell_is_to_be_emptied_comes_with_its_reports);
    tcase_add_test(tcase, a_cell_is_told_where_its_apps_layers_are_with_a_token_for_there);
    tcase_add_test(tcase, a_cell_is_told_what_it_must_keep);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
