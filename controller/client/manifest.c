#include "controller/client/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <yaml.h>

#include "common/base/fs.h"

#define MAX_MANIFEST (1u << 20)

struct manifest {
    yaml_document_t doc;
    int apps; /* node id of the sequence `applications` */
};

static int no_memory(struct error *err) {
    return error_set(err, -ENOMEM, "out of memory");
}

static bool scalar_is(const yaml_node_t *node, const char *text) {
    return node && node->type == YAML_SCALAR_NODE && strlen(text) == node->data.scalar.length &&
           memcmp(node->data.scalar.value, text, node->data.scalar.length) == 0;
}

/* The pair of `key` in a mapping node, or NULL. */
static yaml_node_pair_t *find_pair(struct manifest *m, int mapping, const char *key) {
    yaml_node_t *node = yaml_document_get_node(&m->doc, mapping);
    if (!node || node->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++)
        if (scalar_is(yaml_document_get_node(&m->doc, p->key), key))
            return p;
    return NULL;
}

static int add_scalar(struct manifest *m, const char *value, int quoted) {
    return yaml_document_add_scalar(&m->doc, NULL, (const yaml_char_t *)value, (int)strlen(value),
                                    quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                           : YAML_PLAIN_SCALAR_STYLE);
}

static int set_pair(struct manifest *m, int mapping, const char *key, int value) {
    yaml_node_pair_t *pair = find_pair(m, mapping, key);
    if (pair) {
        pair->value = value;
        return 0;
    }
    int key_node = add_scalar(m, key, 0);
    return key_node && yaml_document_append_mapping_pair(&m->doc, mapping, key_node, value)
               ? 0
               : -ENOMEM;
}

static yaml_node_t *apps_node(const struct manifest *m) {
    return yaml_document_get_node((yaml_document_t *)(uintptr_t)&m->doc, m->apps);
}

static int app_node(const struct manifest *m, size_t i) {
    return apps_node(m)->data.sequence.items.start[i];
}

size_t manifest_count(const struct manifest *m) {
    yaml_node_t *apps = apps_node(m);
    return (size_t)(apps->data.sequence.items.top - apps->data.sequence.items.start);
}

void manifest_free(struct manifest *m) {
    if (!m)
        return;
    yaml_document_delete(&m->doc);
    free(m);
}

static int make_empty(struct manifest *m, struct error *err) {
    if (!yaml_document_initialize(&m->doc, NULL, NULL, NULL, 1, 1))
        return no_memory(err);
    int root = yaml_document_add_mapping(&m->doc, NULL, YAML_BLOCK_MAPPING_STYLE);
    m->apps = yaml_document_add_sequence(&m->doc, NULL, YAML_BLOCK_SEQUENCE_STYLE);
    return root && m->apps && set_pair(m, root, "applications", m->apps) == 0 ? 0 : no_memory(err);
}

static int check_shape(struct manifest *m, const char *path, struct error *err) {
    yaml_node_pair_t *pair = find_pair(m, 1, "applications");
    yaml_node_t *apps = pair ? yaml_document_get_node(&m->doc, pair->value) : NULL;
    if (!apps || apps->type != YAML_SEQUENCE_NODE)
        return error_set(err, -EINVAL,
                         "%s: a manifest must have a list `applications` at its top level", path);
    m->apps = pair->value;
    for (size_t i = 0; i < manifest_count(m); i++) {
        yaml_node_t *app = yaml_document_get_node(&m->doc, app_node(m, i));
        if (!app || app->type != YAML_MAPPING_NODE)
            return error_set(err, -EINVAL, "%s: application %zu is not a map", path, i);
    }
    return 0;
}

static int parse(struct manifest *m, const char *path, const char *text, size_t n,
                 struct error *err) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return no_memory(err);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    int ok = yaml_parser_load(&parser, &m->doc), r = 0;
    if (!ok)
        r = error_set(err, -EINVAL, "%s:%zu: %s", path, parser.problem_mark.line + 1,
                      parser.problem ? parser.problem : "not YAML");
    yaml_parser_delete(&parser);
    return r;
}

int manifest_load(struct manifest **ret, const char *path, struct error *err) {
    _cleanup_(manifest_freep) struct manifest *m = mem_zalloc(sizeof *m);
    _cleanup_(freep) char *text = NULL;
    size_t n;
    int r;
    if (!m)
        return no_memory(err);
    if (!path) {
        r = make_empty(m, err);
    } else {
        if ((r = fs_read(AT_FDCWD, path, MAX_MANIFEST, &text, &n, err)) < 0)
            return r;
        if ((r = parse(m, path, text, n, err)) == 0)
            r = check_shape(m, path, err);
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}

const char *manifest_get(struct manifest *m, size_t i, const char *key) {
    const char *dot = strchr(key, '.');
    _cleanup_(freep) char *outer = dot ? str_ndup(key, (size_t)(dot - key)) : NULL;
    yaml_node_pair_t *pair = find_pair(m, app_node(m, i), outer ? outer : key);
    if (dot)
        pair = pair ? find_pair(m, pair->value, dot + 1) : NULL;
    yaml_node_t *value = pair ? yaml_document_get_node(&m->doc, pair->value) : NULL;
    return value && value->type == YAML_SCALAR_NODE ? (const char *)value->data.scalar.value : NULL;
}

int manifest_set(struct manifest *m, size_t i, const char *key, const char *value, int quoted,
                 struct error *err) {
    const char *dot = strchr(key, '.');
    int scalar = add_scalar(m, value, quoted), mapping = app_node(m, i);
    if (!scalar)
        return error_set(err, -EINVAL, "\"%s\" is not valid UTF-8", value);
    if (dot) {
        _cleanup_(freep) char *outer = str_ndup(key, (size_t)(dot - key));
        yaml_node_pair_t *pair = outer ? find_pair(m, mapping, outer) : NULL;
        int inner =
            pair ? pair->value : yaml_document_add_mapping(&m->doc, NULL, YAML_BLOCK_MAPPING_STYLE);
        if (!outer || !inner || (!pair && set_pair(m, mapping, outer, inner) < 0))
            return no_memory(err);
        mapping = inner;
        key = dot + 1;
    }
    return set_pair(m, mapping, key, scalar) < 0 ? no_memory(err) : 0;
}

int manifest_set_route(struct manifest *m, size_t i, const char *route, struct error *err) {
    int list = yaml_document_add_sequence(&m->doc, NULL, YAML_BLOCK_SEQUENCE_STYLE);
    int entry = yaml_document_add_mapping(&m->doc, NULL, YAML_BLOCK_MAPPING_STYLE);
    int value = add_scalar(m, route, 1);
    if (!list || !entry || !value || set_pair(m, entry, "route", value) < 0 ||
        !yaml_document_append_sequence_item(&m->doc, list, entry) ||
        set_pair(m, app_node(m, i), "routes", list) < 0)
        return no_memory(err);
    return 0;
}

int manifest_select(struct manifest *m, const char *name, struct error *err) {
    size_t count = manifest_count(m);
    if (count == 0) {
        int app = yaml_document_add_mapping(&m->doc, NULL, YAML_BLOCK_MAPPING_STYLE);
        if (!app || !yaml_document_append_sequence_item(&m->doc, m->apps, app))
            return no_memory(err);
        return manifest_set(m, 0, "name", name, 1, err);
    }
    if (count == 1)
        return manifest_set(m, 0, "name", name, 1, err);
    yaml_node_t *apps = apps_node(m);
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(manifest_get(m, i, "name"), name))
            continue;
        apps->data.sequence.items.start[0] = apps->data.sequence.items.start[i];
        apps->data.sequence.items.top = apps->data.sequence.items.start + 1;
        return 0;
    }
    return error_set(err, -ENOENT, "Could not find app named '%s' in manifest", name);
}

static int on_output(void *arg, unsigned char *p, size_t n) {
    struct strbuf *out = arg;
    strbuf_add(out, p, n);
    return !out->failed;
}

int manifest_print(struct manifest *m, struct strbuf *out, struct error *err) {
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        return no_memory(err);
    yaml_emitter_set_output(&emitter, on_output, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    /* The emitter takes the document over. */
    int ok = yaml_emitter_open(&emitter) && yaml_emitter_dump(&emitter, &m->doc) &&
             yaml_emitter_close(&emitter);
    yaml_emitter_delete(&emitter);
    return ok ? 0 : error_set(err, -EINVAL, "cannot write the manifest");
}
