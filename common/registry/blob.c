/* blob.c - a blob's bytes, pulled by the reader.
 *
 * Nothing runs between two reads: registry_blob_read() drives the transfer itself, and curl hands
 * each decrypted record straight into the reader's buffer; only what does not fit waits in `spill`,
 * and while something waits there curl is paused. So a slow reader slows the sender, memory is
 * bounded, and there is one copy and no other thread.
 *
 * A transfer that breaks is resumed with Range where it ended, at the same source and then at the
 * next: the digest is the content's, whoever sends it.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/transport.h"
#include "common/registry/answer.h"
#include "common/registry/auth.h"
#include "common/registry/digest.h"
#include "common/registry/link.h"
#include "common/registry/registry.h"
#include "common/registry/source.h"

#define READ_BUFFER      (512L * 1024)
#define POLL_MS          200 /* how often `stop` is looked at */
#define STALL_MS         30000
#define STALL_BYTES      (30 * 1024) /* fewer than these in STALL_MS of waiting: it stalls */
#define TOKEN_MS         30000L
#define MAX_COLLECTED    (1u << 20) /* of a token or an error */
#define MAX_TRIES        5          /* of one source without progress */
#define PROGRESS_BYTES   (1u << 20) /* this much more received: the tries count anew */
#define FIRST_WAIT_MS    250        /* before a second try; doubled */
#define MAX_UNAUTHORIZED 2

enum answer_kind {
    ANSWER_NONE, /* not come yet */
    ANSWER_BLOB, /* 200 or 206: the body is the blob */
    ANSWER_TEXT, /* the body is collected: an error or a token */
};

struct registry_blob {
    struct reference ref;
    char digest[DIGEST_SIZE];
    uint64_t size;
    const volatile bool *stop; /* borrowed; may be NULL */
    struct registry_sources sources;
    size_t source;
    struct registry_auth auth;
    struct source_errors errors;
    unsigned tries;
    uint64_t tried_at; /* `received` when the tries were counted last */

    /* one transfer */
    struct link *link;
    struct transport transport;
    unsigned may_reach; /* where its first host may be */
    struct curl_slist *headers;
    bool running, paused;
    CURLcode result; /* once it does not run any more */
    enum answer_kind answer;
    bool collect;        /* whatever comes is text: a token */
    struct strbuf text;  /* ANSWER_TEXT */
    uint64_t skip;       /* of a whole blob that was sent instead of its rest */
    struct error refuse; /* why on_data() ended the transfer */
    uint64_t waited_ms, waited_at;

    /* the bytes */
    EVP_MD_CTX *md;
    uint64_t received;
    char *dst; /* the reader's, during a read */
    size_t dst_n, dst_used;
    size_t spill_at, spill_n;
    struct error failed; /* reads give this from now on */
    bool verified;
    char spill[CURL_MAX_WRITE_SIZE];
};

static const struct registry_source *source_of(const struct registry_blob *b) {
    return &b->sources.list[b->source];
}

/* --- what curl hands over --------------------------------------------------------------------- */

static int refuse(struct registry_blob *b, int code, const char *what, uint64_t got) {
    return error_set(&b->refuse, code, "the blob has %s%llu bytes instead of %llu", what,
                     (unsigned long long)got, (unsigned long long)b->size);
}

/* The first byte of a body: what is it? */
static int classify(struct registry_blob *b) {
    CURL *easy = b->link->easy;
    struct curl_header *range;
    long status = 0;
    curl_off_t length = -1;
    unsigned long long start;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    b->answer = !b->collect && (status == 200 || status == 206) ? ANSWER_BLOB : ANSWER_TEXT;
    if (b->answer == ANSWER_TEXT)
        return 0;
    if (status == 200) {
        b->skip = b->received;
        start = 0;
    } else if (curl_easy_header(easy, "Content-Range", 0, CURLH_HEADER, -1, &range) != CURLHE_OK ||
               sscanf(range->value, "bytes %llu-", &start) != 1 || start != b->received) {
        return error_set(&b->refuse, -EPROTO, "it sent another part than the one asked for");
    }
    if (length >= 0 && (uint64_t)length != b->size - start)
        return refuse(b, (uint64_t)length > b->size - start ? -EFBIG : -EBADMSG, "",
                      (uint64_t)length + start);
    return 0;
}

static size_t take_blob(struct registry_blob *b, const char *p, size_t n) {
    size_t skip = (size_t)MIN((uint64_t)n, b->skip);
    const char *from = p + skip;
    size_t left = n - skip;
    if (left > b->size - b->received) {
        refuse(b, -EFBIG, "more than ", b->size);
        return CURL_WRITEFUNC_ERROR;
    }
    size_t direct = MIN(left, b->dst_n - b->dst_used);
    if (direct > 0)
        memcpy(b->dst + b->dst_used, from, direct);
    b->dst_used += direct;
    if (left - direct > sizeof b->spill)
        return CURL_WRITEFUNC_ERROR; /* curl promises no more than CURL_MAX_WRITE_SIZE at a time */
    memcpy(b->spill, from + direct, left - direct);
    b->spill_at = 0;
    b->spill_n = left - direct;
    b->skip -= skip;
    b->received += left;
    return n;
}

static size_t on_data(char *p, size_t size, size_t n, void *arg) {
    struct registry_blob *b = arg;
    if (b->answer == ANSWER_NONE && classify(b) < 0)
        return CURL_WRITEFUNC_ERROR;
    if (b->answer == ANSWER_TEXT) {
        if (n > MAX_COLLECTED - b->text.n) {
            error_set(&b->refuse, -EFBIG, "the answer is too large");
            return CURL_WRITEFUNC_ERROR;
        }
        strbuf_add(&b->text, p, n);
        return n;
    }
    if (b->spill_n > 0) {
        b->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return take_blob(b, p, n);
}

static void drain_spill(struct registry_blob *b) {
    size_t n = MIN(b->spill_n, b->dst_n - b->dst_used);
    if (n == 0)
        return;
    memcpy(b->dst + b->dst_used, b->spill + b->spill_at, n);
    b->dst_used += n;
    b->spill_at += n;
    b->spill_n -= n;
}

/* --- one transfer ----------------------------------------------------------------------------- */

static bool stopped(const struct registry_blob *b) {
    return b->stop && *b->stop;
}

static int canceled(struct error *err) {
    return error_set(err, -ECANCELED, "the download was stopped");
}

static void end_transfer(struct registry_blob *b, CURLcode result) {
    if (b->running)
        curl_multi_remove_handle(b->link->multi, b->link->easy);
    b->running = false;
    b->paused = false;
    b->result = result;
}

/* Starts a GET of `url`; what came before it on this link is over. */
static int start(struct registry_blob *b, const char *url, const char *authorization,
                 const char *username, const char *password, struct error *err) {
    CURL *easy = b->link->easy;
    CURLcode rc = CURLE_OK;
    char range[32];
    snprintf(range, sizeof range, "%llu-", (unsigned long long)b->received);
    end_transfer(b, CURLE_OK);
    curl_easy_reset(easy);
    curl_slist_free_all(b->headers);
    b->headers = NULL;
    strbuf_clear(&b->text);
    b->answer = ANSWER_NONE;
    b->refuse = (struct error){0};
    b->skip = 0;
    b->waited_ms = 0;
    b->waited_at = b->received;
    b->transport = (struct transport){
        .ca_file = source_of(b)->ca_file,
        .ca_option = source_of(b)->ca_option,
        .follow_redirects = !username,
        .reach = {.guarded = true, .first = b->may_reach},
    };
    int r = transport_setup(easy, &b->transport, url, err);
    if (r < 0)
        return r;
    if (authorization && !(b->headers = curl_slist_append(NULL, authorization)))
        return error_set(err, -ENOMEM, "out of memory");
#define SET(option, value) (rc = rc ? rc : curl_easy_setopt(easy, CURLOPT_##option, (value)))
    SET(BUFFERSIZE, READ_BUFFER);
    SET(WRITEFUNCTION, on_data);
    SET(WRITEDATA, b);
    SET(HTTPHEADER, b->headers);
    if (username) {
        SET(HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(USERNAME, username);
        SET(PASSWORD, password);
    }
    if (b->collect)
        SET(TIMEOUT_MS, TOKEN_MS);
    else if (b->received > 0)
        SET(RANGE, range);
#undef SET
    if (rc != CURLE_OK || curl_multi_add_handle(b->link->multi, easy) != CURLM_OK)
        return error_set(err, -ENOMEM, "out of memory");
    b->running = true;
    return 0;
}

/* Notes that POLL_MS passed without anything to do; ends a transfer that stalls. */
static void note_wait(struct registry_blob *b, uint64_t ms) {
    b->waited_ms += ms;
    if (b->waited_ms < STALL_MS)
        return;
    if (b->received - b->waited_at < STALL_BYTES)
        end_transfer(b, CURLE_OPERATION_TIMEDOUT);
    b->waited_ms = 0;
    b->waited_at = b->received;
}

/* Lets curl do what can be done at once. */
static void perform(struct registry_blob *b) {
    CURLMsg *msg;
    int n;
    if (b->paused && b->spill_n == 0) {
        b->paused = false;
        curl_easy_pause(b->link->easy, CURLPAUSE_CONT);
    }
    curl_multi_perform(b->link->multi, &n);
    while ((msg = curl_multi_info_read(b->link->multi, &n)))
        if (msg->msg == CURLMSG_DONE) {
            end_transfer(b, msg->data.result);
            break;
        }
}

static void wait_for_more(struct registry_blob *b) {
    uint64_t before = clock_mono_ms();
    curl_multi_poll(b->link->multi, NULL, 0, POLL_MS, NULL);
    note_wait(b, clock_mono_ms() - before);
}

/* Until the blob's first byte, or the end of whatever else came. */
static int run_to_answer(struct registry_blob *b, struct error *err) {
    while (b->running) {
        if (stopped(b))
            return canceled(err);
        perform(b);
        if (b->answer == ANSWER_BLOB)
            return 0;
        if (b->running)
            wait_for_more(b);
    }
    return 0;
}

static int nap(struct registry_blob *b, uint64_t ms, struct error *err) {
    for (uint64_t end = clock_mono_ms() + ms, now; (now = clock_mono_ms()) < end;) {
        if (stopped(b))
            return canceled(err);
        int slice_ms = (int)MIN(end - now, (uint64_t)POLL_MS);
        curl_multi_poll(b->link->multi, NULL, 0, slice_ms, NULL);
    }
    return 0;
}

/* Why a transfer that does not run any more is no success. */
static int transfer_error(const struct registry_blob *b, struct error *err) {
    if (b->refuse.code)
        return error_set(err, b->refuse.code, "%s", b->refuse.msg);
    return transport_error(b->link->easy, b->result, &b->transport, err);
}

/* --- one source ------------------------------------------------------------------------------- */

static struct slice text_of(const struct registry_blob *b) {
    return (struct slice){b->text.p ? b->text.p : "", b->text.n};
}

static int fetch_token(struct registry_blob *b, struct error *err) {
    const struct registry_source *source = source_of(b);
    long status = 0;
    b->collect = true;
    b->may_reach = b->transport.reach.at; /* who sends us there */
    int r = start(b, b->auth.token_url, NULL, source->username, source->password, err);
    if (r == 0)
        r = run_to_answer(b, err);
    b->collect = false;
    if (r < 0)
        return r;
    if (b->result != CURLE_OK)
        return transfer_error(b, err);
    curl_easy_getinfo(b->link->easy, CURLINFO_RESPONSE_CODE, &status);
    return registry_auth_token(&b->auth, (int)status, text_of(b), err);
}

static int answer_challenge(struct registry_blob *b, const char *const *headers,
                            struct error *err) {
    enum auth_next next;
    int r = registry_auth_challenged(&b->auth, headers, text_of(b), &next, err);
    return r == 0 && next == AUTH_FETCH_TOKEN ? fetch_token(b, err) : r;
}

/* Asks this source for the rest of the blob: 0 once it comes; else the error, and in *ret_wait how
 * long to wait before the source is worth another try (-1: it is not). */
static int ask(struct registry_blob *b, int64_t *ret_wait, struct error *err) {
    _cleanup_(freep) char *url =
        str_printf("https://%s/v2/%s/blobs/%s", source_of(b)->host, b->ref.repository, b->digest);
    *ret_wait = -1;
    if (!url)
        return error_set(err, -ENOMEM, "out of memory");
    for (unsigned round = 0;; round++) {
        _cleanup_(freep) char **headers = NULL;
        long status = 0;
        int r;
        b->may_reach = source_of(b)->may_reach;
        if ((r = start(b, url, b->auth.header, NULL, NULL, err)) < 0 ||
            (r = run_to_answer(b, err)) < 0)
            return r;
        if (b->answer == ANSWER_BLOB && !b->refuse.code) {
            registry_auth_accepted(&b->auth);
            return 0;
        }
        if (b->result != CURLE_OK) {
            r = transfer_error(b, err);
            if (r == -ECONNRESET || r == -ETIMEDOUT || (r == -ECONNREFUSED && b->received > 0))
                *ret_wait = (int64_t)FIRST_WAIT_MS << MIN(b->tries, 5u);
            return r;
        }
        curl_easy_getinfo(b->link->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status == 200 && b->received == b->size) /* an empty blob has no first byte */
            return 0;
        if ((r = transport_headers(b->link->easy, &headers)) < 0)
            return error_set(err, r, "its headers are too large");
        if (status == 401 && round < MAX_UNAUTHORIZED) {
            if ((r = answer_challenge(b, (const char *const *)headers, err)) < 0)
                return r;
            continue;
        }
        *ret_wait = answer_retry_ms((int)status, (const char *const *)headers, b->tries + 1);
        if (status == 200 || status == 206)
            return error_set(err, -EBADMSG, "the blob ended after %llu of %llu bytes",
                             (unsigned long long)b->received, (unsigned long long)b->size);
        return answer_error((int)status, text_of(b), err);
    }
}

static int begin_source(struct registry_blob *b, struct error *err) {
    registry_auth_fini(&b->auth);
    end_transfer(b, CURLE_OK);
    link_give(TAKE_PTR(b->link), b->source ? b->sources.list[b->source - 1].host : "");
    b->tries = 0;
    b->tried_at = b->received;
    if (!(b->link = link_take(source_of(b)->host)))
        return error_set(err, -ENOMEM, "out of memory");
    return registry_auth_init(&b->auth, source_of(b), b->ref.repository, err);
}

/* Whether another try at this source is due after `wait` ms (-1: never). */
static bool try_again(struct registry_blob *b, int64_t wait) {
    if (b->received - b->tried_at >= PROGRESS_BYTES) {
        b->tries = 0;
        b->tried_at = b->received;
    }
    return wait >= 0 && ++b->tries < MAX_TRIES;
}

/* Gets the blob flowing (again), from where it ended: tries, then sources, are used up in order.
 * `why`, if it has a code, is what just went wrong, and `wait` as ask() gives it. */
static int connect_blob(struct registry_blob *b, struct error *why, int64_t wait,
                        struct error *err) {
    while (true) {
        int r = 0;
        if (why->code == -ECANCELED || why->code == -ENOMEM)
            return error_set(err, why->code, "%s", why->msg);
        if (why->code && try_again(b, wait)) {
            if ((r = nap(b, (uint64_t)wait, err)) < 0)
                return r;
        } else if (why->code) {
            source_errors_add(&b->errors, source_of(b), why);
            if (b->source + 1 == b->sources.count)
                return source_errors_say(&b->errors, "a layer of", &b->ref, err);
            b->source++;
            if ((r = begin_source(b, err)) < 0)
                return r;
        }
        *why = (struct error){0};
        if (ask(b, &wait, why) == 0)
            return 0;
        if (b->source + 1 < b->sources.count && b->received == b->tried_at)
            wait = -1; /* nothing came of it yet: another source will answer sooner */
    }
}

/* The transfer has ended before the blob did. */
static int recover(struct registry_blob *b, struct error *err) {
    struct error why = {0};
    bool broke = b->result != CURLE_OK && !b->refuse.code;
    if (b->result != CURLE_OK)
        transfer_error(b, &why);
    else
        error_set(&why, -EBADMSG, "the blob ended after %llu of %llu bytes",
                  (unsigned long long)b->received, (unsigned long long)b->size);
    return connect_blob(b, &why, broke ? FIRST_WAIT_MS : -1, err);
}

/* --- the module's interface ------------------------------------------------------------------- */

static void blob_freep(struct registry_blob **b) {
    registry_blob_close(*b);
}

int registry_blob_open(const struct registry_config *config, const struct reference *ref,
                       const struct registry_credentials *credentials, const char *digest,
                       uint64_t size, uint64_t from, const volatile bool *stop,
                       struct registry_blob **ret, struct error *err) {
    struct error none = {0};
    int r = registry_allowed(config, ref, err);
    if (r < 0 || (r = transport_init(err)) < 0)
        return r;
    if (!digest_is_valid(digest) || from > size)
        return error_set(err, -EINVAL, "a layer's digest is not a sha256 digest");
    _cleanup_(blob_freep) struct registry_blob *b = mem_zalloc(sizeof *b);
    if (!b)
        return error_set(err, -ENOMEM, "out of memory");
    b->ref = *ref;
    b->size = size;
    b->received = b->waited_at = from;
    b->stop = stop;
    snprintf(b->digest, sizeof b->digest, "%s", digest);
    if (registry_sources_find(config, ref, credentials, &b->sources) < 0 ||
        !(b->md = EVP_MD_CTX_new()) || EVP_DigestInit_ex(b->md, EVP_sha256(), NULL) != 1)
        return error_set(err, -ENOMEM, "out of memory");
    if ((r = begin_source(b, err)) < 0 || (r = connect_blob(b, &none, -1, err)) < 0)
        return r;
    *ret = TAKE_PTR(b);
    return 0;
}

/* Fills the reader's buffer with what is there, waiting only for the first byte. */
static int fill(struct registry_blob *b, struct error *err) {
    int r;
    drain_spill(b);
    while (b->dst_used < b->dst_n && b->spill_n == 0) {
        uint64_t before = b->received;
        if (stopped(b))
            return canceled(err);
        if (b->running)
            perform(b);
        if (b->spill_n > 0 || b->received > before)
            continue;
        if (b->running && b->dst_used > 0)
            return 0;
        if (b->running) {
            wait_for_more(b);
        } else if (b->received == b->size && (b->result == CURLE_OK || !b->refuse.code)) {
            return 0;
        } else if ((r = recover(b, err)) < 0) {
            return r;
        } else {
            drain_spill(b);
        }
    }
    return 0;
}

static int verify(struct registry_blob *b, struct error *err) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    char digest[DIGEST_SIZE];
    if (b->verified)
        return 0;
    if (EVP_DigestFinal_ex(b->md, hash, NULL) != 1)
        return error_set(err, -ENOMEM, "out of memory");
    digest_format(hash, digest);
    if (!str_eq(digest, b->digest))
        return error_set(err, -EBADMSG,
                         "%s sent something else than the layer: its digest is %s, not %s",
                         source_of(b)->host, digest, b->digest);
    b->verified = true;
    return 0;
}

void registry_blob_leave_digest(struct registry_blob *b) {
    b->verified = true;
}

ssize_t registry_blob_read(struct registry_blob *b, void *buf, size_t n, struct error *err) {
    if (b->failed.code)
        return error_set(err, b->failed.code, "%s", b->failed.msg);
    b->dst = buf;
    b->dst_n = n;
    b->dst_used = 0;
    int r = fill(b, &b->failed);
    size_t got = b->dst_used;
    b->dst = NULL;
    b->dst_n = b->dst_used = 0;
    if (r == 0 && got > 0 && !b->verified && EVP_DigestUpdate(b->md, buf, got) != 1)
        r = error_set(&b->failed, -ENOMEM, "out of memory");
    if (r == 0 && got == 0 && n > 0)
        r = verify(b, &b->failed);
    return r < 0 ? error_set(err, r, "%s", b->failed.msg) : (ssize_t)got;
}

void registry_blob_close(struct registry_blob *b) {
    if (!b)
        return;
    if (b->link)
        end_transfer(b, CURLE_OK);
    link_give(b->link, source_of(b)->host);
    registry_auth_fini(&b->auth);
    registry_sources_fini(&b->sources);
    curl_slist_free_all(b->headers);
    strbuf_fini(&b->text);
    EVP_MD_CTX_free(b->md);
    free(b);
}
