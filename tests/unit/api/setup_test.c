/* setup_test.c - the first run of a new cluster. */
#include "tests/unit/api/harness.h"

#include <errno.h>
#include <fcntl.h>

#include "common/base/fs.h"
#include "controller/api/password.h"
#include "controller/api/setup.h"

static struct store *fresh;
static char dir[64];

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-setup-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    OK(store_open(&fresh, dir, &err));
}

static void teardown(void) {
    store_free(fresh);
    OK(fs_remove_tree(AT_FDCWD, dir, &err));
}

START_TEST(a_first_run_makes_what_a_user_needs_and_only_once) {
    char password[25];
    struct user_row admin = {0};
    struct domain_rows domains = {0};
    struct space_rows spaces = {0};
    setup_password(password);
    ck_assert_uint_eq(strlen(password), 24);
    struct setup_params params = {.password = password, .domain = "Apps.Example"};
    OK(setup_first_run(fresh, &params, &err));
    OK(store_user_find(fresh, "admin", &admin, &err));
    ck_assert(admin.admin && admin.active);
    ck_assert(password_verify(password, admin.password_hash));
    ck_assert(!password_verify("admin", admin.password_hash));
    OK(store_domain_list(fresh, NULL, &domains, &err));
    ck_assert_uint_eq(domains.n, 1);
    ck_assert_str_eq(domains.v[0].name, "apps.example");
    ck_assert_str_eq(domains.v[0].org_guid, "");
    OK(store_space_list(fresh, NULL, &spaces, &err));
    ck_assert_uint_eq(spaces.n, 1);
    ck_assert_int_eq(setup_first_run(fresh, &params, &err), -EEXIST);
    user_row_fini(&admin);
    domain_rows_fini(&domains);
    space_rows_fini(&spaces);
}
END_TEST

START_TEST(a_bad_wish_changes_nothing) {
    const struct setup_params cases[] = {
        {.password = "p", .domain = NULL},
        {.password = "p", .domain = "nodots"},
        {.password = "p", .domain = "a..b"},
        {.password = "p", .domain = "*.x.y"},
        {.password = NULL, .domain = "a.b.c"},
        {.password = "p", .domain = "a.b.c", .org = ""},
        {.password = "p", .domain = "a.b.c", .space = "\xff"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct org_rows orgs = {0};
        ck_assert_int_eq(setup_first_run(fresh, &cases[i], &err), -EINVAL);
        OK(store_org_list(fresh, NULL, &orgs, &err));
        ck_assert_uint_eq(orgs.n, 0);
        org_rows_fini(&orgs);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("api/setup");
    TCase *tcase = tcase_create("setup");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_first_run_makes_what_a_user_needs_and_only_once);
    tcase_add_test(tcase, a_bad_wish_changes_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
