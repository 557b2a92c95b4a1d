#include "controller/api/body.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "controller/api/call.h"

#define TEXT_MAX_DEFAULT  255 /* cc: most text columns */
#define METADATA_KEY_MAX  253 /* docs: metadata; of the prefix */
#define METADATA_NAME_MAX 63
#define RESERVED          "cloudfoundry.org"
#define LABEL_MAX         63   /* docs: metadata labels */
#define ANNOTATION_MAX    5000 /* docs: metadata annotations */
#define METADATA_MAX      200  /* cc: max_labels_per_resource and annotations are 50 and 200 */

static const struct field guid_field[] = {
    {.name = "guid", .kind = FIELD_TEXT, .required = true, .min = 1},
};
const struct field relation_fields[1] = {FIELD_OF("data", true, guid_field)};

const struct field metadata_fields[2] = {
    {.name = "labels", .kind = FIELD_OBJECT, .nullable = true},
    {.name = "annotations", .kind = FIELD_OBJECT, .nullable = true},
};

/* --- parsing
 * --------------------------------------------------------------------------------------
 */

/* jansson's own bound is far above what we want to walk. */
static bool too_deep(const char *p, size_t n) {
    bool text = false;
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (text) {
            if (p[i] == '\\')
                i++;
            else if (p[i] == '"')
                text = false;
        } else if (p[i] == '"') {
            text = true;
        } else if (p[i] == '{' || p[i] == '[') {
            if (++depth > BODY_DEPTH_MAX)
                return true;
        } else if (p[i] == '}' || p[i] == ']') {
            depth--;
        }
    }
    return false;
}

static bool is_blank(const struct call *c) {
    for (size_t i = 0; i < c->body_n; i++)
        if (!isspace((unsigned char)c->body[i]))
            return false;
    return true;
}

int body_parse(struct call *c, bool optional) {
    if (is_blank(c) && (optional || str_starts(c->path, "/v3/"))) {
        c->json = json_object();
        return c->json ? 0 : fail_no_memory(c);
    }
    if (too_deep(c->body, c->body_n))
        return fail_plain(c, CC_MESSAGE_PARSE_ERROR);
    c->json = json_loadb(c->body, c->body_n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(c->json))
        return fail_plain(c, CC_MESSAGE_PARSE_ERROR);
    return 0;
}

/* --- checking
 * -------------------------------------------------------------------------------------
 */

/* "health_check" -> "Health check", as Rails speaks of attributes. */
static const char *human(const char *name, char *buf, size_t n) {
    snprintf(buf, n, "%s", name);
    for (char *p = buf; *p; p++)
        if (*p == '_')
            *p = ' ';
    buf[0] = (char)toupper((unsigned char)buf[0]);
    return buf;
}

static const struct field *find_field(const struct field *fields, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* Code points: what "characters" means to a user. */
static int64_t text_length(const char *s) {
    int64_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static int check_text(struct call *c, const json_t *value, const struct field *f,
                      const char *name) {
    if (!json_is_string(value))
        return fail_invalid(c, "%s must be a string", name);
    int64_t n = text_length(json_string_value(value)), max = f->max ? f->max : TEXT_MAX_DEFAULT;
    if (n == 0 && f->min > 0)
        return fail_invalid(c, "%s can't be blank", name);
    if (n < f->min)
        return fail_invalid(c, "%s is too short (minimum is %lld characters)", name,
                            (long long)f->min);
    if (n > max)
        return fail_invalid(c, "%s is too long (maximum is %lld characters)", name, (long long)max);
    return 0;
}

static int check_int(struct call *c, const json_t *value, const struct field *f, const char *name) {
    if (!json_is_integer(value))
        return fail_invalid(c, "%s is not a number", name);
    if (json_integer_value(value) < f->min)
        return fail_invalid(c, "%s must be greater than or equal to %lld", name, (long long)f->min);
    if (f->max && json_integer_value(value) > f->max)
        return fail_invalid(c, "%s must be less than or equal to %lld", name, (long long)f->max);
    return 0;
}

static int check_list(struct call *c, const json_t *value, const struct field *f,
                      const char *name) {
    size_t i;
    json_t *member;
    if (!json_is_array(value))
        return fail_invalid(c, "%s must be an array", name);
    if ((int64_t)json_array_size(value) < f->min)
        return fail_invalid(c, "%s must have at least %lld members", name, (long long)f->min);
    if (f->max && (int64_t)json_array_size(value) > f->max)
        return fail_invalid(c, "%s must have at most %lld members", name, (long long)f->max);
    json_array_foreach(value, i, member) {
        if (!f->fields)
            continue;
        if (!json_is_object(member))
            return fail_invalid(c, "%s[%zu] must be an object", name, i);
        if (body_check(c, member, f->fields, f->field_count) < 0)
            return -1;
    }
    return 0;
}

static int check_value(struct call *c, const json_t *value, const struct field *f) {
    char name[128];
    human(f->name, name, sizeof name);
    if (json_is_null(value)) {
        bool may = f->nullable || f->kind == FIELD_ANY || (f->kind == FIELD_OBJECT && !f->required);
        return may ? 0 : fail_invalid(c, "%s can't be blank", name);
    }
    switch (f->kind) {
    case FIELD_TEXT:
        return check_text(c, value, f, name);
    case FIELD_INT:
        return check_int(c, value, f, name);
    case FIELD_BOOL:
        return json_is_boolean(value) ? 0 : fail_invalid(c, "%s must be a boolean", name);
    case FIELD_OBJECT:
        if (!json_is_object(value))
            return fail_invalid(c, "%s must be an object", name);
        return f->fields ? body_check(c, value, f->fields, f->field_count) : 0;
    case FIELD_LIST:
        return check_list(c, value, f, name);
    case FIELD_ANY:
        return 0;
    }
    return 0;
}

int body_check(struct call *c, const json_t *object, const struct field *fields, size_t count) {
    const char *key;
    json_t *value;
    int r = 0;
    _cleanup_(strbuf_fini) struct strbuf unknown = {0};
    json_object_foreach((json_t *)object, key, value) {
        const struct field *f = find_field(fields, count, key);
        if (!f)
            strbuf_printf(&unknown, "%s'%.100s'", unknown.n ? ", " : "", key);
        else if (check_value(c, value, f) < 0)
            r = -1;
        if (unknown.n > 1000)
            break;
    }
    if (unknown.n)
        r = fail_invalid(c, "Unknown field(s): %s", unknown.p);
    for (size_t i = 0; i < count; i++)
        if (fields[i].required && !json_object_get(object, fields[i].name)) {
            char name[128];
            r = fail_invalid(c, "%s can't be blank", human(fields[i].name, name, sizeof name));
        }
    return r;
}

/* --- reading
 * --------------------------------------------------------------------------------------
 */

json_t *body_at(const json_t *object, const char *path) {
    const json_t *at = object;
    while (at && *path) {
        char key[64];
        size_t n = strcspn(path, ".");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        at = json_object_get(at, key);
        path += n + (path[n] == '.');
    }
    return (json_t *)at;
}

const char *body_text(const json_t *object, const char *path) {
    return json_string_value(body_at(object, path));
}

bool body_int(const json_t *object, const char *path, int64_t *ret) {
    const json_t *value = body_at(object, path);
    if (!json_is_integer(value))
        return false;
    *ret = json_integer_value(value);
    return true;
}

bool body_bool(const json_t *object, const char *path, bool *ret) {
    const json_t *value = body_at(object, path);
    if (!json_is_boolean(value))
        return false;
    *ret = json_is_true(value);
    return true;
}

bool body_null(const json_t *object, const char *path) {
    return json_is_null(body_at(object, path));
}

/* --- metadata
 * -------------------------------------------------------------------------------------
 */

static bool is_word(const char *p, size_t n, const char *marks) {
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)p[i]) && !strchr(marks, p[i]))
            return false;
    return !n || (isalnum((unsigned char)p[0]) && isalnum((unsigned char)p[n - 1]));
}

/* docs: metadata. "prefix/name", the prefix a DNS name. NULL when it is well formed, else why not.
 */
static const char *key_problem(const char *key) {
    const char *slash = strchr(key, '/'), *name = slash ? slash + 1 : key;
    size_t prefix = slash ? (size_t)(slash - key) : 0;
    if (!*name || (slash && !prefix))
        return "cannot be empty";
    if (strchr(name, '/'))
        return "contains more than one '/'";
    if (prefix > METADATA_KEY_MAX || strlen(name) > METADATA_NAME_MAX)
        return "is too long";
    if (slash && (!is_word(key, prefix, "-.") || !memchr(key, '.', prefix)))
        return "has a prefix that is not in valid dns format";
    if (prefix == strlen(RESERVED) && strncasecmp(key, RESERVED, prefix) == 0)
        return "has the reserved prefix " RESERVED;
    return is_word(name, strlen(name), "-_.") ? NULL : "contains invalid characters";
}

static int merge(struct call *c, const json_t *changes, char **stored, int64_t max,
                 const char *what) {
    const char *key;
    json_t *value;
    if (!json_is_object(changes) || json_object_size(changes) == 0)
        return 0;
    json_t *now = json_stored(*stored, "{}");
    if (!now)
        return fail_no_memory(c);
    int r = 0;
    json_object_foreach((json_t *)changes, key, value) {
        const char *problem = key_problem(key), *text = json_string_value(value);
        if (problem)
            r = fail_invalid(c, "Metadata %s key error: '%.100s' %s", what, key, problem);
        else if (json_is_null(value))
            json_object_del(now, key);
        else if (!json_is_string(value) || text_length(json_string_value(value)) > max)
            r = fail_invalid(
                c, "Metadata %s value error: '%.100s' must be a string of at most %lld characters",
                what, key, (long long)max);
        else if (max == LABEL_MAX && !is_word(text, strlen(text), "-_."))
            r = fail_invalid(c, "Metadata label value error: '%.100s' contains invalid characters",
                             text);
        else if (json_object_set(now, key, value))
            r = fail_no_memory(c);
    }
    if (r == 0 && json_object_size(now) > METADATA_MAX)
        r = fail_invalid(c, "Failed to add %zu %ss because it would exceed maximum of %d",
                         json_object_size(changes), what, METADATA_MAX);
    char *text = r == 0 ? json_dumps(now, JSON_COMPACT) : NULL;
    json_decref(now);
    if (r < 0)
        return r;
    if (!text)
        return fail_no_memory(c);
    free(*stored);
    *stored = text;
    return 0;
}

int metadata_merge(struct call *c, const json_t *body, char **labels, char **annotations) {
    int r = merge(c, body_at(body, "metadata.labels"), labels, LABEL_MAX, "label");
    return r < 0 ? r
                 : merge(c, body_at(body, "metadata.annotations"), annotations, ANNOTATION_MAX,
                         "annotation");
}
