/* instance_world.h - an instance between fakes: an image store, a container engine and a health
 * check that do what the test says, a clock that the test turns. */
#ifndef TESTS_UNIT_CELL_INSTANCE_WORLD_H
#define TESTS_UNIT_CELL_INSTANCE_WORLD_H

#include "tests/unit/lib/runner.h"

#include "cell/instance.h"
#include "common/base/str.h"

struct container {
    void *owner;
};

struct world {
    struct instance *in;
    uint64_t now_ms;
    /* what is under way, and how often things were asked for */
    struct image_pull_ops pulling;
    bool has_pull, pull_refused;
    void (*create_done)(void *, struct container *, const struct error *);
    void *create_arg;
    int (*before_start)(void *, struct error *);
    bool create_refused;
    void (*destroy_done)(void *, const struct error *);
    void *destroy_arg;
    struct health_callbacks health;
    struct health_config health_config;
    bool has_health;
    struct container container;
    bool has_container;
    int creates, made, destroys, gone, stops, kills, leases, follows, unfollows;
    int finals; /* outcomes kept */
    bool keep_fails;
    Berth__InstanceState last_told;
    struct strbuf lines, states;
    Berth__InstanceRecord *record; /* as kept */
};

extern struct world *w; /* the fakes' one world: a test is a process of its own */

void setup(struct world *world);      /* with an instance of a process, reserved */
void setup_task(struct world *world); /* with one of a task */
void teardown(void);

/* What was under way ends. */
void pulled(void);
void pull_fails(int code, const char *msg);
void created(void);
void create_fails(int code, const char *msg);
void destroyed(bool well);
void exits(int status, bool oom);
void run(void); /* from RESERVED to RUNNING */
void pass(uint64_t ms);

/* What was told. */
bool said(const char *line);
Berth__ActualLrp told(void);

#endif
