#include "cell.pb-c.h"
#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "cell/launch.h"
#include "common/base/str.h"

static char *text(const char *s) {
    return (char *)(uintptr_t)s;
}

static const struct launch_defaults defaults = {.disk_bytes = 77, .pids = 2048, .nofile = 16384};

START_TEST(the_container_gets_what_the_assignment_says) {
    Berth__Image image = BERTH__IMAGE__INIT;
    Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
    Berth__Assignment a = BERTH__ASSIGNMENT__INIT;
    char *command[] = {text("/bin/sh"), text("-c"), text("exec app")};
    char *layers[] = {text("/l/1"), text("/l/2"), NULL},
         *ids[] = {text("sha256:1"), text("sha256:2"), NULL};
    struct image_lease lease = {.layer_count = 2, .layers = layers, .diff_ids = ids};
    uint32_t ports[] = {80, 8080};
    image.password = text("secret");
    image.username = text("who");
    image.reference = text("reg/app");
    lrp.image = &image;
    lrp.command = command;
    lrp.n_command = 3;
    lrp.ports = ports;
    lrp.n_ports = 2;
    lrp.memory_mb = 1024;
    lrp.disk_mb = 512;
    lrp.user = text("nobody");
    lrp.stop_signal = text("SIGQUIT");
    a.instance_guid = text("guid-1");
    a.lrp = &lrp;
    struct launch l;
    ck_assert_int_eq(launch_prepare(&l, &a, &lease, &defaults, 99, NULL), 0);
    ck_assert_str_eq(l.spec.id, "guid-1");
    ck_assert_str_eq(l.spec.layers[1], "/l/2");
    ck_assert_str_eq(l.spec.argv[2], "exec app");
    ck_assert_ptr_null(l.spec.argv[3]);
    ck_assert_uint_eq(l.spec.port_count, 2);
    ck_assert_uint_eq(l.spec.ports[0], 80);
    ck_assert_uint_eq(l.spec.memory_bytes, 1ull << 30);
    ck_assert_uint_eq(l.spec.disk_bytes, 512ull << 20);
    ck_assert_uint_eq(l.spec.cpu_shares, 122);
    ck_assert_uint_eq(l.spec.pids, 2048);
    ck_assert_uint_eq(l.spec.nofile, 16384);
    ck_assert_str_eq(l.spec.user, "nobody");
    ck_assert_str_eq(l.spec.stop_signal, "SIGQUIT");
    Berth__ContainerNote *note = berth__container_note__unpack(NULL, l.spec.note_n, l.spec.note);
    ck_assert_str_eq(note->assignment->lrp->image->reference, "reg/app");
    ck_assert_str_eq(note->assignment->lrp->image->password, "");
    ck_assert_str_eq(note->assignment->lrp->image->username, "");
    ck_assert_str_eq(note->diff_ids[1], "sha256:2");
    ck_assert_uint_eq(note->created_wall_ns, 99);
    berth__container_note__free_unpacked(note, NULL);
    launch_fini(&l);
}
END_TEST

START_TEST(nothing_to_run_is_the_users_to_mend) {
    Berth__Image image = BERTH__IMAGE__INIT;
    Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
    Berth__Assignment a = BERTH__ASSIGNMENT__INIT;
    struct image_lease lease = {0};
    struct launch l;
    struct error err = {0};
    lrp.image = &image;
    a.lrp = &lrp;
    ck_assert_int_eq(launch_prepare(&l, &a, &lease, &defaults, 1, &err), -EINVAL);
    ck_assert_str_eq(err.msg, "No start command found or specified");
}
END_TEST

START_TEST(cpu_shares_are_diegos) {
    static const struct {
        uint32_t mb;
        uint64_t shares;
    } rows[] = {{0, 10}, {64, 10}, {128, 10}, {1024, 122}, {8192, 1024}, {100000, 1024}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_uint_eq(launch_cpu_shares(rows[i].mb), rows[i].shares);
}
END_TEST

RUN_TESTS("cell/launch", the_container_gets_what_the_assignment_says,
          nothing_to_run_is_the_users_to_mend, cpu_shares_are_diegos)
