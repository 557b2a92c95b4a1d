/* nodes_layers_test.c - what the glue passes on of layers: who holds which, where to fetch one and
 * what to keep. */
#include "tests/unit/nodes/nodes_world.h"

#include <errno.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/bus/token.h"
#include "common/registry/layer_id.h"

/* A digest is its last byte. */
static void digest(uint8_t ret[32], uint8_t letter) {
    memset(ret, 0, 32);
    ret[31] = letter;
}

#define REGISTRY   "registry.example"
#define REPOSITORY "some/app"

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
    image.registry = TEXT(REGISTRY);
    image.repository = TEXT(REPOSITORY);
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

static bool says_ids = true;

/* Says that it holds these blobs and gives them at `port`; its clock is `clock_ms`. */
static void say_holdings(struct peer *p, const char *letters, uint32_t port, uint64_t clock_ms) {
    Berth__Holdings held = BERTH__HOLDINGS__INIT;
    Berth__Report msg = BERTH__REPORT__INIT;
    uint8_t blobs[8 * 32];
    for (; *letters; letters++, held.blobs.len += 32)
        digest(blobs + held.blobs.len, (uint8_t)*letters);
    held.blobs.data = blobs;
    held.full = true;
    held.by_id = says_ids;
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
        const struct repository_id of = repository_id_of(REGISTRY, REPOSITORY);
        uint8_t bytes[32];
        digest(bytes, (uint8_t)letters[msg.n_locate]);
        layer_id(bytes, &of, blobs[msg.n_locate]);
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
    ck_assert_uint_eq(places->n_places, 1);
    ck_assert_int_eq(places->leave, BERTH__LEAVE__LEAVE_ALL);
    ck_assert_str_eq(places->places[0]->address, "10.1.2.3");
    ck_assert_uint_eq(places->places[0]->port, 7420);
    ck_assert_uint_eq(cell_report.ack->places[1]->n_places, 0); /* no app of its has it */
    ck_assert_int_eq(cell_report.ack->places[1]->leave, BERTH__LEAVE__LEAVE_NONE);
    ck_assert_uint_eq(cell_report.ack->places[2]->n_places, 0);

    const char *token = places->places[0]->token;
    ck_assert_int_eq(token_key(other_report.identity.key, key), 0);
    digest(blob, 'a');
    /* by the clock of the cell that gives */
    ck_assert_int_eq(token_check(key, nonce, blob, token, strlen(token), 5000), 0);
    ck_assert_int_eq(token_check(key, nonce, blob, token, strlen(token), 5000 + 2 * TOKEN_TTL_MS),
                     -ESTALE);
    uint8_t secret[TOKEN_SECRET_SIZE];
    ck_assert_int_eq(token_secret(key, token, secret), 0);
    ck_assert_uint_eq(places->places[0]->secret.len, sizeof secret);
    ck_assert_mem_eq(places->places[0]->secret.data, secret, sizeof secret);
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

/* It says digests alone, of private layers too. */
START_TEST(what_a_cell_of_before_holds_is_nobodys) {
    two_cells();
    says_ids = false;
    say_holdings(&other_report, "ab", 7420, 5000);
    says_ids = true;
    locate(&cell_report, "a");
    ck_assert_uint_eq(cell_report.ack->places[0]->n_places, 0);
    ck_assert_int_eq(cell_report.ack->places[0]->leave, BERTH__LEAVE__LEAVE_NONE);
    two_leave();
}
END_TEST

static bool on_first(void *arg, const struct lrp_kept *first) {
    (void)arg, (void)first;
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
    const struct repository_id of = repository_id_of(REGISTRY, REPOSITORY);
    ck_assert_uint_eq(keep->repositories.len, sizeof of);
    ck_assert_mem_eq(keep->repositories.data, &of, sizeof of);
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

RUN_TESTS("nodes/nodes_layers", a_cell_is_told_where_its_apps_layers_are_with_a_token_for_there,
          what_a_cell_of_before_holds_is_nobodys, a_cell_is_told_what_it_must_keep)
