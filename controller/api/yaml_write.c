#include "controller/api/yaml_write.h"

#include <ctype.h>
#include <strings.h>
#include <yaml.h>

#include "common/base/mem.h"
#include "common/base/str.h"

static int collect(void *data, unsigned char *bytes, size_t n) {
    struct strbuf *out = data;
    strbuf_add(out, bytes, n);
    return !out->failed;
}

static bool scalar(yaml_emitter_t *e, const char *text, size_t n, yaml_scalar_style_t style) {
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)n, 1, 1,
                                        style) &&
           yaml_emitter_emit(e, &event);
}

/* Would some reader of YAML take this text for something else? Then it is quoted. */
static bool looks_like_text(const char *s) {
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    if (!isalpha((unsigned char)*s) && *s != '/')
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return false;
    return true;
}

static bool write_node(yaml_emitter_t *e, const json_t *node);

static bool write_list(yaml_emitter_t *e, const json_t *list) {
    yaml_event_t event;
    size_t i;
    json_t *one;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE) ||
        !yaml_emitter_emit(e, &event))
        return false;
    json_array_foreach(list, i, one) if (!write_node(e, one)) {
        return false;
    }
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool write_text(yaml_emitter_t *e, const char *s) {
    return scalar(e, s, strlen(s),
                  looks_like_text(s) ? YAML_ANY_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static bool write_map(yaml_emitter_t *e, const json_t *map) {
    yaml_event_t event;
    const char *key;
    json_t *value;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(e, &event))
        return false;
    json_object_foreach((json_t *)map, key,
                        value) if (!write_text(e, key) || !write_node(e, value)) {
        return false;
    }
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool write_node(yaml_emitter_t *e, const json_t *node) {
    char number[32];
    switch (json_typeof(node)) {
    case JSON_OBJECT:
        return write_map(e, node);
    case JSON_ARRAY:
        return write_list(e, node);
    case JSON_STRING:
        return write_text(e, json_string_value(node));
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(node));
        break;
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(node));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(number, sizeof number, "%s", json_is_true(node) ? "true" : "false");
        break;
    case JSON_NULL:
        snprintf(number, sizeof number, "null");
        break;
    }
    return scalar(e, number, strlen(number), YAML_PLAIN_SCALAR_STYLE);
}

static bool write_document(yaml_emitter_t *e, const json_t *tree) {
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(e, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 0) &&
           yaml_emitter_emit(e, &event) && write_node(e, tree) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(e, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

char *yaml_write(const json_t *tree) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    yaml_emitter_t emitter;
    if (!tree || !yaml_emitter_initialize(&emitter))
        return NULL;
    yaml_emitter_set_output(&emitter, collect, &out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    bool ok = write_document(&emitter, tree);
    yaml_emitter_delete(&emitter);
    return ok ? strbuf_take(&out) : NULL;
}
