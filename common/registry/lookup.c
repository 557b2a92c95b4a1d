/* lookup.c
 *
 *   source -> manifest -> [platform manifest] -> config -> done
 *     ^          |   ^             |               |
 *     |          v   |             |               |
 *     |        401: token          |               |
 *     `-- anything that went wrong: the next source, from the start
 *
 * 429, 5xx and a broken connection are tried again after a while, but only at the last source.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/registry/answer.h"
#include "common/registry/auth.h"
#include "common/registry/digest.h"
#include "common/registry/document.h"
#include "common/registry/source.h"

#define REQUEST_MS     30000
#define MAX_TOKEN_BODY (1u << 20) /* containers/image, internal/iolimits */
#define MAX_BROKEN     3          /* tries of one request whose connection breaks */

enum step { STEP_MANIFEST, STEP_PLATFORM_MANIFEST, STEP_CONFIG };

struct registry_lookup {
    struct http_client *http; /* borrowed */
    struct reference ref;
    struct registry_sources sources;
    struct registry_auth auth;
    struct platform platform;
    struct source_errors errors; /* of the sources before this one */
    size_t source;
    enum step step;
    unsigned tries;               /* of the request that runs */
    struct descriptor want;       /* what the platform manifest or the config must be */
    struct http_request *request; /* in flight, or NULL: `timer` is pending */
    struct event *timer;
    struct registry_image *image; /* as far as it is known */
    void (*done)(struct registry_image *image, const struct error *err, void *arg);
    void *arg;
};

static void lookup_free(struct registry_lookup *l) {
    if (!l)
        return;
    if (l->timer)
        event_free(l->timer);
    registry_auth_fini(&l->auth);
    registry_sources_fini(&l->sources);
    registry_image_free(l->image);
    free(l);
}

static void lookup_freep(struct registry_lookup **l) {
    lookup_free(*l);
}

static const struct registry_source *source_of(const struct registry_lookup *l) {
    return &l->sources.list[l->source];
}

/* --- steps: `l` may be gone when one returns ------------------------------------------------ */

static void step_ask(struct registry_lookup *l);

static void step_end(struct registry_lookup *l, const struct error *err) {
    struct registry_image *image = err ? NULL : TAKE_PTR(l->image);
    void (*done)(struct registry_image *, const struct error *, void *) = l->done;
    void *arg = l->arg;
    lookup_free(l);
    done(image, err, arg);
}

static int begin_source(struct registry_lookup *l, struct error *err) {
    registry_auth_fini(&l->auth);
    registry_image_free(l->image);
    l->step = STEP_MANIFEST;
    l->tries = 0;
    if (!(l->image = mem_zalloc(sizeof *l->image)))
        return error_set(err, -ENOMEM, "out of memory");
    l->image->ref = l->ref;
    return registry_auth_init(&l->auth, source_of(l), l->ref.repository, err);
}

/* This source has failed: the next one, or the end. */
static void step_failed(struct registry_lookup *l, const struct error *why) {
    struct error err = *why;
    while (true) {
        source_errors_add(&l->errors, source_of(l), &err);
        if (l->source + 1 == l->sources.count) {
            source_errors_say(&l->errors, "image", &l->ref, &err);
            step_end(l, &err);
            return;
        }
        l->source++;
        if (begin_source(l, &err) == 0) {
            step_ask(l);
            return;
        }
    }
}

static void step_wait(struct registry_lookup *l, int64_t ms) {
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (event_add(l->timer, &tv) < 0)
        step_failed(l, &(struct error){-ENOMEM, "out of memory"});
}

static int verify(const struct registry_lookup *l, const struct http_response *res,
                  char digest[static DIGEST_SIZE], struct error *err) {
    const char *what = l->step == STEP_CONFIG ? "the config" : "the manifest";
    const char *asked = l->step == STEP_MANIFEST ? l->ref.digest : l->want.digest;
    const char *claimed = l->step == STEP_CONFIG ? NULL : http_header(res, "Docker-Content-Digest");
    if (l->step != STEP_MANIFEST && res->body.n != l->want.size)
        return error_set(err, -EBADMSG, "%s has %zu bytes instead of %llu", what, res->body.n,
                         (unsigned long long)l->want.size);
    if (digest_of(res->body.p, res->body.n, digest) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    if (*asked && !str_eq(asked, digest))
        return error_set(err, -EBADMSG, "%s is not what was asked for: its digest is %s, not %s",
                         what, digest, asked);
    if (claimed && digest_is_valid(claimed) && !str_eq(claimed, digest))
        return error_set(err, -EBADMSG, "%s arrived damaged: its digest is %s, not %s", what,
                         digest, claimed);
    return 0;
}

static int take_manifest(struct registry_lookup *l, struct slice body, const char *digest,
                         struct error *err) {
    struct manifest m = {0};
    int r = manifest_parse(body, &l->platform, &m, err);
    if (r < 0)
        return r;
    if (m.is_index && l->step == STEP_PLATFORM_MANIFEST)
        return error_set(err, -ENOTSUP, "the image index holds another index for this platform");
    l->want = m.next;
    l->step = m.is_index ? STEP_PLATFORM_MANIFEST : STEP_CONFIG;
    if (!m.is_index) {
        l->image->layers = m.layers;
        l->image->layer_count = m.layer_count;
        snprintf(l->image->ref.digest, sizeof l->image->ref.digest, "%s", digest);
    }
    return 0;
}

static void step_arrived(struct registry_lookup *l, const struct http_response *res) {
    char digest[DIGEST_SIZE];
    struct error err = {0};
    bool last = l->step == STEP_CONFIG;
    int r = verify(l, res, digest, &err);
    registry_auth_accepted(&l->auth);
    l->tries = 0;
    if (r == 0)
        r = last ? image_config_parse(res->body, &l->platform, l->image, &err)
                 : take_manifest(l, res->body, digest, &err);
    if (r < 0)
        step_failed(l, &err);
    else if (last)
        step_end(l, NULL);
    else
        step_ask(l);
}

/* Tries again after a while if that may help; else false. */
static bool step_again(struct registry_lookup *l, const struct http_response *res) {
    int64_t wait = -1;
    if (l->source + 1 < l->sources.count)
        return false; /* another source will know sooner */
    if (!res->error)
        wait = answer_retry_ms(res->status, res->headers, l->tries);
    else if (res->error->code == -ECONNRESET && l->tries < MAX_BROKEN)
        wait = 0;
    if (wait >= 0)
        step_wait(l, wait);
    return wait >= 0;
}

static void on_token(const struct http_response *res, void *arg) {
    struct registry_lookup *l = arg;
    struct error err = {0};
    l->request = NULL;
    if (step_again(l, res))
        return; /* begins with a new challenge */
    if (res->error)
        step_failed(l, res->error);
    else if (registry_auth_token(&l->auth, res->status, res->body, &err) < 0)
        step_failed(l, &err);
    else
        step_ask(l);
}

static void step_challenged(struct registry_lookup *l, const struct http_response *res) {
    const struct registry_source *source = source_of(l);
    enum auth_next next;
    struct error err = {0};
    int r = registry_auth_challenged(&l->auth, res->headers, res->body, &next, &err);
    if (r == 0 && next == AUTH_FETCH_TOKEN) {
        struct http_options options = {
            .url = l->auth.token_url,
            .ca_file = source->ca_file,
            .ca_option = source->ca_option,
            .username = source->username,
            .password = source->password,
            .guarded = true,
            .may_reach = res->reached,
            .timeout_ms = REQUEST_MS,
            .max_body = MAX_TOKEN_BODY,
        };
        r = http_send(l->http, &options, on_token, l, &l->request, &err);
    } else if (r == 0) {
        step_ask(l);
        return;
    }
    if (r < 0)
        step_failed(l, &err);
}

static void on_answer(const struct http_response *res, void *arg) {
    struct registry_lookup *l = arg;
    struct error err = {0};
    l->request = NULL;
    if (step_again(l, res))
        return;
    if (res->error) {
        step_failed(l, res->error);
    } else if (res->status == 401) {
        step_challenged(l, res);
    } else if (res->status == 200) {
        step_arrived(l, res);
    } else {
        answer_error(res->status, res->body, &err);
        step_failed(l, &err);
    }
}

static void step_ask(struct registry_lookup *l) {
    const struct registry_source *source = source_of(l);
    const char *headers[] = {DOCUMENT_ACCEPT, l->auth.header, NULL};
    struct error err = {0};
    _cleanup_(freep) char *url =
        str_printf("https://%s/v2/%s/%s/%s", source->host, l->ref.repository,
                   l->step == STEP_CONFIG ? "blobs" : "manifests",
                   l->step == STEP_MANIFEST ? reference_version(&l->ref) : l->want.digest);
    if (l->step == STEP_CONFIG)
        headers[0] = "Accept: application/octet-stream, */*";
    struct http_options options = {
        .url = url,
        .headers = headers,
        .ca_file = source->ca_file,
        .ca_option = source->ca_option,
        .follow_redirects = true,
        .guarded = true,
        .may_reach = source->may_reach,
        .timeout_ms = REQUEST_MS,
        .max_body = DOCUMENT_MAX_BYTES,
    };
    l->tries++;
    int r = url ? http_send(l->http, &options, on_answer, l, &l->request, &err)
                : error_set(&err, -ENOMEM, "out of memory");
    if (r < 0)
        step_failed(l, &err);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    step_ask(arg);
}

/* --- the module's interface ----------------------------------------------------------------- */

int registry_lookup(struct http_client *http, const struct registry_config *config,
                    const struct reference *ref, const struct registry_credentials *credentials,
                    void (*done)(struct registry_image *image, const struct error *err, void *arg),
                    void *arg, struct registry_lookup **ret, struct error *err) {
    static const struct timeval now;
    int r = registry_allowed(config, ref, err);
    if (r < 0)
        return r;
    _cleanup_(lookup_freep) struct registry_lookup *l = mem_zalloc(sizeof *l);
    if (!l)
        return error_set(err, -ENOMEM, "out of memory");
    l->http = http;
    l->ref = *ref;
    l->done = done;
    l->arg = arg;
    l->platform = platform_host();
    l->timer = evtimer_new(http_client_loop(http), on_timer, l);
    if (!l->timer || registry_sources_find(config, ref, credentials, &l->sources) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    if ((r = begin_source(l, err)) < 0)
        return r;
    if (event_add(l->timer, &now) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    if (ret)
        *ret = l;
    TAKE_PTR(l);
    return 0;
}

void registry_lookup_cancel(struct registry_lookup *l) {
    if (l && l->request)
        http_cancel(l->request);
    lookup_free(l);
}
