/* answer.h - what a registry's or token server's refusal means, and whether to ask again. */
#ifndef COMMON_REGISTRY_ANSWER_H
#define COMMON_REGISTRY_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/str.h"

#define ANSWER_MAX_TRIES 5 /* of one request that is answered 429 or 5xx (containers/image: 5) */

/* The error for an answer that is not a success: -ENOENT (404), -EACCES (401, 403), -EAGAIN (429,
 * 5xx), -EPROTO. The text carries the registry's own words, made safe to show. */
int answer_error(int status, struct slice body, struct error *err);

/* Milliseconds to wait before try number `tries` + 1, or -1 when it is not worth asking again.
 * `headers` as in http_response; Retry-After is honoured up to a minute. */
int64_t answer_retry_ms(int status, const char *const *headers, unsigned tries);

#endif
