/* store_world.h - a layer cache between a registry in memory, whose blobs come when the test lets
 * them, and a directory of its own. */
#ifndef TESTS_UNIT_IMAGE_STORE_WORLD_H
#define TESTS_UNIT_IMAGE_STORE_WORLD_H

#include "tests/unit/image/archive_maker.h"
#include "tests/unit/lib/runner.h"

#include <event2/event.h>

#include "cell/image/image.h"
#include "cell/image/source.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

/* --- the registry ----------------------------------------------------------------------------- */

#define BLOBS 8

extern struct blob {
    struct strbuf bytes;
    char digest[72], diff_id[72];
    bool closed_gate; /* reads wait after the first half */
    int fail;         /* negative: open fails so */
    unsigned opened;
} blobs[BLOBS];

/* A layer with one file, "fN", of n bytes: its number. */
size_t add_blob(size_t n);
size_t blobs_made(void);
void set_gate(size_t i, bool closed);
unsigned opened(size_t i); /* how often */

/* What the store asks; from the registry named "dead" nothing comes. */
extern const struct layer_source registry_in_memory;

/* --- the store under test --------------------------------------------------------------------- */

extern char dir[64];
extern struct event_base *loop;
extern struct image_store *store;
extern struct image_limits limits; /* of the next one opened */
extern bool keeps_blobs;
extern bool content_is_blamed; /* once: another try makes sense */

void open_store(void);
void close_store(void);
void reopen_store(void);

/* Runs the loop until `what` holds, or fails the test. */
#define WAIT_MS 20000
#define wait_until(what)                                                                           \
    do {                                                                                           \
        uint64_t give_up_ms = clock_mono_ms() + WAIT_MS;                                           \
        while (!(what)) {                                                                          \
            ck_assert_msg(clock_mono_ms() < give_up_ms, "never: %s", #what);                       \
            event_base_loop(loop, EVLOOP_NONBLOCK);                                                \
            usleep(500);                                                                           \
        }                                                                                          \
    } while (0)

struct outcome {
    bool done;
    struct image_lease *lease;
    struct error err;
    uint64_t told_done, told_total;
};
void on_progress(void *outcome, uint64_t done_bytes, uint64_t total_bytes);
void on_done(void *outcome, struct image_lease *lease, const struct error *err);

/* Whose images are, "library/test" and without a password unless a test says otherwise. */
extern char *repository, *password;
/* An image of these blobs is pulled: begun, and to its end. */
struct image_pull *start_from(char *registry, struct outcome *o, const size_t *which, size_t n);
struct image_pull *start(struct outcome *o, const size_t *which, size_t n);
struct image_lease *pull(const size_t *which, size_t n);

/* --- blobs for other cells --- */

void keep_blobs(void); /* the store does, from now on */
void keep(const size_t *which, size_t n);
/* What the store says is here, from watch() on: "+b0 " everybody's blob 0, "-t1:private/a " the
 * tree of blob 1 no more, for that repository. */
extern char changes[4096];
void watch(void);

struct image_store_stats stats(void);
size_t count_entries(const char *sub);
bool layer_there(size_t i);

/* The main() of such tests. */
int run_store_tests(const char *name, const TTest *const *tests, size_t n);

#endif
