/* challenge.h - WWW-Authenticate: what a registry wants to see before it answers (RFC 9110 section
 * 11.6.1; the Bearer parameters are those of the distribution token specification). */
#ifndef COMMON_REGISTRY_CHALLENGE_H
#define COMMON_REGISTRY_CHALLENGE_H

#include <stddef.h>

enum challenge_scheme { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_scheme scheme;
    char realm[1024]; /* "" when absent or too long */
    char service[256];
    char error[64]; /* "insufficient_scope", "invalid_token" */
};

/* The challenges in one header's value, at most `max` of them; a value that is not well formed ends
 * the list. Returns how many. */
size_t challenge_parse(const char *value, struct challenge *ret, size_t max);

#endif
