#include "common/registry/answer.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/http/transport.h"
#include "common/registry/printable.h"

#define FIRST_WAIT_MS 500   /* doubled with each try */
#define MAX_WAIT_MS   60000 /* containers/image: backoffMaxDelay */
#define MAX_BODY      65536 /* more is no error message */

/* The first message of {"errors": [{"code", "message"}]}, or a token server's {"details"}. */
static void server_words(struct slice body, char *buf, size_t size) {
    const char *words = NULL;
    json_t *root =
        body.n <= MAX_BODY ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *first = json_array_get(json_object_get(root, "errors"), 0);
    if (!(words = json_string_value(json_object_get(first, "message"))) || !*words)
        words = json_string_value(json_object_get(first, "code"));
    if (!words)
        words = json_string_value(json_object_get(root, "details"));
    printable(words, buf, size);
    json_decref(root);
}

int answer_error(int status, struct slice body, struct error *err) {
    char words[160];
    server_words(body, words, sizeof words);
    const char *sep = *words ? ": " : "";
    if (status == 404)
        return error_set(err, -ENOENT, "%s", *words ? words : "not found");
    if (status == 401 || status == 403)
        return error_set(err, -EACCES, "access is denied%s%s", sep, words);
    if (status == 429)
        return error_set(err, -EAGAIN, "too many requests%s%s", sep, words);
    if (status >= 500)
        return error_set(err, -EAGAIN, "the registry is in trouble, it answered %d%s%s", status,
                         sep, words);
    return error_set(err, -EPROTO, "unexpected answer %d%s%s", status, sep, words);
}

/* Seconds or an HTTP date (RFC 9110 section 10.2.3); -1 when there is none. */
static int64_t retry_after_ms(const char *const *headers) {
    const char *value = transport_header(headers, "Retry-After", 0);
    uint64_t seconds;
    if (!value)
        return -1;
    if (parse_u64_slice(slice_trim(slice_of(value)), 0, UINT32_MAX, &seconds) == 0)
        return (int64_t)seconds * 1000;
    time_t when = curl_getdate(value, NULL), now = time(NULL);
    return when < 0 ? -1 : when > now ? (int64_t)(when - now) * 1000 : 0;
}

int64_t answer_retry_ms(int status, const char *const *headers, unsigned tries) {
    if ((status != 429 && status < 500) || tries >= ANSWER_MAX_TRIES)
        return -1;
    int64_t wait = retry_after_ms(headers);
    if (wait < 0)
        wait = (int64_t)FIRST_WAIT_MS << MIN(tries ? tries - 1 : 0, 10);
    return MIN(wait, MAX_WAIT_MS);
}
