/* The three conversations between a real hub and a cell's sync, over loopback. */
#include "tests/unit/bus/fixture.h"
#include "tests/unit/lib/runner.h"

#include "cell/sync.h"
#include "common/base/str.h"

/* The controller's side: says what it is told to, remembers what it heard. */
static struct {
    struct hub *hub;
    struct hub_request *watch, *report, *logs; /* held */
    Berth__Watch *last_watch;                  /* owned copies of the last of each */
    Berth__Report *last_report;
    Berth__Logs *last_logs;
    unsigned watches, reports, log_batches;
} ctl;

/* The cell's. */
static struct {
    struct event_base *loop;
    struct bus_identity identity;
    struct outbox *outbox;
    struct outbox_origin *origin;
    struct sync *sync;
    struct strbuf told; /* "+guid ", "-guid ", "! ", "final guid " */
    unsigned rooms;
} cell;

static const uint8_t master[BUS_KEY_SIZE] = "any";

static bool knows(void *data, const uint8_t id[BUS_ID_SIZE]) {
    return true;
}

static void on_session(void *data, struct hub_peer *peer, const Berth__Hello *hello) {
    ck_assert_str_eq(hello->name, "cell-1");
    ck_assert_int_eq(hello->kind, BERTH__NODE_KIND__NODE_CELL);
}

/* Message copies, the way protobuf-c has them. */
static ProtobufCMessage *copy(const ProtobufCMessage *msg) {
    size_t n = protobuf_c_message_get_packed_size(msg);
    _cleanup_(freep) uint8_t *bytes = malloc(n + 1);
    protobuf_c_message_pack(msg, bytes);
    return protobuf_c_message_unpack(msg->descriptor, NULL, n, bytes);
}

static void remember(void *slot, const ProtobufCMessage *msg) {
    ProtobufCMessage *old, *fresh = copy(msg);
    memcpy(&old, slot, sizeof old);
    if (old)
        protobuf_c_message_free_unpacked(old, NULL);
    memcpy(slot, &fresh, sizeof fresh);
}

static void on_request(void *data, struct hub_peer *peer, struct hub_request *req,
                       const ProtobufCMessage *msg) {
    if (msg->descriptor == &berth__watch__descriptor) {
        remember(&ctl.last_watch, msg);
        ctl.watch = req;
        ctl.watches++;
    } else if (msg->descriptor == &berth__report__descriptor) {
        remember(&ctl.last_report, msg);
        ctl.report = req;
        ctl.reports++;
    } else {
        remember(&ctl.last_logs, msg);
        ctl.logs = req;
        ctl.log_batches++;
    }
}

static void on_dropped(void *data, struct hub_peer *peer, struct hub_request *req) {
    ctl.watch = req == ctl.watch ? NULL : ctl.watch;
    ctl.report = req == ctl.report ? NULL : ctl.report;
    ctl.logs = req == ctl.logs ? NULL : ctl.logs;
}

static void open_hub(uint8_t epoch) {
    const struct hub_ops ops = {.knows = knows,
                                .on_session = on_session,
                                .on_request = on_request,
                                .on_dropped = on_dropped};
    struct hub_config config = {.control_url = url_of(PORT_CONTROL),
                                .logs_url = url_of(PORT_LOGS),
                                .master_key = master,
                                .gen = 1,
                                .epoch = {epoch},
                                .watch_wait_ms = 5000};
    struct error err = {0};
    ck_assert_msg(hub_new(&ctl.hub, cell.loop, &config, &ops, &err) == 0, "%s", err.msg);
}

static void close_hub(void) {
    hub_free(ctl.hub);
    ctl.hub = NULL;
    ctl.watch = ctl.report = ctl.logs = NULL;
}

static void answer_watch(uint8_t epoch, uint64_t from, uint64_t to, const char *guid,
                         const char *withdrawn) {
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    Berth__Assignment a = BERTH__ASSIGNMENT__INIT, *pointer = &a;
    uint8_t bytes[BUS_EPOCH_SIZE] = {epoch};
    char *gone = (char *)(uintptr_t)withdrawn;
    a.instance_guid = (char *)(uintptr_t)guid;
    reply.epoch = (ProtobufCBinaryData){sizeof bytes, bytes};
    reply.from = from;
    reply.to = to;
    reply.assignments = &pointer;
    reply.n_assignments = guid != NULL;
    reply.withdrawn = &gone;
    reply.n_withdrawn = withdrawn != NULL;
    hub_reply(ctl.hub, ctl.watch, &reply.base);
    ctl.watch = NULL;
}

static void answer_report(void) {
    Berth__ReportAck ack = BERTH__REPORT_ACK__INIT;
    ack.number = ctl.last_report->number;
    hub_reply(ctl.hub, ctl.report, &ack.base);
    ctl.report = NULL;
}

static void answer_logs(uint64_t next, uint64_t credit) {
    Berth__LogsAck ack = BERTH__LOGS_ACK__INIT;
    ack.next = next;
    ack.credit_bytes = credit;
    hub_reply(ctl.hub, ctl.logs, &ack.base);
    ctl.logs = NULL;
}

/* --- the cell --- */

static void on_wanted(void *data, const Berth__Assignment *a) {
    strbuf_printf(&cell.told, "+%s ", a->instance_guid);
}

static void on_unwanted(void *data, const char *guid) {
    strbuf_printf(&cell.told, "-%s ", guid);
}

static void on_complete(void *data) {
    strbuf_puts(&cell.told, "! ");
}

static void on_final(void *data, const char *guid) {
    strbuf_printf(&cell.told, "final %s ", guid);
}

static void on_room(void *data) {
    cell.rooms++;
}

static void free_capacity(void *data, Berth__Capacity *ret) {
    ret->memory_mb = 4096;
}

static void setup(void) {
    static const uint8_t id[BUS_ID_SIZE] = "cell under test";
    Berth__Hello hello = BERTH__HELLO__INIT;
    hello.name = (char *)(uintptr_t) "cell-1";
    cell.loop = event_base_new();
    strbuf_puts(&cell.told, "");
    hub_derive_identity(master, 1, id, &cell.identity);
    ck_assert_int_eq(outbox_new(&cell.outbox, OUTBOX_BYTES_MIN, NULL), 0);
    cell.origin = outbox_origin_new("app", "APP/PROC/WEB", 0);
    const struct holdings_giver giver = {.address = "127.0.0.1"};
    const struct sync_config config = {.identity = &cell.identity,
                                       .control_url = url_of(PORT_CONTROL),
                                       .logs_url = url_of(PORT_LOGS),
                                       .hello = &hello,
                                       .outbox = cell.outbox,
                                       .giver = &giver};
    const struct sync_ops ops = {.wanted = {on_wanted, on_unwanted, on_complete, NULL},
                                 .on_final = on_final,
                                 .on_room = on_room,
                                 .free_capacity = free_capacity};
    open_hub(1);
    ck_assert_int_eq(sync_new(&cell.sync, cell.loop, &config, &ops, NULL), 0);
}

static void forget(void *slot) {
    ProtobufCMessage *msg;
    memcpy(&msg, slot, sizeof msg);
    if (msg)
        protobuf_c_message_free_unpacked(msg, NULL);
}

static void teardown(void) {
    sync_free(cell.sync);
    outbox_origin_unref(cell.origin);
    outbox_free(cell.outbox);
    if (ctl.hub)
        close_hub();
    forget(&ctl.last_watch);
    forget(&ctl.last_report);
    forget(&ctl.last_logs);
    strbuf_fini(&cell.told);
    event_base_free(cell.loop);
    libevent_global_shutdown();
    memset(&ctl, 0, sizeof ctl);
    memset(&cell, 0, sizeof cell);
}

static void put(const char *guid, Berth__InstanceState state) {
    Berth__ActualLrp lrp = BERTH__ACTUAL_LRP__INIT;
    lrp.instance_guid = (char *)(uintptr_t)guid;
    lrp.state = state;
    sync_put(cell.sync, &lrp);
}

static void log_text(const char *text) {
    struct outbox_line line = {.message = text, .message_n = strlen(text)};
    outbox_push(cell.outbox, cell.origin, &line);
    sync_kick_logs(cell.sync);
}

START_TEST(a_cell_tells_everything_and_hears_what_it_is_to_run) {
    setup();
    put("old", BERTH__INSTANCE_STATE__INSTANCE_RUNNING);
    wait_for(cell.loop, ctl.report && ctl.watch);
    ck_assert(ctl.last_report->full && !ctl.last_report->more);
    ck_assert_uint_eq(ctl.last_report->n_instances, 1);
    ck_assert_uint_eq(ctl.last_report->free->memory_mb, 4096);
    ck_assert_uint_eq(ctl.last_watch->version, 0);
    answer_report();
    answer_watch(1, 0, 3, "new", NULL);
    wait_for(cell.loop, ctl.watch);
    ck_assert_str_eq(cell.told.p, "+new ! ");
    ck_assert(sync_is_wanted(cell.sync, "new") && !sync_is_wanted(cell.sync, "old"));
    ck_assert_uint_eq(ctl.last_watch->version, 3);
    ck_assert_uint_eq(ctl.last_watch->epoch.data[0], 1);
    answer_watch(1, 3, 4, NULL, "new");
    wait_for(cell.loop, ctl.watch);
    ck_assert_str_eq(cell.told.p, "+new ! -new ");
    ck_assert(sync_is_up(cell.sync));
    teardown();
}
END_TEST

START_TEST(changes_of_one_turn_go_together_and_an_end_is_told_until_it_is_heard) {
    setup();
    wait_for(cell.loop, ctl.report);
    put("a", BERTH__INSTANCE_STATE__INSTANCE_CLAIMED);
    put("b", BERTH__INSTANCE_STATE__INSTANCE_CLAIMED);
    put("a", BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
    answer_report();
    wait_for(cell.loop, ctl.report);
    ck_assert(!ctl.last_report->full);
    ck_assert_uint_eq(ctl.last_report->n_instances, 2);
    close_hub(); /* with the report unanswered */
    open_hub(2);
    wait_for(cell.loop, ctl.report);
    ck_assert(ctl.last_report->full);
    ck_assert_uint_eq(ctl.last_report->n_instances, 2);
    ck_assert_str_eq(cell.told.p, "");
    answer_report();
    wait_for(cell.loop, str_eq(cell.told.p, "final a "));
    teardown();
}
END_TEST

START_TEST(another_controller_stops_nothing_before_its_whole_set) {
    setup();
    wait_for(cell.loop, ctl.watch);
    answer_watch(1, 0, 9, "a", NULL);
    wait_for(cell.loop, ctl.watch);
    close_hub();
    open_hub(2);
    wait_for(cell.loop, ctl.watch);
    ck_assert_uint_eq(ctl.last_watch->version, 9); /* of an epoch that is over */
    ck_assert_uint_eq(ctl.last_watch->epoch.data[0], 1);
    ck_assert_str_eq(cell.told.p, "+a ! ");
    answer_watch(2, 0, 1, "a", NULL);
    wait_for(cell.loop, ctl.watch);
    ck_assert_str_eq(cell.told.p, "+a ! +a ! ");
    ck_assert_uint_eq(ctl.last_watch->epoch.data[0], 2);
    teardown();
}
END_TEST

START_TEST(a_reply_that_makes_no_sense_brings_the_whole_set) {
    setup();
    wait_for(cell.loop, ctl.watch);
    answer_watch(1, 0, 9, "a", NULL);
    wait_for(cell.loop, ctl.watch);
    answer_watch(1, 5, 10, "b", "a");
    wait_for(cell.loop, ctl.watch);
    ck_assert_str_eq(cell.told.p, "+a ! ");
    ck_assert_uint_eq(ctl.last_watch->version, 0);
    teardown();
}
END_TEST

START_TEST(logs_flow_with_credit_and_repeat_when_unanswered) {
    setup();
    log_text("one");
    wait_for(cell.loop, ctl.logs);
    ck_assert_uint_eq(ctl.last_logs->first, 1);
    ck_assert_uint_eq(ctl.last_logs->n_lines, 1);
    log_text("two");
    log_text("three");
    answer_logs(2, 100000);
    wait_for(cell.loop, ctl.logs);
    ck_assert_uint_eq(ctl.last_logs->first, 2);
    ck_assert_uint_eq(ctl.last_logs->n_lines, 2);
    ck_assert_uint_eq(cell.rooms, 1);
    answer_logs(3, 100000); /* took one of them */
    wait_for(cell.loop, ctl.logs);
    ck_assert_uint_eq(ctl.last_logs->first, 3);
    ck_assert_mem_eq(ctl.last_logs->lines[0]->message.data, "three", 5);
    close_hub();
    open_hub(2);
    wait_for(cell.loop, ctl.logs);
    ck_assert_uint_eq(ctl.last_logs->first, 1); /* of this conversation */
    ck_assert_mem_eq(ctl.last_logs->lines[0]->message.data, "three", 5);
    answer_logs(2, 1); /* hardly any credit: a line at a time */
    log_text("four");
    log_text("five");
    wait_for(cell.loop, ctl.logs);
    ck_assert_uint_eq(ctl.last_logs->n_lines, 1);
    answer_logs(3, 0); /* none: it asks again later, with a line */
    wait_for(cell.loop, ctl.logs);
    answer_logs(4, 0);
    wait_for(cell.loop, outbox_is_empty(cell.outbox));
    teardown();
}
END_TEST

RUN_TESTS("cell/sync", a_cell_tells_everything_and_hears_what_it_is_to_run,
          changes_of_one_turn_go_together_and_an_end_is_told_until_it_is_heard,
          another_controller_stops_nothing_before_its_whole_set,
          a_reply_that_makes_no_sense_brings_the_whole_set,
          logs_flow_with_credit_and_repeat_when_unanswered)
