/* json.c - the pieces that all answers are made of. */
#include <stdarg.h>

#include "common/base/clock.h"
#include "controller/api/call.h"

json_t *json_time(uint64_t wall_ns) {
    char text[21];
    if (!wall_ns)
        return json_null();
    clock_format(wall_ns, text);
    return json_string_nocheck(text);
}

json_t *json_guid_or_null(const char *guid) {
    return guid && *guid ? json_string(guid) : json_null();
}

/* What came from elsewhere (an image's config) may be no UTF-8: shown with '?' instead. */
static json_t *lossy(const char *text) {
    char *copy = str_dup(text);
    if (!copy)
        return NULL;
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    json_t *value = json_string_nocheck(copy);
    free(copy);
    return value;
}

json_t *json_text_or_null(const char *text) {
    if (!text)
        return json_null();
    return str_is_utf8(text, strlen(text)) ? json_string_nocheck(text) : lossy(text);
}

json_t *json_relation(const char *guid) {
    if (!guid || !*guid)
        return json_pack("{s:n}", "data");
    return json_pack("{s:{s:s}}", "data", "guid", guid);
}

__attribute__((format(printf, 2, 0))) static char *href(struct call *c, const char *fmt,
                                                        va_list ap) {
    struct strbuf text = {0};
    const char *base = call_base(c);
    if (!base)
        return NULL;
    strbuf_puts(&text, base);
    strbuf_vprintf(&text, fmt, ap);
    return strbuf_take(&text);
}

json_t *json_link(struct call *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    _cleanup_(freep) char *text = href(c, fmt, ap);
    va_end(ap);
    return text ? json_pack("{s:o}", "href", json_text_or_null(text)) : NULL;
}

json_t *json_link_post(struct call *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    _cleanup_(freep) char *text = href(c, fmt, ap);
    va_end(ap);
    return text ? json_pack("{s:o,s:s}", "href", json_text_or_null(text), "method", "POST") : NULL;
}

json_t *json_stored(const char *text, const char *otherwise) {
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    return value ? value : json_loads(otherwise, JSON_DECODE_ANY, NULL);
}

json_t *json_metadata(const char *labels, const char *annotations) {
    return json_pack("{s:o,s:o}", "labels", json_stored(labels, "{}"), "annotations",
                     json_stored(annotations, "{}"));
}

static void put_dump(struct strbuf *out, json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    if (text)
        strbuf_puts(out, text);
    else
        out->failed = true;
    free(text);
}

static bool is_plain(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f || *text == '"' ||
            *text == '\\')
            return false;
    return true;
}

void json_put_text(struct strbuf *out, const char *text) {
    if (!text || !is_plain(text)) {
        put_dump(out, json_text_or_null(text));
        return;
    }
    strbuf_putc(out, '"');
    strbuf_puts(out, text);
    strbuf_putc(out, '"');
}

void json_put_stored(struct strbuf *out, const char *text, const char *otherwise) {
    if (!text || str_eq(text, otherwise))
        strbuf_puts(out, otherwise);
    else
        put_dump(out, json_stored(text, otherwise));
}

void json_put_time(struct strbuf *out, uint64_t wall_ns) {
    char text[21];
    if (!wall_ns) {
        strbuf_puts(out, "null");
        return;
    }
    clock_format(wall_ns, text);
    strbuf_putc(out, '"');
    strbuf_puts(out, text);
    strbuf_putc(out, '"');
}

void json_put_relation(struct strbuf *out, const char *guid) {
    if (str_empty(guid))
        strbuf_puts(out, "{\"data\":null}");
    else
        strbuf_printf(out, "{\"data\":{\"guid\":\"%s\"}}", guid);
}

void json_put_metadata(struct strbuf *out, const char *labels, const char *annotations) {
    strbuf_puts(out, "{\"labels\":");
    json_put_stored(out, labels, "{}");
    strbuf_puts(out, ",\"annotations\":");
    json_put_stored(out, annotations, "{}");
    strbuf_putc(out, '}');
}

void json_put_links(struct strbuf *out, const char *base, const struct json_link_row *links,
                    size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct json_link_row *l = &links[i];
        const char *const parts[] = {i ? ",\"" : "{\"",
                                     l->name,
                                     "\":{\"href\":\"",
                                     base,
                                     "/v3/",
                                     l->kind,
                                     "/",
                                     l->guid,
                                     l->tail ? l->tail : "",
                                     l->post ? "\",\"method\":\"POST\"}" : "\"}"};
        for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
            strbuf_puts(out, parts[k]);
    }
    strbuf_putc(out, '}');
}

json_t *json_of_text(const struct strbuf *text) {
    return text->failed ? NULL : json_loadb(text->p, text->n, JSON_DECODE_ANY, NULL);
}
