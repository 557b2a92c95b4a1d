/* harness.h - the API in the test's process, without a socket: ask() dispatches one request and
 * waits for its answer. The brain, the logs and staging are fakes that note what they were told. */
#ifndef TESTS_UNIT_API_HARNESS_H
#define TESTS_UNIT_API_HARNESS_H

#include "tests/unit/lib/runner.h"
#undef fail /* Check's old name for ck_abort_msg; ours is in call.h */

#include <jansson.h>

#include "controller/api/internal.h"
#include "controller/lrp/lrp.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_ = (call);                                                                          \
        ck_assert_msg(ok_ == 0, #call ": %d %s", ok_, err.msg);                                    \
    } while (0)

extern struct error err;
extern struct api *api;
extern struct store *store;
extern char state_dir[64];
extern char org_guid[GUID_SIZE], space_guid[GUID_SIZE];
extern char *token; /* the admin's, once log_in() was called */

/* A store with an admin ("admin", "secret"), org "o", space "s", domain "apps.test"; diego_docker
 * as given; logged in. */
void harness_up(bool docker);
void harness_down(void);
void log_in(void);
/* A user without any role, logged in: its token, owned. */
char *other_user(const char *name, char guid[GUID_SIZE]);

struct answer {
    int status;
    char *text, *location; /* owned */
    size_t text_n;
    json_t *json; /* owned; NULL: no JSON */
};
void answer_fini(struct answer *a);

/* The full form; NULL members: none. */
struct question {
    const char *method, *url, *authorization, *type, *body;
    size_t body_n; /* 0: strlen(body) */
};
struct answer ask_full(const struct question *q);
/* As the admin. `body` is JSON with ' for "; NULL: none. */
struct answer ask(const char *method, const char *url, const char *body);
/* The same, and the status must be this one. */
struct answer want(int status, const char *method, const char *url, const char *body);
/* A text in the answer, by path; "" when it is not there. */
const char *text_at(const struct answer *a, const char *path);
/* The first error's code. */
int code_of(const struct answer *a);
const char *detail_of(const struct answer *a);

/* --- what the fakes saw and show -----------------------------------------------------------------
 */

extern unsigned desired_count, desired_all_count, staged_count, restarted_count;
extern char last_desired[GUID_SIZE], last_staged[GUID_SIZE];
extern char last_task[GUID_SIZE]; /* that the brain was told of */
extern char last_command[200];    /* of a task, as packed */
extern int task_refusal;          /* staging_pack_task() fails with it; 0: it does not */
extern bool stage_at_once;        /* staging_start() writes a droplet: default true */
extern bool staging_refuses;      /* staging_start() fails */
extern bool images_refused;       /* staging_check_image() fails */
extern bool impatient;            /* no call is held */
extern struct lrp_actual actuals[8];
extern size_t actual_count;
extern bool settled;        /* the brain */
extern char last_type[100]; /* Content-Type of the last answer */
/* Who follows logs: one at a time. */
bool is_subscribed(void);
void tell_subscriber(const char *source, uint64_t wall_ns, const char *text);
void turn_loop(void); /* what is ready, without waiting */
/* Puts one log line. */
void say(const char *app_guid, const char *source, uint64_t wall_ns, const char *text);

#endif
