/* Random sequences: apps come, go, scale and change; containers crash; cells are cut off, emptied,
 * reboot and return; the controller restarts; any request or answer may be lost. At every step what
 * must always hold holds, and when the faults end all that is desired runs, once. */
#include "tests/unit/lrp/cluster.h"

#define PROCESSES 5
#define STEPS     1500

struct wish {
    uint32_t instances; /* 0: not desired */
    unsigned version;
    uint32_t memory_mb;
};

static struct cluster c;
static struct wish wishes[PROCESSES];

static void wish_tell(size_t i) {
    char name[8], version[16];
    snprintf(name, sizeof name, "p%zu", i);
    snprintf(version, sizeof version, "v%u", wishes[i].version);
    if (wishes[i].instances)
        cluster_desire(&c, name, version, wishes[i].instances, wishes[i].memory_mb);
    else
        lrp_undesire(c.lrp, name, c.now);
}

static void change_a_wish(struct rng *rng) {
    size_t i = rng_below(rng, PROCESSES);
    struct wish *w = &wishes[i];
    if (rng_below(rng, 3) == 0) {
        w->version++;
        w->memory_mb = 10 * (uint32_t)(1 + rng_below(rng, 5));
    }
    w->instances = (uint32_t)rng_below(rng, 7);
    if (w->memory_mb == 0)
        w->memory_mb = 10;
    wish_tell(i);
}

static void hurt_a_cell(struct rng *rng) {
    struct sim_cell *s = &c.cells[rng_below(rng, c.cell_count)];
    switch (rng_below(rng, 5)) {
    case 0:
        s->cut = !s->cut;
        break;
    case 4:
        s->evacuating = !s->evacuating;
        break;
    case 1: /* the cell's daemon restarts: adopts its containers, knows no version */
        s->session = false;
        s->version = 0;
        for (size_t i = 0; i < s->n; i++)
            s->containers[i].assigned = false;
        break;
    case 2: /* the host lost everything */
        s->session = false;
        s->version = 0;
        s->n = 0;
        break;
    default:
        if (s->n) {
            struct container *k = &s->containers[rng_below(rng, s->n)];
            if (!container_ended(k)) {
                k->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
                k->fault = rng_below(rng, 3) == 0;
            }
        }
    }
}

static void talk(struct rng *rng) {
    struct sim_cell *s = &c.cells[rng_below(rng, c.cell_count)];
    if (s->cut) {
        s->session = false;
        return;
    }
    bool lose = rng_below(rng, 4) == 0;
    switch (rng_below(rng, 3)) {
    case 0:
        cell_report(&c, s, lose);
        break;
    case 1:
        cell_watch(&c, s, 1 + (int)rng_below(rng, 6), lose);
        break;
    default:
        cell_progress(&c, s);
    }
}

static void restart_the_controller(void) {
    cluster_restart_brain(&c);
    for (size_t i = 0; i < PROCESSES; i++)
        if (wishes[i].instances)
            wish_tell(i);
    lrp_desired_complete(c.lrp, c.now);
}

/* Endpoints lead to instances that the brain believes to be running, one an index. */
static void check_routes(void) {
    for (size_t i = 0; i < c.route_count; i++)
        for (size_t k = 0; k < c.routes[i].endpoints; k++) {
            const struct instance *in = instance_find(c.lrp, c.routes[i].guids[k]);
            must(in != NULL);
            must(in->state == LRP_RUNNING);
            must(in->role != ROLE_NONE);
            for (size_t other = 0; other < k; other++)
                must(!str_eq(c.routes[i].guids[k], c.routes[i].guids[other]));
        }
}

static void step(struct rng *rng) {
    uint64_t dice = rng_below(rng, 1000);
    if (dice < 60)
        change_a_wish(rng);
    else if (dice < 160)
        hurt_a_cell(rng);
    else if (dice < 165)
        restart_the_controller();
    else if (dice < 180)
        lrp_restart_instance(c.lrp, "p1", (uint32_t)rng_below(rng, 4), c.now);
    else
        talk(rng);
    if (rng_below(rng, 3) == 0)
        c.now += rng_below(rng, 3000);
    cluster_converge(&c);
    cluster_check(&c);
    if (rng_below(rng, 2) && lrp_is_settled(c.lrp)) {
        router_watch(&c, 1 + (int)rng_below(rng, 4));
        check_routes();
    }
}

/* All that is wished for runs, each index once, and nothing else does. */
static void check_converged(uint64_t seed) {
    size_t wanted = 0, running = 0;
    for (size_t i = 0; i < PROCESSES; i++) {
        char process_guid[32], host[32];
        wanted += wishes[i].instances;
        snprintf(process_guid, sizeof process_guid, "p%zu-v%u", i, wishes[i].version);
        snprintf(host, sizeof host, "p%zu.example", i);
        const struct sim_route *r = route_find(&c, host);
        ck_assert_msg(wishes[i].instances ? r && r->endpoints == wishes[i].instances : !r,
                      "seed %llu: route of p%zu", (unsigned long long)seed, i);
        for (uint32_t k = 0; k < wishes[i].instances; k++)
            ck_assert_msg(container_of(&c, process_guid, k, NULL) != NULL, "seed %llu: %s %u",
                          (unsigned long long)seed, process_guid, k);
    }
    for (size_t i = 0; i < c.cell_count; i++)
        running += c.cells[i].n;
    ck_assert_msg(running == wanted, "seed %llu: %zu containers for %zu wished",
                  (unsigned long long)seed, running, wanted);
    for (size_t i = 0; i < c.lrp->cell_count; i++)
        ck_assert_uint_eq(c.lrp->cells[i]->tombstones, 0);
}

START_TEST(everything_converges_after_any_sequence_of_faults) {
    uint64_t moves = 0, given_back = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rng rng = {seed};
        memset(wishes, 0, sizeof wishes);
        cluster_init(&c, 1 + seed % 5, 4000);
        lrp_free(c.lrp);
        c.config.drain_ms = seed % 3 * 1500;
        c.config.spread_quiet_ms = seed % 4 * 1000; /* in some of them instances are moved, too */
        for (size_t i = 0; i < c.cell_count; i++)
            c.cells[i].zone = i < c.cell_count / 2 ? "z1" : "z2";
        cluster_brain(&c);
        lrp_desired_complete(c.lrp, c.now);
        for (int i = 0; i < STEPS; i++)
            step(&rng);
        for (size_t i = 0; i < c.cell_count; i++)
            c.cells[i].cut = c.cells[i].evacuating = false;
        cluster_run(&c, 1100); /* longer than the longest back-off */
        cluster_check(&c);
        check_routes();
        check_converged(seed);
        moves += c.lrp->counters.spread_moves;
        given_back += c.lrp->counters.spread_given_back;
        cluster_fini(&c);
    }
    ck_assert_uint_gt(moves, 100);
    ck_assert_uint_gt(given_back, 10);
}
END_TEST

RUN_TESTS("lrp/cluster", everything_converges_after_any_sequence_of_faults)
