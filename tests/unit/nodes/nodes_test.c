/* nodes_test.c - the glue with a real bus on loopback: a cell and a router that speak, a brain that
 * decides. */
#include "tests/unit/nodes/nodes_world.h"

#include <errno.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "controller/store/nodes.h"

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

static bool page_has(const char *id) {
    struct strbuf page = {0};
    nodes_page(nodes, &page);
    bool has = page.p && strstr(page.p, id);
    strbuf_fini(&page);
    return has;
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
    ck_assert(page_has(id));
    ck_assert_int_eq(nodes_revoke(revoked, "nonsense", &err), -EINVAL);
    ck_assert_int_eq(nodes_revoke(revoked, id, &err), 0);
    ck_assert_int_eq(nodes_revoke(revoked, "00112233445566778899aabbccddeeff", &err), 0);
    ck_assert_msg(nodes_reload(nodes, &err) == 0, "%s", err.msg);
    struct node_row row = {0};
    ck_assert(!page_has(id));
    ck_assert_int_eq(store_node_get(store, id, &row, &err), -ENOENT);
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

#define OTHER_GUID "22222222-2222-4222-8222-222222222222"

static void send_line(struct peer *p, const char *app, const char *source) {
    static uint64_t first;
    Berth__LogLine line = BERTH__LOG_LINE__INIT, *list[] = {&line};
    Berth__Logs msg = BERTH__LOGS__INIT;
    line.app_guid = TEXT(app);
    line.source_type = TEXT(source);
    line.source_instance = TEXT("0");
    line.wall_ns = 1000 + first;
    line.message = (ProtobufCBinaryData){4, (uint8_t *)(uintptr_t) "text"};
    msg.first = ++first;
    msg.lines = list;
    msg.n_lines = 1;
    ask(p, &msg.base);
    wait_until(has_reply, p, "a line is acknowledged");
    ck_assert_uint_eq(p->next, first + 1); /* taken or refused: it need not come again */
}

START_TEST(no_node_sends_lines_of_apps_that_are_not_its) {
    struct peer p = {0};
    settle_ms = 0; /* nobody is believed for being new */
    setup();
    make_cell();
    cell_joins();
    peer_connect(&cell_logs, BERTH__NODE_KIND__NODE_CELL, BERTH__CONVERSATION__CONVERSATION_LOGS);
    lrp_desired_complete(lrp, clock_mono_ms());
    report(&cell_report, true, NULL, 0);
    send_line(&cell_logs, APP_GUID, "APP/PROC/WEB");
    ck_assert_uint_eq(metric("berth_log_lines_foreign_total"), 1);
    ck_assert_str_eq(foreign_said, "node-1 " APP_GUID " 1");

    send_watch(&cell_watch);
    wait_until(has_reply, &cell_watch, "the empty set is told");
    send_watch(&cell_watch);
    desire(1, 0);
    wait_until(has_reply, &cell_watch, "the instance is assigned");
    send_line(&cell_logs, APP_GUID, "CELL"); /* while it is being made */
    say_running(cell_watch.watch->assignments[0]);
    send_line(&cell_logs, APP_GUID, "APP/PROC/WEB");
    send_line(&cell_logs, OTHER_GUID, "APP/PROC/WEB");
    ck_assert_uint_eq(metric("berth_log_lines_foreign_total"), 2);
    ck_assert_uint_eq(foreign_calls, 1); /* once a minute */
    lrp_undesire(lrp, APP_GUID, clock_mono_ms());
    report(&cell_report, true, NULL, 0);     /* it has ended */
    send_line(&cell_logs, APP_GUID, "CELL"); /* its last line */
    ck_assert_uint_eq(metric("berth_log_lines_total"), 3);

    peer_identity(&p, BERTH__NODE_KIND__NODE_ROUTER); /* serves them all, and is none of them */
    peer_connect(&p, BERTH__NODE_KIND__NODE_ROUTER, BERTH__CONVERSATION__CONVERSATION_LOGS);
    send_line(&p, OTHER_GUID, "RTR");
    ck_assert_uint_eq(metric("berth_log_lines_total"), 4);
    send_line(&p, OTHER_GUID, "APP/PROC/WEB");
    ck_assert_uint_eq(metric("berth_log_lines_foreign_total"), 3);
    ck_assert_uint_eq(foreign_calls, 2);
    peer_fini(&p);
    all_leave();
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

RUN_TESTS("nodes/nodes", a_desired_instance_goes_to_the_cell_and_its_route_to_the_router,
          a_large_set_comes_in_pages_of_bounded_size,
          a_watch_is_answered_with_nothing_when_the_wait_is_over,
          malformed_instances_are_left_out_and_changes_before_the_whole_are_refused,
          a_restarted_controller_waits_for_the_cells_it_knew_and_adopts,
          a_routers_key_cannot_speak_as_a_cell_and_a_revoked_one_not_at_all,
          lines_are_taken_once_also_when_an_acknowledgement_was_lost,
          no_node_sends_lines_of_apps_that_are_not_its,
          a_cell_that_only_sends_log_lines_is_not_present_for_that,
          that_a_cell_is_to_be_emptied_comes_with_its_reports)
