/* uaa_users.c - UAA's accounts: /Users (SCIM 1.1, as the CLIs speak it), passwords, and clients. */
#include <errno.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/workers.h"
#include "controller/api/limiter.h"
#include "controller/api/password.h"
#include "controller/api/resources.h"
#include "controller/store/tokens.h"

#define NAME_MAX_   255
#define HASHING_MAX 32 /* as of log-ins: they share the workers */
#define SCHEMA      "urn:scim:schemas:core:1.0"

static json_t *account_json(const struct user_row *u) {
    return json_pack("{s:s,s:{s:i,s:o,s:o},s:s,s:{s:s,s:s},s:[{s:s,s:b}],s:[],s:b,s:b,s:s,s:s,"
                     "s:[s]}",
                     "id", u->guid, "meta", "version", 0, "created", json_time(u->created_ns),
                     "lastModified", json_time(u->updated_ns), "userName", u->username, "name",
                     "familyName", u->username, "givenName", u->username, "emails", "value",
                     u->username, "primary", 0, "groups", "active", u->active, "verified", 1,
                     "origin", u->origin, "zoneId", "uaa", "schemas", SCHEMA);
}

static int load_account(struct call *c, struct user_row *ret) {
    struct error err = {0};
    int r = store_user_get(c->api->deps.store, c->params[0], ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !str_eq(ret->origin, "uaa"))
        return fail(c, CC_RESOURCE_NOT_FOUND, "User %.100s does not exist", c->params[0]);
    return 0;
}

/* --- finding
 * ----------------------------------------------------------------------------------------
 */

struct wanted {
    char name[NAME_MAX_ + 1], origin[NAME_MAX_ + 1], id[NAME_MAX_ + 1];
};

/* ` word` at the beginning, in any case. */
static bool take_word(const char **p, const char *word) {
    const char *at = *p + strspn(*p, " ");
    size_t n = strlen(word);
    if (strncasecmp(at, word, n) != 0 || (at[n] && at[n] != ' '))
        return false;
    *p = at + n;
    return true;
}

static bool take_value(const char **p, char *ret) {
    const char *at = *p + strspn(*p, " ");
    size_t n = 0;
    if (*at++ != '"')
        return false;
    for (; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1])
            at++;
        if (n == NAME_MAX_)
            return false;
        ret[n++] = *at;
    }
    ret[n] = '\0';
    *p = at + (*at == '"');
    return *at == '"';
}

/* `attribute eq "value" [and ...]` of the attributes that the CLIs ask for. */
static bool parse_filter(const char *p, struct wanted *w) {
    do {
        char *to = take_word(&p, "username") ? w->name
                   : take_word(&p, "origin") ? w->origin
                   : take_word(&p, "id")     ? w->id
                                             : NULL;
        if (!to || !take_word(&p, "eq") || !take_value(&p, to))
            return false;
    } while (take_word(&p, "and"));
    return p[strspn(p, " ")] == '\0';
}

static bool matches(const struct user_row *u, const struct wanted *w) {
    return !str_eq(u->origin, "client") && (!w->name[0] || strcasecmp(w->name, u->username) == 0) &&
           (!w->origin[0] || str_eq(w->origin, u->origin)) && (!w->id[0] || str_eq(w->id, u->guid));
}

int list_accounts(struct call *c) {
    const char *filter = call_query(c, "filter"), *name;
    struct wanted w = {0};
    struct store_filter by_name = {"usernames", &name, 1};
    struct store_query q = {.limit = 100};
    _cleanup_(user_rows_fini) struct user_rows rows = {0};
    struct error err = {0};
    if (filter && !parse_filter(filter, &w))
        return fail(c, CC_BAD_REQUEST, "Invalid filter expression: [%.200s]", filter);
    if (w.name[0]) {
        name = w.name;
        q.filters = &by_name;
        q.filter_count = 1;
    }
    if (store_user_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        if (matches(&rows.v[i], &w) && json_array_append_new(list, account_json(&rows.v[i])))
            return json_decref(list), fail_no_memory(c);
    json_int_t n = (json_int_t)json_array_size(list);
    return reply_json(c, 200,
                      json_pack("{s:o,s:i,s:I,s:I,s:[s]}", "resources", list, "startIndex", 1,
                                "itemsPerPage", (json_int_t)100, "totalResults", n, "schemas",
                                SCHEMA));
}

int get_account(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    return load_account(c, &user) < 0 ? -1 : reply_json(c, 200, account_json(&user));
}

int delete_account(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    struct error err = {0};
    if (load_account(c, &user) < 0)
        return -1;
    if (str_eq(user.guid, c->identity.guid))
        return fail_invalid(c, "You cannot delete the user that you are logged in as.");
    if (store_user_delete(c->api->deps.store, user.guid, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, account_json(&user));
}

/* --- hashing on a worker
 * ----------------------------------------------------------------------------
 */

struct hash_job {
    struct api *api;
    struct call *call;    /* NULL once the call was answered otherwise */
    struct user_row user; /* to be written, or whose password changes */
    char *old;            /* owned; must be the present password; NULL: need not be known */
    char *password;       /* owned */
    char *hash;           /* owned; of `password`; NULL: could not be made */
    char *key;            /* owned; the limiter's */
    bool fast, known, same;
    void (*done)(struct call *c, struct hash_job *job);
};

static void wipe_free(char *s) {
    if (s)
        mem_wipe(s, strlen(s));
    free(s);
}

static void hash_job_free(struct hash_job *job) {
    if (!job)
        return;
    user_row_fini(&job->user);
    wipe_free(job->old);
    wipe_free(job->password);
    free(job->hash);
    free(job->key);
    free(job);
}
DEFINE_FREEP(hash_job)

static void work_hash(void *arg) {
    struct hash_job *job = arg;
    job->known = !job->old || password_verify(job->old, job->user.password_hash);
    if (!job->known)
        return;
    job->same = job->old && str_eq(job->old, job->password);
    if (!job->same)
        (void)password_hash(job->password, job->fast, &job->hash, NULL);
}

static void on_hashed(void *arg) {
    struct hash_job *job = arg;
    if (job->call) {
        job->call->async_ref = NULL;
        job->api->hashing--;
        job->done(job->call, job);
        call_finish(job->call);
    }
    hash_job_free(job);
}

/* Takes the job when it returns 0: it goes on by itself. */
static int hash_start(struct call *c, struct hash_job **job) {
    if (c->api->hashing >= HASHING_MAX)
        return fail_plain(c, CC_RATE_LIMITED);
    (*job)->api = c->api;
    (*job)->fast = c->api->config.fast_password_hashes;
    if (workers_run(c->api->deps.workers, work_hash, on_hashed, *job) < 0)
        return fail_no_memory(c);
    (*job)->call = c;
    c->async_ref = &(*job)->call;
    c->state = CALL_ASYNC;
    c->api->hashing++;
    *job = NULL;
    return 0;
}

static int check_new_password(struct call *c, const char *password) {
    if (str_empty(password))
        return fail(c, CC_BAD_REQUEST, "A password must not be empty.");
    return strlen(password) > PASSWORD_MAX ? fail(c, CC_BAD_REQUEST, "The password is too long.")
                                           : 0;
}

/* --- creating
 * ---------------------------------------------------------------------------------------
 */

static void step_insert(struct call *c, struct hash_job *job) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    _cleanup_(user_row_fini) struct user_row old = {0};
    if (!(job->user.password_hash = TAKE_PTR(job->hash))) {
        fail_no_memory(c);
        return;
    }
    /* what was deleted through Cloud Controller's API alone does not keep the name */
    if (store_user_find(store, job->user.username, &old, &err) == 0 && !old.active &&
        store_user_delete(store, old.guid, &err) < 0) {
        fail_internal(c, &err);
        return;
    }
    int r = store_user_insert(store, &job->user, &err);
    if (r == -EEXIST && str_eq(job->user.origin, "client"))
        fail(c, CC_CONFLICT, "Client already exists: %.255s", job->user.username);
    else if (r == -EEXIST)
        fail(c, CC_CONFLICT, "Username already in use: %.255s", job->user.username);
    else if (r < 0)
        fail_internal(c, &err);
    else if (str_eq(job->user.origin, "client"))
        reply_json(
            c, 201,
            json_pack("{s:s,s:b}", "client_id", job->user.username, "admin", job->user.admin));
    else
        reply_json(c, 201, account_json(&job->user));
}

static int create(struct call *c, const char *name, const char *password, const char *origin,
                  bool admin) {
    _cleanup_(hash_job_freep) struct hash_job *job = mem_zalloc(sizeof *job);
    if (str_empty(name) || strlen(name) > NAME_MAX_)
        return fail(c, CC_BAD_REQUEST, "A name must have 1 to %d bytes.", NAME_MAX_);
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return fail(c, CC_BAD_REQUEST, "Username must match pattern: no control characters");
    if (check_new_password(c, password) < 0)
        return -1;
    if (!job || str_set(&job->user.username, name) < 0 || str_set(&job->user.origin, origin) < 0 ||
        str_set(&job->password, password) < 0)
        return fail_no_memory(c);
    if (str_eq(origin, "client") && strlen(name) < GUID_SIZE)
        snprintf(job->user.guid, GUID_SIZE, "%s", name); /* as in UAA: the CLIs rely on it */
    job->user.active = true;
    job->user.admin = admin;
    job->done = step_insert;
    return hash_start(c, &job);
}

int create_account(struct call *c) {
    const char *origin = body_text(c->json, "origin");
    if (!str_empty(origin) && !str_eq(origin, "uaa"))
        return fail(c, CC_BAD_REQUEST, "Unknown origin %.100s: accounts are kept here alone (uaa)",
                    origin);
    return create(c, body_text(c->json, "userName"), body_text(c->json, "password"), "uaa", false);
}

/* --- passwords
 * --------------------------------------------------------------------------------------
 */

/* All that was granted for the old one ends: access tokens by their rev_sig, the others here. */
static void step_change(struct call *c, struct hash_job *job) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    if (!job->known) {
        limiter_failed(c->api->limiter, job->key, 1, clock_mono_ms());
        fail(c, CC_UNAUTHORIZED, "Old password is incorrect");
        return;
    }
    if (job->same) {
        fail_invalid(c, "Your new password cannot be the same as the old password.");
        return;
    }
    free(job->user.password_hash);
    if (!(job->user.password_hash = TAKE_PTR(job->hash))) {
        fail_no_memory(c);
        return;
    }
    if (store_begin(store, &err) < 0) {
        fail_internal(c, &err);
        return;
    }
    if (store_user_update(store, &job->user, &err) < 0 ||
        store_token_delete_of_user(store, job->user.guid, &err) < 0) {
        store_rollback(store);
        fail_internal(c, &err);
        return;
    }
    if (store_commit(store, &err) < 0) {
        fail_internal(c, &err);
        return;
    }
    limiter_forget(c->api->limiter, job->key);
    reply_json(c, 200, json_pack("{s:s,s:s}", "status", "ok", "message", "password updated"));
}

/* One's own with the old one; an admin another's without. */
int change_password(struct call *c) {
    _cleanup_(hash_job_freep) struct hash_job *job = mem_zalloc(sizeof *job);
    bool own = str_eq(c->params[0], c->identity.guid);
    const char *old = body_text(c->json, "oldPassword"), *password = body_text(c->json, "password");
    if (!own && !c->identity.admin)
        return fail_plain(c, CC_NOT_AUTHORIZED);
    if (check_new_password(c, password) < 0)
        return -1;
    if (own && (!old || strlen(old) > PASSWORD_MAX))
        return fail(c, CC_UNAUTHORIZED, "Old password is incorrect");
    if (!job)
        return fail_no_memory(c);
    if (load_account(c, &job->user) < 0)
        return -1;
    job->key = str_printf("passwd|%s", job->user.guid);
    if (!job->key || str_set(&job->password, password) < 0 || (own && str_set(&job->old, old) < 0))
        return fail_no_memory(c);
    if (own && limiter_closed(c->api->limiter, job->key, clock_mono_ms()))
        return fail(c, CC_UNAUTHORIZED,
                    "Your account has been locked because of too many failed attempts to login.");
    job->done = step_change;
    return hash_start(c, &job);
}

/* --- clients
 * ----------------------------------------------------------------------------------------
 */

static int load_client(struct call *c, struct user_row *ret) {
    struct error err = {0};
    int r = store_user_find(c->api->deps.store, c->params[0], ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !str_eq(ret->origin, "client"))
        return fail(c, CC_RESOURCE_NOT_FOUND, "No client with requested id: %.100s", c->params[0]);
    return 0;
}

static json_t *client_json(const struct user_row *u) {
    return json_pack("{s:s,s:[s],s:[s,s],s:[s],s:[s]}", "client_id", u->username,
                     "authorized_grant_types", "client_credentials", "authorities",
                     "cloud_controller.read",
                     u->admin ? "cloud_controller.admin" : "cloud_controller.write", "scope",
                     "uaa.none", "resource_ids", "none");
}

int get_client(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    return load_client(c, &user) < 0 ? -1 : reply_json(c, 200, client_json(&user));
}

int create_client(struct call *c) {
    json_t *authorities = body_at(c->json, "authorities"), *one;
    bool admin = false;
    size_t i;
    json_array_foreach(authorities, i, one) {
        admin |= str_eq(json_string_value(one), "cloud_controller.admin");
    }
    return create(c, body_text(c->json, "client_id"), body_text(c->json, "client_secret"), "client",
                  admin);
}

int delete_client(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    struct error err = {0};
    if (load_client(c, &user) < 0)
        return -1;
    if (store_user_delete(c->api->deps.store, user.guid, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, client_json(&user));
}
