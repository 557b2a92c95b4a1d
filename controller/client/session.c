#include "controller/client/session.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

/* Every text that the file holds, in one place. */
struct field {
    const char *key;
    size_t offset;
};

static const struct field fields[] = {
    {"api", offsetof(struct session, api)},
    {"ca_file", offsetof(struct session, ca_file)},
    {"uaa", offsetof(struct session, uaa)},
    {"log_cache", offsetof(struct session, log_cache)},
    {"access_token", offsetof(struct session, access_token)},
    {"refresh_token", offsetof(struct session, refresh_token)},
    {"user", offsetof(struct session, user)},
    {"org", offsetof(struct session, org)},
    {"org_guid", offsetof(struct session, org_guid)},
    {"space", offsetof(struct session, space)},
    {"space_guid", offsetof(struct session, space_guid)},
};

static char **field_of(const struct session *s, const struct field *f) {
    return (char **)((char *)(uintptr_t)s + f->offset);
}

static int find_path(struct session *s, struct error *err) {
    const char *home = getenv("BERTH_HOME");
    if (str_empty(home))
        home = getenv("HOME");
    if (str_empty(home))
        return error_set(err, -ENOENT, "neither BERTH_HOME nor HOME is set");
    _cleanup_(freep) char *dir = str_printf("%s/.berth", home);
    s->path = str_printf("%s/.berth/config.json", home);
    if (!dir || !s->path)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

int session_load(struct session *s, struct error *err) {
    int r = find_path(s, err);
    if (r < 0)
        return r;
    _cleanup_(freep) char *text = NULL;
    size_t n;
    r = fs_read(AT_FDCWD, s->path, 1 << 20, &text, &n, err);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    json_error_t at;
    json_t *root = json_loadb(text, n, 0, &at);
    if (!root)
        return error_set(err, -EBADMSG, "%s is not JSON (%s): remove it and log in again", s->path,
                         at.text);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fields); i++) {
        const char *value = json_string_value(json_object_get(root, fields[i].key));
        if (value)
            r = str_set(field_of(s, &fields[i]), value);
    }
    s->skip_verify = json_is_true(json_object_get(root, "skip_ssl_validation"));
    json_decref(root);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int session_save(const struct session *s, struct error *err) {
    _cleanup_(freep) char *dir = str_ndup(s->path, (size_t)(strrchr(s->path, '/') - s->path));
    json_t *root = json_object();
    for (size_t i = 0; root && i < ARRAY_SIZE(fields); i++) {
        const char *value = *field_of(s, &fields[i]);
        if (value)
            json_object_set_new(root, fields[i].key, json_string(value));
    }
    json_object_set_new(root, "skip_ssl_validation", json_boolean(s->skip_verify));
    _cleanup_(freep) char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!dir || !text)
        return error_set(err, -ENOMEM, "out of memory");
    int r = fs_mkdirs(AT_FDCWD, dir, 0700, err);
    return r < 0 ? r : fs_write_atomic(AT_FDCWD, s->path, 0600, text, strlen(text), err);
}

void session_forget_login(struct session *s) {
    char **gone[] = {&s->access_token, &s->refresh_token, &s->user,      &s->org,
                     &s->org_guid,     &s->space,         &s->space_guid};
    for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
        free(*gone[i]);
        *gone[i] = NULL;
    }
}

void session_fini(struct session *s) {
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        free(*field_of(s, &fields[i]));
    free(s->path);
    *s = (struct session){0};
}
