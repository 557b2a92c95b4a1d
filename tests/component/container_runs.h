/* container_runs.h - containers made, waited for and looked at: the words in which the checks of
 * containers are said. One engine at a time.
 *
 * What returns bool has said in t.why what is wrong when it is false. */
#ifndef TESTS_COMPONENT_CONTAINER_RUNS_H
#define TESTS_COMPONENT_CONTAINER_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/container/container.h"
#include "common/base/error.h"

struct event_base;

enum {
    ID_BASE = 1100000000,
    ID_RANGE = 65536,
    PORT_FIRST = 22500,
    PORT_COUNT = 400,
    MIB = 1 << 20,
    WAIT_MS = 60000,
};

#define NAME    "bctt" /* of the engine: its bridge, nftables table and cgroups begin with it */
#define SUBNET  "10.218.0.0/20"
#define HOST_IP "198.51.100.1"

extern struct runs {
    const char *dir, *run_dir, *world, *base, *top; /* as on the command line */
    struct event_base *loop;
    struct container_engine *engine;
    char why[1024];
    unsigned next_id;
} t;

bool fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return fail(__VA_ARGS__);                                                              \
    } while (0)

/* --- checks --- */

struct check {
    const char *name;
    bool (*run)(void);
};
#define CHECK_ROW(name)                                                                            \
    { #name, name }

/* Lists end with NULL. The second one's checks come last: they look at what the first one's left.
 */
extern const struct check checks_of_life[], checks_of_remains[];

/* Another engine, with what a failed check left gone. */
void start_over(void);

/* --- the engine --- */

bool start_engine(void);
void stop_engine(void);

/* --- containers --- */

/* One container and what became of it. */
struct run {
    struct container *c;
    struct container_exit end;
    struct error error;
    char log[16384];
    unsigned ended; /* times told */
    bool created, removed;
};

struct wish {
    const char *script; /* for /bin/sh -c */
    const char *user, *workdir, *stop_signal, *id;
    const char *const *argv; /* instead of script */
    uint64_t memory, disk;
    uint32_t pids;
    uint16_t port;
};

bool begin(struct run *run, const struct wish *wish);
bool create(struct run *run, const struct wish *wish);
bool destroy(struct run *run);
/* From creation to removal; the script must end by itself. */
bool run_once(struct run *run, const struct wish *wish);

/* Steps the loop until it holds. */
bool until(bool (*holds)(void *arg), void *arg);
bool is_created(void *run);
bool is_ended(void *run);
bool log_has_line(void *run); /* or it ended */

/* run->log becomes its output so far, both streams, without conmon's heads. */
void read_log(struct run *run);
bool says(const struct run *run, const char *text);
/* The number that follows `key` in the log, 0 when there is none. */
unsigned long long number_after(const struct run *run, const char *key);

/* --- connections from here --- */

struct target {
    const char *ip;
    unsigned port;
};

/* One GET / within a second: the answer begins with HTTP status 200. */
bool get(const char *ip, unsigned port);
bool answers(void *target); /* get(), to wait for */

#endif
