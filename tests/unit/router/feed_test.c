/* The feed against a hub over real sockets: pages, steps, a new controller, lost halves, and the
 * access lines on their way. */
#include "tests/unit/lib/loopback.h"
#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/bus/hub.h"
#include "router/feed.h"

static struct event_base *loop;
static struct hub *hub;
static struct publisher publisher;
static struct routes *routes;
static struct access_sink sink;
static struct feed *feed;
static struct saved saved;
static struct router_config config;
static char dir[64], key_path[96], control_url[64], logs_url[64];
static const uint8_t master[BUS_KEY_SIZE] = {1, 2, 3};
static const uint8_t node_id[BUS_ID_SIZE] = {9};

static struct hub_request *watch; /* held */
static uint64_t watch_version;
static unsigned watches, lines_got, lines_lost;
static char last_line[256], last_app[64];

#define wait_for(condition)                                                                        \
    do {                                                                                           \
        uint64_t until_ = clock_mono_ms() + 20000;                                                 \
        while (!(condition) && clock_mono_ms() < until_)                                           \
            loop_once();                                                                           \
        ck_assert_msg((condition), "never came true: %s", #condition);                             \
    } while (0)

static void loop_once(void) {
    struct timeval limit = {.tv_usec = 10000};
    event_base_loopexit(loop, &limit);
    event_base_loop(loop, EVLOOP_ONCE);
}

static bool on_knows(void *data, const uint8_t id[BUS_ID_SIZE]) {
    (void)data;
    return memcmp(id, node_id, BUS_ID_SIZE) == 0;
}

static void on_session(void *data, struct hub_peer *peer, const Berth__Hello *hello) {
    (void)data, (void)peer;
    ck_assert_int_eq(hello->kind, BERTH__NODE_KIND__NODE_ROUTER);
}

static void on_request(void *data, struct hub_peer *peer, struct hub_request *req,
                       const ProtobufCMessage *msg) {
    (void)data, (void)peer;
    if (msg->descriptor == &berth__watch__descriptor) {
        watch = req;
        watch_version = ((const Berth__Watch *)msg)->version;
        watches++;
        return;
    }
    const Berth__Logs *logs = (const Berth__Logs *)msg;
    lines_lost += (unsigned)logs->lost_before;
    for (size_t i = 0; i < logs->n_lines; i++) {
        const Berth__LogLine *l = logs->lines[i];
        ck_assert_str_eq(l->source_type, "RTR");
        snprintf(last_line, sizeof last_line, "%.*s", (int)l->message.len, l->message.data);
        snprintf(last_app, sizeof last_app, "%s", l->app_guid);
        lines_got++;
    }
    Berth__LogsAck ack = BERTH__LOGS_ACK__INIT;
    ack.next = logs->first + logs->n_lines;
    ack.credit_bytes = 4096;
    hub_reply(hub, req, &ack.base);
}

static void on_dropped(void *data, struct hub_peer *peer, struct hub_request *req) {
    (void)data, (void)peer;
    if (watch == req)
        watch = NULL;
}

static void open_hub(uint8_t epoch) {
    struct hub_ops ops = {.knows = on_knows,
                          .on_session = on_session,
                          .on_request = on_request,
                          .on_dropped = on_dropped};
    struct hub_config c = {.control_url = control_url,
                           .logs_url = logs_url,
                           .master_key = master,
                           .gen = 1,
                           .epoch = {epoch},
                           .watch_wait_ms = 60000};
    struct error err = {0};
    ck_assert_msg(hub_new(&hub, loop, &c, &ops, &err) == 0, "%s", err.msg);
}

static void write_key(void) {
    struct bus_identity identity;
    char line[128];
    ck_assert_int_eq(hub_derive_identity(master, 1, node_id, &identity), 0);
    bus_identity_format(&identity, line);
    snprintf(key_path, sizeof key_path, "%s/key", dir);
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, key_path, 0600, line, strlen(line), NULL), 0);
}

static void setup(void) {
    snprintf(control_url, sizeof control_url, "tcp://%s:20982", loopback_of_tests());
    snprintf(logs_url, sizeof logs_url, "tcp://%s:20983", loopback_of_tests());
    snprintf(dir, sizeof dir, "/tmp/router-feed-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_key();
    watches = lines_got = lines_lost = 0;
    watch = NULL;
    loop = event_base_new();
    open_hub(1);
    publisher_init(&publisher);
    ck_assert_int_eq(routes_new(&routes, &publisher, NULL), 0);
    ck_assert_int_eq(access_sink_open(&sink, NULL, 1 << 20, NULL), 0);
    config = (struct router_config){.name = (char *)(uintptr_t) "router under test",
                                    .key_file = key_path,
                                    .controller = control_url,
                                    .controller_logs = logs_url,
                                    .state_dir = dir};
    struct error err = {0};
    saved = (struct saved){0};
    ck_assert_msg(saved_open(&saved, &config, &err) == 0, "%s", err.msg);
    ck_assert_msg(feed_new(&feed, loop, &config, routes, &saved, &sink, &err) == 0, "%s", err.msg);
}

static void teardown(void) {
    feed_free(feed);
    hub_free(hub);
    routes_free(routes);
    saved_close(&saved);
    publisher_fini(&publisher);
    access_sink_close(&sink);
    event_base_free(loop);
    libevent_global_shutdown();
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
}

/* Answers the held Watch: routes of these hosts (each with one endpoint), removals, NULL-ended. */
static void tell(uint8_t epoch, uint64_t from, uint64_t to, bool more, const char *const *hosts,
                 const char *const *removed) {
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    Berth__Route items[8], *list[8];
    Berth__Endpoint endpoint = BERTH__ENDPOINT__INIT, *endpoints[] = {&endpoint};
    char *gone[8];
    uint8_t epoch_bytes[8] = {epoch};
    endpoint.address = (char *)(uintptr_t) "10.0.0.1";
    endpoint.port = 61001;
    endpoint.instance_guid = (char *)(uintptr_t) "inst";
    for (; hosts && hosts[reply.n_routes]; reply.n_routes++) {
        Berth__Route *r = list[reply.n_routes] = &items[reply.n_routes];
        berth__route__init(r);
        r->host = (char *)(uintptr_t)hosts[reply.n_routes];
        r->app_guid = (char *)(uintptr_t) "app";
        if (str_starts(hosts[reply.n_routes], "least"))
            r->balancing = BERTH__BALANCING__BALANCING_LEAST_CONNECTION;
        r->n_endpoints = 1;
        r->endpoints = endpoints;
    }
    for (; removed && removed[reply.n_removed_routes]; reply.n_removed_routes++)
        gone[reply.n_removed_routes] = (char *)(uintptr_t)removed[reply.n_removed_routes];
    reply.routes = list;
    reply.removed_routes = gone;
    reply.epoch.data = epoch_bytes;
    reply.epoch.len = sizeof epoch_bytes;
    reply.from = from;
    reply.to = to;
    reply.more = more;
    wait_for(watch);
    struct hub_request *req = watch;
    unsigned before = watches;
    watch = NULL;
    hub_reply(hub, req, &reply.base);
    wait_for(watches > before); /* taken, and the next one asked for */
}

static bool has(const char *host) {
    return publisher.current &&
           table_find(publisher.current, slice_of(host), SLICE_LIT("/")) != NULL;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

START_TEST(pages_of_a_full_set_count_when_the_last_is_there) {
    setup();
    tell(1, 0, 5, true, LIST("a", "b"), NULL);
    ck_assert_uint_eq(watch_version, 5);
    ck_assert_ptr_null(publisher.current); /* nothing before the last page */
    tell(1, 5, 9, false, LIST("c"), NULL);
    ck_assert(has("a") && has("b") && has("c"));
    tell(1, 9, 10, false, LIST("d"), LIST("a"));
    ck_assert(!has("a") && has("b") && has("d"));
    tell(1, 10, 10, false, NULL, NULL); /* the wait is over */
    ck_assert_uint_eq(watch_version, 10);
    ck_assert_uint_eq(atomic_load(&publisher.version), 2);
    teardown();
}
END_TEST

START_TEST(a_new_controller_replaces_the_set_but_not_by_half_of_one) {
    setup();
    tell(1, 0, 5, false, LIST("a", "b"), NULL);
    hub_free(hub);
    watch = NULL;
    open_hub(2);
    wait_for(watch);
    ck_assert_uint_eq(watch_version, 5); /* of the other epoch: the controller sees that */
    tell(2, 0, 0, false, NULL, NULL);    /* it does not know what it wants yet */
    ck_assert(has("a") && has("b"));
    tell(2, 0, 1, true, LIST("a"), NULL);
    hub_free(hub); /* between two pages */
    watch = NULL;
    open_hub(3);
    wait_for(watch);
    ck_assert_uint_eq(watch_version, 0);
    ck_assert(has("a") && has("b"));
    tell(3, 0, 7, false, LIST("b", "c"), NULL);
    ck_assert(!has("a") && has("b") && has("c"));
    teardown();
}
END_TEST

static const struct route *route_of(const char *host) {
    return table_find(publisher.current, slice_of(host), SLICE_LIT("/"));
}

START_TEST(what_is_told_of_balancing_and_what_is_in_flight_stays_from_set_to_set) {
    setup();
    tell(1, 0, 5, false, LIST("a", "least"), NULL);
    ck_assert(has("a") && !route_of("a")->least_connection);
    const struct route *first = route_of("least");
    ck_assert(has("least") && first->least_connection);
    const struct load *load = first->endpoints[0].load;
    tell(1, 5, 6, false, LIST("least"), NULL);
    tell(2, 0, 1, false, LIST("a", "least"), NULL); /* another controller */
    ck_assert_ptr_eq(route_of("least")->endpoints[0].load, load);
    teardown();
}
END_TEST

START_TEST(a_step_from_elsewhere_is_not_taken) {
    setup();
    tell(1, 0, 5, false, LIST("a"), NULL);
    tell(1, 4, 6, false, NULL, LIST("a"));
    ck_assert(has("a"));
    ck_assert_uint_eq(watch_version, 0); /* all of it again */
    teardown();
}
END_TEST

START_TEST(routes_that_are_not_valid_do_not_keep_others_out) {
    setup();
    tell(1, 0, 5, false, LIST("a b", "good"), NULL);
    ck_assert(has("good"));
    ck_assert_uint_eq(routes_count(routes), 1);
    teardown();
}
END_TEST

START_TEST(the_set_is_saved_a_moment_later_and_at_the_end) {
    char path[96];
    struct stat st;
    setup();
    snprintf(path, sizeof path, "%s/routes.json", dir);
    tell(1, 0, 5, false, LIST("a"), NULL);
    wait_for(stat(path, &st) == 0);
    tell(1, 5, 6, false, LIST("b"), NULL);
    feed_free(feed);
    feed = NULL;
    unsigned skipped;
    routes_remove(routes, "a");
    routes_remove(routes, "b");
    ck_assert_int_eq(routes_load(routes, path, saved.node, &skipped, NULL), 0);
    ck_assert_uint_eq(routes_count(routes), 2);
    teardown();
}
END_TEST

static bool has_failed_to_save(void) {
    struct strbuf text = {0};
    feed_metrics(feed, &text);
    bool failed = strstr(text.p, "berth_router_route_save_failures 1\n") != NULL;
    strbuf_fini(&text);
    return failed;
}

START_TEST(a_set_that_could_not_be_saved_serves_and_is_saved_later) {
    char path[96], obstacle[112];
    struct stat st;
    setup();
    snprintf(path, sizeof path, "%s/routes.json", dir);
    snprintf(obstacle, sizeof obstacle, "%s.tmp", path); /* where it is written first */
    ck_assert_int_eq(mkdir(obstacle, 0700), 0);
    tell(1, 0, 5, false, LIST("a"), NULL);
    wait_for(has_failed_to_save());
    ck_assert(has("a"));
    ck_assert_int_eq(rmdir(obstacle), 0);
    feed_free(feed); /* or some seconds later */
    feed = NULL;
    ck_assert_int_eq(stat(path, &st), 0);
    teardown();
}
END_TEST

static void push_line(const char *text) {
    struct log_ring_entry e = {SLICE_LIT("app-1"), slice_of(text), 77};
    pthread_mutex_lock(&sink.lock);
    log_ring_push(sink.ring, &e);
    pthread_mutex_unlock(&sink.lock);
}

START_TEST(access_lines_arrive_once_and_lost_ones_are_told) {
    setup();
    for (int i = 0; i < 60; i++)
        push_line("an access line that is some bytes long, so that credit limits a batch");
    push_line("the last line");
    wait_for(lines_got == 61);
    ck_assert_str_eq(last_line, "the last line");
    ck_assert_str_eq(last_app, "app-1");
    ck_assert_uint_eq(lines_lost, 0);
    wait_for(sink.ring->used == 0);
    static char big[60000];
    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < 40; i++) /* more than the ring holds: the oldest go */
        push_line(big);
    unsigned kept = (unsigned)(sink.ring->next - sink.ring->first);
    wait_for(lines_got == 61 + kept);
    ck_assert_uint_eq(lines_lost, 40 - kept);
    teardown();
}
END_TEST

RUN_TESTS("router/feed", pages_of_a_full_set_count_when_the_last_is_there,
          a_new_controller_replaces_the_set_but_not_by_half_of_one,
          what_is_told_of_balancing_and_what_is_in_flight_stays_from_set_to_set,
          a_step_from_elsewhere_is_not_taken, routes_that_are_not_valid_do_not_keep_others_out,
          the_set_is_saved_a_moment_later_and_at_the_end,
          a_set_that_could_not_be_saved_serves_and_is_saved_later,
          access_lines_arrive_once_and_lost_ones_are_told)
