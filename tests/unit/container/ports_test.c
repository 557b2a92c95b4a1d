#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cell/container/ports.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/random.h"

enum { FIRST = 61001, REST_S = 60, WALL = 1700000000 };

static char path[64];
static struct ports ports;
static const char *boot;
static uint64_t up_s, wall_s; /* what the clocks say */

static void begin(unsigned count) {
    struct error err = {0};
    ck_assert_msg(
        ports_open(&ports, path, FIRST, count, REST_S * 1000, boot, up_s * 1000, wall_s, &err) == 0,
        "%s", err.msg);
}

static void setup(unsigned count) {
    snprintf(path, sizeof path, "/tmp/container-ports-XXXXXX");
    close(mkstemp(path));
    unlink(path);
    boot = "8e1b2c9e-0000-4000-8000-000000000001";
    up_s = 1000, wall_s = WALL;
    begin(count);
}

static void teardown(void) {
    ports_close(&ports);
    unlink(path);
}

static void pass(uint64_t seconds) {
    up_s += seconds, wall_s += seconds;
}

/* The agent is killed, or ends: to the file it is the same. */
static void restart(unsigned count) {
    ports_close(&ports);
    begin(count);
}

static void reboot(unsigned count, uint64_t for_s) {
    boot = "8e1b2c9e-0000-4000-8000-000000000002";
    wall_s += for_s, up_s = for_s;
    restart(count);
}

static int take(void) {
    return ports_take(&ports, up_s * 1000, NULL);
}

static void give(int port) {
    ports_give(&ports, (unsigned)port, up_s * 1000, wall_s);
}

START_TEST(the_turn_goes_on_in_the_next_agent) {
    setup(100);
    ck_assert_int_eq(take(), FIRST);
    ck_assert_int_eq(take(), FIRST + 1);
    give(FIRST);
    restart(100);
    ck_assert_int_eq(ports_claim(&ports, FIRST + 1), 0);
    ck_assert_int_eq(ports_claim(&ports, FIRST + 1), -EEXIST);
    ck_assert_int_eq(ports_claim(&ports, FIRST - 1), -ERANGE);
    ck_assert_int_eq(ports_claim(&ports, FIRST + 100), -ERANGE);
    ck_assert_int_eq(take(), FIRST + 2);
    teardown();
}
END_TEST

START_TEST(and_so_does_a_ports_rest) {
    setup(3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(take(), FIRST + i);
    give(FIRST);
    pass(10);
    give(FIRST + 1);
    restart(3);
    ck_assert_int_eq(ports_claim(&ports, FIRST + 2), 0);
    ck_assert_int_eq(take(), -EAGAIN);
    pass(REST_S - 10 - 1);
    ck_assert_int_eq(take(), -EAGAIN);
    pass(2); /* the file has whole seconds, and the later one */
    ck_assert_int_eq(take(), FIRST);
    ck_assert_int_eq(take(), -EAGAIN);
    pass(10);
    ck_assert_int_eq(take(), FIRST + 1);
    ck_assert_int_eq(take(), -ENOSPC);
    teardown();
}
END_TEST

START_TEST(what_nobody_claims_rests_from_the_start_of_the_agent) {
    setup(2);
    ck_assert_int_eq(take(), FIRST);
    pass(1000);
    restart(2); /* its container ended while no agent was there */
    ck_assert_int_eq(take(), FIRST + 1);
    ck_assert_int_eq(take(), -EAGAIN);
    pass(REST_S);
    ck_assert_int_eq(take(), FIRST);
    teardown();
}
END_TEST

START_TEST(after_a_boot_it_rests_from_then) {
    setup(16);
    for (int i = 0; i < 16; i++)
        take();
    give(FIRST + 4);
    pass(REST_S + 1);
    reboot(16, 20);
    ck_assert_int_eq(take(), FIRST + 4);
    ck_assert_int_eq(take(), -EAGAIN);
    pass(REST_S - 20 + 1);
    for (int i = 0; i < 15; i++)
        ck_assert_int_gt(take(), 0);
    teardown();
}
END_TEST

START_TEST(after_a_boot_the_turn_is_put_forward) {
    setup(4000);
    take();
    restart(4000);
    ck_assert_int_eq(take(), FIRST + 1);
    reboot(4000, 20);
    ck_assert_int_eq(take(), FIRST + 2 + 256); /* what was given out last may not be in the file */
    teardown();
    setup(16);
    take();
    reboot(16, 20);
    ck_assert_int_eq(take(), FIRST + 1 + 2);
    teardown();
}
END_TEST

START_TEST(a_clock_that_jumps_makes_no_port_wait_for_long) {
    setup(1);
    give(take());
    wall_s -= 100000;
    restart(1);
    ck_assert_int_eq(take(), -EAGAIN);
    pass(REST_S);
    ck_assert_int_eq(take(), FIRST);
    teardown();
}
END_TEST

START_TEST(another_range_keeps_what_it_has_in_common) {
    struct error err = {0};
    setup(10);
    for (int i = 0; i < 5; i++)
        take();
    give(FIRST + 2);
    ports_close(&ports);
    ck_assert_int_eq(
        ports_open(&ports, path, FIRST + 2, 1, REST_S * 1000, boot, up_s * 1000, wall_s, &err), 0);
    ck_assert_int_eq(take(), -EAGAIN);
    ports_give(&ports, FIRST, up_s * 1000, wall_s); /* of the old range: not ours */
    teardown();
}
END_TEST

START_TEST(a_damaged_file_is_as_none) {
    static const char *const texts[] = {"", "berthpt", "61003\n"};
    setup(10);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        take();
        ports_close(&ports);
        ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, texts[i], strlen(texts[i]), NULL), 0);
        begin(10);
        ck_assert_int_eq(take(), FIRST);
    }
    ports_close(&ports);
    char long_enough[256];
    memset(long_enough, 0xff, sizeof long_enough);
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, long_enough, sizeof long_enough, NULL),
                     0);
    begin(10);
    ck_assert_int_eq(take(), FIRST);
    ports_close(&ports);
    struct error err = {0};
    ck_assert_int_eq(ports_open(&ports, "/proc/none/ports", FIRST, 1, 0, boot, 1, 1, &err),
                     -ENOENT);
    teardown();
}
END_TEST

START_TEST(a_full_disk_gives_no_port) {
    setup(10);
    int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(dup3(fd, ports.fd, O_CLOEXEC), ports.fd);
    close(fd);
    ck_assert_int_eq(take(), -ENOSPC);
    ck_assert_uint_eq(ports.pool.used, 0);
    teardown();
}
END_TEST

/* Whatever happens: no port is somebody's twice, nor within its rest. */
START_TEST(no_port_is_anothers_within_its_rest) {
    enum { COUNT = 12, STEPS = 4000 };
    struct rng rng = {.state = 11};
    uint64_t ended_s[COUNT] = {0};
    bool held[COUNT] = {0};
    setup(COUNT);
    for (int step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)rng_below(&rng, COUNT), what = (unsigned)rng_below(&rng, 40);
        pass(rng_below(&rng, 12));
        if (what == 0) { /* killed: some end meanwhile */
            ports_close(&ports);
            pass(rng_below(&rng, 3));
            for (unsigned n = 0; n < COUNT; n++)
                if (held[n] && rng_below(&rng, 2))
                    held[n] = false, ended_s[n] = wall_s;
            begin(COUNT);
            for (unsigned n = 0; n < COUNT; n++)
                ck_assert(!held[n] || ports_claim(&ports, FIRST + n) == 0);
        } else if (what == 1) {
            for (unsigned n = 0; n < COUNT; n++)
                if (held[n])
                    held[n] = false, ended_s[n] = wall_s;
            boot = boot[35] == '1' ? "8e1b2c9e-0000-4000-8000-000000000002"
                                   : "8e1b2c9e-0000-4000-8000-000000000001";
            up_s = 5 + rng_below(&rng, 100);
            wall_s += up_s;
            restart(COUNT);
        } else if (what < 20 && held[i]) {
            give((int)(FIRST + i));
            held[i] = false, ended_s[i] = wall_s;
        } else {
            int port = take();
            if (port < 0)
                continue;
            i = (unsigned)port - FIRST;
            ck_assert(!held[i]);
            ck_assert_msg(!ended_s[i] || wall_s - ended_s[i] >= REST_S, "port %d after %llu s",
                          port, (unsigned long long)(wall_s - ended_s[i]));
            held[i] = true;
        }
    }
    teardown();
}
END_TEST

RUN_TESTS("container/ports", the_turn_goes_on_in_the_next_agent, and_so_does_a_ports_rest,
          what_nobody_claims_rests_from_the_start_of_the_agent, after_a_boot_it_rests_from_then,
          after_a_boot_the_turn_is_put_forward, a_clock_that_jumps_makes_no_port_wait_for_long,
          another_range_keeps_what_it_has_in_common, a_damaged_file_is_as_none,
          a_full_disk_gives_no_port, no_port_is_anothers_within_its_rest)
