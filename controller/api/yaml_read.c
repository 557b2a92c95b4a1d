#include "controller/api/yaml_read.h"

#include <errno.h>
#include <yaml.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define DEPTH_MAX 16
#define NODES_MAX 50000

struct reader {
    yaml_parser_t parser;
    unsigned nodes;
    struct error *err;
};

static int read_node(struct reader *r, const yaml_event_t *event, int depth, json_t **ret);

static int fail_at(struct reader *r, const yaml_mark_t *mark, const char *what) {
    return error_set(r->err, -EINVAL, "line %zu: %s", mark->line + 1, what);
}

static int next(struct reader *r, yaml_event_t *event) {
    if (yaml_parser_parse(&r->parser, event))
        return 0;
    if (r->parser.error == YAML_MEMORY_ERROR)
        return error_set(r->err, -ENOMEM, "out of memory");
    return fail_at(r, &r->parser.problem_mark, r->parser.problem ? r->parser.problem : "no YAML");
}

static bool is_integer(const char *s) {
    size_t n = strlen(s + (*s == '-'));
    s += *s == '-';
    return n >= 1 && n <= 18 && strspn(s, "0123456789") == n && (n == 1 || *s != '0');
}

static json_t *scalar(const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    size_t n = event->data.scalar.length;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (strlen(text) != n)
        return NULL; /* a NUL in it */
    if (plain && (!n || str_eq(text, "~") || str_eq(text, "null") || str_eq(text, "Null") ||
                  str_eq(text, "NULL")))
        return json_null();
    if (plain && (str_eq(text, "true") || str_eq(text, "True") || str_eq(text, "TRUE")))
        return json_true();
    if (plain && (str_eq(text, "false") || str_eq(text, "False") || str_eq(text, "FALSE")))
        return json_false();
    if (plain && is_integer(text))
        return json_integer(strtoll(text, NULL, 10));
    return json_stringn(text, n); /* NULL when it is no UTF-8 */
}

static int read_sequence(struct reader *r, int depth, json_t *list) {
    for (;;) {
        yaml_event_t event;
        json_t *value = NULL;
        int e = next(r, &event);
        if (e < 0)
            return e;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        e = end ? 0 : read_node(r, &event, depth, &value);
        yaml_event_delete(&event);
        if (e < 0 || end)
            return e;
        if (json_array_append_new(list, value))
            return error_set(r->err, -ENOMEM, "out of memory");
    }
}

static int read_mapping(struct reader *r, int depth, json_t *map) {
    for (;;) {
        yaml_event_t key, event;
        json_t *value = NULL;
        int e = next(r, &key);
        if (e < 0)
            return e;
        if (key.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&key);
            return 0;
        }
        const char *name = (const char *)key.data.scalar.value;
        if (key.type != YAML_SCALAR_EVENT || key.data.scalar.anchor ||
            strlen(name) != key.data.scalar.length || !str_is_utf8(name, strlen(name)))
            e = fail_at(r, &key.start_mark, "a key must be plain text, without an anchor");
        else if (json_object_get(map, name))
            e = fail_at(r, &key.start_mark, "a key stands twice in a mapping");
        else if ((e = next(r, &event)) == 0) {
            e = read_node(r, &event, depth, &value);
            yaml_event_delete(&event);
            if (e == 0 && json_object_set_new(map, name, value))
                e = error_set(r->err, -ENOMEM, "out of memory");
        }
        yaml_event_delete(&key);
        if (e < 0)
            return e;
    }
}

static int read_node(struct reader *r, const yaml_event_t *event, int depth, json_t **ret) {
    json_t *node = NULL;
    int e = 0;
    if (depth >= DEPTH_MAX || ++r->nodes > NODES_MAX)
        return error_set(r->err, -E2BIG, "line %zu: too deep or too large",
                         event->start_mark.line + 1);
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        if (event->data.scalar.anchor)
            return fail_at(r, &event->start_mark, "anchors are not supported");
        if (!(*ret = scalar(event)))
            return fail_at(r, &event->start_mark, "a value is not valid text");
        return 0;
    case YAML_SEQUENCE_START_EVENT:
        if (event->data.sequence_start.anchor)
            return fail_at(r, &event->start_mark, "anchors are not supported");
        if (!(node = json_array()))
            return error_set(r->err, -ENOMEM, "out of memory");
        e = read_sequence(r, depth + 1, node);
        break;
    case YAML_MAPPING_START_EVENT:
        if (event->data.mapping_start.anchor)
            return fail_at(r, &event->start_mark, "anchors are not supported");
        if (!(node = json_object()))
            return error_set(r->err, -ENOMEM, "out of memory");
        e = read_mapping(r, depth + 1, node);
        break;
    case YAML_ALIAS_EVENT:
        return fail_at(r, &event->start_mark, "aliases are not supported");
    default:
        return fail_at(r, &event->start_mark, "unexpected end");
    }
    if (e < 0)
        json_decref(node);
    else
        *ret = node;
    return e;
}

/* STREAM-START DOCUMENT-START node DOCUMENT-END STREAM-END */
static int read_document(struct reader *r, json_t **ret) {
    static const yaml_event_type_t before[] = {YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT},
                                   after[] = {YAML_DOCUMENT_END_EVENT, YAML_STREAM_END_EVENT};
    yaml_event_t event;
    json_t *tree = NULL;
    int e = 0;
    for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
        if ((e = next(r, &event)) < 0)
            return e;
        bool ok = event.type == before[i];
        yaml_event_delete(&event);
        if (!ok)
            return error_set(r->err, -EINVAL, "the document is empty");
    }
    if ((e = next(r, &event)) < 0)
        return e;
    e = read_node(r, &event, 0, &tree);
    yaml_event_delete(&event);
    for (size_t i = 0; e == 0 && i < ARRAY_SIZE(after); i++) {
        if ((e = next(r, &event)) < 0)
            break;
        if (event.type != after[i])
            e = fail_at(r, &event.start_mark, "more than one document");
        yaml_event_delete(&event);
    }
    if (e < 0)
        json_decref(tree);
    else
        *ret = tree;
    return e;
}

int yaml_parse(const char *text, size_t n, json_t **ret, struct error *err) {
    struct reader r = {.err = err};
    if (!yaml_parser_initialize(&r.parser))
        return error_set(err, -ENOMEM, "out of memory");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    int e = read_document(&r, ret);
    yaml_parser_delete(&r.parser);
    return e;
}
