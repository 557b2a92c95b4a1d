/* v2_words.h - the words in which the tests of API v2 ask and look at answers. */
#ifndef TESTS_UNIT_API_V2_WORDS_H
#define TESTS_UNIT_API_V2_WORDS_H

#include "tests/unit/api/harness.h"

__attribute__((format(printf, 4, 5))) struct answer wantf(int status, const char *method,
                                                          const char *body, const char *fmt, ...);
void drop(struct answer a);
json_t *resource(const struct answer *a, size_t i);
const char *text(const json_t *at, const char *path); /* "" when it is not there */
int64_t number(const json_t *at, const char *path);
/* {"code","error_code","description"}, `description` being NULL for any; frees the answer. */
void refused(struct answer a, int code, const char *error_code, const char *description);

void shared_domain(char guid[GUID_SIZE]);
/* `push NAME -o IMAGE --no-start` of 6.53: app, route, mapping. */
void create(const char *name, char app[GUID_SIZE], char route[GUID_SIZE]);
struct answer set_state(const char *app, const char *state);
void running(size_t n); /* instances */

/* The main() of such tests, with diego_docker on and off; lists end with NULL, `off` may be it. */
int run_v2_tests(const char *name, const TTest *const *on, const TTest *const *off);

#endif
