/* Which cell has which layers: placement's bonus, who may have a layer, who must keep it. */
#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/str.h"
#include "controller/lrp/internal.h"
#include "controller/lrp/lrp.h"

#define CELLS 6
#define START 1000000u

static struct lrp *lrp;
static uint64_t now;
static unsigned guids;

static void on_cell_changed(void *data, const char *id) {
    (void)data, (void)id;
}
static void on_nothing(void *data) {
    (void)data;
}
static void on_event(void *data, const char *kind, const struct lrp_actual *a, const char *text) {
    (void)data, (void)kind, (void)a, (void)text;
}
static void new_guid(void *data, char buf[static GUID_SIZE]) {
    (void)data;
    snprintf(buf, GUID_SIZE, "%08u-0000-4000-8000-000000000000", ++guids);
}

static const char *id_of(size_t i) {
    static const char *const ids[CELLS] = {"c0", "c1", "c2", "c3", "c4", "c5"};
    return ids[i];
}

static void join(size_t i, const char *zone, uint64_t memory_mb) {
    const struct lrp_cell_info info = {.id = id_of(i),
                                       .name = id_of(i),
                                       .zone = zone,
                                       .address = "10.0.0.1",
                                       .memory_mb = memory_mb,
                                       .disk_mb = 10000,
                                       .containers = 100};
    ck_assert_int_eq(lrp_cell_present(lrp, &info, now), 0);
    ck_assert_int_eq(lrp_report(lrp, id_of(i), true, true, NULL, 0, now, 0), 0);
}

static void start(uint64_t seed) {
    const struct lrp_config config = {.presence_ms = 15000, .converge_ms = 30000, .rng_seed = seed};
    const struct lrp_ops ops = {.on_cell_changed = on_cell_changed,
                                .on_routes_changed = on_nothing,
                                .on_work = on_nothing,
                                .on_event = on_event,
                                .new_guid = new_guid};
    now = START;
    guids = 0;
    ck_assert_int_eq(lrp_new(&lrp, &config, &ops, now, NULL), 0);
    lrp_desired_complete(lrp, now);
}

/* Time passes; the cells that are not `silent` (bits) are heard. */
static void pass(unsigned seconds, unsigned silent) {
    for (unsigned s = 0; s < seconds; s++) {
        now += 1000;
        for (size_t i = 0; i < CELLS; i++)
            if (!(silent & BIT(i)))
                lrp_cell_heard(lrp, id_of(i), now);
        lrp_converge(lrp, now);
    }
}

/* --- layers are numbers: the n-th blob's digest is n, its tree's n + 100 --- */

static void digest(uint8_t ret[32], uint8_t number) {
    memset(ret, 0, 32);
    ret[31] = number;
}

static void say(size_t cell, bool full, bool gives, const char *blobs, const char *trees,
                const char *gone) {
    uint8_t there[32 * 16], unpacked[32 * 16], lost[32 * 16];
    struct lrp_holdings h = {.full_begin = full, .full_end = full, .gives = gives};
    for (; *blobs; blobs++)
        digest(there + 32 * h.blobs.n++, (uint8_t)*blobs);
    for (; *trees; trees++)
        digest(unpacked + 32 * h.trees.n++, (uint8_t)(*trees + 100));
    for (; *gone; gone++)
        digest(lost + 32 * h.gone_blobs.n++, (uint8_t)*gone);
    h.blobs.p = there;
    h.trees.p = unpacked;
    h.gone_blobs.p = lost;
    ck_assert_int_eq(lrp_cell_holds(lrp, id_of(cell), &h), 0);
}

/* An app whose image, of this repository, has these layers, of 10 bytes each. */
static void desire_of(const char *repository, const char *process, const char *layers,
                      uint32_t instances) {
    char process_guid[64], texts[16][2][72], manifest[72];
    uint8_t bytes[32] = {0};
    Berth__Layer items[16], *list[16];
    Berth__Image image = BERTH__IMAGE__INIT;
    Berth__DesiredLrp run_info = BERTH__DESIRED_LRP__INIT;
    for (size_t i = 0; layers[i]; i++) {
        for (int k = 0; k < 2; k++) {
            strcpy(texts[i][k], "sha256:");
            digest(bytes, (uint8_t)(layers[i] + 100 * k));
            hex_encode(bytes, 32, texts[i][k] + 7);
        }
        berth__layer__init(&items[i]);
        items[i].digest = texts[i][0];
        items[i].diff_id = texts[i][1];
        items[i].size = 10;
        list[image.n_layers++] = &items[i];
    }
    snprintf((char *)bytes, sizeof bytes, "%s", layers); /* the manifest is its layers */
    strcpy(manifest, "sha256:");
    hex_encode(bytes, 32, manifest + 7);
    image.digest = manifest;
    image.registry = (char *)"reg";
    image.repository = (char *)(uintptr_t)repository;
    image.layers = list;
    run_info.image = &image;
    uint8_t packed[8192];
    size_t n = berth__desired_lrp__pack(&run_info, packed);
    snprintf(process_guid, sizeof process_guid, "%s-%s", process, layers);
    const struct lrp_desired d = {.process_guid = process_guid,
                                  .process = process,
                                  .app_guid = process,
                                  .app_name = process,
                                  .process_type = "web",
                                  .instances = instances,
                                  .memory_mb = 100,
                                  .disk_mb = 10,
                                  .port = 8080,
                                  .run_info = packed,
                                  .run_info_n = n};
    ck_assert_int_eq(lrp_desire(lrp, &d, now, NULL), 0);
}

static void desire(const char *process, const char *layers, uint32_t instances) {
    desire_of("repo", process, layers, instances);
}

static void on_found(void *arg, const struct lrp_actual *a) {
    strcat(arg, *a->cell_id ? a->cell_id : "-");
}
/* Where its instances are, in order: "c0c2". */
static const char *where(const char *process) {
    static char text[512];
    text[0] = 0;
    lrp_instances(lrp, process, on_found, text);
    return text;
}

/* --- placement --- */

START_TEST(an_instance_goes_where_its_layers_are_unless_something_weighs_more) {
    static const struct {
        const char *what, *blobs, *trees; /* of cell 0 */
        const char *others;               /* blobs of cell 1 */
        unsigned load0;                   /* 100 MB instances that cell 0 has already */
        const char *goes;
    } rows[] = {
        {"has all, packed", "ab", "", "", 0, "c0"},
        {"has all, unpacked", "", "ab", "", 0, "c0"},
        {"has half of what the other has", "a", "", "ab", 0, "c1"},
        {"counts a layer once that is there twice", "a", "a", "ab", 0, "c1"},
        {"a little fuller", "ab", "ab", "", 1, "c0"},
        {"much fuller", "ab", "ab", "", 8, "c1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            start(seed);
            join(0, "z1", 1000);
            for (unsigned k = 0; k < rows[i].load0; k++) {
                char name[8];
                snprintf(name, sizeof name, "l%u", k);
                desire(name, "z", 1);
            }
            pass(1, 0);
            for (unsigned k = 0; k < guids; k++) { /* none of them is starting any more */
                struct instance *in = lrp->cells[0]->changes;
                for (unsigned m = 0; m < k; m++)
                    in = in->next;
                instance_set_state(lrp, in, LRP_RUNNING, now);
            }
            join(1, "z1", 1000);
            say(0, true, true, rows[i].blobs, rows[i].trees, "");
            say(1, true, true, rows[i].others, "", "");
            desire("p", "ab", 1);
            pass(1, 0);
            ck_assert_msg(str_eq(where("p"), rows[i].goes), "%s: %s", rows[i].what, where("p"));
            lrp_free(lrp);
        }
}
END_TEST

START_TEST(layers_neither_pile_instances_up_nor_draw_them_into_one_zone) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
        start(seed);
        join(0, "z1", 1000);
        join(1, "z1", 1000);
        join(2, "z2", 1000);
        say(0, true, true, "ab", "ab", "");
        desire("p", "ab", 3);
        pass(1, 0);
        ck_assert_ptr_nonnull(strstr(where("p"), "c0"));
        ck_assert_ptr_nonnull(strstr(where("p"), "c1"));
        ck_assert_ptr_nonnull(strstr(where("p"), "c2"));
        lrp_free(lrp);
    }
}
END_TEST

/* --- locating --- */

static void id_in(const char *repository, char layer, uint8_t ret[32]) {
    struct repository_id of = repository_id_of("reg", repository);
    uint8_t bytes[32];
    digest(bytes, (uint8_t)layer);
    layer_id(bytes, &of, ret);
}

/* What this cell hears that asks for it for this repository: "c1c2" give it, in order; "!" at the
 * end where it is everybody's, "." where it is the repository's; "after c1": that one fetches it.
 */
static const char *located_of(const char *repository, size_t asker, char layer) {
    static const char *const leaves[] = {"", ".", "!"};
    static char text[64];
    struct lrp_located found;
    uint8_t id[32], bytes[32];
    id_in(repository, layer, id);
    digest(bytes, (uint8_t)layer);
    lrp_locate(lrp, id_of(asker), id, &found);
    ck_assert(found.n == 0 || memcmp(found.digest, bytes, 32) == 0);
    strcpy(text, found.coming ? "after " : "");
    for (size_t i = 0; i < found.n; i++)
        strcat(text, found.ids[i]);
    strcat(text, leaves[found.leave]);
    return text;
}

/* Who gives it, of what came without a password. */
static const char *located(size_t asker, char layer) {
    static char text[64];
    snprintf(text, sizeof text, "%s", located_of("repo", asker, layer));
    ck_assert_ptr_null(strchr(text, '.'));
    text[strcspn(text, "!")] = 0;
    return text;
}

START_TEST(a_layer_is_found_for_who_runs_an_image_that_has_it) {
    start(1);
    join(0, "z1", 1000);
    desire("p", "ab", 1); /* only cell 0 can take it */
    pass(1, 0);
    join(1, "z1", 1000);
    join(2, "z2", 1000);
    say(1, true, true, "abc", "", "");
    ck_assert_str_eq(located(0, 'a'), "c1");
    ck_assert_str_eq(located(0, 'c'), ""); /* of no image that it runs */
    ck_assert_str_eq(located(2, 'a'), ""); /* runs nothing of it */
    ck_assert_str_eq(located(0, 'z'), ""); /* nobody has it */
    say(2, true, true, "a", "", "");
    ck_assert_str_eq(located(0, 'a'), "c1c2"); /* its own zone first */
    say(1, false, true, "", "", "a");
    ck_assert_str_eq(located(0, 'a'), "c2");
    say(2, true, true, "b", "", ""); /* a full list that does not name it */
    ck_assert_str_eq(located(0, 'a'), "");
    say(1, true, false, "ab", "ab", ""); /* has it, but does not give */
    ck_assert_str_eq(located(0, 'b'), "c2");
    pass(20, BIT(2));
    ck_assert_str_eq(located(0, 'b'), ""); /* silent */
    ck_assert_int_eq(lrp_cell_holds(lrp, "unknown", &(struct lrp_holdings){0}), -ENOENT);
    lrp_free(lrp);
}
END_TEST

/* The cell has the layers for apps of this repository. */
static void say_of(const char *repository, size_t cell, const char *blobs, const char *trees) {
    uint8_t there[32 * 16], unpacked[32 * 16];
    struct lrp_holdings h = {.full_begin = true, .full_end = true, .gives = true};
    for (; *blobs; blobs++)
        id_in(repository, *blobs, there + 32 * h.blobs.n++);
    for (; *trees; trees++)
        id_in(repository, (char)(*trees + 100), unpacked + 32 * h.trees.n++);
    h.blobs.p = there;
    h.trees.p = unpacked;
    ck_assert_int_eq(lrp_cell_holds(lrp, id_of(cell), &h), 0);
}

/* Whoever may write a manifest may name any layer. */
START_TEST(a_repositorys_layer_is_for_its_own_apps_alone) {
    start(1);
    join(0, "z1", 1000);
    desire_of("private", "p", "ab", 1);
    desire_of("stolen", "q", "ab", 1); /* the very same manifest */
    pass(1, 0);
    join(1, "z1", 1000);
    join(2, "z1", 1000);
    say_of("private", 1, "ab", "ab");
    ck_assert_str_eq(located_of("private", 0, 'a'), "c1.");
    ck_assert_str_eq(located_of("stolen", 0, 'a'), "");
    ck_assert_str_eq(located_of("elsewhere", 0, 'a'), ""); /* of no app */
    say_of("stolen", 2, "a", "");                          /* its registry gave all of one */
    ck_assert_str_eq(located_of("stolen", 0, 'a'), "c2.");
    ck_assert_str_eq(located_of("stolen", 0, 'b'), "");
    ck_assert_str_eq(located_of("private", 0, 'a'), "c1.");
    pass(20, BIT(1));
    ck_assert_str_eq(located_of("private", 0, 'a'), "."); /* nobody gives it, but it was shown */
    say(2, true, true, "a", "", "");                      /* it came without a password */
    ck_assert_str_eq(located_of("private", 0, 'a'), "c2!");
    ck_assert_str_eq(located_of("stolen", 0, 'a'), "c2!");
    ck_assert_str_eq(located_of("private", 1, 'a'), ""); /* it is to run nothing of it */
    lrp_free(lrp);
}
END_TEST

START_TEST(the_id_of_an_open_layer_gets_nothing_from_who_has_a_repositorys) {
    struct lrp_located found;
    uint8_t bytes[32];
    start(1);
    join(0, "z1", 1000);
    desire_of("private", "p", "a", 1);
    pass(1, 0);
    join(1, "z1", 1000);
    say_of("private", 1, "a", "a");
    digest(bytes, 'a');
    lrp_locate(lrp, id_of(0), bytes, &found);
    ck_assert(found.n == 0 && found.leave == LRP_LEAVE_NONE);
    lrp_free(lrp);
}
END_TEST

START_TEST(only_the_holders_that_are_named_to_the_end_of_a_full_list_stay) {
    uint8_t a[32], b[32];
    start(1);
    join(0, "z1", 1000);
    desire("p", "ab", 1);
    pass(1, 0);
    join(1, "z1", 1000);
    say(1, true, true, "ab", "", "");
    digest(a, 'a');
    digest(b, 'b');
    /* begins, has one, goes on: nothing is forgotten yet */
    lrp_cell_holds(lrp, "c1",
                   &(struct lrp_holdings){.full_begin = true, .gives = true, .blobs = {a, 1}});
    ck_assert_str_eq(located(0, 'b'), "c1");
    lrp_cell_holds(lrp, "c1", &(struct lrp_holdings){.full_end = true, .gives = true});
    ck_assert_str_eq(located(0, 'a'), "c1");
    ck_assert_str_eq(located(0, 'b'), "");
    lrp_free(lrp);
}
END_TEST

/* --- keeping --- */

static bool on_kept(void *arg, const struct lrp_kept *kept) {
    char letter[2] = {(char)kept->digest[31], 0};
    ck_assert_uint_eq(kept->size, 10);
    strcat(arg, letter);
    return strlen(arg) < 1000;
}
static const char *kept(size_t cell) {
    static char text[CELLS][1024];
    text[cell][0] = 0;
    lrp_keep_list(lrp, id_of(cell), 0, on_kept, text[cell]);
    return text[cell];
}

/* The cells that keep this image, as bits. */
static unsigned keepers(const char *layers) {
    unsigned bits = 0;
    for (size_t i = 0; i < CELLS; i++)
        if (strstr(kept(i), layers))
            bits |= BIT(i);
    return bits;
}

START_TEST(the_first_that_asks_fetches_what_nobody_has_and_the_others_follow) {
    start(1);
    for (size_t i = 0; i < 3; i++)
        join(i, "z1", 1000);
    for (size_t i = 0; i < 3; i++)
        say(i, true, true, "", "", "");
    desire("p", "ab", 3); /* one a cell */
    pass(1, 0);
    ck_assert_str_eq(located_of("repo", 1, 'a'), "");
    ck_assert_str_eq(located_of("repo", 0, 'a'), "after c1");
    ck_assert_str_eq(located_of("repo", 2, 'a'), "after c1");
    ck_assert_str_eq(located_of("repo", 1, 'a'), ""); /* not itself */
    ck_assert_str_eq(located_of("repo", 2, 'b'), ""); /* each layer another one */
    ck_assert_str_eq(located_of("repo", 1, 'b'), "after c2");
    say_of("repo", 1, "a", "a");
    ck_assert_str_eq(located_of("repo", 0, 'a'), "c1.");
    say(1, true, true, "", "", ""); /* it is gone again */
    ck_assert_str_eq(located_of("repo", 0, 'a'), "");
    ck_assert_str_eq(located_of("repo", 1, 'a'), "after c0");
    pass(20, BIT(0)); /* it dies */
    ck_assert_str_eq(located_of("repo", 1, 'a'), "");
    ck_assert_str_eq(located_of("repo", 2, 'a'), "after c1");
    say(1, true, false, "", "", ""); /* gives nothing any more */
    ck_assert_str_eq(located_of("repo", 2, 'a'), "");
    lrp_free(lrp);
}
END_TEST

START_TEST(followers_are_followed_in_turn) {
    start(1);
    for (size_t i = 0; i < CELLS; i++)
        join(i, "z1", 1000);
    for (size_t i = 0; i < CELLS; i++)
        say(i, true, true, "", "", "");
    desire("p", "a", CELLS);
    pass(1, 0);
    ck_assert_str_eq(located_of("repo", 0, 'a'), "");
    for (size_t i = 1; i <= FOLLOWERS; i++)
        ck_assert_str_eq(located_of("repo", i, 'a'), "after c0");
    ck_assert_str_eq(located_of("repo", 5, 'a'), "after c4");
    ck_assert_str_eq(located_of("repo", 4, 'a'), ""); /* what it followed came to nothing */
    ck_assert_str_eq(located_of("repo", 3, 'a'), "after c4");
    lrp_free(lrp);
}
END_TEST

START_TEST(a_repositorys_image_is_kept_twice_too_whoever_else_has_the_same_layers) {
    start(1);
    join(0, "z1", 1000);
    desire_of("private", "p", "ab", 1);
    pass(1, 0);
    join(1, "z1", 1000);
    join(2, "z1", 1000);
    say_of("private", 0, "ab", "ab");
    say_of("other", 1, "ab", "ab"); /* counts for nothing */
    say_of("private", 2, "a", "");
    pass(2, 0);
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(2));
    lrp_free(lrp);
}
END_TEST

START_TEST(two_cells_keep_an_image_once_one_has_all_of_it) {
    start(1);
    join(0, "z1", 1000);
    desire("p", "ab", 1);
    pass(1, 0);
    ck_assert_uint_eq(lrp_keep_version(lrp, "c9"), 0);
    join(1, "z1", 1000);
    join(2, "z2", 1000);
    join(3, "z2", 1000);
    for (size_t i = 0; i < 4; i++)
        say(i, true, i != 3, "", "", ""); /* cell 3 gives nothing */
    say(0, false, true, "a", "", "");
    pass(5, 0);
    ck_assert_uint_eq(keepers("ab"), 0); /* the pull is still on its way */
    uint64_t version = lrp_keep_version(lrp, "c2"), set = lrp_cell_version(lrp, "c2");
    ck_assert_uint_ne(version, 0);
    say(0, false, true, "b", "", "");
    pass(2, 0);
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(2)); /* who has it, and another zone */
    ck_assert_uint_ne(lrp_keep_version(lrp, "c2"), version);
    ck_assert_uint_gt(lrp_cell_version(lrp, "c2"), set);     /* so that it is told */
    ck_assert_uint_eq(lrp_keep_version(lrp, "c1"), version); /* nothing is nothing everywhere */
    ck_assert_str_eq(located(2, 'a'), "c0");                 /* it may have what it must keep */
    ck_assert_str_eq(located(1, 'a'), "");

    lrp_undesire(lrp, "p", now);
    pass(3, 0);
    const Berth__ActualLrp ended = {.base = {&berth__actual_lrp__descriptor, 0, NULL},
                                    .instance_guid = "00000001-0000-4000-8000-000000000000",
                                    .process_guid = "p-ab",
                                    .app_guid = "p",
                                    .state = BERTH__INSTANCE_STATE__INSTANCE_STOPPED,
                                    .address = "",
                                    .reason = "",
                                    .detail = ""};
    Berth__ActualLrp *list[] = {(Berth__ActualLrp *)&ended};
    ck_assert_int_eq(lrp_report(lrp, "c0", false, false, list, 1, now, 0), 0);
    uint64_t since = lrp_cell_version(lrp, "c0");
    bool more;
    lrp_cell_changes(lrp, "c0", &since, NULL, NULL, NULL, &more); /* it knows: forgotten */
    pass(3, 0);
    ck_assert_uint_eq(keepers("a"), 0);
    ck_assert_uint_eq(lrp_keep_version(lrp, "c2"), version);
    lrp_free(lrp);
}
END_TEST

START_TEST(it_is_told_on_how_many_cells_an_image_is_whole) {
    struct lrp_image_totals t;
    start(1);
    for (size_t i = 0; i < 3; i++)
        join(i, "z1", 1000);
    desire("p", "ab", 1);
    pass(1, 0);
    ck_assert_int_eq(lrp_image_copies(lrp, "p"), 0);
    ck_assert_int_eq(lrp_image_copies(lrp, "q"), -ENOENT);
    say(0, true, true, "ab", "ab", "");
    say(1, true, true, "a", "ab", "");
    say(2, true, false, "ab", "ab", ""); /* gives nothing */
    pass(3, 0);
    ck_assert_int_eq(lrp_image_copies(lrp, "p"), 1);
    lrp_image_totals(lrp, &t);
    ck_assert(t.images == 1 && t.scarce == 1);
    say_of("repo", 1, "ab", "ab");
    ck_assert_int_eq(lrp_image_copies(lrp, "p"), 2);
    lrp_image_totals(lrp, &t);
    ck_assert(t.images == 1 && t.scarce == 0);
    pass(20, BIT(0));
    ck_assert_int_eq(lrp_image_copies(lrp, "p"), 1);
    lrp_image_totals(lrp, &t);
    ck_assert(t.images == 1 && t.scarce == 1);
    lrp_free(lrp);
}
END_TEST

START_TEST(a_lost_keeper_is_replaced_and_not_called_back) {
    start(1);
    join(0, "z1", 1000);
    desire("p", "ab", 1);
    pass(1, 0);
    for (size_t i = 1; i < 4; i++)
        join(i, "z1", 1000);
    for (size_t i = 0; i < 4; i++)
        say(i, true, true, i < 2 ? "ab" : "", "", "");
    pass(2, 0);
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(1));
    pass(20, BIT(1));
    unsigned after = keepers("ab");
    ck_assert_uint_eq(after & (BIT(0) | BIT(1)), BIT(0));
    ck_assert_int_eq(__builtin_popcount(after), 2);
    pass(5, 0); /* it is back */
    ck_assert_int_eq(lrp_report(lrp, "c1", true, true, NULL, 0, now, 0), 0);
    pass(60, 0);
    ck_assert_uint_eq(keepers("ab"), after);
    lrp_free(lrp);
}
END_TEST

START_TEST(a_keeper_that_gets_nowhere_makes_room_for_another) {
    start(1);
    join(0, "z1", 1000);
    desire("p", "ab", 1);
    pass(1, 0);
    join(1, "z2", 1000);
    say(0, true, true, "ab", "ab", "");
    say(1, true, true, "", "", "");
    pass(2, 0);
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(1));
    pass(400, 0); /* there is no other: it stays */
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(1));
    join(2, "z2", 1000);
    say(2, true, true, "", "", "");
    pass(150, 0);
    say(1, false, true, "a", "", ""); /* gets on */
    pass(250, 0);
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(1));
    pass(100, 0);
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(2));
    lrp_free(lrp);
}
END_TEST

START_TEST(an_image_that_no_cell_can_give_is_kept_after_a_while) {
    start(1);
    join(0, "z1", 1000);
    desire("p", "ab", 1);
    pass(1, 0);
    join(1, "z1", 1000);
    say(0, true, true, "", "ab", ""); /* unpacked before it kept blobs */
    say(1, true, true, "", "", "");
    pass(30, 0);
    ck_assert_uint_eq(keepers("ab"), 0);
    pass(60, 0);
    ck_assert_uint_eq(keepers("ab"), BIT(0) | BIT(1));
    lrp_free(lrp);
}
END_TEST

/* Cells come, go, fetch what they are told to keep and lose what they hold; apps come and go.
 * Whenever a while of peace has passed, every image that one cell had whole is whole on two, kept
 * by two, and nobody keeps anything else. */
START_TEST(whatever_happens_two_cells_hold_every_image_after_a_while) {
    static const char *const images[] = {"ab", "acd", "ae", "fgh", "i"};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng = {.state = seed};
        bool has[CELLS][128] = {{0}}, wanted[ARRAY_SIZE(images)] = {0};
        unsigned dead = 0;
        start(seed);
        for (size_t i = 0; i < CELLS; i++) {
            join(i, i % 2 ? "z1" : "z2", 10000);
            say(i, true, true, "", "", "");
        }
        pass(1, 0);
        for (int step = 0; step < 200; step++) {
            size_t c = rng_below(&rng, CELLS), im = rng_below(&rng, ARRAY_SIZE(images));
            char name[8], one[2] = {(char)('a' + rng_below(&rng, 9)), 0};
            snprintf(name, sizeof name, "p%zu", im);
            switch (rng_below(&rng, 5)) {
            case 0:
                desire(name, images[im], 1 + (uint32_t)rng_below(&rng, 2));
                wanted[im] = true;
                break;
            case 1:
                lrp_undesire(lrp, name, now);
                wanted[im] = false;
                break;
            case 2: /* dies, or comes back */
                dead ^= BIT(c);
                if (!(dead & BIT(c)))
                    ck_assert_int_eq(lrp_report(lrp, id_of(c), true, true, NULL, 0, now, 0), 0);
                break;
            case 3: /* loses a layer that it need not keep */
                if (!(dead & BIT(c)) && has[c][(int)*one] && !strstr(kept(c), one)) {
                    has[c][(int)*one] = false;
                    say(c, false, true, "", "", one);
                }
                break;
            default: /* pulls an image */
                for (const char *p = images[im]; !(dead & BIT(c)) && *p; p++) {
                    has[c][(int)*p] = true;
                    say(c, false, true, (char[]){*p, 0}, "", "");
                }
            }
            pass((unsigned)rng_below(&rng, 20), dead);
            if (rng_below(&rng, 8) > 0)
                continue;
            for (int round = 0; round < 3; round++) { /* peace */
                pass(25, dead);
                for (size_t i = 0; i < CELLS; i++)
                    for (const char *p = kept(i); !(dead & BIT(i)) && *p; p++) {
                        has[i][(int)*p] = true;
                        say(i, false, true, (char[]){*p, 0}, "", "");
                    }
            }
            int alive = CELLS - __builtin_popcount(dead);
            for (im = 0; im < ARRAY_SIZE(images); im++) {
                if (!wanted[im])
                    continue;
                int whole = 0;
                for (size_t i = 0; i < CELLS; i++) {
                    bool all = !(dead & BIT(i));
                    for (const char *p = images[im]; *p; p++)
                        all &= has[i][(int)*p];
                    whole += all;
                }
                ck_assert_int_eq(__builtin_popcount(keepers(images[im])), MIN(alive, 2));
                ck_assert_int_ge(whole, MIN(alive, 2));
                ck_assert_uint_eq(keepers(images[im]) & dead, 0);
            }
        }
        lrp_free(lrp);
    }
}
END_TEST

RUN_TESTS("lrp/layers", an_instance_goes_where_its_layers_are_unless_something_weighs_more,
          layers_neither_pile_instances_up_nor_draw_them_into_one_zone,
          a_layer_is_found_for_who_runs_an_image_that_has_it,
          a_repositorys_layer_is_for_its_own_apps_alone,
          the_id_of_an_open_layer_gets_nothing_from_who_has_a_repositorys,
          the_first_that_asks_fetches_what_nobody_has_and_the_others_follow,
          followers_are_followed_in_turn,
          a_repositorys_image_is_kept_twice_too_whoever_else_has_the_same_layers,
          only_the_holders_that_are_named_to_the_end_of_a_full_list_stay,
          two_cells_keep_an_image_once_one_has_all_of_it,
          it_is_told_on_how_many_cells_an_image_is_whole,
          a_lost_keeper_is_replaced_and_not_called_back,
          a_keeper_that_gets_nowhere_makes_room_for_another,
          an_image_that_no_cell_can_give_is_kept_after_a_while,
          whatever_happens_two_cells_hold_every_image_after_a_while)
