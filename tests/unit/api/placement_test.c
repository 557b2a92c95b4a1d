/* The cluster and the places of an app's instances, as operators and developers are told of them.
 */
#include "tests/unit/api/harness.h"

#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/store/flags.h"
#include "controller/store/nodes.h"

static char app_guid[GUID_SIZE], url[300];

static const char *placement_url(void) {
    snprintf(url, sizeof url, "/berth/v1/apps/%s/placement", app_guid);
    return url;
}

static void setup(void) {
    char body[300];
    harness_up(true);
    snprintf(body, sizeof body, "{'name':'a','relationships':{'space':{'data':{'guid':'%s'}}}}",
             space_guid);
    struct answer a = want(201, "POST", "/v3/apps", body);
    snprintf(app_guid, sizeof app_guid, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

/* Some instance, 100 s after the brain's zero. */
static struct lrp_actual instance(enum lrp_state state) {
    return (struct lrp_actual){.app_guid = "app",
                               .app_name = "a",
                               .process_type = "web",
                               .instance_guid = "i",
                               .cell_id = "00",
                               .cell_name = "cell-1",
                               .cell_zone = "z1",
                               .cell_heard_ms = 83000,
                               .state = state,
                               .since_ms = 60000,
                               .reason = "",
                               .detail = ""};
}

#define NOW 100000

static void ck_text(struct lrp_actual a, bool is_settled, const char *text) {
    char *its = placement_text(&a, is_settled, NOW);
    ck_assert_str_eq(its, text);
    free(its);
}

START_TEST(each_state_of_an_instance_has_its_words) {
    struct lrp_actual a = instance(LRP_RUNNING);
    ck_text(a, true, "runs on cell cell-1 (z1)");
    a.suspect = a.old = true;
    ck_text(a, true,
            "runs on cell cell-1 (z1), which has been silent for 17 s; it keeps its routes until "
            "another one runs in its place");
    a.suspect = false;
    a.evacuating = true;
    ck_text(a, true,
            "still serves on cell cell-1 (z1), which is being evacuated, until the one in its "
            "place runs");
    a.old = false;
    a.place_failed = true;
    a.reason = "not evacuated: insufficient resources: memory (numbers)";
    ck_text(a, true,
            "runs on cell cell-1 (z1), which is being evacuated; not evacuated: insufficient "
            "resources: memory (numbers)");

    a = instance(LRP_RUNNING);
    a.old = a.spreading = true;
    ck_text(a, true,
            "still serves on cell cell-1 (z1), until the one in its place runs where fewer of the "
            "app do");
    a.suspect = true;
    ck_text(a, true,
            "runs on cell cell-1 (z1), which has been silent for 17 s; it keeps its routes until "
            "another one runs in its place");

    a = instance(LRP_CLAIMED);
    a.spreading = true;
    a.detail = "fetching the image, 40%";
    ck_text(a, true,
            "starts on cell cell-1 (z1), for 40 s, to spread the app's instances: fetching the "
            "image, 40%");

    a = instance(LRP_CLAIMED);
    a.cell_zone = "";
    ck_text(a, true, "starts on cell cell-1, for 40 s");
    a.detail = "fetching the image, 40%";
    ck_text(a, true, "starts on cell cell-1, for 40 s: fetching the image, 40%");

    a = instance(LRP_STOPPING);
    ck_text(a, true, "stops on cell cell-1 (z1)");
    a.leaving = true;
    ck_text(a, true, "was replaced or is wanted no more, stops on cell cell-1 (z1)");
}
END_TEST

START_TEST(what_does_not_run_says_why_and_when_it_is_tried_again) {
    struct lrp_actual a = instance(LRP_CRASHED);
    a.cell_name = a.cell_id = a.instance_guid = "";
    a.crash_count = 3;
    a.reason = "Exited with status 1";
    a.restart_at_ms = NOW + 29001;
    ck_text(a, true,
            "crashed 3 times, the last one 40 s ago: Exited with status 1; it is restarted in 30 "
            "s");
    a.restart_at_ms = NOW - 1;
    ck_text(a, true,
            "crashed 3 times, the last one 40 s ago: Exited with status 1; it is restarted now");
    a.restart_at_ms = 0;
    a.crash_count = 200;
    ck_text(a, true,
            "crashed 200 times, the last one 40 s ago: Exited with status 1; it is not restarted "
            "any more: restart the app when it is mended");

    a.state = LRP_UNCLAIMED;
    a.reason = "registry is down";
    a.restart_at_ms = NOW + 4000;
    ck_text(a, true, "could not be started: registry is down; it is tried again in 4 s");
    a.place_failed = true;
    a.reason = "insufficient resources: memory (numbers)";
    ck_text(a, true,
            "waits for a cell: insufficient resources: memory (numbers); it is tried again when "
            "room appears, else in 4 s");
    a.place_failed = false;
    a.reason = "";
    ck_text(a, true, "is about to be given to a cell");
    ck_text(a, false,
            "not known yet: the controller has just started and waits for its cells to report");
}
END_TEST

static void ck_process(const char *text) {
    struct answer a = want(200, "GET", placement_url(), NULL);
    ck_assert_str_eq(text_at(&a, "app.name"), "a");
    const json_t *p = json_array_get(json_object_get(a.json, "processes"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(p, "type")), "web");
    ck_assert_str_eq(json_string_value(json_object_get(p, "text")), text);
    answer_fini(&a);
}

START_TEST(an_app_of_which_nothing_runs_says_why) {
    setup();
    ck_process("the app is stopped: start it");
    struct app_row row = {0};
    OK(store_app_get(store, app_guid, &row, &err));
    row.started = true;
    OK(store_app_update(store, &row, &err));
    ck_process("the app has no droplet: it was never staged, or staging failed (see its logs)");
    struct droplet_row droplet = {.state = str_dup("STAGED")};
    memcpy(droplet.app_guid, app_guid, GUID_SIZE);
    OK(store_droplet_insert(store, &droplet, &err));
    memcpy(row.droplet_guid, droplet.guid, GUID_SIZE);
    droplet_row_fini(&droplet);
    OK(store_app_update(store, &row, &err));
    app_row_fini(&row);
    ck_process("it is not desired yet: the log of the controller says why");
    actuals[0] = instance(LRP_RUNNING);
    actual_count = 1;
    ck_process("no route leads to it");
    OK(store_flag_set(store, "diego_docker", false, NULL, &err));
    ck_process("Docker apps are switched off here: an admin can enable the feature flag "
               "diego_docker");
    harness_down();
}
END_TEST

START_TEST(the_places_of_an_app_are_shown_to_whom_it_is_shown) {
    setup();
    actuals[0] = instance(LRP_RUNNING);
    actuals[1] = instance(LRP_UNCLAIMED);
    actuals[1].index = 1;
    actuals[1].cell_name = actuals[1].cell_id = actuals[1].cell_zone = "";
    actuals[1].instance_guid = "";
    actuals[1].reason = "no room";
    actuals[1].place_failed = true;
    actuals[1].restart_at_ms = clock_mono_ms() + 10000;
    actual_count = 2;
    struct answer a = want(200, "GET", placement_url(), NULL);
    ck_assert(json_is_true(json_object_get(a.json, "settled")));
    const json_t *p = json_array_get(json_object_get(a.json, "processes"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(p, "running")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(p, "image_copies")), 2);
    const json_t *one = json_array_get(json_object_get(p, "instances"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(one, "cell")), "cell-1");
    ck_assert_str_eq(json_string_value(json_object_get(one, "zone")), "z1");
    ck_assert(json_is_null(json_object_get(one, "retry_at")));
    one = json_array_get(json_object_get(p, "instances"), 1);
    ck_assert(json_is_null(json_object_get(one, "cell")));
    ck_assert(json_is_string(json_object_get(one, "retry_at")));
    ck_assert(
        str_starts(json_string_value(json_object_get(one, "text")), "waits for a cell: no room;"));
    answer_fini(&a);

    char guid[GUID_SIZE];
    char *stranger = other_user("eve", guid);
    const struct question q = {.method = "GET", .url = placement_url(), .authorization = stranger};
    a = ask_full(&q);
    ck_assert_int_eq(a.status, 404);
    answer_fini(&a);
    free(stranger);
    harness_down();
}
END_TEST

static void row(const char *guid, const char *kind, const char *name, bool revoked) {
    struct node_row r = {.kind = (char *)kind,
                         .name = (char *)name,
                         .zone = (char *)"z9",
                         .address = (char *)"10.0.0.9",
                         .heard_ns = clock_wall_ns() - 5000000000,
                         .revoked = revoked};
    snprintf(r.guid, sizeof r.guid, "%s", guid);
    OK(store_node_seen(store, &r, &err));
}

START_TEST(cells_and_routers_are_shown_also_those_that_are_missing) {
    setup();
    row("00", "cell", "cell-old-name", false);
    row("11", "cell", "cell-0", false);
    row("41", "router", "router-2", false);
    struct answer a = want(200, "GET", "/berth/v1/cells", NULL);
    const json_t *cells = json_object_get(a.json, "cells");
    ck_assert_uint_eq(json_array_size(cells), 2);
    const json_t *gone = json_array_get(cells, 0), *there = json_array_get(cells, 1);
    ck_assert_str_eq(json_string_value(json_object_get(gone, "name")), "cell-0");
    ck_assert_str_eq(json_string_value(json_object_get(gone, "state")), "missing");
    ck_assert_int_ge(json_integer_value(json_object_get(gone, "heard_ms_ago")), 5000);
    ck_assert_str_eq(json_string_value(json_object_get(there, "name")), "cell-1");
    ck_assert_str_eq(json_string_value(json_object_get(there, "state")), "present");
    ck_assert_str_eq(json_string_value(json_object_get(there, "version")), "1.2");
    answer_fini(&a);

    actuals[0] = instance(LRP_RUNNING);
    actual_count = 1;
    a = want(200, "GET", "/berth/v1/cells/cell-1", NULL);
    ck_assert_str_eq(text_at(&a, "id"), "00");
    const json_t *held = json_array_get(json_object_get(a.json, "held"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(held, "app_name")), "a");
    ck_assert_str_eq(json_string_value(json_object_get(held, "state")), "RUNNING");
    answer_fini(&a);
    a = want(200, "GET", "/berth/v1/cells/11", NULL); /* by its id */
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "held")), 0);
    answer_fini(&a);
    a = want(404, "GET", "/berth/v1/cells/none", NULL);
    answer_fini(&a);

    a = want(200, "GET", "/berth/v1/routers", NULL);
    const json_t *routers = json_object_get(a.json, "routers");
    ck_assert_uint_eq(json_array_size(routers), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(routers, 0), "state")),
                     "present");
    ck_assert(json_is_true(json_object_get(json_array_get(routers, 0), "routes_current")));
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(routers, 1), "state")),
                     "missing");
    answer_fini(&a);
    harness_down();
}
END_TEST

RUN_TESTS("api/placement", each_state_of_an_instance_has_its_words,
          what_does_not_run_says_why_and_when_it_is_tried_again,
          an_app_of_which_nothing_runs_says_why, the_places_of_an_app_are_shown_to_whom_it_is_shown,
          cells_and_routers_are_shown_also_those_that_are_missing)
